//! Signals to Redis streams: one for all, one for each symbol, each with a contiguous `seq`.
//!
//! Answers: is this signal in this stream already, and is this still the store that we wrote to?
//! Both are decided inside the server by one script (`append.lua`), so repeating a call that timed
//! out does no harm. A stream's `epoch` is a random name given when it was first seen empty: where
//! it is missing or another one, the store was emptied, and nothing is appended before the caller
//! starts again from its oldest signal. The hash `{trading_signals}:delivered` holds how far into
//! its journal each producer got, so that a store restored from an old backup is noticed.
//!
//! Called by the journal's follower on the publishers' runtime; it alone decides when to try again.

use super::outcomes::Outcomes;
use super::{explain, open, place};
use crate::clock;
use crate::config::RedisConfig;
use crate::metrics::Metrics;
use crate::publishers::{Concluded, Entry, SignalSink, SinkError};
use crate::signal::record::SignalRecord;
use ::redis::aio::MultiplexedConnection;
use ::redis::{ErrorKind, Pipeline, RedisError, RedisResult, Script, ServerErrorKind};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use uuid::Uuid;

const APPEND: &str = include_str!("append.lua");
/// Stream of all signals.
const ALL: &str = "trading_signals";
/// What the keys beside [`ALL`] begin with.
const ALL_HELPERS: &str = "{trading_signals}";
/// How long `tickforge:producer:NAME` outlives its producer.
const ALIVE_SECONDS: u64 = 15;
/// The script's answer where the stream's epoch is not the expected one.
const OTHER_EPOCH: i64 = -1;

pub struct RedisSink {
    config: RedisConfig,
    producer: String,
    metrics: Arc<Metrics>,
    place: String,
    script: Script,
    outcomes: Outcomes,
    connection: Option<MultiplexedConnection>,
    /// Epoch of each stream as this connection saw it, by what its helper keys begin with.
    epochs: HashMap<String, String>,
    /// The store's position was compared with ours on this connection.
    position_checked: bool,
    /// The store turned out to have only this much, and the caller does not know yet.
    behind: Option<u64>,
    /// Journal number and id of the newest signal that the store acknowledged.
    last: Option<(u64, Uuid)>,
}

impl RedisSink {
    pub fn new(config: RedisConfig, producer: String, metrics: Arc<Metrics>) -> RedisSink {
        RedisSink {
            place: place(&config),
            outcomes: Outcomes::new(config.clone()),
            config,
            producer,
            metrics,
            script: Script::new(APPEND),
            connection: None,
            epochs: HashMap::new(),
            position_checked: false,
            behind: None,
            last: None,
        }
    }

    /// Runs `pipeline`. After any failure the connection is given up, so that an answer that comes
    /// late is never taken for another call's.
    async fn call<T: ::redis::FromRedisValue>(
        &mut self,
        pipeline: &Pipeline,
    ) -> Result<T, SinkError> {
        let result = match &mut self.connection {
            Some(connection) => pipeline.query_async(connection).await,
            None => return Err(SinkError::Retry(format!("{}: not connected", self.place))),
        };
        result.map_err(|e| self.failed(&e))
    }

    fn failed(&mut self, error: &RedisError) -> SinkError {
        self.connection = None;
        SinkError::Retry(explain(&self.place, error))
    }

    /// Connects where needed and makes sure that the store is the one we know. `position` is the
    /// journal number up to which the caller believes it delivered, where it says so.
    async fn ready(&mut self, position: Option<u64>) -> Result<(), SinkError> {
        if self.connection.is_none() {
            let mut connection = open(&self.config).await.map_err(SinkError::Retry)?;
            let loaded = self
                .script
                .prepare_invoke()
                .load_async(&mut connection)
                .await;
            loaded.map_err(|e| self.failed(&e))?;
            self.connection = Some(connection);
            self.epochs.clear();
            self.position_checked = false;
        }
        if !self.epochs.contains_key(ALL_HELPERS)
            && self.learn_epochs(vec![ALL_HELPERS.to_owned()]).await?
        {
            self.behind = Some(0);
        }
        if let Some(position) = position
            && !self.position_checked
        {
            let stored = self.stored_position().await?;
            if stored < position {
                self.behind = Some(self.behind.map_or(stored, |has| has.min(stored)));
            }
            self.position_checked = true;
        }
        if let Some(has) = self.behind.take() {
            // What comes next starts at the oldest signal kept, which need not be the first ever.
            self.position_checked = true;
            self.last = None;
            return Err(SinkError::Behind { has });
        }
        Ok(())
    }

