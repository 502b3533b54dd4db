//! The only wiring: makes the rings, starts the threads, orders the shutdown.
//!
//! ```text
//!  ingest thread ──events──▶ engine thread ──signals──▶ journal thread ──page cache──▶ store tasks
//!        ▲──────books that are wrong──┘  └──ticks──▶ one ring for each tick store
//! ```
//! | queue | bounded by | when full |
//! |---|---|---|
//! | events | `[engine] ring` | the sockets wait (`ring_full`) |
//! | books that are wrong | 1024 | the request is dropped: the book stays stale and is found again |
//! | minutes of the last 24 hours | 8192 | the minute is dropped: the next run knows less of its day |
//! | what the engine remembers | 4 | it is taken down a minute later |
//! | signals | `[engine] signal_ring` | the engine waits (`signal_ring_full`) |
//! | ticks, one for each store | `[engine] tick_ring` | the new tick is dropped (`ring_dropped`) |
//! | ticks waiting for InfluxDB | `max_waiting` | the oldest go to the spool |
//! | bars and other points waiting for InfluxDB | 4 × `batch` while one is written | they go to a spool |
//! | spool on disk, and that of bars | `spool_max_bytes`, a quarter | the oldest are dropped (`dropped`, and by instrument) |
//! | journal | `[journal] max_bytes` | delivered records go, then new signals are refused (`refused`) |
//!
//! Shutdown follows the flow: ingest, engine, journal, stores; each drains what the one before it
//! left.

mod recording;
mod stores;

pub use recording::Recording;
use stores::Stores;

use crate::capture::{Dir, Line, Recorder, mark};
use crate::clock::Clock;
use crate::config::{Changes, Config};
use crate::cores::{self, Placement};
use crate::engine::plan::{self, Change};
use crate::engine::{self, Engine, Plan, Saved, Settings, Tuning};
use crate::market::day::History;
use crate::market::{Event, InstrumentId, Reason, Registry};
use crate::metrics::Metrics;
use crate::net::{self, Hub, PastContext, SwitchContext, Tuned};
use crate::outcome::Decision;
use crate::publishers::journal::{self, Journal, JournalContext};
use crate::publishers::{days, influx, parquet, states};
use crate::ring::{Consumer, Producer, ring};
use crate::runner::{Keeper, Runner, TickOutlet};
use crate::signal::record::SignalRecord;
use crate::strategies;
use crate::strategy::{Entry, Instance};
use crate::summary::Summary;
use crate::switches::{self, Told};
use crate::wait::Waiter;
use crate::watchdog::beat;
use anyhow::{Context, anyhow, bail};
use crossbeam::channel::bounded;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::LocalSet;

/// Requests for resyncs that may wait.
const BROKEN_RING: usize = 1024;
/// Changed minutes of the day that may wait for the disk.
const DAYS_RING: usize = 8192;
/// What the engine remembers of so many instruments may wait for the disk.
const STATE_BUFFERS: usize = 4;
/// The engine thread sleeps this long at a time while the market is silent; an event wakes it.
const PARK: Duration = Duration::from_millis(500);

type DaysThread = Option<JoinHandle<()>>;
type Stop = watch::Receiver<Option<Instant>>;
type StopSender = watch::Sender<Option<Instant>>;

/// A running daemon.
pub struct App {
    pub metrics: Arc<Metrics>,
    pub registry: Arc<Registry>,
    pub clock: Clock,
    config: Config,
    fresh: watch::Sender<Duration>,
    started: Instant,
    stop_ingest: StopSender,
    stop_journal: StopSender,
    stop_stores: StopSender,
    ingest: JoinHandle<()>,
    engine: JoinHandle<Engine>,
    journal: JoinHandle<()>,
    stores: Vec<JoinHandle<()>>,
    days: Option<JoinHandle<()>>,
    states: JoinHandle<()>,
    /// As they run.
    plans: Vec<Plan>,
    settings: Arc<Settings>,
    tuning: watch::Sender<Vec<Tuned>>,
}

