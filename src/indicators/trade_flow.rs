//! HOT PATH. Whose trades they are: the share of takers who buy over those who sell, over the last
//! trades, the last span of time, and in buckets of volume (VPIN). Budget: 6 ns an update, 15 ns
//! over time.
//!
//! ```text
//! trade imbalance = (bought - sold) / (bought + sold)                  -1 to 1
//! VPIN            = Σ |bought - sold| of the last n buckets / (n V)     0 to 1
//! ```
//! Amounts are signed: above 0 where the taker bought, below where the taker sold. A bucket is full
//! at a volume of V; a trade that does not fit goes on in the next.
//! Sources: Chordia, Roll and Subrahmanyam, Order Imbalance, Liquidity, and Market Returns (2002);
//! Easley, López de Prado and O'Hara, Flow Toxicity and Liquidity in a High-Frequency World (2012).
//! The latter guess the taker from price changes (bulk classification), for want of what the
//! exchanges here say of every trade.

use super::Info;
use super::sliding::{Sliding, SlidingTime};
use serde::{Deserialize, Serialize};
use std::ops::Add;
use ta::Next;

pub const TRADE_IMBALANCE: Info = Info {
    name: "TRADE_IMBALANCE",
    summary: "signed share of the volume of the last trades",
    parameters: &[("timeperiod", 100.0)],
    inputs: &["amount, below 0 where the taker sold"],
    outputs: &["imbalance, -1 to 1"],
    warm_up: "period trades",
    source: "Chordia, Roll and Subrahmanyam, Order Imbalance, Liquidity, and Market Returns, 2002",
};

pub const TRADE_IMBALANCE_TIME: Info = Info {
    name: "TRADE_IMBALANCE_TIME",
    summary: "signed share of the volume of the last span of time",
    parameters: &[("span", 60e9), ("capacity", 10_000.0)],
    inputs: &["time, ns", "amount, below 0 where the taker sold"],
    outputs: &["imbalance, -1 to 1"],
    warm_up: "span of time",
    source: "Chordia, Roll and Subrahmanyam, Order Imbalance, Liquidity, and Market Returns, 2002",
};

pub const VPIN: Info = Info {
    name: "VPIN",
    summary: "volume-synchronised probability of informed trading, by the takers' real side",
    parameters: &[("bucket", 100.0), ("timeperiod", 50.0)],
    inputs: &["amount, below 0 where the taker sold"],
    outputs: &["probability, 0 to 1"],
    warm_up: "period buckets",
    source: "Easley, López de Prado and O'Hara, Flow Toxicity and Liquidity, 2012",
};

/// Signed and unsigned, of one trade or of many together.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Flow {
    signed: f64,
    volume: f64,
}

impl Flow {
    #[inline]
    fn of(amount: f64) -> Flow {
        Flow {
            signed: amount,
            volume: amount.abs(),
        }
    }

    #[inline]
    fn imbalance(self) -> Option<f64> {
        (self.volume > 0.0).then(|| self.signed / self.volume)
    }
}

impl Add for Flow {
    type Output = Flow;

    #[inline]
    fn add(self, other: Flow) -> Flow {
        Flow {
            signed: self.signed + other.signed,
            volume: self.volume + other.volume,
        }
    }
}

/// Of the last n trades; `None` while they have no volume.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TradeImbalance {
    trades: Sliding<Flow>,
}

impl TradeImbalance {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> TradeImbalance {
        TradeImbalance {
            trades: Sliding::new(period),
        }
    }
}

impl Next<f64> for TradeImbalance {
    type Output = Option<f64>;

    /// An amount, below 0 where the taker sold.
    #[inline]
    fn next(&mut self, amount: f64) -> Option<f64> {
        self.trades.push(Flow::of(amount));
        self.trades.full_sum()?.imbalance()
    }
}

/// Of the trades of the last `span_ns`, the newest `capacity` at most; `None` while they have no
/// volume. A stamp that steps back counts as the one before it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TradeImbalanceTime {
    trades: SlidingTime<Flow>,
}

