//! The roll-up at work: bars out of memory into [`Derived`], repairs of what only the store knows,
//! and the file that remembers from where the next run has to repair, however this one ends.

use super::bar::{Bar, Span};
use super::derived::Derived;
use super::line;
use super::past::Name;
use super::points::Series;
use super::policy::Policy;
use super::repair::{self, Job, Made};
use super::rollup::{Outlet, Rollup};
use super::server::Server;
use crate::clock;
use crate::market::{Instrument, InstrumentId, Registry, Tick};
use crate::metrics::RollupMetrics;
use crate::publishers::intake::{self, Known};
use rustc_hash::FxHashSet;
use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

const SECOND_NS: i64 = 1_000_000_000;
/// An earlier run may have trades in the seconds up to here after the start: the clocks of exchange
/// and host differ.
const SKEW_NS: i64 = 5 * SECOND_NS;
/// How far back a run repairs that finds no file of an earlier one.
const UNKNOWN_NS: i64 = 120 * SECOND_NS;
/// Between two notes in the file.
const NOTE_EVERY: Duration = Duration::from_secs(5);
/// Questions that are asked one after the other.
const AT_ONCE: usize = 16;
/// Between two rounds of repairs, which gather meanwhile.
const REPAIR_EVERY: Duration = Duration::from_secs(2);

/// What an earlier run noted, and where this one notes.
pub struct Memory {
    file: Option<PathBuf>,
    /// Before this moment all bars were in the store or in the spool.
    settled_ns: Option<i64>,
}

impl Memory {
    /// In the folder that the spool is in; nowhere without one.
    pub async fn open(spool: &Path) -> Memory {
        let here = !spool.as_os_str().is_empty();
        let file = here.then(|| spool.with_file_name("influx-bars"));
        let mut settled_ns = None;
        if let Some(file) = &file {
            let text = tokio::fs::read_to_string(file).await.unwrap_or_default();
            settled_ns = text.trim().parse().ok();
        }
        Memory { file, settled_ns }
    }

    /// Whole or not at all.
    async fn note(&self, settled_ns: i64) -> std::io::Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        if let Some(folder) = file.parent() {
            tokio::fs::create_dir_all(folder).await?;
        }
        let part = file.with_extension("part");
        tokio::fs::write(&part, format!("{settled_ns}\n")).await?;
        tokio::fs::rename(&part, file).await
    }
}

pub struct Bars<'a> {
    rollup: Rollup,
    derived: &'a Derived,
    metrics: &'a RollupMetrics,
    names: HashMap<Name, InstrumentId>,
    /// Those that `names` has.
    named: FxHashSet<InstrumentId>,
    registry: Arc<Registry>,
    memory: Memory,
    /// In the file, and to be there soon.
    noted_ns: i64,
    next_ns: i64,
    note_at: Instant,
    /// The seconds around the start, to be repaired once they are over.
    start: Option<Job>,
    jobs: VecDeque<Job>,
    asked: Vec<Job>,
    repair_at: Instant,
    failures: u32,
    complained: bool,
}

impl Outlet for &Derived {
    fn bar(&mut self, policy: Policy, owner: &Arc<str>, bar: &Bar, series: &[u8], start_ns: i64) {
        self.push(policy, owner, |out| bar.encode(series, start_ns, out));
    }
}

