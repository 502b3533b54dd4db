//! HOT PATH. One exchange's feed as a pure machine: frames, answers and losses in, events and
//! wishes out.
//!
//! It owns the exchange's codec and [`Output`] for all connections of that exchange on one ingest
//! thread. It has no socket and no clock, so the live ingest, a replay, `export` and `inspect`
//! drive the same code: whoever calls says when something arrived. Budget: the decode, plus a few
//! nanoseconds.

use crate::exchanges::output::{Counts, Want};
use crate::exchanges::{Channels, Exchange, Frame, Output, Plan, Reject};
use crate::market::{Event, Instrument, InstrumentId, Reason, Registry, Status};
use crate::metrics::{IngestMetrics, VenueMetrics};
use std::sync::Arc;

pub struct Feed {
    pub exchange: Box<dyn Exchange>,
    pub out: Output,
    /// This exchange's share of what is counted.
    pub counts: Arc<VenueMetrics>,
    channels: Channels,
}

impl Feed {
    pub fn new(exchange: Box<dyn Exchange>, registry: Arc<Registry>, channels: Channels) -> Self {
        let out = Output::new(exchange.book_rule(), registry);
        Feed {
            exchange,
            out,
            counts: Arc::default(),
            channels,
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
