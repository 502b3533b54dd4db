//! How does a signal get from the engine into the journal? The journal thread drains the engine's
//! ring in batches, one write for each, and tells the stores the new end. The only writer of the
//! journal; it waits for no store and, except with `before_publish`, for no disk.

use super::syncer::Syncer;
use super::unfinished::Unfinished;
use super::writer::{AppendError, Journal};
use crate::clock::Clock;
use crate::config::JournalSync;
use crate::market::Registry;
use crate::metrics::Metrics;
use crate::outcome::Decision;
use crate::outcome::record::OutcomeRecord;
use crate::ring::Consumer;
use crate::signal::descriptions::Descriptions;
use crate::signal::record::SignalRecord;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use uuid::Uuid;

/// Signals written at once.
const BATCH: usize = 256;
/// How long the thread sleeps when nothing wakes it.
const PARK: Duration = Duration::from_millis(250);
/// Between two lines about refused signals.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// What the journal thread works with.
pub struct JournalContext {
    /// The daemon's configured name.
    pub producer: String,
    /// What signals were made with.
    pub descriptions: Arc<Descriptions>,
    pub registry: Arc<Registry>,
    pub metrics: Arc<Metrics>,
    pub clock: Clock,
    pub sync: JournalSync,
    /// The last number that stores may read. Begin it with `Opened::last_seq`; it closes when the
    /// thread ends, which tells the stores that nothing more will come.
    pub published: watch::Sender<u64>,
    /// What each store has taken: `FollowContext::taken` of each. Empty without stores.
    pub taken: Vec<Arc<AtomicU64>>,
    /// Signals that [`super::unfinished`] found at start: id, and number in the journal.
    pub unfinished: Vec<(Uuid, u64)>,
}

/// Runs until the engine's end of the ring is gone and all is written, or the deadline in `stop` is
/// over. Sleeps while the ring is empty: the engine wakes it after pushing.
pub fn run(
    mut consumer: Consumer<Decision>,
    journal: Journal,
    context: JournalContext,
    stop: watch::Receiver<Option<Instant>>,
) {
    let syncer = match context.sync {
        JournalSync::BeforePublish => None,
        JournalSync::Every(within) => Syncer::start(within)
            .inspect_err(
                |error| tracing::error!(%error, "no sync thread: syncing before publishing"),
            )
            .ok(),
    };
    let unfinished = Unfinished::new(&journal, &context.unfinished);
    let mut writer = Writer {
        journal,
        context,
        syncer,
        payload: Vec::new(),
        decided_ns: Vec::with_capacity(BATCH),
        outcomes: 0,
        unfinished,
        complained: None,
        refused: 0,
    };
    let metrics = &writer.context.metrics.journal;
    metrics.torn_bytes.set(writer.journal.torn_bytes());
    metrics.bytes.set(writer.journal.bytes());
    metrics.kept.set(writer.journal.kept());
    loop {
        writer.context.metrics.passes.journal.add(1);
        if writer.batch(&mut consumer) > 0 {
            continue;
        }
        if consumer.is_closed() {
            break;
        }
        if stop
            .borrow()
            .is_some_and(|deadline| Instant::now() >= deadline)
        {
            tracing::warn!(
                left = consumer.len(),
                "the deadline is over: signals were not journalled"
            );
            break;
        }
        consumer.park(PARK);
    }
    writer.finish();
}

struct Writer {
    journal: Journal,
    context: JournalContext,
    /// `None`: each batch is synced before it is published.
    syncer: Option<Syncer>,
    payload: Vec<u8>,
    /// Of the batch's signals, when each left the engine.
    decided_ns: Vec<i64>,
    /// The batch's outcomes.
    outcomes: u64,
    unfinished: Unfinished,
    complained: Option<Instant>,
    /// Since the last line about it.
    refused: u64,
}

impl Writer {
    /// Writes and publishes what the ring holds, at most a batch; returns how many were taken out.
    fn batch(&mut self, consumer: &mut Consumer<Decision>) -> usize {
        self.decided_ns.clear();
        self.outcomes = 0;
        let mut taken_out = 0;
        while taken_out < BATCH
            && let Some(decision) = consumer.pop()
        {
            if taken_out == 0 {
                self.release();
            }
            taken_out += 1;
            match self.append(&decision) {
                Ok(()) => match &decision {
                    Decision::Signal(signal) => self.decided_ns.push(signal.timing.decided_ns),
                    Decision::Outcome(_) => self.outcomes += 1,
                },
                Err(error) => self.refuse(1, &error),
            }
        }
        if !self.decided_ns.is_empty() || self.outcomes > 0 {
            self.publish();
        }
        taken_out
    }

    fn append(&mut self, decision: &Decision) -> Result<(), AppendError> {
        self.payload.clear();
        let context = &self.context;
        let written = match decision {
            Decision::Signal(signal) => {
                let described = context.descriptions.get(signal.setting);
                let instrument = context.registry.get(signal.instrument);
                let (producer, sent_ns) = (&context.producer, context.clock.now_ns());
                let record = SignalRecord::new(signal, &described, &instrument, producer, sent_ns);
                serde_json::to_writer(&mut self.payload, &record)
            }
            Decision::Outcome(outcome) => {
                let instrument = context.registry.get(outcome.instrument);
                let record = OutcomeRecord::new(outcome, &instrument, &context.producer);
                serde_json::to_writer(&mut self.payload, &record)
            }
        };
        written.expect("a record has text keys only and memory takes every write");
        let seq = self.journal.append(&self.payload)?;
        match decision {
            Decision::Signal(signal) => self.unfinished.opened(signal.id, seq),
            Decision::Outcome(outcome) => self.unfinished.ended(outcome.open.signal_id),
        }
        Ok(())
    }

