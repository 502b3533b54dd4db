//! The REST answers of a capture, found again by what they are and when they were recorded.
//!
//! The host of a URL does not count: the simulator is asked in its place. Called by `playback`.

use super::server::{Answer, Ask};
use crate::capture::{Dir, Line, Reader};
use crate::exchanges::{Exchange, Rest};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Bytes of answers that are kept in memory.
const MAX_BYTES: usize = 1 << 30;

struct Recorded {
    /// `recv` lines before it.
    position: u64,
    /// Path and query.
    path: String,
    what: Rest,
    status: u16,
    body: String,
}

pub struct Answers {
    /// In recorded order.
    list: Vec<Recorded>,
    /// Locked for a moment at a time by the one task that has it; a codec need not be `Sync`.
    exchange: Mutex<Box<dyn Exchange>>,
    host: &'static str,
}

impl Answers {
    pub fn read(path: &Path, exchange: Box<dyn Exchange>) -> anyhow::Result<Answers> {
        let (mut list, mut position, mut bytes) = (Vec::new(), 0, 0);
        // Broken lines are reported when they are played.
        for (_, line) in Reader::open(path)?.flatten() {
            match line.dir {
                Dir::Recv => position += 1,
                Dir::Http => {
                    let Some(recorded) = recorded(line, position, exchange.as_ref()) else {
                        continue;
                    };
                    bytes += recorded.body.len();
                    if bytes > MAX_BYTES {
                        anyhow::bail!(
                            "capture {}: more than 1 GiB of REST answers; split it",
                            path.display()
                        );
                    }
                    list.push(recorded);
                }
                _ => {}
            }
        }
        let host = exchange.hosts().rest;
        Ok(Answers {
            list,
            exchange: Mutex::new(exchange),
            host,
        })
    }

    /// Asks the exchange whose capture it is.
    pub fn exchange<R>(&self, question: impl FnOnce(&dyn Exchange) -> R) -> R {
        question(
            self.exchange
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .as_ref(),
        )
    }

    fn classify(&self, path: &str) -> Rest {
        self.exchange(|e| e.classify(&format!("{}{path}", self.host)))
    }

    /// What was recorded for this request: the same book, the listing, or the same path.
    fn candidates(&self, path: &str) -> Vec<&Recorded> {
        let what = self.classify(path);
        let same = |r: &&Recorded| match what {
            Rest::Other => r.path == path,
            _ => r.what == what,
        };
        let all: Vec<&Recorded> = self.list.iter().filter(same).collect();
        // A listing in several parts is told apart by its path.
        let exact: Vec<&Recorded> = all.iter().copied().filter(|r| r.path == path).collect();
        if exact.is_empty() || matches!(what, Rest::Snapshot(_)) {
            all
        } else {
            exact
        }
    }

    /// Whether the playback has come to the place of the first answer; a listing is always there.
    pub fn reached(&self, path: &str, position: u64) -> bool {
        let is_book = matches!(self.classify(path), Rest::Snapshot(_));
        let first = self.candidates(path).first().map(|r| r.position);
        !is_book || first.is_none_or(|first| first <= position)
    }

    /// Answers with the newest recorded up to `position`, else the first one.
    pub fn reply(&self, ask: Ask, position: u64) {
        let candidates = self.candidates(&ask.path);
        let newest = candidates.iter().rev().find(|r| r.position <= position);
        let answer = match newest.or(candidates.first()) {
            Some(r) => Answer {
                status: r.status,
                body: r.body.clone(),
            },
            None => Answer {
                status: 404,
                body: "{\"error\":\"not in the capture\"}".to_owned(),
            },
        };
        let _ = ask.reply.send(answer);
    }
}

fn recorded(line: Line, position: u64, exchange: &dyn Exchange) -> Option<Recorded> {
    let body = String::from_utf8_lossy(&line.payload().ok()?).into_owned();
    let url = line.url?;
    let what = exchange.classify(&url);
    let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
    let path = rest.find('/').map_or("/", |at| &rest[at..]).to_owned();
    Some(Recorded {
        position,
        path,
        what,
        status: line.status.unwrap_or(200),
        body,
    })
}
