//! How does every store get every signal? [`follow`] reads the journal from the store's own cursor
//! and drives its [`SignalSink`]: batches, time limits, retries, quarantine, rewinds, and the
//! position that lets the journal delete. One task for each store on the publishers' runtime; none
//! waits for another.
//!
//! At least once, in order: the cursor moves when the store has said yes. What it says yes to twice
//! (a timed-out call, a restart, a rewind) its sink makes harmless by the signals' ids.

use crate::metrics::{Metrics, SignalMetrics};
use crate::outcome::record::OutcomeRecord;
use crate::publishers::intake;
use crate::publishers::journal::{Cursor, Disk, Reader};
use crate::publishers::{Concluded, Entry, SignalSink, SinkError};
use crate::signal::record::SignalRecord;
use std::future::Future;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;

const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
const IDLE_EVERY: Duration = Duration::from_secs(1);
/// Outcomes in a row behind which a store's newest signal is looked for at start.
const BACK: u64 = 10_000;
/// Between two lines about a store that stays away.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// What a store's task works with.
pub struct FollowContext {
    /// Where the cursor is written.
    pub disk: Arc<dyn Disk>,
    /// The journal's folder, already opened by the writer (which puts the cursors in order).
    pub journal: PathBuf,
    /// Where refused signals go: `NAME.jsonl` in it.
    pub quarantine: PathBuf,
    /// The journal's end. It closes when nothing more will come.
    pub published: watch::Receiver<u64>,
    pub metrics: Arc<Metrics>,
    /// Which of the metrics are this store's.
    pub of: fn(&Metrics) -> &SignalMetrics,
    /// Signals in one call.
    pub batch: usize,
    /// A call that takes longer, of [`SignalSink::open`] apart, is dropped in the middle and tried
    /// again, so the sink must not rely on a call being polled to its end.
    pub timeout: Duration,
    /// What this store has taken, for the journal. Begin it with 0.
    pub taken: Arc<AtomicU64>,
}

/// Delivers until the journal has closed and all is delivered, or the deadline in `stop` is over;
/// what is left then is delivered at the next start. Returns how many were left.
pub async fn follow<S: SignalSink>(
    sink: S,
    context: FollowContext,
    mut stop: watch::Receiver<Option<Instant>>,
) -> u64 {
    let mut follower = Follower::new(sink, context);
    loop {
        let deadline = *stop.borrow_and_update();
        if deadline.is_some_and(|d| Instant::now() >= d) || follower.finished() {
            break;
        }
        let outcome = tokio::select! {
            outcome = follower.step() => outcome,
            () = intake::deadline(stop.clone()) => break,
        };
        let wait = follower.settle(outcome);
        if let Some(wait) = wait {
            follower.rest(wait, deadline, &mut stop).await;
        }
    }
    follower.finish()
}

/// What one step came to.
enum Outcome {
    /// Nothing to do until something is published or the next keep-alive is due.
    Caught,
    /// The store took the pending signals.
    Delivered,
    /// The store took the outcomes.
    Concluded,
    /// The store answered its keep-alive.
    Alive,
    Failed(SinkError),
}

/// How long to rest before the next step.
enum Wait {
    /// Until then, or until something is published.
    Published(Duration),
    /// After a failure: publishing does not end it.
    Backoff(Duration),
}

struct Follower<S> {
    sink: S,
    name: &'static str,
    context: FollowContext,
    reader: Reader,
    cursor: Cursor,
    pending: Vec<Entry>,
    /// Outcomes read with them, for when those are delivered: none comes before its signal.
    ended: Vec<Concluded>,
    /// The last number that was read out of the journal into these two.
    read_seq: u64,
    /// What the reader has already reported as lost.
    reported: u64,
    next_idle: Instant,
    trouble: Option<Trouble>,
    backoff: Duration,
    /// The store is behind, and the cursor is still to be set back to here.
    behind: Option<u64>,
    /// A rewind was made and nothing has been delivered since.
    rewound: bool,
}

/// A store that does not answer.
struct Trouble {
    since: Instant,
    complained: Instant,
}

