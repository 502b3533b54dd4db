//! HOT PATH. Realised volatility of the last n bars, from their ranges: as sure as that from closes
//! with a fifth to a fourteenth of the bars. Budget: 25 ns an update, Yang-Zhang 80 ns.
//!
//! ```text
//! h, l, c        = ln(high / open), ln(low / open), ln(close / open)
//! g              = ln(open / last close)
//! Parkinson      = f Σ (h - l)² / (4 n ln 2)
//! Garman-Klass   = f Σ ((h - l)² / 2 - (2 ln 2 - 1) c²) / n
//! RS             = Σ (h (h - c) + l (l - c)) / n                      Rogers-Satchell: f RS
//! Yang-Zhang     = f (var g + k var c + (1 - k) RS)                   var over n - 1
//! k              = 0.34 / (1.34 + (n + 1) / (n - 1))
//! ```
//! and the square root of each. f is the number of bars in the time that the volatility is to be
//! of: 1 gives it per bar. Rogers-Satchell and Yang-Zhang hold in a trend, the others take it for
//! volatility; only Yang-Zhang sees gaps between bars.
//! Sources: Parkinson (1980), Garman and Klass (1980), Rogers and Satchell (1991), Yang and Zhang
//! (2000), as in Sinclair, Volatility Trading (2008). The range of few trades is too small: all of
//! these come out low for bars with fewer than some hundred trades.

use super::Info;
use super::sliding::{Moments, Sliding};
use serde::{Deserialize, Serialize};
use std::f64::consts::LN_2;
use ta::{Close, High, Low, Next, Open};

const OUTPUTS: &[&str] = &["standard deviation of the return, a share"];

pub const VOL_PARKINSON: Info = Info {
    name: "VOL_PARKINSON",
    summary: "realised volatility from high and low (Parkinson)",
    parameters: &[("timeperiod", 20.0), ("bars", 1.0)],
    inputs: &["high", "low"],
    outputs: OUTPUTS,
    warm_up: "period bars",
    source: "Parkinson, The Extreme Value Method for Estimating the Variance, 1980",
};

pub const VOL_GARMAN_KLASS: Info = Info {
    name: "VOL_GARMAN_KLASS",
    summary: "realised volatility from whole bars (Garman-Klass)",
    parameters: &[("timeperiod", 20.0), ("bars", 1.0)],
    inputs: &["open", "high", "low", "close"],
    outputs: OUTPUTS,
    warm_up: "period bars",
    source: "Garman and Klass, On the Estimation of Security Price Volatilities, 1980",
};

pub const VOL_ROGERS_SATCHELL: Info = Info {
    name: "VOL_ROGERS_SATCHELL",
    summary: "realised volatility from whole bars, also in a trend (Rogers-Satchell)",
    parameters: &[("timeperiod", 20.0), ("bars", 1.0)],
    inputs: &["open", "high", "low", "close"],
    outputs: OUTPUTS,
    warm_up: "period bars",
    source: "Rogers and Satchell, Estimating Variance from High, Low and Closing Prices, 1991",
};

pub const VOL_YANG_ZHANG: Info = Info {
    name: "VOL_YANG_ZHANG",
    summary: "realised volatility from whole bars, also in a trend and with gaps (Yang-Zhang)",
    parameters: &[("timeperiod", 20.0), ("bars", 1.0)],
    inputs: &["open", "high", "low", "close"],
    outputs: OUTPUTS,
    warm_up: "period + 1 bars",
    source: "Yang and Zhang, Drift-Independent Volatility Estimation, 2000",
};

/// The root of a rolling sum of what each bar says of the variance.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Variance {
    parts: Sliding<f64>,
    factor: f64,
}

impl Variance {
    fn new(period: u32, bars: f64) -> Variance {
        assert!(bars > 0.0, "a number of bars is positive");
        Variance {
            parts: Sliding::new(period),
            factor: bars / f64::from(period),
        }
    }

    /// Of a bar whose prices contradict each other a part may be negative, but no variance is.
    #[inline]
    fn root(&mut self, part: f64) -> Option<f64> {
        self.parts.push(part);
        let sum = self.parts.full_sum()?;
        Some((self.factor * if sum < 0.0 { 0.0 } else { sum }).sqrt())
    }
}

