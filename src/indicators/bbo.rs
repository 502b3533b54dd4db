//! HOT PATH. Best bid and offer in plain numbers, as the indicators of quotes take it.

use serde::{Deserialize, Serialize};

/// Prices in quote currency, amounts in base currency. An empty side has an amount of 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bbo {
    pub bid: f64,
    pub bid_amount: f64,
    pub ask: f64,
    pub ask_amount: f64,
}

impl Bbo {
    /// Both sides are there, with prices and amounts that are positive, and small enough that
    /// nothing made of them overflows.
    #[inline]
    pub fn is_two_sided(&self) -> bool {
        let all = [self.bid, self.bid_amount, self.ask, self.ask_amount];
        all.iter().all(|v| *v > 0.0 && *v < 1e100)
    }

    #[inline]
    pub fn mid(&self) -> f64 {
        0.5 * (self.bid + self.ask)
    }

    /// Below zero where the quote is crossed.
    #[inline]
    pub fn spread(&self) -> f64 {
        self.ask - self.bid
    }

    /// The bid's share of both amounts: 0 to 1.
    #[inline]
    pub fn bid_share(&self) -> f64 {
        self.bid_amount / (self.bid_amount + self.ask_amount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_an_empty_side() {
        let quote = Bbo {
            bid: 99.0,
            bid_amount: 3.0,
            ask: 101.0,
            ask_amount: 1.0,
        };
        assert!(quote.is_two_sided());
        assert_eq!(
            (quote.mid(), quote.spread(), quote.bid_share()),
            (100.0, 2.0, 0.75)
        );
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(!Bbo { ask: bad, ..quote }.is_two_sided());
            assert!(
                !Bbo {
                    bid_amount: bad,
                    ..quote
                }
                .is_two_sided()
            );
        }
    }
}
