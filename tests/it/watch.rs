//! What a running daemon says of itself over HTTP, and waiting for it to say it.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// A daemon's HTTP port.
#[derive(Clone, Copy)]
pub struct Watch {
    pub port: u16,
}

impl Watch {
    /// On a port that is free now.
    pub fn new() -> Watch {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Watch {
            port: listener.local_addr().unwrap().port(),
        }
    }

    /// The section of the configuration that opens the port.
    pub fn section(self) -> String {
        format!("[http]\nlisten = \"127.0.0.1:{}\"\n", self.port)
    }

    /// Status and body of a GET; `None` where nobody answers.
    fn get(self, path: &str) -> Option<(u16, String)> {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        socket.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).ok()?;
        let mut text = String::new();
        socket.read_to_string(&mut text).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, body.to_owned()))
    }

    pub fn ready(self) -> bool {
        self.get("/readyz").is_some_and(|(status, _)| status == 200)
    }

    /// Status and reasons of `/readyz`.
    pub fn readiness(self) -> (u16, String) {
        self.get("/readyz").unwrap_or((0, "no answer".to_owned()))
    }

    /// All metrics, as `tickforge_store_up{store="redis"}`; none where nobody answers.
    pub fn metrics(self) -> HashMap<String, f64> {
        let Some((200, body)) = self.get("/metrics") else {
            return HashMap::new();
        };
        let lines = body.lines().filter(|l| !l.starts_with('#'));
        lines
            .filter_map(|l| l.rsplit_once(' '))
            .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
            .collect()
    }

    /// One metric, by its name without `tickforge_`; 0 where it is not there.
    pub fn metric(self, name: &str) -> f64 {
        let name = format!("tickforge_{name}");
        self.metrics().get(&name).copied().unwrap_or(0.0)
    }

    /// Signals journalled and not yet in both stores.
    pub fn lag(self) -> f64 {
        let all = self.metrics();
        let of = |store: &str| {
            let name = format!("tickforge_signals_lag{{store=\"{store}\"}}");
            all.get(&name).copied().unwrap_or(f64::INFINITY)
        };
        of("postgres") + of("redis")
    }
}

/// Waits until it is so.
pub fn until(what: &str, limit: Duration, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !so() {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
