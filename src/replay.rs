//! A recording once more through the live code, as fast as it goes or at its own pace.
//!
//! One thread reads ahead (decompression, lines to frames), the caller's thread decodes and runs
//! the engine: one core for what a live daemon spreads over two. Nothing here decides: the order of
//! lines does, so two replays and the live run give the same signals.

use crate::app;
use crate::capture::{Batch, Batches, Item};
use crate::clock;
use crate::config::Config;
use crate::engine::{self, Engine, Outbox, Plan};
use crate::market::{InstrumentId, Reason, Registry, Tick};
use crate::metrics::Metrics;
use crate::outcome::Outcome;
use crate::outcome::record::OutcomeRecord;
use crate::playback::{Playback, Route};
use crate::publishers::states;
use crate::signal::Signal;
use crate::signal::descriptions::Descriptions;
use crate::signal::record::SignalRecord;
use crate::simulate::Speed;
use crate::summary::Summary;
use anyhow::Context;
use crossbeam::channel::{Receiver, Sender, bounded};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Batches read ahead.
const AHEAD: usize = 8;
/// Every so many frames the stages are timed one by one; the clock would be felt on all of them.
const SAMPLE: u64 = 16;

pub struct Options {
    pub files: Vec<PathBuf>,
    pub speed: Speed,
    /// Read all files before the first frame is played.
    pub from_memory: bool,
    /// Where the signals go, a line of JSON each.
    pub signals: Option<PathBuf>,
    /// Where what became of them goes, likewise.
    pub outcomes: Option<PathBuf>,
    pub exchange: Option<String>,
    /// Keep what the engine remembers at the end for the next run.
    pub keep_state: bool,
}

/// What a replay did.
pub struct Replayed {
    pub summary: Summary,
    /// Reading the files into memory, s; 0 where they were read while playing.
    pub load_seconds: f64,
    /// Lines that could not be used.
    pub broken_lines: u64,
}

pub fn run(config: &Config, options: &Options) -> anyhow::Result<Replayed> {
    let begun = Instant::now();
    let plans = app::plans(config)?;
    let mut player = Player::new(config, options, plans)?;
    let batches = Batches::open(&options.files)?;
    let (mut started, mut load_seconds) = (begun, 0.0);
    if options.from_memory {
        let loaded = load(batches)?;
        load_seconds = begun.elapsed().as_secs_f64();
        started = Instant::now();
        player.begin();
        for batch in &loaded {
            player.batch(batch)?;
        }
    } else {
        player.begin();
        while_read(batches, |batch| player.batch(batch))?;
    }
    let broken_lines = player.broken_lines;
    if options.keep_state {
        keep_state(&player.playback.engine, &config.data_dir)?;
    }
    let metrics = Arc::clone(&player.playback.metrics);
    let signals = player.playback.out.finish()?;
    let mut summary = Summary::new(&metrics, &config.data_dir, started.elapsed().as_secs_f64());
    summary.signals = signals;
    Ok(Replayed {
        summary,
        load_seconds,
        broken_lines,
    })
}

/// Keeps what is remembered of every instrument, as of its newest event; says of how many.
pub fn keep_state(engine: &Engine, data_dir: &Path) -> anyhow::Result<usize> {
    let dir = &states::dir(data_dir);
    let mut state = Vec::new();
    let (mut kept, mut newest_ns) = (0, 0);
    for (id, market) in engine.markets() {
        if market.last_trade.is_none() || !engine.save(id, &mut state) {
            continue;
        }
        let (name, saved_ns) = (market.instrument.name(), market.now_ns);
        states::keep(dir, engine::CODE, saved_ns, &name, &state)
            .with_context(|| format!("{} cannot be written", dir.display()))?;
        kept += 1;
        newest_ns = saved_ns.max(newest_ns);
    }
    let until = clock::rfc3339(newest_ns);
    tracing::info!("what is remembered of {kept} instruments up to {until} is kept");
    Ok(kept)
}

fn load(mut batches: Batches) -> anyhow::Result<Vec<Batch>> {
    let mut loaded = Vec::new();
    loop {
        let mut batch = Batch::default();
        if !batches.fill(&mut batch)? {
            return Ok(loaded);
        }
        loaded.push(batch);
    }
}

