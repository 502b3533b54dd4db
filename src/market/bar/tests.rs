//! Bars by hand.

use super::*;
use crate::market::decimal;

/// A builder that watched from the start, and the bars that (time, price, amount) closes. Takers
/// bought.
fn played(kind: BarKind, trades: &[(i64, i64, i64)]) -> (BarBuilder, Vec<Bar>) {
    let mut builder = BarBuilder::new(kind).watched_from_start();
    let mut closed = Vec::new();
    for (time_ns, price, amount) in trades {
        closed.extend(builder.close_due(*time_ns));
        builder.trade(*time_ns, *price, *amount, true);
        while let Some(bar) = builder.next_closed() {
            closed.push(bar);
        }
    }
    (builder, closed)
}

fn prices(bar: &Bar) -> (i64, i64, i64, i64) {
    (bar.open, bar.high, bar.low, bar.close)
}

fn span(bar: &Bar) -> (i64, i64) {
    (bar.start_ns, bar.end_ns)
}

#[test]
fn bars_close_with_the_first_event_past_their_end() {
    let mut bars = BarBuilder::new(BarKind::Time(10));
    bars.trade(103, 5, 1, true);
    bars.trade(107, 7, 2, false);
    assert_eq!(bars.close_due(109), None);
    assert_eq!(bars.next_closed(), None, "no trade closes a bar of time");
    let bar = bars.close_due(110).expect("over");
    let expected = Bar {
        start_ns: 100,
        end_ns: 110,
        open: 5,
        high: 7,
        low: 5,
        close: 7,
        volume: 3,
        taker_buy_volume: 1,
        notional: 19,
        first_ns: 103,
        last_ns: 107,
        trades: 2,
        late: 0,
        incomplete: true,
    };
    assert_eq!(bar, expected, "the first one began before its first trade");
    assert_eq!(bars.close_due(1000), None, "no trade, no bar");
    bars.trade(1003, 5, 1, true);
    assert!(!bars.close_due(1010).expect("over").incomplete);
}

#[test]
fn a_late_trade_counts_into_the_open_bar() {
    let mut bars = BarBuilder::new(BarKind::Time(10));
    bars.trade(105, 5, 1, true);
    assert!(bars.close_due(112).is_some());
    bars.trade(104, 6, 1, true);
    bars.trade(113, 7, 1, true);
    let bar = bars.close_due(120).expect("over");
    assert_eq!(
        (bar.start_ns, bar.trades, bar.late, bar.open),
        (110, 2, 1, 6)
    );
    assert_eq!((bar.first_ns, bar.last_ns), (104, 113));
}

#[test]
fn a_day_is_one_of_utc_and_intervals_before_the_epoch_are_aligned_too() {
    const DAY: i64 = 86_400_000_000_000;
    let trades = [(-1, 5, 1), (0, 6, 1), (DAY - 1, 7, 1), (DAY, 8, 1)];
    let (_, bars) = played(BarKind::Time(DAY), &trades);
    assert_eq!(
        bars.iter().map(span).collect::<Vec<_>>(),
        [(-DAY, 0), (0, DAY)]
    );
    assert_eq!((bars[1].open, bars[1].close), (6, 7));
}

#[test]
fn counted_bars_close_with_the_trade_that_fills_them() {
    let trades = [(5, 9, 1), (5, 8, 1), (6, 7, 1), (7, 6, 1), (9, 5, 1)];
    let (builder, bars) = played(BarKind::Trades(2), &trades);
    assert_eq!(bars.len(), 2);
    assert_eq!((prices(&bars[0]), span(&bars[0])), ((9, 9, 8, 8), (5, 6)));
    assert_eq!((prices(&bars[1]), span(&bars[1])), ((7, 7, 6, 6), (6, 8)));
    assert!(!bars[0].incomplete, "it begins with the first trade seen");
    let open = builder.open_bar().expect("one trade");
    assert_eq!((open.trades, open.open), (1, 5));
}

