//! A simulated order book at integer ticks, and the words for what happens in it.
//!
//! It remembers which levels changed since each book stream's last message, so that messages can be
//! made of them. Called by `market` on the simulator's task.

/// The slow book stream has one message for so many of the fast one.
const SLOW_EVERY: u64 = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    Bid,
    Ask,
}

/// A price in ticks and an amount in lots; 0 lots: the level is gone.
pub type Level = (i64, i64);

/// A trade, or all trades of one order at one price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Print {
    pub id: u64,
    pub price: i64,
    pub lots: i64,
    pub buyer_is_maker: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch {
    pub update_id: u64,
    pub bid: Level,
    pub ask: Level,
}

/// Changed levels with their amounts now.
#[derive(Clone, Copy, Debug)]
pub struct Diff<'a> {
    pub first_id: u64,
    pub last_id: u64,
    /// The stream of 1000 ms, not that of 100 ms.
    pub slow: bool,
    pub bids: &'a [Level],
    pub asks: &'a [Level],
}

/// Where what happens goes.
pub trait Sink {
    fn trade(&mut self, symbol: usize, trade: Print);
    /// `first..=last` are the ids of the trades in it.
    fn aggregate(&mut self, symbol: usize, aggregate: Print, first: u64, last: u64);
    fn touch(&mut self, symbol: usize, touch: Touch);
    fn diff(&mut self, symbol: usize, diff: Diff<'_>);
}

/// Levels changed since a stream's last message.
#[derive(Default)]
struct Changes {
    touched: Vec<(Side, i64)>,
    last_id: u64,
}

/// One side's levels, the best one last: what happens, happens mostly there, so that little is
/// looked through and little moves.
struct Half {
    side: Side,
    /// By rank, which is the higher the better the price: it is the price of a bid, and that of an
    /// ask turned around.
    levels: Vec<Level>,
}

impl Half {
    fn new(side: Side) -> Half {
        Half {
            side,
            levels: Vec::new(),
        }
    }

    /// Of a price its rank, and of a rank its price.
    fn turn(&self, price: i64) -> i64 {
        match self.side {
            Side::Bid => price,
            Side::Ask => -price,
        }
    }

    fn level(&self, (rank, lots): Level) -> Level {
        (self.turn(rank), lots)
    }

    /// How many levels have a lower rank. Searched from the best one on, by steps that double.
    fn below(&self, rank: i64) -> usize {
        let (mut step, mut high) = (1, self.levels.len());
        while high > 0 && self.levels[high - 1].0 >= rank {
            high = high.saturating_sub(step);
            step *= 2;
        }
        let past = (high + step / 2).min(self.levels.len());
        high + self.levels[high..past].partition_point(|level| level.0 < rank)
    }

    /// Best first.
    fn iter(&self) -> impl ExactSizeIterator<Item = Level> {
        self.levels.iter().rev().map(|level| self.level(*level))
    }

    /// The first level at this price or behind it.
    fn behind(&self, price: i64) -> Option<i64> {
        let rank = self.turn(price);
        let at = self.below(rank);
        let here = self.levels.get(at).filter(|level| level.0 == rank);
        let found = here.or_else(|| self.levels[..at].last())?;
        Some(self.turn(found.0))
    }

    fn lots(&self, price: i64) -> i64 {
        let rank = self.turn(price);
        let level = self.levels.get(self.below(rank));
        level.filter(|level| level.0 == rank).map_or(0, |l| l.1)
    }

    /// Says what was there before; 0 lots remove the level.
    fn set(&mut self, price: i64, lots: i64) -> i64 {
        let rank = self.turn(price);
        let at = self.below(rank);
        match self.levels.get_mut(at).filter(|level| level.0 == rank) {
            Some(_) if lots == 0 => self.levels.remove(at).1,
            Some(level) => std::mem::replace(&mut level.1, lots),
            None => {
                if lots != 0 {
                    self.levels.insert(at, (rank, lots));
                }
                0
            }
        }
    }
}

pub struct Book {
    bids: Half,
    asks: Half,
    update_id: u64,
    fast: Changes,
    slow: Changes,
    flushes: u64,
    /// Buffers of a message's levels.
    levels: [Vec<Level>; 2],
}

impl Book {
    /// An empty book whose last change had this id.
    pub fn new(update_id: u64) -> Book {
        let changes = || Changes {
            touched: Vec::with_capacity(256),
            last_id: update_id,
        };
        Book {
            bids: Half::new(Side::Bid),
            asks: Half::new(Side::Ask),
            update_id,
            fast: changes(),
            slow: changes(),
            flushes: 0,
            levels: [Vec::new(), Vec::new()],
        }
    }