/// Plays batches while another thread reads the next ones.
fn while_read(
    batches: Batches,
    mut play: impl FnMut(&Batch) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (full, filled) = bounded(AHEAD);
    let (used, empty) = bounded(AHEAD);
    for _ in 0..AHEAD {
        used.send(Batch::default())?;
    }
    std::thread::scope(|scope| {
        let reader = std::thread::Builder::new()
            .name("reader".to_owned())
            .spawn_scoped(scope, move || read(batches, &full, &empty))?;
        let mut played = Ok(());
        for batch in &filled {
            played = play(&batch);
            if played.is_err() {
                break;
            }
            // The reader is gone once all is read; what it read is still to be played.
            let _ = used.send(batch);
        }
        drop((filled, used));
        let read = reader
            .join()
            .map_err(|_| anyhow::anyhow!("the reader panicked"))?;
        played.and(read)
    })
}

fn read(mut batches: Batches, full: &Sender<Batch>, empty: &Receiver<Batch>) -> anyhow::Result<()> {
    while let Ok(mut batch) = empty.recv() {
        if !batches.fill(&mut batch)? || full.send(batch).is_err() {
            break;
        }
    }
    Ok(())
}

/// Plays items in their order.
struct Player {
    playback: Playback<Decisions>,
    /// By the batches' numbers of connections; `None` where no exchange is known.
    names: Vec<String>,
    routes: Vec<Option<Route>>,
    pace: Option<Pace>,
    frames: u64,
    broken_lines: u64,
}

/// When a recorded moment is due.
struct Pace {
    speed: f64,
    started: Instant,
    first_ns: Option<i64>,
}

impl Pace {
    fn wait(&mut self, t: i64) {
        let first = *self.first_ns.get_or_insert(t);
        let due = Duration::from_nanos((t - first).max(0) as u64).div_f64(self.speed);
        let passed = self.started.elapsed();
        if due > passed {
            std::thread::sleep(due - passed);
        }
    }
}

impl Player {
    fn new(config: &Config, options: &Options, plans: Vec<Plan>) -> anyhow::Result<Player> {
        let decisions = Decisions {
            sink: create(options.signals.as_deref())?,
            outcomes: create(options.outcomes.as_deref())?,
            failed: None,
            producer: config.name.clone(),
            descriptions: Arc::default(),
            registry: Arc::default(),
            metrics: Arc::default(),
            begun: Instant::now(),
            signals: 0,
        };
        let mut playback = Playback::with(options.exchange.as_deref(), plans, decisions)?;
        playback.out.registry = Arc::clone(&playback.registry);
        playback.out.metrics = Arc::clone(&playback.metrics);
        playback.out.descriptions = Arc::clone(&playback.engine.settings().descriptions);
        let pace = match options.speed {
            Speed::Max => None,
            Speed::Times(speed) => Some(Pace {
                speed,
                started: Instant::now(),
                first_ns: None,
            }),
        };
        Ok(Player {
            playback,
            names: Vec::new(),
            routes: Vec::new(),
            pace,
            frames: 0,
            broken_lines: 0,
        })
    }

    /// The first item comes now.
    fn begin(&mut self) {
        if let Some(pace) = &mut self.pace {
            pace.started = Instant::now();
        }
    }

    fn batch(&mut self, batch: &Batch) -> anyhow::Result<()> {
        for item in &batch.items {
            match item {
                Item::Frame {
                    t,
                    n,
                    conn,
                    from,
                    to,
                } => self.frame(*t, *n, *conn, batch.bytes(*from, *to)),
                Item::Connection(name) => {
                    // Known by its name, or later by the address that it connects to.
                    self.routes.push(self.playback.route(name, None).ok());
                    self.names.push(name.clone());
                }
                Item::Line(line, number) => {
                    if let Some(pace) = &mut self.pace {
                        pace.wait(line.t);
                    }
                    let played = self.playback.line(line, |_, _, _, _| ());
                    if let Err(e) = played {
                        self.broken(&format!("line {number}: {e:#}"));
                    }
                    self.find_route(&line.conn);
                }
                Item::Fault(e) => self.broken(&e.to_string()),
            }
        }
        match self.playback.out.failed.take() {
            Some(e) => Err(e).context("signals cannot be written; is the disk full?"),
            None => Ok(()),
        }
    }

