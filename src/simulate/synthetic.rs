//! The driver of the synthetic market: lets it happen on schedule, and sends it.
//!
//! The market stands still until somebody has subscribed, and waits for those who read slowly;
//! after a stall it catches up. One task of the simulator's runtime owns all of it.

use super::batch::{Renderer, Traded};
use super::clients::{END_WITHIN, Refused, Sent, close_all, put};
use super::faults::Chaos;
use super::history::{History, Watched};
use super::metronome::Metronome;
use super::schedule::{Burst, Schedule};
use super::server::{Answer, Ask, Control, Inbox, Item, PATIENCE, pick};
use super::subscriptions::Subscriptions;
use super::symbols::listing;
use super::truth::{Truth, levels};
use super::world::World;
use super::{Options, Speed};
use crate::clock;
use anyhow::Context as _;
use serde_json::json;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// What is due is sent so often.
const TICK: Duration = Duration::from_micros(500);
/// Happenings between two looks at the sockets.
const MAX_STEPS: usize = 4096;
/// A market further behind than this does not catch up all of it.
const MAX_DEBT: Duration = Duration::from_secs(2);

pub fn allowed(path: &str) -> bool {
    path == "/ws" || path == "/stream" || path.starts_with("/ws/")
}

/// When market time was zero.
struct Origin {
    at: Instant,
    wall_ns: i64,
}

impl Origin {
    /// So that `passed` of wall time has passed by now.
    fn now(passed: Duration) -> Origin {
        let at = Instant::now();
        Origin {
            at: at.checked_sub(passed).unwrap_or(at),
            wall_ns: clock::now_ns() - passed.as_nanos() as i64,
        }
    }
}

struct Client {
    id: u64,
    queue: mpsc::Sender<Item>,
    subscriptions: Subscriptions,
}

pub struct Synthetic {
    world: World,
    renderer: Renderer,
    history: History,
    clients: Vec<Client>,
    inbox: Inbox,
    truth: Option<Truth>,
    speed: Speed,
    /// How long a client may read nothing.
    patience: Duration,
    /// Trades that connections may still have to send, oldest first.
    outstanding: VecDeque<Arc<Vec<Traded>>>,
    /// When market time was zero, by both clocks; none before the first subscription.
    origin: Option<Origin>,
    burst: Option<Burst>,
    stalled_until: Option<Instant>,
    sent: Sent,
}

impl Synthetic {
    pub fn new(options: &Options, inbox: Inbox) -> anyhow::Result<Synthetic> {
        let world = World::new(options.seed, options.symbols, options.rate, options.levels);
        let renderer = Renderer::new(&world.symbols, Chaos::new(&options.faults, options.seed));
        let truth = options.truth.as_deref().map(Truth::create).transpose()?;
        Ok(Synthetic {
            world,
            renderer,
            history: History::new(options.seed, options.symbols),
            clients: Vec::new(),
            inbox,
            truth,
            speed: options.speed,
            patience: PATIENCE,
            outstanding: VecDeque::new(),
            origin: None,
            burst: options.burst,
            stalled_until: None,
            sent: Sent::default(),
        })
    }