    fn publish(&mut self) {
        let metrics = Arc::clone(&self.context.metrics);
        let count = self.decided_ns.len() as u64 + self.outcomes;
        match self.journal.commit(self.syncer.is_none()) {
            Ok(end) => {
                self.context.published.send_replace(end);
                let now_ns = self.context.clock.now_ns();
                for decided_ns in &self.decided_ns {
                    metrics.journal.signal_to_sent.record(now_ns - decided_ns);
                }
                metrics.journal.appended.add(self.decided_ns.len() as u64);
                metrics.journal.outcomes.add(self.outcomes);
                self.unfinished.save(end);
                if let Some(syncer) = &self.syncer {
                    syncer.written(self.journal.file());
                }
                self.recovered();
            }
            Err(error) => self.refuse(count, &error),
        }
        metrics.journal.bytes.set(self.journal.bytes());
        metrics.journal.kept.set(self.journal.kept());
    }

    fn release(&mut self) {
        let taken = self
            .context
            .taken
            .iter()
            .map(|t| t.load(Ordering::Relaxed))
            .min();
        self.journal
            .release(taken.unwrap_or_else(|| self.journal.last_seq()));
    }

    fn refuse(&mut self, count: u64, error: &AppendError) {
        self.context.metrics.journal.refused.add(count);
        self.refused += count;
        if self
            .complained
            .is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY)
        {
            tracing::error!(refused = self.refused, "signals refused: {error}");
            self.complained = Some(Instant::now());
            self.refused = 0;
        }
    }

    fn recovered(&mut self) {
        if self
            .complained
            .is_some_and(|at| at.elapsed() >= COMPLAIN_EVERY)
        {
            tracing::info!(
                refused = self.refused,
                "the journal has been taking signals again"
            );
            self.complained = None;
            self.refused = 0;
        }
    }

    fn finish(mut self) {
        self.unfinished.finish(self.journal.last_seq());
        drop(self.syncer);
        if let Err(error) = self.journal.sync() {
            tracing::error!(%error, "the journal could not be synced at the end");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::reader::Reader;
    use super::super::sample;
    use super::*;
    use crate::config::JournalConfig;
    use crate::ring::ring;
    use std::path::Path;

    /// Sends `count` signals through a journal thread and returns its metrics and the published
    /// end.
    fn through(dir: &Path, sync: JournalSync, max_bytes: u64, count: u64) -> (Arc<Metrics>, u64) {
        let config = JournalConfig {
            sync,
            max_bytes,
            segment_bytes: 4096,
        };
        let (journal, opened) = Journal::open(dir, &config).expect("opens");
        let (published, end) = watch::channel(opened.last_seq);
        let metrics = Arc::new(Metrics::default());
        let context = JournalContext {
            producer: "host1".to_owned(),
            descriptions: sample::descriptions(),
            registry: sample::registry(),
            metrics: Arc::clone(&metrics),
            clock: Clock::system(),
            sync,
            published,
            taken: vec![Arc::default()],
            unfinished: Vec::new(),
        };
        let (mut producer, consumer) = ring(1024);
        let (_stop, stopping) = watch::channel(None);
        let thread = std::thread::spawn(move || run(consumer, journal, context, stopping));
        for n in 1..=count {
            let mut signal = sample::signal(n);
            signal.timing.decided_ns = crate::clock::now_ns();
            let pushed = producer.push(Decision::Signal(signal));
            assert!(pushed.is_ok(), "the ring is large enough");
        }
        drop(producer);
        thread.join().expect("the thread ends by itself");
        assert!(end.has_changed().is_err(), "closed");
        let end = *end.borrow();
        (metrics, end)
    }

    #[test]
    fn every_signal_is_journalled_in_order_and_published() {
        for sync in [
            JournalSync::Every(Duration::from_millis(1)),
            JournalSync::BeforePublish,
        ] {
            let dir = tempfile::tempdir().expect("a folder");
            let (metrics, end) = through(dir.path(), sync, 64 << 20, 1000);
            assert_eq!((end, metrics.journal.appended.get()), (1000, 1000));
            assert_eq!(metrics.journal.signal_to_sent.count(), 1000);
            let mut reader = Reader::open(dir.path(), 1);
            for n in 1..=1000 {
                let record = reader.next(end).expect("reads").expect("a record");
                let signal: SignalRecord = serde_json::from_slice(record.payload).expect("JSON");
                assert_eq!((record.seq, signal.signal_id), (n, sample::signal(n).id));
            }
            assert_eq!(
                through(dir.path(), sync, 64 << 20, 5).1,
                1005,
                "goes on after a restart"
            );
        }
    }

    #[test]
    fn a_full_journal_refuses_and_counts() {
        let dir = tempfile::tempdir().expect("a folder");
        let sync = JournalSync::Every(Duration::from_millis(1));
        let (metrics, end) = through(dir.path(), sync, 20_000, 100);
        assert!(end > 5 && end < 100, "{end}");
        assert_eq!(metrics.journal.appended.get(), end);
        assert_eq!(metrics.journal.refused.get(), 100 - end);
        assert_eq!(
            metrics.journal.kept.get(),
            end,
            "nothing was taken, so all are kept"
        );
        assert!(metrics.journal.bytes.get() <= 20_000);
    }
}