impl<S: SignalSink> Follower<S> {
    fn new(mut sink: S, context: FollowContext) -> Self {
        let name = sink.name();
        let cursor = Cursor::open(Arc::clone(&context.disk), &context.journal, name);
        let seq = cursor.seq();
        context.taken.store(seq, Ordering::Relaxed);
        if let Some(last) = entry(&context.journal, seq) {
            sink.resume(seq, &last);
        }
        Follower {
            sink,
            name,
            reader: Reader::open(&context.journal, seq + 1),
            cursor,
            context,
            pending: Vec::new(),
            ended: Vec::new(),
            read_seq: seq,
            reported: 0,
            next_idle: Instant::now(),
            trouble: None,
            backoff: BACKOFF_MIN,
            behind: None,
            rewound: false,
        }
    }

    fn metrics(&self) -> &SignalMetrics {
        (self.context.of)(&self.context.metrics)
    }

    fn end(&self) -> u64 {
        *self.context.published.borrow()
    }

    fn lag(&self) -> u64 {
        self.end().saturating_sub(self.cursor.seq())
    }

    /// Nothing more will come and all that came is delivered.
    fn finished(&self) -> bool {
        self.context.published.has_changed().is_err() && self.idle() && self.lag() == 0
    }

    /// Nothing is read that waits to be taken.
    fn idle(&self) -> bool {
        self.pending.is_empty() && self.ended.is_empty()
    }

    async fn step(&mut self) -> Outcome {
        if let Some(has) = self.behind
            && let Err(e) = self.rewind(has)
        {
            let place = self.context.journal.display();
            let text = format!("cursor in {place}: {e}; are the disk and its permissions right?");
            return Outcome::Failed(SinkError::Retry(text));
        }
        if let Err(e) = self.fill() {
            let place = self.context.journal.display();
            let text = format!("journal at {place}: {e}; are the disk and its permissions right?");
            return Outcome::Failed(SinkError::Retry(text));
        }
        if let Err(error) = self.sink.open().await {
            return Outcome::Failed(error);
        }
        let idle = Instant::now() >= self.next_idle;
        let limit = self.context.timeout;
        if idle && (self.idle() || self.trouble.is_none()) {
            self.next_idle = Instant::now() + IDLE_EVERY;
            return match within(limit, self.sink.idle()).await {
                Ok(()) => Outcome::Alive,
                Err(SinkError::Refused { reason, .. }) => Outcome::Failed(SinkError::Retry(reason)),
                Err(error) => Outcome::Failed(error),
            };
        }
        if self.idle() {
            return Outcome::Caught;
        }
        let (taken, done) = if self.pending.is_empty() {
            let taken = within(limit, self.sink.conclude(&self.ended)).await;
            (taken, Outcome::Concluded)
        } else {
            let taken = within(limit, self.sink.deliver(&self.pending)).await;
            (taken, Outcome::Delivered)
        };
        taken.map_or_else(Outcome::Failed, |()| done)
    }

    /// Reads until a batch is pending or the journal's end is reached. The journal is read here, on
    /// the runtime's thread: it was written moments ago and stands in memory.
    fn fill(&mut self) -> io::Result<()> {
        if self.pending.is_empty() && !self.ended.is_empty() {
            return Ok(());
        }
        let end = self.end();
        while self.pending.len() + self.ended.len() < self.context.batch.max(1) {
            let Some(record) = self.reader.next(end)? else {
                break;
            };
            let seq = record.seq;
            let read = if OutcomeRecord::is(record.payload) {
                serde_json::from_slice(record.payload).map(|record: OutcomeRecord| {
                    // What is on trial is nobody's but the journal's.
                    if !record.shadow {
                        self.ended.push(Concluded { seq, record });
                    }
                })
            } else {
                serde_json::from_slice(record.payload).map(|record: SignalRecord| {
                    if !record.shadow {
                        self.pending.push(Entry { seq, record });
                    }
                })
            };
            if let Err(e) = read {
                let text = String::from_utf8_lossy(record.payload).into_owned();
                let reason = format!("no signal of this version: {e}");
                if let Err(e) = self.quarantine(seq, &reason, text.into()) {
                    self.reader = Reader::open(&self.context.journal, seq);
                    return Err(e);
                }
            }
            self.read_seq = seq;
        }
        let lost = self.reader.skipped() + self.reader.damaged();
        if lost > self.reported {
            tracing::warn!(
                store = self.name,
                deleted = self.reader.skipped(),
                damaged = self.reader.damaged(),
                before = self.reader.next_seq(),
                "signals that the journal no longer has were passed over"
            );
            self.reported = lost;
        }
        if self.idle() {
            self.advance(self.read_seq.max(self.reader.next_seq() - 1));
        }
        Ok(())
    }

