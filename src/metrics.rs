//! Counters and latency histograms: written by one thread each, read by anyone.

pub mod ledger;
mod ticks;

use ledger::Ledger;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, RwLock};
use ticks::INSTRUMENTS;
pub use ticks::{BacklogMetrics, Losses, RingLosses};

/// A counter with one writer: a load and a store, no locked instruction.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed) + n, Relaxed);
    }
    #[inline]
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A value that may be negative, with one writer.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    #[inline]
    pub fn set(&self, value: i64) {
        self.0.store(value, Relaxed);
    }
    #[inline]
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// Sub-buckets of each power of two: values are kept to within 1/32.
const SUB: usize = 32;
const BUCKETS: usize = SUB * 60;

/// A histogram of durations in ns with one writer, exact to 3%, of fixed size (log-linear, as
/// HdrHistogram).
pub struct Histogram {
    counts: Box<[AtomicU64]>,
    sum: Counter,
    max: Counter,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram {
            counts: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            sum: Counter::default(),
            max: Counter::default(),
        }
    }
}

impl Histogram {
    /// Records a duration, ns; a negative one (clocks that disagree) counts as 0.
    #[inline]
    pub fn record(&self, ns: i64) {
        self.record_many(ns, 1);
    }

    #[inline]
    pub fn record_many(&self, ns: i64, n: u64) {
        if n == 0 {
            return;
        }
        let v = ns.max(0) as u64;
        let bucket = &self.counts[bucket(v)];
        bucket.store(bucket.load(Relaxed) + n, Relaxed);
        self.sum.add(v * n);
        if v > self.max.get() {
            self.max.set(v);
        }
    }

    pub fn count(&self) -> u64 {
        self.counts.iter().map(|c| c.load(Relaxed)).sum()
    }

    pub fn sum_ns(&self) -> u64 {
        self.sum.get()
    }

    pub fn max_ns(&self) -> u64 {
        self.max.get()
    }

    /// The value below which `share` of the recorded ones lie, ns; 0 where nothing was recorded.
    pub fn quantile(&self, share: f64) -> u64 {
        let total = self.count();
        if total == 0 {
            return 0;
        }
        let rank = ((total as f64 * share).ceil() as u64).clamp(1, total);
        let mut seen = 0;
        for (i, c) in self.counts.iter().enumerate() {
            seen += c.load(Relaxed);
            if seen >= rank {
                return upper_bound(i).min(self.max_ns());
            }
        }
        self.max_ns()
    }

    /// Recorded values at or below `ns`, for cumulative buckets.
    pub fn count_up_to(&self, ns: u64) -> u64 {
        self.counts[..=bucket(ns)]
            .iter()
            .map(|c| c.load(Relaxed))
            .sum()
    }
}

/// A histogram's values since the last look at it.
#[derive(Default)]
pub struct Since(Vec<u64>);

impl Since {
    /// As [`Histogram::quantile`], of the values recorded since the call before; `None` where there
    /// were none.
    pub fn quantile(&mut self, histogram: &Histogram, share: f64) -> Option<u64> {
        let now: Vec<u64> = histogram.counts.iter().map(|c| c.load(Relaxed)).collect();
        self.0.resize(now.len(), 0);
        let new: Vec<u64> = now.iter().zip(&self.0).map(|(n, b)| n - b).collect();
        self.0 = now;
        let total: u64 = new.iter().sum();
        let rank = ((total as f64 * share).ceil() as u64).clamp(1, total.max(1));
        let mut seen = 0;
        let found = new.iter().position(|n| {
            seen += n;
            seen >= rank
        });
        found.map(upper_bound)
    }
}

#[inline]
fn bucket(v: u64) -> usize {
    if v < SUB as u64 {
        return v as usize;
    }
    let log = 63 - v.leading_zeros() as usize; // at least 5
    let sub = (v >> (log - 5)) as usize & (SUB - 1);
    ((log - 4) * SUB + sub).min(BUCKETS - 1)
}

/// The largest value of bucket `i`.
fn upper_bound(i: usize) -> u64 {
    if i < SUB {
        return i as u64;
    }
    let log = i / SUB + 4;
    let sub = (i % SUB) as u64;
    ((SUB as u64 + sub + 1) << (log - 5)) - 1
}

