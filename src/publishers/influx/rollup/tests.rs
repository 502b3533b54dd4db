//! The roll-up against the same trades summed up at the end.

use super::*;
use crate::market::{DayStats, Event, Side, Trade};
use crate::publishers::influx::points::series;
use crate::publishers::influx::tests::registry;
use crate::publishers::intake::Instruments;
use proptest::prelude::*;

/// 2026-01-01T00:00:00Z.
const BEGIN: i64 = 1_767_225_600_000_000_000;
const MS: i64 = 1_000_000;

/// What was written last for each window.
#[derive(Default)]
struct Written(BTreeMap<(Policy, i64), Bar>);

impl Outlet for Written {
    fn bar(&mut self, policy: Policy, owner: &Arc<str>, bar: &Bar, series: &[u8], start_ns: i64) {
        assert_eq!(&**owner, "binance BTC/USDT");
        assert!(series.starts_with(b"market_data,symbol=BTC/USDT,"));
        self.0.insert((policy, start_ns), *bar);
    }
}

fn tick(id: u128, time_ns: i64, price: i64) -> Tick {
    let trade = Trade {
        price,
        amount: 1_000 + price,
        id,
        taker: Side::Buy,
    };
    Tick {
        event: Event::from_trade(0, time_ns, time_ns, trade),
        day: DayStats::default(),
    }
}

/// Takes trades (ms after the beginning, price), and writes after each `every`.
fn roll(owned_ns: i64, trades: &[(i64, i64)], every: usize) -> (Rollup, Written) {
    let mut instruments = Instruments::new(registry(), series);
    let known = instruments.get(0);
    let (mut rollup, mut written) = (Rollup::new(owned_ns), Written::default());
    for (n, (ms, price)) in trades.iter().enumerate() {
        let tick = tick(n as u128, BEGIN + ms * MS, *price);
        rollup.trade(&tick, known, BEGIN, &mut written);
        if n % every == 0 {
            rollup.write(false, Instant::now(), &mut written);
        }
    }
    rollup.write(true, Instant::now(), &mut written);
    (rollup, written)
}

/// The same by its definition.
fn summed(trades: &[(i64, i64)]) -> BTreeMap<(Policy, i64), Bar> {
    let mut instruments = Instruments::new(registry(), series);
    let known = instruments.get(0);
    let mut bars = BTreeMap::new();
    for (n, (ms, price)) in trades.iter().enumerate() {
        let fact = fact(&tick(n as u128, BEGIN + ms * MS, *price), known);
        for span in Span::ALL {
            let key = (span.policy(), span.start(fact.time_ns));
            let bar = bars.entry(key).or_insert(Bar::EMPTY);
            bar.merge(&Bar::of(&fact));
        }
    }
    bars
}

proptest! {
    /// Trades late by less than memory keeps, in any order and however often it is written.
    #[test]
    fn bars_are_the_sums_of_their_trades(
        steps in prop::collection::vec((0i64..1500, 0i64..3_000, 1i64..1000), 1..200),
        every in 1usize..50,
    ) {
        let mut clock = 0;
        let trades: Vec<(i64, i64)> = steps
            .iter()
            .map(|(step, late, price)| {
                clock += step;
                ((clock - late).max(0), *price)
            })
            .collect();
        let (mut rollup, written) = roll(BEGIN, &trades, every);
        let expected = summed(&trades);
        // What came later than memory keeps is asked of the store, and only that differs.
        let asked = rollup.repairs();
        for (key, bar) in &expected {
            let covered = asked.iter().any(|r| r.seconds.contains(&key.1));
            let coarse = key.0 != Policy::ShortTerm;
            if !covered || coarse && asked.is_empty() {
                prop_assert_eq!(written.0.get(key), Some(bar), "{:?}", key);
            }
        }
        prop_assert_eq!(rollup.unsettled_ns(), None);
    }
}

#[test]
fn the_edge_of_a_window_is_the_next_ones() {
    // The last millisecond of a minute, with an id that moves its point within it, and the next.
    let trades = [(59_999, 10), (60_000, 20)];
    let (_, written) = roll(BEGIN, &trades, 1);
    let close = |policy, start_ms: i64| written.0[&(policy, BEGIN + start_ms * MS)].close;
    assert_eq!(
        close(Policy::ShortTerm, 59_000),
        close(Policy::MediumTerm, 0)
    );
    assert_eq!(
        close(Policy::ShortTerm, 60_000),
        close(Policy::MediumTerm, 60_000)
    );
    assert_eq!(written.0[&(Policy::LongTerm, BEGIN)].trades, 2);
}

