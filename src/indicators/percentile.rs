//! HOT PATH. Where values stand among the last n: TA-Lib's `PERCENTILE` and `PERCENTRANK`. Budget:
//! 50 ns an update with a period of 100.
//!
//! ```text
//! PERCENTILE  = the k-th smallest of the last n values,  k = percentile n / 100, up, at least 1
//! PERCENTRANK = 100 (how many of the n values before it are smaller) / n
//! ```
//! Source: Hyndman and Fan, Sample Quantiles in Statistical Packages (1996), definition 1; TA-Lib,
//! function PERCENTRANK, 0.8.1.
//!
//! The percentile is always one of the values (nearest rank), never between two: the 50th of an
//! even number of values is the lower middle one. The rank does not count the value itself, nor its
//! equals. The window is kept sorted: a search of log n steps, and up to n values move by one place
//! in one copy. A NaN counts as greater than all values, and its own rank is 0.

use super::{Info, Window};
use serde::{Deserialize, Serialize};
use ta::Next;

pub const PERCENTILE: Info = Info {
    name: "PERCENTILE",
    summary: "the value that a share of the last values does not pass (nearest rank)",
    parameters: &[("timeperiod", 30.0), ("percentile", 50.0)],
    inputs: &["value"],
    outputs: &["one of the values"],
    warm_up: "period values",
    source: "Hyndman and Fan, Sample Quantiles in Statistical Packages, 1996, definition 1",
};

pub const PERCENTRANK: Info = Info {
    name: "PERCENTRANK",
    summary: "share of the values before it that are smaller",
    parameters: &[("timeperiod", 100.0)],
    inputs: &["value"],
    outputs: &["percent, 0 to 100"],
    warm_up: "period + 1 values",
    source: "TA-Lib, function PERCENTRANK, 0.8.1",
};

/// The last n values, by age and by size.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sorted {
    ages: Window<f64>,
    /// The first `len` are the values, rising.
    sizes: Box<[f64]>,
    len: usize,
}

impl Sorted {
    /// Panics where `n` is 0.
    pub fn new(n: u32) -> Sorted {
        Sorted {
            ages: Window::new(n),
            sizes: vec![0.0; n as usize].into_boxed_slice(),
            len: 0,
        }
    }

    /// Takes a value in, and the oldest one out where there are n.
    #[inline]
    pub fn push(&mut self, value: f64) {
        // One zero and one NaN: what is sorted by is then what `<` says.
        let value = if value.is_nan() {
            f64::NAN
        } else {
            value + 0.0
        };
        let old = self.ages.push(value);
        let to = self.place(value);
        let Some(old) = old else {
            self.sizes.copy_within(to..self.len, to + 1);
            self.sizes[to] = value;
            self.len += 1;
            return;
        };
        let from = self.place(old);
        if from < to {
            self.sizes.copy_within(from + 1..to, from);
            self.sizes[to - 1] = value;
        } else {
            self.sizes.copy_within(to..from, to + 1);
            self.sizes[to] = value;
        }
    }

    /// How many values are smaller.
    #[inline]
    pub fn smaller(&self, value: f64) -> usize {
        self.sizes[..self.len].partition_point(|held| *held < value)
    }

    /// The `rank`-th smallest, the first being 0. Panics where there are not as many.
    #[inline]
    pub fn get(&self, rank: usize) -> f64 {
        self.sizes[..self.len][rank]
    }

    #[inline]
    pub fn is_full(&self) -> bool {
        self.ages.is_full()
    }

    #[inline]
    fn place(&self, value: f64) -> usize {
        self.sizes[..self.len].partition_point(|held| held.total_cmp(&value).is_lt())
    }
}

/// The value that a share of the last values does not pass.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Percentile {
    values: Sorted,
    rank: usize,
}

impl Percentile {
    /// Panics on a period below 2 and on a percentile that is not within 0 and 100.
    pub fn new(period: u32, percentile: f64) -> Percentile {
        assert!(period > 1, "a period is at least 2");
        assert!(
            (0.0..=100.0).contains(&percentile),
            "a percentile is within 0 and 100"
        );
        let rank = (percentile * f64::from(period) / 100.0).ceil();
        Percentile {
            values: Sorted::new(period),
            rank: (rank as usize).clamp(1, period as usize) - 1,
        }
    }
}

impl Next<f64> for Percentile {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        self.values.push(value);
        self.values.is_full().then(|| self.values.get(self.rank))
    }
}

/// Share of the values before it that are smaller, in percent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PercentRank {
    values: Sorted,
    period: f64,
}

impl PercentRank {
    /// Panics on a period below 2.
    pub fn new(period: u32) -> PercentRank {
        assert!(period > 1, "a period is at least 2");
        PercentRank {
            values: Sorted::new(period),
            period: f64::from(period),
        }
    }
}

impl Next<f64> for PercentRank {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        let full = self.values.is_full();
        let smaller = self.values.smaller(value);
        self.values.push(value);
        full.then(|| smaller as f64 / self.period * 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let last = |percentile| {
            let mut indicator = Percentile::new(4, percentile);
            [9.0, 3.0, 1.0, 4.0, 2.0].map(|v| indicator.next(v))
        };
        assert_eq!(last(50.0), [None, None, None, Some(3.0), Some(2.0)]);
        assert_eq!(last(51.0)[4], Some(3.0));
        assert_eq!(last(0.0)[4], Some(1.0));
        assert_eq!(last(100.0)[3..], [Some(9.0), Some(4.0)]);
    }

    #[test]
    fn a_rank_counts_neither_itself_nor_its_equals() {
        let mut rank = PercentRank::new(4);
        let rows = [1.0, 2.0, 2.0, 3.0, 2.0, 9.0, 0.0].map(|v| rank.next(v));
        assert_eq!(rows[..4], [None; 4]);
        assert_eq!(rows[4..], [Some(25.0), Some(100.0), Some(0.0)]);
    }

    #[test]
    fn stays_sorted_whatever_comes() {
        let odd = [
            0.0,
            -0.0,
            f64::NAN,
            -f64::NAN,
            f64::INFINITY,
            -1.0,
            f64::NEG_INFINITY,
        ];
        for n in [1, 2, 3, 10] {
            let mut sorted = Sorted::new(n);
            let mut all = Vec::new();
            for i in 0..500_usize {
                let value = if i < 300 {
                    odd[i * i % 11 % 7]
                } else {
                    (i * i % 13) as f64
                };
                sorted.push(value);
                all.push(if value.is_nan() {
                    f64::NAN
                } else {
                    value + 0.0
                });
                let mut window = all[all.len().saturating_sub(n as usize)..].to_vec();
                window.sort_by(f64::total_cmp);
                let held: Vec<_> = (0..sorted.len).map(|i| sorted.get(i).to_bits()).collect();
                assert_eq!(held, window.iter().map(|v| v.to_bits()).collect::<Vec<_>>());
            }
        }
    }
}
