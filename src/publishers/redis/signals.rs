//! Signals to Redis streams: one for all, one for each symbol, and what became of them to another
//! (`trading_signals:{outcomes}`), each with a contiguous `seq`.
//!
//! Answers: is this one in this stream already, and does the stream still have all that it
//! acknowledged? Both are decided inside the server by one script (`append.lua`), so repeating a
//! call that timed out does no harm. A stream's `epoch` is a random name given when it was first
//! seen empty: where it is missing or another one, the stream was emptied. Its hash `:delivered`
//! holds how far into its journal each producer got, so that a stream restored from an old
//! backup, or failed over to a copy that lagged, is noticed. On a cluster each stream may be on
//! another node: each has its own account, and only a stream that lost something gets it again.
//!
//! Called by the journal's follower on the publishers' runtime; it alone decides when to try again.

use super::item::{ALL, Item};
use crate::clock;
use crate::config::RedisConfig;
use crate::keyspace::signals::{Producer, SignalStream, delivered_by};
use crate::keyspace::{Answers, Batch, Connection, explain, place};
use crate::metrics::Metrics;
use crate::publishers::{Concluded, Entry, SignalSink, SinkError};
use ::redis::{ErrorKind, Pipeline, RedisError, RedisResult, Script, ServerErrorKind, Value, cmd};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use uuid::Uuid;

/// The script that appends one signal or outcome to one stream.
pub const APPEND: &str = include_str!("append.lua");
/// How many batches a call of the follower should hold: while the server works on one, the next is
/// prepared.
pub const BATCHES_AHEAD: usize = 8;
/// The script's answer where the stream's epoch is not the expected one, and below it where the
/// stream has lost a tail.
const OTHER_EPOCH: i64 = -1;
/// Streams, that of all apart, that are looked at in one keep-alive, in turn.
const LOOKED_AT_ONCE: usize = 64;

pub struct RedisSink {
    config: RedisConfig,
    producer: String,
    metrics: Arc<Metrics>,
    place: String,
    script: Script,
    connection: Option<Connection>,
    /// All that this producer ever wrote to, by the names of [`Item::streams`].
    streams: BTreeMap<String, Known>,
    /// The streams were compared with what we know on this connection.
    looked: bool,
    /// Whose turn it is in the next keep-alive.
    turn: usize,
    /// The store turned out to have only this much, and the caller does not know yet.
    behind: Option<u64>,
    /// Journal number and id of the newest signal that the store acknowledged.
    last: Option<(u64, Uuid)>,
    /// Up to here in this journal an earlier run got everything acknowledged.
    resumed: u64,
}

/// A stream as this sink left it.
struct Known {
    stream: SignalStream,
    epoch: String,
    /// Number in the journal up to which it must have its signals.
    had: u64,
    /// Acknowledged by this stream, in this run or before it: needs no repeat, though the marks of
    /// its ids may be forgotten.
    sent: u64,
}

impl RedisSink {
    pub fn new(config: RedisConfig, producer: String, metrics: Arc<Metrics>) -> RedisSink {
        RedisSink {
            place: place(&config),
            config,
            producer,
            metrics,
            script: Script::new(APPEND),
            connection: None,
            streams: BTreeMap::new(),
            looked: false,
            turn: 0,
            behind: None,
            last: None,
            resumed: 0,
        }
    }

    fn batch(&self) -> Result<Batch, SinkError> {
        Ok(Batch::new(self.connected()?))
    }

    fn connected(&self) -> Result<&Connection, SinkError> {
        let away = || SinkError::Retry(format!("{}: not connected", self.place));
        self.connection.as_ref().ok_or_else(away)
    }

    /// Sends `batch`. After any failure the connection is given up, so that an answer that comes
    /// late is never taken for another call's, and Sentinel is asked again.
    async fn send(&mut self, batch: &Batch) -> Result<Answers, SinkError> {
        let answers = batch.send(self.connected()?).await;
        answers.map_err(|e| self.failed(&e))
    }

    fn failed(&mut self, error: &RedisError) -> SinkError {
        self.connection = None;
        SinkError::Retry(explain(&self.place, error))
    }

