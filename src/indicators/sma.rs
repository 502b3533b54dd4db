//! HOT PATH. Simple moving average: the mean of the last n values, as TA-Lib's `SMA`. Budget: 4 ns
//! an update.
//!
//! ```text
//! sum = sum + (value - the value n before)          SMA = sum / n
//! ```
//! Source: Murphy, Technical Analysis of the Financial Markets (1999), chapter 9. A NaN stays for
//! ever. `ta`'s own has the same values, but answers from the first on, with the mean of fewer.
//!
//! TA-Lib subtracts and adds one after the other: where sums wait for each other, that takes a
//! third longer. Its rounding matters where an average is subtracted from what is nearly equal, so
//! oscillators and the averages of [`Ma`](super::Ma) keep it, by [`Sma::next_in_steps`].

use super::Info;
use serde::{Deserialize, Serialize};
use ta::Next;

pub const INFO: Info = Info {
    name: "SMA",
    summary: "simple moving average",
    parameters: &[("timeperiod", 30.0)],
    inputs: &["value"],
    outputs: &["average"],
    warm_up: "period values",
    source: "Murphy, Technical Analysis of the Financial Markets, 1999, chapter 9",
};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sma {
    /// The last values, the oldest at `at`, or at 0 where that is the end.
    values: Box<[f64]>,
    at: usize,
    n: f64,
    is_warm: bool,
    sum: f64,
}

impl Sma {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> Sma {
        assert!(period > 0, "a period is at least 1");
        Sma {
            values: vec![0.0; period as usize].into_boxed_slice(),
            at: 0,
            n: f64::from(period),
            is_warm: false,
            sum: 0.0,
        }
    }

    /// As `next`, rounded to the last bit as TA-Lib's.
    #[inline]
    pub fn next_in_steps(&mut self, value: f64) -> Option<f64> {
        self.update(value, |sum, old| sum - old + value)
    }

    #[inline]
    fn update(&mut self, value: f64, moved: impl Fn(f64, f64) -> f64) -> Option<f64> {
        if !self.is_warm {
            return self.warm_up(value);
        }
        let oldest = match self.values.get_mut(self.at) {
            Some(oldest) => oldest,
            None => {
                self.at = 0;
                &mut self.values[0]
            }
        };
        let old = std::mem::replace(oldest, value);
        self.at += 1;
        self.sum = moved(self.sum, old);
        Some(self.sum / self.n)
    }

    #[inline(never)]
    fn warm_up(&mut self, value: f64) -> Option<f64> {
        self.values[self.at] = value;
        self.sum += value;
        self.at += 1;
        self.is_warm = self.at == self.values.len();
        self.is_warm.then_some(self.sum / self.n)
    }
}

impl Next<f64> for Sma {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        self.update(value, |sum, old| sum + (value - old))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::reference;

    #[test]
    fn agrees_with_ta_lib() {
        let mut sma = Sma::new(10);
        let values = reference::CLOSE.map(|close| sma.next(close)).to_vec();
        reference::check(values, &SMA_10);
    }

    #[test]
    fn forgets_what_fell_out() {
        let mut sma = Sma::new(2);
        assert_eq!(
            [1.0, 3.0, 5.0].map(|v| sma.next(v)),
            [None, Some(2.0), Some(4.0)]
        );
    }

    #[test]
    fn both_ways_of_rounding_are_what_they_say() {
        let mut draw = 1_u32;
        let values: Vec<f64> = std::iter::repeat_with(|| {
            draw = draw.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(draw) / 7.0
        })
        .take(200)
        .collect();
        for n in [1, 2, 3, 10] {
            let (mut at_once, mut in_steps) = (Sma::new(n as u32), Sma::new(n as u32));
            let mut sums = [0.0, 0.0];
            for (i, value) in values.iter().enumerate() {
                let old = if i < n { 0.0 } else { values[i - n] };
                sums = [sums[0] + (value - old), sums[1] - old + value];
                let [one, two] = sums.map(|sum| (i + 1 >= n).then_some(sum / n as f64));
                assert_eq!(at_once.next(*value), one, "{n}: value {i}");
                assert_eq!(in_steps.next_in_steps(*value), two, "{n}: value {i}");
            }
        }
    }

    const SMA_10: [f64; 26] = [
        98.92600000000002,
        98.77300000000001,
        98.62500000000003,
        98.51500000000003,
        98.40100000000004,
        98.33000000000004,
        98.42700000000004,
        98.38400000000004,
        98.16100000000003,
        97.79700000000004,
        97.36600000000003,
        96.70200000000003,
        95.97900000000003,
        95.11900000000004,
        94.37900000000005,
        93.65800000000004,
        92.84900000000005,
        91.92200000000005,
        90.98700000000005,
        90.23700000000005,
        89.62800000000006,
        89.05000000000004,
        88.44800000000005,
        87.87400000000005,
        87.19200000000004,
        86.60000000000005,
    ];
}
