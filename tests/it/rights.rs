//! Who may see and change what: the policies of each table, statement by statement; what readonly,
//! engine, admin and backup may; the audit log. A role is tried by a superuser who becomes it.

use crate::own_postgres::program;
use crate::postgres::{config, connect, entry, number, on_fresh_database, sink, text};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor, Row};
use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Output};
use tickforge::database::{As, begin_as};
use tickforge::publishers::SignalSink;
use tickforge::publishers::postgres::migrate;
use uuid::Uuid;

const A: Uuid = Uuid::from_u128(0xa);
const B: Uuid = Uuid::from_u128(0xb);

/// A row of each table that belongs to users: `$I` is its id, `$U` its user, who has one row in
/// each table that it refers to, with the same id; `$N` is no one else's.
const ROWS: [(&str, &str); 13] = [
    ("portfolios", "(id, user_id, name) VALUES ($I, $U, $N)"),
    (
        "orders",
        "(id, user_id, portfolio_id, trading_pair_id, type, side, amount) \
         VALUES ($I, $U, $U, uuid('0000000000000000000000000000000c'), 'limit', 'buy', 1)",
    ),
    (
        "orders_archive",
        "(id, user_id, portfolio_id, trading_pair_id, type, side, amount) \
         VALUES ($I, $U, $U, uuid('0000000000000000000000000000000c'), 'limit', 'buy', 1)",
    ),
    (
        "positions",
        "(id, user_id, portfolio_id, trading_pair_id, side, size, remaining_size, entry_price) \
         VALUES ($I, $U, $U, uuid('0000000000000000000000000000000c'), 'buy', 1, 1, 1)",
    ),
    (
        "trades",
        "(id, user_id, portfolio_id, trading_pair_id, order_id, exchange_trade_id, side, price, \
             amount, executed_at) \
         VALUES ($I, $U, $U, uuid('0000000000000000000000000000000c'), $U, $N, 'buy', 1, 1, NOW())",
    ),
    (
        "balances",
        "(id, user_id, portfolio_id, currency) VALUES ($I, $U, $U, $N)",
    ),
    (
        "ai_commands",
        "(id, user_id, command_type, input_text) VALUES ($I, $U, 'general_query', '?')",
    ),
    (
        "ai_responses",
        "(id, command_id, user_id, response_text) VALUES ($I, $U, $U, '!')",
    ),
    (
        "notifications",
        "(id, user_id, channel, type, payload) VALUES ($I, $U, 'push', 'x', '1')",
    ),
    (
        "telegram_users",
        "(id, user_id, telegram_id) VALUES ($I, $U, random() * 1e9)",
    ),
    (
        "telegram_messages",
        "(id, telegram_user_id, user_id, direction, chat_id, message_id) \
         VALUES ($I, $U, $U, 'incoming', 1, random() * 1e9)",
    ),
    (
        "user_api_keys",
        "(id, user_id, exchange, label, encrypted_key) VALUES ($I, $U, 'binance', $N, '')",
    ),
    (
        "user_sessions",
        "(id, user_id, session_token, expires_at) VALUES ($I, $U, $N, NOW())",
    ),
];

fn insert(table: &str, row: &str, id: &str, user: Uuid) -> String {
    let row = row.replace("$I", id).replace("$U", &format!("'{user}'"));
    format!(
        "INSERT INTO {table} {}",
        row.replace("$N", "left(md5(random()::text), 30)")
    )
}

/// The pair `…0c` that rows refer to.
pub async fn insert_pair(db: &mut PgConnection) {
    db.execute(
        "INSERT INTO trading_pairs (id, symbol, exchange, base_currency, quote_currency, \
             min_order_size) \
         VALUES (uuid('0000000000000000000000000000000c'), 'A/B', 'binance', 'A', 'B', 0)",
    )
    .await
    .expect("a pair");
}

/// Migrated, with users A and B and a row of each in every table.
async fn two_users(url: &str) -> PgConnection {
    migrate(url).await.expect("migrated");
    let mut db = connect(url).await;
    insert_pair(&mut db).await;
    for user in [A, B] {
        let new = format!(
            "INSERT INTO users (id, email, username, password_hash) \
             VALUES ('{user}', '{user}', '{user}', 'hash-of-{user}')"
        );
        db.execute(AssertSqlSafe(new)).await.expect("a user");
        for (table, row) in ROWS {
            let sql = insert(table, row, &format!("'{user}'"), user);
            db.execute(AssertSqlSafe(sql.clone())).await.expect(&sql);
        }
    }
    db
}