    /// Draws the consequences of a step.
    fn settle(&mut self, outcome: Outcome) -> Option<Wait> {
        match outcome {
            Outcome::Caught => {
                self.save();
                return Some(Wait::Published(
                    self.next_idle.saturating_duration_since(Instant::now()),
                ));
            }
            Outcome::Delivered => {
                self.metrics().delivered.add(self.pending.len() as u64);
                self.pending.clear();
                self.taken();
            }
            Outcome::Concluded => {
                self.metrics().concluded.add(self.ended.len() as u64);
                self.ended.clear();
                self.taken();
            }
            Outcome::Alive => {
                self.rewound = false;
                self.metrics().lag.set(self.lag());
                self.answered();
            }
            Outcome::Failed(SinkError::Refused { index, reason })
                if index < self.pending.len().max(self.ended.len()) =>
            {
                return self.refused(index, &reason);
            }
            Outcome::Failed(SinkError::Behind { has }) if !self.rewound => self.behind = Some(has),
            Outcome::Failed(error) => return Some(self.failed(&error.to_string())),
        }
        None
    }

    /// The store has taken the signals or the outcomes; the cursor moves when it has both.
    fn taken(&mut self) {
        self.rewound = false;
        if self.idle() {
            self.advance(self.read_seq);
            self.save();
        }
        self.answered();
    }

    /// Puts aside what the store will never take: an outcome where no signal is pending.
    fn refused(&mut self, index: usize, reason: &str) -> Option<Wait> {
        let json = |record: serde_json::Result<serde_json::Value>| record.unwrap_or_default();
        let (seq, record) = match (self.pending.get(index), self.ended.get(index)) {
            (Some(entry), _) => (entry.seq, json(serde_json::to_value(&entry.record))),
            (None, Some(ended)) if self.pending.is_empty() => {
                (ended.seq, json(serde_json::to_value(&ended.record)))
            }
            _ => return Some(self.failed(reason)),
        };
        if let Err(e) = self.quarantine(seq, reason, record) {
            return Some(self.failed(&format!("{reason}; and quarantining it failed: {e}")));
        }
        if self.pending.is_empty() {
            self.ended.remove(index);
        } else {
            self.pending.remove(index);
        }
        self.answered();
        if self.idle() {
            self.advance(self.read_seq);
        }
        None
    }

    fn advance(&mut self, seq: u64) {
        self.cursor.set(seq);
        self.context.taken.store(seq, Ordering::Relaxed);
        self.metrics().lag.set(self.lag());
    }

    fn save(&mut self) {
        if let Err(error) = self.cursor.save_if_due() {
            // Being behind is harmless; the next write is tried in its turn.
            tracing::debug!(store = self.name, %error, "the cursor was not written");
        }
    }

    /// The store has lost what came after `has`: begin again there, or with the oldest signal that
    /// is kept. On the disk first: what the store gets from here on hides that it was behind, so a
    /// restart could not find out again.
    fn rewind(&mut self, has: u64) -> io::Result<()> {
        if has >= self.cursor.seq() {
            // A store at its beginning: nothing that it took is gone.
            (self.behind, self.rewound) = (None, true);
            return Ok(());
        }
        self.cursor.set_back(has)?;
        tracing::warn!(
            store = self.name,
            has,
            "the store has lost signals that it had taken: delivering again from there"
        );
        self.metrics().rewinds.add(1);
        self.behind = None;
        self.rewound = true;
        self.pending.clear();
        self.ended.clear();
        self.reader = Reader::open(&self.context.journal, has + 1);
        (self.read_seq, self.reported) = (has, 0);
        self.advance(has);
        Ok(())
    }