impl TradeImbalanceTime {
    /// Panics where `span_ns` is not positive or `capacity` is 0.
    pub fn new(span_ns: i64, capacity: u32) -> TradeImbalanceTime {
        TradeImbalanceTime {
            trades: SlidingTime::new(span_ns, capacity),
        }
    }

    /// Whether trades of the span are missing for want of capacity.
    pub fn is_cut(&self) -> bool {
        self.trades.is_cut()
    }
}

impl Next<(i64, f64)> for TradeImbalanceTime {
    type Output = Option<f64>;

    /// Time, and an amount, below 0 where the taker sold.
    #[inline]
    fn next(&mut self, (now_ns, amount): (i64, f64)) -> Option<f64> {
        self.trades.push(now_ns, Flow::of(amount))?.imbalance()
    }
}

/// Amounts that are not finite are passed over.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Vpin {
    bucket: f64,
    /// |bought - sold| of each full bucket.
    buckets: Sliding<f64>,
    /// Of the bucket that fills.
    signed: f64,
    volume: f64,
    /// n V.
    total: f64,
}

impl Vpin {
    /// Less than this share of a bucket is no room: it is rounding.
    const NOTHING: f64 = 1e-12;

    /// `bucket` is V, in base currency. Panics where it is not positive and finite, and on a period
    /// of 0.
    pub fn new(bucket: f64, period: u32) -> Vpin {
        assert!(bucket > 0.0 && bucket.is_finite(), "a bucket has a volume");
        Vpin {
            bucket,
            buckets: Sliding::new(period),
            signed: 0.0,
            volume: 0.0,
            total: f64::from(period) * bucket,
        }
    }

    /// It fills the bucket up, and as many more as it can.
    fn fill(&mut self, amount: f64) {
        let room = self.bucket - self.volume;
        self.buckets
            .push((self.signed + room.copysign(amount)).abs());
        let rest = (amount.abs() - room).max(0.0);
        let mut over = rest % self.bucket;
        let mut more = ((rest - over) / self.bucket).round();
        if self.bucket - over <= Self::NOTHING * self.bucket {
            more += 1.0;
            over = 0.0;
        }
        // As many as the window has are all that can be told apart. A cast saturates.
        for _ in 0..(more as usize).min(self.buckets.capacity()) {
            self.buckets.push(self.bucket);
        }
        self.volume = over;
        self.signed = over.copysign(amount);
    }
}

impl Next<f64> for Vpin {
    type Output = Option<f64>;