    /// Connects where needed and makes sure that the store is the one we know. `position` is the
    /// journal number up to which the caller believes it delivered, where it says so.
    async fn ready(&mut self, position: Option<u64>) -> Result<(), SinkError> {
        if self.connection.is_none() {
            let connection = Connection::open(&self.config).await;
            self.connection = Some(connection.map_err(SinkError::Retry)?);
            self.load().await?;
            self.looked = false;
        }
        if !self.looked {
            let all = self.known(ALL);
            if all.sent == 0 {
                // What an earlier run left: of this one we know better (some may have been
                // refused).
                all.had = all.had.max(position.unwrap_or(0));
            }
            let names = self.streams.keys().cloned().collect();
            self.look(names).await?;
            self.looked = true;
        }
        self.told()
    }

    /// Says once what was found lost. What comes next starts behind it, or at the oldest signal
    /// kept.
    fn told(&mut self) -> Result<(), SinkError> {
        match self.behind.take() {
            None => Ok(()),
            Some(has) => {
                self.last = None;
                Err(SinkError::Behind { has })
            }
        }
    }

    async fn load(&mut self) -> Result<(), SinkError> {
        let mut connection = self.connected()?.clone();
        let mut load = cmd("SCRIPT");
        let loaded = load
            .arg("LOAD")
            .arg(APPEND)
            .exec_async(&mut connection)
            .await;
        loaded.map_err(|e| self.failed(&e))
    }

    fn known(&mut self, symbol: &str) -> &mut Known {
        self.streams
            .entry(symbol.to_owned())
            .or_insert_with(|| Known {
                stream: if symbol == ALL {
                    SignalStream::all()
                } else {
                    SignalStream::of(symbol)
                },
                epoch: String::new(),
                had: 0,
                sent: 0,
            })
    }

    /// Compares these streams with what we know of them, gives an epoch to each that has none, and
    /// notes in `behind` what they lost.
    async fn look(&mut self, symbols: Vec<String>) -> Result<(), SinkError> {
        let mut batch = self.batch()?;
        let claims = delivered_by(&self.producer);
        let mut places = Vec::with_capacity(symbols.len());
        for symbol in &symbols {
            let fresh = Uuid::new_v4().simple().to_string();
            let producer = self.producer.clone();
            let known = self.known(symbol);
            let account = batch.add(&known.stream.key, |pipeline| {
                let set = pipeline.cmd("SET").arg(&known.stream.epoch).arg(&fresh);
                set.arg("NX").arg("GET");
                pipeline
                    .cmd("HGET")
                    .arg(&known.stream.delivered)
                    .arg(producer);
            });
            let claim = batch.add(&claims, |pipeline| {
                pipeline.cmd("HGET").arg(&claims).arg(symbol);
            });
            places.push((fresh, account, claim));
        }
        let answers = self.send(&batch).await?;
        for (symbol, (fresh, account, claim)) in symbols.iter().zip(places) {
            let read = read_account(answers.of(account), answers.of(claim));
            let (epoch, has, claim) = read.map_err(|e| self.failed(&e))?;
            self.compare(symbol, epoch, fresh, has, claim);
        }
        Ok(())
    }

    /// Draws the consequences of a stream's own account: `found`, its epoch, and `has`, how far it
    /// says that it got; `claim`, how far it got by what the stream of all was told.
    fn compare(
        &mut self,
        symbol: &str,
        found: Option<String>,
        fresh: String,
        has: u64,
        claim: Option<u64>,
    ) {
        let resumed = self.resumed;
        let known = self.known(symbol);
        let first = known.epoch.is_empty();
        let same = found.as_ref().is_some_and(|e| first || *e == known.epoch);
        let has = if same { has } else { 0 };
        if first {
            known.had = known.had.max(claim.unwrap_or(0));
            // Its account alone would not do: the journal may be another one than it counted in.
            known.sent = has.min(resumed);
        }
        // A store that begins: nothing that we know of is gone, but then we may not know.
        let begins = symbol == ALL && found.is_none();
        known.epoch = found.unwrap_or(fresh);
        if has < known.had || begins {
            (known.had, known.sent) = (has, known.sent.min(has));
            self.behind = Some(self.behind.map_or(has, |other| other.min(has)));
        }
    }

