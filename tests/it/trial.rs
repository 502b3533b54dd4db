//! `strategies --check --capture`: honest strategies pass, and each kind of cheat is caught.

use crate::daemon;
use crate::frames::write_capture;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tickforge::capture::{Dir, Line, Writer};
use tickforge::engine::Plan;
use tickforge::indicators::Sma;
use tickforge::strategies::defaults;
use tickforge::strategy::prelude::*;
use tickforge::strategy::{Entry, Instance};
use tickforge::trial::{Report, Rule, Trial};

/// A mean of `n` trades, and a signal where the price crosses it.
#[derive(Serialize, Deserialize)]
struct Crossing {
    mean: Sma,
    above: Option<bool>,
    #[serde(skip, default = "honest")]
    odd: fn(&Trade) -> Option<f64>,
}

fn honest() -> fn(&Trade) -> Option<f64> {
    |_| None
}

impl Strategy for Crossing {
    fn on_trade(&mut self, ctx: &Context, trade: &Trade, out: &mut Drafts) {
        let price = ctx.price(trade.price);
        let Some(mean) = self.mean.next(price) else {
            return;
        };
        let above = price > mean;
        if self.above.replace(above) == Some(!above) {
            let confidence = (self.odd)(trade).unwrap_or(0.5);
            out.push(Draft::new(SignalType::of(above, false), 0.5, confidence));
        }
    }
}

fn crossing(odd: fn(&Trade) -> Option<f64>) -> Box<dyn Strategy> {
    let mean = Sma::new(50);
    Box::new(Crossing {
        mean,
        above: None,
        odd,
    })
}

const HONEST: Spec = Spec {
    warm_up: |_| WarmUp::Events(51),
    new: |_| Ok(crossing(|_| None)),
    ..Spec::new("honest")
};

/// What came after each trade, from the runs before: a cheat's memory.
static SEEN: Mutex<BTreeMap<u128, i64>> = Mutex::new(BTreeMap::new());

fn peek(trade: &Trade) -> Option<f64> {
    let mut seen = SEEN.lock().expect("not poisoned");
    let next = seen.range(trade.id + 1..).next().map(|(_, price)| *price);
    seen.insert(trade.id, trade.price);
    next.map(|next| if next > trade.price { 0.9 } else { 0.1 })
}

fn draw(_: &Trade) -> Option<f64> {
    Some(rand::random_range(0.0..1.0))
}

fn burn(trade: &Trade) -> Option<f64> {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_micros(200) {
        std::hint::black_box(trade);
    }
    None
}

fn tried(spec: &'static Spec) -> Report {
    let dir = tempfile::tempdir().expect("a folder");
    let file: PathBuf = dir.path().join("market.capture.jsonl.zst");
    write_capture(&file, 20_000);
    let (file_name, digest) = ("tests/it/trial.rs", "0123456789abcdef");
    // One for each test: what a plan refers to lives as long as the program.
    let entry = Box::leak(Box::new(Entry {
        spec,
        file: file_name,
        digest,
    }));
    let parameters = defaults(spec);
    let trial = Trial {
        plan: Plan::new(entry, parameters),
        files: &[file],
        exchange: None,
    };
    trial.run().expect("it runs")
}

#[track_caller]
fn caught(spec: &'static Spec, rule: Rule) {
    let report = tried(spec);
    assert!(report.signals > 100, "{report:?}");
    let found: Vec<Rule> = report.findings.iter().map(|finding| finding.rule).collect();
    assert!(found.contains(&rule), "{report:?}");
}

#[test]
fn an_honest_strategy_passes() {
    static SPEC: Spec = HONEST;
    let report = tried(&SPEC);
    assert!(report.findings.is_empty(), "{report:?}");
    assert!(
        report.notes.is_empty() && report.warm_up_judged,
        "{report:?}"
    );
    assert!(report.signals > 100 && report.calls > 5_000, "{report:?}");
}

#[test]
fn one_that_peeks_is_caught() {
    static SPEC: Spec = Spec {
        name: "peeks",
        new: |_| Ok(crossing(peek)),
        ..HONEST
    };
    caught(&SPEC, Rule::NoLookAhead);
}

