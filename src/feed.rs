//! HOT PATH. One exchange's feed as a pure machine: frames, answers and losses in, events and
//! wishes out.
//!
//! It owns the exchange's codec and [`Output`] for all connections of that exchange on one ingest
//! thread. It has no socket and no clock, so the live ingest, a replay, `export` and `inspect`
//! drive the same code: whoever calls says when something arrived. Budget: the decode, plus a few
//! nanoseconds.

use crate::exchanges::output::{Counts, Held, SlotId, Want};
use crate::exchanges::trades::PastTrade;
use crate::exchanges::{Channels, Exchange, Frame, Output, Plan, Reject};
use crate::market::{
    Bar, Event, Instrument, InstrumentId, Reason, Registry, Scale, Status, decimal,
};
use crate::metrics::{IngestMetrics, VenueMetrics};
use std::sync::Arc;

pub struct Feed {
    pub exchange: Box<dyn Exchange>,
    pub out: Output,
    /// This exchange's share of what is counted.
    pub counts: Arc<VenueMetrics>,
    channels: Channels,
    registry: Arc<Registry>,
    /// Until [`Feed::past`].
    earlier: Vec<Earlier>,
}

/// Bars from before the run, and the scales at which they came.
struct Earlier {
    slot: SlotId,
    interval_ns: i64,
    price_scale: Scale,
    amount_scale: Scale,
    bars: Vec<Bar>,
}

impl Feed {
    pub fn new(exchange: Box<dyn Exchange>, registry: Arc<Registry>, channels: Channels) -> Self {
        let out = Output::new(exchange.book_rule(), Arc::clone(&registry));
        Feed {
            exchange,
            out,
            counts: Arc::default(),
            channels,
            registry,
            earlier: Vec::new(),
        }
    }

    /// Adds the instruments of a list that `choose` wants; returns how many.
    pub fn list(&mut self, listed: Vec<Instrument>, choose: impl Fn(&Instrument) -> bool) -> usize {
        let chosen = listed.into_iter().filter(|i| choose(i));
        chosen.map(|i| self.out.add(i)).count()
    }

    /// Adds instruments as their messages come, from a list where there is one.
    pub fn list_when_seen(&mut self, listed: Vec<Instrument>) {
        let guess = self.exchange.guess();
        self.out.add_when_seen(listed, guess);
    }

    /// The connections that carry the instruments added so far, at most `most` on one.
    pub fn plans(&self, registry: &Registry, most: Option<usize>) -> Vec<Plan> {
        let instruments: Vec<_> = self
            .out
            .slots()
            .iter()
            .map(|s| (s.instrument, registry.get(s.instrument)))
            .collect();
        let borrowed: Vec<_> = instruments
            .iter()
            .map(|(id, i)| (*id, i.as_ref()))
            .collect();
        let chunks = borrowed.chunks(most.unwrap_or(usize::MAX).max(1));
        chunks
            .flat_map(|chunk| self.exchange.plan(chunk, self.channels))
            .collect()
    }

    /// A frame of `connection` arrived at `recv_ns`. Its events are in `out.events` afterwards, to
    /// be taken by the caller, and what it wants in `out.wants`.
    #[inline]
    pub fn frame(
        &mut self,
        connection: u32,
        recv_ns: i64,
        frame: &[u8],
        metrics: &IngestMetrics,
    ) -> Result<Frame, Reject> {
        self.out.begin(connection, recv_ns);
        let mark = self.out.mark();
        metrics.frames_received.add(1);
        self.counts.frames_received.add(1);
        metrics.bytes_received.add(frame.len() as u64);
        let result = self.exchange.decode(frame, &mut self.out);
        match &result {
            Ok(Frame::Data) => metrics.frames_decoded.add(1),
            Ok(_) => metrics.frames_control.add(1),
            Err(_) => {
                metrics.frames_rejected.add(1);
                self.counts.frames_rejected.add(1);
                self.out.reject(mark);
            }
        }
        self.settle(metrics);
        result
    }

    /// The answer to a snapshot request.
    pub fn snapshot(
        &mut self,
        recv_ns: i64,
        native: &str,
        body: &[u8],
        metrics: &IngestMetrics,
    ) -> Result<(), Reject> {
        self.out.recv_ns = recv_ns;
        let mark = self.out.mark();
        let result = self.exchange.decode_snapshot(native, body, &mut self.out);
        if result.is_err() {
            self.out.rollback(mark);
        }
        self.settle(metrics);
        result
    }

    /// The answer to a request for candles. Their bars are in the registry after [`Feed::past`].
    pub fn candles(
        &mut self,
        recv_ns: i64,
        native: &str,
        interval_ns: i64,
        body: &[u8],
        metrics: &IngestMetrics,
    ) -> Result<(), Reject> {
        let slot = self.slot(native).ok_or(Reject::Symbol)?;
        let s = &self.out.slots()[slot as usize];
        let (price_scale, amount_scale) = (s.price_scale, s.amount_scale);
        let exchange = &self.exchange;
        let bars = exchange.parse_candles(body, interval_ns, recv_ns, price_scale, amount_scale)?;
        self.earlier.push(Earlier {
            slot,
            interval_ns,
            price_scale,
            amount_scale,
            bars,
        });
        self.settle(metrics);
        Ok(())
    }

