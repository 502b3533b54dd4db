//! HOT PATH. Detrended price oscillator: the price of half a period ago against the average around
//! it, so that what is longer than the period is gone. As TA-Lib's `DPO`. Budget: 6 ns an update.
//!
//! ```text
//! DPO = value (n / 2 + 1) ago - SMA(value, n)                     (n / 2 rounded down)
//! ```
//! Source: Steven B. Achelis, Technical Analysis from A to Z (2nd edition), Detrended Price
//! Oscillator. It says nothing about the last n / 2 + 1 values. Some programs move the average
//! back, not the price: other numbers at the same bar. A NaN stays for ever.

use super::{Info, Sma, Window};
use serde::{Deserialize, Serialize};
use ta::Next;

pub const INFO: Info = Info {
    name: "DPO",
    summary: "detrended price oscillator",
    parameters: &[("timeperiod", 20.0)],
    inputs: &["value"],
    outputs: &["difference"],
    warm_up: "period values (3 where the period is less)",
    source: "Achelis, Technical Analysis from A to Z, 2nd edition, Detrended Price Oscillator",
};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Dpo {
    average: Sma,
    past: Window<f64>,
}

impl Dpo {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> Dpo {
        Dpo {
            average: Sma::new(period),
            past: Window::new(period / 2 + 1),
        }
    }
}

impl Next<f64> for Dpo {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        let (average, past) = (self.average.next_in_steps(value), self.past.push(value));
        Some(past? - average?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_a_past_value_against_the_mean() {
        let mut dpo = Dpo::new(4);
        let found = [1.0, 5.0, 3.0, 7.0, 9.0].map(|v| dpo.next(v));
        assert_eq!(found, [None, None, None, Some(1.0 - 4.0), Some(5.0 - 6.0)]);
    }

    #[test]
    fn a_short_period_waits_for_the_past_value() {
        let mut dpo = Dpo::new(2);
        let found = [1.0, 5.0, 3.0].map(|v| dpo.next(v));
        assert_eq!(found, [None, None, Some(1.0 - 4.0)]);
    }
}
