//! HOT PATH. Where decoded values become events: scales, duplicates and the sequence rules of
//! books.
//!
//! An exchange's decoder calls [`Output::trade`], [`Output::quote`] and, for a book message,
//! [`Output::book`], [`Output::level`]… and [`Output::book_end`]. What is kept between messages
//! changes only in `trade` and `book_end`, so a decoder that gives up in the middle of a book
//! message can be rolled back ([`Output::rollback`]) and started again by the complete path.
//!
//! Runs on the ingest thread. Allocates only while its buffers grow.

mod books;
mod held;
mod scale;
mod seen;
mod symbols;

use super::Reject;
use crate::market::decimal::{self, MAX_SCALE, Scale};
use crate::market::event::Flags;
use crate::market::{
    Event, Instrument, InstrumentId, Kind, Number, Quote, Reason, Registry, Side, Status, Trade,
};
use held::{Arrived, Hold};
pub use held::{Held, MOST_HELD};
use rustc_hash::FxHashMap;
use seen::SeenIds;
use std::collections::VecDeque;
use std::sync::Arc;
use symbols::Symbols;

/// Index of an instrument within its exchange's feed.
pub type SlotId = u32;

/// How an exchange's books begin and go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BookRule {
    /// Diffs carry first and last update id; the snapshot comes by REST and joins in between
    /// (Binance).
    RestSnapshot,
    /// The stream sends the snapshot, then diffs; what continuity there is belongs to the
    /// connection ([`Output::sequence`]) or is the engine's checksum (Coinbase, Kraken).
    StreamSnapshot,
}

/// The book messages of one instrument that may wait for a REST snapshot: events, not messages.
const MAX_WAITING: usize = 200_000;

/// What the feed has to do for an instrument or a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Fetch this book's snapshot, or make the exchange send it again.
    Resync { slot: SlotId, reason: Reason },
    /// The first message of a book arrived and no snapshot is under way.
    Snapshot { slot: SlotId },
}

/// What was counted while decoding; the feed hands it on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub duplicates: u64,
    pub gaps: u64,
    pub inexact: u64,
    pub resyncs: u64,
    /// Events of book messages that came while their book waited for a snapshot, or before it.
    pub outdated: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sync {
    /// No snapshot yet; diffs wait (REST rule) or are skipped (stream rule).
    Waiting {
        asked: bool,
    },
    Live {
        last: u64,
    },
}

/// One instrument as its feed sees it.
pub struct Slot {
    pub instrument: InstrumentId,
    pub native: String,
    pub price_scale: Scale,
    pub amount_scale: Scale,
    /// No finer scale than these: a larger value than it could hold has been seen.
    finest_price: Scale,
    finest_amount: Scale,
    pub epoch: u32,
    /// The connection that carries its book.
    book_connection: Option<u32>,
    sync: Sync,
    /// Messages that came before the REST snapshot; each one's first event carries its first update
    /// id.
    waiting: VecDeque<Event>,
    trades: SeenIds,
    aggregates: SeenIds,
    /// Its trades are held back.
    hold: Option<Box<Hold>>,
}

impl Slot {
    pub fn synced(&self) -> bool {
        matches!(self.sync, Sync::Live { .. })
    }
}

/// A book message under way.
#[derive(Clone, Copy)]
struct Open {
    slot: SlotId,
    first_id: u64,
    last_id: u64,
    exchange_ns: i64,
    snapshot: bool,
    /// Where its events begin.
    start: usize,
    /// Its book waits for a REST snapshot.
    wait: bool,
    /// It does not follow the message before it.
    gap: bool,
}

/// See the module's documentation.
pub struct Output {
    pub events: Vec<Event>,
    pub wants: Vec<Want>,
    pub counts: Counts,
    /// Frames by the path that served them. Not among the counts: those are looked at as a whole
    /// after each frame, and hardly ever change.
    pub cursor: u64,
    pub simd_json: u64,
    /// Receipt of the frame under way.
    pub recv_ns: i64,
    rule: BookRule,
    slots: Vec<Slot>,
    by_native: Symbols,
    registry: Arc<Registry>,
    /// Instruments that become slots when their first message comes (captures).
    candidates: FxHashMap<Box<[u8]>, Instrument>,
    /// Makes an instrument of an unlisted symbol (captures without a list).
    guess: Option<fn(&str) -> Option<Instrument>>,
    open: Option<Open>,
    /// A scale changed within the book message under way.
    rescaled: bool,
    /// This frame's connection sequence was looked at.
    sequenced: bool,
    connection: u32,
    sequences: Vec<Option<u64>>,
}

