//! HOT PATH. What the engine knows of one instrument: book, quote, last trade, bars, day, quality.
//!
//! Changed by events only; reads no clock. Strategies see it through [`crate::strategy::Context`].

use crate::market::day::{Kept, Minute};
use crate::market::decimal::{self, Scale};
use crate::market::event::Flags;
use crate::market::{Bars, Book, Day, Event, Instrument, Quote, Reason, Trade};
use crate::signal::DataQuality;
use rust_decimal::Decimal;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BookState {
    /// No snapshot yet, or broken.
    Stale,
    /// A snapshot is being applied.
    Loading,
    Synced,
}

/// What came of the time before the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Before {
    /// Nothing, so far.
    #[default]
    Unasked,
    /// It goes on from an earlier run, and trades that were missed are still to come.
    Awaited,
    /// The missed trades are in.
    CaughtUp,
    /// So are the bars from before; nothing more comes.
    Told,
}

pub struct MarketState {
    pub instrument: Arc<Instrument>,
    pub price_scale: Scale,
    pub amount_scale: Scale,
    pub book: Book,
    pub book_state: BookState,
    pub quote: Option<Quote>,
    pub last_trade: Option<Trade>,
    /// Its time, ns.
    pub last_trade_ns: i64,
    pub day: Day,
    pub bars: Bars,
    pub quality: DataQuality,
    /// Whether what happened before the run is still to be told.
    pub before: Before,
    /// Time of the newest event.
    pub now_ns: i64,
    pub checksums_ok: u64,
    pub checksums_failed: u64,
    /// Trades outside the touch since the book last changed, and when that was.
    trades_through: u32,
    book_ns: i64,
}

/// A book is taken for dead when this many trades printed outside its touch …
const TRADES_THROUGH: u32 = 20;
/// … and it has not changed for this long, ns.
const STILL_BOOK_NS: i64 = 10_000_000_000;

/// What a book event did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BookChange {
    /// In the middle of a message, or not trusted.
    None,
    /// A message is complete and the book is right.
    Updated,
    /// The book turned out wrong: it is stale now and wants a resync.
    Broken(Reason),
}

impl MarketState {
    pub fn new(instrument: Arc<Instrument>) -> Self {
        let (price_scale, amount_scale) = (instrument.price_scale(), instrument.amount_scale());
        let book = Book::new(
            instrument.tick(price_scale),
            usize::from(instrument.book_depth),
            instrument.checksum,
        );
        MarketState {
            instrument,
            price_scale,
            amount_scale,
            book,
            book_state: BookState::Stale,
            quote: None,
            last_trade: None,
            last_trade_ns: 0,
            day: Day::default(),
            bars: Bars::new(),
            quality: DataQuality::default(),
            before: Before::Unasked,
            now_ns: 0,
            checksums_ok: 0,
            checksums_failed: 0,
            trades_through: 0,
            book_ns: 0,
        }
    }

    /// Applies one event of a book message.
    #[inline]
    pub fn book_event(&mut self, event: &Event) -> BookChange {
        let flags = event.flags;
        if flags.has(Flags::SNAPSHOT) {
            if flags.has(Flags::FIRST) {
                self.book.clear();
                self.book_state = BookState::Loading;
            }
        } else if self.book_state != BookState::Synced {
            return BookChange::None;
        }
        let delta = event.delta();
        if !flags.has(Flags::EMPTY) {
            self.book.apply(&delta);
        }
        if !flags.has(Flags::LAST) {
            return BookChange::None;
        }
        self.book.truncate();
        if flags.has(Flags::CHECKSUM) {
            if self
                .book
                .kraken_checksum(self.price_scale, self.amount_scale)
                != delta.checksum
            {
                self.checksums_failed += 1;
                return self.broken(Reason::Checksum);
            }
            self.checksums_ok += 1;
        }
        if self.book.crossed() {
            return self.broken(Reason::Crossed);
        }
        self.book_state = BookState::Synced;
        self.quality.synced = true;
        self.trades_through = 0;
        self.book_ns = event.time_ns();
        BookChange::Updated
    }

    fn broken(&mut self, reason: Reason) -> BookChange {
        self.book_state = BookState::Stale;
        self.quality.synced = false;
        BookChange::Broken(reason)
    }

    /// The feed says that the book is no longer right.
    pub fn book_stale(&mut self, epoch: u32) {
        self.book_state = BookState::Stale;
        self.quality.synced = false;
        self.quality.epoch = epoch;
        self.quality.gaps += 1;
    }

