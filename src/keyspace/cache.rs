//! What is worth not asking for again? Hashes with a time to live; a reader that finds none asks
//! the source. Each is written whole, so that no field is older than another.

use super::hash;
use jiff::Timestamp;
use redis::aio::ConnectionLike;
use redis::{Pipeline, RedisResult};
use rust_decimal::Decimal;
use std::time::Duration;
use uuid::Uuid;

hash::hash! {
    /// The newest price of a symbol.
    MarketData {
        price: Decimal,
        high_24h: Decimal,
        low_24h: Decimal,
        /// Amount traded in the last 24 hours, in the base currency.
        volume_24h: Decimal,
        /// Change of the price in the last 24 hours, per cent; absent where it is not known.
        change_24h: Option<Decimal>,
        /// The share of those 24 hours that was watched: below 1, the others are of that part.
        seen_24h: Decimal,
        last_updated: Timestamp,
    }
}

impl MarketData {
    /// `cache:market_data:{symbol}`: what the symbol's primary exchange says.
    pub fn key(symbol: &str) -> String {
        format!("cache:market_data:{symbol}")
    }

    /// `cache:market_data:{exchange}:{symbol}`
    pub fn key_of_exchange(exchange: &str, symbol: &str) -> String {
        format!("cache:market_data:{exchange}:{symbol}")
    }

    /// Adds the commands that write it to a pipeline, which should be a transaction.
    pub fn put(&self, pipeline: &mut Pipeline, key: &str, ttl: Duration) {
        hash::put(pipeline, key, self, ttl);
    }

    /// Reads by one of the two keys.
    pub async fn read<C: ConnectionLike>(
        connection: &mut C,
        key: &str,
    ) -> RedisResult<Option<MarketData>> {
        hash::read(connection, key).await
    }
}

/// Gives a hash of one id its key and access to it.
macro_rules! by_id {
    ($name:ident, $prefix:literal, $ttl:expr) => {
        impl $name {
            /// How long it lives after it was written.
            pub const TTL: std::time::Duration = $ttl;

            #[doc = concat!("`", $prefix, "{id}`")]
            pub fn key(id: Uuid) -> String {
                format!(concat!($prefix, "{}"), id)
            }

            /// Writes all fields; they are gone after [`Self::TTL`].
            pub async fn write<C: ConnectionLike>(
                &self,
                connection: &mut C,
                id: Uuid,
            ) -> RedisResult<()> {
                hash::write(connection, &Self::key(id), self, Self::TTL).await
            }

            /// `None` where it was not written, or its time is over.
            pub async fn read<C: ConnectionLike>(
                connection: &mut C,
                id: Uuid,
            ) -> RedisResult<Option<$name>> {
                hash::read(connection, &Self::key(id)).await
            }

            /// To be called when what it was made from has changed; whether it was there.
            pub async fn delete<C: ConnectionLike>(
                connection: &mut C,
                id: Uuid,
            ) -> RedisResult<bool> {
                hash::delete(connection, &Self::key(id)).await
            }
        }
    };
}
pub(super) use by_id;

hash::hash! {
    /// A portfolio at a glance, as the query of a user's performance gives it.
    PortfolioSummary {
        user_id: Uuid,
        name: String,
        /// In the portfolio's currency.
        total_pnl: Decimal,
        position_count: u64,
        avg_pnl: Decimal,
        last_updated: Timestamp,
    }
}
by_id!(
    PortfolioSummary,
    "cache:portfolio:",
    Duration::from_secs(60)
);

hash::hash! {
    /// What a page shows of a user.
    UserProfile {
        username: String,
        email: String,
        first_name: String,
        last_name: String,
        is_premium: bool,
        timezone: String,
        preferred_currency: String,
        last_updated: Timestamp,
    }
}
by_id!(UserProfile, "cache:user_profile:", Duration::from_secs(600));
