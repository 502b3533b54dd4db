//! HOT PATH. Blau's doubly smoothed momentum: the true strength index and the stochastic momentum
//! index, -100 to 100. As TA-Lib's `TSI` and `SMI`. Budget: 8 ns and 30 ns an update.
//!
//! ```text
//! change = value - last value
//! TSI    = 100 EMA(EMA(change, first), second) / EMA(EMA(|change|, first), second)
//!
//! range  = highest high of n - lowest low of n
//! offset = close - (highest high + lowest low) / 2
//! SMI    = 100 EMA(EMA(offset, slow), fast) / (EMA(EMA(range, slow), fast) / 2)
//! signal = EMA(SMI, signal)
//! ```
//! Source: William Blau, Momentum, Direction, and Divergence (1995). As in TA-Lib, a market that
//! never moved has 0 in both; `SMI` smooths by the slow period first, whichever is longer, and has
//! no value before its signal has one. A NaN stays for ever.

use super::{Ema, Greatest, Info};
use serde::{Deserialize, Serialize};
use ta::{Close, High, Low, Next};

pub const TSI: Info = Info {
    name: "TSI",
    summary: "true strength index (Blau)",
    parameters: &[("firstperiod", 25.0), ("secondperiod", 13.0)],
    inputs: &["value"],
    outputs: &["index, -100 to 100"],
    warm_up: "first period + second period values",
    source: "Blau, Momentum, Direction, and Divergence, 1995",
};

pub const SMI: Info = Info {
    name: "SMI",
    summary: "stochastic momentum index (Blau)",
    parameters: &[
        ("timeperiod", 13.0),
        ("fastperiod", 2.0),
        ("slowperiod", 25.0),
        ("signalperiod", 9.0),
    ],
    inputs: &["high", "low", "close"],
    outputs: &["index, -100 to 100", "signal"],
    warm_up: "sum of the four periods - 3 bars",
    source: "Blau, Momentum, Direction, and Divergence, 1995",
};

/// The average of an average.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Twice(Ema, Ema);

impl Twice {
    fn new(first: u32, second: u32) -> Twice {
        Twice(Ema::new(first), Ema::new(second))
    }

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        self.1.next(self.0.next(value)?)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tsi {
    last: Option<f64>,
    change: Twice,
    size: Twice,
}

impl Tsi {
    /// Panics on a period of 0.
    pub fn new(first: u32, second: u32) -> Tsi {
        Tsi {
            last: None,
            change: Twice::new(first, second),
            size: Twice::new(first, second),
        }
    }
}

impl Next<f64> for Tsi {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        let change = value - self.last.replace(value)?;
        let size = self.size.next(change.abs());
        Some(percent(self.change.next(change)?, size?))
    }
}

/// What [`Smi`] answers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SmiValue {
    pub smi: f64,
    pub signal: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Smi {
    highest: Greatest,
    /// The greatest of -low.
    lowest: Greatest,
    offset: Twice,
    range: Twice,
    signal: Ema,
}

impl Smi {
    /// Panics on a period of 0.
    pub fn new(period: u32, fast: u32, slow: u32, signal: u32) -> Smi {
        Smi {
            highest: Greatest::new(period),
            lowest: Greatest::new(period),
            offset: Twice::new(slow, fast),
            range: Twice::new(slow, fast),
            signal: Ema::new(signal),
        }
    }
}

impl<T: High + Low + Close> Next<&T> for Smi {
    type Output = Option<SmiValue>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<SmiValue> {
        let highest = self.highest.push(bar.high()).0;
        let lowest = -self.lowest.push(-bar.low()).0;
        if !self.highest.is_full() {
            return None;
        }
        let range = self.range.next(highest - lowest);
        let offset = self.offset.next(bar.close() - (highest + lowest) / 2.0);
        let smi = percent(offset?, range? / 2.0);
        let signal = self.signal.next(smi)?;
        Some(SmiValue { smi, signal })
    }
}

/// 0 of nothing.
#[inline]
fn percent(part: f64, whole: f64) -> f64 {
    if whole == 0.0 {
        0.0
    } else {
        100.0 * part / whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::Hlc;

    #[test]
    fn only_rises_are_all_of_the_strength() {
        let mut tsi = Tsi::new(3, 2);
        let found: Vec<_> = (0..6).map(|i| tsi.next(f64::from(i))).collect();
        assert_eq!(found, [None, None, None, None, Some(100.0), Some(100.0)]);
        let mut still = Tsi::new(2, 2);
        let last = (0..9).map(|_| still.next(5.0)).last();
        assert_eq!(last, Some(Some(0.0)), "a market that never moved");
    }

    #[test]
    fn a_close_at_the_top_is_a_hundred() {
        let last = |high: f64, close: f64| {
            let mut smi = Smi::new(3, 2, 4, 2);
            let found: Vec<_> = (0..9)
                .map(|_| {
                    smi.next(&Hlc {
                        high,
                        low: 8.0,
                        close,
                    })
                })
                .collect();
            let first = found.iter().position(Option::is_some);
            assert_eq!(first, Some(3 + 2 + 4 + 2 - 4), "its first value");
            found[8].map(|value| (value.smi, value.signal))
        };
        assert_eq!(last(12.0, 12.0), Some((100.0, 100.0)));
        assert_eq!(last(12.0, 8.0), Some((-100.0, -100.0)));
        assert_eq!(last(12.0, 11.0), Some((50.0, 50.0)));
        assert_eq!(last(8.0, 8.0), Some((0.0, 0.0)), "no range");
    }
}
