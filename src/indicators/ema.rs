//! HOT PATH. Exponential moving average of the last values, as TA-Lib's `EMA`. Budget: 2 ns an
//! update.
//!
//! ```text
//! first = mean of the first n          k = 2 / (n + 1)
//! next  = last + k (value - last)
//! ```
//! Source: Murphy, Technical Analysis of the Financial Markets (1999), chapter 9; seeded as
//! TA-Lib's by default. `ta`'s own starts with the first value, which differs from TA-Lib's for
//! hundreds of bars.

use super::Info;
use serde::{Deserialize, Serialize};
use ta::Next;

pub const INFO: Info = Info {
    name: "EMA",
    summary: "exponential moving average",
    parameters: &[("timeperiod", 30.0)],
    inputs: &["value"],
    outputs: &["average"],
    warm_up: "period values",
    source: "Murphy, Technical Analysis of the Financial Markets, 1999, chapter 9",
};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ema {
    period: u32,
    k: f64,
    seen: u32,
    /// The sum of the values until warm, then the average.
    value: f64,
}

impl Ema {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> Ema {
        Ema::weighted(period, 2.0 / (f64::from(period) + 1.0))
    }

    /// One in which a new value weighs `k`. Panics on a period of 0.
    pub(super) fn weighted(period: u32, k: f64) -> Ema {
        assert!(period > 0, "a period is at least 1");
        Ema {
            period,
            k,
            seen: 0,
            value: 0.0,
        }
    }
}

impl Next<f64> for Ema {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        if self.seen >= self.period {
            self.value += self.k * (value - self.value);
            return Some(self.value);
        }
        self.value += value;
        self.seen += 1;
        if self.seen < self.period {
            return None;
        }
        self.value /= f64::from(self.period);
        Some(self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::reference;

    #[test]
    fn agrees_with_ta_lib() {
        let mut ema = Ema::new(10);
        let values = reference::CLOSE.map(|close| ema.next(close)).to_vec();
        reference::check(values, &EMA_10);
    }

    #[test]
    fn a_period_of_one_is_the_value_itself() {
        let mut ema = Ema::new(1);
        assert_eq!(
            [3.0, 5.0, 4.0].map(|v| ema.next(v)),
            [Some(3.0), Some(5.0), Some(4.0)]
        );
    }

    const EMA_10: [f64; 26] = [
        98.92600000000002,
        98.84309090909092,
        98.83889256198347,
        98.85545755071375,
        98.69991981422034,
        98.56720712072573,
        98.58407855332105,
        98.35424608908086,
        98.08256498197525,
        97.51482589434339,
        96.81576664082641,
        95.9092636152216,
        95.12394295790858,
        94.25231696556156,
        93.58825933545945,
        93.07403036537592,
        92.61875211712575,
        91.78806991401198,
        91.01023902055526,
        90.36474101681794,
        89.85842446830559,
        89.1659836558864,
        88.51216844572522,
        87.79904691013881,
        87.06831110829539,
        86.66316363405987,
    ];
}
