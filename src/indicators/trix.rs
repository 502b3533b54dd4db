//! HOT PATH. TRIX: the change of a triply smoothed price, so that what is shorter than the period
//! is gone. As TA-Lib's `TRIX`. Budget: 7 ns an update.
//!
//! ```text
//! smooth = EMA(EMA(EMA(value, n), n), n)
//! TRIX   = 100 (smooth / last smooth - 1)
//! ```
//! Source: Jack Hutson, Good TRIX, Technical Analysis of Stocks & Commodities 1 (1983). Hutson
//! smooths the logarithm of the price, and some programs multiply by 10,000; TA-Lib does neither.
//! As there, the change from a value of 0 is 0. A NaN stays for ever.

use super::{Ema, Info};
use serde::{Deserialize, Serialize};
use ta::Next;

pub const INFO: Info = Info {
    name: "TRIX",
    summary: "change of a triple exponential average (Hutson)",
    parameters: &[("timeperiod", 30.0)],
    inputs: &["value"],
    outputs: &["change, in percent"],
    warm_up: "3 (period - 1) + 2 values",
    source: "Hutson, Good TRIX, Technical Analysis of Stocks & Commodities 1, 1983",
};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trix {
    averages: [Ema; 3],
    last: Option<f64>,
}

impl Trix {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> Trix {
        Trix {
            averages: [(); 3].map(|()| Ema::new(period)),
            last: None,
        }
    }
}

impl Next<f64> for Trix {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        let [one, two, three] = &mut self.averages;
        let smooth = three.next(two.next(one.next(value)?)?)?;
        let last = self.last.replace(smooth)?;
        Some(if last == 0.0 {
            0.0
        } else {
            (smooth / last - 1.0) * 100.0
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_one_value_is_the_change() {
        let mut trix = Trix::new(1);
        let found = [2.0, 3.0, 0.0, 7.0].map(|v| trix.next(v));
        assert_eq!(found, [None, Some(50.0), Some(-100.0), Some(0.0)]);
    }

    #[test]
    fn smooths_three_times_before_it_answers() {
        let mut trix = Trix::new(2);
        let found: Vec<_> = (1..7).map(|i| trix.next(f64::from(i))).collect();
        assert_eq!(found[..4], [None; 4]);
        // On a line the average of two is half a value behind: 2.5, 3.5, 4.5.
        for (found, expected) in found[4..].iter().zip([100.0 / 2.5, 100.0 / 3.5]) {
            let found = found.expect("it is warm");
            assert!((found - expected).abs() < 1e-12, "{found}, not {expected}");
        }
    }
}
