//! What is a user still to be told? `notifications:{user_id}` is a list of JSON texts, the oldest
//! first. Somebody else takes them: the list keeps the newest [`KEPT`], and where nobody comes it
//! is gone [`TTL`] after the last one. The table `notifications` has them all.

use super::{ttl_ms, unreadable};
use redis::aio::ConnectionLike;
use redis::{Pipeline, RedisResult};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;
use uuid::Uuid;

/// The longest a list gets.
pub const KEPT: usize = 100;
/// How long a list outlives its newest notification.
pub const TTL: Duration = Duration::from_secs(30 * 24 * 3600);

/// `notifications:{user_id}`
pub fn key(user_id: Uuid) -> String {
    format!("notifications:{user_id}")
}

/// Adds one; the oldest goes where there are more than [`KEPT`].
pub async fn push<C: ConnectionLike>(
    connection: &mut C,
    user_id: Uuid,
    notification: &impl Serialize,
) -> RedisResult<()> {
    let mut pipeline = redis::pipe();
    put(pipeline.atomic(), user_id, notification)?;
    pipeline.exec_async(connection).await
}

/// Adds the commands of [`push`] to a pipeline, which should be a transaction.
pub fn put(
    pipeline: &mut Pipeline,
    user_id: Uuid,
    notification: &impl Serialize,
) -> RedisResult<()> {
    let key = key(user_id);
    let text = serde_json::to_string(notification)
        .map_err(|e| unreadable(&key, &format!("no JSON: {e}")))?;
    pipeline.cmd("RPUSH").arg(&key).arg(text);
    pipeline.cmd("LTRIM").arg(&key).arg(-(KEPT as i64)).arg(-1);
    pipeline.cmd("PEXPIRE").arg(&key).arg(ttl_ms(TTL));
    Ok(())
}

/// Takes up to `max`, the oldest first. They are gone from the list, whatever becomes of the
/// caller.
pub async fn take<T: DeserializeOwned, C: ConnectionLike>(
    connection: &mut C,
    user_id: Uuid,
    max: usize,
) -> RedisResult<Vec<T>> {
    let key = key(user_id);
    let mut pop = redis::cmd("LPOP");
    let texts: Option<Vec<String>> = pop.arg(&key).arg(max).query_async(connection).await?;
    let read =
        |text: String| serde_json::from_str(&text).map_err(|e| unreadable(&key, &e.to_string()));
    texts.unwrap_or_default().into_iter().map(read).collect()
}

/// How many wait.
pub async fn waiting<C: ConnectionLike>(connection: &mut C, user_id: Uuid) -> RedisResult<usize> {
    redis::cmd("LLEN")
        .arg(key(user_id))
        .query_async(connection)
        .await
}
