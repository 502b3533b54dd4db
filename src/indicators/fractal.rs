//! HOT PATH. Fractals, as TA-Lib's `FRACTAL`: swing highs and lows, bars whose high (low) is above
//! (below) that of every bar of some before and after. Budget: 40 ns an update.
//!
//! ```text
//! swing high = 100 where the high `right` bars ago is greater than each of the `left` highs
//!              before it and the `right` highs after it, else 0
//! swing low  = likewise, less than each of the lows
//! ```
//! It is known when the bars after it are: the answer at a bar is about the one `right` bars
//! before, as TA-Lib's is. With an equal high beside it, it is no swing.
//!
//! Source: Bill Williams, Trading Chaos (1995), with 2 bars on either side.

use super::{Greatest, Info, Window};
use serde::{Deserialize, Serialize};
use ta::{High, Low, Next};

pub const INFO: Info = Info {
    name: "FRACTAL",
    summary: "swing highs and lows, told when the bars after them are there",
    parameters: &[("leftbars", 2.0), ("rightbars", 2.0)],
    inputs: &["high", "low"],
    outputs: &["swing high, 100 or 0", "swing low, 100 or 0"],
    warm_up: "left + right + 1 bars",
    source: "Williams, Trading Chaos, 1995",
};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FractalValue {
    pub swing_high: f64,
    pub swing_low: f64,
}

/// Whether the value `right` values ago is above those on both sides.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Swing {
    /// The value in question, and those after it.
    values: Window<f64>,
    before: Greatest,
    after: Greatest,
}

impl Swing {
    fn new(left: u32, right: u32) -> Swing {
        assert!(left > 0 && right > 0, "a swing has bars on both sides");
        Swing {
            values: Window::new(right + 1),
            before: Greatest::new(left),
            after: Greatest::new(right),
        }
    }

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        let (after, _) = self.after.push(value);
        let out = self.values.push(value)?;
        let (before, _) = self.before.push(out);
        let middle = self.values.oldest();
        let swing = middle > before && middle > after;
        self.before
            .is_full()
            .then_some(if swing { 100.0 } else { 0.0 })
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Fractal {
    highs: Swing,
    /// Of negated lows.
    lows: Swing,
}

impl Fractal {
    /// Panics where `left` or `right` is 0.
    pub fn new(left: u32, right: u32) -> Fractal {
        Fractal {
            highs: Swing::new(left, right),
            lows: Swing::new(left, right),
        }
    }
}

impl<T: High + Low> Next<&T> for Fractal {
    type Output = Option<FractalValue>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<FractalValue> {
        let high = self.highs.next(bar.high());
        let low = self.lows.next(-bar.low());
        Some(FractalValue {
            swing_high: high?,
            swing_low: low?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::Hlc;

    #[test]
    fn a_swing_is_above_all_beside_it() {
        let mut fractal = Fractal::new(2, 1);
        let highs = [1.0, 3.0, 4.0, 2.0, 5.0, 5.0, 6.0, 1.0];
        let values: Vec<_> = highs
            .map(|high| {
                fractal.next(&Hlc {
                    high,
                    low: 6.0 - high,
                    close: 0.0,
                })
            })
            .iter()
            .map(|v| v.map(|v| (v.swing_high, v.swing_low)))
            .collect();
        let (yes, no) = (Some((100.0, 100.0)), Some((0.0, 0.0)));
        assert_eq!(
            values,
            [None, None, None, yes, no, no, no, yes],
            "5 and 5 are no swing"
        );
    }

    #[test]
    fn an_equal_high_before_it_is_enough() {
        let mut fractal = Fractal::new(1, 1);
        let bar = |high| Hlc {
            high,
            low: 0.0,
            close: 0.0,
        };
        let last = [5.0, 5.0, 1.0].map(|high| fractal.next(&bar(high)))[2];
        assert_eq!(last.map(|v| v.swing_high), Some(0.0));
    }
}
