//! HOT PATH. The one record that moves: 64 bytes, `Copy`, a cache line.
//!
//! ```text
//!  0        8        16         24          28    29     30         32                      64
//!  |exchange|recv    |update_id |instrument |kind |flags |decode_ns |payload: 4 words        |
//!  |_ns     |_ns     |          |           |     |      |          |                        |
//! ```
//! A book update of N levels is N events; the first carries [`Flags::FIRST`], the last
//! [`Flags::LAST`]. Prices and amounts are integers at the instrument's scale at that point of the
//! stream; a [`Status::Rescale`] event changes it for what follows.

use super::day::DayStats;
use super::instrument::InstrumentId;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Which side of the book, or who was the aggressor of a trade (always the **taker**).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Side {
    /// Bids; a taker who bought.
    #[default]
    Buy,
    /// Asks; a taker who sold.
    Sell,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Trade = 1,
    Quote = 2,
    Book = 3,
    Status = 4,
}

/// Bits of [`Event::flags`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    /// First event of its message.
    pub const FIRST: Flags = Flags(1);
    /// Last event of its message: the book may be looked at now.
    pub const LAST: Flags = Flags(1 << 1);
    /// Part of a book snapshot, or a trade out of a subscription's history.
    pub const SNAPSHOT: Flags = Flags(1 << 2);
    /// Asks, or a taker who sold.
    pub const SELL: Flags = Flags(1 << 3);
    /// A value was rounded to fit.
    pub const INEXACT: Flags = Flags(1 << 4);
    /// A book message that changed no level: carries sequence and checksum only.
    pub const EMPTY: Flags = Flags(1 << 5);
    /// Of a trade: it was missed and fetched later. It is in its place in the order and moves bars
    /// and strategies, but no signal is published on it, and no store gets it. (The bit that says
    /// [`Flags::EMPTY`] of a book message.)
    pub const MISSED: Flags = Flags(1 << 5);
    /// The payload holds the exchange's checksum of the book after this message.
    pub const CHECKSUM: Flags = Flags(1 << 6);
    /// An aggregate of several fills of one taker order (its id space is apart from single
    /// trades').
    pub const AGGREGATE: Flags = Flags(1 << 7);

    #[inline]
    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }
    #[inline]
    #[must_use]
    pub const fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
    #[inline]
    #[must_use]
    pub const fn with_if(self, condition: bool, other: Flags) -> Flags {
        if condition { self.with(other) } else { self }
    }
}

/// A trade: price, amount of base, the exchange's id (numbers, hex and UUIDs fit 16 bytes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trade {
    pub price: i64,
    pub amount: i64,
    pub id: u128,
    pub taker: Side,
}

/// Best bid and offer. An empty side has amount 0 and price 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    pub bid: i64,
    pub bid_amount: i64,
    pub ask: i64,
    pub ask_amount: i64,
}

/// One level of a book: the new absolute amount at a price; 0 removes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BookDelta {
    pub side: Side,
    pub price: i64,
    pub amount: i64,
    /// Digits after the point as the exchange wrote them (its checksum is over that text).
    pub price_digits: u8,
    pub amount_digits: u8,
    /// The exchange's checksum; valid where the event has [`Flags::CHECKSUM`].
    pub checksum: u32,
}

/// Why a book cannot be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    None = 0,
    /// The connection was lost.
    Disconnected = 1,
    /// The exchange's sequence has a hole.
    SequenceGap = 2,
    /// The exchange's checksum does not match the book.
    Checksum = 3,
    /// Best bid at or above best ask.
    Crossed = 4,
    /// Nothing arrived, or trades print through a touch that does not move.
    Stale = 5,
    /// A message of this book could not be decoded.
    Rejected = 6,
    /// A snapshot was too old to join the stream.
    SnapshotTooOld = 7,
}

impl Reason {
    pub const ALL: [Reason; 8] = [
        Reason::None,
        Reason::Disconnected,
        Reason::SequenceGap,
        Reason::Checksum,
        Reason::Crossed,
        Reason::Stale,
        Reason::Rejected,
        Reason::SnapshotTooOld,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Reason::None => "none",
            Reason::Disconnected => "disconnected",
            Reason::SequenceGap => "sequence_gap",
            Reason::Checksum => "checksum",
            Reason::Crossed => "crossed",
            Reason::Stale => "stale",
            Reason::Rejected => "rejected",
            Reason::SnapshotTooOld => "snapshot_too_old",
        }
    }

    pub fn from_name(name: &str) -> Option<Reason> {
        Reason::ALL.into_iter().find(|r| r.name() == name)
    }
}

/// Trades that were missed between two runs are told of no more than this time before the start.
pub const MISSED_AT_MOST: Duration = Duration::from_secs(15 * 60);

