//! One WebSocket connection, kept for as long as the daemon runs.

use super::stream::{self, Socket};
use super::venue::Venue;
use super::{Backoff, Stop, stopped};
use crate::capture::{Dir, Line, mark};
use crate::exchanges::{Frame, Limits, Plan, Request};
use anyhow::{Context, anyhow, bail};
use futures_util::{FutureExt, SinkExt, StreamExt};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tracing::{debug, info, warn};

/// The largest frame taken: a Coinbase snapshot is 5 MB.
const MAX_FRAME: usize = 16 << 20;
/// tungstenite zeroes its read buffer at each read, so a large one costs more than it saves.
const READ_BUFFER: usize = 4 << 10;
/// Frames taken in a row before timers, stop and the other tasks have their turn.
const BATCH: usize = 64;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const ACK_TIMEOUT: Duration = Duration::from_secs(10);
/// Pace of the timers: silence, pings, requests within the rate limit.
const HOUSEKEEPING: Duration = Duration::from_millis(100);
/// A connection that lived this long was a good one: the next failure backs off from the start.
const GOOD_LIFE: Duration = Duration::from_secs(60);

pub struct Connection {
    venue: Rc<Venue>,
    index: u32,
    name: String,
    plan: Plan,
    extra: mpsc::Receiver<Vec<Request>>,
    limits: Limits,
    silence: Duration,
}

/// How a life of the connection ended, when not by an error.
enum End {
    Closed,
    Stopped,
}

/// What one life of the connection keeps.
struct Life {
    started: Instant,
    outgoing: VecDeque<Request>,
    /// Requests sent and not yet acknowledged: acks missing, and until when.
    pending: HashMap<u64, (u32, Instant)>,
    last_frame: Instant,
    last_ping: Instant,
    /// Requests that may be sent in the current second.
    second: Instant,
    sent_in_second: u32,
}

impl Connection {
    pub fn new(
        venue: Rc<Venue>,
        index: u32,
        plan: Plan,
        extra: mpsc::Receiver<Vec<Request>>,
    ) -> Self {
        let limits = venue.feed.borrow().exchange.limits();
        let silence = venue.config.silence.unwrap_or(limits.silence);
        let name = format!("{}.ws.{index}", venue.name);
        Connection {
            venue,
            index,
            name,
            plan,
            extra,
            limits,
            silence,
        }
    }

