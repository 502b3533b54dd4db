//! Fills the streams of signals and outcomes again, with what they lack and nothing twice, whatever
//! became of them. Called by `tickforge redis rebuild`, beside a running daemon or not.
//!
//! A daemon's own deliveries are told from repeats by marks that are forgotten after `seen_ttl`.
//! Here older signals come, so the streams are read first, and what is in them is marked; the rest
//! is delivered as a daemon delivers. Works on a cluster, too: each call is about one stream.

use super::RedisSink;
use crate::config::RedisConfig;
use crate::keyspace::signals::{OUTCOMES, SignalStream};
use crate::keyspace::{Connection, explain, place};
use crate::metrics::Metrics;
use crate::outcome::record::OutcomeRecord;
use crate::publishers::{Concluded, Entry, SignalSink, SinkError};
use crate::signal::record::SignalRecord;
use ::redis::aio::ConnectionLike;
use ::redis::{RedisResult, pipe};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use uuid::Uuid;

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
    pub outcomes_already_there: usize,
    pub outcomes_appended: usize,
}

/// A stream, and the number in it of each id that it has.
struct There {
    stream: SignalStream,
    seq_by_id: HashMap<String, String>,
}

/// Appends what the streams lack of `records` and `outcomes`, in the order given. `producer` is
/// told from a daemon's own name by a `/`, which no daemon's name has.
pub async fn rebuild(
    config: &RedisConfig,
    producer: &str,
    records: Vec<SignalRecord>,
    outcomes: Vec<OutcomeRecord>,
) -> Result<Rebuilt, String> {
    let place = place(config);
    let mut connection = Connection::open(config).await?;
    let symbols: BTreeSet<&str> = records.iter().map(|r| r.symbol.as_str()).collect();
    let streams = symbols.into_iter().chain([OUTCOMES]).map(SignalStream::of);
    let mut there: HashMap<String, There> = HashMap::new();
    for stream in streams.chain([SignalStream::all()]) {
        let read = read(&mut connection, stream).await;
        let read = read.map_err(|e| explain(&place, &e))?;
        there.insert(read.stream.key.clone(), read);
    }
    let has = |key: &str, id: Uuid| {
        let stream = there.get(key);
        stream.is_some_and(|there| there.seq_by_id.contains_key(&id.to_string()))
    };
    let (all, ended) = (SignalStream::all().key, SignalStream::key_of(OUTCOMES));
    let (full, lacking): (Vec<_>, Vec<_>) = records.into_iter().partition(|record| {
        has(&SignalStream::key_of(&record.symbol), record.signal_id) && has(&all, record.signal_id)
    });
    let (told, untold): (Vec<_>, Vec<_>) = outcomes
        .into_iter()
        .partition(|record| has(&ended, record.signal_id));
    let rebuilt = Rebuilt {
        streams: there.len(),
        already_there: full.len(),
        appended: lacking.len(),
        outcomes_already_there: told.len(),
        outcomes_appended: untold.len(),
    };
    let wanted: HashSet<String> = lacking.iter().map(|r| r.signal_id.to_string()).collect();
    for there in there.values().filter(|there| there.stream.key != ended) {
        let marked = mark(&mut connection, config, there, &wanted).await;
        marked.map_err(|e| explain(&place, &e))?;
    }
    deliver(config, producer, lacking, untold).await?;
    Ok(rebuilt)
}

async fn read<C: ConnectionLike>(connection: &mut C, stream: SignalStream) -> RedisResult<There> {
    let mut seq_by_id = HashMap::new();
    let mut after = "0".to_owned();
    loop {
        let page = stream.read(connection, &after, PAGE).await?;
        let Some((last, _)) = page.last() else {
            return Ok(There { stream, seq_by_id });
        };
        after.clone_from(last);
        for (_, mut fields) in page {
            if let (Some(id), Some(seq)) = (fields.remove("signal_id"), fields.remove("seq")) {
                seq_by_id.insert(id, seq);
            }
        }
    }
}

/// Marks in a stream what it has of what is about to be delivered for the other one's sake.
async fn mark<C: ConnectionLike>(
    connection: &mut C,
    config: &RedisConfig,
    there: &There,
    wanted: &HashSet<String>,
) -> RedisResult<()> {
    let seconds = config.seen_ttl.as_secs().max(1);
    let has = there.seq_by_id.iter();
    let marks: Vec<_> = has.filter(|(id, _)| wanted.contains(*id)).collect();
    for page in marks.chunks(PAGE) {
        let mut pipeline = pipe();
        for (id, seq) in page {
            let set = pipeline.cmd("SET").arg(there.stream.seen(id)).arg(*seq);
            set.arg("EX").arg(seconds).arg("NX").ignore();
        }
        pipeline.query_async::<()>(connection).await?;
    }
    Ok(())
}

async fn deliver(
    config: &RedisConfig,
    producer: &str,
    records: Vec<SignalRecord>,
    outcomes: Vec<OutcomeRecord>,
) -> Result<(), String> {
    let behind = records.len() as u64;
    let numbered = records.into_iter().zip(1..);
    let entries: Vec<Entry> = numbered
        .map(|(record, seq)| Entry { seq, record })
        .collect();
    let numbered = outcomes.into_iter().zip(behind + 1..);
    let outcomes: Vec<Concluded> = numbered
        .map(|(record, seq)| Concluded { seq, record })
        .collect();
    let producer = format!("{producer}/rebuild");
    let mut sink = RedisSink::new(config.clone(), producer, Arc::new(Metrics::default()));
    let mut said = String::new();
    for _ in 0..ATTEMPTS {
        let done = match sink.deliver(&entries).await {
            Ok(()) if !outcomes.is_empty() => sink.conclude(&outcomes).await,
            other => other,
        };
        match done {
            Ok(()) => return Ok(()),
            // Emptied, or never seen before: what was delivered is recognised the next time.
            Err(SinkError::Behind { .. }) => {}
            Err(SinkError::Retry(text)) => said = text,
            Err(e @ SinkError::Refused { .. }) => return Err(e.to_string()),
        }
    }
    Err(said)
}
