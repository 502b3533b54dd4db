//! The engine with strategies of the test's own: what happens when one panics, when a book is
//! stale, when scales change, when the same frames come twice; and all kinds of bars.

use crate::frames::{Path, frames};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use tickforge::engine::{Collect, Plan};
use tickforge::market::{Bar, BarSpec, Quote, Trade};
use tickforge::signal::SignalType;
use tickforge::strategies::defaults;
use tickforge::strategy::{
    Context, Draft, Drafts, Entry, Parameter, Parameters, Spec, Strategy, Streams, WarmUp,
};

/// Says "buy" at every trade.
#[derive(Serialize, Deserialize)]
struct Always;

impl Strategy for Always {
    fn on_trade(&mut self, _ctx: &Context, trade: &Trade, out: &mut Drafts) {
        out.push(Draft::new(SignalType::Buy, 0.5, 0.5).because(format_args!("trade {}", trade.id)));
    }
}

/// Says "sell" at every book message.
#[derive(Serialize, Deserialize)]
struct OnBook;

impl Strategy for OnBook {
    fn on_book(&mut self, _ctx: &Context, out: &mut Drafts) {
        out.push(Draft::new(SignalType::Sell, 0.5, 0.5));
    }
    fn on_quote(&mut self, _ctx: &Context, _quote: &Quote, out: &mut Drafts) {
        out.push(Draft::new(SignalType::Hold, 0.1, 0.1));
    }
}

/// Panics at its tenth trade.
#[derive(Serialize, Deserialize)]
struct Panics(u32);

impl Strategy for Panics {
    fn on_trade(&mut self, _ctx: &Context, _trade: &Trade, _out: &mut Drafts) {
        self.0 += 1;
        assert!(self.0 < 10, "the tenth trade");
    }
}

const fn spec(
    name: &'static str,
    streams: Streams,
    new: fn(&Parameters) -> Result<Box<dyn Strategy>, String>,
) -> Spec {
    Spec {
        name,
        version: "1",
        summary: "for tests",
        parameters: &[],
        streams,
        warm_up: |_| WarmUp::Events(3),
        new,
        ..Spec::new("")
    }
}

static ALWAYS: Spec = spec("always", Streams::TRADES, |_| Ok(Box::new(Always)));
static ON_BOOK: Spec = spec("on_book", Streams::BOOK.and(Streams::QUOTES), |_| {
    Ok(Box::new(OnBook))
});
static PANICS: Spec = spec("panics", Streams::TRADES, |_| Ok(Box::new(Panics(0))));

static ENTRIES: [Entry; 3] = [
    Entry {
        spec: &PANICS,
        file: "strategies/panics.rs",
        digest: "0",
    },
    Entry {
        spec: &ALWAYS,
        file: "strategies/always.rs",
        digest: "1",
    },
    Entry {
        spec: &ON_BOOK,
        file: "strategies/on_book.rs",
        digest: "2",
    },
];

fn plans() -> Vec<Plan> {
    ENTRIES
        .iter()
        .map(|entry| Plan::new(entry, Parameters(Vec::new())))
        .collect()
}

fn played(frames: &[String]) -> Path<Collect> {
    let mut path = Path::with(plans(), Collect::default());
    frames.iter().for_each(|f| path.frame(f));
    path
}

#[test]
fn a_strategy_that_panics_is_stopped_and_the_others_go_on() {
    let frames = frames(300);
    let trades = frames.iter().filter(|f| f.contains("@trade")).count();
    let path = played(&frames);
    assert_eq!(path.made.stopped, ["panics"], "once, and not again");
    let of_always = path.made.signals.iter().filter(|s| s.strategy == 1).count();
    assert_eq!(
        of_always,
        trades - 2,
        "every trade but the first two, which warmed it up"
    );
}

#[test]
fn the_same_frames_make_the_same_decisions() {
    let frames = frames(2_000);
    let [a, b] = [played(&frames), played(&frames)];
    let decision =
        |s: &tickforge::signal::Signal| format!("{:?}", (s.id, s.price, &s.reasoning, s.quality));
    let [a, b] = [a, b].map(|p| p.made.signals.iter().map(decision).collect::<Vec<_>>());
    assert!(a.len() > 500);
    assert_eq!(a, b);
    let unique: std::collections::BTreeSet<_> = a.iter().collect();
    assert_eq!(unique.len(), a.len(), "no two decisions are alike");
}

