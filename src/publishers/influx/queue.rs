//! Ticks that wait for InfluxDB: out of the ring into memory, from there to the disk where memory
//! ends, and every one in the books: offered = stored + spooled + dropped + expired.
//!
//! Status events are kept among the ticks in ring order: they change the scales of those behind
//! them. Runs on the publishers' runtime, and never waits for the disk.

use super::batch::{Batch, Source};
use super::lines::Lines;
use super::points::{self, Series};
use super::spool::{self, Spool};
use super::{COMPLAIN_EVERY, UnderWay};
use crate::config::InfluxConfig;
use crate::market::{Kind, Registry, Tick};
use crate::metrics::TickMetrics;
use crate::publishers::intake::Instruments;
use crate::ring::Consumer;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The disk may take this long for what is left at a stop.
const LAST_WRITES: Duration = Duration::from_secs(5);
/// Instruments that a line about lost points names.
const NAMED: usize = 5;

pub struct Queue<'a> {
    consumer: Consumer<Tick>,
    config: InfluxConfig,
    instruments: Instruments<Series>,
    spool: Option<Spool>,
    pub counts: &'a TickMetrics,
    /// Points of the batch that is being written.
    pub under_way: &'a UnderWay,
    ticks: VecDeque<Tick>,
    /// Trades and quotes among them.
    points: usize,
    /// When the oldest of them came.
    since: Instant,
    complaint: Complaint,
    /// Of [`crate::metrics::RingLosses`], what is in the books by name.
    ring_losses: u64,
    named_ring_losses: std::collections::HashMap<Option<u32>, u64>,
}

#[derive(Default)]
struct Complaint {
    when: Option<Instant>,
    lost: u64,
}

