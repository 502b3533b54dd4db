//! A daemon that was killed goes on as if nothing had happened: a second one beside it, which was
//! not, makes the same signals. And parameters change while it runs.

use crate::daemon::{self, Exchange, Process};
use crate::replay::{decisions, replayed};
use crate::servers;
use crate::watch::{Watch, until};
use serde_json::Value;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// Bars of a second, which close often; nothing here looks at books.
const STRATEGIES: &str = "
[strategies.ema_cross]
bar = \"1s\"
fast = 3
slow = 7
atr = 5
min_gap_bp = 0.0
target_atr = 2.0
[strategies.rsi_reversion]
bar = \"1s\"
period = 5
min_atr_bp = 0.0
";

/// And one that looks at two instruments at once.
const PAIR: &str = "
[strategies.spread_reversion]
groups = [[\"binance:BTC/USDT\", \"binance:ETH/USDT\"]]
bar = \"1s\"
period = 8
entry = 1.2
min_sd_bp = 0.01
";

fn configuration(dir: &Path, exchange: &Exchange, watch: Watch) -> String {
    std::fs::create_dir_all(dir).expect("a folder");
    let text = format!(
        "name = \"it\"\ndata_dir = {:?}\n[exchanges.binance]\nsymbols = [\"*\"]\nws = {:?}\nrest = {:?}\n\
         snapshots_per_second = 50\n[stores.parquet]\nenabled = false\n{}{STRATEGIES}",
        dir.join("data"),
        exchange.ws,
        exchange.rest,
        watch.section(),
    );
    let path = dir.join("tickforge.toml");
    std::fs::write(&path, text).expect("the configuration");
    path.display().to_string()
}

fn run(dir: &Path, config: &str, log: &str) -> Process {
    Process::start(&["run", "--config", config, "--json"], &dir.join(log))
}

fn now_ns() -> i64 {
    tickforge::clock::now_ns()
}

/// Signals on events of this time, as decisions: what they are, without what was measured, and
/// without the state of the books, which a restart fetches anew.
fn decided(dir: &Path, times: std::ops::Range<i64>) -> Vec<Value> {
    let made = daemon::journalled(&dir.join("data"));
    let of_then = |s: &Value| s["event_ns"].as_i64().is_some_and(|ns| times.contains(&ns));
    let mut all = decisions(made.into_iter().filter(of_then));
    for signal in &mut all {
        let keys = signal.as_object_mut().expect("an object");
        keys.remove("data_quality");
        keys.remove("recv_ns");
    }
    all.sort_by_key(|s| (s["event_ns"].as_i64(), s["signal_id"].to_string()));
    all.dedup();
    all
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

#[test]
fn alone_signals_after_a_kill_are_those_of_a_run_that_went_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let (whole, killed) = (dir.path().join("whole"), dir.path().join("killed"));
    let exchange = Exchange::start(dir.path(), &["--symbols", "4", "--rate", "200"]);
    let watches = [Watch::new(), Watch::new()];
    let config_of_whole = configuration(&whole, &exchange, watches[0]);
    let config_of_killed = configuration(&killed, &exchange, watches[1]);
    // Both go on from one state, so that not even the last digit differs.
    let first = Watch::new();
    let begun = dir.path().join("begun");
    let config = configuration(&begun, &exchange, first);
    for config in [&config_of_whole, &config_of_killed, &config] {
        let file = std::fs::OpenOptions::new().append(true).open(config);
        let written = file.and_then(|mut file| file.write_all(PAIR.as_bytes()));
        written.expect("one more strategy");
    }
    let mut daemon = run(dir.path(), &config, "begun.log");
    until("signals", Duration::from_secs(60), || {
        first.metric("signals_total") > 5.0
    });
    daemon.terminate();
    assert!(daemon.wait(Duration::from_secs(30)));
    for data in [&whole, &killed] {
        copy(&begun.join("data"), &data.join("data"));
    }
    let mut uninterrupted = run(dir.path(), &config_of_whole, "whole.log");
    let (mut equal, mut of_two) = (0, 0);
    let mut times = Vec::new();
    for kill in 0..3 {
        let log = format!("killed-{kill}.log");
        let mut interrupted = run(dir.path(), &config_of_killed, &log);
        let from = now_ns() + 5_000_000_000;
        std::thread::sleep(Duration::from_secs(15));
        times.push(from..now_ns() - 1_000_000_000);
        if kill < 2 {
            interrupted.kill();
            std::thread::sleep(Duration::from_millis(700));
        } else {
            interrupted.terminate();
            let summary = interrupted.line();
            assert!(interrupted.wait(Duration::from_secs(30)));
            daemon::assert_balanced(&summary);
        }
    }
    uninterrupted.terminate();
    assert!(uninterrupted.wait(Duration::from_secs(30)));
    for time in times {
        let (of_whole, of_killed) = (decided(&whole, time.clone()), decided(&killed, time));
        let ids = |all: &[Value]| {
            let name = |s: &Value| format!("{} {} {}", s["strategy"], s["symbol"], s["created_at"]);
            all.iter().map(name).collect::<Vec<_>>()
        };
        assert_eq!(ids(&of_killed), ids(&of_whole));
        for (killed, whole) in of_killed.iter().zip(&of_whole) {
            let keys = whole.as_object().expect("an object").keys();
            let differing: Vec<_> = keys.filter(|key| killed[*key] != whole[*key]).collect();
            let values = |s: &Value| differing.iter().map(|key| s[*key].clone()).collect();
            let (of_killed, of_whole): (Vec<Value>, Vec<Value>) = (values(killed), values(whole));
            assert_eq!(
                of_killed, of_whole,
                "{differing:?} of {}",
                whole["signal_id"]
            );
        }
        equal += of_whole.len();
        let over_two = |s: &&Value| s["strategy"] == "spread_reversion";
        of_two += of_whole.iter().filter(over_two).count();
    }
    eprintln!("{equal} signals were equal, {of_two} of them over two instruments");
    assert!(equal > 20 && of_two > 0, "{equal}, {of_two}");
}

#[test]
fn alone_a_reload_changes_parameters_and_a_replay_changes_them_there_too() {
    let dir = tempfile::tempdir().expect("a folder");
    let exchange = Exchange::start(dir.path(), &["--symbols", "4", "--rate", "400"]);
    let watch = Watch::new();
    let config = configuration(dir.path(), &exchange, watch);
    let capture = dir.path().join("run.capture.jsonl.zst");
    let capture = capture.display().to_string();
    let args = ["run", "--config", &config, "--record", &capture, "--json"];
    let mut daemon = Process::start(&args, &dir.path().join("run.log"));
    until("signals", Duration::from_secs(60), || {
        watch.metric("signals_total") > 10.0
    });
    let text = std::fs::read_to_string(&config).expect("read");
    // One that is taken over as it is, and a length that needs other bars.
    let changed = text
        .replace("target_atr = 2.0", "target_atr = 4.0")
        .replace("period = 5", "period = 4");
    std::fs::write(&config, changed).expect("written");
    let reloaded_ns = now_ns();
    daemon.signal("-HUP");
    let data = dir.path().join("data");
    let with = |strategy: &str, key: &str, value: f64| {
        let made = daemon::journalled(&data);
        let so = |s: &&Value| s["strategy"] == strategy && s["parameters"][key] == value;
        made.iter().find(so).and_then(|s| s["event_ns"].as_i64())
    };
    for (strategy, key, value) in [
        ("ema_cross", "target_atr", 4.0),
        ("rsi_reversion", "period", 4.0),
    ] {
        until("signals with it", Duration::from_secs(60), || {
            with(strategy, key, value).is_some()
        });
        let first_ns = with(strategy, key, value).expect("there is one");
        // 40 and 60 bars of a second would be needed to begin anew.
        let after = (first_ns - reloaded_ns) / 1_000_000_000;
        assert!(after < 30, "{strategy}: {after} s after the reload");
    }
    daemon.terminate();
    daemon.line();
    assert!(daemon.wait(Duration::from_secs(30)));
    let log = std::fs::read_to_string(dir.path().join("run.log")).expect("a log");
    assert!(
        log.contains("taken over: [strategies.ema_cross], [strategies.rsi_reversion]"),
        "{log}"
    );
    // The replay begins with the parameters of the start.
    std::fs::write(&config, text).expect("written");
    let ((signals, _), _) = replayed(dir.path(), &config, &[]);
    let live = decisions(daemon::journalled(&data).into_iter());
    assert!(live.len() > 10);
    assert_eq!(decisions(signals.into_iter()), live);
}

/// In the next run two strategies on four instruments find their memory.
fn all_go_on(dir: &Path, config: &str) {
    let log = dir.join("second.log");
    let args = ["run", "--config", config, "--for", "4s", "--json"];
    let mut second = Process::start_with(&args, &[("TICKFORGE_LOG", "debug")], &log);
    daemon::assert_balanced(&second.line());
    assert!(second.wait(Duration::from_secs(30)));
    let log = std::fs::read_to_string(&log).expect("a log");
    let restored = log.matches("goes on where it stood").count();
    assert_eq!(restored, 8, "two strategies on four instruments: {log}");
}

#[test]
fn stored_trades_warm_the_next_run_up() {
    let dir = tempfile::tempdir().expect("a folder");
    let exchange = Exchange::start(dir.path(), &["--symbols", "4", "--rate", "1000"]);
    let config = configuration(dir.path(), &exchange, Watch::new());
    let text = std::fs::read_to_string(&config).expect("read");
    // No exchange has candles of this length.
    let text = text.replace("bar = \"1s\"", "bar = \"250ms\"");
    let text = text.replace("[stores.parquet]\nenabled = false\n", "");
    std::fs::write(&config, text).expect("written");
    daemon::output(&["run", "--config", &config, "--for", "6s", "--json"]);
    // As another version would find it.
    std::fs::remove_dir_all(dir.path().join("data/state")).expect("there was a state");
    let said = daemon::output(&["warm", "--config", &config, "--json"]);
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(said["instruments"], 4, "{said}");
    assert!(daemon::u64_of(&said, "/trades") > 500, "{said}");
    all_go_on(dir.path(), &config);
}

#[test]
fn trades_and_bars_in_influx_warm_the_next_run_up() {
    let Some(url) = servers::influx_url() else {
        return;
    };
    let dir = tempfile::tempdir().expect("a folder");
    let exchange = Exchange::start(dir.path(), &["--symbols", "4", "--rate", "1000"]);
    let config = configuration(dir.path(), &exchange, Watch::new());
    let text = std::fs::read_to_string(&config).expect("read");
    // Of one length there are stored bars, of the other none.
    let text = text.replacen("bar = \"1s\"", "bar = \"250ms\"", 1);
    let database = servers::unique_name();
    let influx = format!("[stores.influx]\nurl = {url:?}\ndatabase = {database:?}\n");
    std::fs::write(&config, &text).expect("written");
    let warm = ["warm", "--from", "influx", "--config", &config, "--json"];
    let refused = daemon::tickforge().args(warm).output().expect("it starts");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success(), "there is no such store");
    assert!(said.contains("set [stores.influx] url"), "{said}");
    std::fs::write(&config, text + &influx).expect("written");
    let begun = Instant::now();
    daemon::output(&["run", "--config", &config, "--for", "8s", "--json"]);
    std::fs::remove_dir_all(dir.path().join("data/state")).expect("there was a state");
    // Trades of the second half, so that there are bars before them.
    let since = begun.elapsed().saturating_sub(Duration::from_secs(5));
    let since = format!("{}ms", since.as_millis());
    let said = daemon::output(&[&warm[..], &["--since", since.as_str()]].concat());
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(said["instruments"], 4, "{said}");
    assert!(daemon::u64_of(&said, "/trades") > 100, "{said}");
    assert!(daemon::u64_of(&said, "/bars") >= 4, "{said}");
    all_go_on(dir.path(), &config);
}
