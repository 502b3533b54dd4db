//! Bars to compare on.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tickforge::indicators::Candle;

/// A random walk on a price grid of `tick`, with gaps, quiet bars, and stretches that are calm and
/// wild: what patterns and averages meet in a market.
pub fn walk(seed: u64, count: usize, start: f64, tick: f64) -> Vec<Candle> {
    let mut draw = StdRng::seed_from_u64(seed);
    let mut last = (start / tick).round() as i64;
    let floor = last / 4 + 10;
    let mut wild = 8_i64;
    let bar = |_| {
        if draw.random_bool(0.02) {
            wild = draw.random_range(2..40);
        }
        let gap = draw
            .random_bool(0.3)
            .then(|| draw.random_range(-wild..=wild));
        let open = (last + gap.unwrap_or(0)).max(floor);
        let body = match draw.random_range(0..10) {
            0 => 0,
            1 | 2 => draw.random_range(-wild / 4 - 1..=wild / 4 + 1),
            _ => draw.random_range(-wild..=wild),
        };
        let close = (open + body).max(floor);
        let mut shadow = || match draw.random_range(0..4) {
            0 => 0,
            1 => draw.random_range(0..=2 * wild),
            _ => draw.random_range(0..=wild / 2 + 1),
        };
        let (high, low) = (open.max(close) + shadow(), open.min(close) - shadow());
        last = close;
        // As the decimal text would be read: the same number that a float sum of ticks is not.
        let price = |ticks: i64| (ticks as f64 * tick * 1e8).round() / 1e8;
        Candle {
            open: price(open),
            high: price(high),
            low: price(low.max(1)),
            close: price(close),
            volume: f64::from(draw.random_range(1..1_000_000_u32)) / 1000.0,
        }
    };
    (0..count).map(bar).collect()
}
