//! Work in progress: `temp:ai_processing:{command_id}` says how far a command of the assistant
//! is, `temp:order_validation:{order_id}` that an order was checked. Both are gone after minutes;
//! what is to last stands in PostgreSQL.

use super::cache::by_id;
use super::hash;
use jiff::Timestamp;
use redis::RedisResult;
use redis::aio::ConnectionLike;
use rust_decimal::Decimal;
use std::time::Duration;
use uuid::Uuid;

hash::hash! {
    /// A command that is being worked on.
    AiProcessing {
        /// As `ai_commands.status`: `pending`, `processing`.
        status: String,
        /// What is being done, in the worker's words.
        step: String,
        /// 0 to 100.
        progress_percent: u8,
        worker: String,
        started_at: Timestamp,
        updated_at: Timestamp,
    }
}
// A command that nobody has worked on for so long is not in progress any more.
by_id!(
    AiProcessing,
    "temp:ai_processing:",
    Duration::from_secs(15 * 60)
);

hash::hash! {
    /// What the checks of an order found.
    OrderValidation {
        valid: bool,
        /// Why not; empty where it is valid.
        reason: String,
        /// The market's price that it was checked against.
        price: Decimal,
        /// What the order would lock, in `currency`.
        required: Decimal,
        currency: String,
        checked_at: Timestamp,
    }
}
// Prices and balances move: the checks of an order do not hold for long.
by_id!(
    OrderValidation,
    "temp:order_validation:",
    Duration::from_secs(60)
);