impl<'a> Bars<'a> {
    pub fn new(
        derived: &'a Derived,
        metrics: &'a RollupMetrics,
        memory: Memory,
        registry: Arc<Registry>,
    ) -> Bars<'a> {
        let now_ns = clock::now_ns();
        let rollup = Rollup::new(now_ns + SKEW_NS + SECOND_NS);
        let oldest_ns = now_ns - Policy::Realtime.keeps_ns();
        let from_ns = memory.settled_ns.unwrap_or(now_ns - UNKNOWN_NS);
        let from_ns = Span::Second.start(from_ns.clamp(oldest_ns + SECOND_NS, now_ns));
        let start = Job {
            of: None,
            seconds: from_ns..rollup.owned_ns,
            windows: Vec::new(),
            owned_ns: rollup.owned_ns,
        };
        Bars {
            rollup,
            derived,
            metrics,
            names: HashMap::new(),
            named: FxHashSet::default(),
            registry,
            memory,
            noted_ns: from_ns,
            next_ns: from_ns,
            note_at: Instant::now(),
            start: Some(start),
            jobs: VecDeque::new(),
            asked: Vec::new(),
            repair_at: Instant::now(),
            failures: 0,
            complained: false,
        }
    }

    /// A trade whose line is made.
    pub fn trade(&mut self, tick: &Tick, known: &Known<Series>, now_ns: i64) {
        let id = tick.event.instrument;
        if self.named.insert(id) {
            self.names.entry(known.label.tags().clone()).or_insert(id);
        }
        self.rollup.trade(tick, known, now_ns, &mut self.derived);
        self.metrics.too_late.set(self.rollup.too_late);
    }

    /// Writes the bars that changed.
    pub fn write(&mut self, all: bool) {
        self.rollup.write(all, Instant::now(), &mut self.derived);
    }

    /// Before a batch of trades is written: so that a run which ends right after it is repaired
    /// from its oldest trade on.
    pub async fn remember(&mut self) {
        let unsettled_ns = self.rollup.unsettled_ns();
        if let Some(oldest_ns) = unsettled_ns.filter(|ns| *ns < self.noted_ns) {
            self.next_ns = oldest_ns;
            self.note(oldest_ns).await;
        } else if self.memory.settled_ns.is_none() {
            self.note(self.noted_ns).await;
        }
    }

    /// The end: all bars are in the store or on disk.
    pub async fn close(mut self) {
        let open = [self.start.is_some(), self.rollup.has_repairs()];
        if !open.contains(&true) && self.jobs.is_empty() && self.asked.is_empty() {
            self.note(clock::now_ns()).await;
        }
    }

    async fn note(&mut self, settled_ns: i64) {
        match self.memory.note(settled_ns).await {
            Ok(()) => {
                self.noted_ns = settled_ns;
                self.memory.settled_ns = Some(settled_ns);
            }
            Err(error) if !self.complained => {
                self.complained = true;
                let place = self.memory.file.as_deref().unwrap_or(Path::new(""));
                let place = place.display();
                tracing::error!("{place}: {error}; after a crash bars may lack their last trades");
            }
            Err(_) => {}
        }
    }

    /// Between two batches: writes bars, or says what to ask the store. `settled` means that no
    /// trade waits on disk, `over` that none follows.
    pub async fn tend(&mut self, settled: bool, over: bool) -> Option<Work<'a>> {
        let now_ns = clock::now_ns();
        self.gather(now_ns, over);
        let wanted = !self.jobs.is_empty() && settled && (over || Instant::now() >= self.repair_at);
        if !wanted {
            self.write(over);
            self.note_progress(now_ns).await;
            return None;
        }
        if over {
            self.write(true);
        }
        // Bars that changed meanwhile wait, so that what is on its way can come to an end.
        if !over && !self.derived.is_settled() {
            return None;
        }
        // What one makes, another one may have to read: only those of different series go together.
        let some = match self.jobs.front()?.of {
            None => 1,
            Some(_) => self.jobs.len().min(AT_ONCE),
        };
        self.asked = self.jobs.drain(..some).collect();
        Some(Work {
            jobs: self.asked.clone(),
            derived: self.derived,
        })
    }

    fn gather(&mut self, now_ns: i64, over: bool) {
        let now = Instant::now();
        let started = |job: &Job| over || now_ns >= job.owned_ns + 2 * SECOND_NS;
        if let Some(mut job) = self.start.take_if(|job| started(job)) {
            // What the first trades asked for is in it.
            let asked = self.rollup.repairs();
            for repair in asked {
                let Range { start, end } = job.seconds;
                let inside = start <= repair.seconds.start && repair.seconds.end <= end;
                if !inside {
                    self.rollup.ask(repair.instrument, repair.seconds);
                }
            }
            let incomplete = self.rollup.all_incomplete();
            let windows = incomplete.iter().flat_map(|id| self.rollup.incomplete(*id));
            job.windows = windows.collect();
            job.windows.sort_unstable();
            job.windows.dedup();
            self.jobs.push_back(job);
        }
        let busy = self.start.is_some() || !self.jobs.is_empty();
        if busy || !(over || now >= self.repair_at) {
            return;
        }
        let oldest_ns = now_ns - Policy::Realtime.keeps_ns();
        for repair in self.rollup.repairs() {
            let id = repair.instrument;
            let name = self.names.iter().find(|(_, known)| **known == id);
            let Some((name, _)) = name else { continue };
            self.jobs.push_back(Job {
                of: Some(name.clone()),
                seconds: repair.seconds.start.max(oldest_ns)..repair.seconds.end,
                windows: self.rollup.incomplete(id).collect(),
                owned_ns: self.rollup.owned_ns,
            });
        }
    }

    /// What the store said to a [`Work`]; false where it will be asked again.
    pub fn take(&mut self, answer: Result<(Vec<Made>, u64), String>) -> bool {
        let asked = std::mem::take(&mut self.asked);
        let (made, repaired) = match answer {
            Ok(answer) => answer,
            Err(reason) => {
                asked
                    .into_iter()
                    .rev()
                    .for_each(|job| self.jobs.push_front(job));
                self.failures += 1;
                self.repair_at = Instant::now() + intake::backoff(self.failures);
                if self.failures == 1 {
                    let remedy = "the login has to be allowed to read, too; will try again";
                    tracing::warn!("{reason}; bars cannot be completed: {remedy}");
                }
                return false;
            }
        };
        self.failures = 0;
        self.metrics.repaired.add(repaired);
        made.into_iter().for_each(|made| self.apply(made));
        asked.iter().for_each(|job| self.fill(job));
        if self.jobs.is_empty() {
            self.repair_at = Instant::now() + REPAIR_EVERY;
        }
        true
    }

    /// Into the window that memory has, or into the store.
    fn apply(&mut self, made: Made) {
        let Made {
            of,
            span,
            start_ns,
            full,
            base,
        } = made;
        let id = self.names.get(&of).copied();
        if id.is_some_and(|id| self.rollup.complete(id, span, start_ns, &base)) {
            return;
        }
        let (symbol, exchange) = &of;
        // What is still going on is its own daemon's business.
        let over = start_ns + span.ns() <= self.rollup.owned_ns;
        let ours = |i: &Arc<Instrument>| {
            line::tag(i.exchange) == *exchange && line::tag(&i.symbol) == *symbol
        };
        if !over && id.is_none() && !self.registry.all().iter().any(ours) {
            return;
        }
        let tags = [("symbol", symbol.as_str()), ("exchange", exchange)];
        let series = line::series("market_data", &tags);
        let owner: Arc<str> = format!("{exchange} {symbol}").into();
        self.metrics.repaired.add(1);
        let derived = &mut self.derived;
        derived.bar(span.policy(), &owner, &full, &series, start_ns);
    }

    /// Windows that the store was asked about and has nothing of are this run's alone.
    fn fill(&mut self, job: &Job) {
        let ids: Vec<InstrumentId> = match &job.of {
            Some(name) => self.names.get(name).copied().into_iter().collect(),
            None => self.rollup.all_incomplete(),
        };
        for id in ids {
            let left: Vec<_> = self.rollup.incomplete(id).collect();
            for (span, start_ns) in left.into_iter().filter(|w| job.windows.contains(w)) {
                self.rollup.complete(id, span, start_ns, &Bar::EMPTY);
            }
            // Begun while the store was asked.
            if self.rollup.incomplete(id).next().is_some() {
                let owned_ns = self.rollup.owned_ns;
                self.rollup.ask(id, owned_ns..owned_ns);
            }
        }
    }

    /// Notes from where a later run has to repair: as it was a while ago, when what was made then
    /// has reached the store or the disk by now.
    async fn note_progress(&mut self, now_ns: i64) {
        if self.note_at.elapsed() < NOTE_EVERY || self.derived.behind() >= NOTE_EVERY {
            return;
        }
        self.note_at = Instant::now();
        let due_ns = self.next_ns;
        let unsettled_ns = self.rollup.unsettled_ns().unwrap_or(now_ns);
        self.next_ns = unsettled_ns.min(now_ns - SECOND_NS);
        if self.start.is_none() && self.jobs.is_empty() && due_ns > self.noted_ns {
            self.note(due_ns.min(self.next_ns)).await;
        }
    }
}

/// Questions to the store.
pub struct Work<'a> {
    jobs: Vec<Job>,
    derived: &'a Derived,
}

impl Work<'_> {
    pub async fn run(self, server: &Server) -> Result<(Vec<Made>, u64), String> {
        // Finer bars are read back, so first they have to be there.
        while !self.derived.is_settled() {
            tokio::time::sleep(intake::POLL).await;
        }
        let (mut made, mut repaired) = (Vec::new(), 0);
        for job in &self.jobs {
            let (more, seconds) = repair::run(server, job).await?;
            made.extend(more);
            repaired += seconds;
        }
        Ok((made, repaired))
    }
}
