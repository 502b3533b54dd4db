//! HOT PATH. Balance of power, as TA-Lib's `BOP`: how much of a bar's range its body goes, and
//! which way: -1 to 1. Budget: 3 ns an update.
//!
//! ```text
//! BOP = (close - open) / (high - low)                             (0 where the bar has no range)
//! ```
//! Source: Igor Livshin, Balance of Market Power, Stocks & Commodities 19:8 (2001). It is not
//! smoothed: Livshin's chart is a moving average of it.

use super::Info;
use serde::{Deserialize, Serialize};
use ta::{Close, High, Low, Next, Open};

pub const INFO: Info = Info {
    name: "BOP",
    summary: "balance of power: a bar's body as a part of its range",
    parameters: &[],
    inputs: &["open", "high", "low", "close"],
    outputs: &["balance, -1 to 1"],
    warm_up: "1 bar",
    source: "Livshin, Balance of Market Power, Stocks & Commodities 19:8, 2001",
};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Bop;

impl Bop {
    pub fn new() -> Bop {
        Bop
    }
}

impl<T: Open + High + Low + Close> Next<&T> for Bop {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        let range = bar.high() - bar.low();
        Some(if range <= 0.0 {
            0.0
        } else {
            (bar.close() - bar.open()) / range
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::Candle;

    #[test]
    fn it_is_the_body_in_the_range() {
        let bop = |open, high, low, close| {
            Bop::new().next(&Candle {
                open,
                high,
                low,
                close,
                volume: 0.0,
            })
        };
        assert_eq!(bop(1.0, 5.0, 1.0, 4.0), Some(0.75));
        assert_eq!(bop(5.0, 5.0, 1.0, 1.0), Some(-1.0));
        assert_eq!(bop(5.0, 5.0, 5.0, 5.0), Some(0.0), "no range");
    }
}
