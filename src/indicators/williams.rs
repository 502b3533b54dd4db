//! HOT PATH. Larry Williams's indicators, as TA-Lib's `WILLR`, `ULTOSC` and `WAD`. Budget: 25 ns
//! (WILLR), 20 ns (ULTOSC) and 3 ns (WAD) an update.
//!
//! ```text
//! WILLR  = -100 (highest high - close) / (highest high - lowest low)          of the last n bars
//! low'   = min(low, last close)          high' = max(high, last close)
//! BP, TR = close - low', high' - low'
//! ULTOSC = 100 (4 A1 + 2 A2 + A3) / 7    Ai = sum(BP) / sum(TR) of the last n_i bars
//! WAD    = last + close - low'  where close is above the last one
//!          last + close - high' where it is below          (0 at the first bar)
//! ```
//! Sources: Larry Williams, How I Made One Million Dollars Last Year Trading Commodities for %R;
//! The Ultimate Oscillator, Stocks & Commodities 3:4 (1985); Achelis, Technical Analysis from A to
//! Z (2nd edition) for accumulation/distribution.
//!
//! What one would not expect of TA-Lib: the shortest of the three periods weighs most, in whatever
//! order they are given. A part of the oscillator without a range counts 0, not as the middle: in a
//! market that does not move `ULTOSC` is 0. So is `WILLR`, which is its greatest value. `WAD` knows
//! no volume, in spite of its name; an infinity in a bar stays in it for ever.

use super::sliding::Sliding;
use super::{Greatest, Info};
use serde::{Deserialize, Serialize};
use std::ops::Add;
use ta::{Close, High, Low, Next};

pub const WILLR: Info = Info {
    name: "WILLR",
    summary: "Williams's %R: where the close is in the range of the last bars",
    parameters: &[("timeperiod", 14.0)],
    inputs: &["high", "low", "close"],
    outputs: &["%R, -100 to 0"],
    warm_up: "period bars",
    source: "Williams, How I Made One Million Dollars Last Year Trading Commodities",
};

pub const ULTOSC: Info = Info {
    name: "ULTOSC",
    summary: "ultimate oscillator: buying pressure over three periods",
    parameters: &[
        ("timeperiod1", 7.0),
        ("timeperiod2", 14.0),
        ("timeperiod3", 28.0),
    ],
    inputs: &["high", "low", "close"],
    outputs: &["oscillator, 0 to 100"],
    warm_up: "longest period + 1 bars",
    source: "Williams, The Ultimate Oscillator, Stocks & Commodities 3:4, 1985",
};

pub const WAD: Info = Info {
    name: "WAD",
    summary: "Williams's accumulation/distribution: moves from the true low or high, added up",
    parameters: &[],
    inputs: &["high", "low", "close"],
    outputs: &["sum, in price"],
    warm_up: "1 bar",
    source: "Achelis, Technical Analysis from A to Z, 2nd edition",
};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WillR {
    highs: Greatest,
    /// Of negated lows.
    lows: Greatest,
}

impl WillR {
    /// Panics on a period of less than 2.
    pub fn new(period: u32) -> WillR {
        assert!(period > 1, "a period is at least 2");
        WillR {
            highs: Greatest::new(period),
            lows: Greatest::new(period),
        }
    }
}

impl<T: High + Low + Close> Next<&T> for WillR {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        let (high, _) = self.highs.push(bar.high());
        let low = -self.lows.push(-bar.low()).0;
        if !self.highs.is_full() {
            return None;
        }
        let range = high - low;
        // A range of less is one of rounding, as in TA-Lib.
        let still = range.abs() <= 1e-14 * (high.abs() + low.abs());
        Some(if still {
            0.0
        } else {
            100.0 * (bar.close() - high) / range
        })
    }
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Pressure {
    buying: f64,
    range: f64,
}

impl Pressure {
    #[inline]
    fn ratio(self) -> f64 {
        if self.range == 0.0 {
            0.0
        } else {
            self.buying / self.range
        }
    }
}

