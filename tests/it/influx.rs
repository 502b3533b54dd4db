//! Ticks in a real InfluxDB 1.x: every point apart, every refusal counted. Each test has a database
//! of its own.

use crate::postgres;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tickforge::clock;
use tickforge::config::InfluxConfig;
use tickforge::market::{DayStats, Event, Instrument, Quote, Registry, Side, Status, Tick, Trade};
use tickforge::metrics::{Metrics, TickMetrics};
use tickforge::publishers::influx::{self, Derived};

const HOUR_NS: i64 = 3_600_000_000_000;

pub fn config(database: &str) -> Option<InfluxConfig> {
    Some(InfluxConfig {
        url: crate::servers::influx_url()?,
        version: 1,
        database: database.to_owned(),
        username: None,
        password: None,
        org: None,
        token: None,
        batch: 5000,
        flush: Duration::from_millis(20),
        timeout: Duration::from_secs(5),
        max_waiting: 100_000,
        spool_max_bytes: 0,
        metrics_every: Duration::from_secs(10),
        performance_every: Duration::from_secs(60),
    })
}

/// An instrument whose names need every escape.
pub fn registry() -> Arc<Registry> {
    let registry = Registry::default();
    registry.add(Instrument {
        symbol: "BTC, x=y\\".to_owned(),
        ..postgres::instrument("binance", "BTC/USDT")
    });
    Arc::new(registry)
}

pub fn trade(id: u128, exchange_ns: i64, day: DayStats) -> Tick {
    let trade = Trade {
        price: 4_500_050_000_000,
        amount: 1_000,
        id,
        taker: Side::Buy,
    };
    Tick {
        event: Event::from_trade(0, exchange_ns, exchange_ns, trade),
        day,
    }
}

/// Publishes these ticks to the end; what was counted.
pub async fn publish(config: &InfluxConfig, ticks: &[Tick]) -> TickMetrics {
    let metrics = Arc::new(Metrics::default());
    let (mut producer, consumer) = tickforge::ring::ring(1 << 16);
    for tick in ticks {
        assert!(producer.push(*tick).is_ok());
    }
    drop(producer);
    let (_stop, stopped) = tokio::sync::watch::channel(None);
    let run = influx::run(
        consumer,
        config.clone(),
        std::path::PathBuf::new(),
        registry(),
        Arc::clone(&metrics),
        Derived::new(Arc::clone(&metrics)),
        stopped,
    );
    run.await.expect("version 1");
    Arc::into_inner(metrics).expect("the last one").influx
}

/// (stored, expired, dropped), with nothing left waiting.
pub fn counted(counts: &TickMetrics) -> (u64, u64, u64) {
    assert_eq!(counts.spooled.get(), 0);
    (
        counts.stored.get(),
        counts.expired.get(),
        counts.dropped.get(),
    )
}

pub async fn post(
    config: &InfluxConfig,
    path: &str,
    parameters: &[(&str, &str)],
    body: String,
) -> Value {
    let mut url: reqwest::Url = format!("{}/{path}", config.url).parse().expect("a URL");
    url.query_pairs_mut().extend_pairs(parameters);
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .build()
        .expect("a client");
    let answer = client.post(url).body(body).send().await.expect("an answer");
    assert!(answer.status().is_success(), "{}", answer.status());
    let text = answer.text().await.expect("a text");
    if text.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(&text).expect("JSON")
    }
}

/// Rows of a query's one series, without their times.
pub async fn rows(config: &InfluxConfig, query: &str) -> Vec<Vec<Value>> {
    let parameters = [
        ("q", query),
        ("db", config.database.as_str()),
        ("epoch", "ns"),
    ];
    let answer = post(config, "query", &parameters, String::new()).await;
    let values = answer["results"][0]["series"][0]["values"]
        .as_array()
        .cloned();
    values
        .unwrap_or_default()
        .iter()
        .map(|row| row.as_array().expect("a row").clone())
        .collect()
}

pub async fn fresh(config: &InfluxConfig) {
    assert_eq!(influx::accept(config), Ok(()));
    let drop = format!("DROP DATABASE {}", config.database);
    post(config, "query", &[("q", &drop)], String::new()).await;
}