#[test]
fn one_that_needs_more_history_than_it_says_is_caught() {
    static SPEC: Spec = Spec {
        name: "hurries",
        warm_up: |_| WarmUp::Events(5),
        new: |_| {
            let mean = Sma::new(50);
            // It trades on the first price until its mean is there.
            Ok(Box::new(Hurried {
                mean,
                first: None,
                above: None,
            }))
        },
        ..HONEST
    };
    caught(&SPEC, Rule::WarmUpSuffices);
}

#[derive(Serialize, Deserialize)]
struct Hurried {
    mean: Sma,
    first: Option<f64>,
    above: Option<bool>,
}

impl Strategy for Hurried {
    fn on_trade(&mut self, ctx: &Context, trade: &Trade, out: &mut Drafts) {
        let price = ctx.price(trade.price);
        let first = *self.first.get_or_insert(price);
        let mean = self.mean.next(price).unwrap_or(first);
        let above = price > mean;
        if self.above.replace(above) == Some(!above) {
            out.push(Draft::new(SignalType::of(above, false), 0.5, 0.5));
        }
    }
}

#[test]
fn one_that_draws_random_numbers_is_caught() {
    static SPEC: Spec = Spec {
        name: "gambles",
        new: |_| Ok(crossing(draw)),
        ..HONEST
    };
    caught(&SPEC, Rule::Deterministic);
}

#[test]
fn one_that_burns_cpu_is_caught() {
    static SPEC: Spec = Spec {
        name: "burns",
        new: |_| Ok(crossing(burn)),
        ..HONEST
    };
    caught(&SPEC, Rule::WithinBudget);
}

#[test]
fn one_that_panics_is_caught() {
    static SPEC: Spec = Spec {
        name: "panics",
        new: |_| {
            Ok(crossing(|trade| {
                (trade.id > 15_000).then(|| panic!("after 15,000"))
            }))
        },
        ..HONEST
    };
    caught(&SPEC, Rule::NoPanic);
}

/// By the command: those that are shipped are deterministic, do not look ahead and keep their time.
/// They remember longer than their warm-up says, and are told so.
#[test]
fn the_shipped_strategies_are_told_what_they_keep() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("market.capture.jsonl.zst");
    write_capture(&file, 60_000);
    let config = dir.path().join("tickforge.toml");
    std::fs::write(&config, crate::frames::STRATEGIES).expect("written");
    let out = daemon::tickforge()
        .args(["strategies", "--check", "--json", "--capture"])
        .arg(&file)
        .arg("--config")
        .arg(&config)
        .output()
        .expect("it starts");
    let told: serde_json::Value = serde_json::from_slice(&out.stdout).expect("JSON");
    let all = told.as_array().expect("an array");
    assert_eq!(all.len(), 3, "{told}");
    let mut ok = true;
    for strategy in all {
        let findings = strategy["findings"].as_array().expect("an array");
        for finding in findings {
            assert_eq!(finding["rule"], "warm_up_suffices", "{strategy}");
        }
        ok &= findings.is_empty();
        let status = if findings.is_empty() { "ok" } else { "not ok" };
        assert_eq!(strategy["status"], status, "{strategy}");
        assert!(strategy["signals"].as_u64() > Some(10), "{strategy}");
    }
    assert_eq!(out.status.success(), ok);
}

/// It signals, and breaks no promise but, on a busy machine, that of time, which another test looks
/// at.
fn assert_kept(name: &str, report: &Report) {
    let mut broken = report.findings.iter();
    assert!(
        broken.all(|f| f.rule == Rule::WithinBudget),
        "{name}: {report:?}"
    );
    assert!(
        report.signals > 20 && report.warm_up_judged,
        "{name}: {report:?}"
    );
}

