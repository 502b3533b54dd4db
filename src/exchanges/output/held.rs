//! Trades that are held back until those before them, which nobody saw, have been fetched. After a
//! restart only: off the hot path.

use super::{Output, SlotId};
use crate::exchanges::trades::PastTrade;
use crate::market::event::Flags;
use crate::market::{Event, InstrumentId, Number, Side, Status};
use std::collections::{BTreeMap, HashSet};

/// More trades of one instrument are not held back: they go on, and what was missed stays missing.
pub const MOST_HELD: usize = 20_000;

/// A trade as it came, before scales and duplicates.
#[derive(Clone, Copy)]
pub(super) struct Arrived {
    pub exchange_ns: i64,
    pub recv_ns: i64,
    pub price: Number,
    pub amount: Number,
    pub id: u128,
    pub taker: Side,
    /// Snapshot, aggregate, missed.
    pub flags: Flags,
}

/// What is held back of one instrument, and what was fetched to go before it.
pub(super) struct Hold {
    /// The last trade that an earlier run saw.
    last_id: u128,
    held: Vec<Arrived>,
    fetched: BTreeMap<u128, PastTrade>,
}

/// What is held back, for who fetches what goes before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The oldest trade that the earlier run did not see.
    pub oldest: Option<u128>,
    /// A trade happened just now whose id is not above the last one that the earlier run saw: ids
    /// do not go on from there.
    pub foreign: bool,
}

impl Output {
    /// From here on the slot's trades are held back. An earlier run saw those up to `last_id`.
    #[cold]
    pub fn hold(&mut self, slot: SlotId, last_id: u128) {
        self.slots[slot as usize].hold = Some(Box::new(Hold {
            last_id,
            held: Vec::new(),
            fetched: BTreeMap::new(),
        }));
    }

    /// `None` where the slot's trades are not held back, or not any more.
    pub fn held(&self, slot: SlotId) -> Option<Held> {
        let hold = self.slots[slot as usize].hold.as_deref()?;
        let known = |trade: &&Arrived| trade.id <= hold.last_id;
        let live = |trade: &&Arrived| !trade.flags.has(Flags::SNAPSHOT);
        let new = hold.held.iter().filter(|trade| !known(trade));
        Some(Held {
            oldest: new.map(|trade| trade.id).min(),
            foreign: hold.held.iter().filter(known).any(|trade| live(&trade)),
        })
    }

    /// Keeps trades that were missed until [`Output::release`].
    #[cold]
    pub fn fetched(&mut self, slot: SlotId, trades: &[PastTrade]) {
        if let Some(hold) = &mut self.slots[slot as usize].hold {
            let new = trades.iter().filter(|trade| trade.id > hold.last_id);
            hold.fetched.extend(new.map(|trade| (trade.id, *trade)));
        }
    }

    #[cold]
    pub(super) fn keep(&mut self, slot: SlotId, trade: Arrived) {
        if let Some(hold) = &mut self.slots[slot as usize].hold {
            hold.held.push(trade);
            if hold.held.len() >= MOST_HELD {
                self.release(slot, false);
            }
        }
    }

    /// Puts out what was held back. `complete`: all that was missed has been fetched, and goes
    /// before it; otherwise trades are missing, and the stream says so.
    #[cold]
    pub fn release(&mut self, slot: SlotId, complete: bool) {
        let s = &mut self.slots[slot as usize];
        let (Some(hold), instrument) = (s.hold.take(), s.instrument) else {
            return;
        };
        let last_id = hold.last_id;
        let trades = if complete {
            hold.in_order(self.recv_ns)
        } else {
            let status = Status::Interrupted;
            let event = Event::from_status(instrument, self.recv_ns, status);
            self.events.push(event);
            hold.held
        };
        let mut caught_up = !complete;
        for trade in trades {
            if complete && trade.id <= last_id {
                self.counts.duplicates += 1;
                continue;
            }
            if !caught_up && !trade.flags.has(Flags::MISSED) {
                self.caught_up(instrument);
                caught_up = true;
            }
            // One that fits no scale at all has no frame any more to be rejected with.
            let _ = self.put_trade(slot, trade);
        }
        if !caught_up {
            self.caught_up(instrument);
        }
    }

    #[cold]
    fn caught_up(&mut self, instrument: InstrumentId) {
        let event = Event::from_status(instrument, self.recv_ns, Status::CaughtUp);
        self.events.push(event);
    }
}

impl Hold {
    /// All trades by id: those that were missed, as received at `recv_ns`, and those that were held
    /// back.
    fn in_order(mut self, recv_ns: i64) -> Vec<Arrived> {
        let held: HashSet<u128> = self.held.iter().map(|trade| trade.id).collect();
        let new = held.iter().copied().filter(|id| *id > self.last_id);
        let newest = new.max().unwrap_or(u128::MAX);
        let turned = self.states_the_other_side();
        // What the subscription's history tells was missed, too.
        for trade in &mut self.held {
            if trade.flags.has(Flags::SNAPSHOT) {
                let others = Flags(trade.flags.0 & !Flags::SNAPSHOT.0);
                trade.flags = others.with(Flags::MISSED);
            }
        }
        let missed = self.fetched.into_values();
        // A newer one than those that came is on its way.
        let missed = missed.filter(|trade| trade.id < newest && !held.contains(&trade.id));
        let mut trades = self.held;
        trades.extend(missed.map(|trade| Arrived {
            exchange_ns: trade.exchange_ns,
            recv_ns,
            price: trade.price,
            amount: trade.amount,
            id: trade.id,
            taker: if turned {
                other(trade.taker)
            } else {
                trade.taker
            },
            flags: Flags::MISSED.with_if(trade.aggregate, Flags::AGGREGATE),
        }));
        trades.sort_by_key(|trade| trade.id);
        trades
    }

    /// Whether all trades that came both ways have the taker on the other side in the REST answers:
    /// not every exchange documents whose side those state.
    fn states_the_other_side(&self) -> bool {
        let both = self.held.iter().filter_map(|held| {
            let fetched = self.fetched.get(&held.id)?;
            Some(held.taker != fetched.taker)
        });
        let differs: Vec<bool> = both.collect();
        !differs.is_empty() && differs.iter().all(|differs| *differs)
    }
}

fn other(side: Side) -> Side {
    match side {
        Side::Buy => Side::Sell,
        Side::Sell => Side::Buy,
    }
}
