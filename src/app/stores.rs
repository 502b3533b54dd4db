//! Which stores does the configuration want, and what runs for them? The followers of the journal,
//! what takes ticks, and the page of metrics share one thread; Parquet has its own, since it blocks
//! on the disk.

mod alongside;

use super::{Stop, Wiring, block_on, spawn};
use crate::config::Config;
use crate::market::{Registry, Tick};
use crate::metrics::{Metrics, SignalMetrics, TickMetrics};
use crate::net;
use crate::publishers::follow::{FollowContext, follow};
use crate::publishers::journal::{self, System};
use crate::publishers::postgres::PostgresSink;
use crate::publishers::redis::{self, RedisSink};
use crate::publishers::{SignalSink, influx, parquet};
use crate::ring::{Consumer, ring};
use crate::runner::TickOutlet;
use crate::switches::Told;
use crate::watchdog::beat;
use crate::{backup, http};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;

/// The stores of a configuration: what follows the journal, what takes ticks.
pub(super) struct Stores {
    pub(super) outlets: Vec<TickOutlet>,
    /// What each follower has taken of the journal.
    pub(super) taken: Vec<Arc<AtomicU64>>,
    published: watch::Receiver<u64>,
    stop: Stop,
    influx: Option<Consumer<Tick>>,
    updates: Option<Consumer<Tick>>,
    parquet: Option<Consumer<Tick>>,
    /// For positions and analyses.
    market: Option<Consumer<Tick>>,
}

impl Stores {
    pub(super) fn new(wiring: &Wiring, published: watch::Receiver<u64>, stop: Stop) -> Self {
        let config = &wiring.config.stores;
        wiring
            .metrics
            .postgres
            .wanted
            .set(config.postgres.is_some().into());
        wiring
            .metrics
            .redis
            .wanted
            .set(config.redis.is_some().into());
        let notifies = config.postgres.as_ref().is_some_and(|c| c.notify);
        wiring.metrics.notifications.wanted.set(notifies.into());
        let followers = usize::from(config.postgres.is_some())
            + usize::from(config.redis.is_some())
            + usize::from(notifies);
        let market = config.postgres.as_ref();
        let market =
            market.is_some_and(|c| !(c.positions_every.is_zero() && c.analysis_every.is_zero()));
        let mut outlets = Vec::new();
        let mut outlet = |wanted: bool, metrics: fn(&Metrics) -> &TickMetrics, quotes: bool| {
            wanted.then(|| {
                let (ring, consumer) = ring(wiring.config.engine.tick_ring);
                outlets.push(TickOutlet::new(ring, metrics, quotes));
                consumer
            })
        };
        Stores {
            influx: outlet(config.influx.is_some(), |m| &m.influx, true),
            updates: outlet(config.redis.is_some(), |m| &m.market_updates, false),
            parquet: outlet(config.parquet.is_some(), |m| &m.parquet, true),
            market: outlet(market, |m| &m.market, false),
            outlets,
            taken: (0..followers).map(|_| Arc::default()).collect(),
            published,
            stop,
        }
    }

    /// Starts the stores' thread, and Parquet's own, since it blocks on the disk.
    pub(super) fn start(
        self,
        wiring: &Wiring,
        telling: watch::Sender<Told>,
    ) -> anyhow::Result<Vec<JoinHandle<()>>> {
        let mut threads = Vec::new();
        if let (Some(ticks), Some(config)) = (self.parquet, wiring.config.stores.parquet.clone()) {
            let dir = parquet::dir(&wiring.config.data_dir);
            let (registry, metrics) = (Arc::clone(&wiring.registry), Arc::clone(&wiring.metrics));
            let stop = self.stop.clone();
            threads.push(spawn("parquet", &wiring.placement.others, move || {
                parquet::run(ticks, dir, config, registry, metrics, stop)
            })?);
        }
        let tasks = Tasks {
            config: wiring.config.clone(),
            registry: Arc::clone(&wiring.registry),
            metrics: Arc::clone(&wiring.metrics),
            published: self.published,
            taken: self.taken,
            fresh: wiring.fresh.clone(),
            telling,
            stop: self.stop,
        };
        let (influx, updates, market) = (self.influx, self.updates, self.market);
        threads.push(spawn("stores", &wiring.placement.others, move || {
            if let Err(e) = block_on(tasks.run(influx, updates, market)) {
                tracing::error!("the stores' thread has no runtime: {e:#}");
            }
        })?);
        Ok(threads)
    }
}

/// Everything on the stores' thread.
struct Tasks {
    config: Config,
    registry: Arc<Registry>,
    metrics: Arc<Metrics>,
    published: watch::Receiver<u64>,
    taken: Vec<Arc<AtomicU64>>,
    fresh: watch::Receiver<Duration>,
    telling: watch::Sender<Told>,
    stop: Stop,
}