/// What a statement did, which then is undone.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// Rows that it returned or changed.
    Rows(u64),
    /// Insufficient privilege, which is what a policy says, too.
    Refused,
    /// A foreign key, to the own row that it changed.
    Referenced,
}
use Outcome::{Referenced, Refused, Rows};

/// `said` is a statement that says for whom, within the transaction.
async fn tried(db: &mut PgConnection, said: &str, sql: &str) -> Outcome {
    db.execute(AssertSqlSafe(format!("BEGIN; {said}")))
        .await
        .expect(said);
    let result = match sql.strip_prefix("SELECT ") {
        Some(rest) => {
            let query = format!("SELECT count(*) FROM (SELECT {rest}) AS found");
            let count = sqlx::query_scalar::<_, i64>(AssertSqlSafe(query)).fetch_one(&mut *db);
            count.await.map(|n| n as u64)
        }
        None => db
            .execute(AssertSqlSafe(sql.to_owned()))
            .await
            .map(|done| done.rows_affected()),
    };
    db.execute("ROLLBACK").await.expect("undone");
    let error = match result {
        Ok(rows) => return Rows(rows),
        Err(error) => error,
    };
    match error.as_database_error().and_then(|e| e.code()).as_deref() {
        Some("42501") => Refused,
        Some("23503") => Referenced,
        _ => panic!("{said}; {sql}: {error}"),
    }
}

fn acting_as(user: impl ToString) -> String {
    format!(
        "SELECT set_config('app.current_user_id', '{}', true)",
        user.to_string()
    )
}

#[test]
fn a_user_touches_no_row_of_another_one_and_nobody_touches_any() {
    on_fresh_database(async |url| {
        let mut admin = two_users(&url).await;
        let mut never = connect(&url).await;
        never
            .execute("SET ROLE trading_bot_app")
            .await
            .expect("the role");
        let mut app = connect(&url).await;
        app.execute("SET ROLE trading_bot_app")
            .await
            .expect("the role");
        for (table, row) in ROWS {
            let (mine, others) = (acting_as(A), format!("WHERE user_id = '{B}'"));
            for (sql, expected) in [
                (format!("SELECT * FROM {table}"), Rows(1)),
                (format!("SELECT * FROM {table} {others}"), Rows(0)),
                (format!("UPDATE {table} SET user_id = user_id"), Rows(1)),
                (
                    format!("UPDATE {table} SET user_id = '{A}' {others}"),
                    Rows(0),
                ),
                (format!("UPDATE {table} SET user_id = '{B}'"), Refused),
                (format!("DELETE FROM {table} {others}"), Rows(0)),
                (insert(table, row, "gen_random_uuid()", B), Refused),
                (insert(table, row, "gen_random_uuid()", A), Rows(1)),
            ] {
                assert_eq!(tried(&mut app, &mine, &sql).await, expected, "{sql}");
            }
            let all = tried(&mut app, &mine, &format!("DELETE FROM {table}")).await;
            assert!(matches!(all, Rows(1) | Referenced), "{table}: {all:?}");

            // Never set; ended with the transaction that had set it; set to nobody.
            for (fresh, said) in [
                (true, "SELECT 1"),
                (false, "SELECT 1"),
                (false, &acting_as("")),
            ] {
                let db = if fresh { &mut never } else { &mut app };
                for (sql, expected) in [
                    (format!("SELECT * FROM {table}"), Rows(0)),
                    (format!("UPDATE {table} SET user_id = user_id"), Rows(0)),
                    (format!("DELETE FROM {table}"), Rows(0)),
                    (insert(table, row, "gen_random_uuid()", A), Refused),
                    (insert(table, row, "gen_random_uuid()", B), Refused),
                ] {
                    assert_eq!(tried(db, said, &sql).await, expected, "{said}: {sql}");
                }
            }
        }
        for (table, _) in ROWS {
            let sql = format!("SELECT count(*) FROM {table}");
            let rows: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
                .fetch_one(&mut admin)
                .await
                .expect(table);
            assert_eq!(rows, 2, "{table}");
        }
    });
}

