//! Where do ticks wait that memory does not hold? In a bounded folder on disk, which the next run
//! finds. A thread of its own does the disk's work, so that a slow or full disk holds back neither
//! the ring nor another store: what it cannot take at once is lost, and counted.
//!
//! The books: a point is of this run (`own`) or of an earlier one (`backlog`); each has counters of
//! its own, so what an earlier run spooled and this one stores unbalances neither.

mod folder;
mod frame;

use super::lines::{Lines, Tally};
use crate::metrics::ledger::{Effect, Ledger, Settler};
use crate::metrics::{Counter, Metrics, TickMetrics};
pub use folder::says_what_it_holds;
use folder::{Folder, Lost, Opened, Taken};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Frames on their way to the disk at the same time.
const WRITING: usize = 8;
/// Beside them: one frame asked for, or done with.
const COMMANDS: usize = WRITING + 2;
/// After the disk failed to read, until the next try.
const READ_AGAIN: Duration = Duration::from_secs(5);

enum Command {
    Put(Lines),
    Take,
    /// With the taken frame; what is left of it, if anything.
    Done(Option<Lines>),
}

enum Report {
    Opened(Opened),
    /// Points that are on disk now, or whose these are that are not.
    Put(Result<u64, Tally>),
    Taken(Option<Taken>),
    Failed,
    Lost(Vec<Lost>),
    Bytes(u64),
}

/// The publisher's end.
pub struct Spool {
    commands: Option<SyncSender<Command>>,
    reports: Receiver<Report>,
    thread: Option<JoinHandle<()>>,
    opened: bool,
    /// Frames and points that are not written yet.
    writing: (usize, u64),
    /// Points on disk, without the taken frame's.
    own: u64,
    backlog: u64,
    take: Take,
}

enum Take {
    Idle,
    Asked,
    Here(Option<Taken>),
    /// The disk does not read.
    Failed(Instant),
}

impl Spool {
    /// An error means that there is no thread, and so no spool.
    pub fn start(
        dir: PathBuf,
        max_bytes: u64,
        metrics: Arc<Metrics>,
        of: fn(&Metrics) -> &TickMetrics,
    ) -> std::io::Result<Spool> {
        let (commands, orders) = sync_channel(COMMANDS);
        let (answers, reports) = sync_channel(COMMANDS * 4);
        let thread = std::thread::Builder::new().name("spool".to_owned());
        let thread = thread.spawn(move || {
            let ledger = &of(&metrics).ledger;
            work(dir, max_bytes, &orders, &answers, ledger);
        })?;
        Ok(Spool {
            commands: Some(commands),
            reports,
            thread: Some(thread),
            opened: false,
            writing: (0, 0),
            own: 0,
            backlog: 0,
            take: Take::Idle,
        })
    }

    /// Whether the disk keeps up: another frame may be put.
    pub fn takes(&self) -> bool {
        self.writing.0 < WRITING
    }

    /// Hands a frame to the disk. It comes back where the disk is too far behind.
    pub fn put(&mut self, lines: Lines) -> Result<(), Lines> {
        let points = lines.len() as u64;
        if !self.takes() {
            return Err(lines);
        }
        match self.send(Command::Put(lines)) {
            Err(Command::Put(lines)) => return Err(lines),
            Err(_) => return Ok(()),
            Ok(()) => {}
        }
        self.writing = (self.writing.0 + 1, self.writing.1 + points);
        Ok(())
    }

    fn send(&self, command: Command) -> Result<(), Command> {
        let Some(commands) = &self.commands else {
            return Err(command);
        };
        commands.try_send(command).map_err(|e| match e {
            TrySendError::Full(command) | TrySendError::Disconnected(command) => command,
        })
    }

    /// Takes the thread's reports, and enters them in the books.
    pub fn absorb(&mut self, counts: &TickMetrics) {
        while let Ok(report) = self.reports.try_recv() {
            match report {
                Report::Opened(opened) => {
                    self.opened = true;
                    self.backlog = opened.points;
                    counts.backlog.found.add(opened.points);
                    counts.spool_torn_bytes.add(opened.torn_bytes);
                    self.lose(opened.lost, counts);
                }
                Report::Put(Ok(points)) => {
                    self.own += points;
                    self.writing = (self.writing.0 - 1, self.writing.1 - points);
                }
                Report::Put(Err(tally)) => {
                    let points: u64 = tally.iter().map(|(_, n)| n).sum();
                    self.writing = (self.writing.0 - 1, self.writing.1 - points);
                    drop_own(&tally, counts);
                }
                Report::Taken(taken) => self.take = Take::Here(taken),
                Report::Failed => self.take = Take::Failed(Instant::now() + READ_AGAIN),
                Report::Lost(lost) => self.lose(lost, counts),
                Report::Bytes(bytes) => counts.spool_bytes.set(bytes),
            }
        }
    }

    fn lose(&mut self, lost: Vec<Lost>, counts: &TickMetrics) {
        for Lost { backlog, tally } in lost {
            let (held, dropped) = if backlog {
                (&mut self.backlog, &counts.backlog.dropped)
            } else {
                (&mut self.own, &counts.dropped)
            };
            *held -= enter(&tally, dropped, counts);
        }
    }

    /// Points that wait here: of this run, and of earlier ones.
    pub fn waiting(&self) -> (u64, u64) {
        (self.writing.1 + self.own, self.backlog)
    }

    /// Whether there is nothing here, and nothing on its way.
    pub fn is_empty(&self) -> bool {
        self.opened && self.waiting() == (0, 0)
    }

    /// Whether a frame can be asked for.
    pub fn has_frames(&self) -> bool {
        let readable = match self.take {
            Take::Failed(until) => Instant::now() >= until,
            _ => true,
        };
        self.opened && readable && self.own + self.backlog > 0
    }

