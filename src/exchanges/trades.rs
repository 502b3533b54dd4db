//! Trades of REST answers: what all exchanges share. They are fetched after a restart, so that
//! those that nobody saw are not missing.
//!
//! Each exchange reads its own layout into [`PastTrade`]s. Called at start only, by the codecs and
//! by whoever fetches.

use super::Reject;
use crate::market::{Number, Side};

/// Trades that are missing: those after one that is known, up to a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// The last trade before it: id, and time in ns.
    pub after: (u128, i64),
    /// When it ends, ns.
    pub until_ns: i64,
    /// The ids are those of aggregates, where the exchange has them.
    pub aggregates: bool,
}

/// How an exchange answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pages {
    /// Trades in a full answer. One with fewer holds all of the hole.
    pub most: usize,
    /// A full answer holds the newest trades of the hole, not the oldest.
    pub from_the_end: bool,
    /// Ids count up by one.
    pub gapless: bool,
}

/// A trade as an exchange states it, before scales.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastTrade {
    pub exchange_ns: i64,
    pub id: u128,
    pub price: Number,
    pub amount: Number,
    pub taker: Side,
    pub aggregate: bool,
}

pub(super) fn number(text: &str, field: &'static str) -> Result<Number, Reject> {
    Number::parse(text.as_bytes()).ok_or(Reject::Number(field))
}

/// Oldest first.
pub(super) fn in_order(mut trades: Vec<PastTrade>) -> Vec<PastTrade> {
    trades.sort_by_key(|trade| trade.id);
    trades
}
