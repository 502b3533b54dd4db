//! HOT PATH. Imbalance of an order book's best levels: -1 (all is asked) to 1 (all is bid). Budget:
//! 1 ns a level, weighted by distance 4 ns a level.
//!
//! ```text
//! imbalance = (bids - asks) / (bids + asks)       bids = Σ w amount of the best k bids
//! w         = 1, or half / (half + distance)      distance from the mid, in basis points
//! ```
//! Source: Cartea, Jaimungal and Penalva, Algorithmic and High-Frequency Trading (2015), who have
//! the weight 1. The other one is a half at `half`: an order far from the mid, which is seldom
//! meant, counts little, and how coarse the price grid is does not matter.

use super::Info;
use serde::{Deserialize, Serialize};
use ta::Next;

pub const DEPTH_IMBALANCE: Info = Info {
    name: "DEPTH_IMBALANCE",
    summary: "imbalance of the amounts in the best levels",
    parameters: &[("levels", 5.0)],
    inputs: &["amounts of bids", "amounts of asks"],
    outputs: &["imbalance, -1 to 1"],
    warm_up: "none",
    source: "Cartea, Jaimungal and Penalva, Algorithmic and High-Frequency Trading, 2015",
};

pub const DEPTH_IMBALANCE_WEIGHTED: Info = Info {
    name: "DEPTH_IMBALANCE_WEIGHTED",
    summary: "imbalance of the amounts in the best levels, weighted by distance from the mid",
    parameters: &[("levels", 20.0), ("half", 5.0)],
    inputs: &["prices and amounts of bids", "prices and amounts of asks"],
    outputs: &["imbalance, -1 to 1"],
    warm_up: "none",
    source: "own weights; Cartea et al., Algorithmic and High-Frequency Trading, 2015",
};

