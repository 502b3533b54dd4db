//! HOT PATH. Volume added up by the way the close went: on balance volume and price volume trend,
//! as TA-Lib's `OBV` and `PVT`. Budget: 3 ns an update.
//!
//! ```text
//! OBV = the first volume, then last + volume where the close rose, - volume where it fell
//! PVT = 0, then last + volume (close - last close) / last close
//! ```
//! Source: Granville, Granville's New Key to Stock Market Profits (1963); Achelis, Technical
//! Analysis from A to Z (2nd edition), Price and Volume Trend.
//!
//! Their level depends on where they begin, only their changes say something. TA-Lib's `OBV` begins
//! with the volume of the first bar, not with 0; so does `ta`'s own, where the first close is above
//! 0. After a close of 0 `PVT` stays as it is. A NaN stays for ever in both.

use super::Info;
use serde::{Deserialize, Serialize};
use ta::{Close, Next, Volume};

pub const OBV: Info = Info {
    name: "OBV",
    summary: "on balance volume",
    parameters: &[],
    inputs: &["close", "volume"],
    outputs: &["volume"],
    warm_up: "1 bar",
    source: "Granville, Granville's New Key to Stock Market Profits, 1963",
};

pub const PVT: Info = Info {
    name: "PVT",
    summary: "price volume trend",
    parameters: &[],
    inputs: &["close", "volume"],
    outputs: &["volume"],
    warm_up: "1 bar",
    source: "Achelis, Technical Analysis from A to Z, 2nd edition, Price and Volume Trend",
};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Obv {
    last_close: Option<f64>,
    volume: f64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Pvt {
    /// 0 before the first bar: as after a close of 0, nothing can be said.
    last_close: f64,
    volume: f64,
}

impl Obv {
    pub fn new() -> Obv {
        Obv::default()
    }
}

impl Pvt {
    pub fn new() -> Pvt {
        Pvt::default()
    }
}

impl<T: Close + Volume> Next<&T> for Obv {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        let (close, volume) = (bar.close(), bar.volume());
        match self.last_close.replace(close) {
            Some(last) if close < last => self.volume -= volume,
            Some(last) if close == last => {}
            _ => self.volume += volume,
        }
        Some(self.volume)
    }
}

impl<T: Close + Volume> Next<&T> for Pvt {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        let last = std::mem::replace(&mut self.last_close, bar.close());
        if last != 0.0 {
            self.volume += (bar.close() - last) / last * bar.volume();
        }
        Some(self.volume)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::Candle;

    fn bars() -> [Candle; 5] {
        let bars = [
            (8.0, 10.0),
            (10.0, 4.0),
            (10.0, 3.0),
            (0.0, 2.0),
            (5.0, 1.0),
        ];
        bars.map(|(close, volume)| Candle {
            close,
            volume,
            ..Candle::default()
        })
    }

    #[test]
    fn on_balance() {
        let mut obv = Obv::new();
        let found = bars().map(|bar| obv.next(&bar));
        assert_eq!(found, [10.0, 14.0, 14.0, 12.0, 13.0].map(Some));
    }

    #[test]
    fn by_the_size_of_the_change() {
        let mut pvt = Pvt::new();
        let found = bars().map(|bar| pvt.next(&bar));
        assert_eq!(found, [0.0, 1.0, 1.0, -1.0, -1.0].map(Some));
    }
}
