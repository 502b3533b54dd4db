//! HOT PATH. Wilder's directional movement, as TA-Lib's `PLUS_DM`, `MINUS_DM`, `PLUS_DI`,
//! `MINUS_DI`, `DX`, `ADX` and `ADXR`: which way the bars go (DM, DI) and how much they go one way
//! at all (DX and its averages, 0 to 100). Budget: 6 ns an update.
//!
//! ```text
//! up, down = high - last high, last low - low
//! +DM1     = up   where it is positive and more than down, else 0
//! -DM1     = down where it is positive and more than up, else 0
//! +DM, -DM, TR = sum of the first n - 1; then last - last / n + new
//! +DI      = 100 (+DM) / TR                                            (0 where TR is 0)
//! DX       = 100 |(+DM) - (-DM)| / ((+DM) + (-DM))
//! ADX      = mean of the first n DX; then (last (n - 1) + DX) / n
//! ADXR     = mean of ADX and the ADX of n - 1 bars before
//! ```
//! Source: J. Welles Wilder, New Concepts in Technical Trading Systems (1978).
//!
//! What one would not expect of TA-Lib: its sums begin with n - 1 values, not n, and are smoothed
//! from the n-th on; so `PLUS_DM` answers one bar before `PLUS_DI`. With a period of 1 the
//! indicators are a fraction, 0 to 1, and no percentage. `ADXR` looks n - 1 bars back, not n. `DX`
//! and what follows from it need no close: the true range cancels out. In a market that never moved
//! they are 0. An infinity in a bar stays for ever.

use super::{Info, Window};
use serde::{Deserialize, Serialize};
use ta::{Close, High, Low, Next};

const SOURCE: &str = "Wilder, New Concepts in Technical Trading Systems, 1978";

pub const PLUS_DM: Info = Info {
    name: "PLUS_DM",
    summary: "plus directional movement (Wilder): what of the bars lies above the bar before",
    parameters: &[("timeperiod", 14.0)],
    inputs: &["high", "low"],
    outputs: &["sum, in price"],
    warm_up: "period bars, 2 at least",
    source: SOURCE,
};

pub const MINUS_DM: Info = Info {
    name: "MINUS_DM",
    summary: "minus directional movement (Wilder): what of the bars lies below the bar before",
    parameters: &[("timeperiod", 14.0)],
    inputs: &["high", "low"],
    outputs: &["sum, in price"],
    warm_up: "period bars, 2 at least",
    source: SOURCE,
};

pub const PLUS_DI: Info = Info {
    name: "PLUS_DI",
    summary: "plus directional indicator (Wilder): upward movement in percent of the true range",
    parameters: &[("timeperiod", 14.0)],
    inputs: &["high", "low", "close"],
    outputs: &["indicator, 0 to 100"],
    warm_up: "period + 1 bars",
    source: SOURCE,
};

pub const MINUS_DI: Info = Info {
    name: "MINUS_DI",
    summary: "minus directional indicator (Wilder): downward movement in percent of the true range",
    parameters: &[("timeperiod", 14.0)],
    inputs: &["high", "low", "close"],
    outputs: &["indicator, 0 to 100"],
    warm_up: "period + 1 bars",
    source: SOURCE,
};

pub const DX: Info = Info {
    name: "DX",
    summary: "directional movement index (Wilder)",
    parameters: &[("timeperiod", 14.0)],
    inputs: &["high", "low"],
    outputs: &["index, 0 to 100"],
    warm_up: "period + 1 bars",
    source: SOURCE,
};

pub const ADX: Info = Info {
    name: "ADX",
    summary: "average directional movement index (Wilder)",
    parameters: &[("timeperiod", 14.0)],
    inputs: &["high", "low"],
    outputs: &["index, 0 to 100"],
    warm_up: "2 period bars",
    source: SOURCE,
};

pub const ADXR: Info = Info {
    name: "ADXR",
    summary: "average directional movement index rating (Wilder)",
    parameters: &[("timeperiod", 14.0)],
    inputs: &["high", "low"],
    outputs: &["index, 0 to 100"],
    warm_up: "3 period - 1 bars",
    source: SOURCE,
};

/// Upward and downward movement of each bar after the first; at most one of them is not 0.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Movement {
    /// High and low.
    last: Option<(f64, f64)>,
}

