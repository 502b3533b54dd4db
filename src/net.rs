//! The only ingress socket code: connect, subscribe, keep alive, back off, fetch what REST has.
//!
//! Runs on the ingest thread, a single-threaded runtime with every connection of the shard. A
//! [`Hub`] is that thread's end of the ring: while it is full no socket is read, and nothing is
//! skipped. Frames pass the hub one at a time, so the ring's order is the order of processing.

mod connection;
pub mod drive;
mod hub;
mod missed;
mod pages;
mod past;
mod stream;
mod switch;
mod venue;

pub use hub::Hub;
pub use past::PastContext;
pub use switch::{SwitchContext, Tuned};

use crate::config::{Config, ExchangeConfig};
use crate::exchanges;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// `None` = run; then the time by which to be done.
pub type Stop = watch::Receiver<Option<Instant>>;

/// Waits until a stop is asked for.
pub async fn stopped(stop: &mut Stop) {
    // An error means that the sender is gone, which asks for a stop too.
    let _ = stop.wait_for(Option::is_some).await;
}

/// Runs every configured exchange until `stop`. An exchange at fault retries by itself; the others
/// go on. `past`: what to fetch from before the run. Where it asks for anything, every instrument
/// has a [`crate::market::Status::Past`] when nothing more of that comes; else none has.
pub async fn ingest(config: &Config, hub: Rc<Hub>, past: PastContext, mut stop: Stop) {
    hub.await_switches(&mut stop).await;
    let client = http_client();
    let past = Rc::new(past);
    let tasks: Vec<_> = config
        .exchanges
        .iter()
        .filter_map(|(name, exchange_config)| {
            let exchange = exchanges::by_name(name)?;
            let venue = venue::Venue::new(
                exchange,
                exchange_config.clone(),
                config.ingest.mode,
                Rc::clone(&hub),
                client.clone(),
                Rc::clone(&past),
            );
            Some(tokio::task::spawn_local(venue.run(stop.clone())))
        })
        .collect();
    tokio::task::spawn_local(Rc::clone(&hub).watch_broken(stop.clone()));
    tokio::task::spawn_local(Rc::clone(&hub).watch_switches(stop.clone()));
    stopped(&mut stop).await;
    for task in tasks {
        // A task that panicked was reported by the panic hook.
        let _ = task.await;
    }
    hub.finish_recording();
}

/// The client of all REST calls: exchanges answer within seconds or not at all.
fn http_client() -> reqwest::Client {
    let builder = || {
        reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .timeout(Duration::from_secs(30))
            .user_agent(concat!("tickforge/", env!("CARGO_PKG_VERSION")))
    };
    builder().build().unwrap_or_else(|error| {
        // A host without certificates: what needs none must work all the same.
        tracing::error!("no https:// address will answer: {error:?}; install ca-certificates");
        let none = builder().tls_certs_only([]).build();
        none.expect("a client that trusts nobody reads no file")
    })
}

/// Exponential backoff with full jitter between the configured bounds.
struct Backoff {
    min: Duration,
    max: Duration,
    attempt: u32,
}

impl Backoff {
    fn new(config: &ExchangeConfig) -> Self {
        Backoff {
            min: config.backoff_min,
            max: config.backoff_max,
            attempt: 0,
        }
    }

    fn reset(&mut self) {
        self.attempt = 0;
    }

    fn next(&mut self) -> Duration {
        let ceiling = self
            .min
            .saturating_mul(1 << self.attempt.min(16))
            .clamp(self.min, self.max);
        self.attempt += 1;
        let share: f64 = rand::random();
        self.min + (ceiling - self.min).mul_f64(share)
    }
}
