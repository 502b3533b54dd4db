//! What became of signals, in its stream of Redis: once, in order, numbered without a hole, and
//! again where that stream alone was lost.

use crate::keyspace;
use crate::postgres::instrument;
use crate::rebuild::assert_as_journalled;
use crate::redis::{check_complete, entries, follow, journal, sink};
use crate::redis_servers::each;
use redis::cmd;
use rust_decimal::Decimal;
use std::time::{Duration, Instant};
use tickforge::keyspace::Connection;
use tickforge::outcome::record::OutcomeRecord;
use tickforge::outcome::{Ending, Open, Outcome};
use tickforge::publishers::redis::RedisSink;
use tickforge::publishers::{Concluded, Entry, SignalSink, SinkError};

pub const OUTCOMES: &str = "trading_signals:{outcomes}";

/// What became of a signal, somewhere behind all signals in the journal; of every third the market
/// was not seen at the end.
pub fn concluded(signal: &Entry) -> Concluded {
    let record = &signal.record;
    let exit = Decimal::new(4_600_000 + signal.seq as i64, 2);
    let (ending, exit_price) = match signal.seq % 3 {
        0 => (Ending::Expired, None),
        _ => (Ending::TakeProfit, Some(exit)),
    };
    let outcome = Outcome {
        open: Open::resumed(record).expect("a signal"),
        instrument: 0,
        ending,
        exit_price,
        ended_ns: record.event_ns + 1_000_000_000,
        gaps: 0,
    };
    let instrument = instrument("binance", &record.symbol);
    Concluded {
        seq: 1_000 + signal.seq,
        record: OutcomeRecord::new(&outcome, &instrument, &record.producer),
    }
}

/// Says what became of these signals; tries again while the store is away, or finds that it lost
/// some.
pub async fn conclude(sink: &mut RedisSink, signals: &[Entry]) {
    let ended: Vec<Concluded> = signals.iter().map(concluded).collect();
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(error) = sink.conclude(&ended).await {
        assert!(Instant::now() < deadline, "{error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What became of each of these signals is in the stream once, in order, numbered without a hole.
pub async fn check_concluded(look: &mut Connection, signals: &[Entry]) {
    let found = entries(look, OUTCOMES).await;
    assert_eq!(found.len(), signals.len());
    for ((n, entry), signal) in (1..).zip(&found).zip(signals) {
        assert_eq!(entry["seq"], format!("{n}"));
        assert_as_journalled(entry, &concluded(signal).record, &[]);
    }
}

/// Where nothing dies: repeats, a restart and a second producer double nothing, and of two ends of
/// one signal the first stays.
#[tokio::test]
async fn what_became_of_a_signal_is_said_once() {
    each(7, async |config, mut look| {
        let journal = journal(11);
        let mut first = sink(&config, "host1");
        conclude(&mut first, &journal[..6]).await;
        conclude(&mut first, &journal[4..9]).await;
        let mut other = concluded(&journal[0]);
        other.record.ending = "stop_loss".to_owned();
        first.conclude(&[other]).await.expect("no news");
        conclude(&mut sink(&config, "host1"), &journal).await;
        conclude(&mut sink(&config, "host2"), &journal).await;
        check_concluded(&mut look, &journal).await;
        let families = keyspace::assert_tidy(&mut look).await;
        let stream = "stream, number, name, positions, marks";
        assert_eq!(
            families.len(),
            5 + 2,
            "{stream}; of all: name, positions: {families:?}"
        );
    })
    .await;
}

pub async fn forget(look: &mut Connection, pattern: &str) {
    let mut keys = cmd("KEYS");
    let keys: Vec<String> = keys.arg(pattern).query_async(look).await.expect("keys");
    assert!(!keys.is_empty(), "{pattern}");
    for key in keys {
        let mut delete = cmd("DEL");
        delete.arg(key).exec_async(look).await.expect("deleted");
    }
}

/// The stream of outcomes alone is lost: they are all said again, and no signal twice. By the run
/// that said them, though there is no more to say, and by the next one, after all marks are
/// forgotten.
#[tokio::test]
async fn outcomes_that_were_lost_are_said_again() {
    each(6, async |config, mut look| {
        let journal = journal(20);
        let mut first = sink(&config, "host1");
        follow(&mut first, &journal, 0).await;
        conclude(&mut first, &journal[..9]).await;
        forget(&mut look, "trading_signals:{outcomes}*").await;
        let lost = first.idle().await;
        assert!(
            matches!(lost, Err(SinkError::Behind { has: 0 })),
            "{lost:?}"
        );
        assert_eq!(follow(&mut first, &journal, 0).await, 0);
        conclude(&mut first, &journal[..9]).await;

        forget(&mut look, "trading_signals:{outcomes}*").await;
        forget(&mut look, "*:seen:*").await;
        let mut second = sink(&config, "host1");
        second.resume(1_009, &journal[19]);
        let ended: Vec<Concluded> = journal[9..12].iter().map(concluded).collect();
        let lost = second.conclude(&ended).await;
        assert!(
            matches!(lost, Err(SinkError::Behind { has: 0 })),
            "{lost:?}"
        );
        assert_eq!(follow(&mut second, &journal, 0).await, 0);
        conclude(&mut second, &journal).await;
        check_complete(&mut look, &journal).await;
        check_concluded(&mut look, &journal).await;
    })
    .await;
}

/// One symbol's stream is lost between two runs, and the marks of older signals are forgotten: that
/// stream gets its signals again, and no other gets one twice.
#[tokio::test]
async fn what_other_streams_have_is_not_doubled_for_the_sake_of_one() {
    each(5, async |config, mut look| {
        let journal = journal(20);
        let mut first = sink(&config, "host1");
        follow(&mut first, &journal[..16], 0).await;
        conclude(&mut first, &journal[..16]).await;
        forget(&mut look, "trading_signals:{BTC/USDT}*").await;
        forget(&mut look, "*:seen:*").await;
        let mut second = sink(&config, "host1");
        second.resume(1_016, &journal[15]);
        let mut from = 16;
        while let Err(SinkError::Behind { has }) = second.deliver(&journal[from..]).await {
            assert_eq!((from, has), (16, 0), "noticed once");
            from = 0;
        }
        conclude(&mut second, &journal).await;
        check_complete(&mut look, &journal).await;
        check_concluded(&mut look, &journal).await;
    })
    .await;
}
