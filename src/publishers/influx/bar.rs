//! What is a bar of a second, a minute, an hour? The sum of its trades, exact, and the line that it
//! is stored as. Pure.
//!
//! A bar is a point of `market_data` at the first nanosecond of its window, with the fields of a
//! trade's point (`price` is the close) and its own beside them. Time is that of the trades' own
//! points, so that whoever reads the raw trades finds the same first and last one.

use super::line::Line;
use super::policy::Policy;
use rust_decimal::Decimal;
use std::time::Duration;

/// How long a bar is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Span {
    Second,
    Minute,
    Hour,
}

impl Span {
    pub const ALL: [Span; 3] = [Span::Second, Span::Minute, Span::Hour];

    pub const fn ns(self) -> i64 {
        match self {
            Span::Second => 1_000_000_000,
            Span::Minute => 60_000_000_000,
            Span::Hour => 3_600_000_000_000,
        }
    }

    /// Where its bars are kept.
    pub const fn policy(self) -> Policy {
        match self {
            Span::Second => Policy::ShortTerm,
            Span::Minute => Policy::MediumTerm,
            Span::Hour => Policy::LongTerm,
        }
    }

    /// A bar that changes is written again after this time at the latest.
    pub const fn pace(self) -> Duration {
        match self {
            Span::Second => Duration::ZERO,
            Span::Minute => Duration::from_secs(10),
            Span::Hour => Duration::from_secs(60),
        }
    }

    /// The first nanosecond of the window that this moment is in.
    pub const fn start(self, ns: i64) -> i64 {
        ns - ns.rem_euclid(self.ns())
    }
}

/// The rolling day as a trade left it; what is not known is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rolling {
    pub high: Option<Decimal>,
    pub low: Option<Decimal>,
    pub change: Option<Decimal>,
    pub volume: Option<Decimal>,
}

/// One trade, as a bar takes it.
#[derive(Clone, Copy, Debug)]
pub struct Fact {
    /// Of the trade's own point.
    pub time_ns: i64,
    pub price: Decimal,
    pub amount: Decimal,
    pub rolling: Rolling,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Times of the first and the last trade.
    first_ns: i64,
    last_ns: i64,
    pub open: Decimal,
    pub high: Decimal,
    pub low: Decimal,
    pub close: Decimal,
    /// Amount of base.
    pub volume: Decimal,
    /// Price times amount, summed: amount of quote.
    pub turnover: Decimal,
    pub trades: u64,
    pub rolling: Rolling,
}

impl Bar {
    pub const EMPTY: Bar = Bar {
        first_ns: 0,
        last_ns: 0,
        open: Decimal::ZERO,
        high: Decimal::ZERO,
        low: Decimal::ZERO,
        close: Decimal::ZERO,
        volume: Decimal::ZERO,
        turnover: Decimal::ZERO,
        trades: 0,
        rolling: Rolling {
            high: None,
            low: None,
            change: None,
            volume: None,
        },
    };

    /// A bar that was read back, whose trades lie from `first_ns` to `last_ns`.
    pub fn read(times: (i64, i64), prices: [Decimal; 4], sums: (Decimal, Decimal, u64)) -> Bar {
        let [open, high, low, close] = prices;
        Bar {
            first_ns: times.0,
            last_ns: times.1,
            open,
            high,
            low,
            close,
            volume: sums.0,
            turnover: sums.1,
            trades: sums.2,
            rolling: Rolling::default(),
        }
    }

    /// The bar of one trade.
    pub fn of(fact: &Fact) -> Bar {
        let Fact { price, amount, .. } = *fact;
        Bar {
            first_ns: fact.time_ns,
            last_ns: fact.time_ns,
            open: price,
            high: price,
            low: price,
            close: price,
            volume: amount,
            // Beyond 28 digits it is rounded; what does not fit at all is no market.
            turnover: price.checked_mul(amount).unwrap_or_default(),
            trades: 1,
            rolling: fact.rolling,
        }
    }

    /// Takes other trades of the window, wherever they stand in time; an equal time counts as
    /// later.
    pub fn merge(&mut self, other: &Bar) {
        if self.trades == 0 {
            *self = *other;
            return;
        }
        if other.trades == 0 {
            return;
        }
        if other.first_ns < self.first_ns {
            (self.first_ns, self.open) = (other.first_ns, other.open);
        }
        if other.last_ns >= self.last_ns {
            (self.last_ns, self.close) = (other.last_ns, other.close);
            self.rolling = other.rolling;
        }
        self.high = self.high.max(other.high);
        self.low = self.low.min(other.low);
        let sum = |a: Decimal, b: Decimal| a.checked_add(b).unwrap_or(a);
        self.volume = sum(self.volume, other.volume);
        self.turnover = sum(self.turnover, other.turnover);
        self.trades += other.trades;
    }

