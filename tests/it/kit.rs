//! What strategies are promised: warm by past bars, warm after a restart, other parameters between
//! two events, several instances, several instruments at once.

use rust_decimal::Decimal;
use std::collections::BTreeMap;
use std::sync::Arc;
use tickforge::engine::plan::{Change, candles};
use tickforge::engine::{Collect, Engine, Plan, Tuning};
use tickforge::market::{
    Bar, BarSpec, Event, Flags, Instrument, InstrumentId, Market, Registry, Side, Status, Trade,
};
use tickforge::signal::Signal;
use tickforge::strategies::defaults;
use tickforge::strategy::prelude::*;
use tickforge::strategy::{Entry, Instance};

pub const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_795_339_200 * SECOND;

/// An average of the bars of a second, and a count of them; says both at every bar.
#[derive(Serialize, Deserialize)]
struct Average {
    ema: Ema,
    seen: u64,
    level: f64,
    period: i64,
}

impl Average {
    fn new(p: &Parameters) -> Average {
        Average {
            ema: Ema::new(p.int("period") as u32),
            seen: 0,
            level: p.float("level"),
            period: p.int("period"),
        }
    }
}

impl Strategy for Average {
    fn on_bar(&mut self, ctx: &Context, bar: &Bar, out: &mut Drafts) {
        self.seen += 1;
        if let Some(ema) = self.ema.next(ctx.price(bar.close)) {
            let draft = Draft::new(SignalType::Hold, 0.5, 0.5);
            out.push(draft.indicator("ema", ema).indicator("level", self.level));
        }
    }
    fn set(&mut self, p: &Parameters) -> bool {
        self.level = p.float("level");
        self.period == p.int("period")
    }
}

const PARAMETERS: &[Parameter] = &[
    Parameter::int("period", 5, (1, 100), "bars", "length of the average"),
    Parameter::float("level", 1.0, (0.0, 9.0), "", "said with every signal"),
];
static AVERAGE: Spec = Spec {
    parameters: PARAMETERS,
    warm_up: |p| WarmUp::Bars(p.int("period") as u32),
    new: |p| Ok(Box::new(Average::new(p))),
    ..Spec::on_bars("average", BarSpec::Time(SECOND))
};
pub static AVERAGE_ENTRY: Entry = entry(&AVERAGE);

/// The same of every trade.
#[derive(Serialize, Deserialize)]
struct Ticks(Ema);

impl Strategy for Ticks {
    fn on_trade(&mut self, ctx: &Context, trade: &Trade, out: &mut Drafts) {
        if let Some(ema) = self.0.next(ctx.price(trade.price)) {
            out.push(Draft::new(SignalType::Hold, 0.5, 0.5).indicator("ema", ema));
        }
    }
}

static TICKS: Spec = Spec {
    warm_up: |_| WarmUp::Events(7),
    new: |_| Ok(Box::new(Ticks(Ema::new(7)))),
    ..Spec::new("ticks")
};
static TICKS_ENTRY: Entry = entry(&TICKS);

/// The difference of two markets, at every trade of either.
#[derive(Serialize, Deserialize)]
struct Spread;

impl Strategy for Spread {
    fn on_trade(&mut self, ctx: &Context, _trade: &Trade, out: &mut Drafts) {
        let price = |leg| ctx.market(leg).and_then(|m| m.price());
        if let (Some(here), Some(there)) = (price(0), price(1)) {
            let draft = Draft::new(SignalType::of(here < there, false), 0.5, 0.5);
            let draft = draft.indicator("spread", here - there);
            out.push(draft.indicator("leg", ctx.leg as f64).leg(1));
        }
    }
}

static SPREAD: Spec = Spec {
    legs: 2,
    new: |_| Ok(Box::new(Spread)),
    ..Spec::new("spread")
};
static SPREAD_ENTRY: Entry = entry(&SPREAD);

pub const fn entry(spec: &'static Spec) -> Entry {
    Entry {
        spec,
        file: "strategies/test.rs",
        digest: "0123456789abcdef",
    }
}

pub fn plan(entry: &'static Entry) -> Plan {
    Plan::new(entry, defaults(entry.spec))
}

