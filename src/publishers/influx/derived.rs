//! Points that the daemon makes itself: bars, and the measurements beside `market_data`. They wait
//! here for their policies, in memory and then in a spool of their own, apart from the ticks: they
//! are few, and kept long, so that they may come hours late.
//!
//! Whoever has points gives them to [`Derived`], from any task on the publishers' runtime.

use super::batch::{Batch, Source};
use super::disk::Disk;
use super::lines::Lines;
use super::policy::Policy;
use super::pump::Supply;
use crate::config::InfluxConfig;
use crate::metrics::{Metrics, TickMetrics};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// While a batch does not get through for this long, what waits behind it goes to disk.
const PATIENCE: Duration = Duration::from_secs(5);

/// Takes points for any policy.
pub struct Derived {
    waiting: Mutex<Waiting>,
    metrics: Arc<Metrics>,
    /// Nothing follows; what is here should be written now.
    closed: AtomicBool,
    /// Somebody waits for what is here to be written.
    hurry: AtomicBool,
}

#[derive(Default)]
struct Waiting {
    /// By policy.
    lines: [Lines; 4],
    since: Option<Instant>,
    /// Since when a batch is being written.
    writing: Option<Instant>,
    /// Nothing is being written, and nothing is on disk.
    idle: bool,
}

impl Derived {
    pub fn new(metrics: Arc<Metrics>) -> Arc<Derived> {
        Arc::new(Derived {
            waiting: Mutex::default(),
            metrics,
            closed: AtomicBool::new(false),
            hurry: AtomicBool::new(false),
        })
    }

    /// Adds the line that `write` makes, of this instrument or whatever it is counted by; a false
    /// answer of `write` says that there is none.
    pub fn push(&self, policy: Policy, owner: &Arc<str>, write: impl FnOnce(&mut Vec<u8>) -> bool) {
        let mut waiting = self.waiting();
        let lines = &mut waiting.lines[policy as usize];
        lines.policy = policy;
        if lines.push_if(owner, write) {
            waiting.since.get_or_insert_with(Instant::now);
            self.metrics.influx_derived.offered.add(1);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether all that was given is in the store; what is not is hurried.
    pub fn is_settled(&self) -> bool {
        let waiting = self.waiting();
        let settled = waiting.idle && waiting.len() == 0;
        self.hurry.store(!settled, Relaxed);
        settled
    }

    /// How long what is in memory has been there.
    pub fn behind(&self) -> Duration {
        let waiting = self.waiting();
        let since = [waiting.since, waiting.writing].into_iter().flatten().min();
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    #[cfg(test)]
    pub fn take_for_test(&self) -> Vec<Lines> {
        let mut waiting = self.waiting();
        std::iter::from_fn(|| waiting.take()).collect()
    }

    pub fn close(&self) {
        self.closed.store(true, Relaxed);
    }
}

impl Waiting {
    fn len(&self) -> usize {
        self.lines.iter().map(Lines::len).sum()
    }

    /// All that waits for the first policy that something waits for.
    fn take(&mut self) -> Option<Lines> {
        let lines = self.lines.iter_mut().find(|lines| !lines.is_empty())?;
        let taken = std::mem::take(lines);
        if self.len() == 0 {
            self.since = None;
        }
        Some(taken)
    }
}

/// Takes what waits in [`Derived`] to the store.
pub struct Outbound<'a> {
    derived: &'a Derived,
    disk: Disk<'a>,
    batch: usize,
    flush: Duration,
}

impl<'a> Outbound<'a> {
    pub fn new(derived: &'a Derived, disk: Disk<'a>, config: &InfluxConfig) -> Outbound<'a> {
        Outbound {
            derived,
            disk,
            batch: config.batch,
            flush: config.flush,
        }
    }

    /// What is still in memory goes to the disk.
    pub async fn finish(mut self, batch: Batch) {
        let derived = self.derived;
        self.disk.finish(batch, || derived.waiting().take()).await;
    }
}

impl<'a> Supply<'a> for Outbound<'a> {
    fn disk(&mut self) -> &mut Disk<'a> {
        &mut self.disk
    }

    fn counts(&self) -> &'a TickMetrics {
        self.disk.counts
    }

    /// What waits too long behind a batch that does not get through goes to disk.
    fn drain(&mut self) {
        let mut waiting = self.derived.waiting();
        let stuck = waiting.writing.is_some_and(|w| w.elapsed() > PATIENCE);
        let old = waiting.since.is_some_and(|s| s.elapsed() > PATIENCE);
        while waiting.writing.is_some()
            && (stuck && old || waiting.len() > 4 * self.batch)
            && self.disk.takes() != Some(false)
            && let Some(lines) = waiting.take()
        {
            self.disk.spill_or_drop(lines);
        }
        let in_memory = waiting.len();
        waiting.idle = waiting.writing.is_none() && self.disk.is_empty();
        drop(waiting);
        self.disk.publish(in_memory);
    }

    fn is_closed(&self) -> bool {
        self.derived.closed.load(Relaxed)
    }

    fn is_empty(&self) -> bool {
        self.derived.waiting().len() == 0 && self.disk.is_empty()
    }

    fn due(&self, hurry: bool) -> bool {
        let waiting = self.derived.waiting();
        let hurry = hurry || self.derived.hurry.load(Relaxed);
        let waited = |since: Instant| hurry || since.elapsed() >= self.flush;
        waiting.len() >= self.batch || waiting.since.is_some_and(waited)
    }

    fn take_batch(&mut self) -> Batch {
        let lines = self.derived.waiting().take().unwrap_or_default();
        self.disk.under_way.own.set(lines.len() as u64);
        Batch::new(lines, Source::Memory)
    }

    async fn begun(&mut self) {
        let mut waiting = self.derived.waiting();
        waiting.writing = Some(Instant::now());
        waiting.idle = false;
    }

    fn ended(&mut self) {
        self.derived.waiting().writing = None;
    }
}
