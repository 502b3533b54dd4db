//! The shared counters in Prometheus' words: names, units, help texts and buckets. Read at each
//! scrape; counts nothing by itself. Names are an interface: dashboards and alerts know them.

use super::by_exchange::by_exchange;
use super::by_strategy::by_strategy;
use super::encoder::{Out, Read};
use crate::metrics::{Metrics, SignalMetrics, TickMetrics};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use std::fmt;
use std::sync::Arc;

pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub struct Exposition(pub Arc<Metrics>);

impl fmt::Debug for Exposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exposition")
    }
}

impl Collector for Exposition {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut out = Out(encoder);
        let m = &*self.0;
        process(&mut out, m)?;
        ingest(&mut out, m)?;
        by_exchange(&mut out, m)?;
        by_strategy(&mut out, m)?;
        engine(&mut out, m)?;
        journal(&mut out, m)?;
        signal_stores(
            &mut out,
            &[
                ("postgres", &m.postgres),
                ("redis", &m.redis),
                ("notifications", &m.notifications),
            ],
        )?;
        out.counter(
            "notifications_queued",
            "Rows of notifications that were new",
            m.notifications_queued.get(),
        )?;
        tick_stores(
            &mut out,
            &[
                ("influx", &m.influx),
                ("influx_derived", &m.influx_derived),
                ("parquet", &m.parquet),
                ("redis", &m.market_updates),
            ],
        )?;
        super::spool::spool(&mut out, "influx", &m.influx)?;
        super::spool::lost(&mut out, &[("influx", &m.influx), ("parquet", &m.parquet)])?;
        let help = "Bars that were made again out of what InfluxDB has";
        out.counter("bars_repaired", help, m.rollup.repaired.get())?;
        let help = "Trades that came later than the raw policy keeps, which are in no bar";
        out.counter("bars_too_late", help, m.rollup.too_late.get())?;
        latencies(&mut out, m)
    }
}

fn process(out: &mut Out, m: &Metrics) -> fmt::Result {
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    out.gauge_with("build_info", "Always 1; which version runs", &version, 1.0)?;
    let host = &m.host_clock;
    out.timestamp("start", "When the daemon started", host.started_ns.get())?;
    out.gauge(
        "host_clock_offset_seconds",
        "How far the host's clock has moved away from the clock of the stamps",
        host.offset_ns.get() as f64 / 1e9,
    )?;
    out.counter(
        "host_clock_steps",
        "Times the host's clock stepped",
        host.steps.get(),
    )?;
    let backup_ns = m.backup_ns.get().unsigned_abs();
    out.timestamp("backup", "When the newest backup was taken", backup_ns)?;
    out.gauge("resident_bytes", "Memory in use", resident_bytes() as f64)?;
    let help = "Passes of a thread's loop, while idle too; 0 where it is not started";
    out.counters("thread_passes", "thread", help, &m.passes.all(), |c| {
        c.get()
    })
}

/// 0 where /proc cannot be read.
fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|n| n.parse::<u64>().ok());
    // SAFETY: a question without arguments that points at nothing.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    pages.unwrap_or_default() * page.max(0).unsigned_abs()
}

