//! The loop that takes batches to the store: from memory and from disk by turns, each until all of
//! it is stored, too old, or refused for good. Runs on the publishers' runtime.

use super::batch::{Batch, Source};
use super::disk::Disk;
use super::server::{Answer, Server};
use super::{LOGGED_LINES, UnderWay};
use crate::metrics::ledger::{Begun, Effect, Ledger, Settler};
use crate::metrics::{Counter, TickMetrics};
use crate::publishers::intake::{self, Stop};
use std::ops::Range;
use std::time::Duration;

/// Where batches come from.
pub trait Supply<'a> {
    fn disk(&mut self) -> &mut Disk<'a>;
    fn counts(&self) -> &'a TickMetrics;
    /// Takes in what is new, and updates the books; called often.
    fn drain(&mut self);
    /// Whether nothing follows.
    fn is_closed(&self) -> bool;
    /// Whether nothing is left, in memory or on disk.
    fn is_empty(&self) -> bool;
    /// Whether enough has gathered, or waited long enough.
    fn due(&self, hurry: bool) -> bool;
    fn take_batch(&mut self) -> Batch;
    /// Before each write, and after it.
    fn begun(&mut self) -> impl Future<Output = ()>;
    fn ended(&mut self);
    /// Called often while a batch is written.
    fn meanwhile(&mut self) {
        self.drain();
    }
    /// Between two batches, when nothing is under way.
    fn between(&mut self, _server: &Server) -> impl Future<Output = ()> {
        std::future::ready(())
    }
}

/// A batch from memory and one from disk by turns: after an outage new points are stored at once,
/// and the old ones behind them.
pub async fn pump<'a, S: Supply<'a>>(
    supply: &mut S,
    batch: &mut Batch,
    server: &Server,
    stop: Stop,
) {
    let counts = supply.counts();
    let mut disk_next = true;
    loop {
        supply.drain();
        supply.between(server).await;
        let closed = supply.is_closed();
        if closed && supply.is_empty() {
            return;
        }
        let hurry = closed || stop.borrow().is_some();
        let due = supply.due(hurry);
        if supply.disk().has_frames() && (disk_next || !due) {
            disk_next = false;
            let Some(taken) = take_frame(supply).await else {
                continue;
            };
            *batch = taken;
        } else if due {
            disk_next = true;
            *batch = supply.take_batch();
        } else {
            tokio::time::sleep(intake::POLL).await;
            continue;
        }
        supply.begun().await;
        let under_way = supply.disk().under_way;
        let work = deliver(batch, server, counts, under_way);
        intake::alongside(work, || supply.meanwhile()).await;
        supply.disk().delivered(batch);
        supply.ended();
    }
}

/// The oldest frame on disk; `None` where there is none that can be read.
async fn take_frame<'a, S: Supply<'a>>(supply: &mut S) -> Option<Batch> {
    supply.disk().ask();
    loop {
        supply.drain();
        if let Some(answer) = supply.disk().taken() {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
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
        match server
            .write(batch.lines.policy, batch.lines.text(&range).to_vec())
            .await
        {
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
                let made = server.set_up(false).await;
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
