//! Redis (7 or later) and Valkey, on one server, behind Sentinel, or as a cluster.
//!
//! [`signals`] appends signals to streams, [`updates`] keeps market updates and the cache of last
//! prices. Each has a connection of its own, so that neither waits behind the other. Keys and
//! connections are [`crate::keyspace`]'s. No state of the store is kept here. Runs on the
//! publishers' runtime.

mod item;
pub mod rebuild;
pub mod signals;
pub mod updates;

pub use signals::RedisSink;
pub use updates::updates;

use crate::config::RedisConfig;
use crate::keyspace::{Connection, MASTER, explain, place};
use ::redis::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};
use ::redis::{InfoDict, RedisError, RedisResult, Value, cmd};
use std::time::Instant;

/// Whether the store answers and takes writes: its version and answer time, or what is wrong.
pub async fn probe(config: RedisConfig) -> Result<String, String> {
    let place = place(&config);
    let failed = |e: RedisError| explain(&place, &e);
    let connection = Connection::open(&config).await?;
    let asked = Instant::now();
    let info = info(&connection).await.map_err(failed)?;
    let answered = asked.elapsed();
    let version: String = info.get("redis_version").unwrap_or_default();
    let major = version
        .split('.')
        .next()
        .and_then(|v| v.parse().ok())
        .unwrap_or(0u32);
    if major < 7 {
        return Err(format!(
            "{place}: version {version} is too old; Redis 7 or later is needed"
        ));
    }
    if info
        .get::<String>("role")
        .is_some_and(|role| role != "master")
    {
        return Err(format!("{place}: {MASTER}"));
    }
    if let Connection::Cluster(cluster) = connection {
        let state: String = cmd("CLUSTER")
            .arg("INFO")
            .query_async(&mut cluster.clone())
            .await
            .map_err(failed)?;
        if !state.contains("cluster_state:ok") {
            return Err(format!("{place}: its state is not ok; see CLUSTER INFO"));
        }
    }
    let policy: String = info.get("maxmemory_policy").unwrap_or_default();
    let warning = match policy.as_str() {
        "" | "noeviction" => "",
        _ => "; maxmemory-policy should be noeviction, or ids and streams may be evicted",
    };
    Ok(format!("{version}, answers in {answered:.1?}{warning}"))
}

/// What a master says of itself; on a cluster, any one of them.
async fn info(connection: &Connection) -> RedisResult<InfoDict> {
    let info = cmd("INFO");
    match connection.clone() {
        Connection::Server(mut server) => info.query_async(&mut server).await,
        Connection::Cluster(mut cluster) => {
            let route = RoutingInfo::SingleNode(SingleNodeRoutingInfo::RandomPrimary);
            let answer: Value = cluster.route_command(info, route).await?;
            ::redis::from_redis_value(answer).map_err(Into::into)
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::config::{RedisServers, Secret};
    use std::time::Duration;

    pub fn config(url: &str) -> RedisConfig {
        RedisConfig {
            servers: RedisServers::One(Secret(url.to_owned())),
            batch: 100,
            timeout: Duration::from_millis(500),
            signals_max_len: 1000,
            updates_max_len: 1000,
            seen_ttl: Duration::from_secs(60),
            cache_ttl: Duration::from_secs(60),
            update_interval: Duration::from_millis(20),
            primary: Vec::new(),
        }
    }

    #[tokio::test]
    async fn nobody_there_names_place_and_remedy() {
        let error = probe(config("redis://127.0.0.1:1"))
            .await
            .expect_err("nobody listens there");
        assert!(error.starts_with("redis at 127.0.0.1:1: "), "{error}");
        assert!(
            error.ends_with("is it running, and is [stores.redis] url right?"),
            "{error}"
        );
    }
}