#[inline]
fn rogers_satchell<T: Open + High + Low + Close>(bar: &T) -> f64 {
    let open = bar.open();
    let high = (bar.high() / open).ln();
    let low = (bar.low() / open).ln();
    let close = (bar.close() / open).ln();
    high * (high - close) + low * (low - close)
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VolParkinson(Variance);

impl VolParkinson {
    /// `bars` are those in the time that the volatility is to be of. Panics on a period of 0, and
    /// where `bars` is not positive.
    pub fn new(period: u32, bars: f64) -> VolParkinson {
        VolParkinson(Variance::new(period, bars / (4.0 * LN_2)))
    }
}

impl<T: High + Low> Next<&T> for VolParkinson {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        let range = (bar.high() / bar.low()).ln();
        self.0.root(range * range)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VolGarmanKlass(Variance);

impl VolGarmanKlass {
    /// `bars` are those in the time that the volatility is to be of. Panics on a period of 0, and
    /// where `bars` is not positive.
    pub fn new(period: u32, bars: f64) -> VolGarmanKlass {
        VolGarmanKlass(Variance::new(period, bars))
    }
}

impl<T: Open + High + Low + Close> Next<&T> for VolGarmanKlass {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        let range = (bar.high() / bar.low()).ln();
        let close = (bar.close() / bar.open()).ln();
        self.0
            .root(0.5 * range * range - (2.0 * LN_2 - 1.0) * close * close)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VolRogersSatchell(Variance);

impl VolRogersSatchell {
    /// `bars` are those in the time that the volatility is to be of. Panics on a period of 0, and
    /// where `bars` is not positive.
    pub fn new(period: u32, bars: f64) -> VolRogersSatchell {
        VolRogersSatchell(Variance::new(period, bars))
    }
}

impl<T: Open + High + Low + Close> Next<&T> for VolRogersSatchell {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        self.0.root(rogers_satchell(bar))
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VolYangZhang {
    last_close: Option<f64>,
    gaps: Sliding<Moments>,
    closes: Sliding<Moments>,
    ranges: Sliding<f64>,
    bars: f64,
    k: f64,
    /// What the sum of `ranges` is multiplied by: (1 - k) / n.
    share: f64,
}

impl VolYangZhang {
    /// `bars` are those in the time that the volatility is to be of. Panics on a period below 2,
    /// and where `bars` is not positive.
    pub fn new(period: u32, bars: f64) -> VolYangZhang {
        assert!(period > 1, "a deviation is of 2 values at least");
        assert!(bars > 0.0, "a number of bars is positive");
        let n = f64::from(period);
        let k = 0.34 / (1.34 + (n + 1.0) / (n - 1.0));
        VolYangZhang {
            last_close: None,
            gaps: Sliding::new(period),
            closes: Sliding::new(period),
            ranges: Sliding::new(period),
            bars,
            k,
            share: (1.0 - k) / n,
        }
    }
}

impl<T: Open + High + Low + Close> Next<&T> for VolYangZhang {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        let last_close = self.last_close.replace(bar.close())?;
        self.gaps.push(Moments::of((bar.open() / last_close).ln()));
        self.closes
            .push(Moments::of((bar.close() / bar.open()).ln()));
        self.ranges.push(rogers_satchell(bar));
        let gaps = self.gaps.full_sum()?.variance();
        let closes = self.closes.full_sum()?.variance();
        let sum = gaps + self.k * closes + self.share * self.ranges.full_sum()?;
        Some((self.bars * if sum < 0.0 { 0.0 } else { sum }).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::Candle;
    use crate::indicators::sliding::testing::{draws, near, restored};
    use rand::RngExt;

    fn bar(open: f64, high: f64, low: f64, close: f64) -> Candle {
        let volume = 1.0;
        Candle {
            open,
            high,
            low,
            close,
            volume,
        }
    }

    struct All(
        VolParkinson,
        VolGarmanKlass,
        VolRogersSatchell,
        VolYangZhang,
    );

    impl All {
        fn new(period: u32, bars: f64) -> All {
            All(
                VolParkinson::new(period, bars),
                VolGarmanKlass::new(period, bars),
                VolRogersSatchell::new(period, bars),
                VolYangZhang::new(period, bars),
            )
        }

        fn next(&mut self, bar: &Candle) -> [Option<f64>; 4] {
            [
                self.0.next(bar),
                self.1.next(bar),
                self.2.next(bar),
                self.3.next(bar),
            ]
        }
    }

    #[test]
    fn by_hand() {
        let mut all = All::new(2, 1.0);
        // In units of ln 2: range 2, close 1, gaps 1 and 0.
        let bars = [
            bar(1.0, 2.0, 0.5, 2.0),
            bar(4.0, 8.0, 2.0, 8.0),
            bar(8.0, 16.0, 4.0, 16.0),
        ];
        let values = bars.map(|bar| all.next(&bar));
        assert_eq!(values[0], [None; 4]);
        assert_eq!(values[1][3], None, "the first bar has no gap");
        near(values[1][0], Some(LN_2.sqrt()));
        near(values[1][1], Some(LN_2 * (2.0 - (2.0 * LN_2 - 1.0)).sqrt()));
        near(values[1][2], Some(LN_2 * 2.0_f64.sqrt()));
        let k: f64 = 0.34 / 4.34;
        near(values[2][3], Some(LN_2 * (0.5 + (1.0 - k) * 2.0).sqrt()));
    }

    #[test]
    fn a_flat_market_has_none() {
        let mut all = All::new(3, 525_600.0);
        let values = [(); 5].map(|()| all.next(&bar(7.0, 7.0, 7.0, 7.0)));
        assert_eq!(values[4], [Some(0.0); 4]);
    }

    #[test]
    fn a_steady_trend_is_none_to_those_that_know_it() {
        let mut all = All::new(3, 1.0);
        let values = [0, 1, 2, 3, 4].map(|i| {
            let open = 2.0_f64.powi(i);
            all.next(&bar(open, 2.0 * open, open, 2.0 * open))
        });
        assert_eq!(values[4][2..], [Some(0.0); 2]);
        assert!(values[4][0] > Some(0.4));
    }

    #[test]
    fn prices_that_are_none_leave_with_the_window() {
        let mut all = All::new(2, 1.0);
        let bad = [0.0, -1.0, f64::NAN, f64::INFINITY];
        for a in bad {
            for b in bad {
                all.next(&bar(a, b, a, b));
                all.next(&bar(1.0, a, b, 2.0));
            }
        }
        let values = [(); 4].map(|()| all.next(&bar(7.0, 7.0, 7.0, 7.0)));
        assert_eq!(values[3], [Some(0.0); 4]);
    }

    #[test]
    fn each_is_what_its_sums_say() {
        let mut draw = draws(41);
        for (n, start) in [(2, 100.0), (20, 60_000.0), (100, 0.01)] {
            let mut all = All::new(n, 365.0);
            let n = n as usize;
            let mut bars: Vec<Candle> = Vec::new();
            let mut last: f64 = start;
            for i in 0..2000 {
                let mut step = |most: i32| f64::from(draw.random_range(-most..=most)) / 1e5;
                let open = last * (1.0 + step(100));
                last = open * (1.0 + step(1000));
                let high = open.max(last) * (1.0 + step(500).abs());
                let low = open.min(last) * (1.0 - step(500).abs());
                bars.push(bar(open, high, low, last));
                if i == 1000 {
                    let All(p, g, r, y) = &all;
                    all = All(restored(p), restored(g), restored(r), restored(y));
                }
                let found = all.next(&bars[i]);
                if i + 1 < n {
                    assert_eq!(found, [None; 4]);
                    continue;
                }
                let window = &bars[i + 1 - n..];
                let mean =
                    |f: &dyn Fn(&Candle) -> f64| window.iter().map(f).sum::<f64>() / n as f64;
                let squared = |a: f64, b: f64| (a.ln() - b.ln()).powi(2);
                let ranges = mean(&|b| squared(b.high, b.low));
                let closes = mean(&|b| squared(b.close, b.open));
                let rs = mean(&|b| {
                    (b.high / b.close).ln() * (b.high / b.open).ln()
                        + (b.low / b.close).ln() * (b.low / b.open).ln()
                });
                near(
                    found[0],
                    Some((365.0 * ranges / (4.0 * 2.0_f64.ln())).sqrt()),
                );
                let gk = 0.5 * ranges - (2.0 * 2.0_f64.ln() - 1.0) * closes;
                near(found[1], Some((365.0 * gk).sqrt()));
                near(found[2], Some((365.0 * rs).sqrt()));
                if i < n {
                    assert_eq!(found[3], None);
                    continue;
                }
                let variance = |values: Vec<f64>| {
                    let mean = values.iter().sum::<f64>() / n as f64;
                    values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1) as f64
                };
                let gap = |j: usize| (bars[j].open / bars[j - 1].close).ln();
                let gaps = variance((i + 1 - n..=i).map(gap).collect());
                let closes = variance(window.iter().map(|b| (b.close / b.open).ln()).collect());
                let k = 0.34 / (1.34 + (n + 1) as f64 / (n - 1) as f64);
                near(
                    found[3],
                    Some((365.0 * (gaps + k * closes + (1.0 - k) * rs)).sqrt()),
                );
            }
        }
    }
}
