//! Trades and quotes to InfluxDB, into its policy `realtime`.
//!
//! Points of one series with equal times overwrite each other, so a point's time is the event's
//! plus an offset below the stamp's resolution that comes from its id: trades within a millisecond
//! stay apart, and writing a batch again changes nothing. While a write is under way, or the store
//! is away, ticks are still taken from the ring into a bounded queue; what it does not hold goes to
//! the `spool` on disk, and what that does not hold is lost. What is stored, refused, too old or
//! lost is counted to the unit. Runs on the publishers' runtime; never holds back the engine.

mod batch;
mod line;
mod lines;
mod points;
mod queue;
mod server;
mod spool;

use crate::config::InfluxConfig;
use crate::market::{Registry, Tick};
use crate::metrics::ledger::{Begun, Effect, Ledger, Settler};
use crate::metrics::{Counter, Metrics, TickMetrics};
use crate::publishers::intake::{self, Stop};
use crate::publishers::ledger;
use crate::ring::Consumer;
use batch::{Batch, Source};
use queue::Queue;
use server::{Answer, Server};
use spool::Spool;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Refused lines of one batch that are logged with their text.
const LOGGED_LINES: u32 = 3;
/// Between two lines about points that are lost.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// Where ticks wait that memory does not hold, below the data folder.
pub fn spool_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("spool").join("influx")
}

/// Counts what the run before took with it when it was killed, and opens this run's ledger; before
/// [`run`], whose spool clears up what is damaged.
pub fn renew_ledger(counts: &mut TickMetrics, data_dir: &Path) {
    let spool = spool_dir(data_dir);
    ledger::renew(counts, data_dir, "influx", &|effect| match effect {
        Effect::Frame(id) => spool::says_what_it_holds(&spool, id),
        Effect::Sent | Effect::Segment { .. } => false,
    });
}

/// Takes ticks until their producer is gone and everything is stored, or until the deadline: then
/// what is left goes to the spool. An error means that it never began: the configuration names a
/// version that this build cannot speak.
pub async fn run(
    consumer: Consumer<Tick>,
    config: InfluxConfig,
    spool: PathBuf,
    registry: Arc<Registry>,
    metrics: Arc<Metrics>,
    stop: Stop,
) -> Result<(), String> {
    let server = Server::new(&config)?;
    let counts = &metrics.influx;
    let spool = match config.spool_max_bytes {
        0 => None,
        bytes => Spool::start(spool, bytes, Arc::clone(&metrics))
            .inspect_err(|e| tracing::error!("influx: no spool: {e}; ticks wait in memory alone"))
            .ok(),
    };
    let under_way = UnderWay::default();
    let mut queue = Queue::new(consumer, config, registry, spool, counts, &under_way);
    let mut batch = Batch::default();
    tokio::select! {
        () = pump(&mut queue, &mut batch, &server, stop.clone()) => {}
        () = intake::deadline(stop) => {
            queue.drain();
            if let left @ 1.. = batch.unresolved() + queue.points() {
                tracing::warn!(left, "{}: points not stored before the stop", server.place);
            }
        }
    }
    queue.finish(batch).await;
    counts.ledger.close();
    Ok(())
}

/// Points of the batch that is being written: of this run, or of an earlier one.
#[derive(Default)]
struct UnderWay {
    own: Counter,
    backlog: Counter,
}

/// Whether this configuration can be used at all: a plain error at start rather than a silent
/// store.
pub fn accept(config: &InfluxConfig) -> Result<(), String> {
    Server::new(config).map(drop)
}

/// Whether the store answers and lets us in: its version and answer time, or what is wrong.
pub async fn probe(config: InfluxConfig) -> Result<String, String> {
    let server = Server::new(&config)?;
    let asked = Instant::now();
    let version = server.version().await?;
    let answered = asked.elapsed();
    server.log_in().await?;
    Ok(format!("{version}, answers in {answered:.1?}"))
}

/// A batch from memory and one from disk by turns: after an outage new ticks are stored at once,
/// and the old ones behind them.
async fn pump(queue: &mut Queue<'_>, batch: &mut Batch, server: &Server, stop: Stop) {
    let (counts, under_way) = (queue.counts, queue.under_way);
    intake::alongside(set_up(server, counts), || queue.drain()).await;
    let mut disk_next = true;
    loop {
        queue.drain();
        let closed = queue.is_closed();
        if closed && queue.is_empty() {
            return;
        }
        let hurry = closed || stop.borrow().is_some();
        let due = queue.due(hurry);
        if queue.has_frames() && (disk_next || !due) {
            disk_next = false;
            let Some(taken) = queue.take_frame().await else {
                continue;
            };
            *batch = taken;
        } else if due {
            disk_next = true;
            *batch = queue.take_batch();
        } else {
            tokio::time::sleep(intake::POLL).await;
            continue;
        }
        let work = deliver(batch, server, counts, under_way);
        intake::alongside(work, || queue.drain()).await;
        queue.delivered(batch);
    }
}

