//! The driver that plays a capture: recorded frames in recorded order, REST as it was answered.
//!
//! One timeline over all connections: who reconnects gets what comes next. Subscriptions are
//! answered here, recorded answers to them are left out. One task of the simulator's runtime owns
//! all of it.

use super::clients::{Refused, Sent, close_all, put};
use super::faults::{Chaos, Faults};
use super::recorded::Answers;
use super::server::{Ask, Control, Inbox, Item, PATIENCE};
use super::{Options, Speed};
use crate::capture::{Dir, Line, Reader};
use crate::exchanges::{self, Exchange};
use anyhow::{Context as _, bail};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_tungstenite::tungstenite::{Bytes, Message};

/// Frames between two looks at the sockets.
const MAX_FRAMES: usize = 256;
/// Requests that may wait for the playback to reach their answer.
const MAX_WAITING: usize = 1024;
/// How long connections stay open after the last frame.
const LINGER: Duration = Duration::from_secs(1);

/// A capture and what must be known of it before it is played.
pub struct Recording {
    path: PathBuf,
    answers: Answers,
}

impl Recording {
    /// Reads the capture once: whose it is, and what REST answered.
    pub fn open(path: &Path) -> anyhow::Result<Recording> {
        let name = exchange_of(path)?;
        let exchange = exchanges::by_name(name)
            .with_context(|| format!("capture {}: {name} is not built in", path.display()))?;
        Recording::of(path, exchange)
    }

    /// The same for an exchange already known.
    pub fn of(path: &Path, exchange: Box<dyn Exchange>) -> anyhow::Result<Recording> {
        Ok(Recording {
            path: path.to_owned(),
            answers: Answers::read(path, exchange)?,
        })
    }
}

/// The exchange of the first URL that is known: of a connection, or else of a REST answer.
fn exchange_of(path: &Path) -> anyhow::Result<&'static str> {
    let mut of_rest = None;
    let mut first_url = None;
    for (_, line) in Reader::open(path)?.flatten() {
        let Some(url) = &line.url else { continue };
        let name = exchanges::by_url(url);
        match (line.dir, name) {
            (Dir::Connect, Some(name)) => return Ok(name),
            (Dir::Http, Some(_)) => of_rest = of_rest.or(name),
            _ => {}
        }
        first_url.get_or_insert_with(|| url.clone());
    }
    match (of_rest, first_url) {
        (Some(name), _) => Ok(name),
        (None, Some(url)) => bail!("capture {}: no exchange is known for {url}", path.display()),
        (None, None) => bail!("capture {}: names no URL; is it a capture?", path.display()),
    }
}

struct Client {
    id: u64,
    queue: mpsc::Sender<Item>,
    /// It has subscribed, and gets frames.
    ready: bool,
}

pub struct Playback {
    answers: Answers,
    reader: Reader,
    next: Option<Line>,
    /// `recv` lines played.
    position: u64,
    /// The recorded connections in the order of their first frame.
    recorded: Vec<String>,
    clients: Vec<Client>,
    inbox: Inbox,
    waiting: Vec<Ask>,
    speed: Speed,
    chaos: Chaos,
    /// The moment at which this recorded time is played; none while nobody listens.
    clock: Option<(Instant, i64)>,
    sent: Sent,
}

impl Playback {
    pub fn new(options: &Options, recording: Recording, inbox: Inbox) -> anyhow::Result<Playback> {
        let supported = Faults {
            disconnect: options.faults.disconnect,
            stall: options.faults.stall,
            ..Faults::default()
        };
        if options.faults != supported {
            bail!("--faults: a capture is played as it is; only disconnect and stall_ms apply");
        }
        let mut playback = Playback {
            answers: recording.answers,
            reader: Reader::open(&recording.path)?,
            next: None,
            position: 0,
            recorded: Vec::new(),
            clients: Vec::new(),
            inbox,
            waiting: Vec::new(),
            speed: options.speed,
            chaos: Chaos::new(&options.faults, options.seed),
            clock: None,
            sent: Sent::default(),
        };
        playback.read();
        if playback.next.is_none() {
            bail!(
                "capture {}: holds no frames; nothing to play",
                recording.path.display()
            );
        }
        Ok(playback)
    }

