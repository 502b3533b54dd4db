//! Bars of every kind against those that a separate program makes of the raw trades: late trades,
//! several at one nanosecond, quiet hours, midnights, gaps, prices that jump.

use crate::bars::python;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tickforge::market::bar::{Bar, BarBuilder, BarKind, Bars, MOST_BRICKS};
use tickforge::market::decimal;

const MS: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MS;
const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;

/// Decimals of prices and amounts.
const SCALE: u8 = 8;
const ONE: i64 = decimal::pow10(SCALE) as i64;

const SEEDS: u64 = 20;
const TRADES: usize = 20_000;

#[derive(Clone, Copy)]
enum Happened {
    /// Time, price, amount, and whether the taker bought.
    Trade(i64, i64, i64, bool),
    /// Another event with a stamp.
    Stamp(i64),
    Gap,
}

fn kinds() -> Vec<BarKind> {
    let quote = i128::from(ONE) * i128::from(ONE);
    vec![
        BarKind::Time(100 * MS),
        BarKind::Time(SECOND),
        BarKind::Trades(100),
        BarKind::Time(60 * SECOND),
        BarKind::Trades(1),
        BarKind::Time(HOUR),
        BarKind::Volume(12 * ONE + ONE / 2),
        BarKind::Time(7 * SECOND + 1),
        BarKind::Volume(ONE / 100),
        BarKind::Notional(1_000_000 * quote),
        BarKind::Time(DAY),
        BarKind::Notional(60_000 * quote + 7),
        BarKind::Renko(10 * ONE),
        BarKind::Trades(377),
        BarKind::Renko(250 * ONE),
        BarKind::Renko(ONE + 1),
    ]
}

/// Trades that begin two hours before a midnight. Time passes by nothing, by fractions of a second,
/// to just before or onto the edge of a second, and at times by hours.
fn story(seed: u64) -> Vec<Happened> {
    let mut draw = StdRng::seed_from_u64(seed);
    let mut now_ns = 20_000 * DAY + 22 * HOUR + draw.random_range(0..SECOND);
    let mut cents = 6_000_000_i64;
    let mut all = Vec::new();
    let mut trades = 0;
    while trades < TRADES {
        now_ns += match draw.random_range(0..1_000) {
            0 => draw.random_range(0..9 * HOUR),
            1..3 => DAY - now_ns % DAY - draw.random_range(0..2),
            3..30 => draw.random_range(0..120 * SECOND),
            30..150 => SECOND - now_ns % SECOND - draw.random_range(0..2),
            150..450 => 0,
            450..500 => 1,
            _ => draw.random_range(0..400 * MS),
        };
        match draw.random_range(0..2_000) {
            0 => {
                all.push(Happened::Gap);
                continue;
            }
            // Every second story has stamps that run ahead of trades on their way.
            1..300 if seed % 2 == 1 => {
                all.push(Happened::Stamp(now_ns));
                continue;
            }
            _ => {}
        }
        let late_ns = match draw.random_range(0..1_000) {
            0 => draw.random_range(0..3 * HOUR),
            1..20 => draw.random_range(0..90 * SECOND),
            20..120 => draw.random_range(0..500 * MS),
            _ => 0,
        };
        cents += match draw.random_range(0..4_000) {
            0 => draw.random_range(-400_000..=400_000),
            1..40 => draw.random_range(-5_000..=5_000),
            _ => draw.random_range(-300..=300),
        };
        cents = cents.clamp(100_000, 20_000_000);
        let amount = match draw.random_range(0..20) {
            // Round amounts fill a bar exactly.
            _ if seed.is_multiple_of(4) => draw.random_range(1..20) * (ONE / 4),
            0 => draw.random_range(1..40 * ONE),
            1..5 => 1,
            _ => draw.random_range(1..ONE / 4),
        };
        let price = cents * (ONE / 100);
        all.push(Happened::Trade(
            now_ns - late_ns,
            price,
            amount,
            draw.random(),
        ));
        trades += 1;
    }
    all
}