    #[inline]
    fn frame(&mut self, t: i64, n: i64, conn: u32, bytes: &[u8]) {
        let Some(route) = self.routes[conn as usize] else {
            let name = self.names[conn as usize].clone();
            return self.broken(&format!("a frame of {name:?}, whose exchange is not known"));
        };
        if let Some(pace) = &mut self.pace {
            pace.wait(t);
        }
        let begun = Instant::now();
        self.playback.out.begun = begun;
        self.frames += 1;
        if !self.frames.is_multiple_of(SAMPLE) {
            // A rejected frame is counted by its feed.
            let _ = self.playback.frame(route, t, n, bytes, |_, _, _, _| ());
            return;
        }
        let mut decoded = None;
        let _ = self.playback.frame(route, t, n, bytes, |_, _, _, _| {
            decoded.get_or_insert_with(Instant::now);
        });
        let metrics = &self.playback.metrics.engine;
        if let Some(decoded) = decoded {
            // The first event's own work is counted as decoding: a few nanoseconds.
            metrics
                .recv_to_decoded
                .record((decoded - begun).as_nanos() as i64);
            metrics.decide.record(decoded.elapsed().as_nanos() as i64);
        }
    }

    #[cold]
    fn find_route(&mut self, conn: &str) {
        if let Some(i) = self.names.iter().position(|n| n == conn)
            && self.routes[i].is_none()
        {
            self.routes[i] = self.playback.route(conn, None).ok();
        }
    }

    #[cold]
    fn broken(&mut self, what: &str) {
        self.broken_lines += 1;
        if self.broken_lines <= 10 {
            tracing::error!("{what}; the other lines are played");
        }
    }
}

fn create(path: Option<&Path>) -> anyhow::Result<Option<BufWriter<File>>> {
    let Some(path) = path else { return Ok(None) };
    let place = || format!("{} cannot be written", path.display());
    let file = File::create(path).with_context(place)?;
    Ok(Some(BufWriter::new(file)))
}

/// Takes the engine's signals and their outcomes: counts them, and writes them where that is asked
/// for.
struct Decisions {
    sink: Option<BufWriter<File>>,
    outcomes: Option<BufWriter<File>>,
    failed: Option<std::io::Error>,
    producer: String,
    descriptions: Arc<Descriptions>,
    registry: Arc<Registry>,
    metrics: Arc<Metrics>,
    /// When the frame under way was begun.
    begun: Instant,
    signals: u64,
}

impl Outbox for Decisions {
    fn signal(&mut self, mut signal: Signal) {
        let took_ns = self.begun.elapsed().as_nanos() as i64;
        self.metrics.engine.tick_to_signal.record(took_ns);
        self.signals += 1;
        signal.timing.decided_ns = signal.timing.recv_ns + took_ns;
        let Some(sink) = &mut self.sink else { return };
        let described = self.descriptions.get(signal.setting);
        let instrument = self.registry.get(signal.instrument);
        let sent_ns = signal.timing.decided_ns;
        let record = SignalRecord::new(&signal, &described, &instrument, &self.producer, sent_ns);
        if let Err(e) = write_line(sink, &record) {
            self.failed.get_or_insert(e);
        }
    }

    fn outcome(&mut self, outcome: Outcome) {
        self.metrics.engine.outcomes.add(1);
        let Some(sink) = &mut self.outcomes else {
            return;
        };
        let instrument = self.registry.get(outcome.instrument);
        let record = OutcomeRecord::new(&outcome, &instrument, &self.producer);
        if let Err(e) = write_line(sink, &record) {
            self.failed.get_or_insert(e);
        }
    }

    #[inline]
    fn tick(&mut self, _tick: Tick) {}

    fn book_broken(&mut self, _instrument: InstrumentId, _reason: Reason) {}

    fn suppressed(&mut self) {
        self.metrics.engine.signals_suppressed.add(1);
    }

    fn switched_off(&mut self) {
        self.metrics.engine.signals_switched_off.add(1);
    }

    fn refused(&mut self, strategy: &str, instrument: InstrumentId, why: &str) {
        tracing::error!(
            strategy,
            instrument,
            why,
            "it does not run on this instrument"
        );
    }

    fn strategy_stopped(&mut self, strategy: &str, instrument: InstrumentId) {
        self.metrics.engine.strategies_stopped.add(1);
        tracing::error!(
            strategy,
            instrument,
            "a strategy panicked and is stopped; the others go on"
        );
    }
}

impl Decisions {
    fn finish(&mut self) -> anyhow::Result<u64> {
        for mut sink in [self.sink.take(), self.outcomes.take()]
            .into_iter()
            .flatten()
        {
            sink.flush()
                .context("signals cannot be written; is the disk full?")?;
        }
        Ok(self.signals)
    }
}

fn write_line(sink: &mut impl Write, record: &impl serde::Serialize) -> std::io::Result<()> {
    serde_json::to_writer(&mut *sink, record)?;
    sink.write_all(b"\n")
}
