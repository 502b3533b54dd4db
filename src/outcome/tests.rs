//! Each ending by hand, to the last digit; and the watch against an evaluation that looks at the
//! whole list of events for each signal.

use super::record::OutcomeRecord;
use super::*;
use crate::clock;
use crate::market::{Instrument, Market};
use proptest::prelude::*;

fn decimal(text: &str) -> Decimal {
    text.parse().expect("a decimal")
}

/// A signal of type `kind` at a price, with target, stop and take-profit (`""` = none), valid from
/// 0 to 100 ns.
fn open(kind: SignalType, price: &str, [target, stop, take_profit]: [&str; 3]) -> Open {
    let level = |text: &str| (!text.is_empty()).then(|| decimal(text));
    Open {
        signal_id: Uuid::from_u128(1),
        strategy: cut("test"),
        signal_type: kind,
        confidence: Percent::of(0.5),
        price: decimal(price),
        target_price: level(target),
        stop_loss_price: level(stop),
        take_profit_price: level(take_profit),
        event_ns: 0,
        valid_until_ns: 100,
        shadow: false,
        resumed: false,
    }
}

fn instrument() -> Instrument {
    Instrument {
        exchange: "binance",
        native: "BTCUSDT".to_owned(),
        symbol: "BTC/USDT".to_owned(),
        base: "BTC".to_owned(),
        quote: "USDT".to_owned(),
        market: Market::Spot,
        tick_size: decimal("0.01"),
        amount_step: decimal("0.01"),
        min_amount: Decimal::ZERO,
        max_amount: None,
        active: true,
        stamp_resolution_ns: 1,
        book_depth: 0,
        checksum: false,
    }
}

const SCALE: Scale = 8;

fn outcomes(watch: &mut Watch, time_ns: i64, price: Option<i128>) -> Vec<Outcome> {
    let mut all = Vec::new();
    watch.seen(
        time_ns,
        price,
        |open, ending, exit_price, ended_ns, gaps| {
            all.push(Outcome {
                open: *open,
                instrument: 0,
                ending,
                exit_price,
                ended_ns,
                gaps,
            });
        },
    );
    all
}

/// The market's prices, one event each, as (time, price).
fn run(open: Open, market: &[(i64, &str)]) -> Option<Outcome> {
    let mut watch = Watch::new(SCALE);
    watch.add(open);
    let prices = market
        .iter()
        .map(|(at, price)| (*at, twice(decimal(price), SCALE, true)));
    let ended: Vec<Outcome> = prices
        .flat_map(|(at, price)| outcomes(&mut watch, at, Some(price)))
        .collect();
    assert!(ended.len() <= 1, "a signal ends once");
    assert_eq!(watch.len(), 1 - ended.len());
    ended.first().copied()
}

