//! What a tick store counts beside its own equation: which instruments lost ticks, and what an
//! earlier run had left on disk.

use super::Counter;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Instruments with a counter of their own; later ones share the last.
pub(super) const INSTRUMENTS: usize = 4096;

/// Ticks that a full ring did not take, by instrument. Written by the engine thread alone.
#[derive(Debug)]
pub struct RingLosses(Box<[Counter]>);

impl Default for RingLosses {
    fn default() -> Self {
        RingLosses((0..INSTRUMENTS).map(|_| Counter::default()).collect())
    }
}

impl RingLosses {
    #[inline]
    pub fn add(&self, instrument: u32) {
        self.0[(instrument as usize).min(INSTRUMENTS - 1)].add(1);
    }

    /// Counts by instrument, without those that lost nothing; `None` for the later ones together.
    pub fn each(&self) -> impl Iterator<Item = (Option<u32>, u64)> {
        let counts = self.0.iter().enumerate();
        let named = |i: usize| (i < INSTRUMENTS - 1).then_some(i as u32);
        counts
            .map(move |(i, n)| (named(i), n.get()))
            .filter(|(_, n)| *n > 0)
    }
}

/// Lost ticks by instrument (`binance BTC/USDT`): a gap that whoever reads the store should know
/// of. Locked only where something is lost, and by readers.
#[derive(Debug, Default)]
pub struct Losses(Mutex<BTreeMap<Arc<str>, u64>>);

impl Losses {
    pub fn add(&self, instrument: &Arc<str>, n: u64) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *all.entry(Arc::clone(instrument)).or_default() += n;
    }

    pub fn all(&self) -> BTreeMap<Arc<str>, u64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// What earlier runs left on disk for this one: found = stored + waiting + dropped + expired. None
/// of it is in this run's own equation.
#[derive(Debug, Default)]
pub struct BacklogMetrics {
    /// Whole ones on disk at start, and those of them that a torn file lost.
    pub found: Counter,
    pub stored: Counter,
    pub waiting: Counter,
    pub dropped: Counter,
    pub expired: Counter,
}
