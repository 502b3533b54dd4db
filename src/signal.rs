//! HOT PATH. A trading signal: the decision, which a replay repeats bit for bit, and its timing,
//! which it cannot.
//!
//! Fixed size, `Copy`, no heap: it crosses the ring as it is. The one schema that JSON, Redis and
//! SQL share is written in [`record`].

pub mod descriptions;
pub mod record;

use crate::market::InstrumentId;
use arrayvec::{ArrayString, ArrayVec};
use rust_decimal::Decimal;
use uuid::Uuid;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalType {
    Buy,
    Sell,
    Hold,
    StrongBuy,
    StrongSell,
}

impl SignalType {
    /// A signal to buy (`up`) or to sell.
    pub const fn of(up: bool, strong: bool) -> SignalType {
        match (up, strong) {
            (true, true) => SignalType::StrongBuy,
            (true, false) => SignalType::Buy,
            (false, true) => SignalType::StrongSell,
            (false, false) => SignalType::Sell,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            SignalType::Buy => "buy",
            SignalType::Sell => "sell",
            SignalType::Hold => "hold",
            SignalType::StrongBuy => "strong_buy",
            SignalType::StrongSell => "strong_sell",
        }
    }

    pub fn from_name(name: &str) -> Option<SignalType> {
        use SignalType::{Buy, Hold, Sell, StrongBuy, StrongSell};
        let all = [Buy, Sell, Hold, StrongBuy, StrongSell];
        all.into_iter().find(|t| t.name() == name)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    TechnicalAnalysis,
    SentimentAnalysis,
    NewsAnalysis,
    PatternRecognition,
    MachineLearning,
    Hybrid,
}

impl Source {
    pub const fn name(self) -> &'static str {
        match self {
            Source::TechnicalAnalysis => "technical_analysis",
            Source::SentimentAnalysis => "sentiment_analysis",
            Source::NewsAnalysis => "news_analysis",
            Source::PatternRecognition => "pattern_recognition",
            Source::MachineLearning => "machine_learning",
            Source::Hybrid => "hybrid",
        }
    }
}

/// A share of one in hundredths, as the column `DECIMAL(3,2)` holds it: quantised when made, so
/// that every store agrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u8);

impl Percent {
    /// Nearest hundredth of `share`, clamped to 0..=1; NaN is 0.
    pub fn of(share: f64) -> Percent {
        Percent((share.clamp(0.0, 1.0) * 100.0).round() as u8)
    }

    pub fn hundredths(self) -> u8 {
        self.0
    }

    pub fn decimal(self) -> Decimal {
        Decimal::new(i64::from(self.0), 2)
    }
}

/// How good the data behind a decision was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataQuality {
    /// Of this instrument's book: +1 at each break.
    pub epoch: u32,
    pub synced: bool,
    /// Breaks of this instrument's book so far.
    pub gaps: u32,
    /// Values rounded so far.
    pub inexact: u32,
}

/// Stamps of the stages, ns since the epoch or durations; no part of the decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    pub exchange_ns: i64,
    pub recv_ns: i64,
    pub decode_ns: u32,
    pub decided_ns: i64,
}

/// Named values of a signal: at most sixteen.
pub type Features = ArrayVec<(&'static str, f64), 16>;
/// One sentence on why.
pub type Reasoning = ArrayString<240>;

#[derive(Clone, Debug)]
pub struct Signal {
    pub id: Uuid,
    /// The strategy instance's place in the engine's list.
    pub strategy: u16,
    /// Index into the run's [`descriptions::Descriptions`].
    pub setting: u32,
    pub instrument: InstrumentId,
    pub signal_type: SignalType,
    pub source: Source,
    pub strength: Percent,
    pub confidence: Percent,
    /// The market at the decision.
    pub price: Decimal,
    pub target_price: Option<Decimal>,
    pub stop_loss_price: Option<Decimal>,
    pub take_profit_price: Option<Decimal>,
    pub reasoning: Reasoning,
    /// Indicator values it was made from.
    pub indicators: Features,
    /// Spread, imbalance and the like.
    pub conditions: Features,
    pub quality: DataQuality,
    /// The event's time; `created_at` is the same.
    pub event_ns: i64,
    pub valid_until_ns: i64,
    pub timing: Timing,
}
