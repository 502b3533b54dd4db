//! Signals and market updates in a real Redis: nothing twice, nothing lost, every hole noticed.
//!
//! Each test has a database of its own, so that they may run at the same time.

use crate::postgres;
use crate::redis_servers::{each, server};
use redis::Value;
use rust_decimal::Decimal;
use serde_json::{Map, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tickforge::config::{RedisConfig, RedisServers, Secret};
use tickforge::keyspace::Connection;
use tickforge::market::{DayStats, Event, Registry, Side, Tick, Trade};
use tickforge::metrics::Metrics;
use tickforge::publishers::redis::{RedisSink, probe, updates};
use tickforge::publishers::{Entry, SignalSink, SinkError};
use tickforge::signal::record::{LatencyNs, Quality, SignalRecord};
use uuid::Uuid;

pub fn config(url: String) -> RedisConfig {
    RedisConfig {
        servers: RedisServers::One(Secret(url)),
        batch: 4,
        timeout: Duration::from_secs(2),
        signals_max_len: 10_000,
        updates_max_len: 10_000,
        seen_ttl: Duration::from_secs(600),
        cache_ttl: Duration::from_secs(60),
        update_interval: Duration::from_millis(20),
        primary: Vec::new(),
    }
}

pub fn sink(config: &RedisConfig, producer: &str) -> RedisSink {
    RedisSink::new(
        config.clone(),
        producer.to_owned(),
        Arc::new(Metrics::default()),
    )
}

/// Signals 1 to `n` of a journal, of two symbols in turn.
pub fn journal(n: u64) -> Vec<Entry> {
    (1..=n)
        .map(|seq| Entry {
            seq,
            record: record(seq),
        })
        .collect()
}

pub fn record(seq: u64) -> SignalRecord {
    SignalRecord {
        schema: 1,
        signal_id: Uuid::from_u128(u128::from(seq)),
        producer: "host1".to_owned(),
        shadow: false,
        strategy: "ema_cross".to_owned(),
        strategy_version: "1".to_owned(),
        parameters: json!({"fast": 12}),
        exchange: "binance".to_owned(),
        symbol: symbol(seq).to_owned(),
        signal_type: "buy".to_owned(),
        source: "technical_analysis".to_owned(),
        strength: Decimal::new(70, 2),
        confidence: Decimal::new(50, 2),
        price: Decimal::new(4_500_050, 2),
        target_price: None,
        stop_loss_price: None,
        take_profit_price: None,
        reasoning: "because".to_owned(),
        technical_indicators: Map::new(),
        market_conditions: Map::new(),
        data_quality: Quality {
            epoch: 1,
            synced: true,
            gaps: 0,
            inexact: 0,
        },
        event_ns: 1,
        created_at: "1970-01-01T00:00:00.000000001Z".to_owned(),
        valid_until: "1970-01-01T00:01:00Z".to_owned(),
        recv_ns: 2,
        latency_ns: LatencyNs {
            exchange_to_recv: Some(1),
            recv_to_decoded: 1,
            decoded_to_decided: 1,
            decided_to_sent: 1,
        },
    }
}

fn symbol(seq: u64) -> &'static str {
    if seq.is_multiple_of(2) {
        "ETH/USDT"
    } else {
        "BTC/USDT"
    }
}

