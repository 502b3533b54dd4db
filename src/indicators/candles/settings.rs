//! HOT PATH. What candle patterns are made of: a bar's body and shadows, the last bars, and the
//! settings that say what is long, short, near or equal.

use serde::{Deserialize, Serialize};
use ta::{Close, High, Low, Open};

/// Bars kept; the longest pattern looks back at 14 before its newest.
const KEPT: usize = 16;

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Bar {
    pub open: f64,
    pub high: f64,
    pub low: f64,
    pub close: f64,
}

impl Bar {
    #[inline]
    pub fn of<T: Open + High + Low + Close>(bar: &T) -> Bar {
        Bar {
            open: bar.open(),
            high: bar.high(),
            low: bar.low(),
            close: bar.close(),
        }
    }

    /// A close at the open counts as white, as in TA-Lib.
    #[inline]
    pub fn is_white(&self) -> bool {
        self.close >= self.open
    }

    #[inline]
    pub fn is_black(&self) -> bool {
        !self.is_white()
    }

    /// 1 for a white candle, -1 for a black one.
    #[inline]
    pub fn color(&self) -> i32 {
        if self.is_white() { 1 } else { -1 }
    }

    #[inline]
    pub fn body(&self) -> f64 {
        (self.close - self.open).abs()
    }

    /// The upper end of the body.
    #[inline]
    pub fn top(&self) -> f64 {
        if self.is_white() {
            self.close
        } else {
            self.open
        }
    }

    /// The lower end of the body.
    #[inline]
    pub fn bottom(&self) -> f64 {
        if self.is_white() {
            self.open
        } else {
            self.close
        }
    }

    #[inline]
    pub fn range(&self) -> f64 {
        self.high - self.low
    }

    #[inline]
    pub fn upper_shadow(&self) -> f64 {
        self.high - self.top()
    }

    #[inline]
    pub fn lower_shadow(&self) -> f64 {
        self.bottom() - self.low
    }

    /// Its body lies above the other's, with a gap.
    #[inline]
    pub fn body_above(&self, other: &Bar) -> bool {
        self.bottom() > other.top()
    }

    #[inline]
    pub fn body_below(&self, other: &Bar) -> bool {
        self.top() < other.bottom()
    }

    /// All of it lies above the other, shadows too, with a gap.
    #[inline]
    pub fn all_above(&self, other: &Bar) -> bool {
        self.low > other.high
    }

    #[inline]
    pub fn all_below(&self, other: &Bar) -> bool {
        self.high < other.low
    }

    /// Its body lies within the other's, and touches neither end.
    #[inline]
    pub fn body_within(&self, other: &Bar) -> bool {
        self.top() < other.top() && self.bottom() > other.bottom()
    }

    /// The shadow from which one is long. TA-Lib's `ShadowLong`: the candle's own body.
    #[inline]
    pub fn long_shadow(&self) -> f64 {
        self.body()
    }

    /// TA-Lib's `ShadowVeryLong`: twice the candle's own body.
    #[inline]
    pub fn very_long_shadow(&self) -> f64 {
        2.0 * self.body()
    }
}

/// The last bars.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Bars {
    ring: [Bar; KEPT],
    /// Bars pushed; wraps.
    pushed: u8,
}

impl Bars {
    #[inline]
    pub fn push(&mut self, bar: Bar) {
        self.pushed = self.pushed.wrapping_add(1);
        self.ring[usize::from(self.pushed) % KEPT] = bar;
    }

    /// The bar `back` bars before the newest.
    #[inline]
    pub fn get(&self, back: usize) -> &Bar {
        &self.ring[usize::from(self.pushed).wrapping_sub(back) % KEPT]
    }
}

/// What of a candle is averaged.
#[derive(Clone, Copy, Debug)]
enum Measure {
    Body,
    Range,
    /// Both together; their average is halved.
    Shadows,
}

/// What is long, short, near or equal: some part of the average candle of late.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    measure: Measure,
    /// Candles averaged: those before the one that is judged.
    pub period: usize,
    factor: f64,
}

const fn setting(measure: Measure, period: usize, factor: f64) -> Setting {
    Setting {
        measure,
        period,
        factor,
    }
}

// TA-Lib's defaults. `BodyVeryLong` is used by no pattern.
pub(super) const BODY_LONG: Setting = setting(Measure::Body, 10, 1.0);
pub(super) const BODY_SHORT: Setting = setting(Measure::Body, 10, 1.0);
pub(super) const BODY_DOJI: Setting = setting(Measure::Range, 10, 0.1);
pub(super) const SHADOW_SHORT: Setting = setting(Measure::Shadows, 10, 1.0);
pub(super) const SHADOW_VERY_SHORT: Setting = setting(Measure::Range, 10, 0.1);
pub(super) const NEAR: Setting = setting(Measure::Range, 5, 0.2);
pub(super) const FAR: Setting = setting(Measure::Range, 5, 0.6);
pub(super) const EQUAL: Setting = setting(Measure::Range, 5, 0.05);

impl Setting {
    #[inline]
    pub fn measure(&self, bar: &Bar) -> f64 {
        match self.measure {
            Measure::Body => bar.body(),
            Measure::Range => bar.range(),
            Measure::Shadows => bar.upper_shadow() + bar.lower_shadow(),
        }
    }

    /// The limit, from the sum over the period. In TA-Lib's order: ties are decided by the last
    /// bit.
    #[inline]
    pub fn limit(&self, sum: f64) -> f64 {
        let limit = self.factor * (sum / self.period as f64);
        match self.measure {
            Measure::Shadows => limit / 2.0,
            Measure::Body | Measure::Range => limit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(open: f64, high: f64, low: f64, close: f64) -> Bar {
        Bar {
            open,
            high,
            low,
            close,
        }
    }

    #[test]
    fn a_bar_has_a_body_and_shadows() {
        let white = bar(10.0, 15.0, 8.0, 12.0);
        assert_eq!((white.color(), white.body(), white.range()), (1, 2.0, 7.0));
        assert_eq!((white.upper_shadow(), white.lower_shadow()), (3.0, 2.0));
        let black = bar(12.0, 15.0, 8.0, 10.0);
        assert_eq!((black.color(), black.body()), (-1, 2.0));
        assert_eq!((black.top(), black.bottom()), (12.0, 10.0));
        assert!(bar(5.0, 5.0, 5.0, 5.0).is_white(), "a flat bar");
        let above = bar(12.5, 16.0, 9.0, 13.0);
        assert!(above.body_above(&white) && white.body_below(&above));
        assert!(!above.all_above(&white) && !white.all_below(&above));
        assert!(!black.body_within(&white), "it touches the ends");
    }

    #[test]
    fn the_last_bars_are_kept() {
        let mut bars = Bars::default();
        for i in 0..1000_u32 {
            bars.push(bar(f64::from(i), 0.0, 0.0, 0.0));
        }
        for back in 0..15_u32 {
            assert_eq!(bars.get(back as usize).open, f64::from(999 - back));
        }
    }

    #[test]
    fn limits_are_parts_of_averages() {
        assert_eq!(BODY_LONG.limit(30.0), 3.0);
        assert_eq!(BODY_DOJI.limit(100.0), 1.0);
        assert_eq!(SHADOW_SHORT.limit(40.0), 2.0, "of two shadows, one");
        assert_eq!(NEAR.limit(50.0), 2.0);
    }
}
