//! HOT PATH. Chande's momentum oscillator: -100 (only losses) to 100 (only gains), as TA-Lib's
//! `CMO` and `CMOU`. Budget: 6 ns an update.
//!
//! ```text
//! gain, loss = the change since the last value, by its sign
//! CMOU: G, L = sums of the last n gains, losses
//! CMO:  G, L = mean of the first n gains, losses; then (last (n - 1) + new) / n
//! both       = 100 (G - L) / (G + L)
//! ```
//! Source: Tushar Chande and Stanley Kroll, The New Technical Trader (1994). That is `CMOU`: the
//! book's has sums of n changes. TA-Lib's `CMO` is smoothed as Wilder's RSI is, which it equals but
//! for its scale (2 RSI - 100).
//!
//! A market that did not move has a value of 0. A change that is NaN counts as none; what an
//! infinity leaves in `Cmo` stays for ever.

use super::Info;
use super::sliding::Sliding;
use super::up_down::UpDown;
use serde::{Deserialize, Serialize};
use ta::Next;

const SOURCE: &str = "Chande and Kroll, The New Technical Trader, 1994";

pub const CMO: Info = Info {
    name: "CMO",
    summary: "Chande momentum oscillator, smoothed as Wilder's RSI",
    parameters: &[("timeperiod", 14.0)],
    inputs: &["value"],
    outputs: &["oscillator, -100 to 100"],
    warm_up: "period + 1 values",
    source: SOURCE,
};

pub const CMOU: Info = Info {
    name: "CMOU",
    summary: "Chande momentum oscillator, not smoothed: of sums, as the book has it",
    parameters: &[("timeperiod", 14.0)],
    inputs: &["value"],
    outputs: &["oscillator, -100 to 100"],
    warm_up: "period + 1 values",
    source: SOURCE,
};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cmo {
    period: u32,
    /// 1 / n.
    weight: f64,
    last: Option<f64>,
    /// Changes seen, counted up to the period.
    seen: u32,
    /// Sums until warm, then averages.
    gain: f64,
    loss: f64,
}

impl Cmo {
    /// Panics on a period of less than 2.
    pub fn new(period: u32) -> Cmo {
        assert!(period > 1, "a period is at least 2");
        Cmo {
            period,
            weight: 1.0 / f64::from(period),
            last: None,
            seen: 0,
            gain: 0.0,
            loss: 0.0,
        }
    }
}

impl Next<f64> for Cmo {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        let change = value - self.last.replace(value)?;
        let (gain, loss) = (change.max(0.0), (-change).max(0.0));
        if self.seen >= self.period {
            self.gain += self.weight * (gain - self.gain);
            self.loss += self.weight * (loss - self.loss);
        } else {
            self.gain += gain;
            self.loss += loss;
            self.seen += 1;
            if self.seen < self.period {
                return None;
            }
            self.gain *= self.weight;
            self.loss *= self.weight;
        }
        let averages = UpDown {
            up: self.gain,
            down: self.loss,
        };
        Some(averages.balance().unwrap_or(0.0))
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cmou {
    last: Option<f64>,
    changes: Sliding<UpDown>,
}

impl Cmou {
    /// Panics on a period of less than 2.
    pub fn new(period: u32) -> Cmou {
        assert!(period > 1, "a period is at least 2");
        Cmou {
            last: None,
            changes: Sliding::new(period),
        }
    }
}

impl Next<f64> for Cmou {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        let change = value - self.last.replace(value)?;
        self.changes.push(UpDown::of(change));
        Some(self.changes.full_sum()?.balance().unwrap_or(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_compares_gains_with_losses() {
        let mut cmou = Cmou::new(2);
        let values = [1.0, 4.0, 3.0, 3.0, 3.0, 5.0].map(|v| cmou.next(v));
        assert_eq!(
            values,
            [None, None, Some(50.0), Some(-100.0), Some(0.0), Some(100.0)]
        );
        let mut cmo = Cmo::new(2);
        let values = [1.0, 4.0, 3.0, 3.0].map(|v| cmo.next(v));
        assert_eq!(values[..3], [None, None, Some(50.0)]);
        assert_eq!(
            values[3],
            Some(50.0),
            "both averages fall alike where nothing moves"
        );
    }

    #[test]
    fn a_market_that_never_moved_is_0() {
        let (mut cmo, mut cmou) = (Cmo::new(2), Cmou::new(2));
        let last = (0..5).map(|_| (cmo.next(0.1), cmou.next(0.1))).last();
        assert_eq!(last, Some((Some(0.0), Some(0.0))));
    }

    #[test]
    fn a_nan_is_gone_with_its_window() {
        let mut cmou = Cmou::new(2);
        let last = [f64::NAN, f64::INFINITY, 1.0, 2.0, 1.0].map(|v| cmou.next(v))[4];
        assert_eq!(last, Some(0.0));
    }
}
