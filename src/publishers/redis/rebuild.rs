//! Fills the streams of signals again, with what they lack and nothing twice, whatever became of
//! them. Called by `tickforge redis rebuild`, beside a running daemon or not.
//!
//! A daemon's own deliveries are told from repeats by marks that are forgotten after `seen_ttl`.
//! Here older signals come, so the streams are read first, and what is in them is marked; the rest is
//! delivered as a daemon delivers.

use super::{RedisSink, explain, open, place};
use crate::config::RedisConfig;
use crate::metrics::Metrics;
use crate::publishers::{Entry, SignalSink, SinkError};
use crate::signal::record::SignalRecord;
use ::redis::aio::ConnectionLike;
use ::redis::{RedisResult, cmd, pipe};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// Entries read, or marked, at a time.
const PAGE: usize = 500;
/// A store that is found emptied, or whose streams begin anew, is asked again.
const ATTEMPTS: usize = 4;

/// What was done.
#[derive(Debug, Default, serde::Serialize)]
pub struct Rebuilt {
    pub streams: usize,
    /// Signals that both of their streams had.
    pub already_there: usize,
    /// Signals that were appended to one of their streams, or to both.
    pub appended: usize,
}

/// A stream, and the id of the entry that has a signal.
type There = HashMap<String, HashMap<String, String>>;

/// Appends what the streams lack of `records`, in the order given. `producer` is told from a
/// daemon's own name by a `/`, which no daemon's name has.
pub async fn rebuild(
    config: &RedisConfig,
    producer: &str,
    records: Vec<SignalRecord>,
) -> Result<Rebuilt, String> {
    let place = place(config);
    let mut connection = open(config).await?;
    let symbols: BTreeSet<&str> = records.iter().map(|r| r.symbol.as_str()).collect();
    let keys = symbols.iter().map(|symbol| stream_of(symbol));
    let mut there = There::new();
    for stream in keys.chain([ALL.to_owned()]) {
        let ids = read(&mut connection, &stream).await;
        let ids = ids.map_err(|e| explain(&place, &e))?;
        there.insert(stream, ids);
    }
    let has = |stream: &str, r: &SignalRecord| {
        there
            .get(stream)
            .is_some_and(|ids| ids.contains_key(&r.signal_id.to_string()))
    };
    let (full, lacking): (Vec<_>, Vec<_>) = records
        .into_iter()
        .partition(|r| has(&stream_of(&r.symbol), r) && has(ALL, r));
    let mut rebuilt = Rebuilt {
        streams: there.len(),
        already_there: full.len(),
        appended: lacking.len(),
    };
    if rebuilt.appended > 0 {
        let wanted: HashSet<String> = lacking.iter().map(|r| r.signal_id.to_string()).collect();
        let marked = mark(&mut connection, config, &there, &wanted).await;
        marked.map_err(|e| explain(&place, &e))?;
        deliver(config, producer, lacking).await?;
    }
    rebuilt.streams = there.len();
    Ok(rebuilt)
}

const ALL: &str = "trading_signals";

fn stream_of(symbol: &str) -> String {
    format!("{ALL}:{{{symbol}}}")
}

/// Each signal's id in a stream, and its number there.
async fn read<C: ConnectionLike>(
    connection: &mut C,
    stream: &str,
) -> RedisResult<HashMap<String, String>> {
    let mut found = HashMap::new();
    let mut after = "0".to_owned();
    loop {
        let mut range = cmd("XRANGE");
        range
            .arg(stream)
            .arg(format!("({after}"))
            .arg("+")
            .arg("COUNT")
            .arg(PAGE);
        let page: Vec<(String, HashMap<String, String>)> = range.query_async(connection).await?;
        let Some((last, _)) = page.last() else {
            return Ok(found);
        };
        after.clone_from(last);
        for (_, mut fields) in page {
            if let (Some(id), Some(seq)) = (fields.remove("signal_id"), fields.remove("seq")) {
                found.insert(id, seq);
            }
        }
    }
}

/// What a stream has, of what is about to be delivered for the other one's sake.
async fn mark<C: ConnectionLike>(
    connection: &mut C,
    config: &RedisConfig,
    there: &There,
    wanted: &HashSet<String>,
) -> RedisResult<()> {
    let seconds = config.seen_ttl.as_secs().max(1);
    for (stream, ids) in there {
        let helpers = if stream == ALL {
            "{trading_signals}"
        } else {
            stream.as_str()
        };
        let marks: Vec<_> = ids.iter().filter(|(id, _)| wanted.contains(*id)).collect();
        for page in marks.chunks(PAGE) {
            let mut pipeline = pipe();
            for (id, seq) in page {
                let key = format!("{helpers}:seen:{id}");
                pipeline
                    .cmd("SET")
                    .arg(key)
                    .arg(*seq)
                    .arg("EX")
                    .arg(seconds)
                    .arg("NX");
                pipeline.ignore();
            }
            pipeline.query_async::<()>(connection).await?;
        }
    }
    Ok(())
}

async fn deliver(
    config: &RedisConfig,
    producer: &str,
    records: Vec<SignalRecord>,
) -> Result<(), String> {
    let numbered = records.into_iter().zip(1..);
    let entries: Vec<Entry> = numbered
        .map(|(record, seq)| Entry { seq, record })
        .collect();
    let producer = format!("{producer}/rebuild");
    let mut sink = RedisSink::new(config.clone(), producer, Arc::new(Metrics::default()));
    let mut said = String::new();
    for _ in 0..ATTEMPTS {
        match sink.deliver(&entries).await {
            Ok(()) => return Ok(()),
            // Emptied, or never seen before: what was delivered is recognised the next time.
            Err(SinkError::Behind { .. }) => {}
            Err(SinkError::Retry(text)) => said = text,
            Err(e @ SinkError::Refused { .. }) => return Err(e.to_string()),
        }
    }
    Err(said)
}
