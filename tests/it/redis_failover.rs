//! A master dies, and a replica takes its place: the publisher finds it by itself, and no signal is
//! lost or doubled, though the replica may not have had all that the master acknowledged.

use crate::redis::{check_complete, follow, journal, sink};
use crate::redis_servers::{Watched, cluster, watched};
use crate::servers;
use redis::cmd;
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
    watched.replicated().await;
    watched.fail_over().await;
    assert_eq!(
        deliver(&mut sink, &journal, 25).await,
        [0u64; 0],
        "nothing was lost"
    );
    let mut look = Connection::open(&watched.config)
        .await
        .expect("the new master");
    check_complete(&mut look, &journal).await;
}

// Of the first 25 signals the odd ones are of one symbol, whose stream has them up to 25, and the
// even ones of the other, whose stream then has 24.
const LEFT: u64 = 24;

/// Parts replica and master, and lets the master take more before it dies.
async fn lag(watched: &mut Watched, sink: &mut RedisSink, journal: &[Entry]) {
    follow(sink, &journal[..25], 0).await;
    watched.replicated().await;
    watched.part().await;
    follow(sink, &journal[..31], 25).await;
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
    let mut look = Connection::open(&watched.config)
        .await
        .expect("the new master");
    check_complete(&mut look, &journal).await;
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
    let mut look = Connection::open(&watched.config)
        .await
        .expect("the new master");
    check_complete(&mut look, &journal).await;
}

/// The node that holds `trading_signals` dies, and its replica had not all; the symbols' streams,
/// on another node, lost nothing and get nothing twice.
#[tokio::test]
async fn alone_a_node_of_the_cluster_dies() {
    let Some((config, mut look, _turn)) = cluster().await else {
        return;
    };
    let Ok(replica) = std::env::var("TICKFORGE_TEST_NODE3") else {
        eprintln!("skipped: the cluster is not ours to break");
        return;
    };
    let journal = journal(60);
    let mut sink = sink(&config, "host1");
    follow(&mut sink, &journal[..25], 0).await;
    let client = redis::Client::open(replica).expect("a URL");
    let mut replica = client
        .get_multiplexed_async_connection()
        .await
        .expect("the replica");
    // Written to the master and not to its replica: what is written while the replica sleeps, and
    // its link's buffer is gone with the master.
    servers::ctl("NODE2", "stop");
    assert_eq!(deliver(&mut sink, &journal[..40], 25).await, [0u64; 0]);
    let role: Vec<redis::Value> = cmd("ROLE").query_async(&mut replica).await.expect("a role");
    assert_eq!(
        redis::from_redis_value::<String>(role[0].clone()).expect("text"),
        "master"
    );
    // The old master comes back as a replica of the new one, and empty: nobody must see it.
    servers::ctl("NODE2", "start");
    assert_eq!(deliver(&mut sink, &journal, 40).await, [0u64; 0]);
    check_complete(&mut look, &journal).await;
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
    // An id is forgotten at once: only the numbers can keep the other streams from repeats.
    config.seen_ttl = Duration::from_secs(1);
    let journal = journal(60);
    let mut sink = sink(&config, "host1");
    follow(&mut sink, &journal[..40], 0).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    servers::ctl("NODE0", "stop");
    servers::ctl("NODE0", "start");
    let rewinds = deliver(&mut sink, &journal, 40).await;
    assert_eq!(rewinds, [0]);
    check_complete(&mut look, &journal).await;
}