#[test]
fn a_threshold_splits_no_trade_and_the_next_bar_starts_from_zero() {
    // 4 + 4 + 4 reaches 10 and leaves nothing; 25 is a bar of its own.
    let trades = [
        (1, 2, 4),
        (2, 2, 4),
        (3, 3, 4),
        (4, 2, 25),
        (5, 2, 9),
        (6, 2, 1),
    ];
    let (_, bars) = played(BarKind::Volume(10), &trades);
    let sums: Vec<_> = bars.iter().map(|b| (b.volume, b.trades)).collect();
    assert_eq!(sums, [(12, 3), (25, 1), (10, 2)]);
    // 8 + 8 + 12 = 28 reaches 28; 50; then 18 + 2 does not.
    let (builder, bars) = played(BarKind::Notional(28), &trades);
    let sums: Vec<_> = bars.iter().map(|b| (b.notional, b.trades)).collect();
    assert_eq!(sums, [(28, 3), (50, 1)]);
    assert_eq!(builder.open_bar().map(|b| b.notional), Some(20));
}

#[test]
fn late_in_a_bar_that_is_not_of_time_is_older_than_what_has_closed() {
    let trades = [
        (10, 1, 1),
        (20, 1, 1),
        (20, 1, 1),
        (15, 1, 1),
        (5, 1, 1),
        (8, 1, 1),
    ];
    let (_, bars) = played(BarKind::Trades(2), &trades);
    let seen: Vec<_> = bars.iter().map(|b| (span(b), b.late)).collect();
    // The second at the same stamp as the first one's end is not late; all of the third is.
    assert_eq!(seen, [((10, 21), 0), ((20, 21), 1), ((20, 21), 2)]);
    assert_eq!((bars[1].first_ns, bars[1].last_ns), (20, 15));
    // Out of order within a bar is not late, and its interval holds both.
    let (_, bars) = played(BarKind::Trades(2), &[(10, 1, 1), (7, 1, 1)]);
    assert_eq!((span(&bars[0]), bars[0].late), ((7, 11), 0));
}

#[test]
fn a_brick_a_step_and_two_to_turn() {
    let trades = [
        (1, 1_004, 1), // the grid starts at 1000
        (2, 1_009, 2),
        (3, 1_010, 3), // 1000 to 1010
        (4, 1_001, 4), // one back makes none
        (5, 991, 5),
        (6, 990, 6),   // two back: 1000 to 990
        (7, 1_009, 7), // 990 to 1000 is the brick back; 1010 would turn
        (8, 1_010, 8), // 1000 to 1010
    ];
    let (builder, bars) = played(BarKind::Renko(10), &trades);
    let seen: Vec<_> = bars
        .iter()
        .map(|b| (prices(b), b.volume, b.trades))
        .collect();
    let expected = [
        ((1_000, 1_010, 1_000, 1_010), 6, 3),
        ((1_000, 1_000, 990, 990), 15, 3),
        ((1_000, 1_010, 1_000, 1_010), 15, 2),
    ];
    assert_eq!(seen, expected);
    assert_eq!(builder.open_bar(), None);
    let down = [(1, 1_004, 1), (2, 990, 1)];
    let (_, bars) = played(BarKind::Renko(10), &down);
    assert_eq!(
        bars.iter().map(prices).collect::<Vec<_>>(),
        [(1_000, 1_000, 990, 990)]
    );
}

#[test]
fn further_bricks_of_a_trade_have_no_volume() {
    let trades = [(3, 100, 5), (4, 100, 5), (9, 131, 2), (7, 109, 1)];
    let (_, bars) = played(BarKind::Renko(10), &trades);
    let moves: Vec<_> = bars.iter().map(|b| (b.open, b.close)).collect();
    // 131 makes three up; 109 turns: 120 is the last one's bottom.
    assert_eq!(moves, [(100, 110), (110, 120), (120, 130), (120, 110)]);
    assert_eq!(
        (bars[0].volume, bars[0].trades, span(&bars[0])),
        (12, 3, (3, 10))
    );
    let further = Bar {
        start_ns: 9,
        end_ns: 10,
        open: 110,
        high: 120,
        low: 110,
        close: 120,
        first_ns: 9,
        last_ns: 9,
        ..Bar::default()
    };
    assert_eq!((bars[1], bars[1].vwap()), (further, None));
    assert_eq!(
        (bars[3].late, bars[3].first_ns, span(&bars[3])),
        (1, 7, (9, 10))
    );
}