fn ingest(out: &mut Out, m: &Metrics) -> fmt::Result {
    let i = &m.ingest;
    for (name, help, counter) in [
        (
            "frames_received",
            "WebSocket frames received",
            &i.frames_received,
        ),
        (
            "frames_decoded",
            "Frames that held market data",
            &i.frames_decoded,
        ),
        (
            "frames_control",
            "Acknowledgements, heartbeats and the like",
            &i.frames_control,
        ),
        (
            "frames_rejected",
            "Frames that could not be decoded",
            &i.frames_rejected,
        ),
        (
            "received_bytes",
            "Bytes of the frames received",
            &i.bytes_received,
        ),
        (
            "events_decoded",
            "Events that frames were decoded into",
            &i.events_decoded,
        ),
        (
            "events_duplicate",
            "Events dropped as repeated by the exchange",
            &i.events_duplicate,
        ),
        (
            "events_delivered",
            "Events handed to the engine",
            &i.events_delivered,
        ),
        (
            "events_dropped",
            "Events that did not reach the engine",
            &i.events_dropped,
        ),
        (
            "decode_cursor",
            "Frames decoded by the cursor",
            &i.decode_cursor,
        ),
        (
            "decode_simd_json",
            "Frames decoded by simd-json",
            &i.decode_simd_json,
        ),
        ("reconnects", "Connections made again", &i.reconnects),
        ("resyncs", "Books rebuilt from a snapshot", &i.resyncs),
        ("gaps", "Breaks of a book's sequence", &i.gaps),
        (
            "inexact_values",
            "Numbers rounded because no integer held them",
            &i.inexact,
        ),
        (
            "ring_full",
            "Times the engine's ring was full and reading stopped",
            &i.ring_full,
        ),
        (
            "requests_refused",
            "Requests that an exchange refused",
            &i.refused,
        ),
    ] {
        out.counter(name, help, counter.get())?;
    }
    out.gauge(
        "connections_up",
        "Connections that are up",
        i.connections_up.get() as f64,
    )?;
    let wanted = i.connections_wanted.get() as f64;
    out.gauge(
        "connections_wanted",
        "Connections that should be up",
        wanted,
    )?;
    out.timestamp(
        "last_frame",
        "When the newest frame came",
        i.last_frame_ns.get(),
    )
}

fn engine(out: &mut Out, m: &Metrics) -> fmt::Result {
    let e = &m.engine;
    for (name, help, counter) in [
        (
            "engine_events",
            "Events that the engine has handled",
            &e.events,
        ),
        ("trades", "Trades that the engine has handled", &e.trades),
        ("quotes", "Quotes that the engine has handled", &e.quotes),
        (
            "book_updates",
            "Book messages that the engine has handled",
            &e.book_updates,
        ),
        ("signals", "Signals decided", &e.signals),
        (
            "signals_suppressed",
            "Signals withheld on a stale book",
            &e.signals_suppressed,
        ),
        (
            "signals_switched_off",
            "Signals withheld because an operator switched off their strategy or instrument",
            &e.signals_switched_off,
        ),
        ("outcomes", "Signals that have ended", &e.outcomes),
        (
            "strategies_stopped",
            "Strategy instances stopped by a fault",
            &e.strategies_stopped,
        ),
        (
            "checksums_ok",
            "Book checksums that agreed",
            &e.checksums_ok,
        ),
        (
            "checksums_failed",
            "Book checksums that did not agree",
            &e.checksums_failed,
        ),
        (
            "signal_ring_full",
            "Times the engine waited for the journal",
            &e.signal_ring_full,
        ),
    ] {
        out.counter(name, help, counter.get())?;
    }
    out.gauge(
        "signals_open",
        "Signals that have not ended yet",
        e.signals_open.get() as f64,
    )?;
    out.gauge(
        "switched_off",
        "Strategies and instruments that an operator has switched off; /healthz names them",
        m.switched_off().len() as f64,
    )?;
    out.gauge(
        "books_synced",
        "Books that follow their exchange",
        e.books_synced.get() as f64,
    )?;
    out.gauge(
        "books_stale",
        "Books that wait for a snapshot",
        e.books_stale.get() as f64,
    )?;
    out.timestamp(
        "last_event",
        "Time of the newest event",
        e.last_event_ns.get(),
    )
}

fn journal(out: &mut Out, m: &Metrics) -> fmt::Result {
    let j = &m.journal;
    out.counter(
        "journal_appended",
        "Signals written to the journal",
        j.appended.get(),
    )?;
    out.counter(
        "journal_outcomes",
        "Outcomes written to the journal",
        j.outcomes.get(),
    )?;
    out.counter(
        "journal_refused",
        "Signals refused by a full journal",
        j.refused.get(),
    )?;
    out.counter(
        "journal_torn_bytes",
        "Bytes cut off at start as torn",
        j.torn_bytes.get(),
    )?;
    out.gauge(
        "journal_max_bytes",
        "Room for the journal: [journal] max_bytes",
        j.max_bytes.get() as f64,
    )?;
    out.gauge(
        "journal_kept",
        "Signals in the journal",
        j.kept.get() as f64,
    )?;
    out.gauge(
        "journal_size_bytes",
        "Bytes of the journal on disk",
        j.bytes.get() as f64,
    )
}

