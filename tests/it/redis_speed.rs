//! How fast do signals get from the journal into Redis, beside `redis-benchmark` running the same
//! script in the same pipelines on the same server? A ratio of two figures of one run.

use crate::redis::{config, entries, record, sink};
use crate::servers;
use redis::cmd;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tickforge::config::{JournalConfig, JournalSync, RedisConfig};
use tickforge::keyspace::Connection;
use tickforge::metrics::Metrics;
use tickforge::publishers::follow::{FollowContext, follow};
use tickforge::publishers::journal::{Journal, System};
use tickforge::publishers::redis::signals::{APPEND, BATCHES_AHEAD};
use tokio::sync::watch;

/// Script calls a second of `redis-benchmark`: one connection, pipelines as the publisher's.
fn bare(url: &str, calls: u64, pipeline: usize, command: &[String]) -> f64 {
    let (host, port) = url
        .trim_start_matches("redis://")
        .split_once(':')
        .expect("a port");
    // Where nobody listens it would try for ever.
    let out = Command::new("timeout")
        .args(["120", "redis-benchmark"])
        .args([
            "-h",
            host,
            "-p",
            port,
            "-c",
            "1",
            "--csv",
            "-r",
            "1000000000",
        ])
        .args(["-n", &calls.to_string(), "-P", &pipeline.to_string()])
        .args(command)
        .output()
        .expect("redis-benchmark");
    let text = String::from_utf8(out.stdout).expect("text");
    // "test","rps",… and a row.
    let row = text.lines().last().unwrap_or_default();
    let rate = row
        .rsplit("\",\"")
        .nth(6)
        .and_then(|rate| rate.parse().ok());
    rate.unwrap_or_else(|| panic!("no rate in {text:?}: {out:?}", out = out.status))
}

/// The script as the publisher calls it, with another signal's id each time.
fn call(sha: &str, epoch: &str, config: &RedisConfig, fields: &[(String, String)]) -> Vec<String> {
    let all = "{trading_signals}";
    let mut words = vec!["EVALSHA".to_owned(), sha.to_owned(), "5".to_owned()];
    words.push("trading_signals".to_owned());
    words.extend(["seq", "epoch", "seen:__rand_int__", "delivered"].map(|k| format!("{all}:{k}")));
    words.extend([epoch.to_owned(), config.signals_max_len.to_string()]);
    words.extend([config.seen_ttl.as_secs().to_string(), "host1".to_owned()]);
    words.extend(["__rand_int__", "0"].map(str::to_owned));
    words.extend(
        fields
            .iter()
            .flat_map(|(key, value)| [key.clone(), value.clone()]),
    );
    words
}

/// From the journal on disk by way of the follower, as the daemon does. Signals a second.
async fn published(config: &RedisConfig, signals: u64) -> f64 {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("journal");
    let journal_config = JournalConfig {
        sync: JournalSync::Every(Duration::from_millis(10)),
        max_bytes: 1 << 30,
        segment_bytes: 64 << 20,
    };
    let (mut journal, _) = Journal::open(&path, &journal_config).expect("opens");
    for n in 1..=signals {
        let text = serde_json::to_vec(&record(n)).expect("JSON");
        journal.append(&text).expect("appended");
    }
    let end = journal.commit(false).expect("written");
    let (published, receiver) = watch::channel(end);
    drop(published);
    let (_go, stop) = watch::channel(None);
    let context = FollowContext {
        disk: Arc::new(System),
        journal: path,
        quarantine: dir.path().join("quarantine"),
        published: receiver,
        metrics: Arc::new(Metrics::default()),
        of: |m| &m.redis,
        batch: config.batch * BATCHES_AHEAD,
        timeout: config.timeout,
        taken: Arc::default(),
    };
    let began = Instant::now();
    assert_eq!(
        follow(sink(config, "host1"), context, stop).await,
        0,
        "all is delivered"
    );
    signals as f64 / began.elapsed().as_secs_f64()
}

#[tokio::test]
async fn alone_publishing_keeps_up_with_the_bare_store() {
    let (Some(ours), Some(theirs)) = (servers::own_redis(), servers::own_redis()) else {
        return;
    };
    let rounds = if servers::long() { 5 } else { 1 };
    let signals = if servers::long() { 100_000 } else { 20_000 };
    let mut best = (0.0, 0.0f64);
    for _ in 0..rounds {
        let config = RedisConfig {
            batch: 128,
            signals_max_len: 100_000,
            ..config(ours.url())
        };
        // All entries in one answer take a while on a busy machine.
        let patient = RedisConfig {
            timeout: Duration::from_secs(30),
            ..config.clone()
        };
        let mut look = Connection::open(&patient).await.expect("a connection");
        cmd("FLUSHALL")
            .exec_async(&mut look)
            .await
            .expect("emptied");
        let rate = published(&config, signals).await;
        let entries = entries(&mut look, "trading_signals").await;
        assert!(entries.len() as u64 >= signals.min(100_000));
        assert_eq!(entries.last().expect("one")["seq"], signals.to_string());
        let fields: Vec<(String, String)> = entries[0]
            .iter()
            .filter(|(key, _)| !["seq", "epoch"].contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();

        let other = crate::redis::config(theirs.url());
        let mut look = Connection::open(&other).await.expect("a connection");
        cmd("FLUSHALL")
            .exec_async(&mut look)
            .await
            .expect("emptied");
        let mut set = cmd("SET");
        set.arg("{trading_signals}:epoch")
            .arg("0123456789abcdef0123456789abcdef");
        set.exec_async(&mut look).await.expect("set");
        let mut load = cmd("SCRIPT");
        let load = load.arg("LOAD").arg(APPEND).query_async(&mut look).await;
        let sha: String = load.expect("loaded");
        let epoch = "0123456789abcdef0123456789abcdef";
        let command = call(&sha, epoch, &config, &fields);
        let bare = bare(&theirs.url(), 2 * signals, 2 * config.batch, &command);
        let calls = 2.0 * rate;
        eprintln!(
            "{rate:.0} signals/s: {calls:.0} script calls/s, of {bare:.0} that redis-benchmark makes: {:.0}%",
            100.0 * calls / bare
        );
        if calls / bare > best.1 {
            best = (rate, calls / bare);
        }
    }
    // What else this machine does falls on one of the two: the best of some rounds says what is
    // possible. In a short run one round must do.
    let least = if servers::long() { 0.7 } else { 0.4 };
    assert!(
        best.1 >= least,
        "{:.2} of the bare store at {:.0} signals/s",
        best.1,
        best.0
    );
}