/// What the ingest thread counts. The books balance: received = decoded + control + rejected
/// frames; decoded = duplicate + delivered + dropped events.
#[derive(Debug, Default)]
pub struct IngestMetrics {
    pub frames_received: Counter,
    pub frames_decoded: Counter,
    pub frames_control: Counter,
    pub frames_rejected: Counter,
    pub bytes_received: Counter,
    pub events_decoded: Counter,
    pub events_duplicate: Counter,
    pub events_delivered: Counter,
    pub events_dropped: Counter,
    pub decode_cursor: Counter,
    pub decode_simd_json: Counter,
    pub reconnects: Counter,
    pub resyncs: Counter,
    pub gaps: Counter,
    pub inexact: Counter,
    /// Times the ring into the engine was full and reading stopped.
    pub ring_full: Counter,
    /// Requests that the exchange refused (an unknown symbol).
    pub refused: Counter,
    /// Newest frame, ns since the epoch.
    pub last_frame_ns: Counter,
    pub connections_up: Counter,
    /// Connections that should be up.
    pub connections_wanted: Counter,
}

/// What the engine thread counts.
#[derive(Default)]
pub struct EngineMetrics {
    pub events: Counter,
    pub trades: Counter,
    pub quotes: Counter,
    pub book_updates: Counter,
    pub signals: Counter,
    /// Signals not published because their book was stale.
    pub signals_suppressed: Counter,
    /// Signals not published because their strategy or instrument is switched off.
    pub signals_switched_off: Counter,
    /// Signals that have ended.
    pub outcomes: Counter,
    /// Signals that have not ended yet.
    pub signals_open: Counter,
    pub strategies_stopped: Counter,
    pub checksums_ok: Counter,
    pub checksums_failed: Counter,
    pub books_synced: Counter,
    pub books_stale: Counter,
    pub last_event_ns: Counter,
    /// Times the engine waited for a full signal ring.
    pub signal_ring_full: Counter,
    pub recv_to_decoded: Histogram,
    pub ring: Histogram,
    pub decide: Histogram,
    /// A frame's arrival to the decision on its event, whether that made a signal or not.
    pub respond: Histogram,
    pub tick_to_signal: Histogram,
    /// The exchange's stamp to decided, of events that bear one: what is late on the way, in a
    /// socket or in a ring shows here. The difference of both clocks is in it.
    pub age: Histogram,
}

/// What one tick store counts: offered = stored + spooled + dropped + expired.
#[derive(Debug, Default)]
pub struct TickMetrics {
    /// Handed to its ring, or dropped because the ring was full (engine thread).
    pub offered: Counter,
    /// Dropped because the ring was full (engine thread).
    pub ring_dropped: Counter,
    pub stored: Counter,
    /// Waiting to be stored: in the ring, in memory or on disk.
    pub spooled: Counter,
    /// Dropped by the publisher because its bounded queue was full, or refused by the store.
    pub dropped: Counter,
    /// Older than the store keeps.
    pub expired: Counter,
    pub retries: Counter,
    /// The same as `ring_dropped`, by instrument (engine thread).
    pub ring_losses: RingLosses,
    /// All that is lost, by instrument: dropped by ring or publisher, of this run and its backlog,
    /// and what died with the run before.
    pub lost: Losses,
    pub backlog: BacklogMetrics,
    /// What survives a kill, for the next run.
    pub ledger: Ledger,
    /// In memory when the run before was killed: in no term of this run's equation, but in `lost`.
    pub died: Counter,
    /// Those of `died` that were on their way to the store, and may be there.
    pub died_unsure: Counter,
    /// Bytes of the spool on disk.
    pub spool_bytes: Counter,
    /// Bytes of damaged files in the spool, which were removed.
    pub spool_torn_bytes: Counter,
}

/// What the roll-up of trades to bars counts.
#[derive(Debug, Default)]
pub struct RollupMetrics {
    /// Bars that were made again out of what the store has.
    pub repaired: Counter,
    /// Trades that came later than the raw policy keeps: in no bar.
    pub too_late: Counter,
}

/// What the journal and one store of signals count.
#[derive(Default)]
pub struct SignalMetrics {
    pub delivered: Counter,
    /// The same of outcomes.
    pub concluded: Counter,
    pub retries: Counter,
    pub refused: Counter,
    /// 1 while the store answers.
    pub up: Counter,
    /// Journalled signals that this store has not taken yet.
    pub lag: Counter,
    pub rewinds: Counter,
    /// 1 where the store is configured.
    pub wanted: Counter,
}

