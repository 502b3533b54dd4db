//! HOT PATH. A stop some average true ranges from the middle of the bar, that follows the price and
//! changes sides when a close is beyond it, as TA-Lib's `SUPERTREND`. Budget: 18 ns an update.
//!
//! ```text
//! upper, lower = (high + low) / 2 ± f ATR
//! upper stop   = upper where that is lower, or the last close was above it; else as it was
//! lower stop   = lower where that is higher, or the last close was below it; else as it was
//! trend        = -1 at a close below the lower stop, 1 at one above the upper; else as it was
//! ```
//! Source: TA-Lib, function SUPERTREND, 0.8.1; the indicator is Olivier Seban's. The value is the
//! lower stop while the trend is 1, the upper one while it is -1. As in TA-Lib, the first trend is
//! up: others begin otherwise, and differ until the trend has changed. A NaN stays for ever.

use super::{Atr, Info};
use serde::{Deserialize, Serialize};
use ta::{Close, High, Low, Next};

pub const INFO: Info = Info {
    name: "SUPERTREND",
    summary: "stop by average true ranges that changes sides",
    parameters: &[("timeperiod", 10.0), ("multiplier", 3.0)],
    inputs: &["high", "low", "close"],
    outputs: &["stop", "trend, 1 or -1"],
    warm_up: "period + 1 bars",
    source: "TA-Lib, function SUPERTREND, 0.8.1",
};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SuperTrendValue {
    pub supertrend: f64,
    /// 1 up, -1 down.
    pub trend: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SuperTrend {
    range: Atr,
    factor: f64,
    up: bool,
    upper: f64,
    lower: f64,
    /// None until there are stops.
    last_close: Option<f64>,
}

impl SuperTrend {
    /// Panics on a period of 0 or a factor below 0.
    pub fn new(period: u32, factor: f64) -> SuperTrend {
        assert!(factor >= 0.0, "a factor is at least 0");
        SuperTrend {
            range: Atr::new(period),
            factor,
            up: true,
            upper: 0.0,
            lower: 0.0,
            last_close: None,
        }
    }
}

impl<T: High + Low + Close> Next<&T> for SuperTrend {
    type Output = Option<SuperTrendValue>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<SuperTrendValue> {
        let width = self.range.next(bar)? * self.factor;
        let middle = (bar.high() + bar.low()) * 0.5;
        let (upper, lower) = (middle + width, middle - width);
        let close = bar.close();
        match self.last_close.replace(close) {
            None => (self.upper, self.lower) = (upper, lower),
            Some(last) => {
                if upper < self.upper || last > self.upper {
                    self.upper = upper;
                }
                if lower > self.lower || last < self.lower {
                    self.lower = lower;
                }
                let beyond = if self.up {
                    close < self.lower
                } else {
                    close > self.upper
                };
                self.up ^= beyond;
            }
        }
        Some(if self.up {
            SuperTrendValue {
                supertrend: self.lower,
                trend: 1.0,
            }
        } else {
            SuperTrendValue {
                supertrend: self.upper,
                trend: -1.0,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::Hlc;

    #[test]
    fn follows_and_changes_sides() {
        let mut trend = SuperTrend::new(1, 1.0);
        let mut next = |high, low, close| {
            let value = trend.next(&Hlc { high, low, close })?;
            Some((value.supertrend, value.trend))
        };
        assert_eq!(next(11.0, 9.0, 10.0), None);
        assert_eq!(next(12.0, 10.0, 11.0), Some((9.0, 1.0)));
        assert_eq!(
            next(14.0, 12.0, 13.0),
            Some((10.0, 1.0)),
            "up with the price"
        );
        assert_eq!(
            next(13.0, 11.0, 11.0),
            Some((10.0, 1.0)),
            "never down again"
        );
        assert_eq!(next(10.0, 8.0, 9.0), Some((12.0, -1.0)), "a close below it");
        assert_eq!(next(14.0, 12.0, 13.0), Some((8.0, 1.0)), "and back");
    }

    #[test]
    fn a_flat_market_keeps_the_first_trend() {
        let mut trend = SuperTrend::new(3, 3.0);
        let flat = Hlc {
            high: 5.0,
            low: 5.0,
            close: 5.0,
        };
        let late = (0..9).take_while(|_| trend.next(&flat).is_none()).count();
        assert_eq!(late, 3);
        let expected = SuperTrendValue {
            supertrend: 5.0,
            trend: 1.0,
        };
        assert_eq!(trend.next(&flat), Some(expected));
    }
}
