//! HOT PATH. Events in ring order become market state, bars, strategy calls and signals.
//!
//! A pure function of the events: no clock, no socket, no random number. Live, replay, backtest and
//! test differ only in who calls [`Engine::on_event`]. After the instruments are listed it
//! allocates nothing; a strategy that panics is stopped and reported, the others go on.

mod warming;

use crate::market::day::{History, Minute};
use crate::market::event::Flags;
use crate::market::{
    Bar, BarBuilder, Event, InstrumentId, Kind, Reason, Registry, Side, Status, Tick,
};
use crate::outcome::{Open, Outcome, Watch};
use crate::signal::record::{Described, SignalRecord};
use crate::signal::{Signal, Timing};
use crate::state::{BookChange, BookState, MarketState};
use crate::strategy::{Context, Draft, Drafts, Entry, Parameters, Strategy, Streams, parameters};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use uuid::Uuid;
use warming::Warming;

/// Where the engine puts what it makes. The caller decides what becomes of it.
pub trait Outbox {
    /// `signal.timing.decided_ns` is to be stamped by the caller.
    fn signal(&mut self, signal: Signal);
    /// An earlier signal has ended.
    fn outcome(&mut self, outcome: Outcome);
    fn tick(&mut self, tick: Tick);
    /// A book turned out wrong (checksum, crossed, stale): the feed should break and resync it.
    fn book_broken(&mut self, instrument: InstrumentId, reason: Reason);
    /// A signal was not published because its book is stale.
    fn suppressed(&mut self);
    /// A signal was not published because its strategy or instrument is switched off.
    fn switched_off(&mut self);
    /// A strategy panicked and is stopped, for all its instruments.
    fn strategy_stopped(&mut self, strategy: &'static str, instrument: InstrumentId);
    /// A minute of the rolling day changed: for the next run's [`Engine::with_history`]. Where
    /// nobody takes it, that run begins its day anew.
    fn minute(&mut self, _instrument: InstrumentId, _minute: Minute) {}
}

/// A strategy with its checked parameters, to be run on every instrument.
#[derive(Clone)]
pub struct Plan {
    pub entry: &'static Entry,
    pub parameters: Parameters,
}

impl Plan {
    pub fn described(&self) -> Described {
        Described {
            strategy: self.entry.spec.name,
            version: self.entry.code_version(),
            parameters: parameters::canonical(&self.parameters),
        }
    }

    fn bar_interval_ns(&self) -> Option<i64> {
        let name = self.entry.spec.bar_parameter?;
        Some(self.parameters.duration_ns(name))
    }
}

/// One strategy on one instrument.
struct Host {
    strategy: Box<dyn Strategy>,
    plan: u16,
    streams: Streams,
    /// Index of its bar builder in the instrument's state.
    bar: Option<usize>,
    warming: Warming,
    /// All that its ids have in common: strategy, code version, parameters, exchange, symbol.
    namespace: Uuid,
}

/// The callback to make.
#[derive(Clone, Copy)]
enum Call<'a> {
    Trade,
    Quote,
    Book,
    Bar(usize, &'a Bar),
}

pub struct Engine {
    registry: Arc<Registry>,
    plans: Vec<Plan>,
    /// By plan: stopped after a panic.
    stopped: Vec<bool>,
    /// By plan: switched off, so that it publishes nothing.
    plans_off: Vec<bool>,
    markets: Vec<Option<Box<MarketState>>>,
    hosts: Vec<Vec<Host>>,
    /// By instrument: its open signals.
    watches: Vec<Watch>,
    /// By instrument: switched off.
    off: Vec<bool>,
    /// Open signals of an earlier run, by exchange and symbol, until their instrument is listed.
    resumed: Vec<(String, String, Open)>,
    drafts: Drafts,
    /// Days of earlier runs, of instruments that are not listed yet.
    history: History,
}

/// Root of all signal ids.
const NAMESPACE: Uuid = Uuid::from_u128(0x7469_636b_666f_7267_6520_7369_676e_616c);

impl Engine {
    pub fn new(registry: Arc<Registry>, plans: Vec<Plan>) -> Self {
        let none = vec![false; plans.len()];
        Engine {
            registry,
            plans,
            stopped: none.clone(),
            plans_off: none,
            markets: Vec::new(),
            hosts: Vec::new(),
            watches: Vec::new(),
            off: Vec::new(),
            resumed: Vec::new(),
            drafts: Drafts::new(),
            history: History::new(),
        }
    }

