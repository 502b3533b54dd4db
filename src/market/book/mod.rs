//! HOT PATH. An order book: which amounts are offered at which prices, as the exchange last said.
//!
//! Lives in the engine, one for each instrument, on the engine's thread. Budget: 15 ns for a change
//! and a look at the touch, wherever in the book it is. It does not judge what it is told
//! (sequence, staleness and what to do about a crossed book are the engine's and the feed's), and
//! it allocates only where a place has got far more levels than it had, or far fewer, and between
//! price steps. About 56 KiB while empty, 68 KiB where texts are kept.
//!
//! `grid` counts prices in steps, `window` holds the levels near the touch, `far` all others in the
//! buckets of its `octave`s, `ladder` is a side made of them, and `checksum` is Kraken's.

mod checksum;
mod far;
mod grid;
mod ladder;
mod octave;
#[cfg(test)]
mod tests;
mod window;

pub use ladder::Levels;

use super::decimal::Scale;
use super::event::{BookDelta, Side};
use ladder::Ladder;

/// A level as the book holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    pub price: i64,
    pub amount: i64,
}

pub struct Book {
    /// Bids, then asks: the order of [`Side`].
    sides: [Ladder; 2],
    depth: usize,
}

impl Book {
    /// `tick` is the price step as an integer at the instrument's scale; prices between steps are
    /// held too, more slowly. `depth` levels a side are kept (0 = all); `keep_text` remembers the
    /// digits of each level's text for checksums.
    pub fn new(tick: i64, depth: usize, keep_text: bool) -> Book {
        let sides = [Side::Buy, Side::Sell].map(|side| Ladder::new(side, tick, keep_text));
        Book { sides, depth }
    }

    pub fn clear(&mut self) {
        self.sides.iter_mut().for_each(Ladder::clear);
    }

    /// Sets a level to its new absolute amount; 0 removes it (and is ignored where there is none).
    #[inline]
    pub fn apply(&mut self, delta: &BookDelta) {
        let text = u16::from_le_bytes([delta.price_digits, delta.amount_digits]);
        self.sides[delta.side as usize].set(delta.price, delta.amount, text);
    }

    /// Call at the last delta of a message: cuts each side to the depth.
    #[inline]
    pub fn truncate(&mut self) {
        if self.depth == 0 {
            return;
        }
        for side in &mut self.sides {
            if side.len() > self.depth {
                side.cut(self.depth);
            }
        }
    }

    #[inline]
    pub fn best_bid(&self) -> Option<Level> {
        self.side(Side::Buy).best()
    }

    #[inline]
    pub fn best_ask(&self) -> Option<Level> {
        self.side(Side::Sell).best()
    }

    /// Levels of a side.
    #[inline]
    pub fn len(&self, side: Side) -> usize {
        self.side(side).len()
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.sides.iter().all(|side| side.len() == 0)
    }

    /// Best first; allocates nothing.
    #[inline]
    pub fn levels(&self, side: Side) -> Levels<'_> {
        self.side(side).levels()
    }

    /// What the best `count` levels of a side hold, all together.
    #[inline]
    pub fn depth(&self, side: Side, count: usize) -> i64 {
        self.side(side).depth(count)
    }

    /// True where the best bid is at or above the best ask.
    #[inline]
    pub fn crossed(&self) -> bool {
        matches!(
            (self.best_bid(), self.best_ask()),
            (Some(bid), Some(ask)) if bid.price >= ask.price
        )
    }

    /// Kraken's CRC-32 over the text of the ten best asks, then bids. Needs a book that keeps
    /// texts.
    pub fn kraken_checksum(&self, price_scale: Scale, amount_scale: Scale) -> u32 {
        let [asks, bids] = [Side::Sell, Side::Buy].map(|side| self.levels(side));
        checksum::kraken(asks, bids, price_scale, amount_scale)
    }

    /// Re-expresses all levels after a change of scale; false where a value no longer fits (the
    /// book is then cleared, and uses the new step all the same). Levels that fall on one price at
    /// a coarser scale become one, with the amount of the worst of them; an amount that becomes 0
    /// is no level.
    #[cold]
    pub fn rescale(
        &mut self,
        tick: i64,
        price: impl Fn(i64) -> Option<i64>,
        amount: impl Fn(i64) -> Option<i64>,
    ) -> bool {
        let rescaled = |side: &Ladder| -> Option<Vec<(Level, u16)>> {
            let mut levels = side.levels();
            std::iter::from_fn(|| levels.next_with_text())
                .map(|(level, text)| {
                    let (price, amount) = (price(level.price)?, amount(level.amount)?);
                    Some((Level { price, amount }, text))
                })
                .collect()
        };
        let [bids, asks] = self.sides.each_ref().map(rescaled);
        self.sides.iter_mut().for_each(|side| side.set_tick(tick));
        let (Some(bids), Some(asks)) = (bids, asks) else {
            return false;
        };
        for (side, levels) in self.sides.iter_mut().zip([bids, asks]) {
            for (level, text) in levels.into_iter().filter(|(level, _)| level.amount != 0) {
                side.set(level.price, level.amount, text);
            }
        }
        true
    }

    #[inline]
    fn side(&self, side: Side) -> &Ladder {
        &self.sides[side as usize]
    }
}
