//! HOT PATH. Commodity channel index, as TA-Lib's `CCI`: how far the typical price is from its
//! mean, in units of its mean absolute deviation. Budget: 25 ns an update at n = 14, 150 ns at
//! n = 100.
//!
//! ```text
//! typical   = (high + low + close) / 3
//! deviation = mean of |typical - mean|                                     over the last n bars
//! CCI       = (typical - mean) / (0.015 deviation)
//! ```
//! Source: Donald Lambert, Commodity Channel Index, Commodities (October 1980). `ta`'s own takes
//! the deviation of the closes, not of typical prices, and answers from the first bar on: other
//! numbers.
//!
//! In TA-Lib it is 0 where the price is within 1e-14 of the mean (relative), or the deviation is as
//! small: what remains in a flat market is rounding.
//!
//! This one is O(n) an update, 2 n additions: each deviation changes when the mean does. Where the
//! price is at its mean, the last bits of the mean decide; so it is summed in TA-Lib's order.

use super::Info;
use serde::{Deserialize, Serialize};
use ta::{Close, High, Low, Next};

pub const INFO: Info = Info {
    name: "CCI",
    summary: "commodity channel index: distance from the mean in mean deviations",
    parameters: &[("timeperiod", 14.0)],
    inputs: &["high", "low", "close"],
    outputs: &["index, about -100 to 100 for most of the time"],
    warm_up: "period bars",
    source: "Lambert, Commodity Channel Index, Commodities, October 1980",
};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cci {
    /// Typical prices, a ring; `at` is the next place.
    prices: Box<[f64]>,
    at: usize,
    full: bool,
}

impl Cci {
    /// Panics on a period of less than 2.
    pub fn new(period: u32) -> Cci {
        assert!(period > 1, "a period is at least 2");
        Cci {
            prices: vec![0.0; period as usize].into_boxed_slice(),
            at: 0,
            full: false,
        }
    }
}

impl<T: High + Low + Close> Next<&T> for Cci {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        let typical = (bar.high() + bar.low() + bar.close()) / 3.0;
        self.prices[self.at] = typical;
        self.at += 1;
        if self.at == self.prices.len() {
            self.at = 0;
            self.full = true;
        }
        if !self.full {
            return None;
        }
        let n = self.prices.len() as f64;
        let mean = self.prices.iter().sum::<f64>() / n;
        let deviation = total_deviation(&self.prices, mean) / n;
        let distance = typical - mean;
        let rounding = 1e-14 * mean.abs();
        let still = distance.abs() <= rounding || deviation <= rounding;
        Some(if still {
            0.0
        } else {
            distance / (0.015 * deviation)
        })
    }
}

/// In four sums side by side, which need not wait for one another.
#[inline]
fn total_deviation(prices: &[f64], mean: f64) -> f64 {
    let mut sums = [0.0; 4];
    let (fours, rest) = prices.as_chunks::<4>();
    for four in fours {
        for (sum, price) in sums.iter_mut().zip(four) {
            *sum += (price - mean).abs();
        }
    }
    let rest: f64 = rest.iter().map(|price| (price - mean).abs()).sum();
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::Hlc;

    fn bar(price: f64) -> Hlc {
        Hlc {
            high: price + 1.0,
            low: price - 1.0,
            close: price,
        }
    }

    #[test]
    fn it_is_the_distance_in_mean_deviations() {
        let mut cci = Cci::new(4);
        let values = [1.0, 2.0, 3.0, 6.0, 1.0].map(|p| cci.next(&bar(p)));
        assert_eq!(values[..3], [None, None, None]);
        // Mean 3, deviations 2, 1, 0 and 3: 1.5 on average.
        assert!((values[3].expect("warm") - 3.0 / (0.015 * 1.5)).abs() < 1e-9);
        assert!((values[4].expect("warm") + 2.0 / (0.015 * 1.5)).abs() < 1e-9);
    }

    #[test]
    fn a_flat_market_is_0() {
        let mut cci = Cci::new(7);
        let flat = Hlc {
            high: 0.1,
            low: 0.1,
            close: 0.1,
        };
        let last = (0..20).filter_map(|_| cci.next(&flat)).last();
        assert_eq!(last, Some(0.0));
    }
}