    /// Runs until `stop` or `until`.
    pub async fn run(
        mut self,
        mut stop: watch::Receiver<bool>,
        until: Option<Instant>,
    ) -> anyhow::Result<Sent> {
        let metronome = Metronome::new(TICK).context("the market has no timer")?;
        let mut second = interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = super::stopped(&mut stop) => break,
                () = super::until(until) => break,
                Some(control) = self.inbox.control.recv() => self.control(control).await,
                Some(ask) = self.inbox.asks.recv() => answer(&self.world, &self.history, ask),
                _ = second.tick() => self.each_second(),
                ticked = metronome.tick(), if self.origin.is_some() => {
                    ticked.context("the market's timer failed")?;
                    self.advance().await?;
                }
            }
        }
        self.end().await
    }

    async fn control(&mut self, control: Control) {
        match control {
            Control::Open { id, path, queue } => {
                self.sent.connections += 1;
                let subscriptions = Subscriptions::new(&path, &self.world.symbols);
                self.clients.push(Client {
                    id,
                    queue,
                    subscriptions,
                });
            }
            Control::Text { id, text } => {
                let Some(client) = self.clients.iter_mut().find(|c| c.id == id) else {
                    return;
                };
                let text = client.subscriptions.request(&text, &self.world.symbols);
                let item = Item::Message(text.into());
                let (world, history) = (&self.world, &self.history);
                let answered = |ask| answer(world, history, ask);
                let taken = put(
                    &client.queue,
                    item,
                    self.patience,
                    &mut self.inbox.asks,
                    answered,
                )
                .await;
                if taken == Err(Refused::Slow) {
                    self.drop_slow(id);
                }
            }
            Control::Closed { id } => self.clients.retain(|c| c.id != id),
        }
        self.count_listeners();
    }

    fn count_listeners(&mut self) {
        self.renderer.listeners.fill(0);
        for stream in self.clients.iter().flat_map(|c| c.subscriptions.streams()) {
            self.renderer.listeners[stream] += 1;
        }
        let heard = self.clients.iter().any(|c| !c.subscriptions.is_empty());
        if heard && self.origin.is_none() {
            self.origin = Some(Origin::now(Duration::ZERO));
        }
    }

    fn drop_slow(&mut self, id: u64) {
        tracing::warn!(id, "a client of the simulator does not read; it is cut off");
        self.sent.slow_clients += 1;
        self.clients.retain(|c| c.id != id);
        self.count_listeners();
    }

    /// Faults whose chance is per second.
    fn each_second(&mut self) {
        let chaos = self.renderer.chaos();
        if let Some(stall) = chaos.stall() {
            self.stalled_until = Some(Instant::now() + stall);
        }
        // A full queue cannot take the order to cut; its connection stays for another second.
        let cut = self.clients.iter().filter(|_| chaos.disconnect());
        cut.for_each(|c| drop(c.queue.try_send(Item::Cut)));
    }

    /// Lets all happen that is due, and sends it.
    async fn advance(&mut self) -> anyhow::Result<()> {
        let now = Instant::now();
        if self.stalled_until.is_some_and(|until| now < until) {
            return Ok(());
        }
        let (due, schedule) = self.due(now);
        self.renderer.now_us = clock::now_ns() / 1_000;
        for _ in 0..MAX_STEPS {
            let at = self.world.next_at();
            if at > due {
                break;
            }
            if let (Some(schedule), Some(origin)) = (&schedule, &self.origin) {
                // What is late says so: it bears the time at which it should have been sent.
                let due_ns = origin.wall_ns + schedule.wall(at).as_nanos() as i64;
                self.renderer.now_us = due_ns / 1_000;
            }
            let mut sink = Watched {
                renderer: &mut self.renderer,
                history: &mut self.history,
            };
            self.world.step(&mut sink);
        }
        self.dispatch().await
    }

    /// Market time that should have passed, and how it passes; a debt too large is forgiven.
    fn due(&mut self, now: Instant) -> (u64, Option<Schedule>) {
        let (Speed::Times(times), Some(origin)) = (self.speed, &self.origin) else {
            return (u64::MAX, None);
        };
        let schedule = Schedule {
            scale: 1e9 * self.world.pace() * times,
            burst: self.burst,
        };
        let passed = now.saturating_duration_since(origin.at);
        let most = schedule.wall(self.world.next_at()) + MAX_DEBT;
        if passed > most {
            self.origin = Some(Origin::now(most));
        }
        (schedule.market(passed.min(most)), Some(schedule))
    }

    /// Hands what was rendered to those who want it.
    async fn dispatch(&mut self) -> anyhow::Result<()> {
        if !self.renderer.parts.is_empty() {
            let fresh = Vec::with_capacity(self.renderer.text.len().max(4 << 10));
            let text = std::mem::replace(&mut self.renderer.text, fresh);
            let text = axum::body::Bytes::from(text);
            let trades = Arc::new(std::mem::take(&mut self.renderer.trades));
            let (world, history) = (&self.world, &self.history);
            let mut slow = Vec::new();
            for client in &self.clients {
                let s = &client.subscriptions;
                let parts = pick(&self.renderer.parts, s);
                if parts.is_empty() {
                    continue;
                }
                let trades = Arc::clone(&trades);
                let item = Item::Batch {
                    text: text.clone(),
                    parts,
                    trades,
                };
                let answered = |ask| answer(world, history, ask);
                let taken = put(
                    &client.queue,
                    item,
                    self.patience,
                    &mut self.inbox.asks,
                    answered,
                )
                .await;
                if taken == Err(Refused::Slow) {
                    slow.push(client.id);
                }
            }
            self.renderer.parts.clear();
            self.outstanding.push_back(trades);
            slow.into_iter().for_each(|id| self.drop_slow(id));
        }
        self.retire(false)
    }

    /// Lists the trades that no connection has to send any more; `all`: also those that one never
    /// will.
    fn retire(&mut self, all: bool) -> anyhow::Result<()> {
        while let Some(trades) = self.outstanding.front_mut() {
            if Arc::get_mut(trades).is_none() && !all {
                break;
            }
            for trade in trades.iter().filter(|t| t.was_sent()) {
                let counter = match trade.aggregate {
                    true => &mut self.sent.aggregates,
                    false => &mut self.sent.trades,
                };
                *counter += 1;
                if let Some(truth) = &mut self.truth {
                    truth.trade(&self.world.symbols, trade)?;
                }
            }
            self.outstanding.pop_front();
        }
        Ok(())
    }

    /// Makes all books even, closes all connections, and writes the end of the truth.
    async fn end(mut self) -> anyhow::Result<Sent> {
        self.patience = END_WITHIN;
        if self.origin.is_some() {
            self.renderer.now_us = clock::now_ns() / 1_000;
            self.world.settle(&mut self.renderer);
            self.dispatch().await?;
        }
        let clients = self.clients.drain(..).map(|c| (c.id, c.queue)).collect();
        let (world, history) = (&self.world, &self.history);
        close_all(clients, &mut self.inbox, |ask| answer(world, history, ask)).await;
        self.retire(true)?;
        let played = self.renderer.chaos().played;
        self.sent.disconnects = played.disconnects;
        self.sent.dropped_depths = played.dropped_depths;
        self.sent.duplicate_trades = played.duplicate_trades;
        self.sent.malformed = played.malformed;
        self.sent.stalls = played.stalls;
        self.sent.messages = self.inbox.flushed.messages.load(Ordering::Relaxed);
        self.sent.bytes = self.inbox.flushed.bytes.load(Ordering::Relaxed);
        if let Some(truth) = self.truth {
            truth.finish(&self.world, &self.sent)?;
        }
        Ok(self.sent)
    }
}

