//! HOT PATH. Stochastic oscillator: where the close is in the range of the last bars, 0 at the
//! bottom and 100 at the top, smoothed. As TA-Lib's `STOCH`, `STOCHF` and `KDJ`. Budget: 25 ns an
//! update.
//!
//! ```text
//! raw    = 100 (close - lowest low of n) / (highest high of n - lowest low of n)
//! STOCHF   k = raw                        d = average(k)
//! STOCH    k = average(raw)               d = average(k)
//! KDJ      k = RMA(raw)                   d = RMA(k)                  j = 3 k - 2 d
//! ```
//! Source: George Lane, Lane's Stochastics, Technical Analysis of Stocks & Commodities 2 (1984);
//! TA-Lib, function KDJ, 0.8.1; the kinds of averages are parameters. As in TA-Lib, `raw` is 0
//! where there is no range (50 in other programs), and nothing is there before `d` is. `KDJ` there
//! starts its averages with the mean of their first n values, not with 50 as trading programs in
//! China do. A NaN stays for ever in most averages.

use super::{Greatest, Info, Ma, MaType};
use serde::{Deserialize, Serialize};
use ta::{Close, High, Low, Next};

pub const STOCH: Info = Info {
    name: "STOCH",
    summary: "slow stochastic oscillator (Lane)",
    parameters: &[
        ("fastk_period", 5.0),
        ("slowk_period", 3.0),
        ("slowk_matype", 0.0),
        ("slowd_period", 3.0),
        ("slowd_matype", 0.0),
    ],
    inputs: &["high", "low", "close"],
    outputs: &["slow k, 0 to 100", "slow d, 0 to 100"],
    warm_up: "sum of the three periods - 2 bars (with simple averages)",
    source: "Lane, Lane's Stochastics, Technical Analysis of Stocks & Commodities 2, 1984",
};

pub const STOCHF: Info = Info {
    name: "STOCHF",
    summary: "fast stochastic oscillator (Lane)",
    parameters: &[
        ("fastk_period", 5.0),
        ("fastd_period", 3.0),
        ("fastd_matype", 0.0),
    ],
    inputs: &["high", "low", "close"],
    outputs: &["fast k, 0 to 100", "fast d, 0 to 100"],
    warm_up: "sum of the two periods - 1 bars (with a simple average)",
    source: "Lane, Lane's Stochastics, Technical Analysis of Stocks & Commodities 2, 1984",
};

pub const KDJ: Info = Info {
    name: "KDJ",
    summary: "stochastic oscillator with a third line ahead of it",
    parameters: &[
        ("fastk_period", 9.0),
        ("slowk_period", 3.0),
        ("slowk_matype", 13.0),
        ("slowd_period", 3.0),
        ("slowd_matype", 13.0),
    ],
    inputs: &["high", "low", "close"],
    outputs: &["k, 0 to 100", "d, 0 to 100", "j"],
    warm_up: "sum of the three periods - 2 bars (with Wilder's averages)",
    source: "TA-Lib, function KDJ, 0.8.1",
};

/// A range that is less, as part of the prices, is none: it may come of rounding.
const NOTHING: f64 = 1e-14;

/// Where a value is between the lowest and the highest of the last bars.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Raw {
    highest: Greatest,
    /// The greatest of -low.
    lowest: Greatest,
}

impl Raw {
    /// Panics on a period of 0.
    pub(super) fn new(period: u32) -> Raw {
        Raw {
            highest: Greatest::new(period),
            lowest: Greatest::new(period),
        }
    }

    #[inline]
    pub(super) fn next(&mut self, high: f64, low: f64, close: f64) -> Option<f64> {
        let highest = self.highest.push(high).0;
        let lowest = -self.lowest.push(-low).0;
        if !self.highest.is_full() {
            return None;
        }
        let range = highest - lowest;
        Some(if range <= NOTHING * (highest.abs() + lowest.abs()) {
            0.0
        } else {
            100.0 * ((close - lowest) / range)
        })
    }
}

/// What [`Stoch`], [`StochF`] and [`super::StochRsi`] answer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StochValue {
    pub k: f64,
    pub d: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StochF {
    raw: Raw,
    d: Ma,
}

impl StochF {
    /// Panics on a period of 0.
    pub fn new(k: u32, d: u32, d_kind: MaType) -> StochF {
        StochF {
            raw: Raw::new(k),
            d: Ma::new(d, d_kind),
        }
    }
}

