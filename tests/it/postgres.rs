//! The PostgreSQL sink and the migrations against a real server, each test in its own database.
//! Needs TICKFORGE_TEST_POSTGRES; without it each test says so and passes.

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tickforge::config::{Config, PostgresConfig, Secret};
use tickforge::market::{Instrument, Market, Registry};
use tickforge::metrics::Metrics;
use tickforge::publishers::postgres::{PostgresSink, migrate, probe};
use tickforge::publishers::{Entry, SignalSink, SinkError};
use tickforge::signal::record::{LatencyNs, Quality, SignalRecord};
use uuid::Uuid;

pub fn on_fresh_database<F: Future<Output = ()>>(test: impl FnOnce(String) -> F) {
    if crate::servers::postgres_url().is_none() {
        eprintln!("skipped: TICKFORGE_TEST_POSTGRES names no server");
        return;
    }
    let url = crate::servers::fresh_database();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(test(url));
}

pub fn config(url: &str) -> PostgresConfig {
    let text = "[stores.postgres]\nurl = \"postgres://x\"\ntimeout = \"5s\"";
    let config = Config::parse(text, "test").expect("a configuration");
    let url = Secret(url.to_owned());
    let postgres = config.stores.postgres.expect("it is on");
    PostgresConfig { url, ..postgres }
}

/// A sink, the registry it reads and the metrics it writes.
pub fn sink(config: PostgresConfig) -> (PostgresSink, Arc<Registry>, Arc<Metrics>) {
    let (registry, metrics) = (Arc::new(Registry::default()), Arc::new(Metrics::default()));
    (
        PostgresSink::new(config, Arc::clone(&registry), Arc::clone(&metrics)),
        registry,
        metrics,
    )
}

pub async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url)
        .await
        .expect("the test's own connection")
}

pub async fn number(connection: &mut PgConnection, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql)
        .fetch_one(connection)
        .await
        .expect(sql)
}

pub async fn text(connection: &mut PgConnection, sql: &'static str) -> String {
    sqlx::query_scalar(sql)
        .fetch_one(connection)
        .await
        .expect(sql)
}

fn decimal(text: &str) -> Decimal {
    text.parse().expect("a decimal")
}

pub fn instrument(exchange: &'static str, symbol: &str) -> Instrument {
    let (base, quote) = symbol.split_once('/').expect("BASE/QUOTE");
    Instrument {
        exchange,
        native: symbol.replace('/', ""),
        symbol: symbol.to_owned(),
        base: base.to_owned(),
        quote: quote.to_owned(),
        market: Market::Spot,
        tick_size: decimal("0.01000000"),
        amount_step: decimal("0.00001"),
        min_amount: decimal("0.00001"),
        max_amount: Some(decimal("9000")),
        active: true,
        stamp_resolution_ns: 1_000_000,
        book_depth: 0,
        checksum: false,
    }
}

pub fn entry(seq: u64, symbol: &str) -> Entry {
    let mut indicators = Map::new();
    indicators.insert("ema_fast".to_owned(), json!(91234.5));
    let mut conditions = Map::new();
    conditions.insert("spread".to_owned(), json!(0.01));
    let record = SignalRecord {
        schema: 1,
        signal_id: Uuid::from_u128(0x5163_0000 + u128::from(seq)),
        producer: "host1".to_owned(),
        shadow: false,
        strategy: "ema_cross".to_owned(),
        strategy_version: "1.0+abc".to_owned(),
        parameters: json!({"fast": 12}),
        exchange: "binance".to_owned(),
        symbol: symbol.to_owned(),
        signal_type: "strong_buy".to_owned(),
        source: "technical_analysis".to_owned(),
        strength: decimal("0.75"),
        confidence: decimal("1.00"),
        price: decimal("91234.560000000001"),
        target_price: Some(decimal("0.0000000000001")),
        stop_loss_price: None,
        take_profit_price: Some(decimal("92000.5")),
        reasoning: "fast above slow".to_owned(),
        technical_indicators: indicators,
        market_conditions: conditions,
        data_quality: Quality {
            epoch: 3,
            synced: true,
            gaps: 1,
            inexact: 0,
        },
        event_ns: 1_795_000_000_123_456_000,
        created_at: "2026-11-18T09:06:40.123456Z".to_owned(),
        valid_until: "2026-11-18T09:11:40.123456Z".to_owned(),
        recv_ns: 1_795_000_000_123_500_000,
        latency_ns: LatencyNs {
            exchange_to_recv: None,
            recv_to_decoded: 400,
            decoded_to_decided: 2_000,
            decided_to_sent: 9_000,
        },
    };
    Entry { seq, record }
}

