//! Which keys are in Redis, what is in them, and how long do they live? Each key pattern has one
//! place that builds the key, writes it, reads it and sets its time to live: the daemon's own
//! publishers use it, and so may every application that shares the store.
//!
//! | keys | type | lives | place |
//! |---|---|---|---|
//! | `session:{token}`, `user_sessions:{user_id}` | hash, set | until the session ends | [`sessions`] |
//! | `rate_limit:api:{user_id}:{endpoint}`, `rate_limit:telegram:{telegram_id}` | string | one window | [`rate_limit`] |
//! | `cache:market_data:{symbol}`, `cache:market_data:{exchange}:{symbol}`, `cache:portfolio:{portfolio_id}`, `cache:user_profile:{user_id}` | hash | a minute to ten | [`cache`] |
//! | `websocket:connections` | set | while a server keeps it alive | [`websocket`] |
//! | `market_updates:{symbol}` | stream | stays, trimmed | [`market_updates`] |
//! | `notifications:{user_id}` | list | 30 days after the last one, capped | [`notifications`] |
//! | `celery:task:{task_id}`, `celery:result:{task_id}` | hash, string | a day | [`celery`] |
//! | `temp:ai_processing:{command_id}`, `temp:order_validation:{order_id}` | hash | a minute, a quarter of an hour | [`temp`] |
//! | `trading_signals` and its helpers, `tickforge:producer:{name}` | stream, … | see there | [`signals`] |
//!
//! A user's id, token or endpoint is one part of a key and takes the place of the braces. The
//! braces of `trading_signals:{BTC/USDT}` are literal: a hash tag, which keeps a stream and its
//! helpers on one node of a cluster.
//!
//! Functions take any asynchronous connection of the crate `redis`: to one server, to the master
//! that Sentinel names, or to a cluster ([`Connection`] is all three by configuration). One call
//! touches one key, or keys of one hash tag: so it is right on a cluster, too. What concerns more
//! keys says in which order it writes them, and what a crash in between leaves.
//!
//! ```no_run
//! # use std::time::Duration;
//! # async fn example(user_id: uuid::Uuid) -> redis::RedisResult<bool> {
//! use tickforge::keyspace::rate_limit::RateLimit;
//! let client = redis::Client::open("redis://127.0.0.1:6379")?;
//! let mut connection = client.get_multiplexed_async_connection().await?;
//! let limit = RateLimit::api(user_id, "/api/v1/orders", 10, Duration::from_secs(60));
//! Ok(limit.admit(&mut connection).await?.admitted)
//! # }
//! ```
//!
//! No state of the store is kept here, and nothing is tried again: an error is the caller's.

mod batch;
pub mod cache;
pub mod celery;
mod connection;
mod hash;
pub mod market_updates;
pub mod notifications;
mod patterns;
pub mod rate_limit;
pub mod sessions;
pub mod signals;
pub mod temp;
pub mod websocket;

pub use batch::{Answers, Batch, Place};
pub(crate) use connection::MASTER;
pub use connection::{Connection, explain, place};
pub use hash::Fields;
pub use patterns::{Kind, Life, PATTERNS, Pattern, pattern_of};

use redis::{ErrorKind, RedisError};
use std::time::Duration;

/// A time to live in ms, as `PEXPIRE` takes it: at least one.
fn ttl_ms(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// What stands in a key is not what should: another program's, or another version's.
fn unreadable(key: &str, what: &str) -> RedisError {
    let detail = format!("{key}: {what}; delete it, or see who writes it");
    (ErrorKind::UnexpectedReturnType, "unreadable", detail).into()
}
