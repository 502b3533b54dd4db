//! HOT PATH. Elder's force index: the change of the close times the volume, smoothed, as TA-Lib's
//! `EFI`. Budget: 3 ns an update.
//!
//! ```text
//! EFI = EMA((close - last close) volume, n)
//! ```
//! Source: Elder, Trading for a Living (1993), Force Index: 13 bars for the trend, 2 for entries. A
//! NaN stays for ever.

use super::{Ema, Info};
use serde::{Deserialize, Serialize};
use ta::{Close, Next, Volume};

pub const INFO: Info = Info {
    name: "EFI",
    summary: "force index (Elder): change of the close times volume, smoothed",
    parameters: &[("timeperiod", 13.0)],
    inputs: &["close", "volume"],
    outputs: &["price times volume"],
    warm_up: "period + 1 bars",
    source: "Elder, Trading for a Living, 1993, Force Index",
};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Efi {
    last_close: Option<f64>,
    average: Ema,
}

impl Efi {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> Efi {
        Efi {
            last_close: None,
            average: Ema::new(period),
        }
    }
}

impl<T: Close + Volume> Next<&T> for Efi {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        let change = bar.close() - self.last_close.replace(bar.close())?;
        self.average.next(change * bar.volume())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::Candle;

    #[test]
    fn smooths_the_force() {
        let bars = [(10.0, 5.0), (12.0, 4.0), (11.0, 2.0), (11.0, 9.0)];
        let bars = bars.map(|(close, volume)| Candle {
            close,
            volume,
            ..Candle::default()
        });
        let mut raw = Efi::new(1);
        let found = bars.map(|bar| raw.next(&bar));
        assert_eq!(found, [None, Some(8.0), Some(-2.0), Some(0.0)]);
        let mut efi = Efi::new(2);
        let found = bars.map(|bar| efi.next(&bar));
        assert_eq!(found[..3], [None, None, Some(3.0)]);
        let last = found[3].expect("warm");
        assert!((last - 1.0).abs() < 1e-12, "{last}");
    }
}