#[test]
fn a_trade_that_is_too_late_for_memory_is_asked_of_the_store() {
    let trades = [
        (0, 1),
        (1_000, 2),
        (2_000, 3),
        (3_000, 4),
        (4_000, 5),
        (500, 6),
    ];
    let (mut rollup, written) = roll(BEGIN, &trades, 1);
    let second = Span::Second.ns();
    let asked = Repair {
        instrument: 0,
        seconds: BEGIN..BEGIN + second,
    };
    assert_eq!(rollup.unsettled_ns(), Some(BEGIN));
    assert_eq!(rollup.repairs(), [asked]);
    assert_eq!(rollup.unsettled_ns(), None);
    // Its minute and its hour are still here, and have it.
    let minute = written.0[&(Policy::MediumTerm, BEGIN)];
    assert_eq!((minute.trades, minute.high), (6, Decimal::new(6, 8)));
    assert_eq!(
        written.0[&(Policy::ShortTerm, BEGIN)].trades,
        1,
        "until the store is asked"
    );
}

#[test]
fn what_an_earlier_run_may_have_had_waits_for_the_store() {
    let owned_ms = 90_000;
    let trades = [
        (30_000, 1),
        (89_999, 2),
        (90_000, 3),
        (95_000, 4),
        (150_000, 5),
    ];
    let (mut rollup, mut written) = roll(BEGIN + owned_ms * MS, &trades, 1);
    let asked = rollup.repairs();
    assert_eq!(asked[0].seconds, BEGIN + 30_000 * MS..BEGIN + owned_ms * MS);
    assert_eq!(
        written.0.len(),
        4,
        "three seconds, and the minute that is all ours: {:?}",
        written.0.keys()
    );
    let split: Vec<_> = rollup.incomplete(0).collect();
    assert_eq!(
        split,
        [(Span::Minute, BEGIN + 60_000 * MS), (Span::Hour, BEGIN)]
    );

    let mut base = summed(&trades[1..2])[&(Policy::MediumTerm, BEGIN + 60_000 * MS)];
    assert!(rollup.complete(0, Span::Minute, BEGIN + 60_000 * MS, &base));
    base.merge(&summed(&trades[..1])[&(Policy::MediumTerm, BEGIN)]);
    assert!(rollup.complete(0, Span::Hour, BEGIN, &base));
    assert!(
        !rollup.complete(0, Span::Minute, BEGIN, &base),
        "memory has none of it"
    );
    rollup.write(false, Instant::now(), &mut written);
    let expected = summed(&trades);
    for key in [
        (Policy::MediumTerm, BEGIN + 60_000 * MS),
        (Policy::LongTerm, BEGIN),
    ] {
        let (found, expected) = (written.0[&key], expected[&key]);
        assert_eq!(
            (found.trades, found.open, found.close, found.volume),
            (
                expected.trades,
                expected.open,
                expected.close,
                expected.volume
            )
        );
    }
}

#[test]
fn trades_that_the_raw_policy_refuses_are_in_no_bar() {
    let hour_ms = 3_600_000;
    let (mut rollup, written) = roll(BEGIN - 2 * hour_ms * MS, &[(-hour_ms, 1)], 1);
    assert_eq!((rollup.too_late, written.0.len()), (1, 0));
    assert_eq!(rollup.repairs(), []);
}

/// A run that is killed now leaves a minute and an hour that lack their last trades: the next one
/// has to begin within them, though all seconds are written.
#[test]
fn a_minute_that_waits_for_its_pace_is_unsettled_in_its_last_second() {
    let mut instruments = Instruments::new(registry(), series);
    let known = instruments.get(0);
    let (mut rollup, mut written) = (Rollup::new(BEGIN), Written::default());
    let begun = Instant::now();
    for (n, ms) in [59_000, 59_500].into_iter().enumerate() {
        rollup.trade(
            &tick(n as u128, BEGIN + ms * MS, 100),
            known,
            BEGIN,
            &mut written,
        );
        let now = begun + std::time::Duration::from_secs(n as u64);
        rollup.write(false, now, &mut written);
    }
    let trades = |policy| written.0[&(policy, BEGIN)].trades;
    assert_eq!(
        (trades(Policy::MediumTerm), trades(Policy::LongTerm)),
        (1, 1)
    );
    assert_eq!(rollup.unsettled_ns(), Some(BEGIN + 59_000 * MS));
    rollup.write(true, begun, &mut written);
    assert_eq!(rollup.unsettled_ns(), None);
}