#[inline]
fn imbalance(bids: f64, asks: f64) -> Option<f64> {
    let both = bids + asks;
    (both > 0.0).then(|| (bids - asks) / both)
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DepthImbalance {
    levels: usize,
}

impl DepthImbalance {
    /// Panics where there are no levels.
    pub fn new(levels: u32) -> DepthImbalance {
        assert!(levels > 0, "a depth is at least 1 level");
        DepthImbalance {
            levels: levels as usize,
        }
    }

    /// Amounts, best level first. A side with fewer levels counts with those it has; `None` where
    /// both are empty.
    #[inline]
    pub fn of(
        &self,
        bids: impl IntoIterator<Item = f64>,
        asks: impl IntoIterator<Item = f64>,
    ) -> Option<f64> {
        let bids: f64 = bids.into_iter().take(self.levels).sum();
        let asks: f64 = asks.into_iter().take(self.levels).sum();
        imbalance(bids, asks)
    }
}

impl Next<(&[f64], &[f64])> for DepthImbalance {
    type Output = Option<f64>;

    /// Amounts of bids and of asks, best level first.
    #[inline]
    fn next(&mut self, (bids, asks): (&[f64], &[f64])) -> Option<f64> {
        self.of(bids.iter().copied(), asks.iter().copied())
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DepthImbalanceWeighted {
    levels: usize,
    /// As a share of the mid.
    half: f64,
}

impl DepthImbalanceWeighted {
    /// At `half_bp` basis points from the mid an amount weighs half. Panics where there are no
    /// levels or `half_bp` is not positive.
    pub fn new(levels: u32, half_bp: f64) -> DepthImbalanceWeighted {
        assert!(levels > 0, "a depth is at least 1 level");
        assert!(half_bp > 0.0, "a distance is positive");
        DepthImbalanceWeighted {
            levels: levels as usize,
            half: half_bp / 1e4,
        }
    }

    /// Prices and amounts, best level first; `None` where a side is empty.
    #[inline]
    pub fn of(
        &self,
        bids: impl IntoIterator<Item = (f64, f64)>,
        asks: impl IntoIterator<Item = (f64, f64)>,
    ) -> Option<f64> {
        let mut bids = bids.into_iter().take(self.levels).peekable();
        let mut asks = asks.into_iter().take(self.levels).peekable();
        let mid = 0.5 * (bids.peek()?.0 + asks.peek()?.0);
        let half = self.half * mid;
        let weighted = |(price, amount): (f64, f64)| amount * half / (half + (price - mid).abs());
        let bids: f64 = bids.map(weighted).sum();
        let asks: f64 = asks.map(weighted).sum();
        imbalance(bids, asks)
    }
}

impl Next<(&[(f64, f64)], &[(f64, f64)])> for DepthImbalanceWeighted {
    type Output = Option<f64>;

    /// Prices and amounts of bids and of asks, best level first.
    #[inline]
    fn next(&mut self, (bids, asks): (&[(f64, f64)], &[(f64, f64)])) -> Option<f64> {
        self.of(bids.iter().copied(), asks.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::sliding::testing::{draws, near_at};
    use rand::RngExt;

    #[test]
    fn counts_the_best_levels() {
        let mut book = DepthImbalance::new(2);
        assert_eq!(book.next((&[2.0, 4.0, 99.0], &[1.0, 1.0, 99.0])), Some(0.5));
        assert_eq!(
            book.next((&[3.0], &[1.0, 1.0])),
            Some(0.2),
            "one side is short"
        );
        assert_eq!(book.next((&[3.0], &[])), Some(1.0));
        assert_eq!(book.next((&[], &[3.0])), Some(-1.0));
        assert_eq!(book.next((&[], &[])), None);
        assert_eq!(book.next((&[0.0], &[0.0])), None);
        assert_eq!(book.next((&[f64::NAN], &[1.0])), None);
    }

    #[test]
    fn weighs_by_distance() {
        // Mid 100, half a weight at 1: the best have 1/2, the second bid 1/4.
        let mut book = DepthImbalanceWeighted::new(2, 100.0);
        let bids = [(99.0, 4.0), (97.0, 8.0), (96.0, 99.0)];
        assert_eq!(book.next((&bids, &[(101.0, 2.0)])), Some(0.6));
        assert_eq!(book.next((&bids, &[])), None);
        assert_eq!(book.next((&[], &bids)), None);
        assert_eq!(
            book.next((&[(0.0, 1.0)], &[(0.0, 1.0)])),
            None,
            "no price, no distance"
        );
    }

    #[test]
    fn far_levels_weigh_little_and_a_wide_half_is_none_at_all() {
        let mut draw = draws(61);
        for _ in 0..500 {
            let mut side = |sign: f64| -> Vec<(f64, f64)> {
                let mut price = 60_000.0;
                (0..30)
                    .map(|_| {
                        price += sign * f64::from(draw.random_range(1..100_u32)) / 10.0;
                        (price, f64::from(draw.random_range(1..9_000_u32)) / 1e3)
                    })
                    .collect()
            };
            let (bids, asks) = (side(-1.0), side(1.0));
            let amounts = |side: &[(f64, f64)]| side.iter().map(|l| l.1).collect::<Vec<_>>();
            let even = DepthImbalance::new(20).next((&amounts(&bids), &amounts(&asks)));
            let wide = DepthImbalanceWeighted::new(20, 1e15).next((&bids, &asks));
            near_at(wide, even, 1.0);
            let mid = (bids[0].0 + asks[0].0) / 2.0;
            let sum = |side: &[(f64, f64)]| -> f64 {
                let weight = |price: f64| 1.0 / (1.0 + (price / mid - 1.0).abs() * 1e4 / 5.0);
                side[..20].iter().map(|l| l.1 * weight(l.0)).sum()
            };
            let expected = (sum(&bids) - sum(&asks)) / (sum(&bids) + sum(&asks));
            let found = DepthImbalanceWeighted::new(20, 5.0).next((&bids, &asks));
            near_at(found, Some(expected), 1.0);
        }
    }
}