#[test]
fn a_price_too_far_away_starts_the_grid_afresh() {
    let far = 10 * MOST_BRICKS + 1_000;
    let (_, bars) = played(BarKind::Renko(10), &[(1, 1_000, 1), (2, far, 1)]);
    assert_eq!(bars.len() as i64, MOST_BRICKS);
    let trades = [
        (1, 1_000, 1),
        (2, far + 1, 1),
        (3, far + 10, 1),
        (4, far + 20, 1),
    ];
    let (_, bars) = played(BarKind::Renko(10), &trades);
    assert_eq!(bars.len(), 2);
    assert_eq!(
        (bars[0].open, bars[0].volume, bars[0].incomplete),
        (far, 3, true)
    );
    assert_eq!((bars[1].open, bars[1].incomplete), (far + 10, false));
    let (_, bars) = played(BarKind::Renko(10), &[(1, far, 1), (2, 999, 1), (3, 980, 1)]);
    assert_eq!((bars[0].open, bars[0].close, bars.len()), (990, 980, 1));
}

#[test]
fn a_gap_marks_the_open_bar_and_the_one_of_the_next_trade() {
    let mut bars = BarBuilder::new(BarKind::Time(10)).watched_from_start();
    bars.trade(101, 5, 1, true);
    bars.gap();
    assert!(bars.close_due(110).expect("over").incomplete);
    bars.trade(125, 5, 1, true);
    bars.trade(126, 5, 1, true);
    assert!(bars.close_due(130).expect("over").incomplete);
    bars.trade(131, 5, 1, true);
    assert!(!bars.close_due(140).expect("over").incomplete);

    let mut bars = BarBuilder::new(BarKind::Renko(10));
    bars.trade(1, 100, 1, true);
    bars.gap();
    bars.trade(2, 125, 1, true);
    let marks = std::iter::from_fn(|| bars.next_closed()).map(|b| b.incomplete);
    assert_eq!(
        marks.collect::<Vec<_>>(),
        [true, true],
        "the way to it is not known"
    );
    bars.gap();
    bars.trade(3, 129, 1, true);
    bars.trade(4, 145, 1, true);
    let marks = std::iter::from_fn(|| bars.next_closed()).map(|b| b.incomplete);
    assert_eq!(marks.collect::<Vec<_>>(), [true, false]);
}

#[test]
fn the_average_price_is_exact_and_half_to_even() {
    let vwap = |notional: i128, volume: i64| {
        let bar = Bar {
            notional,
            volume,
            ..Bar::default()
        };
        bar.vwap()
    };
    assert_eq!(vwap(0, 0), None);
    assert_eq!(vwap(10, 4), Some(2));
    assert_eq!(vwap(14, 4), Some(4));
    assert_eq!(vwap(11, 4), Some(3));
    assert_eq!(
        (vwap(-10, 4), vwap(-14, 4), vwap(-11, 4)),
        (Some(-2), Some(-4), Some(-3))
    );
    let large = i128::from(i64::MAX) * i128::from(i64::MAX);
    assert_eq!(vwap(large, i64::MAX), Some(i64::MAX));
    assert_eq!(vwap(large, 1), None);
}

#[test]
fn sums_saturate_and_nothing_panics_at_the_ends() {
    let ends = [i64::MIN, -1, 0, 1, i64::MAX];
    let kinds = [
        BarKind::Time(i64::MAX),
        BarKind::Time(1),
        BarKind::Trades(0),
        BarKind::Volume(i64::MAX),
        BarKind::Notional(i128::MAX),
        BarKind::Renko(i64::MAX),
        BarKind::Renko(-7),
        BarKind::Renko(i64::MAX / 3),
    ];
    for kind in kinds {
        let mut trades = Vec::new();
        for time_ns in ends {
            for price in ends {
                trades.extend(ends.map(|amount| (time_ns, price, amount)));
            }
        }
        let (mut builder, bars) = played(kind, &trades);
        builder.gap();
        builder.rescale(|v| v.checked_mul(10), |v| v.checked_mul(10));
        for bar in bars {
            assert!(bar.high >= bar.low && bar.end_ns >= bar.start_ns, "{bar:?}");
        }
    }
    let most = [(1, i64::MAX, i64::MAX); 4];
    let (builder, _) = played(BarKind::Time(100), &most);
    let open = builder.open_bar().expect("open");
    assert_eq!((open.volume, open.notional), (i64::MAX, i128::MAX));
}

