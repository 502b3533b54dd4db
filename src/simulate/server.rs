//! The sockets of a simulation: WebSocket connections and REST, both handed to a driver.
//!
//! A driver ([`super::synthetic`], [`super::playback`]) gets [`Control`] and [`Ask`], and answers
//! by each connection's bounded queue. Nothing here knows a market. Tasks of the caller's runtime.

use super::batch::{Part, Traded};
use super::subscriptions::Subscriptions;
use axum::Router;
use axum::body::Bytes;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures_util::{SinkExt, StreamExt};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::handshake::server::{
    ErrorResponse, Request, Response as Accept,
};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

/// Digits by which a time in µs is longer than one in ms.
const MICROS: usize = 3;
/// Batches that may wait for one connection.
const QUEUE: usize = 64;
/// A client that reads nothing for so long is cut off.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes after which a connection flushes even while more is queued.
const FLUSH_AT: u64 = 256 << 10;
const PING_EVERY: Duration = Duration::from_secs(20);
const PONG_WITHIN: Duration = Duration::from_secs(60);
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// A message within a batch's text, and which of its trades it is.
#[derive(Clone, Copy)]
pub struct Piece {
    start: u32,
    end: u32,
    /// Where times end that are to be cut to ms; 0 where there is none.
    cuts: [u32; 2],
    trade: Option<u32>,
}

impl Piece {
    /// Of the batch's text. Copied only where its times are to be cut.
    fn of(&self, batch: &Bytes) -> Bytes {
        let (mut start, end) = (self.start as usize, self.end as usize);
        if self.cuts == [0; 2] {
            return batch.slice(start..end);
        }
        let mut text = Vec::with_capacity(end - start);
        // A torn message may end before its times do.
        for cut in self.cuts.map(|c| c as usize) {
            if (start..=end).contains(&cut) {
                text.extend_from_slice(&batch[start..cut - MICROS]);
                start = cut;
            }
        }
        text.extend_from_slice(&batch[start..end]);
        text.into()
    }
}

/// What a connection has to send.
pub enum Item {
    /// Slices of a text that all connections share.
    Batch {
        text: Bytes,
        parts: Vec<Piece>,
        trades: Arc<Vec<Traded>>,
    },
    Message(Message),
    /// Close in good order, after all that was queued before.
    Close,
    /// End without a word.
    Cut,
}

/// What connections tell the driver.
pub enum Control {
    Open {
        id: u64,
        path: String,
        queue: mpsc::Sender<Item>,
    },
    Text {
        id: u64,
        text: Utf8Bytes,
    },
    Closed {
        id: u64,
    },
}

/// A REST request: path and query.
pub struct Ask {
    pub path: String,
    pub reply: oneshot::Sender<Answer>,
}

pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Answer {
    pub fn ok(body: String) -> Answer {
        Answer { status: 200, body }
    }
}

/// What was handed to sockets, over all connections.
#[derive(Default)]
pub struct Flushed {
    pub messages: AtomicU64,
    pub bytes: AtomicU64,
}

/// A driver's ends of the channels.
pub struct Inbox {
    pub control: mpsc::Receiver<Control>,
    pub asks: mpsc::Receiver<Ask>,
    pub flushed: Arc<Flushed>,
}

/// Where the simulation is, and its tasks.
pub struct Sockets {
    pub ws: SocketAddr,
    pub rest: SocketAddr,
    pub tasks: [tokio::task::JoinHandle<()>; 2],
}

