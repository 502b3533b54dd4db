//! Where decisions and ticks go. Each publisher has its own pace, its own retries and its own
//! position, and none holds back another or the engine.
//!
//! Signals: engine ring ▸ [`journal`] (the one that is always there) ▸ [`follow`] for each store,
//! which reads the journal from that store's own cursor. Ticks: one ring for each tick store
//! ([`influx`], [`parquet`]). The last 24 hours, by minutes: [`days`].

pub mod days;
pub mod follow;
pub mod influx;
mod intake;
pub mod journal;
pub mod ledger;
pub mod notifications;
pub mod parquet;
pub mod postgres;
pub mod redis;
pub mod states;

use crate::outcome::record::OutcomeRecord;
use crate::signal::record::SignalRecord;
use std::future::Future;

/// A journalled signal and its number in the journal (1, 2, 3 …).
#[derive(Clone, Debug)]
pub struct Entry {
    pub seq: u64,
    pub record: SignalRecord,
}

/// A journalled outcome and its number in the journal, which comes after its signal's.
#[derive(Clone, Debug)]
pub struct Concluded {
    pub seq: u64,
    pub record: OutcomeRecord,
}

/// Why a store did not take a batch.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Away, slow, overloaded, wrong password: try again later. The text names the place and the
    /// remedy.
    #[error("{0}")]
    Retry(String),
    /// The store will never take this one signal or outcome: it is quarantined and counted, the
    /// others go on.
    #[error("number {index} of the batch refused: {reason}")]
    Refused { index: usize, reason: String },
    /// The store lost what it had taken: emptied, made anew, restored from a backup, or failed over
    /// to a copy that lagged. It has this journal's signals up to number `has` (0 = none of them,
    /// or not known), and gets the later ones again.
    #[error("the store has lost signals that it had taken after number {has}")]
    Behind { has: u64 },
}

/// A store of signals. `deliver` is called again with the same entries until it succeeds, so what
/// it does must be the same once or twice.
pub trait SignalSink {
    /// As in the configuration: `postgres`, `redis`.
    fn name(&self) -> &'static str;
    /// Called once, before anything else, where the journal says that this store took all up to
    /// number `taken`. `last` is the newest signal of it: a store that does not have it is behind.
    fn resume(&mut self, taken: u64, last: &Entry);
    /// Called before each of the others, to do what takes longer than they may: its limits are its
    /// own. The same once or twice.
    fn open(&mut self) -> impl Future<Output = Result<(), SinkError>> {
        async { Ok(()) }
    }
    /// Stores all entries, in order, or says why not. Connects by itself where it must.
    fn deliver(&mut self, entries: &[Entry]) -> impl Future<Output = Result<(), SinkError>>;
    /// Stores what became of signals, which were delivered before, or says why not. The same once
    /// or twice, too. A store that keeps signals alone does nothing.
    fn conclude(&mut self, outcomes: &[Concluded]) -> impl Future<Output = Result<(), SinkError>> {
        let _ = outcomes;
        async { Ok(()) }
    }
    /// Called about every second, also when there is nothing to deliver: keep-alive keys and the
    /// like.
    fn idle(&mut self) -> impl Future<Output = Result<(), SinkError>>;
}
