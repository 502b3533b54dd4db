//! Stores that lost what they had: emptied, made anew, restored from a backup, failed over to a
//! copy that lagged. They get it again from the journal, and nobody has to help.

use crate::daemon::{self, Exchange, Process};
use crate::kill::configuration;
use crate::pipeline;
use crate::postgres::{self, config, connect, entry, number, on_fresh_database};
use crate::servers;
use crate::watch::{Watch, until};
use sqlx::{Connection, Executor, PgConnection};
use std::time::Duration;
use tickforge::publishers::{Entry, SignalSink, SinkError};

/// A failover to a copy that lagged, a restored backup, a table emptied under a live connection.
#[test]
fn what_the_server_lost_is_noticed_though_nothing_is_sent() {
    on_fresh_database(async |url| {
        let (mut sink, _, _) = postgres::sink(config(&url));
        let all: Vec<Entry> = (1..=4).map(|n| entry(n, "BTC/USDT")).collect();
        sink.deliver(&all).await.expect("stored");
        sink.idle().await.expect("all is there");
        let mut db = connect(&url).await;
        for (loss, left) in [
            ("DELETE FROM trading_signals WHERE id::text LIKE '%4'", 3),
            ("TRUNCATE trading_signals CASCADE", 0),
        ] {
            db.execute(loss).await.expect("lost");
            let count = "SELECT count(*) FROM trading_signals";
            assert_eq!(number(&mut db, count).await, left);
            let outcome = sink.idle().await;
            assert!(
                matches!(outcome, Err(SinkError::Behind { has: 0 })),
                "{outcome:?}"
            );
            sink.deliver(&all).await.expect("again");
            assert_eq!(number(&mut db, count).await, 4);
            sink.idle().await.expect("all is there");
        }
        db.execute("TRUNCATE trading_signals CASCADE")
            .await
            .expect("truncated");
        let next = entry(5, "BTC/USDT");
        sink.deliver(&[next]).await.expect("under load");
        let outcome = sink.idle().await;
        assert!(
            matches!(outcome, Err(SinkError::Behind { has: 0 })),
            "{outcome:?}"
        );
        sink.deliver(&all).await.expect("again");
        let (mut restarted, _, _) = postgres::sink(config(&url));
        restarted.resume(4, &all[3]);
        restarted.idle().await.expect("all is there");
        db.execute("DELETE FROM trading_signals WHERE id::text LIKE '%4'")
            .await
            .expect("lost");
        let (mut restarted, _, _) = postgres::sink(config(&url));
        restarted.resume(4, &all[3]);
        let outcome = restarted.deliver(&[entry(6, "BTC/USDT")]).await;
        assert!(
            matches!(outcome, Err(SinkError::Behind { has: 0 })),
            "{outcome:?}"
        );
    });
}

/// Both stores lose all they had while the daemon runs: both get it again.
#[tokio::test]
async fn alone_stores_that_come_back_empty_are_filled_again() {
    if servers::postgres_url().is_none() {
        return;
    }
    let Some(mut redis) = servers::own_redis() else {
        return;
    };
    let dir = tempfile::tempdir().expect("a folder");
    let postgres = servers::fresh_database();
    let exchange = Exchange::start(dir.path(), &["--symbols", "8", "--rate", "4000"]);
    let watch = Watch::new();
    let config = configuration(dir.path(), &exchange, (&postgres, &redis.url()), watch);
    let log = dir.path().join("run.log");
    let mut daemon = Process::start(&["run", "--config", &config, "--json"], &log);
    let appended = || watch.metric("journal_appended_total");
    let all_delivered = |above: f64| {
        until("signals, all delivered", Duration::from_secs(30), || {
            appended() > above && watch.lag() == 0.0
        });
    };
    all_delivered(50.0);
    let mut db = PgConnection::connect(&postgres).await.expect("PostgreSQL");
    db.execute("TRUNCATE trading_signals CASCADE")
        .await
        .expect("truncated");
    redis.stop();
    redis.start();
    let rewinds =
        |store: &str| watch.metric(&format!("signals_rewinds_total{{store=\"{store}\"}}"));
    until("both noticed", Duration::from_secs(20), || {
        rewinds("postgres") >= 1.0 && rewinds("redis") >= 1.0
    });
    all_delivered(appended() + 20.0);
    // The whole schema, as after a database was made anew.
    db.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        .await
        .expect("dropped");
    let before = rewinds("postgres");
    until("PostgreSQL's was noticed", Duration::from_secs(20), || {
        rewinds("postgres") > before
    });
    all_delivered(appended() + 20.0);
    daemon.terminate();
    daemon.line();
    assert!(daemon.wait(Duration::from_secs(30)));
    let signals = daemon::journalled(&dir.path().join("data"));
    pipeline::assert_signals_once(&signals, &postgres, &redis.url()).await;
}
