//! `tickforge db …` and the queries for people, as processes on a real PostgreSQL: demonstration
//! data and every command that shows it; a backup, a lost database, and its restoration.

use crate::servers;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs a command on the database at `url`; folders are below `dir`.
pub fn tickforge(dir: &Path, url: &str, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tickforge"))
        .args(args)
        .arg("--data-dir")
        .arg(dir)
        .args(["--database-url", url])
        .env_remove("LOGS_DIRECTORY")
        .output()
        .expect("the binary starts")
}

/// What it says where it must succeed.
pub fn text(dir: &Path, url: &str, args: &[&str]) -> String {
    let output = tickforge(dir, url, args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{args:?}: {}: {said}",
        output.status
    );
    String::from_utf8(output.stdout).expect("UTF-8")
}

pub fn json(dir: &Path, url: &str, args: &[&str]) -> Value {
    let text = text(dir, url, &[args, &["--json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{args:?}: {e}: {text}"))
}

/// Exit code, and what it says where it must not succeed.
pub fn refused(dir: &Path, url: &str, args: &[&str]) -> (Option<i32>, String) {
    let output = tickforge(dir, url, args);
    assert!(!output.status.success(), "{args:?} succeeded");
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// A new database with the whole schema, and a folder.
pub fn migrated() -> Option<(tempfile::TempDir, String)> {
    servers::postgres_url()?;
    let dir = tempfile::tempdir().expect("a folder");
    let url = servers::fresh_database();
    let done = json(dir.path(), &url, &["db", "migrate"]);
    assert!(
        done["applied"].as_array().expect("a list").len() > 20,
        "{done}"
    );
    Some((dir, url))
}

pub async fn execute(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.expect("connected");
    let done = connection.execute(AssertSqlSafe(sql.to_owned())).await;
    done.unwrap_or_else(|e| panic!("{sql}: {e}"));
    connection.close().await.expect("closed");
}

fn sum(tables: &Value) -> i64 {
    let rows = tables.as_array().expect("a list").iter();
    rows.map(|t| t["rows"].as_i64().expect("rows")).sum()
}

#[test]
fn the_demonstration_is_there_once_and_every_command_shows_it() {
    let Some((dir, url)) = migrated() else { return };
    let (dir, url) = (dir.path(), url.as_str());
    let run = |args: &[&str]| json(dir, url, args);

    let first = run(&["db", "seed"]);
    assert_eq!(sum(&first["tables"]), 30, "{first}");
    for table in first["tables"].as_array().expect("a list") {
        assert_ne!(table["rows"], 0, "{table}");
    }
    assert_eq!(
        sum(&run(&["db", "seed"])["tables"]),
        0,
        "again, and nothing changes"
    );

    for user in [
        "demo",
        "demo@tickforge.invalid",
        "d0000000-0000-4000-8000-000000000001",
    ] {
        let performance = run(&["portfolio", "performance", user]);
        assert_eq!(performance["user"]["username"], "demo");
        let row = &performance["portfolios"][0];
        assert_eq!(row["name"], "Demonstration");
        assert_eq!(row["position_count"], 3);
        // 20.19 - 5.375 + 100
        assert_eq!(row["total_pnl"], "114.815");
        assert!(
            row["avg_pnl"]
                .as_str()
                .expect("text")
                .starts_with("38.271666"),
            "{row}"
        );
    }
    let (code, said) = refused(dir, url, &["portfolio", "performance", "nobody"]);
    assert!(code == Some(1) && said.contains("no user has"), "{said}");

    let commands = run(&["ai", "commands", "demo"]);
    let counts = commands["commands"].as_array().expect("a list").iter();
    let counts: Vec<_> = counts.map(|c| c["response_count"].as_i64()).collect();
    assert_eq!(
        counts,
        [Some(0), Some(1), Some(2)],
        "the newest first: {commands}"
    );
    assert_eq!(
        commands["commands"][2]["extracted_entities"]["symbol"],
        "BTC/USDT"
    );

    let active = run(&["signals", "active"]);
    let signals = active["signals"].as_array().expect("a list");
    assert_eq!(signals.len(), 1, "the other one is at 0.65: {active}");
    let expected = [
        ("signal_type", "buy"),
        ("symbol", "BTC/USDT"),
        ("target_price", "93000"),
    ];
    for (key, value) in [
        &expected[..],
        &[("confidence", "0.90"), ("exchange", "binance")],
    ]
    .concat()
    {
        assert_eq!(signals[0][key], value, "{active}");
    }

    let status = run(&["db", "status"]);
    assert_eq!(status["migrations"]["pending"], serde_json::json!([]));
    assert!(
        status["roles"]
            .as_array()
            .expect("a list")
            .iter()
            .all(|r| r["present"] == true)
    );
    assert_eq!(status["backup"]["count"], 0);
    assert!(
        status["todo"].to_string().contains("tickforge db backup"),
        "{status}"
    );
    let sizes = run(&["db", "sizes"]);
    let tables = sizes["tables"].as_array().expect("a list");
    let bytes: Vec<_> = tables
        .iter()
        .map(|t| t["bytes"].as_i64().expect("a number"))
        .collect();
    assert!(
        tables.len() > 18 && bytes.is_sorted_by(|a, b| a >= b),
        "{sizes}"
    );
    let slow = run(&["db", "slow-queries", "--limit", "3"]);
    let why = slow["statements_missing"].as_str();
    assert!(slow["statements"].is_array() || why.is_some_and(|w| w.contains("pg_stat_statements")));
    assert!(
        slow["running"].is_array() && slow["scans"].is_array(),
        "{slow}"
    );

    for (args, part) in [
        (
            &["portfolio", "performance", "demo"][..],
            "Demonstration    114.815",
        ),
        (&["ai", "commands", "demo"], "How does Bitcoin look today?"),
        (&["signals", "active"], "1 active signals"),
        (&["db", "status"], "trading_bot_engine"),
        (&["db", "sizes"], "orders_archive"),
        (&["db", "slow-queries"], "running s"),
        (&["db", "seed"], "telegram_messages"),
        (&["db", "archive"], "0 orders from before"),
    ] {
        let said = text(dir, url, args);
        assert!(said.contains(part), "{args:?}: {said}");
    }

    let gone = run(&["db", "seed", "--remove"]);
    assert!(sum(&gone["tables"]) >= sum(&first["tables"]), "{gone}");
    assert_eq!(sum(&run(&["db", "seed", "--remove"])["tables"]), 0);
    assert_eq!(
        run(&["signals", "active"])["signals"],
        serde_json::json!([])
    );
    refused(dir, url, &["ai", "commands", "demo"]);
}

/// The one backup of a folder.
fn backups(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir.join("backups")).expect("a folder");
    let paths = entries.map(|e| e.expect("an entry").path());
    let mut backups: Vec<_> = paths
        .filter(|p| p.extension().is_some_and(|e| e == "backup"))
        .collect();
    backups.sort();
    backups
}

#[tokio::test]
async fn a_lost_database_comes_back_as_it_was_and_damage_is_noticed() {
    let Some((dir, url)) = migrated() else { return };
    let dir = dir.path();
    json(dir, &url, &["db", "seed"]);
    let odd =
        "INSERT INTO system_config (key, value) SELECT 'odd.' || n, to_jsonb(repeat(chr(n), 9))
        FROM generate_series(20000, 22000) n";
    execute(&url, odd).await;
    let saved = json(dir, &url, &["db", "backup"]);
    let [file] = backups(dir).try_into().expect("one backup");
    assert_eq!(saved["path"], file.display().to_string());
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&file.metadata().expect("there").permissions());
    assert_eq!(mode & 0o777, 0o600, "it holds everybody's data");
    let tables = saved["tables"].as_object().expect("an object");
    assert_eq!(tables["public.system_config"]["rows"], 2002);
    assert_eq!(tables["public.users"]["rows"], 1);
    assert!(tables.len() > 18, "{saved}");

    // Lost, and made anew.
    let path = file.display().to_string();
    let fresh = servers::fresh_database();
    let (base, name) = url.rsplit_once('/').expect("a name");
    execute(
        &format!("{base}/postgres"),
        &format!("DROP DATABASE {name}"),
    )
    .await;
    let back = json(dir, &fresh, &["db", "restore", &path]);
    assert_eq!(back["tables"], saved["tables"], "rows and checksums");
    assert_eq!(back["compared"], true);
    assert_eq!(back["differences"], serde_json::json!([]));
    assert_eq!(
        json(dir, &fresh, &["db", "status"])["migrations"]["pending"],
        serde_json::json!([])
    );
    assert_eq!(
        sum(&json(dir, &fresh, &["db", "seed"])["tables"]),
        0,
        "keys and rows are back"
    );

    // What is in a database is replaced only by somebody who says so.
    let (code, said) = refused(dir, &fresh, &["db", "restore", &path]);
    assert!(code == Some(1) && said.contains("--clean --yes"), "{said}");
    assert_eq!(
        refused(dir, &fresh, &["db", "restore", &path, "--clean"]).0,
        Some(2)
    );
    execute(&fresh, "DELETE FROM system_config WHERE key LIKE 'odd%'").await;
    let back = json(dir, &fresh, &["db", "restore", &path, "--clean", "--yes"]);
    assert_eq!(back["tables"], saved["tables"]);

    damage_is_noticed(dir, &fresh, &file);
}

