//! HOT PATH. Exponential moving average of the last values, as TA-Lib's `EMA`. Budget: 5 ns an
//! update.
//!
//! ```text
//! first = mean of the first n          k = 2 / (n + 1)
//! next  = last + k (value - last)
//! ```
//! Source: Murphy, Technical Analysis of the Financial Markets (1999), chapter 9; seeded as
//! TA-Lib's by default. `ta`'s own starts with the first value, which differs from TA-Lib's for
//! hundreds of bars. A NaN stays for ever.
//!
//! To load what was just stored takes as long as a step. So the average is stored at every second
//! value only, as the sum in `sma.rs`: the one between is calculated again from the one before it.

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
    /// Values until it is warm.
    missing: u32,
    k: f64,
    /// The average lacks the last value.
    is_behind: bool,
    /// The sum of the values until warm.
    average: f64,
    last: f64,
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
            missing: period,
            k,
            is_behind: false,
            average: 0.0,
            last: 0.0,
        }
    }

    #[inline(never)]
    fn warm_up(&mut self, value: f64) -> Option<f64> {
        self.average += value;
        self.missing -= 1;
        if self.missing > 0 {
            return None;
        }
        self.average /= f64::from(self.period);
        Some(self.average)
    }

    #[inline]
    fn step(&self, average: f64, value: f64) -> f64 {
        average + self.k * (value - average)
    }
}

impl Next<f64> for Ema {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        if self.missing > 0 {
            return self.warm_up(value);
        }
        if self.is_behind {
            self.is_behind = false;
            self.average = self.step(self.step(self.average, self.last), value);
            Some(self.average)
        } else {
            self.is_behind = true;
            self.last = value;
            Some(self.step(self.average, value))
        }
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

    #[test]
    fn every_average_is_the_one_before_it_and_a_step() {
        let mut ema = Ema::new(4);
        let mut last = None;
        for (i, value) in reference::CLOSE.iter().enumerate() {
            let found = ema.next(*value);
            if let Some(last) = last {
                assert_eq!(found, Some(last + 0.4 * (value - last)), "value {i}");
            }
            last = found;
        }
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
