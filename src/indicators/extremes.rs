//! HOT PATH. The highest and the lowest of the last n values and where they are, as TA-Lib's
//! `MAX`, `MIN`, `MINMAX`, `MAXINDEX`, `MININDEX` and `MINMAXINDEX`. Budget: 12 ns an update,
//! 25 ns for both at once.
//!
//! Source: Lemire, Streaming Maximum-Minimum Filter (2006): a queue of what may still become the
//! highest, O(1) on average.
//!
//! TA-Lib's index functions answer a place in their input array, ours how many values ago it was (0
//! = this one). Which of equal values counts depends on the past in TA-Lib, and so it does here: a
//! new value that equals the highest takes its place; once the place has left the window, the
//! oldest of the highest that are left has it.

use super::{Greatest, Info};
use serde::{Deserialize, Serialize};
use ta::Next;

const fn info(name: &'static str, summary: &'static str, outputs: &'static [&str]) -> Info {
    Info {
        name,
        summary,
        parameters: &[("timeperiod", 30.0)],
        inputs: &["value"],
        outputs,
        warm_up: "period values",
        source: "Lemire, Streaming Maximum-Minimum Filter, 2006",
    }
}

pub const MAX: Info = info("MAX", "highest of the last values", &["highest"]);

pub const MIN: Info = info("MIN", "lowest of the last values", &["lowest"]);

pub const MINMAX: Info = info(
    "MINMAX",
    "lowest and highest of the last values",
    &["lowest", "highest"],
);

pub const MAXINDEX: Info = info(
    "MAXINDEX",
    "how long ago the highest of the last values was",
    &["values ago"],
);

pub const MININDEX: Info = info(
    "MININDEX",
    "how long ago the lowest of the last values was",
    &["values ago"],
);

