//! HOT PATH. Stochastic RSI: where the relative strength index is in its own range of the last
//! values, 0 to 100. As TA-Lib's `STOCHRSI`. Budget: 25 ns an update.
//!
//! ```text
//! k = 100 (RSI - lowest RSI of n) / (highest RSI of n - lowest RSI of n)
//! d = average(k)
//! ```
//! Source: Tushar Chande and Stanley Kroll, The New Technical Trader (1994). They go from 0 to 1;
//! others smooth k as well: TA-Lib does not. As there, k is 0 where the index has no range. A NaN
//! stays for ever. While the price stands still, the index moves by rounding alone, of which k
//! could make 0 to 100. So the index is computed here in TA-Lib's order, to the last bit, and a
//! range of less than 1e-14 of the index is none. See [`super::Rsi`] for the formula.

use super::stoch::{Raw, StochValue};
use super::{Info, Ma, MaType};
use serde::{Deserialize, Serialize};
use ta::Next;

pub const INFO: Info = Info {
    name: "STOCHRSI",
    summary: "stochastic oscillator of the relative strength index (Chande)",
    parameters: &[
        ("timeperiod", 14.0),
        ("fastk_period", 5.0),
        ("fastd_period", 3.0),
        ("fastd_matype", 0.0),
    ],
    inputs: &["value"],
    outputs: &["fast k, 0 to 100", "fast d, 0 to 100"],
    warm_up: "sum of the three periods - 1 values (with a simple average)",
    source: "Chande and Kroll, The New Technical Trader, 1994",
};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StochRsi {
    index: Index,
    raw: Raw,
    d: Ma,
}

impl StochRsi {
    /// Panics on a period of 0.
    pub fn new(period: u32, k: u32, d: u32, d_kind: MaType) -> StochRsi {
        StochRsi {
            index: Index::new(period),
            raw: Raw::new(k),
            d: Ma::new(d, d_kind),
        }
    }
}

impl Next<f64> for StochRsi {
    type Output = Option<StochValue>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<StochValue> {
        let index = self.index.next(value)?;
        let k = self.raw.next(index, index, index)?;
        let d = self.d.next(k)?;
        Some(StochValue { k, d })
    }
}

/// The relative strength index, rounded as TA-Lib rounds it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Index {
    period: u32,
    one_by_n: f64,
    last: Option<f64>,
    /// Changes seen, counted up to the period.
    seen: u32,
    /// Sums until warm, then averages.
    gain: f64,
    loss: f64,
}

impl Index {
    fn new(period: u32) -> Index {
        assert!(period > 0, "a period is at least 1");
        Index {
            period,
            one_by_n: 1.0 / f64::from(period),
            last: None,
            seen: 0,
            gain: 0.0,
            loss: 0.0,
        }
    }

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        let change = value - self.last.replace(value)?;
        let (gain, loss) = (change.max(0.0), (-change).max(0.0));
        let n = f64::from(self.period);
        if self.seen >= self.period {
            self.gain = (self.gain * (n - 1.0) + gain) * self.one_by_n;
            self.loss = (self.loss * (n - 1.0) + loss) * self.one_by_n;
        } else {
            self.gain += gain;
            self.loss += loss;
            self.seen += 1;
            if self.seen < self.period {
                return None;
            }
            self.gain *= self.one_by_n;
            self.loss *= self.one_by_n;
        }
        let both = self.gain + self.loss;
        Some(if both > 0.0 {
            100.0 * (self.gain / both)
        } else {
            0.0
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_high_of_the_index_is_a_hundred() {
        // The index of two changes: 50, then 75, then 37.5, each of a range of two.
        let mut stoch = StochRsi::new(2, 2, 1, MaType::Sma);
        let found = [1.0, 2.0, 1.0, 2.0, 1.0].map(|v| stoch.next(v).map(|v| v.k));
        assert_eq!(found, [None, None, None, Some(100.0), Some(0.0)]);
    }

    #[test]
    fn only_gains_leave_no_range() {
        let mut stoch = StochRsi::new(2, 3, 2, MaType::Sma);
        let found: Vec<_> = (0..8).map(|i| stoch.next(f64::from(i))).collect();
        let zero = Some(StochValue { k: 0.0, d: 0.0 });
        assert_eq!(found[..5], [None; 5]);
        assert_eq!(found[5..], [zero; 3]);
    }
}