    /// Runs until `stop` or `until`; without the latter, to the end of the capture.
    pub async fn run(
        mut self,
        mut stop: watch::Receiver<bool>,
        until: Option<Instant>,
    ) -> anyhow::Result<Sent> {
        let mut second = interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut ended, mut over) = (false, None);
        loop {
            let due = self.due();
            tokio::select! {
                biased;
                () = super::stopped(&mut stop) => break,
                () = super::until(until) => break,
                Some(control) = self.inbox.control.recv() => self.control(control).await,
                Some(ask) = self.inbox.asks.recv() => self.ask(ask),
                _ = second.tick() => self.each_second(),
                () = super::until(due) => self.advance().await,
                () = super::until(over) => {
                    if until.is_none() {
                        break;
                    }
                    over = None;
                    self.close().await;
                }
            }
            if self.next.is_none() && !ended {
                (ended, self.clock) = (true, None);
                over = Some(Instant::now() + LINGER);
            }
        }
        self.close().await;
        self.sent.disconnects = self.chaos.played.disconnects;
        self.sent.stalls = self.chaos.played.stalls;
        self.sent.messages = self.inbox.flushed.messages.load(Ordering::Relaxed);
        self.sent.bytes = self.inbox.flushed.bytes.load(Ordering::Relaxed);
        Ok(self.sent)
    }

    async fn close(&mut self) {
        let clients = self.clients.drain(..).map(|c| (c.id, c.queue)).collect();
        let (answers, position) = (&self.answers, self.position);
        close_all(clients, &mut self.inbox, |ask| answers.reply(ask, position)).await;
    }

    /// Goes to the next line that is to be played.
    fn read(&mut self) {
        self.next = None;
        for line in self.reader.by_ref() {
            match line {
                Ok((_, line)) if line.dir == Dir::Recv => {
                    self.next = Some(line);
                    return;
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "left out");
                    self.sent.broken_lines += 1;
                }
            }
        }
    }

    async fn control(&mut self, control: Control) {
        match control {
            Control::Open { id, path, queue } => {
                self.sent.connections += 1;
                let by_path = path.contains("streams=") || path.starts_with("/ws/");
                self.clients.push(Client {
                    id,
                    queue,
                    ready: by_path,
                });
            }
            Control::Text { id, text } => {
                let answers = self.answers.exchange(|e| e.answer(&text));
                let Some(at) = self.clients.iter().position(|c| c.id == id) else {
                    return;
                };
                for text in &answers {
                    self.send(at, Message::text(text.as_str())).await;
                }
                // Sending may have removed it.
                let client = self.clients.iter_mut().find(|c| c.id == id);
                // Where the recorded answers are served in place (Coinbase), there is none of our
                // own.
                let subscribes = !answers.is_empty() || text.to_lowercase().contains("subscribe");
                if let Some(client) = client.filter(|_| subscribes) {
                    client.ready = true;
                }
            }
            Control::Closed { id } => self.clients.retain(|c| c.id != id),
        }
        self.set_clock();
    }

    /// The timeline stands still while nobody listens, and goes on from there.
    fn set_clock(&mut self) {
        let heard = self.clients.iter().any(|c| c.ready);
        self.clock = match (&self.next, self.clock) {
            (Some(next), None) if heard => Some((Instant::now(), next.t)),
            (_, clock) => clock.filter(|_| heard),
        };
    }

    /// When the next frame is to be played.
    fn due(&self) -> Option<Instant> {
        let ((start, from), next) = (self.clock?, self.next.as_ref()?);
        let Speed::Times(times) = self.speed else {
            return Some(start);
        };
        let seconds = next.t.saturating_sub(from).max(0) as f64 / 1e9 / times;
        start.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
    }

    /// Plays what is due.
    async fn advance(&mut self) {
        let now = Instant::now();
        for _ in 0..MAX_FRAMES {
            if self.due().is_none_or(|due| due > now) {
                break;
            }
            let Some(line) = self.next.take() else { break };
            self.play(line).await;
            self.read();
        }
        self.answer_waiting();
    }

    async fn play(&mut self, line: Line) {
        self.position += 1;
        let index = match self.recorded.iter().position(|name| *name == line.conn) {
            Some(index) => index,
            None => {
                self.recorded.push(line.conn);
                self.recorded.len() - 1
            }
        };
        let message = match (line.raw, &line.b64) {
            (Some(text), _) if self.answers.exchange(|e| e.is_answer(&text)) => return,
            (Some(text), _) => Message::text(text),
            (None, Some(_)) => {
                let binary = Line {
                    conn: String::new(),
                    raw: None,
                    ..line
                };
                let Ok(bytes) = binary.payload() else {
                    self.sent.broken_lines += 1;
                    return;
                };
                Message::Binary(Bytes::from(bytes.into_owned()))
            }
            (None, None) => return,
        };
        let ready = || self.clients.iter().enumerate().filter(|(_, c)| c.ready);
        let count = ready().count();
        if let Some((at, _)) = ready().nth(index % count.max(1)) {
            self.send(at, message).await;
        }
    }

    /// Sends to a client; one that does not read is cut off.
    async fn send(&mut self, at: usize, message: Message) {
        let client = &self.clients[at];
        let (answers, position) = (&self.answers, self.position);
        // While this client does not read, the playback does not advance: nothing is worth waiting
        // for.
        let answered = |ask| answers.reply(ask, position);
        let item = Item::Message(message);
        match put(
            &client.queue,
            item,
            PATIENCE,
            &mut self.inbox.asks,
            answered,
        )
        .await
        {
            Ok(()) => {}
            Err(refused) => {
                let client = self.clients.remove(at);
                if refused == Refused::Slow {
                    tracing::warn!(id = client.id, "a client does not read; it is cut off");
                    self.sent.slow_clients += 1;
                }
                self.set_clock();
            }
        }
    }

    /// Faults whose chance is per second.
    fn each_second(&mut self) {
        let chaos = &mut self.chaos;
        let cut = self.clients.iter().filter(|_| chaos.disconnect());
        cut.for_each(|c| drop(c.queue.try_send(Item::Cut)));
        if let (Some(stall), Some((start, _))) = (self.chaos.stall(), &mut self.clock) {
            *start += stall;
        }
    }

    /// Answers, or lets wait until the playback is where the answer was recorded.
    fn ask(&mut self, ask: Ask) {
        let playing = self.clock.is_some();
        let wait = playing && !self.answers.reached(&ask.path, self.position);
        if wait && self.waiting.len() < MAX_WAITING {
            self.waiting.push(ask);
        } else {
            self.answers.reply(ask, self.position);
        }
    }

    fn answer_waiting(&mut self) {
        let (answers, position) = (&self.answers, self.position);
        let over = self.next.is_none() || self.clock.is_none();
        let reached = |ask: &mut Ask| over || answers.reached(&ask.path, position);
        self.waiting
            .extract_if(.., reached)
            .for_each(|ask| answers.reply(ask, position));
    }
}