/// A place in the output to come back to.
#[derive(Clone, Copy)]
pub struct Mark {
    events: usize,
    wants: usize,
    counts: Counts,
}

impl Output {
    pub fn new(rule: BookRule, registry: Arc<Registry>) -> Self {
        Output {
            events: Vec::with_capacity(4096),
            wants: Vec::with_capacity(64),
            counts: Counts::default(),
            cursor: 0,
            simd_json: 0,
            recv_ns: 0,
            rule,
            slots: Vec::new(),
            by_native: Symbols::default(),
            registry,
            candidates: FxHashMap::default(),
            guess: None,
            open: None,
            rescaled: false,
            sequenced: false,
            connection: 0,
            sequences: Vec::new(),
        }
    }

    /// Adds an instrument to the registry and puts out that it is listed.
    pub fn add(&mut self, instrument: Instrument) -> SlotId {
        let slot = self.slots.len() as SlotId;
        let native = instrument.native.clone();
        let (price_scale, amount_scale) = (instrument.price_scale(), instrument.amount_scale());
        let id = self.registry.add(instrument);
        self.by_native.insert(native.as_bytes(), slot);
        self.slots.push(Slot {
            instrument: id,
            native,
            price_scale,
            amount_scale,
            finest_price: MAX_SCALE,
            finest_amount: MAX_SCALE,
            epoch: 0,
            book_connection: None,
            sync: Sync::Waiting { asked: false },
            waiting: VecDeque::new(),
            trades: SeenIds::default(),
            aggregates: SeenIds::default(),
            hold: None,
        });
        self.events
            .push(Event::from_status(id, self.recv_ns, Status::Listed));
        slot
    }

    /// From now on these are added when their first message comes; `guess` makes what is in no
    /// list.
    pub fn add_when_seen(
        &mut self,
        listed: Vec<Instrument>,
        guess: Option<fn(&str) -> Option<Instrument>>,
    ) {
        self.candidates
            .extend(listed.into_iter().map(|i| (i.native.as_bytes().into(), i)));
        self.guess = guess;
    }

    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The slot of a native symbol.
    #[inline]
    pub fn slot(&mut self, native: &[u8]) -> Result<SlotId, Reject> {
        match self.by_native.get(native) {
            Some(slot) => Ok(slot),
            None => self.first_seen(native).ok_or(Reject::Symbol),
        }
    }

    #[cold]
    fn first_seen(&mut self, native: &[u8]) -> Option<SlotId> {
        let instrument = match self.candidates.remove(native) {
            Some(listed) => listed,
            None => self.guess?(std::str::from_utf8(native).ok()?)?,
        };
        Some(self.add(instrument))
    }

    /// A frame of `connection` comes next.
    #[inline]
    pub fn begin(&mut self, connection: u32, recv_ns: i64) {
        self.connection = connection;
        self.recv_ns = recv_ns;
        self.open = None;
        self.sequenced = false;
    }

    #[inline]
    pub fn mark(&self) -> Mark {
        Mark {
            events: self.events.len(),
            wants: self.wants.len(),
            counts: self.counts,
        }
    }

    /// Forgets what was put out since `mark`, except duplicates already remembered: a decoder that
    /// may still give up must not have called [`Output::trade`] or [`Output::book_end`]. What the
    /// frame made known for good (an instrument, a scale) stays in the stream.
    #[inline]
    pub fn rollback(&mut self, mark: Mark) {
        self.keep_statuses(mark.events);
        self.wants.truncate(mark.wants);
        self.counts = mark.counts;
        self.open = None;
    }

    /// The frame could not be decoded: what it held of a book is lost, so that book is not right.
    /// Whole messages in front of it stay.
    pub fn reject(&mut self, mark: Mark) {
        if let Some(open) = self.open.take() {
            debug_assert!(
                open.start >= mark.events,
                "a book message was left open by an earlier frame"
            );
            self.keep_statuses(open.start);
            self.break_book(open.slot, Reason::Rejected);
        }
    }

