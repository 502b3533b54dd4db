//! HOT PATH. Events in ring order become market state, bars, strategy calls and signals.
//!
//! A pure function of the events: no clock, no socket, no random number. Live, replay, backtest and
//! test differ only in who calls [`Engine::on_event`]. After the instruments are listed it
//! allocates nothing; a strategy that panics is stopped and reported, the others go on.

mod host;
mod warming;

use crate::market::day::{History, Minute};
use crate::market::event::Flags;
use crate::market::{
    Bar, BarSpec, Event, InstrumentId, Kind, Reason, Registry, Side, Status, Tick,
};
use crate::outcome::{Open, Outcome, Watch};
use crate::signal::Signal;
use crate::signal::record::{Described, SignalRecord};
use crate::state::{BookChange, BookState, MarketState};
use crate::strategy::{
    Context, Drafts, Entry, Parameters, Strategy, Streams, TIMEFRAMES, parameters,
};
use arrayvec::ArrayVec;
use host::Host;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
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
    /// A strategy does not run on an instrument, and why.
    fn refused(&mut self, _strategy: &'static str, _instrument: InstrumentId, _why: &str) {}
    /// A minute of the rolling day changed: for the next run's [`Engine::with_history`]. Where
    /// nobody takes it, that run begins its day anew.
    fn minute(&mut self, _instrument: InstrumentId, _minute: Minute) {}
    /// A strategy is called now. For measuring what its calls take.
    #[inline]
    fn call_begins(&mut self) {}
    /// The call is over.
    #[inline]
    fn call_ended(&mut self, _plan: u16, _instrument: InstrumentId) {}
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

    /// The kinds of bars that it listens to.
    fn bars(&self) -> ArrayVec<BarSpec, TIMEFRAMES> {
        let spec = self.entry.spec;
        if !spec.streams.has(Streams::BARS) {
            return ArrayVec::new();
        }
        let named = spec.bar_parameters.iter().take(TIMEFRAMES);
        let mut bars: ArrayVec<_, TIMEFRAMES> =
            named.map(|name| self.parameters.bars(name)).collect();
        if bars.is_empty() {
            bars.push(spec.bars);
        }
        bars
    }
}

