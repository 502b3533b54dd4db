//! The ingest thread's end of the ring, shared by its connections.

use super::switch::{Obedience, SwitchContext};
use super::venue::Venue;
use super::{Stop, stopped};
use crate::capture::{Line, Recorder};
use crate::clock::Clock;
use crate::market::{Event, InstrumentId, Reason, Registry};
use crate::metrics::Metrics;
use crate::ring::{Consumer, Producer};
use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

pub struct Hub {
    pub metrics: Arc<Metrics>,
    pub registry: Arc<Registry>,
    pub clock: Clock,
    producer: RefCell<Producer<Event>>,
    /// Held while a frame is decoded and handed over: one frame after the other.
    turn: tokio::sync::Mutex<()>,
    broken: RefCell<Consumer<(InstrumentId, Reason)>>,
    venues: RefCell<Vec<Weak<Venue>>>,
    recorder: RefCell<Option<Recorder>>,
    pub(super) obedience: Obedience,
}

impl Hub {
    pub fn new(
        producer: Producer<Event>,
        broken: Consumer<(InstrumentId, Reason)>,
        registry: Arc<Registry>,
        metrics: Arc<Metrics>,
        clock: Clock,
        recorder: Option<Recorder>,
        switches: SwitchContext,
    ) -> Rc<Hub> {
        Rc::new(Hub {
            metrics,
            registry,
            clock,
            producer: RefCell::new(producer),
            turn: tokio::sync::Mutex::new(()),
            broken: RefCell::new(broken),
            venues: RefCell::default(),
            recorder: RefCell::new(recorder),
            obedience: Obedience::new(switches),
        })
    }

    /// Completes the recording.
    pub fn finish_recording(&self) {
        if let Some(recorder) = self.recorder.borrow_mut().take() {
            recorder.finish();
        }
    }

    pub(super) fn enroll(&self, venue: &Rc<Venue>) {
        self.venues.borrow_mut().push(Rc::downgrade(venue));
    }

    /// The turn to decode and hand over one frame.
    #[inline]
    pub async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        match self.turn.try_lock() {
            Ok(guard) => guard,
            Err(_) => self.turn.lock().await,
        }
    }

    /// Adds a line to the recording, if there is one. What is decided by it must be decided within
    /// the same turn, so that the order of lines is the order of processing.
    pub fn record(&self, line: impl FnOnce() -> Line) {
        if let Some(recorder) = self.recorder.borrow_mut().as_mut() {
            recorder.record(line());
        }
    }

    /// Hands all events over, in order; waits while the ring is full. To be called within a turn.
    pub async fn hand_over(&self, events: &[Event]) {
        let mut rest = events;
        let mut waited = false;
        loop {
            {
                let mut producer = self.producer.borrow_mut();
                let taken = producer.push_slice(rest);
                self.metrics.ingest.events_delivered.add(taken as u64);
                rest = &rest[taken..];
                producer.wake();
                if rest.is_empty() {
                    return;
                }
                if producer.is_abandoned() {
                    self.metrics.ingest.events_dropped.add(rest.len() as u64);
                    return;
                }
            }
            if !waited {
                self.metrics.ingest.ring_full.add(1);
                waited = true;
            }
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
    }

    /// Passes the engine's findings on to the feeds.
    pub(super) async fn watch_broken(self: Rc<Self>, mut stop: Stop) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
                () = stopped(&mut stop) => return,
            }
            loop {
                let Some((instrument, reason)) = self.broken.borrow_mut().pop() else {
                    break;
                };
                let venues: Vec<_> = self
                    .venues
                    .borrow()
                    .iter()
                    .filter_map(Weak::upgrade)
                    .collect();
                for venue in venues {
                    venue.break_book(instrument, reason).await;
                }
            }
        }
    }
}