/// What the engine does with an event.
fn play(bars: &mut Bars, now_ns: &mut i64, event: Happened, mut out: impl FnMut(usize, Bar)) {
    let (Happened::Trade(time_ns, ..) | Happened::Stamp(time_ns)) = event else {
        return bars.gap();
    };
    *now_ns = time_ns.max(*now_ns);
    while let Some((index, bar)) = bars.close_due(*now_ns) {
        out(index, bar);
    }
    let Happened::Trade(_, price, amount, bought) = event else {
        return;
    };
    bars.trade(time_ns, price, amount, bought);
    while let Some((index, bar)) = bars.next_closed() {
        out(index, bar);
    }
}

fn all_kinds() -> Bars {
    let mut bars = Bars::new();
    for (index, kind) in kinds().into_iter().enumerate() {
        assert_eq!(bars.add(kind), index);
    }
    bars
}

fn played(bars: &mut Bars, story: &[Happened]) -> Vec<(usize, Bar)> {
    let mut closed = Vec::new();
    let mut now_ns = i64::MIN;
    for event in story {
        play(bars, &mut now_ns, *event, |index, bar| {
            closed.push((index, bar))
        });
    }
    closed
}

fn row(text: &mut String, index: usize, bar: &Bar, state: &str) {
    let vwap = bar.vwap().map_or("none".to_owned(), |v| v.to_string());
    let numbers: [i128; 13] = [
        bar.start_ns.into(),
        bar.end_ns.into(),
        bar.open.into(),
        bar.high.into(),
        bar.low.into(),
        bar.close.into(),
        bar.volume.into(),
        bar.taker_buy_volume.into(),
        bar.notional,
        bar.first_ns.into(),
        bar.last_ns.into(),
        bar.trades.into(),
        bar.late.into(),
    ];
    let numbers = numbers.map(|n| n.to_string()).join(",");
    let incomplete = u8::from(bar.incomplete);
    writeln!(text, "{index},{numbers},{incomplete},{vwap},{state}").unwrap();
}

/// The story, the kinds and the engine's bars, for the other program.
fn write(folder: &Path, story: &[Happened]) {
    fs::create_dir(folder).unwrap();
    let mut events = "what,time,price,amount,bought\n".to_owned();
    for event in story {
        match event {
            Happened::Trade(time_ns, price, amount, bought) => {
                let bought = u8::from(*bought);
                writeln!(events, "t,{time_ns},{price},{amount},{bought}").unwrap();
            }
            Happened::Stamp(time_ns) => writeln!(events, "q,{time_ns},,,").unwrap(),
            Happened::Gap => events.push_str("g,,,,\n"),
        }
    }
    fs::write(folder.join("events.csv"), events).unwrap();

    let mut text = "index,kind,size\n".to_owned();
    for (index, kind) in kinds().into_iter().enumerate() {
        let (name, size): (_, i128) = match kind {
            BarKind::Time(ns) => ("time", ns.into()),
            BarKind::Trades(n) => ("trades", n.into()),
            BarKind::Volume(v) => ("volume", v.into()),
            BarKind::Notional(n) => ("notional", n),
            BarKind::Renko(brick) => ("renko", brick.into()),
        };
        writeln!(text, "{index},{name},{size}").unwrap();
    }
    fs::write(folder.join("kinds.csv"), text).unwrap();

    let mut bars = all_kinds();
    let mut text = "index,start_ns,end_ns,open,high,low,close,volume,taker_buy_volume,notional,\
                    first_ns,last_ns,trades,late,incomplete,vwap,state\n"
        .to_owned();
    for (index, bar) in played(&mut bars, story) {
        row(&mut text, index, &bar, "closed");
    }
    for (index, builder) in bars.iter().enumerate() {
        if let Some(bar) = builder.open_bar() {
            row(&mut text, index, bar, "open");
        }
    }
    fs::write(folder.join("bars.csv"), text).unwrap();
}

#[test]
fn bars_of_every_kind_equal_those_made_of_the_raw_trades() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let folder = |seed: u64| -> PathBuf { dir.path().join(format!("seed-{seed}")) };
    let folders: Vec<PathBuf> = (0..SEEDS).map(folder).collect();
    for (seed, folder) in folders.iter().enumerate() {
        write(folder, &story(seed as u64));
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/bar_kinds.py");
    let mut command = Command::new(python);
    let command = command.arg(script).args(&folders).stderr(Stdio::inherit());
    let out = command.output().expect("it starts");
    assert!(out.status.success(), "bar_kinds.py: {}", out.status);
    let told: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    eprintln!("bar_kinds.py: {} {}", told["compared"], told["marked"]);
    assert_eq!(told["wrong"], Value::Array(Vec::new()));
    let compared = told["compared"].as_object().expect("by kind");
    assert_eq!(compared.len(), kinds().len());
    for (kind, count) in compared {
        assert!(count.as_u64() > Some(3 * SEEDS), "{kind}: {count}");
    }
    for (mark, count) in told["marked"].as_object().expect("by field") {
        assert!(count.as_u64() > Some(100 * SEEDS), "{mark}: {count}");
    }
}