fn retry(outcome: Result<(), SinkError>) -> String {
    match outcome {
        Err(SinkError::Retry(text)) => text,
        other => panic!("expected Retry, got {other:?}"),
    }
}

#[test]
fn a_batch_with_repeats_and_unknown_pairs_is_stored_once() {
    on_fresh_database(async |url| {
        let (mut sink, registry, metrics) = sink(config(&url));
        registry.add(instrument("binance", "BTC/USDT"));
        let mut batch: Vec<Entry> = (1..=40).map(|seq| entry(seq, "BTC/USDT")).collect();
        batch.push(entry(3, "BTC/USDT"));
        batch.push(entry(41, "OLD/USD:USD-261225"));
        sink.deliver(&batch).await.expect("stored");
        batch.push(entry(42, "BTC/USDT"));
        sink.deliver(&batch).await.expect("stored again");
        assert_eq!(metrics.postgres.up.get(), 1);

        let mut db = connect(&url).await;
        assert_eq!(
            number(&mut db, "SELECT count(*) FROM trading_signals").await,
            42
        );
        let pairs = "SELECT string_agg(concat_ws(' ', symbol, exchange, base_currency, \
                     quote_currency, is_active, min_order_size::float8), ', ' ORDER BY symbol) \
                     FROM trading_pairs";
        assert_eq!(
            text(&mut db, pairs).await,
            "BTC/USDT binance BTC USDT t 1e-05, OLD/USD:USD-261225 binance OLD USD f 0"
        );
    });
}

#[test]
fn two_hosts_with_the_same_signals_store_them_once() {
    on_fresh_database(async |url| {
        let ((mut a, ..), (mut b, ..)) = (sink(config(&url)), sink(config(&url)));
        let (one, two) = tokio::join!(a.idle(), b.idle());
        one.and(two).expect("both migrated");
        for round in 0..10 {
            let batch: Vec<Entry> = (1..=200)
                .map(|n| entry(round * 200 + n, &format!("S{n}/USD")))
                .collect();
            // The other way round, and numbered so that it is no beginning in the middle.
            let mut turned = batch.clone();
            turned.reverse();
            turned[0].seq = 1;
            let (one, two) = tokio::join!(a.deliver(&batch), b.deliver(&turned));
            one.and(two).expect("neither waited in a circle");
        }
        let mut db = connect(&url).await;
        assert_eq!(
            number(&mut db, "SELECT count(*) FROM trading_signals").await,
            2000
        );
        assert_eq!(
            number(&mut db, "SELECT count(*) FROM trading_pairs").await,
            200
        );
    });
}

#[test]
fn a_row_holds_the_signal_exactly() {
    on_fresh_database(async |url| {
        let (mut sink, registry, _) = sink(config(&url));
        registry.add(instrument("binance", "BTC/USDT"));
        sink.deliver(&[entry(1, "BTC/USDT")]).await.expect("stored");
        let mut db = connect(&url).await;
        let row = "SELECT (to_jsonb(s) - 'id' - 'trading_pair_id' || jsonb_build_object( \
                   'target_price', trim_scale(target_price)::text, \
                   'take_profit_price', trim_scale(take_profit_price)::text, \
                   'symbol', (SELECT symbol FROM trading_pairs p WHERE p.id = s.trading_pair_id))) \
                   ::text FROM trading_signals s";
        let row: Value = serde_json::from_str(&text(&mut db, row).await).expect("JSON");
        let expected = json!({
            "ai_command_id": null, "symbol": "BTC/USDT",
            "signal_type": "strong_buy", "source": "technical_analysis",
            "strength": 0.75, "confidence": 1.00,
            "target_price": "0.0000000000001", "stop_loss_price": null,
            "take_profit_price": "92000.5",
            "reasoning": "fast above slow",
            "technical_indicators": {"ema_fast": 91234.5},
            "sentiment_data": null,
            "market_conditions": {
                "spread": 0.01, "schema": 1, "producer": "host1",
                "strategy": "ema_cross", "strategy_version": "1.0+abc", "parameters": {"fast": 12},
                "exchange": "binance", "price": "91234.560000000001",
                "data_quality": {"epoch": 3, "synced": true, "gaps": 1, "inexact": 0},
                "event_ns": 1_795_000_000_123_456_000_i64,
                "latency_ns": {"exchange_to_recv": null, "recv_to_decoded": 400,
                    "decoded_to_decided": 2000, "decided_to_sent": 9000},
            },
            "valid_until": "2026-11-18T09:11:40.123456+00:00", "is_active": true,
            "actual_outcome": null, "accuracy_score": null,
            "created_at": "2026-11-18T09:06:40.123456+00:00",
            "executed_at": null, "expired_at": null,
        });
        assert_eq!(row, expected);
    });
}

