//! Retention policies and buckets that somebody changed: told at start, mended by `influx setup`,
//! which changes nothing when it is run again. And results by portfolio, from PostgreSQL.

use crate::daemon::{self, Exchange, Process, influx_rows};
use crate::{influx, servers};
use serde_json::Value;
use sqlx::{Connection, Executor, PgConnection, Row};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tickforge::config::InfluxConfig;
use tickforge::metrics::Metrics;
use tickforge::publishers::influx::Derived;
use tickforge::publishers::postgres;
use tokio::task::LocalSet;

/// `influx setup` with these flags: whether all is well, and what it says.
fn setup(config: &str, flags: &[&str]) -> (bool, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tickforge"));
    let command = command.args(["influx", "setup", "--json", "--config", config]);
    let out = command.args(flags).output().expect("the binary starts");
    let said = String::from_utf8_lossy(&out.stderr);
    let told = serde_json::from_slice(&out.stdout);
    (
        out.status.success(),
        told.unwrap_or_else(|e| panic!("{e}: {said}")),
    )
}

fn states(told: &Value) -> Vec<(String, String)> {
    let policies = told["policies"].as_array().expect("policies");
    let text = |v: &Value| v.as_str().expect("text").to_owned();
    let state = |p: &Value| (text(&p["policy"]), text(&p["state"]));
    policies.iter().map(state).collect()
}

fn states_are(told: &Value, expected: [&str; 4]) {
    let names = ["realtime", "short_term", "medium_term", "long_term"];
    let expected: Vec<_> = names.iter().zip(expected).collect();
    let found = states(told);
    let found: Vec<_> = found.iter().map(|(n, s)| (n, s.as_str())).collect();
    assert_eq!(format!("{found:?}"), format!("{expected:?}"), "{told}");
}

fn write(dir: &Path, text: &str) -> String {
    let path = dir.join("tickforge.toml");
    std::fs::write(&path, text).expect("the configuration");
    path.display().to_string()
}

/// Sets up, changes two policies by hand, and looks at what is said and done about it.
async fn changed_by_hand(config: &str, plain: &InfluxConfig) {
    let (well, told) = setup(config, &[]);
    assert!(well);
    states_are(&told, ["created"; 4]);
    let (well, told) = setup(config, &[]);
    assert!(well);
    states_are(&told, ["ok"; 4]);
    let database = &plain.database;
    for change in [
        format!("ALTER RETENTION POLICY realtime ON {database} DURATION 3h SHARD DURATION 2h"),
        format!("ALTER RETENTION POLICY long_term ON {database} DURATION 1000h"),
    ] {
        influx::post(plain, "query", &[("q", &change)], String::new()).await;
    }
    let (well, told) = setup(config, &["--keep"]);
    assert!(!well);
    states_are(&told, ["differs", "ok", "ok", "differs"]);
    let realtime = &told["policies"][0]["differences"];
    let expected = serde_json::json!([
        {"what": "duration", "found": "3h", "wanted": "1h"},
        {"what": "shard_duration", "found": "2h", "wanted": "1h"},
    ]);
    assert_eq!(realtime, &expected);
    let (well, told) = setup(config, &[]);
    assert!(well);
    states_are(&told, ["mended", "ok", "ok", "mended"]);
    let (well, told) = setup(config, &[]);
    assert!(well);
    states_are(&told, ["ok"; 4]);
    let show = format!("SHOW RETENTION POLICIES ON {database}");
    let rows = influx::rows(plain, &show).await;
    let of = |name: &str| rows.iter().find(|row| row[0] == name).expect(name).clone();
    assert_eq!(of("realtime")[1..3], ["1h0m0s", "1h0m0s"]);
    assert_eq!(of("long_term")[1..3], ["17472h0m0s", "168h0m0s"]);
}

#[tokio::test]
async fn a_policy_changed_by_hand_is_told_and_mended() {
    let Some(mut plain) = influx::config("") else {
        return;
    };
    plain.database = servers::unique_name();
    let dir = tempfile::tempdir().expect("a folder");
    let (url, database) = (&plain.url, &plain.database);
    let text = format!("[stores.influx]\nurl = {url:?}\ndatabase = {database:?}\n");
    changed_by_hand(&write(dir.path(), &text), &plain).await;

    // Another default policy, and a daemon that finds it so.
    let change = format!("ALTER RETENTION POLICY short_term ON {database} DEFAULT");
    influx::post(&plain, "query", &[("q", &change)], String::new()).await;
    let exchange = Exchange::start(dir.path(), &["--symbols", "1", "--rate", "10"]);
    let all = format!(
        "{text}data_dir = {:?}\n[exchanges.binance]\nsymbols = [\"*\"]\nws = {:?}\nrest = {:?}\n\
         [http]\nlisten = \"off\"\n",
        dir.path().join("data"),
        exchange.ws,
        exchange.rest
    );
    // Keys of the top stand before all tables.
    let (data_dir, others) = (format!("data_dir = {:?}\n", dir.path().join("data")), all);
    let others = others.replace(&data_dir, "");
    let config = write(dir.path(), &format!("{data_dir}{others}"));
    let log = dir.path().join("run.log");
    let args = ["run", "--for", "1s", "--config", &config, "--json"];
    let mut daemon = Process::start(&args, &log);
    let summary = daemon.line();
    assert!(daemon.wait(Duration::from_secs(30)));
    daemon::assert_balanced(&summary);
    let log = std::fs::read_to_string(&log).expect("the log");
    let told = "policy realtime: default is false, not true; `tickforge influx setup` mends it";
    assert!(log.contains(told), "{log}");
    let (well, told) = setup(&config, &[]);
    assert!(well);
    states_are(&told, ["mended", "ok", "ok", "ok"]);
}