    /// What earlier runs saw of the last 24 hours. No strategy sees it, so no decision depends on
    /// it.
    #[must_use]
    pub fn with_history(self, history: History) -> Self {
        Engine { history, ..self }
    }

    /// All minutes that changed and were not given to the outbox yet.
    pub fn save_days<O: Outbox>(&mut self, out: &mut O) {
        for (id, market) in self.markets.iter_mut().enumerate() {
            while let Some(minute) = market.as_mut().and_then(|m| m.minute_to_save(true)) {
                out.minute(id as InstrumentId, minute);
            }
        }
    }

    /// The state of an instrument that was listed.
    pub fn market(&self, id: InstrumentId) -> Option<&MarketState> {
        self.markets.get(id as usize)?.as_deref()
    }

    pub fn markets(&self) -> impl Iterator<Item = (InstrumentId, &MarketState)> {
        let listed = self.markets.iter().enumerate();
        listed.filter_map(|(id, m)| Some((id as InstrumentId, m.as_deref()?)))
    }

    /// Signals of an earlier run that are still open. To be told before the first event; each is
    /// watched from where its instrument is listed.
    // COLD: at start.
    pub fn resume(&mut self, signals: impl IntoIterator<Item = SignalRecord>) {
        let open = |s: SignalRecord| Open::resumed(&s).map(|open| (s.exchange, s.symbol, open));
        self.resumed.extend(signals.into_iter().filter_map(open));
    }

    /// The place of a strategy in the engine's list.
    pub fn plan(&self, strategy: &str) -> Option<u16> {
        let at = |p: &Plan| p.entry.spec.name == strategy;
        self.plans.iter().position(at).map(|i| i as u16)
    }

    /// Signals that have not ended yet.
    pub fn open_signals(&self) -> usize {
        self.watches.iter().map(Watch::len).sum()
    }

    /// Takes one event; the answer says whether a book message is complete.
    #[inline]
    pub fn on_event<O: Outbox>(&mut self, event: &Event, out: &mut O) -> BookChange {
        match event.kind {
            Kind::Trade => self.on_trade(event, out),
            Kind::Quote => self.on_quote(event, out),
            Kind::Book => return self.on_book(event, out),
            Kind::Status => self.on_status(event, out),
        }
        BookChange::None
    }

    #[inline]
    fn on_trade<O: Outbox>(&mut self, event: &Event, out: &mut O) {
        let id = event.instrument as usize;
        let Some(market) = self.markets.get_mut(id).and_then(|m| m.as_deref_mut()) else {
            return;
        };
        market.note_quality(event);
        if event.flags.has(Flags::SNAPSHOT) {
            // History: stored once, shown to no strategy.
            out.tick(Tick {
                event: *event,
                day: market.day.stats(),
            });
            return;
        }
        market.now_ns = market.now_ns.max(event.time_ns());
        self.close_bars(event, out);
        let Some(market) = self.markets[id].as_deref_mut() else {
            return;
        };
        let broken = market.trade_event(event);
        if let Some(minute) = market.minute_to_save(false) {
            out.minute(event.instrument, minute);
        }
        let trade = event.trade();
        let bought = trade.taker == Side::Buy;
        for bar in &mut market.bars {
            bar.trade(event.time_ns(), trade.price, trade.amount, bought);
        }
        out.tick(Tick {
            event: *event,
            day: market.day.stats(),
        });
        if let Some(reason) = broken {
            out.book_broken(event.instrument, reason);
        }
        self.watch(event, out);
        self.call(event, Call::Trade, out);
    }

    #[inline]
    fn on_quote<O: Outbox>(&mut self, event: &Event, out: &mut O) {
        let id = event.instrument as usize;
        let Some(market) = self.markets.get_mut(id).and_then(|m| m.as_deref_mut()) else {
            return;
        };
        market.note_quality(event);
        market.quote = Some(event.quote());
        out.tick(Tick {
            event: *event,
            day: market.day.stats(),
        });
        self.watch(event, out);
        self.advance(event, out);
        self.call(event, Call::Quote, out);
    }

