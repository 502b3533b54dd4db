//! Redis (7 or later) and Valkey: how a connection is made, and what its errors mean to an
//! operator.
//!
//! [`signals`] appends signals to streams, [`updates`] keeps market updates and the cache of last
//! prices. Each has a connection of its own, so that neither waits behind the other. No state of
//! the store is kept here. Runs on the publishers' runtime.

pub mod lists;
pub mod outcomes;
pub mod signals;
pub mod updates;

pub use signals::RedisSink;
pub use updates::updates;

use crate::config::RedisConfig;
use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Client, InfoDict, RedisError};
use std::time::Instant;

/// What a server's error code, or a phrase of an error's text, asks of the operator.
const REMEDIES: [(&str, &str); 17] = [
    ("OOM", "raise its maxmemory, or shorten the streams"),
    ("READONLY", MASTER),
    ("MASTERDOWN", MASTER),
    ("LOADING", "it is loading its data; this passes"),
    ("loading the dataset", "it is loading its data; this passes"),
    ("NOAUTH", PASSWORD),
    ("Authentication required", PASSWORD),
    ("WRONGPASS", PASSWORD),
    ("Password authentication failed", PASSWORD),
    (
        "NOPERM",
        "the user in [stores.redis] url lacks rights; see ACL LIST",
    ),
    ("WRONGTYPE", "rename or delete that key"),
    ("MISCONF", "it cannot save to disk; see its log"),
    (
        "BUSY",
        "a script of somebody else blocks it; SCRIPT KILL ends that",
    ),
    ("CLUSTERDOWN", "see CLUSTER INFO"),
    (
        "MOVED",
        "it is part of a cluster; this build speaks to a single server",
    ),
    ("syntax error", "Redis 7 or later is needed"),
    (
        "unknown command",
        "Redis 7 or later is needed, with all commands enabled",
    ),
];
const MASTER: &str = "it is a replica; point [stores.redis] url at the master";
const PASSWORD: &str = "correct user and password in [stores.redis] url";

/// Opens a connection; every later call on it ends within the configured timeout.
async fn open(config: &RedisConfig) -> Result<MultiplexedConnection, String> {
    let client = client(config)?;
    let limits = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(config.timeout))
        .set_response_timeout(Some(config.timeout));
    let opened = client.get_multiplexed_async_connection_with_config(&limits);
    opened.await.map_err(|e| explain(&place(config), &e))
}

fn client(config: &RedisConfig) -> Result<Client, String> {
    // The error may quote the address, password and all.
    Client::open(config.url.0.as_str()).map_err(|_| {
        "redis: [stores.redis] url is not understood; it looks like \
         redis://user:password@host:6379/0 or redis+unix:///path, one server, without TLS"
            .to_owned()
    })
}

/// Where the server is, without user and password.
fn place(config: &RedisConfig) -> String {
    match client(config) {
        Ok(client) => format!("redis at {}", client.get_connection_info().addr()),
        Err(_) => "redis".to_owned(),
    }
}

/// Place, what happened, and what to do about it.
fn explain(place: &str, error: &RedisError) -> String {
    // Of a pipeline's errors the first says enough.
    let first = error.clone().into_server_errors();
    let text = match first.as_deref() {
        Some([(_, e), ..]) => format!("{} {}", e.code(), e.details().unwrap_or_default()),
        _ => error.to_string(),
    };
    let code = text.split(' ').next();
    let known = REMEDIES
        .iter()
        .find(|(sign, _)| code == Some(sign) || sign.contains(' ') && text.contains(sign));
    let remedy = if let Some((_, remedy)) = known {
        remedy
    } else if error.is_timeout() {
        "is it stopped or overloaded?"
    } else if error.is_io_error() {
        "is it running, and is [stores.redis] url right?"
    } else {
        "see its log"
    };
    format!("{place}: {}; {remedy}", text.trim())
}

/// Whether the store answers and takes writes: its version and answer time, or what is wrong.
pub async fn probe(config: RedisConfig) -> Result<String, String> {
    let place = place(&config);
    let failed = |e: RedisError| explain(&place, &e);
    let mut connection = open(&config).await?;
    let asked = Instant::now();
    ::redis::cmd("PING")
        .exec_async(&mut connection)
        .await
        .map_err(failed)?;
    let answered = asked.elapsed();
    let info: InfoDict = ::redis::cmd("INFO")
        .query_async(&mut connection)
        .await
        .map_err(failed)?;
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
    let policy: String = info.get("maxmemory_policy").unwrap_or_default();
    let warning = match policy.as_str() {
        "" | "noeviction" => "",
        _ => "; maxmemory-policy should be noeviction, or ids and streams may be evicted",
    };
    Ok(format!("{version}, answers in {answered:.1?}{warning}"))
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::config::Secret;
    use std::time::Duration;

    pub fn config(url: &str) -> RedisConfig {
        RedisConfig {
            url: Secret(url.to_owned()),
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

    #[test]
    fn a_place_never_shows_the_password() {
        for url in [
            "redis://bob:hunter2@localhost:1234/0",
            "redis//bob:hunter2@localhost",
        ] {
            let text = place(&config(url)) + &client(&config(url)).err().unwrap_or_default();
            assert!(!text.contains("hunter2"), "{text}");
        }
        assert_eq!(
            place(&config("redis://u:p@localhost:1234/0")),
            "redis at localhost:1234"
        );
    }

    #[test]
    fn errors_carry_their_remedy() {
        for (code, detail, remedy) in [
            ("OOM", "not allowed", "maxmemory"),
            ("WRONGPASS", "invalid", PASSWORD),
            ("READONLY", "a replica", MASTER),
            ("WRONGTYPE", "{BOOM/USDT} is a string", "delete that key"),
            ("ERR", "Authentication required.", PASSWORD),
            ("NEWCODE", "because", "see its log"),
        ] {
            let error = ::redis::make_extension_error(code.to_owned(), Some(detail.to_owned()));
            let text = explain("redis at x:1", &error);
            assert!(
                text.starts_with("redis at x:1: ") && text.contains(remedy),
                "{text}"
            );
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
