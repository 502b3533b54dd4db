//! HOT PATH. Where the price is, within the quote or beyond it: the mid weighted by amounts, and
//! Stoikov's estimate of where the mid will be, learned from the quotes. Budget: 3 ns an update,
//! the estimate 10 ns, and 100 ns where the mid moves.
//!
//! ```text
//! I          = bid amount / (bid amount + ask amount)
//! MICROPRICE = bid (1 - I) + ask I
//! adjusted   = mid + G(I)
//! G          = g + B g + B² g + … + B⁵ g
//! g(i)       = mean next move of the mid after a quote with imbalance i
//! B(i, j)    = share of those moves that end in imbalance j
//! ```
//! Sources: Gatheral and Oomen, Zero-Intelligence Realized Variance Estimation (2010); Stoikov, The
//! Micro-Price: A High-Frequency Estimator of Future Prices (2018). As there, imbalances are put
//! into classes, and each quote counts once as it is and once mirrored (bids for asks), so that G
//! is odd; its sum has six terms. Unlike there, the spread makes no classes of its own: where it is
//! often wider than a tick, the estimate blurs. And old moves are forgotten: each time `moves` have
//! come, what was learned weighs half.

use super::{Bbo, Info};
use serde::{Deserialize, Serialize};
use ta::Next;

pub const MICROPRICE: Info = Info {
    name: "MICROPRICE",
    summary: "mid weighted by the amounts of the other side",
    parameters: &[],
    inputs: &["bid", "bid amount", "ask", "ask amount"],
    outputs: &["price"],
    warm_up: "none",
    source: "Gatheral and Oomen, Zero-Intelligence Realized Variance Estimation, 2010",
};

pub const MICROPRICE_ADJUSTED: Info = Info {
    name: "MICROPRICE_ADJUSTED",
    summary: "mid adjusted by what its imbalance has meant for the next moves (Stoikov)",
    parameters: &[("classes", 5.0), ("moves", 1000.0)],
    inputs: &["bid", "bid amount", "ask", "ask amount"],
    outputs: &["price"],
    warm_up: "moves of the mid",
    source: "Stoikov, The Micro-Price: A High-Frequency Estimator of Future Prices, 2018",
};

/// `None` where a side is empty.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Microprice;

impl Microprice {
    pub fn new() -> Microprice {
        Microprice
    }
}

impl Next<Bbo> for Microprice {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, quote: Bbo) -> Option<f64> {
        let price = quote.bid + quote.spread() * quote.bid_share();
        quote.is_two_sided().then_some(price)
    }
}

/// Most classes of a side.
const CLASSES: usize = 16;
/// Terms of the sum, after the first.
const TERMS: usize = 5;

/// Quotes of one class of imbalance, those with more bids and, mirrored, those with more asks.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Class {
    /// Since the mid last moved: how many, and those with more bids less the others.
    waiting: f64,
    waiting_signed: f64,
    /// Before: how many, and the sum of the moves that followed.
    count: f64,
    moves: f64,
    /// G.
    adjustment: f64,
}

/// `None` where a side is empty; such a quote is passed over.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MicropriceAdjusted {
    /// By rising imbalance.
    classes: Box<[Class]>,
    /// From class to class by rows: moves that ended on the same side, less those that did not.
    ends: Box<[f64]>,
    last_mid: Option<f64>,
    moves: u32,
    /// Moves until what was learned is halved.
    until_half: u32,
    warm: bool,
}

impl MicropriceAdjusted {
    /// `classes` are those of a side: Stoikov's 10 are 5. Panics where there are none or more than
    /// 16, and where `moves` is 0.
    pub fn new(classes: u32, moves: u32) -> MicropriceAdjusted {
        let n = classes as usize;
        assert!((1..=CLASSES).contains(&n), "classes are 1 to 16");
        assert!(moves > 0, "it learns from a move at least");
        MicropriceAdjusted {
            classes: vec![Class::default(); n].into_boxed_slice(),
            ends: vec![0.0; n * n].into_boxed_slice(),
            last_mid: None,
            moves,
            until_half: moves,
            warm: false,
        }
    }

    /// After a gap the next move says nothing of the quotes before it. What was learned stays.
    pub fn interrupt(&mut self) {
        self.last_mid = None;
        for class in &mut self.classes {
            (class.waiting, class.waiting_signed) = (0.0, 0.0);
        }
    }

