//! Where do ticks go when there is no server? Into Parquet files: [`run`] takes trades and quotes
//! from the engine's ring on a thread of its own, and never holds the engine back.
//!
//! ```text
//! ticks/trades/2026-11-22/10/segment-000001.parquet           at most a minute
//!                            segment-000002.parquet
//! ticks/trades/2026-11-22/09/segment-000001-000060.parquet    an hour that is over, merged
//! ```
//! Values are exact: integers with their scale beside them, value = `price` / 10^`price_scale`.
//! Days and hours are UTC, of the moment of receipt. How a kill at any point loses at most the open
//! segment and doubles nothing is told in `files.rs`.
//!
//! offered = stored + spooled + dropped: what waits in memory is spooled, and what a full disk
//! makes us give up is dropped, oldest first.

mod files;
mod merger;
mod past;
mod table;

use crate::clock;
use crate::config::ParquetConfig;
use crate::market::{Event, InstrumentId, Kind, Registry, Status, Tick};
use crate::metrics::ledger::{Effect, Settler, Shares};
use crate::metrics::{Metrics, TickMetrics};
use crate::publishers::ledger;
use crate::ring::Consumer;
use merger::Merger;
pub use past::{Stored, trades};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use table::{Instruments, Row, Table};
use tokio::sync::watch;

/// Ticks taken from the ring before the time is looked at again.
const BATCH: usize = 4096;
/// The thread sleeps this long between looks at its ring and is never woken: waking it would cost
/// the engine a system call for a tick.
const SLEEP: Duration = Duration::from_millis(50);
/// The longest time between a tick and its file.
const SEGMENT_MAX: Duration = Duration::from_secs(60);
/// After a failed write, until the next try.
const RETRY_EVERY: Duration = Duration::from_secs(5);
/// Between two lines about failed writes.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);
const HOUR_NS: i64 = 3_600_000_000_000;

/// Stores ticks below `dir` (the data folder's `ticks`) until the engine's end of the ring is gone,
/// or the deadline in `stop` is over. Status events carry scales; only trades and quotes are
/// stored.
pub fn run(
    mut consumer: Consumer<Tick>,
    dir: PathBuf,
    config: ParquetConfig,
    registry: Arc<Registry>,
    metrics: Arc<Metrics>,
    stop: watch::Receiver<Option<Instant>>,
) {
    let mut store = Store::open(dir, config, registry, Arc::clone(&metrics));
    let passes = &metrics.passes.parquet;
    let counts = &metrics.parquet;
    loop {
        passes.add(1);
        let mut taken = 0;
        while taken < BATCH
            && let Some(tick) = consumer.pop()
        {
            taken += 1;
            store.push(&tick);
        }
        store.tend(Instant::now());
        counts
            .spooled
            .set((store.waiting() + consumer.len()) as u64);
        if consumer.is_closed() {
            break;
        }
        if stop
            .borrow()
            .is_some_and(|deadline| Instant::now() >= deadline)
        {
            let left = (0..consumer.len()).filter_map(|_| consumer.pop());
            let left = left.filter(|tick| tick.event.kind != Kind::Status);
            let left: Vec<Event> = left.map(|tick| tick.event).collect();
            store.drop_all(left.iter());
            let left = left.len();
            tracing::warn!(left, "the deadline is over: ticks were not stored");
            break;
        }
        if taken < BATCH {
            std::thread::sleep(SLEEP);
        }
    }
    store.finish();
}

/// Rows of one table that wait to be written.
struct Pending {
    table: Table,
    rows: Vec<Row>,
    /// When the first of them came.
    since: Option<Instant>,
}

/// An hour with segments to be merged when it is over.
struct Loose {
    over_ns: i64,
    written: Instant,
}

struct Store {
    dir: PathBuf,
    segment: Duration,
    max_rows: usize,
    instruments: Instruments,
    metrics: Arc<Metrics>,
    tables: [Pending; 2],
    loose: BTreeMap<PathBuf, Loose>,
    merger: Option<Merger>,
    next_tend: Instant,
    failing: Option<Failing>,
}

/// Writes do not succeed: a full disk, most likely.
struct Failing {
    retry: Instant,
    complained: Instant,
}

