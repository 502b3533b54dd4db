//! Puts an operator's switches and new parameters into the stream of events, each with its mark in
//! the recording, so that a replay switches at the same place. Runs on the ingest thread.

use super::{Hub, Stop, stopped};
use crate::capture::{Dir, Line, mark};
use crate::market::{Event, InstrumentId, Status};
use crate::suggest;
use crate::switches::{Switches, Told};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// No instrument is listed before the database has told what is off, or this time is over.
const AT_START: Duration = Duration::from_secs(2);

/// Whose switches are obeyed; by default nobody's.
pub struct SwitchContext {
    pub told: watch::Receiver<Told>,
    /// Changes of parameters so far.
    pub tuned: watch::Receiver<Vec<Tuned>>,
    /// Names of strategies in the order of the engine's list.
    pub strategies: Vec<Arc<str>>,
}

/// Other parameters for a strategy.
#[derive(Clone)]
pub struct Tuned {
    pub strategy: Arc<str>,
    /// Its number in the engine's settings.
    pub change: u32,
    /// The strategy's section of the configuration, for a recording.
    pub section: Arc<[u8]>,
}

impl Default for SwitchContext {
    fn default() -> Self {
        let nothing_off = Told {
            read: true,
            ..Told::default()
        };
        SwitchContext {
            told: watch::channel(nothing_off).1,
            tuned: watch::channel(Vec::new()).1,
            strategies: Vec::new(),
        }
    }
}

/// What the hub knows of switches.
pub(super) struct Obedience {
    told: watch::Receiver<Told>,
    tuned: watch::Receiver<Vec<Tuned>>,
    /// Changes of parameters that are in the stream.
    tuned_so_far: Cell<usize>,
    /// In the order of the engine's list.
    strategies: Vec<Arc<str>>,
    strategies_off: RefCell<Vec<bool>>,
    /// By instrument.
    off: RefCell<Vec<bool>>,
    /// Names that no strategy here has: each is told once.
    unknown: RefCell<BTreeSet<String>>,
}

impl Obedience {
    pub fn new(context: SwitchContext) -> Self {
        let SwitchContext {
            told,
            tuned,
            strategies,
        } = context;
        Obedience {
            told,
            tuned,
            tuned_so_far: Cell::new(0),
            strategies_off: RefCell::new(vec![false; strategies.len()]),
            strategies,
            off: RefCell::default(),
            unknown: RefCell::default(),
        }
    }

    fn told(&self) -> watch::Receiver<Told> {
        self.told.clone()
    }
}

impl Hub {
    /// Waits for the database's first answer, for a while.
    pub(super) async fn await_switches(&self, stop: &mut Stop) {
        let mut told = self.obedience.told();
        tokio::select! {
            _ = told.wait_for(|t| t.read) => {}
            () = tokio::time::sleep(AT_START) => {
                tracing::warn!("system_config is not read yet: switches are as they were");
            }
            () = stopped(stop) => {}
        }
    }

    /// Obeys at once, and at each change, until `stop`.
    pub(super) async fn watch_switches(self: Rc<Self>, mut stop: Stop) {
        let mut told = self.obedience.told();
        let mut tuned = self.obedience.tuned.clone();
        told.mark_unchanged();
        loop {
            {
                let _turn = self.turn().await;
                self.obey().await;
            }
            tokio::select! {
                changed = told.changed() => if changed.is_err() { return },
                Ok(()) = tuned.changed() => {}
                () = stopped(&mut stop) => return,
            }
        }
    }

    /// Switches what is not as it is told. To be called within a turn, also after listing.
    pub(super) async fn obey(&self) {
        let switches = self.obedience.told().borrow().switches.clone();
        self.tell_unknown(&switches);
        let mut events = self.switch_strategies(&switches);
        events.extend(self.switch_instruments(&switches));
        events.extend(self.tune());
        if events.is_empty() {
            return;
        }
        self.metrics.set_switched_off(self.names_off());
        self.metrics.ingest.events_decoded.add(events.len() as u64);
        self.hand_over(&events).await;
    }

