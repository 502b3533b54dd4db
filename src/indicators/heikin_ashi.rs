//! HOT PATH. Heikin-Ashi bars, which smooth the market's: TA-Lib's `HA`. Budget: 4 ns an update.
//!
//! ```text
//! close = (open + high + low + close) / 4           of the market's bar
//! open  = (last open + last close) / 2              of the last Heikin-Ashi bar;
//!         at the first bar (open + close) / 2 of the market's
//! high, low = the greatest and the least of the market's high, low and these two
//! ```
//! Source: Dan Valcu, Using the Heikin-Ashi Technique, Stocks & Commodities (February 2004).
//!
//! TA-Lib is warm from the first bar on, though the open still depends on where it began: the
//! difference halves with each bar. A NaN stays until the indicator is made anew.

use super::Info;
use serde::{Deserialize, Serialize};
use ta::{Close, High, Low, Next, Open};

pub const INFO: Info = Info {
    name: "HA",
    summary: "Heikin-Ashi bars",
    parameters: &[],
    inputs: &["open", "high", "low", "close"],
    outputs: &["open", "high", "low", "close"],
    warm_up: "1 bar",
    source: "Valcu, Using the Heikin-Ashi Technique, Stocks & Commodities, February 2004",
};

/// A Heikin-Ashi bar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeikinAshi {
    pub open: f64,
    pub high: f64,
    pub low: f64,
    pub close: f64,
}

/// Heikin-Ashi bars.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Ha {
    /// Open and close of the last bar.
    last: Option<(f64, f64)>,
}

impl Ha {
    pub fn new() -> Ha {
        Ha::default()
    }
}

impl<T: Open + High + Low + Close> Next<&T> for Ha {
    type Output = Option<HeikinAshi>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<HeikinAshi> {
        let (from, to) = self.last.unwrap_or((bar.open(), bar.close()));
        let open = (from + to) * 0.5;
        let close = (bar.open() + bar.high() + bar.low() + bar.close()) * 0.25;
        self.last = Some((open, close));
        Some(HeikinAshi {
            open,
            high: bar.high().max(open).max(close),
            low: bar.low().min(open).min(close),
            close,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::Candle;

    #[test]
    fn the_open_is_the_middle_of_the_last_bar() {
        let bar = |open, high, low, close| Candle {
            open,
            high,
            low,
            close,
            volume: 0.0,
        };
        let ashi = |open, high, low, close| {
            Some(HeikinAshi {
                open,
                high,
                low,
                close,
            })
        };
        let mut ha = Ha::new();
        assert_eq!(
            ha.next(&bar(10.0, 14.0, 8.0, 12.0)),
            ashi(11.0, 14.0, 8.0, 11.0)
        );
        let gap = bar(20.0, 22.0, 20.0, 22.0);
        assert_eq!(
            ha.next(&gap),
            ashi(11.0, 22.0, 11.0, 21.0),
            "its low is the open"
        );
        assert_eq!(
            ha.next(&bar(1.0, 1.0, 1.0, 1.0)),
            ashi(16.0, 16.0, 1.0, 1.0)
        );
    }
}
