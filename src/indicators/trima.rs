//! HOT PATH. Triangular moving average: weights that rise to the middle of the window and fall
//! again, as TA-Lib's `TRIMA`. Budget: 6 ns an update.
//!
//! ```text
//! n odd:  SMA(SMA(value, (n + 1) / 2), (n + 1) / 2)
//! n even: SMA(SMA(value, n / 2), n / 2 + 1)
//! ```
//! Source: Achelis, Technical Analysis from A to Z (2nd edition), Triangular Moving Average. The
//! two windows of an even n are as TA-Lib rounds them: other libraries round them otherwise.

use super::{Info, Sum};
use serde::{Deserialize, Serialize};
use ta::Next;

pub const INFO: Info = Info {
    name: "TRIMA",
    summary: "triangular moving average",
    parameters: &[("timeperiod", 30.0)],
    inputs: &["value"],
    outputs: &["average"],
    warm_up: "period values",
    source: "Achelis, Technical Analysis from A to Z, 2nd edition, Triangular Moving Average",
};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trima {
    inner: Sum,
    outer: Sum,
    /// One over the product of the two windows' lengths.
    scale: f64,
}

impl Trima {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> Trima {
        assert!(period > 0, "a period is at least 1");
        let inner = period.div_ceil(2);
        let outer = period / 2 + 1;
        Trima {
            inner: Sum::new(inner),
            outer: Sum::new(outer),
            scale: 1.0 / (f64::from(inner) * f64::from(outer)),
        }
    }
}

impl Next<f64> for Trima {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        let sum = self.inner.next(value)?;
        Some(self.outer.next(sum)? * self.scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What it answers to a single 1 among zeros: its weights.
    fn weights(period: u32) -> Vec<f64> {
        let mut trima = Trima::new(period);
        let zeros = (1..period).filter_map(|_| trima.next(0.0)).count();
        assert_eq!(zeros, 0, "it answers before it is warm");
        let one = trima.next(1.0).expect("warm");
        let rest = (0..period).map(|_| trima.next(0.0).expect("warm"));
        std::iter::once(one).chain(rest).collect()
    }

    #[test]
    fn weights_are_a_triangle() {
        let close = |found: Vec<f64>, expected: &[f64], sum: f64| {
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(expected) {
                assert!(
                    (found - expected / sum).abs() < 1e-15,
                    "{found}, not {expected}"
                );
            }
        };
        close(weights(5), &[1.0, 2.0, 3.0, 2.0, 1.0, 0.0], 9.0);
        close(weights(4), &[1.0, 2.0, 2.0, 1.0, 0.0], 6.0);
        close(weights(1), &[1.0, 0.0], 1.0);
    }
}
