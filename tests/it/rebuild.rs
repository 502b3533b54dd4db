//! `tickforge redis rebuild` on real servers: what the journal has, what only PostgreSQL has, what
//! Redis lost, and what it has already: in the end each signal is in each of its streams once. On
//! one server, on the cluster, and on the master that Sentinel made.

use crate::daemon::output;
use crate::outcomes::{check_concluded, concluded, forget};
use crate::postgres::{self, entry};
use crate::redis::{config, entries};
use crate::redis_servers::{cluster, watched};
use crate::servers;
use redis::cmd;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::time::Duration;
use tickforge::clock;
use tickforge::config::{JournalConfig, JournalSync, RedisServers, Secret};
use tickforge::keyspace::Connection;
use tickforge::publishers::journal::{self, Journal};
use tickforge::publishers::postgres::migrate;
use tickforge::publishers::{Entry, SignalSink};

const FIRST_NS: i64 = 1_795_000_000_000_000_000;
const SYMBOLS: [&str; 2] = ["BTC/USDT", "ETH/USDT"];
/// What a rebuild says: of signals, and of outcomes.
const FIGURES: [&str; 7] = [
    "from_journal",
    "from_postgres",
    "already_there",
    "appended",
    "outcomes_from_journal",
    "outcomes_already_there",
    "outcomes_appended",
];

/// Signal number `n`, a second after the one before.
fn signal(n: u64) -> Entry {
    let mut entry = entry(n, SYMBOLS[n as usize % 2]);
    entry.record.event_ns = FIRST_NS + n as i64 * 1_000_000_000;
    entry.record.created_at = clock::rfc3339(entry.record.event_ns);
    entry.record.valid_until = clock::rfc3339(entry.record.event_ns + 60_000_000_000);
    entry
}

fn write_journal(
    data_dir: &Path,
    signals: impl Iterator<Item = u64>,
    outcomes: impl Iterator<Item = u64>,
) {
    let config = JournalConfig {
        sync: JournalSync::Every(Duration::ZERO),
        max_bytes: 1 << 24,
        segment_bytes: 1 << 20,
    };
    let (mut journal, _) = Journal::open(&journal::dir(data_dir), &config).expect("opens");
    for n in signals {
        let text = serde_json::to_vec(&signal(n).record).expect("JSON");
        journal.append(&text).expect("appended");
    }
    for n in outcomes {
        let text = serde_json::to_vec(&concluded(&signal(n)).record).expect("JSON");
        journal.append(&text).expect("appended");
    }
    journal.commit(true).expect("written");
}

/// The section of the configuration that says where Redis is.
fn section(servers: &RedisServers) -> String {
    let texts = |all: &[Secret]| format!("{:?}", all.iter().map(|s| &s.0).collect::<Vec<_>>());
    let lines = match servers {
        RedisServers::One(url) => format!("url = {:?}", url.0),
        RedisServers::Cluster(urls) => format!("url = {}", texts(urls)),
        RedisServers::Sentinel { sentinels, url } => {
            format!("url = {:?}\nsentinels = {}", url.0, texts(sentinels))
        }
    };
    format!("[stores.redis]\n{lines}\n")
}

/// That each stream has these and no others, each once, in order and without a hole in `seq`.
async fn assert_streams(look: &mut Connection, expected: std::ops::RangeInclusive<u64>) {
    for key in [
        "trading_signals",
        "trading_signals:{BTC/USDT}",
        "trading_signals:{ETH/USDT}",
    ] {
        let belongs = |n: &u64| key == "trading_signals" || key.contains(SYMBOLS[*n as usize % 2]);
        let wanted: BTreeSet<String> = expected
            .clone()
            .filter(belongs)
            .map(|n| signal(n).record.signal_id.to_string())
            .collect();
        let entries = entries(look, key).await;
        let ids: Vec<String> = entries.iter().map(|e| e["signal_id"].clone()).collect();
        assert_eq!(ids.len(), wanted.len(), "{key}");
        assert_eq!(ids.into_iter().collect::<BTreeSet<_>>(), wanted, "{key}");
        for (n, entry) in (1..).zip(&entries) {
            assert_eq!(entry["seq"], format!("{n}"), "{key}");
        }
    }
}

#[tokio::test]
async fn streams_are_filled_from_journal_and_postgres_and_nothing_is_doubled() {
    let Some(server) = servers::own_redis() else {
        return;
    };
    let config = config(server.url());
    let look = Connection::open(&config).await.expect("connected");
    streams_are_filled(&config.servers, look).await;
}

