//! Old orders go to the archive while new ones come in, and while the archive is killed again and
//! again: none is lost, none is doubled, no statement is long, and trades follow their orders.

use crate::daemon::Process;
use crate::db;
use crate::disk::Draw;
use crate::servers;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

const PER_SECOND: u32 = 200;

/// A user with `old` orders of two years ago, a tenth of which have two fills each, and 1000 young
/// ones. Without triggers, which would take minutes for a million.
async fn fill(url: &str, old: i64) {
    let sql = format!(
        "SET session_replication_role = replica;
         INSERT INTO orders (user_id, portfolio_id, trading_pair_id, exchange_order_id, type, side,
             status, amount, price, created_at)
         SELECT u.id, p.id, t.id, 'old-' || n, 'limit', 'buy', 'filled', 1 + n % 7, 100 + n % 90,
             -- Many share a moment.
             now() - interval '2 years' + (n / 5000) * interval '1 hour'
         FROM generate_series(1, {old}) n, users u, portfolios p, trading_pairs t
         WHERE u.username = 'demo' AND p.user_id = u.id AND t.symbol = 'BTC/USDT';
         INSERT INTO trades (user_id, portfolio_id, trading_pair_id, order_id, exchange_trade_id,
             side, price, amount, executed_at)
         SELECT o.user_id, o.portfolio_id, o.trading_pair_id, o.id, o.exchange_order_id || '-' || n,
             'buy', 100, 1, o.created_at
         FROM orders o, generate_series(1, 2) n WHERE o.exchange_order_id LIKE 'old-%0';
         INSERT INTO orders (user_id, portfolio_id, trading_pair_id, exchange_order_id, type, side,
             amount, created_at)
         SELECT u.id, p.id, t.id, 'young-' || n, 'market', 'sell', 1, now() - interval '1 hour'
         FROM generate_series(1, 1000) n, users u, portfolios p, trading_pairs t
         WHERE u.username = 'demo' AND p.user_id = u.id AND t.symbol = 'BTC/USDT';
         SET session_replication_role = origin;
         ANALYZE orders; ANALYZE trades"
    );
    db::execute(url, &sql).await;
}

/// Numbers of what a query counts.
async fn count(url: &str, sql: &str) -> i64 {
    let mut connection = PgConnection::connect(url).await.expect("connected");
    let sql = AssertSqlSafe(format!("SELECT ({sql})::bigint"));
    sqlx::query_scalar(sql)
        .fetch_one(&mut connection)
        .await
        .expect("a number")
}

/// Of the old orders, wherever they are: the same before and after.
const OLD: &str = "SELECT sum(hashtextextended(concat_ws(' ', id, exchange_order_id, amount, price,
    created_at, updated_at), 0) / 100000)::bigint FROM (SELECT * FROM orders UNION ALL
    SELECT * FROM orders_archive) o WHERE exchange_order_id LIKE 'old-%'";

/// An application that goes on: how many orders it inserted, and the slowest, as it saw them.
async fn insert_until(url: String, stop: Arc<AtomicBool>) -> (i64, Duration) {
    let mut connection = PgConnection::connect(&url).await.expect("connected");
    let mut due = tokio::time::interval(Duration::from_secs(1) / PER_SECOND);
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    let sql = "INSERT INTO orders (user_id, portfolio_id, trading_pair_id, exchange_order_id, type,
            side, amount)
        SELECT u.id, p.id, t.id, 'new-' || $1::text, 'market', 'sell', 1
        FROM users u, portfolios p, trading_pairs t
        WHERE u.username = 'demo' AND p.user_id = u.id AND t.symbol = 'BTC/USDT'";
    let (mut inserted, mut slowest) = (0, Duration::ZERO);
    while !stop.load(Relaxed) {
        due.tick().await;
        let begun = Instant::now();
        let done = sqlx::query(sql)
            .bind(inserted.to_string())
            .execute(&mut connection)
            .await;
        assert_eq!(done.expect("inserted").rows_affected(), 1);
        slowest = slowest.max(begun.elapsed());
        inserted += 1;
    }
    (inserted, slowest)
}

fn start(dir: &Path, url: &str, name: &str) -> Process {
    let data = dir.display().to_string();
    let args = [
        "db",
        "archive",
        "--json",
        "--database-url",
        url,
        "--data-dir",
        &data,
    ];
    Process::start(&args, &dir.join(name))
}

fn finish(mut archive: Process) -> Value {
    let report = archive.line();
    assert!(archive.wait(Duration::from_secs(30)), "{report}");
    report
}

