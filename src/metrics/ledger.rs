//! Which ticks were in memory when the process was killed? A tick store's account by instrument, in
//! a file that is mapped into memory: a store into it needs no system call, and the kernel keeps it
//! when the process dies. The next run reads what was offered and never settled.
//!
//! One writer for each column: the engine thread for what is offered, the publisher and its disk's
//! thread for what each of them settled. A settlement belongs to an effect outside (a segment under
//! its own name, a frame of the spool, lines that a server took), and a kill may come between the
//! two. So it is prepared in a second column, which a single store makes the valid one after the
//! effect; in between the file names the effect, and the next run looks whether it is there.

mod file;

pub use file::{Contents, Landed, Row, boot_id};

use super::INSTRUMENTS;
use file::Words;
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::{Arc, PoisonError, RwLock};

/// The last row is shared by all instruments that have none of their own.
const LAST: usize = INSTRUMENTS - 1;

/// Ticks by instrument.
pub type Shares = Vec<(u32, u64)>;

/// Who settles; each on one thread.
#[derive(Clone, Copy, Debug)]
pub enum Settler {
    Publisher = 0,
    /// The thread of the spool.
    Disk = 1,
}

/// What a settlement belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Lines on their way to a server: whether it took them cannot be known after a kill.
    Sent,
    /// The spool's frame of this number.
    Frame(u64),
    /// Segment `number` of an hour since the epoch; `table` is the store's own number.
    Segment { table: u8, hour: u32, number: u32 },
}

/// See the module. Without a file (a disk that holds none) it counts all the same, for nobody.
pub struct Ledger {
    words: Words,
    listed: RwLock<HashMap<Arc<str>, u32>>,
}

impl Default for Ledger {
    fn default() -> Ledger {
        Ledger::of(Words::in_memory())
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ledger")
    }
}

impl Ledger {
    /// A new one in this file, whose folder is made. An error names neither: the caller knows.
    pub fn create(path: &Path) -> std::io::Result<Ledger> {
        Words::create(path).map(Ledger::of)
    }

    fn of(words: Words) -> Ledger {
        Ledger {
            words,
            listed: RwLock::default(),
        }
    }

    /// An instrument has its row from here on, and its name (`binance BTC/USDT`) in it.
    pub fn list(&self, instrument: u32, name: &str) {
        let row = row_of(instrument);
        if row < LAST {
            self.words.set_name(row, name);
        }
        let mut listed = self.listed.write().unwrap_or_else(PoisonError::into_inner);
        listed.insert(name.into(), instrument);
    }

    /// The engine hands a tick to the store's ring.
    #[inline]
    pub fn offer(&self, instrument: u32) {
        let offered = self.words.offered(row_of(instrument));
        offered.store(offered.load(Relaxed) + 1, Relaxed);
    }

    /// The ring did not take it.
    #[cold]
    pub fn withdraw(&self, instrument: u32) {
        let offered = self.words.offered(row_of(instrument));
        offered.store(offered.load(Relaxed) - 1, Relaxed);
    }

    /// Ticks by name as ticks by instrument. What is not listed was never offered.
    pub fn shares(&self, tally: &[(Arc<str>, u64)]) -> Shares {
        let listed = self.listed.read().unwrap_or_else(PoisonError::into_inner);
        let share = |(name, n): &(Arc<str>, u64)| Some((*listed.get(name)?, *n));
        tally.iter().filter_map(share).collect()
    }

    /// Ticks that ended without an effect outside: dropped. A begun settlement may be under way.
    pub fn settle(&self, settler: Settler, shares: &Shares) {
        let (valid, other) = self.columns(settler);
        for (instrument, n) in shares {
            let row = row_of(*instrument);
            add(self.words.settled(settler, other, row), *n);
            add(self.words.settled(settler, valid, row), *n);
        }
    }

    /// To be completed by [`Begun::complete`] after the effect; dropped, it settles nothing.
    pub fn begin(&self, settler: Settler, shares: Shares, effect: Effect) -> Begun<'_> {
        let (_, other) = self.columns(settler);
        for (instrument, n) in &shares {
            add(self.words.settled(settler, other, row_of(*instrument)), *n);
        }
        self.words.announce(settler, effect);
        Begun {
            ledger: self,
            settler,
            shares,
        }
    }

    /// The valid column and the other one. They are equal but for what is begun.
    fn columns(&self, settler: Settler) -> (usize, usize) {
        let valid = (self.words.turn(settler).load(Relaxed) % 2) as usize;
        (valid, 1 - valid)
    }

    /// An orderly end: all that was offered is settled.
    pub fn close(&self) {
        self.words.set_clean();
    }
}

/// A settlement whose effect is under way.
#[must_use = "it settles nothing unless it is completed"]
pub struct Begun<'a> {
    ledger: &'a Ledger,
    settler: Settler,
    shares: Shares,
}

impl Begun<'_> {
    /// The effect is there.
    pub fn complete(self) {
        let turn = self.ledger.words.turn(self.settler);
        turn.store(turn.load(Relaxed) + 1, Release);
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        let (words, settler) = (&self.ledger.words, self.settler);
        words.withdraw(settler);
        let (valid, other) = self.ledger.columns(settler);
        for (instrument, _) in &self.shares {
            let row = row_of(*instrument);
            let known = words.settled(settler, valid, row).load(Relaxed);
            words.settled(settler, other, row).store(known, Relaxed);
        }
    }
}

fn row_of(instrument: u32) -> usize {
    (instrument as usize).min(LAST)
}

/// In the order of the program, as whoever reads after a kill relies on.
fn add(word: &AtomicU64, n: u64) {
    word.store(word.load(Relaxed) + n, Release);
}

#[cfg(test)]
mod tests;
