//! HOT PATH. Exponential averages of exponential averages, set against each other so that they lag
//! less: TA-Lib's `DEMA`, `TEMA` (Mulloy's) and `T3` (Tillson's). Budget: 7, 9 and 13 ns an update.
//!
//! ```text
//! e1 = EMA(value, n), e2 = EMA(e1, n), ... e6 = EMA(e5, n)
//! DEMA = 2 e1 - e2
//! TEMA = 3 e1 - 3 e2 + e3
//! GD   = (1 + v) e1 - v e2               T3 = GD(GD(GD(value))), written out:
//! T3   = -v³ e6 + 3 (v² + v³) e5 - 3 (2 v² + v + v³) e4 + (1 + 3 v + 3 v² + v³) e3
//! ```
//! Source: P. Mulloy, Smoothing Data with Faster Moving Averages and Smoothing Data with Less Lag,
//! Stocks & Commodities 12:1 and 12:2 (1994); T. Tillson, Smoothing Techniques for More Accurate
//! Signals, Stocks & Commodities 16:1 (1998). Each average begins with the mean of the first n of
//! the one before it, as TA-Lib's `EMA` does, so the first value comes late: after 2 (n - 1),
//! 3 (n - 1) and 6 (n - 1) values. A NaN stays for ever.

use super::{Ema, Info};
use serde::{Deserialize, Serialize};
use ta::Next;

pub const DEMA: Info = Info {
    name: "DEMA",
    summary: "double exponential moving average",
    parameters: &[("timeperiod", 30.0)],
    inputs: &["value"],
    outputs: &["average"],
    warm_up: "2 period - 1 values",
    source: "Mulloy, Smoothing Data with Faster Moving Averages, Stocks & Commodities 12:1, 1994",
};

pub const TEMA: Info = Info {
    name: "TEMA",
    summary: "triple exponential moving average",
    parameters: &[("timeperiod", 30.0)],
    inputs: &["value"],
    outputs: &["average"],
    warm_up: "3 period - 2 values",
    source: "Mulloy, Smoothing Data with Less Lag, Stocks & Commodities 12:2, 1994",
};

pub const T3: Info = Info {
    name: "T3",
    summary: "Tillson's triple generalised double exponential moving average",
    parameters: &[("timeperiod", 5.0), ("vfactor", 0.7)],
    inputs: &["value"],
    outputs: &["average"],
    warm_up: "6 period - 5 values",
    source: "Tillson, Smoothing Techniques for More Accurate Signals, S&C 16:1, 1998",
};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Dema {
    averages: [Ema; 2],
}

impl Dema {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> Dema {
        Dema {
            averages: std::array::from_fn(|_| Ema::new(period)),
        }
    }
}

impl Next<f64> for Dema {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        let [a, b] = &mut self.averages;
        let one = a.next(value)?;
        Some(2.0 * one - b.next(one)?)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tema {
    averages: [Ema; 3],
}

impl Tema {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> Tema {
        Tema {
            averages: std::array::from_fn(|_| Ema::new(period)),
        }
    }
}

impl Next<f64> for Tema {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        let [a, b, c] = &mut self.averages;
        let one = a.next(value)?;
        let two = b.next(one)?;
        Some(3.0 * (one - two) + c.next(two)?)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct T3 {
    averages: [Ema; 6],
    /// Of the third average to the sixth.
    weights: [f64; 4],
}

impl T3 {
    /// `v` is 0 (an EMA of an EMA of an EMA) to 1 (a DEMA of a DEMA of a DEMA).
    ///
    /// Panics on a period of 0 or a `v` that is not within 0 to 1.
    pub fn new(period: u32, v: f64) -> T3 {
        assert!((0.0..=1.0).contains(&v), "the factor is 0 to 1");
        let (v2, v3) = (v * v, v * v * v);
        T3 {
            averages: std::array::from_fn(|_| Ema::new(period)),
            weights: [
                1.0 + 3.0 * v + 3.0 * v2 + v3,
                -3.0 * (2.0 * v2 + v + v3),
                3.0 * (v2 + v3),
                -v3,
            ],
        }
    }
}

impl Next<f64> for T3 {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        let [a, b, c, d, e, f] = &mut self.averages;
        let three = c.next(b.next(a.next(value)?)?)?;
        let four = d.next(three)?;
        let five = e.next(four)?;
        let six = f.next(five)?;
        let [w3, w4, w5, w6] = self.weights;
        Some(w3 * three + w4 * four + w5 * five + w6 * six)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first answer comes at the value `warm_up`, and a series that never moves stays.
    fn stays(mut indicator: impl Next<f64, Output = Option<f64>>, warm_up: u32) {
        for i in 1..200 {
            let average = indicator.next(40.0);
            assert_eq!(average.is_some(), i >= warm_up, "value {i}");
            assert!(
                average.is_none_or(|a| (a - 40.0).abs() < 1e-12),
                "{average:?}"
            );
        }
    }

    #[test]
    fn a_flat_series_stays() {
        stays(Dema::new(10), 19);
        stays(Tema::new(10), 28);
        stays(T3::new(10, 0.7), 55);
        stays(T3::new(1, 0.7), 1);
    }

    #[test]
    fn the_double_has_no_lag_on_a_line() {
        let (mut dema, mut tema) = (Dema::new(5), Tema::new(5));
        for i in 0..300 {
            let value = f64::from(i);
            let averages = [dema.next(value), tema.next(value)];
            for average in averages.into_iter().flatten() {
                assert!((average - value).abs() < 1e-9, "{average}, not {value}");
            }
        }
    }

    #[test]
    fn a_factor_of_zero_is_the_third_average() {
        let (mut t3, mut e) = (T3::new(3, 0.0), [Ema::new(3), Ema::new(3), Ema::new(3)]);
        for i in 0..50 {
            let value = f64::from(i * i % 17);
            let third = e.iter_mut().try_fold(value, |value, ema| ema.next(value));
            let average = t3.next(value);
            assert!(average.is_none_or(|a| third.is_some_and(|b| (a - b).abs() < 1e-12)));
        }
    }
}
