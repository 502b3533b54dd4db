//! What a run did, in one object; its keys are fixed, since scripts read them.

use crate::metrics::{BacklogMetrics, Histogram, Metrics, TickMetrics};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    pub data_dir: PathBuf,
    pub seconds: f64,
    /// Signals in the journal from this run.
    pub signals: u64,
    /// Signals, of earlier runs, too, that have ended in it.
    pub outcomes: u64,
    /// Events that the engine took.
    pub events: u64,
    pub dropped: u64,
    pub rejected: u64,
    pub duplicates: u64,
    pub reconnects: u64,
    pub resyncs: u64,
    pub gaps: u64,
    pub inexact: u64,
    pub frames: Frames,
    pub event_balance: EventBalance,
    pub ticks: Ticks,
    /// What earlier runs had left on disk; not part of `ticks`.
    pub backlog: Backlog,
    /// In memory when the run before was killed; not part of `ticks`.
    pub ticks_died: Died,
    /// Ticks that a store misses, by instrument: `binance BTC/USDT`. Over all tick stores, with
    /// what died.
    pub lost_by_instrument: BTreeMap<Arc<str>, u64>,
    pub latency_ns: Latencies,
    pub decode_path: DecodePath,
    pub messages_per_second: u64,
    pub max_rss_bytes: u64,
    pub signals_suppressed: u64,
    pub signals_refused: u64,
    pub strategies_stopped: u64,
    pub checksums_failed: u64,
    pub ring_full: u64,
    pub stores: Stores,
}

/// received = decoded + control + rejected
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Frames {
    pub received: u64,
    pub decoded: u64,
    pub control: u64,
    pub rejected: u64,
}

/// decoded = duplicate + delivered + dropped
#[derive(Clone, Copy, Debug, Serialize)]
pub struct EventBalance {
    pub decoded: u64,
    pub duplicate: u64,
    pub delivered: u64,
    pub dropped: u64,
}

/// offered = stored + spooled + dropped + expired
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Ticks {
    pub offered: u64,
    pub stored: u64,
    pub spooled: u64,
    pub dropped: u64,
    pub expired: u64,
}

/// found = stored + spooled + dropped + expired
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Backlog {
    pub found: u64,
    pub stored: u64,
    pub spooled: u64,
    pub dropped: u64,
    pub expired: u64,
}

