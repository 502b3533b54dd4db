//! The loop around the engine: takes events off the ring, stamps time for measuring, hands on what
//! the engine makes. Runs on the engine thread; the only thing there that reads a clock.
//!
//! Full rings, by name: signals — the engine waits (the journal thread always drains); ticks — the
//! new tick is dropped and counted; resync requests — dropped, since the book stays stale and its
//! next message asks again; minutes of the day — dropped, the disk is stuck and said so.

use crate::clock::Clock;
use crate::engine::{Begun, Engine, Outbox};
use crate::market::book::Level;
use crate::market::day::Minute;
use crate::market::event::Flags;
use crate::market::{Event, InstrumentId, Kind, Reason, Registry, Side, Status, Tick};
use crate::metrics::{BookGauge, CallMetrics, Metrics, TickMetrics};
use crate::outcome::{Decision, Outcome};
use crate::ring::{Consumer, Producer};
use crate::signal::Signal;
use crate::state::{BookChange, BookState, MarketState};
use crate::wait::Waiter;
use crossbeam::channel::{Receiver, Sender};
use std::sync::Arc;

/// A tick store's end of the engine: its ring, and which of [`Metrics`] counts it.
pub struct TickOutlet {
    ring: Producer<Tick>,
    metrics: fn(&Metrics) -> &TickMetrics,
    /// Whether the store wants quotes, too, or trades alone.
    quotes: bool,
    /// Status ticks that a full ring did not take. Without them a store would read all that follows
    /// at a wrong scale, so ticks are dropped until they are through.
    waiting: Vec<Tick>,
}

impl TickOutlet {
    pub fn new(ring: Producer<Tick>, metrics: fn(&Metrics) -> &TickMetrics, quotes: bool) -> Self {
        TickOutlet {
            ring,
            metrics,
            quotes,
            waiting: Vec::new(),
        }
    }

    #[inline]
    fn offer(&mut self, tick: Tick, metrics: &TickMetrics) {
        let kind = tick.event.kind;
        if kind == Kind::Status {
            self.waiting.push(tick);
            self.flush_waiting();
        } else if self.quotes || kind == Kind::Trade {
            let instrument = tick.event.instrument;
            metrics.offered.add(1);
            // Before the ring has it: a kill in between loses it, and counts it.
            metrics.ledger.offer(instrument);
            let behind = !self.waiting.is_empty() && !self.flush_waiting();
            if behind || self.ring.push(tick).is_err() {
                metrics.ledger.withdraw(instrument);
                metrics.ring_dropped.add(1);
                metrics.ring_losses.add(instrument);
            }
        }
    }

    #[cold]
    fn flush_waiting(&mut self) -> bool {
        let taken = self.ring.push_slice(&self.waiting);
        self.waiting.drain(..taken);
        self.waiting.is_empty()
    }
}

/// Takes down what the engine remembers, one instrument after the other: each once a minute, and
/// all at the end. Buffers go out full and come back empty.
pub struct Keeper {
    pub full: Sender<(InstrumentId, Vec<u8>)>,
    pub empty: Receiver<Vec<u8>>,
}

/// Each instrument is taken down this often, ns.
const KEEP_EVERY_NS: i64 = 60_000_000_000;

pub struct Runner {
    pub engine: Engine,
    /// `None` where nothing keeps it.
    pub keeper: Option<Keeper>,
    pub events: Consumer<Event>,
    pub signals: Producer<Decision>,
    pub ticks: Vec<TickOutlet>,
    /// Minutes of the last 24 hours, for the next run; `None` where nothing keeps them.
    pub days: Option<Producer<(InstrumentId, Minute)>>,
    /// Back to the ingest thread: books that are wrong.
    pub broken: Producer<(InstrumentId, Reason)>,
    pub registry: Arc<Registry>,
    pub metrics: Arc<Metrics>,
    pub clock: Clock,
    pub waiter: Waiter,
}

/// Events taken off the ring at once.
const BATCH: usize = 512;

impl Runner {
    /// Until the ingest side is gone and the ring is empty.
    pub fn run(mut self) -> Engine {
        let mut outlet = Outlet {
            signals: self.signals,
            ticks: self.ticks,
            days: self.days,
            broken: self.broken,
            registry: &self.registry,
            metrics: &self.metrics,
            clock: self.clock,
            recv_ns: 0,
            calls: calls(&self.engine, &self.metrics),
            call_ns: 0,
        };
        let mut rounds = self.keeper.map(Rounds::new);
        let mut pulse = Pulse::default();
        loop {
            let batch = self.events.peek();
            if batch.is_empty() {
                if self.events.is_closed() {
                    break;
                }
                pulse.publish(&self.engine, &self.metrics);
                if let Some(rounds) = &mut rounds {
                    rounds.step(&self.engine, self.clock.now_ns());
                }
                self.waiter.idle(&mut self.events);
                continue;
            }
            self.waiter.busy();
            let n = batch.len().min(BATCH);
            let mut before_ns = self.clock.now_ns();
            for event in &batch[..n] {
                outlet.recv_ns = event.recv_ns;
                let change = self.engine.on_event(event, &mut outlet);
                let after_ns = self.clock.now_ns();
                count(&self.metrics, event, change, before_ns, after_ns);
                before_ns = after_ns;
            }
            self.events.consume(n);
            pulse.after_batch(&self.engine, &self.metrics, before_ns);
            if let Some(rounds) = &mut rounds {
                rounds.step(&self.engine, before_ns);
            }
        }
        pulse.publish(&self.engine, &self.metrics);
        if let Some(rounds) = rounds {
            rounds.finish(&self.engine);
        }
        self.engine.save_days(&mut outlet);
        self.engine
    }
}