    /// A stream said that it is not as we left it: learn how it is with all of them, as more may
    /// have been on the same node, and tell the caller.
    async fn start_again(&mut self) -> Result<(), SinkError> {
        let names = self.streams.keys().cloned().collect();
        self.look(names).await?;
        self.told()?;
        let reason = "its streams began anew; nothing is lost";
        Err(SinkError::Retry(format!("{}: {reason}", self.place)))
    }

    /// Makes sure that the streams of all these are known.
    async fn meet<T: Item>(&mut self, entries: &[T]) -> Result<(), SinkError> {
        let unknown = |name: &&str| {
            let known = self.streams.get(*name);
            known.is_none_or(|known| known.epoch.is_empty())
        };
        let names = entries.iter().flat_map(Item::streams);
        let unknown: BTreeSet<&str> = names.filter(unknown).collect();
        if !unknown.is_empty() {
            self.look(unknown.into_iter().map(str::to_owned).collect())
                .await?;
        }
        self.told()
    }

    /// Appends all to each of their streams, a batch in each round trip. While the server works on
    /// one batch, the next is prepared.
    async fn append<T: Item>(&mut self, entries: &[T]) -> Result<(), SinkError> {
        let size = self.config.batch.max(1);
        // The newest sent by stream: what the next one must find there.
        let mut newest = BTreeMap::new();
        let mut chunks = entries.chunks(size).enumerate().map(|(n, c)| (n * size, c));
        let mut next = chunks.next().map(|c| (c.1, self.prepare(c, &mut newest)));
        while let Some((chunk, batch)) = next {
            let (batch, connection) = (batch?, self.connected()?.clone());
            let prepare = async {
                // The connection's task writes the batch first.
                tokio::task::yield_now().await;
                let chunk = chunks.next()?;
                Some((chunk.1, self.prepare(chunk, &mut newest)))
            };
            let (answers, prepared) = tokio::join!(batch.send(&connection), prepare);
            let answers = answers.map_err(|e| self.failed(&e))?;
            self.appended(chunk, &batch, answers).await?;
            next = prepared;
        }
        Ok(())
    }

    /// Judges what the server said to a batch.
    async fn appended<T: Item>(
        &mut self,
        entries: &[T],
        batch: &Batch,
        mut answers: Answers,
    ) -> Result<(), SinkError> {
        if answers.iter().any(script_is_missing) {
            // SCRIPT FLUSH, or a replica that became master; whatever went through before it is not
            // doubled by asking again.
            self.load().await?;
            answers = self.send(batch).await?;
        }
        for answer in answers.iter() {
            match value::<i64>(answer) {
                Ok(..=OTHER_EPOCH) => return self.start_again().await,
                Ok(_) => {}
                Err(e) => return Err(self.failed(&e)),
            }
        }
        for entry in entries {
            for name in entry.streams() {
                if let Some(known) = self.streams.get_mut(name) {
                    known.sent = known.sent.max(entry.seq());
                    known.had = known.sent;
                }
            }
        }
        Ok(())
    }

    /// The calls that append a chunk, which so many of the caller's entries go before.
    fn prepare<'e, T: Item>(
        &self,
        (before, entries): (usize, &'e [T]),
        newest: &mut BTreeMap<&'e str, u64>,
    ) -> Result<Batch, SinkError> {
        let mut batch = self.batch()?;
        let sent_ns = clock::now_ns();
        let mut claims: BTreeMap<&str, u64> = BTreeMap::new();
        for (index, entry) in entries.iter().enumerate() {
            let fields = entry.fields(sent_ns).map_err(|e| SinkError::Refused {
                index: before + index,
                reason: e.to_string(),
            })?;
            for name in entry.streams() {
                let Some(known) = self.streams.get(name).filter(|k| k.sent < entry.seq()) else {
                    continue;
                };
                let previous = newest.insert(name, entry.seq()).unwrap_or(known.had);
                batch.add(&known.stream.key, |pipeline| {
                    self.append_to(pipeline, known, entry, previous, &fields);
                });
                claims.insert(name, entry.seq());
            }
        }
        claims.remove(ALL);
        if !claims.is_empty() {
            let key = delivered_by(&self.producer);
            let claims: Vec<(&str, u64)> = claims.into_iter().collect();
            batch.add(&key, |pipeline| {
                pipeline.cmd("HSET").arg(&key).arg(claims);
            });
        }
        Ok(batch)
    }

