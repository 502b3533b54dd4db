//! HOT PATH. Ichimoku Kinko Hyo, Hosoda's: five lines out of the middles of price ranges. Budget:
//! 40 ns an update.
//!
//! ```text
//! middle(n)  = (highest high + lowest low) / 2      of the last n bars
//! conversion = middle(9)                            Tenkan-sen
//! base       = middle(26)                           Kijun-sen
//! span A     = (conversion + base) / 2              Senkou span A, drawn 26 bars ahead
//! span B     = middle(52)                           Senkou span B, drawn 26 bars ahead
//! lagging    = close                                Chikou span, drawn 26 bars back
//! ```
//! Source: Nicole Elliott, Ichimoku Charts (2007). Some charts, TradingView's among them, count the
//! bar itself as the first of the 26: their displacement is 25 here. TA-Lib 0.8.1 has no Ichimoku.

use super::{Greatest, Info, Window};
use serde::{Deserialize, Serialize};
use ta::{Close, High, Low, Next};

pub const INFO: Info = Info {
    name: "ICHIMOKU",
    summary: "Ichimoku Kinko Hyo (Hosoda)",
    parameters: &[
        ("conversion", 9.0),
        ("base", 26.0),
        ("span_b", 52.0),
        ("displacement", 26.0),
    ],
    inputs: &["high", "low", "close"],
    outputs: &[
        "conversion",
        "base",
        "span A",
        "span B",
        "cloud A",
        "cloud B",
        "lagging",
        "lagged close",
    ],
    warm_up: "the longest of the three periods, and displacement bars",
    source: "Elliott, Ichimoku Charts, 2007",
};

/// The lines as of one bar, in price.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IchimokuLines {
    pub conversion: f64,
    pub base: f64,
    /// Made on this bar, to be drawn `displacement` bars ahead.
    pub span_a: f64,
    pub span_b: f64,
    /// Drawn at this bar: the spans made `displacement` bars ago.
    pub cloud_a: f64,
    pub cloud_b: f64,
    /// This bar's close, drawn `displacement` bars back.
    pub lagging: f64,
    /// The close of the bar where it is drawn.
    pub lagged_close: f64,
}

/// Middle of the range of the last n bars.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Middle {
    high: Greatest,
    /// Of negated lows.
    low: Greatest,
}

impl Middle {
    fn new(period: u32) -> Middle {
        Middle {
            high: Greatest::new(period),
            low: Greatest::new(period),
        }
    }

    #[inline]
    fn push(&mut self, high: f64, low: f64) -> f64 {
        0.5 * (self.high.push(high).0 - self.low.push(-low).0)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ichimoku {
    conversion: Middle,
    base: Middle,
    span_b: Middle,
    /// Bars until each of the middles is full.
    missing: u32,
    /// Spans A and B of the bars since the middles are full, this one too.
    spans: Window<(f64, f64)>,
    closes: Window<f64>,
}

impl Ichimoku {
    /// Panics on a period of 0, and on a displacement that no window can hold.
    pub fn new(conversion: u32, base: u32, span_b: u32, displacement: u32) -> Ichimoku {
        let kept = displacement
            .checked_add(1)
            .expect("a displacement is a number of bars");
        Ichimoku {
            conversion: Middle::new(conversion),
            base: Middle::new(base),
            span_b: Middle::new(span_b),
            missing: conversion.max(base).max(span_b),
            spans: Window::new(kept),
            closes: Window::new(kept),
        }
    }
}

impl<T: High + Low + Close> Next<&T> for Ichimoku {
    type Output = Option<IchimokuLines>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<IchimokuLines> {
        let (high, low, close) = (bar.high(), bar.low(), bar.close());
        let conversion = self.conversion.push(high, low);
        let base = self.base.push(high, low);
        let span_a = 0.5 * (conversion + base);
        let span_b = self.span_b.push(high, low);
        self.closes.push(close);
        self.missing = self.missing.saturating_sub(1);
        if self.missing > 0 {
            return None;
        }
        self.spans.push((span_a, span_b));
        if !self.spans.is_full() {
            return None;
        }
        let (cloud_a, cloud_b) = self.spans.oldest();
        Some(IchimokuLines {
            conversion,
            base,
            span_a,
            span_b,
            cloud_a,
            cloud_b,
            lagging: close,
            lagged_close: self.closes.oldest(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::Hlc;
    use crate::indicators::sliding::testing::{draws, restored};
    use rand::RngExt;

    fn bar(high: f64, low: f64, close: f64) -> Hlc {
        Hlc { high, low, close }
    }

    #[test]
    fn its_lines_are_middles() {
        let mut ichimoku = Ichimoku::new(1, 2, 3, 1);
        let bars = [
            bar(10.0, 8.0, 9.0),
            bar(12.0, 10.0, 11.0),
            bar(16.0, 12.0, 15.0),
            bar(14.0, 10.0, 11.0),
        ];
        let lines = bars.each_ref().map(|bar| ichimoku.next(bar));
        assert_eq!(lines[..3], [None; 3]);
        let expected = IchimokuLines {
            conversion: 12.0,
            base: 13.0,
            span_a: 12.5,
            span_b: 13.0,
            cloud_a: 13.5,
            cloud_b: 12.0,
            lagging: 11.0,
            lagged_close: 15.0,
        };
        assert_eq!(lines[3], Some(expected));
    }

    #[test]
    fn without_displacement_the_cloud_is_this_bars() {
        let mut ichimoku = Ichimoku::new(1, 1, 1, 0);
        let lines = ichimoku.next(&bar(3.0, 1.0, 2.5)).expect("warm");
        assert_eq!((lines.cloud_a, lines.cloud_b), (lines.span_a, lines.span_b));
        assert_eq!((lines.span_a, lines.lagged_close), (2.0, 2.5));
    }

    #[test]
    fn each_line_is_what_a_search_finds() {
        let mut draw = draws(21);
        for (c, b, s, d) in [(9, 26, 52, 26), (3, 2, 1, 5), (7, 7, 20, 25)] {
            let mut ichimoku = Ichimoku::new(c, b, s, d);
            let [c, b, s, d] = [c, b, s, d].map(|n| n as usize);
            let mut bars = Vec::new();
            let mut price = 1000.0;
            for i in 0..2000 {
                let steps = [(); 3].map(|()| f64::from(draw.random_range(0..20)) / 4.0);
                price += f64::from(draw.random_range(-8..=8)) / 4.0;
                bars.push(bar(price + steps[0], price - steps[1], price));
                if i == 777 {
                    ichimoku = restored(&ichimoku);
                }
                let found = ichimoku.next(&bars[i]);
                let first = c.max(b).max(s) - 1 + d;
                if i < first {
                    assert_eq!(found, None);
                    continue;
                }
                let middle = |end: usize, n: usize| {
                    let part = &bars[end + 1 - n..=end];
                    let high = part.iter().map(|b| b.high).fold(f64::MIN, f64::max);
                    let low = part.iter().map(|b| b.low).fold(f64::MAX, f64::min);
                    (high + low) / 2.0
                };
                let span_a = |end: usize| (middle(end, c) + middle(end, b)) / 2.0;
                let expected = IchimokuLines {
                    conversion: middle(i, c),
                    base: middle(i, b),
                    span_a: span_a(i),
                    span_b: middle(i, s),
                    cloud_a: span_a(i - d),
                    cloud_b: middle(i - d, s),
                    lagging: bars[i].close,
                    lagged_close: bars[i - d].close,
                };
                assert_eq!(found, Some(expected), "bar {i}");
            }
        }
    }
}