fn signal_stores(out: &mut Out, stores: &[(&str, &SignalMetrics)]) -> fmt::Result {
    const COUNTERS: [(&str, &str, Read<SignalMetrics>); 5] = [
        ("signals_delivered", "Signals that a store has taken", |s| {
            s.delivered.get()
        }),
        (
            "outcomes_delivered",
            "Outcomes that a store has taken",
            |s| s.concluded.get(),
        ),
        ("signals_retries", "Attempts to deliver that failed", |s| {
            s.retries.get()
        }),
        (
            "signals_refused",
            "Signals that a store will never take",
            |s| s.refused.get(),
        ),
        ("signals_rewinds", "Times a store came back empty", |s| {
            s.rewinds.get()
        }),
    ];
    const GAUGES: [(&str, &str, Read<SignalMetrics>); 3] = [
        ("store_wanted", "1 where the store is configured", |s| {
            s.wanted.get()
        }),
        ("store_up", "1 while the store of signals answers", |s| {
            s.up.get()
        }),
        (
            "signals_lag",
            "Journalled signals that a store has not taken yet",
            |s| s.lag.get(),
        ),
    ];
    COUNTERS
        .iter()
        .try_for_each(|(name, help, read)| out.counters(name, "store", help, stores, *read))?;
    GAUGES.iter().try_for_each(|(name, help, read)| {
        out.gauges(name, "store", help, stores, |s| read(s) as f64)
    })
}

fn tick_stores(out: &mut Out, stores: &[(&str, &TickMetrics)]) -> fmt::Result {
    const COUNTERS: [(&str, &str, Read<TickMetrics>); 5] = [
        ("ticks_offered", "Ticks offered to a store", |t| {
            t.offered.get()
        }),
        ("ticks_stored", "Ticks that a store has taken", |t| {
            t.stored.get()
        }),
        (
            "ticks_dropped",
            "Ticks dropped before a store, or refused by it",
            |t| t.ring_dropped.get() + t.dropped.get(),
        ),
        ("ticks_expired", "Ticks older than the store keeps", |t| {
            t.expired.get()
        }),
        (
            "ticks_retries",
            "Attempts to store ticks that failed",
            |t| t.retries.get(),
        ),
    ];
    COUNTERS
        .iter()
        .try_for_each(|(name, help, read)| out.counters(name, "store", help, stores, *read))?;
    out.gauges(
        "ticks_waiting",
        "store",
        "Ticks that wait for a store",
        stores,
        |t| t.spooled.get() as f64,
    )
}