    fn append_to(
        &self,
        pipeline: &mut Pipeline,
        known: &Known,
        entry: &impl Item,
        previous: u64,
        fields: &[(String, String)],
    ) {
        let stream = &known.stream;
        pipeline.cmd("EVALSHA").arg(self.script.get_hash()).arg(5);
        pipeline
            .arg(&stream.key)
            .arg(&stream.seq)
            .arg(&stream.epoch);
        pipeline.arg(stream.seen(entry.id())).arg(&stream.delivered);
        pipeline.arg(&known.epoch);
        pipeline.arg(self.config.signals_max_len.max(1));
        pipeline.arg(self.config.seen_ttl.as_secs().max(1));
        pipeline
            .arg(&self.producer)
            .arg(entry.seq())
            .arg(previous)
            .arg(fields);
    }

    /// What other programs may read about this producer.
    fn alive(&self) -> Producer {
        let engine = &self.metrics.engine;
        Producer {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            last_event_ns: engine.last_event_ns.get() as i64,
            last_signal_id: self.last.map(|(_, id)| id),
            books_synced: engine.books_synced.get(),
            books_stale: engine.books_stale.get(),
        }
    }

    /// The stream of all, and some of the others in turn.
    fn in_turn(&mut self) -> Vec<String> {
        let symbols = self.streams.len().saturating_sub(1);
        let turn = self.turn;
        self.turn = (turn + LOOKED_AT_ONCE) % symbols.max(1);
        let names = self.streams.keys().skip(1).cycle().skip(turn);
        let names = names.take(symbols.min(LOOKED_AT_ONCE)).cloned();
        std::iter::once(ALL.to_owned()).chain(names).collect()
    }
}

impl SignalSink for RedisSink {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn resume(&mut self, taken: u64, last: &Entry) {
        self.last = Some((last.seq, last.record.signal_id));
        self.resumed = taken;
    }

    async fn deliver(&mut self, entries: &[Entry]) -> Result<(), SinkError> {
        let Some(first) = entries.first() else {
            return Ok(());
        };
        // Outcomes have numbers of the journal, too, which this account knows nothing of.
        let before = first.seq.saturating_sub(1);
        self.ready(Some(self.last.map_or(before, |(seq, _)| seq)))
            .await?;
        self.meet(entries).await?;
        self.append(entries).await?;
        self.last = entries.last().map(|e| (e.seq, e.record.signal_id));
        Ok(())
    }

    async fn conclude(&mut self, outcomes: &[Concluded]) -> Result<(), SinkError> {
        self.ready(self.last.map(|(seq, _)| seq)).await?;
        self.meet(outcomes).await?;
        self.append(outcomes).await
    }

    /// Says that this producer lives, and notices a loss though there is nothing to send.
    async fn idle(&mut self) -> Result<(), SinkError> {
        self.ready(self.last.map(|(seq, _)| seq)).await?;
        let mut batch = Batch::transaction(self.connected()?);
        batch.add(&Producer::key(&self.producer), |pipeline| {
            self.alive().put(pipeline, &self.producer);
        });
        let answers = self.send(&batch).await?;
        if let Some(e) = answers.iter().find_map(|answer| answer.as_ref().err()) {
            return Err(self.failed(e));
        }
        let names = self.in_turn();
        self.look(names).await?;
        self.told()
    }
}

/// A stream's epoch, how far it says that this producer got, and how far it got by the claim.
fn read_account(
    account: &[RedisResult<Value>],
    claim: &[RedisResult<Value>],
) -> RedisResult<(Option<String>, u64, Option<u64>)> {
    let ([epoch, has], [claim]) = (account, claim) else {
        return Ok((None, 0, None));
    };
    let has: Option<u64> = value(has)?;
    Ok((value(epoch)?, has.unwrap_or(0), value(claim)?))
}

fn value<T: ::redis::FromRedisValue>(answer: &RedisResult<Value>) -> RedisResult<T> {
    let value = answer.as_ref().map_err(RedisError::clone)?;
    Ok(::redis::from_redis_value_ref(value)?)
}

fn script_is_missing(answer: &RedisResult<Value>) -> bool {
    matches!(answer, Err(e) if e.kind() == ErrorKind::Server(ServerErrorKind::NoScript))
}