    fn answered(&mut self) {
        self.metrics().up.set(1);
        self.backoff = BACKOFF_MIN;
        if let Some(trouble) = self.trouble.take() {
            tracing::info!(
                store = self.name,
                away_s = trouble.since.elapsed().as_secs_f32(),
                waiting = self.lag(),
                "the store answers again"
            );
        }
    }

    fn failed(&mut self, reason: &str) -> Wait {
        self.metrics().up.set(0);
        self.metrics().retries.add(1);
        self.metrics().lag.set(self.lag());
        let now = Instant::now();
        let due = self
            .trouble
            .as_ref()
            .is_none_or(|t| now - t.complained >= COMPLAIN_EVERY);
        let since = self.trouble.as_ref().map_or(now, |t| t.since);
        let complained = match &self.trouble {
            Some(trouble) if !due => trouble.complained,
            _ => {
                tracing::warn!(
                    store = self.name,
                    waiting = self.lag(),
                    "{reason}; trying again"
                );
                now
            }
        };
        self.trouble = Some(Trouble { since, complained });
        let wait = self.backoff.mul_f64(rand::random_range(0.5..=1.0));
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        Wait::Backoff(wait)
    }

    fn quarantine(&self, seq: u64, reason: &str, signal: serde_json::Value) -> io::Result<()> {
        let path = self.context.quarantine.join(format!("{}.jsonl", self.name));
        append_line(
            &path,
            &serde_json::json!({"journal_seq": seq, "reason": reason, "signal": signal}),
        )?;
        self.metrics().refused.add(1);
        tracing::warn!(store = self.name, seq, file = %path.display(), "signal refused: {reason}");
        Ok(())
    }

    async fn rest(
        &mut self,
        wait: Wait,
        deadline: Option<Instant>,
        stop: &mut watch::Receiver<Option<Instant>>,
    ) {
        let (for_published, duration) = match wait {
            Wait::Published(duration) => (true, duration),
            Wait::Backoff(duration) => (false, duration),
        };
        let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
        let sleep = tokio::time::sleep(left.map_or(duration, |left| left.min(duration)));
        tokio::select! {
            () = sleep => {}
            // A closed channel of either kind is left to the sleep: it would be ready for ever.
            Ok(()) = self.context.published.changed(), if for_published => {}
            Ok(()) = stop.changed() => {}
        }
    }

    fn finish(mut self) -> u64 {
        let left = self.lag();
        self.metrics().lag.set(left);
        if left > 0 {
            tracing::warn!(
                store = self.name,
                left,
                "the store has not taken all signals; the rest is delivered at the next start"
            );
        }
        if let Err(error) = self.cursor.save() {
            tracing::warn!(store = self.name, %error, "the cursor was not written: some repeat");
        }
        left
    }
}

/// The newest signal up to number `seq` that stores know, where the journal still has it: a few
/// numbers back where outcomes stand in between.
fn entry(journal: &Path, seq: u64) -> Option<Entry> {
    let mut reader = Reader::open(journal, seq.saturating_sub(BACK));
    let mut newest = None;
    while let Ok(Some(record)) = reader.next(seq) {
        if !OutcomeRecord::is(record.payload)
            && let Ok(signal) = serde_json::from_slice::<SignalRecord>(record.payload)
            && !signal.shadow
        {
            let (seq, record) = (record.seq, signal);
            newest = Some(Entry { seq, record });
        }
    }
    newest
}

async fn within(
    limit: Duration,
    call: impl Future<Output = Result<(), SinkError>>,
) -> Result<(), SinkError> {
    tokio::time::timeout(limit, call).await.unwrap_or_else(|_| {
        Err(SinkError::Retry(format!(
            "no answer within {limit:?}; is it overloaded or cut off?"
        )))
    })
}

/// Appends one line, whole and synced: it is the only copy that anyone will look at.
fn append_line(path: &Path, line: &serde_json::Value) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)?;
    file.write_all(format!("{line}\n").as_bytes())?;
    file.sync_data()
}

#[cfg(test)]
mod tests;
