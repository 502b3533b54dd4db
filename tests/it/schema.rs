//! The schema: what migrations make, of which database, and whether the document's statements find
//! their way in it. Each test has a database of its own; those about roles, which belong to a
//! cluster, have a cluster of their own.

use crate::own_postgres::{self, OwnPostgres};
use crate::postgres::{connect, number, on_fresh_database, text};
use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor, Row};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tickforge::publishers::postgres::migrate;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");

/// All of them, in order: `0001_types`.
fn migrations() -> Vec<String> {
    let files = std::fs::read_dir(FOLDER).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.map(|name| name.replace(".sql", "")).collect();
    names.sort();
    names
}

/// The newest version.
fn newest() -> i64 {
    migrations().len() as i64
}

/// All that a migration could change: every row of these catalogs, and the tables' own list.
const FINGERPRINT: &str = "SELECT string_agg(line, E'\\n' ORDER BY line) FROM ( \
    SELECT c::text FROM (SELECT oid, relname, relacl, relrowsecurity, relforcerowsecurity \
        FROM pg_class WHERE relnamespace = 'public'::regnamespace) c \
    UNION ALL SELECT a::text FROM (SELECT attrelid, attname, atttypid, attacl FROM pg_attribute \
        WHERE attrelid IN (SELECT oid FROM pg_class \
            WHERE relnamespace = 'public'::regnamespace)) a \
    UNION ALL SELECT c::text FROM pg_constraint c WHERE connamespace = 'public'::regnamespace \
    UNION ALL SELECT p::text FROM pg_policy p UNION ALL SELECT t::text FROM pg_trigger t \
    UNION ALL SELECT p::text FROM pg_proc p WHERE pronamespace = 'public'::regnamespace \
    UNION ALL SELECT d::text FROM pg_default_acl d UNION ALL SELECT e::text FROM pg_enum e \
    UNION ALL SELECT e::text FROM pg_extension e UNION ALL SELECT m::text FROM _sqlx_migrations m \
    ) AS all_of_them(line)";

#[test]
fn migrations_are_applied_once_and_leave_data_alone() {
    on_fresh_database(async |url| {
        let first = migrate(&url).await.expect("the first run");
        assert_eq!(first.applied, migrations());
        assert_eq!(first.version, newest());
        let mut db = connect(&url).await;
        db.execute("INSERT INTO users (email, username, password_hash) VALUES ('a@b', 'a', 'x')")
            .await
            .expect("a user");
        let before = text(&mut db, FINGERPRINT).await;
        let second = migrate(&url).await.expect("the second run");
        assert_eq!((second.applied.len(), second.version), (0, newest()));
        assert_eq!(second.warnings, [""; 0]);
        assert_eq!(
            text(&mut db, FINGERPRINT).await,
            before,
            "something changed"
        );
        assert_eq!(number(&mut db, "SELECT count(*) FROM users").await, 1);
    });
}

#[test]
fn migrators_that_start_together_apply_each_migration_once() {
    on_fresh_database(async |url| {
        let (a, b, c) = tokio::join!(migrate(&url), migrate(&url), migrate(&url));
        let runs = [a.expect("a"), b.expect("b"), c.expect("c")];
        let mut applied: Vec<&String> = runs.iter().flat_map(|r| &r.applied).collect();
        applied.sort();
        assert_eq!(applied, migrations().iter().collect::<Vec<_>>());
        assert!(runs.iter().all(|r| r.version == newest()), "{runs:?}");
        let mut db = connect(&url).await;
        let locks = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database \
                     WHERE locktype = 'advisory' AND datname = current_database()";
        assert_eq!(number(&mut db, locks).await, 0, "a lock was left behind");
    });
}

#[test]
fn a_database_that_is_ahead_or_may_not_be_written_is_left_as_it_is() {
    on_fresh_database(async |url| {
        let read_only = format!("{url}?options[default_transaction_read_only]=on");
        let refused = migrate(&read_only)
            .await
            .expect_err("an empty database must be written");
        assert!(format!("{refused:#}").contains("25006"), "{refused:#}");
        migrate(&url).await.expect("migrated");
        assert_eq!(
            migrate(&read_only)
                .await
                .expect("nothing to write")
                .applied
                .len(),
            0
        );

        let mut db = connect(&url).await;
        db.execute("INSERT INTO _sqlx_migrations VALUES (9999, 'newer', now(), true, '', 0)")
            .await
            .expect("an entry");
        assert_eq!(
            migrate(&url)
                .await
                .expect("a newer database serves")
                .version,
            9999
        );
        db.execute("UPDATE _sqlx_migrations SET checksum = 'x' WHERE version = 3")
            .await
            .expect("ok");
        let changed = format!("{:#}", migrate(&url).await.expect_err("another text"));
        assert!(changed.contains("migration 0003"), "{changed}");
    });
}

