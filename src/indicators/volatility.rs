//! HOT PATH. Realised volatility of the last n returns, from closes alone. Budget: 20 ns an update.
//!
//! ```text
//! r              = ln(close / last close)
//! VOL_CLOSE      = sqrt(f Σ r² / n)                      mean taken as zero
//! VOL_CLOSE_MEAN = sqrt(f Σ (r - mean r)² / (n - 1))
//! ```
//! f is the number of bars in the time that the volatility is to be of: 1 gives it per bar, 525600
//! per year from bars of a minute in a market that never closes.
//! Source: Sinclair, Volatility Trading (2008). The mean of few returns is mostly noise: zero is
//! the better guess unless the market trends. Estimates that use the whole bar are in
//! [`super::range_volatility`].

use super::Info;
use super::sliding::{Moments, Sliding};
use serde::{Deserialize, Serialize};
use ta::Next;

pub const VOL_CLOSE: Info = Info {
    name: "VOL_CLOSE",
    summary: "realised volatility from close to close, about zero",
    parameters: &[("timeperiod", 20.0), ("bars", 1.0)],
    inputs: &["close"],
    outputs: &["standard deviation of the return, a share"],
    warm_up: "period + 1 values",
    source: "Sinclair, Volatility Trading, 2008",
};

pub const VOL_CLOSE_MEAN: Info = Info {
    name: "VOL_CLOSE_MEAN",
    summary: "realised volatility from close to close, about the mean",
    parameters: &[("timeperiod", 20.0), ("bars", 1.0)],
    inputs: &["close"],
    outputs: &["standard deviation of the return, a share"],
    warm_up: "period + 1 values",
    source: "Sinclair, Volatility Trading, 2008",
};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VolClose {
    last: Option<f64>,
    squares: Sliding<f64>,
    /// `bars` over the period.
    factor: f64,
}

impl VolClose {
    /// `bars` are those in the time that the volatility is to be of. Panics on a period of 0, and
    /// where `bars` is not positive.
    pub fn new(period: u32, bars: f64) -> VolClose {
        assert!(bars > 0.0, "a number of bars is positive");
        VolClose {
            last: None,
            squares: Sliding::new(period),
            factor: bars / f64::from(period),
        }
    }
}

impl Next<f64> for VolClose {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, close: f64) -> Option<f64> {
        let change = (close / self.last.replace(close)?).ln();
        self.squares.push(change * change);
        Some((self.factor * self.squares.full_sum()?).sqrt())
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VolCloseMean {
    last: Option<f64>,
    changes: Sliding<Moments>,
    bars: f64,
}

impl VolCloseMean {
    /// `bars` are those in the time that the volatility is to be of. Panics on a period below 2,
    /// and where `bars` is not positive.
    pub fn new(period: u32, bars: f64) -> VolCloseMean {
        assert!(period > 1, "a deviation is of 2 values at least");
        assert!(bars > 0.0, "a number of bars is positive");
        VolCloseMean {
            last: None,
            changes: Sliding::new(period),
            bars,
        }
    }
}

impl Next<f64> for VolCloseMean {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, close: f64) -> Option<f64> {
        let change = (close / self.last.replace(close)?).ln();
        self.changes.push(Moments::of(change));
        Some((self.bars * self.changes.full_sum()?.variance()).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::sliding::testing::{draws, near, near_at, restored};
    use rand::RngExt;

    #[test]
    fn a_price_that_doubles_and_halves() {
        let closes = [1.0, 2.0, 1.0, 1.0];
        let ln2 = 2.0_f64.ln();
        let mut zero = VolClose::new(2, 1.0);
        let values = closes.map(|c| zero.next(c));
        assert_eq!(values[..2], [None; 2]);
        near(values[2], Some(ln2));
        near(values[3], Some(ln2 / 2.0_f64.sqrt()));
        let mut mean = VolCloseMean::new(2, 9.0);
        let values = closes.map(|c| mean.next(c));
        assert_eq!(values[..2], [None; 2]);
        near(values[2], Some(3.0 * 2.0_f64.sqrt() * ln2));
        near(values[3], Some(3.0 * ln2 / 2.0_f64.sqrt()));
    }

    #[test]
    fn a_flat_market_and_a_steady_one_have_none() {
        let (mut zero, mut mean) = (VolClose::new(3, 1.0), VolCloseMean::new(3, 1.0));
        for _ in 0..5 {
            zero.next(7.0);
            mean.next(7.0);
        }
        assert_eq!((zero.next(7.0), mean.next(7.0)), (Some(0.0), Some(0.0)));
        // Powers of two: the ratio is exact.
        let last = (0..9).map(|i| mean.next(2.0_f64.powi(i))).last();
        assert_eq!(last, Some(Some(0.0)), "a trend is no deviation");
    }

    #[test]
    fn a_price_that_is_none_leaves_with_the_window() {
        let (mut zero, mut mean) = (VolClose::new(2, 1.0), VolCloseMean::new(2, 1.0));
        for close in [1.0, 0.0, -3.0, f64::NAN, f64::INFINITY, 5.0, 5.0, 5.0] {
            zero.next(close);
            mean.next(close);
        }
        assert_eq!((zero.next(5.0), mean.next(5.0)), (Some(0.0), Some(0.0)));
    }

    #[test]
    fn each_is_what_its_sums_say() {
        let mut draw = draws(31);
        for (n, start) in [(2, 100.0), (20, 60_000.0), (100, 0.01)] {
            let (mut zero, mut mean) = (VolClose::new(n, 365.0), VolCloseMean::new(n, 365.0));
            let n = n as usize;
            let mut closes = vec![start];
            let mut changes: Vec<f64> = Vec::new();
            zero.next(start);
            mean.next(start);
            for i in 0..3000 {
                let change = f64::from(draw.random_range(-1000..=1020)) / 1e5;
                closes.push(closes[i] * (1.0 + change));
                changes.push(closes[i + 1].ln() - closes[i].ln());
                if i == 1500 {
                    (zero, mean) = (restored(&zero), restored(&mean));
                }
                let found = (zero.next(closes[i + 1]), mean.next(closes[i + 1]));
                if i + 1 < n {
                    assert_eq!(found, (None, None));
                    continue;
                }
                let last = &changes[i + 1 - n..];
                let squares: f64 = last.iter().map(|r| r * r).sum();
                near(found.0, Some((365.0 * squares / n as f64).sqrt()));
                let center = last.iter().sum::<f64>() / n as f64;
                let squares: f64 = last.iter().map(|r| (r - center).powi(2)).sum();
                let expected = (365.0 * squares / (n - 1) as f64).sqrt();
                near_at(found.1, Some(expected), 1e-4);
            }
        }
    }
}
