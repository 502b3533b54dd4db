//! HOT PATH. Numbers onto an instrument's scale; the scale gives way where they do not fit.

use super::{Output, SlotId};
use crate::exchanges::Reject;
use crate::market::decimal::{self, MAX_SCALE, Scale};
use crate::market::{Event, Fit, Kind, Number, Status};

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
                (0..scale)
                    .rev()
                    .find(|&to| {
                        number
                            .rounded(to)
                            .is_some_and(|v| v.unsigned_abs() < i64::MAX as u64 / 10)
                    })
                    .ok_or(Reject::Range)?
            }
        };
        // Finer only with three decades of room above this value: a book holds larger ones too.
        let room = number
            .rounded(wanted)
            .is_some_and(|v| v.unsigned_abs() < i64::MAX as u64 / 1000);
        if wanted > scale && !room {
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
        let convert = |event: &mut Event| {
            let d = event.delta();
            let price = decimal::rescale(d.price, old_price, new_price).map_or(0, |r| r.0);
            let amount = decimal::rescale(d.amount, old_amount, new_amount).map_or(0, |r| r.0);
            event.set_delta_values(price, amount);
        };
        s.waiting.iter_mut().for_each(convert);
        let from = self
            .open
            .filter(|o| o.slot == slot)
            .map_or(self.events.len(), |o| o.start);
        self.events[from..]
            .iter_mut()
            .filter(|e| e.kind == Kind::Book)
            .for_each(convert);
        let status = Status::Rescale {
            price: new_price,
            amount: new_amount,
        };
        self.rescaled = true;
        self.events
            .push(Event::from_status(s.instrument, self.recv_ns, status));
    }
}
