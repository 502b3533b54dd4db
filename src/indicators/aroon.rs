//! HOT PATH. Aroon, as TA-Lib's `AROON` and `AROONOSC`: how recent the highest high and the lowest
//! low of the last bars are. 100 is this bar, 0 is n bars ago. Budget: 25 ns an update.
//!
//! ```text
//! up, down   = 100 (n - bars since the highest high, lowest low) / n
//! oscillator = up - down
//! ```
//! The window is of n + 1 bars: this one and the n before it. Of equal highs or lows the newest
//! counts.
//!
//! Source: Tushar Chande, A Time Price Oscillator, Stocks & Commodities 13:9 (1995). TA-Lib gives
//! down before up.

use super::{Greatest, Info};
use serde::{Deserialize, Serialize};
use ta::{High, Low, Next};

const SOURCE: &str = "Chande, A Time Price Oscillator, Stocks & Commodities 13:9, 1995";

pub const AROON: Info = Info {
    name: "AROON",
    summary: "how recent the highest high and the lowest low are",
    parameters: &[("timeperiod", 14.0)],
    inputs: &["high", "low"],
    outputs: &["down, 0 to 100", "up, 0 to 100"],
    warm_up: "period + 1 bars",
    source: SOURCE,
};

pub const AROONOSC: Info = Info {
    name: "AROONOSC",
    summary: "Aroon up less Aroon down",
    parameters: &[("timeperiod", 14.0)],
    inputs: &["high", "low"],
    outputs: &["oscillator, -100 to 100"],
    warm_up: "period + 1 bars",
    source: SOURCE,
};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AroonValue {
    pub down: f64,
    pub up: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Aroon {
    period: u32,
    /// 100 / n.
    scale: f64,
    highs: Greatest,
    /// Of negated lows.
    lows: Greatest,
}

impl Aroon {
    /// Panics on a period of less than 2.
    pub fn new(period: u32) -> Aroon {
        assert!(period > 1, "a period is at least 2");
        Aroon {
            period,
            scale: 100.0 / f64::from(period),
            highs: Greatest::new(period + 1),
            lows: Greatest::new(period + 1),
        }
    }

    /// Bars since the lowest low and since the highest high.
    #[inline]
    fn ages<T: High + Low>(&mut self, bar: &T) -> Option<(f64, f64)> {
        let (_, low) = self.lows.push(-bar.low());
        let (_, high) = self.highs.push(bar.high());
        // At most the period, so neither is cut.
        self.highs.is_full().then_some((low as f64, high as f64))
    }
}

impl<T: High + Low> Next<&T> for Aroon {
    type Output = Option<AroonValue>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<AroonValue> {
        let (low, high) = self.ages(bar)?;
        let n = f64::from(self.period);
        Some(AroonValue {
            down: self.scale * (n - low),
            up: self.scale * (n - high),
        })
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AroonOsc {
    aroon: Aroon,
}

impl AroonOsc {
    /// Panics on a period of less than 2.
    pub fn new(period: u32) -> AroonOsc {
        AroonOsc {
            aroon: Aroon::new(period),
        }
    }
}

impl<T: High + Low> Next<&T> for AroonOsc {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        let (low, high) = self.aroon.ages(bar)?;
        Some(self.aroon.scale * (low - high))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::Hlc;

    fn bars(prices: &[(f64, f64)]) -> Vec<Hlc> {
        let bar = |(high, low): &(f64, f64)| Hlc {
            high: *high,
            low: *low,
            close: *low,
        };
        prices.iter().map(bar).collect()
    }

    #[test]
    fn it_counts_the_bars_since_the_extremes() {
        let bars = bars(&[(9.0, 5.0), (8.0, 4.0), (7.0, 6.0), (6.0, 5.5), (10.0, 3.0)]);
        let mut aroon = Aroon::new(2);
        let mut oscillator = AroonOsc::new(2);
        let values: Vec<_> = bars
            .iter()
            .map(|b| aroon.next(b).map(|v| (v.down, v.up)))
            .collect();
        let expected = [
            None,
            None,
            Some((50.0, 0.0)),
            Some((0.0, 0.0)),
            Some((100.0, 100.0)),
        ];
        assert_eq!(values, expected);
        let values: Vec<_> = bars.iter().map(|b| oscillator.next(b)).collect();
        assert_eq!(values, [None, None, Some(-50.0), Some(0.0), Some(0.0)]);
    }

    #[test]
    fn of_equal_highs_the_newest_counts() {
        let mut aroon = Aroon::new(2);
        let flat = bars(&[(5.0, 5.0); 3]);
        let last = flat.iter().filter_map(|b| aroon.next(b)).last();
        let now = AroonValue {
            down: 100.0,
            up: 100.0,
        };
        assert_eq!(last, Some(now));
    }
}