    /// Reads the epochs of these streams and gives one to each that has none; true if any had none.
    async fn learn_epochs(&mut self, helpers: Vec<String>) -> Result<bool, SinkError> {
        let mut pipeline = ::redis::pipe();
        let fresh: Vec<String> = helpers
            .iter()
            .map(|_| Uuid::new_v4().simple().to_string())
            .collect();
        for (helper, fresh) in helpers.iter().zip(&fresh) {
            pipeline
                .cmd("SET")
                .arg(format!("{helper}:epoch"))
                .arg(fresh)
                .arg("NX")
                .arg("GET");
        }
        let found: Vec<Option<String>> = self.call(&pipeline).await?;
        let any_new = found.iter().any(Option::is_none);
        for ((helper, fresh), found) in helpers.into_iter().zip(fresh).zip(found) {
            self.epochs.insert(helper, found.unwrap_or(fresh));
        }
        Ok(any_new)
    }

    /// How far into this producer's journal the store got, by its own account.
    async fn stored_position(&mut self) -> Result<u64, SinkError> {
        let mut pipeline = ::redis::pipe();
        pipeline
            .cmd("HGET")
            .arg(format!("{ALL_HELPERS}:delivered"))
            .arg(&self.producer);
        let (position,): (Option<u64>,) = self.call(&pipeline).await?;
        Ok(position.unwrap_or(0))
    }

    /// An epoch is gone or another one: learn the new one and tell the caller.
    async fn start_again(&mut self) -> Result<(), SinkError> {
        self.epochs.clear();
        self.behind = Some(0);
        self.ready(None).await
    }

    /// Appends `entries`, `before` of whose batch went before them, to both of their streams in one
    /// round trip.
    async fn append(&mut self, entries: &[Entry], before: usize) -> Result<(), SinkError> {
        let unknown: BTreeSet<String> = entries
            .iter()
            .map(|e| symbol_stream(&e.record.symbol))
            .filter(|helpers| !self.epochs.contains_key(helpers))
            .collect();
        if !unknown.is_empty() {
            // A symbol's first signal: its stream is new, and nothing was lost.
            self.learn_epochs(unknown.into_iter().collect()).await?;
        }
        let pipeline = self.appends(entries, before)?;
        let mut answers: Vec<RedisResult<i64>> = self.call(&pipeline).await?;
        if answers.iter().any(script_is_missing) {
            // SCRIPT FLUSH; whatever went through before it is not doubled by asking again.
            let mut load = ::redis::pipe();
            load.cmd("SCRIPT").arg("LOAD").arg(APPEND);
            self.call::<()>(&load).await?;
            answers = self.call(&pipeline).await?;
        }
        for answer in answers {
            match answer {
                Ok(OTHER_EPOCH) => return self.start_again().await,
                Ok(_) => {}
                Err(e) => return Err(self.failed(&e)),
            }
        }
        self.last = entries.last().map(|e| (e.seq, e.record.signal_id));
        Ok(())
    }

