//! The daemon as its supervisor sees it: systemd's notify protocol on a socket of ours, reloads,
//! and what happens when one of its threads stands still.

use crate::daemon::{Exchange, Process};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// `WatchdogSec=` of these tests.
const WATCHDOG: Duration = Duration::from_secs(2);

/// A daemon fed by a simulated exchange, and the supervisor's end of its socket.
struct Supervised {
    dir: tempfile::TempDir,
    exchange: Exchange,
    daemon: Process,
    socket: UnixDatagram,
    config: PathBuf,
}

impl Supervised {
    fn start() -> Supervised {
        let dir = tempfile::tempdir().expect("a folder");
        let exchange = Exchange::start(dir.path(), &["--rate", "200"]);
        let config = dir.path().join("tickforge.toml");
        std::fs::write(&config, text_of(&exchange, "")).expect("written");
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        let (path, config_path) = (path.display().to_string(), config.display().to_string());
        let usec = WATCHDOG.as_micros().to_string();
        let data = dir.path().join("data").display().to_string();
        let daemon = Process::start_with(
            &[
                "run",
                "--config",
                &config_path,
                "--data-dir",
                &data,
                "--json",
            ],
            &[("NOTIFY_SOCKET", &path), ("WATCHDOG_USEC", &usec)],
            &dir.path().join("run.log"),
        );
        Supervised {
            dir,
            exchange,
            daemon,
            socket,
            config,
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("run.log")).expect("a log")
    }

    fn reconfigure(&self, more: &str) {
        std::fs::write(&self.config, text_of(&self.exchange, more)).expect("written");
        self.daemon.signal("-HUP");
    }

    /// The next message within `limit`.
    fn next(&self, limit: Duration) -> Option<String> {
        let limit = limit.max(Duration::from_millis(1));
        self.socket
            .set_read_timeout(Some(limit))
            .expect("a timeout");
        let mut bytes = [0; 4096];
        let n = self.socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..n]).into_owned())
    }

    /// Waits for a message with a line that begins so; the messages before it are in the answer.
    fn until(&self, start: &str) -> Vec<String> {
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut seen = Vec::new();
        while let Some(message) = self.next(deadline.saturating_duration_since(Instant::now())) {
            let found = message.lines().any(|line| line.starts_with(start));
            seen.push(message);
            if found {
                return seen;
            }
        }
        panic!("no {start} but {seen:?}; log: {}", self.log());
    }

    /// When it was fed within `time`.
    fn feedings(&self, time: Duration) -> Vec<Instant> {
        let end = Instant::now() + time;
        let mut fed = Vec::new();
        while let Some(message) = self.next(end.saturating_duration_since(Instant::now())) {
            if message.contains("WATCHDOG=1") {
                fed.push(Instant::now());
            }
            if Instant::now() >= end {
                break;
            }
        }
        fed
    }

    fn end(mut self) {
        self.daemon.terminate();
        let stopping = self.until("STOPPING=1");
        let last = stopping.last().expect("a message");
        assert!(
            last.contains("EXTEND_TIMEOUT_USEC=") && last.contains("STATUS=draining"),
            "{last}"
        );
        assert!(self.daemon.wait(Duration::from_secs(40)), "{}", self.log());
    }
}

fn text_of(exchange: &Exchange, more: &str) -> String {
    format!(
        "[exchanges.binance]\nsymbols = [\"*\"]\nws = {:?}\nrest = {:?}\n\
         [http]\nlisten = \"off\"\n{more}",
        exchange.ws, exchange.rest
    )
}

