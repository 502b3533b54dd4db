//! HOT PATH. Bars from trades: by time, by count, by volume, by turnover, by price.
//!
//! A bar of time closes with the first event of its instrument that is not before its end, so it is
//! never later than the market itself; an interval without a trade makes no bar. Every other bar
//! closes with a trade. A trade that arrives after its bar has closed counts into the open one
//! ([`Bar::late`] says how many did). Prices and amounts are integers at the instrument's scales;
//! nothing here is a float, and nothing allocates after [`Bars::add`].

mod bars;
mod builder;
mod kind;
mod past;
mod text;

#[cfg(test)]
mod tests;

pub use bars::Bars;
pub use builder::{BarBuilder, MOST_BRICKS};
pub use kind::BarKind;
pub use past::Past;
pub use text::{BarSpec, BarSpecError};

use serde::{Deserialize, Serialize};

/// One closed or open bar; prices and amounts are integers at the instrument's scales.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bar {
    /// A bar of time: the first nanosecond of the interval, a multiple of it since the epoch. Any
    /// other: its first stamp, not before the last stamp of the bars that closed earlier.
    pub start_ns: i64,
    /// A bar of time: the first nanosecond after the interval. Any other: just after its last stamp
    /// and those of the bars that closed earlier.
    pub end_ns: i64,
    pub open: i64,
    pub high: i64,
    pub low: i64,
    pub close: i64,
    /// Amount of base.
    pub volume: i64,
    /// Amount of base that takers bought.
    pub taker_buy_volume: i64,
    /// Amount of quote: the sum of price times amount, exact at price scale plus amount scale.
    pub notional: i128,
    /// Stamp of the trade that came first, ns.
    pub first_ns: i64,
    /// Stamp of the trade that came last, ns.
    pub last_ns: i64,
    pub trades: u32,
    /// Trades in it that came too late for their own bar. A bar of time: those whose interval had
    /// closed already. Any other: those older than the last stamp of the bars that closed earlier.
    pub late: u32,
    /// Data may be missing in it: the feed had a gap while it was open or right before it, or it
    /// began before anybody watched.
    pub incomplete: bool,
}

impl Bar {
    /// The price of the average unit, nearest at price scale, half to even. `None` where nothing
    /// was traded: a brick that is not the first of its move.
    #[inline]
    pub fn vwap(&self) -> Option<i64> {
        let price = half_even(self.notional, i128::from(self.volume))?;
        i64::try_from(price).ok()
    }

    /// This bar after a change of scale, which multiplies prices and amounts by powers of ten.
    /// `None` where it no longer fits.
    #[cold]
    pub fn rescaled(
        &self,
        price: &impl Fn(i64) -> Option<i64>,
        amount: &impl Fn(i64) -> Option<i64>,
    ) -> Option<Bar> {
        let quote = Requote::new(price, amount)?;
        Some(Bar {
            open: price(self.open)?,
            high: price(self.high)?,
            low: price(self.low)?,
            close: price(self.close)?,
            volume: amount(self.volume)?,
            taker_buy_volume: amount(self.taker_buy_volume)?,
            notional: quote.of(self.notional)?,
            ..*self
        })
    }
}

/// `n / d`, nearest, half to even. `None` where `d` is not positive.
#[inline]
fn half_even(n: i128, d: i128) -> Option<i128> {
    if d <= 0 {
        return None;
    }
    // Towards minus infinity, so that the rest is never negative.
    let (floor, rest) = (n.div_euclid(d), n.rem_euclid(d));
    let up = match rest.cmp(&(d - rest)) {
        std::cmp::Ordering::Less => 0,
        std::cmp::Ordering::Equal => floor & 1,
        std::cmp::Ordering::Greater => 1,
    };
    Some(floor + up)
}

/// Re-expresses an amount of quote, whose scale is the sum of both, after a change of scale: times
/// a power of ten, exact when finer, half to even when coarser.
struct Requote {
    times: i128,
    over: i128,
}

impl Requote {
    /// From what the change does to a price and to an amount.
    #[cold]
    fn new(
        price: &impl Fn(i64) -> Option<i64>,
        amount: &impl Fn(i64) -> Option<i64>,
    ) -> Option<Requote> {
        let ((up, down), (up_too, down_too)) = (factor(price)?, factor(amount)?);
        let (times, over) = (up * up_too, down * down_too);
        // Powers of ten: the smaller one divides the other.
        let common = times.min(over);
        Some(Requote {
            times: times / common,
            over: over / common,
        })
    }

    #[cold]
    fn of(&self, notional: i128) -> Option<i128> {
        half_even(notional.checked_mul(self.times)?, self.over)
    }
}

/// What a change of scale multiplies by and divides by; one of them is 1.
#[cold]
fn factor(convert: &impl Fn(i64) -> Option<i64>) -> Option<(i128, i128)> {
    /// 10^18: no scale is finer.
    const WHOLE: i64 = 1_000_000_000_000_000_000;
    match convert(1) {
        Some(up) if up > 0 => Some((i128::from(up), 1)),
        _ => {
            let kept = convert(WHOLE).filter(|kept| (1..=WHOLE).contains(kept))?;
            Some((1, i128::from(WHOLE / kept)))
        }
    }
}