#[test]
fn a_stale_book_makes_no_signal_until_it_is_right_again() {
    let frames = frames(400);
    let mut path = played(&frames[..200]);
    assert!(path.made.signals.iter().any(|s| s.strategy == 2));
    let lost = frames[200..]
        .iter()
        .position(|f| f.contains("@depth"))
        .expect("a diff")
        + 200;
    path.made.signals.clear();
    frames[200..lost]
        .iter()
        .chain(&frames[lost + 1..])
        .for_each(|f| path.frame(f));
    assert!(
        path.made.suppressed > 0,
        "what came on the stale book was held back"
    );
    assert!(
        path.made
            .signals
            .iter()
            .filter(|s| s.strategy == 2)
            .all(|s| s.quality.synced)
    );
    let trades = path.made.signals.iter().filter(|s| s.strategy == 1);
    assert!(
        trades
            .clone()
            .any(|s| !s.quality.synced && s.quality.gaps == 1),
        "and it is said"
    );
    let market = path.engine.market(0).expect("listed");
    assert_eq!(market.quality.epoch, 1);
    path.feed
        .snapshot(0, "BTCUSDT", SNAPSHOT, &path.metrics)
        .expect("a snapshot");
    path.drain();
    assert!(
        path.engine.market(0).expect("listed").quality.synced,
        "right again"
    );
}

/// Later than every diff that waits.
const SNAPSHOT: &[u8] =
    br#"{"lastUpdateId":1000000,"bids":[["91134.00","1.0"]],"asks":[["91334.00","2.0"]]}"#;

#[test]
fn a_change_of_scale_changes_no_value() {
    let mut path = played(&frames(200));
    let before = path.engine.market(0).expect("listed");
    let (mid, scale) = (before.mid().expect("a middle"), before.price_scale);
    let (levels, volume) = (
        before.book.len(tickforge::market::Side::Buy),
        before.day.stats().volume,
    );
    let finer = r#"{"stream":"btcusdt@trade","data":{"e":"trade","E":1795339201000,"s":"BTCUSDT","t":999999,"p":"91234.5000000001","q":"0.5","T":1795339201000,"m":false,"M":true}}"#;
    path.frame(finer);
    let after = path.engine.market(0).expect("listed");
    assert_eq!(after.price_scale, scale + 2);
    assert!((after.mid().expect("a middle") - mid).abs() < 1e-6);
    assert_eq!(after.book.len(tickforge::market::Side::Buy), levels);
    assert_eq!(after.day.stats().volume, volume + 50_000_000);
    assert_eq!(
        after.last_trade.expect("a trade").price,
        912_345_000_000_001
    );
}

/// Says which kind of bar has closed.
#[derive(Serialize, Deserialize)]
struct OnBars;

impl Strategy for OnBars {
    fn on_bar(&mut self, ctx: &Context, bar: &Bar, out: &mut Drafts) {
        let draft = Draft::new(SignalType::Hold, 0.5, 0.5);
        out.push(draft.because(format_args!("{} {}", ctx.timeframe, bar.trades)));
    }
}

static ON_BARS: Spec = Spec {
    parameters: &[
        Parameter::bars("fine", BarSpec::Trades(5), "a few trades"),
        Parameter::duration_ms("coarse", 50, "time"),
        Parameter::bars("bricks", brick(1), "price"),
    ],
    bar_parameters: &["fine", "coarse", "bricks"],
    new: |_| Ok(Box::new(OnBars)),
    ..Spec::on_bars("on_bars", BarSpec::Trades(1))
};
static TOO_FINE: Spec = Spec {
    parameters: &[Parameter::bars("bars", brick(12), "price")],
    bar_parameters: &["bars"],
    new: |_| Ok(Box::new(OnBars)),
    ..Spec::on_bars("too_fine", BarSpec::Trades(1))
};

/// Bricks of 10^-`decimals`.
const fn brick(decimals: u32) -> BarSpec {
    BarSpec::Renko(Decimal::from_parts(1, 0, 0, false, decimals))
}

#[test]
fn a_strategy_hears_of_all_its_kinds_of_bars_and_no_two_signals_have_one_id() {
    static BARS: [Entry; 2] = [
        Entry {
            spec: &ON_BARS,
            file: "strategies/on_bars.rs",
            digest: "3",
        },
        Entry {
            spec: &TOO_FINE,
            file: "strategies/too_fine.rs",
            digest: "4",
        },
    ];
    let plans = BARS
        .iter()
        .map(|entry| Plan::new(entry, defaults(entry.spec)));
    let mut path = Path::with(plans.collect(), Collect::default());
    assert_eq!(
        path.made.refused,
        ["too_fine"],
        "finer than the prices' scale"
    );
    let frames = frames(2_000);
    frames.iter().for_each(|f| path.frame(f));
    let trades = frames.iter().filter(|f| f.contains("@trade")).count();
    let reasons = || path.made.signals.iter().map(|s| s.reasoning.as_str());
    let of = |timeframe: &str| reasons().filter(|r| r.starts_with(timeframe)).count();
    assert_eq!(of("0 5"), trades / 5, "each fifth trade");
    assert_eq!(of("0"), trades / 5);
    assert!((30..=40).contains(&of("1")), "two seconds: {}", of("1"));
    assert!(of("2") > 0, "the price moves by more than ten cents");
    let ids: std::collections::BTreeSet<_> = path.made.signals.iter().map(|s| s.id).collect();
    assert_eq!(ids.len(), path.made.signals.len());
}
