//! HOT PATH. Average of the last n prices by their volumes, as TA-Lib's `VWMA`. Budget: 8 ns an
//! update.
//!
//! ```text
//! VWMA = sum of n (value volume) / sum of n volumes
//! ```
//! Source: B. Dormeier, Investing with Volume Analysis (2011). Where none of the n has a volume
//! there is no value: TA-Lib has NaN there, or what rounding leaves of its sums. With a period of 1
//! it is the value itself, volume or not.

use super::{Info, Sum};
use serde::{Deserialize, Serialize};
use ta::Next;

pub const INFO: Info = Info {
    name: "VWMA",
    summary: "moving average weighted by volume",
    parameters: &[("timeperiod", 30.0)],
    inputs: &["value", "volume"],
    outputs: &["average"],
    warm_up: "period values, of which one has a volume",
    source: "Dormeier, Investing with Volume Analysis, 2011",
};

/// Takes a value and its volume.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Vwma {
    period: u32,
    turnover: Sum,
    volume: Sum,
    /// Values since the last with a volume, counted up to the period.
    idle: u32,
}

impl Vwma {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> Vwma {
        Vwma {
            period,
            turnover: Sum::new(period),
            volume: Sum::new(period),
            idle: 0,
        }
    }
}

impl Next<(f64, f64)> for Vwma {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, (value, volume): (f64, f64)) -> Option<f64> {
        if self.period == 1 {
            return Some(value);
        }
        let turnover = self.turnover.next(value * volume);
        let sum = self.volume.next(volume);
        self.idle = if volume == 0.0 {
            self.idle.saturating_add(1)
        } else {
            0
        };
        let average = turnover? / sum?;
        (self.idle < self.period).then_some(average)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weighs_by_volume() {
        let mut vwma = Vwma::new(2);
        let pairs = [
            (10.0, 1.0),
            (20.0, 3.0),
            (30.0, 0.0),
            (40.0, 0.0),
            (50.0, 2.0),
        ];
        assert_eq!(
            pairs.map(|pair| vwma.next(pair)),
            [None, Some(17.5), Some(20.0), None, Some(50.0)]
        );
    }

    #[test]
    fn no_volume_is_no_value() {
        let mut vwma = Vwma::new(3);
        for volume in [0.1, 0.2, 0.3, 0.0, 0.0] {
            vwma.next((7.7, volume));
        }
        assert_eq!([vwma.next((7.7, 0.0)), vwma.next((7.7, 0.0))], [None; 2]);
        assert_eq!(Vwma::new(1).next((7.7, 0.0)), Some(7.7));
    }
}
