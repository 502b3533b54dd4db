//! Who is listening right now? `websocket:connections` is a set of `SERVER:CONNECTION`. Each
//! server says every [`KEEP_ALIVE`] that it lives; where none does, the set is gone after
//! [`TTL`]. A server that starts forgets what it left when it crashed.

use super::ttl_ms;
use redis::RedisResult;
use redis::aio::ConnectionLike;
use std::time::Duration;

/// `websocket:connections`
pub const KEY: &str = "websocket:connections";
/// How long the set outlives its last sign of life.
pub const TTL: Duration = Duration::from_secs(90);
/// How often a server should call [`keep_alive`].
pub const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Adds a connection.
pub async fn add<C: ConnectionLike>(connection: &mut C, server: &str, id: &str) -> RedisResult<()> {
    keep_alive(connection, server, &[id]).await
}

/// Says that this server and these connections of it are there.
pub async fn keep_alive<C: ConnectionLike>(
    connection: &mut C,
    server: &str,
    ids: &[&str],
) -> RedisResult<()> {
    let mut pipeline = redis::pipe();
    pipeline.atomic();
    if !ids.is_empty() {
        pipeline.cmd("SADD").arg(KEY).arg(members(server, ids));
    }
    pipeline.cmd("PEXPIRE").arg(KEY).arg(ttl_ms(TTL));
    pipeline.exec_async(connection).await
}

/// Removes a connection; whether it was there.
pub async fn remove<C: ConnectionLike>(
    connection: &mut C,
    server: &str,
    id: &str,
) -> RedisResult<bool> {
    let mut remove = redis::cmd("SREM");
    remove
        .arg(KEY)
        .arg(members(server, &[id]))
        .query_async(connection)
        .await
}

/// Removes all connections of a server, as it starts and as it ends; how many there were.
pub async fn remove_server<C: ConnectionLike>(
    connection: &mut C,
    server: &str,
) -> RedisResult<usize> {
    let own: Vec<String> = all(connection).await?;
    let prefix = format!("{server}:");
    let own: Vec<String> = own.into_iter().filter(|m| m.starts_with(&prefix)).collect();
    if own.is_empty() {
        return Ok(0);
    }
    redis::cmd("SREM")
        .arg(KEY)
        .arg(own)
        .query_async(connection)
        .await
}

/// All connections, as `SERVER:CONNECTION`.
pub async fn all<C: ConnectionLike>(connection: &mut C) -> RedisResult<Vec<String>> {
    redis::cmd("SMEMBERS")
        .arg(KEY)
        .query_async(connection)
        .await
}

pub async fn count<C: ConnectionLike>(connection: &mut C) -> RedisResult<usize> {
    redis::cmd("SCARD").arg(KEY).query_async(connection).await
}

fn members(server: &str, ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| format!("{server}:{id}")).collect()
}
