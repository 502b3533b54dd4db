//! HOT PATH. Volume-weighted average price of trades: of a session, of the last n trades, of the
//! last span of time, from a moment on. Budget: 5 ns an update, 15 ns over a window.
//!
//! ```text
//! VWAP      = Σ price amount / Σ amount
//! deviation = sqrt(Σ amount (price - VWAP)² / Σ amount)
//! ```
//! Source: Berkowitz, Logue and Noser, The Total Cost of Transactions on the NYSE (1988). The sums
//! of a session and from a moment on are kept as mean and squares about it (West, Updating Mean and
//! Variance Estimates, 1979), so a day of trades costs no digits.
//!
//! TA-Lib's VWAP is of bars. To get one of bars here, give (high + low + close) / 3 as the price.

use super::Info;
use super::sliding::{Sliding, SlidingTime};
use serde::{Deserialize, Serialize};
use std::ops::Add;
use ta::Next;

const SOURCE: &str = "Berkowitz, Logue and Noser, The Total Cost of Transactions on the NYSE, 1988";

pub const VWAP_SESSION: Info = Info {
    name: "VWAP_SESSION",
    summary: "volume-weighted average price since the session began, at a UTC time of day",
    parameters: &[("start", 0.0)],
    inputs: &["time, ns", "price", "amount"],
    outputs: &["price"],
    warm_up: "first trade; whole from the first session's begin that was seen",
    source: SOURCE,
};

pub const VWAP_ANCHORED: Info = Info {
    name: "VWAP_ANCHORED",
    summary: "volume-weighted average price from a moment on",
    parameters: &[("anchor", 0.0)],
    inputs: &["time, ns", "price", "amount"],
    outputs: &["price"],
    warm_up: "first trade from the anchor on",
    source: SOURCE,
};

pub const VWAP_ROLLING: Info = Info {
    name: "VWAP_ROLLING",
    summary: "volume-weighted average price of the last trades",
    parameters: &[("timeperiod", 100.0)],
    inputs: &["price", "amount"],
    outputs: &["price"],
    warm_up: "period trades",
    source: SOURCE,
};

pub const VWAP_TIME: Info = Info {
    name: "VWAP_TIME",
    summary: "volume-weighted average price of the last span of time",
    parameters: &[("span", 60e9), ("capacity", 10_000.0)],
    inputs: &["time, ns", "price", "amount"],
    outputs: &["price"],
    warm_up: "span of time",
    source: SOURCE,
};

const DAY_NS: i64 = 86_400_000_000_000;

/// Weighted mean and squares about it, of all trades so far.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Mean {
    amount: f64,
    price: f64,
    squares: f64,
}

impl Mean {
    /// What is no trade is passed over: it would stay for the whole session.
    #[inline]
    fn add(&mut self, price: f64, amount: f64) {
        if !(price.is_finite() && amount > 0.0 && amount < f64::INFINITY) {
            return;
        }
        self.amount += amount;
        let apart = price - self.price;
        let step = apart * (amount / self.amount);
        self.price += step;
        self.squares += amount * apart * (price - self.price);
    }

    #[inline]
    fn value(&self) -> Option<f64> {
        (self.amount > 0.0).then_some(self.price)
    }

    fn deviation(&self) -> Option<f64> {
        (self.amount > 0.0).then(|| (self.squares / self.amount).max(0.0).sqrt())
    }
}

/// Begins anew each day at a UTC time of day. Prices and amounts that are not finite, and amounts
/// that are not positive, are passed over.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VwapSession {
    start_ns: i64,
    /// When the session ends; `None` before the first trade.
    end_ns: Option<i64>,
    is_whole: bool,
    mean: Mean,
}

impl VwapSession {
    /// `start_ns` after midnight UTC a session begins. Panics where it is not within a day.
    pub fn new(start_ns: i64) -> VwapSession {
        assert!(
            (0..DAY_NS).contains(&start_ns),
            "a time of day is within a day"
        );
        VwapSession {
            start_ns,
            end_ns: None,
            is_whole: false,
            mean: Mean::default(),
        }
    }

    /// Whether this session was seen from its beginning: not so of the first.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// How far prices were from the average, weighted by amount.
    pub fn deviation(&self) -> Option<f64> {
        self.mean.deviation()
    }

    #[cold]
    fn begin(&mut self, now_ns: i64) {
        let into_ns = (now_ns.rem_euclid(DAY_NS) - self.start_ns).rem_euclid(DAY_NS);
        self.is_whole = self.end_ns.is_some();
        self.end_ns = Some(now_ns.saturating_add(DAY_NS - into_ns));
        self.mean = Mean::default();
    }
}

impl Next<(i64, f64, f64)> for VwapSession {
    type Output = Option<f64>;