impl Movement {
    #[inline]
    fn next<T: High + Low>(&mut self, bar: &T) -> Option<(f64, f64)> {
        let (high, low) = self.last.replace((bar.high(), bar.low()))?;
        let (up, down) = (bar.high() - high, low - bar.low());
        let plus = if up > down && up > 0.0 { up } else { 0.0 };
        let minus = if down > up && down > 0.0 { down } else { 0.0 };
        Some((plus, minus))
    }
}

/// Wilder's smoothed sum, as TA-Lib seeds it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct WilderSum {
    period: u32,
    /// What is kept of it at each value: 1 - 1 / n.
    keep: f64,
    /// Values seen, counted up to the period.
    seen: u32,
    sum: f64,
}

impl WilderSum {
    fn new(period: u32) -> WilderSum {
        assert!(period > 0, "a period is at least 1");
        WilderSum {
            period,
            keep: 1.0 - 1.0 / f64::from(period),
            seen: 0,
            sum: 0.0,
        }
    }

    #[inline]
    fn push(&mut self, value: f64) -> f64 {
        if self.seen < self.period {
            self.seen += 1;
        }
        let kept = if self.seen < self.period {
            self.sum
        } else {
            self.sum * self.keep
        };
        self.sum = kept + value;
        self.sum
    }

    #[inline]
    fn is_warm(&self) -> bool {
        self.seen == self.period
    }
}

/// A side's movement in percent of the true range.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Indicator {
    /// 100; 1 where the period is 1.
    scale: f64,
    movement: WilderSum,
    range: WilderSum,
    last_close: f64,
}

impl Indicator {
    fn new(period: u32) -> Indicator {
        Indicator {
            scale: if period == 1 { 1.0 } else { 100.0 },
            movement: WilderSum::new(period),
            range: WilderSum::new(period),
            last_close: 0.0,
        }
    }

