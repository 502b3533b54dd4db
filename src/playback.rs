//! A capture through the live code: the same feeds and the same engine, driven by recorded lines.
//!
//! No clock, no socket. `export`, `inspect` and `replay` look at the engine after each event. A
//! recording of our own holds a mark for each decision that its ingest thread took (listed, held,
//! missed, past, resync, disconnect), and those are taken as they stand; in other captures a book
//! that the engine finds wrong is broken at once, and nothing from before them is known.

use crate::capture::{Dir, Line, mark};
use crate::engine::plan::Change;
use crate::engine::{self, Begun, Collect, Engine, Outbox, Plan, Tuning};
use crate::exchanges::{self, Channels, Exchange, Frame, Reject, Rest};
use crate::feed::Feed;
use crate::market::{Event, Instrument, InstrumentId, Reason, Registry, Status, Tick};
use crate::metrics::{IngestMetrics, Metrics};
use crate::outcome::Outcome as SignalOutcome;
use crate::signal::Signal;
use crate::signal::record::SignalRecord;
use crate::state::BookChange;
use crate::strategy::Instance;
use anyhow::{Context, bail};
use std::collections::HashMap;
use std::sync::Arc;

/// What a recorded line turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A received frame.
    Frame(Result<Frame, Reject>),
    /// A REST answer that was used, or could not be.
    Rest(Result<(), Reject>),
    /// Nothing for the engine.
    None,
}

/// A connection of the capture: which venue, and the connection's number there.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    venue: usize,
    connection: u32,
}

pub struct Playback<O = Collect> {
    pub registry: Arc<Registry>,
    pub engine: Engine,
    pub metrics: Arc<Metrics>,
    /// Where the engine puts what it makes.
    pub out: O,
    venues: Vec<Venue>,
    connections: HashMap<String, Route>,
    /// The exchange that the caller named, for captures whose addresses do not tell.
    forced: Option<&'static str>,
    /// Whether the capture says what was decided.
    recorded: bool,
    /// Ordinal of the newest received frame; -1 before the first.
    pub n: i64,
    events: Vec<Event>,
    broken: Vec<(InstrumentId, Reason)>,
}

struct Venue {
    feed: Feed,
    connections: u32,
    /// By native symbol: listed, and not yet marked as taken. For recordings of our own.
    listed: HashMap<String, Instrument>,
}

impl Playback {
    /// Keeps all that the engine makes. `exchange` overrides what the capture's addresses say.
    pub fn new(exchange: Option<&str>, plans: Vec<Plan>) -> anyhow::Result<Self> {
        Playback::with(exchange, plans, Collect::default())
    }
}

impl<O: Outbox> Playback<O> {
    pub fn with(exchange: Option<&str>, plans: Vec<Plan>, out: O) -> anyhow::Result<Self> {
        let registry = Arc::new(Registry::default());
        Ok(Playback {
            engine: Engine::new(Arc::clone(&registry), plans),
            registry,
            metrics: Arc::default(),
            out,
            venues: Vec::new(),
            connections: HashMap::new(),
            forced: exchange.map(known).transpose()?,
            recorded: false,
            n: -1,
            events: Vec::new(),
            broken: Vec::new(),
        })
    }

    /// The codec of an exchange met so far.
    pub fn exchange(&self, name: &str) -> Option<&dyn Exchange> {
        let venue = self
            .venues
            .iter()
            .find(|v| v.feed.exchange.name() == name)?;
        Some(venue.feed.exchange.as_ref())
    }

