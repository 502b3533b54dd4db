//! Open loop: a market that waits for nobody, with a burst of ten times its rate each minute. Its
//! messages bear the time at which they were due, so that a delay counts wherever it arises: in the
//! simulator, in a socket, in a ring.
//!
//! Ten minutes of 50,000 messages a second over 500 instruments with `tests/run --long`, or as many
//! seconds as TICKFORGE_LOAD_SECONDS says.

use crate::daemon::{self, Exchange, Process, u64_of};
use crate::servers;
use crate::watch::Watch;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

struct Load {
    symbols: &'static str,
    levels: &'static str,
    rate: &'static str,
    burst: &'static str,
    seconds: u64,
}

const SHORT: Load = Load {
    symbols: "50",
    levels: "200",
    rate: "4000",
    burst: "5x1s/8s",
    seconds: 17,
};

const LONG: Load = Load {
    symbols: "500",
    levels: "1000",
    rate: "50000",
    burst: "10x1s/60s",
    seconds: 600,
};

/// What the daemon said at one moment.
struct Look {
    at: Instant,
    metrics: HashMap<String, f64>,
}

impl Look {
    fn get(&self, name: &str) -> f64 {
        let name = format!("tickforge_{name}");
        self.metrics.get(&name).copied().unwrap_or(0.0)
    }

    /// Events decided in time and all events, since `before`.
    fn in_time(&self, before: &Look, le: &str) -> (f64, f64) {
        let bucket = format!("event_age_seconds_bucket{{le=\"{le}\"}}");
        let since = |name: &str| self.get(name) - before.get(name);
        (since(&bucket), since("event_age_seconds_count"))
    }

    fn rate(&self, before: &Look) -> f64 {
        let frames = self.get("frames_received_total") - before.get("frames_received_total");
        frames / (self.at - before.at).as_secs_f64()
    }
}

/// Processor time that a process has used, s.
fn cpu_seconds(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = text.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks: Vec<f64> = after
        .split(' ')
        .skip(11)
        .take(2)
        .filter_map(|t| t.parse().ok())
        .collect();
    ticks.iter().sum::<f64>() / 100.0
}

/// CPU time of all cores that others on the host took from this machine, seconds since its start.
fn stolen() -> f64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let all = text.lines().next().unwrap_or_default();
    let ticks = all.split_whitespace().nth(8).and_then(|t| t.parse().ok());
    // Of 10 ms, on every Linux of today.
    ticks.unwrap_or(0.0) / 100.0
}

/// What the machine itself allows while the load is on: from when a message was due, every 2 ms, to
/// when it came through a bare loopback socket, ns, sorted. A sender that is held up counts, as it
/// does in the market.
fn loopback(stop: &AtomicBool) -> Vec<u64> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut sender = TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
    let (mut receiver, _) = listener.accept().expect("accepts");
    sender.set_nodelay(true).expect("set");
    let start = Instant::now();
    let mut times = std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut due = start.elapsed();
            while !stop.load(Ordering::Relaxed) {
                due += Duration::from_millis(2);
                std::thread::sleep(due.saturating_sub(start.elapsed()));
                let due_ns = (due.as_nanos() as u64).to_le_bytes();
                if sender.write_all(&due_ns).is_err() {
                    return;
                }
            }
        });
        let mut times = Vec::new();
        let mut sent = [0; 8];
        while receiver.read_exact(&mut sent).is_ok() {
            times.push(start.elapsed().as_nanos() as u64 - u64::from_le_bytes(sent));
        }
        times
    });
    times.sort_unstable();
    times
}

fn configuration(dir: &Path, exchange: &Exchange, watch: Watch) -> String {
    let text = format!(
        "name = \"load\"\ndata_dir = {:?}\n[exchanges.binance]\nsymbols = [\"*\"]\nws = {:?}\nrest = {:?}\n\
         snapshots_per_second = 200\n[stores.parquet]\nenabled = false\n{}",
        dir.join("data"),
        exchange.ws,
        exchange.rest,
        watch.section()
    );
    let path = dir.join("tickforge.toml");
    std::fs::write(&path, text).expect("the configuration");
    path.display().to_string()
}