/// One bit anywhere, a lost end, and the same without the manifest: refused, and nothing changed.
fn damage_is_noticed(dir: &Path, url: &str, file: &Path) {
    let whole = std::fs::read(file).expect("readable");
    let manifest = file.with_extension("backup.json");
    let path = file.display().to_string();
    let check = |bytes: &[u8], what: &str| {
        std::fs::write(file, bytes).expect("written");
        let (code, said) = refused(dir, url, &["db", "restore", &path, "--clean", "--yes"]);
        assert_eq!(code, Some(1), "{what}");
        assert!(
            said.contains(&path) && said.contains("damaged"),
            "{what}: {said}"
        );
        assert!(said.contains("no good one is beside it"), "{what}: {said}");
    };
    for at in [0, 40, whole.len() / 3, whole.len() - 1] {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        check(&flipped, &format!("bit {at}"));
    }
    check(&whole[..whole.len() - 1], "a lost byte");
    let text = std::fs::read(&manifest).expect("readable");
    std::fs::remove_file(&manifest).expect("there");
    check(&whole[..whole.len() / 2], "half of it, and no manifest");
    // And where a good one is beside it, that one is named.
    std::fs::write(&manifest, text).expect("written");
    std::fs::write(file, &whole).expect("written");
    json(dir, url, &["db", "backup"]);
    std::fs::write(file, &whole[1..]).expect("written");
    let (_, said) = refused(dir, url, &["db", "restore", &path, "--clean", "--yes"]);
    let good = backups(dir).pop().expect("the newest");
    assert!(
        said.contains(&format!("newest good one is {}", good.display())),
        "{said}"
    );
    let status = json(dir, url, &["db", "status"]);
    assert_eq!(status["backup"]["newest"], good.display().to_string());
    assert_eq!(
        (&status["backup"]["count"], &status["backup"]["whole"]),
        (&2.into(), &true.into())
    );
}