    /// Plays one line; `see` is called after each event with what it did to the book.
    pub fn line(
        &mut self,
        line: &Line,
        mut see: impl FnMut(&Event, BookChange, &Engine, i64),
    ) -> anyhow::Result<Outcome> {
        if line.dir == Dir::Recv {
            let n = line.n.map_or(-1, |n| n as i64);
            let route = self.route(&line.conn, line.url.as_deref())?;
            let payload = line.payload()?;
            return Ok(Outcome::Frame(self.frame(route, line.t, n, &payload, see)));
        }
        if line.conn == mark::RECORDER {
            self.of_the_run(line)?;
            return Ok(Outcome::None);
        }
        let route = self.route(&line.conn, line.url.as_deref())?;
        let outcome = self.control(line, route)?;
        self.hand_over(route.venue, &mut see);
        self.break_books(line.t);
        Ok(outcome)
    }

    /// Plays one received frame; `n` is its ordinal, or -1 for the next one.
    #[inline]
    pub fn frame(
        &mut self,
        route: Route,
        recv_ns: i64,
        n: i64,
        frame: &[u8],
        mut see: impl FnMut(&Event, BookChange, &Engine, i64),
    ) -> Result<Frame, Reject> {
        self.n = if n < 0 { self.n.saturating_add(1) } else { n };
        let feed = &mut self.venues[route.venue].feed;
        let result = feed.frame(route.connection, recv_ns, frame, &self.metrics.ingest);
        self.hand_over(route.venue, &mut see);
        if !self.broken.is_empty() {
            self.break_books(recv_ns);
        }
        result
    }

    /// Takes what a venue's feed has put out to the engine.
    #[inline]
    fn hand_over(&mut self, venue: usize, see: &mut impl FnMut(&Event, BookChange, &Engine, i64)) {
        let feed = &mut self.venues[venue].feed;
        feed.out.wants.clear(); // the recording holds what was done about them
        std::mem::swap(&mut self.events, &mut feed.out.events);
        let mut tap = Tap {
            out: &mut self.out,
            broken: &mut self.broken,
        };
        for event in &self.events {
            let change = self.engine.on_event(event, &mut tap);
            see(event, change, &self.engine, self.n);
        }
        let taken = self.events.len() as u64;
        self.metrics.ingest.events_delivered.add(taken);
        self.metrics.engine.events.add(taken);
        self.events.clear();
    }

    /// What a recording says of its run as a whole.
    #[cold]
    fn of_the_run(&mut self, line: &Line) -> anyhow::Result<()> {
        match line.mark.as_deref() {
            Some(mark::RECORDING) => self.recorded = true,
            Some(mark::UNFINISHED) => {
                let record: SignalRecord = serde_json::from_slice(&line.payload()?)?;
                self.engine.resume([record]);
            }
            Some(mark::SWITCHED) => {
                let on = line.why.as_deref() == Some(mark::ON);
                let name = line.symbol.as_deref().unwrap_or_default();
                // A replay of other strategies has none of that name.
                if let Some(plan) = self.engine.plan(name) {
                    self.status_of_run(line.t, Status::StrategySwitch { plan, on });
                }
            }
            Some(mark::PARAMETERS) => {
                let name = line.symbol.as_deref().unwrap_or_default();
                if let Some(plan) = self.engine.plan(name) {
                    let section: Instance = serde_json::from_slice(&line.payload()?)?;
                    let entry = self.engine.plans()[usize::from(plan)].entry;
                    let tuning = Tuning::new(name, entry, &section)?;
                    let change = self.engine.settings().leave(Change { plan, tuning });
                    self.status_of_run(line.t, Status::Parameters { change });
                }
            }
            Some(mark::REMEMBERED) => {
                let name = line.symbol.clone().unwrap_or_default();
                if line.why.as_deref() == Some(&*engine::CODE.to_string()) {
                    self.engine
                        .remember([(name, line.payload()?.into_owned())].into());
                } else {
                    tracing::warn!("{name}: remembered by other code; it begins cold here");
                }
            }
            // Of the run as a whole: its strategies waited for bars from before it.
            Some(mark::PAST) => self.engine.promise_past(),
            _ => {}
        }
        Ok(())
    }