/// What happened to a feed or a book, in ring order with the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The instrument is in the registry and its events may follow.
    Listed,
    /// The book is no longer right; `epoch` is the new one.
    BookStale { reason: Reason, epoch: u32 },
    /// Integers that follow are at these scales; what the engine holds is re-scaled.
    Rescale { price: u8, amount: u8 },
    /// A connection was lost that may have carried the instrument: events may be missing.
    Interrupted,
    /// An operator lets the instrument's signals be published from here on, or not.
    InstrumentSwitch { on: bool },
    /// The same for a strategy on all instruments; `plan` is its place in the engine's list, and
    /// the event's instrument says nothing.
    StrategySwitch { plan: u16, on: bool },
    /// Bars from before the run are in the registry, or there are none: strategies that waited for
    /// them go on.
    Past,
    /// All trades that were missed since the run before are in: what went on from there goes on
    /// live.
    CaughtUp,
    /// A strategy has other parameters from here on, on all instruments: those that lie in the
    /// engine's settings under this number. The event's instrument says nothing.
    Parameters { change: u32 },
}

/// See the module's picture. Times are ns since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Event {
    /// The exchange's stamp; 0 where it gives none.
    pub exchange_ns: i64,
    /// When the frame arrived here, before decoding.
    pub recv_ns: i64,
    /// The exchange's book update id or sequence; 0 where it gives none.
    pub update_id: u64,
    pub instrument: InstrumentId,
    pub kind: Kind,
    pub flags: Flags,
    /// Receipt to decoded, ns, saturating.
    pub decode_ns: u16,
    payload: [u64; 4],
}

const _: () = assert!(size_of::<Event>() == 64 && align_of::<Event>() == 64);

impl Event {
    #[inline]
    fn new(
        kind: Kind,
        instrument: InstrumentId,
        exchange_ns: i64,
        recv_ns: i64,
        update_id: u64,
        payload: [u64; 4],
    ) -> Event {
        Event {
            exchange_ns,
            recv_ns,
            update_id,
            instrument,
            kind,
            flags: Flags(0),
            decode_ns: 0,
            payload,
        }
    }

    #[inline]
    pub fn from_trade(
        instrument: InstrumentId,
        exchange_ns: i64,
        recv_ns: i64,
        trade: Trade,
    ) -> Event {
        let payload = [
            trade.price as u64,
            trade.amount as u64,
            trade.id as u64,
            (trade.id >> 64) as u64,
        ];
        let mut event = Event::new(Kind::Trade, instrument, exchange_ns, recv_ns, 0, payload);
        event.flags = Flags::FIRST
            .with(Flags::LAST)
            .with_if(trade.taker == Side::Sell, Flags::SELL);
        event
    }

    #[inline]
    pub fn from_quote(
        instrument: InstrumentId,
        exchange_ns: i64,
        recv_ns: i64,
        update_id: u64,
        quote: Quote,
    ) -> Event {
        let payload = [
            quote.bid as u64,
            quote.bid_amount as u64,
            quote.ask as u64,
            quote.ask_amount as u64,
        ];
        let mut event = Event::new(
            Kind::Quote,
            instrument,
            exchange_ns,
            recv_ns,
            update_id,
            payload,
        );
        event.flags = Flags::FIRST.with(Flags::LAST);
        event
    }

    #[inline]
    pub fn from_delta(
        instrument: InstrumentId,
        exchange_ns: i64,
        recv_ns: i64,
        update_id: u64,
        delta: BookDelta,
    ) -> Event {
        let nothing = [0; 4];
        Event::new(
            Kind::Book,
            instrument,
            exchange_ns,
            recv_ns,
            update_id,
            nothing,
        )
        .with_delta(delta)
    }

    /// This book event with another change in it.
    #[inline(always)]
    pub fn with_delta(&self, delta: BookDelta) -> Event {
        let text = u64::from(delta.checksum)
            | u64::from(delta.price_digits) << 32
            | u64::from(delta.amount_digits) << 40;
        let others = Flags(self.flags.0 & !Flags::SELL.0);
        Event {
            flags: others.with_if(delta.side == Side::Sell, Flags::SELL),
            payload: [delta.price as u64, delta.amount as u64, text, 0],
            ..*self
        }
    }