/// Binds both sockets. `allowed` says which WebSocket paths exist.
pub async fn serve(
    listen: SocketAddr,
    allowed: fn(&str) -> bool,
) -> anyhow::Result<(Sockets, Inbox)> {
    use anyhow::Context as _;
    let bind = async |address: SocketAddr| {
        TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address}; is the port taken?"))
    };
    let ws = bind(listen).await?;
    let rest = bind(SocketAddr::new(listen.ip(), 0)).await?;
    let (ws_at, rest_at) = (ws.local_addr()?, rest.local_addr()?);
    let (control_in, control) = mpsc::channel(256);
    let (ask_in, asks) = mpsc::channel(256);
    let flushed = Arc::new(Flushed::default());
    let accepting = tokio::spawn(accept(ws, allowed, control_in, Arc::clone(&flushed)));
    let router = Router::new().fallback(move |uri: Uri| answer(ask_in.clone(), uri));
    let resting = tokio::spawn(async move {
        if let Err(error) = axum::serve(rest, router).await {
            tracing::error!(%error, "the simulator's REST socket failed");
        }
    });
    let sockets = Sockets {
        ws: ws_at,
        rest: rest_at,
        tasks: [accepting, resting],
    };
    Ok((
        sockets,
        Inbox {
            control,
            asks,
            flushed,
        },
    ))
}