    /// Time, price, amount. A late trade counts into the session that is open.
    #[inline]
    fn next(&mut self, (now_ns, price, amount): (i64, f64, f64)) -> Option<f64> {
        if self.end_ns.is_none_or(|end_ns| now_ns >= end_ns) {
            self.begin(now_ns);
        }
        self.mean.add(price, amount);
        self.mean.value()
    }
}

/// Counts the trades from a moment on, until it is anchored again. Prices and amounts that are not
/// finite, and amounts that are not positive, are passed over.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VwapAnchored {
    anchor_ns: i64,
    mean: Mean,
}

impl VwapAnchored {
    /// Trades before `anchor_ns` do not count.
    pub fn new(anchor_ns: i64) -> VwapAnchored {
        VwapAnchored {
            anchor_ns,
            mean: Mean::default(),
        }
    }

    /// Forgets all, and counts from `anchor_ns` on.
    pub fn anchor(&mut self, anchor_ns: i64) {
        *self = VwapAnchored::new(anchor_ns);
    }

    /// How far prices were from the average, weighted by amount.
    pub fn deviation(&self) -> Option<f64> {
        self.mean.deviation()
    }
}

impl Next<(i64, f64, f64)> for VwapAnchored {
    type Output = Option<f64>;

    /// Time, price, amount.
    #[inline]
    fn next(&mut self, (now_ns, price, amount): (i64, f64, f64)) -> Option<f64> {
        if now_ns >= self.anchor_ns {
            self.mean.add(price, amount);
        }
        self.mean.value()
    }
}

/// Of one trade or of many together.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Traded {
    amount: f64,
    value: f64,
}

impl Traded {
    #[inline]
    fn of(price: f64, amount: f64) -> Traded {
        Traded {
            amount,
            value: price * amount,
        }
    }

    #[inline]
    fn price(self) -> Option<f64> {
        (self.amount > 0.0).then(|| self.value / self.amount)
    }
}

impl Add for Traded {
    type Output = Traded;

    #[inline]
    fn add(self, other: Traded) -> Traded {
        Traded {
            amount: self.amount + other.amount,
            value: self.value + other.value,
        }
    }
}

/// Of the last n trades; `None` while they have no amount.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VwapRolling {
    trades: Sliding<Traded>,
}

impl VwapRolling {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> VwapRolling {
        VwapRolling {
            trades: Sliding::new(period),
        }
    }
}

impl Next<(f64, f64)> for VwapRolling {
    type Output = Option<f64>;

    /// Price, amount.
    #[inline]
    fn next(&mut self, (price, amount): (f64, f64)) -> Option<f64> {
        self.trades.push(Traded::of(price, amount));
        self.trades.full_sum()?.price()
    }
}

/// Of the trades of the last `span_ns`, the newest `capacity` at most; `None` while they have no
/// amount. A stamp that steps back counts as the one before it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VwapTime {
    trades: SlidingTime<Traded>,
}

impl VwapTime {
    /// Panics where `span_ns` is not positive or `capacity` is 0.
    pub fn new(span_ns: i64, capacity: u32) -> VwapTime {
        VwapTime {
            trades: SlidingTime::new(span_ns, capacity),
        }
    }

    /// Whether trades of the span are missing for want of capacity.
    pub fn is_cut(&self) -> bool {
        self.trades.is_cut()
    }
}

impl Next<(i64, f64, f64)> for VwapTime {
    type Output = Option<f64>;

