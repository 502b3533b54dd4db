//! HOT PATH. Average true range, Wilder's, as TA-Lib's `ATR`: how far the price moves in a bar,
//! gaps included. Budget: 5 ns an update.
//!
//! ```text
//! TR  = max(high, last close) - min(low, last close)         (none for the first bar)
//! ATR = mean of the first n TR; then (last (n - 1) + TR) / n
//! ```
//! Source: J. Welles Wilder, New Concepts in Technical Trading Systems (1978). Kept is n times the
//! average, as Wilder has it: sum (n - 1) / n + TR, which waits for no division. `ta`'s own smooths
//! by an EMA (k = 2 / (n + 1), not 1 / n), counts the first bar's high - low as a true range and
//! answers from the first bar on: other numbers.

use super::Info;
use serde::{Deserialize, Serialize};
use ta::{Close, High, Low, Next};

pub const INFO: Info = Info {
    name: "ATR",
    summary: "average true range (Wilder)",
    parameters: &[("timeperiod", 14.0)],
    inputs: &["high", "low", "close"],
    outputs: &["range, in price"],
    warm_up: "period + 1 bars",
    source: "Wilder, New Concepts in Technical Trading Systems, 1978",
};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Atr {
    period: u32,
    /// Bars until it is warm.
    missing: u32,
    last_close: f64,
    /// The sum of the true ranges until warm, then n times the average.
    sum: f64,
    /// (n - 1) / n.
    kept: f64,
    /// 1 / n.
    scale: f64,
}

impl Atr {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> Atr {
        assert!(period > 0, "a period is at least 1");
        let n = f64::from(period);
        Atr {
            period,
            missing: period.saturating_add(1),
            last_close: 0.0,
            sum: 0.0,
            kept: (n - 1.0) / n,
            scale: 1.0 / n,
        }
    }

    #[inline(never)]
    fn warm_up(&mut self, range: f64) -> Option<f64> {
        let is_first = self.missing > self.period;
        if !is_first {
            self.sum += range;
        }
        self.missing -= 1;
        (self.missing == 0).then_some(self.sum * self.scale)
    }
}

impl<T: High + Low + Close> Next<&T> for Atr {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        let last = std::mem::replace(&mut self.last_close, bar.close());
        let range = bar.high().max(last) - bar.low().min(last);
        if self.missing > 0 {
            return self.warm_up(range);
        }
        self.sum = self.sum * self.kept + range;
        Some(self.sum * self.scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::{Hlc, reference};

    #[test]
    fn agrees_with_ta_lib() {
        let mut atr = Atr::new(14);
        let values = reference::bars().iter().map(|bar| atr.next(bar)).collect();
        reference::check(values, &ATR_14);
    }

    #[test]
    fn a_gap_is_part_of_the_range() {
        let mut atr = Atr::new(1);
        let bar = |high, low, close| Hlc { high, low, close };
        assert_eq!(atr.next(&bar(10.0, 9.0, 9.5)), None, "no bar before it");
        assert_eq!(atr.next(&bar(13.0, 12.0, 12.5)), Some(3.5), "gap up");
        assert_eq!(atr.next(&bar(11.0, 10.5, 10.5)), Some(2.0), "gap down");
        assert_eq!(atr.next(&bar(10.5, 10.5, 10.5)), Some(0.0), "no move");
    }

    const ATR_14: [f64; 21] = [
        1.0835714285714306,
        1.0883163265306146,
        1.107008017492713,
        1.08007887338609,
        1.188644668144226,
        1.223741477562495,
        1.2684742291651745,
        1.2235832127962336,
        1.2404701261679318,
        1.2582936885845077,
        1.209129853685615,
        1.161334864136643,
        1.3133823738411678,
        1.2731407757096558,
        1.3050592917303945,
        1.3239836280353667,
        1.35155622603284,
        1.33215935274478,
        1.314147970405867,
        1.3745659725197332,
        1.386382688768323,
    ];
}