/// Ending, end, exit price, change, actual_outcome, accuracy_score.
type Told = (
    &'static str,
    i64,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

fn check(open: Open, market: &[(i64, &str)], expected: Told) {
    let outcome = run(open, market).unwrap_or_else(|| panic!("no end: {open:?}"));
    let record = OutcomeRecord::new(&outcome, &instrument(), "host1");
    let text = |n: Option<Decimal>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let told = (
        record.ending.as_str(),
        outcome.ended_ns,
        &*text(record.exit_price),
        &*text(record.change_percent),
        &*text(record.actual_outcome),
        &*text(record.accuracy_score),
    );
    assert_eq!(told, expected, "{open:?} in {market:?}");
    assert_eq!(record.ended_at, clock::rfc3339(outcome.ended_ns));
}

use SignalType::{Buy, Hold, Sell, StrongBuy, StrongSell};

/// Target 110, stop 95, take-profit 120; for selling 90, 105, 80.
const UP: [&str; 3] = ["110", "95", "120"];
const DOWN: [&str; 3] = ["90", "105", "80"];

#[test]
fn validity_ends_first() {
    // Up by 3: 3/100 = 3 %; of the way of 10 to the target 0.3, so ½ + 0.15 = 0.65.
    let up = [(10, "101"), (99, "103"), (100, "130"), (101, "1")];
    check(
        open(Buy, "100", UP),
        &up,
        ("expired", 100, "103", "3", "3", "0.65"),
    );
    check(
        open(StrongBuy, "100", UP),
        &up,
        ("expired", 100, "103", "3", "3", "0.65"),
    );
    // To sell, 3 of the 5 to the stop: ½ - 0.3 = 0.2.
    check(
        open(Sell, "100", DOWN),
        &up,
        ("expired", 100, "103", "3", "3", "0.2"),
    );
    // Down by 2: to buy 2 of the 5 to the stop, ½ - 0.2; to sell 2 of 10, ½ + 0.1.
    let down = [(10, "97"), (50, "98"), (300, "500")];
    check(
        open(Buy, "100", UP),
        &down,
        ("expired", 100, "98", "-2", "-2", "0.3"),
    );
    check(
        open(StrongSell, "100", DOWN),
        &down,
        ("expired", 100, "98", "-2", "-2", "0.6"),
    );
    // Nothing moved.
    let still = [(10, "101"), (20, "100"), (100, "7")];
    check(
        open(Sell, "100", DOWN),
        &still,
        ("expired", 100, "100", "0", "0", "0.5"),
    );
    // A third: 100 / 3 = 33.33…; the way is 1 of 3, so ½ + 1/6 = 0.67.
    let third = [(10, "4"), (100, "9")];
    check(
        open(Buy, "3", ["6", "", ""]),
        &third,
        (
            "expired",
            100,
            "4",
            "33.333333333333333333333333333",
            "33.3333",
            "0.67",
        ),
    );
}

#[test]
fn the_first_level_ends_it_where_the_market_stands_then() {
    // Target first, by an event at 110.5: + 10.5 %, the goal is reached.
    let target = [(10, "109.99"), (20, "110.5"), (30, "121"), (40, "90")];
    check(
        open(Buy, "100", UP),
        &target,
        ("target", 20, "110.5", "10.5", "10.5", "1"),
    );
    // Exactly at the level.
    let at = [(10, "109.99999999"), (20, "110")];
    check(
        open(StrongBuy, "100", UP),
        &at,
        ("target", 20, "110", "10", "10", "1"),
    );
    // Stop first.
    let stop = [(10, "95.01"), (20, "94.5"), (30, "111")];
    check(
        open(Buy, "100", UP),
        &stop,
        ("stop_loss", 20, "94.5", "-5.5", "-5.5", "0"),
    );
    // Take-profit first: nearer than the target.
    let near = ["120", "95", "110"];
    let profit = [(10, "109"), (20, "111"), (30, "125")];
    check(
        open(Buy, "100", near),
        &profit,
        ("take_profit", 20, "111", "11", "11", "0.78"),
    );
    // The same for selling.
    let target = [(10, "90.01"), (20, "89"), (30, "70")];
    check(
        open(Sell, "100", DOWN),
        &target,
        ("target", 20, "89", "-11", "-11", "1"),
    );
    let stop = [(10, "104.99"), (20, "105"), (30, "80")];
    check(
        open(StrongSell, "100", DOWN),
        &stop,
        ("stop_loss", 20, "105", "5", "5", "0"),
    );
    let near = ["80", "105", "90"];
    let profit = [(10, "85")];
    check(
        open(Sell, "100", near),
        &profit,
        ("take_profit", 10, "85", "-15", "-15", "0.88"),
    );
}

#[test]
fn a_gap_through_both_ends_where_the_market_lands() {
    // Over target and take-profit at once: take-profit counts, and the price is the event's.
    let over = [(10, "101"), (60, "150.25")];
    check(
        open(Buy, "100", UP),
        &over,
        ("take_profit", 60, "150.25", "50.25", "50.25", "1"),
    );
    // It fell through the stop and came back over the target unseen: what is seen first decides.
    let unseen = [(10, "100"), (60, "112")];
    check(
        open(Buy, "100", UP),
        &unseen,
        ("target", 60, "112", "12", "12", "1"),
    );
    let unseen = [(10, "100"), (60, "60")];
    check(
        open(Sell, "100", DOWN),
        &unseen,
        ("take_profit", 60, "60", "-40", "-40", "1"),
    );
    // Stop and target lie the wrong way round: the stop counts.
    let odd = ["95", "110", ""];
    check(
        open(Buy, "100", odd),
        &[(10, "100")],
        ("stop_loss", 10, "100", "0", "0", "0.5"),
    );
}

#[test]
fn holding_is_right_where_nothing_moves() {
    let range = ["110", "95", ""];
    let still = [(10, "100.5"), (20, "100"), (100, "200")];
    check(
        open(Hold, "100", range),
        &still,
        ("expired", 100, "100", "0", "0", "1"),
    );
    // 2.5 of the 10 above; 2.5 of the 5 below.
    let up = [(10, "102.5"), (100, "1")];
    check(
        open(Hold, "100", range),
        &up,
        ("expired", 100, "102.5", "2.5", "2.5", "0.75"),
    );
    let down = [(10, "97.5"), (100, "1")];
    check(
        open(Hold, "100", range),
        &down,
        ("expired", 100, "97.5", "-2.5", "-2.5", "0.5"),
    );
    // A level on either side ends it.
    check(
        open(Hold, "100", range),
        &[(5, "94")],
        ("stop_loss", 5, "94", "-6", "-6", "0"),
    );
    check(
        open(Hold, "100", range),
        &[(5, "111")],
        ("target", 5, "111", "11", "11", "0"),
    );
    // Without a level: a quarter of one percent.
    let none = ["", "", ""];
    let quarter = [(10, "99.75"), (100, "1")];
    check(
        open(Hold, "100", none),
        &quarter,
        ("expired", 100, "99.75", "-0.25", "-0.25", "0.75"),
    );
}

#[test]
fn without_levels_the_direction_alone_counts() {
    let none = ["", "", ""];
    let up = [(10, "100.01"), (100, "1")];
    check(
        open(Buy, "100", none),
        &up,
        ("expired", 100, "100.01", "0.01", "0.01", "1"),
    );
    check(
        open(Sell, "100", none),
        &up,
        ("expired", 100, "100.01", "0.01", "0.01", "0"),
    );
    // With a stop alone, its distance counts on both sides: 1 of 5, ½ + 0.1.
    let stop = ["", "95", ""];
    let up = [(10, "101"), (100, "1")];
    check(
        open(Buy, "100", stop),
        &up,
        ("expired", 100, "101", "1", "1", "0.6"),
    );
}

#[test]
fn what_the_column_cannot_hold_is_clamped_and_kept() {
    let up = [(10, "350"), (100, "1")];
    check(
        open(Buy, "100", ["", "", ""]),
        &up,
        ("expired", 100, "350", "250", "99.9999", "1"),
    );
    // 1 / 300000 * 100 = 0.000333…: less than the column's digits show.
    let little = [(10, "300001"), (100, "1")];
    check(
        open(Buy, "300000", ["330000", "", ""]),
        &little,
        (
            "expired",
            100,
            "300001",
            "0.0003333333333333333333333333",
            "0.0003",
            "0.5",
        ),
    );
    // Half to even: 0.00005 % and 0.00015 %.
    let even = [(10, "100.00005"), (100, "1")];
    check(
        open(Sell, "100", ["", "", ""]),
        &even,
        ("expired", 100, "100.00005", "0.00005", "0", "0"),
    );
    let odd = [(10, "100.00015"), (100, "1")];
    check(
        open(Sell, "100", ["", "", ""]),
        &odd,
        ("expired", 100, "100.00015", "0.00015", "0.0002", "0"),
    );
}

#[test]
fn a_break_and_a_restart_are_told() {
    let told = |open: Open, breaks: bool| {
        let mut watch = Watch::new(SCALE);
        watch.broke(); // before it was decided
        watch.add(open);
        if breaks {
            watch.broke();
        }
        let ended = outcomes(&mut watch, 100, None);
        let record = OutcomeRecord::new(&ended[0], &instrument(), "host1");
        let seen = record.data_quality;
        (seen.complete, seen.gaps, seen.restarted, record.exit_price)
    };
    let signal = open(Buy, "100", UP);
    assert_eq!(told(signal, false), (true, 0, false, None));
    assert_eq!(told(signal, true), (false, 1, false, None));
    let resumed = Open {
        resumed: true,
        ..signal
    };
    assert_eq!(told(resumed, false), (false, 0, true, None));
}

#[test]
fn nothing_is_known_of_a_market_that_was_not_seen() {
    let mut watch = Watch::new(SCALE);
    watch.add(Open {
        resumed: true,
        ..open(Buy, "100", UP)
    });
    let ended = outcomes(&mut watch, 500, Some(twice(decimal("111"), SCALE, true)));
    let record = OutcomeRecord::new(&ended[0], &instrument(), "host1");
    assert_eq!((record.ending.as_str(), record.event_ns), ("expired", 100));
    let numbers = (
        record.exit_price,
        record.change_percent,
        record.actual_outcome,
    );
    assert_eq!((numbers, record.accuracy_score), ((None, None, None), None));
}

#[test]
fn a_change_of_scale_moves_no_level() {
    for scale in [2, 10, 18] {
        let mut watch = Watch::new(SCALE);
        watch.add(open(Buy, "100", ["110.5", "95.25", ""]));
        let before = outcomes(&mut watch, 10, Some(twice(decimal("105"), SCALE, true)));
        assert!(before.is_empty());
        watch.rescale(scale);
        let at = |price: &str| Some(twice(decimal(price), scale, true));
        assert!(outcomes(&mut watch, 20, at("110.49")).is_empty(), "{scale}");
        assert!(outcomes(&mut watch, 20, at("95.26")).is_empty(), "{scale}");
        let ended = outcomes(&mut watch, 30, at("110.5"));
        assert_eq!(ended[0].ending, Ending::Target, "{scale}");
        assert_eq!(ended[0].exit_price, Some(decimal("110.5")));
    }
}

#[test]
fn triggers_of_what_has_ended_do_not_pile_up() {
    let mut watch = Watch::new(SCALE);
    let price = Some(twice(decimal("100"), SCALE, true));
    for n in 0..100_000 {
        let signal = open(Buy, "100", UP);
        watch.add(Open {
            valid_until_ns: n + 10,
            ..signal
        });
        outcomes(&mut watch, n, price);
    }
    assert!(watch.len() <= 11, "{} are open", watch.len());
    let held = watch.above.len() + watch.below.len() + watch.ends.len();
    assert!(
        held < 4 * CLUTTER,
        "{held} triggers for {} signals",
        watch.len()
    );
}

/// One event: the time that has passed since the one before, and twice the price.
type Step = (i64, Option<i128>);

/// The first event in the list that ends the signal decided before event `from`.
fn brute_force(open: &Open, from: usize, events: &[Step]) -> Option<(Ending, i64, Option<i128>)> {
    let before = events[..from].iter().rev().find_map(|(_, price)| *price);
    let (mut last, mut now) = (before, i64::MIN);
    for (time, _) in &events[..from] {
        now = now.max(*time);
    }
    for (time, price) in &events[from..] {
        now = now.max(*time);
        if now >= open.valid_until_ns {
            return Some((Ending::Expired, open.valid_until_ns, last));
        }
        let Some(price) = *price else { continue };
        last = Some(price);
        let market = decimal::half(price, SCALE).expect("fits");
        for (ending, level) in open.levels() {
            let Some(level) = level else { continue };
            let up = match open.signal_type {
                Buy | StrongBuy => ending != Ending::StopLoss,
                Sell | StrongSell => ending == Ending::StopLoss,
                Hold => level > open.price,
            };
            if if up { market >= level } else { market <= level } {
                return Some((ending, *time, Some(price)));
            }
        }
    }
    None
}

/// Target, stop and take-profit, each perhaps.
fn levels() -> impl Strategy<Value = [Option<i64>; 3]> {
    prop::array::uniform3(prop::option::of(90i64..111))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn equals_an_evaluation_over_the_whole_list(
        steps in prop::collection::vec((0i64..9, prop::option::weighted(0.9, 90i128..111)), 1..200),
        signals in prop::collection::vec(
            (0usize..200, 0usize..5, 1i64..200, levels()),
            1..60,
        ),
    ) {
        // Prices are in hundredths of a millionth, so that halves and equal levels come up.
        let mut time = 0;
        let events: Vec<Step> = steps
            .iter()
            .map(|(wait, price)| { time += wait - 1; (time, *price) })
            .collect();
        let level = |n: Option<i64>| n.map(|n| Decimal::new(n * 5, 9));
        let mut watch = Watch::new(SCALE);
        let mut expected = Vec::new();
        let mut ended = Vec::new();
        for (at, (time, price)) in events.iter().enumerate() {
            for (n, (when, kind, valid, levels)) in signals.iter().enumerate() {
                if when % events.len() != at { continue }
                let open = Open {
                    signal_id: Uuid::from_u128(n as u128),
                    target_price: level(levels[0]),
                    stop_loss_price: level(levels[1]),
                    take_profit_price: level(levels[2]),
                    valid_until_ns: time + valid,
                    ..open([Buy, Sell, Hold, StrongBuy, StrongSell][*kind], "0.0000005", [""; 3])
                };
                expected.extend(brute_force(&open, at, &events).map(|e| (n, e)));
                watch.add(open);
            }
            ended.extend(outcomes(&mut watch, *time, *price));
        }
        let mut got: Vec<_> = ended
            .iter()
            .map(|o| (o.open.signal_id.as_u128() as usize, o.ending, o.ended_ns, o.exit_price))
            .collect();
        got.sort_by_key(|o| o.0);
        expected.sort_by_key(|e| e.0);
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(n, (ending, at, price))| {
                (n, ending, at, price.and_then(|p| decimal::half(p, SCALE)))
            })
            .collect();
        prop_assert_eq!(got, expected);
    }
}