#[test]
fn a_supervisor_hears_of_start_reload_and_end_and_a_silent_exchange_keeps_feeding() {
    let mut supervised = Supervised::start();
    let first = supervised.until("READY=1");
    assert_eq!(first.len(), 1, "ready comes first: {first:?}");
    let status = supervised.until("STATUS=");
    let status = status.last().expect("a message");
    assert!(status.contains("connections up; books: "), "{status}");

    // Silence: the exchange is stopped, and nothing comes for twice the watchdog's time.
    supervised.exchange.process.signal("-STOP");
    let fed = supervised.feedings(2 * WATCHDOG);
    supervised.exchange.process.signal("-CONT");
    assert!(
        fed.len() > 2,
        "{} feedings; log: {}",
        fed.len(),
        supervised.log()
    );
    let gap = fed.windows(2).map(|w| w[1] - w[0]).max();
    assert!(gap.is_some_and(|gap| gap < WATCHDOG), "{gap:?}");

    supervised.reconfigure("[log]\nlevel = \"loud\"\n");
    let reload = supervised.until("READY=1");
    let begun = reload
        .iter()
        .find(|m| m.contains("RELOADING=1"))
        .expect("its beginning");
    let usec = begun
        .lines()
        .find_map(|l| l.strip_prefix("MONOTONIC_USEC="));
    assert!(
        usec.is_some_and(|n| n.parse::<u64>().is_ok_and(|n| n > 0)),
        "{begun}"
    );
    let ended = reload.last().expect("its end");
    assert!(
        ended.contains("STATUS=the old configuration holds"),
        "{ended}"
    );
    assert!(
        ended.contains("tickforge.toml:8: [log] level must be"),
        "{ended}"
    );
    assert!(
        supervised
            .log()
            .contains("the old configuration holds, the new one is wrong")
    );

    supervised.reconfigure("[log]\nlevel = \"error\"\n[journal]\nsync = \"20ms\"\n");
    let reload = supervised.until("READY=1");
    let ended = reload.last().expect("its end");
    assert!(
        ended.contains("taken over: [log] level; needs a restart: [journal]"),
        "{ended}"
    );
    let before = supervised.log().len();
    supervised.daemon.terminate();
    supervised.until("STOPPING=1");
    assert!(
        supervised.daemon.wait(Duration::from_secs(40)),
        "{}",
        supervised.log()
    );
    let log = supervised.log();
    assert!(
        log.contains("ready"),
        "at the level info there was something to read: {log}"
    );
    assert!(
        !log[before..].contains("draining"),
        "the level error is in force: {log}"
    );
}

#[test]
fn each_thread_that_stands_still_stops_the_feeding() {
    let supervised = Supervised::start();
    supervised.until("READY=1");
    for name in ["ingest", "engine", "journal", "stores", "parquet"] {
        supervised.until("WATCHDOG=1");
        let frozen = match Frozen::freeze(thread(supervised.daemon.id(), name)) {
            Ok(frozen) => frozen,
            Err(error) => {
                eprintln!("skipped: a thread cannot be halted here (ptrace: {error})");
                return supervised.end();
            }
        };
        // One more may be on its way: the thread has passed since the last feeding.
        supervised.feedings(WATCHDOG / 2);
        let fed = supervised.feedings(WATCHDOG / 2);
        assert!(fed.is_empty(), "fed though {name} stands still");
        drop(frozen);
        supervised.until("WATCHDOG=1");
    }
    let log = supervised.log();
    for name in ["ingest", "engine", "journal", "stores", "parquet"] {
        let line = format!("no pass of the loop of {name} ");
        assert!(log.contains(&line), "{line}: {log}");
    }
    supervised.end();
}

/// The id of the process's thread of this name.
fn thread(process: u32, name: &str) -> i32 {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).expect("its threads");
    for task in tasks.map(|task| task.expect("a thread").path()) {
        let comm = std::fs::read_to_string(task.join("comm")).unwrap_or_default();
        if comm.trim() == name {
            let id = task.file_name().and_then(|id| id.to_str()).expect("an id");
            return id.parse().expect("a number");
        }
    }
    panic!(
        "no thread {name} in {}",
        Path::new("/proc").join(process.to_string()).display()
    );
}

/// A thread of a child that stands still, as under a debugger, until this is dropped.
struct Frozen(i32);

impl Frozen {
    fn freeze(thread: i32) -> std::io::Result<Frozen> {
        let none = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: attaching to a thread of a child reads and writes no memory of this process.
        if unsafe { libc::ptrace(libc::PTRACE_ATTACH, thread, none, none) } != 0 {
            return Err(std::io::Error::last_os_error());
        }
        // SAFETY: a null status is allowed; waits for the stop that attaching brings about.
        unsafe { libc::waitpid(thread, std::ptr::null_mut(), libc::__WALL) };
        Ok(Frozen(thread))
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let none = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: as above; an error says that the thread is gone.
        unsafe { libc::ptrace(libc::PTRACE_DETACH, self.0, none, none) };
    }
}
