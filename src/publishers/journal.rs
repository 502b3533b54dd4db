//! Where does a signal stand so that nothing loses it? In the journal: a folder of segment files
//! that one thread appends to and every store reads at its own pace.
//!
//! ```text
//! journal/
//!   lock                        held while a daemon runs
//!   00000000000000000001.log    a segment, named by its first sequence number
//!   00000000000000052311.log    the last one grows
//!   cursors/postgres            what each store has taken
//!   cursors/unfinished          no signal up to here is open
//! ```
//!
//! A record is a signal or, beginning with `{"record":"outcome",`, what became of one.
//!
//! # Invariants
//! - Numbers are contiguous from 1. A published record is never changed and never renumbered.
//! - A write that failed is cut off again before the next one, so a segment is always whole
//!   records, then at most one torn tail (a kill in the middle of a write), which the next start
//!   cuts.
//! - Damage inside a segment costs the damaged records, by count and number, never the start.
//! - What was synced is found after a power cut, with its number ([`Disk`] says what else may be);
//!   what was not is whole, or cut, or counted as damaged.
//! - Only what all stores have taken is deleted, and only when the journal is full.
//! - Readers take no lock and never change anything.

mod cursor;
mod disk;
mod format;
mod reader;
mod syncer;
mod thread;
mod unfinished;
mod writer;

pub use cursor::Cursor;
pub use disk::{Disk, DiskFile, System};
pub use reader::{Reader, Record};
pub use thread::{JournalContext, run};
pub use unfinished::unfinished;
pub use writer::{AppendError, Journal, Opened};

use std::path::{Path, PathBuf};

/// The journal's folder below the data folder.
pub fn dir(data_dir: &Path) -> PathBuf {
    data_dir.join("journal")
}

/// Whether there is a journal in `dir`.
pub fn exists(dir: &Path) -> bool {
    format::segments(dir).is_ok_and(|segments| !segments.is_empty())
}

/// Signals for tests of the journal and of what reads it.
#[cfg(test)]
pub(crate) mod sample {
    use crate::market::{Instrument, Market, Registry};
    use crate::signal::descriptions::Descriptions;
    use crate::signal::record::{Described, SignalRecord};
    use crate::signal::{
        DataQuality, Features, Percent, Reasoning, Signal, SignalType, Source, Timing,
    };
    use rust_decimal::Decimal;
    use std::sync::Arc;
    use uuid::Uuid;

    pub fn descriptions() -> Arc<Descriptions> {
        let all = Descriptions::default();
        all.add(Described {
            strategy: "ema_cross".into(),
            version: "1.0.0+abc".to_owned(),
            parameters: serde_json::json!({"fast": 12}),
            shadow: false,
        });
        Arc::new(all)
    }

    pub fn instrument() -> Instrument {
        Instrument {
            exchange: "binance",
            native: "BTCUSDT".to_owned(),
            symbol: "BTC/USDT".to_owned(),
            base: "BTC".to_owned(),
            quote: "USDT".to_owned(),
            market: Market::Spot,
            tick_size: Decimal::new(1, 2),
            amount_step: Decimal::new(1, 5),
            min_amount: Decimal::ZERO,
            max_amount: None,
            active: true,
            stamp_resolution_ns: 1,
            book_depth: 0,
            checksum: false,
        }
    }

    pub fn registry() -> Arc<Registry> {
        let registry = Registry::default();
        registry.add(instrument());
        Arc::new(registry)
    }

    /// Signal number `n`, always the same, a second after the one before.
    pub fn signal(n: u64) -> Signal {
        let event_ns = 1_700_000_000_000_000_000 + n as i64 * 1_000_000_000;
        Signal {
            id: Uuid::from_u128(u128::from(n)),
            strategy: 0,
            setting: 0,
            instrument: 0,
            signal_type: SignalType::Buy,
            source: Source::TechnicalAnalysis,
            strength: Percent::of(0.5),
            confidence: Percent::of(0.75),
            price: Decimal::new(9_123_456, 2),
            target_price: None,
            stop_loss_price: None,
            take_profit_price: None,
            reasoning: Reasoning::from("fast above slow").expect("fits"),
            indicators: Features::new(),
            conditions: Features::new(),
            quality: DataQuality::default(),
            event_ns,
            valid_until_ns: event_ns + 60_000_000_000,
            timing: Timing {
                exchange_ns: event_ns,
                recv_ns: event_ns,
                decode_ns: 50,
                decided_ns: event_ns + 100,
            },
        }
    }

    /// As it stands in the journal.
    pub fn record(n: u64) -> SignalRecord {
        SignalRecord::new(
            &signal(n),
            &descriptions().get(0),
            &instrument(),
            "host1",
            0,
        )
    }
}