/// The configured strategies with their parameters, checked. All of them, at their defaults, where
/// the configuration names none; those that look at several instruments need to be told which.
pub fn plans(config: &Config) -> anyhow::Result<Vec<Plan>> {
    if config.strategies.is_empty() {
        let plan = |entry: &'static Entry| {
            let name = entry.spec.name;
            Plan::configured(name, entry, &Instance::of(name))
        };
        return strategies::by_default().map(plan).collect();
    }
    let plan = |(name, instance): (&String, &Instance)| {
        let entry = strategies::find(&instance.strategy)
            .with_context(|| format!("[strategies.{name}] unknown strategy"))?;
        Plan::configured(name, entry, instance)
    };
    config.strategies.iter().map(plan).collect()
}

/// All at nothing, but for what the run before lost; the ledgers of this run are open.
fn metrics(config: &Config) -> Metrics {
    let mut metrics = Metrics::default();
    if config.stores.influx.is_some() {
        influx::renew_ledger(&mut metrics.influx, &config.data_dir);
    }
    if config.stores.parquet.is_some() {
        parquet::renew_ledger(&mut metrics.parquet, &config.data_dir);
    }
    metrics
}

/// What the threads are wired with.
struct Wiring {
    config: Config,
    metrics: Arc<Metrics>,
    registry: Arc<Registry>,
    clock: Clock,
    /// Strategies by name, in the engine's order.
    names: Vec<Arc<str>>,
    settings: Arc<Settings>,
    tuned: watch::Receiver<Vec<Tuned>>,
    /// `[http] fresh`.
    fresh: watch::Receiver<Duration>,
    placement: Placement,
}

/// What takes from the engine, beside the journal.
struct Around {
    ticks: Vec<TickOutlet>,
    days: Option<Producer<days::Changed>>,
    keeper: Option<Keeper>,
}

impl App {
    /// Starts everything. An error means that nothing runs: a wrong configuration, a journal that
    /// cannot be opened. What is away at run time is no error.
    pub fn start(config: Config, record: Option<PathBuf>) -> anyhow::Result<App> {
        let plans = plans(&config)?;
        if let Some(influx) = &config.stores.influx {
            influx::accept(influx).map_err(|e| anyhow!(e))?;
        }
        std::fs::create_dir_all(&config.data_dir)
            .with_context(|| format!("data folder {} cannot be made", config.data_dir.display()))?;
        let (fresh, fresh_now) = watch::channel(config.http.fresh);
        let (tuning, tuned) = watch::channel(Vec::new());
        let registry = Arc::new(Registry::default());
        let mut engine = Engine::new(Arc::clone(&registry), plans);
        let wiring = Wiring {
            metrics: Arc::new(metrics(&config)),
            registry,
            clock: Clock::system(),
            names: engine.plans().iter().map(|p| Arc::clone(&p.name)).collect(),
            settings: Arc::clone(engine.settings()),
            tuned,
            fresh: fresh_now,
            placement: Placement::new(&config)?,
            config,
        };
        let (stop_ingest, ingest_stop) = watch::channel(None);
        let (stop_journal, journal_stop) = watch::channel(None);
        let (stop_stores, stores_stop) = watch::channel(None);
        let engine_config = &wiring.config.engine;
        let (events, events_out) = ring(engine_config.ring);
        let (signals, signals_out) = ring(engine_config.signal_ring);
        let (broken, broken_out) = ring(BROKEN_RING);

        let mut recorder = record.as_deref().map(Recorder::start).transpose()?;
        let (journal, opened) = Journal::open(&wiring.journal_dir(), &wiring.config.journal)?;
        let unfinished = wiring.unfinished(&journal, recorder.as_mut())?;
        wiring.metrics.journal.torn_bytes.set(opened.torn_bytes);
        let max_bytes = wiring.config.journal.max_bytes;
        wiring.metrics.journal.max_bytes.set(max_bytes);
        let (published, published_out) = watch::channel(opened.last_seq);
        let mut stores = Stores::new(&wiring, published_out, stores_stop.clone());
        let context = wiring.journal_context(published, stores.taken.clone(), &unfinished);
        let journal = spawn("journal", &wiring.placement.others, move || {
            journal::run(signals_out, journal, context, journal_stop)
        })?;
        let outlets = std::mem::take(&mut stores.outlets);
        let (telling, told) = watch::channel(Told {
            switches: switches::load(&switches::path(&wiring.config.data_dir)),
            read: wiring.config.stores.postgres.is_none(),
        });
        let threads = stores.start(&wiring, telling)?;
        let (history, changed, days) = wiring.days()?;
        engine = engine.with_history(history);
        engine.resume(unfinished.into_iter().map(|(_, signal)| signal));
        let past = wiring.past(&mut engine, recorder.as_mut());
        let (keeper, states) = wiring.states()?;
        let around = Around {
            ticks: outlets,
            days: changed,
            keeper: Some(keeper),
        };
        let plans = engine.plans().to_vec();
        let engine = wiring.engine(engine, events_out, signals, around, broken)?;
        let ingest = wiring.ingest(events, broken_out, recorder, (told, past), ingest_stop)?;
        Ok(App {
            metrics: wiring.metrics,
            registry: wiring.registry,
            clock: wiring.clock,
            config: wiring.config,
            fresh,
            started: Instant::now(),
            stop_ingest,
            stop_journal,
            stop_stores,
            ingest,
            engine,
            journal,
            stores: threads,
            days,
            states,
            plans,
            settings: wiring.settings,
            tuning,
        })
    }