#[test]
fn a_finer_scale_changes_nothing_but_the_integers() {
    let price = |v: i64| decimal::rescale(v, 2, 4).map(|r| r.0);
    let amount = |v: i64| decimal::rescale(v, 0, 3).map(|r| r.0);
    let trades = [
        (1, 1_005, 4),
        (2, 1_016, 4),
        (3, 1_021, 4),
        (4, 999, 3),
        (5, 970, 9),
    ];
    let kinds = [
        (BarKind::Time(2), BarKind::Time(2)),
        (BarKind::Trades(2), BarKind::Trades(2)),
        (BarKind::Volume(7), BarKind::Volume(7_000)),
        (BarKind::Notional(8_000), BarKind::Notional(800_000_000)),
        (BarKind::Renko(10), BarKind::Renko(1_000)),
    ];
    let finer = |(time_ns, p, a): (i64, i64, i64)| (time_ns, p * 100, a * 1_000);
    for (kind, fine) in kinds {
        let (expected, bars) = played(fine, &trades.map(finer));
        assert!(!bars.is_empty(), "{kind:?}");
        for cut in 0..trades.len() {
            let (mut builder, before) = played(kind, &trades[..cut]);
            builder.rescale(price, amount);
            assert_eq!(builder.kind(), fine);
            let mut rest = Vec::new();
            for (time_ns, price, amount) in trades[cut..].iter().copied().map(finer) {
                rest.extend(builder.close_due(time_ns));
                builder.trade(time_ns, price, amount, true);
                rest.extend(std::iter::from_fn(|| builder.next_closed()));
            }
            assert_eq!(rest, bars[before.len()..], "{kind:?} {cut}");
            assert_eq!(builder, expected, "{kind:?} {cut}");
        }
    }
}

#[test]
fn a_coarser_scale_rounds_and_what_does_not_fit_starts_afresh() {
    let coarser = |v: i64| decimal::rescale(v, 2, 1).map(|r| r.0);
    let mut builder = BarBuilder::new(BarKind::Notional(1_250)).watched_from_start();
    builder.trade(1, 105, 7, true);
    builder.rescale(coarser, Some);
    assert_eq!(builder.kind(), BarKind::Notional(125));
    // 73.5 is half way: to the even one.
    let open = *builder.open_bar().expect("open");
    assert_eq!((open.open, open.volume, open.notional), (10, 7, 74));

    let mut one_up_one_down = BarBuilder::new(BarKind::Notional(9));
    one_up_one_down.rescale(coarser, |v| decimal::rescale(v, 0, 1).map(|r| r.0));
    assert_eq!(one_up_one_down.kind(), BarKind::Notional(9));

    for kind in [
        BarKind::Time(10),
        BarKind::Volume(i64::MAX),
        BarKind::Renko(10),
    ] {
        let mut builder = BarBuilder::new(kind).watched_from_start();
        builder.trade(1, i64::MAX / 5, 1, true);
        builder.rescale(|v| v.checked_mul(10), |v| v.checked_mul(10));
        assert_eq!(builder.open_bar(), None);
        builder.trade(2, 50, 1, true);
        let open = builder.open_bar().expect("afresh");
        assert!(open.incomplete && open.trades == 1 && open.late == 0);
    }
    let mut small = BarBuilder::new(BarKind::Volume(3));
    small.rescale(Some, coarser);
    assert_eq!(small.kind(), BarKind::Volume(1));
}

#[test]
fn a_kind_is_made_once_and_bars_come_by_index() {
    let mut bars = Bars::new();
    let second = bars.add(BarKind::Time(10));
    let third = bars.add(BarKind::Trades(1));
    let fourth = bars.add(BarKind::Time(5));
    assert_eq!(bars.add(BarKind::Time(10)), second);
    assert_eq!((second, third, fourth, bars.len()), (0, 1, 2, 3));
    let bricks = bars.add_builder(BarBuilder::new(BarKind::Renko(2)));
    let mut seen = Vec::new();
    for (time_ns, price) in [(1, 10), (7, 15), (12, 16)] {
        while let Some((i, bar)) = bars.close_due(time_ns) {
            seen.push((time_ns, i, bar.open));
        }
        bars.trade(time_ns, price, 1, true);
        while let Some((i, bar)) = bars.next_closed() {
            seen.push((time_ns, i, bar.open));
        }
    }
    let expected = [
        (1, third, 10),
        (7, fourth, 10),
        (7, third, 15),
        (7, bricks, 10),
        (7, bricks, 12),
        (12, second, 10),
        (12, fourth, 15),
        (12, third, 16),
        (12, bricks, 14),
    ];
    assert_eq!(seen, expected);
    assert_eq!(
        bars.get(second)
            .and_then(|b| b.open_bar())
            .map(|b| b.end_ns),
        Some(20)
    );
    assert_eq!(bars.iter().count(), 4);
}