    fn appends(&self, entries: &[Entry], before: usize) -> Result<Pipeline, SinkError> {
        let mut pipeline = Pipeline::with_capacity(entries.len() * 2);
        pipeline.ignore_errors();
        let sent_ns = clock::now_ns();
        for (index, entry) in entries.iter().enumerate() {
            let fields = fields(&entry.record, sent_ns).map_err(|e| SinkError::Refused {
                index: before + index,
                reason: e.to_string(),
            })?;
            let symbol = symbol_stream(&entry.record.symbol);
            // The stream of all comes last: it notes how far the store got, in both.
            self.append_to(&mut pipeline, &symbol, &symbol, entry, &fields);
            self.append_to(&mut pipeline, ALL, ALL_HELPERS, entry, &fields);
        }
        Ok(pipeline)
    }

    fn append_to(
        &self,
        pipeline: &mut Pipeline,
        stream: &str,
        helpers: &str,
        entry: &Entry,
        fields: &[(String, String)],
    ) {
        let keys = if stream == ALL { 5 } else { 4 };
        pipeline
            .cmd("EVALSHA")
            .arg(self.script.get_hash())
            .arg(keys)
            .arg(stream);
        pipeline
            .arg(format!("{helpers}:seq"))
            .arg(format!("{helpers}:epoch"));
        pipeline.arg(format!("{helpers}:seen:{}", entry.record.signal_id));
        if stream == ALL {
            pipeline.arg(format!("{helpers}:delivered"));
        }
        // A stream that is not in the map has no epoch that could match: the script then says so.
        pipeline.arg(self.epochs.get(helpers).map_or("", String::as_str));
        pipeline
            .arg(self.config.signals_max_len.max(1))
            .arg(self.config.seen_ttl.as_secs().max(1));
        pipeline.arg(&self.producer).arg(entry.seq).arg(fields);
    }

    fn alive(&self) -> Pipeline {
        let engine = &self.metrics.engine;
        let last_signal_id = self.last.map(|(_, id)| id.to_string()).unwrap_or_default();
        let key = format!("tickforge:producer:{}", self.producer);
        let mut pipeline = ::redis::pipe();
        pipeline.atomic().cmd("HSET").arg(&key);
        pipeline.arg("version").arg(env!("CARGO_PKG_VERSION"));
        pipeline
            .arg("last_event_ns")
            .arg(engine.last_event_ns.get());
        pipeline.arg("last_signal_id").arg(last_signal_id);
        pipeline.arg("books_synced").arg(engine.books_synced.get());
        pipeline
            .arg("books_stale")
            .arg(engine.books_stale.get())
            .ignore();
        pipeline.cmd("EXPIRE").arg(&key).arg(ALIVE_SECONDS).ignore();
        pipeline.cmd("GET").arg(format!("{ALL_HELPERS}:epoch"));
        pipeline
    }
}

impl SignalSink for RedisSink {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn resume(&mut self, last: &Entry) {
        self.last = Some((last.seq, last.record.signal_id));
    }

    async fn deliver(&mut self, entries: &[Entry]) -> Result<(), SinkError> {
        let Some(first) = entries.first() else {
            return Ok(());
        };
        // Outcomes have numbers of the journal, too, which this account knows nothing of.
        let before = first.seq.saturating_sub(1);
        self.ready(Some(self.last.map_or(before, |(seq, _)| seq)))
            .await?;
        let mut before = 0;
        for batch in entries.chunks(self.config.batch.max(1)) {
            self.append(batch, before).await?;
            before += batch.len();
        }
        Ok(())
    }

    async fn conclude(&mut self, outcomes: &[Concluded]) -> Result<(), SinkError> {
        self.outcomes
            .append(outcomes)
            .await
            .map_err(SinkError::Retry)
    }

    /// Says that this producer lives, and notices an emptied store though there is nothing to send.
    async fn idle(&mut self) -> Result<(), SinkError> {
        self.ready(self.last.map(|(seq, _)| seq)).await?;
        let pipeline = self.alive();
        let (epoch,): (Option<String>,) = self.call(&pipeline).await?;
        if epoch.as_ref() != self.epochs.get(ALL_HELPERS) {
            return self.start_again().await;
        }
        Ok(())
    }
}

/// A symbol's stream; its helper keys begin with the same text.
fn symbol_stream(symbol: &str) -> String {
    format!("{ALL}:{{{symbol}}}")
}