#[inline]
fn count(metrics: &Metrics, event: &Event, change: BookChange, before_ns: i64, after_ns: i64) {
    let m = &metrics.engine;
    m.events.add(1);
    match event.kind {
        Kind::Trade => m.trades.add(1),
        Kind::Quote => m.quotes.add(1),
        Kind::Book if change == BookChange::Updated => m.book_updates.add(1),
        _ => {}
    }
    m.ring
        .record(before_ns - event.recv_ns - i64::from(event.decode_ns));
    m.decide.record(after_ns - before_ns);
    m.respond.record(after_ns - event.recv_ns);
    let old = event.flags.has(Flags::SNAPSHOT) || event.was_missed();
    if event.exchange_ns != 0 && !old {
        m.age.record(after_ns - event.exchange_ns);
    }
    m.last_event_ns.set(event.recv_ns as u64);
}

/// Of every plan, its counters.
#[cold]
fn calls(engine: &Engine, metrics: &Metrics) -> Vec<Arc<CallMetrics>> {
    let plans = engine.plans().iter();
    let of = plans.map(|plan| {
        let calls = metrics.calls(&plan.name);
        calls.budget_ns.set(plan.entry.spec.budget_ns);
        calls
    });
    of.collect()
}

/// Whose turn it is to be taken down.
struct Rounds {
    keeper: Keeper,
    next: InstrumentId,
    due_ns: i64,
    /// A buffer that was not needed.
    spare: Option<Vec<u8>>,
}

impl Rounds {
    fn new(keeper: Keeper) -> Rounds {
        Rounds {
            keeper,
            next: 0,
            due_ns: 0,
            spare: None,
        }
    }

    #[inline]
    fn step(&mut self, engine: &Engine, now_ns: i64) {
        if now_ns >= self.due_ns {
            self.take_down(engine, now_ns);
        }
    }

    /// One instrument; where no buffer is back, the disk is slow and it is left for the next time.
    #[cold]
    fn take_down(&mut self, engine: &Engine, now_ns: i64) {
        let instruments = engine.instruments();
        if instruments == 0 {
            return;
        }
        self.due_ns = now_ns + KEEP_EVERY_NS / i64::from(instruments);
        self.next = if self.next + 1 < instruments {
            self.next + 1
        } else {
            0
        };
        let spare = self.spare.take();
        let Some(mut buffer) = spare.or_else(|| self.keeper.empty.try_recv().ok()) else {
            return;
        };
        if !engine.save(self.next, &mut buffer) {
            self.spare = Some(buffer);
            return;
        }
        let sent = self.keeper.full.try_send((self.next, buffer));
        self.spare = sent.err().map(|back| back.into_inner().1);
    }

    // COLD: at the end.
    fn finish(self, engine: &Engine) {
        for id in 0..engine.instruments() {
            let mut buffer = self.keeper.empty.recv().unwrap_or_default();
            if engine.save(id, &mut buffer) && self.keeper.full.send((id, buffer)).is_err() {
                return;
            }
        }
    }
}

/// Gauges that are too dear for every event.
#[derive(Default)]
struct Pulse {
    next_ns: i64,
}

impl Pulse {
    const EVERY_NS: i64 = 100_000_000;

    #[inline]
    fn after_batch(&mut self, engine: &Engine, metrics: &Metrics, now_ns: i64) {
        if now_ns >= self.next_ns {
            self.next_ns = now_ns + Self::EVERY_NS;
            self.publish(engine, metrics);
        }
    }

    fn publish(&mut self, engine: &Engine, metrics: &Metrics) {
        let (mut synced, mut stale, mut ok, mut failed) = (0, 0, 0, 0);
        for (id, market) in engine.markets() {
            if let Some(gauge) = metrics.books.get(id as usize) {
                glance(gauge, id, market);
            }
            match market.book_state {
                BookState::Synced => synced += 1,
                BookState::Stale | BookState::Loading => stale += 1,
            }
            ok += market.checksums_ok;
            failed += market.checksums_failed;
        }
        metrics.passes.engine.add(1);
        let m = &metrics.engine;
        m.books_synced.set(synced);
        m.books_stale.set(stale);
        m.checksums_ok.set(ok);
        m.checksums_failed.set(failed);
        m.signals_open.set(engine.open_signals() as u64);
    }
}