fn instrument(exchange: &'static str) -> Instrument {
    Instrument {
        exchange,
        native: "BTCUSDT".to_owned(),
        symbol: "BTC/USDT".to_owned(),
        base: "BTC".to_owned(),
        quote: "USDT".to_owned(),
        market: Market::Spot,
        tick_size: Decimal::new(1, 2),
        amount_step: Decimal::new(1, 5),
        min_amount: Decimal::new(1, 5),
        max_amount: None,
        active: true,
        stamp_resolution_ns: 1,
        book_depth: 0,
        checksum: false,
    }
}

pub struct Run {
    pub registry: Arc<Registry>,
    pub engine: Engine,
    pub made: Collect,
}

impl Run {
    /// Two instruments are known; none is listed.
    pub fn new(plans: Vec<Plan>) -> Run {
        let registry = Arc::new(Registry::default());
        registry.add(instrument("binance"));
        registry.add(instrument("kraken"));
        Run {
            engine: Engine::new(Arc::clone(&registry), plans),
            registry,
            made: Collect::default(),
        }
    }

    pub fn status(&mut self, id: InstrumentId, status: Status) {
        let event = Event::from_status(id, START, status);
        self.engine.on_event(&event, &mut self.made);
    }

    pub fn listed(mut self, id: InstrumentId) -> Run {
        self.status(id, Status::Listed);
        self
    }

    pub fn trade(&mut self, id: InstrumentId, n: u64) {
        self.engine.on_event(&trade(id, n), &mut self.made);
    }

    pub fn trades(&mut self, range: std::ops::Range<u64>) {
        range.for_each(|n| self.trade(0, n));
    }

    /// What was said since the last call, without what may differ.
    pub fn said(&mut self) -> Vec<(String, String)> {
        let said = |s: &Signal| {
            let text = format!("{} {:?} {:?}", s.price, s.indicators, s.event_ns);
            (s.id.to_string(), text)
        };
        self.made.signals.drain(..).map(|s| said(&s)).collect()
    }

    fn parameters(&self, signal: &Signal) -> serde_json::Value {
        let described = self.engine.settings().descriptions.get(signal.setting);
        described.parameters.clone()
    }
}

/// Trade number `n`, a third of a second after the one before.
pub fn trade(id: InstrumentId, n: u64) -> Event {
    let at = START + n as i64 * SECOND / 3;
    let price =
        9_000_000_000_000 + (n as i64 * 7_919 % 1_000 - 500) * 1_000_000 * (1 + i64::from(id));
    let trade = Trade {
        price,
        amount: 100_000,
        id: n.into(),
        taker: Side::Buy,
    };
    Event::from_trade(id, at, at + 1_000, trade)
}

/// The bars of a second that these trades make.
pub fn bars(range: std::ops::Range<u64>) -> Vec<Bar> {
    bars_of(0, range)
}

pub fn bars_of(id: InstrumentId, range: std::ops::Range<u64>) -> Vec<Bar> {
    let mut bars = tickforge::market::Bars::new();
    let kind = BarSpec::Time(SECOND).at(8, 8).expect("a kind");
    bars.add(kind);
    let mut closed = Vec::new();
    for n in range {
        let event = trade(id, n);
        while let Some((_, bar)) = bars.close_due(event.time_ns()) {
            closed.push(bar);
        }
        bars.trade(
            event.time_ns(),
            event.trade().price,
            event.trade().amount,
            true,
        );
    }
    closed
}

#[test]
fn a_restart_goes_on_as_if_nothing_had_happened() {
    for plans in [
        vec![plan(&AVERAGE_ENTRY)],
        vec![plan(&TICKS_ENTRY), plan(&AVERAGE_ENTRY)],
    ] {
        let mut whole = Run::new(plans.clone()).listed(0);
        for cut in [1, 4, 20, 61, 100] {
            whole = Run::new(plans.clone()).listed(0);
            whole.trades(0..cut);
            let mut state = Vec::new();
            assert!(whole.engine.save(0, &mut state));
            assert_eq!(
                tickforge::engine::last_trade(&state),
                Some((u128::from(cut - 1), trade(0, cut - 1).time_ns()))
            );
            whole.said();
            let mut after = Run::new(plans.clone());
            after
                .engine
                .remember([("binance BTC/USDT".to_owned(), state)].into());
            let mut after = after.listed(0);
            whole.trades(cut..200);
            after.trades(cut..200);
            let (expected, said) = (whole.said(), after.said());
            assert!(expected.len() > 30, "{}", expected.len());
            assert_eq!(said, expected, "cut at {cut}");
        }
        assert!(whole.made.stopped.is_empty());
    }
}

