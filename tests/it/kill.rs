//! SIGKILL at any moment: what was journalled is in PostgreSQL and in each stream of Redis once,
//! and nobody had to help. A restart is quick, however much the journal holds.

use crate::daemon::{self, Exchange, Process};
use crate::disk::Draw;
use crate::pipeline::{self, STRATEGIES};
use crate::servers;
use crate::watch::{Watch, until};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tickforge::config::{JournalConfig, JournalSync};
use tickforge::publishers::journal::{self, Cursor, Journal, Reader, System};

/// A daemon without InfluxDB, its configuration in `dir`. It does not ask for what was before its
/// start: it lives for less than that takes.
pub fn configuration(
    dir: &Path,
    exchange: &Exchange,
    (postgres, redis): (&str, &str),
    watch: Watch,
) -> String {
    let text = format!(
        "name = \"it\"\ndata_dir = {:?}\n\
         [exchanges.binance]\nsymbols = [\"*\"]\nws = {:?}\nrest = {:?}\nsnapshots_per_second = 200\n\
         [ingest]\nhistory = false\n\
         [stores.postgres]\nurl = {postgres:?}\n[stores.redis]\nurl = {redis:?}\n{}{STRATEGIES}",
        dir.join("data"),
        exchange.ws,
        exchange.rest,
        watch.section(),
    );
    let path = dir.join("tickforge.toml");
    std::fs::write(&path, text).expect("the configuration");
    path.display().to_string()
}

#[tokio::test]
async fn alone_sigkill_at_any_moment_loses_and_doubles_nothing() {
    if servers::postgres_url().is_none() {
        return;
    }
    let Some(redis) = servers::own_redis() else {
        return;
    };
    let kills = if servers::long() { 200 } else { 10 };
    let dir = tempfile::tempdir().expect("a folder");
    let postgres = servers::fresh_database();
    let exchange = Exchange::start(dir.path(), &["--symbols", "8", "--rate", "4000"]);
    let watch = Watch::new();
    let config = configuration(dir.path(), &exchange, (&postgres, &redis.url()), watch);
    let start = |n: u64| {
        let log = dir.path().join(format!("run-{n}.log"));
        Process::start(&["run", "--config", &config, "--json"], &log)
    };
    let seed = u64::from(std::process::id());
    eprintln!("{kills} kills, seed {seed}");
    let mut draw = Draw::new(seed);
    for n in 0..kills {
        let daemon = start(n);
        std::thread::sleep(Duration::from_millis(100 + draw.below(1_000)));
        drop(daemon); // SIGKILL
    }
    let mut daemon = start(kills);
    until("ready after the last kill", Duration::from_secs(10), || {
        watch.ready()
    });
    let begun = watch.metric("journal_appended_total");
    until(
        "new signals, all delivered",
        Duration::from_secs(30),
        || watch.metric("journal_appended_total") > begun + 10.0 && watch.lag() == 0.0,
    );
    daemon.terminate();
    let summary = daemon.line();
    assert!(daemon.wait(Duration::from_secs(30)));
    daemon::assert_balanced(&summary);
    let signals = daemon::journalled(&dir.path().join("data"));
    eprintln!("{} signals were journalled", signals.len());
    assert!(signals.len() as u64 > kills, "the kills came under load");
    pipeline::assert_signals_once(&signals, &postgres, &redis.url()).await;
}

/// A journal of `bytes` in `dir`, of signals as the daemon writes them; how many.
fn large_journal(dir: &Path, bytes: u64, sample: &serde_json::Value) -> u64 {
    let config = JournalConfig {
        sync: JournalSync::Every(Duration::from_millis(10)),
        max_bytes: 4 << 30,
        segment_bytes: 16 << 20,
    };
    let (mut journal, _) = Journal::open(dir, &config).expect("opens");
    let mut record = sample.clone();
    let mut n = 0;
    while journal.bytes() < bytes {
        for _ in 0..1_000 {
            n += 1;
            record["signal_id"] = uuid::Uuid::from_u128(n).to_string().into();
            let text = serde_json::to_vec(&record).expect("JSON");
            journal.append(&text).expect("appended");
        }
        journal.commit(false).expect("written");
    }
    journal.last_seq()
}

/// A gibibyte with `tests/run --long`, else a sixteenth of it.
#[tokio::test]
async fn alone_a_restart_with_a_full_journal_is_ready_within_two_seconds() {
    if servers::postgres_url().is_none() {
        return;
    }
    let Some(redis) = servers::own_redis() else {
        return;
    };
    let bytes = if servers::long() { 1 << 30 } else { 64 << 20 };
    let dir = tempfile::tempdir().expect("a folder");
    let postgres = servers::fresh_database();
    let exchange = Exchange::start(dir.path(), &["--symbols", "8", "--rate", "4000"]);
    let watch = Watch::new();
    let config = configuration(dir.path(), &exchange, (&postgres, &redis.url()), watch);
    let run = |log: &str| {
        let log = dir.path().join(log);
        Process::start(&["run", "--config", &config, "--json"], &log)
    };
    let first = run("first.log");
    until("a signal to copy", Duration::from_secs(30), || {
        watch.metric("journal_appended_total") > 0.0
    });
    drop(first);
    let data = dir.path().join("data");
    let mut sample = daemon::journalled(&data).remove(0);
    sample
        .as_object_mut()
        .expect("an object")
        .remove("journal_seq");
    let folder = journal::dir(&data);
    std::fs::remove_dir_all(&folder).expect("the first journal goes");
    let last = large_journal(&folder, bytes, &sample);

    // In the middle of a segment, and a signal is at hand at once.
    let began = Instant::now();
    let mut reader = Reader::open(&folder, last - 3_000);
    assert_eq!(
        reader.next(last).expect("reads").expect("there").seq,
        last - 3_000
    );
    let found = began.elapsed();
    for store in ["postgres", "redis"] {
        let mut cursor = Cursor::open(Arc::new(System), &folder, store);
        cursor.set(last - 3_000);
        cursor.save().expect("saved");
    }
    let began = Instant::now();
    let daemon = run("second.log");
    while !watch.ready() {
        assert!(began.elapsed() < Duration::from_secs(60), "never ready");
        std::thread::sleep(Duration::from_millis(5));
    }
    let ready = began.elapsed();
    eprintln!(
        "{} MiB, {last} signals: the cursor's signal found in {found:?}, ready in {ready:?}",
        bytes >> 20
    );
    assert!(found < Duration::from_millis(500), "{found:?}");
    assert!(ready < Duration::from_secs(2), "{ready:?}");
    drop(daemon);
}
