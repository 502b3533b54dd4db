//! One exchange of the shard: its instrument list, its connections, its REST snapshots.

use super::connection::Connection;
use super::missed::Missing;
use super::past::PastContext;
use super::{Backoff, Hub, Stop, stopped};
use crate::capture::{Dir, Line, mark};
use crate::config::{ExchangeConfig, IngestMode};
use crate::exchanges::output::{SlotId, Want};
use crate::exchanges::{Channels, Exchange, Request};
use crate::feed::Feed;
use crate::market::{ExchangeList, Instrument, InstrumentId, Reason, matches};
use crate::metrics::VenueMetrics;
use anyhow::{Context, anyhow, bail};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tracing::{error, info, warn};

pub struct Venue {
    pub name: &'static str,
    pub config: ExchangeConfig,
    pub mode: IngestMode,
    pub hub: Rc<Hub>,
    pub feed: RefCell<Feed>,
    /// What to fetch from before the run.
    pub past: Rc<PastContext>,
    /// Instruments whose trades are held back, until they are fetched.
    pub(super) missing: RefCell<Vec<Missing>>,
    /// Since when each instrument's connection has had all its acks; those that are subscribed.
    pub(super) subscribed: RefCell<HashMap<InstrumentId, Instant>>,
    client: reqwest::Client,
    rest: String,
    pub ws: String,
    /// Snapshots to fetch, each instrument once.
    queue: RefCell<VecDeque<SlotId>>,
    queued: Notify,
    /// By instrument: where its connection takes requests.
    senders: RefCell<HashMap<InstrumentId, mpsc::Sender<Vec<Request>>>>,
    resyncs: RefCell<HashMap<SlotId, Pace>>,
    next_request: Cell<u64>,
    pub connections_up: Cell<usize>,
    pub counts: Arc<VenueMetrics>,
}

/// A book without its snapshot for this long is asked for again.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(15);

/// Resyncs of one book: at once, then ever more slowly while they keep coming.
struct Pace {
    last: Instant,
    attempt: u32,
}

/// The recorded name of the REST side.
fn rest_name(exchange: &str) -> String {
    format!("{exchange}.rest")
}

impl Venue {
    pub fn new(
        exchange: Box<dyn Exchange>,
        config: ExchangeConfig,
        mode: IngestMode,
        hub: Rc<Hub>,
        client: reqwest::Client,
        past: Rc<PastContext>,
    ) -> Rc<Self> {
        let hosts = exchange.hosts();
        let address = |own: &Option<String>, default: &str| {
            own.as_deref()
                .unwrap_or(default)
                .trim_end_matches('/')
                .to_owned()
        };
        let channels = Channels {
            trades: config.trades,
            aggregate_trades: config.aggregate_trades,
            quotes: config.quotes,
            book: config.book,
        };
        let name = exchange.name();
        let counts = hub.metrics.venue(name);
        let mut feed = Feed::new(exchange, hub.registry.clone(), channels);
        feed.counts = Arc::clone(&counts);
        let venue = Rc::new(Venue {
            name,
            rest: address(&config.rest, hosts.rest),
            ws: address(&config.ws, hosts.ws),
            feed: RefCell::new(feed),
            config,
            mode,
            past,
            missing: RefCell::default(),
            subscribed: RefCell::default(),
            client,
            queue: RefCell::default(),
            queued: Notify::new(),
            senders: RefCell::default(),
            resyncs: RefCell::default(),
            next_request: Cell::new(1_000),
            connections_up: Cell::new(0),
            counts,
            hub: Rc::clone(&hub),
        });
        hub.enroll(&venue);
        venue
    }

    /// All subscriptions of a connection were acknowledged.
    pub fn subscribed(&self, instruments: &[InstrumentId]) {
        let (mut subscribed, now) = (self.subscribed.borrow_mut(), Instant::now());
        for instrument in instruments {
            subscribed.entry(*instrument).or_insert(now);
        }
    }

    pub fn unsubscribed(&self, instruments: &[InstrumentId]) {
        let mut subscribed = self.subscribed.borrow_mut();
        subscribed.retain(|instrument, _| !instruments.contains(instrument));
    }

    pub fn count_connections(&self, up: usize) {
        self.connections_up.set(up);
        self.counts.connections_up.set(up as u64);
    }

