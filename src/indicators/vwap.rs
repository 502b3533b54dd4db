//! HOT PATH. Volume weighted average price of all bars so far, as TA-Lib's `VWAP`. Budget: 4 ns an
//! update.
//!
//! ```text
//! typical = (high + low + close) / 3
//! VWAP    = sum of typical × volume / sum of volume          (0 as long as that is 0)
//! ```
//! Source: Berkowitz, Logue and Noser, The Total Cost of Transactions on the NYSE (1988). TA-Lib's
//! begins with its input and knows no sessions; for one a session, call `reset` at its first bar.
//! As in TA-Lib, the price is 0 until there was volume, which is no price. A NaN stays until
//! `reset`.

use super::Info;
use serde::{Deserialize, Serialize};
use ta::{Close, High, Low, Next, Volume};

pub const INFO: Info = Info {
    name: "VWAP",
    summary: "volume weighted average price since the start",
    parameters: &[],
    inputs: &["high", "low", "close", "volume"],
    outputs: &["price"],
    warm_up: "1 bar",
    source: "Berkowitz, Logue and Noser, The Total Cost of Transactions on the NYSE, 1988",
};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Vwap {
    value: f64,
    volume: f64,
}

impl Vwap {
    pub fn new() -> Vwap {
        Vwap::default()
    }

    /// Starts anew: a new session.
    pub fn reset(&mut self) {
        *self = Vwap::new();
    }
}

impl<T: High + Low + Close + Volume> Next<&T> for Vwap {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        let volume = bar.volume();
        self.value += (bar.high() + bar.low() + bar.close()) * (1.0 / 3.0) * volume;
        self.volume += volume;
        Some(if self.volume > 0.0 {
            self.value / self.volume
        } else {
            0.0
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::Candle;

    #[test]
    fn volume_weighs_the_typical_price() {
        let bar = |typical, volume| Candle {
            open: 0.0,
            high: typical + 2.0,
            low: typical - 3.0,
            close: typical + 1.0,
            volume,
        };
        let mut vwap = Vwap::new();
        assert_eq!(vwap.next(&bar(30.0, 0.0)), Some(0.0), "no volume yet");
        let found = [bar(12.0, 1.0), bar(24.0, 3.0), bar(90.0, 0.0)].map(|bar| vwap.next(&bar));
        assert_eq!(found, [12.0, 21.0, 21.0].map(Some));
        vwap.reset();
        assert_eq!(vwap.next(&bar(24.0, 2.0)), Some(24.0));
    }
}
