//! Trades and quotes to InfluxDB, into its policy `realtime`; the bars that the trades make, into
//! the policies that keep longer; and the measurements beside `market_data`.
//!
//! Points of one series with equal times overwrite each other, so a point's time is the event's
//! plus an offset below the stamp's resolution that comes from its id: trades within a millisecond
//! stay apart, and writing a batch again changes nothing. While a write is under way, or the store
//! is away, ticks are still taken from the ring into a bounded queue; what it does not hold goes to
//! the `spool` on disk, and what that does not hold is lost. What is stored, refused, too old or
//! lost is counted to the unit. Runs on the publishers' runtime; never holds back the engine.
//!
//! Bars are made here rather than by continuous queries of the server: those look at a window once,
//! so a trade that comes late is in none, nor is what was traded while the server was away, and 2.x
//! has none of them. Here a bar is written again whenever it changed (`rollup`); what memory cannot
//! know is made again from the store's own points (`repair`). What was stored is read by `past`,
//! for `tickforge warm`, too.

mod bar;
mod bars;
mod batch;
mod derived;
mod disk;
mod line;
mod lines;
pub mod measurements;
mod past;
mod performance;
mod points;
mod policy;
mod pump;
mod queue;
mod repair;
mod rollup;
mod server;
mod spool;
mod system;

use crate::config::InfluxConfig;
use crate::market::{Registry, Tick};
use crate::metrics::ledger::Effect;
use crate::metrics::{Counter, Metrics, TickMetrics};
use crate::publishers::intake::{self, Stop};
use crate::publishers::ledger;
use crate::ring::Consumer;
use bars::Bars;
use batch::Batch;
pub use derived::Derived;
use derived::Outbound;
use disk::Disk;
pub use past::{Name, RawTrade, Reader, has_bars};
pub use performance::performance;
pub use points::render;
pub use policy::{Difference, Outcome, Policy, Report};
use queue::Queue;
use server::Server;
use spool::Spool;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
pub use system::system;

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
/// what is left goes to the spool. `derived` takes other points meanwhile. An error means that it
/// never began: the configuration names a version that this build cannot speak.
pub async fn run(
    consumer: Consumer<Tick>,
    config: InfluxConfig,
    spool: PathBuf,
    registry: Arc<Registry>,
    metrics: Arc<Metrics>,
    derived: Arc<Derived>,
    stop: Stop,
) -> Result<(), String> {
    let server = Server::new(&config)?;
    let (counts, derived_counts) = (&metrics.influx, &metrics.influx_derived);
    let open = |spool: PathBuf, bytes: u64, of: fn(&Metrics) -> &TickMetrics| match bytes {
        0 => None,
        bytes => Spool::start(spool, bytes, Arc::clone(&metrics), of)
            .inspect_err(|e| tracing::error!("influx: no spool: {e}; points wait in memory alone"))
            .ok(),
    };
    let memory = bars::Memory::open(&spool).await;
    let bars = Bars::new(&derived, &metrics.rollup, memory, Arc::clone(&registry));
    let second = open(derived_dir(&spool), config.spool_max_bytes / 4, |m| {
        &m.influx_derived
    });
    let (ours, others) = (UnderWay::default(), UnderWay::default());
    let disk = Disk::new(second, derived_counts, &others);
    let mut outbound = Outbound::new(&derived, disk, &config);
    let disk = Disk::new(
        open(spool, config.spool_max_bytes, |m| &m.influx),
        counts,
        &ours,
    );
    let mut queue = Queue::new(consumer, config, registry, disk, bars);
    let (mut batch, mut derived_batch) = (Batch::default(), Batch::default());
    let ready = tokio::sync::Notify::new();
    let ticks = async {
        intake::alongside(set_up(&server, counts), || pump::Supply::drain(&mut queue)).await;
        ready.notify_one();
        pump::pump(&mut queue, &mut batch, &server, stop.clone()).await;
        derived.close();
    };
    let points = async {
        intake::alongside(ready.notified(), || pump::Supply::drain(&mut outbound)).await;
        pump::pump(&mut outbound, &mut derived_batch, &server, stop.clone()).await;
    };
    let left = tokio::select! {
        _ = async { tokio::join!(ticks, points) } => false,
        () = intake::deadline(stop.clone()) => true,
    };
    if left {
        pump::Supply::drain(&mut queue);
        if let left @ 1.. = batch.unresolved() + queue.points() {
            tracing::warn!(left, "{}: points not stored before the stop", server.place);
        }
    }
    let bars = queue.finish(batch).await;
    outbound.finish(derived_batch).await;
    bars.close().await;
    counts.ledger.close();
    Ok(())
}

/// Beside the ticks' spool.
fn derived_dir(spool: &Path) -> PathBuf {
    spool.with_file_name("influx-derived")
}

/// Brings database and policies, or buckets, to what they should be, and says what was found.
pub async fn set_up_now(config: &InfluxConfig, mend: bool) -> Result<Vec<Report>, String> {
    Server::new(config)?.set_up(mend).await
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

async fn set_up(server: &Server, counts: &TickMetrics) {
    let mut failures = 0;
    while let Err(reason) = server.set_up(false).await {
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

#[cfg(test)]
pub mod tests;
