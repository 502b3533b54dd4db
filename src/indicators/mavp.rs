//! HOT PATH. A moving average whose period comes with each value, as TA-Lib's `MAVP`. Budget: 12 ns
//! an update with the simple average. With the others each period's average goes on at each value
//! (most remember without end, so none can be left out): the more of them, the longer it takes.
//!
//! ```text
//! n    = the period given, whole part, within the least and the greatest
//! MAVP = moving average of n
//! ```
//! Source: TA-Lib, function MAVP, 0.8.1. As in TA-Lib, nothing comes before the greatest period is
//! warm, and each average begins as late as it can to be warm by then.

use super::{Info, Ma, MaType};
use serde::{Deserialize, Serialize};
use ta::Next;

pub const INFO: Info = Info {
    name: "MAVP",
    summary: "moving average with a period for each value",
    parameters: &[("minperiod", 2.0), ("maxperiod", 30.0), ("matype", 0.0)],
    inputs: &["value", "period"],
    outputs: &["average"],
    warm_up: "that of the average of the greatest period",
    source: "TA-Lib, function MAVP, 0.8.1",
};

/// Takes a value and its period.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Mavp {
    least: u32,
    greatest: u32,
    averages: Averages,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Averages {
    Simple(Prefixes),
    Any(Vec<Late>),
}

/// An average that begins after a number of values.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Late {
    missing: u32,
    average: Ma,
}

/// The sums of the values from a first one on: any period's sum is the difference of two.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Prefixes {
    /// Twice as many as are needed. When they are full, the late half begins anew as the early one:
    /// O(1) an update on average, and no sum grows without end.
    values: Box<[f64]>,
    /// `sums[i]` is that of the first i values.
    sums: Box<[f64]>,
    len: usize,
}

impl Prefixes {
    fn new(greatest: u32) -> Prefixes {
        let room = 2 * greatest as usize;
        Prefixes {
            values: vec![0.0; room].into_boxed_slice(),
            sums: vec![0.0; room + 1].into_boxed_slice(),
            len: 0,
        }
    }

    #[inline]
    fn push(&mut self, value: f64) {
        if self.len == self.values.len() {
            self.len /= 2;
            self.values.copy_within(self.len.., 0);
            for i in 0..self.len {
                self.sums[i + 1] = self.sums[i] + self.values[i];
            }
        }
        self.values[self.len] = value;
        self.sums[self.len + 1] = self.sums[self.len] + value;
        self.len += 1;
    }

    #[inline]
    fn mean(&self, n: u32) -> f64 {
        (self.sums[self.len] - self.sums[self.len - n as usize]) / f64::from(n)
    }
}

impl Mavp {
    /// Panics on a period of 0, or a least one beyond the greatest.
    pub fn new(least: u32, greatest: u32, kind: MaType) -> Mavp {
        assert!(least > 0, "a period is at least 1");
        assert!(
            least <= greatest,
            "the least period is not beyond the greatest"
        );
        let averages = match kind {
            MaType::Sma | MaType::Own => Averages::Simple(Prefixes::new(greatest)),
            _ => {
                let warm = kind.lookback(greatest);
                let late = |period| Late {
                    missing: warm - kind.lookback(period),
                    average: Ma::new(period, kind),
                };
                Averages::Any((least..=greatest).map(late).collect())
            }
        };
        Mavp {
            least,
            greatest,
            averages,
        }
    }
}

impl Next<(f64, f64)> for Mavp {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, (value, period): (f64, f64)) -> Option<f64> {
        // Of a NaN it is 0.
        let n = (period as u32).clamp(self.least, self.greatest);
        match &mut self.averages {
            Averages::Simple(sums) => {
                sums.push(value);
                (sums.len >= self.greatest as usize).then(|| sums.mean(n))
            }
            Averages::Any(all) => {
                let wanted = (n - self.least) as usize;
                let mut warm = true;
                let mut found = None;
                for (i, late) in all.iter_mut().enumerate() {
                    if late.missing > 0 {
                        late.missing -= 1;
                        warm = false;
                        continue;
                    }
                    let average = late.average.next(value);
                    warm &= average.is_some();
                    if i == wanted {
                        found = average;
                    }
                }
                found.filter(|_| warm)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_period_comes_with_the_value() {
        let mut mavp = Mavp::new(1, 3, MaType::Sma);
        let pairs = [
            (1.0, 1.0),
            (2.0, 1.0),
            (6.0, 3.0),
            (8.0, 2.9),
            (10.0, -7.0),
            (12.0, 99.0),
        ];
        assert_eq!(
            pairs.map(|pair| mavp.next(pair)),
            [None, None, Some(3.0), Some(7.0), Some(10.0), Some(10.0)]
        );
        assert_eq!(mavp.next((13.0, f64::NAN)), Some(13.0));
    }

    #[test]
    fn a_steady_period_is_that_average() {
        for kind in [MaType::Sma, MaType::Ema, MaType::Wma, MaType::Kama] {
            let (mut mavp, mut ma) = (Mavp::new(2, 9, kind), Ma::new(9, kind));
            for i in 0..200 {
                let value = f64::from(i * i % 37);
                let (a, b) = (mavp.next((value, 9.0)), ma.next(value));
                assert_eq!(a.is_some(), b.is_some(), "value {i}");
                assert!(
                    a.zip(b).is_none_or(|(a, b)| (a - b).abs() < 1e-9),
                    "{a:?} {b:?}"
                );
            }
        }
    }

    #[test]
    fn recovers_from_a_nan() {
        let mut mavp = Mavp::new(2, 4, MaType::Sma);
        mavp.next((f64::NAN, 2.0));
        let last = (0..20).fold(None, |_, _| mavp.next((5.0, 4.0)));
        assert_eq!(last, Some(5.0));
    }
}
