//! HOT PATH. Coppock curve: a weighted average of two rates of change, for turns of long trends. As
//! TA-Lib's `COPPOCK`. Budget: 8 ns an update.
//!
//! ```text
//! ROC(n)  = 100 (value / value n ago - 1)
//! COPPOCK = WMA(ROC(first) + ROC(second), n)
//! ```
//! Source: E. S. C. Coppock in Barron's of 15 October 1962, as in Middleton, The Coppock Curve,
//! Technical Analysis of Stocks & Commodities 12 (1994). Meant for monthly bars. As in TA-Lib, the
//! rate of change from a value of 0 is 0.

use super::{Info, Window, Wma};
use serde::{Deserialize, Serialize};
use ta::Next;

pub const INFO: Info = Info {
    name: "COPPOCK",
    summary: "Coppock curve",
    parameters: &[
        ("wmaperiod", 10.0),
        ("roc1period", 11.0),
        ("roc2period", 14.0),
    ],
    inputs: &["value"],
    outputs: &["change, in percent"],
    warm_up: "average's period + longer period of change values",
    source: "Middleton, The Coppock Curve, Technical Analysis of Stocks & Commodities 12, 1994",
};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Coppock {
    average: Wma,
    first: Window<f64>,
    second: Window<f64>,
}

impl Coppock {
    /// Panics on a period of 0.
    pub fn new(average: u32, first: u32, second: u32) -> Coppock {
        Coppock {
            average: Wma::new(average),
            first: Window::new(first),
            second: Window::new(second),
        }
    }
}

impl Next<f64> for Coppock {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        let (first, second) = (self.first.push(value), self.second.push(value));
        self.average
            .next(change(first?, value) + change(second?, value))
    }
}

#[inline]
fn change(from: f64, to: f64) -> f64 {
    if from == 0.0 {
        0.0
    } else {
        (to / from - 1.0) * 100.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_weighted_sum_of_two_changes() {
        let mut coppock = Coppock::new(2, 1, 2);
        // 100 + 300 at the third value, 50 + 200 at the fourth, weighted 1 and 2.
        let found = [1.0, 2.0, 4.0, 6.0].map(|v| coppock.next(v));
        assert_eq!(found, [None, None, None, Some((400.0 + 2.0 * 250.0) / 3.0)]);
    }

    #[test]
    fn from_zero_there_is_no_change() {
        let mut coppock = Coppock::new(1, 1, 1);
        assert_eq!([0.0, 5.0].map(|v| coppock.next(v)), [None, Some(0.0)]);
    }
}
