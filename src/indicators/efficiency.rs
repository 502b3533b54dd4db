//! HOT PATH. How far a series came for the way it went: 1 (straight) to 0 (there and back), as
//! TA-Lib's `ER` and `VHF`. Budget: 8 ns (ER) and 25 ns (VHF) an update.
//!
//! ```text
//! way = sum of the last n |changes|
//! ER  = |value - value n before| / way                                   (1 where way is 0)
//! VHF = (greatest - least of the last n values) / way                    (0 where way is 0)
//! ```
//! Sources: Perry Kaufman, Smarter Trading (1995), for the efficiency ratio, whose values `ta`'s
//! own has once warm; Adam White, Tuning into Trendiness with VHF Indicator, Futures (August 1991),
//! for the filter.
//!
//! What one would not expect of TA-Lib: where nothing moved, one is 1 and the other 0. The extremes
//! of `VHF` are of n values, but its way begins one value earlier; so it is 0 when the
//! only change is that of its oldest value. A NaN leaves both with its window.

use super::sliding::Sliding;
use super::{Greatest, Info, Window};
use serde::{Deserialize, Serialize};
use ta::Next;

pub const ER: Info = Info {
    name: "ER",
    summary: "Kaufman's efficiency ratio: net change over the sum of changes",
    parameters: &[("timeperiod", 10.0)],
    inputs: &["value"],
    outputs: &["ratio, 0 to 1"],
    warm_up: "period + 1 values",
    source: "Kaufman, Smarter Trading, 1995",
};

pub const VHF: Info = Info {
    name: "VHF",
    summary: "vertical horizontal filter: range over the sum of changes",
    parameters: &[("timeperiod", 28.0)],
    inputs: &["value"],
    outputs: &["ratio, 0 to 1"],
    warm_up: "period + 1 values",
    source: "White, Tuning into Trendiness with VHF Indicator, Futures, August 1991",
};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Er {
    last: Option<f64>,
    values: Window<f64>,
    changes: Sliding<f64>,
}

impl Er {
    /// Panics on a period of less than 2.
    pub fn new(period: u32) -> Er {
        assert!(period > 1, "a period is at least 2");
        Er {
            last: None,
            values: Window::new(period),
            changes: Sliding::new(period),
        }
    }
}

impl Next<f64> for Er {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        let before = self.values.push(value);
        let last = self.last.replace(value)?;
        self.changes.push((value - last).abs());
        let net = (value - before?).abs();
        let way = self.changes.sum();
        Some(if way <= net { 1.0 } else { net / way })
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Vhf {
    last: Option<f64>,
    greatest: Greatest,
    /// The greatest of negated values.
    least: Greatest,
    changes: Sliding<f64>,
}

impl Vhf {
    /// Panics on a period of less than 2.
    pub fn new(period: u32) -> Vhf {
        assert!(period > 1, "a period is at least 2");
        Vhf {
            last: None,
            greatest: Greatest::new(period),
            least: Greatest::new(period),
            changes: Sliding::new(period),
        }
    }
}

impl Next<f64> for Vhf {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        let (greatest, _) = self.greatest.push(value);
        let (least, _) = self.least.push(-value);
        let last = self.last.replace(value)?;
        self.changes.push((value - last).abs());
        let way = self.changes.full_sum()?;
        // `least` is negated.
        Some(if way == 0.0 {
            0.0
        } else {
            (greatest + least) / way
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_straight_way_is_1_and_a_detour_less() {
        let mut er = Er::new(2);
        let values = [1.0, 2.0, 4.0, 3.0, 4.0, 4.0, 4.0].map(|v| er.next(v));
        let third = Some(1.0 / 3.0);
        assert_eq!(
            values,
            [
                None,
                None,
                Some(1.0),
                third,
                Some(0.0),
                Some(1.0),
                Some(1.0)
            ]
        );
    }

    #[test]
    fn the_range_is_of_one_value_less_than_the_way() {
        let mut vhf = Vhf::new(2);
        let values = [1.0, 2.0, 4.0, 3.0, 3.0, 3.0, 9.0].map(|v| vhf.next(v));
        let (third, two_thirds) = (Some(1.0 / 3.0), Some(2.0 / 3.0));
        let expected = [
            None,
            None,
            two_thirds,
            third,
            Some(0.0),
            Some(0.0),
            Some(1.0),
        ];
        assert_eq!(values, expected);
    }

    #[test]
    fn a_nan_is_gone_with_its_window() {
        let (mut er, mut vhf) = (Er::new(2), Vhf::new(2));
        let values = [f64::NAN, f64::INFINITY, 1.0, 2.0, 4.0];
        let last = values.map(|v| (er.next(v), vhf.next(v)))[4];
        assert_eq!(last, (Some(1.0), Some(2.0 / 3.0)));
    }
}
