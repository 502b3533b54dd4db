//! What happened to a price? `market_updates:{symbol}` is a stream of the newest prices of a
//! symbol, of all its exchanges. It stays, trimmed to about the length that the writer says.

use super::Fields;
use super::{hash, unreadable};
use redis::aio::ConnectionLike;
use redis::{Pipeline, RedisResult};
use rust_decimal::Decimal;
use std::collections::HashMap;

hash::hash! {
    /// The newest price, and what was traded since the update before.
    MarketUpdate {
        price: Decimal,
        volume: Decimal,
        /// Seconds since the epoch, with a fraction of up to nine digits.
        timestamp: Decimal,
        exchange: String,
        /// Counts the updates of this symbol and exchange since the writer started: a hole is an
        /// update that was dropped, an equal number one that was written twice.
        sequence: u64,
        high_24h: Decimal,
        low_24h: Decimal,
        /// Amount traded in the last 24 hours, in the base currency.
        volume_24h: Decimal,
        /// Change of the price in the last 24 hours, per cent; absent where it is not known.
        change_24h: Option<Decimal>,
        /// The share of those 24 hours that was watched: below 1, the others are of that part.
        seen_24h: Decimal,
    }
}

/// `market_updates:{symbol}`
pub fn key(symbol: &str) -> String {
    format!("market_updates:{symbol}")
}

impl MarketUpdate {
    /// Adds the command that appends it to a pipeline.
    pub fn append(&self, pipeline: &mut Pipeline, key: &str, max_len: u64) {
        pipeline.cmd("XADD").arg(key).arg("MAXLEN").arg("~");
        pipeline.arg(max_len.max(1)).arg("*").arg(self.fields());
    }
}

/// Up to `count` updates behind the entry `after`, the oldest first, each with its entry's id.
/// Begin with `"0"`, and go on with the last id.
pub async fn read<C: ConnectionLike>(
    connection: &mut C,
    symbol: &str,
    after: &str,
    count: usize,
) -> RedisResult<Vec<(String, MarketUpdate)>> {
    let key = key(symbol);
    let mut range = redis::cmd("XRANGE");
    range
        .arg(&key)
        .arg(format!("({after}"))
        .arg("+")
        .arg("COUNT")
        .arg(count);
    let rows: Vec<(String, HashMap<String, String>)> = range.query_async(connection).await?;
    let read = |(id, found)| {
        let update = MarketUpdate::from_fields(&found).map_err(|what| unreadable(&key, &what))?;
        Ok((id, update))
    };
    rows.into_iter().map(read).collect()
}
