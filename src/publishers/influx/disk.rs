//! The half of a queue that is on disk: frames that memory did not hold go to the spool and come
//! back, and every point is in the books. Runs on the publishers' runtime, and never waits for the
//! disk.

use super::UnderWay;
use super::batch::{Batch, Source};
use super::lines::Lines;
use super::spool::{self, Spool};
use crate::metrics::TickMetrics;
use std::time::{Duration, Instant};

/// The disk may take this long for what is left at a stop.
const LAST_WRITES: Duration = Duration::from_secs(5);

pub struct Disk<'a> {
    spool: Option<Spool>,
    pub counts: &'a TickMetrics,
    /// Points of the batch that is being written.
    pub under_way: &'a UnderWay,
}

impl<'a> Disk<'a> {
    pub fn new(spool: Option<Spool>, counts: &'a TickMetrics, under_way: &'a UnderWay) -> Disk<'a> {
        Disk {
            spool,
            counts,
            under_way,
        }
    }

    /// Whether the disk keeps up; `None` where there is none.
    pub fn takes(&self) -> Option<bool> {
        self.spool.as_ref().map(Spool::takes)
    }

    /// Enters what the disk reports, and what waits beside `in_memory` points.
    pub fn publish(&mut self, in_memory: usize) {
        if let Some(spool) = &mut self.spool {
            spool.absorb(self.counts);
        }
        let (own, backlog) = self.waiting();
        let spooled = in_memory as u64 + self.under_way.own.get() + own;
        self.counts.spooled.set(spooled);
        let backlog = self.under_way.backlog.get() + backlog;
        self.counts.backlog.waiting.set(backlog);
    }

    /// Points on disk: of this run, and of earlier ones.
    pub fn waiting(&self) -> (u64, u64) {
        self.spool.as_ref().map_or((0, 0), Spool::waiting)
    }

    pub fn is_empty(&self) -> bool {
        self.spool.as_ref().is_none_or(Spool::is_empty)
    }

    /// Lines go to the disk; where that does not take them they are lost.
    pub fn spill_or_drop(&mut self, lines: Lines) {
        if let Err(lines) = self.spill(lines) {
            spool::drop_own(&lines.tally(), self.counts);
        }
    }

    /// The lines come back where no disk takes them.
    fn spill(&mut self, lines: Lines) -> Result<(), Lines> {
        match &mut self.spool {
            Some(spool) => spool.put(lines),
            None => Err(lines),
        }
    }

    /// Whether there is something on disk that can be read now.
    pub fn has_frames(&self) -> bool {
        self.spool.as_ref().is_some_and(Spool::has_frames)
    }

    /// Asks for the oldest frame; [`Disk::taken`] has it after some calls of [`Disk::publish`].
    pub fn ask(&mut self) {
        if let Some(spool) = &mut self.spool {
            spool.ask();
        }
    }

    /// `None` while the disk reads; then the frame, or nothing that can be read.
    pub fn taken(&mut self) -> Option<Option<Batch>> {
        let Some(spool) = &mut self.spool else {
            return Some(None);
        };
        let taken = spool.taken()?;
        Some(taken.map(|taken| {
            let backlog = taken.backlog;
            let n = taken.lines.len() as u64;
            if backlog {
                self.under_way.backlog.set(n);
            } else {
                self.under_way.own.set(n);
            }
            Batch::new(taken.lines, Source::Spool { backlog })
        }))
    }

    /// Lets go of a batch: what is not resolved goes (back) to the disk.
    pub fn delivered(&mut self, batch: &mut Batch) {
        let Batch { source, .. } = *batch;
        let rest = std::mem::take(batch).rest();
        if let (Source::Spool { backlog }, Some(spool)) = (source, &mut self.spool) {
            spool.done(backlog, rest);
        }
        self.under_way.own.set(0);
        self.under_way.backlog.set(0);
    }

    /// The end: the unresolved batch, and then `more` until there is none, go to the disk.
    pub async fn finish(&mut self, mut batch: Batch, mut more: impl FnMut() -> Option<Lines>) {
        let until = Instant::now() + LAST_WRITES;
        if batch.source == Source::Memory {
            let rest = std::mem::take(&mut batch).rest();
            self.keep(rest, until).await;
        }
        self.delivered(&mut batch);
        while let Some(lines) = more() {
            self.keep(lines, until).await;
        }
        if let Some(spool) = &mut self.spool {
            spool.close(self.counts).await;
        }
        self.publish(0);
        let (own, backlog) = self.waiting();
        if own + backlog > 0 {
            let points = own + backlog;
            tracing::info!(points, "influx: left on disk for the next run");
        }
    }

    /// To the disk, waiting for it a little; what it does not take is lost.
    async fn keep(&mut self, mut lines: Lines, until: Instant) {
        while !lines.is_empty() {
            match self.spill(lines) {
                Ok(()) => return,
                Err(back) if self.spool.is_some() && Instant::now() < until => lines = back,
                Err(back) => {
                    spool::drop_own(&back.tally(), self.counts);
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
            if let Some(spool) = &mut self.spool {
                spool.absorb(self.counts);
            }
        }
    }
}