    /// Drains, in the order of the flow, and says what the run did. An error names a thread that
    /// panicked; the others were drained all the same.
    pub fn stop(self) -> anyhow::Result<Summary> {
        let seconds = self.started.elapsed().as_secs_f64();
        let deadline = Some(Instant::now() + self.config.engine.drain);
        let mut fallen = Vec::new();
        let mut join = |name: &'static str, ended: bool| {
            if !ended {
                fallen.push(name);
            }
        };
        self.stop_ingest.send_replace(deadline);
        join("ingest", self.ingest.join().is_ok());
        join("engine", self.engine.join().is_ok());
        if let Some(days) = self.days {
            join("days", days.join().is_ok());
        }
        join("states", self.states.join().is_ok());
        self.stop_journal.send_replace(deadline);
        join("journal", self.journal.join().is_ok());
        self.stop_stores.send_replace(deadline);
        for store in self.stores {
            join("store", store.join().is_ok());
        }
        let summary = Summary::new(&self.metrics, &self.config.data_dir, seconds);
        if !fallen.is_empty() {
            bail!("threads that panicked: {}", fallen.join(", "));
        }
        Ok(summary)
    }

    pub fn summary(&self) -> Summary {
        Summary::new(
            &self.metrics,
            &self.config.data_dir,
            self.started.elapsed().as_secs_f64(),
        )
    }

    /// Takes over what can be changed while running; says what that was, and what needs a restart.
    pub fn reload(&mut self, new: &Config) -> Changes {
        let changes = self.config.take_over(new);
        self.fresh.send_replace(self.config.http.fresh);
        for name in &changes.tuned {
            if let Err(error) = self.tune(name) {
                tracing::error!("{error:#}; its parameters stay as they were");
            }
        }
        changes
    }

    /// Sends a strategy's parameters, as they stand in the configuration now, to the engine.
    fn tune(&mut self, name: &str) -> anyhow::Result<()> {
        let section = &self.config.strategies[name];
        let named = self.plans.iter().position(|plan| &*plan.name == name);
        let index = named.with_context(|| format!("[strategies.{name}] does not run"))?;
        let plan = &mut self.plans[index];
        plan.tuning = Tuning::new(name, plan.entry, section)?;
        let tuning = plan.tuning.clone();
        let change = self.settings.leave(Change {
            plan: index as u16,
            tuning,
        });
        let tuned = Tuned {
            strategy: Arc::clone(&plan.name),
            change,
            section: serde_json::to_vec(section)?.into(),
        };
        self.tuning.send_modify(|all| all.push(tuned));
        Ok(())
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The threads that this configuration has started, by their names in `Passes`.
    pub fn threads(&self) -> Vec<&'static str> {
        let mut threads = vec!["ingest", "engine", "journal", "stores"];
        if self.config.stores.parquet.is_some() {
            threads.push("parquet");
        }
        threads
    }

    /// A thread has ended that should run: a panic there. The daemon is of no use then.
    pub fn crippled(&self) -> bool {
        self.ingest.is_finished() || self.engine.is_finished() || self.journal.is_finished()
    }
}

