//! How many signals a second does PostgreSQL take from the daemon's sink, beside the bare server
//! with the same rows: COPY into the same table, one transaction for as many rows?
//!
//! `TICKFORGE_TEST_LONG=1 cargo test --release --test it -- throughput:: --nocapture` prints what
//! it found. The server is the test's own, and syncs each transaction to the disk.

use crate::own_postgres;
use crate::postgres::{config, connect, entry, instrument, number, sink};
use crate::servers;
use sqlx::Executor;
use sqlx::postgres::PgConnection;
use std::time::Instant;
use tickforge::publishers::{Entry, SignalSink};
use uuid::Uuid;

/// Signals in one statement.
const BATCH: usize = 2000;
const SYMBOLS: u64 = 100;

fn entries(n: u64) -> Vec<Entry> {
    let one = |seq: u64| {
        let mut entry = entry(seq, &format!("S{}/USD", seq % SYMBOLS));
        // As in life: a UUIDv5 comes anywhere in the index.
        entry.record.signal_id = Uuid::new_v5(&Uuid::NAMESPACE_OID, &seq.to_be_bytes());
        entry
    };
    (1..=n).map(one).collect()
}

/// The rows as COPY gives them out, and back into the emptied table in parts of [`BATCH`].
async fn copied(db: &mut PgConnection) -> f64 {
    use futures_util::StreamExt;
    let mut rows = Vec::new();
    let mut out = db
        .copy_out_raw("COPY trading_signals TO STDOUT")
        .await
        .expect("a copy");
    while let Some(part) = out.next().await {
        rows.extend_from_slice(&part.expect("rows"));
    }
    drop(out);
    db.execute("TRUNCATE trading_signals")
        .await
        .expect("emptied");
    let lines: Vec<&[u8]> = rows.split_inclusive(|b| *b == b'\n').collect();
    let began = Instant::now();
    for part in lines.chunks(BATCH) {
        let mut copy = db
            .copy_in_raw("COPY trading_signals FROM STDIN")
            .await
            .expect("a copy");
        copy.send(part.concat()).await.expect("sent");
        copy.finish().await.expect("stored");
    }
    lines.len() as f64 / began.elapsed().as_secs_f64()
}

#[test]
fn signals_go_into_postgres_as_fast_as_the_server_takes_them() {
    let durable = [("fsync", "on"), ("synchronous_commit", "on")];
    let Some(server) = own_postgres::start(&durable) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let url = server.url("postgres", "postgres");
        let n = if servers::long() { 200_000 } else { 10_000 };
        let (mut sink, registry, _) = sink(config(&url));
        for i in 0..SYMBOLS {
            registry.add(instrument("binance", &format!("S{i}/USD")));
        }
        sink.idle().await.expect("listed");
        let all = entries(n);
        let began = Instant::now();
        for part in all.chunks(BATCH) {
            sink.deliver(part).await.expect("stored");
        }
        let ours = n as f64 / began.elapsed().as_secs_f64();
        let mut db = connect(&url).await;
        let stored = number(&mut db, "SELECT count(*) FROM trading_signals").await;
        assert_eq!(stored as u64, n);
        let durable = "SELECT count(*) FROM pg_settings WHERE setting = 'on' \
                       AND name IN ('fsync', 'synchronous_commit')";
        assert_eq!(number(&mut db, durable).await, 2);
        let bare = copied(&mut db).await;
        eprintln!(
            "signals to PostgreSQL: {ours:.0} durable rows/s in batches of {BATCH}, bare COPY \
             {bare:.0} ({:.2})",
            ours / bare
        );
        assert!(!servers::long() || ours >= 20_000.0, "{ours:.0} rows/s");
    });
}
