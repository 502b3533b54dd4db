//! HOT PATH. Averages of spread and depth: of the last n quotes, and over time, each quote weighing
//! as long as it held. Budget: 12 ns an update.
//!
//! ```text
//! QUOTE_MEAN      = mean of the last n quotes
//! QUOTE_TIME_MEAN = last + (quote that held - last) dt / (tau + dt)
//! ```
//! of ask - bid, of the same in basis points of the mid, and of the amounts of both sides. The mean
//! over time is [`super::TimeEma`]'s, of four values with one weight. A mean of quotes counts a
//! hectic moment more than a calm one; what an order at a random moment would find is the mean over
//! time. The amounts may be those of many levels: the caller sums them.
//! Source: Zumbach and Müller, Operators on Inhomogeneous Time Series (2001); McInish and Wood, An
//! Analysis of Intraday Patterns in Bid/Ask Spreads (1992), who weigh quotes by time.

use super::sliding::Sliding;
use super::{Bbo, Info};
use serde::{Deserialize, Serialize};
use std::ops::Add;
use ta::Next;

const OUTPUTS: &[&str] = &[
    "spread, in price",
    "spread, in basis points of the mid",
    "bid amount",
    "ask amount",
];

pub const QUOTE_MEAN: Info = Info {
    name: "QUOTE_MEAN",
    summary: "averages of spread and depth of the last quotes",
    parameters: &[("timeperiod", 100.0)],
    inputs: &["bid", "bid amount", "ask", "ask amount"],
    outputs: OUTPUTS,
    warm_up: "period quotes",
    source: "McInish and Wood, An Analysis of Intraday Patterns in Bid/Ask Spreads, 1992",
};

pub const QUOTE_TIME_MEAN: Info = Info {
    name: "QUOTE_TIME_MEAN",
    summary: "averages of spread and depth over time, by how long each quote held",
    parameters: &[("tau", 1e9)],
    inputs: &["time, ns", "bid", "bid amount", "ask", "ask amount"],
    outputs: OUTPUTS,
    warm_up: "tau of time with a quote",
    source: "Zumbach and Müller, Operators on Inhomogeneous Time Series, 2001",
};

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QuoteAverages {
    /// In price.
    pub spread: f64,
    /// In basis points of the mid.
    pub spread_bp: f64,
    pub bid_amount: f64,
    pub ask_amount: f64,
}

impl QuoteAverages {
    #[inline]
    fn of(quote: &Bbo) -> QuoteAverages {
        let spread = quote.spread();
        QuoteAverages {
            spread,
            spread_bp: 1e4 * spread / quote.mid(),
            bid_amount: quote.bid_amount,
            ask_amount: quote.ask_amount,
        }
    }

    #[inline]
    fn times(self, factor: f64) -> QuoteAverages {
        QuoteAverages {
            spread: self.spread * factor,
            spread_bp: self.spread_bp * factor,
            bid_amount: self.bid_amount * factor,
            ask_amount: self.ask_amount * factor,
        }
    }
}

impl Add for QuoteAverages {
    type Output = QuoteAverages;

    #[inline]
    fn add(self, other: QuoteAverages) -> QuoteAverages {
        QuoteAverages {
            spread: self.spread + other.spread,
            spread_bp: self.spread_bp + other.spread_bp,
            bid_amount: self.bid_amount + other.bid_amount,
            ask_amount: self.ask_amount + other.ask_amount,
        }
    }
}

/// Of the last n quotes. A quote without one of its sides is passed over.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct QuoteMean {
    quotes: Sliding<QuoteAverages>,
    share: f64,
}

impl QuoteMean {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> QuoteMean {
        QuoteMean {
            quotes: Sliding::new(period),
            share: 1.0 / f64::from(period),
        }
    }
}

impl Next<Bbo> for QuoteMean {
    type Output = Option<QuoteAverages>;

    #[inline]
    fn next(&mut self, quote: Bbo) -> Option<QuoteAverages> {
        if quote.is_two_sided() {
            self.quotes.push(QuoteAverages::of(&quote));
        }
        Some(self.quotes.full_sum()?.times(self.share))
    }
}

/// Over time. The time after a quote without one of its sides does not count.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct QuoteTimeMean {
    tau_ns: i64,
    /// Time with a quote, counted up to tau.
    age_ns: i64,
    last_ns: i64,
    held: Option<QuoteAverages>,
    average: Option<QuoteAverages>,
}

impl QuoteTimeMean {
    /// Panics where `tau_ns` is not positive.
    pub fn new(tau_ns: i64) -> QuoteTimeMean {
        assert!(tau_ns > 0, "a time constant is positive");
        QuoteTimeMean {
            tau_ns,
            age_ns: 0,
            last_ns: i64::MIN,
            held: None,
            average: None,
        }
    }

    /// Starts anew, cold: what came before says nothing about what follows.
    pub fn reset(&mut self) {
        *self = QuoteTimeMean::new(self.tau_ns);
    }
}

impl Next<(i64, Bbo)> for QuoteTimeMean {
    type Output = Option<QuoteAverages>;

