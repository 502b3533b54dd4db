//! HOT PATH. Variance and standard deviation of the last n values, as TA-Lib's `VAR` and `STDDEV`.
//! Budget: 13 ns an update.
//!
//! ```text
//! VAR    = mean of (value - mean)²      (by n, not by n - 1)
//! STDDEV = nbdev sqrt(VAR)
//! ```
//! Source: Chan, Golub and LeVeque, Algorithms for Computing the Sample Variance (1983): the
//! shifted one.
//!
//! Sums are taken of distances from a value near the window, TA-Lib's, so that they agree where
//! little is left of them; and afresh from the window every 32 periods and where they have lost
//! digits: O(1) on average. Where a series settles smoothly onto the value they are measured from,
//! TA-Lib does not notice the loss, and its variance may be off by a fifth; these take them afresh.
//! `VAR` takes an `nbdev` in TA-Lib and does nothing with it; so does this one. `ta`'s
//! `StandardDeviation` is that of fewer values until there are n.

use super::{Info, Window};
use serde::{Deserialize, Serialize};
use ta::Next;

pub const VAR: Info = Info {
    name: "VAR",
    summary: "variance of the last values",
    parameters: &[("timeperiod", 5.0), ("nbdev", 1.0)],
    inputs: &["value"],
    outputs: &["variance"],
    warm_up: "period values",
    source: "Chan, Golub and LeVeque, Algorithms for Computing the Sample Variance, 1983",
};

pub const STDDEV: Info = Info {
    name: "STDDEV",
    summary: "standard deviation of the last values",
    parameters: &[("timeperiod", 5.0), ("nbdev", 1.0)],
    inputs: &["value"],
    outputs: &["deviation"],
    warm_up: "period values",
    source: "Chan, Golub and LeVeque, Algorithms for Computing the Sample Variance, 1983",
};

/// Variance of the last values.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Var {
    values: Window<f64>,
    period: u32,
    per_value: f64,
    /// Values until the sums are taken afresh.
    afresh_in: u32,
    /// What the values are measured from.
    shift: f64,
    /// Of the window without its oldest value.
    sum: f64,
    squares: f64,
    /// The greatest sum of squares since they were taken afresh.
    peak: f64,
    /// For how many values it has been the same.
    still: u32,
    /// The sums wait for a market that moves.
    waits: bool,
}

/// Their squares, many times, are still numbers.
const HUGE: f64 = 1e150;

impl Var {
    /// Panics on a period of 0. TA-Lib's second parameter has no effect.
    pub fn new(period: u32, _nbdev: f64) -> Var {
        Var {
            values: Window::new(period),
            period,
            per_value: 1.0 / f64::from(period),
            afresh_in: period.saturating_mul(33) - 1,
            shift: 0.0,
            sum: 0.0,
            squares: 0.0,
            peak: 0.0,
            still: 0,
            waits: false,
        }
    }

    #[inline]
    fn add(&mut self, value: f64) {
        let x = value - self.shift;
        self.sum += x;
        self.squares += x * x;
    }

    #[inline]
    fn variance(&self) -> f64 {
        let mean = self.sum * self.per_value;
        self.squares * self.per_value - mean * mean
    }

    /// Its square.
    #[inline]
    fn drop_oldest(&mut self) -> f64 {
        let x = self.values.oldest() - self.shift;
        self.sum -= x;
        self.squares -= x * x;
        x * x
    }

    /// Measures from the mean of the window.
    fn take_afresh(&mut self) {
        let sum = self.values.iter().fold(0.0, |sum, value| sum + value);
        self.shift = sum * self.per_value;
        (self.sum, self.squares) = (0.0, 0.0);
        for back in (0..self.values.len()).rev() {
            self.add(self.values.get(back));
        }
        self.peak = self.squares;
        if self.squares.is_finite() {
            self.afresh_in = self.period.saturating_mul(32);
        } else if self.afresh_in == 0 {
            self.afresh_in = self.period;
        }
    }

    /// Afresh, with the variance.
    #[cold]
    fn recover(&mut self) -> f64 {
        const ROUNDING: f64 = 1e-12;
        self.take_afresh();
        let mut variance = self.variance();
        if variance < ROUNDING * (self.squares * self.per_value) {
            variance = 0.0;
        }
        if self.still >= self.period && self.squares > 0.0 {
            // The same rounding would be met with each value, as long as nothing moves.
            self.waits = true;
            return 0.0;
        }
        self.drop_oldest();
        variance
    }
}

