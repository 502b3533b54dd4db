//! HOT PATH. Qstick: the average body of the last bars, above 0 where buyers move the price from
//! open to close. As TA-Lib's `QSTICK`. Budget: 5 ns an update.
//!
//! ```text
//! QSTICK = SMA(close - open, n)
//! ```
//! Source: Tushar Chande and Stanley Kroll, The New Technical Trader (1994). A NaN stays for ever.

use super::{Info, Sma};
use serde::{Deserialize, Serialize};
use ta::{Close, Next, Open};

pub const INFO: Info = Info {
    name: "QSTICK",
    summary: "average body of the bars (Chande)",
    parameters: &[("timeperiod", 10.0)],
    inputs: &["open", "close"],
    outputs: &["difference, in price"],
    warm_up: "period bars",
    source: "Chande and Kroll, The New Technical Trader, 1994",
};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Qstick(Sma);

impl Qstick {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> Qstick {
        Qstick(Sma::new(period))
    }
}

impl<T: Open + Close> Next<&T> for Qstick {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        self.0.next(bar.close() - bar.open())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::Candle;

    #[test]
    fn is_the_mean_body() {
        let mut qstick = Qstick::new(2);
        let bar = |open, close| Candle {
            open,
            close,
            ..Candle::default()
        };
        let bars = [bar(1.0, 4.0), bar(9.0, 8.0), bar(5.0, 5.0)];
        assert_eq!(
            bars.map(|bar| qstick.next(&bar)),
            [None, Some(1.0), Some(-0.5)]
        );
    }
}
