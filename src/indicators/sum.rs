//! HOT PATH. The sum of the last n values, as TA-Lib's `SUM`, without its drift. Budget: 4 ns an
//! update.
//!
//! ```text
//! SUM = the values since the last multiple of n + the rest of the n values before it
//! ```
//! Source: van Herk (1992) and Gil and Werman (1993), who take the maximum of a window so: by
//! blocks of n, with the sums of a block's tails made once, when it is full.
//!
//! TA-Lib adds the new value and takes the old one away, which leaves rounding errors behind for
//! ever: after a great value its sum of zeros is not 0. Here nothing is ever taken away: zeros sum
//! up to 0, and whatever leaves the window is gone.

use super::Info;
use serde::{Deserialize, Serialize};
use ta::Next;

pub const INFO: Info = Info {
    name: "SUM",
    summary: "sum of the last values",
    parameters: &[("timeperiod", 30.0)],
    inputs: &["value"],
    outputs: &["sum"],
    warm_up: "period values",
    source: "TA-Lib, math operators; Gil and Werman, 1993, for its blocks",
};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sum {
    /// Before `at` the values of this block, from there on the sums of the last block's tails.
    values: Box<[f64]>,
    at: usize,
    /// The sum of this block's values.
    newest: f64,
    is_warm: bool,
}

impl Sum {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> Sum {
        assert!(period > 0, "a period is at least 1");
        Sum {
            values: vec![0.0; period as usize].into_boxed_slice(),
            at: 0,
            newest: 0.0,
            is_warm: false,
        }
    }
}

impl Next<f64> for Sum {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        self.values[self.at] = value;
        self.newest += value;
        self.at += 1;
        if let Some(tail) = self.values.get(self.at) {
            return self.is_warm.then_some(self.newest + tail);
        }
        let sum = self.newest;
        let mut tail = 0.0;
        for value in self.values.iter_mut().rev() {
            tail += *value;
            *value = tail;
        }
        self.at = 0;
        self.newest = 0.0;
        self.is_warm = true;
        Some(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_sum_of_a_window() {
        for n in [1, 2, 3, 7, 30] {
            let mut sum = Sum::new(n);
            let n = n as usize;
            let values: Vec<f64> = (0..100_u32).map(|i| f64::from(i * i * 37 % 23)).collect();
            for i in 0..values.len() {
                let expected = (i + 1 >= n).then(|| values[i + 1 - n..=i].iter().sum());
                assert_eq!(sum.next(values[i]), expected, "{n}: value {i}");
            }
        }
    }

    #[test]
    fn what_left_is_gone() {
        let mut sum = Sum::new(3);
        let values = [1e16, 0.1, f64::NAN, 0.0, 0.0, 0.0].map(|v| sum.next(v));
        assert_eq!(values[5], Some(0.0));
    }

    #[test]
    fn recovers_from_a_nan_and_from_great_values() {
        let mut sum = Sum::new(3);
        for value in [1.0, f64::NAN, 1e300, f64::INFINITY, 0.1, 0.2, 0.3, 0.1, 0.2] {
            sum.next(value);
        }
        let found = sum.next(0.3);
        assert!(found.is_some_and(|f| (f - 0.6).abs() < 1e-15), "{found:?}");
    }
}
