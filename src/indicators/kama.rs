//! HOT PATH. Kaufman's adaptive moving average: fast where the price goes straight, slow where it
//! goes to and fro, as TA-Lib's `KAMA`. Budget: 10 ns an update.
//!
//! ```text
//! ER   = |value - value n ago| / sum of the last n |changes|       (efficiency ratio, 0 to 1)
//! c    = (ER (2/3 - 2/31) + 2/31)²
//! KAMA = last + c (value - last), from the value before the first on
//! ```
//! Source: P. Kaufman, Trading Systems and Methods (1998). As in TA-Lib, a price that did not move
//! at all counts as efficient (1), and a period of 1 is the value itself. A NaN stays for ever.

use super::{Info, Window};
use serde::{Deserialize, Serialize};
use ta::Next;

pub const INFO: Info = Info {
    name: "KAMA",
    summary: "Kaufman's adaptive moving average",
    parameters: &[("timeperiod", 30.0)],
    inputs: &["value"],
    outputs: &["average"],
    warm_up: "period + 1 values (period 1: the first)",
    source: "Kaufman, Trading Systems and Methods, 1998",
};

const SLOW: f64 = 2.0 / (30.0 + 1.0);
const FAST: f64 = 2.0 / (2.0 + 1.0);
/// What TA-Lib takes for zero, as a part of the values.
const ZERO: f64 = 1e-14;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kama {
    period: u32,
    /// The last period + 1 values.
    values: Window<f64>,
    /// The sum of the absolute changes within the window.
    path: f64,
    /// The absolute change that leaves the sum next.
    leaving: f64,
    average: f64,
    warm: bool,
}

impl Kama {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> Kama {
        assert!(period > 0, "a period is at least 1");
        Kama {
            period,
            values: Window::new(period + 1),
            path: 0.0,
            leaving: 0.0,
            average: 0.0,
            warm: false,
        }
    }
}

impl Next<f64> for Kama {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        if self.period == 1 {
            return Some(value);
        }
        if !self.values.is_empty() {
            let last = self.values.get(0);
            // In TA-Lib's order: what rounding leaves of a path of 0 decides about its efficiency.
            self.path -= self.leaving;
            self.path += (value - last).abs();
            if !self.warm {
                self.average = last;
            }
        }
        self.values.push(value);
        if !self.values.is_full() {
            return None;
        }
        self.warm = true;
        let oldest = self.values.oldest();
        self.leaving = (oldest - self.values.get(self.period as usize - 1)).abs();
        let way = value - oldest;
        let zero = ZERO * (value.abs() + oldest.abs());
        let efficiency = if self.path <= way || self.path.abs() <= zero {
            1.0
        } else {
            (way / self.path).abs()
        };
        let c = efficiency * (FAST - SLOW) + SLOW;
        self.average += c * c * (value - self.average);
        Some(self.average)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_fast_on_a_line_and_slow_to_and_fro() {
        let mut kama = Kama::new(4);
        let line = [1.0, 2.0, 3.0, 4.0, 5.0].map(|v| kama.next(v));
        assert_eq!(line[..4], [None; 4]);
        let expected = 4.0 + FAST * FAST;
        assert!(
            line[4].is_some_and(|a| (a - expected).abs() < 1e-12),
            "{line:?}"
        );

        let mut kama = Kama::new(2);
        let turn = [1.0, 2.0, 1.0].map(|v| kama.next(v));
        let expected = 2.0 - SLOW * SLOW;
        assert!(
            turn[2].is_some_and(|a| (a - expected).abs() < 1e-12),
            "{turn:?}"
        );
    }

    #[test]
    fn a_flat_market_counts_as_efficient() {
        let mut kama = Kama::new(2);
        for value in [8.0, 4.0, 8.0, 8.0] {
            kama.next(value);
        }
        let before = kama.average;
        let expected = before + FAST * FAST * (8.0 - before);
        let found = kama.next(8.0);
        assert!(
            found.is_some_and(|a| (a - expected).abs() < 1e-12),
            "{found:?}"
        );
    }
}
