//! HOT PATH. Order-flow imbalance at the best prices: what came to the bid and left the ask, less
//! what left the bid and came to the ask. Budget: 8 ns an update.
//!
//! ```text
//! e   = [bid ≥ last bid] bid amount - [bid ≤ last bid] last bid amount
//!     - [ask ≤ last ask] ask amount + [ask ≥ last ask] last ask amount
//! OFI = Σ e of the last n quotes
//! OFI by time = last OFI tau / (tau + dt) + e
//! ```
//! Source: Cont, Kukanov and Stoikov, The Price Impact of Order Book Events (2014). It is in base
//! currency; its effect on the price is in proportion to it and to 1 / depth (see
//! [`super::QuoteMean`]). An empty bid counts as one at a price below all others, an empty ask as
//! one above. The weight of time is that of [`super::TimeEma`]: exp(-dt/tau) in small steps.

use super::sliding::Sliding;
use super::{Bbo, Info};
use serde::{Deserialize, Serialize};
use ta::Next;

pub const OFI: Info = Info {
    name: "OFI",
    summary: "order-flow imbalance of the last quotes",
    parameters: &[("timeperiod", 100.0)],
    inputs: &["bid", "bid amount", "ask", "ask amount"],
    outputs: &["amount, above 0 where buyers press"],
    warm_up: "period + 1 quotes",
    source: "Cont, Kukanov and Stoikov, The Price Impact of Order Book Events, 2014",
};

pub const OFI_TIME: Info = Info {
    name: "OFI_TIME",
    summary: "order-flow imbalance that decays with time",
    parameters: &[("tau", 1e9)],
    inputs: &["time, ns", "bid", "bid amount", "ask", "ask amount"],
    outputs: &["amount, above 0 where buyers press"],
    warm_up: "tau of time",
    source: "own decay; Cont, Kukanov and Stoikov, The Price Impact of Order Book Events, 2014",
};

/// What the step from one quote to the next says.
#[inline]
fn flow(last: &Bbo, quote: &Bbo) -> f64 {
    // A side that is empty, or is no number, holds nothing, at the far end of all prices.
    let side = |price: f64, amount: f64, none: f64| {
        if amount > 0.0 {
            (price, amount)
        } else {
            (none, 0.0)
        }
    };
    let (bid, bid_amount) = side(quote.bid, quote.bid_amount, f64::NEG_INFINITY);
    let (old_bid, old_bid_amount) = side(last.bid, last.bid_amount, f64::NEG_INFINITY);
    let (ask, ask_amount) = side(quote.ask, quote.ask_amount, f64::INFINITY);
    let (old_ask, old_ask_amount) = side(last.ask, last.ask_amount, f64::INFINITY);
    let if_so = |so: bool, amount: f64| if so { amount } else { 0.0 };
    if_so(bid >= old_bid, bid_amount)
        - if_so(bid <= old_bid, old_bid_amount)
        - if_so(ask <= old_ask, ask_amount)
        + if_so(ask >= old_ask, old_ask_amount)
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ofi {
    last: Option<Bbo>,
    flows: Sliding<f64>,
}

impl Ofi {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> Ofi {
        Ofi {
            last: None,
            flows: Sliding::new(period),
        }
    }

    /// Starts anew, cold: after a gap the step from the last quote is no flow.
    pub fn reset(&mut self) {
        self.last = None;
        self.flows.clear();
    }
}

impl Next<Bbo> for Ofi {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, quote: Bbo) -> Option<f64> {
        let last = self.last.replace(quote)?;
        self.flows.push(flow(&last, &quote));
        self.flows.full_sum()
    }
}

/// A step that is not finite is passed over: it would stay for ever.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OfiTime {
    tau_ns: i64,
    /// Time since the first quote, counted up to tau.
    age_ns: i64,
    last: Option<(i64, Bbo)>,
    sum: f64,
}

impl OfiTime {
    /// Panics where `tau_ns` is not positive.
    pub fn new(tau_ns: i64) -> OfiTime {
        assert!(tau_ns > 0, "a time constant is positive");
        OfiTime {
            tau_ns,
            age_ns: 0,
            last: None,
            sum: 0.0,
        }
    }

    /// Starts anew, cold: after a gap the step from the last quote is no flow.
    pub fn reset(&mut self) {
        *self = OfiTime::new(self.tau_ns);
    }
}

impl Next<(i64, Bbo)> for OfiTime {
    type Output = Option<f64>;

