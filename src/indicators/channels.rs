//! HOT PATH. Channels around the price: acceleration bands, Donchian's and Keltner's, as TA-Lib's
//! `ACCBANDS`, `DONCHIAN` and `KC`. Budget: 8, 25 and 10 ns an update.
//!
//! ```text
//! ACCBANDS: a = 4 (high - low) / (high + low)
//!           upper = SMA(high (1 + a)), middle = SMA(close), lower = SMA(low (1 - a))
//! DONCHIAN: upper = greatest high of n, lower = least low of n, middle = their mean
//! KC:       middle = EMA((high + low + close) / 3), upper and lower = middle ± f ATR
//! ```
//! Source: P. Headley, Big Trends in Trading (2002); R. Donchian, as in Kaufman, Trading Systems
//! and Methods (1998); C. Keltner, How to Make Money in Commodities (1960), with Linda Bradford
//! Raschke's average true range.
//!
//! Donchian's channel counts the bar itself: his rule, to buy above the highest high of the bars
//! before it, takes the value before. Keltner's average and range begin as late as they can to be
//! warm at the same bar, as in TA-Lib: the one with fewer bars leaves out the first ones. `ta`'s
//! takes one period for both and its own average true range (an EMA). A NaN stays for ever in
//! Keltner's.

use super::bbands::Bands;
use super::{Atr, Ema, Greatest, Info, Sum};
use serde::{Deserialize, Serialize};
use ta::{Close, High, Low, Next};

pub const ACCBANDS: Info = Info {
    name: "ACCBANDS",
    summary: "acceleration bands (Headley)",
    parameters: &[("timeperiod", 20.0)],
    inputs: &["high", "low", "close"],
    outputs: &["upper", "middle", "lower"],
    warm_up: "period bars",
    source: "Headley, Big Trends in Trading, 2002",
};

pub const DONCHIAN: Info = Info {
    name: "DONCHIAN",
    summary: "Donchian channel: highest high, lowest low",
    parameters: &[("timeperiod", 20.0)],
    inputs: &["high", "low"],
    outputs: &["upper", "middle", "lower"],
    warm_up: "period bars",
    source: "Kaufman, Trading Systems and Methods, 1998",
};

pub const KC: Info = Info {
    name: "KC",
    summary: "Keltner channel: average true ranges around an average",
    parameters: &[("timeperiod", 20.0), ("atrperiod", 10.0), ("nbdev", 2.0)],
    inputs: &["high", "low", "close"],
    outputs: &["upper", "middle", "lower"],
    warm_up: "period bars, or atrperiod + 1 if more",
    source: "Keltner, How to Make Money in Commodities, 1960",
};

/// What TA-Lib takes for zero.
const ZERO: f64 = 1e-14;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AccBands {
    upper: Sum,
    middle: Sum,
    lower: Sum,
    /// One over the period.
    scale: f64,
}

impl AccBands {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> AccBands {
        AccBands {
            upper: Sum::new(period),
            middle: Sum::new(period),
            lower: Sum::new(period),
            scale: 1.0 / f64::from(period),
        }
    }
}

impl<T: High + Low + Close> Next<&T> for AccBands {
    type Output = Option<Bands>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<Bands> {
        let (high, low) = (bar.high(), bar.low());
        let both = high + low;
        let a = if both.abs() < ZERO {
            0.0
        } else {
            4.0 * (high - low) / both
        };
        let upper = self.upper.next(high * (1.0 + a));
        let middle = self.middle.next(bar.close());
        let lower = self.lower.next(low * (1.0 - a));
        Some(Bands {
            upper: upper? * self.scale,
            middle: middle? * self.scale,
            lower: lower? * self.scale,
        })
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Donchian {
    highs: Greatest,
    /// Of the lows, negated.
    lows: Greatest,
}

impl Donchian {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> Donchian {
        Donchian {
            highs: Greatest::new(period),
            lows: Greatest::new(period),
        }
    }
}

impl<T: High + Low> Next<&T> for Donchian {
    type Output = Option<Bands>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<Bands> {
        let upper = self.highs.push(bar.high()).0;
        let lower = -self.lows.push(-bar.low()).0;
        self.highs.is_full().then_some(Bands {
            upper,
            middle: (upper + lower) * 0.5,
            lower,
        })
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kc {
    average: Ema,
    range: Atr,
    factor: f64,
    /// Bars seen, and those that each leaves out.
    seen: u32,
    average_from: u32,
    range_from: u32,
}

impl Kc {
    /// Panics on a period of 0.
    pub fn new(period: u32, atr_period: u32, factor: f64) -> Kc {
        let average = Ema::new(period);
        let warm = atr_period.max(period - 1);
        Kc {
            average,
            range: Atr::new(atr_period),
            factor,
            seen: 0,
            average_from: warm + 1 - period,
            range_from: warm - atr_period,
        }
    }
}

impl<T: High + Low + Close> Next<&T> for Kc {
    type Output = Option<Bands>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<Bands> {
        let typical = (bar.high() + bar.low() + bar.close()) / 3.0;
        let seen = self.seen;
        self.seen = seen.saturating_add(1);
        let average = if seen < self.average_from {
            None
        } else {
            self.average.next(typical)
        };
        let range = if seen < self.range_from {
            None
        } else {
            self.range.next(bar)
        };
        let width = range? * self.factor;
        let middle = average?;
        Some(Bands {
            upper: middle + width,
            middle,
            lower: middle - width,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::Hlc;

    fn bar(high: f64, low: f64, close: f64) -> Hlc {
        Hlc { high, low, close }
    }

    #[test]
    fn acceleration_widens_the_band() {
        let mut bands = AccBands::new(2);
        assert_eq!(bands.next(&bar(10.0, 10.0, 10.0)), None);
        let found = bands.next(&bar(12.0, 8.0, 11.0)).expect("warm");
        // a = 0, then 4 x 4 / 20.
        assert!(
            (found.upper - (10.0 + 12.0 * 1.8) / 2.0).abs() < 1e-12,
            "{found:?}"
        );
        assert!((found.middle - 10.5).abs() < 1e-12, "{found:?}");
        assert!(
            (found.lower - (10.0 + 8.0 * 0.2) / 2.0).abs() < 1e-12,
            "{found:?}"
        );
        let zero = AccBands::new(1).next(&bar(0.0, 0.0, 0.0)).expect("warm");
        assert_eq!(zero, Bands::default());
    }

    #[test]
    fn donchians_is_the_range_of_the_last_bars() {
        let mut channel = Donchian::new(2);
        let bars = [
            bar(5.0, 3.0, 4.0),
            bar(6.0, 2.0, 4.0),
            bar(4.0, 3.5, 4.0),
            bar(4.0, 3.0, 4.0),
        ];
        let found = bars.map(|b| channel.next(&b).map(|c| (c.upper, c.middle, c.lower)));
        let expected = [
            None,
            Some((6.0, 4.0, 2.0)),
            Some((6.0, 4.0, 2.0)),
            Some((4.0, 3.5, 3.0)),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn keltners_waits_for_both() {
        for (period, atr_period, expected) in [(2, 5, 5), (6, 2, 5), (1, 1, 1)] {
            let mut channel = Kc::new(period, atr_period, 1.5);
            let same = bar(10.0, 8.0, 9.0);
            let late = (0..20).take_while(|_| channel.next(&same).is_none());
            assert_eq!(late.count(), expected);
            let found = channel.next(&same).expect("warm");
            assert_eq!(
                found,
                Bands {
                    upper: 12.0,
                    middle: 9.0,
                    lower: 6.0
                }
            );
        }
    }
}