impl<'a> Queue<'a> {
    pub fn new(
        consumer: Consumer<Tick>,
        config: InfluxConfig,
        registry: Arc<Registry>,
        spool: Option<Spool>,
        counts: &'a TickMetrics,
        under_way: &'a UnderWay,
    ) -> Queue<'a> {
        Queue {
            consumer,
            config,
            instruments: Instruments::new(registry, points::series),
            spool,
            counts,
            under_way,
            ticks: VecDeque::new(),
            points: 0,
            since: Instant::now(),
            complaint: Complaint::default(),
            ring_losses: 0,
            named_ring_losses: Default::default(),
        }
    }

    /// Takes what is in the ring, sends to the disk what is too much, and updates the books.
    pub fn drain(&mut self) {
        for _ in 0..self.consumer.len() {
            let Some(tick) = self.consumer.pop() else {
                break;
            };
            if tick.event.kind == Kind::Book {
                continue;
            }
            if tick.event.kind != Kind::Status {
                if self.points == 0 {
                    self.since = Instant::now();
                }
                self.points += 1;
            }
            self.ticks.push_back(tick);
            while self.points > self.config.max_waiting.max(1) && self.overflow() {}
        }
        if let Some(spool) = &mut self.spool {
            spool.absorb(self.counts);
        }
        self.name_ring_losses();
        self.complain();
        self.publish();
    }

    fn publish(&self) {
        let (own, backlog) = self.spool.as_ref().map_or((0, 0), Spool::waiting);
        let in_memory = (self.consumer.len() + self.points) as u64;
        let spooled = in_memory + self.under_way.own.get() + own;
        self.counts.spooled.set(spooled);
        let backlog = self.under_way.backlog.get() + backlog;
        self.counts.backlog.waiting.set(backlog);
    }

    /// The oldest go to the disk, a frame at a time. While the disk is behind they stay, until
    /// memory holds twice what it should; then they are lost. False where they stay.
    fn overflow(&mut self) -> bool {
        let max = self.config.max_waiting.max(1);
        let disk = self.spool.as_ref().map(Spool::takes);
        if disk == Some(false) && self.points <= 2 * max {
            return false;
        }
        let frame = disk.map_or(1, |_| self.config.batch.min(max));
        let lines = self.oldest(frame);
        if let Err(lines) = self.spill(lines) {
            spool::drop_own(&lines.tally(), self.counts);
        }
        true
    }

    /// The lines come back where no disk takes them.
    fn spill(&mut self, lines: Lines) -> Result<(), Lines> {
        match &mut self.spool {
            Some(spool) => spool.put(lines),
            None => Err(lines),
        }
    }

    /// The oldest ticks, encoded.
    fn oldest(&mut self, most: usize) -> Lines {
        let mut lines = Lines::default();
        while lines.len() < most.max(1)
            && let Some(tick) = self.ticks.pop_front()
        {
            if tick.event.kind == Kind::Status {
                self.instruments.status(&tick.event);
                continue;
            }
            self.points -= 1;
            let known = self.instruments.get(tick.event.instrument);
            let name = Arc::clone(&known.label.name);
            lines.push(&name, |out| points::encode(&tick, known, out));
        }
        lines
    }

    pub fn points(&self) -> usize {
        self.points
    }

    /// Whether the ring's producer is gone.
    pub fn is_closed(&self) -> bool {
        self.consumer.is_closed()
    }

    pub fn is_empty(&self) -> bool {
        self.points == 0 && self.spool.as_ref().is_none_or(Spool::is_empty)
    }

    /// Whether enough has gathered, or waited long enough.
    pub fn due(&self, hurry: bool) -> bool {
        let waited = || hurry || self.since.elapsed() >= self.config.flush;
        self.points >= self.config.batch || self.points > 0 && waited()
    }

    pub fn take_batch(&mut self) -> Batch {
        let lines = self.oldest(self.config.batch);
        self.since = Instant::now();
        self.under_way.own.set(lines.len() as u64);
        Batch::new(lines, Source::Memory)
    }

    /// Whether there is something on disk that can be read now.
    pub fn has_frames(&self) -> bool {
        self.spool.as_ref().is_some_and(Spool::has_frames)
    }

    /// The oldest frame on disk; `None` where there is none that can be read.
    pub async fn take_frame(&mut self) -> Option<Batch> {
        self.spool.as_mut()?.ask();
        loop {
            self.drain();
            if let Some(answer) = self.spool.as_mut()?.taken() {
                let taken = answer?;
                let backlog = taken.backlog;
                let n = taken.lines.len() as u64;
                let under_way = self.under_way;
                if backlog {
                    under_way.backlog.set(n);
                } else {
                    under_way.own.set(n);
                }
                return Some(Batch::new(taken.lines, Source::Spool { backlog }));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
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

    /// The end: what is still in memory goes to the disk, and the books are closed.
    pub async fn finish(mut self, mut batch: Batch) {
        self.drain();
        let until = Instant::now() + LAST_WRITES;
        if batch.source == Source::Memory {
            let rest = std::mem::take(&mut batch).rest();
            self.keep(rest, until).await;
        }
        self.delivered(&mut batch);
        while self.points > 0 {
            let lines = self.oldest(self.config.batch);
            self.keep(lines, until).await;
        }
        if let Some(spool) = &mut self.spool {
            spool.close(self.counts).await;
        }
        self.name_ring_losses();
        self.publish();
        let (own, backlog) = self.spool.as_ref().map_or((0, 0), Spool::waiting);
        if own + backlog > 0 {
            let points = own + backlog;
            tracing::info!(points, "influx: left on disk for the next run");
        }
        self.complaint.when = None;
        self.complain();
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

    /// What the engine could not hand over: by number there, by name in the books.
    fn name_ring_losses(&mut self) {
        let losses = self.counts.ring_dropped.get();
        if losses == self.ring_losses {
            return;
        }
        self.ring_losses = losses;
        for (instrument, n) in self.counts.ring_losses.each() {
            let known = self.named_ring_losses.entry(instrument).or_default();
            let more = n - std::mem::replace(known, n);
            if more > 0 {
                let name = match instrument {
                    Some(id) => Arc::clone(&self.instruments.get(id).label.name),
                    None => "others".into(),
                };
                self.counts.lost.add(&name, more);
            }
        }
    }

    /// Says now and then that points were lost, and of what.
    fn complain(&mut self) {
        let counts = self.counts;
        let lost = counts.ring_dropped.get() + counts.dropped.get() + counts.backlog.dropped.get();
        let quiet = |then: Instant| then.elapsed() < COMPLAIN_EVERY;
        if lost == self.complaint.lost || self.complaint.when.is_some_and(quiet) {
            return;
        }
        self.complaint = Complaint {
            when: Some(Instant::now()),
            lost,
        };
        let all = counts.lost.all();
        let mut most: Vec<_> = all.iter().map(|(name, n)| (*n, name)).collect();
        most.sort_unstable_by(|a, b| b.cmp(a));
        let most: Vec<String> = most
            .iter()
            .take(NAMED)
            .map(|(n, name)| format!("{name}: {n}"))
            .collect();
        tracing::warn!(
            lost,
            instruments = all.len(),
            most = most.join(", "),
            "influx: ticks are lost, of these instruments above all"
        );
    }
}
