//! The one schema of an outcome: JSON in the journal = fields in Redis; in SQL it stands in
//! `trading_signals.market_conditions` under `outcome`, and by its two numbers in their columns.
//! Off the hot path.

use super::{Open, Outcome, cut, score};
use crate::clock;
use crate::market::Instrument;
use crate::signal::record::SignalRecord;
use crate::signal::{Percent, SignalType};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Version of this schema.
pub const SCHEMA: u32 = 1;
/// The value of [`OutcomeRecord::record`], which no signal has.
const OUTCOME: &str = "outcome";
/// How an outcome in the journal begins.
const BEGINS: &[u8] = br#"{"record":"outcome","#;

/// Whether the market was seen from the decision to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Neither of the two below: the outcome is what the market did.
    pub complete: bool,
    /// Breaks of the instrument's data in between (a lost connection, a hole in the sequence).
    pub gaps: u32,
    /// The daemon was started anew in between.
    pub restarted: bool,
}

/// An outcome as it stands in the journal, one JSON object that begins with `record`. Prices and
/// numbers are strings with exact decimals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutcomeRecord {
    /// Always `outcome`.
    pub record: String,
    pub schema: u32,
    pub signal_id: Uuid,
    pub producer: String,
    pub strategy: String,
    /// As the signal's: journalled, and shown to nobody else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shadow: bool,
    pub exchange: String,
    pub symbol: String,
    pub signal_type: String,
    pub confidence: Decimal,
    /// `stop_loss`, `take_profit`, `target` or `expired`.
    pub ending: String,
    /// The market at the decision, and at the end; `null` where that was not seen.
    pub price: Decimal,
    pub exit_price: Option<Decimal>,
    /// The market's change, percent: to 28 digits, and as its column holds it.
    pub change_percent: Option<Decimal>,
    pub actual_outcome: Option<Decimal>,
    pub accuracy_score: Option<Decimal>,
    pub data_quality: Seen,
    /// The decision's event, ns.
    pub signal_ns: i64,
    /// The end, ns, and the same as text.
    pub event_ns: i64,
    pub ended_at: String,
    pub valid_until: String,
}

impl OutcomeRecord {
    pub fn new(outcome: &Outcome, instrument: &Instrument, producer: &str) -> Self {
        let open = &outcome.open;
        OutcomeRecord {
            record: OUTCOME.to_owned(),
            schema: SCHEMA,
            signal_id: open.signal_id,
            producer: producer.to_owned(),
            strategy: open.strategy.as_str().to_owned(),
            shadow: open.shadow,
            exchange: instrument.exchange.to_owned(),
            symbol: instrument.symbol.clone(),
            signal_type: open.signal_type.name().to_owned(),
            confidence: open.confidence.decimal(),
            ending: outcome.ending.name().to_owned(),
            price: open.price,
            exit_price: outcome.exit_price,
            change_percent: score::change_percent(outcome),
            actual_outcome: score::actual_outcome(outcome),
            accuracy_score: score::accuracy(outcome),
            data_quality: Seen {
                complete: outcome.gaps == 0 && !open.resumed,
                gaps: outcome.gaps,
                restarted: open.resumed,
            },
            signal_ns: open.event_ns,
            event_ns: outcome.ended_ns,
            ended_at: clock::rfc3339(outcome.ended_ns),
            valid_until: clock::rfc3339(open.valid_until_ns),
        }
    }

    /// Whether a payload of the journal is an outcome, and not a signal.
    pub fn is(payload: &[u8]) -> bool {
        payload.starts_with(BEGINS)
    }
}

impl Open {
    /// A signal out of the journal of a run before this one. `None` where it is not of this
    /// version.
    pub fn resumed(record: &SignalRecord) -> Option<Open> {
        let hundredths = (record.confidence * Decimal::ONE_HUNDRED).to_f64()?;
        Some(Open {
            signal_id: record.signal_id,
            strategy: cut(&record.strategy),
            signal_type: SignalType::from_name(&record.signal_type)?,
            confidence: Percent::of(hundredths / 100.0),
            price: record.price,
            target_price: record.target_price,
            stop_loss_price: record.stop_loss_price,
            take_profit_price: record.take_profit_price,
            event_ns: record.event_ns,
            valid_until_ns: clock::parse_rfc3339(&record.valid_until)?,
            shadow: record.shadow,
            resumed: true,
        })
    }
}