#[tokio::test]
async fn a_backup_holds_every_users_rows_or_is_refused() {
    let Some((dir, url)) = migrated() else { return };
    let dir = dir.path();
    json(dir, &url, &["db", "seed"]);
    let (nightly, plain) = (servers::unique_name(), servers::unique_name());
    let roles = format!(
        "CREATE ROLE {nightly} LOGIN IN ROLE trading_bot_backup; CREATE ROLE {plain} LOGIN;
         GRANT SELECT ON ALL TABLES IN SCHEMA public TO {plain}"
    );
    execute(&url, &roles).await;
    let as_role = |role: &str| {
        let (scheme, rest) = url.split_once("://").expect("a url");
        let host = rest.split_once('@').map_or(rest, |(_, host)| host);
        format!("{scheme}://{role}@{host}")
    };
    let (code, said) = refused(dir, &as_role(&plain), &["db", "backup"]);
    assert!(
        code == Some(1) && said.contains("GRANT trading_bot_backup"),
        "{said}"
    );
    assert!(backups(dir).is_empty());
    let saved = json(dir, &as_role(&nightly), &["db", "backup"]);
    assert_eq!(saved["tables"]["public.orders"]["rows"], 3, "{saved}");
    let drop = format!("DROP OWNED BY {nightly}, {plain}; DROP ROLE {nightly}, {plain}");
    execute(&url, &drop).await;
}

#[test]
fn a_command_without_a_database_says_what_to_do() {
    let dir = tempfile::tempdir().expect("a folder");
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tickforge"));
        let output = command
            .args(args)
            .arg("--data-dir")
            .arg(dir.path())
            .output();
        let output = output.expect("the binary starts");
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for args in [
        &["db", "status"][..],
        &["signals", "active"],
        &["ai", "commands", "demo"],
    ] {
        assert!(run(args).contains("--database-url"), "{args:?}");
    }
    let absent = run(&["db", "restore", "/nowhere/x.backup"]);
    assert!(
        absent.contains("/nowhere/x.backup: no such file"),
        "{absent}"
    );
}
