//! HOT PATH. Arithmetic on two series, value by value, and the sum of all values so far, as
//! TA-Lib's `ADD`, `SUB`, `MULT`, `DIV` and `CUMSUM`. Budget: 2 ns an update.
//!
//! Source: TA-Lib, math operators. Its `DIV` answers an infinity or NaN where it divides by zero;
//! ours `None`. A NaN that enters `CUMSUM` stays for ever.

use super::Info;
use serde::{Deserialize, Serialize};
use ta::Next;

/// Of two series.
const fn of_two(name: &'static str, summary: &'static str, output: &'static [&str]) -> Info {
    Info {
        name,
        summary,
        parameters: &[],
        inputs: &["value", "value"],
        outputs: output,
        warm_up: "1 value",
        source: "TA-Lib, math operators",
    }
}

pub const ADD: Info = of_two("ADD", "sum of two series", &["sum"]);

pub const SUB: Info = of_two("SUB", "difference of two series", &["difference"]);

pub const MULT: Info = of_two("MULT", "product of two series", &["product"]);

pub const DIV: Info = of_two("DIV", "quotient of two series", &["quotient"]);

pub const CUMSUM: Info = Info {
    name: "CUMSUM",
    summary: "sum of all values so far",
    parameters: &[],
    inputs: &["value"],
    outputs: &["sum"],
    warm_up: "1 value",
    source: "TA-Lib, math operators",
};

/// The first value and the second.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Add;

/// The first value without the second.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Sub;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Mult;

/// The first value over the second; `None` where that is 0.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Div;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CumSum {
    sum: f64,
}

impl Add {
    pub fn new() -> Add {
        Add
    }
}

impl Sub {
    pub fn new() -> Sub {
        Sub
    }
}

impl Mult {
    pub fn new() -> Mult {
        Mult
    }
}

impl Div {
    pub fn new() -> Div {
        Div
    }
}

impl CumSum {
    pub fn new() -> CumSum {
        CumSum::default()
    }
}

impl Next<(f64, f64)> for Add {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, (a, b): (f64, f64)) -> Option<f64> {
        Some(a + b)
    }
}

impl Next<(f64, f64)> for Sub {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, (a, b): (f64, f64)) -> Option<f64> {
        Some(a - b)
    }
}

impl Next<(f64, f64)> for Mult {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, (a, b): (f64, f64)) -> Option<f64> {
        Some(a * b)
    }
}

impl Next<(f64, f64)> for Div {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, (a, b): (f64, f64)) -> Option<f64> {
        (b != 0.0).then(|| a / b)
    }
}

impl Next<f64> for CumSum {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        self.sum += value;
        Some(self.sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_arithmetic() {
        let pair = (6.0, 1.5);
        assert_eq!(Add::new().next(pair), Some(7.5));
        assert_eq!(Sub::new().next(pair), Some(4.5));
        assert_eq!(Mult::new().next(pair), Some(9.0));
        assert_eq!(Div::new().next(pair), Some(4.0));
        let mut sum = CumSum::new();
        let sums = [1.0, 2.0, -4.0].map(|v| sum.next(v));
        assert_eq!(sums, [Some(1.0), Some(3.0), Some(-1.0)]);
    }

    #[test]
    fn nothing_is_divided_by_zero() {
        let mut div = Div::new();
        assert_eq!(div.next((1.0, 0.0)), None);
        assert_eq!(div.next((0.0, 0.0)), None);
        assert_eq!(div.next((0.0, 1.0)), Some(0.0));
    }
}
