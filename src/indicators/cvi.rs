//! HOT PATH. Chaikin's volatility: by how much the average range changed, in percent, as TA-Lib's
//! `CVI`. Budget: 4 ns an update.
//!
//! ```text
//! average = EMA(high - low, n)
//! CVI     = 100 (average - average m bars ago) / average m bars ago     (0 where that is 0)
//! ```
//! Source: Achelis, Technical Analysis from A to Z (2nd edition), Volatility, Chaikin's. A NaN
//! stays for ever.

use super::{Ema, Info, Window};
use serde::{Deserialize, Serialize};
use ta::{High, Low, Next};

pub const INFO: Info = Info {
    name: "CVI",
    summary: "Chaikin's volatility: change of the average range",
    parameters: &[("timeperiod", 10.0), ("rocperiod", 10.0)],
    inputs: &["high", "low"],
    outputs: &["percent"],
    warm_up: "timeperiod + rocperiod bars",
    source: "Achelis, Technical Analysis from A to Z, 2nd edition, Volatility, Chaikin's",
};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cvi {
    average: Ema,
    averages: Window<f64>,
}

impl Cvi {
    /// Panics where a period is 0.
    pub fn new(period: u32, roc_period: u32) -> Cvi {
        Cvi {
            average: Ema::new(period),
            averages: Window::new(roc_period),
        }
    }
}

impl<T: High + Low> Next<&T> for Cvi {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        let average = self.average.next(bar.high() - bar.low())?;
        let before = self.averages.push(average)?;
        Some(if before == 0.0 {
            0.0
        } else {
            100.0 * (average - before) / before
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::Hlc;

    #[test]
    fn is_the_change_of_the_average_range() {
        let next = |cvi: &mut Cvi, range: f64| {
            cvi.next(&Hlc {
                high: 10.0 + range,
                low: 10.0,
                close: 10.0,
            })
        };
        let mut cvi = Cvi::new(1, 2);
        let found = [2.0, 4.0, 3.0, 1.0].map(|range| next(&mut cvi, range));
        assert_eq!(found, [None, None, Some(50.0), Some(-75.0)]);
        let mut cvi = Cvi::new(3, 1);
        // The averages: 2, then half way to 4.
        let found = [1.0, 2.0, 3.0, 4.0].map(|range| next(&mut cvi, range));
        assert_eq!(found, [None, None, None, Some(50.0)]);
        let mut flat = Cvi::new(2, 1);
        let found = [0.0, 0.0, 0.0].map(|range| next(&mut flat, range));
        assert_eq!(found, [None, None, Some(0.0)], "no range at all");
    }
}
