//! What does a market look like? Trend, support and resistance, volatility and a snapshot of
//! indicators, of one instrument in one timeframe, from its closed bars: a row of
//! `market_analysis`.
//!
//! Off the hot path: fed with trades by a task of the publishers, each bar once. The same trades
//! give the same rows. Knows no store.
//!
//! - **Trend**, over the newest [`TREND`] bars (at least [`LEAST`]): the straight line through
//!   their closes by least squares rises (`up`) or falls (`down`) by more than a bar's mean range
//!   (high - low) from the first to the last; else `sideways`.
//! - **Support** are lows that two bars on either side did not reach, below the price;
//!   **resistance** such highs above it; of the newest [`KEPT`] bars, at most [`LEVELS`], the
//!   nearest first.
//! - **Volatility**: the sample standard deviation of the logarithmic returns from close to close,
//!   over the same bars as the trend; a fraction.
//! - **Indicators**: those that strategies use, with their usual periods, once each is warm, and
//!   `bars`, how many the row is made from.

use crate::indicators::{Atr, Ema, Hlc, Rsi, Sma};
use crate::market::decimal::{self, Scale};
use crate::market::{Bar, BarBuilder, BarKind};
use rust_decimal::Decimal;
use serde_json::{Map, Value};
use std::collections::VecDeque;
use ta::Next;

pub const TREND: usize = 20;
pub const LEAST: usize = 3;
pub const KEPT: usize = 100;
pub const LEVELS: usize = 3;
/// Bars on either side that a low or a high must stand out from.
const SIDE: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trend {
    Up,
    Down,
    Sideways,
}

impl Trend {
    pub const fn name(self) -> &'static str {
        match self {
            Trend::Up => "up",
            Trend::Down => "down",
            Trend::Sideways => "sideways",
        }
    }
}

/// What a bar's close left behind.
#[derive(Clone, Debug, PartialEq)]
pub struct Analysis {
    pub trend: Trend,
    /// The bar's close.
    pub price: Decimal,
    pub support: Vec<Decimal>,
    pub resistance: Vec<Decimal>,
    pub volatility: Option<f64>,
    pub indicators: Map<String, Value>,
    /// The bar's end.
    pub at_ns: i64,
}

/// A closed bar in quote currency.
#[derive(Clone, Copy, Debug)]
struct Candle {
    high: Decimal,
    low: Decimal,
    close: Decimal,
    /// For computing with.
    values: Hlc,
}

/// One instrument in one timeframe.
pub struct Frame {
    builder: BarBuilder,
    bars: VecDeque<Candle>,
    /// The first bar began before the first trade that was seen.
    partial: bool,
    ema: [Ema; 2],
    sma: Sma,
    rsi: Rsi,
    atr: Atr,
    indicators: Map<String, Value>,
}

impl Frame {
    pub fn new(interval_ns: i64) -> Frame {
        Frame {
            builder: BarBuilder::new(BarKind::Time(interval_ns)),
            bars: VecDeque::with_capacity(KEPT),
            partial: true,
            ema: [Ema::new(12), Ema::new(26)],
            sma: Sma::new(20),
            rsi: Rsi::new(14),
            atr: Atr::new(14),
            indicators: Map::new(),
        }
    }

    /// A trade; `now_ns` is the newest time of the instrument. Answers where it closes a bar from
    /// which something can be said.
    pub fn trade(
        &mut self,
        now_ns: i64,
        (time_ns, price, amount): (i64, i64, i64),
        scale: Scale,
    ) -> Option<Analysis> {
        let closed = self.builder.close_due(now_ns);
        let analysis = closed.and_then(|bar| self.closed(&bar, scale));
        self.builder.trade(time_ns, price, amount, true);
        analysis
    }

    pub fn rescale(&mut self, price: impl Fn(i64) -> Option<i64>) {
        self.builder.rescale(price, Some);
    }

    fn closed(&mut self, bar: &Bar, scale: Scale) -> Option<Analysis> {
        if std::mem::take(&mut self.partial) {
            return None;
        }
        let value = |v: i64| decimal::to_f64(v, scale);
        let candle = Candle {
            high: decimal::to_decimal(bar.high, scale),
            low: decimal::to_decimal(bar.low, scale),
            close: decimal::to_decimal(bar.close, scale),
            values: Hlc {
                high: value(bar.high),
                low: value(bar.low),
                close: value(bar.close),
            },
        };
        if self.bars.len() == KEPT {
            self.bars.pop_front();
        }
        self.bars.push_back(candle);
        self.indicate(&candle.values);
        if self.bars.len() < LEAST {
            return None;
        }
        let newest: Vec<Hlc> = self.newest().collect();
        let (support, resistance) = self.levels(candle.close);
        Some(Analysis {
            trend: trend(&newest),
            price: candle.close,
            support,
            resistance,
            volatility: volatility(&newest),
            indicators: self.indicators.clone(),
            at_ns: bar.end_ns,
        })
    }

    /// Oldest first.
    fn newest(&self) -> impl Iterator<Item = Hlc> {
        let skip = self.bars.len().saturating_sub(TREND);
        self.bars.iter().skip(skip).map(|c| c.values)
    }

