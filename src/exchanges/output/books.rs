//! HOT PATH. Book messages in their order: sequence, snapshots, what waits for one, what breaks.

use super::{BookRule, MAX_WAITING, Open, Output, SlotId, Sync, Want};
use crate::exchanges::Reject;
use crate::market::decimal::Scale;
use crate::market::event::Flags;
use crate::market::{BookDelta, Event, Fit, Kind, Number, Reason, Side, Status};

impl Output {
    /// The connection's own message counter: a hole means that something was lost for any of its
    /// books. Asked twice within a frame (a cursor, then the complete path), it answers once.
    #[inline]
    pub fn sequence(&mut self, number: u64) {
        if std::mem::replace(&mut self.sequenced, true) {
            return;
        }
        let connection = self.connection as usize;
        if self.sequences.len() <= connection {
            self.sequences.resize(connection + 1, None);
        }
        let expected = self.sequences[connection].map(|n| n.wrapping_add(1));
        self.sequences[connection] = Some(number);
        if expected.is_some_and(|e| e != number) {
            self.sequence_gap();
        }
    }

    /// Whether `number` is what [`Output::sequence`] waits for. A cursor asks this first and counts
    /// only when it has read its frame to the end: a torn frame must leave a hole.
    #[inline]
    pub fn follows(&self, number: u64) -> bool {
        let last = self
            .sequences
            .get(self.connection as usize)
            .copied()
            .flatten();
        last.is_some_and(|last| last.wrapping_add(1) == number)
    }

    #[cold]
    fn sequence_gap(&mut self) {
        for slot in 0..self.slots.len() {
            if self.slots[slot].book_connection == Some(self.connection)
                && self.slots[slot].synced()
            {
                self.break_book(slot as SlotId, Reason::SequenceGap);
            }
        }
    }

    /// A book message begins. `first_id..=last_id` are the exchange's update ids (0, 0 where it
    /// gives none). False where its levels need not be read: the message is old, or its book waits.
    #[inline]
    pub fn book(
        &mut self,
        slot: SlotId,
        exchange_ns: i64,
        first_id: u64,
        last_id: u64,
        snapshot: bool,
    ) -> bool {
        let s = &self.slots[slot as usize];
        let (mut wait, mut gap) = (false, false);
        if !snapshot {
            match s.sync {
                Sync::Waiting { .. } if self.rule == BookRule::StreamSnapshot => {
                    self.counts.outdated += 1;
                    return false;
                }
                Sync::Waiting { .. } => wait = true,
                Sync::Live { .. } if self.rule == BookRule::StreamSnapshot => {}
                Sync::Live { last } if last_id <= last => {
                    self.counts.outdated += 1;
                    return false;
                }
                Sync::Live { last } if first_id > last.saturating_add(1) => {
                    (wait, gap) = (true, true)
                }
                Sync::Live { .. } => {}
            }
        }
        self.open = Some(Open {
            slot,
            first_id,
            last_id,
            exchange_ns,
            snapshot,
            start: self.events.len(),
            wait,
            gap,
        });
        self.rescaled = false;
        true
    }

    /// One level of the message under way: the new absolute amount at a price, 0 removes it.
    #[inline]
    pub fn level(&mut self, side: Side, price: Number, amount: Number) -> Result<(), Reject> {
        let Some(open) = self.open else { return Ok(()) };
        let (p, p_exact) = self.scaled(open.slot, true, price)?;
        let (a, a_exact) = self.scaled(open.slot, false, amount)?;
        let instrument = self.slots[open.slot as usize].instrument;
        let delta = BookDelta {
            side,
            price: p,
            amount: a,
            price_digits: price.fraction,
            amount_digits: amount.fraction,
            checksum: 0,
        };
        let mut event = Event::from_delta(
            instrument,
            open.exchange_ns,
            self.recv_ns,
            open.last_id,
            delta,
        );
        event.flags = event
            .flags
            .with_if(open.snapshot, Flags::SNAPSHOT)
            .with_if(!(p_exact && a_exact), Flags::INEXACT);
        self.events.push(event);
        Ok(())
    }

