//! HOT PATH. Relative volume: a bar's volume by the mean of the n bars before it, as TA-Lib's
//! `RVOL`. Budget: 4 ns an update.
//!
//! ```text
//! RVOL = volume / mean of the last n volumes, this one left out
//! ```
//! Source: TrendSpider, Introduction to Relative Volume Indicator. Where all of the n volumes are
//! 0, TA-Lib answers NaN or an infinity, or divides by the rounding error that greater volumes left
//! in its sum; ours is `None`.

use super::{Info, Sum};
use serde::{Deserialize, Serialize};
use ta::{Next, Volume};

pub const INFO: Info = Info {
    name: "RVOL",
    summary: "relative volume: volume by the mean of the bars before",
    parameters: &[("timeperiod", 20.0)],
    inputs: &["volume"],
    outputs: &["ratio, 1 = as usual"],
    warm_up: "period + 1 bars",
    source: "TrendSpider, Introduction to Relative Volume Indicator",
};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Rvol {
    period: f64,
    sum: Sum,
    /// Of the bars before this one.
    last: Option<f64>,
}

impl Rvol {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> Rvol {
        Rvol {
            period: f64::from(period),
            sum: Sum::new(period),
            last: None,
        }
    }
}

impl<T: Volume> Next<&T> for Rvol {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        let volume = bar.volume();
        let before = std::mem::replace(&mut self.last, self.sum.next(volume))?;
        (before != 0.0).then(|| self.period * volume / before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::Candle;

    #[test]
    fn compares_with_the_bars_before() {
        let mut rvol = Rvol::new(2);
        let found = [1.0, 3.0, 4.0, 0.0, 0.0, 5.0, 5.0].map(|volume| {
            rvol.next(&Candle {
                volume,
                ..Candle::default()
            })
        });
        let expected = [None, None, Some(2.0), Some(0.0), Some(0.0), None, Some(2.0)];
        assert_eq!(found, expected);
    }
}
