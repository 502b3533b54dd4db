//! HOT PATH. Averages with weights that rise in a line: the weighted moving average and Hull's,
//! which is made of three, as TA-Lib's `WMA` and `HMA`. Budget: 5 ns and 13 ns an update.
//!
//! ```text
//! WMA(n) = (1 x oldest + 2 x ... + n x newest) / (n (n + 1) / 2)
//! HMA(n) = WMA(2 WMA(value, n / 2) - WMA(value, n), √n)        n / 2 and √n rounded down
//! ```
//! Source: Murphy, Technical Analysis of the Financial Markets (1999), chapter 9; A. Hull, How to
//! Reduce Lag in a Moving Average (2005), alanhull.com. Some write Hull's average with n / 2 and √n
//! rounded to the nearest: other numbers. With a period of 1 both are the value itself.

use super::Info;
use serde::{Deserialize, Serialize};
use ta::Next;

pub const WMA: Info = Info {
    name: "WMA",
    summary: "linearly weighted moving average",
    parameters: &[("timeperiod", 30.0)],
    inputs: &["value"],
    outputs: &["average"],
    warm_up: "period values",
    source: "Murphy, Technical Analysis of the Financial Markets, 1999, chapter 9",
};

pub const HMA: Info = Info {
    name: "HMA",
    summary: "Hull moving average: little lag, little noise",
    parameters: &[("timeperiod", 20.0)],
    inputs: &["value"],
    outputs: &["average"],
    warm_up: "period + √period - 1 values",
    source: "Hull, How to Reduce Lag in a Moving Average, 2005",
};

/// Each time the ring is at its end, the fresh sums are those of all it holds and replace the
/// rolling ones: rounding errors live for n updates at most, a NaN for less than n after it left.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Wma {
    values: Box<[f64]>,
    next: usize,
    warm: bool,
    /// The period, and one over the sum of the weights.
    n: f64,
    scale: f64,
    /// The sum of the last n values.
    plain: f64,
    /// The sum of the last n values by their weights.
    weighted: f64,
    fresh_plain: f64,
    fresh_weighted: f64,
}

impl Wma {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> Wma {
        assert!(period > 0, "a period is at least 1");
        let n = f64::from(period);
        Wma {
            values: vec![0.0; period as usize].into_boxed_slice(),
            next: 0,
            warm: false,
            n,
            scale: 2.0 / (n * (n + 1.0)),
            plain: 0.0,
            weighted: 0.0,
            fresh_plain: 0.0,
            fresh_weighted: 0.0,
        }
    }
}

impl Next<f64> for Wma {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        let old = std::mem::replace(&mut self.values[self.next], value);
        self.next += 1;
        self.fresh_plain += value;
        self.fresh_weighted += value * self.next as f64;
        if self.next == self.values.len() {
            self.next = 0;
            self.warm = true;
            self.plain = std::mem::take(&mut self.fresh_plain);
            self.weighted = std::mem::take(&mut self.fresh_weighted);
        } else {
            // Each of the values loses one of its weight, the oldest all of it.
            self.weighted += self.n * value - self.plain;
            self.plain += value - old;
        }
        self.warm.then_some(self.weighted * self.scale)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hma {
    half: Wma,
    full: Wma,
    root: Wma,
}

impl Hma {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> Hma {
        Hma {
            // TA-Lib's of 1 is the value itself, where n / 2 would be 0.
            half: Wma::new((period / 2).max(1)),
            full: Wma::new(period),
            root: Wma::new(period.isqrt()),
        }
    }
}

impl Next<f64> for Hma {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        let half = self.half.next(value);
        let full = self.full.next(value)?;
        self.root.next(2.0 * half? - full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_rise_in_a_line() {
        let mut wma = Wma::new(3);
        let [_, early, a, b, c] = [1.0, 2.0, 6.0, 12.0, 0.0].map(|v| wma.next(v));
        assert_eq!(early, None, "two values are not three");
        for (found, expected) in [(a, 23.0), (b, 50.0), (c, 30.0)] {
            let found = found.expect("warm");
            assert!((found - expected / 6.0).abs() < 1e-12, "{found}");
        }
    }

    #[test]
    fn hulls_has_little_lag_on_a_line() {
        let mut hma = Hma::new(16);
        for i in 0..100 {
            let value = 3.0 + 2.0 * f64::from(i);
            let average = hma.next(value);
            assert_eq!(average.is_some(), i >= 16 + 4 - 2, "value {i}");
            // A WMA of n lags by (n - 1) / 3 values: 2 x 7 / 3 - 15 / 3 + 3 / 3 of them in all.
            let expected = value - 2.0 * (2.0 / 3.0);
            assert!(
                average.is_none_or(|a| (a - expected).abs() < 1e-9),
                "{average:?}"
            );
        }
    }

    #[test]
    fn a_period_of_one_is_the_value_itself() {
        let (mut wma, mut hma) = (Wma::new(1), Hma::new(1));
        for value in [3.0, 5.25, 4.0] {
            assert_eq!(wma.next(value), Some(value));
            assert_eq!(hma.next(value), Some(value));
        }
    }
}