/// The document's columns, with the decided types.
const COLUMNS: &str = include_str!("../data/postgres/columns.txt");
/// Its indexes, keys and checks, with the decided names.
const CONSTRAINTS: &str = include_str!("../data/postgres/constraints.txt");

#[test]
fn tables_are_those_of_the_document() {
    on_fresh_database(async |url| {
        migrate(&url).await.expect("migrated");
        let mut db = connect(&url).await;
        let columns = "SELECT string_agg(concat_ws(' ', table_name, column_name, \
            CASE data_type WHEN 'ARRAY' THEN ltrim(udt_name, '_') || '[]' ELSE udt_name END \
            || COALESCE('(' || character_maximum_length || ')', CASE data_type \
                WHEN 'numeric' THEN '(' || numeric_precision || ',' || numeric_scale || ')' END, \
                ''), \
            CASE is_nullable WHEN 'NO' THEN 'not null' END, \
            'default ' || column_default), E'\\n' ORDER BY table_name, ordinal_position) || E'\\n' \
            FROM information_schema.columns \
            WHERE table_schema = 'public' AND table_name <> '_sqlx_migrations'";
        assert_eq!(text(&mut db, columns).await, COLUMNS);
        let constraints = "SELECT string_agg(line, E'\\n' ORDER BY line COLLATE \"C\") || E'\\n' \
            FROM (SELECT concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid)) \
                FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n' \
            UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' \
            UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal \
            UNION ALL SELECT typname || ' ' || string_agg(enumlabel, ' ' ORDER BY enumsortorder) \
                FROM pg_enum JOIN pg_type t ON t.oid = enumtypid GROUP BY typname \
            ) AS all_of_them(line) WHERE line NOT LIKE '%\\_sqlx\\_%'";
        assert_eq!(text(&mut db, constraints).await, CONSTRAINTS);
    });
}

#[test]
fn every_updated_at_is_kept_by_a_trigger() {
    on_fresh_database(async |url| {
        migrate(&url).await.expect("migrated");
        let mut db = connect(&url).await;
        let without = "SELECT count(*) FROM information_schema.columns c \
            WHERE table_schema = 'public' AND column_name = 'updated_at' AND NOT EXISTS ( \
                SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = tgfoid \
                WHERE tgrelid = c.table_name::regclass AND proname = 'set_updated_at')";
        assert_eq!(number(&mut db, without).await, 0);
        db.execute(
            "INSERT INTO system_config (key, value, updated_at) VALUES ('a', '1', '2020-01-01')",
        )
        .await
        .expect("a setting");
        db.execute("UPDATE system_config SET value = '2', updated_at = '2020-01-01'")
            .await
            .expect("changed");
        let recent = "SELECT count(*) FROM system_config WHERE updated_at > NOW() - INTERVAL '1 h'";
        assert_eq!(number(&mut db, recent).await, 1);
    });
}

const A: &str = "'00000000-0000-0000-0000-00000000000a'";

/// A database as the first release left it, with rows in each of its tables.
async fn first_release(url: &str) {
    let old = tempfile::tempdir().expect("a folder");
    for name in &migrations()[..6] {
        let file = format!("{name}.sql");
        std::fs::copy(Path::new(FOLDER).join(&file), old.path().join(&file)).unwrap();
    }
    let migrator = Migrator::new(old.path()).await.expect("six migrations");
    let mut db = connect(url).await;
    migrator.run(&mut db).await.expect("applied");
    let sql = format!(
        "INSERT INTO users (id, email, username, password_hash) VALUES ({A}, 'a', 'a', 'x'); \
         INSERT INTO trading_pairs (id, symbol, exchange, base_currency, quote_currency, \
             min_order_size) VALUES ({A}, 'BTC/USDT', 'binance', 'BTC', 'USDT', 0); \
         INSERT INTO ai_commands (id, user_id, command_type, input_text) \
             VALUES ({A}, {A}, 'general_query', '?'); \
         INSERT INTO trading_signals (ai_command_id, trading_pair_id, signal_type, source, \
             strength, confidence) SELECT {A}, {A}, 'buy', 'hybrid', 1, 1 \
             FROM generate_series(1, 1000)"
    );
    db.execute(AssertSqlSafe(sql)).await.expect("rows");
}

