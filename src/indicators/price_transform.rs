//! HOT PATH. One price for a bar: TA-Lib's `AVGPRICE`, `MEDPRICE`, `TYPPRICE` and `WCLPRICE`.
//! Budget: 1 ns an update.
//!
//! ```text
//! AVGPRICE = (open + high + low + close) / 4
//! MEDPRICE = (high + low) / 2
//! TYPPRICE = (high + low + close) / 3
//! WCLPRICE = (high + low + 2 close) / 4
//! ```
//! Source: Achelis, Technical Analysis from A to Z (2nd edition); TA-Lib, function AVGPRICE, 0.8.1.
//! They are warm from the first bar on.

use super::Info;
use serde::{Deserialize, Serialize};
use ta::{Close, High, Low, Next, Open};

pub const AVGPRICE: Info = Info {
    name: "AVGPRICE",
    summary: "average price of a bar",
    parameters: &[],
    inputs: &["open", "high", "low", "close"],
    outputs: &["price"],
    warm_up: "1 bar",
    source: "TA-Lib, function AVGPRICE, 0.8.1",
};

pub const MEDPRICE: Info = Info {
    name: "MEDPRICE",
    summary: "middle of a bar's range",
    parameters: &[],
    inputs: &["high", "low"],
    outputs: &["price"],
    warm_up: "1 bar",
    source: "Achelis, Technical Analysis from A to Z, 2nd edition, Median Price",
};

pub const TYPPRICE: Info = Info {
    name: "TYPPRICE",
    summary: "typical price of a bar",
    parameters: &[],
    inputs: &["high", "low", "close"],
    outputs: &["price"],
    warm_up: "1 bar",
    source: "Achelis, Technical Analysis from A to Z, 2nd edition, Typical Price",
};

pub const WCLPRICE: Info = Info {
    name: "WCLPRICE",
    summary: "price of a bar in which the close counts twice",
    parameters: &[],
    inputs: &["high", "low", "close"],
    outputs: &["price"],
    warm_up: "1 bar",
    source: "Achelis, Technical Analysis from A to Z, 2nd edition, Weighted Close",
};

/// Average of open, high, low and close.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct AvgPrice {}

impl AvgPrice {
    pub fn new() -> AvgPrice {
        AvgPrice {}
    }
}

impl<T: Open + High + Low + Close> Next<&T> for AvgPrice {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        Some((bar.high() + bar.low() + bar.close() + bar.open()) * 0.25)
    }
}

/// Middle of the range.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct MedPrice {}

impl MedPrice {
    pub fn new() -> MedPrice {
        MedPrice {}
    }
}

impl<T: High + Low> Next<&T> for MedPrice {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        Some((bar.high() + bar.low()) * 0.5)
    }
}

/// Average of high, low and close.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TypPrice {}

impl TypPrice {
    pub fn new() -> TypPrice {
        TypPrice {}
    }
}

impl<T: High + Low + Close> Next<&T> for TypPrice {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        Some((bar.high() + bar.low() + bar.close()) / 3.0)
    }
}

/// Average of high, low and twice the close.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct WclPrice {}

impl WclPrice {
    pub fn new() -> WclPrice {
        WclPrice {}
    }
}

impl<T: High + Low + Close> Next<&T> for WclPrice {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        Some((bar.high() + bar.low() + 2.0 * bar.close()) * 0.25)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::Candle;

    #[test]
    fn each_weighs_its_prices() {
        let bar = Candle {
            open: 2.0,
            high: 10.0,
            low: 1.0,
            close: 4.0,
            volume: 0.0,
        };
        assert_eq!(AvgPrice::new().next(&bar), Some(4.25));
        assert_eq!(MedPrice::new().next(&bar), Some(5.5));
        assert_eq!(TypPrice::new().next(&bar), Some(5.0));
        assert_eq!(WclPrice::new().next(&bar), Some(4.75));
    }
}
