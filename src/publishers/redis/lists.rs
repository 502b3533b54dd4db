//! The lists `notifications:{user_id}`: JSON texts, the oldest first, that an application pops. A
//! list keeps the newest [`KEPT`]; one that nobody pops is gone [`TTL_SECONDS`] after its last
//! entry.

use super::{explain, open, place};
use crate::config::RedisConfig;
use ::redis::aio::MultiplexedConnection;
use uuid::Uuid;

const KEPT: isize = 100;
const TTL_SECONDS: u64 = 30 * 86_400;
/// Entries in one pipeline.
const BATCH: usize = 1000;

/// `notifications:{user_id}`; the braces are no part of it.
fn key(user: Uuid) -> String {
    format!("notifications:{user}")
}

pub struct Lists {
    config: RedisConfig,
    connection: Option<MultiplexedConnection>,
}

impl Lists {
    pub fn new(config: RedisConfig) -> Lists {
        Lists {
            config,
            connection: None,
        }
    }

    /// Adds entries, in order. The error names the place and the remedy.
    pub async fn push(&mut self, entries: &[(Uuid, String)]) -> Result<(), String> {
        for part in entries.chunks(BATCH) {
            let mut connection = match self.connection.take() {
                Some(connection) => connection,
                None => open(&self.config).await?,
            };
            let mut pipeline = ::redis::pipe();
            for (user, text) in part {
                let key = key(*user);
                pipeline.cmd("RPUSH").arg(&key).arg(text).ignore();
                pipeline.cmd("LTRIM").arg(&key).arg(-KEPT).arg(-1).ignore();
                pipeline.cmd("EXPIRE").arg(&key).arg(TTL_SECONDS).ignore();
            }
            let done: ::redis::RedisResult<()> = pipeline.query_async(&mut connection).await;
            done.map_err(|e| explain(&place(&self.config), &e))?;
            self.connection = Some(connection);
        }
        Ok(())
    }
}
