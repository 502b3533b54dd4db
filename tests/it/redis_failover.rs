//! A master dies, and a replica takes its place: the publisher finds it by itself, and no signal,
//! nor what became of one, is lost or doubled, though the replica may not have had all that the
//! master acknowledged.

use crate::daemon::{self, Exchange, Process};
use crate::keyspace;
use crate::outcomes::{OUTCOMES, check_concluded, conclude};
use crate::pipeline::{self, STRATEGIES};
use crate::redis::{check_complete, entries, follow, journal, sink};
use crate::redis_servers::{Watched, cluster, has_replica, look_at, watched};
use crate::servers;
use crate::watch::{Watch, until};
use std::time::{Duration, Instant};
use tickforge::keyspace::Connection;
use tickforge::publishers::redis::RedisSink;
use tickforge::publishers::{Entry, SignalSink, SinkError};

/// Delivers as the journal's follower does, until the store has taken all: tries again while it is
/// away, and goes back where it says so. Returns how often it went back, and to where.
async fn deliver(sink: &mut RedisSink, journal: &[Entry], mut from: usize) -> Vec<u64> {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut rewinds = Vec::new();
    loop {
        match sink.deliver(&journal[from..]).await {
            Ok(()) => return rewinds,
            Err(SinkError::Behind { has }) => {
                from = has as usize;
                rewinds.push(has);
            }
            Err(error) => {
                assert!(Instant::now() < deadline, "{error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

#[tokio::test]
async fn a_replica_that_had_all_goes_on_where_its_master_ended() {
    let Some(mut watched) = watched().await else {
        return;
    };
    let journal = journal(40);
    let mut sink = sink(&watched.config, "host1");
    follow(&mut sink, &journal[..25], 0).await;
    conclude(&mut sink, &journal[..25]).await;
    watched.replicated().await;
    watched.fail_over().await;
    assert_eq!(
        deliver(&mut sink, &journal, 25).await,
        [0u64; 0],
        "nothing was lost"
    );
    // Some of them again, as after a call whose answer was lost.
    conclude(&mut sink, &journal[21..]).await;
    let mut look = Connection::open(&watched.config)
        .await
        .expect("the new master");
    check_complete(&mut look, &journal).await;
    check_concluded(&mut look, &journal).await;
}

// Of the first 25 signals the odd ones are of one symbol, whose stream has them up to 25, and the
// even ones of the other, whose stream then has 24.
const LEFT: u64 = 24;

/// Parts replica and master, and lets the master take more before it dies.
async fn lag(watched: &mut Watched, sink: &mut RedisSink, journal: &[Entry]) {
    follow(sink, &journal[..25], 0).await;
    conclude(sink, &journal[..25]).await;
    watched.replicated().await;
    watched.part().await;
    follow(sink, &journal[..31], 25).await;
    conclude(sink, &journal[25..31]).await;
    watched.fail_over().await;
}

#[tokio::test]
async fn what_a_replica_had_not_got_is_sent_again() {
    let Some(mut watched) = watched().await else {
        return;
    };
    let journal = journal(40);
    let mut sink = sink(&watched.config, "host1");
    lag(&mut watched, &mut sink, &journal).await;
    assert_eq!(deliver(&mut sink, &journal, 31).await, [LEFT]);
    // What became of signals is sent again from the same place on.
    conclude(&mut sink, &journal[LEFT as usize..]).await;
    let mut look = Connection::open(&watched.config)
        .await
        .expect("the new master");
    check_complete(&mut look, &journal).await;
    check_concluded(&mut look, &journal).await;
}

#[tokio::test]
async fn a_lag_is_noticed_though_nothing_is_sent_and_after_a_restart() {
    let Some(mut watched) = watched().await else {
        return;
    };
    let journal = journal(40);
    let mut first = sink(&watched.config, "host1");
    lag(&mut watched, &mut first, &journal).await;
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match first.idle().await {
            Err(SinkError::Behind { has: LEFT }) => break,
            Err(SinkError::Retry(_)) if Instant::now() < deadline => {}
            other => panic!("{other:?}"),
        }
    }
    let mut restarted = sink(&watched.config, "host1");
    assert_eq!(deliver(&mut restarted, &journal, 31).await, [25]);
    conclude(&mut restarted, &journal[25..]).await;
    let mut look = Connection::open(&watched.config)
        .await
        .expect("the new master");
    check_complete(&mut look, &journal).await;
    check_concluded(&mut look, &journal).await;
}

/// The node that holds `trading_signals` and the outcomes dies, and its replica takes its place:
/// nothing is lost or doubled there, nor on the node that holds the symbols' streams.
#[tokio::test]
async fn alone_a_node_of_the_cluster_dies() {
    let Some((config, mut look, _turn)) = cluster().await else {
        return;
    };
    let Some(node) = master_with_a_replica().await else {
        return;
    };
    let journal = journal(60);
    let mut sink = sink(&config, "host1");
    follow(&mut sink, &journal[..25], 0).await;
    conclude(&mut sink, &journal[..25]).await;
    servers::ctl(node, "stop");
    let rewinds = deliver(&mut sink, &journal[..40], 25).await;
    assert_eq!(rewinds, [0u64; 0]);
    conclude(&mut sink, &journal[25..40]).await;
    // The old master comes back as a replica of the new one, and empty: nobody must see it.
    servers::ctl(node, "start");
    assert_eq!(deliver(&mut sink, &journal, 40).await, [0u64; 0]);
    conclude(&mut sink, &journal[40..]).await;
    check_complete(&mut look, &journal).await;
    check_concluded(&mut look, &journal).await;
}

/// The daemon at work on a cluster that loses a node in the middle: every journalled signal is in
/// its streams once, numbered without a hole, and so is what became of it; and no key that should
/// expire lives for ever.
#[tokio::test]
async fn alone_a_full_run_on_a_cluster_that_loses_a_node() {
    let Some((_, mut look, _turn)) = cluster().await else {
        return;
    };
    let Some(node) = master_with_a_replica().await else {
        return;
    };
    let dir = tempfile::tempdir().expect("a folder");
    let mut exchange = Exchange::start(dir.path(), &["--symbols", "8", "--rate", "4000"]);
    let watch = Watch::new();
    let urls = servers::cluster_urls().expect("a cluster");
    let text = format!(
        "name = \"it\"\ndata_dir = {:?}\n[exchanges.binance]\nsymbols = [\"*\"]\nws = {:?}\nrest = {:?}\n\
         snapshots_per_second = 200\n[stores.redis]\nurl = {urls:?}\n{}{STRATEGIES}",
        dir.path().join("data"),
        exchange.ws,
        exchange.rest,
        watch.section(),
    );
    let path = dir.path().join("tickforge.toml");
    std::fs::write(&path, text).expect("the configuration");
    let path = path.display().to_string();
    let checked = daemon::output(&["check", "--config", &path, "--json"]);
    assert!(checked.contains("\"redis\":\"ok\""), "{checked}");
    let log = dir.path().join("run.log");
    let mut daemon = Process::start(&["run", "--config", &path, "--json"], &log);
    let delivered = |above: f64| {
        until("signals, all delivered", Duration::from_secs(40), || {
            watch.metric("journal_appended_total") > above
                && watch.metric("signals_lag{store=\"redis\"}") == 0.0
        });
    };
    delivered(100.0);
    servers::ctl(node, "stop");
    let before = watch.metric("journal_appended_total");
    delivered(before + 100.0);
    servers::ctl(node, "start");
    let before = watch.metric("journal_appended_total");
    delivered(before + 100.0);
    daemon.terminate();
    let summary = daemon.line();
    assert!(daemon.wait(Duration::from_secs(30)));
    exchange.process.kill();
    assert_eq!(summary["dropped"], 0, "{summary}");
    let signals = daemon::journalled(&dir.path().join("data"));
    let ended = daemon::outcomes(&dir.path().join("data"));
    assert!(ended.len() > 50, "{} ends", ended.len());
    let mut streams = pipeline::by_stream(&signals);
    streams.insert(OUTCOMES.to_owned(), daemon::ids(&ended));
    for (stream, ids) in streams {
        let found = entries(&mut look, &stream).await;
        let got: Vec<&String> = found.iter().map(|e| &e["signal_id"]).collect();
        assert_eq!(got, ids.iter().collect::<Vec<_>>(), "{stream}");
        let seqs = found
            .iter()
            .map(|e| e["seq"].parse::<usize>().expect("a number"));
        assert!(seqs.eq(1..=ids.len()), "{stream}: seq has a hole");
    }
    let families = keyspace::assert_tidy(&mut look).await;
    assert!(families.len() >= 13, "{families:?}");
}

/// Which of the cluster's nodes, of those with a replica, is master now.
async fn master_with_a_replica() -> Option<&'static str> {
    for node in ["NODE2", "NODE3"] {
        let Ok(url) = std::env::var(format!("TICKFORGE_TEST_{node}")) else {
            break;
        };
        if has_replica(&mut look_at(url).await).await {
            return Some(node);
        }
    }
    eprintln!("skipped: the cluster is not ours to break");
    None
}

/// A master without a replica comes back empty: its streams are filled again, from the first signal
/// on, and the other nodes' get nothing twice, however long ago.
#[tokio::test]
async fn alone_a_node_of_the_cluster_comes_back_empty() {
    let Some((mut config, mut look, _turn)) = cluster().await else {
        return;
    };
    if std::env::var("TICKFORGE_TEST_NODE0").is_err() {
        eprintln!("skipped: the cluster is not ours to break");
        return;
    }
    // Ids are forgotten by then: only the numbers can keep the other streams from repeats.
    config.seen_ttl = Duration::from_secs(5);
    let journal = journal(60);
    let mut sink = sink(&config, "host1");
    follow(&mut sink, &journal[..40], 0).await;
    tokio::time::sleep(Duration::from_millis(5100)).await;
    servers::ctl("NODE0", "stop");
    servers::ctl("NODE0", "start");
    let rewinds = deliver(&mut sink, &journal, 40).await;
    assert_eq!(rewinds, [0]);
    check_complete(&mut look, &journal).await;
}
