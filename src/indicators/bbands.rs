//! HOT PATH. Bollinger bands: a moving average and a number of standard deviations around it, as
//! TA-Lib's `BBANDS`. Budget: 7 ns an update with the simple average.
//!
//! ```text
//! deviation = √(mean of the squares - square of the mean), of the last n values
//! middle    = moving average of n, upper = middle + up deviation, lower = middle - down deviation
//! ```
//! Source: J. Bollinger, Bollinger on Bollinger Bands (2001). The deviation is that of all n values
//! (divided by n, not n - 1) and about their mean, whatever average the middle is. The period is 20
//! by default, as Bollinger's; older versions of TA-Lib had 5. `ta`'s has the same
//! values from the period on, but answers from the first.
//!
//! Squares of prices cancel, so values count from one that is in the window, and nothing is ever
//! subtracted from a sum: values come in blocks of n, and the window is the end of the last block
//! and this one so far. At the end of a block the sums of its ends are taken, from its last value:
//! O(1) an update on average. A window that does not move has a deviation of exactly 0.

use super::{Info, Ma, MaType};
use serde::{Deserialize, Serialize};
use ta::Next;

pub const INFO: Info = Info {
    name: "BBANDS",
    summary: "Bollinger bands",
    parameters: &[
        ("timeperiod", 20.0),
        ("nbdevup", 2.0),
        ("nbdevdn", 2.0),
        ("matype", 0.0),
    ],
    inputs: &["value"],
    outputs: &["upper", "middle", "lower"],
    warm_up: "period values, or those of the average if more",
    source: "Bollinger, Bollinger on Bollinger Bands, 2001",
};

/// A band around a price: of Bollinger's, Keltner's, Donchian's and others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bands {
    pub upper: f64,
    pub middle: f64,
    pub lower: f64,
}

/// Sums of differences from a value, and of their squares.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Sums {
    plain: f64,
    squares: f64,
}

impl Sums {
    #[inline]
    fn add(&mut self, difference: f64) {
        self.plain += difference;
        self.squares += difference * difference;
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BBands {
    /// Up to `at` the values of this block, as `plain`; from there on, at each place the sums of
    /// the last block from that place to its end.
    places: Box<[Sums]>,
    at: usize,
    warm: bool,
    /// One over the period.
    scale: f64,
    up: f64,
    down: f64,
    /// The last block's last value, from which the sums count.
    from: f64,
    block: Sums,
    /// None for the simple one, which the sums give.
    average: Option<Box<Ma>>,
}

impl BBands {
    /// Panics on a period of 0.
    pub fn new(period: u32, up: f64, down: f64, kind: MaType) -> BBands {
        assert!(period > 0, "a period is at least 1");
        let simple = matches!(kind, MaType::Sma | MaType::Own);
        BBands {
            places: vec![Sums::default(); period as usize].into_boxed_slice(),
            at: 0,
            warm: false,
            scale: 1.0 / f64::from(period),
            up,
            down,
            from: 0.0,
            block: Sums::default(),
            average: (!simple).then(|| Box::new(Ma::new(period, kind))),
        }
    }

    /// The sums of the window, with `value` in it.
    #[inline]
    fn push(&mut self, value: f64) -> Sums {
        self.places[self.at].plain = value;
        self.block.add(value - self.from);
        self.at += 1;
        match self.places.get(self.at) {
            Some(rest) => Sums {
                plain: rest.plain + self.block.plain,
                squares: rest.squares + self.block.squares,
            },
            None => self.end_block(value),
        }
    }

    #[inline(never)]
    fn end_block(&mut self, value: f64) -> Sums {
        let mut sums = Sums::default();
        for place in self.places.iter_mut().rev() {
            sums.add(place.plain - value);
            *place = sums;
        }
        self.at = 0;
        self.warm = true;
        self.from = value;
        self.block = Sums::default();
        sums
    }
}

/// Apart, so that the simple average's code stays small.
#[inline(never)]
fn next_of(average: &mut Ma, value: f64) -> Option<f64> {
    average.next(value)
}

impl Next<f64> for BBands {
    type Output = Option<Bands>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<Bands> {
        let sums = self.push(value);
        let mean = sums.plain * self.scale;
        let variance = sums.squares * self.scale - mean * mean;
        let middle = match &mut self.average {
            Some(average) => next_of(average, value)?,
            None => self.from + mean,
        };
        if !self.warm {
            return None;
        }
        let deviation = variance.max(0.0).sqrt();
        Some(Bands {
            upper: middle + self.up * deviation,
            middle,
            lower: middle - self.down * deviation,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_are_deviations_from_the_mean() {
        let mut bands = BBands::new(4, 2.0, 1.0, MaType::Sma);
        let found = [2.0, 4.0, 4.0, 6.0, 6.0].map(|v| bands.next(v));
        assert_eq!(found[..3], [None; 3]);
        let first = found[3].expect("warm");
        assert!((first.middle - 4.0).abs() < 1e-12, "{first:?}");
        assert!(
            (first.upper - 4.0 - 2.0 * 2.0_f64.sqrt()).abs() < 1e-12,
            "{first:?}"
        );
        assert!(
            (first.lower - 4.0 + 2.0_f64.sqrt()).abs() < 1e-12,
            "{first:?}"
        );
        let second = found[4].expect("warm");
        assert!(
            (second.upper - 7.0).abs() < 1e-12,
            "deviation 1: {second:?}"
        );
    }

    #[test]
    fn a_flat_market_has_none() {
        let mut bands = BBands::new(5, 2.0, 2.0, MaType::Sma);
        for i in 0..40_u32 {
            let moving = i < 18;
            let price = if moving {
                30_000.1 + f64::from(i)
            } else {
                60_000.1
            };
            let band = bands.next(price);
            if i >= 18 + 4 {
                let expected = Bands {
                    upper: price,
                    middle: price,
                    lower: price,
                };
                assert_eq!(band, Some(expected), "value {i}");
            }
        }
    }

    #[test]
    fn another_average_may_come_later() {
        let mut bands = BBands::new(3, 2.0, 2.0, MaType::Tema);
        let late = (0..50).take_while(|i| bands.next(f64::from(*i)).is_none());
        assert_eq!(late.count(), 6);
        let mut bands = BBands::new(3, 2.0, 2.0, MaType::None);
        let late = (0..50).take_while(|i| bands.next(f64::from(*i)).is_none());
        assert_eq!(late.count(), 2);
    }

    #[test]
    fn recovers_from_a_nan() {
        let mut bands = BBands::new(3, 2.0, 2.0, MaType::Sma);
        for value in [1.0, f64::NAN, f64::INFINITY, 2.0, 2.0, 2.0, 2.0, 2.0] {
            bands.next(value);
        }
        let band = bands.next(2.0).expect("warm");
        assert_eq!(
            band,
            Bands {
                upper: 2.0,
                middle: 2.0,
                lower: 2.0
            }
        );
    }
}