/// Lost with the run before; by tick store, and of both those that may be stored all the same.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Died {
    pub influx: u64,
    pub parquet: u64,
    pub unsure: u64,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Quantiles {
    pub p50: u64,
    pub p99: u64,
    pub p999: u64,
    pub max: u64,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latencies {
    pub recv_to_decoded: Quantiles,
    pub ring: Quantiles,
    pub decide: Quantiles,
    pub tick_to_signal: Quantiles,
    /// The exchange's stamp to decided; the difference of both clocks is in it.
    pub age: Quantiles,
    pub signal_to_sent: Quantiles,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct DecodePath {
    pub cursor: u64,
    pub simd_json: u64,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Store {
    pub delivered: u64,
    pub lag: u64,
    pub refused: u64,
    pub retries: u64,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Stores {
    pub postgres: Store,
    pub redis: Store,
}

impl Summary {
    pub fn new(metrics: &Metrics, data_dir: &Path, seconds: f64) -> Summary {
        let (i, e) = (&metrics.ingest, &metrics.engine);
        let tick_stores = [&metrics.influx, &metrics.parquet].map(ticks);
        let ticks = tick_stores
            .into_iter()
            .fold(Ticks::default(), |a, b| Ticks {
                offered: a.offered + b.offered,
                stored: a.stored + b.stored,
                spooled: a.spooled + b.spooled,
                dropped: a.dropped + b.dropped,
                expired: a.expired + b.expired,
            });
        let store = |m: &crate::metrics::SignalMetrics| Store {
            delivered: m.delivered.get(),
            lag: m.lag.get(),
            refused: m.refused.get(),
            retries: m.retries.get(),
        };
        Summary {
            data_dir: data_dir.to_owned(),
            seconds,
            signals: metrics.journal.appended.get(),
            outcomes: e.outcomes.get(),
            events: e.events.get(),
            dropped: i.events_dropped.get() + ticks.dropped,
            rejected: i.frames_rejected.get(),
            duplicates: i.events_duplicate.get(),
            reconnects: i.reconnects.get(),
            resyncs: i.resyncs.get(),
            gaps: i.gaps.get(),
            inexact: i.inexact.get(),
            frames: Frames {
                received: i.frames_received.get(),
                decoded: i.frames_decoded.get(),
                control: i.frames_control.get(),
                rejected: i.frames_rejected.get(),
            },
            event_balance: EventBalance {
                decoded: i.events_decoded.get(),
                duplicate: i.events_duplicate.get(),
                delivered: i.events_delivered.get(),
                dropped: i.events_dropped.get(),
            },
            ticks,
            backlog: backlog(&metrics.influx.backlog),
            ticks_died: Died {
                influx: metrics.influx.died.get(),
                parquet: metrics.parquet.died.get(),
                unsure: metrics.influx.died_unsure.get(),
            },
            lost_by_instrument: lost(metrics),
            latency_ns: Latencies {
                recv_to_decoded: quantiles(&e.recv_to_decoded),
                ring: quantiles(&e.ring),
                decide: quantiles(&e.decide),
                tick_to_signal: quantiles(&e.tick_to_signal),
                age: quantiles(&e.age),
                signal_to_sent: quantiles(&metrics.journal.signal_to_sent),
            },
            decode_path: DecodePath {
                cursor: i.decode_cursor.get(),
                simd_json: i.decode_simd_json.get(),
            },
            messages_per_second: (i.frames_received.get() as f64 / seconds.max(1e-9)) as u64,
            max_rss_bytes: max_rss_bytes(),
            signals_suppressed: e.signals_suppressed.get(),
            signals_refused: metrics.journal.refused.get(),
            strategies_stopped: e.strategies_stopped.get(),
            checksums_failed: e.checksums_failed.get(),
            ring_full: i.ring_full.get(),
            stores: Stores {
                postgres: store(&metrics.postgres),
                redis: store(&metrics.redis),
            },
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let us = |ns: u64| ns as f64 / 1e3;
        let l = &self.latency_ns;
        format!(
            "{:.1} s: {} messages ({}/s), {} events, {} signals\n\
             dropped {}, rejected {}, duplicates {}, reconnects {}, resyncs {}, gaps {}\n\
             ticks: {} offered, {} stored, {} spooled, {} dropped, {} expired\n\
             {}\
             tick to signal: p50 {:.1} µs, p99 {:.1} µs, max {:.1} µs; memory {} MiB\n\
             data: {}\n",
            self.seconds,
            self.frames.received,
            self.messages_per_second,
            self.events,
            self.signals,
            self.dropped,
            self.rejected,
            self.duplicates,
            self.reconnects,
            self.resyncs,
            self.gaps,
            self.ticks.offered,
            self.ticks.stored,
            self.ticks.spooled,
            self.ticks.dropped,
            self.ticks.expired,
            self.losses_text(),
            us(l.tick_to_signal.p50),
            us(l.tick_to_signal.p99),
            us(l.tick_to_signal.max),
            self.max_rss_bytes >> 20,
            self.data_dir.display(),
        )
    }

    /// A line each where there is something to say.
    fn losses_text(&self) -> String {
        let mut text = String::new();
        let b = &self.backlog;
        if b.found > 0 {
            text = format!(
                "left by an earlier run: {} ticks, {} stored, {} spooled, {} dropped, {} expired\n",
                b.found, b.stored, b.spooled, b.dropped, b.expired
            );
        }
        let d = &self.ticks_died;
        if d.influx + d.parquet > 0 {
            text += &format!(
                "taken along as an earlier run was killed: {} ticks for InfluxDB ({} of them may be \
                 stored), {} for Parquet\n",
                d.influx, d.unsure, d.parquet
            );
        }
        for (instrument, n) in &self.lost_by_instrument {
            text += &format!("lost: {n} ticks of {instrument}\n");
        }
        text
    }
}

fn lost(metrics: &Metrics) -> BTreeMap<Arc<str>, u64> {
    let mut all = metrics.influx.lost.all();
    for (instrument, n) in metrics.parquet.lost.all() {
        *all.entry(instrument).or_default() += n;
    }
    all
}

fn ticks(m: &TickMetrics) -> Ticks {
    Ticks {
        offered: m.offered.get(),
        stored: m.stored.get(),
        spooled: m.spooled.get(),
        dropped: m.dropped.get() + m.ring_dropped.get(),
        expired: m.expired.get(),
    }
}

fn backlog(m: &BacklogMetrics) -> Backlog {
    Backlog {
        found: m.found.get(),
        stored: m.stored.get(),
        spooled: m.waiting.get(),
        dropped: m.dropped.get(),
        expired: m.expired.get(),
    }
}

fn quantiles(h: &Histogram) -> Quantiles {
    Quantiles {
        p50: h.quantile(0.5),
        p99: h.quantile(0.99),
        p999: h.quantile(0.999),
        max: h.max_ns(),
    }
}

/// The most memory that this process has held, bytes; 0 where the system does not say.
pub fn max_rss_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|v| v.trim().trim_end_matches(" kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