    /// Lists instruments, then keeps all connections until `stop`.
    pub async fn run(self: Rc<Self>, mut stop: Stop) {
        if !self.list(&mut stop).await {
            return;
        }
        let most = self.config.instruments_per_connection;
        let plans = self.feed.borrow().plans(&self.hub.registry, most);
        if plans.is_empty() {
            error!(
                exchange = self.name,
                "no instrument to subscribe to: [exchanges.{}] symbols matches nothing", self.name
            );
            return;
        }
        let wanted = &self.hub.metrics.ingest.connections_wanted;
        wanted.add(plans.len() as u64);
        self.counts.connections_wanted.set(plans.len() as u64);
        let mut tasks = Vec::new();
        for (index, plan) in plans.into_iter().enumerate() {
            let (sender, requests) = mpsc::channel(64);
            for instrument in &plan.instruments {
                self.senders
                    .borrow_mut()
                    .insert(*instrument, sender.clone());
            }
            let connection = Connection::new(Rc::clone(&self), index as u32, plan, requests);
            tasks.push(tokio::task::spawn_local(connection.run(stop.clone())));
        }
        tasks.push(tokio::task::spawn_local(
            Rc::clone(&self).watch_books(stop.clone()),
        ));
        if !self.past.is_empty() {
            tasks.push(tokio::task::spawn_local(
                Rc::clone(&self).fetch_past(stop.clone()),
            ));
        }
        tasks.push(tokio::task::spawn_local(
            Rc::clone(&self).fetch_snapshots(stop),
        ));
        for task in tasks {
            // A task that panicked was reported by the panic hook.
            let _ = task.await;
        }
    }