    /// Id of the last change.
    pub fn update_id(&self) -> u64 {
        self.update_id
    }

    fn half(&self, side: Side) -> &Half {
        match side {
            Side::Bid => &self.bids,
            Side::Ask => &self.asks,
        }
    }

    fn half_mut(&mut self, side: Side) -> &mut Half {
        match side {
            Side::Bid => &mut self.bids,
            Side::Ask => &mut self.asks,
        }
    }

    /// Best first.
    pub fn bids(&self) -> impl ExactSizeIterator<Item = Level> {
        self.bids.iter()
    }

    /// Best first.
    pub fn asks(&self) -> impl ExactSizeIterator<Item = Level> {
        self.asks.iter()
    }

    /// Number of levels.
    pub fn len(&self, side: Side) -> usize {
        self.half(side).levels.len()
    }

    pub fn best(&self, side: Side) -> Level {
        let half = self.half(side);
        let best = half.levels.last().map(|level| half.level(*level));
        best.expect("the market keeps both sides filled")
    }

    pub fn worst(&self, side: Side) -> i64 {
        let half = self.half(side);
        let worst = half.levels.first().map(|level| half.turn(level.0));
        worst.expect("the market keeps both sides filled")
    }

    /// The first level at this price or behind it.
    pub fn behind(&self, side: Side, price: i64) -> Option<i64> {
        self.half(side).behind(price)
    }

    pub fn touch(&self) -> Touch {
        Touch {
            update_id: self.update_id,
            bid: self.best(Side::Bid),
            ask: self.best(Side::Ask),
        }
    }

    /// Fills a level before the market opens.
    pub fn lay(&mut self, side: Side, price: i64, lots: i64) {
        self.half_mut(side).set(price, lots);
    }

    /// The only way in which an open market's book changes; 0 lots remove the level.
    pub fn set(&mut self, side: Side, price: i64, lots: i64) {
        if self.half_mut(side).set(price, lots) != lots {
            self.update_id += 1;
            self.fast.touched.push((side, price));
        }
    }

    /// Sends what changed since the last book message; `all`: the slow stream's too.
    pub fn flush(&mut self, index: usize, sink: &mut impl Sink, all: bool) {
        self.flushes += 1;
        self.slow.touched.extend_from_slice(&self.fast.touched);
        let last_id = self.update_id;
        let slow_too = all || self.flushes.is_multiple_of(SLOW_EVERY);
        for slow in [false, true].into_iter().take(1 + usize::from(slow_too)) {
            let changes = if slow { &mut self.slow } else { &mut self.fast };
            if changes.touched.is_empty() {
                continue;
            }
            changes.touched.sort_unstable();
            changes.touched.dedup();
            let [bids, asks] = &mut self.levels;
            bids.clear();
            asks.clear();
            for (side, price) in changes.touched.drain(..) {
                let (book, out) = match side {
                    Side::Bid => (&self.bids, &mut *bids),
                    Side::Ask => (&self.asks, &mut *asks),
                };
                out.push((price, book.lots(price)));
            }
            bids.reverse();
            let first_id = std::mem::replace(&mut changes.last_id, last_id) + 1;
            sink.diff(
                index,
                Diff {
                    first_id,
                    last_id,
                    slow,
                    bids,
                    asks,
                },
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn a_side_is_as_a_map(sets in prop::collection::vec((1..60i64, 0..4i64), 1..200)) {
            for side in [Side::Bid, Side::Ask] {
                let (mut half, mut map) = (Half::new(side), BTreeMap::new());
                for &(price, lots) in &sets {
                    let old = match lots {
                        0 => map.remove(&price),
                        _ => map.insert(price, lots),
                    };
                    prop_assert_eq!(half.set(price, lots), old.unwrap_or(0));
                }
                let mut levels: Vec<Level> = map.iter().map(|(p, l)| (*p, *l)).collect();
                if side == Side::Bid {
                    levels.reverse();
                }
                prop_assert!(half.iter().eq(levels.iter().copied()));
                for price in 0..62 {
                    prop_assert_eq!(half.lots(price), map.get(&price).copied().unwrap_or(0));
                    let behind = match side {
                        Side::Bid => map.range(..=price).next_back(),
                        Side::Ask => map.range(price..).next(),
                    };
                    prop_assert_eq!(half.behind(price), behind.map(|(p, _)| *p));
                }
            }
        }
    }
}