    /// For a cursor: writes the levels of the message under way, if they are needed.
    #[inline(always)]
    pub fn pen(&mut self) -> Option<Pen<'_>> {
        let open = self.open?;
        let s = &self.slots[open.slot as usize];
        let nothing = BookDelta::default();
        let (exchange_ns, id) = (open.exchange_ns, open.last_id);
        let mut event = Event::from_delta(s.instrument, exchange_ns, self.recv_ns, id, nothing);
        event.flags = Flags::default().with_if(open.snapshot, Flags::SNAPSHOT);
        Some(Pen {
            event,
            price_scale: s.price_scale,
            amount_scale: s.amount_scale,
            events: &mut self.events,
        })
    }

    /// The book message is complete; `checksum` is the exchange's, of the book after it.
    #[inline]
    pub fn book_end(&mut self, checksum: Option<u32>) {
        let Some(open) = self.open.take() else { return };
        let mut start = open.start;
        if self.rescaled || self.events.len() == start {
            start = self.normalise(open);
        }
        let last = self.events.len() - 1;
        self.events[start].flags = self.events[start].flags.with(Flags::FIRST);
        self.events[last].flags = self.events[last].flags.with(Flags::LAST);
        if let Some(checksum) = checksum {
            self.events[last].set_checksum(checksum);
        }
        if open.wait {
            self.hold_back(open, start);
            return;
        }
        let slot = &mut self.slots[open.slot as usize];
        slot.sync = Sync::Live { last: open.last_id };
        // A snapshot by REST came on none of the connections.
        if !open.snapshot || self.rule == BookRule::StreamSnapshot {
            slot.book_connection = Some(self.connection);
        }
    }

    /// The rare shapes of a message: no level at all, or a change of scale in its middle. Returns
    /// where its first level is now.
    #[cold]
    fn normalise(&mut self, open: Open) -> usize {
        self.rescaled = false;
        let is_level = |e: &Event| e.kind == Kind::Book;
        if !self.events[open.start..].iter().any(is_level) {
            let nothing = BookDelta {
                side: Side::Buy,
                price: 0,
                amount: 0,
                price_digits: 0,
                amount_digits: 0,
                checksum: 0,
            };
            let instrument = self.slots[open.slot as usize].instrument;
            let mut event = Event::from_delta(
                instrument,
                open.exchange_ns,
                self.recv_ns,
                open.last_id,
                nothing,
            );
            event.flags = Flags::EMPTY.with_if(open.snapshot, Flags::SNAPSHOT);
            self.events.push(event);
        }
        // Scales changed between its levels: the status events go to its front, in their order. The
        // levels before them were re-expressed when it happened.
        self.events[open.start..].sort_by_key(is_level);
        open.start
            + self.events[open.start..]
                .iter()
                .position(is_level)
                .unwrap_or(0)
    }

    /// Keeps a message until the REST snapshot is there.
    #[cold]
    fn hold_back(&mut self, open: Open, start: usize) {
        let slot = &mut self.slots[open.slot as usize];
        self.events[start].set_first_update_id(open.first_id);
        let message = self.events.len() - start;
        if open.gap || slot.waiting.len() + message > MAX_WAITING {
            self.counts.outdated += slot.waiting.len() as u64;
            slot.waiting.clear();
        }
        slot.book_connection = Some(self.connection);
        slot.waiting.extend(self.events.drain(start..));
        if open.gap {
            let kept = std::mem::take(&mut slot.waiting);
            self.break_book(open.slot, Reason::SequenceGap);
            self.slots[open.slot as usize].waiting = kept;
        } else if let Sync::Waiting { asked: false } = slot.sync {
            slot.sync = Sync::Waiting { asked: true };
            self.wants.push(Want::Snapshot { slot: open.slot });
        }
    }

    /// Whether a REST snapshot is wanted here and joins what waits; one that is too old is asked
    /// for again. To be asked before [`Output::book`] with `snapshot`; [`Output::join`] comes after
    /// it.
    pub fn snapshot_fits(&mut self, slot: SlotId, last_update_id: u64) -> bool {
        let s = &mut self.slots[slot as usize];
        if s.synced() {
            return false;
        }
        if s.waiting
            .front()
            .is_some_and(|e| last_update_id.saturating_add(1) < e.first_update_id())
        {
            self.wants.push(Want::Resync {
                slot,
                reason: Reason::SnapshotTooOld,
            });
            return false;
        }
        true
    }

    /// After a REST snapshot: the messages that waited are put out where they follow it.
    pub fn join(&mut self, slot: SlotId) {
        let s = &mut self.slots[slot as usize];
        let Sync::Live { mut last } = s.sync else {
            return;
        };
        let mut waiting = std::mem::take(&mut s.waiting);
        let mut gap = false;
        let mut skip = false;
        for mut event in waiting.drain(..) {
            if event.flags.has(Flags::FIRST) {
                gap |= event.first_update_id() > last.saturating_add(1);
                skip = gap || event.update_id <= last;
            }
            if skip {
                self.counts.outdated += 1;
                continue;
            }
            if event.flags.has(Flags::LAST) {
                last = event.update_id;
            }
            event.set_first_update_id(0);
            self.events.push(event);
        }
        // The buffer stays: the next resync needs it again.
        let s = &mut self.slots[slot as usize];
        s.waiting = waiting;
        s.sync = Sync::Live { last };
        if gap {
            self.break_book(slot, Reason::SequenceGap);
        }
    }

    /// This book is not right any more: says so in the stream and asks for a resync.
    pub fn break_book(&mut self, slot: SlotId, reason: Reason) {
        let s = &mut self.slots[slot as usize];
        s.epoch += 1;
        s.waiting.clear();
        s.sync = Sync::Waiting { asked: true };
        self.events.push(Event::from_status(
            s.instrument,
            self.recv_ns,
            Status::BookStale {
                reason,
                epoch: s.epoch,
            },
        ));
        self.counts.gaps += 1;
        self.counts.resyncs += 1;
        self.wants.push(Want::Resync { slot, reason });
    }

    /// The connection is lost: its books are stale until they come again.
    pub fn disconnected(&mut self, connection: u32) {
        if let Some(sequence) = self.sequences.get_mut(connection as usize) {
            *sequence = None;
        }
        for slot in &mut self.slots {
            if slot.book_connection.is_none() {
                // Without a book nobody knows which connection carried it: perhaps this one.
                self.events.push(Event::from_status(
                    slot.instrument,
                    self.recv_ns,
                    Status::Interrupted,
                ));
            }
            if slot.book_connection != Some(connection) {
                continue;
            }
            slot.book_connection = None;
            slot.epoch += 1;
            slot.waiting.clear();
            slot.sync = Sync::Waiting { asked: false };
            let status = Status::BookStale {
                reason: Reason::Disconnected,
                epoch: slot.epoch,
            };
            self.events
                .push(Event::from_status(slot.instrument, self.recv_ns, status));
            self.counts.gaps += 1;
        }
    }
}

/// Writes levels for a cursor that has not seen the end of its frame. What they have in common was
/// looked up once.
pub struct Pen<'a> {
    events: &'a mut Vec<Event>,
    event: Event,
    price_scale: Scale,
    amount_scale: Scale,
}

impl Pen<'_> {
    /// As [`Output::level`], but `None` where the scale would have to give way: that could not be
    /// taken back.
    #[inline(always)]
    pub fn level(&mut self, side: Side, price: Number, amount: Number) -> Option<()> {
        let Fit::Exact(p) = price.at(self.price_scale) else {
            return None;
        };
        let Fit::Exact(a) = amount.at(self.amount_scale) else {
            return None;
        };
        if !(price.exact && amount.exact) {
            return None;
        }
        self.events.push(self.event.with_delta(BookDelta {
            side,
            price: p,
            amount: a,
            price_digits: price.fraction,
            amount_digits: amount.fraction,
            checksum: 0,
        }));
        Some(())
    }
}