impl Store {
    fn open(
        dir: PathBuf,
        config: ParquetConfig,
        registry: Arc<Registry>,
        metrics: Arc<Metrics>,
    ) -> Store {
        let now = Instant::now();
        let hours = files::recover(&dir).unwrap_or_else(|error| {
            let place = dir.display();
            tracing::error!("ticks at {place}: {error}; are the disk and its permissions right?");
            Vec::new()
        });
        let pending = |table| Pending {
            table,
            rows: Vec::new(),
            since: None,
        };
        let mut store = Store {
            dir,
            segment: config.segment.min(SEGMENT_MAX),
            max_rows: config.max_rows.max(1),
            instruments: Instruments::new(registry),
            metrics,
            tables: [pending(Table::Trades), pending(Table::Quotes)],
            loose: BTreeMap::new(),
            merger: None,
            next_tend: now,
            failing: None,
        };
        for (path, over_ns) in hours {
            store.loose.insert(
                path,
                Loose {
                    over_ns,
                    written: now,
                },
            );
        }
        match Merger::start() {
            Ok(merger) => store.merger = Some(merger),
            Err(error) => tracing::error!(%error, "ticks are not merged by the hour: no thread"),
        }
        store
    }

    fn counts(&self) -> &TickMetrics {
        &self.metrics.parquet
    }

    fn waiting(&self) -> usize {
        self.tables.iter().map(|t| t.rows.len()).sum()
    }

    fn push(&mut self, tick: &Tick) {
        let event = tick.event;
        let table = match event.kind {
            Kind::Trade => 0,
            Kind::Quote => 1,
            Kind::Status => {
                if let Status::Rescale { price, amount } = event.status() {
                    self.instruments.rescale(event.instrument, price, amount);
                }
                return;
            }
            Kind::Book => {
                self.drop_all([&event].into_iter());
                return;
            }
        };
        let row = self.instruments.row(event);
        let pending = &mut self.tables[table];
        let hour = hour_of(&row);
        let hour_over = pending.rows.last().is_some_and(|last| hour_of(last) < hour);
        if hour_over || pending.rows.len() >= self.max_rows {
            self.flush(table, Instant::now());
        }
        let pending = &mut self.tables[table];
        pending.since.get_or_insert_with(Instant::now);
        pending.rows.push(row);
    }

    /// Closes segments whose time is over, and has hours merged that are over. Cheap when called
    /// often.
    fn tend(&mut self, now: Instant) {
        for table in 0..self.tables.len() {
            let since = self.tables[table].since;
            if since.is_some_and(|since| now.duration_since(since) >= self.segment) {
                self.flush(table, now);
            }
        }
        if now < self.next_tend {
            return;
        }
        self.next_tend = now + Duration::from_secs(1);
        let wall_ns = clock::now_ns();
        let settled = self.segment * 2;
        let Some(merger) = &self.merger else { return };
        // An hour is left alone until stragglers of its last segment can no longer come.
        self.loose.retain(|path, hour| {
            let due = wall_ns >= hour.over_ns && now.duration_since(hour.written) >= settled;
            !(due && merger.merge(path))
        });
    }

    /// Writes what waits, unless the last write failed only just now.
    fn flush(&mut self, table: usize, now: Instant) {
        if self
            .failing
            .as_ref()
            .is_none_or(|failing| now >= failing.retry)
        {
            match self.write(table) {
                Ok(()) => self.recovered(),
                Err(error) => self.failed(&error, now),
            }
        }
        // The disk is full for long: the oldest go, so that memory stays bounded.
        let max_rows = self.max_rows;
        let rows = &mut self.tables[table].rows;
        if rows.len() >= max_rows * 2 {
            let oldest: Vec<Row> = rows.drain(..max_rows).collect();
            self.drop_all(oldest.iter().map(|row| &row.event));
        }
    }

