//! HOT PATH. Elder-ray: how far the bulls lift a bar above the average and the bears push it below,
//! as TA-Lib's `ERI`. Budget: 4 ns an update.
//!
//! ```text
//! bull power = high - EMA(close, n)
//! bear power = low - EMA(close, n)
//! ```
//! Source: Alexander Elder, Trading for a Living (1993), Elder-ray. A NaN in a close stays for
//! ever.

use super::{Ema, Info};
use serde::{Deserialize, Serialize};
use ta::{Close, High, Low, Next};

pub const INFO: Info = Info {
    name: "ERI",
    summary: "Elder-ray: high and low against the exponential moving average of the close",
    parameters: &[("timeperiod", 13.0)],
    inputs: &["high", "low", "close"],
    outputs: &["bull power, in price", "bear power, in price"],
    warm_up: "period bars",
    source: "Elder, Trading for a Living, 1993, Elder-ray",
};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EriValue {
    pub bull_power: f64,
    pub bear_power: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Eri {
    average: Ema,
}

impl Eri {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> Eri {
        Eri {
            average: Ema::new(period),
        }
    }
}

impl<T: High + Low + Close> Next<&T> for Eri {
    type Output = Option<EriValue>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<EriValue> {
        let average = self.average.next(bar.close())?;
        Some(EriValue {
            bull_power: bar.high() - average,
            bear_power: bar.low() - average,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::Hlc;

    #[test]
    fn it_is_the_bar_against_the_average() {
        let mut eri = Eri::new(2);
        let bar = |high, low, close| Hlc { high, low, close };
        assert_eq!(eri.next(&bar(9.0, 5.0, 6.0)), None);
        let expected = EriValue {
            bull_power: 2.0,
            bear_power: -1.0,
        };
        assert_eq!(eri.next(&bar(9.0, 6.0, 8.0)), Some(expected));
    }
}