    /// The class of a quote, and 1 where there are more bids, -1 where more asks, 0 where even.
    #[inline]
    fn class(&self, quote: &Bbo) -> (usize, f64) {
        let lean = 2.0 * quote.bid_share() - 1.0;
        let class = (lean.abs() * self.classes.len() as f64) as usize;
        let sign = if lean == 0.0 { 0.0 } else { lean.signum() };
        (class.min(self.classes.len() - 1), sign)
    }

    /// The mid has moved by `change` and is in class `end` now.
    fn learn(&mut self, change: f64, (end, sign): (usize, f64)) {
        let n = self.classes.len();
        for (class, ends) in self.classes.iter_mut().zip(self.ends.chunks_exact_mut(n)) {
            class.count += class.waiting;
            class.moves += class.waiting_signed * change;
            ends[end] += class.waiting_signed * sign;
            (class.waiting, class.waiting_signed) = (0.0, 0.0);
        }
        self.adjust();
        self.until_half -= 1;
        if self.until_half == 0 {
            self.warm = true;
            self.until_half = self.moves;
            self.ends.iter_mut().for_each(|end| *end *= 0.5);
            for class in &mut self.classes {
                class.count *= 0.5;
                class.moves *= 0.5;
            }
        }
    }

    /// G = g + B (g + B (g + …)).
    fn adjust(&mut self) {
        let n = self.classes.len();
        let per = |class: &Class, sum: f64| {
            if class.count > 0.0 {
                sum / class.count
            } else {
                0.0
            }
        };
        for class in &mut self.classes {
            class.adjustment = per(class, class.moves);
        }
        for _ in 0..TERMS {
            let mut next = [0.0; CLASSES];
            let rows = self.classes.iter().zip(self.ends.chunks_exact(n));
            for (next, (class, ends)) in next.iter_mut().zip(rows) {
                let after = ends.iter().zip(&self.classes);
                let sum: f64 = after.map(|(end, class)| end * class.adjustment).sum();
                *next = per(class, class.moves + sum);
            }
            for (class, next) in self.classes.iter_mut().zip(next) {
                class.adjustment = next;
            }
        }
    }
}