#[test]
fn a_database_with_data_keeps_it() {
    on_fresh_database(async |url| {
        first_release(&url).await;
        let migrated = migrate(&url).await.expect("the rest");
        assert_eq!(migrated.applied, migrations()[6..]);
        let mut db = connect(&url).await;
        let rows = "SELECT (SELECT count(*) FROM users) + (SELECT count(*) FROM trading_pairs) \
            + (SELECT count(*) FROM ai_commands) + (SELECT count(*) FROM trading_signals)";
        assert_eq!(number(&mut db, rows).await, 1003);
    });
}

/// User, portfolio, pair and order A; fills with `$` as their own columns.
async fn one_of_each(db: &mut PgConnection) {
    let sql = format!(
        "INSERT INTO users (id, email, username, password_hash) VALUES ({A}, 'a', 'a', 'x'); \
         INSERT INTO trading_pairs (id, symbol, exchange, base_currency, quote_currency, \
             min_order_size) VALUES ({A}, 'BTC/USDT', 'binance', 'BTC', 'USDT', 0); \
         INSERT INTO portfolios (id, user_id, name) VALUES ({A}, {A}, 'main'); \
         INSERT INTO orders (id, user_id, portfolio_id, trading_pair_id, type, side, amount, \
             created_at) \
         VALUES ({A}, {A}, {A}, {A}, 'limit', 'buy', 1, NOW() - INTERVAL '2 years'); \
         INSERT INTO trades (user_id, portfolio_id, trading_pair_id, order_id, exchange_trade_id, \
             side, price, amount, executed_at) \
         VALUES ({A}, {A}, {A}, {A}, '77', 'buy', 1, 1, NOW()); \
         INSERT INTO balances (user_id, portfolio_id, currency, total, available, locked) \
             VALUES ({A}, {A}, 'BTC', 3, 1, 2)"
    );
    db.execute(AssertSqlSafe(sql)).await.expect("one of each");
}

#[test]
fn a_row_that_makes_no_sense_is_refused_by_name() {
    on_fresh_database(async |url| {
        migrate(&url).await.expect("migrated");
        let mut db = connect(&url).await;
        one_of_each(&mut db).await;
        let order = "INSERT INTO orders (user_id, portfolio_id, trading_pair_id, type, side, amount, \
                     price) VALUES (A, A, A, 'limit', 'buy',";
        let trade = "INSERT INTO trades (user_id, portfolio_id, trading_pair_id, order_id, \
                     archived_order_id, exchange_trade_id, side, price, amount, executed_at) \
                     VALUES (A, A, A,";
        for (sql, constraint) in [
            (format!("{order} 0, 1)"), "ck_orders_amount"),
            (format!("{order} 1, 0)"), "ck_orders_price"),
            (format!("{trade} A, NULL, '77', 'buy', 1, 1, NOW())"), "uq_trades_exchange_trade"),
            (format!("{trade} A, A, '78', 'buy', 1, 1, NOW())"), "ck_trades_one_order"),
            (format!("{trade} A, NULL, '79', 'buy', 1, 0, NOW())"), "ck_trades_amount"),
            ("UPDATE balances SET total = 4".to_owned(), "ck_balances_total"),
            ("UPDATE balances SET available = -1, total = 1".to_owned(), "ck_balances_available"),
            ("DELETE FROM orders".to_owned(), "fk_trades_order_id"),
            (
                "INSERT INTO balances (user_id, portfolio_id, currency) VALUES (A, A, 'BTC')".to_owned(),
                "uq_balances_portfolio_id_currency",
            ),
            (
                "INSERT INTO portfolios (user_id, name) VALUES (A, 'main')".to_owned(),
                "uq_portfolios_user_id_name",
            ),
            (
                "INSERT INTO market_analysis (trading_pair_id, timeframe, trend, price, analysed_at) \
                 VALUES (A, '0m', 'up', 1, NOW())".to_owned(),
                "ck_market_analysis_timeframe",
            ),
            (
                "INSERT INTO notifications (user_id, signal_id, channel, type, payload) \
                 VALUES (A, A, 'redis', 'signal', '1'), (A, A, 'redis', 'signal', '1')".to_owned(),
                "uq_notifications_user_id_signal_id_channel",
            ),
        ] {
            let sql = sql.replace("(A,", &format!("({A},")).replace(" A,", &format!(" {A},"));
            let sql = sql.replace(" A,", &format!(" {A},"));
            let error = db.execute(AssertSqlSafe(sql.clone())).await.expect_err(&sql);
            let refused = error.as_database_error().and_then(|e| e.constraint());
            assert_eq!(refused, Some(constraint), "{sql}: {error}");
        }
    });
}