    pub async fn run(mut self, mut stop: Stop) {
        let mut backoff = Backoff::new(&self.venue.config);
        loop {
            let started = Instant::now();
            let why = match self.live(&mut stop).await {
                Ok(End::Stopped) => {
                    let now_ns = self.venue.hub.clock.now_ns();
                    self.record(now_ns, Dir::Disconnect, |line| {
                        line.with_mark("disconnect", "", mark::STOPPED)
                    });
                    return;
                }
                Ok(End::Closed) => "closed by the exchange".to_owned(),
                Err(e) => format!("{e:#}"),
            };
            self.lost(&why).await;
            if started.elapsed() > GOOD_LIFE {
                backoff.reset();
            }
            let wait = backoff.next();
            warn!(connection = %self.name, "{why}; again in {wait:.1?}");
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stopped(&mut stop) => return,
            }
            self.venue.hub.metrics.ingest.reconnects.add(1);
            self.venue.counts.reconnects.add(1);
        }
    }

    /// One life: from connecting until something ends it.
    async fn live(&mut self, stop: &mut Stop) -> anyhow::Result<End> {
        let url = format!("{}{}", self.venue.ws, self.plan.path);
        let mut socket = tokio::select! {
            socket = self.connect(&url) => socket?,
            () = stopped(stop) => return Ok(End::Stopped),
        };
        info!(connection = %self.name, %url, "connected");
        let now_ns = self.venue.hub.clock.now_ns();
        self.record(now_ns, Dir::Connect, |line| line.with_url(url));
        let metrics = std::sync::Arc::clone(&self.venue.hub.metrics);
        let up = &metrics.ingest.connections_up;
        up.set(up.get() + 1);
        let venue = Rc::clone(&self.venue);
        venue.count_connections(venue.connections_up.get() + 1);
        let result = self.serve(&mut socket, stop).await;
        up.set(up.get().saturating_sub(1));
        venue.count_connections(venue.connections_up.get() - 1);
        // The other side may be gone already.
        let _ = tokio::time::timeout(Duration::from_secs(1), socket.close(None)).await;
        result
    }

    async fn connect(&self, url: &str) -> anyhow::Result<Socket> {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .max_message_size(Some(MAX_FRAME))
            .max_frame_size(Some(MAX_FRAME));
        let connecting = stream::connect(url, self.venue.mode, config);
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await;
        connected
            .with_context(|| format!("{url} did not answer within {CONNECT_TIMEOUT:?}"))?
            .with_context(|| format!("{url} cannot be reached"))
    }

    /// A stop is heard between frames only, so that none is decoded and not handed over.
    async fn serve(&mut self, socket: &mut Socket, stop: &mut Stop) -> anyhow::Result<End> {
        let now = Instant::now();
        let mut life = Life {
            started: now,
            outgoing: self.plan.requests.iter().cloned().collect(),
            pending: HashMap::new(),
            last_frame: now,
            last_ping: now,
            second: now,
            sent_in_second: 0,
        };
        while self.extra.try_recv().is_ok() {} // asked of the connection before this one
        let mut timer = tokio::time::interval(HOUSEKEEPING);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut flooded = false;
        loop {
            tokio::select! {
                biased; // a frame is what is waited for
                message = socket.next(), if !flooded => {
                    if !self.message(message, &mut life).await? {
                        return Ok(End::Closed);
                    }
                    flooded = true;
                    // What has arrived already needs no trip through select.
                    for _ in 0..BATCH {
                        let Some(message) = socket.next().now_or_never() else {
                            flooded = false;
                            break;
                        };
                        if !self.message(message, &mut life).await? {
                            return Ok(End::Closed);
                        }
                    }
                }
                Some(requests) = self.extra.recv() => life.outgoing.extend(requests),
                _ = timer.tick() => self.housekeeping(socket, &mut life).await?,
                () = stopped(stop) => return Ok(End::Stopped),
                () = tokio::task::yield_now(), if flooded => flooded = false,
            }
        }
    }

    /// False where the connection is over.
    #[inline]
    async fn message(
        &mut self,
        message: Option<Result<Message, tokio_tungstenite::tungstenite::Error>>,
        life: &mut Life,
    ) -> anyhow::Result<bool> {
        let recv_ns = self.venue.hub.clock.now_ns();
        match message {
            Some(Ok(Message::Text(text))) => {
                self.frame(text.as_bytes(), false, recv_ns, life).await?
            }
            Some(Ok(Message::Binary(bytes))) => self.frame(&bytes, true, recv_ns, life).await?,
            // Pings are answered by the library at the next read; both say that the peer lives.
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => life.last_frame = Instant::now(),
            Some(Ok(Message::Close(_) | Message::Frame(_))) | None => return Ok(false),
            Some(Err(e)) => return Err(anyhow!(e).context("reading")),
        }
        Ok(true)
    }

    #[inline]
    async fn frame(
        &mut self,
        bytes: &[u8],
        binary: bool,
        recv_ns: i64,
        life: &mut Life,
    ) -> anyhow::Result<()> {
        let venue = Rc::clone(&self.venue);
        let hub = &venue.hub;
        let _turn = hub.turn().await;
        hub.record(|| Line::new(recv_ns, self.name.clone(), Dir::Recv).with_payload(bytes, binary));
        life.last_frame = Instant::now();
        let metrics = &hub.metrics;
        let result = {
            let mut feed = venue.feed.borrow_mut();
            let result = feed.frame(self.index, recv_ns, bytes, &metrics.ingest);
            let decode_ns = hub.clock.now_ns() - recv_ns;
            let stamp = decode_ns.clamp(0, i64::from(u16::MAX)) as u16;
            feed.out.events.iter_mut().for_each(|e| e.decode_ns = stamp);
            if let Some(event) = feed.out.events.first() {
                venue.counts.skew.record(event.exchange_ns, recv_ns);
            }
            metrics
                .engine
                .recv_to_decoded
                .record_many(decode_ns, feed.out.events.len() as u64);
            result
        };
        metrics.ingest.last_frame_ns.set(recv_ns as u64);
        venue.counts.last_frame_ns.set(recv_ns as u64);
        venue.pass_on().await;
        match result {
            Ok(Frame::Data | Frame::Heartbeat | Frame::Ignored) => {}
            Ok(Frame::Ack { id }) => self.acknowledge(life, id),
            Ok(Frame::Refused { id, reason }) => {
                self.acknowledge(life, id);
                metrics.ingest.refused.add(1);
                tracing::error!(connection = %self.name, "the exchange refused a request: {reason}; the others go on");
            }
            Ok(Frame::ShuttingDown) => bail!("the exchange is shutting this connection down"),
            Err(reject) => {
                let start = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
                debug!(connection = %self.name, "frame rejected: {reject}: {start}");
            }
        }
        Ok(())
    }

    fn acknowledge(&self, life: &mut Life, id: Option<u64>) {
        life.acknowledge(id);
        if life.outgoing.is_empty() && life.pending.is_empty() {
            self.venue.subscribed(&self.plan.instruments);
        }
    }

    async fn housekeeping(&mut self, socket: &mut Socket, life: &mut Life) -> anyhow::Result<()> {
        let now = Instant::now();
        if now - life.last_frame > self.silence {
            let now_ns = self.venue.hub.clock.now_ns();
            self.record(now_ns, Dir::Mark, |line| {
                line.with_mark("reconnect", "", "silence")
            });
            bail!("nothing came for {:.0?}", self.silence);
        }
        if let Some(late) = life
            .pending
            .iter()
            .find(|(_, (_, deadline))| now > *deadline)
        {
            bail!(
                "request {} was not acknowledged within {ACK_TIMEOUT:?} ({:.0?} after connecting)",
                late.0,
                now - life.started
            );
        }
        if let Some((every, text)) = self.limits.ping
            && now - life.last_ping > every
        {
            life.last_ping = now;
            self.send(socket, text).await?;
        }
        if now - life.second >= Duration::from_secs(1) {
            life.second = now;
            life.sent_in_second = 0;
        }
        while life.sent_in_second < self.limits.messages_per_second {
            let Some(request) = life.outgoing.pop_front() else {
                break;
            };
            self.send(socket, &request.text).await?;
            life.sent_in_second += 1;
            if request.acks > 0 {
                life.pending
                    .insert(request.id, (request.acks, now + ACK_TIMEOUT));
            }
        }
        Ok(())
    }

    async fn send(&self, socket: &mut Socket, text: &str) -> anyhow::Result<()> {
        let now_ns = self.venue.hub.clock.now_ns();
        self.record(now_ns, Dir::Send, |line| line.with_text(text));
        let sending = socket.send(Message::text(text.to_owned()));
        let sent = tokio::time::timeout(CONNECT_TIMEOUT, sending).await;
        sent.context("the socket takes nothing")?.context("sending")
    }

    /// The connection is over: its books are stale.
    async fn lost(&self, why: &str) {
        self.venue.unsubscribed(&self.plan.instruments);
        let _turn = self.venue.hub.turn().await;
        let now_ns = self.venue.hub.clock.now_ns();
        self.record(now_ns, Dir::Disconnect, |line| {
            line.with_mark("disconnect", "", why)
        });
        self.venue.feed.borrow_mut().disconnected(
            self.index,
            now_ns,
            &self.venue.hub.metrics.ingest,
        );
        self.venue.pass_on().await;
    }

    fn record(&self, now_ns: i64, dir: Dir, complete: impl FnOnce(Line) -> Line) {
        self.venue
            .hub
            .record(|| complete(Line::new(now_ns, self.name.clone(), dir)));
    }
}

impl Life {
    /// An ack without an id (Coinbase) is for the oldest request.
    fn acknowledge(&mut self, id: Option<u64>) {
        let Some(id) = id.or_else(|| self.pending.keys().min().copied()) else {
            return;
        };
        if let Some((missing, _)) = self.pending.get_mut(&id) {
            *missing = missing.saturating_sub(1);
            if *missing == 0 {
                self.pending.remove(&id);
            }
        }
    }
}
