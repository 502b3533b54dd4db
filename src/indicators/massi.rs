//! HOT PATH. Mass index: whether ranges widen, whichever way the price goes, as TA-Lib's `MASSI`.
//! Budget: 7 ns an update.
//!
//! ```text
//! one  = EMA(high - low, fast)
//! two  = EMA(one, fast)
//! MASSI = sum of the last `slow` one / two          (1 each where two is 0)
//! ```
//! Source: Dorsey, The Mass Index, Stocks & Commodities (June 1992): a reversal is near where it
//! rises above 27 and falls below 26.5 again, with 9 and 25 bars. A market that does not change has
//! a mass of `slow`. A NaN stays for ever.

use super::{Ema, Info, Sum};
use serde::{Deserialize, Serialize};
use ta::{High, Low, Next};

pub const INFO: Info = Info {
    name: "MASSI",
    summary: "mass index (Dorsey): whether ranges widen",
    parameters: &[("fastperiod", 9.0), ("slowperiod", 25.0)],
    inputs: &["high", "low"],
    outputs: &["index, about slowperiod"],
    warm_up: "2 fastperiod + slowperiod - 2 bars",
    source: "Dorsey, The Mass Index, Stocks & Commodities, June 1992",
};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Massi {
    one: Ema,
    two: Ema,
    mass: Sum,
}

impl Massi {
    /// Panics where a period is 0.
    pub fn new(fast_period: u32, slow_period: u32) -> Massi {
        Massi {
            one: Ema::new(fast_period),
            two: Ema::new(fast_period),
            mass: Sum::new(slow_period),
        }
    }
}

impl<T: High + Low> Next<&T> for Massi {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        let one = self.one.next(bar.high() - bar.low())?;
        let two = self.two.next(one)?;
        self.mass.next(if two == 0.0 { 1.0 } else { one / two })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::Hlc;

    fn masses<const N: usize>(mut massi: Massi, ranges: [f64; N]) -> [Option<f64>; N] {
        ranges.map(|range| {
            massi.next(&Hlc {
                high: 10.0 + range,
                low: 10.0,
                close: 10.0,
            })
        })
    }

    #[test]
    fn a_steady_market_weighs_its_period() {
        assert_eq!(
            masses(Massi::new(2, 3), [0.5; 6]),
            [None, None, None, None, Some(3.0), Some(3.0)]
        );
        assert_eq!(
            masses(Massi::new(2, 3), [0.0; 6])[4..],
            [Some(3.0), Some(3.0)]
        );
    }

    #[test]
    fn widening_ranges_weigh_more() {
        // One: 1, 2, 4. Two: 1.5, the mean of the first two, then 2/3 of the way from there to 4.
        let found = masses(Massi::new(2, 1), [0.0, 2.0, 2.5, 5.0]);
        let mass = found[3].expect("warm");
        assert!(
            (mass - 4.0 / (1.5 + 2.5 * 2.0 / 3.0)).abs() < 1e-12,
            "{mass}"
        );
    }
}
