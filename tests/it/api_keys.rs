//! Users' API keys: that they decrypt with the right key alone, and that nothing of them is found
//! afterwards in any place where a server writes down what it is asked. On a cluster of its own,
//! whose log is as talkative as can be.

use crate::own_postgres::{self, OwnPostgres};
use crate::postgres::{connect, text};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor};
use std::path::Path;
use tickforge::config::Secret;
use tickforge::database::api_keys::{self, NewApiKey};
use tickforge::database::{As, begin_as, is_refused};
use tickforge::publishers::postgres::migrate;
use uuid::Uuid;

const A: Uuid = Uuid::from_u128(0xa);
const B: Uuid = Uuid::from_u128(0xb);

const KEY: &str = "exchange-key-in-the-clear";
const SECRET: &str = "exchange-secret-in-the-clear";
const PASSPHRASE: &str = "exchange-passphrase-in-the-clear";
const OURS: &str = "installation-key-in-the-clear";
const NEXT: &str = "next-installation-key-in-the-clear";

fn secret(text: &str) -> Secret {
    Secret(text.to_owned())
}

/// All that makes a server write down statements, parameters and plans.
const TALKATIVE: [(&str, &str); 11] = [
    ("log_statement", "all"),
    ("log_min_duration_statement", "0"),
    ("log_parameter_max_length", "-1"),
    ("log_parameter_max_length_on_error", "-1"),
    ("log_error_verbosity", "verbose"),
    ("debug_print_plan", "on"),
    ("debug_print_rewritten", "on"),
    ("track_activity_query_size", "64kB"),
    ("wal_level", "logical"),
    (
        "shared_preload_libraries",
        "pg_stat_statements,auto_explain",
    ),
    ("auto_explain.log_min_duration", "0"),
];

async fn cluster_with_users() -> Option<(OwnPostgres, PgConnection)> {
    let cluster = own_postgres::start(&TALKATIVE)?;
    let url = cluster.url("postgres", "postgres");
    migrate(&url).await.expect("migrated");
    let mut db = connect(&url).await;
    db.execute("CREATE EXTENSION pg_stat_statements")
        .await
        .expect("the extension");
    for user in [A, B] {
        let sql = format!(
            "INSERT INTO users (id, email, username, password_hash) \
             VALUES ('{user}', '{user}', '{user}', 'x')"
        );
        db.execute(AssertSqlSafe(sql)).await.expect("a user");
    }
    Some((cluster, db))
}

/// Stores, reveals, fails to and rotates, as the application.
async fn life_of_a_key(db: &mut PgConnection, admin: &mut PgConnection) {
    let ours = secret(OURS);
    let (key, second, passphrase) = (secret(KEY), secret(SECRET), secret(PASSPHRASE));
    let new = NewApiKey {
        user_id: A,
        exchange: "kraken",
        label: "main",
        key: &key,
        secret: Some(&second),
        passphrase: Some(&passphrase),
        expires_at: None,
    };
    db.execute("SET ROLE trading_bot_app")
        .await
        .expect("the role");
    let mut work = begin_as(db, As::User(A)).await.expect("begun");
    let id = api_keys::store(&mut work, &ours, &new)
        .await
        .expect("stored");
    let other = NewApiKey {
        label: "bare",
        secret: None,
        passphrase: None,
        ..new
    };
    let bare = api_keys::store(&mut work, &ours, &other)
        .await
        .expect("a second one");
    // While it works: what others see of this session.
    let activity = "SELECT string_agg(query, ' ') FROM pg_stat_activity";
    clean("pg_stat_activity", &text(admin, activity).await);
    work.commit().await.expect("committed");

    let mut work = begin_as(db, As::User(A)).await.expect("begun");
    let listed = api_keys::of_user(&mut work, A).await.expect("listed");
    let labels: Vec<&str> = listed.iter().map(|k| k.label.as_str()).collect();
    assert_eq!(labels, ["bare", "main"]);
    let shown = api_keys::reveal(&mut work, &ours, id)
        .await
        .expect("revealed")
        .expect("it");
    assert_eq!(
        (shown.key.0.as_str(), shown.exchange.as_str()),
        (KEY, "kraken")
    );
    assert_eq!(shown.secret.as_ref().map(|s| s.0.as_str()), Some(SECRET));
    assert_eq!(
        shown.passphrase.as_ref().map(|s| s.0.as_str()),
        Some(PASSPHRASE)
    );
    clean("our own logs", &format!("{shown:?} {listed:?}"));
    let shown = api_keys::reveal(&mut work, &ours, bare)
        .await
        .expect("revealed")
        .expect("it");
    assert!(shown.secret.is_none() && shown.passphrase.is_none());
    work.commit().await.expect("committed");

    let mut work = begin_as(db, As::User(A)).await.expect("begun");
    let wrong = api_keys::reveal(&mut work, &secret(NEXT), id)
        .await
        .expect_err("a wrong key");
    assert!(
        wrong.to_string().contains("Wrong key or corrupt data"),
        "{wrong}"
    );
    clean("our own logs", &format!("{wrong} {wrong:?}"));
    drop(work);

    let mut work = begin_as(db, As::User(B)).await.expect("begun");
    assert!(
        api_keys::reveal(&mut work, &ours, id)
            .await
            .expect("no error")
            .is_none()
    );
    let taken = api_keys::store(&mut work, &ours, &new)
        .await
        .expect_err("for somebody else");
    assert!(is_refused(&taken), "{taken}");
    clean("our own logs", &format!("{taken} {taken:?}"));
    drop(work);

    let next = secret(NEXT);
    let wrong = api_keys::rotate(admin, &next, &ours).await;
    assert!(
        wrong.is_err(),
        "outside of a transaction, and with the wrong key"
    );
    let mut work = begin_as(admin, As::Nobody).await.expect("begun");
    let rotated = api_keys::rotate(&mut work, &ours, &next)
        .await
        .expect("rotated");
    assert_eq!(rotated, 2);
    work.commit().await.expect("committed");
    let mut work = begin_as(db, As::User(A)).await.expect("begun");
    let shown = api_keys::reveal(&mut work, &next, id)
        .await
        .expect("revealed")
        .expect("it");
    assert_eq!(shown.key.0, KEY);
    api_keys::reveal(&mut work, &ours, id)
        .await
        .expect_err("the old one no more");
}

