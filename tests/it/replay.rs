//! A recording holds every decision: a run that records, and two replays of its recording, make the
//! same signals, ids included.

use crate::daemon::{self, Exchange, Process, u64_of};
use crate::servers;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// All that goes wrong on a bad day, on several connections.
const FAULTS: &str =
    "disconnect=0.05,drop_depth=0.002,duplicate_trade=0.02,malformed=0.002,stall_ms=200";

fn text(path: &Path) -> String {
    path.display().to_string()
}

pub fn configuration(dir: &Path, exchange: &Exchange) -> String {
    let text = format!(
        "name = \"it\"\ndata_dir = {:?}\n[exchanges.binance]\nsymbols = [\"*\"]\nws = {:?}\nrest = {:?}\n\
         snapshots_per_second = 50\ninstruments_per_connection = 2\nbackoff_max = \"500ms\"\n\
         [http]\nlisten = \"off\"\n{}",
        dir.join("data"),
        exchange.ws,
        exchange.rest,
        crate::pipeline::STRATEGIES
    );
    let path = dir.join("tickforge.toml");
    std::fs::write(&path, text).expect("the configuration");
    path.display().to_string()
}

/// Records a faulty market of `seed`; the run's summary.
fn record(dir: &Path, seed: u32, seconds: u32) -> (String, Value) {
    let (seed, time) = (seed.to_string(), format!("{seconds}s"));
    let flags = [
        "--seed",
        &seed,
        "--symbols",
        "6",
        "--rate",
        "3000",
        "--for",
        &time,
        "--faults",
        FAULTS,
    ];
    let mut exchange = Exchange::start(dir, &flags);
    let config = configuration(dir, &exchange);
    let capture = text(&dir.join("run.capture.jsonl.zst"));
    let args = ["run", "--config", &config, "--record", &capture, "--json"];
    let mut daemon = Process::start(&args, &dir.join("run.log"));
    assert!(
        exchange.process.wait(Duration::from_secs(60)),
        "the exchange failed"
    );
    daemon.terminate();
    let summary = daemon.line();
    assert!(daemon.wait(Duration::from_secs(30)), "the daemon failed");
    (config, summary)
}

/// Signals as decisions: without what was measured.
pub fn decisions(lines: impl Iterator<Item = Value>) -> Vec<Value> {
    let decision = |mut signal: Value| {
        let keys = signal.as_object_mut().expect("an object");
        keys.remove("journal_seq");
        keys.remove("latency_ns");
        signal
    };
    lines.map(decision).collect()
}

/// Signals, and what became of them.
pub type Decided = (Vec<Value>, Vec<Value>);

pub fn replayed(dir: &Path, config: &str, flags: &[&str]) -> (Decided, Value) {
    let file = |name: &str| text(&dir.join(name));
    let (capture, signals) = (file("run.capture.jsonl.zst"), file("replayed.jsonl"));
    let outcomes = file("outcomes.jsonl");
    let mut args = vec![
        "replay",
        &capture,
        "--config",
        config,
        "--signals",
        &signals,
        "--outcomes",
        &outcomes,
        "--json",
    ];
    args.extend(flags);
    let summary = serde_json::from_str(&daemon::output(&args)).expect("a summary");
    let read = |path: &str| {
        let written = std::fs::read_to_string(path).expect("lines");
        let lines = written.lines();
        decisions(lines.map(|l| serde_json::from_str(l).expect("JSON")))
    };
    ((read(&signals), read(&outcomes)), summary)
}

/// Twenty seeds with `tests/run --long`.
#[test]
fn a_recording_makes_the_same_decisions_again() {
    let (seeds, seconds) = if servers::long() { (20, 12) } else { (2, 6) };
    for seed in 1..=seeds {
        let dir = tempfile::tempdir().expect("a folder");
        let (config, run) = record(dir.path(), seed, seconds);
        daemon::assert_balanced(&run);
        let data = dir.path().join("data");
        let live = decisions(daemon::journalled(&data).into_iter());
        let ended = decisions(daemon::outcomes(&data).into_iter());
        let (file, summary) = replayed(dir.path(), &config, &[]);
        let (memory, _) = replayed(dir.path(), &config, &["--from-memory"]);
        for (i, signal) in live.iter().enumerate() {
            let again = file.0.get(i);
            assert_eq!(Some(signal), again, "seed {seed}: signal {i} of the run");
        }
        assert!(live.len() > 50, "seed {seed}: {} signals", live.len());
        assert_eq!(live, file.0, "seed {seed}: the recording has more");
        assert!(ended.len() > 20, "seed {seed}: {} ends", ended.len());
        assert_eq!(ended, file.1, "seed {seed}: what became of them");
        assert_eq!(file, memory, "seed {seed}: the second replay");
        for key in ["/events", "/gaps", "/resyncs", "/rejected", "/duplicates"] {
            assert_eq!(
                u64_of(&run, key),
                u64_of(&summary, key),
                "seed {seed}: {key}"
            );
        }
        eprintln!(
            "seed {seed}: {} signals three times; {} reconnects, {} gaps, {} rejected",
            live.len(),
            u64_of(&run, "/reconnects"),
            u64_of(&run, "/gaps"),
            u64_of(&run, "/rejected")
        );
    }
}

/// `record` keeps what an exchange sent, and the books in it come out right.
#[test]
fn a_recording_without_strategies_is_whole() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut exchange = Exchange::start(dir.path(), &["--symbols", "4", "--for", "20s"]);
    let config = configuration(dir.path(), &exchange);
    let capture = text(&dir.path().join("rec.capture.jsonl.zst"));
    let args = [
        "record",
        "--config",
        &config,
        "--exchange",
        "binance",
        "--symbols",
        "BTC/USDT,ETH/*",
        "--for",
        "3s",
        "-o",
        &capture,
        "--json",
    ];
    let summary: Value = serde_json::from_str(&daemon::output(&args)).expect("a summary");
    exchange.process.terminate();
    assert!(exchange.process.wait(Duration::from_secs(20)));
    let inspected: Value =
        serde_json::from_str(&daemon::output(&["inspect", &capture, "--json"])).expect("JSON");
    assert_eq!(
        u64_of(&inspected, "/messages"),
        u64_of(&summary, "/frames/received")
    );
    assert!(u64_of(&summary, "/frames/received") > 1_000, "{summary}");
    let books = inspected["books"].as_array().expect("books");
    assert!(books.len() >= 2, "{inspected}");
    assert!(books.iter().all(|b| b["state"] == "synced"), "{inspected}");
    assert!(
        !dir.path().join("data").exists(),
        "a recording opens no journal"
    );
}