    /// An amount, below 0 where the taker sold. The value is that of the full buckets.
    #[inline]
    fn next(&mut self, amount: f64) -> Option<f64> {
        if amount.is_finite() {
            let volume = self.volume + amount.abs();
            if volume < self.bucket * (1.0 - Self::NOTHING) {
                self.volume = volume;
                self.signed += amount;
            } else {
                self.fill(amount);
            }
        }
        Some((self.buckets.full_sum()? / self.total).min(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::sliding::testing::{draws, near, near_at, restored};
    use rand::RngExt;

    #[test]
    fn counts_the_last_trades() {
        let mut flow = TradeImbalance::new(2);
        let amounts = [3.0, -1.0, -3.0, 0.0, 0.0, 5.0];
        let expected = [None, Some(0.5), Some(-1.0), Some(-1.0), None, Some(1.0)];
        assert_eq!(amounts.map(|a| flow.next(a)), expected);
        let mut flow = TradeImbalanceTime::new(10, 2);
        let trades = [(0, 3.0), (9, -1.0), (10, 3.0), (11, 1.0)];
        assert_eq!(
            trades.map(|t| flow.next(t)),
            [None, None, Some(0.5), Some(1.0)]
        );
        assert!(flow.is_cut(), "no room for the sale");
    }

    #[test]
    fn buckets_fill_and_spill() {
        let mut vpin = Vpin::new(10.0, 2);
        assert_eq!(vpin.next(6.0), None);
        assert_eq!(vpin.next(-3.0), None);
        assert_eq!(vpin.next(-4.0), None, "6 - 4, and 3 go on");
        assert_eq!(vpin.next(-7.0), Some(0.6), "2 and 10 of 20");
        assert_eq!(vpin.next(5.0), Some(0.6));
        assert_eq!(vpin.next(-30.0), Some(1.0), "0, 10, 10, and 5 go on");
        assert_eq!(vpin.next(5.0), Some(0.5), "10 and 0");
        assert_eq!(vpin.next(f64::NAN), Some(0.5));
        assert_eq!(vpin.next(f64::INFINITY), Some(0.5));
        assert_eq!(vpin.next(f64::MAX), Some(1.0));
        assert!(
            vpin.next(-f64::MAX)
                .is_some_and(|v| (0.0..=1.0).contains(&v))
        );
    }

    #[test]
    fn tenths_fill_a_whole() {
        let mut vpin = Vpin::new(1.0, 1);
        let filled = (0..100).map(|_| vpin.next(0.1)).filter(Option::is_none);
        assert_eq!(filled.count(), 9, "the tenth fills it");
        near(vpin.next(-0.9), Some(1.0));
        near(vpin.next(-0.1), Some(1.0));
        let mut vpin = Vpin::new(0.1, 3);
        near(vpin.next(-0.3), Some(1.0));
    }

    #[test]
    fn an_imbalance_is_what_its_sums_say() {
        let mut draw = draws(71);
        let mut count = TradeImbalance::new(100);
        let mut time = TradeImbalanceTime::new(1000, 60);
        let mut trades: Vec<(i64, f64)> = Vec::new();
        for i in 0..5000_usize {
            let last = trades.last().map_or(0, |t| t.0);
            let amount = f64::from(draw.random_range(-9_000..=9_000)) / 1e3;
            trades.push((last + draw.random_range(0..40), amount));
            if i == 2500 {
                (count, time) = (restored(&count), restored(&time));
            }
            let share = |part: &[(i64, f64)]| {
                let signed: f64 = part.iter().map(|t| t.1).sum();
                signed / part.iter().map(|t| t.1.abs()).sum::<f64>()
            };
            let expected = (i >= 99).then(|| share(&trades[i.saturating_sub(99)..]));
            near_at(count.next(amount), expected, 1.0);
            let (now_ns, from_ns) = (trades[i].0, trades[i].0 - 1000);
            let start = trades
                .partition_point(|t| t.0 <= from_ns)
                .max((i + 1).saturating_sub(60));
            let expected = (trades[0].0 <= from_ns).then(|| share(&trades[start..]));
            near_at(time.next((now_ns, amount)), expected, 1.0);
        }
    }

    #[test]
    fn vpin_is_that_of_lots_of_one() {
        let mut draw = draws(72);
        for (bucket, n, most) in [(1, 1, 4), (7, 3, 9), (50, 10, 30), (20, 5, 200)] {
            // In lots of a tenth, which a float cannot hold.
            let mut vpin = Vpin::new(f64::from(bucket) * 0.1, n);
            let mut lots: Vec<i32> = Vec::new();
            for i in 0..1500 {
                let trade: i32 = draw.random_range(-most..=most);
                lots.extend((0..trade.abs()).map(|_| trade.signum()));
                if i == 700 {
                    vpin = restored(&vpin);
                }
                let buckets: Vec<i32> = lots
                    .chunks_exact(bucket as usize)
                    .map(|lots| lots.iter().sum::<i32>().abs())
                    .collect();
                let first = buckets.len().checked_sub(n as usize);
                let expected = first.map(|first| {
                    let sum: i32 = buckets[first..].iter().sum();
                    f64::from(sum) / f64::from(n as i32 * bucket)
                });
                near_at(vpin.next(f64::from(trade) * 0.1), expected, 1.0);
            }
        }
    }
}