#[test]
fn a_refused_row_is_named_and_the_others_go_on() {
    type Spoil = fn(&mut SignalRecord);
    let spoils: [(&str, Spoil); 7] = [
        ("22P02", |r| r.signal_type = "maybe".to_owned()),
        ("22003", |r| r.strength = decimal("10")),
        ("23514", |r| r.confidence = decimal("1.01")),
        ("23514", |r| r.target_price = Some(Decimal::ZERO)),
        ("22007", |r| r.created_at = "yesterday-ish".to_owned()),
        ("22021", |r| r.reasoning = "a\0b".to_owned()),
        ("22001", |r| r.symbol = "X".repeat(70)),
    ];
    on_fresh_database(async |url| {
        let (mut sink, _, metrics) = sink(config(&url));
        let mut batch: Vec<Entry> = (1..=20).map(|seq| entry(seq, "BTC/USDT")).collect();
        for (at, (_, spoil)) in [0, 1, 7, 8, 12, 18, 19].into_iter().zip(&spoils) {
            spoil(&mut batch[at].record);
        }
        for (code, _) in &spoils {
            match sink.deliver(&batch).await {
                Err(SinkError::Refused { index, reason }) => {
                    assert!(reason.contains(code), "{code}: {reason}");
                    batch.remove(index);
                }
                other => panic!("{code}: {other:?}"),
            }
        }
        sink.deliver(&batch).await.expect("the good ones");
        assert_eq!(batch.len(), 13);
        assert_eq!(metrics.postgres.up.get(), 1);
        let mut db = connect(&url).await;
        assert_eq!(
            number(&mut db, "SELECT count(*) FROM trading_signals").await,
            13
        );
    });
}

#[test]
fn pairs_follow_the_exchanges_lists() {
    on_fresh_database(async |url| {
        let (mut sink, registry, _) = sink(config(&url));
        registry.add(instrument("binance", "BTC/USDT"));
        registry.add(instrument("kraken", "BTC/USDT"));
        registry.add(instrument("kraken", &format!("{}/USD", "X".repeat(70))));
        registry.add(Instrument {
            tick_size: Decimal::ZERO,
            min_amount: Decimal::ZERO,
            max_amount: Some(Decimal::ZERO),
            ..instrument("kraken", "NEW/USD")
        });
        sink.idle().await.expect("listed");
        let mut db = connect(&url).await;
        let pairs = "SELECT string_agg(concat_ws(' ', symbol, exchange, is_active, \
                     price_precision, quantity_precision, trim_scale(max_order_size)), ', ' \
                     ORDER BY symbol, exchange) FROM trading_pairs";
        let expected =
            "BTC/USDT binance t 2 5 9000, BTC/USDT kraken t 2 5 9000, NEW/USD kraken t 8 5";
        assert_eq!(text(&mut db, pairs).await, expected);

        let touched = "SELECT count(*) FROM trading_pairs WHERE updated_at > created_at";
        registry.add(instrument("binance", "BTC/USDT"));
        sink.idle().await.expect("the same again");
        assert_eq!(
            number(&mut db, touched).await,
            0,
            "an unchanged pair was written"
        );
        registry.add(Instrument {
            active: false,
            ..instrument("binance", "BTC/USDT")
        });
        sink.idle().await.expect("delisted");
        assert_eq!(number(&mut db, touched).await, 1);
        assert!(text(&mut db, pairs).await.starts_with("BTC/USDT binance f"));
    });
}

