//! HOT PATH. What trading costs where no quote says it: price impact and spread from prices and
//! volumes. Budget: 15 ns an update.
//!
//! ```text
//! Kyle's lambda = slope of the price's change on the signed volume, over the last n intervals
//! Amihud        = mean of |return| / traded value of the last n intervals
//! Roll's spread = 2 sqrt(-cov(change, last change)) of the last n pairs of changes; 0 where the
//!                 covariance is not below 0
//! ```
//! Sources: Kyle, Continuous Auctions and Insider Trading (1985), estimated as in Hasbrouck,
//! Empirical Market Microstructure (2007); Amihud, Illiquidity and Stock Returns (2002); Roll, A
//! Simple Implicit Measure of the Effective Bid-Ask Spread in an Efficient Market (1984). The
//! regression has a constant, the covariance is about the means and over n - 1. An interval is
//! whatever the caller makes one: a bar, a minute, a number of trades.

use super::Info;
use super::sliding::{Comoments, Sliding};
use serde::{Deserialize, Serialize};
use ta::Next;

pub const KYLE_LAMBDA: Info = Info {
    name: "KYLE_LAMBDA",
    summary: "price impact of signed volume (Kyle)",
    parameters: &[("timeperiod", 50.0)],
    inputs: &[
        "price at the interval's end",
        "bought less sold amount in it",
    ],
    outputs: &["price change for each unit of base"],
    warm_up: "period + 1 intervals",
    source: "Kyle, Continuous Auctions and Insider Trading, 1985",
};

pub const AMIHUD: Info = Info {
    name: "AMIHUD",
    summary: "illiquidity: return for each unit of traded value (Amihud)",
    parameters: &[("timeperiod", 50.0)],
    inputs: &["price at the interval's end", "value traded in it"],
    outputs: &["return for each unit of quote currency"],
    warm_up: "period + 1 intervals",
    source: "Amihud, Illiquidity and Stock Returns, 2002",
};

pub const ROLL_SPREAD: Info = Info {
    name: "ROLL_SPREAD",
    summary: "effective spread from the bounce of prices (Roll)",
    parameters: &[("timeperiod", 50.0)],
    inputs: &["price"],
    outputs: &["spread, in price"],
    warm_up: "period + 2 prices",
    source: "Roll, A Simple Implicit Measure of the Effective Bid-Ask Spread, 1984",
};

/// `None` while the signed volume is the same in all intervals.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KyleLambda {
    last: Option<f64>,
    /// Of signed volume and change.
    pairs: Sliding<Comoments>,
}

impl KyleLambda {
    /// Panics on a period below 2.
    pub fn new(period: u32) -> KyleLambda {
        assert!(period > 1, "a slope is of 2 values at least");
        KyleLambda {
            last: None,
            pairs: Sliding::new(period),
        }
    }
}

impl Next<(f64, f64)> for KyleLambda {
    type Output = Option<f64>;

    /// The price at the interval's end, and the amount that takers bought in it less what they
    /// sold.
    #[inline]
    fn next(&mut self, (price, signed): (f64, f64)) -> Option<f64> {
        let change = price - self.last.replace(price)?;
        self.pairs.push(Comoments::of(signed, change));
        let all = self.pairs.full_sum()?;
        (all.xx > 0.0).then(|| all.xy / all.xx)
    }
}

/// An interval in which nothing was traded does not count.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Amihud {
    last: Option<f64>,
    ratios: Sliding<f64>,
    share: f64,
}

impl Amihud {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> Amihud {
        Amihud {
            last: None,
            ratios: Sliding::new(period),
            share: 1.0 / f64::from(period),
        }
    }
}

impl Next<(f64, f64)> for Amihud {
    type Output = Option<f64>;

