//! Who wants to be told of which signal? [`Preferences`] are the key `signals` of a user's
//! `notification_preferences`:
//!
//! ```json
//! {"signals": {"enabled": true, "min_confidence": 0.7, "min_strength": 0.5,
//!              "symbols": ["BTC/USDT", "*/EUR"], "exchanges": ["binance"],
//!              "strategies": ["ema_cross"], "types": ["buy", "strong_buy"],
//!              "channels": ["telegram", "redis"]}}
//! ```
//!
//! Each may be left out: on; no least value; all symbols, exchanges, strategies and types; the
//! channel `redis`. `*` in a symbol stands for any run of characters. Unknown keys are errors, so
//! that a wrong one never widens what is sent. Knows no store.

use crate::market::matches;
use crate::signal::record::SignalRecord;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// The document's `notification_channel`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type,
)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "notification_channel", rename_all = "snake_case")]
pub enum Channel {
    Telegram,
    Email,
    Push,
    Redis,
}

impl Channel {
    pub const fn name(self) -> &'static str {
        match self {
            Channel::Telegram => "telegram",
            Channel::Email => "email",
            Channel::Push => "push",
            Channel::Redis => "redis",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Preferences {
    enabled: bool,
    min_confidence: Decimal,
    min_strength: Decimal,
    symbols: Option<Vec<String>>,
    exchanges: Option<Vec<String>>,
    strategies: Option<Vec<String>>,
    types: Option<Vec<String>>,
    channels: Vec<Channel>,
}

impl Default for Preferences {
    fn default() -> Self {
        Preferences {
            enabled: true,
            min_confidence: Decimal::ZERO,
            min_strength: Decimal::ZERO,
            symbols: None,
            exchanges: None,
            strategies: None,
            types: None,
            channels: vec![Channel::Redis],
        }
    }
}

impl Preferences {
    /// `text` is JSON: the value of the key `signals`.
    pub fn parse(text: &str) -> Result<Preferences, String> {
        let mut read: Preferences = serde_json::from_str(text).map_err(|e| e.to_string())?;
        read.channels.sort_unstable();
        read.channels.dedup();
        Ok(read)
    }

    /// The channels by which this signal is to be told; none where it is not wanted.
    pub fn channels(&self, signal: &SignalRecord) -> &[Channel] {
        let among = |list: &Option<Vec<String>>, name: &str| {
            list.as_ref().is_none_or(|l| l.iter().any(|n| n == name))
        };
        let wanted = self.enabled
            && signal.confidence >= self.min_confidence
            && signal.strength >= self.min_strength
            && among(&self.exchanges, &signal.exchange)
            && among(&self.strategies, &signal.strategy)
            && among(&self.types, &signal.signal_type)
            && self
                .symbols
                .as_ref()
                .is_none_or(|all| all.iter().any(|p| matches(p, &signal.symbol)));
        if wanted { &self.channels } else { &[] }
    }
}

/// What is told of a signal: the payload of its row, and the entry of the list in Redis.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Notification<'a> {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub signal_id: uuid::Uuid,
    pub strategy: &'a str,
    pub exchange: &'a str,
    pub symbol: &'a str,
    pub signal_type: &'a str,
    pub strength: Decimal,
    pub confidence: Decimal,
    pub price: Decimal,
    pub target_price: Option<Decimal>,
    pub stop_loss_price: Option<Decimal>,
    pub take_profit_price: Option<Decimal>,
    pub reasoning: &'a str,
    pub created_at: &'a str,
    pub valid_until: &'a str,
}

/// The `type` of these notifications.
pub const KIND: &str = "signal";

impl<'a> Notification<'a> {
    pub fn of(s: &'a SignalRecord) -> Self {
        Notification {
            kind: KIND,
            signal_id: s.signal_id,
            strategy: &s.strategy,
            exchange: &s.exchange,
            symbol: &s.symbol,
            signal_type: &s.signal_type,
            strength: s.strength,
            confidence: s.confidence,
            price: s.price,
            target_price: s.target_price,
            stop_loss_price: s.stop_loss_price,
            take_profit_price: s.take_profit_price,
            reasoning: &s.reasoning,
            created_at: &s.created_at,
            valid_until: &s.valid_until,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publishers::journal::sample;

    #[test]
    fn a_signal_is_told_to_those_who_want_it() {
        // ema_cross on binance BTC/USDT: buy, strength 0.5, confidence 0.75.
        let signal = sample::record(1);
        let told = |text: &str| {
            let preferences = Preferences::parse(text).expect(text);
            let names = preferences.channels(&signal).iter().map(|c| c.name());
            names.collect::<Vec<_>>().join(" ")
        };
        for (text, expected) in [
            ("{}", "redis"),
            (
                r#"{"channels":["redis","telegram","redis"]}"#,
                "telegram redis",
            ),
            (r#"{"channels":[]}"#, ""),
            (r#"{"enabled":false}"#, ""),
            (r#"{"min_confidence":0.75}"#, "redis"),
            (r#"{"min_confidence":0.76}"#, ""),
            (r#"{"min_strength":"0.51"}"#, ""),
            (r#"{"symbols":["ETH/USDT"]}"#, ""),
            (r#"{"symbols":["ETH/USDT","BTC/*"]}"#, "redis"),
            (r#"{"symbols":[]}"#, ""),
            (r#"{"exchanges":["kraken"]}"#, ""),
            (r#"{"strategies":["ema_cross"],"types":["buy"]}"#, "redis"),
            (r#"{"types":["sell","strong_sell"]}"#, ""),
        ] {
            assert_eq!(told(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in [
            r#"{"min_confidnce":0.7}"#,
            r#"{"channels":["fax"]}"#,
            r#"{"symbols":"BTC/USDT"}"#,
            "true",
        ] {
            assert!(Preferences::parse(text).is_err(), "{text}");
        }
    }
}
