//! Ticks while InfluxDB is away for longer than memory holds: a daemon as a process, a real server
//! behind a front that can be away, and every point looked for afterwards.

use crate::daemon::{self, Exchange, Process, u64_of};
use crate::influx2::Front;
use crate::{bars, servers};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// What a test runs with.
struct Place {
    dir: tempfile::TempDir,
    front: Front,
    influx: String,
    database: String,
}

impl Place {
    fn new() -> Option<Place> {
        let influx = servers::influx_url()?;
        Some(Place {
            dir: tempfile::tempdir().expect("a folder"),
            front: Front::start(influx.clone()),
            influx,
            database: servers::unique_name(),
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn exchange(&self, name: &str, seed: &str, time: &str) -> Exchange {
        let truth = self.path(&format!("{name}.truth")).display().to_string();
        Exchange::start(
            self.dir.path(),
            &[
                "--seed",
                seed,
                "--symbols",
                "3",
                "--rate",
                "6000",
                "--for",
                time,
                "--truth",
                &truth,
            ],
        )
    }

    /// A daemon that takes trades alone, and keeps a thousand of them in memory.
    fn daemon(&self, exchange: &Exchange, spool_max_bytes: &str, name: &str) -> Process {
        let config = self.configuration(exchange, spool_max_bytes);
        let log = self.path(&format!("{name}.log"));
        Process::start(&["run", "--config", &config, "--json"], &log)
    }

    /// The same, with a disk of 64 KiB under its spool, in a view of the file system of its own.
    fn daemon_with_small_disk(&self, exchange: &Exchange) -> Process {
        let config = self.configuration(exchange, "64MiB");
        let mount = "mount -t tmpfs -o size=64k tmpfs \"$0\" && exec \"$@\"";
        let mut command = Command::new("unshare");
        command
            .args(["-m", "sh", "-c", mount])
            .arg(self.spool())
            .arg(env!("CARGO_BIN_EXE_tickforge"))
            .args(["run", "--config", &config, "--json"]);
        Process::of(command, &self.path("small.log"))
    }

    fn configuration(&self, exchange: &Exchange, spool_max_bytes: &str) -> String {
        let text = format!(
            "name = \"it\"\ndata_dir = {:?}\n\
             [exchanges.binance]\nsymbols = [\"*\"]\nquotes = false\nws = {:?}\nrest = {:?}\n\
             snapshots_per_second = 50\n\
             [stores.influx]\nurl = {:?}\ndatabase = {:?}\nmax_waiting = 1000\nbatch = 250\n\
             spool_max_bytes = {spool_max_bytes:?}\n\
             [http]\nlisten = \"off\"\n[engine]\ndrain = \"15s\"\n[strategies.ema_cross]\n",
            self.path("data"),
            exchange.ws,
            exchange.rest,
            self.front.url,
            self.database,
        );
        let config = self.path("tickforge.toml").display().to_string();
        std::fs::write(&config, text).expect("the configuration");
        config
    }

    fn spool(&self) -> PathBuf {
        self.path("data").join("spool").join("influx")
    }

    /// Points in InfluxDB by symbol (`BTCUSDT`); each trade is there once.
    async fn points(&self) -> BTreeMap<String, u64> {
        let trades = daemon::influx_trades(&self.influx, &self.database).await;
        assert!(trades.values().all(|n| *n == 1), "a trade is one point");
        by_symbol(trades.into_keys())
    }
}

impl Place {
    /// Bars are those of the points, whatever was on disk meanwhile.
    fn bars(&self) {
        if let Some(python) = bars::python() {
            let (_, compared) = bars::compare(&python, &self.influx, &self.database);
            assert!(compared[0] > 5, "{compared:?}");
        }
    }
}

fn by_symbol(trades: impl IntoIterator<Item = (String, String)>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for (symbol, _) in trades {
        *counts.entry(symbol).or_default() += 1;
    }
    counts
}

fn frames(dir: &Path) -> usize {
    std::fs::read_dir(dir).map_or(0, Iterator::count)
}

fn until(what: &str, limit: u64, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(limit);
    while !done() {
        assert!(Instant::now() < deadline, "not within {limit} s: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn stop(mut daemon: Process) -> Value {
    daemon.terminate();
    let summary = daemon.line();
    assert!(daemon.wait(Duration::from_secs(30)), "the daemon failed");
    daemon::assert_balanced(&summary);
    let get = |key: &str| u64_of(&summary, &format!("/backlog/{key}"));
    let fates = ["stored", "spooled", "dropped", "expired"].map(get);
    assert_eq!(get("found"), fates.iter().sum::<u64>(), "{summary}");
    let lost = summary["lost_by_instrument"].as_object().expect("a map");
    let lost: u64 = lost.values().filter_map(Value::as_u64).sum();
    let died = u64_of(&summary, "/ticks_died/influx");
    let dropped = u64_of(&summary, "/ticks/dropped") + get("dropped");
    assert_eq!(lost, dropped + died);
    summary
}

#[tokio::test]
async fn a_store_away_for_longer_than_memory_holds_misses_nothing() {
    let Some(place) = Place::new() else { return };
    let mut exchange = place.exchange("a", "1", "9s");
    let daemon = place.daemon(&exchange, "64MiB", "a");
    std::thread::sleep(Duration::from_secs(2));
    place.front.set_away(true);
    until("ticks on disk", 20, || frames(&place.spool()) >= 8);
    place.front.set_away(false);
    let ended = exchange.process.wait(Duration::from_secs(60));
    assert!(ended, "the exchange failed");
    until("the spool is empty", 30, || frames(&place.spool()) == 0);
    std::thread::sleep(Duration::from_secs(1));
    let summary = stop(daemon);
    let truth = by_symbol(daemon::true_trades(&place.path("a.truth")));
    assert!(truth.values().sum::<u64>() > 8_000, "{truth:?}");
    assert_eq!(place.points().await, truth);
    assert_eq!(
        u64_of(&summary, "/ticks/stored"),
        truth.values().sum::<u64>()
    );
    assert_eq!(u64_of(&summary, "/ticks/dropped"), 0);
    place.bars();
}

#[tokio::test]
async fn what_a_killed_daemon_spooled_is_delivered_by_the_next_one() {
    let Some(place) = Place::new() else { return };
    place.front.set_away(true);
    let exchange = place.exchange("a", "2", "30s");
    let mut killed = place.daemon(&exchange, "64MiB", "a");
    until("ticks on disk", 30, || frames(&place.spool()) >= 20);
    killed.kill();
    drop(exchange);
    let left = frames(&place.spool());
    // A frame that was being written as the power went.
    let torn = place.spool().join(format!("{:020}.frame", 999_999));
    std::fs::write(&torn, b"TFS1\0\0").expect("written");

    let mut exchange = place.exchange("b", "3", "4s");
    let daemon = place.daemon(&exchange, "64MiB", "b");
    std::thread::sleep(Duration::from_secs(2));
    assert!(frames(&place.spool()) >= left - 1, "nothing is given up");
    assert!(!torn.exists(), "a torn file is cut at start");
    place.front.set_away(false);
    let ended = exchange.process.wait(Duration::from_secs(60));
    assert!(ended, "the exchange failed");
    until("the spool is empty", 30, || frames(&place.spool()) == 0);
    std::thread::sleep(Duration::from_secs(1));
    let summary = stop(daemon);
    let found = u64_of(&summary, "/backlog/found");
    assert!(found >= (left as u64 - 1) * 250, "{summary}");
    assert_eq!(u64_of(&summary, "/backlog/stored"), found);
    let (stored, offered) = ("/ticks/stored", "/ticks/offered");
    assert_eq!(u64_of(&summary, stored), u64_of(&summary, offered));
    let points: u64 = place.points().await.values().sum();
    assert_eq!(points, found + u64_of(&summary, stored));
    place.bars();
}

#[tokio::test]
async fn a_full_spool_drops_the_oldest_and_says_which_instruments_miss_how_much() {
    let Some(place) = Place::new() else { return };
    place.front.set_away(true);
    let mut exchange = place.exchange("a", "4", "8s");
    let daemon = place.daemon(&exchange, "48KiB", "a");
    let ended = exchange.process.wait(Duration::from_secs(60));
    assert!(ended, "the exchange failed");
    std::thread::sleep(Duration::from_secs(1));
    let bytes = |path: PathBuf| std::fs::metadata(path).map_or(0, |m| m.len());
    let spool = std::fs::read_dir(place.spool()).expect("the spool");
    let spool: u64 = spool.map(|e| bytes(e.expect("an entry").path())).sum();
    assert!((24 << 10..=48 << 10).contains(&spool), "{spool} bytes");
    place.front.set_away(false);
    until("the spool is empty", 30, || frames(&place.spool()) == 0);
    std::thread::sleep(Duration::from_secs(1));
    let summary = stop(daemon);
    let truth = by_symbol(daemon::true_trades(&place.path("a.truth")));
    let points = place.points().await;
    let lost = summary["lost_by_instrument"].as_object().expect("a map");
    let lost: BTreeMap<String, u64> = lost
        .iter()
        .map(|(name, n)| {
            let symbol = name.strip_prefix("binance ").expect("an instrument");
            (symbol.replace('/', ""), n.as_u64().expect("a number"))
        })
        .collect();
    let missing: BTreeMap<String, u64> = truth
        .iter()
        .map(|(symbol, n)| (symbol.clone(), n - points[symbol]))
        .collect();
    assert_eq!(lost, missing);
    assert!(missing.values().all(|n| *n > 0), "{missing:?}");
    // The newest are all there: as many as memory and spool hold.
    let dropped = u64_of(&summary, "/ticks/dropped");
    assert_eq!(missing.values().sum::<u64>(), dropped);
    assert!(dropped + 1_000 < u64_of(&summary, "/ticks/offered"));
}

#[tokio::test]
async fn a_full_disk_costs_ticks_and_the_daemon_goes_on() {
    let Some(place) = Place::new() else { return };
    let may_mount = Command::new("unshare")
        .args(["-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"])
        .output();
    if !may_mount.is_ok_and(|out| out.status.success()) {
        eprintln!("skipped: no right to mount a small disk; run as root");
        return;
    }
    std::fs::create_dir_all(place.spool()).expect("a folder");
    place.front.set_away(true);
    let mut exchange = place.exchange("a", "5", "8s");
    let daemon = place.daemon_with_small_disk(&exchange);
    let ended = exchange.process.wait(Duration::from_secs(60));
    assert!(ended, "the exchange failed");
    place.front.set_away(false);
    std::thread::sleep(Duration::from_secs(3));
    let summary = stop(daemon);
    let log = std::fs::read_to_string(place.path("small.log")).expect("the log");
    assert!(log.contains("No space left on device"), "{log}");
    let truth = by_symbol(daemon::true_trades(&place.path("a.truth")));
    let points: u64 = place.points().await.values().sum();
    let dropped = u64_of(&summary, "/ticks/dropped");
    assert!(dropped > 500, "{summary}");
    assert_eq!(points + dropped, truth.values().sum::<u64>());
    assert!(points > 1_000, "what the disk held is there: {summary}");
}