impl Next<f64> for Var {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        const LITTLE: f64 = 1e-6;
        const MUCH: f64 = 1e6;
        const NOTHING: f64 = 1e-12;
        if self.values.is_empty() {
            self.shift = value;
        } else if value != self.values.get(0) {
            self.still = 0;
        }
        self.still = self.still.saturating_add(1);
        if self.waits {
            if self.still > self.period {
                self.values.push(value);
                return Some(0.0);
            }
            self.waits = false;
            self.take_afresh();
            self.drop_oldest();
        }
        self.values.push(value);
        self.add(value);
        self.afresh_in = self.afresh_in.saturating_sub(1);
        if value.is_nan() || value.abs() >= HUGE {
            // When it has left.
            self.afresh_in = self.period;
        }
        if !self.values.is_full() {
            return None;
        }
        self.peak = self.peak.max(self.squares);
        let variance = self.variance();
        let left = self.drop_oldest();
        let little = variance < LITTLE * (self.squares * self.per_value);
        let nothing = variance < NOTHING * (self.peak * self.per_value);
        if little || nothing || left > MUCH * self.squares || self.afresh_in == 0 {
            return Some(self.recover());
        }
        Some(variance)
    }
}

/// Standard deviation of the last values, `nbdev` times.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StdDev {
    variance: Var,
    nbdev: f64,
}

impl StdDev {
    /// Panics on a period below 2.
    pub fn new(period: u32, nbdev: f64) -> StdDev {
        assert!(period > 1, "a period is at least 2");
        StdDev {
            variance: Var::new(period, 1.0),
            nbdev,
        }
    }
}

impl Next<f64> for StdDev {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        Some(self.variance.next(value)?.sqrt() * self.nbdev)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divides_by_n() {
        let mut var = Var::new(4, 1.0);
        let rows = [2.0, 4.0, 4.0, 6.0, 8.0].map(|v| var.next(v));
        assert_eq!(rows, [None, None, None, Some(2.0), Some(2.75)]);
        let mut deviation = StdDev::new(4, 2.0);
        let rows = [2.0, 4.0, 4.0, 6.0].map(|v| deviation.next(v));
        assert_eq!(rows, [None, None, None, Some(2.0 * 2.0_f64.sqrt())]);
    }

    #[test]
    fn a_flat_market_has_none_and_is_left_as_if_there_had_been_none() {
        let mut deviation = StdDev::new(3, 1.0);
        let rows = [60_000.1, 59_990.3, 0.1, 0.1, 0.1, 0.1, 0.1].map(|v| deviation.next(v));
        assert_eq!(rows[4..], [Some(0.0); 3]);
        let rows = [0.3, 0.2, 0.4, 0.1].map(|v| deviation.next(v));
        let mut fresh = StdDev::new(3, 1.0);
        let exact = [0.3, 0.2, 0.4, 0.1].map(|v| fresh.next(v));
        for i in 2..4 {
            let (found, exact) = (rows[i].expect("warm"), exact[i].expect("warm"));
            assert!((found / exact - 1.0).abs() < 1e-12, "{found} {exact}");
        }
        let mut one = Var::new(1, 1.0);
        assert_eq!([0.1, 7.7].map(|v| one.next(v)), [Some(0.0), Some(0.0)]);
    }

    #[test]
    fn a_calm_after_a_storm_is_exact() {
        let step = |i: u32| {
            f64::from(i * i * 37 % 101)
                * if (i / 150).is_multiple_of(2) {
                    0.1
                } else {
                    50.0
                }
        };
        let values: Vec<f64> = (0..1000).map(|i| 60_000.0 + step(i)).collect();
        for n in [2, 3, 7, 100] {
            let mut var = Var::new(n as u32, 1.0);
            for i in 0..values.len() {
                let Some(found) = var.next(values[i]) else {
                    continue;
                };
                let window = &values[i + 1 - n..=i];
                let mean = window.iter().map(|v| v - values[i]).sum::<f64>() / n as f64;
                let exact = window
                    .iter()
                    .map(|v| (v - values[i] - mean).powi(2))
                    .sum::<f64>();
                let exact = exact / n as f64;
                assert!(
                    (found - exact).abs() <= 1e-9 * exact,
                    "{n}, {i}: {found}, {exact}"
                );
            }
        }
    }

    #[test]
    fn a_smooth_calm_after_a_storm_is_exact_too() {
        // Of 1, 1 / 0.6 and 1 / 0.36.
        const FACTOR: f64 = 0.5377229080932784;
        let mut var = Var::new(3, 1.0);
        for i in -1..40 {
            let x = if i < 0 {
                100.0
            } else {
                100.0 + 1000.0 * 0.6_f64.powi(i)
            };
            let found = var.next(x);
            if i < 2 {
                continue;
            }
            let last = x - 100.0;
            let exact = last * last * FACTOR;
            assert!(
                (found.expect("warm") / exact - 1.0).abs() < 1e-5,
                "{i}: {found:?}, {exact}"
            );
        }
    }

    #[test]
    fn no_number_outlives_its_window() {
        for odd in [f64::NAN, f64::INFINITY, 1e300] {
            for at in 0..8 {
                let mut var = Var::new(4, 1.0);
                for i in 0..12 {
                    var.next(if i == at { odd } else { f64::from(i % 2) });
                }
                let last = [0.0, 1.0, 0.0, 1.0].map(|v| var.next(v))[3];
                assert!(
                    (last.expect("warm") - 0.25).abs() < 1e-12,
                    "{odd} at {at}: {last:?}"
                );
            }
        }
    }
}