fn latencies(out: &mut Out, m: &Metrics) -> fmt::Result {
    let e = &m.engine;
    for (name, help, histogram) in [
        (
            "recv_to_decoded",
            "From a frame's arrival to its event",
            &e.recv_to_decoded,
        ),
        ("ring", "From a decoded event to the engine", &e.ring),
        ("decide", "The engine's work for an event", &e.decide),
        (
            "tick_to_signal",
            "From a frame's arrival to its signal",
            &e.tick_to_signal,
        ),
        (
            "event_age",
            "From the exchange's stamp to the engine's decision, both clocks' difference included",
            &e.age,
        ),
        (
            "signal_to_sent",
            "From a signal to its first store",
            &m.journal.signal_to_sent,
        ),
    ] {
        out.histogram(name, help, histogram)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::registry::Registry;

    fn exposed(metrics: &Arc<Metrics>) -> String {
        let mut registry = Registry::with_prefix("tickforge");
        registry.register_collector(Box::new(Exposition(Arc::clone(metrics))));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("encoded");
        text
    }

    #[test]
    fn counters_gauges_and_labels_have_their_names() {
        let metrics = Arc::new(Metrics::default());
        metrics.ingest.frames_received.add(3);
        metrics.ingest.last_frame_ns.set(1_700_000_000_500_000_000);
        metrics.redis.delivered.add(4);
        metrics.redis.up.set(1);
        metrics.influx.ring_dropped.add(5);
        metrics.influx.dropped.add(6);
        metrics.venue("kraken").gaps.add(2);
        metrics.venue("kraken").skew.record(14_000_000, 10_000_000);
        metrics.passes.engine.add(9);
        metrics.host_clock.offset_ns.set(-250_000_000);
        metrics.influx.lost.add(&"binance BTC/USDT".into(), 6);
        metrics.parquet.lost.add(&"kraken ETH/EUR".into(), 10);
        metrics.parquet.died.add(10);
        metrics.influx.backlog.found.add(7);
        metrics.influx.spool_bytes.set(8);
        let text = exposed(&metrics);
        for line in [
            "# HELP tickforge_frames_received WebSocket frames received",
            "# TYPE tickforge_frames_received counter",
            "tickforge_frames_received_total 3",
            "tickforge_received_bytes_total 0",
            "tickforge_last_frame_timestamp_seconds 1700000000.5",
            "tickforge_signals_delivered_total{store=\"redis\"} 4",
            "tickforge_signals_delivered_total{store=\"postgres\"} 0",
            "tickforge_store_up{store=\"redis\"} 1.0",
            "tickforge_ticks_dropped_total{store=\"influx\"} 11",
            "tickforge_exchange_gaps_total{exchange=\"kraken\"} 2",
            "tickforge_exchange_skew_seconds{exchange=\"kraken\"} -0.004",
            "tickforge_exchange_to_recv_seconds_count{exchange=\"kraken\"} 1",
            "tickforge_thread_passes_total{thread=\"engine\"} 9",
            "tickforge_host_clock_offset_seconds -0.25",
            "tickforge_ticks_lost_total{store=\"influx\",exchange=\"binance\",symbol=\"BTC/USDT\"} 6",
            "tickforge_ticks_lost_total{store=\"parquet\",exchange=\"kraken\",symbol=\"ETH/EUR\"} 10",
            "tickforge_ticks_died_total{store=\"parquet\"} 10",
            "tickforge_ticks_died_total{store=\"influx\"} 0",
            "tickforge_backlog_found_total{store=\"influx\"} 7",
            "tickforge_spool_size_bytes{store=\"influx\"} 8.0",
            "# UNIT tickforge_tick_to_signal_seconds seconds",
            "# EOF",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}");
        }
    }

    #[test]
    fn every_name_is_said_once() {
        let text = exposed(&Arc::default());
        let mut names: Vec<_> = text.lines().filter(|l| l.starts_with("# TYPE")).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(all > 60, "{all}");
        let resident = text
            .lines()
            .find_map(|l| l.strip_prefix("tickforge_resident_bytes "));
        assert!(resident.is_some_and(|n| n.parse::<f64>().expect("a number") > 1e6));
    }

    #[test]
    fn buckets_are_cumulative_and_in_seconds() {
        let metrics = Arc::new(Metrics::default());
        for ns in [50, 1_500, 1_500, 3_000_000_000, 20_000_000_000] {
            metrics.engine.tick_to_signal.record(ns);
        }
        let text = exposed(&metrics);
        let of = |le: &str| {
            let start = format!("tickforge_tick_to_signal_seconds_bucket{{le=\"{le}\"}} ");
            text.lines()
                .find_map(|l| l.strip_prefix(&start))
                .map(str::to_owned)
        };
        for (le, count) in [
            ("1e-7", "1"),
            ("0.000002", "3"),
            ("1.0", "3"),
            ("5.0", "4"),
            ("+Inf", "5"),
        ] {
            assert_eq!(of(le).as_deref(), Some(count), "{le}");
        }
        assert!(text.contains("tickforge_tick_to_signal_seconds_count 5\n"));
    }
}