fn clean(place: &str, text: &str) {
    for secret in [KEY, SECRET, PASSPHRASE, OURS, NEXT] {
        if let Some(at) = text.find(secret) {
            let line = text[..at].rfind('\n').map_or(0, |i| i + 1);
            panic!(
                "{place} holds {secret}: {}",
                text[line..].lines().next().unwrap()
            );
        }
    }
}

/// Every file of the server: tables, write-ahead log, statistics.
fn search(dir: &Path, needles: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(search(&path, needles));
            continue;
        }
        let Ok(bytes) = std::fs::read(&path) else {
            continue;
        }; // removed since it was listed
        for needle in needles {
            if memchr::memmem::find(&bytes, needle.as_bytes()).is_some() {
                found.push(format!("{}: {needle}", path.display()));
            }
        }
    }
    found
}

#[test]
fn api_keys_decrypt_with_the_right_key_and_are_written_down_nowhere() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let Some((cluster, mut admin)) = cluster_with_users().await else {
            return;
        };
        let mut db = connect(&cluster.url("postgres", "postgres")).await;
        life_of_a_key(&mut db, &mut admin).await;
        // What a plain parameter would have come to.
        sqlx::query("INSERT INTO system_config (key, value) VALUES ($1, '1')")
            .bind("a-parameter-in-the-clear")
            .execute(&mut admin)
            .await
            .expect("a parameter");
        admin.execute("CHECKPOINT").await.expect("all on disk");

        let log = cluster.log();
        assert!(
            log.contains("a-parameter-in-the-clear"),
            "the log shows parameters"
        );
        assert!(
            log.contains("pgp_sym_encrypt(h.b, h.a, $5)"),
            "and these statements"
        );
        clean("the server's log", &log);
        let statements = "SELECT string_agg(query, ' ') FROM pg_stat_statements";
        clean("pg_stat_statements", &text(&mut admin, statements).await);
        let audit = "SELECT string_agg(a::text, ' ') FROM audit_logs a";
        let audit = text(&mut admin, audit).await;
        clean("audit_logs", &audit);
        let encrypted = "SELECT encode(encrypted_key, 'hex') FROM user_api_keys LIMIT 1";
        let encrypted = text(&mut admin, encrypted).await;
        assert!(!audit.contains(&encrypted), "the audit log holds a message");
        let needles = [
            KEY,
            SECRET,
            PASSPHRASE,
            OURS,
            NEXT,
            "a-parameter-in-the-clear",
        ];
        let found = search(&cluster.data(), &needles);
        assert!(
            found.iter().all(|f| f.ends_with(needles[5])) && !found.is_empty(),
            "{found:?}"
        );

        // As the document decrypts.
        let plain = format!(
            "SELECT pgp_sym_decrypt(encrypted_key, '{NEXT}') FROM user_api_keys \
             WHERE label = 'main'"
        );
        let plain: String = sqlx::query_scalar(AssertSqlSafe(plain))
            .fetch_one(&mut admin)
            .await
            .expect("it");
        assert_eq!(plain, KEY);
    });
}