    /// The quote holds from `now_ns` on. A stamp that steps back counts as the one before it.
    #[inline]
    fn next(&mut self, (now_ns, quote): (i64, Bbo)) -> Option<QuoteAverages> {
        if let Some(held) = self.held {
            let dt = now_ns.saturating_sub(self.last_ns).max(0);
            let weight = dt as f64 / (self.tau_ns as f64 + dt as f64);
            let average = self.average.unwrap_or(held);
            self.average = Some(average + (held + average.times(-1.0)).times(weight));
            self.age_ns = self.age_ns.saturating_add(dt).min(self.tau_ns);
        }
        self.held = quote.is_two_sided().then(|| QuoteAverages::of(&quote));
        self.last_ns = self.last_ns.max(now_ns);
        self.average.filter(|_| self.age_ns == self.tau_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::TimeEma;
    use crate::indicators::sliding::testing::{draws, near, restored};
    use rand::RngExt;

    fn quote(bid: f64, bid_amount: f64, ask: f64, ask_amount: f64) -> Bbo {
        Bbo {
            bid,
            bid_amount,
            ask,
            ask_amount,
        }
    }

    fn averages(spread: f64, spread_bp: f64, bid_amount: f64, ask_amount: f64) -> QuoteAverages {
        QuoteAverages {
            spread,
            spread_bp,
            bid_amount,
            ask_amount,
        }
    }

    const NONE: Bbo = Bbo {
        bid: 99.0,
        bid_amount: 1.0,
        ask: 0.0,
        ask_amount: 0.0,
    };

    #[test]
    fn of_two_quotes() {
        let mut mean = QuoteMean::new(2);
        assert_eq!(mean.next(quote(99.0, 1.0, 101.0, 4.0)), None);
        assert_eq!(mean.next(NONE), None);
        let expected = Some(averages(4.0, 400.0, 2.0, 4.0));
        assert_eq!(mean.next(quote(97.0, 3.0, 103.0, 4.0)), expected);
        assert_eq!(mean.next(NONE), expected, "passed over");
    }

    #[test]
    fn a_quote_weighs_as_long_as_it_held() {
        let mut mean = QuoteTimeMean::new(100);
        let (narrow, wide) = (quote(99.0, 1.0, 101.0, 4.0), quote(97.0, 3.0, 103.0, 4.0));
        assert_eq!(mean.next((0, narrow)), None);
        assert_eq!(mean.next((50, narrow)), None);
        let at_first = Some(averages(2.0, 200.0, 1.0, 4.0));
        assert_eq!(mean.next((100, wide)), at_first);
        assert_eq!(
            mean.next((90, wide)),
            at_first,
            "a stamp that steps back is no time"
        );
        let expected = Some(averages(4.0, 400.0, 2.0, 4.0));
        assert_eq!(mean.next((200, NONE)), expected);
        assert_eq!(mean.next((900, narrow)), expected, "no quote held");
        assert_eq!(
            mean.next((1000, narrow)),
            Some(averages(3.0, 300.0, 1.5, 4.0))
        );
        mean.reset();
        assert_eq!(mean.next((2000, narrow)), None);
    }

    #[test]
    fn each_is_what_its_sums_say() {
        let mut draw = draws(95);
        for n in [1_u32, 2, 100] {
            let tau_ns = 1_000_000_000;
            let (mut mean, mut by_time) = (QuoteMean::new(n), QuoteTimeMean::new(tau_ns));
            let mut time_ema = TimeEma::new(tau_ns);
            let n = n as usize;
            let mut quotes: Vec<(i64, Bbo)> = Vec::new();
            let mut now_ns = 1_800_000_000_000_000_000;
            for i in 0..2000 {
                now_ns += draw.random_range(0..50_000_000);
                let bid = f64::from(draw.random_range(5_990_000..6_010_000)) / 100.0;
                let spread = f64::from(draw.random_range(1..300)) / 100.0;
                let [a, b] = [(); 2].map(|()| f64::from(draw.random_range(1..9_000_u32)) / 1e3);
                quotes.push((now_ns, quote(bid, a, bid + spread, b)));
                if i == 1000 {
                    (mean, by_time) = (restored(&mean), restored(&by_time));
                }
                let found = (mean.next(quotes[i].1), by_time.next(quotes[i]));
                let parts: [fn(&Bbo) -> f64; 4] = [
                    |q| q.ask - q.bid,
                    |q| 2e4 * (q.ask - q.bid) / (q.ask + q.bid),
                    |q| q.bid_amount,
                    |q| q.ask_amount,
                ];
                let of = |a: QuoteAverages| [a.spread, a.spread_bp, a.bid_amount, a.ask_amount];
                for (k, part) in parts.iter().enumerate() {
                    let from = (i + 1).checked_sub(n);
                    let expected = from
                        .map(|f| quotes[f..].iter().map(|q| part(&q.1)).sum::<f64>() / n as f64);
                    near(found.0.map(|a| of(a)[k]), expected);
                    // Each quote by its weight: what is left of it after those that came later.
                    let (mut left, mut sum) = (1.0, 0.0);
                    for pair in quotes.windows(2).rev() {
                        let dt = (pair[1].0 - pair[0].0) as f64;
                        let weight = dt / (tau_ns as f64 + dt);
                        sum += left * weight * part(&pair[0].1);
                        left *= 1.0 - weight;
                    }
                    sum += left * part(&quotes[0].1);
                    let warm = now_ns - quotes[0].0 >= tau_ns;
                    near(found.1.map(|a| of(a)[k]), warm.then_some(sum));
                }
                let amount = time_ema.next((now_ns, quotes[i].1.bid_amount));
                near(found.1.map(|a| a.bid_amount), amount);
            }
        }
    }
}
