//! HOT PATH. What became of a signal? [`Watch`] holds an instrument's open signals and ends each at
//! the first of take-profit, stop, target or the end of its validity.
//!
//! A pure function of the ring's order, as the engine that calls it: time is the events', and the
//! market is the one price by which signals are decided ([`MarketState::twice_price`]: the middle
//! of the touch, else the last trade). Where nothing ends, an event costs three comparisons; after
//! warm-up nothing allocates. What an outcome is worth is computed in [`score`], off this path.
//!
//! # When a signal ends
//! - A level counts from the first event after the decision. To buy: take-profit and target are
//!   reached at or above them, the stop at or below it; to sell, the other way round. To hold: a
//!   level above the decision's price is reached from below, any other one from above.
//! - The price of the event that reaches a level is the outcome's, whatever the level: a market
//!   that jumps over a level ends where it lands.
//! - Where one event reaches several: the stop counts before take-profit, and that before the
//!   target. (Only a jump reaches two, and stop and target only where they lie the wrong way
//!   round.)
//! - Validity ends at `valid_until` itself. The first event at or after it ends the signal at the
//!   last price seen before; that event's own price reaches nothing any more.
//!
//! [`MarketState::twice_price`]: crate::state::MarketState::twice_price

pub mod record;
pub mod score;

use crate::market::InstrumentId;
use crate::market::decimal::{self, Scale};
use crate::signal::{Percent, Signal, SignalType};
use arrayvec::ArrayString;
use rust_decimal::Decimal;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use uuid::Uuid;

/// What ended a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    StopLoss,
    TakeProfit,
    Target,
    /// `valid_until` came first.
    Expired,
}

impl Ending {
    pub const fn name(self) -> &'static str {
        match self {
            Ending::StopLoss => "stop_loss",
            Ending::TakeProfit => "take_profit",
            Ending::Target => "target",
            Ending::Expired => "expired",
        }
    }
}

/// What is kept of a signal while it is open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Open {
    pub signal_id: Uuid,
    pub strategy: ArrayString<64>,
    pub signal_type: SignalType,
    pub confidence: Percent,
    /// The market at the decision.
    pub price: Decimal,
    pub target_price: Option<Decimal>,
    pub stop_loss_price: Option<Decimal>,
    pub take_profit_price: Option<Decimal>,
    pub event_ns: i64,
    pub valid_until_ns: i64,
    /// Of a strategy on trial: the outcome is journalled, and shown to nobody else.
    pub shadow: bool,
    /// Taken over from a run before this one: what happened in between was not seen.
    pub resumed: bool,
}

impl Open {
    pub fn of(signal: &Signal, strategy: &str, shadow: bool) -> Open {
        Open {
            signal_id: signal.id,
            strategy: cut(strategy),
            shadow,
            signal_type: signal.signal_type,
            confidence: signal.confidence,
            price: signal.price,
            target_price: signal.target_price,
            stop_loss_price: signal.stop_loss_price,
            take_profit_price: signal.take_profit_price,
            event_ns: signal.event_ns,
            valid_until_ns: signal.valid_until_ns,
            resumed: false,
        }
    }

    /// Whether `level` is reached from below; `stop` says that it is the stop.
    fn upward(&self, level: Decimal, stop: bool) -> bool {
        match self.signal_type {
            SignalType::Buy | SignalType::StrongBuy => !stop,
            SignalType::Sell | SignalType::StrongSell => stop,
            SignalType::Hold => level > self.price,
        }
    }

    /// Levels in the order in which they count.
    fn levels(&self) -> [(Ending, Option<Decimal>); 3] {
        [
            (Ending::StopLoss, self.stop_loss_price),
            (Ending::TakeProfit, self.take_profit_price),
            (Ending::Target, self.target_price),
        ]
    }
}

/// As much of a name as fits.
fn cut(name: &str) -> ArrayString<64> {
    let mut end = name.len().min(64);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    ArrayString::from(&name[..end]).unwrap_or_default()
}

/// How a signal ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    pub open: Open,
    pub instrument: InstrumentId,
    pub ending: Ending,
    /// The market then; `None` where none was seen while the signal was valid (a restart).
    pub exit_price: Option<Decimal>,
    /// Of the event that reached a level; `valid_until` where that came first.
    pub ended_ns: i64,
    /// Breaks of the instrument's data in between.
    pub gaps: u32,
}