    /// The price at the interval's end, and the value traded in it, in quote currency.
    #[inline]
    fn next(&mut self, (price, value): (f64, f64)) -> Option<f64> {
        let last = self.last.replace(price)?;
        if value > 0.0 {
            self.ratios.push((price - last).abs() / (last * value));
        }
        Some(self.share * self.ratios.full_sum()?)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RollSpread {
    last: Option<f64>,
    last_change: Option<f64>,
    /// Of a change and the one before it.
    pairs: Sliding<Comoments>,
    /// 4 / (n - 1).
    factor: f64,
}

impl RollSpread {
    /// Panics on a period below 2.
    pub fn new(period: u32) -> RollSpread {
        assert!(period > 1, "a covariance is of 2 values at least");
        RollSpread {
            last: None,
            last_change: None,
            pairs: Sliding::new(period),
            factor: 4.0 / (f64::from(period) - 1.0),
        }
    }
}

impl Next<f64> for RollSpread {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, price: f64) -> Option<f64> {
        let change = price - self.last.replace(price)?;
        let last_change = self.last_change.replace(change)?;
        self.pairs.push(Comoments::of(last_change, change));
        let against = -self.pairs.full_sum()?.xy;
        Some((self.factor * if against < 0.0 { 0.0 } else { against }).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::sliding::testing::{draws, near, near_at, restored};
    use rand::RngExt;

    #[test]
    fn lambda_is_a_slope() {
        let mut lambda = KyleLambda::new(2);
        let intervals = [
            (10.0, 9.0),
            (11.0, 1.0),
            (14.0, 5.0),
            (13.0, 5.0),
            (13.0, 5.0),
        ];
        // Changes 1, 3, -1, 0 on 1, 5, 5, 5.
        let expected = [None, None, Some(0.5), None, None];
        assert_eq!(intervals.map(|i| lambda.next(i)), expected);
    }

    #[test]
    fn amihud_is_return_per_value() {
        let mut amihud = Amihud::new(2);
        let intervals = [(10.0, 5.0), (11.0, 2.0), (5.5, 4.0), (7.0, 0.0), (3.5, 1.0)];
        let values = intervals.map(|i| amihud.next(i));
        assert_eq!(values[..2], [None; 2]);
        near(values[2], Some((0.05 + 0.125) / 2.0));
        near(values[3], Some((0.05 + 0.125) / 2.0));
        near(values[4], Some((0.125 + 0.5) / 2.0));
    }

    #[test]
    fn a_bounce_is_a_spread() {
        let mut roll = RollSpread::new(4);
        let values: Vec<_> = [10.0, 11.0]
            .repeat(6)
            .iter()
            .map(|p| roll.next(*p))
            .collect();
        assert_eq!(values[..5], [None; 5]);
        // Pairs (1, -1), (-1, 1) twice: a covariance of -4 / 3.
        near(values[5], Some(2.0 * (4.0_f64 / 3.0).sqrt()));
        for price in [1.0, 1.0, 1.0, 1.0, 1.0, 1.0] {
            roll.next(price);
        }
        assert_eq!(roll.next(1.0), Some(0.0), "flat");
        let trend = [2.0, 4.0, 8.0, 16.0, 32.0, 64.0].map(|p| roll.next(p));
        assert_eq!(trend[5], Some(0.0), "changes that follow each other");
    }

    #[test]
    fn what_is_no_number_leaves_with_the_window() {
        let (mut lambda, mut amihud) = (KyleLambda::new(2), Amihud::new(2));
        let mut roll = RollSpread::new(2);
        let bad = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -1.0];
        for a in bad {
            for b in bad {
                lambda.next((a, b));
                amihud.next((a, b));
                roll.next(b);
            }
        }
        let values = [1.0, 2.0, 4.0, 4.0, 5.0].map(|p| {
            (
                lambda.next((p, p)),
                amihud.next((p, 1.0)),
                roll.next(p).is_some_and(f64::is_finite),
            )
        });
        assert_eq!(values[4], (Some(1.0), Some(0.125), true));
    }

    #[test]
    fn each_is_what_its_sums_say() {
        let mut draw = draws(91);
        for n in [2_u32, 50, 100] {
            let (mut lambda, mut amihud) = (KyleLambda::new(n), Amihud::new(n));
            let mut roll = RollSpread::new(n);
            let n = n as usize;
            let mut prices = vec![60_000.0];
            let mut flows = vec![(0.0, 0.0)];
            lambda.next((60_000.0, 0.0));
            amihud.next((60_000.0, 0.0));
            roll.next(60_000.0);
            for i in 1..3000 {
                let signed = f64::from(draw.random_range(-9_000..=9_000)) / 1e3;
                let noise = f64::from(draw.random_range(-500..=500)) / 1e2;
                prices.push(prices[i - 1] + 0.3 * signed + noise);
                flows.push((signed, f64::from(draw.random_range(1..9_000_000_u32))));
                if i == 1500 {
                    (lambda, amihud, roll) =
                        (restored(&lambda), restored(&amihud), restored(&roll));
                }
                let (price, (signed, value)) = (prices[i], flows[i]);
                let found = (
                    lambda.next((price, signed)),
                    amihud.next((price, value)),
                    roll.next(price),
                );
                let change = |j: usize| prices[j] - prices[j - 1];
                // Sums of products about the means, of (x, y) and of (x, x).
                let products = |pairs: &[(f64, f64)]| {
                    let mean = |f: &dyn Fn(&(f64, f64)) -> f64| {
                        pairs.iter().map(f).sum::<f64>() / n as f64
                    };
                    let (mx, my) = (mean(&|p| p.0), mean(&|p| p.1));
                    let xy: f64 = pairs.iter().map(|p| (p.0 - mx) * (p.1 - my)).sum();
                    (xy, pairs.iter().map(|p| (p.0 - mx).powi(2)).sum::<f64>())
                };
                let from = i.checked_sub(n).filter(|_| i >= n);
                let expected = from.map(|from| {
                    let pairs: Vec<_> = (from + 1..=i).map(|j| (flows[j].0, change(j))).collect();
                    let (xy, xx) = products(&pairs);
                    xy / xx
                });
                near_at(found.0, expected, 1e-2);
                let expected = from.map(|from| {
                    let ratio = |j: usize| (prices[j] / prices[j - 1] - 1.0).abs() / flows[j].1;
                    (from + 1..=i).map(ratio).sum::<f64>() / n as f64
                });
                near_at(found.1, expected, 1e-12);
                let expected = from.filter(|from| *from > 0).map(|from| {
                    let pairs: Vec<_> =
                        (from + 1..=i).map(|j| (change(j - 1), change(j))).collect();
                    2.0 * (-products(&pairs).0 / (n - 1) as f64).max(0.0).sqrt()
                });
                near_at(found.2, expected, 1.0);
            }
        }
    }
}
