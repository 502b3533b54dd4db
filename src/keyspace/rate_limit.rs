//! May this call still go through? `rate_limit:api:{user_id}:{endpoint}` and
//! `rate_limit:telegram:{telegram_id}` are counters of a fixed window: its first call begins it,
//! and exactly as many are admitted as the limit says, however many ask at once (one script
//! decides, in the server).

use super::ttl_ms;
use redis::RedisResult;
use redis::aio::ConnectionLike;
use std::sync::LazyLock;
use std::time::Duration;
use uuid::Uuid;

static SCRIPT: LazyLock<redis::Script> =
    LazyLock::new(|| redis::Script::new(include_str!("rate_limit.lua")));

/// How often somebody may do something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    key: String,
    limit: u64,
    window: Duration,
}

/// The answer to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    pub admitted: bool,
    /// Calls admitted in this window, this one included.
    pub used: u64,
    /// Until the window ends.
    pub resets_in: Duration,
}

impl RateLimit {
    /// Calls of a user to one endpoint: `limit` in each `window`.
    pub fn api(user_id: Uuid, endpoint: &str, limit: u64, window: Duration) -> RateLimit {
        let key = format!("rate_limit:api:{user_id}:{endpoint}");
        RateLimit { key, limit, window }
    }

    /// Messages of a Telegram user: `limit` in each `window`.
    pub fn telegram(telegram_id: i64, limit: u64, window: Duration) -> RateLimit {
        let key = format!("rate_limit:telegram:{telegram_id}");
        RateLimit { key, limit, window }
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    /// Counts one call, if it is admitted. A call whose answer was lost may have been counted.
    pub async fn admit<C: ConnectionLike>(&self, connection: &mut C) -> RedisResult<Admission> {
        let mut script = SCRIPT.key(&self.key);
        script.arg(self.limit).arg(ttl_ms(self.window));
        let (admitted, used, left_ms) = script.invoke_async(connection).await?;
        Ok(Admission {
            admitted,
            used,
            resets_in: Duration::from_millis(left_ms),
        })
    }

    /// Calls admitted in the window that runs; 0 where none does.
    pub async fn used<C: ConnectionLike>(&self, connection: &mut C) -> RedisResult<u64> {
        let used: Option<u64> = redis::cmd("GET")
            .arg(&self.key)
            .query_async(connection)
            .await?;
        Ok(used.unwrap_or(0))
    }
}