/// A thread that runs on these cores, or on any.
fn spawn<T: Send + 'static>(
    name: &'static str,
    cores: &Option<Vec<usize>>,
    work: impl FnOnce() -> T + Send + 'static,
) -> anyhow::Result<JoinHandle<T>> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    let cores = cores.clone();
    let placed = move || {
        if let Some(Err(error)) = cores.map(|cores| cores::allow(&cores)) {
            tracing::error!(thread = name, %error, "the thread is not pinned");
        }
        work()
    };
    thread
        .spawn(placed)
        .with_context(|| format!("the {name} thread cannot be started"))
}

/// A single-threaded runtime for one thread's tasks.
fn block_on(work: impl Future<Output = ()>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, work);
    Ok(())
}

impl Wiring {
    fn journal_dir(&self) -> PathBuf {
        journal::dir(&self.config.data_dir)
    }

    fn journal_context(
        &self,
        published: watch::Sender<u64>,
        taken: Vec<Arc<AtomicU64>>,
        unfinished: &[(u64, SignalRecord)],
    ) -> JournalContext {
        JournalContext {
            producer: self.config.name.clone(),
            descriptions: Arc::clone(&self.settings.descriptions),
            registry: Arc::clone(&self.registry),
            metrics: Arc::clone(&self.metrics),
            clock: self.clock,
            sync: self.config.journal.sync,
            published,
            taken,
            unfinished: unfinished.iter().map(|(n, s)| (s.signal_id, *n)).collect(),
        }
    }

    /// Signals of earlier runs that have not ended; a recording begins with them.
    fn unfinished(
        &self,
        journal: &Journal,
        recorder: Option<&mut Recorder>,
    ) -> anyhow::Result<Vec<(u64, SignalRecord)>> {
        let found = journal::unfinished(journal).context("reading the journal's open signals")?;
        if !found.is_empty() {
            tracing::info!(signals = found.len(), "still open, watched again");
        }
        if let Some(recorder) = recorder {
            for (_, signal) in &found {
                let line = Line::new(self.clock.now_ns(), mark::RECORDER, Dir::Mark)
                    .with_mark(mark::UNFINISHED, "", "restart")
                    .with_payload(&serde_json::to_vec(signal)?, false);
                recorder.record(line);
            }
        }
        Ok(found)
    }

    fn engine(
        &self,
        engine: Engine,
        events: Consumer<Event>,
        signals: Producer<Decision>,
        around: Around,
        broken: Producer<(InstrumentId, Reason)>,
    ) -> anyhow::Result<JoinHandle<Engine>> {
        let limits = &self.config.engine;
        let runner = Runner {
            engine,
            events,
            signals,
            ticks: around.ticks,
            days: around.days,
            keeper: around.keeper,
            broken,
            registry: Arc::clone(&self.registry),
            metrics: Arc::clone(&self.metrics),
            clock: self.clock,
            waiter: Waiter::new(limits.spin, limits.yield_for, PARK),
        };
        spawn("engine", &self.placement.engine, move || runner.run())
    }

