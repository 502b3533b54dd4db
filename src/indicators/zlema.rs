//! HOT PATH. Exponential average of a value that is moved ahead by what it gained over its lag, as
//! TA-Lib's `ZLEMA`. Budget: 6 ns an update.
//!
//! ```text
//! lag   = (n - 1) / 2, rounded down
//! ZLEMA = EMA(2 value - value lag values ago, n)
//! ```
//! Source: TA-Lib, function ZLEMA, 0.8.1. It is often ascribed to J. Ehlers and R. Way; but their
//! Zero Lag (Well, Almost), Stocks & Commodities 28:11 (2010), corrects an EMA by its error
//! instead. A NaN stays for ever.

use super::{Ema, Info, Window};
use serde::{Deserialize, Serialize};
use ta::Next;

pub const INFO: Info = Info {
    name: "ZLEMA",
    summary: "zero-lag exponential moving average",
    parameters: &[("timeperiod", 30.0)],
    inputs: &["value"],
    outputs: &["average"],
    warm_up: "period + (period - 1) / 2 values",
    source: "TA-Lib, function ZLEMA, 0.8.1",
};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Zlema {
    /// None where the lag is 0.
    lagging: Option<Window<f64>>,
    average: Ema,
}

impl Zlema {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> Zlema {
        let average = Ema::new(period);
        let lag = (period - 1) / 2;
        Zlema {
            lagging: (lag > 0).then(|| Window::new(lag)),
            average,
        }
    }
}

impl Next<f64> for Zlema {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        let old = match &mut self.lagging {
            Some(window) => window.push(value)?,
            None => value,
        };
        self.average.next(2.0 * value - old)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_no_lag_on_a_line() {
        for period in [1, 3, 5, 15] {
            let mut zlema = Zlema::new(period);
            for i in 0..100 {
                let value = 10.0 + f64::from(i);
                let average = zlema.next(value);
                assert_eq!(average.is_some(), i + 1 >= period + (period - 1) / 2, "{i}");
                assert!(
                    average.is_none_or(|a| (a - value).abs() < 1e-9),
                    "{average:?}"
                );
            }
        }
    }

    #[test]
    fn without_a_lag_it_is_an_ema() {
        let (mut zlema, mut ema) = (Zlema::new(2), Ema::new(2));
        for value in [3.0, 5.0, 1.0, 4.0, 8.0] {
            assert_eq!(zlema.next(value), ema.next(value));
        }
    }
}