#[tokio::test]
async fn trades_of_one_millisecond_are_points_of_their_own_and_repeats_are_not() {
    let Some(config) = config("it_points") else {
        return;
    };
    fresh(&config).await;
    let now = clock::now_ns() / 1_000_000 * 1_000_000;
    let day = DayStats {
        high: 300,
        low: 100,
        open: 200,
        last: 210,
        volume: 5,
        seen_minutes: 144,
    };
    let quote = Quote {
        bid: 100,
        bid_amount: 200,
        ask: 300,
        ask_amount: 400,
    };
    let rescale = Status::Rescale {
        price: 9,
        amount: 8,
    };
    let ticks = [
        trade(7_000_001, now, day),
        trade(7_000_002, now, day),
        Tick {
            event: Event::from_quote(0, now, now, 7_000_001, quote),
            day,
        },
        Tick {
            event: Event::from_status(0, now, rescale),
            day,
        },
        trade(7_000_003, now, day),
    ];
    assert_eq!(counted(&publish(&config, &ticks).await), (4, 0, 0));
    assert_eq!(
        counted(&publish(&config, &ticks).await),
        (4, 0, 0),
        "again, as after a lost answer"
    );

    let select = "SELECT price, volume, change_24h, id, side, symbol FROM realtime.market_data";
    let mut found = rows(&config, select).await;
    for (row, (id, price)) in found.iter_mut().zip([
        ("7000001", 45_000.5),
        ("7000002", 45_000.5),
        ("7000003", 4_500.05),
    ]) {
        let offset: i64 = id[1..].parse().expect("a number");
        let expected = serde_json::json!([now + offset, price, 0.00001, 5, id, "buy", "BTC, x=y_"]);
        assert_eq!(serde_json::Value::from(std::mem::take(row)), expected);
    }
    assert_eq!(found.len(), 3);
    let quotes = rows(&config, "SELECT bid, ask FROM realtime.market_quotes").await;
    assert_eq!(quotes.len(), 1);
    assert_eq!(quotes[0][1..], [0.000001, 0.000003]);

    let policies = rows(
        &config,
        &format!("SHOW RETENTION POLICIES ON {}", config.database),
    )
    .await;
    let find = |name: &str| policies.iter().find(|row| row[0] == name).cloned();
    for (name, keeps, default) in [
        ("realtime", "1h0m0s", true),
        ("short_term", "168h0m0s", false),
        ("medium_term", "2160h0m0s", false),
        ("long_term", "17472h0m0s", false),
    ] {
        let row = find(name).expect(name);
        assert_eq!(
            (&row[1], &row[4]),
            (&Value::from(keeps), &Value::from(default)),
            "{name}"
        );
    }
    let answer = influx::probe(config).await.expect("it answers");
    assert!(answer.starts_with("1."), "{answer}");
}

#[tokio::test]
async fn old_points_expire_and_a_refused_one_costs_no_other() {
    let Some(config) = config("it_refused") else {
        return;
    };
    fresh(&config).await;
    let now = clock::now_ns() / 1_000_000 * 1_000_000;
    let unknown = DayStats::default();
    assert_eq!(
        counted(&publish(&config, &[]).await),
        (0, 0, 0),
        "the database is there"
    );
    // From now on this field is a text in this database, and a number is refused.
    let write = [
        ("db", config.database.as_str()),
        ("rp", "realtime"),
        ("precision", "ns"),
    ];
    post(
        &config,
        "write",
        &write,
        format!("market_data high_24h=\"x\" {now}\n"),
    )
    .await;

    let old = trade(1, now - 3 * HOUR_NS, unknown);
    let good: Vec<Tick> = (2..50).map(|id| trade(id, now, unknown)).collect();
    let ticks: Vec<Tick> = [&[old], &good[..]].concat();
    assert_eq!(counted(&publish(&config, &ticks).await), (48, 1, 0));

    let day = DayStats {
        high: 300,
        low: 100,
        open: 200,
        last: 210,
        volume: 5,
        seen_minutes: 144,
    };
    let bad = [trade(60, now, day), trade(61, now, day)];
    let more: Vec<Tick> = (70..80).map(|id| trade(id, now, unknown)).collect();
    let ticks: Vec<Tick> = [&[old, bad[0]], &more[..], &[bad[1]]].concat();
    assert_eq!(counted(&publish(&config, &ticks).await), (10, 1, 2));
    let found = rows(&config, "SELECT id FROM realtime.market_data").await;
    assert_eq!(found.len(), 58);
}

#[tokio::test]
async fn a_database_dropped_in_the_middle_is_made_again() {
    let Some(config) = config("it_dropped") else {
        return;
    };
    fresh(&config).await;
    let metrics = Arc::new(Metrics::default());
    let (mut producer, consumer) = tickforge::ring::ring(1024);
    let (stop, stopped) = tokio::sync::watch::channel(None);
    let counts = Arc::clone(&metrics);
    let no_spool = std::path::PathBuf::new();
    let run = influx::run(
        consumer,
        config.clone(),
        no_spool,
        registry(),
        Arc::clone(&metrics),
        Derived::new(metrics),
        stopped,
    );
    let now = clock::now_ns();
    let drive = async {
        let stored = async |n: u64| {
            while counts.influx.stored.get() < n {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(producer.push(trade(1, now, DayStats::default())).is_ok());
        stored(1).await;
        fresh(&config).await;
        assert!(producer.push(trade(2, now, DayStats::default())).is_ok());
        stored(2).await;
        assert!(producer.push(trade(3, now, DayStats::default())).is_ok());
        drop(producer);
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        stop.send(Some(deadline)).expect("running");
    };
    let both = async { tokio::join!(run, drive) };
    let (ran, ()) = tokio::time::timeout(Duration::from_secs(30), both)
        .await
        .expect("in time");
    assert_eq!(ran, Ok(()));
    assert_eq!(counted(&counts.influx), (3, 0, 0));
    assert_eq!(
        rows(&config, "SELECT id FROM realtime.market_data")
            .await
            .len(),
        2
    );
}
