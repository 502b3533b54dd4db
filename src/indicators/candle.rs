//! HOT PATH. Bars as indicators take them: numbers, no market.

use serde::{Deserialize, Serialize};

/// High, low and close of a bar, in quote currency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hlc {
    pub high: f64,
    pub low: f64,
    pub close: f64,
}

/// A bar: prices in quote currency, volume in base currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Candle {
    pub open: f64,
    pub high: f64,
    pub low: f64,
    pub close: f64,
    pub volume: f64,
}

impl ta::High for Hlc {
    fn high(&self) -> f64 {
        self.high
    }
}

impl ta::Low for Hlc {
    fn low(&self) -> f64 {
        self.low
    }
}

impl ta::Close for Hlc {
    fn close(&self) -> f64 {
        self.close
    }
}

impl ta::Open for Candle {
    fn open(&self) -> f64 {
        self.open
    }
}

impl ta::High for Candle {
    fn high(&self) -> f64 {
        self.high
    }
}

impl ta::Low for Candle {
    fn low(&self) -> f64 {
        self.low
    }
}

impl ta::Close for Candle {
    fn close(&self) -> f64 {
        self.close
    }
}

impl ta::Volume for Candle {
    fn volume(&self) -> f64 {
        self.volume
    }
}
