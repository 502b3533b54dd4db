//! The ingest thread's two ways of waiting, as an operator meets them: what a daemon that polls its
//! sockets loses (nothing), what one that sleeps costs, and what is refused at start.

use crate::daemon::{self, Exchange, Process, u64_of};
use std::path::Path;
use std::time::{Duration, Instant};

/// Whether busy polling is allowed here; says so where it is not.
fn has_two_cores() -> bool {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores < 2 {
        eprintln!("skipped: busy_poll needs two cores");
    }
    cores >= 2
}

fn configuration(dir: &Path, exchange: &Exchange, rest_of_it: &str) -> String {
    let text = format!(
        "data_dir = {:?}\n[exchanges.binance]\nsymbols = [\"*\"]\nws = {:?}\nrest = {:?}\n\
         snapshots_per_second = 50\nbackoff_min = \"50ms\"\nbackoff_max = \"200ms\"\n\
         [http]\nlisten = \"off\"\n{rest_of_it}",
        dir.join("data"),
        exchange.ws,
        exchange.rest,
    );
    let path = dir.join("tickforge.toml");
    std::fs::write(&path, text).expect("the configuration");
    path.display().to_string()
}

fn start(dir: &Path, exchange: &Exchange, rest_of_it: &str) -> Process {
    let config = configuration(dir, exchange, rest_of_it);
    Process::start(
        &["run", "--config", &config, "--json"],
        &dir.join("run.log"),
    )
}

/// A market with these faults into a polling daemon; the daemon's summary.
fn polled(dir: &Path, faults: &str) -> serde_json::Value {
    let truth = dir.join("truth.jsonl").display().to_string();
    let mut flags = vec![
        "--seed", "3", "--rate", "2000", "--for", "8s", "--truth", &truth,
    ];
    flags.extend(["--faults", faults]);
    let mut exchange = Exchange::start(dir, &flags);
    let cores = tickforge::cores::allowed().expect("cores");
    let place = format!("[ingest]\nmode = \"busy_poll\"\ncore = {}\n", cores[0]);
    let mut daemon = start(dir, &exchange, &place);
    assert!(
        exchange.process.wait(Duration::from_secs(60)),
        "the exchange failed"
    );
    std::thread::sleep(Duration::from_secs(1)); // what it sent last is still on its way
    daemon.terminate();
    let summary = daemon.line();
    assert!(daemon.wait(Duration::from_secs(30)), "the daemon failed");
    daemon::assert_balanced(&summary);
    summary
}

/// How often the daemon connected: by its log, since the exchange's end makes attempts that fail.
fn connections(dir: &Path) -> usize {
    let log = std::fs::read_to_string(dir.join("run.log")).expect("a log");
    log.matches("net::connection: connected").count()
}

#[test]
fn a_polling_daemon_takes_every_frame() {
    if !has_two_cores() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let summary = polled(dir.path(), "");
    let trades = daemon::true_trades(&dir.path().join("truth.jsonl")).len() as u64;
    assert!(trades > 1_000, "{trades} trades");
    assert!(u64_of(&summary, "/events") > trades, "{summary}");
    assert!(u64_of(&summary, "/ticks/stored") >= trades, "{summary}");
    for none in ["/dropped", "/rejected", "/resyncs"] {
        assert_eq!(u64_of(&summary, none), 0, "{none}: {summary}");
    }
    assert_eq!(connections(dir.path()), 1);
}

#[test]
fn a_polling_daemon_reconnects_and_resyncs() {
    if !has_two_cores() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let summary = polled(
        dir.path(),
        "disconnect=0.5,drop_depth=0.01,duplicate_trade=0.05",
    );
    assert!(connections(dir.path()) > 1, "{summary}");
    for some in ["/resyncs", "/gaps", "/duplicates"] {
        assert!(u64_of(&summary, some) > 0, "{some}: {summary}");
    }
    assert_eq!(u64_of(&summary, "/dropped"), 0, "{summary}");
}

/// The share of a core that a daemon with a live but almost silent connection takes.
fn idle_share(mode: &str) -> f64 {
    let dir = tempfile::tempdir().expect("a folder");
    let exchange = Exchange::start(dir.path(), &["--symbols", "1", "--rate", "1"]);
    let place = format!("[ingest]\nmode = \"{mode}\"\n");
    let daemon = start(dir.path(), &exchange, &place);
    let log = dir.path().join("run.log");
    let deadline = Instant::now() + Duration::from_secs(20);
    while !std::fs::read_to_string(&log).is_ok_and(|text| text.contains("connected")) {
        assert!(Instant::now() < deadline, "it did not connect");
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_secs(1));
    let (began, before) = (Instant::now(), cpu_seconds(daemon.id()));
    std::thread::sleep(Duration::from_secs(4));
    (cpu_seconds(daemon.id()) - before) / began.elapsed().as_secs_f64()
}

/// Processor time of a process so far, its own and the kernel's for it.
fn cpu_seconds(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    let (_, fields) = stat.rsplit_once(") ").expect("a name in brackets");
    let ticks = fields.split(' ').skip(11).take(2);
    let ticks: u64 = ticks.map(|t| t.parse::<u64>().expect("ticks")).sum();
    ticks as f64 / 100.0 // USER_HZ
}

#[test]
fn alone_an_idle_daemon_costs_nothing_unless_it_polls() {
    let asleep = idle_share("tokio");
    eprintln!("idle, tokio: {:.2}% of a core", 100.0 * asleep);
    assert!(asleep < 0.03, "{asleep}");
    if has_two_cores() {
        let polling = idle_share("busy_poll");
        eprintln!("idle, busy_poll: {:.2}% of a core", 100.0 * polling);
        assert!(polling > 0.3, "{polling}: it does not poll");
    }
}

#[test]
fn a_core_that_is_not_there_is_refused_at_start() {
    let dir = tempfile::tempdir().expect("a folder");
    let exchange = Exchange::start(dir.path(), &["--symbols", "1", "--rate", "1"]);
    let mut daemon = start(dir.path(), &exchange, "[engine]\ncore = 1023\n");
    assert!(!daemon.wait(Duration::from_secs(20)), "it must fail");
    let log = std::fs::read_to_string(dir.path().join("run.log")).expect("a log");
    assert!(
        log.contains("[engine] core = 1023: this process may run on ["),
        "{log}"
    );
}