    /// Time, price, amount.
    #[inline]
    fn next(&mut self, (now_ns, price, amount): (i64, f64, f64)) -> Option<f64> {
        self.trades.push(now_ns, Traded::of(price, amount))?.price()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::sliding::testing::{draws, near, restored};
    use rand::RngExt;

    const HOUR_NS: i64 = 3_600_000_000_000;

    #[test]
    fn a_session_begins_at_its_time_of_day() {
        let mut vwap = VwapSession::new(8 * HOUR_NS);
        assert_eq!(vwap.next((7 * HOUR_NS, 10.0, 1.0)), Some(10.0));
        assert_eq!(vwap.next((8 * HOUR_NS - 1, 20.0, 3.0)), Some(17.5));
        assert_eq!(vwap.deviation(), Some(18.75_f64.sqrt()));
        assert!(!vwap.is_whole());
        assert_eq!(vwap.next((8 * HOUR_NS, 30.0, 1.0)), Some(30.0));
        assert!(vwap.is_whole());
        assert_eq!(vwap.next((7 * HOUR_NS, 40.0, 1.0)), Some(35.0), "late");
        assert_eq!(vwap.next((32 * HOUR_NS - 1, 20.0, 0.0)), Some(35.0));
        assert_eq!(vwap.next((9 * 24 * HOUR_NS, 1.0, 0.0)), None, "no amount");
        assert_eq!(vwap.next((9 * 24 * HOUR_NS, f64::NAN, 1.0)), None);
        assert_eq!(vwap.next((9 * 24 * HOUR_NS, 5.0, 2.0)), Some(5.0));
    }

    #[test]
    fn times_before_1970_and_at_the_ends_are_times() {
        let mut vwap = VwapSession::new(0);
        vwap.next((-1, 10.0, 1.0));
        assert_eq!(vwap.next((0, 20.0, 1.0)), Some(20.0));
        for t in [i64::MIN, i64::MAX, i64::MAX] {
            VwapSession::new(DAY_NS - 1).next((t, 1.0, 1.0));
            VwapTime::new(i64::MAX, 2).next((t, 1.0, 1.0));
            vwap.next((t, 1.0, 1.0));
        }
    }

    #[test]
    fn an_anchor_forgets_what_was_before() {
        let mut vwap = VwapAnchored::new(100);
        assert_eq!(vwap.next((99, 10.0, 1.0)), None);
        assert_eq!(vwap.next((100, 20.0, 1.0)), Some(20.0));
        assert_eq!(vwap.next((101, 10.0, 4.0)), Some(12.0));
        vwap.anchor(200);
        assert_eq!(vwap.next((199, 10.0, 1.0)), None);
        assert_eq!(vwap.next((200, 7.0, 1.0)), Some(7.0));
        assert_eq!(vwap.deviation(), Some(0.0));
    }

    #[test]
    fn a_window_forgets_what_fell_out() {
        let mut vwap = VwapRolling::new(2);
        let trades = [
            (10.0, 1.0),
            (20.0, 3.0),
            (30.0, 1.0),
            (5.0, 0.0),
            (6.0, 0.0),
        ];
        let expected = [None, Some(17.5), Some(22.5), Some(30.0), None];
        assert_eq!(trades.map(|t| vwap.next(t)), expected);
        let mut vwap = VwapTime::new(10, 2);
        assert_eq!(vwap.next((0, 10.0, 1.0)), None);
        assert_eq!(vwap.next((9, 20.0, 1.0)), None);
        assert_eq!(
            vwap.next((10, 30.0, 3.0)),
            Some(27.5),
            "the first is as old as the span"
        );
        assert_eq!(vwap.next((11, 40.0, 1.0)), Some(32.5));
        assert!(vwap.is_cut());
    }

    #[test]
    fn each_is_what_its_sums_say() {
        let mut draw = draws(11);
        let mut session = VwapSession::new(5 * HOUR_NS);
        let mut anchored = VwapAnchored::new(0);
        let mut rolling = VwapRolling::new(50);
        let mut time = VwapTime::new(HOUR_NS, 40);
        let mut trades: Vec<(i64, f64, f64)> = Vec::new();
        let mut now_ns = 1_800_000_000_000_000_000;
        for i in 0..10_000 {
            now_ns += draw.random_range(0..300) * 1_000_000_000;
            let price = f64::from(draw.random_range(5_990_000..6_010_000)) / 100.0;
            trades.push((now_ns, price, f64::from(draw.random_range(1..9_000)) / 1e3));
            if i % 999 == 5 {
                (session, anchored) = (restored(&session), restored(&anchored));
                (rolling, time) = (restored(&rolling), restored(&time));
            }
            if i == 6_000 {
                anchored.anchor(now_ns);
            }
            let trade = trades[i];
            let values = [
                session.next(trade),
                anchored.next(trade),
                rolling.next((trade.1, trade.2)),
                time.next(trade),
            ];
            let day = |t: i64| (t - 5 * HOUR_NS).div_euclid(DAY_NS);
            let from =
                |keep: &dyn Fn(&(i64, f64, f64)) -> bool| trades.partition_point(|t| !keep(t));
            let starts = [
                Some(from(&|t| day(t.0) == day(now_ns))),
                Some(if i >= 6_000 { 6_000 } else { 0 }),
                (i + 1).checked_sub(50),
                (trades[0].0 <= now_ns - HOUR_NS)
                    .then(|| from(&|t| t.0 > now_ns - HOUR_NS).max((i + 1).saturating_sub(40))),
            ];
            for (value, start) in values.iter().zip(starts) {
                // The full sums are long: not at every trade.
                if i % 7 == 0 {
                    let of = |s: usize| {
                        let amount: f64 = trades[s..].iter().map(|t| t.2).sum();
                        trades[s..].iter().map(|t| t.1 * t.2).sum::<f64>() / amount
                    };
                    near(*value, start.map(of));
                }
            }
        }
    }
}