async fn set_up(server: &Server, counts: &TickMetrics) {
    let mut failures = 0;
    while let Err(reason) = server.set_up().await {
        failures += 1;
        counts.retries.add(1);
        if failures == 1 {
            tracing::warn!("{reason} (will try again)");
        }
        tokio::time::sleep(intake::backoff(failures)).await;
    }
    if failures > 0 {
        tracing::info!("{}: ready after {failures} failed attempts", server.place);
    }
}

/// Where the fate of a batch's points is counted.
struct Tallies<'a> {
    stored: &'a Counter,
    expired: &'a Counter,
    dropped: &'a Counter,
    under_way: &'a Counter,
}

impl<'a> Tallies<'a> {
    fn of(source: Source, counts: &'a TickMetrics, under_way: &'a UnderWay) -> Tallies<'a> {
        if source == (Source::Spool { backlog: true }) {
            return Tallies {
                stored: &counts.backlog.stored,
                expired: &counts.backlog.expired,
                dropped: &counts.backlog.dropped,
                under_way: &under_way.backlog,
            };
        }
        Tallies {
            stored: &counts.stored,
            expired: &counts.expired,
            dropped: &counts.dropped,
            under_way: &under_way.own,
        }
    }
}

/// What comes from the disk was settled as it went there.
fn begin<'a>(batch: &Batch, range: &Range<usize>, ledger: &'a Ledger) -> Option<Begun<'a>> {
    let shares = || ledger.shares(&batch.lines.tally_of(range));
    let begin = || ledger.begin(Settler::Publisher, shares(), Effect::Sent);
    (batch.source == Source::Memory).then(begin)
}

/// Writes the batch until each of its lines is stored, too old, or refused for good.
async fn deliver(batch: &mut Batch, server: &Server, counts: &TickMetrics, under_way: &UnderWay) {
    let tallies = Tallies::of(batch.source, counts, under_way);
    let mut settlement = None;
    let (mut failures, mut refused) = (0, 0u32);
    while let Some(range) = batch.next() {
        let n = range.len();
        let (unresolved, mut wait) = (batch.unresolved(), None);
        settlement = settlement.or_else(|| begin(batch, &range, &counts.ledger));
        match server.write(batch.lines.text(&range).to_vec()).await {
            Answer::Stored { expired } => {
                let expired = expired.min(n);
                tallies.expired.add(expired as u64);
                tallies.stored.add((n - expired) as u64);
                batch.resolved();
            }
            Answer::Refused(_) | Answer::TooLarge if n > 1 => batch.split(),
            answer @ (Answer::Refused(_) | Answer::TooLarge) => {
                refused += 1;
                if refused <= LOGGED_LINES {
                    let line = String::from_utf8_lossy(batch.lines.text(&range));
                    let line = line.trim_end();
                    tracing::error!(line, ?answer, "{}: point refused, dropped", server.place);
                }
                tallies.dropped.add(1);
                counts.lost.add(batch.lines.owner(range.start), 1);
                batch.resolved();
            }
            Answer::Missing(reason) => {
                if failures == 0 {
                    tracing::warn!("{reason}; creating it");
                }
                let made = server.set_up().await;
                wait = Some((made.err().unwrap_or(reason), None));
            }
            Answer::Retry { reason, after } => wait = Some((reason, after)),
        }
        tallies.under_way.set(batch.unresolved() as u64);
        // Unanswered, it may have been taken all the same: that stays open until the next answer.
        if let Some(answered) = settlement.take_if(|_| wait.is_none())
            && batch.unresolved() < unresolved
        {
            answered.complete();
        }
        if let Some((reason, after)) = wait {
            failures += 1;
            counts.retries.add(1);
            if failures == 1 {
                tracing::warn!("{reason} (will try again)");
            }
            let pause = intake::backoff(failures);
            tokio::time::sleep(after.map_or(pause, |after| after.max(pause))).await;
        } else if failures > 0 {
            tracing::info!(
                "{}: answers again after {failures} failed attempts",
                server.place
            );
            failures = 0;
        }
    }
    if refused > LOGGED_LINES {
        tracing::error!(
            refused,
            "{}: points of one batch refused, dropped",
            server.place
        );
    }
}

#[cfg(test)]
pub mod tests;
