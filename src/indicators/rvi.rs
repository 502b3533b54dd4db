//! HOT PATH. Relative volatility index: of the deviations, how much came with a rising price, as
//! TA-Lib's `RVI`: 0 (all with falling) to 100 (all with rising). Budget: 15 ns an update.
//!
//! ```text
//! deviation = standard deviation of the last m values
//! up, down  = the deviation, by the sign of the change since the last value, else 0
//! U, D      = mean of the first n up, down; then (last (n - 1) + new) / n
//! RVI       = 100 U / (U + D)                                    (50 where both are 0)
//! ```
//! Source: Dorsey, The Relative Volatility Index, Stocks & Commodities (June 1993). TA-Lib's is
//! this first version, of one series, not the one of 1995, of highs and lows. It has nothing to do
//! with Ehlers's relative vigor index, also called RVI. A NaN stays for ever.
//!
//! The deviation comes from means and squares about them, of a full block of m values by its tails
//! and of the values since: nothing is taken away again, so no price is too great for it.

use super::Info;
use serde::{Deserialize, Serialize};
use ta::Next;

pub const INFO: Info = Info {
    name: "RVI",
    summary: "relative volatility index (Dorsey)",
    parameters: &[("timeperiod", 14.0), ("stddevperiod", 10.0)],
    inputs: &["value"],
    outputs: &["index, 0 to 100"],
    warm_up: "timeperiod + stddevperiod - 1 values",
    source: "Dorsey, The Relative Volatility Index, Stocks & Commodities, June 1993",
};

/// Of some values.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Moments {
    count: f64,
    mean: f64,
    /// Of the distances from the mean.
    squares: f64,
}

impl Moments {
    /// Welford's update.
    #[inline]
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let distance = value - self.mean;
        self.mean += distance / self.count;
        self.squares += distance * (value - self.mean);
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Rvi {
    period: u32,
    /// Before `at` the values of this block as means, from there on the last block's tails.
    block: Box<[Moments]>,
    at: usize,
    newest: Moments,
    last: f64,
    is_full: bool,
    /// Deviations seen, counted up to the period.
    seen: u32,
    /// Sums until warm, then averages.
    up: f64,
    down: f64,
}

impl Rvi {
    /// Panics on a period of 0, or a deviation of fewer than 2 values.
    pub fn new(period: u32, deviation_period: u32) -> Rvi {
        assert!(period > 0, "a period is at least 1");
        assert!(deviation_period > 1, "one value does not deviate");
        Rvi {
            period,
            block: vec![Moments::default(); deviation_period as usize].into_boxed_slice(),
            at: 0,
            newest: Moments::default(),
            last: 0.0,
            is_full: false,
            seen: 0,
            up: 0.0,
            down: 0.0,
        }
    }

    /// The variance of the last values, times their number; `None` while there are too few.
    #[inline]
    fn push(&mut self, value: f64) -> Option<f64> {
        self.block[self.at].mean = value;
        self.newest.add(value);
        self.at += 1;
        if let Some(tail) = self.block.get(self.at) {
            let new = &self.newest;
            let distance = new.mean - tail.mean;
            let weight = new.count * tail.count / (new.count + tail.count);
            let squares = new.squares + tail.squares + distance * distance * weight;
            return self.is_full.then_some(squares);
        }
        let squares = self.newest.squares;
        let mut tail = Moments::default();
        for value in self.block.iter_mut().rev() {
            tail.add(value.mean);
            *value = tail;
        }
        self.at = 0;
        self.newest = Moments::default();
        self.is_full = true;
        Some(squares)
    }
}

impl Next<f64> for Rvi {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        let change = value - std::mem::replace(&mut self.last, value);
        let squares = self.push(value)?;
        // The number of values is the same for both: it does not matter.
        let deviation = squares.sqrt();
        let up = if change > 0.0 { deviation } else { 0.0 };
        let down = if change < 0.0 { deviation } else { 0.0 };
        let n = f64::from(self.period);
        if self.seen >= self.period {
            self.up = (self.up * (n - 1.0) + up) / n;
            self.down = (self.down * (n - 1.0) + down) / n;
        } else {
            self.up += up;
            self.down += down;
            self.seen += 1;
            if self.seen < self.period {
                return None;
            }
            self.up /= n;
            self.down /= n;
        }
        let both = self.up + self.down;
        Some(if both == 0.0 {
            50.0
        } else {
            100.0 * self.up / both
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_ends() {
        let last = |values: &[f64]| {
            let mut rvi = Rvi::new(2, 3);
            values.iter().fold(None, |_, v| rvi.next(*v))
        };
        assert_eq!(last(&[1.0, 2.0, 3.0]), None);
        assert_eq!(last(&[1.0, 2.0, 3.0, 4.0]), Some(100.0));
        assert_eq!(last(&[4.0, 3.0, 2.0, 1.0]), Some(0.0));
        assert_eq!(last(&[4.0, 4.0, 4.0, 4.0]), Some(50.0), "it never moved");
    }

    #[test]
    fn the_deviations_are_those_of_the_window() {
        for n in [2, 3, 10] {
            let mut rvi = Rvi::new(1, n);
            let n = n as usize;
            let values: Vec<f64> = (0..100_u32)
                .map(|i| 6e4 + f64::from(i * i * 37 % 23) / 8.0)
                .collect();
            for i in 0..values.len() {
                let found = rvi.push(values[i]);
                assert_eq!(found.is_some(), i + 1 >= n);
                let Some(found) = found else { continue };
                let window = &values[i + 1 - n..=i];
                let mean = window.iter().sum::<f64>() / n as f64;
                let exact: f64 = window.iter().map(|v| (v - mean) * (v - mean)).sum();
                assert!(
                    (found - exact).abs() <= 1e-9 * exact,
                    "{found}, not {exact}"
                );
            }
        }
    }

    #[test]
    fn weighs_by_the_deviation() {
        // Of two values: half their distance. 3 up, 1 down.
        let mut rvi = Rvi::new(2, 2);
        let found = [1.0, 4.0, 3.0].map(|v| rvi.next(v));
        assert_eq!(found[..2], [None, None]);
        let value = found[2].expect("warm");
        assert!((value - 75.0).abs() < 1e-12, "{value}");
    }
}
