//! HOT PATH. True range, and its average in percent of the close, as TA-Lib's `TRANGE` and `NATR`.
//! Budget: 7 ns an update.
//!
//! ```text
//! TRANGE = max(high, last close) - min(low, last close)         (none for the first bar)
//! NATR   = 100 ATR(n) / close                                   (0 where the close is 0)
//! ```
//! Source: J. Welles Wilder, New Concepts in Technical Trading Systems (1978); Forman, Cross-Market
//! Evaluations with Normalized Average True Range, Stocks & Commodities (May 2006).
//!
//! `ta`'s own true range answers high - low for the first bar. As in TA-Lib, `NATR` of period 1 is
//! the true range in price, not in percent: its period 1 leaves out the division. A NaN stays for
//! ever in `NATR`.

use super::{Atr, Info};
use serde::{Deserialize, Serialize};
use ta::{Close, High, Low, Next};

pub const TRANGE: Info = Info {
    name: "TRANGE",
    summary: "true range (Wilder)",
    parameters: &[],
    inputs: &["high", "low", "close"],
    outputs: &["range, in price"],
    warm_up: "2 bars",
    source: "Wilder, New Concepts in Technical Trading Systems, 1978",
};

pub const NATR: Info = Info {
    name: "NATR",
    summary: "average true range in percent of the close",
    parameters: &[("timeperiod", 14.0)],
    inputs: &["high", "low", "close"],
    outputs: &["percent"],
    warm_up: "period + 1 bars",
    source: "Forman, Cross-Market Evaluations with Normalized Average True Range, S&C, May 2006",
};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TRange {
    last_close: Option<f64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Natr {
    average: Atr,
    in_price: bool,
}

impl TRange {
    pub fn new() -> TRange {
        TRange::default()
    }
}

impl Natr {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> Natr {
        Natr {
            average: Atr::new(period),
            in_price: period == 1,
        }
    }
}

impl<T: High + Low + Close> Next<&T> for TRange {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        let last = self.last_close.replace(bar.close())?;
        Some(bar.high().max(last) - bar.low().min(last))
    }
}

impl<T: High + Low + Close> Next<&T> for Natr {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        let average = self.average.next(bar)?;
        if self.in_price {
            return Some(average);
        }
        let close = bar.close();
        Some(if close == 0.0 {
            0.0
        } else {
            100.0 * average / close
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::Hlc;

    fn bars() -> [Hlc; 4] {
        let bar = |high, low, close| Hlc { high, low, close };
        [
            bar(10.0, 9.0, 9.5),
            bar(13.0, 12.0, 12.5),
            bar(11.0, 10.5, 11.0),
            bar(11.0, 11.0, 11.0),
        ]
    }

    #[test]
    fn a_gap_is_part_of_the_range() {
        let mut range = TRange::new();
        let found = bars().map(|bar| range.next(&bar));
        assert_eq!(found, [None, Some(3.5), Some(2.0), Some(0.0)]);
    }

    #[test]
    fn the_average_is_in_percent() {
        let mut natr = Natr::new(2);
        let found = bars().map(|bar| natr.next(&bar));
        assert_eq!(found, [None, None, Some(25.0), Some(12.5)]);
        let mut of_one = Natr::new(1);
        let found = bars().map(|bar| of_one.next(&bar));
        assert_eq!(found, [None, Some(3.5), Some(2.0), Some(0.0)], "in price");
        let zero = Hlc {
            high: 1.0,
            low: 0.0,
            close: 0.0,
        };
        assert_eq!(natr.next(&zero), Some(0.0));
    }
}