    #[inline]
    fn on_book<O: Outbox>(&mut self, event: &Event, out: &mut O) -> BookChange {
        let id = event.instrument as usize;
        let Some(market) = self.markets.get_mut(id).and_then(|m| m.as_deref_mut()) else {
            return BookChange::None;
        };
        market.note_quality(event);
        let change = market.book_event(event);
        match change {
            BookChange::None => {}
            BookChange::Broken(reason) => out.book_broken(event.instrument, reason),
            BookChange::Updated => {
                self.watch(event, out);
                self.advance(event, out);
                self.call(event, Call::Book, out);
            }
        }
        change
    }

    /// Time moves on with an event that carries the exchange's stamp. (A receipt stamp runs ahead
    /// of trades still on their way and would close their bars too early.)
    #[inline]
    fn advance<O: Outbox>(&mut self, event: &Event, out: &mut O) {
        if event.exchange_ns == 0 {
            return;
        }
        if let Some(market) = self.markets[event.instrument as usize].as_deref_mut() {
            market.now_ns = market.now_ns.max(event.exchange_ns);
        }
        self.close_bars(event, out);
    }

    /// Ends the signals that end with this event.
    #[inline]
    fn watch<O: Outbox>(&mut self, event: &Event, out: &mut O) {
        let id = event.instrument as usize;
        let Some(market) = self.markets[id].as_deref() else {
            return;
        };
        let (instrument, price) = (event.instrument, market.twice_price());
        self.watches[id].seen(
            event.time_ns(),
            price,
            |open, ending, exit_price, at, gaps| {
                out.outcome(Outcome {
                    open: *open,
                    instrument,
                    ending,
                    exit_price,
                    ended_ns: at,
                    gaps,
                });
            },
        );
    }

    #[inline]
    fn close_bars<O: Outbox>(&mut self, event: &Event, out: &mut O) {
        let id = event.instrument as usize;
        let Some(market) = self.markets[id].as_deref_mut() else {
            return;
        };
        for i in 0..market.bars.len() {
            let Some(market) = self.markets[id].as_deref_mut() else {
                return;
            };
            if let Some(bar) = market.close_bar(i) {
                self.call(event, Call::Bar(i, &bar), out);
            }
        }
    }

    /// Calls every strategy of the event's instrument that listens.
    #[inline]
    fn call<O: Outbox>(&mut self, event: &Event, call: Call, out: &mut O) {
        let id = event.instrument as usize;
        let Some(market) = self.markets[id].as_deref() else {
            return;
        };
        let wanted = match call {
            Call::Trade => Streams::TRADES,
            Call::Quote => Streams::QUOTES,
            Call::Book => Streams::BOOK,
            Call::Bar(..) => Streams::BARS,
        };
        let context = Context {
            state: market,
            event,
        };
        for host in &mut self.hosts[id] {
            if !host.streams.has(wanted) || self.stopped[usize::from(host.plan)] {
                continue;
            }
            if let Call::Bar(builder, _) = call
                && host.bar != Some(builder)
            {
                continue;
            }
            let drafts = &mut self.drafts;
            let done = catch_unwind(AssertUnwindSafe(|| {
                invoke(&mut *host.strategy, &context, call, drafts)
            }));
            if done.is_err() {
                self.drafts.clear();
                self.stopped[usize::from(host.plan)] = true;
                let name = self.plans[usize::from(host.plan)].entry.spec.name;
                out.strategy_stopped(name, event.instrument);
                continue;
            }
            if host.warming != Warming::Done {
                host.warming = host
                    .warming
                    .step(matches!(call, Call::Bar(..)), event.time_ns());
            }
            if self.drafts.is_empty() {
                continue;
            }
            if host.warming != Warming::Done {
                self.drafts.clear();
                continue;
            }
            let spec = self.plans[usize::from(host.plan)].entry.spec;
            let off = self.off[id] || self.plans_off[usize::from(host.plan)];
            let on_stale_book =
                spec.streams.has(Streams::BOOK) && market.book_state != BookState::Synced;
            for (ordinal, draft) in self.drafts.drain(..).enumerate() {
                if off {
                    out.switched_off();
                } else if on_stale_book && !spec.accepts_stale_book {
                    out.suppressed();
                } else if let Some(signal) = sign(host, market, event, call, ordinal, draft) {
                    self.watches[id].add(Open::of(&signal, spec.name));
                    out.signal(signal);
                }
            }
        }
    }

