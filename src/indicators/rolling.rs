//! HOT PATH. The sum of the last n values, without the drift of a sum that adds the new and
//! subtracts the old: what averages over a window are made of.
//!
//! ```text
//! values come in blocks of n:  ... | o o o o o | x x x
//! sum = (what the window covers of the last block) + (this block so far)
//! ```
//! Nothing is ever subtracted: rounding errors do not add up, and a NaN is gone when it leaves the
//! window. At the end of a block the sums of its ends are taken, one addition a value: O(1) an
//! update on average, n additions every n updates.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RollingSum {
    /// Up to `at` the values of this block; from there on, at each place the sum of the last
    /// block's from that place to its end.
    values: Box<[f64]>,
    at: usize,
    warm: bool,
    /// The sum of this block so far.
    block: f64,
}

impl RollingSum {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> RollingSum {
        assert!(period > 0, "a period is at least 1");
        RollingSum {
            values: vec![0.0; period as usize].into_boxed_slice(),
            at: 0,
            warm: false,
            block: 0.0,
        }
    }

    /// The sum of the last n values; `None` while there are fewer.
    #[inline]
    pub fn push(&mut self, value: f64) -> Option<f64> {
        self.values[self.at] = value;
        self.block += value;
        self.at += 1;
        if let Some(rest) = self.values.get(self.at) {
            return self.warm.then_some(rest + self.block);
        }
        let mut sum = 0.0;
        for value in self.values.iter_mut().rev() {
            sum += *value;
            *value = sum;
        }
        self.at = 0;
        self.warm = true;
        self.block = 0.0;
        Some(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_the_last_values() {
        let mut sum = RollingSum::new(3);
        assert_eq!(
            [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0].map(|v| sum.push(v)),
            [
                None,
                None,
                Some(7.0),
                Some(14.0),
                Some(28.0),
                Some(56.0),
                Some(112.0)
            ]
        );
        let mut same = RollingSum::new(1);
        assert_eq!([5.0, 3.0].map(|v| same.push(v)), [Some(5.0), Some(3.0)]);
    }

    #[test]
    fn recovers_from_a_nan_and_from_great_values() {
        let mut sum = RollingSum::new(3);
        for value in [1.0, f64::NAN, 1e300, f64::INFINITY, 0.1, 0.2, 0.3, 0.1, 0.2] {
            sum.push(value);
        }
        let found = sum.push(0.3);
        assert!(found.is_some_and(|f| (f - 0.6).abs() < 1e-15), "{found:?}");
    }
}