    /// An event that is of no instrument.
    #[cold]
    fn status_of_run(&mut self, recv_ns: i64, status: Status) {
        let event = Event::from_status(0, recv_ns, status);
        self.engine.on_event(&event, &mut self.out);
        self.metrics.ingest.events_decoded.add(1);
        self.metrics.ingest.events_delivered.add(1);
        self.metrics.engine.events.add(1);
    }

    /// A line that is no frame.
    fn control(&mut self, line: &Line, route: Route) -> anyhow::Result<Outcome> {
        let metrics = &self.metrics.ingest;
        let venue = &mut self.venues[route.venue];
        let feed = &mut venue.feed;
        match line.dir {
            Dir::Http => {
                let url = line.url.as_deref().unwrap_or_default();
                let body = line.payload()?;
                match feed.exchange.classify(url) {
                    Rest::Listing => {
                        let listed = feed.exchange.parse_listing(&body)?;
                        if self.recorded {
                            let by_native = listed.into_iter().map(|i| (i.native.clone(), i));
                            venue.listed.extend(by_native);
                        } else {
                            feed.list_when_seen(listed);
                        }
                        return Ok(Outcome::Rest(Ok(())));
                    }
                    Rest::Snapshot(native) => {
                        let taken = feed.snapshot(line.t, &native, &body, metrics);
                        return Ok(Outcome::Rest(taken));
                    }
                    Rest::Candles {
                        native,
                        interval_ns,
                    } if self.recorded => {
                        let taken = feed.candles(line.t, &native, interval_ns, &body, metrics);
                        return Ok(Outcome::Rest(taken));
                    }
                    Rest::Trades { native } if self.recorded => {
                        let taken = feed.trades(&native, &body).map(|_| ());
                        return Ok(Outcome::Rest(taken));
                    }
                    Rest::Candles { .. } | Rest::Trades { .. } | Rest::Other => {}
                }
            }
            Dir::Disconnect if line.why.as_deref() != Some(mark::STOPPED) => {
                feed.disconnected(route.connection, line.t, metrics);
            }
            Dir::Mark => venue.mark(line, metrics),
            Dir::Disconnect | Dir::Connect | Dir::Send | Dir::Recv => {}
        }
        Ok(Outcome::None)
    }

    /// What the engine found wrong goes back to its feed, unless the recording says when it did.
    fn break_books(&mut self, now_ns: i64) {
        let broken = std::mem::take(&mut self.broken);
        if self.recorded {
            return;
        }
        for (instrument, reason) in broken {
            for venue in 0..self.venues.len() {
                let feed = &mut self.venues[venue].feed;
                feed.break_book(instrument, reason, now_ns, &self.metrics.ingest);
                self.hand_over(venue, &mut |_, _, _, _| ());
            }
        }
    }

    /// The venue of a capture's connection and the connection's number there.
    pub fn route(&mut self, conn: &str, url: Option<&str>) -> anyhow::Result<Route> {
        if let Some(route) = self.connections.get(conn) {
            return Ok(*route);
        }
        let named = || {
            let names = exchanges::ALL.iter().map(|(n, _)| *n);
            names
                .into_iter()
                .find(|n| conn.to_lowercase().starts_with(n))
        };
        let told = url.and_then(exchanges::by_url).or_else(named);
        let Some(name) = self.forced.or(told) else {
            bail!(
                "connection {conn:?}: no exchange is known by {:?}; name it with --exchange",
                url.unwrap_or("no address")
            );
        };
        let at = |v: &Venue| v.feed.exchange.name() == name;
        let venue = match self.venues.iter().position(at) {
            Some(venue) => venue,
            None => self.add_venue(name)?,
        };
        let connection = self.venues[venue].connections;
        self.venues[venue].connections += 1;
        let route = Route { venue, connection };
        self.connections.insert(conn.to_owned(), route);
        Ok(route)
    }

