//! Where are the signals? The stream `trading_signals` has all of them,
//! `trading_signals:{SYMBOL}` (braces and all) those of one symbol, and
//! `trading_signals:{outcomes}` what became of them. Beside each stream stand its
//! helpers, with the same hash tag, so that one script may touch them all on a cluster: `:seq`
//! (the number of the newest entry), `:epoch` (a random name, new where the stream began anew),
//! `:seen:ID` (an id that is in it, for `seen_ttl`) and `:delivered` (a hash: how far into its
//! journal each producer got). The streams are trimmed; they and their helpers stay, `:seen:ID`
//! apart.
//!
//! `publishers::redis` writes them by its script; this is their names, and how they are read.

use super::ttl_ms;
use redis::aio::ConnectionLike;
use redis::{Pipeline, RedisResult};
use std::collections::HashMap;
use std::fmt::Display;
use std::time::Duration;
use uuid::Uuid;

/// How long `tickforge:producer:NAME` outlives its producer.
pub const ALIVE: Duration = Duration::from_secs(15);
const ALL: &str = "trading_signals";
/// What became of signals is in `trading_signals:{outcomes}`, where else a symbol stands; none has
/// that name.
pub const OUTCOMES: &str = "outcomes";

/// The keys of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalStream {
    /// The stream itself.
    pub key: String,
    pub seq: String,
    pub epoch: String,
    pub delivered: String,
    helpers: String,
}

impl SignalStream {
    /// The stream of all signals.
    pub fn all() -> SignalStream {
        SignalStream::new(ALL.to_owned(), format!("{{{ALL}}}"))
    }

    /// The stream of one symbol's.
    pub fn of(symbol: &str) -> SignalStream {
        let key = SignalStream::key_of(symbol);
        SignalStream::new(key.clone(), key)
    }

    /// `trading_signals:{SYMBOL}`, the braces included.
    pub fn key_of(symbol: &str) -> String {
        format!("{ALL}:{{{symbol}}}")
    }

    fn new(key: String, helpers: String) -> SignalStream {
        SignalStream {
            key,
            seq: format!("{helpers}:seq"),
            epoch: format!("{helpers}:epoch"),
            delivered: format!("{helpers}:delivered"),
            helpers,
        }
    }

    /// The mark that this signal is in the stream.
    pub fn seen(&self, signal_id: impl Display) -> String {
        format!("{}:seen:{signal_id}", self.helpers)
    }

    /// Up to `count` entries behind the entry `after`, the oldest first: id and fields. Begin with
    /// `"0"`, and go on with the last id. `seq` has no hole unless the reader was trimmed away.
    pub async fn read<C: ConnectionLike>(
        &self,
        connection: &mut C,
        after: &str,
        count: usize,
    ) -> RedisResult<Vec<(String, HashMap<String, String>)>> {
        let mut range = redis::cmd("XRANGE");
        range
            .arg(&self.key)
            .arg(format!("({after}"))
            .arg("+")
            .arg("COUNT")
            .arg(count);
        range.query_async(connection).await
    }
}

/// `{trading_signals}:delivered:NAME`: the number in its journal of the newest signal that a
/// producer got acknowledged for each symbol, and of the newest outcome. Compared with the stream's
/// own `:delivered`, it tells at the next start whether that stream's node has lost something.
pub fn delivered_by(producer: &str) -> String {
    format!("{{{ALL}}}:delivered:{producer}")
}

/// What a producer says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Producer {
    pub version: String,
    /// Time of the newest event that its engine has seen, ns since the epoch.
    pub last_event_ns: i64,
    /// None yet where `None`.
    pub last_signal_id: Option<Uuid>,
    pub books_synced: u64,
    pub books_stale: u64,
}

impl Producer {
    /// `tickforge:producer:NAME`
    pub fn key(name: &str) -> String {
        format!("tickforge:producer:{name}")
    }

    /// Adds the commands that say it to a pipeline, which should be a transaction.
    pub fn put(&self, pipeline: &mut Pipeline, name: &str) {
        let key = Producer::key(name);
        let last_signal_id = self.last_signal_id.map(|id| id.to_string());
        pipeline
            .cmd("HSET")
            .arg(&key)
            .arg("version")
            .arg(&self.version);
        pipeline.arg("last_event_ns").arg(self.last_event_ns);
        pipeline
            .arg("last_signal_id")
            .arg(last_signal_id.unwrap_or_default());
        pipeline.arg("books_synced").arg(self.books_synced);
        pipeline.arg("books_stale").arg(self.books_stale);
        pipeline.cmd("PEXPIRE").arg(&key).arg(ttl_ms(ALIVE));
    }

    /// What it says of itself; `None` where it does not live.
    pub async fn read<C: ConnectionLike>(
        connection: &mut C,
        name: &str,
    ) -> RedisResult<Option<Producer>> {
        let mut get = redis::cmd("HGETALL");
        let found: HashMap<String, String> =
            get.arg(Producer::key(name)).query_async(connection).await?;
        let number = |name: &str| found.get(name).and_then(|text| text.parse().ok());
        let id = found
            .get("last_signal_id")
            .and_then(|text| text.parse().ok());
        Ok(found.get("version").map(|version| Producer {
            version: version.clone(),
            last_event_ns: number("last_event_ns").unwrap_or(0),
            last_signal_id: id,
            books_synced: number("books_synced").unwrap_or(0) as u64,
            books_stale: number("books_stale").unwrap_or(0) as u64,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::batch::tag;

    #[test]
    fn the_keys_of_a_stream_share_one_hash_tag() {
        for stream in [SignalStream::all(), SignalStream::of("BTC/USDT")] {
            let keys = [
                &stream.seq,
                &stream.epoch,
                &stream.delivered,
                &stream.seen(7),
            ];
            for key in keys {
                assert_eq!(tag(key), tag(&stream.key), "{key}");
            }
        }
        assert_eq!(tag(&delivered_by("host1")), tag(ALL));
        assert_eq!(
            SignalStream::of("BTC/USDT").key,
            "trading_signals:{BTC/USDT}"
        );
        assert_eq!(SignalStream::all().seen(7), "{trading_signals}:seen:7");
    }
}