    /// What is off here, for people.
    fn names_off(&self) -> Vec<String> {
        let (strategies, all) = (&self.obedience.strategies, self.registry.all());
        let off = self.obedience.strategies_off.borrow();
        let strategies = strategies.iter().zip(off.iter()).filter(|(_, off)| **off);
        let mut names: Vec<String> = strategies.map(|(s, _)| format!("strategy {s}")).collect();
        let off = self.obedience.off.borrow();
        let instruments = all.iter().zip(off.iter()).filter(|(_, off)| **off);
        names.extend(instruments.map(|(i, _)| format!("instrument {}:{}", i.exchange, i.symbol)));
        names
    }

    fn switch_strategies(&self, switches: &Switches) -> Vec<Event> {
        let now_ns = self.clock.now_ns();
        let mut off = self.obedience.strategies_off.borrow_mut();
        let mut events = Vec::new();
        for (plan, name) in self.obedience.strategies.iter().enumerate() {
            let on = switches.strategy_on(name);
            if off[plan] != on {
                continue;
            }
            off[plan] = !on;
            tracing::warn!(strategy = &**name, on, "switched by system_config");
            self.record(|| {
                let line = Line::new(now_ns, mark::RECORDER, Dir::Mark);
                line.with_mark(mark::SWITCHED, name, mark::on_or_off(on))
            });
            let plan = plan as u16;
            events.push(Event::from_status(
                0,
                now_ns,
                Status::StrategySwitch { plan, on },
            ));
        }
        events
    }

    /// Parameters that were changed since the last call.
    fn tune(&self) -> Vec<Event> {
        let now_ns = self.clock.now_ns();
        let tuned = self.obedience.tuned.borrow();
        let so_far = self.obedience.tuned_so_far.replace(tuned.len());
        let event = |tuned: &Tuned| {
            self.record(|| {
                let line = Line::new(now_ns, mark::RECORDER, Dir::Mark);
                line.with_mark(mark::PARAMETERS, &tuned.strategy, "reload")
                    .with_payload(&tuned.section, false)
            });
            let change = tuned.change;
            Event::from_status(0, now_ns, Status::Parameters { change })
        };
        tuned[so_far..].iter().map(event).collect()
    }

    fn switch_instruments(&self, switches: &Switches) -> Vec<Event> {
        let now_ns = self.clock.now_ns();
        let all = self.registry.all();
        let mut off = self.obedience.off.borrow_mut();
        off.resize(all.len(), false);
        let mut events = Vec::new();
        for (id, instrument) in all.iter().enumerate() {
            let on = switches.instrument_on(instrument.exchange, &instrument.symbol);
            if off[id] != on {
                continue;
            }
            off[id] = !on;
            let (exchange, symbol) = (instrument.exchange, &instrument.symbol);
            tracing::warn!(exchange, %symbol, on, "switched by system_config");
            self.record(|| {
                let line = Line::new(now_ns, exchange, Dir::Mark);
                line.with_mark(mark::SWITCHED, &instrument.native, mark::on_or_off(on))
            });
            let status = Status::InstrumentSwitch { on };
            events.push(Event::from_status(id as InstrumentId, now_ns, status));
        }
        events
    }

    /// An instrument that is not followed here may be another daemon's; strategies are the same.
    fn tell_unknown(&self, switches: &Switches) {
        let known = &self.obedience.strategies;
        let mut told = self.obedience.unknown.borrow_mut();
        for name in &switches.strategies_off {
            if !known.iter().any(|k| **k == **name) && told.insert(name.clone()) {
                let hint = suggest::hint(name, known.iter().map(|k| &**k));
                tracing::warn!("system_config: no strategy \"{name}\" runs here{hint}");
            }
        }
    }
}
