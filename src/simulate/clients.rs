//! What both drivers share: handing items to connections that read at their own pace, and the end.
//!
//! Called by `synthetic` and `playback` on the simulator's task.

use super::server::{Ask, Control, Inbox, Item};
use serde::Serialize;
use std::time::Duration;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::time::{Instant, sleep_until, timeout};

/// How long a simulation waits for its clients when it ends.
pub const END_WITHIN: Duration = Duration::from_secs(5);

/// Why an item was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The connection has ended.
    Gone,
    /// It took nothing while one waited.
    Slow,
}

/// Counters of a run; its summary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sent {
    /// Flushed to sockets, over all connections: market messages and acks.
    pub messages: u64,
    pub bytes: u64,
    /// Trades that at least one connection was sent.
    pub trades: u64,
    pub aggregates: u64,
    pub connections: u64,
    /// Clients cut off because they did not read.
    pub slow_clients: u64,
    pub disconnects: u64,
    pub dropped_depths: u64,
    pub duplicate_trades: u64,
    pub malformed: u64,
    pub stalls: u64,
    /// Lines of a capture that could not be used.
    pub broken_lines: u64,
}

/// Queues an item, waiting for a slow reader; REST is answered meanwhile.
pub async fn put(
    queue: &mpsc::Sender<Item>,
    item: Item,
    patience: Duration,
    asks: &mut mpsc::Receiver<Ask>,
    mut answer: impl FnMut(Ask),
) -> Result<(), Refused> {
    let item = match queue.try_send(item) {
        Ok(()) => return Ok(()),
        Err(TrySendError::Closed(_)) => return Err(Refused::Gone),
        Err(TrySendError::Full(item)) => item,
    };
    let deadline = Instant::now() + patience;
    loop {
        tokio::select! {
            biased;
            permit = queue.reserve() => {
                permit.map_err(|_| Refused::Gone)?.send(item);
                return Ok(());
            }
            Some(ask) = asks.recv() => answer(ask),
            () = sleep_until(deadline) => return Err(Refused::Slow),
        }
    }
}

/// Closes these connections (id and queue) in good order and waits until they have ended.
pub async fn close_all(
    clients: Vec<(u64, mpsc::Sender<Item>)>,
    inbox: &mut Inbox,
    mut answer: impl FnMut(Ask),
) {
    let mut open: Vec<u64> = Vec::with_capacity(clients.len());
    let closing = async {
        for (id, queue) in clients {
            open.push(id);
            let _ = put(
                &queue,
                Item::Close,
                END_WITHIN,
                &mut inbox.asks,
                &mut answer,
            )
            .await;
        }
        while !open.is_empty() {
            tokio::select! {
                control = inbox.control.recv() => match control {
                    Some(Control::Closed { id }) => open.retain(|o| *o != id),
                    Some(_) => {}
                    None => return,
                },
                Some(ask) = inbox.asks.recv() => answer(ask),
            }
        }
    };
    if timeout(END_WITHIN, closing).await.is_err() {
        tracing::warn!("a client of the simulator did not close in time");
    }
}