#[test]
fn a_builder_with_an_open_bar_joins_the_others() {
    let mut bars = Bars::new();
    bars.add(BarKind::Time(10));
    bars.trade(1, 10, 1, true);
    assert_eq!(bars.close_due(2), None);
    let mut known = BarBuilder::new(BarKind::Time(3));
    known.trade(1, 7, 1, true);
    assert_eq!(bars.add_builder(known), 1);
    assert_eq!(
        bars.close_due(3).map(|(i, bar)| (i, bar.open)),
        Some((1, 7))
    );
    assert_eq!(bars.add_builder(known), 1, "the known one stays");
    assert_eq!(bars.close_due(3), None);
}

#[test]
fn a_kind_as_text() {
    for (text, shown) in [
        ("1m", "time:1m"),
        ("time:90s", "time:90s"),
        ("time:24h", "time:1d"),
        ("100ms", "time:100ms"),
        ("trades:100", "trades:100"),
        ("volume:12.50", "volume:12.5"),
        ("notional:1000000", "notional:1000000"),
        ("renko:0.00010", "renko:0.0001"),
    ] {
        let spec: BarSpec = text.parse().expect(text);
        assert_eq!(spec.to_string(), shown);
        assert_eq!(shown.parse(), Ok(spec));
        let json = serde_json::to_string(&spec).expect("text");
        assert_eq!(json, format!("\"{shown}\""));
        assert_eq!(serde_json::from_str::<BarSpec>(&json).expect(text), spec);
    }
    for (text, error) in [
        ("", BarSpecError::Kind),
        ("m", BarSpecError::Kind),
        ("ticks:5", BarSpecError::Kind),
        ("99ms", BarSpecError::Interval),
        ("2d", BarSpecError::Interval),
        ("time:1", BarSpecError::Interval),
        ("time:1.5m", BarSpecError::Interval),
        ("time:", BarSpecError::Interval),
        ("9223372036854775807d", BarSpecError::Interval),
        ("trades:0", BarSpecError::Trades),
        ("trades:+5", BarSpecError::Trades),
        ("trades:4294967296", BarSpecError::Trades),
        ("volume:0", BarSpecError::Amount),
        ("volume:-1", BarSpecError::Amount),
        ("volume:1e3", BarSpecError::Amount),
        ("volume:1_000", BarSpecError::Amount),
        ("volume:.5", BarSpecError::Amount),
        ("renko:", BarSpecError::Amount),
        (
            "notional:99999999999999999999999999999999",
            BarSpecError::Amount,
        ),
    ] {
        assert_eq!(text.parse::<BarSpec>(), Err(error), "{text:?}");
    }
}

#[test]
fn a_kind_at_an_instruments_scales() {
    let at = |text: &str, price, amount| text.parse::<BarSpec>().expect(text).at(price, amount);
    assert_eq!(at("1m", 8, 8), Ok(BarKind::Time(60_000_000_000)));
    assert_eq!(at("trades:7", 8, 8), Ok(BarKind::Trades(7)));
    assert_eq!(at("volume:12.5", 2, 8), Ok(BarKind::Volume(1_250_000_000)));
    assert_eq!(
        at("notional:0.5", 2, 8),
        Ok(BarKind::Notional(5_000_000_000))
    );
    assert_eq!(at("renko:10", 2, 8), Ok(BarKind::Renko(1_000)));
    assert_eq!(at("renko:0.005", 2, 8), Err(BarSpecError::Finer));
    assert_eq!(at("volume:100", 2, 18), Err(BarSpecError::TooLarge));
    assert_eq!(at("notional:1000000", 18, 18), Err(BarSpecError::TooLarge));
    let most = at("notional:100", 18, 18);
    assert_eq!(most, Ok(BarKind::Notional(10i128.pow(38))));
}