#[test]
fn an_archived_order_keeps_its_fills_and_goes_with_its_user() {
    on_fresh_database(async |url| {
        migrate(&url).await.expect("migrated");
        let mut db = connect(&url).await;
        one_of_each(&mut db).await;
        db.execute(
            "WITH moved AS (DELETE FROM orders WHERE created_at < NOW() - INTERVAL '1 year' \
                 RETURNING *), \
             kept AS (INSERT INTO orders_archive SELECT * FROM moved) \
             UPDATE trades SET archived_order_id = order_id, order_id = NULL FROM moved \
             WHERE order_id = moved.id",
        )
        .await
        .expect("archived");
        let kept = "SELECT count(*) FROM trades t JOIN orders_archive o ON o.id = archived_order_id \
                    WHERE order_id IS NULL";
        assert_eq!(number(&mut db, kept).await, 1);
        let noted = "SELECT count(*) FROM audit_logs WHERE table_name = 'orders' \
            AND action = 'archive' AND record_id IS NOT NULL AND old_values IS NULL";
        assert_eq!(number(&mut db, noted).await, 1);
        db.execute("DELETE FROM users")
            .await
            .expect("deleted with all of it");
        let left = "SELECT (SELECT count(*) FROM trades) + (SELECT count(*) FROM orders_archive) \
            + (SELECT count(*) FROM portfolios) + (SELECT count(*) FROM balances)";
        assert_eq!(number(&mut db, left).await, 0);
    });
}

#[test]
fn tables_that_come_later_are_covered() {
    on_fresh_database(async |url| {
        migrate(&url).await.expect("migrated");
        let mut db = connect(&url).await;
        db.execute("CREATE TABLE later ()").await.expect("a table");
        let granted = "SELECT string_agg(concat_ws(' ', grantee::regrole, privilege_type), ', ' \
                ORDER BY grantee::regrole::text, privilege_type) \
            FROM pg_class, aclexplode(relacl) \
            WHERE relname = 'later' AND grantee::regrole::text NOT IN \
                (pg_get_userbyid(relowner), 'trading_bot_admin')";
        let expected = "trading_bot_app DELETE, trading_bot_app INSERT, trading_bot_app SELECT, \
            trading_bot_app UPDATE, trading_bot_backup SELECT, trading_bot_readonly SELECT";
        assert_eq!(text(&mut db, granted).await, expected);
    });
}

/// The words of `tickforge migrate` on a terminal.
fn migrate_by_command(url: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tickforge"));
    let out = command
        .args(["migrate", "--database-url", url])
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{err}");
    String::from_utf8(out.stdout).unwrap()
}