#[test]
fn every_table_that_belongs_to_users_is_protected_even_from_its_owner() {
    on_fresh_database(async |url| {
        migrate(&url).await.expect("migrated");
        let mut db = connect(&url).await;
        let found = "SELECT DISTINCT relname::text FROM pg_attribute JOIN pg_class c ON c.oid = attrelid \
            WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' \
                AND attname IN ('user_id', 'portfolio_id')";
        let found = db.fetch_all(found).await.expect("tables");
        let found: BTreeSet<String> = found.iter().map(|row| row.get(0)).collect();
        let tried = ROWS.iter().map(|(table, _)| *table).chain(["audit_logs"]);
        assert_eq!(found, tried.map(str::to_owned).collect());
        let forced = "SELECT count(*) FROM pg_class WHERE relrowsecurity AND relforcerowsecurity";
        assert_eq!(number(&mut db, forced).await, found.len() as i64);
    });
}

#[test]
fn what_a_row_refers_to_must_be_the_users_own_too() {
    on_fresh_database(async |url| {
        let _admin = two_users(&url).await;
        let mut app = connect(&url).await;
        app.execute("SET ROLE trading_bot_app")
            .await
            .expect("the role");
        for sql in [
            format!("UPDATE orders SET portfolio_id = '{B}'"),
            format!("UPDATE orders SET ai_command_id = '{B}'"),
            format!("UPDATE positions SET portfolio_id = '{B}'"),
            format!("UPDATE balances SET portfolio_id = '{B}'"),
            format!("UPDATE trades SET order_id = '{B}'"),
            format!("UPDATE trades SET order_id = NULL, archived_order_id = '{B}'"),
            format!("UPDATE ai_responses SET command_id = '{B}'"),
            format!("UPDATE telegram_messages SET telegram_user_id = '{B}'"),
        ] {
            assert_eq!(tried(&mut app, &acting_as(A), &sql).await, Refused, "{sql}");
        }
        let own = format!("UPDATE orders SET ai_command_id = '{A}'");
        assert_eq!(tried(&mut app, &acting_as(A), &own).await, Rows(1));
    });
}

/// Each table, and its first column.
async fn tables(db: &mut PgConnection) -> Vec<(String, String)> {
    let sql = "SELECT relname::text, attname::text FROM pg_class c \
        JOIN pg_attribute ON attrelid = c.oid AND attnum = 1 \
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY 1";
    let rows = db.fetch_all(sql).await.expect("tables");
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

async fn counts(db: &mut PgConnection) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for (table, _) in tables(db).await {
        let sql = format!("SELECT count(*) FROM {table}");
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(&mut *db)
            .await
            .expect(&table);
        counts.insert(table, count as u64);
    }
    counts
}

#[test]
fn readonly_reads_all_and_writes_nothing() {
    on_fresh_database(async |url| {
        let mut admin = two_users(&url).await;
        let all = counts(&mut admin).await;
        assert!(all["audit_logs"] > 0 && all["orders"] == 2, "{all:?}");
        admin
            .execute("SET ROLE trading_bot_readonly")
            .await
            .expect("the role");
        assert_eq!(counts(&mut admin).await, all);
        for (table, column) in tables(&mut admin).await {
            for sql in [
                format!("INSERT INTO {table} DEFAULT VALUES"),
                format!("UPDATE {table} SET {column} = {column}"),
                format!("DELETE FROM {table}"),
                format!("TRUNCATE {table} CASCADE"),
            ] {
                assert_eq!(tried(&mut admin, "SELECT 1", &sql).await, Refused, "{sql}");
            }
        }
    });
}

#[test]
fn admin_changes_all_but_the_audit_log() {
    on_fresh_database(async |url| {
        let mut db = two_users(&url).await;
        let all = counts(&mut db).await;
        db.execute("SET ROLE trading_bot_admin")
            .await
            .expect("the role");
        assert_eq!(counts(&mut db).await, all);
        for (table, _) in ROWS {
            let sql = format!("UPDATE {table} SET user_id = user_id");
            assert_eq!(tried(&mut db, "SELECT 1", &sql).await, Rows(2), "{sql}");
        }
        for sql in [
            "UPDATE audit_logs SET old_values = NULL",
            "DELETE FROM audit_logs",
            "TRUNCATE audit_logs",
        ] {
            assert_eq!(tried(&mut db, "SELECT 1", sql).await, Refused, "{sql}");
        }
    });
}

/// What the engine is granted, table by table; columns in brackets.
const ENGINE: &str = "\
    _sqlx_migrations SELECT
market_analysis INSERT
market_analysis SELECT
notifications INSERT
notifications SELECT
notifications UPDATE (attempts, error, scheduled_at, sent_at, status)
portfolios SELECT
positions SELECT
positions UPDATE (current_price, unrealized_pnl)
system_config SELECT
telegram_users SELECT (is_bot_blocked, notification_types, notifications_enabled, status, \
    telegram_id, user_id)
