//! HOT PATH. Events in ring order become market state, bars, strategy calls and signals.
//!
//! A pure function of the events: no clock, no socket, no random number. Live, replay, backtest and
//! test differ only in who calls [`Engine::on_event`]. After the instruments are listed it
//! allocates nothing; a strategy that panics is stopped and reported, the others go on.

mod collect;
mod host;
pub mod plan;
mod saved;
mod status;
mod warming;

pub use collect::Collect;
pub use plan::{Plan, Settings, Tuning};
use saved::SavedHost;
pub use saved::{CODE, Saved, last_trade};

use crate::market::day::{History, Minute};
use crate::market::event::Flags;
use crate::market::{Bar, Event, InstrumentId, Kind, Reason, Registry, Side, Tick};
use crate::outcome::{Open, Outcome, Watch};
use crate::signal::Signal;
use crate::signal::record::SignalRecord;
use crate::state::{Before, BookChange, MarketState};
use crate::strategy::{Context, Drafts, Group, Strategy, Streams};
use host::Host;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use warming::Warming;

/// By instrument; `None` until it is listed.
type Markets = [Option<Box<MarketState>>];

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
    fn strategy_stopped(&mut self, strategy: &str, instrument: InstrumentId);
    /// A strategy does not run on an instrument, and why.
    fn refused(&mut self, _strategy: &str, _instrument: InstrumentId, _why: &str) {}
    /// A strategy begins on an instrument, or goes on: with what it has seen.
    fn begun(&mut self, _strategy: &str, _instrument: InstrumentId, _how: Begun) {}
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

/// With what an instance begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It goes on where an earlier run stood.
    Restored,
    /// It was shown bars of the time before, and is warm.
    WarmedBy(usize),
    /// It was shown what bars there were, and must see more.
    StillCold(usize),
    /// Other parameters: it took them over and keeps what it remembers.
    Changed,
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
    hosts: Vec<Host>,
    /// By instrument: the hosts that it concerns, and which of their legs it is.
    listeners: Vec<Vec<(usize, usize)>>,
    settings: Arc<Settings>,
    /// Bars from before the run are promised for every instrument: strategies wait for them.
    past_promised: bool,
    /// What earlier runs remembered, of instruments that are not listed yet, by name.
    saved: Saved,
    /// What they remembered of strategies over several instruments, not all of which are listed.
    saved_hosts: Vec<SavedHost>,
    /// Some wait only for the time of the others among their instruments.
    rejoining: bool,
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
            listeners: Vec::new(),
            settings: Arc::default(),
            past_promised: false,
            saved: Saved::new(),
            saved_hosts: Vec::new(),
            rejoining: false,
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

    /// What earlier runs remembered, by the instrument's name: see [`Engine::save`]. Strategies go
    /// on where they stood.
    pub fn remember(&mut self, saved: Saved) {
        self.saved.extend(saved);
    }

    /// For every instrument that will be listed there will be a [`Status::Past`], and strategies
    /// that are warmed by bars wait for it.
    ///
    /// [`Status::Past`]: crate::market::Status::Past
    pub fn promise_past(&mut self) {
        self.past_promised = true;
    }

    /// What signals of this run were made with.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// How many instruments were listed; their ids are below this.
    pub fn instruments(&self) -> InstrumentId {
        self.markets.len() as InstrumentId
    }

    pub fn plans(&self) -> &[Plan] {
        &self.plans
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

    /// The place of an instance in the engine's list.
    pub fn plan(&self, name: &str) -> Option<u16> {
        let at = |p: &Plan| &*p.name == name;
        self.plans.iter().position(at).map(|i| i as u16)
    }

    /// All strategies are made anew and cold, in a market that goes on.
    // COLD: for trials of a strategy.
    pub fn begin_again(&mut self) {
        for host in &mut self.hosts {
            let plan = &self.plans[usize::from(host.plan)];
            // It was made before, of the same.
            if let Ok(cold) = host.cold(plan, &mut self.markets, &self.settings) {
                *host = cold;
            }
        }
    }

    /// Whether all strategies have seen their warm-up on an instrument.
    pub fn is_warm(&self, id: InstrumentId) -> bool {
        let listeners = self.listeners.get(id as usize);
        let warm = |(host, _): &(usize, usize)| self.hosts[*host].warming == Warming::Done;
        listeners.is_some_and(|listeners| listeners.iter().all(warm))
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
        let day = market.day.stats();
        // Stores and open signals may have seen a missed one before the restart.
        if !event.was_missed() {
            out.tick(Tick { event: *event, day });
            if let Some(reason) = broken {
                out.book_broken(event.instrument, reason);
            }
            self.watch(event, out);
        }
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
            if market.before == Before::Awaited {
                // Trades of the time before this are still to come.
                return;
            }
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
        if self.rejoining {
            self.rejoin(out);
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
        let missed = event.was_missed();
        for (slot, leg) in &self.listeners[id] {
            let host = &mut self.hosts[*slot];
            let plan = usize::from(host.plan);
            if !host.streams.has(wanted) || host.waits(missed) || self.stopped[plan] {
                continue;
            }
            let timeframe = match call {
                Call::Bar(builder, bar, _) => {
                    let listens = host.bars[*leg].iter().position(|(b, _)| *b == builder);
                    let Some(timeframe) = listens else { continue };
                    host.fed_ns[*leg] = host.fed_ns[*leg].max(bar.end_ns);
                    timeframe
                }
                _ => 0,
            };
            let (legs, markets) = (&host.legs[..], &self.markets[..]);
            let context = Context {
                state: market,
                event,
                timeframe,
                leg: *leg,
                group: &Group { legs, markets },
            };
            let drafts = &mut self.drafts;
            out.call_begins();
            let done = catch_unwind(AssertUnwindSafe(|| {
                invoke(&mut *host.strategy, &context, call, drafts)
            }));
            out.call_ended(host.plan, event.instrument);
            if done.is_err() {
                self.drafts.clear();
                self.stopped[plan] = true;
                out.strategy_stopped(&self.plans[plan].name, event.instrument);
                continue;
            }
            if host.warming != Warming::Done {
                host.warming = host.warming.after(call, timeframe, *leg, event.time_ns());
                if host.warming != Warming::Done || self.drafts.is_empty() {
                    self.drafts.clear();
                    continue;
                }
            }
            if missed {
                // Its time has gone by.
                self.drafts.clear();
            }
            if self.drafts.is_empty() {
                continue;
            }
            let spec = self.plans[plan].entry.spec;
            let on_stale_book = host.on_stale_book(&context) && !spec.accepts_stale_book;
            for (ordinal, draft) in self.drafts.iter().enumerate() {
                let about = host.legs.get(draft.leg).map_or(id, |leg| *leg as usize);
                if self.off[about] || self.plans_off[plan] {
                    out.switched_off();
                } else if on_stale_book {
                    out.suppressed();
                } else if let Some(signal) = host.sign(&context, call, ordinal, draft) {
                    let plan = &self.plans[plan];
                    self.watches[about].add(Open::of(&signal, &plan.name, plan.shadow));
                    out.signal(signal);
                }
            }
            self.drafts.clear();
        }
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
