//! A capture through the live code: the same feeds and the same engine, driven by recorded lines.
//!
//! No clock, no socket. `export`, `inspect` and replay look at the engine after each event.

use crate::capture::{Dir, Line};
use crate::engine::{Collect, Engine, Plan};
use crate::exchanges::{self, Channels, Exchange, Frame, Reject, Rest};
use crate::feed::Feed;
use crate::market::{Event, InstrumentId, Reason, Registry};
use crate::metrics::IngestMetrics;
use crate::state::BookChange;
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

pub struct Playback {
    pub registry: Arc<Registry>,
    pub engine: Engine,
    pub metrics: IngestMetrics,
    pub collected: Collect,
    venues: Vec<Venue>,
    /// By the capture's connection: which venue, and the connection's number there.
    connections: HashMap<String, (usize, u32)>,
    /// The exchange that the caller named, for captures whose addresses do not tell.
    forced: Option<&'static str>,
    /// Ordinal of the newest received frame; -1 before the first.
    pub n: i64,
    events: Vec<Event>,
}

struct Venue {
    feed: Feed,
    connections: u32,
}

impl Playback {
    /// `exchange` overrides what the capture's addresses say.
    pub fn new(exchange: Option<&str>, plans: Vec<Plan>) -> anyhow::Result<Self> {
        let forced = match exchange {
            Some(name) => {
                let known = exchanges::ALL.iter().find(|(n, _)| *n == name);
                let names = || {
                    exchanges::ALL
                        .iter()
                        .map(|(n, _)| *n)
                        .collect::<Vec<_>>()
                        .join(", ")
                };
                Some(
                    known
                        .with_context(|| {
                            format!("unknown exchange {name:?}; there are {}", names())
                        })?
                        .0,
                )
            }
            None => None,
        };
        let registry = Arc::new(Registry::default());
        Ok(Playback {
            engine: Engine::new(Arc::clone(&registry), plans),
            registry,
            metrics: IngestMetrics::default(),
            collected: Collect::default(),
            venues: Vec::new(),
            connections: HashMap::new(),
            forced,
            n: -1,
            events: Vec::new(),
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
            self.n = line.n.map_or(self.n.saturating_add(1), |n| n as i64);
        }
        let (venue, connection) = self.connection(line)?;
        let outcome = self.feed_line(line, venue, connection)?;
        let feed = &mut self.venues[venue].feed;
        std::mem::swap(&mut self.events, &mut feed.out.events);
        feed.out.wants.clear(); // the recording holds what was done about them
        for i in 0..self.events.len() {
            let event = self.events[i];
            let change = self.engine.on_event(&event, &mut self.collected);
            see(&event, change, &self.engine, self.n);
        }
        self.metrics.events_delivered.add(self.events.len() as u64);
        self.events.clear();
        self.break_books(line.t);
        Ok(outcome)
    }

    fn feed_line(&mut self, line: &Line, venue: usize, connection: u32) -> anyhow::Result<Outcome> {
        let feed = &mut self.venues[venue].feed;
        match line.dir {
            Dir::Recv => {
                let payload = line.payload()?;
                Ok(Outcome::Frame(feed.frame(
                    connection,
                    line.t,
                    &payload,
                    &self.metrics,
                )))
            }
            Dir::Http => {
                let url = line.url.as_deref().unwrap_or_default();
                let body = line.payload()?;
                match feed.exchange.classify(url) {
                    Rest::Listing => {
                        let listed = feed.exchange.parse_listing(&body)?;
                        feed.list_when_seen(listed);
                        Ok(Outcome::Rest(Ok(())))
                    }
                    Rest::Snapshot(native) => Ok(Outcome::Rest(feed.snapshot(
                        line.t,
                        &native,
                        &body,
                        &self.metrics,
                    ))),
                    Rest::Other => Ok(Outcome::None),
                }
            }
            Dir::Disconnect => {
                feed.disconnected(connection, line.t, &self.metrics);
                Ok(Outcome::None)
            }
            Dir::Connect | Dir::Send | Dir::Mark => Ok(Outcome::None),
        }
    }

    /// What the engine found wrong goes back to its feed, as it does live.
    fn break_books(&mut self, now_ns: i64) {
        let broken: Vec<(InstrumentId, Reason)> = self.collected.broken.drain(..).collect();
        for (instrument, reason) in broken {
            for venue in &mut self.venues {
                venue
                    .feed
                    .break_book(instrument, reason, now_ns, &self.metrics);
                venue.feed.out.wants.clear();
                for event in venue.feed.out.events.drain(..) {
                    self.engine.on_event(&event, &mut self.collected);
                    self.metrics.events_delivered.add(1);
                }
            }
        }
    }

    /// The venue of a line's connection and the connection's number there.
    fn connection(&mut self, line: &Line) -> anyhow::Result<(usize, u32)> {
        if let Some(known) = self.connections.get(&line.conn) {
            return Ok(*known);
        }
        let told = line.url.as_deref().and_then(exchanges::by_url);
        let named = exchanges::ALL
            .iter()
            .map(|(n, _)| *n)
            .find(|n| line.conn.to_lowercase().starts_with(n));
        let Some(name) = self.forced.or(told).or(named) else {
            bail!(
                "connection {:?}: no exchange is known by {:?}; name it with --exchange",
                line.conn,
                line.url.as_deref().unwrap_or("no address")
            );
        };
        let venue = match self
            .venues
            .iter()
            .position(|v| v.feed.exchange.name() == name)
        {
            Some(venue) => venue,
            None => self.add_venue(name)?,
        };
        let connection = self.venues[venue].connections;
        self.venues[venue].connections += 1;
        self.connections
            .insert(line.conn.clone(), (venue, connection));
        Ok((venue, connection))
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
        feed.list_when_seen(Vec::new());
        self.venues.push(Venue {
            feed,
            connections: 0,
        });
        Ok(self.venues.len() - 1)
    }
}
