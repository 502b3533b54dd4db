//! HOT PATH. Simple moving average: the mean of the last n values, as TA-Lib's `SMA`. Budget: 3 ns
//! an update.
//!
//! Source: Murphy, Technical Analysis of the Financial Markets (1999), chapter 9. This is `ta`'s
//! own, whose values are TA-Lib's, with a count in front: `ta` answers from the first value on,
//! with the mean of fewer than n.

use super::Info;
use serde::{Deserialize, Serialize};
use ta::Next;
use ta::indicators::SimpleMovingAverage;

pub const INFO: Info = Info {
    name: "SMA",
    summary: "simple moving average",
    parameters: &[("timeperiod", 30.0)],
    inputs: &["value"],
    outputs: &["average"],
    warm_up: "period values",
    source: "Murphy, Technical Analysis of the Financial Markets, 1999, chapter 9",
};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sma {
    average: SimpleMovingAverage,
    /// Values until it is warm.
    missing: u32,
}

impl Sma {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> Sma {
        let average = SimpleMovingAverage::new(period as usize).expect("a period is at least 1");
        Sma {
            average,
            missing: period,
        }
    }
}

impl Next<f64> for Sma {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        self.missing = self.missing.saturating_sub(1);
        let average = self.average.next(value);
        (self.missing == 0).then_some(average)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::reference;

    #[test]
    fn agrees_with_ta_lib() {
        let mut sma = Sma::new(10);
        let values = reference::CLOSE.map(|close| sma.next(close)).to_vec();
        reference::check(values, &SMA_10);
    }

    #[test]
    fn forgets_what_fell_out() {
        let mut sma = Sma::new(2);
        assert_eq!(
            [1.0, 3.0, 5.0].map(|v| sma.next(v)),
            [None, Some(2.0), Some(4.0)]
        );
    }

    const SMA_10: [f64; 26] = [
        98.92600000000002,
        98.77300000000001,
        98.62500000000003,
        98.51500000000003,
        98.40100000000004,
        98.33000000000004,
        98.42700000000004,
        98.38400000000004,
        98.16100000000003,
        97.79700000000004,
        97.36600000000003,
        96.70200000000003,
        95.97900000000003,
        95.11900000000004,
        94.37900000000005,
        93.65800000000004,
        92.84900000000005,
        91.92200000000005,
        90.98700000000005,
        90.23700000000005,
        89.62800000000006,
        89.05000000000004,
        88.44800000000005,
        87.87400000000005,
        87.19200000000004,
        86.60000000000005,
    ];
}