    #[cold]
    fn on_status<O: Outbox>(&mut self, event: &Event, out: &mut O) {
        match event.status() {
            Status::Listed => self.listed(event.instrument, event.recv_ns),
            Status::BookStale { epoch, .. } => {
                if let Some(Some(market)) = self.markets.get_mut(event.instrument as usize) {
                    market.book_stale(epoch);
                }
                self.broke(event.instrument);
                return;
            }
            Status::Interrupted => return self.broke(event.instrument),
            Status::InstrumentSwitch { on } => {
                if let Some(off) = self.off.get_mut(event.instrument as usize) {
                    *off = !on;
                }
                return;
            }
            Status::StrategySwitch { plan, on } => {
                if let Some(off) = self.plans_off.get_mut(usize::from(plan)) {
                    *off = !on;
                }
                return;
            }
            Status::Rescale { price, amount } => {
                if let Some(Some(market)) = self.markets.get_mut(event.instrument as usize)
                    && !market.rescale(price, amount)
                {
                    market.book_state = BookState::Stale;
                    out.book_broken(event.instrument, Reason::Rejected);
                }
                if let Some(watch) = self.watches.get_mut(event.instrument as usize) {
                    watch.rescale(price);
                }
            }
        }
        // Tick stores keep scales too.
        out.tick(Tick {
            event: *event,
            day: Default::default(),
        });
    }

    fn broke(&mut self, id: InstrumentId) {
        if let Some(watch) = self.watches.get_mut(id as usize) {
            watch.broke();
        }
    }