/// Bars at a scale two digits finer.
fn finer(bar: Bar) -> Bar {
    Bar {
        open: bar.open * 100,
        high: bar.high * 100,
        low: bar.low * 100,
        close: bar.close * 100,
        volume: bar.volume * 100,
        taker_buy_volume: bar.taker_buy_volume * 100,
        notional: bar.notional * 10_000,
        ..bar
    }
}

#[test]
fn saving_restoring_and_a_finer_scale_in_the_middle_change_no_bar() {
    let story = story(1);
    let whole = played(&mut all_kinds(), &story);
    let (mut bars, mut now_ns, mut closed) = (all_kinds(), i64::MIN, Vec::new());
    for (i, event) in story.iter().enumerate() {
        if i % 500 == 77 {
            let saved = serde_json::to_string(&bars).expect("JSON");
            bars = serde_json::from_str(&saved).expect("what was saved");
        }
        if i == story.len() / 2 {
            let convert = |v| decimal::rescale(v, SCALE, SCALE + 2).map(|r| r.0);
            bars.rescale(convert, convert);
        }
        let event = match *event {
            Happened::Trade(time_ns, price, amount, bought) if i >= story.len() / 2 => {
                Happened::Trade(time_ns, price * 100, amount * 100, bought)
            }
            event => event,
        };
        let is_fine = i >= story.len() / 2;
        play(&mut bars, &mut now_ns, event, |index, bar| {
            closed.push((index, if is_fine { bar } else { finer(bar) }));
        });
    }
    assert_eq!(closed.len(), whole.len());
    for ((index, bar), (expected_index, expected)) in closed.into_iter().zip(whole) {
        assert_eq!((index, bar), (expected_index, finer(expected)));
    }
}

/// Each trade is in exactly one bar, whatever its kind; bars follow one another; bricks join.
#[test]
fn nothing_is_lost_between_bars() {
    for seed in 100..103 {
        let story = story(seed);
        let mut bars = all_kinds();
        let closed = played(&mut bars, &story);
        let trade = |event: &Happened| match event {
            Happened::Trade(_, price, amount, _) => Some((*amount, i128::from(*price))),
            _ => None,
        };
        let trades: Vec<_> = story.iter().filter_map(trade).collect();
        let volume: i64 = trades.iter().map(|t| t.0).sum();
        let notional: i128 = trades.iter().map(|t| i128::from(t.0) * t.1).sum();
        for (i, kind) in kinds().into_iter().enumerate() {
            let closed = closed.iter().filter(|(index, _)| *index == i);
            let open = bars.get(i).and_then(BarBuilder::open_bar);
            let all: Vec<Bar> = closed.map(|(_, bar)| *bar).chain(open.copied()).collect();
            let count: usize = all.iter().map(|b| b.trades as usize).sum();
            assert_eq!(count, trades.len(), "{kind:?}");
            assert_eq!(all.iter().map(|b| b.volume).sum::<i64>(), volume);
            assert_eq!(all.iter().map(|b| b.notional).sum::<i128>(), notional);
            for pair in all.windows(2) {
                let shared = i64::from(!kind.is_time());
                assert!(
                    pair[1].start_ns >= pair[0].end_ns - shared,
                    "{kind:?} {pair:?}"
                );
            }
            if let BarKind::Renko(brick) = kind {
                let bricks = &all[..all.len() - usize::from(open.is_some())];
                bricks
                    .iter()
                    .for_each(|b| assert_eq!(b.high - b.low, brick));
                let joined = |pair: &&[Bar]| {
                    pair[1].open == pair[0].close
                        || pair[1].open == pair[0].open
                        || pair[1].incomplete
                };
                assert_eq!(bricks.windows(2).filter(joined).count(), bricks.len() - 1);
                assert!(bricks.len() > 20 && MOST_BRICKS == 1_000);
            }
        }
    }
}