pub const MINMAXINDEX: Info = info(
    "MINMAXINDEX",
    "how long ago the lowest and the highest of the last values were",
    &["values ago, lowest", "values ago, highest"],
);

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Max {
    greatest: Greatest,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Min {
    /// Of negated values.
    greatest: Greatest,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MinMax {
    min: Min,
    max: Max,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LowestHighest {
    pub min: f64,
    pub max: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MaxIndex {
    n: u64,
    seen: u64,
    /// Values that may still become the highest, none above the one before it, with their ordinals;
    /// a ring.
    queue: Box<[(u64, f64)]>,
    head: usize,
    len: usize,
    /// The ordinal of the one that counts.
    at: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MinIndex {
    /// Of negated values.
    max: MaxIndex,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MinMaxIndex {
    min: MinIndex,
    max: MaxIndex,
}

/// How many values ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LowestHighestAgo {
    pub min: u64,
    pub max: u64,
}

impl Max {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> Max {
        Max {
            greatest: Greatest::new(period),
        }
    }
}

impl Min {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> Min {
        Min {
            greatest: Greatest::new(period),
        }
    }
}

impl MinMax {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> MinMax {
        MinMax {
            min: Min::new(period),
            max: Max::new(period),
        }
    }
}

impl MaxIndex {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> MaxIndex {
        assert!(period > 0, "a period is at least 1");
        MaxIndex {
            n: u64::from(period),
            seen: 0,
            queue: vec![(0, 0.0); period as usize].into_boxed_slice(),
            head: 0,
            len: 0,
            at: 0,
        }
    }

    #[inline]
    fn wrap(&self, at: usize) -> usize {
        if at >= self.queue.len() {
            at - self.queue.len()
        } else {
            at
        }
    }
}

impl MinIndex {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> MinIndex {
        MinIndex {
            max: MaxIndex::new(period),
        }
    }
}

impl MinMaxIndex {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> MinMaxIndex {
        MinMaxIndex {
            min: MinIndex::new(period),
            max: MaxIndex::new(period),
        }
    }
}

impl Next<f64> for Max {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        let (greatest, _) = self.greatest.push(value);
        self.greatest.is_full().then_some(greatest)
    }
}

impl Next<f64> for Min {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        let (greatest, _) = self.greatest.push(-value);
        self.greatest.is_full().then_some(-greatest)
    }
}

impl Next<f64> for MinMax {
    type Output = Option<LowestHighest>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<LowestHighest> {
        let (min, max) = (self.min.next(value), self.max.next(value));
        Some(LowestHighest {
            min: min?,
            max: max?,
        })
    }
}

impl Next<f64> for MaxIndex {
    type Output = Option<u64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<u64> {
        self.seen += 1;
        let now = self.seen;
        if self.len > 0 && self.queue[self.head].0 + self.n <= now {
            self.head = self.wrap(self.head + 1);
            self.len -= 1;
        }
        // A NaN in the queue goes, too.
        while self.len > 0 {
            let last = self.wrap(self.head + self.len - 1);
            if self.queue[last].1 >= value {
                break;
            }
            self.len -= 1;
        }
        let end = self.wrap(self.head + self.len);
        self.queue[end] = (now, value);
        self.len += 1;
        let (oldest, highest) = self.queue[self.head];
        if now <= self.n || self.at + self.n <= now {
            self.at = oldest;
        } else if value == highest || oldest == now {
            self.at = now;
        }
        (now >= self.n).then(|| now - self.at)
    }
}

impl Next<f64> for MinIndex {
    type Output = Option<u64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<u64> {
        self.max.next(-value)
    }
}

impl Next<f64> for MinMaxIndex {
    type Output = Option<LowestHighestAgo>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<LowestHighestAgo> {
        let (min, max) = (self.min.next(value), self.max.next(value));
        Some(LowestHighestAgo {
            min: min?,
            max: max?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TA-Lib's rule, by a search.
    fn searched(values: &[f64], n: usize) -> Vec<Option<u64>> {
        let mut at = None;
        let mut ago = vec![None; n - 1];
        for i in n - 1..values.len() {
            at = match at {
                Some(at) if at + n > i => Some(if values[i] >= values[at] { i } else { at }),
                _ => (i + 1 - n..=i)
                    .rev()
                    .max_by(|a, b| values[*a].total_cmp(&values[*b])),
            };
            ago.push(at.map(|at| (i - at) as u64));
        }
        ago
    }

    #[test]
    fn of_equal_values_ta_libs_counts() {
        let values: Vec<f64> = (0..500_u32)
            .map(|i| f64::from(i * i * 37 % 23 % 5))
            .collect();
        let negated: Vec<f64> = values.iter().map(|v| -v).collect();
        for n in [1, 2, 3, 7, 30] {
            let (mut max, mut min) = (MaxIndex::new(n), MinIndex::new(n));
            let highest: Vec<_> = values.iter().map(|v| max.next(*v)).collect();
            let lowest: Vec<_> = values.iter().map(|v| min.next(*v)).collect();
            assert_eq!(highest, searched(&values, n as usize), "{n}");
            assert_eq!(lowest, searched(&negated, n as usize), "{n}");
        }
    }

    #[test]
    fn both_at_once() {
        let values = [2.0, 5.0, 3.0, 1.0];
        let mut both = MinMax::new(3);
        let found = values.map(|v| both.next(v));
        assert_eq!(found[1], None);
        let is = |min, max| Some(LowestHighest { min, max });
        assert_eq!(found[2..], [is(2.0, 5.0), is(1.0, 5.0)]);
        let mut ago = MinMaxIndex::new(3);
        let found = values.map(|v| ago.next(v));
        assert_eq!(found[1], None);
        let is = |min, max| Some(LowestHighestAgo { min, max });
        assert_eq!(found[2..], [is(2, 1), is(0, 2)]);
    }

    #[test]
    fn a_nan_does_not_stay() {
        let mut max = MaxIndex::new(2);
        let found = [f64::NAN, f64::NAN, 2.0, 2.0, 1.0].map(|v| max.next(v));
        assert_eq!(found[3..], [Some(0), Some(1)]);
    }
}
