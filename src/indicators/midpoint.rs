//! HOT PATH. The middle between the greatest and the least of the last n: of a value, and of highs
//! and lows, as TA-Lib's `MIDPOINT` and `MIDPRICE`. Budget: 25 ns an update.
//!
//! ```text
//! MIDPOINT = (greatest value + least value) / 2
//! MIDPRICE = (greatest high + least low) / 2
//! ```
//! Source: M. Patel, Trading with Ichimoku Clouds (2010), whose lines are such middles of highs and
//! lows; TA-Lib, function MIDPOINT, 0.8.1. `MIDPRICE` is the middle of Donchian's channel.

use super::{Greatest, Info};
use serde::{Deserialize, Serialize};
use ta::{High, Low, Next};

pub const MIDPOINT: Info = Info {
    name: "MIDPOINT",
    summary: "middle between the greatest and the least value",
    parameters: &[("timeperiod", 14.0)],
    inputs: &["value"],
    outputs: &["middle"],
    warm_up: "period values",
    source: "TA-Lib, function MIDPOINT, 0.8.1",
};

pub const MIDPRICE: Info = Info {
    name: "MIDPRICE",
    summary: "middle between the highest high and the lowest low",
    parameters: &[("timeperiod", 14.0)],
    inputs: &["high", "low"],
    outputs: &["middle"],
    warm_up: "period bars",
    source: "Patel, Trading with Ichimoku Clouds, 2010",
};

/// Both ends of a window.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Ends {
    greatest: Greatest,
    /// Of negated values.
    least: Greatest,
}

impl Ends {
    fn new(period: u32) -> Ends {
        Ends {
            greatest: Greatest::new(period),
            least: Greatest::new(period),
        }
    }

    #[inline]
    fn middle(&mut self, high: f64, low: f64) -> Option<f64> {
        let middle = (self.greatest.push(high).0 - self.least.push(-low).0) * 0.5;
        self.greatest.is_full().then_some(middle)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MidPoint {
    ends: Ends,
}

impl MidPoint {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> MidPoint {
        MidPoint {
            ends: Ends::new(period),
        }
    }
}

impl Next<f64> for MidPoint {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        self.ends.middle(value, value)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MidPrice {
    ends: Ends,
}

impl MidPrice {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> MidPrice {
        MidPrice {
            ends: Ends::new(period),
        }
    }
}

impl<T: High + Low> Next<&T> for MidPrice {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        self.ends.middle(bar.high(), bar.low())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::Hlc;

    #[test]
    fn is_the_middle_of_the_window() {
        let mut point = MidPoint::new(3);
        assert_eq!(
            [1.0, 5.0, 3.0, 4.0, 4.0, 4.0].map(|v| point.next(v)),
            [None, None, Some(3.0), Some(4.0), Some(3.5), Some(4.0)]
        );
    }

    #[test]
    fn takes_highs_and_lows() {
        let mut price = MidPrice::new(2);
        let bar = |high, low| Hlc {
            high,
            low,
            close: low,
        };
        assert_eq!(price.next(&bar(5.0, 1.0)), None);
        assert_eq!(price.next(&bar(9.0, 3.0)), Some(5.0));
        assert_eq!(price.next(&bar(4.0, 3.0)), Some(6.0));
    }
}
