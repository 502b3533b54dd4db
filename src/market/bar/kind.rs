//! HOT PATH. What closes a bar, as integers at an instrument's scales.

use super::Requote;
use serde::{Deserialize, Serialize};

/// What closes a bar. [`super::BarSpec`] is the same as text, for every instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BarKind {
    /// The end of an interval of this many ns, aligned to the epoch: a day is one of UTC.
    Time(i64),
    /// This many trades.
    Trades(u32),
    /// This amount of base, at amount scale. The trade that reaches it is not split.
    Volume(i64),
    /// This amount of quote, at price scale plus amount scale. The trade that reaches it is not
    /// split.
    Notional(i128),
    /// A move of the price by a brick of this size, at price scale; by two where it turns. Bricks
    /// are on multiples of their size.
    Renko(i64),
}

impl BarKind {
    /// The interval of a bar of time, ns.
    #[inline]
    pub const fn interval_ns(self) -> Option<i64> {
        match self {
            BarKind::Time(interval_ns) => Some(interval_ns),
            _ => None,
        }
    }

    #[inline]
    pub const fn is_time(self) -> bool {
        matches!(self, BarKind::Time(_))
    }

    /// The same with a size of at least 1, the least that makes a bar.
    #[must_use]
    pub fn at_least_one(self) -> BarKind {
        match self {
            BarKind::Time(ns) => BarKind::Time(ns.max(1)),
            BarKind::Trades(n) => BarKind::Trades(n.max(1)),
            BarKind::Volume(v) => BarKind::Volume(v.max(1)),
            BarKind::Notional(n) => BarKind::Notional(n.max(1)),
            BarKind::Renko(brick) => BarKind::Renko(brick.max(1)),
        }
    }

    /// After a change of scale. A size that no longer fits becomes the largest that does, one that
    /// vanishes the smallest.
    #[cold]
    pub(super) fn rescaled(
        self,
        price: &impl Fn(i64) -> Option<i64>,
        amount: &impl Fn(i64) -> Option<i64>,
        quote: Option<&Requote>,
    ) -> BarKind {
        let kind = match self {
            BarKind::Time(_) | BarKind::Trades(_) => self,
            BarKind::Volume(v) => BarKind::Volume(amount(v).unwrap_or(i64::MAX)),
            BarKind::Notional(n) => {
                BarKind::Notional(quote.and_then(|q| q.of(n)).unwrap_or(i128::MAX))
            }
            BarKind::Renko(brick) => BarKind::Renko(price(brick).unwrap_or(i64::MAX)),
        };
        kind.at_least_one()
    }
}
