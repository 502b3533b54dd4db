//! HOT PATH. Numbers onto an instrument's scale; the scale gives way where they do not fit.

use super::{Output, SlotId};
use crate::exchanges::Reject;
use crate::market::decimal::{self, MAX_SCALE, Scale};
use crate::market::{Event, Fit, Flags, Kind, Number, Status};

impl Output {
    /// `number` as an integer at the slot's scale, widening or narrowing the scale where it must.
    #[inline(always)]
    pub(super) fn scaled(
        &mut self,
        slot: SlotId,
        is_price: bool,
        number: Number,
    ) -> Result<(i64, bool), Reject> {
        let s = &self.slots[slot as usize];
        let scale = if is_price {
            s.price_scale
        } else {
            s.amount_scale
        };
        match number.at(scale) {
            Fit::Exact(v) if number.exact => Ok((v, true)),
            fit => self.scaled_slow(slot, is_price, number, fit),
        }
    }

    #[cold]
    fn scaled_slow(
        &mut self,
        slot: SlotId,
        is_price: bool,
        number: Number,
        fit: Fit,
    ) -> Result<(i64, bool), Reject> {
        let s = &self.slots[slot as usize];
        let scale = if is_price {
            s.price_scale
        } else {
            s.amount_scale
        };
        let wanted = match fit {
            Fit::Exact(v) => {
                self.counts.inexact += 1;
                return Ok((v, false));
            }
            Fit::Finer(needed) => needed.min(MAX_SCALE),
            Fit::TooLarge => {
                // The largest coarser scale that leaves a decade of room.
                let coarser = (0..scale)
                    .rev()
                    .find(|&to| {
                        number
                            .rounded(to)
                            .is_some_and(|v| v.unsigned_abs() < i64::MAX as u64 / 10)
                    })
                    .ok_or(Reject::Range)?;
                self.set_finest(slot, is_price, coarser);
                coarser
            }
        };
        if wanted > scale && !self.may_widen(slot, is_price, wanted, number) {
            let v = number.rounded(scale).ok_or(Reject::Range)?;
            self.counts.inexact += 1;
            return Ok((v, false));
        }
        self.rescale(slot, is_price, wanted);
        let v = number.rounded(wanted).ok_or(Reject::Range)?;
        let exact = number.exact && matches!(number.at(wanted), Fit::Exact(_));
        self.counts.inexact += u64::from(!exact);
        Ok((v, exact))
    }

    /// A value was too large for any finer scale than this one: it stays the finest, or a book that
    /// holds both large and fine values would be re-scaled to and fro, and broken each time.
    fn set_finest(&mut self, slot: SlotId, is_price: bool, scale: Scale) {
        let s = &mut self.slots[slot as usize];
        if is_price {
            s.finest_price = scale;
        } else {
            s.finest_amount = scale;
        }
    }

    /// Finer only with three decades of room above this value, for a book holds larger ones too,
    /// and only where those that are not yet handed over fit.
    fn may_widen(&mut self, slot: SlotId, is_price: bool, to: Scale, number: Number) -> bool {
        let s = &self.slots[slot as usize];
        let (from, finest) = if is_price {
            (s.price_scale, s.finest_price)
        } else {
            (s.amount_scale, s.finest_amount)
        };
        let room = number
            .rounded(to)
            .is_some_and(|v| v.unsigned_abs() < i64::MAX as u64 / 1000);
        if to > finest || !room {
            return false;
        }
        let value = |event: &Event| {
            let delta = event.delta();
            if is_price { delta.price } else { delta.amount }
        };
        let written = self.events[self.first_open(slot)..]
            .iter()
            .filter(|e| e.kind == Kind::Book);
        let mut pending = s.waiting.iter().chain(written).map(value);
        let fits = pending.all(|v| decimal::rescale(v, from, to).is_some());
        if !fits {
            self.set_finest(slot, is_price, from);
        }
        fits
    }

    /// Where the events of the slot's message under way begin.
    fn first_open(&self, slot: SlotId) -> usize {
        self.open
            .filter(|o| o.slot == slot)
            .map_or(self.events.len(), |o| o.start)
    }

    /// The slot's integers are at another scale from here on; those not yet handed over follow.
    fn rescale(&mut self, slot: SlotId, is_price: bool, to: Scale) {
        let s = &mut self.slots[slot as usize];
        let (old_price, old_amount) = (s.price_scale, s.amount_scale);
        if is_price {
            s.price_scale = to
        } else {
            s.amount_scale = to
        }
        let (new_price, new_amount) = (s.price_scale, s.amount_scale);
        let mut rounded = 0;
        let mut convert = |event: &mut Event| {
            let d = event.delta();
            // None is too large: `may_widen` has looked.
            let (price, p_exact) =
                decimal::rescale(d.price, old_price, new_price).unwrap_or_default();
            let (amount, a_exact) =
                decimal::rescale(d.amount, old_amount, new_amount).unwrap_or_default();
            event.set_delta_values(price, amount);
            if !(p_exact && a_exact) {
                event.flags = event.flags.with(Flags::INEXACT);
                rounded += 1;
            }
        };
        s.waiting.iter_mut().for_each(&mut convert);
        let from = self.first_open(slot);
        self.events[from..]
            .iter_mut()
            .filter(|e| e.kind == Kind::Book)
            .for_each(convert);
        self.counts.inexact += rounded;
        let instrument = self.slots[slot as usize].instrument;
        let status = Status::Rescale {
            price: new_price,
            amount: new_amount,
        };
        self.rescaled = true;
        self.events
            .push(Event::from_status(instrument, self.recv_ns, status));
    }
}
