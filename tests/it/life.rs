//! What the daemon keeps true in PostgreSQL while it runs: signals to their end, pairs, positions,
//! analyses, notifications, switches. By the role that it has in production, on a real server.

use crate::daemon::{self, Exchange, Process, u64_of};
use crate::replay::{decisions, replayed};
use crate::servers;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

/// Signals that live a second or two.
const STRATEGIES: &str = "
[strategies.ema_cross]
bar = \"100ms\"
fast = 2
slow = 5
atr = 5
min_gap_bp = 0.0
valid_bars = 12
[strategies.rsi_reversion]
bar = \"100ms\"
period = 4
min_atr_bp = 0.0
valid_bars = 30
[strategies.book_imbalance]
smoothing = \"50ms\"
threshold = 0.05
strong = 0.5
cooldown = \"300ms\"
max_spread_bp = 50.0
";

/// A database with the schema, and the URL of a login that may do what the daemon may. The role
/// goes with the value.
struct Database {
    admin: String,
    engine: String,
    role: String,
}

impl Database {
    async fn new() -> Database {
        let admin = servers::fresh_database();
        tickforge::publishers::postgres::migrate(&admin)
            .await
            .expect("migrated");
        let role = servers::unique_name();
        let mut db = PgConnection::connect(&admin).await.expect("connected");
        let sql = format!("CREATE ROLE {role} LOGIN IN ROLE trading_bot_engine");
        db.execute(AssertSqlSafe(sql)).await.expect("a login");
        let (head, rest) = admin.split_once("://").expect("a URL");
        let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        let engine = format!("{head}://{role}@{host}");
        Database {
            admin,
            engine,
            role,
        }
    }

    async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.admin).await.expect("connected")
    }

    async fn end(self) {
        let mut db = self.connect().await;
        let sql = format!("DROP ROLE {}", self.role);
        db.execute(AssertSqlSafe(sql)).await.expect("dropped");
    }
}

fn configuration(dir: &Path, exchange: &Exchange, postgres: &str, more: &str) -> String {
    let text = format!(
        "name = \"it\"\ndata_dir = {:?}\n[exchanges.binance]\nsymbols = [\"*\"]\nws = {:?}\nrest = {:?}\n\
         snapshots_per_second = 50\nbackoff_max = \"500ms\"\n[stores.postgres]\nurl = {:?}\n\
         positions_every = \"200ms\"\nanalysis_every = \"500ms\"\nanalysis_timeframes = [\"1s\", \"2s\"]\n\
         {more}\n{STRATEGIES}",
        dir.join("data"),
        exchange.ws,
        exchange.rest,
        postgres,
    );
    let path = dir.join("tickforge.toml");
    std::fs::write(&path, text).expect("the configuration");
    path.display().to_string()
}

fn simulated(dir: &Path, seconds: u32) -> Exchange {
    let time = format!("{seconds}s");
    let flags = [
        "--seed",
        "7",
        "--symbols",
        "4",
        "--rate",
        "2000",
        "--for",
        &time,
    ];
    Exchange::start(dir, &flags)
}

