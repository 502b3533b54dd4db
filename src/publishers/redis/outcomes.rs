//! What became of signals, as the stream `trading_signals:{outcomes}` (literal braces: a hash tag):
//! the keys of an outcome in the journal, beside `seq`, which has no hole until Redis is emptied.
//!
//! Called by the sink of signals, after them; a connection of its own.

use crate::config::RedisConfig;
use crate::keyspace::signals::SignalStream;
use crate::keyspace::{Connection, explain, place};
use crate::publishers::Concluded;
use ::redis::{Pipeline, RedisResult};
use serde_json::Value;

const APPEND: &str = include_str!("outcome.lua");

pub struct Outcomes {
    config: RedisConfig,
    stream: SignalStream,
    connection: Option<Connection>,
}

impl Outcomes {
    pub fn new(config: RedisConfig) -> Outcomes {
        Outcomes {
            config,
            stream: SignalStream::outcomes(),
            connection: None,
        }
    }

    /// Appends those that are not there. The error names the place and the remedy.
    pub async fn append(&mut self, outcomes: &[Concluded]) -> Result<(), String> {
        for part in outcomes.chunks(self.config.batch.max(1)) {
            let mut connection = match self.connection.take() {
                Some(connection) => connection,
                None => Connection::open(&self.config).await?,
            };
            let mut pipeline = Pipeline::with_capacity(part.len());
            part.iter().for_each(|one| self.add(&mut pipeline, one));
            let done: RedisResult<()> = pipeline.query_async(&mut connection).await;
            done.map_err(|e| explain(&place(&self.config), &e))?;
            self.connection = Some(connection);
        }
        Ok(())
    }

    fn add(&self, pipeline: &mut Pipeline, one: &Concluded) {
        let id = one.record.signal_id;
        let stream = &self.stream;
        pipeline.cmd("EVAL").arg(APPEND).arg(3).arg(&stream.key);
        pipeline.arg(&stream.seq).arg(stream.seen(id));
        pipeline.arg(self.config.signals_max_len.max(1));
        pipeline.arg(self.config.seen_ttl.as_secs().max(1));
        let record = serde_json::to_value(&one.record).unwrap_or_default();
        for (key, value) in record.as_object().into_iter().flatten() {
            let text = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            pipeline.arg(key).arg(text);
        }
        pipeline.ignore();
    }
}
