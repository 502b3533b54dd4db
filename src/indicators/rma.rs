//! HOT PATH. Wilder's moving average, the smoothing of his RSI, ATR and ADX, as TA-Lib's `RMA`: an
//! exponential average with a weight of 1 / n. Budget: 6 ns an update.
//!
//! ```text
//! first = mean of the first n
//! next  = (last (n - 1) + value) / n
//! ```
//! Source: J. Welles Wilder, New Concepts in Technical Trading Systems (1978). It is the EMA of
//! 2 n - 1 values. A NaN stays for ever.

use super::{Ema, Info};
use serde::{Deserialize, Serialize};
use ta::Next;

pub const INFO: Info = Info {
    name: "RMA",
    summary: "Wilder's moving average",
    parameters: &[("timeperiod", 30.0)],
    inputs: &["value"],
    outputs: &["average"],
    warm_up: "period values",
    source: "Wilder, New Concepts in Technical Trading Systems, 1978",
};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Rma(Ema);

impl Rma {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> Rma {
        Rma(Ema::weighted(period, 1.0 / f64::from(period)))
    }
}

impl Next<f64> for Rma {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        self.0.next(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_value_weighs_one_in_n() {
        let mut rma = Rma::new(4);
        assert_eq!(
            [1.0, 2.0, 3.0, 6.0, 7.0, 4.0].map(|v| rma.next(v)),
            [None, None, None, Some(3.0), Some(4.0), Some(4.0)]
        );
    }

    #[test]
    fn a_period_of_one_is_the_value_itself() {
        let mut rma = Rma::new(1);
        assert_eq!([3.0, 5.0].map(|v| rma.next(v)), [Some(3.0), Some(5.0)]);
    }
}