    /// Gets the instrument list, for as long as it takes; false where a stop came first.
    async fn list(self: &Rc<Self>, stop: &mut Stop) -> bool {
        let mut backoff = Backoff::new(&self.config);
        loop {
            let path = self.feed.borrow().exchange.listing_path();
            let listed = tokio::select! {
                listed = self.download_list(&path) => listed,
                () = stopped(stop) => return false,
            };
            match listed {
                Ok(listed) => {
                    self.take_list(listed).await;
                    return true;
                }
                Err(e) => {
                    let wait = backoff.next();
                    warn!(
                        exchange = self.name,
                        "no instrument list: {e:#}; again in {wait:.1?}"
                    );
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = stopped(stop) => return false,
                    }
                }
            }
        }
    }

    async fn download_list(&self, path: &str) -> anyhow::Result<Vec<Instrument>> {
        let (url, body) = self.get(path).await?;
        let listed = self.feed.borrow().exchange.parse_listing(&body)?;
        self.record_rest(self.hub.clock.now_ns(), url, &body);
        Ok(listed)
    }

    async fn take_list(self: &Rc<Self>, listed: Vec<Instrument>) {
        self.warn_unknown(&listed);
        self.hub.registry.add_list(ExchangeList {
            exchange: self.name,
            instruments: listed.iter().cloned().map(Arc::new).collect(),
        });
        let chosen =
            |i: &Instrument| i.active && self.config.symbols.iter().any(|p| matches(p, &i.symbol));
        let _turn = self.hub.turn().await;
        let events = {
            let mut feed = self.feed.borrow_mut();
            let now_ns = self.hub.clock.now_ns();
            feed.out.recv_ns = now_ns;
            let n = feed.list(listed, chosen);
            for slot in feed.out.slots() {
                let line = || Line::new(now_ns, self.name, Dir::Mark);
                self.hub
                    .record(|| line().with_mark(mark::LISTED, &slot.native, "configured"));
            }
            info!(exchange = self.name, instruments = n, "listed");
            std::mem::take(&mut feed.out.events)
        };
        self.hub
            .metrics
            .ingest
            .events_decoded
            .add(events.len() as u64);
        self.hub.hand_over(&events).await;
        self.hold_back(self.hub.clock.now_ns());
        self.pass_on().await;
        self.hub.obey().await;
    }

    /// A configured symbol that the exchange does not list is named, and the others go on.
    fn warn_unknown(&self, listed: &[Instrument]) {
        for pattern in &self.config.symbols {
            let mut hits = listed
                .iter()
                .filter(|i| matches(pattern, &i.symbol))
                .peekable();
            if hits.peek().is_none() {
                let near = listed.iter().max_by(|a, b| {
                    let score = |i: &Instrument| strsim::jaro_winkler(pattern, &i.symbol);
                    score(a).total_cmp(&score(b))
                });
                let near = near.map_or("", |i| i.symbol.as_str());
                self.hub.metrics.ingest.refused.add(1);
                error!(
                    "[exchanges.{}] symbols: {pattern:?} is not in the exchange's list; did you mean {near:?}? The others go on",
                    self.name
                );
            } else if !hits.any(|i| i.active) {
                self.hub.metrics.ingest.refused.add(1);
                error!(
                    "[exchanges.{}] symbols: {pattern:?} is listed but not trading now",
                    self.name
                );
            }
        }
    }

    /// One REST answer and the URL it came from.
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<(String, Vec<u8>)> {
        let url = format!("{}{path}", self.rest);
        let response = self
            .client
            .get(&url)
            .send()
            .await
            .with_context(|| format!("{url} does not answer"))?;
        let status = response.status();
        let body = response
            .bytes()
            .await
            .with_context(|| format!("{url} broke off"))?
            .to_vec();
        if !status.is_success() {
            let words = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
            bail!("{url} answered {status}: {words}");
        }
        Ok((url, body))
    }

    pub(super) fn record_rest(&self, now_ns: i64, url: String, body: &[u8]) {
        self.hub.record(|| {
            Line::new(now_ns, rest_name(self.name), Dir::Http)
                .with_url(url)
                .with_payload(body, false)
        });
    }

    /// The engine found a book wrong.
    pub async fn break_book(self: &Rc<Self>, instrument: InstrumentId, reason: Reason) {
        if !self.senders.borrow().contains_key(&instrument) {
            return;
        }
        let _turn = self.hub.turn().await;
        let now_ns = self.hub.clock.now_ns();
        self.hub.record(|| {
            let native = &self.hub.registry.get(instrument).native;
            Line::new(now_ns, self.name, Dir::Mark).with_mark(mark::RESYNC, native, reason.name())
        });
        self.feed
            .borrow_mut()
            .break_book(instrument, reason, now_ns, &self.hub.metrics.ingest);
        self.pass_on().await;
    }

    /// Hands over what the feed has put out and does what it wants. To be called within a turn.
    pub async fn pass_on(self: &Rc<Self>) {
        let (mut events, wants) = {
            let mut feed = self.feed.borrow_mut();
            (std::mem::take(&mut feed.out.events), feed.take_wants())
        };
        self.hub.hand_over(&events).await;
        events.clear();
        self.feed.borrow_mut().out.events = events; // its capacity is used again
        for want in wants {
            self.fulfil(want);
        }
    }

    pub fn fulfil(self: &Rc<Self>, want: Want) {
        let (slot, wait) = match want {
            Want::Snapshot { slot } => (slot, Duration::ZERO),
            Want::Resync { slot, reason } => {
                let wait = self.resync_pace(slot);
                let native = self.feed.borrow().out.slots()[slot as usize].native.clone();
                info!(exchange = self.name, %native, reason = reason.name(), ?wait, "resync");
                (slot, wait)
            }
        };
        let venue = Rc::clone(self);
        if wait.is_zero() {
            venue.resync(slot);
        } else {
            tokio::task::spawn_local(async move {
                tokio::time::sleep(wait).await;
                venue.resync(slot);
            });
        }
    }

    fn resync(&self, slot: SlotId) {
        let (by_rest, native, instrument) = {
            let feed = self.feed.borrow();
            let s = &feed.out.slots()[slot as usize];
            (
                feed.exchange.snapshot_path(&s.native).is_some(),
                s.native.clone(),
                s.instrument,
            )
        };
        if by_rest {
            let mut queue = self.queue.borrow_mut();
            if !queue.contains(&slot) {
                queue.push_back(slot);
            }
            self.queued.notify_one();
            return;
        }
        let id = self.next_request.get();
        self.next_request.set(id + 10);
        let requests = self.feed.borrow().exchange.resubscribe_book(&native, id);
        let sender = self.senders.borrow().get(&instrument).cloned();
        if sender.is_none_or(|s| s.try_send(requests).is_err()) {
            // The connection is gone or drowning: its reconnect brings the snapshot.
            warn!(exchange = self.name, %native, "could not ask for the book again; the next connection will");
        }
    }

    /// A book that stays without its snapshot (a quiet market's, or a snapshot that was lost) is
    /// asked for again.
    async fn watch_books(self: Rc<Self>, mut stop: Stop) {
        let mut waiting: HashMap<SlotId, Instant> = HashMap::new();
        if !self.config.book {
            return;
        }
        loop {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
                () = stopped(&mut stop) => return,
            }
            let now = Instant::now();
            if self.connections_up.get() == 0 {
                waiting.clear();
                continue;
            }
            let unsynced: Vec<SlotId> = {
                let feed = self.feed.borrow();
                let slots = (0..).zip(feed.out.slots());
                slots
                    .filter(|(_, s)| !s.synced())
                    .map(|(id, _)| id)
                    .collect()
            };
            waiting.retain(|slot, _| unsynced.contains(slot));
            for slot in unsynced {
                let since = waiting.entry(slot).or_insert(now);
                if now - *since > SNAPSHOT_TIMEOUT {
                    *since = now;
                    self.resync(slot);
                }
            }
        }
    }

    /// How long to wait before this book's resync.
    fn resync_pace(&self, slot: SlotId) -> Duration {
        let now = Instant::now();
        let mut resyncs = self.resyncs.borrow_mut();
        let pace = resyncs.entry(slot).or_insert(Pace {
            last: now,
            attempt: 0,
        });
        let calm = now.duration_since(pace.last) > Duration::from_secs(60);
        pace.attempt = if calm { 1 } else { pace.attempt + 1 };
        pace.last = now;
        match pace.attempt {
            0 | 1 => Duration::ZERO,
            n => Duration::from_millis(250 << (n - 2).min(7)),
        }
    }

    /// Fetches the queued snapshots, no faster than the exchange allows.
    async fn fetch_snapshots(self: Rc<Self>, mut stop: Stop) {
        let limits = self.feed.borrow().exchange.limits();
        let per_second = self
            .config
            .snapshots_per_second
            .unwrap_or(limits.snapshots_per_second)
            .max(1);
        let pace = Duration::from_secs(1) / per_second;
        let mut failures = Backoff::new(&self.config);
        loop {
            let Some(slot) = self.queue.borrow_mut().pop_front() else {
                tokio::select! {
                    () = self.queued.notified() => continue,
                    () = stopped(&mut stop) => return,
                }
            };
            let Some((native, path)) = self.wanted_snapshot(slot) else {
                continue;
            };
            let answer = tokio::select! {
                answer = self.get(&path) => answer,
                () = stopped(&mut stop) => return,
            };
            let taken = match answer {
                Ok((url, body)) => self.take_snapshot(&native, url, &body).await,
                Err(e) => Err(e),
            };
            let wait = match taken {
                Ok(()) => {
                    failures.reset();
                    pace
                }
                Err(e) => {
                    let wait = failures.next();
                    warn!(exchange = self.name, %native, "no book snapshot: {e:#}; again in {wait:.1?}");
                    self.queue.borrow_mut().push_back(slot);
                    wait
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stopped(&mut stop) => return,
            }
        }
    }

    pub(super) fn snapshots_wait(&self) -> bool {
        !self.queue.borrow().is_empty()
    }

    /// Symbol and path of a snapshot, if its book still wants one.
    fn wanted_snapshot(&self, slot: SlotId) -> Option<(String, String)> {
        let feed = self.feed.borrow();
        let s = &feed.out.slots()[slot as usize];
        let path = feed.exchange.snapshot_path(&s.native)?;
        (!s.synced()).then(|| (s.native.clone(), path))
    }

    /// The answer is recorded within the turn that applies it, so that a replay meets it there.
    async fn take_snapshot(
        self: &Rc<Self>,
        native: &str,
        url: String,
        body: &[u8],
    ) -> anyhow::Result<()> {
        let _turn = self.hub.turn().await;
        let now_ns = self.hub.clock.now_ns();
        self.record_rest(now_ns, url, body);
        let result =
            self.feed
                .borrow_mut()
                .snapshot(now_ns, native, body, &self.hub.metrics.ingest);
        self.pass_on().await;
        result.map_err(|reject| anyhow!("the answer is not as documented: {reject}"))
    }
}