/// The stream of all is on another node than those of the symbols.
#[tokio::test]
async fn streams_of_a_cluster_are_filled_and_nothing_is_doubled() {
    let Some((config, look, _turn)) = cluster().await else {
        return;
    };
    streams_are_filled(&config.servers, look).await;
}

#[tokio::test]
async fn streams_are_filled_after_a_failover_and_nothing_is_doubled() {
    let Some(mut watched) = watched().await else {
        return;
    };
    watched.fail_over().await;
    let config = &watched.config;
    let look = Connection::open(config).await.expect("the new master");
    streams_are_filled(&config.servers, look).await;
}

/// `look` sees a Redis that is empty at first, and is where `redis` says.
async fn streams_are_filled(redis: &RedisServers, mut look: Connection) {
    if servers::postgres_url().is_none() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let url = servers::fresh_database();
    migrate(&url).await.expect("migrated");
    // What only PostgreSQL has: 1 to 10, and another host's signals look no different.
    let (mut sink, _, _) = postgres::sink(postgres::config(&url));
    let stored: Vec<Entry> = (1..=30).map(signal).collect();
    sink.deliver(&stored).await.expect("stored");
    write_journal(dir.path(), 11..=40, 12..=31);
    let file = dir.path().join("tickforge.toml");
    let text = format!(
        "name = \"it\"\ndata_dir = {:?}\n[stores.postgres]\nurl = {url:?}\n{}",
        dir.path(),
        section(redis)
    );
    std::fs::write(&file, text).expect("written");
    let file = file.display().to_string();
    let rebuild = |more: &[&str]| {
        let args = [&["redis", "rebuild", "--json", "--config", &file], more].concat();
        let done: Value = serde_json::from_str(&output(&args)).expect("JSON");
        FIGURES.map(|key| done[key].as_u64().unwrap_or_else(|| panic!("{done}")))
    };

    let ended: Vec<Entry> = (12..=31).map(signal).collect();
    assert_eq!(rebuild(&[]), [30, 30, 0, 40, 20, 0, 20]);
    assert_streams(&mut look, 1..=40).await;
    check_concluded(&mut look, &ended).await;
    let all = entries(&mut look, "trading_signals").await;
    let of = |n: u64| {
        let id = signal(n).record.signal_id.to_string();
        all.iter().find(|e| e["signal_id"] == id).expect("there")
    };
    assert_as_journalled(of(35), &signal(35).record, &[]);
    // The table has no column for it.
    assert_as_journalled(of(5), &signal(5).record, &["recv_ns"]);

    // Again, and after all marks were forgotten, as they are after a day.
    assert_eq!(rebuild(&[]), [30, 30, 40, 0, 20, 20, 0]);
    forget(&mut look, "*:seen:*").await;
    assert_eq!(rebuild(&[]), [30, 30, 40, 0, 20, 20, 0]);
    // One symbol's stream is lost, and no mark is left: that of all gets nothing twice.
    forget(&mut look, "trading_signals:{ETH/USDT}*").await;
    assert_eq!(rebuild(&[]), [30, 30, 20, 20, 20, 20, 0]);
    // That of outcomes is.
    forget(&mut look, "trading_signals:{outcomes}*").await;
    assert_eq!(rebuild(&[]), [30, 30, 40, 0, 20, 0, 20]);
    assert_streams(&mut look, 1..=40).await;
    check_concluded(&mut look, &ended).await;

    // All is lost, and only the newest are wanted.
    cmd("FLUSHDB").exec_async(&mut look).await.expect("empty");
    let since = clock::rfc3339(signal(26).record.event_ns);
    assert_eq!(rebuild(&["--since", &since]), [15, 5, 0, 15, 7, 0, 7]);
    assert_streams(&mut look, 26..=40).await;
    check_concluded(&mut look, &ended[13..]).await;
}

/// Field by field; but for when it was sent, and what cannot be known.
pub fn assert_as_journalled(
    entry: &HashMap<String, String>,
    record: &impl Serialize,
    unknown: &[&str],
) {
    let journalled = serde_json::to_value(record).expect("JSON");
    for (key, value) in journalled.as_object().expect("an object") {
        if key == "latency_ns" || unknown.contains(&key.as_str()) {
            continue;
        }
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        assert_eq!(entry.get(key), Some(&text), "{key}");
    }
}