    /// A stamp that steps back counts as the one before it.
    #[inline]
    fn next(&mut self, (now_ns, quote): (i64, Bbo)) -> Option<f64> {
        let Some((last_ns, last)) = self.last else {
            self.last = Some((now_ns, quote));
            return None;
        };
        let dt = now_ns.saturating_sub(last_ns).max(0);
        self.last = Some((last_ns.max(now_ns), quote));
        let flow = flow(&last, &quote);
        let tau = self.tau_ns as f64;
        let left = self.sum * (tau / (tau + dt as f64));
        let sum = left + flow;
        self.sum = if sum.is_finite() { sum } else { left };
        self.age_ns = self.age_ns.saturating_add(dt).min(self.tau_ns);
        (self.age_ns == self.tau_ns).then_some(self.sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::sliding::testing::{draws, near_at, restored};
    use rand::RngExt;

    fn quote(bid: f64, bid_amount: f64, ask: f64, ask_amount: f64) -> Bbo {
        Bbo {
            bid,
            bid_amount,
            ask,
            ask_amount,
        }
    }

    /// Of the step from (10: 5, 11: 7).
    fn step(bid: f64, bid_amount: f64, ask: f64, ask_amount: f64) -> f64 {
        flow(
            &quote(10.0, 5.0, 11.0, 7.0),
            &quote(bid, bid_amount, ask, ask_amount),
        )
    }

    #[test]
    fn a_step_is_what_came_and_left() {
        assert_eq!(step(10.0, 5.0, 11.0, 7.0), 0.0);
        assert_eq!(step(10.0, 8.0, 11.0, 7.0), 3.0, "bids came");
        assert_eq!(step(10.0, 5.0, 11.0, 9.0), -2.0, "asks came");
        assert_eq!(step(10.5, 2.0, 11.0, 7.0), 2.0, "a better bid");
        assert_eq!(step(9.0, 90.0, 11.0, 7.0), -5.0, "the bid went");
        assert_eq!(step(10.0, 5.0, 10.5, 2.0), -2.0, "a better ask");
        assert_eq!(step(10.0, 5.0, 12.0, 90.0), 7.0, "the ask went");
        assert_eq!(step(0.0, 0.0, 11.0, 7.0), -5.0, "no bid");
        assert_eq!(step(10.0, 5.0, 0.0, 0.0), 7.0, "no ask");
        let (empty, full) = (quote(0.0, 0.0, 0.0, 0.0), quote(10.0, 5.0, 11.0, 7.0));
        assert_eq!(flow(&empty, &full), -2.0, "both came");
        assert_eq!(flow(&empty, &empty), 0.0);
    }

    #[test]
    fn the_first_quote_is_no_flow() {
        let mut ofi = Ofi::new(2);
        let quotes = [3.0, 5.0, 4.0, 9.0].map(|amount| quote(10.0, amount, 11.0, 1.0));
        assert_eq!(
            quotes.map(|q| ofi.next(q)),
            [None, None, Some(1.0), Some(4.0)]
        );
        ofi.reset();
        assert_eq!(
            quotes.map(|q| ofi.next(q)),
            [None, None, Some(1.0), Some(4.0)]
        );
    }

    #[test]
    fn it_halves_in_a_tau() {
        let mut ofi = OfiTime::new(100);
        let q = |amount| quote(10.0, amount, 11.0, 1.0);
        assert_eq!(ofi.next((0, q(1.0))), None);
        assert_eq!(ofi.next((50, q(5.0))), None);
        assert_eq!(ofi.next((150, q(4.0))), Some(1.0), "4 / 2 - 1");
        assert_eq!(ofi.next((140, q(5.0))), Some(2.0), "no time");
        assert_eq!(ofi.next((140, q(f64::INFINITY))), Some(2.0));
        assert_eq!(ofi.next((250, q(5.0))), Some(1.0));
        ofi.reset();
        assert_eq!(ofi.next((900, q(5.0))), None);
    }

    #[test]
    fn no_number_stays() {
        let mut ofi = Ofi::new(2);
        let mut by_time = OfiTime::new(1);
        let bad = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0];
        for (i, a) in bad.iter().enumerate() {
            for b in bad {
                ofi.next(quote(*a, b, b, *a));
                by_time.next((i as i64, quote(b, *a, b, *a)));
            }
        }
        let last = [1.0, 1.0, 2.0, 4.0].map(|a| {
            let quote = quote(10.0, a, 11.0, 1.0);
            (
                ofi.next(quote),
                by_time.next((9, quote)).is_some_and(f64::is_finite),
            )
        });
        assert_eq!(last[3], (Some(3.0), true));
    }

    #[test]
    fn each_is_what_its_sums_say() {
        let mut draw = draws(51);
        for n in [1, 2, 100] {
            let tau = 1_000_000_000;
            let (mut ofi, mut by_time) = (Ofi::new(n), OfiTime::new(tau));
            let mut steps: Vec<(i64, f64)> = Vec::new();
            let mut last = (0, quote(0.0, 0.0, 0.0, 0.0));
            let mut now_ns = 1_800_000_000_000_000_000;
            for i in 0..3000 {
                now_ns += draw.random_range(0..50_000_000);
                let bid = f64::from(draw.random_range(100..104));
                let ask = bid + f64::from(draw.random_range(1..3));
                let [a, b] = [(); 2].map(|()| f64::from(draw.random_range(0..5000_u32)) / 1e3);
                let next = (now_ns, quote(bid, a, ask, b));
                if i == 1500 {
                    (ofi, by_time) = (restored(&ofi), restored(&by_time));
                }
                let found = (ofi.next(next.1), by_time.next(next));
                if i > 0 {
                    let (old, new): (Bbo, Bbo) = (last.1, next.1);
                    let mut e = 0.0;
                    // Written by cases, where the formula has indicators.
                    e += match (old.bid_amount > 0.0, new.bid_amount > 0.0) {
                        (true, true) if new.bid > old.bid => new.bid_amount,
                        (true, true) if new.bid < old.bid => -old.bid_amount,
                        _ => new.bid_amount - old.bid_amount,
                    };
                    e -= match (old.ask_amount > 0.0, new.ask_amount > 0.0) {
                        (true, true) if new.ask < old.ask => new.ask_amount,
                        (true, true) if new.ask > old.ask => -old.ask_amount,
                        _ => new.ask_amount - old.ask_amount,
                    };
                    steps.push((now_ns - last.0, e));
                }
                last = next;
                let sum = (steps.len() >= n as usize)
                    .then(|| steps[steps.len() - n as usize..].iter().map(|s| s.1).sum());
                near_at(found.0, sum, 1.0);
                let age: i64 = steps.iter().map(|s| s.0).sum();
                let (mut weight, mut sum) = (1.0, 0.0);
                for (dt, e) in steps.iter().rev() {
                    sum += weight * e;
                    weight *= tau as f64 / (tau + dt) as f64;
                }
                near_at(found.1, (age >= tau).then_some(sum), 1.0);
            }
        }
    }
}