    /// What is known from before this run, and what is to be asked of the exchanges. A recording
    /// begins with it.
    fn past(&self, engine: &mut Engine, recorder: Option<&mut Recorder>) -> PastContext {
        let max_age = self.config.engine.state_max_age;
        let saved: Saved = states::load(&states::dir(&self.config.data_dir), engine::CODE, max_age);
        let mut past = PastContext::default();
        if self.config.ingest.history {
            past.candles = plan::candles(engine.plans());
            let last = |(name, state): (&String, &Vec<u8>)| {
                Some((name.clone(), engine::last_trade(state)?))
            };
            past.resume = saved.iter().filter_map(last).collect();
        }
        let promised = !(past.candles.is_empty() && past.resume.is_empty());
        if promised {
            engine.promise_past();
        }
        if let Some(recorder) = recorder {
            let mut mark = |mark, name: &str, why: &str, bytes: &[u8]| {
                let line = Line::new(self.clock.now_ns(), mark::RECORDER, Dir::Mark);
                recorder.record(line.with_mark(mark, name, why).with_payload(bytes, true));
            };
            for (name, state) in &saved {
                mark(mark::REMEMBERED, name, &engine::CODE.to_string(), state);
            }
            if promised {
                mark(mark::PAST, "", "start", b"");
            }
        }
        engine.remember(saved);
        past
    }

    /// What keeps the engine's memory for the next run.
    fn states(&self) -> anyhow::Result<(Keeper, JoinHandle<()>)> {
        let (full, filled) = bounded(STATE_BUFFERS);
        let (used, empty) = bounded(STATE_BUFFERS);
        for _ in 0..STATE_BUFFERS {
            used.send(Vec::new())?;
        }
        let dir = states::dir(&self.config.data_dir);
        let registry = Arc::clone(&self.registry);
        let thread = spawn("states", &self.placement.others, move || {
            states::run(&dir, engine::CODE, &filled, &used, &registry);
        })?;
        Ok((Keeper { full, empty }, thread))
    }

    /// The last 24 hours of earlier runs, and what keeps them for later ones, where a store wants
    /// them.
    fn days(&self) -> anyhow::Result<(History, Option<Producer<days::Changed>>, DaysThread)> {
        let stores = &self.config.stores;
        if stores.influx.is_none() && stores.redis.is_none() {
            return Ok((History::new(), None, None));
        }
        let (file, history) = days::load(&days::file(&self.config.data_dir));
        let (changed, changes) = ring(DAYS_RING);
        let registry = Arc::clone(&self.registry);
        let thread = spawn("days", &self.placement.others, move || {
            days::run(changes, file, registry)
        })?;
        Ok((history, Some(changed), Some(thread)))
    }

    fn ingest(
        &self,
        events: Producer<Event>,
        broken: Consumer<(InstrumentId, Reason)>,
        recorder: Option<Recorder>,
        (told, past): (watch::Receiver<Told>, PastContext),
        stop: Stop,
    ) -> anyhow::Result<JoinHandle<()>> {
        let (strategies, tuned) = (self.names.clone(), self.tuned.clone());
        let (registry, metrics) = (Arc::clone(&self.registry), Arc::clone(&self.metrics));
        let (clock, config) = (self.clock, self.config.clone());
        let others = self.placement.others.clone();
        spawn("ingest", &self.placement.ingest, move || {
            let work = async {
                let passing = Arc::clone(&metrics);
                tokio::task::spawn_local(async move { beat(&passing.passes.ingest).await });
                let switches = SwitchContext {
                    told,
                    tuned,
                    strategies,
                };
                let hub = Hub::new(events, broken, registry, metrics, clock, recorder, switches);
                net::ingest(&config, hub, past, stop).await;
            };
            if let Err(e) = net::drive::block_on(others, work) {
                tracing::error!("the ingest thread has no runtime: {e:#}");
            }
        })
    }
}