async fn as_superuser(cluster: &OwnPostgres, database: &str, statements: &[&'static str]) {
    let mut db = connect(&cluster.url("postgres", database)).await;
    for statement in statements {
        db.execute(*statement).await.expect(statement);
    }
    db.close().await.expect("closed");
}

/// A cluster without the roles: first a login that may not create them, then one that may but for
/// the one that sees everything, then two databases at once, and the first one again.
#[test]
fn roles_are_made_once_in_a_cluster_by_who_may_and_asked_for_by_others() {
    let Some(cluster) = own_postgres::start(&[]) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let create = [
            "CREATE ROLE plain LOGIN",
            "CREATE ROLE maker LOGIN CREATEROLE",
            "CREATE DATABASE plain OWNER plain",
            "CREATE DATABASE maker OWNER maker",
            "CREATE DATABASE one",
            "CREATE DATABASE two",
        ];
        as_superuser(&cluster, "postgres", &create).await;

        let plain = cluster.url("plain", "plain");
        let said = migrate_by_command(&plain);
        assert!(said.contains(&format!("{} applied", newest())), "{said}");
        let missing = "warning: no role trading_bot_app, trading_bot_readonly, trading_bot_admin, \
            trading_bot_engine, trading_bot_backup: run `tickforge migrate` as a login with CREATEROLE";
        assert!(said.contains(missing), "{said}");
        let mut db = connect(&plain).await;
        db.execute("INSERT INTO users (email, username, password_hash) VALUES ('a', 'a', 'x')")
            .await
            .expect("what belongs to no user works");
        assert_eq!(number(&mut db, "SELECT count(*) FROM orders").await, 0);

        let said = migrate_by_command(&cluster.url("maker", "maker"));
        let missing = "warning: no role trading_bot_backup: run";
        assert!(said.contains(missing) && said.matches("warning").count() == 1, "{said}");

        let (one, two) = (cluster.url("postgres", "one"), cluster.url("postgres", "two"));
        let drop = ["DROP OWNED BY trading_bot_app, trading_bot_readonly, trading_bot_admin, \
            trading_bot_engine", "DROP ROLE trading_bot_app, trading_bot_readonly, \
            trading_bot_admin, trading_bot_engine"];
        as_superuser(&cluster, "maker", &drop).await;
        let (a, b) = tokio::join!(migrate(&one), migrate(&two));
        assert_eq!((a.expect("one").warnings, b.expect("two").warnings), (vec![], vec![]));

        // The roles are there now: what the owner may mend is mended, and what not is said.
        let said = migrate_by_command(&plain);
        assert!(said.contains("warning: plain is a member of no role"), "{said}");
        assert_eq!(said.matches("warning").count(), 1, "{said}");
        as_superuser(&cluster, "plain", &["GRANT trading_bot_engine TO plain"]).await;
        let said = migrate_by_command(&plain);
        let nothing = format!("nothing to do, the database is at version {}\n", newest());
        assert_eq!(said, nothing);
        as_superuser(&cluster, "plain", &["REVOKE SELECT ON users FROM trading_bot_readonly"]).await;
        assert_eq!(migrate_by_command(&plain), said, "a right that was taken is given again");
        as_superuser(&cluster, "plain", &["DROP EXTENSION pgcrypto"]).await;
        let said = migrate_by_command(&plain);
        assert!(said.contains("warning: no extension pgcrypto"), "{said}");
    });
}

/// A million signals of years of which few are valid, a hundred thousand orders, and what belongs
/// to one of many users. `share` makes it smaller.
async fn fill(db: &mut PgConnection, share: u32) {
    let (signals, orders, users) = (1_000_000 / share, 100_000 / share, 1_000);
    for sql in [
        // Their triggers are not what is measured.
        "SET session_replication_role = replica".to_owned(),
        format!(
            "INSERT INTO users (id, email, username, password_hash) \
             SELECT md5('u' || i)::uuid, 'u' || i, 'u' || i, 'x' FROM generate_series(1, {users}) i"
        ),
        "INSERT INTO trading_pairs (id, symbol, exchange, base_currency, quote_currency, \
             min_order_size) \
         SELECT md5('p' || i)::uuid, 'C' || i || '/USDT', 'binance', 'C' || i, 'USDT', 0 \
         FROM generate_series(1, 200) i"
            .to_owned(),
        format!(
            "INSERT INTO trading_signals (trading_pair_id, signal_type, source, strength, confidence, \
                 valid_until, is_active, created_at) \
             SELECT md5('p' || 1 + i % 200)::uuid, 'buy', 'technical_analysis', i % 101 / 100.0, \
                 i % 97 / 100.0, NOW() + (i - {signals}) * INTERVAL '1 s' + INTERVAL '10 min', \
                 i > {signals} - 2000, NOW() + (i - {signals}) * INTERVAL '1 s' \
             FROM generate_series(1, {signals}) i"
        ),
        format!(
            "INSERT INTO portfolios (id, user_id, name) SELECT md5('f' || i)::uuid, \
                 md5('u' || i)::uuid, 'main' FROM generate_series(1, {users}) i"
        ),
        format!(
            "INSERT INTO orders (user_id, portfolio_id, trading_pair_id, type, side, amount, \
                 created_at) \
             SELECT md5('u' || 1 + i % {users})::uuid, md5('f' || 1 + i % {users})::uuid, \
                 md5('p' || 1 + i % 200)::uuid, 'limit', 'buy', 1, NOW() - i * INTERVAL '10 min' \
             FROM generate_series(1, {orders}) i"
        ),
        format!(
            "INSERT INTO positions (user_id, portfolio_id, trading_pair_id, side, size, \
                 remaining_size, entry_price, unrealized_pnl) \
             SELECT md5('u' || 1 + i % {users})::uuid, md5('f' || 1 + i % {users})::uuid, \
                 md5('p' || 1 + i % 200)::uuid, 'buy', 1, 1, 1, i FROM generate_series(1, {orders}) i"
        ),
        format!(
            "INSERT INTO ai_commands (id, user_id, command_type, input_text, created_at) \
             SELECT md5('c' || i)::uuid, md5('u' || 1 + i % {users})::uuid, 'general_query', '?', \
                 NOW() - i * INTERVAL '1 min' FROM generate_series(1, {orders}) i"
        ),
        format!(
            "INSERT INTO ai_responses (command_id, user_id, response_text) \
             SELECT md5('c' || i)::uuid, md5('u' || 1 + i % {users})::uuid, '!' \
             FROM generate_series(1, {orders}) i"
        ),
        "SET session_replication_role = origin".to_owned(),
        "ANALYZE".to_owned(),
    ] {
        db.execute(AssertSqlSafe(sql.clone())).await.expect(&sql);
    }
}

