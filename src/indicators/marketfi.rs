//! HOT PATH. Market facilitation index: how far the price moved for each unit of volume, as
//! TA-Lib's `MARKETFI`. Budget: 2 ns an update.
//!
//! ```text
//! MARKETFI = (high - low) / volume          (0 without volume)
//! ```
//! Source: Williams, Trading Chaos (1995). Often called MFI, which in TA-Lib and `ta` is the money
//! flow index. As in TA-Lib, a bar without volume has an index of 0, however far it moved.

use super::Info;
use serde::{Deserialize, Serialize};
use ta::{High, Low, Next, Volume};

pub const INFO: Info = Info {
    name: "MARKETFI",
    summary: "market facilitation index (Williams): range by volume",
    parameters: &[],
    inputs: &["high", "low", "volume"],
    outputs: &["price by volume"],
    warm_up: "1 bar",
    source: "Williams, Trading Chaos, 1995",
};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct MarketFi;

impl MarketFi {
    pub fn new() -> MarketFi {
        MarketFi
    }
}

impl<T: High + Low + Volume> Next<&T> for MarketFi {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        let volume = bar.volume();
        Some(if volume == 0.0 {
            0.0
        } else {
            (bar.high() - bar.low()) / volume
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::Candle;

    #[test]
    fn is_the_range_by_the_volume() {
        let bar = |volume| Candle {
            high: 12.0,
            low: 9.0,
            volume,
            ..Candle::default()
        };
        assert_eq!(MarketFi::new().next(&bar(6.0)), Some(0.5));
        assert_eq!(MarketFi::new().next(&bar(0.0)), Some(0.0));
    }
}