#[test]
fn alone_bursts_are_taken_and_nothing_is_dropped() {
    let mut load = if servers::long() { LONG } else { SHORT };
    let seconds = std::env::var("TICKFORGE_LOAD_SECONDS").ok();
    load.seconds = seconds.map_or(load.seconds, |s| s.parse().expect("a number of seconds"));
    let dir = tempfile::tempdir().expect("a folder");
    let time = format!("{}s", load.seconds);
    let flags = [
        "--symbols",
        load.symbols,
        "--levels",
        load.levels,
        "--rate",
        load.rate,
        "--burst",
        load.burst,
        "--for",
        &time,
    ];
    let mut exchange = Exchange::start(dir.path(), &flags);
    let watch = Watch::new();
    let config = configuration(dir.path(), &exchange, watch);
    let log = dir.path().join("run.log");
    let mut daemon = Process::start(&["run", "--config", &config, "--json"], &log);
    let stop = AtomicBool::new(false);
    let (begun, stolen_before) = (Instant::now(), stolen());
    let (looks, floor, cpu) = std::thread::scope(|scope| {
        let floor = scope.spawn(|| loopback(&stop));
        let mut looks = Vec::new();
        let mut cpu = (0.0, 0.0);
        while begun.elapsed() < Duration::from_secs(load.seconds - 1) {
            std::thread::sleep(Duration::from_millis(250));
            looks.push(Look {
                at: Instant::now(),
                metrics: watch.metrics(),
            });
            cpu = (cpu_seconds(exchange.process.id()), cpu_seconds(daemon.id()));
        }
        let seconds = begun.elapsed().as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        let floor = floor.join().expect("the floor's thread");
        let stolen = stolen() - stolen_before;
        let cpu = [cpu.0, cpu.1, stolen].map(|all| all / seconds);
        (looks, floor, cpu)
    });
    assert!(
        exchange.process.wait(Duration::from_secs(60)),
        "the exchange failed"
    );
    std::thread::sleep(Duration::from_secs(1));
    daemon.terminate();
    let summary = daemon.line();
    assert!(daemon.wait(Duration::from_secs(30)), "the daemon failed");
    let seen = report(&load, &looks, &floor, cpu);
    daemon::assert_balanced(&summary);
    assert_eq!(u64_of(&summary, "/dropped"), 0, "{summary}");
    // At its end the exchange is gone; until then no connection was lost.
    let last = looks.last().expect("a look");
    assert_eq!(last.get("reconnects_total"), 0.0, "{summary}");
    if servers::long() {
        assert!(seen.in_time >= 0.999, "late outside of bursts");
        let (third, last) = seen.mib;
        assert!(
            last < 160.0 && last < third * 1.1 + 2.0,
            "{third} to {last} MiB"
        );
    }
}

/// What the long run is held to.
struct Seen {
    /// Share of what was decided within 5 ms outside of bursts.
    in_time: f64,
    /// Memory after a third, and at the end.
    mib: (f64, f64),
}

/// Prints what was measured.
fn report(
    load: &Load,
    looks: &[Look],
    floor: &[u64],
    [exchange, daemon, stolen]: [f64; 3],
) -> Seen {
    let steady: f64 = load.rate.parse().expect("a number");
    let pairs: Vec<(&Look, &Look)> = looks.iter().zip(&looks[1..]).collect();
    let rates: Vec<f64> = pairs.iter().map(|(a, b)| b.rate(a)).collect();
    let peak = rates.iter().copied().fold(0.0, f64::max);
    // A burst, and the second in which what it left behind is worked off.
    let burst = |i: usize| {
        let at = pairs[i].1.at;
        let before = |j: &usize| at - pairs[*j].1.at <= Duration::from_millis(1250);
        (0..=i)
            .rev()
            .take_while(before)
            .any(|j| rates[j] > 1.6 * steady)
            || rates.get(i + 1).is_some_and(|r| *r > 1.6 * steady)
    };
    let warm = 20.min(pairs.len() / 2);
    let calm: Vec<usize> = (warm..pairs.len()).filter(|i| !burst(*i)).collect();
    let share = |le: &str| {
        let (mut good, mut all) = (0.0, 0.0);
        for i in &calm {
            let (g, a) = pairs[*i].1.in_time(pairs[*i].0, le);
            (good, all) = (good + g, all + a);
        }
        good / f64::max(all, 1.0)
    };
    let rss: Vec<f64> = looks
        .iter()
        .map(|l| l.get("resident_bytes") / 1048576.0)
        .collect();
    let (third, last) = (rss[rss.len() / 3], rss[rss.len() - 1]);
    let floor_at = |share: f64| floor[((floor.len() - 1) as f64 * share) as usize] as f64 / 1e3;
    let floor_in_time = floor.partition_point(|ns| *ns <= 5_000_000) as f64 / floor.len() as f64;
    eprintln!(
        "load: {} messages/s steady, {peak:.0}/s in the fastest quarter second; outside of bursts \
         decided within 1 ms {:.4}, 2 ms {:.4}, 5 ms {:.5}, 10 ms {:.5} of the exchange's stamp; \
         memory {third:.0} MiB after a third, {last:.0} MiB at the end; \
         of one core: exchange {exchange:.2}, daemon {daemon:.2}, taken by the host {stolen:.3}; \
         bare loopback p50 {:.0} us, p99 {:.0} us, p99.9 {:.0} us, within 5 ms {floor_in_time:.5}",
        load.rate,
        share("0.001"),
        share("0.002"),
        share("0.005"),
        share("0.01"),
        floor_at(0.5),
        floor_at(0.99),
        floor_at(0.999),
    );
    assert!(calm.len() > pairs.len() / 4, "hardly a calm moment");
    assert!(peak > 2.0 * steady, "no burst came: {peak}");
    Seen {
        in_time: share("0.005"),
        mib: (third, last),
    }
}