    fn add_venue(&mut self, name: &str) -> anyhow::Result<usize> {
        let exchange = exchanges::by_name(name).context("an exchange of the table")?;
        let channels = Channels {
            trades: true,
            aggregate_trades: false,
            quotes: true,
            book: true,
        };
        let mut feed = Feed::new(exchange, Arc::clone(&self.registry), channels);
        if !self.recorded {
            feed.list_when_seen(Vec::new());
        }
        self.venues.push(Venue {
            feed,
            connections: 0,
            listed: HashMap::new(),
        });
        Ok(self.venues.len() - 1)
    }
}

impl Venue {
    /// A decision of the recording run.
    fn mark(&mut self, line: &Line, metrics: &IngestMetrics) {
        let native = line.symbol.as_deref().unwrap_or_default();
        match line.mark.as_deref() {
            Some(mark::LISTED) => {
                if let Some(instrument) = self.listed.remove(native) {
                    self.feed.out.recv_ns = line.t;
                    self.feed.out.add(instrument);
                    metrics.events_decoded.add(1);
                }
            }
            Some(mark::PAST) => self.feed.past(native, line.t, metrics),
            Some(mark::HELD) => {
                let last_id = line.why.as_deref().and_then(|id| id.parse().ok());
                if let Some(last_id) = last_id {
                    self.feed.hold(native, last_id);
                }
            }
            Some(mark::MISSED) => {
                let complete = line.why.as_deref() == Some(mark::FETCHED);
                self.feed.missed(native, line.t, complete, metrics);
            }
            Some(mark::RESYNC) => {
                let slots = self.feed.out.slots();
                let slot = slots.iter().find(|s| s.native == native);
                let reason = line.why.as_deref().and_then(Reason::from_name);
                if let (Some(slot), Some(reason)) = (slot, reason) {
                    let instrument = slot.instrument;
                    self.feed.break_book(instrument, reason, line.t, metrics);
                }
            }
            Some(mark::SWITCHED) => {
                let on = line.why.as_deref() == Some(mark::ON);
                self.feed.switch(native, on, line.t, metrics);
            }
            _ => {}
        }
    }
}

fn known(name: &str) -> anyhow::Result<&'static str> {
    let mut names = exchanges::ALL.iter().map(|(n, _)| *n);
    names.clone().find(|n| *n == name).with_context(|| {
        let all: Vec<_> = names.by_ref().collect();
        format!("unknown exchange {name:?}; there are {}", all.join(", "))
    })
}

/// Passes all on, and keeps what it says of books that are wrong.
struct Tap<'a, O> {
    out: &'a mut O,
    broken: &'a mut Vec<(InstrumentId, Reason)>,
}

impl<O: Outbox> Outbox for Tap<'_, O> {
    #[inline]
    fn signal(&mut self, signal: Signal) {
        self.out.signal(signal);
    }
    #[inline]
    fn outcome(&mut self, outcome: SignalOutcome) {
        self.out.outcome(outcome);
    }
    #[inline]
    fn tick(&mut self, tick: Tick) {
        self.out.tick(tick);
    }
    fn book_broken(&mut self, instrument: InstrumentId, reason: Reason) {
        self.broken.push((instrument, reason));
        self.out.book_broken(instrument, reason);
    }
    fn suppressed(&mut self) {
        self.out.suppressed();
    }
    fn switched_off(&mut self) {
        self.out.switched_off();
    }
    fn refused(&mut self, strategy: &str, instrument: InstrumentId, why: &str) {
        self.out.refused(strategy, instrument, why);
    }
    fn begun(&mut self, strategy: &str, instrument: InstrumentId, how: Begun) {
        self.out.begun(strategy, instrument, how);
    }
    #[inline]
    fn call_begins(&mut self) {
        self.out.call_begins();
    }
    #[inline]
    fn call_ended(&mut self, plan: u16, instrument: InstrumentId) {
        self.out.call_ended(plan, instrument);
    }
    fn strategy_stopped(&mut self, strategy: &str, instrument: InstrumentId) {
        self.out.strategy_stopped(strategy, instrument);
    }
}

#[cfg(test)]
mod tests;
