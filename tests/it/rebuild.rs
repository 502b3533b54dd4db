//! `tickforge redis rebuild` on real servers: what the journal has, what only PostgreSQL has, what
//! Redis lost, and what it has already: in the end each signal is in each of its streams once.

use crate::daemon::output;
use crate::postgres::{self, entry};
use crate::servers;
use redis::aio::MultiplexedConnection;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::time::Duration;
use tickforge::clock;
use tickforge::config::{JournalConfig, JournalSync};
use tickforge::publishers::journal::{self, Journal};
use tickforge::publishers::postgres::migrate;
use tickforge::publishers::{Entry, SignalSink};
use tickforge::signal::record::SignalRecord;

const FIRST_NS: i64 = 1_795_000_000_000_000_000;
const SYMBOLS: [&str; 2] = ["BTC/USDT", "ETH/USDT"];

/// Signal number `n`, a second after the one before.
fn signal(n: u64) -> Entry {
    let mut entry = entry(n, SYMBOLS[n as usize % 2]);
    entry.record.event_ns = FIRST_NS + n as i64 * 1_000_000_000;
    entry.record.created_at = clock::rfc3339(entry.record.event_ns);
    entry.record.valid_until = clock::rfc3339(entry.record.event_ns + 60_000_000_000);
    entry
}

fn write_journal(data_dir: &Path, signals: impl Iterator<Item = u64>) {
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
    journal.commit(true).expect("written");
}

type Fields = HashMap<String, String>;

async fn stream(redis: &mut MultiplexedConnection, key: &str) -> Vec<Fields> {
    let mut range = redis::cmd("XRANGE");
    let range = range.arg(key).arg("-").arg("+");
    let entries: Vec<(String, Fields)> = range.query_async(redis).await.expect("a stream");
    entries.into_iter().map(|(_, fields)| fields).collect()
}

/// That each stream has these and no others, each once, in order and without a hole in `seq`.
async fn assert_streams(
    redis: &mut MultiplexedConnection,
    expected: std::ops::RangeInclusive<u64>,
) {
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
        let entries = stream(redis, key).await;
        let ids: Vec<String> = entries.iter().map(|e| e["signal_id"].clone()).collect();
        assert_eq!(ids.len(), wanted.len(), "{key}");
        assert_eq!(ids.into_iter().collect::<BTreeSet<_>>(), wanted, "{key}");
        for (n, entry) in (1..).zip(&entries) {
            assert_eq!(entry["seq"], format!("{n}"), "{key}");
        }
    }
}

async fn forget(redis: &mut MultiplexedConnection, pattern: &str) {
    let mut keys = redis::cmd("KEYS");
    let keys: Vec<String> = keys.arg(pattern).query_async(redis).await.expect("keys");
    assert!(!keys.is_empty(), "{pattern}");
    let mut delete = redis::cmd("DEL");
    delete.arg(keys).exec_async(redis).await.expect("deleted");
}

#[tokio::test]
async fn streams_are_filled_from_journal_and_postgres_and_nothing_is_doubled() {
    if servers::postgres_url().is_none() {
        return;
    }
    let Some(server) = servers::own_redis() else {
        return;
    };
    let dir = tempfile::tempdir().expect("a folder");
    let url = servers::fresh_database();
    migrate(&url).await.expect("migrated");
    // What only PostgreSQL has: 1 to 10, and another host's signals look no different.
    let (mut sink, _, _) = postgres::sink(postgres::config(&url));
    let stored: Vec<Entry> = (1..=30).map(signal).collect();
    sink.deliver(&stored).await.expect("stored");
    write_journal(dir.path(), 11..=40);
    let config = dir.path().join("tickforge.toml");
    let text = format!(
        "name = \"it\"\ndata_dir = {:?}\n[stores.postgres]\nurl = {url:?}\n[stores.redis]\nurl = {:?}\n",
        dir.path(),
        server.url()
    );
    std::fs::write(&config, text).expect("written");
    let config = config.display().to_string();
    let rebuild = |more: &[&str]| {
        let args = [&["redis", "rebuild", "--json", "--config", &config], more].concat();
        let done: Value = serde_json::from_str(&output(&args)).expect("JSON");
        let figures = ["from_journal", "from_postgres", "already_there", "appended"];
        figures.map(|key| done[key].as_u64().unwrap_or_else(|| panic!("{done}")))
    };
    let client = redis::Client::open(server.url()).expect("a url");
    let mut redis = client
        .get_multiplexed_async_connection()
        .await
        .expect("connected");

    assert_eq!(rebuild(&[]), [30, 30, 0, 40]);
    assert_streams(&mut redis, 1..=40).await;
    let all = stream(&mut redis, "trading_signals").await;
    let of = |n: u64| {
        let id = signal(n).record.signal_id.to_string();
        all.iter().find(|e| e["signal_id"] == id).expect("there")
    };
    assert_as_journalled(of(35), &signal(35).record, &[]);
    // The table has no column for it.
    assert_as_journalled(of(5), &signal(5).record, &["recv_ns"]);

    // Again, and after all marks were forgotten, as they are after a day.
    assert_eq!(rebuild(&[]), [30, 30, 40, 0]);
    forget(&mut redis, "*:seen:*").await;
    assert_eq!(rebuild(&[]), [30, 30, 40, 0]);
    // One symbol's stream is lost, and no mark is left: that of all gets nothing twice.
    forget(&mut redis, "trading_signals:{ETH/USDT}*").await;
    assert_eq!(rebuild(&[]), [30, 30, 20, 20]);
    assert_streams(&mut redis, 1..=40).await;

    // All is lost, and only the newest are wanted.
    redis::cmd("FLUSHALL")
        .exec_async(&mut redis)
        .await
        .expect("empty");
    let since = clock::rfc3339(signal(26).record.event_ns);
    assert_eq!(rebuild(&["--since", &since]), [15, 5, 0, 15]);
    assert_streams(&mut redis, 26..=40).await;
}

/// Field by field; but for when it was sent, and what cannot be known.
fn assert_as_journalled(entry: &Fields, record: &SignalRecord, unknown: &[&str]) {
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
