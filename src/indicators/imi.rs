//! HOT PATH. Intraday momentum index, as TA-Lib's `IMI`: the RSI's question asked of each bar's own
//! move, 0 (only falling bars) to 100 (only rising ones). Budget: 8 ns an update.
//!
//! ```text
//! gain, loss = close - open, by its sign
//! IMI        = 100 sum(gain) / (sum(gain) + sum(loss))            over the last n bars
//! ```
//! Source: Tushar Chande and Stanley Kroll, The New Technical Trader (1994). Where no bar moved it
//! is 50, the middle; in TA-Lib, RSI and MFI are 0 there.

use super::Info;
use super::sliding::Sliding;
use super::up_down::UpDown;
use serde::{Deserialize, Serialize};
use ta::{Close, Next, Open};

pub const INFO: Info = Info {
    name: "IMI",
    summary: "intraday momentum index: rises within bars in percent of all moves within bars",
    parameters: &[("timeperiod", 14.0)],
    inputs: &["open", "close"],
    outputs: &["index, 0 to 100"],
    warm_up: "period bars",
    source: "Chande and Kroll, The New Technical Trader, 1994",
};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Imi {
    moves: Sliding<UpDown>,
}

impl Imi {
    /// Panics on a period of less than 2.
    pub fn new(period: u32) -> Imi {
        assert!(period > 1, "a period is at least 2");
        Imi {
            moves: Sliding::new(period),
        }
    }
}

impl<T: Open + Close> Next<&T> for Imi {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        self.moves.push(UpDown::of(bar.close() - bar.open()));
        Some(self.moves.full_sum()?.share().unwrap_or(50.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::Candle;

    #[test]
    fn it_compares_rises_with_falls_within_bars() {
        let mut imi = Imi::new(2);
        let values = [(1.0, 4.0), (7.0, 6.0), (6.0, 6.0), (9.0, 9.0), (1.0, 2.0)].map(|(o, c)| {
            imi.next(&Candle {
                open: o,
                close: c,
                ..Candle::default()
            })
        });
        let expected = [None, Some(75.0), Some(0.0), Some(50.0), Some(100.0)];
        assert_eq!(values, expected);
    }
}
