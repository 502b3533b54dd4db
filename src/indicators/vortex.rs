//! HOT PATH. Vortex indicator, as TA-Lib's `VORTEX`: upward and downward movement between bars in
//! units of their true range; the greater of the two is the way of the trend. Budget: 10 ns an
//! update.
//!
//! ```text
//! up, down = |high - last low|, |low - last high|
//! TR       = max(high, last close) - min(low, last close)
//! VI+, VI- = sum(up) / sum(TR), sum(down) / sum(TR)     over the last n (0 where TR sums to 0)
//! ```
//! Source: Etienne Botes and Douglas Siepman, The Vortex Indicator, Stocks & Commodities 28:1
//! (2010).

use super::Info;
use super::sliding::Sliding;
use serde::{Deserialize, Serialize};
use std::ops::Add;
use ta::{Close, High, Low, Next};

pub const INFO: Info = Info {
    name: "VORTEX",
    summary: "vortex indicator: movement between bars, up and down, over their true range",
    parameters: &[("timeperiod", 14.0)],
    inputs: &["high", "low", "close"],
    outputs: &["VI+", "VI-"],
    warm_up: "period + 1 bars",
    source: "Botes and Siepman, The Vortex Indicator, Stocks & Commodities 28:1, 2010",
};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VortexValue {
    pub plus: f64,
    pub minus: f64,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Moves {
    up: f64,
    down: f64,
    range: f64,
}

impl Add for Moves {
    type Output = Moves;

    #[inline]
    fn add(self, other: Moves) -> Moves {
        Moves {
            up: self.up + other.up,
            down: self.down + other.down,
            range: self.range + other.range,
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Vortex {
    /// High, low and close.
    last: Option<(f64, f64, f64)>,
    moves: Sliding<Moves>,
}

impl Vortex {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> Vortex {
        Vortex {
            last: None,
            moves: Sliding::new(period),
        }
    }
}

impl<T: High + Low + Close> Next<&T> for Vortex {
    type Output = Option<VortexValue>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<VortexValue> {
        let this = (bar.high(), bar.low(), bar.close());
        let (high, low, close) = self.last.replace(this)?;
        self.moves.push(Moves {
            up: (bar.high() - low).abs(),
            down: (bar.low() - high).abs(),
            range: bar.high().max(close) - bar.low().min(close),
        });
        let Moves { up, down, range } = self.moves.full_sum()?;
        let scale = if range == 0.0 { 0.0 } else { 1.0 / range };
        Some(VortexValue {
            plus: up * scale,
            minus: down * scale,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::Hlc;

    #[test]
    fn it_is_the_movement_between_bars_over_their_range() {
        let mut vortex = Vortex::new(2);
        let bars = [
            (4.0, 2.0, 3.0),
            (6.0, 4.0, 5.0),
            (7.0, 5.0, 7.0),
            (7.0, 7.0, 7.0),
        ];
        let values = bars.map(|(high, low, close)| {
            vortex
                .next(&Hlc { high, low, close })
                .map(|v| (v.plus, v.minus))
        });
        // Up 4 and 3, down 0 and 1, true ranges 3 and 2; then up 2, down 0, no range.
        let expected = [None, None, Some((7.0 * 0.2, 0.2)), Some((2.5, 0.5))];
        assert_eq!(values, expected);
    }

    #[test]
    fn bars_without_a_range_are_0() {
        let mut vortex = Vortex::new(2);
        let flat = Hlc {
            high: 0.1,
            low: 0.1,
            close: 0.1,
        };
        let last = (0..5).filter_map(|_| vortex.next(&flat)).last();
        let nothing = VortexValue {
            plus: 0.0,
            minus: 0.0,
        };
        assert_eq!(last, Some(nothing));
    }
}
