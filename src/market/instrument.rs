//! What is traded where: an instrument is an exchange's symbol with its unified name and its steps.

use super::bar::Bar;
use super::decimal::{self, Scale};
use rust_decimal::Decimal;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, RwLock};

/// Index into the process's [`Registry`]. Never stored, never sent: ids differ from run to run.
pub type InstrumentId = u32;

/// What tells markets of one exchange apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Market {
    Spot,
    Linear,
    Inverse,
    Option,
}

impl Market {
    pub const fn name(self) -> &'static str {
        match self {
            Market::Spot => "spot",
            Market::Linear => "linear",
            Market::Inverse => "inverse",
            Market::Option => "option",
        }
    }
}

/// One tradable thing on one exchange, as the exchange's own list has it.
#[derive(Clone, Debug)]
pub struct Instrument {
    pub exchange: &'static str,
    /// The symbol as the exchange writes it in its stream (`BTCUSDT`, `BTC-USD`, `BTC/USD`).
    pub native: String,
    /// `BASE/QUOTE`.
    pub symbol: String,
    pub base: String,
    pub quote: String,
    pub market: Market,
    /// Smallest price step; 0 where the list does not say.
    pub tick_size: Decimal,
    /// Smallest step of the amount of base; 0 where the list does not say.
    pub amount_step: Decimal,
    /// Smallest and largest order, amount of base.
    pub min_amount: Decimal,
    pub max_amount: Option<Decimal>,
    pub active: bool,
    /// The exchange's stamps are multiples of this, ns (Binance: 1_000_000). Ids spread within it.
    pub stamp_resolution_ns: u32,
    /// Levels per side that the stream keeps; 0 = all. (Kraken cuts, without saying, what falls
    /// out.)
    pub book_depth: u16,
    /// Whether the engine must keep the digits of each level's text for a checksum.
    pub checksum: bool,
}

impl Instrument {
    /// Among those of all exchanges: `binance BTC/USDT`.
    pub fn name(&self) -> String {
        format!("{} {}", self.exchange, self.symbol)
    }

    /// The listed precision or 8 decimals, whichever is finer (real books hold finer values than
    /// listed).
    pub fn price_scale(&self) -> Scale {
        (self.tick_size.normalize().scale() as Scale).clamp(8, decimal::MAX_SCALE)
    }

    /// As [`Instrument::price_scale`], for amounts.
    pub fn amount_scale(&self) -> Scale {
        (self.amount_step.normalize().scale() as Scale).clamp(8, decimal::MAX_SCALE)
    }

    /// The price step as an integer at `scale`; at least 1.
    pub fn tick(&self, scale: Scale) -> i64 {
        decimal::from_decimal(self.tick_size, scale)
            .unwrap_or(1)
            .max(1)
    }
}

/// All that an exchange lists, followed here or not.
#[derive(Clone, Debug)]
pub struct ExchangeList {
    pub exchange: &'static str,
    pub instruments: Vec<Arc<Instrument>>,
}

/// Bars of one interval, ns, oldest first.
pub type PastBars = (i64, Vec<Bar>);

/// All instruments of the process, appended as exchanges list them. Read on the cold path only.
#[derive(Debug, Default)]
pub struct Registry {
    all: RwLock<Vec<Arc<Instrument>>>,
    /// As they came.
    lists: RwLock<Vec<ExchangeList>>,
    /// Bars of time from before the run, by instrument and interval, ns, until they are taken.
    past: Mutex<HashMap<InstrumentId, Vec<PastBars>>>,
}

impl Registry {
    pub fn add(&self, instrument: Instrument) -> InstrumentId {
        let mut all = self.all.write().unwrap_or_else(|e| e.into_inner());
        all.push(Arc::new(instrument));
        (all.len() - 1) as InstrumentId
    }

    /// Panics on an id that this registry did not give: that is our bug, not the world's.
    pub fn get(&self, id: InstrumentId) -> Arc<Instrument> {
        let all = self.all.read().unwrap_or_else(|e| e.into_inner());
        Arc::clone(&all[id as usize])
    }

    /// Keeps an exchange's whole list, for what stores pairs.
    pub fn add_list(&self, list: ExchangeList) {
        let mut lists = self.lists.write().unwrap_or_else(|e| e.into_inner());
        lists.push(list);
    }

    /// The lists that came after the first `n`.
    pub fn lists_from(&self, n: usize) -> Vec<ExchangeList> {
        let lists = self.lists.read().unwrap_or_else(|e| e.into_inner());
        lists.get(n..).unwrap_or_default().to_vec()
    }

    /// Leaves closed bars of time from before the run, oldest first, for the engine to take. Those
    /// of the same interval that nobody took are replaced.
    pub fn leave_bars(&self, id: InstrumentId, interval_ns: i64, bars: Vec<Bar>) {
        let mut past = self.past.lock().unwrap_or_else(|e| e.into_inner());
        let left = past.entry(id).or_default();
        left.retain(|(interval, _)| *interval != interval_ns);
        left.push((interval_ns, bars));
    }

    /// What was left for this instrument since the last call: interval, ns, and bars, oldest first.
    pub fn take_bars(&self, id: InstrumentId) -> Vec<PastBars> {
        let mut past = self.past.lock().unwrap_or_else(|e| e.into_inner());
        past.remove(&id).unwrap_or_default()
    }

    pub fn all(&self) -> Vec<Arc<Instrument>> {
        self.all.read().unwrap_or_else(|e| e.into_inner()).clone()
    }
}

/// Whether a unified symbol matches a pattern: `*` stands for any run of characters.
pub fn matches(pattern: &str, symbol: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == symbol,
        Some((head, tail)) => {
            let Some(rest) = symbol.strip_prefix(head) else {
                return false;
            };
            (0..=rest.len()).any(|i| rest.is_char_boundary(i) && matches(tail, &rest[i..]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_taken_once_and_by_instrument() {
        let registry = Registry::default();
        let bars = |n: i64| -> Vec<Bar> {
            let bar = |start_ns| Bar {
                start_ns,
                ..Bar::default()
            };
            (0..n).map(bar).collect()
        };
        registry.leave_bars(3, 60, bars(1));
        registry.leave_bars(3, 300, bars(2));
        registry.leave_bars(3, 60, bars(5));
        registry.leave_bars(4, 60, bars(4));
        assert_eq!(registry.take_bars(3), [(300, bars(2)), (60, bars(5))]);
        assert!(registry.take_bars(3).is_empty());
        assert_eq!(registry.take_bars(4), [(60, bars(4))]);
        assert!(registry.take_bars(5).is_empty());
    }

    #[test]
    fn patterns_of_symbols() {
        for (pattern, symbol, expected) in [
            ("BTC/USDT", "BTC/USDT", true),
            ("BTC/USDT", "BTC/USD", false),
            ("*/EUR", "BTC/EUR", true),
            ("*/EUR", "EUR/USD", false),
            ("BTC/*", "BTC/USDT:USDT", true),
            ("*", "anything", true),
            ("*B*/U*T", "BTC/USDT", true),
        ] {
            assert_eq!(matches(pattern, symbol), expected, "{pattern} {symbol}");
        }
    }
}