/// Delivers `journal` from place `from` as the journal's follower does: from the start where the
/// store came back empty. Says how often that was.
pub async fn follow(sink: &mut RedisSink, journal: &[Entry], mut from: usize) -> u32 {
    for rewinds in 0..5 {
        match sink.deliver(&journal[from..]).await {
            Ok(()) => return rewinds,
            Err(SinkError::Behind { has }) => from = has as usize,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("rewound again and again")
}

pub async fn entries(look: &mut Connection, stream: &str) -> Vec<HashMap<String, String>> {
    let mut range = redis::cmd("XRANGE");
    let rows: Vec<(String, HashMap<String, String>)> = range
        .arg(stream)
        .arg("-")
        .arg("+")
        .query_async(look)
        .await
        .expect("a stream");
    rows.into_iter().map(|(_, fields)| fields).collect()
}

/// All of the journal is in all of its streams, each once and in order, numbered without a hole.
pub async fn check_complete(look: &mut Connection, journal: &[Entry]) {
    let of = |name: &str| -> Vec<Uuid> {
        let records = journal.iter().map(|e| &e.record);
        records
            .filter(|r| name.is_empty() || r.symbol == name)
            .map(|r| r.signal_id)
            .collect()
    };
    for (stream, expected) in [
        ("trading_signals", of("")),
        ("trading_signals:{BTC/USDT}", of("BTC/USDT")),
        ("trading_signals:{ETH/USDT}", of("ETH/USDT")),
    ] {
        let entries = entries(look, stream).await;
        let ids: Vec<Uuid> = entries
            .iter()
            .map(|e| e["signal_id"].parse().expect("an id"))
            .collect();
        assert_eq!(ids, expected, "{stream}");
        let seqs: Vec<u64> = entries
            .iter()
            .map(|e| e["seq"].parse().expect("a number"))
            .collect();
        assert_eq!(
            seqs,
            (1..=expected.len() as u64).collect::<Vec<_>>(),
            "{stream}"
        );
        let epochs: HashSet<&String> = entries.iter().map(|e| &e["epoch"]).collect();
        assert_eq!(epochs.len(), 1, "{stream}");
    }
}

#[tokio::test]
async fn repeats_restarts_and_a_second_producer_double_nothing() {
    each(9, async |config, mut look| {
        let journal = journal(11);
        let mut first = sink(&config, "host1");
        follow(&mut first, &journal[..6], 0).await;
        assert_eq!(
            follow(&mut first, &journal[..6], 0).await,
            0,
            "the same batch again"
        );
        let mut restarted = sink(&config, "host1");
        assert_eq!(
            follow(&mut restarted, &journal[..9], 4).await,
            0,
            "a cursor that was not saved"
        );
        let mut script = redis::cmd("SCRIPT");
        script
            .arg("FLUSH")
            .exec_async(&mut look)
            .await
            .expect("no scripts");
        assert_eq!(follow(&mut restarted, &journal, 9).await, 0);
        follow(&mut sink(&config, "host2"), &journal, 0).await;
        check_complete(&mut look, &journal).await;
    })
    .await;
}

#[tokio::test]
async fn an_emptied_store_gets_everything_again() {
    each(10, async |config, mut look| {
        let journal = journal(12);
        let mut sink = sink(&config, "host1");
        follow(&mut sink, &journal[..7], 0).await;
        let before = entries(&mut look, "trading_signals").await[0]["epoch"].clone();
        redis::cmd("FLUSHDB")
            .exec_async(&mut look)
            .await
            .expect("emptied");
        assert_eq!(follow(&mut sink, &journal, 7).await, 1);
        check_complete(&mut look, &journal).await;
        assert_ne!(
            entries(&mut look, "trading_signals").await[0]["epoch"],
            before
        );

        redis::cmd("FLUSHDB")
            .exec_async(&mut look)
            .await
            .expect("emptied");
        let idle = sink.idle().await;
        assert!(
            matches!(idle, Err(SinkError::Behind { has: 0 })),
            "noticed without a signal: {idle:?}"
        );
        assert_eq!(follow(&mut sink, &journal, 0).await, 0);
        check_complete(&mut look, &journal).await;

        let mut delete = redis::cmd("DEL");
        delete
            .arg("trading_signals:{ETH/USDT}")
            .arg("trading_signals:{ETH/USDT}:epoch");
        let keys: Vec<String> = redis::cmd("KEYS")
            .arg("trading_signals:{ETH/USDT}:s*")
            .query_async(&mut look)
            .await
            .expect("keys");
        delete
            .arg(keys)
            .exec_async(&mut look)
            .await
            .expect("one symbol's stream deleted");
        let idle = sink.idle().await;
        assert!(
            matches!(idle, Err(SinkError::Behind { has: 0 })),
            "{idle:?}"
        );
        assert_eq!(follow(&mut sink, &journal, 0).await, 0);
        check_complete(&mut look, &journal).await;
    })
    .await;
}

#[tokio::test]
async fn a_store_emptied_between_two_runs_gets_everything_again() {
    each(11, async |config, mut look| {
        let journal = journal(8);
        follow(&mut sink(&config, "host1"), &journal[..5], 0).await;
        redis::cmd("FLUSHDB")
            .exec_async(&mut look)
            .await
            .expect("emptied");
        // Another producer begins the streams anew before we are back.
        follow(&mut sink(&config, "host2"), &journal[..2], 0).await;
        assert_eq!(follow(&mut sink(&config, "host1"), &journal, 5).await, 1);
        check_complete(&mut look, &journal).await;
    })
    .await;
}

#[tokio::test]
async fn a_store_restored_from_an_old_backup_gets_its_tail_again() {
    each(12, async |config, mut look| {
        let journal = journal(9);
        follow(&mut sink(&config, "host1"), &journal[..3], 0).await;
        let keys: Vec<String> = redis::cmd("KEYS")
            .arg("*")
            .query_async(&mut look)
            .await
            .expect("keys");
        let mut backup: Vec<(String, Vec<u8>)> = Vec::new();
        for key in keys {
            let dump = redis::cmd("DUMP")
                .arg(&key)
                .query_async(&mut look)
                .await
                .expect("a dump");
            backup.push((key, dump));
        }
        follow(&mut sink(&config, "host1"), &journal[..7], 3).await;
        redis::cmd("FLUSHDB")
            .exec_async(&mut look)
            .await
            .expect("emptied");
        for (key, dump) in backup {
            let mut restore = redis::cmd("RESTORE");
            restore
                .arg(key)
                .arg(0)
                .arg(dump)
                .exec_async(&mut look)
                .await
                .expect("restored");
        }
        assert_eq!(follow(&mut sink(&config, "host1"), &journal, 7).await, 1);
        check_complete(&mut look, &journal).await;
    })
    .await;
}

/// Passes everything on to the server, and its answers too unless told to swallow them.
fn proxy(server: String, swallow: Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(upstream) = TcpStream::connect(&server) else {
                continue;
            };
            let pairs = (client.try_clone(), upstream.try_clone());
            let (Ok(from_client), Ok(to_server)) = pairs else {
                continue;
            };
            std::thread::spawn(move || pass(from_client, to_server, None));
            let swallow = Arc::clone(&swallow);
            std::thread::spawn(move || pass(upstream, client, Some(swallow)));
        }
    });
    address
}