/// Kills some, then lets two run side by side to the end.
async fn archive(dir: &Path, url: &str, kills: u64, most_ms: u64) -> Vec<Value> {
    let seed = u64::from(std::process::id());
    let mut draw = Draw::new(seed);
    for n in 0..kills {
        let mut archive = start(dir, url, &format!("killed-{n}.log"));
        tokio::time::sleep(Duration::from_millis(50 + draw.below(most_ms))).await;
        archive.kill();
        let old = "SELECT count(*) FROM orders WHERE exchange_order_id LIKE 'old-%'";
        eprintln!("kill {n} (seed {seed}): {} are left", count(url, old).await);
    }
    let both = [start(dir, url, "one.log"), start(dir, url, "two.log")];
    let both = both.map(|archive| tokio::task::spawn_blocking(move || finish(archive)));
    let mut reports = Vec::new();
    for report in both {
        reports.push(report.await.expect("it ended"));
    }
    // What one had locked the other may have left to it.
    reports.push(finish(start(dir, url, "last.log")));
    reports
}

async fn nothing_is_lost_or_doubled(old: i64, kills: u64, most_ms: u64) {
    let Some((dir, url)) = db::migrated() else {
        return;
    };
    let dir = dir.path();
    db::json(dir, &url, &["db", "seed"]);
    fill(&url, old).await;
    let before = count(&url, OLD).await;
    let stop = Arc::new(AtomicBool::new(false));
    let application = tokio::spawn(insert_until(url.clone(), Arc::clone(&stop)));
    let begun = Instant::now();
    let reports = archive(dir, &url, kills, most_ms).await;
    let seconds = begun.elapsed().as_secs_f64();
    stop.store(true, Relaxed);
    let (inserted, slowest) = application.await.expect("it went on");
    eprintln!(
        "{old} orders, {kills} kills, {seconds:.1} s; {inserted} inserts, slowest {slowest:?}"
    );
    for report in &reports {
        eprintln!("{report}");
        let longest = report["statement_ms_max"].as_f64().expect("a number");
        assert!(longest < 200.0, "a statement took {longest} ms");
        assert_eq!(report["kept_referenced"], 0, "trades go with their orders");
    }
    for (sql, expected) in [
        (OLD, before),
        ("SELECT count(*) FROM orders_archive", old),
        (
            "SELECT count(DISTINCT exchange_order_id) FROM orders_archive",
            old,
        ),
        (
            "SELECT count(*) FROM orders WHERE exchange_order_id LIKE 'old-%'",
            0,
        ),
        (
            "SELECT count(*) FROM orders WHERE exchange_order_id LIKE 'young-%'",
            1000,
        ),
        (
            "SELECT count(*) FROM orders WHERE exchange_order_id LIKE 'new-%'",
            inserted,
        ),
        (
            "SELECT count(*) FROM trades t JOIN orders_archive o ON o.id = t.archived_order_id",
            old / 5,
        ),
    ] {
        assert_eq!(count(&url, sql).await, expected, "{sql}");
    }
    let rate = inserted as f64 / seconds;
    assert!(
        rate > f64::from(PER_SECOND) * 0.9,
        "inserts went on at {rate:.0} a second"
    );
}

#[tokio::test]
async fn alone_orders_are_archived_through_kills_while_new_ones_come() {
    nothing_is_lost_or_doubled(20_000, 3, 400).await;
}

#[tokio::test]
async fn alone_a_million_orders_are_archived_through_kills_while_new_ones_come() {
    if servers::long() {
        nothing_is_lost_or_doubled(1_000_000, 5, 20_000).await;
    }
}

#[tokio::test]
async fn what_is_locked_or_referenced_by_a_strangers_table_stays() {
    let Some((dir, url)) = db::migrated() else {
        return;
    };
    let dir = dir.path();
    db::json(dir, &url, &["db", "seed"]);
    fill(&url, 500).await;
    let theirs = "CREATE TABLE theirs (order_id UUID PRIMARY KEY REFERENCES orders);
        INSERT INTO theirs SELECT id FROM orders WHERE exchange_order_id LIKE 'old-%1'";
    db::execute(&url, theirs).await;
    let mut holder = PgConnection::connect(&url).await.expect("connected");
    let mut lock = holder.begin().await.expect("a transaction");
    let sql = "SELECT id FROM orders WHERE exchange_order_id = 'old-2' FOR UPDATE";
    sqlx::query(sql).execute(&mut *lock).await.expect("locked");
    let report = db::json(dir, &url, &["db", "archive"]);
    lock.rollback().await.expect("ended");
    let figures = ["moved", "kept_referenced", "kept_locked"].map(|key| report[key].as_i64());
    assert_eq!(figures, [Some(449), Some(50), Some(1)], "{report}");
    // An order of 500 days, and a year that is longer than usual.
    let report = db::json(dir, &url, &["db", "archive", "--older-than", "3 years"]);
    assert_eq!(
        (&report["moved"], &report["kept_referenced"]),
        (&0.into(), &0.into())
    );
    let (code, said) = db::refused(dir, &url, &["db", "archive", "--older-than", "1 hour"]);
    assert!(code == Some(1) && said.contains("at least a day"), "{said}");
}