/// Answers a REST request. A requester that has gone is no concern of ours.
fn answer(world: &World, history: &History, ask: Ask) {
    let (path, query) = ask.path.split_once('?').unwrap_or((&ask.path, ""));
    let now_ms = clock::now_ns() / 1_000_000;
    let answer = match path {
        "/api/v3/ping" => Answer::ok("{}".to_owned()),
        "/api/v3/time" => Answer::ok(json!({"serverTime": now_ms}).to_string()),
        "/api/v3/exchangeInfo" => Answer::ok(listing(&world.symbols, now_ms)),
        "/api/v3/depth" => depth(world, query),
        _ => {
            let answer = history.answer(world, &ask.path, now_ms / 1_000);
            answer.unwrap_or_else(|| Answer {
                status: 404,
                body: json!({"code": -1, "msg": "Not found."}).to_string(),
            })
        }
    };
    let _ = ask.reply.send(answer);
}

/// A book as it is now; the next change's ids begin at or before the one after this.
fn depth(world: &World, query: &str) -> Answer {
    let param = |name: &str| {
        query
            .split('&')
            .find_map(|q| q.split_once('=').filter(|(k, _)| *k == name))
            .map(|q| q.1)
    };
    let refuse = |code: i32, msg: &str| Answer {
        status: 400,
        body: json!({"code": code, "msg": msg}).to_string(),
    };
    let Some(index) = param("symbol").and_then(|name| world.index_of(name)) else {
        return refuse(-1121, "Invalid symbol.");
    };
    let limit = match param("limit").map(str::parse::<usize>) {
        None => 100,
        Some(Ok(limit)) if limit > 0 => limit.min(5000),
        Some(_) => return refuse(-1100, "Illegal characters found in parameter 'limit'."),
    };
    let (symbol, market) = (&world.symbols[index], &world.markets[index]);
    let mut body = format!("{{\"lastUpdateId\":{},\"bids\":", market.book.update_id()).into_bytes();
    levels(&mut body, symbol, market.book.bids().take(limit));
    body.extend_from_slice(b",\"asks\":");
    levels(&mut body, symbol, market.book.asks().take(limit));
    body.push(b'}');
    Answer::ok(String::from_utf8_lossy(&body).into_owned())
}
