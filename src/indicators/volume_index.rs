//! HOT PATH. Negative and positive volume index: the price changes of the bars with less, with more
//! volume than the bar before, as TA-Lib's `NVI` and `PVI`. Budget: 3 ns an update.
//!
//! ```text
//! NVI = 1000, then last × close / last close where the volume fell, else last
//! PVI = the same where the volume rose
//! ```
//! Source: Fosback, Stock Market Logic (1976). Dysart's of 1936, the first, count advances and
//! declines instead of the price. TA-Lib begins with 1000. A bar whose volume is that of the bar
//! before counts in neither. After a close of 0 they stay as they are, which is 0 if that close
//! counted. A NaN that counts stays for ever.

use super::Info;
use serde::{Deserialize, Serialize};
use ta::{Close, Next, Volume};

pub const NVI: Info = Info {
    name: "NVI",
    summary: "negative volume index: the price changes of bars with falling volume",
    parameters: &[],
    inputs: &["close", "volume"],
    outputs: &["index, from 1000 on"],
    warm_up: "1 bar",
    source: "Fosback, Stock Market Logic, 1976",
};

pub const PVI: Info = Info {
    name: "PVI",
    summary: "positive volume index: the price changes of bars with rising volume",
    parameters: &[],
    inputs: &["close", "volume"],
    outputs: &["index, from 1000 on"],
    warm_up: "1 bar",
    source: "Fosback, Stock Market Logic, 1976",
};

const FIRST: f64 = 1000.0;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct VolumeIndex {
    last_close: f64,
    last_volume: f64,
    value: f64,
}

impl VolumeIndex {
    fn new() -> VolumeIndex {
        VolumeIndex {
            // As after a close of 0, nothing can be said of the first change.
            last_close: 0.0,
            last_volume: 0.0,
            value: FIRST,
        }
    }

    /// `counts` compares the volume with the last one.
    #[inline]
    fn next(&mut self, close: f64, volume: f64, counts: fn(&f64, &f64) -> bool) -> Option<f64> {
        let last = std::mem::replace(&mut self.last_close, close);
        let last_volume = std::mem::replace(&mut self.last_volume, volume);
        if last != 0.0 && counts(&volume, &last_volume) {
            self.value *= close / last;
        }
        Some(self.value)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Nvi {
    index: VolumeIndex,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pvi {
    index: VolumeIndex,
}

impl Nvi {
    pub fn new() -> Nvi {
        Nvi {
            index: VolumeIndex::new(),
        }
    }
}

impl Pvi {
    pub fn new() -> Pvi {
        Pvi {
            index: VolumeIndex::new(),
        }
    }
}

impl Default for Nvi {
    fn default() -> Nvi {
        Nvi::new()
    }
}

impl Default for Pvi {
    fn default() -> Pvi {
        Pvi::new()
    }
}

impl<T: Close + Volume> Next<&T> for Nvi {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        self.index.next(bar.close(), bar.volume(), f64::lt)
    }
}

impl<T: Close + Volume> Next<&T> for Pvi {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        self.index.next(bar.close(), bar.volume(), f64::gt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::Candle;

    #[test]
    fn each_follows_its_own_bars() {
        let bars = [
            (10.0, 5.0),
            (12.0, 4.0),
            (18.0, 4.0),
            (9.0, 7.0),
            (0.0, 6.0),
            (5.0, 5.0),
        ];
        let (mut nvi, mut pvi) = (Nvi::new(), Pvi::new());
        let found = bars.map(|(close, volume)| {
            let bar = Candle {
                close,
                volume,
                ..Candle::default()
            };
            (nvi.next(&bar), pvi.next(&bar))
        });
        let nvis = [1000.0, 1200.0, 1200.0, 1200.0, 0.0, 0.0];
        let pvis = [1000.0, 1000.0, 1000.0, 500.0, 500.0, 500.0];
        assert_eq!(found.map(|(nvi, _)| nvi), nvis.map(Some));
        assert_eq!(found.map(|(_, pvi)| pvi), pvis.map(Some));
    }
}