fn script_is_missing(answer: &RedisResult<i64>) -> bool {
    matches!(answer, Err(e) if e.kind() == ErrorKind::Server(ServerErrorKind::NoScript))
}

/// An entry's fields: a string as it is, everything else as its JSON text (an absent price is
/// `null`).
fn fields(record: &SignalRecord, sent_ns: i64) -> serde_json::Result<Vec<(String, String)>> {
    let mut sent = record.clone();
    sent.latency_ns.decided_to_sent = sent_ns.saturating_sub(record.decided_ns());
    let serde_json::Value::Object(object) = serde_json::to_value(&sent)? else {
        return Ok(Vec::new());
    };
    let text = |value| match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(object
        .into_iter()
        .map(|(key, value)| (key, text(value)))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::record::{LatencyNs, Quality};
    use rust_decimal::Decimal;
    use serde_json::{Map, Value, json};

    fn record() -> SignalRecord {
        SignalRecord {
            schema: 1,
            signal_id: Uuid::from_u128(7),
            producer: "host1".to_owned(),
            strategy: "ema_cross".to_owned(),
            strategy_version: "1+0badcafe".to_owned(),
            parameters: json!({"fast": 12}),
            exchange: "binance".to_owned(),
            symbol: "BTC/USDT".to_owned(),
            signal_type: "buy".to_owned(),
            source: "technical_analysis".to_owned(),
            strength: Decimal::new(70, 2),
            confidence: Decimal::new(5, 1),
            price: Decimal::new(4_500_050, 2),
            target_price: Some(Decimal::new(46_000, 0)),
            stop_loss_price: None,
            take_profit_price: None,
            reasoning: "fast \"over\" slow".to_owned(),
            technical_indicators: Map::from_iter([("ema".to_owned(), Value::from(1.5))]),
            market_conditions: Map::new(),
            data_quality: Quality {
                epoch: 1,
                synced: true,
                gaps: 0,
                inexact: 0,
            },
            event_ns: 1_000,
            created_at: "1970-01-01T00:00:00.000001Z".to_owned(),
            valid_until: "1970-01-01T00:01:00Z".to_owned(),
            recv_ns: 1_100,
            latency_ns: LatencyNs {
                exchange_to_recv: Some(100),
                recv_to_decoded: 10,
                decoded_to_decided: 5,
                decided_to_sent: 1,
            },
        }
    }

    #[test]
    fn fields_are_the_journals_keys_and_read_back() {
        let record = record();
        let fields = fields(&record, 2_000).expect("a JSON object");
        let journal = serde_json::to_value(&record).expect("JSON");
        let journal = journal.as_object().expect("an object");
        assert!(fields.iter().map(|(key, _)| key).eq(journal.keys()));
        for (key, text) in &fields {
            match &journal[key] {
                Value::String(value) => assert_eq!(text, value),
                _ if key == "latency_ns" => {
                    let sent: LatencyNs = serde_json::from_str(text).expect("JSON text");
                    let expected = LatencyNs {
                        decided_to_sent: 885,
                        ..record.latency_ns
                    };
                    assert_eq!(sent, expected);
                }
                value => {
                    assert_eq!(
                        &serde_json::from_str::<Value>(text).expect("JSON text"),
                        value
                    );
                }
            }
        }
    }

    #[test]
    fn the_keys_of_a_stream_share_one_hash_tag() {
        fn tag(key: &str) -> &str {
            let inside = key
                .split_once('{')
                .and_then(|(_, rest)| rest.split_once('}'));
            inside.map_or(key, |(tag, _)| tag)
        }
        let symbol = symbol_stream("BTC/USDT");
        assert_eq!(symbol, "trading_signals:{BTC/USDT}");
        assert_eq!(tag(&format!("{symbol}:seq")), tag(&symbol));
        assert_eq!(tag(&format!("{ALL_HELPERS}:seq")), tag(ALL));
    }
}
