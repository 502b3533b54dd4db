//! HOT PATH. Average day range: the mean of the last n bars' ranges, gaps left out, as TA-Lib's
//! `ADR`. Budget: 4 ns an update.
//!
//! ```text
//! ADR = mean of the last n (high - low)
//! ```
//! Source: TradingView, Average Day Range (ADR). It takes any bars, not days only. Beside `ATR`, a
//! gap is no part of a range, and the mean is a simple one.

use super::{Info, Sum};
use serde::{Deserialize, Serialize};
use ta::{High, Low, Next};

pub const INFO: Info = Info {
    name: "ADR",
    summary: "average day range: mean of high less low",
    parameters: &[("timeperiod", 14.0)],
    inputs: &["high", "low"],
    outputs: &["range, in price"],
    warm_up: "period bars",
    source: "TradingView, Average Day Range (ADR)",
};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Adr {
    sum: Sum,
    /// 1 / period.
    weight: f64,
}

impl Adr {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> Adr {
        Adr {
            sum: Sum::new(period),
            weight: 1.0 / f64::from(period),
        }
    }
}

impl<T: High + Low> Next<&T> for Adr {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        Some(self.sum.next(bar.high() - bar.low())? * self.weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::Hlc;

    #[test]
    fn a_gap_is_no_range() {
        let mut adr = Adr::new(2);
        let bars = [(11.0, 10.0), (23.0, 20.0), (5.0, 5.0), (9.0, 9.0)];
        let found = bars.map(|(high, low)| {
            adr.next(&Hlc {
                high,
                low,
                close: low,
            })
        });
        assert_eq!(found, [None, Some(2.0), Some(1.5), Some(0.0)]);
    }
}