impl Add for Pressure {
    type Output = Pressure;

    #[inline]
    fn add(self, other: Pressure) -> Pressure {
        Pressure {
            buying: self.buying + other.buying,
            range: self.range + other.range,
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UltOsc {
    last_close: Option<f64>,
    short: Sliding<Pressure>,
    middle: Sliding<Pressure>,
    long: Sliding<Pressure>,
}

impl UltOsc {
    /// In any order. Panics on a period of 0.
    pub fn new(period1: u32, period2: u32, period3: u32) -> UltOsc {
        let mut periods = [period1, period2, period3];
        periods.sort_unstable();
        let [short, middle, long] = periods.map(Sliding::new);
        UltOsc {
            last_close: None,
            short,
            middle,
            long,
        }
    }
}

impl<T: High + Low + Close> Next<&T> for UltOsc {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        let last = self.last_close.replace(bar.close())?;
        let low = bar.low().min(last);
        let pressure = Pressure {
            buying: bar.close() - low,
            range: bar.high().max(last) - low,
        };
        self.short.push(pressure);
        self.middle.push(pressure);
        self.long.push(pressure);
        let long = self.long.full_sum()?.ratio();
        let (short, middle) = (self.short.sum().ratio(), self.middle.sum().ratio());
        Some((4.0 * short + 2.0 * middle + long) * (100.0 / 7.0))
    }
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Wad {
    last_close: Option<f64>,
    sum: f64,
}

impl Wad {
    pub fn new() -> Wad {
        Wad::default()
    }
}

impl<T: High + Low + Close> Next<&T> for Wad {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        let close = bar.close();
        let last = self.last_close.replace(close).unwrap_or(close);
        if close > last {
            self.sum += close - bar.low().min(last);
        } else if close < last {
            self.sum += close - bar.high().max(last);
        }
        Some(self.sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::Hlc;

    fn bar(high: f64, low: f64, close: f64) -> Hlc {
        Hlc { high, low, close }
    }

    #[test]
    fn percent_r_is_the_place_in_the_range() {
        let mut willr = WillR::new(2);
        let bars = [
            bar(4.0, 0.0, 1.0),
            bar(3.0, 1.0, 3.0),
            bar(3.0, 3.0, 1.0),
            bar(3.0, 3.0, 3.0),
        ];
        let values = bars.map(|b| willr.next(&b));
        assert_eq!(
            values,
            [None, Some(-25.0), Some(-100.0), Some(0.0)],
            "no range is 0"
        );
    }

    #[test]
    fn the_shortest_period_weighs_most() {
        let bars = [
            bar(4.0, 2.0, 2.0),
            bar(6.0, 4.0, 4.0),
            bar(6.0, 4.0, 6.0),
            bar(6.0, 6.0, 6.0),
        ];
        let mut given = UltOsc::new(1, 1, 2);
        let mut turned = UltOsc::new(2, 1, 1);
        let values = bars.each_ref().map(|b| given.next(b));
        assert_eq!(values, bars.map(|b| turned.next(&b)));
        // Buying pressure 2 of 4, 2 of 2, 0 of 0.
        let expected = [(6.0 + 4.0 / 6.0) / 0.07, 1.0 / 0.07];
        assert_eq!(values[..2], [None, None]);
        for (value, expected) in values[2..].iter().zip(expected) {
            assert!((value.expect("warm") - expected).abs() < 1e-12, "{value:?}");
        }
    }

    #[test]
    fn accumulation_starts_from_the_true_extremes() {
        let mut wad = Wad::new();
        let bars = [
            (bar(4.0, 2.0, 3.0), 0.0),
            (bar(9.0, 5.0, 6.0), 3.0),
            (bar(8.0, 5.0, 7.0), 5.0),
            (bar(9.0, 4.0, 7.0), 5.0),
            (bar(6.0, 4.0, 5.0), 3.0),
        ];
        for (bar, expected) in bars {
            assert_eq!(wad.next(&bar), Some(expected), "{bar:?}");
        }
    }
}