#[cfg(feature = "influxdb2")]
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_bucket_changed_by_hand_is_told_and_mended() {
    let Some(mut plain) = influx::config("") else {
        return;
    };
    let front = crate::influx2::Front::start(plain.url.clone());
    plain.database = servers::unique_name();
    let two = crate::influx2::config(&front, &plain.database);
    let dir = tempfile::tempdir().expect("a folder");
    let token = two.token.expect("a token").0;
    let text = format!(
        "[stores.influx]\nurl = {:?}\nversion = 2\ndatabase = {:?}\norg = {:?}\ntoken = {token:?}\n",
        two.url,
        two.database,
        two.org.expect("an organisation"),
    );
    changed_by_hand(&write(dir.path(), &text), &plain).await;
}

/// A user with a portfolio: one position closed with profit, one with loss, one open; three fills.
/// Its ids, as text.
async fn portfolio(connection: &mut PgConnection) -> (String, String) {
    let sql = "\
        WITH pair AS (INSERT INTO trading_pairs \
                (symbol, base_currency, quote_currency, exchange, min_order_size) \
            VALUES ('BTC/USDT', 'BTC', 'USDT', 'binance', 0.001), \
                ('BTC/USDT', 'BTC', 'USDT', 'kraken', 0.001) RETURNING id, exchange), \
        person AS (INSERT INTO users (email, username, password_hash) \
            VALUES ('a@b.c', 'a', 'x') RETURNING id), \
        folio AS (INSERT INTO portfolios (user_id, name) SELECT id, 'main' FROM person \
            RETURNING id, user_id), \
        held AS (INSERT INTO positions (user_id, portfolio_id, trading_pair_id, status, side, \
                size, remaining_size, entry_price, realized_pnl, unrealized_pnl) \
            SELECT folio.user_id, folio.id, pair.id, v.status::position_status, 'buy', v.size, 0, \
                100, v.realized, v.unrealized \
            FROM folio, pair, (VALUES ('binance', 'closed', 10, 150.75, 0), \
                ('binance', 'closed', 5, -20, 0), ('kraken', 'open', 5, 0, 9.25)) \
                AS v (exchange, status, size, realized, unrealized) \
            WHERE pair.exchange = v.exchange), \
        fills AS (INSERT INTO trades (user_id, portfolio_id, trading_pair_id, side, price, amount, \
                executed_at) \
            SELECT folio.user_id, folio.id, pair.id, 'buy', 100, 1, now() \
            FROM folio, pair, generate_series(1, 3) WHERE pair.exchange = 'binance') \
        SELECT user_id::text, id::text FROM folio";
    let row = connection.fetch_one(sql).await.expect("inserted");
    (row.get(0), row.get(1))
}

#[tokio::test]
async fn results_by_portfolio_are_kept_for_long() {
    let Some(mut config) = influx::config("") else {
        return;
    };
    if servers::postgres_url().is_none() {
        return;
    }
    config.database = servers::unique_name();
    let database = servers::fresh_database();
    postgres::migrate(&database).await.expect("migrated");
    let mut connection = PgConnection::connect(&database).await.expect("connected");
    let (user, portfolio) = portfolio(&mut connection).await;
    let metrics = Arc::new(Metrics::default());
    let derived = Derived::new(Arc::clone(&metrics));
    let (producer, consumer) = tickforge::ring::ring::<tickforge::market::Tick>(64);
    let (stop, stopped) = tokio::sync::watch::channel(None);
    let server = crate::postgres::config(&database);
    let every = Duration::from_millis(100);
    let work = async {
        let ask = tickforge::publishers::influx::performance(
            Arc::clone(&derived),
            server,
            every,
            stopped.clone(),
        );
        let ask = tokio::task::spawn_local(ask);
        let run = tokio::task::spawn_local(tickforge::publishers::influx::run(
            consumer,
            config.clone(),
            std::path::PathBuf::new(),
            influx::registry(),
            Arc::clone(&metrics),
            Arc::clone(&derived),
            stopped,
        ));
        tokio::time::sleep(Duration::from_millis(900)).await;
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        stop.send(Some(deadline)).expect("running");
        ask.await.expect("no panic");
        drop(producer);
        assert_eq!(run.await.expect("no panic"), Ok(()));
    };
    LocalSet::new().run_until(work).await;
    let query = "SELECT * FROM long_term.trading_performance";
    let rows = influx_rows(&config.url, &config.database, query).await;
    assert!(rows.len() > 2, "{rows:?}");
    for row in &rows {
        let number = |key: &str| row[key].as_f64().expect(key);
        assert_eq!((number("pnl"), number("trade_count")), (140.0, 3.0));
        assert_eq!((number("pnl_percentage"), number("win_rate")), (7.0, 0.5));
        assert_eq!(row["symbol"], "BTC/USDT");
        assert_eq!(
            (&row["user_id"], &row["portfolio_id"]),
            (&user.as_str().into(), &portfolio.as_str().into())
        );
    }
}