fn glance(gauge: &BookGauge, id: InstrumentId, market: &MarketState) {
    let price = |level: Option<Level>| level.map_or(0, |l| l.price.max(0) as u64);
    gauge.instrument.set(u64::from(id) + 1);
    gauge.bid.set(price(market.book.best_bid()));
    gauge.ask.set(price(market.book.best_ask()));
    gauge.price_scale.set(u64::from(market.price_scale));
    gauge.bids.set(market.book.len(Side::Buy) as u64);
    gauge.asks.set(market.book.len(Side::Sell) as u64);
    gauge
        .synced
        .set(u64::from(market.book_state == BookState::Synced));
}

struct Outlet<'a> {
    signals: Producer<Decision>,
    ticks: Vec<TickOutlet>,
    days: Option<Producer<(InstrumentId, Minute)>>,
    broken: Producer<(InstrumentId, Reason)>,
    registry: &'a Registry,
    metrics: &'a Metrics,
    clock: Clock,
    recv_ns: i64,
    /// By plan.
    calls: Vec<Arc<CallMetrics>>,
    /// When the call under way began.
    call_ns: i64,
}

impl Outlet<'_> {
    /// A newly listed instrument has its name in the ledgers before anything of it is offered.
    #[cold]
    fn list(&self, event: &Event) {
        if event.status() != Status::Listed {
            return;
        }
        let name = self.registry.get(event.instrument).name();
        for outlet in &self.ticks {
            let ledger = &(outlet.metrics)(self.metrics).ledger;
            ledger.list(event.instrument, &name);
        }
    }

    /// Hands on to the journal; waits while the ring is full.
    fn decided(&mut self, mut decision: Decision) {
        let mut waited = false;
        while let Err(back) = self.signals.push(decision) {
            decision = back;
            if !waited {
                self.metrics.engine.signal_ring_full.add(1);
                waited = true;
            }
            if self.signals.is_abandoned() {
                // The journal thread is gone, which only a panic there can do: say so, do not hang.
                self.metrics.journal.refused.add(1);
                return;
            }
            self.signals.wake();
            std::thread::yield_now();
        }
        self.signals.wake();
    }
}

impl Outbox for Outlet<'_> {
    fn signal(&mut self, mut signal: Signal) {
        let now_ns = self.clock.now_ns();
        signal.timing.decided_ns = now_ns;
        self.metrics.engine.signals.add(1);
        self.metrics
            .engine
            .tick_to_signal
            .record(now_ns - self.recv_ns);
        self.decided(Decision::Signal(signal));
    }

    fn outcome(&mut self, outcome: Outcome) {
        self.metrics.engine.outcomes.add(1);
        self.decided(Decision::Outcome(outcome));
    }

    #[inline]
    fn tick(&mut self, tick: Tick) {
        if tick.event.kind == Kind::Status {
            self.list(&tick.event);
        }
        for outlet in &mut self.ticks {
            outlet.offer(tick, (outlet.metrics)(self.metrics));
        }
    }

    fn book_broken(&mut self, instrument: InstrumentId, reason: Reason) {
        // A full ring: the book stays stale, and the ingest side is busy breaking books already.
        let _ = self.broken.push((instrument, reason));
        self.broken.wake();
    }

    #[inline]
    fn minute(&mut self, instrument: InstrumentId, minute: Minute) {
        if let Some(days) = &mut self.days {
            // A full ring: a disk that does not write, which says so. The day begins later then.
            let _ = days.push((instrument, minute));
        }
    }

    fn suppressed(&mut self) {
        self.metrics.engine.signals_suppressed.add(1);
    }

    fn switched_off(&mut self) {
        self.metrics.engine.signals_switched_off.add(1);
    }

    #[inline]
    fn call_begins(&mut self) {
        self.call_ns = self.clock.now_ns();
    }

    #[inline]
    fn call_ended(&mut self, plan: u16, _instrument: InstrumentId) {
        let took_ns = (self.clock.now_ns() - self.call_ns).unsigned_abs();
        let calls = &self.calls[usize::from(plan)];
        calls.calls.add(1);
        calls.total_ns.add(took_ns);
        if took_ns > calls.budget_ns.get() {
            calls.over_budget.add(1);
        }
        if took_ns > calls.longest_ns.get() {
            calls.longest_ns.set(took_ns);
        }
    }

    fn begun(&mut self, strategy: &str, instrument: InstrumentId, how: Begun) {
        let name = self.registry.get(instrument).name();
        match how {
            Begun::Restored => tracing::debug!(strategy, name, "goes on where it stood"),
            Begun::Changed => tracing::debug!(strategy, name, "took over other parameters"),
            Begun::WarmedBy(bars) => tracing::debug!(strategy, name, bars, "warm by past bars"),
            Begun::StillCold(bars) => {
                tracing::info!(
                    strategy,
                    name,
                    bars,
                    "past bars are too few: it warms up live"
                );
            }
        }
    }

    fn refused(&mut self, strategy: &str, instrument: InstrumentId, why: &str) {
        tracing::error!(
            strategy,
            instrument,
            why,
            "it does not run on this instrument"
        );
    }

    fn strategy_stopped(&mut self, strategy: &str, instrument: InstrumentId) {
        self.metrics.engine.strategies_stopped.add(1);
        tracing::error!(
            strategy,
            instrument,
            "a strategy panicked and is stopped; the others go on"
        );
    }
}