#[derive(Default)]
pub struct JournalMetrics {
    pub appended: Counter,
    /// The same of outcomes.
    pub outcomes: Counter,
    /// Refused because the journal is full of undelivered signals, or the disk is.
    pub refused: Counter,
    /// Bytes cut off as a torn tail at start.
    pub torn_bytes: Counter,
    pub bytes: Counter,
    pub max_bytes: Counter,
    /// Signals on disk.
    pub kept: Counter,
    pub signal_to_sent: Histogram,
}

/// What one exchange's feed counts (ingest thread); its share of [`IngestMetrics`].
#[derive(Default)]
pub struct VenueMetrics {
    pub frames_received: Counter,
    pub frames_rejected: Counter,
    pub reconnects: Counter,
    pub resyncs: Counter,
    pub gaps: Counter,
    pub connections_up: Counter,
    pub connections_wanted: Counter,
    pub last_frame_ns: Counter,
    pub skew: Skew,
}

/// How far behind its exchange's stamp a frame arrives: the way here, plus what the two clocks
/// disagree by. The smallest of some seconds is the steady part, and negative where the host's
/// clock is behind.
#[derive(Default)]
pub struct Skew {
    pub exchange_to_recv: Histogram,
    /// The smallest of the last full period, ns.
    pub min_ns: Gauge,
    running_ns: Gauge,
    period_end_ns: Gauge,
}

impl Skew {
    const PERIOD_NS: i64 = 10_000_000_000;

    /// A frame's first event; `exchange_ns` is 0 where the exchange stamps nothing.
    #[inline]
    pub fn record(&self, exchange_ns: i64, recv_ns: i64) {
        if exchange_ns == 0 {
            return;
        }
        let late_ns = recv_ns - exchange_ns;
        self.exchange_to_recv.record(late_ns);
        let end_ns = self.period_end_ns.get();
        if recv_ns < end_ns {
            self.running_ns.set(self.running_ns.get().min(late_ns));
            return;
        }
        // The first period of all shows at once.
        let known = if end_ns == 0 {
            late_ns
        } else {
            self.running_ns.get()
        };
        self.min_ns.set(known);
        self.running_ns.set(late_ns);
        self.period_end_ns.set(recv_ns + Self::PERIOD_NS);
    }
}

/// Passes of each thread's loop, while idle too: what the watchdog looks at.
#[derive(Debug, Default)]
pub struct Passes {
    pub ingest: Counter,
    pub engine: Counter,
    pub journal: Counter,
    pub stores: Counter,
    pub parquet: Counter,
}

impl Passes {
    pub fn all(&self) -> [(&'static str, &Counter); 5] {
        [
            ("ingest", &self.ingest),
            ("engine", &self.engine),
            ("journal", &self.journal),
            ("stores", &self.stores),
            ("parquet", &self.parquet),
        ]
    }
}

/// The host's clock against the daemon's own, which was set by it at start and never steps.
#[derive(Debug, Default)]
pub struct HostClock {
    pub offset_ns: Gauge,
    pub steps: Counter,
    pub started_ns: Counter,
}

/// The calls of one strategy instance, on all its instruments (engine thread).
#[derive(Debug, Default)]
pub struct CallMetrics {
    pub calls: Counter,
    /// Calls that took longer than the strategy's budget.
    pub over_budget: Counter,
    pub longest_ns: Counter,
    /// Nanoseconds in all calls.
    pub total_ns: Counter,
    /// What it declares for one call, ns.
    pub budget_ns: Counter,
}

/// A book at a glance, for the screen: refreshed by the engine thread ten times a second.
#[derive(Debug, Default)]
pub struct BookGauge {
    /// The instrument's id + 1; 0 = unused.
    pub instrument: Counter,
    /// Best prices, integers at `price_scale`; 0 where a side is empty.
    pub bid: Counter,
    pub ask: Counter,
    pub price_scale: Counter,
    pub bids: Counter,
    pub asks: Counter,
    /// 1 where the book is right.
    pub synced: Counter,
}

/// Books that are shown at a glance: the first ones listed.
pub const BOOK_GAUGES: usize = 32;

/// Everything, shared by all threads.
#[derive(Default)]
pub struct Metrics {
    pub ingest: IngestMetrics,
    pub engine: EngineMetrics,
    pub journal: JournalMetrics,
    pub postgres: SignalMetrics,
    pub redis: SignalMetrics,
    pub notifications: SignalMetrics,
    pub notifications_queued: Counter,
    pub influx: TickMetrics,
    /// Points that the daemon makes itself: bars, its own health, results.
    pub influx_derived: TickMetrics,
    pub rollup: RollupMetrics,
    pub parquet: TickMetrics,
    pub market_updates: TickMetrics,
    /// Trades for positions and analyses.
    pub market: TickMetrics,
    pub books: [BookGauge; BOOK_GAUGES],
    pub passes: Passes,
    pub host_clock: HostClock,
    /// When the newest backup of the database was taken, ns since the epoch; 0 = there is none.
    pub backup_ns: Gauge,
    venues: RwLock<Vec<(&'static str, Arc<VenueMetrics>)>>,
    switched_off: RwLock<Vec<String>>,
    strategies: RwLock<Vec<(Arc<str>, Arc<CallMetrics>)>>,
}

impl Metrics {
    /// The counters of an exchange, made when first asked for.
    pub fn venue(&self, exchange: &'static str) -> Arc<VenueMetrics> {
        let mut venues = self.venues.write().unwrap_or_else(|e| e.into_inner());
        if let Some((_, venue)) = venues.iter().find(|(name, _)| *name == exchange) {
            return Arc::clone(venue);
        }
        venues.push((exchange, Arc::default()));
        Arc::clone(&venues[venues.len() - 1].1)
    }

