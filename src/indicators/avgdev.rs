//! HOT PATH. Average deviation: how far the last n values are from their mean, as TA-Lib's
//! `AVGDEV`. Budget: 25 ns an update with a period of 14, 60 ns with 100.
//!
//! ```text
//! AVGDEV = mean of |value - mean|
//! ```
//! Source: Pham-Gia and Hung, The Mean and Median Absolute Deviations (2001).
//!
//! The mean moves with each value, and all distances with it: an update reads the window twice,
//! four values at a time: O(n). `ta`'s `MeanAbsoluteDeviation` is that of fewer values until there
//! are n.

use super::Info;
use serde::{Deserialize, Serialize};
use ta::Next;

pub const INFO: Info = Info {
    name: "AVGDEV",
    summary: "average distance of the last values from their mean",
    parameters: &[("timeperiod", 14.0)],
    inputs: &["value"],
    outputs: &["deviation"],
    warm_up: "period values",
    source: "Pham-Gia and Hung, The Mean and Median Absolute Deviations, 2001",
};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AvgDev {
    /// In any order: the next value goes to `next`.
    values: Box<[f64]>,
    next: usize,
    missing: u32,
    per_value: f64,
}

impl AvgDev {
    /// Panics on a period below 2.
    pub fn new(period: u32) -> AvgDev {
        assert!(period > 1, "a period is at least 2");
        AvgDev {
            values: vec![0.0; period as usize].into_boxed_slice(),
            next: 0,
            missing: period,
            per_value: 1.0 / f64::from(period),
        }
    }
}

impl Next<f64> for AvgDev {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        self.values[self.next] = value;
        self.next += 1;
        if self.next == self.values.len() {
            self.next = 0;
        }
        self.missing = self.missing.saturating_sub(1);
        if self.missing > 0 {
            return None;
        }
        // From a value of the window: where all are equal there is nothing to round.
        let distance = sum(&self.values, |held| held - value) * self.per_value;
        let total = sum(&self.values, |held| ((held - value) - distance).abs());
        Some(total * self.per_value)
    }
}

/// Sum over the values in four lanes, which a processor adds at once.
#[inline]
fn sum(values: &[f64], of: impl Fn(f64) -> f64) -> f64 {
    let (fours, rest) = values.as_chunks::<4>();
    let mut lanes = [0.0; 4];
    for four in fours {
        for (lane, value) in lanes.iter_mut().zip(four) {
            *lane += of(*value);
        }
    }
    let rest: f64 = rest.iter().map(|value| of(*value)).sum();
    (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]) + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_mean_distance_from_the_mean() {
        let mut deviation = AvgDev::new(4);
        let rows = [1.0, 3.0, 5.0, 7.0, 5.0].map(|v| deviation.next(v));
        assert_eq!(rows, [None, None, None, Some(2.0), Some(1.0)]);
        let mut six = AvgDev::new(6);
        let rows = [0.0, 0.0, 0.0, 6.0, 6.0, 6.0].map(|v| six.next(v));
        assert_eq!(rows[5], Some(3.0));
    }

    #[test]
    fn a_flat_market_has_none() {
        let mut deviation = AvgDev::new(3);
        let rows = [9.9, f64::NAN, 0.1, 0.1, 0.1].map(|v| deviation.next(v));
        assert!(rows[3].is_some_and(f64::is_nan));
        assert_eq!(rows[4], Some(0.0));
    }
}