    fn indicate(&mut self, bar: &Hlc) {
        let [fast, slow] = &mut self.ema;
        let all = [
            ("ema_12", fast.next(bar.close)),
            ("ema_26", slow.next(bar.close)),
            ("sma_20", self.sma.next(bar.close)),
            ("rsi_14", self.rsi.next(bar.close)),
            ("atr_14", self.atr.next(bar)),
        ];
        for (name, value) in all {
            if let Some(value) = value {
                self.indicators.insert(name.to_owned(), value.into());
            }
        }
        self.indicators
            .insert("bars".to_owned(), self.bars.len().into());
    }

    /// Support below `price` and resistance above it, the nearest first.
    fn levels(&self, price: Decimal) -> (Vec<Decimal>, Vec<Decimal>) {
        let (mut support, mut resistance) = (Vec::new(), Vec::new());
        for i in SIDE..self.bars.len().saturating_sub(SIDE) {
            let here = &self.bars[i];
            let mut others = (i - SIDE..=i + SIDE).filter(|j| *j != i);
            let mut others_again = others.clone();
            if here.low < price && others.all(|j| self.bars[j].low > here.low) {
                support.push(here.low);
            }
            if here.high > price && others_again.all(|j| self.bars[j].high < here.high) {
                resistance.push(here.high);
            }
        }
        support.sort_unstable_by(|a, b| b.cmp(a));
        resistance.sort_unstable();
        for levels in [&mut support, &mut resistance] {
            levels.dedup();
            levels.truncate(LEVELS);
        }
        (support, resistance)
    }
}

fn trend(bars: &[Hlc]) -> Trend {
    let n = bars.len() as f64;
    let middle = (n - 1.0) / 2.0;
    let mean = bars.iter().map(|b| b.close).sum::<f64>() / n;
    let (mut above, mut below) = (0.0, 0.0);
    for (i, bar) in bars.iter().enumerate() {
        let x = i as f64 - middle;
        above += x * (bar.close - mean);
        below += x * x;
    }
    let rise = above / below * (n - 1.0);
    let range = bars.iter().map(|b| b.high - b.low).sum::<f64>() / n;
    if rise > range {
        Trend::Up
    } else if rise < -range {
        Trend::Down
    } else {
        Trend::Sideways
    }
}

fn volatility(bars: &[Hlc]) -> Option<f64> {
    let returns: Vec<f64> = bars
        .windows(2)
        .map(|w| (w[1].close / w[0].close).ln())
        .collect();
    let n = returns.len() as f64;
    let mean = returns.iter().sum::<f64>() / n;
    let squares: f64 = returns.iter().map(|r| (r - mean) * (r - mean)).sum();
    let deviation = (squares / (n - 1.0)).sqrt();
    (returns.len() > 1 && deviation.is_finite()).then_some(deviation)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One bar of three trades for each (high, low, close), in whole units; scale 0.
    fn played(bars: &[(i64, i64, i64)]) -> Vec<Analysis> {
        let mut frame = Frame::new(10);
        let mut all = Vec::new();
        for (i, (high, low, close)) in bars.iter().enumerate() {
            for (j, price) in [high, low, close].into_iter().enumerate() {
                let at = (i * 10 + j) as i64;
                all.extend(frame.trade(at, (at, *price, 1), 0));
            }
        }
        let end = (bars.len() * 10) as i64;
        all.extend(frame.trade(end, (end, 1, 1), 0));
        all
    }

    #[test]
    fn bars_by_hand() {
        // The first bar is partial; of the rest, the third is the first one that says something.
        let bars = [
            (1, 1, 1),
            (101, 99, 100),
            (106, 102, 105),
            (111, 104, 110),
            (109, 101, 102),
            (108, 103, 104),
            (107, 102, 103),
        ];
        let all = played(&bars);
        assert_eq!(all.len(), 4);
        let first = &all[0];
        // Closes 100, 105, 110 rise by 10; the mean range is (2 + 4 + 7) / 3 = 4.33.
        assert_eq!((first.trend, first.price), (Trend::Up, Decimal::from(110)));
        assert_eq!(first.at_ns, 40);
        assert_eq!(first.indicators["bars"], 3);
        // ln(1.05) = 0.048790, ln(110/105) = 0.046520: deviation |a - b| / sqrt 2.
        let expected = ((1.05f64).ln() - (110.0f64 / 105.0).ln()) / 2.0f64.sqrt();
        assert!((first.volatility.expect("two returns") - expected).abs() < 1e-12);
        let last = &all[3];
        // 111 stands out from two bars on either side; 101 from 102, 104 and 103, 102.
        assert_eq!(last.resistance, [Decimal::from(111)]);
        assert_eq!(last.support, [Decimal::from(101)]);
        assert_eq!(last.trend, Trend::Sideways);
    }

    #[test]
    fn indicators_come_as_they_warm_up() {
        let bars: Vec<_> = (0..40).map(|i| (i + 102, i + 98, i + 100)).collect();
        let all = played(&bars);
        let keys = |a: &Analysis| a.indicators.keys().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!(keys(&all[0]), "bars");
        let last = all.last().expect("rows");
        assert_eq!(keys(last), "atr_14 bars ema_12 ema_26 rsi_14 sma_20");
        assert_eq!(last.trend, Trend::Up);
        // The mean of the closes 120 to 139.
        assert_eq!(last.indicators["sma_20"], 129.5);
        assert_eq!(last.indicators["rsi_14"], 100.0);
    }
}