impl Next<Bbo> for MicropriceAdjusted {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, quote: Bbo) -> Option<f64> {
        if !quote.is_two_sided() {
            return None;
        }
        let mid = quote.mid();
        let (at, sign) = self.class(&quote);
        if let Some(last) = self.last_mid.replace(mid)
            && last != mid
        {
            self.learn(mid - last, (at, sign));
        }
        let class = &mut self.classes[at];
        class.waiting += sign.abs();
        class.waiting_signed += sign;
        self.warm.then_some(mid + sign * class.adjustment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::sliding::testing::{draws, near, near_at, restored};
    use rand::RngExt;

    fn quote(bid: f64, bid_amount: f64, ask: f64, ask_amount: f64) -> Bbo {
        Bbo {
            bid,
            bid_amount,
            ask,
            ask_amount,
        }
    }

    #[test]
    fn is_near_the_thinner_side() {
        let mut price = Microprice::new();
        assert_eq!(price.next(quote(10.0, 3.0, 12.0, 1.0)), Some(11.5));
        assert_eq!(price.next(quote(10.0, 1.0, 12.0, 1.0)), Some(11.0));
        assert_eq!(price.next(quote(0.0, 0.0, 12.0, 1.0)), None);
        assert_eq!(price.next(quote(10.0, 1.0, f64::NAN, 1.0)), None);
        let mut draw = draws(81);
        for _ in 0..500 {
            let [a, b] = [(); 2].map(|()| f64::from(draw.random_range(1..9_000_u32)) / 1e3);
            let bid = f64::from(draw.random_range(100..200_u32));
            let expected = (bid * b + (bid + 0.5) * a) / (a + b);
            near(price.next(quote(bid, a, bid + 0.5, b)), Some(expected));
        }
    }

    #[test]
    fn learns_what_an_imbalance_means() {
        // Bids above asks: the mid rises by 1. Then it is even, which says nothing more.
        let mut price = MicropriceAdjusted::new(1, 2);
        let (heavy, light) = (quote(10.0, 3.0, 12.0, 1.0), quote(10.0, 1.0, 12.0, 3.0));
        let even = |bid: f64| quote(bid, 1.0, bid + 2.0, 1.0);
        let quotes = [heavy, even(11.0), even(11.0), heavy, heavy, light];
        let values = quotes.map(|q| price.next(q));
        assert_eq!(values[..3], [None; 3]);
        // The move down followed on even quotes alone: it teaches nothing.
        assert_eq!(values[3..], [Some(12.0), Some(12.0), Some(10.0)]);
        assert_eq!(price.next(even(10.0)), Some(11.0), "the mid is as before");
        assert_eq!(price.next(quote(0.0, 0.0, 12.0, 1.0)), None);
        price.interrupt();
        assert_eq!(price.next(even(90.0)), Some(91.0));
        assert_eq!(price.next(heavy), Some(12.0));
    }

    /// By all quotes and the moves after them, without mirrored classes put together.
    fn by_matrix(quotes: &[Bbo], n: usize, moves: u32) -> Option<f64> {
        let class = |q: &Bbo| {
            let share = q.bid_amount / (q.bid_amount + q.ask_amount);
            let lean = 2.0 * share - 1.0;
            let from_middle = ((lean.abs() * n as f64) as usize).min(n - 1);
            match lean {
                0.0 => None,
                l if l > 0.0 => Some(n + from_middle),
                _ => Some(n - 1 - from_middle),
            }
        };
        let ends: Vec<usize> = (1..quotes.len())
            .filter(|i| quotes[*i].mid() != quotes[*i - 1].mid())
            .collect();
        let halves = |count: usize| count.saturating_sub(1) as u32 / moves;
        if ends.len() < moves as usize {
            return None;
        }
        let size = 2 * n;
        let (mut count, mut g) = (vec![0.0; size], vec![0.0; size]);
        let mut b = vec![vec![0.0; size]; size];
        for (k, end) in ends.iter().enumerate() {
            let weight = 0.5_f64.powi((halves(ends.len()) - halves(k + 1)) as i32);
            let start = if k == 0 { 0 } else { ends[k - 1] };
            for quote in &quotes[start..*end] {
                let Some(from) = class(quote) else { continue };
                let change = quotes[*end].mid() - quotes[*end - 1].mid();
                for (from, change, mirrored) in
                    [(from, change, false), (size - 1 - from, -change, true)]
                {
                    count[from] += weight;
                    g[from] += weight * change;
                    if let Some(to) = class(&quotes[*end]) {
                        b[from][if mirrored { size - 1 - to } else { to }] += weight;
                    }
                }
            }
        }
        for i in 0..size {
            let per = if count[i] > 0.0 { 1.0 / count[i] } else { 0.0 };
            g[i] *= per;
            b[i].iter_mut().for_each(|to| *to *= per);
        }
        let (mut sum, mut term) = (g.clone(), g);
        for _ in 0..5 {
            term = b
                .iter()
                .map(|row| row.iter().zip(&term).map(|(b, t)| b * t).sum())
                .collect();
            sum.iter_mut()
                .zip(&term)
                .for_each(|(sum, term)| *sum += term);
        }
        let last = quotes.last().expect("a quote");
        Some(last.mid() + class(last).map_or(0.0, |class| sum[class]))
    }

    #[test]
    fn is_what_the_matrices_say() {
        let mut draw = draws(82);
        for (n, moves) in [(5, 50), (1, 3), (16, 20)] {
            let mut price = MicropriceAdjusted::new(n, moves);
            let mut quotes = Vec::new();
            let mut bid = 1000.0;
            for i in 0..1200 {
                let [a, b] = [(); 2].map(|()| f64::from(draw.random_range(1..20_u32)));
                if i > 0 && draw.random_bool(0.2) {
                    let last: &Bbo = &quotes[i - 1];
                    let up = draw.random_bool(last.bid_share());
                    bid += if up { 0.5 } else { -0.5 };
                }
                quotes.push(quote(bid, a, bid + 0.5, b));
                if i == 600 {
                    price = restored(&price);
                }
                let found = price.next(quotes[i]);
                if i % 11 == 0 {
                    let expected = by_matrix(&quotes, n as usize, moves);
                    near_at(found.map(|p| p - bid), expected.map(|p| p - bid), 1.0);
                }
            }
        }
    }
}