#[test]
fn other_parameters_make_what_was_remembered_of_no_use() {
    let mut first = Run::new(vec![plan(&AVERAGE_ENTRY)]).listed(0);
    first.trades(0..100);
    let mut state = Vec::new();
    assert!(first.engine.save(0, &mut state));
    let mut other = plan(&AVERAGE_ENTRY);
    other.tuning.parameters.0[0].1 = Value::Int(7);
    let mut second = Run::new(vec![other]);
    second
        .engine
        .remember([("binance BTC/USDT".to_owned(), state)].into());
    let mut second = second.listed(0);
    second.trades(100..118);
    assert!(second.said().is_empty(), "it begins cold");
}

#[test]
fn strategies_wait_for_past_bars_and_are_warm_by_them() {
    let plans = vec![plan(&AVERAGE_ENTRY)];
    assert_eq!(candles(&plans), [(SECOND, 5)]);
    let mut whole = Run::new(plans.clone()).listed(0);
    whole.trades(0..60);
    whole.said();
    let mut fresh = Run::new(plans);
    fresh.engine.promise_past();
    let mut fresh = fresh.listed(0);
    // Bars close while the answer is on its way.
    fresh.trades(60..69);
    whole.trades(60..69);
    assert!(fresh.said().is_empty(), "it waits");
    fresh.registry.leave_bars(0, SECOND, bars(0..61));
    fresh.status(0, Status::Past);
    assert!(fresh.said().is_empty(), "what is past makes no signal");
    whole.said();
    whole.trades(69..100);
    fresh.trades(69..100);
    let ids = |said: Vec<(String, String)>| said.into_iter().map(|(id, _)| id).collect::<Vec<_>>();
    assert_eq!(ids(fresh.said()), ids(whole.said()));
}

#[test]
fn without_past_bars_it_warms_up_live() {
    let mut fresh = Run::new(vec![plan(&AVERAGE_ENTRY)]);
    fresh.engine.promise_past();
    let mut fresh = fresh.listed(0);
    fresh.status(0, Status::Past);
    fresh.trades(0..12);
    assert!(fresh.said().is_empty());
    fresh.trades(12..30);
    assert!(!fresh.said().is_empty());
}

#[test]
fn a_missed_trade_counts_and_makes_no_signal() {
    let plans = vec![plan(&TICKS_ENTRY)];
    let mut whole = Run::new(plans.clone()).listed(0);
    whole.trades(0..50);
    let mut state = Vec::new();
    assert!(whole.engine.save(0, &mut state));
    whole.trades(50..80);
    whole.said();
    whole.trades(80..90);
    let mut after = Run::new(plans);
    after
        .engine
        .remember([("binance BTC/USDT".to_owned(), state)].into());
    let mut after = after.listed(0);
    for n in 50..80 {
        let mut missed = trade(0, n);
        missed.flags = missed.flags.with(Flags::MISSED);
        after.engine.on_event(&missed, &mut after.made);
    }
    assert!(after.said().is_empty());
    let market = after.engine.market(0).expect("listed");
    assert_eq!(market.day.stats().volume, 0, "another file knows the day");
    after.trades(80..90);
    assert_eq!(after.said(), whole.said());
}

fn change(run: &mut Run, set: &[(usize, Value)]) {
    let mut tuning = run.engine.plans()[0].tuning.clone();
    for (at, value) in set {
        tuning.parameters.0[*at].1 = *value;
    }
    let change = run.engine.settings().leave(Change { plan: 0, tuning });
    run.status(0, Status::Parameters { change });
}

#[test]
fn other_parameters_take_effect_between_two_events_and_lose_nothing() {
    let mut run = Run::new(vec![plan(&AVERAGE_ENTRY)]).listed(0);
    let mut same = Run::new(vec![plan(&AVERAGE_ENTRY)]).listed(0);
    run.trades(0..60);
    same.trades(0..60);
    run.said();
    same.said();
    change(&mut run, &[(1, Value::Float(2.0))]);
    run.trades(60..66);
    same.trades(60..66);
    let value = |s: &Signal, i: usize| s.indicators[i].1;
    assert_eq!(run.made.signals.len(), same.made.signals.len());
    for (with, without) in run.made.signals.iter().zip(&same.made.signals) {
        assert_eq!(value(with, 0), value(without, 0), "the average goes on");
        assert_eq!((value(with, 1), value(without, 1)), (2.0, 1.0));
        assert_eq!(run.parameters(with)["level"], 2.0);
        assert_eq!(run.parameters(without)["level"], 1.0);
        assert_ne!(with.id, without.id, "parameters are in the id");
    }
}