    /// Whether it says the same, by whatever trades.
    pub fn equals(&self, other: &Bar) -> bool {
        let times = (self.first_ns, self.last_ns);
        *self
            == Bar {
                first_ns: times.0,
                last_ns: times.1,
                ..*other
            }
    }

    /// Volume-weighted average price; none where nothing was traded.
    pub fn vwap(&self) -> Option<Decimal> {
        // As many digits as the server's float keeps.
        self.turnover.checked_div(self.volume)?.round_sf(15)
    }

    /// One line, of the window that begins at `start_ns`. `series` is that of the trades.
    pub fn encode(&self, series: &[u8], start_ns: i64, out: &mut Vec<u8>) -> bool {
        let mut line = Line::begin(out, series);
        line.exact("price", self.close)
            .exact("volume", self.volume)
            .exact("open", self.open)
            .exact("high", self.high)
            .exact("low", self.low)
            .exact("close", self.close)
            .exact("turnover", self.turnover)
            .decimal("trades", i64::try_from(self.trades).unwrap_or(i64::MAX), 0);
        let Rolling {
            high,
            low,
            change,
            volume,
        } = self.rolling;
        for (key, value) in [
            ("vwap", self.vwap()),
            ("high_24h", high),
            ("low_24h", low),
            ("change_24h", change),
            ("volume_24h", volume),
        ] {
            if let Some(value) = value {
                line.exact(key, value);
            }
        }
        line.end(start_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fact(time_ns: i64, price: i64, amount: i64) -> Fact {
        Fact {
            time_ns,
            price: Decimal::new(price, 2),
            amount: Decimal::new(amount, 3),
            rolling: Rolling::default(),
        }
    }

    #[test]
    fn a_bar_is_written_with_the_documents_fields_and_its_own() {
        let mut bar = Bar::of(&fact(5, 10_050, 2_000));
        bar.merge(&Bar::of(&fact(9, 9_900, 1_000)));
        bar.merge(&Bar::of(&fact(2, 10_000, 500)));
        bar.rolling.change = Some(Decimal::new(25, 1));
        let mut out = Vec::new();
        assert!(bar.encode(b"market_data,symbol=A", 0, &mut out));
        let text = "market_data,symbol=A price=99,volume=3.5,open=100,high=100.5,low=99,close=99,\
                    turnover=350,trades=3,vwap=100,change_24h=2.5 0\n";
        assert_eq!(String::from_utf8(out).expect("text"), text);
    }

    #[test]
    fn windows_begin_where_they_should_before_the_epoch_too() {
        assert_eq!(Span::Second.start(1_999_999_999), 1_000_000_000);
        assert_eq!(Span::Second.start(2_000_000_000), 2_000_000_000);
        assert_eq!(Span::Minute.start(-1), -60_000_000_000);
    }

    proptest! {
        /// In whatever order they come and however they are put together.
        #[test]
        fn any_order_and_grouping_gives_one_bar(
            trades in prop::collection::vec((0i64..1000, 1i64..500, 1i64..500), 1..40),
            cut in 0usize..40, seed: u64,
        ) {
            let mut trades = trades;
            trades.sort_unstable();
            trades.dedup_by_key(|t| t.0);
            let all = |trades: &[(i64, i64, i64)]| {
                let mut bar = Bar::EMPTY;
                for (time, price, amount) in trades {
                    bar.merge(&Bar::of(&fact(*time, *price, *amount)));
                }
                bar
            };
            let straight = all(&trades);
            let mut shuffled = trades.clone();
            let n = shuffled.len();
            (0..n).for_each(|i| shuffled.swap(i, (seed as usize).wrapping_mul(i + 7) % n));
            let (left, right) = shuffled.split_at(cut.min(n));
            let mut joined = all(right);
            joined.merge(&all(left));
            prop_assert_eq!(joined, straight);
            prop_assert_eq!(straight.open, Decimal::new(trades[0].1, 2));
            prop_assert_eq!(straight.close, Decimal::new(trades[n - 1].1, 2));
        }
    }
}
