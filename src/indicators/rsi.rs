//! HOT PATH. Relative strength index, Wilder's, as TA-Lib's `RSI`: 0 (only losses) to 100 (only
//! gains). Budget: 6 ns an update.
//!
//! ```text
//! gain, loss = the change since the last value, by its sign
//! G, L       = mean of the first n gains, losses; then (last (n - 1) + new) / n
//! RSI        = 100 G / (G + L)
//! ```
//! Source: J. Welles Wilder, New Concepts in Technical Trading Systems (1978). `ta`'s own smooths
//! by an EMA (k = 2 / (n + 1), not 1 / n) and answers from the first value on: other numbers.
//!
//! As in TA-Lib, a market that never moved has an RSI of 0, which is no oversold market: whoever
//! reads an extreme out of it looks at the volatility too.

use super::Info;
use serde::{Deserialize, Serialize};
use ta::Next;

pub const INFO: Info = Info {
    name: "RSI",
    summary: "relative strength index (Wilder)",
    parameters: &[("timeperiod", 14.0)],
    inputs: &["value"],
    outputs: &["index, 0 to 100"],
    warm_up: "period + 1 values",
    source: "Wilder, New Concepts in Technical Trading Systems, 1978",
};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Rsi {
    period: u32,
    last: Option<f64>,
    /// Changes seen, counted up to the period.
    seen: u32,
    /// Sums until warm, then averages.
    gain: f64,
    loss: f64,
}

impl Rsi {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> Rsi {
        assert!(period > 0, "a period is at least 1");
        Rsi {
            period,
            last: None,
            seen: 0,
            gain: 0.0,
            loss: 0.0,
        }
    }
}

impl Next<f64> for Rsi {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        let change = value - self.last.replace(value)?;
        let (gain, loss) = (change.max(0.0), (-change).max(0.0));
        let n = f64::from(self.period);
        if self.seen >= self.period {
            self.gain = (self.gain * (n - 1.0) + gain) / n;
            self.loss = (self.loss * (n - 1.0) + loss) / n;
        } else {
            self.gain += gain;
            self.loss += loss;
            self.seen += 1;
            if self.seen < self.period {
                return None;
            }
            self.gain /= n;
            self.loss /= n;
        }
        let both = self.gain + self.loss;
        Some(if both > 0.0 {
            100.0 * self.gain / both
        } else {
            0.0
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::reference;

    #[test]
    fn agrees_with_ta_lib() {
        let mut rsi = Rsi::new(14);
        let values = reference::CLOSE.map(|close| rsi.next(close)).to_vec();
        reference::check(values, &RSI_14);
    }

    #[test]
    fn its_ends_are_ta_libs() {
        let last = |values: &[f64]| {
            let mut rsi = Rsi::new(3);
            values.iter().fold(None, |_, v| rsi.next(*v))
        };
        assert_eq!(last(&[1.0, 2.0, 3.0, 4.0, 5.0]), Some(100.0));
        assert_eq!(last(&[5.0, 4.0, 3.0, 2.0, 1.0]), Some(0.0));
        assert_eq!(
            last(&[5.0, 5.0, 5.0, 5.0, 5.0]),
            Some(0.0),
            "a market that never moved"
        );
        assert_eq!(last(&[5.0, 6.0, 5.0]), None, "two changes are not three");
    }

    const RSI_14: [f64; 21] = [
        36.152796725784455,
        42.02953787517865,
        35.24483862838737,
        33.25995366104928,
        26.597170173314183,
        23.19914335440191,
        19.393263569823162,
        18.956428264111068,
        16.814981807128135,
        18.928456502079868,
        20.221985185437422,
        19.81761665756435,
        15.414859333172796,
        14.66310297195593,
        14.592142330824192,
        15.647226095069161,
        13.37801160430635,
        12.753141347279659,
        11.565383657397039,
        10.680011190986455,
        19.378112454150408,
    ];
}