    /// Removes what came since `from`, except status events: they tell of what is not taken back.
    #[inline]
    fn keep_statuses(&mut self, from: usize) {
        let mut kept = from;
        for i in from..self.events.len() {
            if self.events[i].kind == Kind::Status {
                self.events.swap(kept, i);
                kept += 1;
            }
        }
        self.events.truncate(kept);
    }

    /// A trade with the exchange's id, unless it was seen, or while it is held back. `flags`:
    /// snapshot, aggregate.
    #[inline]
    #[expect(
        clippy::too_many_arguments,
        reason = "the fields of one message, passed in registers"
    )]
    pub fn trade(
        &mut self,
        slot: SlotId,
        exchange_ns: i64,
        price: Number,
        amount: Number,
        id: u128,
        taker: Side,
        flags: Flags,
    ) -> Result<(), Reject> {
        let trade = Arrived {
            exchange_ns,
            recv_ns: self.recv_ns,
            price,
            amount,
            id,
            taker,
            flags,
        };
        if self.slots[slot as usize].hold.is_some() {
            self.keep(slot, trade);
            return Ok(());
        }
        self.put_trade(slot, trade)
    }

    #[inline(always)]
    fn put_trade(&mut self, slot: SlotId, trade: Arrived) -> Result<(), Reject> {
        let s = &mut self.slots[slot as usize];
        let seen = if trade.flags.has(Flags::AGGREGATE) {
            &mut s.aggregates
        } else {
            &mut s.trades
        };
        if !seen.insert(trade.id) {
            self.counts.duplicates += 1;
            return Ok(());
        }
        let (price, p_exact) = self.scaled(slot, true, trade.price)?;
        let (amount, a_exact) = self.scaled(slot, false, trade.amount)?;
        let instrument = self.slots[slot as usize].instrument;
        let mut event = Event::from_trade(
            instrument,
            trade.exchange_ns,
            trade.recv_ns,
            Trade {
                price,
                amount,
                id: trade.id,
                taker: trade.taker,
            },
        );
        event.flags = event
            .flags
            .with(trade.flags)
            .with_if(!(p_exact && a_exact), Flags::INEXACT);
        self.events.push(event);
        Ok(())
    }

    /// Best bid and offer as (price, amount); `None` for an empty side.
    #[inline]
    pub fn quote(
        &mut self,
        slot: SlotId,
        exchange_ns: i64,
        update_id: u64,
        bid: Option<(Number, Number)>,
        ask: Option<(Number, Number)>,
    ) -> Result<(), Reject> {
        let mut exact = true;
        let mut side = |out: &mut Self, level: Option<(Number, Number)>| {
            let Some((price, amount)) = level else {
                return Ok((0, 0));
            };
            let (p, p_exact) = out.scaled(slot, true, price)?;
            let (a, a_exact) = out.scaled(slot, false, amount)?;
            exact &= p_exact && a_exact;
            Ok((p, a))
        };
        let (bid, bid_amount) = side(self, bid)?;
        // A finer ask may re-scale, after which the bid must be put on the new scale too.
        let before = (
            self.slots[slot as usize].price_scale,
            self.slots[slot as usize].amount_scale,
        );
        let (ask, ask_amount) = side(self, ask)?;
        let after = (
            self.slots[slot as usize].price_scale,
            self.slots[slot as usize].amount_scale,
        );
        let mut quote = Quote {
            bid,
            bid_amount,
            ask,
            ask_amount,
        };
        if before != after {
            quote.bid = decimal::rescale(bid, before.0, after.0)
                .ok_or(Reject::Range)?
                .0;
            quote.bid_amount = decimal::rescale(bid_amount, before.1, after.1)
                .ok_or(Reject::Range)?
                .0;
        }
        let instrument = self.slots[slot as usize].instrument;
        let mut event = Event::from_quote(instrument, exchange_ns, self.recv_ns, update_id, quote);
        event.flags = event.flags.with_if(!exact, Flags::INEXACT);
        self.events.push(event);
        Ok(())
    }
}
