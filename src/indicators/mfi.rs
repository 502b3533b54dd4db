//! HOT PATH. Money flow index, as TA-Lib's `MFI`: an RSI weighted by volume, 0 (all money in
//! falling bars) to 100 (all in rising ones). Budget: 15 ns an update.
//!
//! ```text
//! typical    = (high + low + close) / 3
//! money flow = typical volume, upward where typical is above the last one, downward below it
//! MFI        = 100 sum(up) / (sum(up) + sum(down))                over the last n flows
//! ```
//! Source: Gene Quong and Avrum Soudack, Volume-Weighted RSI: Money Flow, Stocks & Commodities
//! (1989). `ta`'s own answers from the first bar on, and takes a typical price that differs by
//! rounding alone for a move: another number in every twentieth bar or so of a coarse price grid.
//!
//! In TA-Lib a typical price within 1e-14 of the sum of both has not moved, and a window without
//! any flow is 0: no oversold market, but one where nothing was traded or nothing moved.
//!
//! The sums add the new and subtract the old, as TA-Lib's: flows may differ a million times in
//! size, and what great ones leave behind in the last bits is seen beside small ones (1e-10 where
//! nothing flows up). They are taken anew from the window as long as there is a NaN or an infinity
//! in it.

use super::up_down::UpDown;
use super::{Info, Window};
use serde::{Deserialize, Serialize};
use std::ops::Add;
use ta::{Close, High, Low, Next, Volume};

pub const INFO: Info = Info {
    name: "MFI",
    summary: "money flow index: traded value of rising bars in percent of rising and falling ones",
    parameters: &[("timeperiod", 14.0)],
    inputs: &["high", "low", "close", "volume"],
    outputs: &["index, 0 to 100"],
    warm_up: "period + 1 bars",
    source: "Quong and Soudack, Volume-Weighted RSI: Money Flow, Stocks & Commodities, 1989",
};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Mfi {
    /// Typical price.
    last: Option<f64>,
    flows: Window<UpDown>,
    sums: UpDown,
    /// How many flows in a row were 0, counted up to the period.
    idle: usize,
}

impl Mfi {
    /// Panics on a period of less than 2.
    pub fn new(period: u32) -> Mfi {
        assert!(period > 1, "a period is at least 2");
        Mfi {
            last: None,
            flows: Window::new(period),
            sums: UpDown::default(),
            idle: 0,
        }
    }

    #[inline]
    fn push(&mut self, flow: UpDown) {
        let old = self.flows.push(flow).unwrap_or_default();
        self.sums.up = self.sums.up - old.up + flow.up;
        self.sums.down = self.sums.down - old.down + flow.down;
        self.idle = if flow == UpDown::default() {
            self.idle + 1
        } else {
            0
        };
        if self.flows.is_full() && self.idle >= self.flows.len() {
            self.idle = self.flows.len();
            self.sums = UpDown::default();
        } else if !(self.sums.up + self.sums.down).is_finite() {
            self.sums = self.flows.iter().fold(UpDown::default(), UpDown::add);
        }
    }
}

impl<T: High + Low + Close + Volume> Next<&T> for Mfi {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        let typical = (bar.high() + bar.low() + bar.close()) / 3.0;
        let last = self.last.replace(typical)?;
        let change = typical - last;
        let still = change.abs() <= 1e-14 * (typical.abs() + last.abs());
        let flow = if still { 0.0 } else { typical * bar.volume() };
        self.push(UpDown {
            up: if change < 0.0 { 0.0 } else { flow },
            down: if change < 0.0 { flow } else { 0.0 },
        });
        if !self.flows.is_full() {
            return None;
        }
        // What is left of great flows may be negative.
        let both = self.sums.up + self.sums.down;
        Some(if both <= 0.0 {
            0.0
        } else {
            (100.0 * self.sums.up / both).clamp(0.0, 100.0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::Candle;

    fn bar(price: f64, volume: f64) -> Candle {
        Candle {
            open: price,
            high: price + 1.0,
            low: price - 1.0,
            close: price,
            volume,
        }
    }

    #[test]
    fn it_compares_the_money_in_rises_and_in_falls() {
        let mut mfi = Mfi::new(2);
        let bars = [
            (2.0, 9.0),
            (3.0, 2.0),
            (2.0, 1.0),
            (2.0, 50.0),
            (2.0, 7.0),
            (3.0, 1.0),
        ];
        let values = bars.map(|(price, volume)| mfi.next(&bar(price, volume)));
        let expected = [None, None, Some(75.0), Some(0.0), Some(0.0), Some(100.0)];
        assert_eq!(values, expected);
    }

    #[test]
    fn without_volume_there_is_no_flow() {
        let mut mfi = Mfi::new(2);
        let values = [1.0, 2.0, 3.0, 2.0].map(|price| mfi.next(&bar(price, 0.0)));
        assert_eq!(values, [None, None, Some(0.0), Some(0.0)]);
    }

    #[test]
    fn a_nan_is_gone_with_its_window() {
        let mut mfi = Mfi::new(2);
        let bars = [
            (1.0, 1.0),
            (2.0, f64::NAN),
            (3.0, f64::INFINITY),
            (4.0, 3.0),
            (3.0, 4.0),
        ];
        let last = bars.map(|(price, volume)| mfi.next(&bar(price, volume)))[4];
        assert_eq!(last, Some(50.0));
    }
}