/// The callback to make.
#[derive(Clone, Copy)]
enum Call<'a> {
    Trade,
    Quote,
    Book,
    /// Of which builder, the bar, and how many others the same trade closed before it.
    Bar(usize, &'a Bar, u16),
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

    /// All strategies are made anew and cold, in a market that goes on.
    // COLD: for trials of a strategy.
    pub fn begin_again(&mut self) {
        let listed = self.markets.iter_mut().zip(&mut self.hosts);
        for (market, hosts) in listed {
            let Some(market) = market else { continue };
            let plans = self.plans.iter().enumerate();
            *hosts = plans
                .filter_map(|(i, plan)| Host::new(i as u16, plan, market).ok())
                .collect();
        }
    }

    /// Whether all strategies have seen their warm-up on an instrument.
    pub fn is_warm(&self, id: InstrumentId) -> bool {
        let hosts = self.hosts.get(id as usize);
        hosts.is_some_and(|hosts| hosts.iter().all(|host| host.warming == Warming::Done))
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
        market
            .bars
            .trade(event.time_ns(), trade.price, trade.amount, bought);
        out.tick(Tick {
            event: *event,
            day: market.day.stats(),
        });
        if let Some(reason) = broken {
            out.book_broken(event.instrument, reason);
        }
        self.watch(event, out);
        self.closed_by_trade(event, out);
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

    /// Bars of time that are over.
    #[inline]
    fn close_bars<O: Outbox>(&mut self, event: &Event, out: &mut O) {
        let id = event.instrument as usize;
        while let Some(market) = self.markets[id].as_deref_mut()
            && let Some((builder, bar)) = market.bars.close_due(market.now_ns)
        {
            self.call(event, Call::Bar(builder, &bar, 0), out);
        }
    }

    /// Bars of other kinds that this trade closed.
    #[inline]
    fn closed_by_trade<O: Outbox>(&mut self, event: &Event, out: &mut O) {
        let id = event.instrument as usize;
        let mut closed = 0_u16;
        while let Some(market) = self.markets[id].as_deref_mut()
            && let Some((builder, bar)) = market.bars.next_closed()
        {
            self.call(event, Call::Bar(builder, &bar, closed), out);
            closed = closed.wrapping_add(1);
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
        let mut context = Context {
            state: market,
            event,
            timeframe: 0,
        };
        for host in &mut self.hosts[id] {
            if !host.streams.has(wanted) || self.stopped[usize::from(host.plan)] {
                continue;
            }
            if let Call::Bar(builder, ..) = call {
                let Some(timeframe) = host.bars.iter().position(|b| *b == builder) else {
                    continue;
                };
                context.timeframe = timeframe;
            }
            let drafts = &mut self.drafts;
            out.call_begins();
            let done = catch_unwind(AssertUnwindSafe(|| {
                invoke(&mut *host.strategy, &context, call, drafts)
            }));
            out.call_ended(host.plan, event.instrument);
            if done.is_err() {
                self.drafts.clear();
                self.stopped[usize::from(host.plan)] = true;
                let name = self.plans[usize::from(host.plan)].entry.spec.name;
                out.strategy_stopped(name, event.instrument);
                continue;
            }
            if host.warming != Warming::Done && context.timeframe == 0 {
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
                } else if let Some(signal) = host.sign(&context, call, ordinal, draft) {
                    self.watches[id].add(Open::of(&signal, spec.name));
                    out.signal(signal);
                }
            }
        }
    }

    #[cold]
    fn on_status<O: Outbox>(&mut self, event: &Event, out: &mut O) {
        match event.status() {
            Status::Listed => self.listed(event.instrument, event.recv_ns, out),
            Status::BookStale { epoch, reason } => {
                if let Some(Some(market)) = self.markets.get_mut(event.instrument as usize) {
                    market.book_stale(epoch);
                    if matches!(reason, Reason::Disconnected | Reason::SequenceGap) {
                        market.bars.gap();
                    }
                }
                self.broke(event.instrument);
                return;
            }
            Status::Interrupted => {
                if let Some(Some(market)) = self.markets.get_mut(event.instrument as usize) {
                    market.bars.gap();
                }
                return self.broke(event.instrument);
            }
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

    fn listed<O: Outbox>(&mut self, id: InstrumentId, now_ns: i64, out: &mut O) {
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
        let mut hosts = Vec::with_capacity(self.plans.len());
        for (i, plan) in self.plans.iter().enumerate() {
            match Host::new(i as u16, plan, &mut market) {
                Ok(host) => hosts.push(host),
                Err(why) => out.refused(plan.entry.spec.name, id, &why),
            }
        }
        self.hosts[index] = hosts;
        self.markets[index] = Some(market);
    }
}

#[inline]
fn invoke(strategy: &mut dyn Strategy, context: &Context, call: Call, drafts: &mut Drafts) {
    match call {
        Call::Trade => strategy.on_trade(context, &context.event.trade(), drafts),
        Call::Quote => strategy.on_quote(context, &context.event.quote(), drafts),
        Call::Book => strategy.on_book(context, drafts),
        Call::Bar(_, bar, _) => strategy.on_bar(context, bar, drafts),
    }
}

/// Keeps what the engine makes, for export, inspect and tests.
#[derive(Default)]
pub struct Collect {
    pub signals: Vec<Signal>,
    pub outcomes: Vec<Outcome>,
    pub broken: Vec<(InstrumentId, Reason)>,
    pub stopped: Vec<&'static str>,
    pub refused: Vec<&'static str>,
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
    fn refused(&mut self, strategy: &'static str, _instrument: InstrumentId, _why: &str) {
        self.refused.push(strategy);
    }
}