const PERFORMANCE: &str = "SELECT p.name, SUM(pos.unrealized_pnl + pos.realized_pnl) as total_pnl, \
    COUNT(pos.id) as position_count, AVG(pos.unrealized_pnl + pos.realized_pnl) as avg_pnl \
    FROM portfolios p LEFT JOIN positions pos ON p.id = pos.portfolio_id \
    WHERE p.user_id = $1 GROUP BY p.id, p.name";
const ACTIVE: &str = "SELECT ts.*, tp.symbol, tp.exchange FROM trading_signals ts \
    JOIN trading_pairs tp ON ts.trading_pair_id = tp.id \
    WHERE ts.is_active = true AND ts.valid_until > NOW() AND ts.confidence > 0.7 \
    ORDER BY ts.strength DESC, ts.created_at DESC";
const RECENT: &str = "SELECT ac.*, COUNT(ar.id) as response_count FROM ai_commands ac \
    LEFT JOIN ai_responses ar ON ac.id = ar.command_id \
    WHERE ac.user_id = $1 AND ac.created_at >= NOW() - INTERVAL '7 days' \
    GROUP BY ac.id ORDER BY ac.created_at DESC";
/// Not of the document: what the daemon asks for the end of validity.
const ENDED: &str = "SELECT id FROM trading_signals WHERE is_active AND valid_until <= NOW()";
/// The document's archival, a batch of it.
const OLD: &str = "SELECT id FROM orders WHERE created_at < NOW() - INTERVAL '1 year' LIMIT 1000";

/// The plan, with `$1` as a user.
async fn plan(db: &mut PgConnection, query: &str) -> String {
    let query = query.replace("$1", "md5('u7')::uuid");
    let sql = format!("EXPLAIN (ANALYZE, COSTS OFF) {query}");
    let rows = db.fetch_all(AssertSqlSafe(sql)).await.expect(&query);
    let lines = rows.iter().map(|row| row.get::<String, _>(0));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_documents_queries_use_an_index_and_active_signals_come_at_once() {
    on_fresh_database(async |url| {
        migrate(&url).await.expect("migrated");
        let mut db = connect(&url).await;
        let share = if crate::servers::long() { 1 } else { 10 };
        fill(&mut db, share).await;
        for (query, index, table) in [
            (ACTIVE, "idx_trading_signals_valid_until", "trading_signals"),
            (ENDED, "idx_trading_signals_", "trading_signals"),
            (PERFORMANCE, "idx_positions_portfolio_id", "positions"),
            (RECENT, "idx_ai_commands_user_id", "ai_commands"),
            (RECENT, "idx_ai_responses_command_id", "ai_responses"),
            (OLD, "idx_orders_created_at", "orders"),
        ] {
            let plan = plan(&mut db, query).await;
            assert!(plan.contains(index), "{plan}");
            assert!(!plan.contains(&format!("Seq Scan on {table} ")), "{plan}");
        }
        // Of the document's 600 valid ones about a quarter are confident enough.
        let mut times = Vec::new();
        for _ in 0..20 {
            let start = Instant::now();
            let found = db.fetch_all(ACTIVE).await.expect("active signals").len();
            times.push(start.elapsed());
            assert!((100..300).contains(&found), "{found}");
        }
        times.sort();
        println!(
            "active signals of {} in {:?}, at worst {:?}",
            1_000_000 / share,
            times[10],
            times[19]
        );
        assert!(times[10] < Duration::from_millis(20), "{times:?}");
    });
}