trades SELECT
trading_pairs INSERT
trading_pairs SELECT
trading_pairs UPDATE
trading_signals INSERT
trading_signals SELECT
trading_signals UPDATE (accuracy_score, actual_outcome, executed_at, expired_at, is_active, \
    market_conditions)
users SELECT (id, is_active, notification_preferences)";

#[test]
fn the_engine_does_what_it_must_and_no_more() {
    on_fresh_database(async |url| {
        let mut db = two_users(&url).await;
        let granted = "SELECT string_agg(line, E'\\n' ORDER BY line COLLATE \"C\") FROM ( \
            SELECT concat(relname, ' ', privilege_type) AS line \
            FROM pg_class c, aclexplode(relacl) \
            WHERE relnamespace = 'public'::regnamespace \
                AND grantee = 'trading_bot_engine'::regrole \
            UNION ALL SELECT format('%s %s (%s)', attrelid::regclass, privilege_type, \
                string_agg(attname, ', ' ORDER BY attname COLLATE \"C\")) \
            FROM pg_attribute, aclexplode(attacl) WHERE grantee = 'trading_bot_engine'::regrole \
            GROUP BY attrelid, privilege_type) AS granted";
        assert_eq!(text(&mut db, granted).await, ENGINE.trim_start());

        // The daemon's own path, from looking for migrations to stored signals.
        let as_engine = format!("{url}?options[role]=trading_bot_engine");
        let (mut sink, ..) = sink(config(&as_engine));
        sink.deliver(&[entry(1, "BTC/USDT")]).await.expect("stored");
        db.execute("SET ROLE trading_bot_engine")
            .await
            .expect("the role");
        let pair = "uuid('0000000000000000000000000000000c')";
        for (sql, expected) in [
            (
                "SELECT id, notification_preferences FROM users WHERE is_active".to_owned(),
                Rows(2),
            ),
            (
                "SELECT user_id, telegram_id FROM telegram_users".to_owned(),
                Rows(2),
            ),
            ("SELECT * FROM trades".to_owned(), Rows(2)),
            (
                "UPDATE positions SET current_price = 2, unrealized_pnl = 1".to_owned(),
                Rows(2),
            ),
            (
                format!(
                    "INSERT INTO notifications (user_id, channel, type, payload) \
                     VALUES ('{A}', 'redis', 'signal', '1'), ('{B}', 'redis', 'signal', '1') \
                     ON CONFLICT DO NOTHING"
                ),
                Rows(2),
            ),
            (
                "UPDATE notifications SET status = 'sent', sent_at = NOW()".to_owned(),
                Rows(2),
            ),
            (
                format!(
                    "INSERT INTO market_analysis (trading_pair_id, timeframe, trend, price, \
                         analysed_at) VALUES ({pair}, '1m', 'up', 1, NOW()) ON CONFLICT DO NOTHING"
                ),
                Rows(1),
            ),
            (
                "UPDATE trading_signals SET is_active = false, expired_at = NOW()".to_owned(),
                Rows(1),
            ),
            ("SELECT * FROM system_config".to_owned(), Rows(0)),
            ("SELECT email FROM users".to_owned(), Refused),
            ("UPDATE users SET is_active = false".to_owned(), Refused),
            ("UPDATE positions SET size = 2".to_owned(), Refused),
            ("DELETE FROM positions".to_owned(), Refused),
            ("UPDATE notifications SET payload = '2'".to_owned(), Refused),
            ("DELETE FROM trading_signals".to_owned(), Refused),
            (
                "UPDATE trading_signals SET strength = 1".to_owned(),
                Refused,
            ),
            ("SELECT * FROM orders".to_owned(), Refused),
            ("SELECT * FROM user_api_keys".to_owned(), Refused),
            ("SELECT * FROM user_sessions".to_owned(), Refused),
            ("SELECT * FROM audit_logs".to_owned(), Refused),
            ("UPDATE system_config SET value = '1'".to_owned(), Refused),
        ] {
            assert_eq!(tried(&mut db, "SELECT 1", &sql).await, expected, "{sql}");
        }
    });
}

fn dump(url: &str, role: &str) -> Output {
    let dump = program("pg_dump").expect("it comes with the server");
    let role = format!("--role={role}");
    Command::new(dump)
        .args([url, &role, "--data-only"])
        .output()
        .expect("pg_dump")
}

