//! The one schema of a signal: JSON keys = Redis fields = SQL columns. Off the hot path.

use super::Signal;
use crate::clock;
use crate::market::Instrument;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;
use uuid::Uuid;

/// Version of this schema.
pub const SCHEMA: u32 = 1;

/// What a strategy instance's signals have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct Described {
    /// The instance's name: the strategy's, where the configuration gives no other.
    pub strategy: Arc<str>,
    /// Author's version and digest of the code.
    pub version: String,
    /// All parameters, sorted by name, as a JSON object.
    pub parameters: Value,
    /// They are journalled and go nowhere else.
    pub shadow: bool,
}

/// Durations of the stages, ns; `None` where a stage has no stamp. No part of the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencyNs {
    pub exchange_to_recv: Option<i64>,
    pub recv_to_decoded: i64,
    pub decoded_to_decided: i64,
    pub decided_to_sent: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quality {
    pub epoch: u32,
    pub synced: bool,
    pub gaps: u32,
    pub inexact: u32,
}

/// A signal as it stands in the journal, one JSON object. Prices, strength and confidence are
/// strings with exact decimals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignalRecord {
    pub schema: u32,
    pub signal_id: Uuid,
    pub producer: String,
    pub strategy: String,
    /// Journalled, and shown to nobody else: on trial. Absent where it is published.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shadow: bool,
    pub strategy_version: String,
    pub parameters: Value,
    pub exchange: String,
    pub symbol: String,
    pub signal_type: String,
    pub source: String,
    pub strength: Decimal,
    pub confidence: Decimal,
    pub price: Decimal,
    pub target_price: Option<Decimal>,
    pub stop_loss_price: Option<Decimal>,
    pub take_profit_price: Option<Decimal>,
    pub reasoning: String,
    pub technical_indicators: Map<String, Value>,
    pub market_conditions: Map<String, Value>,
    pub data_quality: Quality,
    pub event_ns: i64,
    pub created_at: String,
    pub valid_until: String,
    /// Receipt of the frame that led to it, for measuring; no part of the decision.
    pub recv_ns: i64,
    pub latency_ns: LatencyNs,
}

impl SignalRecord {
    /// `sent_ns` is now: the moment it is handed to the journal.
    pub fn new(
        signal: &Signal,
        described: &Described,
        instrument: &Instrument,
        producer: &str,
        sent_ns: i64,
    ) -> Self {
        let t = &signal.timing;
        let decoded_ns = t.recv_ns + i64::from(t.decode_ns);
        SignalRecord {
            schema: SCHEMA,
            signal_id: signal.id,
            producer: producer.to_owned(),
            strategy: described.strategy.to_string(),
            shadow: described.shadow,
            strategy_version: described.version.clone(),
            parameters: described.parameters.clone(),
            exchange: instrument.exchange.to_owned(),
            symbol: instrument.symbol.clone(),
            signal_type: signal.signal_type.name().to_owned(),
            source: signal.source.name().to_owned(),
            strength: signal.strength.decimal(),
            confidence: signal.confidence.decimal(),
            price: signal.price,
            target_price: signal.target_price,
            stop_loss_price: signal.stop_loss_price,
            take_profit_price: signal.take_profit_price,
            reasoning: signal.reasoning.as_str().to_owned(),
            technical_indicators: object(&signal.indicators),
            market_conditions: object(&signal.conditions),
            data_quality: Quality {
                epoch: signal.quality.epoch,
                synced: signal.quality.synced,
                gaps: signal.quality.gaps,
                inexact: signal.quality.inexact,
            },
            event_ns: signal.event_ns,
            created_at: clock::rfc3339(signal.event_ns),
            valid_until: clock::rfc3339(signal.valid_until_ns),
            recv_ns: t.recv_ns,
            latency_ns: LatencyNs {
                exchange_to_recv: (t.exchange_ns != 0).then(|| t.recv_ns - t.exchange_ns),
                recv_to_decoded: i64::from(t.decode_ns),
                decoded_to_decided: t.decided_ns - decoded_ns,
                decided_to_sent: sent_ns - t.decided_ns,
            },
        }
    }

    /// When the decision left the engine, ns since the epoch.
    pub fn decided_ns(&self) -> i64 {
        self.recv_ns + self.latency_ns.recv_to_decoded + self.latency_ns.decoded_to_decided
    }
}

/// A value that is no number (a NaN out of an indicator) becomes null rather than invalid JSON.
fn object(features: &super::Features) -> Map<String, Value> {
    features
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Value::from(*value)))
        .collect()
}
