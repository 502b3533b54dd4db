//! A disk that is full: the daemon goes on, refuses and counts what it cannot keep, says so, and
//! needs nobody when there is room again. Needs root, to mount a small disk of its own.

use crate::daemon::{self, Exchange, Process, u64_of};
use crate::pipeline::{self, STRATEGIES};
use crate::proxy::{Mode, Proxy, address_of};
use crate::servers;
use crate::watch::{Watch, until};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A file system of a few megabytes in memory, gone when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None` says what is skipped.
    fn mount() -> Option<SmallDisk> {
        let dir = tempfile::tempdir().expect("a folder");
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"])
            .arg(dir.path());
        let done = mount.output().is_ok_and(|out| out.status.success());
        if !done {
            eprintln!("skipped: a small disk cannot be mounted here; root may");
        }
        done.then(|| SmallDisk(dir))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn balloon(&self) -> PathBuf {
        self.path().join("balloon")
    }

    /// Takes all the room there is.
    fn fill(&self) {
        let mut options = std::fs::OpenOptions::new();
        let balloon = options.create(true).append(true).open(self.balloon());
        let mut balloon = balloon.expect("a file, which needs no room");
        for size in [4096, 1] {
            while balloon.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn empty(&self) {
        std::fs::remove_file(self.balloon()).expect("the balloon");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, for a daemon of a failed test may still be ending.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[tokio::test]
async fn alone_a_full_disk_costs_signals_that_are_counted_and_nothing_else() {
    if servers::postgres_url().is_none() {
        return;
    }
    let Some(redis) = servers::own_redis() else {
        return;
    };
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let dir = tempfile::tempdir().expect("a folder");
    let database = servers::fresh_database();
    let postgres = Proxy::start(address_of(&database));
    let exchange = Exchange::start(dir.path(), &["--symbols", "20", "--rate", "4000"]);
    let watch = Watch::new();
    let text = format!(
        "name = \"it\"\ndata_dir = {:?}\n\
         [exchanges.binance]\nsymbols = [\"*\"]\nws = {:?}\nrest = {:?}\nsnapshots_per_second = 200\n\
         [stores.postgres]\nurl = {:?}\n[stores.redis]\nurl = {:?}\n\
         [stores.parquet]\nenabled = false\n\
         [journal]\nsegment_bytes = \"64KiB\"\n{}{STRATEGIES}",
        disk.path().join("data"),
        exchange.ws,
        exchange.rest,
        postgres.before(&database),
        redis.url(),
        watch.section(),
    );
    let config = dir.path().join("tickforge.toml");
    std::fs::write(&config, text).expect("the configuration");
    let config = config.display().to_string();
    let log = dir.path().join("run.log");
    let mut daemon = Process::start(&["run", "--config", &config, "--json"], &log);
    let appended = || watch.metric("journal_appended_total");
    let refused = || watch.metric("journal_refused_total");
    until("signals", Duration::from_secs(30), || {
        appended() > 100.0 && watch.lag() == 0.0 && watch.ready()
    });

    // A store is away, so nothing may be given up, and the disk is full.
    postgres.set(Mode::Refuse);
    std::thread::sleep(Duration::from_millis(500));
    disk.fill();
    until("signals are refused", Duration::from_secs(30), || {
        refused() > 20.0
    });
    until("/readyz says so", Duration::from_secs(5), || {
        let (status, text) = watch.readiness();
        status == 503 && text.contains("journal: full, new signals are refused; free the disk")
    });
    let (events, kept) = (watch.metric("engine_events_total"), appended());
    std::thread::sleep(Duration::from_secs(2));
    let events = watch.metric("engine_events_total") - events;
    assert!(
        events > 4_000.0,
        "the engine goes on: {events} events in 2 s"
    );

    // There is room again.
    disk.empty();
    until("signals are taken again", Duration::from_secs(10), || {
        appended() > kept + 20.0
    });
    let before = refused();
    until("ready again", Duration::from_secs(20), || watch.ready());
    assert_eq!(refused(), before, "none is refused any more");

    // The store is back: what is delivered goes first, and new signals find room in its place.
    postgres.set(Mode::Pass);
    until("all is delivered", Duration::from_secs(30), || {
        watch.lag() == 0.0
    });
    let (kept, before) = (appended(), refused());
    for _ in 0..50 {
        disk.fill();
        std::thread::sleep(Duration::from_millis(100));
    }
    let (taken, refused_now) = (appended() - kept, refused() - before);
    assert!(
        taken > 100.0,
        "{taken} taken, {refused_now} refused on a full disk"
    );
    disk.empty();
    until("all is delivered", Duration::from_secs(30), || {
        watch.lag() == 0.0 && watch.ready()
    });
    daemon.terminate();
    let summary = daemon.line();
    assert!(daemon.wait(Duration::from_secs(30)));
    let (signals, lost) = (
        u64_of(&summary, "/signals"),
        u64_of(&summary, "/signals_refused"),
    );
    eprintln!("{signals} kept, {lost} refused; on a full disk {taken} and {refused_now}");
    let stored = pipeline::in_postgres(&database).await;
    assert_eq!(stored.len() as u64, signals, "each that was not refused");
    let read = daemon::consume(&redis.url(), "trading_signals");
    let ids: Vec<&str> = read["ids"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|id| id.as_str())
        .collect();
    assert_eq!(ids.len() as u64, signals);
    assert!(ids.iter().all(|id| stored.contains(*id)));
    let numbers: Vec<u64> = (1..=signals).collect();
    assert_eq!(read["seqs"], serde_json::json!(numbers), "without a hole");
}
