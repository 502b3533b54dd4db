//! Bars in each policy against those that a separate program makes of the raw trades: across
//! restarts and kills, for late trades, at the edges of windows. And the other measurements.

use crate::daemon::{Exchange, Process, influx_rows};
use crate::influx2::Front;
use crate::{influx, postgres, servers};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tickforge::clock;
use tickforge::config::InfluxConfig;
use tickforge::market::{DayStats, Event, Flags, Instrument, Registry, Side, Tick, Trade};
use tickforge::metrics::Metrics;
use tickforge::publishers::influx::Derived;
use tokio::task::LocalSet;

const MINUTE_NS: i64 = 60_000_000_000;
const NAMES: [(&str, &str); 3] = [
    ("binance", "BTC/USDT"),
    ("kraken", "it's, a=b"),
    ("kraken", "BTC/USDT"),
];

fn registry() -> Arc<Registry> {
    let registry = Registry::default();
    for (exchange, symbol) in NAMES {
        registry.add(Instrument {
            symbol: symbol.to_owned(),
            ..postgres::instrument(exchange, "BTC/USDT")
        });
    }
    Arc::new(registry)
}

/// A Python that has polars; `None` says what is skipped.
pub fn python() -> Option<String> {
    let python = std::env::var("TICKFORGE_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let mut asked = Command::new(&python);
    let asked = asked.args(["-c", "import polars"]).stderr(Stdio::null());
    if asked.status().is_ok_and(|status| status.success()) {
        return Some(python);
    }
    eprintln!(
        "skipped: {python} has no polars; tests/run installs it and sets TICKFORGE_TEST_PYTHON"
    );
    None
}

/// What `bars.py` says: trades, and how many bars of each policy were compared. None may differ.
pub fn compare(python: &str, url: &str, database: &str) -> (u64, [u64; 3]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/bars.py");
    let mut command = Command::new(python);
    let command = command
        .arg(script)
        .args([url, database])
        .stderr(Stdio::inherit());
    let out = command.output().expect("it starts");
    assert!(out.status.success(), "bars.py: {}", out.status);
    let told: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    eprintln!("bars.py: {told}");
    let compared = ["short_term", "medium_term", "long_term"].map(|policy| {
        assert_eq!(told[policy]["wrong"], 0, "{policy}: {told}");
        told[policy]["compared"].as_u64().expect("a number")
    });
    (told["trades"].as_u64().expect("a number"), compared)
}

/// Trades of `minutes` from `begin_ns` on: most in order, some late by seconds, a few by minutes,
/// some at the very edge of a window, several in one millisecond.
fn trades(draw: &mut StdRng, begin_ns: i64, minutes: i64, first_id: u128) -> Vec<Tick> {
    let mut all = Vec::new();
    let mut now_ns = begin_ns - begin_ns % 1_000_000;
    let end_ns = begin_ns + minutes * MINUTE_NS;
    while now_ns < end_ns {
        now_ns += match draw.random_range(0..20) {
            0 | 1 => 0,
            2 => MINUTE_NS - now_ns % MINUTE_NS,
            3 | 4 => 1_000_000_000 - now_ns % 1_000_000_000 - 1_000_000,
            _ => draw.random_range(0..2_000) * 1_000_000,
        };
        let late_ms = match draw.random_range(0..100) {
            0 => draw.random_range(0..300_000),
            1..10 => draw.random_range(0..3_000),
            _ => 0,
        };
        let time_ns = (now_ns - late_ms * 1_000_000).max(begin_ns - begin_ns % 1_000_000);
        let trade = Trade {
            price: draw.random_range(1..5_000_000) * 1_000_000,
            amount: draw.random_range(1..100_000_000),
            id: first_id + all.len() as u128,
            taker: Side::Buy,
        };
        let instrument = draw.random_range(0..NAMES.len()) as u32;
        all.push(Tick {
            event: Event::from_trade(instrument, time_ns, time_ns, trade),
            day: DayStats::default(),
        });
    }
    all
}

struct Run {
    producer: tickforge::ring::Producer<Tick>,
    work: tokio::task::JoinHandle<Result<(), String>>,
    metrics: Arc<Metrics>,
    _stop: tokio::sync::watch::Sender<Option<std::time::Instant>>,
}

fn start(config: &InfluxConfig, dir: &Path) -> Run {
    let metrics = Arc::new(Metrics::default());
    let (producer, consumer) = tickforge::ring::ring(1 << 15);
    let (stop, stopped) = tokio::sync::watch::channel(None);
    let work = tickforge::publishers::influx::run(
        consumer,
        config.clone(),
        dir.join("spool").join("influx"),
        registry(),
        Arc::clone(&metrics),
        Derived::new(Arc::clone(&metrics)),
        stopped,
    );
    Run {
        producer,
        work: tokio::task::spawn_local(work),
        metrics,
        _stop: stop,
    }
}

impl Run {
    async fn push(&mut self, ticks: &[Tick]) {
        for some in ticks.chunks(100) {
            for tick in some {
                assert!(self.producer.push(*tick).is_ok());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn end(self) {
        drop(self.producer);
        let ended = tokio::time::timeout(Duration::from_secs(60), self.work);
        assert_eq!(ended.await.expect("in time").expect("no panic"), Ok(()));
    }

    /// Nothing is finished, as by SIGKILL.
    async fn kill(self) {
        self.work.abort();
        assert!(self.work.await.is_err(), "killed");
    }
}

/// Three runs: one ends, one is killed, one goes on into time that is its own.
async fn three_runs(config: &InfluxConfig, seed: u64) {
    let dir = tempfile::tempdir().expect("a folder");
    let mut draw = StdRng::seed_from_u64(seed);
    let now_ns = clock::now_ns();
    let mut run = start(config, dir.path());
    let first = trades(&mut draw, now_ns - 50 * MINUTE_NS, 18, 1_000_000);
    run.push(&first).await;
    run.end().await;

    let mut run = start(config, dir.path());
    // The exchange sends its newest trades again: known ones, and some that nobody was there for.
    let history = first[first.len() - 50..].iter().map(|tick| {
        let mut tick = *tick;
        tick.event.flags = tick.event.flags.with(Flags::SNAPSHOT);
        tick
    });
    let mut second: Vec<Tick> = history.collect();
    second.extend(trades(&mut draw, now_ns - 32 * MINUTE_NS, 22, 2_000_000));
    let cut = second.len() / 2 + draw.random_range(0..second.len() / 2);
    run.push(&second[..cut]).await;
    tokio::time::sleep(Duration::from_millis(draw.random_range(0..200))).await;
    run.kill().await;

    let mut run = start(config, dir.path());
    run.push(&second[cut / 2..]).await;
    let mut third = trades(&mut draw, now_ns - 10 * MINUTE_NS, 25, 3_000_000);
    // Late by minutes for a window that this run alone has seen.
    let late: Vec<Tick> = trades(&mut draw, now_ns + 2 * MINUTE_NS, 1, 4_000_000);
    let at = third.len() - 20;
    third.splice(at..at, late);
    run.push(&third).await;
    let metrics = Arc::clone(&run.metrics);
    run.end().await;
    let derived = &metrics.influx_derived;
    let stored = derived.stored.get();
    assert_eq!((derived.offered.get(), derived.dropped.get()), (stored, 0));
    let repaired = metrics.rollup.repaired.get();
    assert!(repaired > 50 && stored > 100, "{repaired} {stored}");
}

#[tokio::test]
async fn bars_equal_those_made_of_the_raw_trades_across_restarts() {
    let Some(mut config) = influx::config("it_bars") else {
        return;
    };
    let Some(python) = python() else { return };
    let seeds = if servers::long() { 20 } else { 2 };
    for n in 0..seeds {
        let seed = u64::from(std::process::id()) + n;
        eprintln!("seed {seed}");
        config.database = format!("{}_bars_{n}", servers::unique_name());
        config.spool_max_bytes = 64 << 20;
        config.batch = 700;
        influx::fresh(&config).await;
        LocalSet::new().run_until(three_runs(&config, seed)).await;
        let (trades, bars) = compare(&python, &config.url, &config.database);
        assert!(
            trades > 1_000 && bars[0] > 500 && bars[1] > 100 && bars[2] >= 3,
            "{trades} {bars:?}"
        );
    }
}

/// The same by the API of 2.x.
#[cfg(feature = "influxdb2")]
#[tokio::test]
async fn bars_are_the_same_by_the_api_of_2_x() {
    let Some(url) = servers::influx_url() else {
        return;
    };
    let Some(python) = python() else { return };
    let front = Front::start(url.clone());
    let database = format!("{}_bars2", servers::unique_name());
    let mut config = crate::influx2::config(&front, &database);
    config.spool_max_bytes = 64 << 20;
    LocalSet::new().run_until(three_runs(&config, 7)).await;
    let (trades, bars) = compare(&python, &url, &database);
    assert!(trades > 1_000 && bars[2] >= 3, "{trades} {bars:?}");
}

/// A daemon as a process, its exchange, and the configuration that both are in.
struct Place {
    dir: tempfile::TempDir,
    url: String,
    database: String,
}

impl Place {
    fn new() -> Option<Place> {
        Some(Place {
            dir: tempfile::tempdir().expect("a folder"),
            url: servers::influx_url()?,
            database: format!("{}_bars", servers::unique_name()),
        })
    }

    fn configuration(&self, exchange: &Exchange) -> String {
        let text = format!(
            "name = \"it\"\ndata_dir = {:?}\n[exchanges.binance]\nsymbols = [\"*\"]\nquotes = false\n\
             book = false\nws = {:?}\nrest = {:?}\n[stores.influx]\nurl = {:?}\ndatabase = {:?}\n\
             flush = \"200ms\"\nmetrics_every = \"1s\"\n[http]\nlisten = \"off\"\n\
             [strategies.ema_cross]\n",
            self.dir.path().join("data"),
            exchange.ws,
            exchange.rest,
            self.url,
            self.database,
        );
        let path = self.dir.path().join("tickforge.toml");
        std::fs::write(&path, text).expect("the configuration");
        path.display().to_string()
    }

    fn start(&self, config: &str, name: &str) -> Process {
        let log = self.dir.path().join(name);
        Process::start(&["run", "--config", config, "--json"], &log)
    }

    async fn rows(&self, query: &str) -> Vec<std::collections::HashMap<String, Value>> {
        influx_rows(&self.url, &self.database, query).await
    }
}

#[tokio::test]
async fn bars_and_the_day_are_right_after_sigkill() {
    let Some(place) = Place::new() else { return };
    let Some(python) = python() else { return };
    let kills = if servers::long() { 6 } else { 1 };
    let flags = ["--symbols", "5", "--rate", "1500"];
    let exchange = Exchange::start(place.dir.path(), &flags);
    let config = place.configuration(&exchange);
    for n in 0..kills {
        let mut daemon = place.start(&config, &format!("killed-{n}.log"));
        std::thread::sleep(Duration::from_millis(3_500 + n * 1_700));
        daemon.kill();
    }
    let last =
        "SELECT last(volume_24h) AS volume FROM realtime.market_data WHERE symbol = 'BTC/USDT'";
    let before = place.rows(last).await;
    let before = before[0]["volume"].as_f64().expect("a volume");
    let from = clock::now_ns();
    let mut daemon = place.start(&config, "last.log");
    std::thread::sleep(Duration::from_millis(9_500));
    daemon.terminate();
    let summary = daemon.line();
    assert!(daemon.wait(Duration::from_secs(30)), "the daemon failed");
    crate::daemon::assert_balanced(&summary);
    drop(exchange);
    let (trades, bars) = compare(&python, &place.url, &place.database);
    assert!(trades > 1_000 && bars[0] > 40, "{trades} {bars:?}");

    let first = format!(
        "SELECT first(volume_24h) AS volume, seen_24h FROM realtime.market_data \
         WHERE symbol = 'BTC/USDT' AND time > {from}"
    );
    let first = place.rows(&first).await;
    let after = first[0]["volume"].as_f64().expect("a volume");
    // Of what was traded in the last second before the kill, not all was kept.
    assert!(after > before * 0.6, "{before} before, {after} after");
    assert!(
        first[0]["seen_24h"]
            .as_f64()
            .is_some_and(|s| s > 0.0 && s < 0.01)
    );

    let health = place.rows("SELECT * FROM short_term.system_metrics").await;
    assert!(health.len() > 5, "{health:?}");
    let newest = health.last().expect("a point");
    for field in ["cpu_usage", "memory_usage", "response_time", "error_rate"] {
        assert!(
            newest[field].as_f64().is_some_and(|v| v >= 0.0),
            "{field}: {newest:?}"
        );
    }
    assert_eq!(
        (&newest["service"], &newest["instance"]),
        (&"tickforge".into(), &"it".into())
    );
}