    /// All requests for candles of the instrument were answered, or given up: what came is in the
    /// registry from here on, at the scales that the stream has here.
    pub fn past(&mut self, native: &str, recv_ns: i64, metrics: &IngestMetrics) {
        let Some(slot) = self.slot(native) else {
            return;
        };
        let s = &self.out.slots()[slot as usize];
        for earlier in self.earlier.extract_if(.., |e| e.slot == slot) {
            let interval_ns = earlier.interval_ns;
            let bars = earlier.at(s.price_scale, s.amount_scale);
            self.registry.leave_bars(s.instrument, interval_ns, bars);
        }
        let event = Event::from_status(s.instrument, recv_ns, Status::Past);
        self.out.events.push(event);
        self.settle(metrics);
    }

    /// From here on the instrument's trades are held back: an earlier run saw those up to
    /// `last_id`, and what it missed is fetched.
    #[cold]
    pub fn hold(&mut self, native: &str, last_id: u128) {
        if let Some(slot) = self.slot(native) {
            self.out.hold(slot, last_id);
        }
    }

    /// What is held back of the instrument; `None` where nothing is, or nothing any more.
    #[cold]
    pub fn held(&self, native: &str) -> Option<Held> {
        self.out.held(self.slot(native)?)
    }

    /// An answer with trades that were missed: they are kept until [`Feed::missed`].
    #[cold]
    pub fn trades(&mut self, native: &str, body: &[u8]) -> Result<Vec<PastTrade>, Reject> {
        let slot = self.slot(native).ok_or(Reject::Symbol)?;
        let trades = self.exchange.parse_trades(body)?;
        self.out.fetched(slot, &trades);
        Ok(trades)
    }

    /// The instrument's trades go on. `complete`: with those that were missed; otherwise some of
    /// them are not known, and the stream says so.
    #[cold]
    pub fn missed(&mut self, native: &str, recv_ns: i64, complete: bool, metrics: &IngestMetrics) {
        if let Some(slot) = self.slot(native) {
            self.out.recv_ns = recv_ns;
            self.out.release(slot, complete);
        }
        self.settle(metrics);
    }

    /// The slot of a native symbol that was listed.
    #[cold]
    fn slot(&self, native: &str) -> Option<SlotId> {
        let mut slots = (0..).zip(self.out.slots());
        let (slot, _) = slots.find(|(_, s)| s.native == native)?;
        Some(slot)
    }

    pub fn disconnected(&mut self, connection: u32, recv_ns: i64, metrics: &IngestMetrics) {
        self.out.recv_ns = recv_ns;
        self.out.disconnected(connection);
        self.settle(metrics);
    }

    /// The engine, or a timer, found a book wrong.
    pub fn break_book(
        &mut self,
        instrument: InstrumentId,
        reason: Reason,
        recv_ns: i64,
        metrics: &IngestMetrics,
    ) {
        self.out.recv_ns = recv_ns;
        let slot = self
            .out
            .slots()
            .iter()
            .position(|s| s.instrument == instrument);
        if let Some(slot) = slot
            && self.out.slots()[slot].synced()
        {
            self.out.break_book(slot as u32, reason);
        }
        self.settle(metrics);
    }

    /// An operator lets the instrument's signals be published from here on, or not.
    pub fn switch(&mut self, native: &str, on: bool, recv_ns: i64, metrics: &IngestMetrics) {
        let found = self.out.slots().iter().find(|s| s.native == native);
        if let Some(instrument) = found.map(|s| s.instrument) {
            let status = Status::InstrumentSwitch { on };
            let event = Event::from_status(instrument, recv_ns, status);
            self.out.events.push(event);
        }
        self.settle(metrics);
    }

    /// Requests made by [`Output`]'s rules since the last call.
    pub fn take_wants(&mut self) -> Vec<Want> {
        std::mem::take(&mut self.out.wants)
    }

    /// Moves what was counted while decoding into the metrics.
    #[inline]
    fn settle(&mut self, metrics: &IngestMetrics) {
        metrics
            .decode_cursor
            .add(std::mem::take(&mut self.out.cursor));
        metrics
            .decode_simd_json
            .add(std::mem::take(&mut self.out.simd_json));
        let put_out = self.out.events.len() as u64;
        metrics.events_decoded.add(put_out);
        if self.out.counts != Counts::default() {
            let c = std::mem::take(&mut self.out.counts);
            let duplicate = c.duplicates + c.outdated;
            metrics.events_decoded.add(duplicate);
            metrics.events_duplicate.add(duplicate);
            metrics.gaps.add(c.gaps);
            metrics.inexact.add(c.inexact);
            metrics.resyncs.add(c.resyncs);
            self.counts.gaps.add(c.gaps);
            self.counts.resyncs.add(c.resyncs);
        }
    }
}

impl Earlier {
    /// The bars at these scales; one that does not fit them is left out, with those before it.
    #[cold]
    fn at(self, price_scale: Scale, amount_scale: Scale) -> Vec<Bar> {
        if (price_scale, amount_scale) == (self.price_scale, self.amount_scale) {
            return self.bars;
        }
        let price = |v| decimal::rescale(v, self.price_scale, price_scale).map(|r| r.0);
        let amount = |v| decimal::rescale(v, self.amount_scale, amount_scale).map(|r| r.0);
        let newest_first = self.bars.iter().rev();
        let fit = newest_first.map_while(|bar| bar.rescaled(&price, &amount));
        let mut bars: Vec<Bar> = fit.collect();
        bars.reverse();
        bars
    }
}

#[cfg(test)]
mod tests;