#[test]
fn what_breaks_is_waited_for_and_mended_without_a_human() {
    on_fresh_database(async |url| {
        let (mut sink, registry, metrics) = sink(config(&url));
        registry.add(instrument("binance", "BTC/USDT"));
        sink.deliver(&[entry(1, "BTC/USDT")]).await.expect("stored");
        let mut db = connect(&url).await;

        let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                    WHERE datname = current_database() AND pid <> pg_backend_pid()";
        assert_eq!(number(&mut db, kill).await, 1, "one connection");
        retry(sink.deliver(&[entry(2, "BTC/USDT")]).await);
        assert_eq!(metrics.postgres.up.get(), 0);
        sink.deliver(&[entry(2, "BTC/USDT")])
            .await
            .expect("after the connection was lost");
        assert_eq!(metrics.postgres.up.get(), 1);

        db.execute("TRUNCATE trading_pairs CASCADE")
            .await
            .expect("truncated");
        let lost = retry(sink.deliver(&[entry(3, "BTC/USDT")]).await);
        assert!(lost.contains("trading_pairs is missing"), "{lost}");
        let outcome = sink.deliver(&[entry(3, "BTC/USDT")]).await;
        assert!(
            matches!(outcome, Err(SinkError::Behind { has: 0 })),
            "{outcome:?}"
        );
        sink.deliver(&[entry(2, "BTC/USDT"), entry(3, "BTC/USDT")])
            .await
            .expect("from the start");

        db.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
            .await
            .expect("wiped");
        let gone = retry(sink.deliver(&[entry(4, "BTC/USDT")]).await);
        assert!(gone.contains("tickforge migrate"), "{gone}");
        let outcome = sink.deliver(&[entry(4, "BTC/USDT")]).await;
        assert!(
            matches!(outcome, Err(SinkError::Behind { has: 0 })),
            "{outcome:?}"
        );
        sink.deliver(&[entry(3, "BTC/USDT"), entry(4, "BTC/USDT")])
            .await
            .expect("made anew");
        assert_eq!(
            number(&mut db, "SELECT count(*) FROM trading_signals").await,
            2
        );
    });
}

#[test]
fn nothing_waits_without_limit() {
    on_fresh_database(async |url| {
        let short = PostgresConfig {
            timeout: Duration::from_millis(300),
            ..config(&url)
        };
        let (mut sink, ..) = sink(short);
        sink.deliver(&[entry(1, "BTC/USDT")]).await.expect("stored");
        let mut db = connect(&url).await;
        db.execute("BEGIN; LOCK TABLE trading_signals")
            .await
            .expect("locked");
        let start = Instant::now();
        let held = retry(sink.deliver(&[entry(2, "BTC/USDT")]).await);
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "{:?}",
            start.elapsed()
        );
        assert!(held.contains("timeout sets the limit"), "{held}");
        db.execute("ROLLBACK").await.expect("unlocked");
        sink.deliver(&[entry(2, "BTC/USDT")]).await.expect("stored");
    });
}

#[test]
fn a_server_that_cannot_serve_says_why() {
    on_fresh_database(async |url| {
        let version = probe(&config(&url)).await.expect("a version");
        assert!(
            version.starts_with(|c: char| c.is_ascii_digit()),
            "{version}"
        );

        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let silent = listener.local_addr().expect("its address");
        let free = {
            let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            closed.local_addr().expect("its address")
        };
        let cases = [
            (format!("postgres://bot:s3cret@{free}/db"), "is it running"),
            (
                format!("postgres://bot:s3cret@{silent}/db"),
                "no answer within",
            ),
            (format!("{url}_none"), "create the database"),
            (
                format!("{url}?options[default_transaction_read_only]=on"),
                "at the primary",
            ),
            (
                "s3cret".to_owned(),
                "postgres://USER:PASSWORD@HOST:PORT/DATABASE",
            ),
        ];
        migrate(&url).await.expect("migrated");
        for (url, expected) in cases {
            let timeout = Duration::from_millis(500);
            let (mut sink, ..) = sink(PostgresConfig {
                timeout,
                migrate: false,
                ..config(&url)
            });
            let text = retry(sink.deliver(&[entry(1, "BTC/USDT")]).await);
            assert!(
                text.contains(expected) && !text.contains("s3cret"),
                "{url}: {text}"
            );
        }
    });
}

#[test]
fn the_documents_query_finds_the_signal() {
    on_fresh_database(async |url| {
        let (mut sink, ..) = sink(config(&url));
        let mut live = entry(1, "BTC/USDT");
        live.record.valid_until = "2999-01-01T00:00:00Z".to_owned();
        let mut ended = entry(2, "BTC/USDT");
        ended.record.valid_until = "2020-01-01T00:00:00Z".to_owned();
        sink.deliver(&[live, ended]).await.expect("stored");
        let mut db = connect(&url).await;
        let query = "SELECT ts.*, tp.symbol, tp.exchange FROM trading_signals ts \
            JOIN trading_pairs tp ON ts.trading_pair_id = tp.id \
            WHERE ts.is_active = true AND ts.valid_until > NOW() AND ts.confidence > 0.7 \
            ORDER BY ts.strength DESC, ts.created_at DESC";
        let found = db.fetch_all(query).await.expect("the query");
        assert_eq!(found.len(), 1);
    });
}