fn pass(mut from: TcpStream, mut to: TcpStream, swallow: Option<Arc<AtomicBool>>) {
    let mut bytes = [0; 65536];
    while let Ok(n @ 1..) = from.read(&mut bytes) {
        let swallowed = swallow.as_ref().is_some_and(|s| s.load(Ordering::SeqCst));
        if !swallowed && to.write_all(&bytes[..n]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
}

#[tokio::test]
async fn a_call_that_timed_out_but_was_applied_is_not_doubled() {
    let Some((config, mut look)) = server(13).await else {
        return;
    };
    let url = crate::servers::redis_url().expect("a server");
    let server = url.trim_start_matches("redis://").to_owned();
    let swallow = Arc::new(AtomicBool::new(false));
    let address = proxy(server, Arc::clone(&swallow));
    let config = RedisConfig {
        servers: RedisServers::One(Secret(format!("redis://{address}/13"))),
        timeout: Duration::from_millis(200),
        ..config
    };
    let journal = journal(8);
    let mut sink = sink(&config, "host1");
    follow(&mut sink, &journal[..3], 0).await;
    swallow.store(true, Ordering::SeqCst);
    let error = sink.deliver(&journal[3..7]).await.expect_err("no answer");
    let text = error.to_string();
    assert!(
        matches!(error, SinkError::Retry(_)) && text.contains(&address),
        "{text}"
    );
    assert_eq!(
        entries(&mut look, "trading_signals").await.len(),
        7,
        "applied all the same"
    );
    let error = sink
        .deliver(&journal[3..7])
        .await
        .expect_err("still no answer")
        .to_string();
    assert!(error.contains(&address), "{error}");
    swallow.store(false, Ordering::SeqCst);
    assert_eq!(follow(&mut sink, &journal, 3).await, 0);
    check_complete(&mut look, &journal).await;
}

#[tokio::test]
async fn a_key_of_another_type_is_named_with_its_remedy_and_costs_nothing() {
    each(14, async |config, mut look| {
        let journal = journal(4);
        let mut set = redis::cmd("SET");
        set.arg("trading_signals:{ETH/USDT}")
            .arg("x")
            .exec_async(&mut look)
            .await
            .expect("set");
        let mut sink = sink(&config, "host1");
        assert!(matches!(
            sink.deliver(&journal).await,
            Err(SinkError::Behind { has: 0 })
        ));
        let error = sink
            .deliver(&journal)
            .await
            .expect_err("not a stream")
            .to_string();
        for part in [
            "redis ",
            "trading_signals:{ETH/USDT}",
            "rename or delete that key",
        ] {
            assert!(error.contains(part), "{error}");
        }
        let mut delete = redis::cmd("DEL");
        delete
            .arg("trading_signals:{ETH/USDT}")
            .exec_async(&mut look)
            .await
            .expect("deleted");
        follow(&mut sink, &journal, 0).await;
        check_complete(&mut look, &journal).await;
    })
    .await;
}

#[tokio::test]
async fn a_producer_says_that_it_lives() {
    each(15, async |config, mut look| {
        let metrics = Arc::new(Metrics::default());
        metrics.engine.books_synced.set(3);
        let mut sink = RedisSink::new(config.clone(), "host1".to_owned(), metrics);
        follow(&mut sink, &journal(2), 0).await;
        sink.idle().await.expect("alive");
        let key = "tickforge:producer:host1";
        let fields: BTreeMap<String, String> = redis::cmd("HGETALL")
            .arg(key)
            .query_async(&mut look)
            .await
            .expect("a hash");
        let names: Vec<&str> = fields.keys().map(String::as_str).collect();
        let expected = [
            "books_stale",
            "books_synced",
            "last_event_ns",
            "last_signal_id",
            "version",
        ];
        assert_eq!(names, expected);
        assert_eq!(fields["books_synced"], "3");
        assert_eq!(fields["last_signal_id"], Uuid::from_u128(2).to_string());
        let ttl: i64 = redis::cmd("TTL")
            .arg(key)
            .query_async(&mut look)
            .await
            .expect("a TTL");
        assert!((1..=15).contains(&ttl), "{ttl}");
        let answer = probe(config).await.expect("it answers");
        assert!(answer.contains("answers in"), "{answer}");
    })
    .await;
}

#[tokio::test]
async fn market_updates_are_conflated_and_cached() {
    each(8, async |mut config, mut look| {
        config.primary = vec!["kraken".to_owned()];
        // A key of another type loses its own update and no other.
        let mut set = redis::cmd("SET");
        set.arg("cache:market_data:binance:BTC/USDT")
            .arg("x")
            .exec_async(&mut look)
            .await
            .expect("set");
        let registry = Arc::new(Registry::default());
        let metrics = Arc::new(Metrics::default());
        let (mut producer, consumer) = tickforge::ring::ring(1024);
        for (id, exchange) in [(0, "binance"), (1, "kraken")] {
            registry.add(postgres::instrument(exchange, "BTC/USDT"));
            for n in 1..=10i64 {
                let price = n * 100_000_000;
                let trade = Trade {
                    price,
                    amount: 50_000_000,
                    id: n as u128,
                    taker: Side::Buy,
                };
                let day = DayStats {
                    open: 800_000_000,
                    last: price,
                    high: 1_000_000_000,
                    low: 100_000_000,
                    volume: n,
                    seen_minutes: 360,
                };
                let event = Event::from_trade(id, 1_705_329_930_500_000_000, 0, trade);
                assert!(producer.push(Tick { event, day }).is_ok());
            }
        }
        drop(producer);
        let (_stop, stopped) = tokio::sync::watch::channel(None);
        updates(consumer, config, registry, Arc::clone(&metrics), stopped).await;
        let counts = &metrics.market_updates;
        assert_eq!(
            (
                counts.stored.get(),
                counts.dropped.get(),
                counts.spooled.get()
            ),
            (10, 10, 0)
        );

        let stream = entries(&mut look, "market_updates:BTC/USDT").await;
        let kraken: Vec<_> = stream
            .iter()
            .filter(|e| e["exchange"] == "kraken")
            .collect();
        let expected = [
            ("change_24h", "25"),
            ("exchange", "kraken"),
            ("high_24h", "10"),
            ("low_24h", "1"),
            ("price", "10"),
            ("seen_24h", "0.25"),
            ("sequence", "1"),
            ("timestamp", "1705329930.5"),
            ("volume", "5"),
            ("volume_24h", "0.0000001"),
        ];
        assert_eq!(kraken.len(), 1);
        assert_eq!(kraken[0].len(), expected.len());
        for (key, value) in expected {
            assert_eq!(kraken[0][key], value);
        }
        for key in [
            "cache:market_data:kraken:BTC/USDT",
            "cache:market_data:BTC/USDT",
        ] {
            let hash: BTreeMap<String, String> = redis::cmd("HGETALL")
                .arg(key)
                .query_async(&mut look)
                .await
                .expect("a hash");
            let expected = [
                ("change_24h", "25"),
                ("high_24h", "10"),
                ("last_updated", "2024-01-15T14:45:30.5Z"),
                ("low_24h", "1"),
                ("price", "10"),
                ("seen_24h", "0.25"),
                ("volume_24h", "0.0000001"),
            ];
            let expected = expected.map(|(k, v)| (k.to_owned(), v.to_owned()));
            assert_eq!(hash, BTreeMap::from(expected), "{key}");
            let ttl: Value = redis::cmd("TTL")
                .arg(key)
                .query_async(&mut look)
                .await
                .expect("a TTL");
            assert!(matches!(ttl, Value::Int(1..=60)), "{ttl:?}");
        }
    })
    .await;
}