    /// These are lost, and counted where they are missed.
    fn drop_all<'a>(&mut self, events: impl Iterator<Item = &'a Event>) {
        let shares = shares(events);
        let counts = &self.metrics.parquet;
        for (instrument, n) in &shares {
            let name = self.instruments.name(*instrument);
            counts.lost.add(&name.into(), *n);
            counts.dropped.add(*n);
        }
        counts.ledger.settle(Settler::Publisher, &shares);
    }

    /// One file for each hour among the rows: one, or two at the turn of an hour.
    fn write(&mut self, table: usize) -> anyhow::Result<()> {
        let Pending { table, rows, since } = &mut self.tables[table];
        while let Some(hour) = rows.iter().map(hour_of).min() {
            let (now, later): (Vec<Row>, Vec<Row>) = rows.iter().partition(|r| hour_of(r) == hour);
            let path = files::hour_dir(&self.dir, table.name(), hour * HOUR_NS);
            let mut frame = table.frame(&now, &mut self.instruments)?;
            let number = files::next_number(&path)?;
            let segment = Effect::Segment {
                table: *table as u8,
                hour: hour as u32,
                number,
            };
            let shares = shares(now.iter().map(|row| &row.event));
            let counts = &self.metrics.parquet;
            let settlement = counts.ledger.begin(Settler::Publisher, shares, segment);
            files::write_segment(&path, number, &mut frame)?;
            settlement.complete();
            *rows = later;
            counts.stored.add(now.len() as u64);
            let over_ns = (hour + 1) * HOUR_NS;
            self.loose.insert(
                path,
                Loose {
                    over_ns,
                    written: Instant::now(),
                },
            );
        }
        *since = None;
        Ok(())
    }

    fn failed(&mut self, error: &anyhow::Error, now: Instant) {
        self.counts().retries.add(1);
        let due = |f: &Failing| now.duration_since(f.complained) >= COMPLAIN_EVERY;
        let complained = match &self.failing {
            Some(failing) if !due(failing) => failing.complained,
            _ => {
                let (place, dropped) = (self.dir.display(), self.counts().dropped.get());
                tracing::error!(dropped, "ticks at {place}: {error:#}; is the disk full?");
                now
            }
        };
        self.failing = Some(Failing {
            retry: now + RETRY_EVERY,
            complained,
        });
    }

    fn recovered(&mut self) {
        if self.failing.take().is_some() {
            tracing::info!(
                dropped = self.counts().dropped.get(),
                "ticks are stored again"
            );
        }
    }

    /// Writes all that waits; what cannot be written now is lost, and counted.
    fn finish(mut self) {
        for table in 0..self.tables.len() {
            if let Err(error) = self.write(table) {
                let rows = std::mem::take(&mut self.tables[table].rows);
                let lost = rows.len();
                tracing::error!(
                    lost,
                    "ticks at {}: {error:#}; is the disk full?",
                    self.dir.display()
                );
                self.drop_all(rows.iter().map(|row| &row.event));
            }
        }
        self.counts().spooled.set(0);
        self.counts().ledger.close();
    }
}

/// How many there are of each instrument.
fn shares<'a>(events: impl Iterator<Item = &'a Event>) -> Shares {
    let mut shares: BTreeMap<InstrumentId, u64> = BTreeMap::new();
    events.for_each(|event| *shares.entry(event.instrument).or_default() += 1);
    shares.into_iter().collect()
}

/// Hours since the epoch at which the row was received.
fn hour_of(row: &Row) -> i64 {
    row.event.recv_ns.div_euclid(HOUR_NS)
}

/// Counts what the run before took with it when it was killed, and opens this run's ledger.
pub fn renew_ledger(counts: &mut TickMetrics, data_dir: &Path) {
    let dir = dir(data_dir);
    ledger::renew(counts, data_dir, "parquet", &|effect| match effect {
        Effect::Segment {
            table,
            hour,
            number,
        } => {
            let mut tables = [Table::Trades, Table::Quotes].into_iter();
            let of = |t: Table| files::hour_dir(&dir, t.name(), i64::from(hour) * HOUR_NS);
            tables
                .find(|t| *t as u8 == table)
                .is_some_and(|t| files::holds(&of(t), number))
        }
        Effect::Sent | Effect::Frame(_) => false,
    });
}

/// The ticks' folder below the data folder.
pub fn dir(data_dir: &Path) -> PathBuf {
    data_dir.join("ticks")
}

#[cfg(test)]
mod tests;