#[test]
fn what_is_shipped_keeps_its_own_promises() {
    let dir = tempfile::tempdir().expect("a folder");
    let file: PathBuf = dir.path().join("market.capture.jsonl.zst");
    write_capture(&file, 60_000);
    for (name, parameters) in [
        (
            "ema_cross",
            "bar = \"100ms\"\nfast = 3\nslow = 7\natr = 5\nmin_gap_bp = 0.0",
        ),
        (
            "rsi_reversion",
            "bar = \"100ms\"\nperiod = 5\nmin_atr_bp = 0.0",
        ),
    ] {
        let entry = tickforge::strategies::find(name).expect("it is shipped");
        let section = Instance {
            parameters: parameters.parse().expect("TOML"),
            ..Instance::of(name)
        };
        let trial = Trial {
            plan: Plan::configured(name, entry, &section).expect("a plan"),
            files: std::slice::from_ref(&file),
            exchange: None,
        };
        let report = trial.run().expect("it runs");
        assert_kept(name, &report);
    }
}

const TWO: &str = r#"{"symbols":[{"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT",
 "filters":[{"filterType":"PRICE_FILTER","tickSize":"0.01000000"},{"filterType":"LOT_SIZE","minQty":"0.00001","stepSize":"0.00001"}]},
 {"symbol":"ETHUSDT","status":"TRADING","baseAsset":"ETH","quoteAsset":"USDT",
 "filters":[{"filterType":"PRICE_FILTER","tickSize":"0.01000000"},{"filterType":"LOT_SIZE","minQty":"0.00001","stepSize":"0.00001"}]}]}"#;

/// Trades of two instruments, a millisecond apart, around prices that wander within bounds.
fn write_pair_capture(file: &Path, n: u64) {
    let at = |n: u64, dir| Line::new(1_795_339_200_000_000_000 + n as i64 * 1_000_000, "b-1", dir);
    let mut x = 7u64;
    let mut draw = |below: u64| {
        x = x
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (x >> 33) % below
    };
    let mut writer = Writer::create(file).expect("created");
    let url = "https://api.binance.com/api/v3/exchangeInfo".to_owned();
    let listing = at(0, Dir::Http).with_url(url).with_text(TWO);
    writer.write(&listing).expect("written");
    const CENTS: [i64; 2] = [10_000, 5_000];
    let mut prices = CENTS;
    for i in 1..=n {
        let leg = draw(2) as usize;
        let price = prices[leg] + draw(5) as i64 - 2;
        let price = price.clamp(CENTS[leg] - 29, CENTS[leg] + 29);
        prices[leg] = price;
        let (stream, symbol) = [("btcusdt", "BTCUSDT"), ("ethusdt", "ETHUSDT")][leg];
        let (price, cents, time) = (price / 100, price % 100, 1_795_339_200_000 + i);
        let frame = format!(
            r#"{{"stream":"{stream}@trade","data":{{"e":"trade","E":{time},"s":"{symbol}","t":{i},"p":"{price}.{cents:02}000000","q":"1.25000000","T":{time},"m":false,"M":true}}}}"#
        );
        let line = at(i, Dir::Recv).with_text(&frame);
        writer.write(&line).expect("written");
    }
    writer.finish().expect("finished");
}

#[test]
fn what_is_shipped_for_two_instruments_keeps_its_promises_too() {
    let dir = tempfile::tempdir().expect("a folder");
    let file: PathBuf = dir.path().join("market.capture.jsonl.zst");
    write_pair_capture(&file, 60_000);
    let name = "spread_reversion";
    let entry = tickforge::strategies::find(name).expect("it is shipped");
    let parameters = "bar = \"100ms\"\nperiod = 10\nentry = 1.5\nmin_sd_bp = 0.1";
    let section = Instance {
        parameters: parameters.parse().expect("TOML"),
        groups: vec![
            ["binance:BTC/USDT", "binance:ETH/USDT"]
                .map(str::to_owned)
                .to_vec(),
        ],
        ..Instance::of(name)
    };
    let trial = Trial {
        plan: Plan::configured(name, entry, &section).expect("a plan"),
        files: std::slice::from_ref(&file),
        exchange: None,
    };
    let report = trial.run().expect("it runs");
    assert_kept(name, &report);
}