/// What the engine decides: goes to the journal in this order.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a ring's slot holds either; a box would be an allocation for each signal"
)]
pub enum Decision {
    Signal(Signal),
    Outcome(Outcome),
}

/// A price at which a signal ends, twice the integer at the instrument's scale; ordered by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Trigger<T> {
    at: T,
    /// Tells a signal from an earlier one in the same slot, and orders those with one price.
    serial: u64,
    slot: u32,
}

struct Slot {
    open: Open,
    serial: u64,
    /// Breaks so far when it was opened.
    breaks: u32,
}

/// The open signals of one instrument.
pub struct Watch {
    scale: Scale,
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    above: BinaryHeap<Reverse<Trigger<i128>>>,
    below: BinaryHeap<Trigger<i128>>,
    ends: BinaryHeap<Reverse<Trigger<i64>>>,
    /// The nearest of each, so that most events are done with them.
    next_above: i128,
    next_below: i128,
    next_end_ns: i64,
    /// Twice the newest price seen.
    last: Option<i128>,
    /// Time of the newest event.
    now_ns: i64,
    /// Times the instrument's data broke.
    breaks: u32,
    serial: u64,
}

/// Room for so many open signals before anything grows.
const ROOM: usize = 32;
/// Triggers of signals that have ended are cleared away when there are twice as many as open ones,
/// and this many.
const CLUTTER: usize = 64;

impl Watch {
    pub fn new(scale: Scale) -> Self {
        Watch {
            scale,
            slots: Vec::with_capacity(ROOM),
            free: Vec::with_capacity(ROOM),
            above: BinaryHeap::with_capacity(2 * CLUTTER),
            below: BinaryHeap::with_capacity(2 * CLUTTER),
            ends: BinaryHeap::with_capacity(2 * CLUTTER),
            next_above: i128::MAX,
            next_below: i128::MIN,
            next_end_ns: i64::MAX,
            last: None,
            now_ns: i64::MIN,
            breaks: 0,
            serial: 0,
        }
    }