impl<T: High + Low + Close> Next<&T> for StochF {
    type Output = Option<StochValue>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<StochValue> {
        let k = self.raw.next(bar.high(), bar.low(), bar.close())?;
        let d = self.d.next(k)?;
        Some(StochValue { k, d })
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stoch {
    raw: Raw,
    k: Ma,
    d: Ma,
}

impl Stoch {
    /// Panics on a period of 0.
    pub fn new(fast_k: u32, k: u32, k_kind: MaType, d: u32, d_kind: MaType) -> Stoch {
        Stoch {
            raw: Raw::new(fast_k),
            k: Ma::new(k, k_kind),
            d: Ma::new(d, d_kind),
        }
    }
}

impl<T: High + Low + Close> Next<&T> for Stoch {
    type Output = Option<StochValue>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<StochValue> {
        let raw = self.raw.next(bar.high(), bar.low(), bar.close())?;
        let k = self.k.next(raw)?;
        let d = self.d.next(k)?;
        Some(StochValue { k, d })
    }
}

/// What [`Kdj`] answers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct KdjValue {
    pub k: f64,
    pub d: f64,
    pub j: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kdj(Stoch);

impl Kdj {
    /// Panics on a period of 0.
    pub fn new(fast_k: u32, k: u32, k_kind: MaType, d: u32, d_kind: MaType) -> Kdj {
        let own = |kind| {
            if kind == MaType::Own {
                MaType::Rma
            } else {
                kind
            }
        };
        Kdj(Stoch::new(fast_k, k, own(k_kind), d, own(d_kind)))
    }
}

impl<T: High + Low + Close> Next<&T> for Kdj {
    type Output = Option<KdjValue>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<KdjValue> {
        let StochValue { k, d } = self.0.next(bar)?;
        Some(KdjValue {
            k,
            d,
            j: 3.0 * k - 2.0 * d,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::Hlc;

    fn bars(closes: [f64; 5]) -> [Hlc; 5] {
        closes.map(|close| Hlc {
            high: close + 1.0,
            low: close - 1.0,
            close,
        })
    }

    #[test]
    fn smooths_the_place_in_the_range() {
        // The place in the range of two bars: 2/3, 1/3, 2/3, 2/4.
        let bars = bars([1.0, 2.0, 1.0, 2.0, 2.0]);
        let mut fast = StochF::new(2, 2, MaType::Sma);
        let found = bars.map(|bar| fast.next(&bar).map(|v| [v.k, v.d].map(f64::round)));
        let expected = [[33.0, 50.0], [67.0, 50.0], [50.0, 58.0]].map(Some);
        assert_eq!(found[..2], [None, None]);
        assert_eq!(found[2..], expected);
        let mut slow = Stoch::new(2, 2, MaType::Sma, 2, MaType::Sma);
        let found = bars.map(|bar| slow.next(&bar).map(|v| [v.k, v.d].map(f64::round)));
        assert_eq!(found[..3], [None, None, None]);
        assert_eq!(found[3..], [[50.0, 50.0], [58.0, 54.0]].map(Some));
    }

    #[test]
    fn j_is_ahead_of_k() {
        let bars = bars([1.0, 2.0, 3.0, 4.0, 2.0]);
        let mut kdj = Kdj::new(2, 1, MaType::Own, 2, MaType::Own);
        let found = bars.map(|bar| kdj.next(&bar));
        assert_eq!(found[..2], [None, None]);
        for value in found[2..].iter().map(|value| value.expect("it is warm")) {
            assert!((value.j - (3.0 * value.k - 2.0 * value.d)).abs() < 1e-12);
        }
        assert!(found[4].is_some_and(|v| v.j < v.k && v.k < v.d), "a fall");
    }

    #[test]
    fn without_a_range_it_is_zero() {
        let flat = Hlc {
            high: 5.0,
            low: 5.0,
            close: 5.0,
        };
        let mut stoch = Stoch::new(3, 1, MaType::Sma, 1, MaType::Sma);
        let zero = StochValue { k: 0.0, d: 0.0 };
        assert_eq!(
            [flat; 4].map(|bar| stoch.next(&bar)),
            [None, None, Some(zero), Some(zero)]
        );
    }
}