impl Tasks {
    async fn run(
        self,
        influx: Option<Consumer<Tick>>,
        updates: Option<Consumer<Tick>>,
        market: Option<Consumer<Tick>>,
    ) {
        let mut tasks = Vec::new();
        let (passing, mut stop) = (Arc::clone(&self.metrics), self.stop.clone());
        // Keeps the thread, and what watches it, where nothing else is configured.
        tasks.push(tokio::task::spawn_local(async move {
            tokio::select! {
                () = beat(&passing.passes.stores) => {}
                () = net::stopped(&mut stop) => {}
            }
        }));
        let mut taken = self.taken.iter().cloned();
        let stores = self.config.stores.clone();
        tasks.extend(self.alongside_postgres(market));
        if let Some(config) = stores.postgres {
            let taken = taken.next().unwrap_or_default();
            let context = self.follow_context(|m| &m.postgres, config.batch, config.timeout, taken);
            let sink = PostgresSink::new(
                config,
                Arc::clone(&self.registry),
                Arc::clone(&self.metrics),
            );
            tasks.push(tokio::task::spawn_local(deliver(
                sink,
                context,
                self.stop.clone(),
            )));
        }
        if let Some(config) = stores.redis.clone() {
            let taken = taken.next().unwrap_or_default();
            let batch = config.batch * redis::signals::BATCHES_AHEAD;
            let context = self.follow_context(|m| &m.redis, batch, config.timeout, taken);
            let sink = RedisSink::new(config, self.config.name.clone(), Arc::clone(&self.metrics));
            tasks.push(tokio::task::spawn_local(deliver(
                sink,
                context,
                self.stop.clone(),
            )));
        }
        if let (Some(config), Some(ticks)) = (stores.redis, updates) {
            let (registry, metrics) = (Arc::clone(&self.registry), Arc::clone(&self.metrics));
            let work = redis::updates(ticks, config, registry, metrics, self.stop.clone());
            tasks.push(tokio::task::spawn_local(work));
        }
        if let (Some(config), Some(ticks)) = (stores.influx, influx) {
            let (registry, metrics) = (Arc::clone(&self.registry), Arc::clone(&self.metrics));
            let spool = influx::spool_dir(&self.config.data_dir);
            let derived = influx::Derived::new(Arc::clone(&metrics));
            let health = influx::system(
                Arc::clone(&derived),
                self.config.name.clone(),
                config.metrics_every,
                Arc::clone(&metrics),
                self.stop.clone(),
            );
            tasks.push(tokio::task::spawn_local(health));
            if let Some(postgres) = self.config.stores.postgres.clone() {
                tasks.push(tokio::task::spawn_local(influx::performance(
                    Arc::clone(&derived),
                    postgres,
                    config.performance_every,
                    self.stop.clone(),
                )));
            }
            let stop = self.stop.clone();
            let work = influx::run(ticks, config, spool, registry, metrics, derived, stop);
            tasks.push(tokio::task::spawn_local(async move {
                if let Err(e) = work.await {
                    tracing::error!("ticks are not stored: {e}");
                }
            }));
        }
        let (metrics, backups) = (Arc::clone(&self.metrics), self.config.backups());
        let mut stop = self.stop.clone();
        tasks.push(tokio::task::spawn_local(async move {
            let newest = |ns| metrics.backup_ns.set(ns);
            tokio::select! {
                () = backup::folder::watch(&backups, newest) => {}
                () = net::stopped(&mut stop) => {}
            }
        }));
        let (config, metrics, stop) = (self.config.http, self.metrics, self.stop);
        let fresh = self.fresh;
        tasks.push(tokio::task::spawn_local(async move {
            if let Err(e) = http::serve(config, fresh, metrics, stop).await {
                tracing::error!("no metrics page: {e:#}; the daemon goes on");
            }
        }));
        for task in tasks {
            // A task that panicked was reported by the panic hook.
            let _ = task.await;
        }
    }

    fn follow_context(
        &self,
        of: fn(&Metrics) -> &SignalMetrics,
        batch: usize,
        timeout: Duration,
        taken: Arc<AtomicU64>,
    ) -> FollowContext {
        FollowContext {
            disk: Arc::new(System),
            journal: journal::dir(&self.config.data_dir),
            quarantine: self.config.data_dir.join("quarantine"),
            published: self.published.clone(),
            metrics: Arc::clone(&self.metrics),
            of,
            batch,
            timeout,
            taken,
        }
    }
}

async fn deliver<S: SignalSink>(sink: S, context: FollowContext, stop: Stop) {
    // It has said what is left, which the next start delivers.
    follow(sink, context, stop).await;
}