    /// Applies a trade. Says so where trades print through a touch that does not move: then the
    /// book has silently stopped.
    #[inline]
    pub fn trade_event(&mut self, event: &Event) -> Option<Reason> {
        let trade = event.trade();
        let missed = event.was_missed();
        if !missed {
            // The day may know a missed one: it is kept more often than the rest.
            self.day.trade(event.time_ns(), trade.price, trade.amount);
        }
        self.last_trade = Some(trade);
        self.last_trade_ns = event.time_ns();
        if missed || self.book_state != BookState::Synced {
            return None;
        }
        let outside = self.book.best_ask().is_some_and(|a| trade.price > a.price)
            || self.book.best_bid().is_some_and(|b| trade.price < b.price);
        if !outside {
            return None;
        }
        self.trades_through += 1;
        if self.trades_through < TRADES_THROUGH
            || self.now_ns.saturating_sub(self.book_ns) < STILL_BOOK_NS
        {
            return None;
        }
        self.broken(Reason::Stale);
        Some(Reason::Stale)
    }

    /// Takes over what an earlier run saw of the last 24 hours, and listens from `now_ns` on.
    pub fn continue_day(&mut self, kept: Option<Kept>, now_ns: i64) {
        if let Some(kept) = kept {
            let (old_price, old_amount) = (kept.price_scale, kept.amount_scale);
            let (new_price, new_amount) = (self.price_scale, self.amount_scale);
            self.day = *kept.day;
            self.day.rescale(
                |v| decimal::rescale(v, old_price, new_price).map(|r| r.0),
                |v| decimal::rescale(v, old_amount, new_amount).map(|r| r.0),
            );
        }
        if now_ns > 0 {
            self.day.listen(now_ns);
        }
    }

    /// A minute of the day that changed, for the next run.
    #[inline]
    pub fn minute_to_save(&mut self, last: bool) -> Option<Minute> {
        let minute = self.day.to_save(last)?;
        Some(Minute {
            price_scale: self.price_scale,
            amount_scale: self.amount_scale,
            ..minute
        })
    }

    /// Counts values that were rounded.
    #[inline]
    pub fn note_quality(&mut self, event: &Event) {
        self.quality.inexact += u32::from(event.flags.has(Flags::INEXACT));
    }

    /// Re-expresses everything held at new scales; false where the book had to be given up.
    pub fn rescale(&mut self, price_scale: Scale, amount_scale: Scale) -> bool {
        let (old_price, old_amount) = (self.price_scale, self.amount_scale);
        let price = |v: i64| decimal::rescale(v, old_price, price_scale).map(|r| r.0);
        let amount = |v: i64| decimal::rescale(v, old_amount, amount_scale).map(|r| r.0);
        self.price_scale = price_scale;
        self.amount_scale = amount_scale;
        self.day.rescale(price, amount);
        self.bars.rescale(price, amount);
        self.last_trade = self.last_trade.and_then(|t| {
            Some(Trade {
                price: price(t.price)?,
                amount: amount(t.amount)?,
                ..t
            })
        });
        self.quote = self.quote.and_then(|q| {
            Some(Quote {
                bid: price(q.bid)?,
                bid_amount: amount(q.bid_amount)?,
                ask: price(q.ask)?,
                ask_amount: amount(q.ask_amount)?,
            })
        });
        let tick = self.instrument.tick(price_scale);
        self.book.rescale(tick, price, amount)
    }

    /// The market at this moment: the middle of the touch where there is one, else the last trade's
    /// price.
    pub fn price_decimal(&self) -> Option<Decimal> {
        decimal::half(self.twice_price()?, self.price_scale)
    }

    /// The same as an integer: twice the price at `price_scale`.
    #[inline]
    pub fn twice_price(&self) -> Option<i128> {
        if let Some((bid, ask)) = self.touch() {
            return Some(i128::from(bid) + i128::from(ask));
        }
        self.last_trade.map(|t| i128::from(t.price) * 2)
    }

    /// The same for computing with.
    #[inline]
    pub fn price(&self) -> Option<f64> {
        self.mid().or_else(|| {
            self.last_trade
                .map(|t| decimal::to_f64(t.price, self.price_scale))
        })
    }

    /// Middle of the best bid and offer, from the synced book, else from the last quote.
    #[inline]
    pub fn mid(&self) -> Option<f64> {
        let (bid, ask) = self.touch()?;
        Some(
            (decimal::to_f64(bid, self.price_scale) + decimal::to_f64(ask, self.price_scale)) / 2.0,
        )
    }

    /// Best bid and ask prices (integers): of the newest quote where there is one, else of the
    /// synced book.
    #[inline]
    pub fn touch(&self) -> Option<(i64, i64)> {
        if let Some(q) = self.quote
            && q.bid > 0
            && q.ask > 0
        {
            return Some((q.bid, q.ask));
        }
        if self.book_state == BookState::Synced {
            return Some((self.book.best_bid()?.price, self.book.best_ask()?.price));
        }
        None
    }

    /// `price` on the instrument's price step, nearest.
    pub fn on_tick(&self, price: f64) -> Option<Decimal> {
        let tick = self.instrument.tick(self.price_scale);
        let units = (price * decimal::pow10(self.price_scale) as f64 / tick as f64).round();
        if !units.is_finite() || units <= 0.0 || units >= (i64::MAX / tick) as f64 {
            return None;
        }
        Some(decimal::to_decimal(units as i64 * tick, self.price_scale))
    }
}