    /// Open signals.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// From the next event on this signal is watched.
    pub fn add(&mut self, open: Open) {
        self.serial += 1;
        let slot = Slot {
            open,
            serial: self.serial,
            breaks: self.breaks,
        };
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                self.slots.push(None);
                (self.slots.len() - 1) as u32
            }
        };
        self.arm(index, &slot);
        self.slots[index as usize] = Some(slot);
        self.nearest();
    }

    fn arm(&mut self, slot: u32, of: &Slot) {
        let serial = of.serial;
        self.ends.push(Reverse(Trigger {
            at: of.open.valid_until_ns,
            serial,
            slot,
        }));
        for (ending, level) in of.open.levels() {
            let Some(level) = level else { continue };
            let upward = of.open.upward(level, ending == Ending::StopLoss);
            let at = twice(level, self.scale, upward);
            let trigger = Trigger { at, serial, slot };
            if upward {
                self.above.push(Reverse(trigger));
            } else {
                self.below.push(trigger);
            }
        }
    }

    /// An event came at `time_ns` and left the market at `price` (twice the integer; `None` where
    /// there is none yet). Calls `ended` for each signal that ends with it.
    #[inline]
    pub fn seen(
        &mut self,
        time_ns: i64,
        price: Option<i128>,
        mut ended: impl FnMut(&Open, Ending, Option<Decimal>, i64, u32),
    ) {
        self.now_ns = self.now_ns.max(time_ns);
        if self.now_ns >= self.next_end_ns {
            self.expire(&mut ended);
        }
        let Some(price) = price else { return };
        self.last = Some(price);
        if price >= self.next_above || price <= self.next_below {
            self.reach(price, time_ns, &mut ended);
        }
    }

    #[inline(never)]
    fn expire(&mut self, ended: &mut impl FnMut(&Open, Ending, Option<Decimal>, i64, u32)) {
        while let Some(Reverse(end)) = self.ends.peek().copied()
            && end.at <= self.now_ns
        {
            self.ends.pop();
            if let Some(slot) = self.close(end.slot, end.serial) {
                let gaps = self.breaks - slot.breaks;
                let exit = self.last.and_then(|p| decimal::half(p, self.scale));
                ended(&slot.open, Ending::Expired, exit, end.at, gaps);
            }
        }
        self.tidy();
    }

    #[inline(never)]
    fn reach(
        &mut self,
        price: i128,
        time_ns: i64,
        ended: &mut impl FnMut(&Open, Ending, Option<Decimal>, i64, u32),
    ) {
        loop {
            let next = match (self.above.peek(), self.below.peek()) {
                (Some(Reverse(t)), _) if t.at <= price => *t,
                (_, Some(t)) if t.at >= price => *t,
                _ => break,
            };
            if next.at <= price && self.above.peek() == Some(&Reverse(next)) {
                self.above.pop();
            } else {
                self.below.pop();
            }
            let Some(slot) = self.close(next.slot, next.serial) else {
                continue;
            };
            let open = &slot.open;
            let reached = |(ending, level): &(Ending, Option<Decimal>)| {
                level.is_some_and(|level| {
                    let upward = open.upward(level, *ending == Ending::StopLoss);
                    let at = twice(level, self.scale, upward);
                    if upward { price >= at } else { price <= at }
                })
            };
            if let Some((ending, _)) = open.levels().into_iter().find(reached) {
                let exit = decimal::half(price, self.scale);
                ended(open, ending, exit, time_ns, self.breaks - slot.breaks);
            }
        }
        self.tidy();
    }

    /// Takes a signal out, unless that was done already.
    fn close(&mut self, index: u32, serial: u64) -> Option<Slot> {
        let slot = self.slots.get_mut(index as usize)?;
        if slot.as_ref()?.serial != serial {
            return None;
        }
        self.free.push(index);
        slot.take()
    }

    /// Clears away what belongs to signals that have ended, once it is much.
    fn tidy(&mut self) {
        let most = CLUTTER.max(4 * self.len());
        let slots = &self.slots;
        let open = |slot: u32, serial: u64| {
            let at = slots.get(slot as usize).and_then(Option::as_ref);
            at.is_some_and(|s| s.serial == serial)
        };
        if self.above.len() > most {
            self.above.retain(|Reverse(t)| open(t.slot, t.serial));
        }
        if self.below.len() > most {
            self.below.retain(|t| open(t.slot, t.serial));
        }
        if self.ends.len() > most {
            self.ends.retain(|Reverse(t)| open(t.slot, t.serial));
        }
        self.nearest();
    }

    fn nearest(&mut self) {
        self.next_above = self.above.peek().map_or(i128::MAX, |t| t.0.at);
        self.next_below = self.below.peek().map_or(i128::MIN, |t| t.at);
        self.next_end_ns = self.ends.peek().map_or(i64::MAX, |t| t.0.at);
    }

    /// The instrument's data broke: what is open has not seen all of its market.
    pub fn broke(&mut self) {
        self.breaks += 1;
    }

    /// Prices come at another scale from here on.
    #[cold]
    pub fn rescale(&mut self, scale: Scale) {
        let last = self.last.and_then(|p| decimal::half(p, self.scale));
        self.scale = scale;
        self.last = last.map(|price| twice(price, scale, true));
        self.above.clear();
        self.below.clear();
        self.ends.clear();
        let slots = std::mem::take(&mut self.slots);
        for (index, slot) in slots.iter().enumerate() {
            if let Some(slot) = slot {
                self.arm(index as u32, slot);
            }
        }
        self.slots = slots;
        self.nearest();
    }
}

/// Twice `level` as an integer at `scale`: the first one at or above it where it is reached from
/// below, else the first one at or below it. Saturates.
fn twice(level: Decimal, scale: Scale, upward: bool) -> i128 {
    let (mantissa, has) = (level.mantissa() * 2, level.scale());
    let scale = u32::from(scale);
    if has <= scale {
        let beyond = if level.is_sign_negative() {
            i128::MIN
        } else {
            i128::MAX
        };
        return mantissa
            .checked_mul(10i128.pow(scale - has))
            .unwrap_or(beyond);
    }
    let step = 10i128.pow(has - scale);
    let floor = mantissa.div_euclid(step);
    floor + i128::from(upward && mantissa.rem_euclid(step) != 0)
}

#[cfg(test)]
mod tests;