    pub fn from_status(instrument: InstrumentId, recv_ns: i64, status: Status) -> Event {
        let payload = match status {
            Status::Listed => [0, 0, 0, 0],
            Status::BookStale { reason, epoch } => [1, reason as u64, u64::from(epoch), 0],
            Status::Rescale { price, amount } => [2, u64::from(price), u64::from(amount), 0],
            Status::Interrupted => [3, 0, 0, 0],
            Status::InstrumentSwitch { on } => [4, u64::from(on), 0, 0],
            Status::StrategySwitch { plan, on } => [5, u64::from(on), u64::from(plan), 0],
            Status::Past => [6, 0, 0, 0],
            Status::Parameters { change } => [7, u64::from(change), 0, 0],
            Status::CaughtUp => [8, 0, 0, 0],
        };
        let mut event = Event::new(Kind::Status, instrument, 0, recv_ns, 0, payload);
        event.flags = Flags::FIRST.with(Flags::LAST);
        event
    }

    #[inline]
    pub fn side(&self) -> Side {
        if self.flags.has(Flags::SELL) {
            Side::Sell
        } else {
            Side::Buy
        }
    }

    /// Valid where `kind` is [`Kind::Trade`].
    #[inline]
    pub fn trade(&self) -> Trade {
        debug_assert_eq!(self.kind, Kind::Trade);
        Trade {
            price: self.payload[0] as i64,
            amount: self.payload[1] as i64,
            id: u128::from(self.payload[2]) | u128::from(self.payload[3]) << 64,
            taker: self.side(),
        }
    }

    /// Valid where `kind` is [`Kind::Quote`].
    #[inline]
    pub fn quote(&self) -> Quote {
        debug_assert_eq!(self.kind, Kind::Quote);
        // One by one: `map` of an array is a call in a build without optimisation across units.
        let [bid, bid_amount, ask, ask_amount] = self.payload;
        Quote {
            bid: bid as i64,
            bid_amount: bid_amount as i64,
            ask: ask as i64,
            ask_amount: ask_amount as i64,
        }
    }

    /// Valid where `kind` is [`Kind::Book`].
    #[inline]
    pub fn delta(&self) -> BookDelta {
        debug_assert_eq!(self.kind, Kind::Book);
        BookDelta {
            side: self.side(),
            price: self.payload[0] as i64,
            amount: self.payload[1] as i64,
            price_digits: (self.payload[2] >> 32) as u8,
            amount_digits: (self.payload[2] >> 40) as u8,
            checksum: self.payload[2] as u32,
        }
    }

    /// Valid where `kind` is [`Kind::Status`].
    pub fn status(&self) -> Status {
        debug_assert_eq!(self.kind, Kind::Status);
        match self.payload[0] {
            1 => Status::BookStale {
                reason: Reason::ALL[(self.payload[1] & 7) as usize],
                epoch: self.payload[2] as u32,
            },
            2 => Status::Rescale {
                price: self.payload[1] as u8,
                amount: self.payload[2] as u8,
            },
            3 => Status::Interrupted,
            4 => Status::InstrumentSwitch {
                on: self.payload[1] != 0,
            },
            5 => Status::StrategySwitch {
                plan: self.payload[2] as u16,
                on: self.payload[1] != 0,
            },
            6 => Status::Past,
            7 => Status::Parameters {
                change: self.payload[1] as u32,
            },
            8 => Status::CaughtUp,
            _ => Status::Listed,
        }
    }

    /// A trade that was fetched after it was missed.
    #[inline]
    pub fn was_missed(&self) -> bool {
        self.kind == Kind::Trade && self.flags.has(Flags::MISSED)
    }

    /// Puts the exchange's checksum into the last event of a book message.
    #[inline]
    pub fn set_checksum(&mut self, checksum: u32) {
        self.payload[2] = self.payload[2] & !0xffff_ffff | u64::from(checksum);
        self.flags = self.flags.with(Flags::CHECKSUM);
    }

    /// Replaces a book delta's integers, for re-scaling what waits in a buffer.
    pub fn set_delta_values(&mut self, price: i64, amount: i64) {
        self.payload[0] = price as u64;
        self.payload[1] = amount as u64;
    }

    /// The first update id of a book message that waits for its snapshot; 0 otherwise.
    pub fn first_update_id(&self) -> u64 {
        self.payload[3]
    }

    pub fn set_first_update_id(&mut self, id: u64) {
        self.payload[3] = id;
    }

    /// The event's time in the engine: the exchange's stamp, else the receipt's.
    #[inline]
    pub fn time_ns(&self) -> i64 {
        if self.exchange_ns != 0 {
            self.exchange_ns
        } else {
            self.recv_ns
        }
    }

    /// The payload as bytes, for an id where the exchange gives none.
    pub fn payload_bytes(&self) -> [u8; 32] {
        let mut out = [0; 32];
        for (chunk, word) in out.chunks_exact_mut(8).zip(self.payload) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        out
    }
}

/// What goes to tick stores: the event and the rolling day it left behind.
#[derive(Clone, Copy, Debug)]
pub struct Tick {
    pub event: Event,
    pub day: DayStats,
}