    /// `movement` is that of this bar, none for the first.
    #[inline]
    fn next<T: High + Low + Close>(&mut self, movement: Option<f64>, bar: &T) -> Option<f64> {
        let last = std::mem::replace(&mut self.last_close, bar.close());
        let movement = self.movement.push(movement?);
        let range = self.range.push(bar.high().max(last) - bar.low().min(last));
        let indicator = if range == 0.0 {
            0.0
        } else {
            self.scale * movement / range
        };
        self.range.is_warm().then_some(indicator)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlusDm {
    bars: Movement,
    sum: WilderSum,
}

impl PlusDm {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> PlusDm {
        PlusDm {
            bars: Movement::default(),
            sum: WilderSum::new(period),
        }
    }
}

impl<T: High + Low> Next<&T> for PlusDm {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        let (plus, _) = self.bars.next(bar)?;
        let sum = self.sum.push(plus);
        (self.sum.seen + 1 >= self.sum.period).then_some(sum)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MinusDm {
    bars: Movement,
    sum: WilderSum,
}

impl MinusDm {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> MinusDm {
        MinusDm {
            bars: Movement::default(),
            sum: WilderSum::new(period),
        }
    }
}

impl<T: High + Low> Next<&T> for MinusDm {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        let (_, minus) = self.bars.next(bar)?;
        let sum = self.sum.push(minus);
        (self.sum.seen + 1 >= self.sum.period).then_some(sum)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlusDi {
    bars: Movement,
    indicator: Indicator,
}

impl PlusDi {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> PlusDi {
        PlusDi {
            bars: Movement::default(),
            indicator: Indicator::new(period),
        }
    }
}

impl<T: High + Low + Close> Next<&T> for PlusDi {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        let plus = self.bars.next(bar).map(|(plus, _)| plus);
        self.indicator.next(plus, bar)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MinusDi {
    bars: Movement,
    indicator: Indicator,
}

impl MinusDi {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> MinusDi {
        MinusDi {
            bars: Movement::default(),
            indicator: Indicator::new(period),
        }
    }
}

impl<T: High + Low + Close> Next<&T> for MinusDi {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        let minus = self.bars.next(bar).map(|(_, minus)| minus);
        self.indicator.next(minus, bar)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Dx {
    bars: Movement,
    plus: WilderSum,
    minus: WilderSum,
    /// The index, held where there is no movement at all.
    index: f64,
}

impl Dx {
    /// Panics on a period of less than 2.
    pub fn new(period: u32) -> Dx {
        assert!(period > 1, "a period is at least 2");
        Dx {
            bars: Movement::default(),
            plus: WilderSum::new(period),
            minus: WilderSum::new(period),
            index: 0.0,
        }
    }
}

impl<T: High + Low> Next<&T> for Dx {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        let (plus, minus) = self.bars.next(bar)?;
        let (plus, minus) = (self.plus.push(plus), self.minus.push(minus));
        if !self.plus.is_warm() {
            return None;
        }
        let both = plus + minus;
        if both != 0.0 {
            self.index = 100.0 * (plus - minus).abs() / both;
        }
        Some(self.index)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Adx {
    dx: Dx,
    period: u32,
    /// 1 / n.
    weight: f64,
    /// Values of DX seen, counted up to the period.
    seen: u32,
    /// The sum until warm, then the average.
    value: f64,
}

impl Adx {
    /// Panics on a period of less than 2.
    pub fn new(period: u32) -> Adx {
        Adx {
            dx: Dx::new(period),
            period,
            weight: 1.0 / f64::from(period),
            seen: 0,
            value: 0.0,
        }
    }
}

impl<T: High + Low> Next<&T> for Adx {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        let dx = self.dx.next(bar)?;
        if self.seen >= self.period {
            self.value += self.weight * (dx - self.value);
            return Some(self.value);
        }
        self.value += dx;
        self.seen += 1;
        if self.seen < self.period {
            return None;
        }
        self.value *= self.weight;
        Some(self.value)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Adxr {
    adx: Adx,
    window: Window<f64>,
}

impl Adxr {
    /// Panics on a period of less than 2.
    pub fn new(period: u32) -> Adxr {
        Adxr {
            adx: Adx::new(period),
            window: Window::new(period),
        }
    }
}

impl<T: High + Low> Next<&T> for Adxr {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        let adx = self.adx.next(bar)?;
        self.window.push(adx);
        self.window
            .is_full()
            .then(|| (adx + self.window.oldest()) / 2.0)
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
    fn only_the_greater_side_moves() {
        let mut plus = PlusDm::new(1);
        let mut minus = MinusDm::new(1);
        let bars = [
            (bar(10.0, 8.0, 9.0), None),
            (bar(13.0, 9.0, 9.0), Some((3.0, 0.0))),
            (bar(14.0, 7.0, 9.0), Some((0.0, 2.0))),
            (bar(13.0, 8.0, 9.0), Some((0.0, 0.0))),
            (bar(14.0, 7.0, 9.0), Some((0.0, 0.0))),
        ];
        for (bar, expected) in bars {
            let moved = plus.next(&bar).zip(minus.next(&bar));
            assert_eq!(moved, expected, "{bar:?}");
        }
    }

    #[test]
    fn its_seeds_are_ta_libs() {
        // Each bar is 1 above the last: +DM1 is 1, the true range is 2.
        let bars: Vec<Hlc> = (0..6)
            .map(f64::from)
            .map(|p| bar(p + 2.0, p, p + 1.0))
            .collect();
        let mut dm = PlusDm::new(3);
        let mut di = PlusDi::new(3);
        let sums: Vec<_> = bars.iter().map(|b| dm.next(b)).collect();
        assert_eq!(sums[..3], [None, None, Some(2.0)], "n - 1 of them");
        assert!((sums[3].expect("warm") - 7.0 / 3.0).abs() < 1e-15);
        let indicators: Vec<_> = bars.iter().map(|b| di.next(b)).collect();
        assert_eq!(indicators[..3], [None, None, None]);
        assert!((indicators[3].expect("warm") - 50.0).abs() < 1e-12);
    }

    #[test]
    fn a_market_that_only_rises_has_an_index_of_100() {
        let mut adxr = Adxr::new(2);
        let values: Vec<_> = (0..6)
            .map(f64::from)
            .map(|p| adxr.next(&bar(p + 1.0, p, p)))
            .collect();
        assert_eq!(values, [None, None, None, None, Some(100.0), Some(100.0)]);
    }

    #[test]
    fn a_market_that_never_moved_has_an_index_of_0() {
        let mut adx = Adx::new(2);
        let mut di = MinusDi::new(2);
        let flat = bar(5.0, 5.0, 5.0);
        let last = (0..9).map(|_| (adx.next(&flat), di.next(&flat))).last();
        assert_eq!(last, Some((Some(0.0), Some(0.0))));
    }
}
