//! An outbox that keeps what the engine makes, for export, inspect and tests.

use super::Outbox;
use crate::market::{InstrumentId, Reason, Tick};
use crate::outcome::Outcome;
use crate::signal::Signal;

#[derive(Default)]
pub struct Collect {
    pub signals: Vec<Signal>,
    pub outcomes: Vec<Outcome>,
    pub broken: Vec<(InstrumentId, Reason)>,
    pub stopped: Vec<String>,
    pub refused: Vec<String>,
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
    fn strategy_stopped(&mut self, strategy: &str, _instrument: InstrumentId) {
        self.stopped.push(strategy.to_owned());
    }
    fn refused(&mut self, strategy: &str, _instrument: InstrumentId, _why: &str) {
        self.refused.push(strategy.to_owned());
    }
}
