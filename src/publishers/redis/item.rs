//! What the sink appends, signals and outcomes: to which streams, and as which fields.

use crate::keyspace::signals::OUTCOMES;
use crate::publishers::{Concluded, Entry};
use serde::Serialize;
use uuid::Uuid;

/// The stream of all signals in the sink's list of streams.
pub(super) const ALL: &str = "";

/// What is appended to streams.
pub(super) trait Item {
    /// Its number in the journal.
    fn seq(&self) -> u64;
    fn id(&self) -> Uuid;
    /// By their names in the sink's list: a symbol, or one of the two that are none.
    fn streams(&self) -> impl Iterator<Item = &str>;
    fn fields(&self, sent_ns: i64) -> serde_json::Result<Vec<(String, String)>>;
}

impl Item for Entry {
    fn seq(&self) -> u64 {
        self.seq
    }
    fn id(&self) -> Uuid {
        self.record.signal_id
    }
    fn streams(&self) -> impl Iterator<Item = &str> {
        [self.record.symbol.as_str(), ALL].into_iter()
    }
    fn fields(&self, sent_ns: i64) -> serde_json::Result<Vec<(String, String)>> {
        let mut sent = self.record.clone();
        sent.latency_ns.decided_to_sent = sent_ns.saturating_sub(self.record.decided_ns());
        fields(&sent)
    }
}

impl Item for Concluded {
    fn seq(&self) -> u64 {
        self.seq
    }
    fn id(&self) -> Uuid {
        self.record.signal_id
    }
    fn streams(&self) -> impl Iterator<Item = &str> {
        std::iter::once(OUTCOMES)
    }
    fn fields(&self, _sent_ns: i64) -> serde_json::Result<Vec<(String, String)>> {
        fields(&self.record)
    }
}

/// An entry's fields: a string as it is, everything else as its JSON text (an absent price is
/// `null`).
fn fields(record: &impl Serialize) -> serde_json::Result<Vec<(String, String)>> {
    let serde_json::Value::Object(object) = serde_json::to_value(record)? else {
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
    use crate::signal::record::{LatencyNs, Quality, SignalRecord};
    use rust_decimal::Decimal;
    use serde_json::{Map, Value, json};

    fn record() -> SignalRecord {
        SignalRecord {
            schema: 1,
            signal_id: Uuid::from_u128(7),
            producer: "host1".to_owned(),
            shadow: false,
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
        let entry = Entry {
            seq: 1,
            record: record.clone(),
        };
        let fields = entry.fields(2_000).expect("a JSON object");
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
}
