//! A simulated order book at integer ticks, and the words for what happens in it.
//!
//! It remembers which levels changed since each book stream's last message, so that messages can be
//! made of them. Called by `market` on the simulator's task.

use std::collections::BTreeMap;

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

pub struct Book {
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
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
            bids: BTreeMap::new(),
            asks: BTreeMap::new(),
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

    /// Best first.
    pub fn bids(&self) -> impl ExactSizeIterator<Item = Level> {
        self.bids.iter().rev().map(|(p, q)| (*p, *q))
    }

    /// Best first.
    pub fn asks(&self) -> impl ExactSizeIterator<Item = Level> {
        self.asks.iter().map(|(p, q)| (*p, *q))
    }

    /// Number of levels.
    pub fn len(&self, side: Side) -> usize {
        match side {
            Side::Bid => self.bids.len(),
            Side::Ask => self.asks.len(),
        }
    }

    pub fn best(&self, side: Side) -> Level {
        let best = match side {
            Side::Bid => self.bids.last_key_value(),
            Side::Ask => self.asks.first_key_value(),
        };
        best.map(|(p, q)| (*p, *q))
            .expect("the market keeps both sides filled")
    }

    pub fn worst(&self, side: Side) -> i64 {
        let worst = match side {
            Side::Bid => self.bids.first_key_value(),
            Side::Ask => self.asks.last_key_value(),
        };
        worst
            .map(|(p, _)| *p)
            .expect("the market keeps both sides filled")
    }

    /// The first level at this price or behind it.
    pub fn behind(&self, side: Side, price: i64) -> Option<i64> {
        match side {
            Side::Bid => self.bids.range(..=price).next_back().map(|(p, _)| *p),
            Side::Ask => self.asks.range(price..).next().map(|(p, _)| *p),
        }
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
        match side {
            Side::Bid => self.bids.insert(price, lots),
            Side::Ask => self.asks.insert(price, lots),
        };
    }

    /// The only way in which an open market's book changes; 0 lots remove the level.
    pub fn set(&mut self, side: Side, price: i64, lots: i64) {
        let book = match side {
            Side::Bid => &mut self.bids,
            Side::Ask => &mut self.asks,
        };
        let old = if lots > 0 {
            book.insert(price, lots)
        } else {
            book.remove(&price)
        };
        if old.unwrap_or(0) != lots {
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
                out.push((price, book.get(&price).copied().unwrap_or(0)));
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