#[test]
fn a_dump_as_backup_holds_every_row_and_as_app_is_refused() {
    if program("pg_dump").is_none() {
        eprintln!("skipped: pg_dump is not installed; tests/run installs it");
        return;
    }
    on_fresh_database(async |url| {
        let mut db = two_users(&url).await;
        let out = dump(&url, "trading_bot_backup");
        let err = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{err}");
        let text = String::from_utf8(out.stdout).expect("a dump is text");
        let mut dumped = BTreeMap::new();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let Some(rest) = line.strip_prefix("COPY public.") else {
                continue;
            };
            let table = rest.split(' ').next().expect("a name").to_owned();
            dumped.insert(
                table,
                lines.by_ref().take_while(|l| *l != "\\.").count() as u64,
            );
        }
        assert_eq!(dumped, counts(&mut db).await);

        let out = dump(&url, "trading_bot_app");
        let err = String::from_utf8_lossy(&out.stderr);
        assert!(
            !out.status.success() && err.contains("row-level security"),
            "{err}"
        );
    });
}

#[test]
fn changes_of_accounts_orders_and_settings_are_noted_without_secrets_for_good() {
    on_fresh_database(async |url| {
        let mut db = two_users(&url).await;
        let mut app = connect(&url).await;
        app.execute("SET ROLE trading_bot_app")
            .await
            .expect("the role");
        let mut work = begin_as(&mut app, As::User(A)).await.expect("begun");
        for sql in [
            "UPDATE users SET password_hash = 'other', two_factor_secret = 'base32' WHERE id = A",
            "UPDATE users SET last_activity_at = NOW() WHERE id = A",
            "UPDATE user_api_keys SET label = 'renamed', encrypted_key = '\\x5ec4e7' WHERE id = A",
            "UPDATE orders SET status = 'open', price = 1.50 WHERE id = A",
            "INSERT INTO system_config (key, value) VALUES ('x', '1')",
            "DELETE FROM system_config",
        ] {
            let sql = sql.replace("= A", &format!("= '{A}'"));
            work.execute(AssertSqlSafe(sql.clone())).await.expect(&sql);
        }
        let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM audit_logs WHERE user_id = $1")
            .bind(B)
            .fetch_one(&mut *work)
            .await
            .expect("the own log");
        assert_eq!(seen, 0, "another user's log");
        work.commit().await.expect("committed");

        let noted = "SELECT string_agg(concat_ws(' ', table_name, action, old_values, new_values, \
                acting_role, CASE WHEN user_id = actor_id THEN 'own' END), E'\\n' \
                ORDER BY created_at) FROM audit_logs WHERE actor_id IS NOT NULL";
        let expected = [
            "users update {\"password_hash\": \"[secret]\", \"two_factor_secret\": null} \
             {\"password_hash\": \"[secret]\", \"two_factor_secret\": \"[secret]\"} \
             trading_bot_app own",
            "user_api_keys update {\"label\": \"…\", \"encrypted_key\": \"[secret]\"} \
             {\"label\": \"renamed\", \"encrypted_key\": \"[secret]\"} trading_bot_app own",
            "orders update {\"price\": null, \"status\": \"pending\"} \
             {\"price\": 1.500000000000000000, \"status\": \"open\"} trading_bot_app own",
            "system_config insert",
            "system_config delete",
        ];
        let noted = text(&mut db, noted).await;
        let lines: Vec<&str> = noted.lines().collect();
        assert_eq!(lines.len(), expected.len(), "{noted}");
        for (line, expected) in lines.iter().zip(expected) {
            let (before, after) = expected.split_once('…').unwrap_or((expected, ""));
            assert!(line.starts_with(before) && line.ends_with(after), "{line}");
        }
        let secrets = "SELECT count(*) FROM audit_logs a \
                       WHERE a::text ~ 'hash-of|other|base32|5ec4e7'";
        assert_eq!(number(&mut db, secrets).await, 0);
        for sql in [
            "UPDATE audit_logs SET actor_id = NULL",
            "DELETE FROM audit_logs",
        ] {
            assert_eq!(
                tried(&mut db, "SELECT 1", sql).await,
                Refused,
                "{sql}, by a superuser"
            );
        }
        let forged =
            "INSERT INTO audit_logs (acting_role, action, table_name) VALUES ('x', 'insert', 'x')";
        assert_eq!(tried(&mut app, &acting_as(A), forged).await, Refused);
    });
}