    /// Asks for the oldest frame: [`Spool::taken`] has it after some calls of `absorb`.
    pub fn ask(&mut self) {
        let sent = self.send(Command::Take);
        self.take = match sent {
            Ok(()) => Take::Asked,
            Err(_) => Take::Failed(Instant::now() + READ_AGAIN),
        };
    }

    /// `None` while it is under way. The frame's points are its taker's from here on.
    pub fn taken(&mut self) -> Option<Option<Taken>> {
        match std::mem::replace(&mut self.take, Take::Idle) {
            Take::Here(Some(taken)) => {
                *self.held(taken.backlog) -= taken.lines.len() as u64;
                Some(Some(taken))
            }
            Take::Here(None) => {
                // All that there was is damaged, or the disk lost it: no use to ask at once.
                self.take = Take::Failed(Instant::now() + READ_AGAIN);
                Some(None)
            }
            Take::Asked => {
                self.take = Take::Asked;
                None
            }
            failed => {
                self.take = failed;
                Some(None)
            }
        }
    }

    fn held(&mut self, backlog: bool) -> &mut u64 {
        if backlog {
            &mut self.backlog
        } else {
            &mut self.own
        }
    }

    /// The taken frame is resolved but for these lines, which stay here.
    pub fn done(&mut self, backlog: bool, rest: Lines) {
        *self.held(backlog) += rest.len() as u64;
        let rest = (!rest.is_empty()).then_some(rest);
        if self.send(Command::Done(rest)).is_err() {
            tracing::error!("influx: a stored part of the spool stays on disk; it comes again");
        }
    }

    /// No more frames come: ends when all are on disk, or could not be written.
    pub async fn close(&mut self, counts: &TickMetrics) {
        self.commands = None;
        let ended = |s: &Spool| s.thread.as_ref().is_none_or(JoinHandle::is_finished);
        while !ended(self) {
            self.absorb(counts);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if self.thread.take().is_some_and(|t| t.join().is_err()) {
            tracing::error!("influx: the spool's thread panicked; what it held is on disk");
        }
        self.absorb(counts);
    }
}

/// Points of this run that end here, before the disk had them.
pub fn drop_own(tally: &Tally, counts: &TickMetrics) {
    enter(tally, &counts.dropped, counts);
    let shares = counts.ledger.shares(tally);
    counts.ledger.settle(Settler::Publisher, &shares);
}

/// Counts lost points, as a sum and for each instrument; how many.
fn enter(tally: &Tally, dropped: &Counter, counts: &TickMetrics) -> u64 {
    let mut sum = 0;
    for (instrument, n) in tally {
        counts.lost.add(instrument, *n);
        sum += n;
    }
    dropped.add(sum);
    sum
}

/// Until the publisher's end is gone.
fn work(
    dir: PathBuf,
    max_bytes: u64,
    orders: &Receiver<Command>,
    reports: &SyncSender<Report>,
    ledger: &Ledger,
) {
    let place = dir.display().to_string();
    let remedy = "are the disk and its permissions right?";
    let (mut folder, opened) = Folder::open(dir.clone(), max_bytes).unwrap_or_else(|error| {
        tracing::error!("spool at {place}: {error}; {remedy}");
        (Folder::empty(dir, max_bytes), Opened::default())
    });
    if opened.points > 0 || opened.torn_bytes > 0 {
        let Opened {
            points, torn_bytes, ..
        } = opened;
        tracing::info!(
            points,
            torn_bytes,
            "spool at {place}: left by an earlier run"
        );
    }
    let mut report = |report| reports.send(report).is_ok();
    report(Report::Opened(opened));
    report(Report::Bytes(folder.bytes));
    let mut complained: Option<Instant> = None;
    let mut complain = |error: std::io::Error| {
        if complained.is_none_or(|then| then.elapsed() >= super::COMPLAIN_EVERY) {
            complained = Some(Instant::now());
            tracing::error!("spool at {place}: {error}; is the disk full?");
        }
    };
    loop {
        let command = match orders.try_recv() {
            Ok(command) => command,
            Err(_) => {
                // Nothing to do: one wait for the disk serves all that was written.
                folder.sync().unwrap_or_else(&mut complain);
                let Ok(command) = orders.recv() else { return };
                command
            }
        };
        let mut lost = Vec::new();
        let (answer, failed) = obey(&mut folder, command, &mut lost, ledger);
        failed.into_iter().for_each(&mut complain);
        // What was put comes first: among what is lost it may be itself, later.
        let answered = answer.is_none_or(&mut report);
        let told = lost.is_empty() || report(Report::Lost(lost));
        if !(answered && told && report(Report::Bytes(folder.bytes))) {
            return;
        }
    }
}

fn obey(
    folder: &mut Folder,
    command: Command,
    lost: &mut Vec<Lost>,
    ledger: &Ledger,
) -> (Option<Report>, Option<std::io::Error>) {
    match command {
        Command::Put(lines) => {
            let tally = lines.tally();
            let frame = Effect::Frame(folder.next_id);
            let settlement = ledger.begin(Settler::Disk, ledger.shares(&tally), frame);
            match folder.put(&lines, lost) {
                Ok(()) => {
                    settlement.complete();
                    (Some(Report::Put(Ok(lines.len() as u64))), None)
                }
                Err(error) => (Some(Report::Put(Err(tally))), Some(error)),
            }
        }
        Command::Take => match folder.take(lost) {
            Ok(taken) => (Some(Report::Taken(taken)), None),
            Err(error) => (Some(Report::Failed), Some(error)),
        },
        Command::Done(rest) => (None, folder.done(rest.as_ref()).err()),
    }
}
