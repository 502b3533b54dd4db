//! SIGKILL with ticks in memory: what is stored and what the next run says is lost is all that was
//! offered, instrument by instrument, to the unit.

use crate::daemon::{self, Exchange, Process, u64_of};
use crate::disk::Draw;
use crate::influx2::Front;
use crate::servers;
use crate::watch::{Watch, until};
use polars::prelude::{ParquetReader, SerReader};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tickforge::metrics::ledger::Contents;

const SOON: Duration = Duration::from_secs(30);

/// Ticks by symbol (`BTCUSDT`).
type Ticks = BTreeMap<String, u64>;

fn add(to: &mut Ticks, more: &Ticks) {
    for (symbol, n) in more {
        *to.entry(symbol.clone()).or_default() += n;
    }
}

fn sum(a: &Ticks, b: &Ticks) -> Ticks {
    let mut both = a.clone();
    add(&mut both, b);
    both
}

fn total(ticks: &Ticks) -> u64 {
    ticks.values().sum()
}

/// What a test runs with.
struct Place {
    dir: tempfile::TempDir,
    watch: Watch,
    influx: Option<(String, Front)>,
    database: String,
}

impl Place {
    fn new(influx: Option<String>) -> Place {
        Place {
            dir: tempfile::tempdir().expect("a folder"),
            watch: Watch::new(),
            influx: influx.map(|url| (url.clone(), Front::start(url))),
            database: servers::unique_name(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn front(&self) -> &Front {
        &self.influx.as_ref().expect("a server").1
    }

    fn exchange(&self, time: &str) -> Exchange {
        let truth = self.path("truth").display().to_string();
        let flags = [
            "--symbols",
            "3",
            "--rate",
            "6000",
            "--for",
            time,
            "--truth",
            &truth,
        ];
        Exchange::start(self.dir.path(), &flags)
    }

    /// Once the exchange has ended; trades alone.
    fn truth(&self) -> Ticks {
        let mut ticks = Ticks::new();
        for (symbol, _) in daemon::true_trades(&self.path("truth")) {
            *ticks.entry(symbol).or_default() += 1;
        }
        ticks
    }

    fn daemon(&self, exchange: &Exchange, quotes: bool, stores: &str) -> Process {
        let influx = self.influx.as_ref().map_or(String::new(), |(_, front)| {
            let (url, database) = (&front.url, &self.database);
            format!("[stores.influx]\nurl = {url:?}\ndatabase = {database:?}\n")
        });
        let text = format!(
            "name = \"it\"\ndata_dir = {:?}\n\
             [exchanges.binance]\nsymbols = [\"*\"]\nquotes = {quotes}\nws = {:?}\nrest = {:?}\n\
             snapshots_per_second = 50\nbackoff_max = \"1s\"\n{}[strategies.ema_cross]\n\
             {influx}{stores}",
            self.path("data"),
            exchange.ws,
            exchange.rest,
            self.watch.section(),
        );
        let config = self.path("tickforge.toml").display().to_string();
        std::fs::write(&config, text).expect("the configuration");
        let daemon = Process::start(&["run", "--config", &config, "--json"], &self.path("log"));
        until("it answers", SOON, || !self.watch.metrics().is_empty());
        daemon
    }

    fn count(&self, name: &str, store: &str) -> u64 {
        self.watch.metric(&format!("{name}{{store=\"{store}\"}}")) as u64
    }

    /// What this run says that a store misses.
    fn lost(&self, store: &str) -> Ticks {
        let begin = format!("tickforge_ticks_lost_total{{store=\"{store}\"");
        let all = self.watch.metrics();
        let of_store = all.iter().filter(|(name, _)| name.starts_with(&begin));
        of_store
            .map(|(name, n)| {
                let symbol = name.split("symbol=\"").nth(1).expect("a symbol");
                let symbol = symbol.trim_end_matches("\"}").replace('/', "");
                (symbol, *n as u64)
            })
            .collect()
    }

    /// What was offered to a store, by the ledger of a run that has ended.
    fn offered(&self, store: &str) -> Ticks {
        let path = tickforge::publishers::ledger::path(&self.path("data"), store);
        let ledger = Contents::read(&path, &|_| false).expect("read");
        let rows = ledger.expect("a ledger").rows.into_iter();
        rows.map(|row| {
            let symbol = row.name.strip_prefix("binance ").expect("an instrument");
            (symbol.replace('/', ""), row.offered)
        })
        .collect()
    }

    /// Rows of all whole Parquet files.
    fn rows(&self) -> Ticks {
        let mut ticks = Ticks::new();
        count_rows(&self.path("data").join("ticks"), &mut ticks);
        ticks
    }

    /// Points of trades in InfluxDB; each is there once.
    async fn points(&self) -> Ticks {
        let (url, _) = self.influx.as_ref().expect("a server");
        let mut ticks = Ticks::new();
        for ((symbol, _), n) in daemon::influx_trades(url, &self.database).await {
            assert_eq!(n, 1, "a trade is one point");
            *ticks.entry(symbol).or_default() += 1;
        }
        ticks
    }

    fn spool_is_empty(&self) -> bool {
        let spool = self.path("data").join("spool").join("influx");
        std::fs::read_dir(spool).map_or(0, Iterator::count) == 0
            && self.count("backlog_waiting", "influx") == 0
    }
}

fn count_rows(dir: &Path, ticks: &mut Ticks) {
    for entry in std::fs::read_dir(dir).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            count_rows(&path, ticks);
        } else if path.extension().is_some_and(|e| e == "parquet") {
            let file = std::fs::File::open(&path).expect("opened");
            let frame = ParquetReader::new(file).finish().expect("a whole file");
            let symbols = frame.column("symbol").expect("a column").str();
            for symbol in symbols.expect("texts").iter().flatten() {
                *ticks.entry(symbol.replace('/', "")).or_default() += 1;
            }
        }
    }
}

fn stop(mut daemon: Process) -> Value {
    daemon.terminate();
    let summary = daemon.line();
    assert!(daemon.wait(SOON), "the daemon failed");
    daemon::assert_balanced(&summary);
    summary
}

/// Both stores keep some ticks in memory when all has come; nothing is on its way.
#[tokio::test]
async fn a_kill_costs_what_was_in_memory_and_the_next_run_says_what_it_was() {
    let place = Place::new(servers::influx_url());
    let with_influx = place.influx.is_some();
    let stores = if with_influx {
        "flush = \"60s\"\nbatch = 1000\n[stores.parquet]\nenabled = true\nmax_rows = 1000\n"
    } else {
        "[stores.parquet]\nenabled = true\nmax_rows = 1000\n"
    };
    let mut exchange = place.exchange("3s");
    let mut daemon = place.daemon(&exchange, false, stores);
    assert!(exchange.process.wait(SOON), "the exchange failed");
    let truth = place.truth();
    let all = total(&truth);
    assert!(all > 2_500, "{truth:?}");
    until("all has come to Parquet", SOON, || {
        place.count("ticks_offered_total", "parquet") == all
            && place.count("ticks_waiting", "parquet") <= 1000
    });
    if with_influx {
        until("nothing is on its way to InfluxDB", SOON, || {
            place.count("ticks_stored_total", "influx") == all / 1000 * 1000
        });
    }
    daemon.kill();
    assert_eq!(place.offered("parquet"), truth);
    let stored = place.rows();

    let daemon = place.daemon(&exchange, false, stores);
    let lost = place.lost("parquet");
    assert!((1..=1000).contains(&total(&lost)), "{lost:?}");
    assert_eq!(sum(&stored, &lost), truth, "Parquet");
    let parquet = total(&lost);
    let mut influx = 0;
    if with_influx {
        let lost = place.lost("influx");
        assert_eq!(total(&lost), all % 1000);
        assert_eq!(sum(&place.points().await, &lost), truth, "InfluxDB");
        influx = total(&lost);
    }
    let log = std::fs::read_to_string(place.path("log")).expect("the log");
    assert!(log.contains("killed with ticks in memory"), "{log}");
    let died = stop(daemon)["ticks_died"].clone();
    let expected = serde_json::json!({"influx": influx, "parquet": parquet, "unsure": 0});
    assert_eq!(died, expected);

    let daemon = place.daemon(&exchange, false, stores);
    let died = stop(daemon)["ticks_died"].clone();
    let nothing = serde_json::json!({"influx": 0, "parquet": 0, "unsure": 0});
    assert_eq!(died, nothing, "after an orderly end");
}

/// Memory, the spool's queue and its frames hold all that came; what was in memory is lost.
#[tokio::test]
async fn a_kill_while_the_store_is_away_costs_what_the_spool_did_not_have_yet() {
    let Some(influx) = servers::influx_url() else {
        return;
    };
    let place = Place::new(Some(influx));
    let stores = "batch = 250\nmax_waiting = 1000\n";
    let mut exchange = place.exchange("4s");
    let mut daemon = place.daemon(&exchange, false, stores);
    until("some are stored", SOON, || {
        place.count("ticks_stored_total", "influx") > 0
    });
    place.front().set_away(true);
    assert!(exchange.process.wait(SOON), "the exchange failed");
    let truth = place.truth();
    until("all has come", SOON, || {
        place.count("ticks_offered_total", "influx") == total(&truth)
    });
    assert!(!place.spool_is_empty());
    daemon.kill();
    place.front().set_away(false);

    let daemon = place.daemon(&exchange, false, stores);
    until("the spool is empty", SOON, || place.spool_is_empty());
    let lost = place.lost("influx");
    let summary = stop(daemon);
    assert_eq!(sum(&place.points().await, &lost), truth);
    assert!((1..=1_500).contains(&total(&lost)), "{lost:?}");
    assert_eq!(u64_of(&summary, "/ticks_died/influx"), total(&lost));
    assert!(u64_of(&summary, "/ticks_died/unsure") <= 250, "{summary}");
}

fn kills() -> u64 {
    if servers::long() { 50 } else { 5 }
}

/// Segments are written all the time, so that kills come before, within and after a write.
#[test]
fn kills_at_any_moment_leave_parquet_with_gaps_that_are_counted() {
    let place = Place::new(None);
    let stores = "[stores.parquet]\nmax_rows = 1000\nsegment = \"1s\"\n";
    let exchange = place.exchange("600s");
    let seed = u64::from(std::process::id());
    eprintln!("{} kills, seed {seed}", kills());
    let mut draw = Draw::new(seed);
    let (mut before, mut after, mut offered) = (Ticks::new(), Ticks::new(), Ticks::new());
    let mut all_lost = 0;
    for n in 0..=kills() {
        let mut daemon = place.daemon(&exchange, true, stores);
        std::thread::sleep(Duration::from_millis(200 + draw.below(700)));
        let lost = place.lost("parquet");
        all_lost += total(&lost);
        let (found, all) = (sum(&after, &lost), sum(&before, &offered));
        assert_eq!(found, all, "kill {n}, seed {seed}");
        if n < kills() {
            daemon.kill();
            offered = place.offered("parquet");
            (before, after) = (after, place.rows());
        } else {
            stop(daemon);
        }
    }
    eprintln!("{} rows, {all_lost} lost", total(&place.rows()));
    assert!(all_lost > 0, "the kills came under load");
}

/// The store is away by turns. What was on its way may be stored and is counted as lost: so many
/// more than were offered may be found, and never fewer.
#[tokio::test]
async fn kills_at_any_moment_leave_influx_with_gaps_that_are_counted() {
    let Some(influx) = servers::influx_url() else {
        return;
    };
    let place = Place::new(Some(influx));
    let stores = "batch = 100\nmax_waiting = 1000\nflush = \"20ms\"\n";
    let exchange = place.exchange("600s");
    let seed = u64::from(std::process::id());
    let mut draw = Draw::new(seed);
    let (mut offered, mut lost, mut unsure) = (Ticks::new(), Ticks::new(), 0);
    for n in 0..kills() {
        place.front().set_away(n % 2 == 1);
        let mut daemon = place.daemon(&exchange, false, stores);
        std::thread::sleep(Duration::from_millis(200 + draw.below(1_000)));
        add(&mut lost, &place.lost("influx"));
        unsure += place.count("ticks_died_unsure_total", "influx");
        daemon.kill();
        add(&mut offered, &place.offered("influx"));
    }
    place.front().set_away(false);
    let daemon = place.daemon(&exchange, false, stores);
    drop(exchange);
    until("the spool is empty", SOON, || place.spool_is_empty());
    add(&mut lost, &place.lost("influx"));
    unsure += place.count("ticks_died_unsure_total", "influx");
    stop(daemon);
    add(&mut offered, &place.offered("influx"));
    let points = place.points().await;
    let found = sum(&points, &lost);
    let (many, most) = (total(&found), total(&offered) + unsure);
    eprintln!(
        "{} kills, seed {seed}: {} offered, {} stored, {} lost, {unsure} of them unsure",
        kills(),
        total(&offered),
        total(&points),
        total(&lost),
    );
    for (symbol, n) in &offered {
        assert!(
            found[symbol] >= *n,
            "{symbol}: {} of {n}, seed {seed}",
            found[symbol]
        );
    }
    assert!(many <= most, "{many} of {most}, seed {seed}");
    assert!(total(&lost) > 0, "the kills came under load");
}