    fn listed(&mut self, id: InstrumentId, now_ns: i64) {
        let index = id as usize;
        if self.markets.len() <= index {
            self.markets.resize_with(index + 1, || None);
            self.hosts.resize_with(index + 1, Vec::new);
            self.watches.resize_with(index + 1, || Watch::new(0));
            self.off.resize(index + 1, false);
        }
        let instrument = self.registry.get(id);
        let mut market = Box::new(MarketState::new(Arc::clone(&instrument)));
        self.watches[index] = Watch::new(market.price_scale);
        let (exchange, symbol) = (instrument.exchange, &instrument.symbol);
        let ours = |(e, s, _): &mut (String, String, Open)| e == exchange && s == symbol;
        for (_, _, open) in self.resumed.extract_if(.., ours) {
            self.watches[index].add(open);
        }
        market.continue_day(self.history.remove(&instrument.name()), now_ns);
        let hosts = self
            .plans
            .iter()
            .enumerate()
            .filter_map(|(i, plan)| host(i as u16, plan, &mut market));
        self.hosts[index] = hosts.collect();
        self.markets[index] = Some(market);
    }
}

/// An instance of a plan on an instrument, with its bar builder added to the instrument's state.
/// `None` where the strategy refuses its parameters (checked at start, so it does not happen here).
#[cold]
fn host(index: u16, plan: &Plan, market: &mut MarketState) -> Option<Host> {
    let spec = plan.entry.spec;
    let strategy = (spec.new)(&plan.parameters).ok()?;
    let bar = plan.bar_interval_ns().map(|interval| {
        let known = market.bars.iter().position(|b| b.interval_ns() == interval);
        known.unwrap_or_else(|| {
            market.bars.push(BarBuilder::new(interval));
            market.bars.len() - 1
        })
    });
    let warming = Warming::new((spec.warm_up)(&plan.parameters));
    let described = plan.described();
    let name = [
        described.strategy,
        &described.version,
        &described.parameters.to_string(),
        market.instrument.exchange,
        &market.instrument.symbol,
    ]
    .join("\0");
    let namespace = Uuid::new_v5(&NAMESPACE, name.as_bytes());
    Some(Host {
        strategy,
        plan: index,
        streams: spec.streams,
        bar,
        warming,
        namespace,
    })
}

#[inline]
fn invoke(strategy: &mut dyn Strategy, context: &Context, call: Call, drafts: &mut Drafts) {
    match call {
        Call::Trade => strategy.on_trade(context, &context.event.trade(), drafts),
        Call::Quote => strategy.on_quote(context, &context.event.quote(), drafts),
        Call::Book => strategy.on_book(context, drafts),
        Call::Bar(_, bar) => strategy.on_bar(context, bar, drafts),
    }
}

/// Completes a draft. `None` where there is no price yet to put on it.
fn sign(
    host: &Host,
    market: &MarketState,
    event: &Event,
    call: Call,
    ordinal: usize,
    draft: Draft,
) -> Option<Signal> {
    let event_ns = event.time_ns();
    let on_tick = |price: Option<f64>| price.and_then(|p| market.on_tick(p));
    Some(Signal {
        id: signal_id(host, event, call, ordinal),
        strategy: host.plan,
        instrument: event.instrument,
        signal_type: draft.signal_type,
        source: draft.source,
        strength: draft.strength,
        confidence: draft.confidence,
        price: market.price_decimal()?,
        target_price: on_tick(draft.target_price),
        stop_loss_price: on_tick(draft.stop_loss_price),
        take_profit_price: on_tick(draft.take_profit_price),
        reasoning: draft.reasoning,
        indicators: draft.indicators,
        conditions: draft.conditions,
        quality: market.quality,
        event_ns,
        valid_until_ns: event_ns.saturating_add(draft.valid_for_ns),
        timing: Timing {
            exchange_ns: event.exchange_ns,
            recv_ns: event.recv_ns,
            decode_ns: u32::from(event.decode_ns),
            decided_ns: 0,
        },
    })
}

/// UUIDv5 of (strategy, code version, parameters, instrument; event time, the exchange's trade or
/// update id, ordinal): the same on every host and in every replay. Where the exchange gives no id,
/// the event's own values stand for it; the receipt never does.
fn signal_id(host: &Host, event: &Event, call: Call, ordinal: usize) -> Uuid {
    let mut name = [0u8; 42];
    name[..8].copy_from_slice(&event.exchange_ns.to_be_bytes());
    name[8] = event.kind as u8;
    name[9] = ordinal as u8;
    match call {
        Call::Bar(_, bar) => {
            // The bar is the event, whichever message closed it; its interval is a parameter.
            name[..8].copy_from_slice(&bar.start_ns.to_be_bytes());
            name[8] = 0;
        }
        _ => match event.kind {
            Kind::Trade => name[10..26].copy_from_slice(&event.trade().id.to_be_bytes()),
            _ if event.update_id != 0 => {
                name[10..18].copy_from_slice(&event.update_id.to_be_bytes())
            }
            _ => name[10..42].copy_from_slice(&event.payload_bytes()),
        },
    }
    Uuid::new_v5(&host.namespace, &name)
}

/// Keeps what the engine makes, for export, inspect and tests.
#[derive(Default)]
pub struct Collect {
    pub signals: Vec<Signal>,
    pub outcomes: Vec<Outcome>,
    pub broken: Vec<(InstrumentId, Reason)>,
    pub stopped: Vec<&'static str>,
    pub suppressed: u64,
    pub switched_off: u64,
}

impl Outbox for Collect {
    fn signal(&mut self, signal: Signal) {
        self.signals.push(signal);
    }
    fn outcome(&mut self, outcome: Outcome) {
        self.outcomes.push(outcome);
    }
    fn tick(&mut self, _tick: Tick) {}
    fn book_broken(&mut self, instrument: InstrumentId, reason: Reason) {
        self.broken.push((instrument, reason));
    }
    fn suppressed(&mut self) {
        self.suppressed += 1;
    }
    fn switched_off(&mut self) {
        self.switched_off += 1;
    }
    fn strategy_stopped(&mut self, strategy: &'static str, _instrument: InstrumentId) {
        self.stopped.push(strategy);
    }
}