    /// What an operator has switched off: `strategy ema_cross`, `instrument binance:BTC/USDT`.
    pub fn switched_off(&self) -> Vec<String> {
        let off = self.switched_off.read().unwrap_or_else(|e| e.into_inner());
        off.clone()
    }

    pub fn set_switched_off(&self, names: Vec<String>) {
        *self.switched_off.write().unwrap_or_else(|e| e.into_inner()) = names;
    }

    /// The counters of a strategy instance's calls, made when first asked for.
    pub fn calls(&self, strategy: &Arc<str>) -> Arc<CallMetrics> {
        let mut all = self.strategies.write().unwrap_or_else(|e| e.into_inner());
        if let Some((_, calls)) = all.iter().find(|(name, _)| name == strategy) {
            return Arc::clone(calls);
        }
        all.push((Arc::clone(strategy), Arc::default()));
        Arc::clone(&all[all.len() - 1].1)
    }

    pub fn strategies(&self) -> Vec<(Arc<str>, Arc<CallMetrics>)> {
        let all = self.strategies.read().unwrap_or_else(|e| e.into_inner());
        all.clone()
    }

    pub fn venues(&self) -> Vec<(&'static str, Arc<VenueMetrics>)> {
        self.venues
            .read()
            .unwrap_or_else(|e| e.into_inner())
            .clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_three_percent() {
        let h = Histogram::default();
        (1..=100_000).for_each(|v| h.record(v));
        for (share, exact) in [(0.5, 50_000.0), (0.99, 99_000.0), (0.999, 99_900.0)] {
            let q = h.quantile(share) as f64;
            assert!((q / exact - 1.0).abs() < 0.035, "{share}: {q}");
        }
        assert_eq!(h.max_ns(), 100_000);
        assert_eq!(h.count(), 100_000);
        h.record(-5);
        h.record(i64::MAX);
        assert_eq!(h.count(), 100_002);
    }

    #[test]
    fn every_value_falls_into_its_bucket() {
        for v in (0..5_000).chain([1 << 20, (1 << 40) + 7, (1 << 50) - 1]) {
            let i = bucket(v);
            assert!(v <= upper_bound(i), "{v}");
            assert!(i == 0 || v > upper_bound(i - 1), "{v}");
        }
    }

    #[test]
    fn skew_is_the_smallest_of_a_period_and_may_be_negative() {
        let skew = Skew::default();
        let second = 1_000_000_000;
        skew.record(0, 5 * second);
        assert_eq!(skew.exchange_to_recv.count(), 0, "no stamp, no skew");
        for (at, late, shown) in [
            (100, 7, 7),
            (101, 3, 7),
            (102, -4, 7),
            (110, 9, -4),
            (120, 8, 9),
        ] {
            skew.record(at * second - late, at * second);
            assert_eq!(skew.min_ns.get(), shown, "{at}");
        }
    }

    #[test]
    fn an_exchange_has_one_set_of_counters() {
        let metrics = Metrics::default();
        metrics.venue("kraken").gaps.add(1);
        metrics.venue("binance").gaps.add(2);
        metrics.venue("kraken").gaps.add(3);
        let gaps: Vec<_> = metrics
            .venues()
            .iter()
            .map(|(n, v)| (*n, v.gaps.get()))
            .collect();
        assert_eq!(gaps, [("kraken", 4), ("binance", 2)]);
    }
}