async fn answer(asks: mpsc::Sender<Ask>, uri: Uri) -> Response {
    let path = uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
    let (reply, answered) = oneshot::channel();
    if asks.send(Ask { path, reply }).await.is_err() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    match answered.await {
        Ok(Answer { status, body }) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
            (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn accept(
    listener: TcpListener,
    allowed: fn(&str) -> bool,
    control: mpsc::Sender<Control>,
    flushed: Arc<Flushed>,
) {
    for id in 0u64.. {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (control, flushed) = (control.clone(), Arc::clone(&flushed));
                tokio::spawn(connection(id, stream, allowed, control, flushed));
            }
            Err(error) => {
                tracing::warn!(%error, "the simulator cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// The handshake's path, with the query.
async fn handshake(
    stream: TcpStream,
    allowed: fn(&str) -> bool,
) -> Option<(String, WebSocketStream<TcpStream>)> {
    stream.set_nodelay(true).ok()?;
    let config = WebSocketConfig::default()
        .read_buffer_size(4 << 10)
        .write_buffer_size(64 << 10)
        .max_message_size(Some(1 << 20));
    let mut path = String::new();
    #[expect(
        clippy::result_large_err,
        reason = "the callback's type is tungstenite's"
    )]
    let check = |request: &Request, response: Accept| -> Result<Accept, ErrorResponse> {
        path = request
            .uri()
            .path_and_query()
            .map_or("/", |p| p.as_str())
            .to_owned();
        if allowed(request.uri().path()) {
            return Ok(response);
        }
        let mut refusal = ErrorResponse::new(Some("no such path".to_owned()));
        *refusal.status_mut() = StatusCode::NOT_FOUND;
        Err(refusal)
    };
    let accepted = accept_hdr_async_with_config(stream, check, Some(config));
    let ws = timeout(PATIENCE, accepted).await.ok()?.ok()?;
    Some((path, ws))
}

async fn connection(
    id: u64,
    stream: TcpStream,
    allowed: fn(&str) -> bool,
    control: mpsc::Sender<Control>,
    flushed: Arc<Flushed>,
) {
    let Some((path, ws)) = handshake(stream, allowed).await else {
        return;
    };
    let (queue, items) = mpsc::channel(QUEUE);
    if control
        .send(Control::Open { id, path, queue })
        .await
        .is_err()
    {
        return;
    }
    let mut connection = Connection {
        id,
        ws,
        items,
        control,
        flushed,
    };
    if let Err(reason) = connection.run().await {
        tracing::debug!(id, reason, "a simulator's client is gone");
    }
    let Connection {
        items, control, ws, ..
    } = connection;
    drop(ws);
    // Unsent trades are let go before the driver counts.
    drop(items);
    let _ = control.send(Control::Closed { id }).await;
}

struct Connection {
    id: u64,
    ws: WebSocketStream<TcpStream>,
    items: mpsc::Receiver<Item>,
    control: mpsc::Sender<Control>,
    flushed: Arc<Flushed>,
}

impl Connection {
    async fn run(&mut self) -> Result<(), &'static str> {
        let mut ping = tokio::time::interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                item = self.items.recv() => match item {
                    Some(Item::Close) => return self.close().await,
                    None | Some(Item::Cut) => return Err("cut"),
                    Some(item) => {
                        let sent = timeout(PATIENCE, self.send(item)).await;
                        if sent.map_err(|_| "reads too slowly")?? {
                            return self.close().await;
                        }
                    }
                },
                message = self.ws.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        let text = Control::Text { id: self.id, text };
                        self.control.send(text).await.map_err(|_| "the simulation is over")?;
                    }
                    Some(Ok(Message::Pong(_))) => heard = Instant::now(),
                    Some(Ok(Message::Close(_))) | None => return Err("closed by the client"),
                    Some(Ok(_)) => {}
                    Some(Err(_)) => return Err("broken"),
                },
                _ = ping.tick() => {
                    if heard.elapsed() > PONG_WITHIN + PING_EVERY {
                        return Err("no pong");
                    }
                    self.ws.send(Message::Ping(Bytes::from_static(b"tickforge")))
                        .await
                        .map_err(|_| "broken")?;
                }
            }
        }
    }

    /// Sends this and all that waits behind it, then flushes; true where a close came with it.
    async fn send(&mut self, first: Item) -> Result<bool, &'static str> {
        let (mut messages, mut bytes) = (0u64, 0u64);
        let mut sent = Vec::new();
        let mut next = Some(first);
        let mut close = false;
        while let Some(item) = next {
            match item {
                Item::Batch {
                    text,
                    parts,
                    trades,
                } => {
                    for piece in &parts {
                        let text = Utf8Bytes::try_from(piece.of(&text)).map_err(|_| "not UTF-8")?;
                        bytes += text.len() as u64;
                        self.ws.feed(Message::Text(text)).await.map_err(broken)?;
                    }
                    messages += parts.len() as u64;
                    sent.push((trades, parts));
                }
                Item::Message(message) => {
                    messages += 1;
                    bytes += message.len() as u64;
                    self.ws.feed(message).await.map_err(broken)?;
                }
                Item::Close => {
                    close = true;
                    break;
                }
                Item::Cut => return Err("cut"),
            }
            // Not for ever: what was sent is to be flushed and counted.
            next = (bytes < FLUSH_AT)
                .then(|| self.items.try_recv().ok())
                .flatten();
        }
        self.ws.flush().await.map_err(broken)?;
        self.flushed.messages.fetch_add(messages, Ordering::Relaxed);
        self.flushed.bytes.fetch_add(bytes, Ordering::Relaxed);
        for (trades, parts) in sent {
            let listed = parts.iter().filter_map(|p| p.trade);
            listed.for_each(|i| trades[i as usize].sent.store(true, Ordering::Release));
        }
        Ok(close)
    }

    /// The closing handshake, so that the client has read all that was sent.
    async fn close(&mut self) -> Result<(), &'static str> {
        let frame = CloseFrame {
            code: CloseCode::Normal,
            reason: Utf8Bytes::from_static(""),
        };
        let ending = async {
            let _ = self.ws.close(Some(frame)).await;
            while let Some(Ok(_)) = self.ws.next().await {}
        };
        timeout(CLOSE_WITHIN, ending)
            .await
            .map_err(|_| "did not answer the close")
    }
}

fn broken(_: Error) -> &'static str {
    "broken"
}

/// What of a batch a connection wants, in the form that it wants.
pub fn pick(parts: &[Part], subscriptions: &Subscriptions) -> Vec<Piece> {
    let Subscriptions {
        combined, micros, ..
    } = *subscriptions;
    let wanted = parts.iter().filter(|p| subscriptions.wants(p.stream));
    wanted
        .map(|p| {
            let (start, end) = if combined { p.combined } else { p.raw };
            Piece {
                start,
                end,
                cuts: if micros { [0; 2] } else { p.stamps },
                trade: p.trade,
            }
        })
        .collect()
}