#[test]
fn another_length_is_warm_at_once_by_the_bars_that_were_kept() {
    let mut run = Run::new(vec![plan(&AVERAGE_ENTRY)]).listed(0);
    run.trades(0..60);
    run.said();
    // Fewer bars than are kept for the old length.
    change(&mut run, &[(0, Value::Int(3))]);
    run.trades(60..61);
    assert_eq!(run.made.signals.len(), 1, "the next bar");
    assert_eq!(run.parameters(&run.made.signals[0])["period"], 3);
    run.said();
    // More than are kept: it sees those and warms up.
    change(&mut run, &[(0, Value::Int(9))]);
    run.trades(61..72);
    assert!(run.said().is_empty());
    run.trades(72..84);
    assert!(!run.said().is_empty());
}

#[test]
fn a_strategy_over_two_instruments_sees_both_once_both_are_listed() {
    let mut over_both = plan(&SPREAD_ENTRY);
    over_both.groups = vec![vec![
        "binance:BTC/USDT".to_owned(),
        "kraken:BTC/USDT".to_owned(),
    ]];
    let mut run = Run::new(vec![over_both]).listed(1);
    run.trade(1, 0);
    assert!(run.said().is_empty());
    let mut run = run.listed(0);
    for n in 1..10 {
        run.trade(0, n);
        run.trade(1, n);
    }
    let signals = &run.made.signals;
    assert_eq!(signals.len(), 18, "at each trade of either");
    let legs: Vec<f64> = signals.iter().map(|s| s.indicators[1].1).collect();
    assert_eq!(&legs[..4], [0.0, 1.0, 0.0, 1.0]);
    assert!(
        signals.iter().all(|s| s.instrument == 1),
        "about the second"
    );
    let ids: std::collections::BTreeSet<_> = signals.iter().map(|s| s.id).collect();
    assert_eq!(
        ids.len(),
        18,
        "equal trade ids of two exchanges do not meet"
    );
}

#[test]
fn instances_have_names_instruments_and_parameters_of_their_own() {
    let section: Instance = toml::from_str(
        "strategy = \"average\"\nshadow = true\nonly = [\"binance:*\"]\ngroups = []\n\
         [parameters]\nlevel = 3.0\n[instruments.\"binance:BTC/USDT\"]\nperiod = 2\n",
    )
    .expect("a section");
    let quick = Plan::configured("quick", &AVERAGE_ENTRY, &section).expect("a plan");
    assert_eq!(quick.tuning.of("kraken:BTC/USDT").int("period"), 5);
    let mut run = Run::new(vec![plan(&AVERAGE_ENTRY), quick])
        .listed(0)
        .listed(1);
    run.trades(0..30);
    (0..30).for_each(|n| run.trade(1, n));
    let described = |s: &Signal| run.engine.settings().descriptions.get(s.setting);
    let mut by_name = BTreeMap::<String, Vec<&Signal>>::new();
    for signal in &run.made.signals {
        let name = described(signal).strategy.to_string();
        by_name.entry(name).or_default().push(signal);
    }
    let quick = &by_name["quick"];
    assert!(
        quick
            .iter()
            .all(|s| s.instrument == 0 && described(s).shadow)
    );
    assert_eq!(run.parameters(quick[0])["period"], 2);
    assert_eq!(run.parameters(quick[0])["level"], 3.0);
    let plain = &by_name["average"];
    assert!(plain.iter().any(|s| s.instrument == 1) && !described(plain[0]).shadow);
    assert!(quick.len() > plain.iter().filter(|s| s.instrument == 0).count());
}

#[test]
fn a_tuning_that_does_not_go_is_refused_by_name() {
    let section = Instance {
        parameters: "period = 0".parse().expect("TOML"),
        ..Instance::of("average")
    };
    let refused = Tuning::new("average", &AVERAGE_ENTRY, &section).expect_err("refused");
    assert!(
        refused.to_string().contains("period must be from 1 to 100"),
        "{refused}"
    );
}