async fn until(what: &str, limit: Duration, mut done: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !done().await {
        assert!(Instant::now() < deadline, "{what}: not within {limit:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub async fn count(db: &mut PgConnection, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(db).await.expect(sql)
}

/// Killed in the middle and started again: every signal ends once, everywhere the same.
#[tokio::test]
async fn signals_are_followed_to_their_end_across_a_kill() {
    if servers::postgres_url().is_none() {
        return;
    }
    let Some(redis) = servers::own_redis() else {
        return;
    };
    let database = Database::new().await;
    let dir = tempfile::tempdir().expect("a folder");
    let mut exchange = simulated(dir.path(), 9);
    let stores = format!(
        "[stores.redis]\nurl = {:?}\n[http]\nlisten = \"off\"",
        redis.url()
    );
    let config = configuration(dir.path(), &exchange, &database.engine, &stores);
    let args = ["run", "--config", &config, "--json"];
    let mut first = Process::start(&args, &dir.path().join("first.log"));
    std::thread::sleep(Duration::from_secs(4));
    first.kill();
    let mut second = Process::start(&args, &dir.path().join("second.log"));
    assert!(
        exchange.process.wait(Duration::from_secs(60)),
        "the exchange failed"
    );
    second.terminate();
    let summary = second.line();
    assert!(second.wait(Duration::from_secs(30)), "the daemon failed");

    let data = dir.path().join("data");
    let ended = daemon::outcomes(&data);
    let signals = daemon::journalled(&data);
    let by_id: BTreeMap<&str, &Value> = signals
        .iter()
        .map(|s| (s["signal_id"].as_str().expect("an id"), s))
        .collect();
    let ids: BTreeSet<&str> = ended
        .iter()
        .map(|o| o["signal_id"].as_str().expect("an id"))
        .collect();
    assert!(
        ids.iter().all(|id| by_id.contains_key(id)),
        "an end without a signal"
    );
    assert!(ids.len() > 100, "{} ends", ids.len());
    // What was still open when the market stopped is all that is missing.
    let open = by_id.len() - ids.len();
    assert!(
        open < 80 && u64_of(&summary, "/outcomes") > 50,
        "{open} open: {summary}"
    );
    let resumed = ended
        .iter()
        .filter(|o| o["data_quality"]["restarted"] == true);
    let resumed: Vec<_> = resumed.collect();
    assert!(!resumed.is_empty(), "none was taken over");
    assert!(
        resumed
            .iter()
            .all(|o| o["data_quality"]["complete"] == false)
    );
    let kinds: BTreeSet<&str> = ended.iter().filter_map(|o| o["ending"].as_str()).collect();
    assert!(
        kinds.contains("expired") && kinds.contains("target"),
        "{kinds:?}"
    );

    let mut db = database.connect().await;
    assert_rows(&mut db, &ended).await;
    let streamed = daemon::stream_ids(&redis.url(), "trading_signals:{outcomes}").await;
    let lost: Vec<_> = ids.iter().filter(|id| !streamed.contains(**id)).collect();
    assert!(
        lost.is_empty(),
        "{} of {} are not in the stream",
        lost.len(),
        ids.len()
    );
    drop(db);
    database.end().await;
}

/// The rows say what the journal says: of two ends of one signal (it was decided again after the
/// kill) the first.
async fn assert_rows(db: &mut PgConnection, ended: &[Value]) {
    let mut first: BTreeMap<String, &Value> = BTreeMap::new();
    for outcome in ended {
        let id = outcome["signal_id"].as_str().expect("an id").to_owned();
        first.entry(id).or_insert(outcome);
    }
    let sql = "SELECT id::text, is_active, trim_scale(actual_outcome)::text, \
               trim_scale(accuracy_score)::text, expired_at = valid_until, \
               (market_conditions->'outcome')::text FROM trading_signals";
    let rows = sqlx::query(sql).fetch_all(db).await.expect("rows");
    let mut concluded = 0;
    for row in rows {
        let outcome = row.get::<Option<String>, _>(5);
        let outcome: Option<Value> = outcome.map(|t| serde_json::from_str(&t).expect("JSON"));
        let id: String = row.get(0);
        let Some(expected) = first.get(&id) else {
            assert!(outcome.is_none(), "{id} has an end that nobody journalled");
            continue;
        };
        concluded += 1;
        let outcome = outcome.unwrap_or_else(|| panic!("{id} has no end"));
        assert!(!row.get::<bool, _>(1), "{id} is active after its end");
        let text = |at: usize| {
            row.get::<Option<String>, _>(at)
                .map_or(Value::Null, Value::from)
        };
        assert_eq!(text(2), expected["actual_outcome"], "{id}");
        assert_eq!(text(3), expected["accuracy_score"], "{id}");
        let expired = row.get::<Option<bool>, _>(4).unwrap_or(false);
        assert_eq!(expired, expected["ending"] == "expired", "{id}");
        for key in [
            "ending",
            "exit_price",
            "change_percent",
            "ended_at",
            "data_quality",
        ] {
            assert_eq!(outcome[key], expected[key], "{id}: {key}");
        }
    }
    assert_eq!(concluded, first.len(), "an end has no row");
}

/// An operator switches a strategy and an instrument off and on again in SQL. A replay of the
/// recording switches where the run did: the same signals, with the same ends, each time.
#[tokio::test]
async fn an_operator_switches_and_a_replay_switches_at_the_same_place() {
    if servers::postgres_url().is_none() {
        return;
    }
    let database = Database::new().await;
    let mut db = database.connect().await;
    let off = "INSERT INTO system_config (key, value) VALUES \
               ('strategies.rsi_reversion.enabled', 'false'), \
               ('strategies.ema_cross.enabled', '\"perhaps\"'), ('other.key', '1')";
    db.execute(off).await.expect("off from the start");
    let dir = tempfile::tempdir().expect("a folder");
    let mut exchange = simulated(dir.path(), 9);
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let http = format!("[http]\nlisten = \"127.0.0.1:{port}\"");
    let config = configuration(dir.path(), &exchange, &database.engine, &http);
    let capture = dir
        .path()
        .join("run.capture.jsonl.zst")
        .display()
        .to_string();
    let args = ["run", "--config", &config, "--record", &capture, "--json"];
    let mut run = Process::start(&args, &dir.path().join("run.log"));
    std::thread::sleep(Duration::from_secs(3));
    let sql = "INSERT INTO system_config (key, value) VALUES \
               ('strategies.book_imbalance.enabled', 'false'), \
               ('instruments.binance:BTC/USDT.enabled', 'false')";
    db.execute(sql).await.expect("off");
    let health = format!("http://127.0.0.1:{port}/healthz");
    let told = async || {
        tickforge::commands::install_crypto();
        let answer = reqwest::get(&health).await.expect("an answer");
        answer.text().await.expect("text")
    };
    let three = "switched off: strategy book_imbalance\n\
                 switched off: strategy rsi_reversion\n\
                 switched off: instrument binance:BTC/USDT\n";
    until("switched off", Duration::from_secs(5), async || {
        told().await.ends_with(three)
    })
    .await;
    let off_ns = tickforge::clock::now_ns();
    std::thread::sleep(Duration::from_secs(2));
    // Whoever listens is cut off, and has to find out by itself what has changed since.
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    db.execute(cut).await.expect("cut off");
    db.execute("DELETE FROM system_config WHERE key LIKE 'instr%' OR key LIKE '%book%'")
        .await
        .expect("on");
    let on_ns = tickforge::clock::now_ns();
    assert!(
        exchange.process.wait(Duration::from_secs(60)),
        "the exchange failed"
    );
    run.terminate();
    let summary = run.line();
    assert!(run.wait(Duration::from_secs(30)), "the daemon failed");
    daemon::assert_balanced(&summary);

    let data = dir.path().join("data");
    let signals = daemon::journalled(&data);
    let counted = |strategy: &str, from: i64, to: i64| {
        let made = signals.iter().filter(|s| {
            let at = s["recv_ns"].as_i64().expect("ns");
            s["strategy"] == strategy && (from..to).contains(&at)
        });
        made.count()
    };
    assert_eq!(
        counted("rsi_reversion", 0, i64::MAX),
        0,
        "off from the start"
    );
    assert!(counted("book_imbalance", 0, off_ns) > 10);
    assert_eq!(counted("book_imbalance", off_ns, on_ns), 0);
    assert!(counted("book_imbalance", on_ns, i64::MAX) > 10);
    assert!(
        counted("ema_cross", off_ns, on_ns) > 0,
        "a bad value is no switch"
    );
    let quiet = signals.iter().filter(|s| {
        let at = s["recv_ns"].as_i64().expect("ns");
        s["symbol"] == "BTC/USDT" && (off_ns..on_ns).contains(&at)
    });
    assert_eq!(quiet.count(), 0, "of the instrument that is off");
    let log = std::fs::read_to_string(dir.path().join("run.log")).expect("a log");
    assert!(
        log.contains("write true or false"),
        "a bad value is told: {log}"
    );

    let live = (
        decisions(signals.into_iter()),
        decisions(daemon::outcomes(&data).into_iter()),
    );
    let (first, _) = replayed(dir.path(), &config, &[]);
    let (second, _) = replayed(dir.path(), &config, &[]);
    assert!(live.0.len() > 50 && live.1.len() > 50);
    assert_eq!(first, second, "two replays");
    assert_eq!(live.0, first.0, "signals of the run and of its replay");
    assert_eq!(live.1, first.1, "ends of the run and of its replay");
    drop(db);
    database.end().await;
}

/// A user, a portfolio, and positions on a pair of the simulated market.
const POSITIONS: &str = "
WITH u AS (
    INSERT INTO users (email, username, password_hash, notification_preferences) VALUES
        ('a@b', 'a', 'x', '{\"signals\": {\"min_confidence\": 0.5, \"symbols\": [\"BTC/*\"],
            \"channels\": [\"telegram\", \"redis\"]}}'),
        ('b@b', 'b', 'x', '{\"signals\": {\"chanels\": [\"email\"]}}'),
        ('c@b', 'c', 'x', NULL),
        ('d@b', 'd', 'x', '{\"signals\": {\"strategies\": [\"none\"]}}')
    RETURNING id, username
), p AS (
    INSERT INTO portfolios (user_id, name) SELECT id, 'main' FROM u WHERE username = 'a'
    RETURNING id, user_id
)
INSERT INTO positions (user_id, portfolio_id, trading_pair_id, status, side, size, remaining_size,
    entry_price)
SELECT p.user_id, p.id, tp.id, v.status::position_status, v.side::order_side, 2, v.remaining, 100
FROM p, trading_pairs tp, (VALUES ('open', 'buy', 1.5), ('open', 'sell', 2),
    ('partially_closed', 'buy', 0.000000000000000001), ('closed', 'buy', 2))
    v(status, side, remaining)
WHERE tp.symbol = 'BTC/USDT'";

#[tokio::test]
async fn positions_analyses_and_notifications_follow_the_market() {
    if servers::postgres_url().is_none() {
        return;
    }
    let Some(redis) = servers::own_redis() else {
        return;
    };
    let database = Database::new().await;
    let mut db = database.connect().await;
    let dir = tempfile::tempdir().expect("a folder");
    let mut exchange = simulated(dir.path(), 10);
    let stores = format!(
        "[stores.redis]\nurl = {:?}\n[http]\nlisten = \"off\"",
        redis.url()
    );
    let config = configuration(dir.path(), &exchange, &database.engine, &stores);
    // Nobody is told of a signal that is over: here they live longer than a busy machine pauses.
    let text = std::fs::read_to_string(&config).expect("the configuration");
    let text = text.replace("valid_bars = 12", "valid_bars = 40");
    let text = text.replace("cooldown = \"300ms\"", "cooldown = \"4s\"");
    std::fs::write(&config, text).expect("written");
    let args = ["run", "--config", &config, "--json"];
    let mut run = Process::start(&args, &dir.path().join("run.log"));
    let listed = "SELECT count(*) FROM trading_pairs WHERE is_active AND price_precision > 0";
    until("pairs", Duration::from_secs(5), async || {
        count(&mut db, listed).await == 4
    })
    .await;
    db.execute(POSITIONS).await.expect("positions");
    let began: String = sqlx::query_scalar("SELECT now()::text")
        .fetch_one(&mut db)
        .await
        .expect("a time");
    assert!(
        exchange.process.wait(Duration::from_secs(60)),
        "the exchange failed"
    );
    run.terminate();
    run.line();
    assert!(run.wait(Duration::from_secs(30)), "the daemon failed");

    let marked = "SELECT count(*) FROM positions WHERE status <> 'closed' AND current_price > 0 \
        AND unrealized_pnl = round(remaining_size * CASE side WHEN 'buy' \
            THEN current_price - entry_price ELSE entry_price - current_price END, 18)";
    assert_eq!(count(&mut db, marked).await, 3);
    let untouched =
        "SELECT count(*) FROM positions WHERE status = 'closed' AND current_price IS NULL";
    assert_eq!(
        count(&mut db, untouched).await,
        1,
        "a closed one is left alone"
    );
    assert_analyses(&mut db).await;
    assert_notified(&mut db, &redis.url(), &began).await;
    drop(db);
    database.end().await;
}

async fn assert_analyses(db: &mut PgConnection) {
    let rows = "SELECT count(*) FROM market_analysis WHERE timeframe IN ('1s', '2s') \
                AND analysed_at BETWEEN now() - interval '1 minute' AND now() \
                AND (indicators->>'bars')::int >= 3 AND volatility >= 0";
    let all = count(db, "SELECT count(*) FROM market_analysis").await;
    assert!(all >= 20, "{all} rows");
    assert_eq!(count(db, rows).await, all);
    let wrong = "SELECT count(*) FROM market_analysis \
                 WHERE price <= ANY (support_levels) OR price >= ANY (resistance_levels)";
    assert_eq!(count(db, wrong).await, 0, "a level on the wrong side");
    assert!(
        count(
            db,
            "SELECT count(DISTINCT trading_pair_id) FROM market_analysis"
        )
        .await
            == 4
    );
}

/// User a, by two channels, of every signal that the preferences match since they are there.
async fn assert_notified(db: &mut PgConnection, redis: &str, began: &str) {
    let rows = "SELECT count(*) FROM notifications n JOIN users u ON u.id = n.user_id \
                WHERE u.username = 'a' AND n.status = 'pending' AND n.type = 'signal' \
                AND n.payload->>'signal_id' = n.signal_id::text";
    let told = count(db, rows).await;
    assert!(told > 10, "{told} notifications");
    assert_eq!(
        count(db, "SELECT count(*) FROM notifications").await,
        told,
        "nobody else"
    );
    let unmatched = "SELECT count(*) FROM notifications n LEFT JOIN trading_signals s \
                     ON s.id = n.signal_id AND s.confidence >= 0.5 \
                     LEFT JOIN trading_pairs tp ON tp.id = s.trading_pair_id \
                     WHERE tp.symbol IS DISTINCT FROM 'BTC/USDT'";
    assert_eq!(count(db, unmatched).await, 0);
    // Preferences are read every five seconds: after that, no signal is left out.
    let missed: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM trading_signals s JOIN trading_pairs tp ON tp.id = s.trading_pair_id \
         WHERE tp.symbol = 'BTC/USDT' AND s.confidence >= 0.5 \
         AND s.created_at > $1::timestamptz + interval '6 seconds' AND 2 <> (SELECT count(*) \
            FROM notifications n WHERE n.signal_id = s.id AND n.channel IN ('telegram', 'redis'))",
    )
    .bind(began)
    .fetch_one(&mut *db)
    .await
    .expect("missed");
    assert_eq!(missed, 0, "signals that user a was not told of");

    let user: String = sqlx::query_scalar("SELECT id::text FROM users WHERE username = 'a'")
        .fetch_one(&mut *db)
        .await
        .expect("a");
    let client = redis::Client::open(redis).expect("a URL");
    let mut connection = client
        .get_multiplexed_async_connection()
        .await
        .expect("Redis");
    let key = format!("notifications:{user}");
    let (list, ttl): (Vec<String>, i64) = redis::pipe()
        .cmd("LRANGE")
        .arg(&key)
        .arg(0)
        .arg(-1)
        .ttl(&key)
        .query_async(&mut connection)
        .await
        .expect("the list");
    assert_eq!(
        list.len() as i64,
        (told / 2).min(100),
        "one entry for two channels"
    );
    assert!(ttl > 0);
    let ids: BTreeSet<String> = list
        .iter()
        .map(|t| serde_json::from_str::<Value>(t).expect("JSON")["signal_id"].to_string())
        .collect();
    assert_eq!(ids.len(), list.len(), "no entry twice");
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg("notifications:*")
        .query_async(&mut connection)
        .await
        .expect("keys");
    assert_eq!(keys, [key]);
}
