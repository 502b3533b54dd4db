//! How is the daemon? `/metrics` for Prometheus, `/healthz` and `/readyz`, on loopback.
//!
//! Runs on the publisher runtime and only reads the shared counters: it can slow nothing down.

mod by_exchange;
mod by_strategy;
mod encoder;
mod exposition;
mod spool;

use crate::clock;
use crate::config::HttpConfig;
use crate::metrics::Metrics;
use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::registry::Registry;
use std::future::IntoFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Serves until `stop` holds a deadline, and then at most until that. A port that cannot be had is
/// logged, and nothing more: the daemon does its work without it.
pub async fn serve(
    config: HttpConfig,
    fresh: watch::Receiver<Duration>,
    metrics: Arc<Metrics>,
    stop: watch::Receiver<Option<Instant>>,
) -> anyhow::Result<()> {
    let Some(address) = config.listen else {
        return Ok(());
    };
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => {
            let remedy = "/metrics is off; end what has the port, or set [http] listen to another";
            tracing::error!("http at {address}: {error}; {remedy}");
            return Ok(());
        }
    };
    serve_on(listener, fresh, metrics, stop).await
}

async fn serve_on(
    listener: TcpListener,
    fresh: watch::Receiver<Duration>,
    metrics: Arc<Metrics>,
    mut stop: watch::Receiver<Option<Instant>>,
) -> anyhow::Result<()> {
    let daemon = Arc::new(Daemon::new(metrics, fresh));
    let routes = Router::new()
        .route("/metrics", get(exposed))
        .route("/healthz", get(health))
        .route("/readyz", get(readiness))
        .with_state(Arc::clone(&daemon));
    let mut stopping = stop.clone();
    let server = axum::serve(listener, routes).with_graceful_shutdown(async move {
        deadline(&mut stopping).await;
    });
    // Idle keep-alive connections do not hold up the end: the deadline ends them.
    tokio::select! {
        served = server.into_future() => served.context("http: the server failed"),
        () = watch_journal(&daemon) => Ok(()),
        () = async { tokio::time::sleep_until(deadline(&mut stop).await.into()).await } => Ok(()),
    }
}

/// The deadline of the stop, once there is one; at once where nobody is left to set it.
async fn deadline(stop: &mut watch::Receiver<Option<Instant>>) -> Instant {
    match stop.wait_for(Option::is_some).await {
        Ok(deadline) => deadline.unwrap_or_else(Instant::now),
        Err(_) => Instant::now(),
    }
}

/// What the handlers share.
struct Daemon {
    metrics: Arc<Metrics>,
    registry: Registry,
    /// `[http] fresh`, which a reload may change.
    fresh: watch::Receiver<Duration>,
    /// When the journal was last seen to refuse a signal, ns since the epoch; 0 = never.
    refused_at: AtomicI64,
}

/// The journal is refusing when it did so within this time.
const REFUSING_NS: i64 = 10_000_000_000;

impl Daemon {
    fn new(metrics: Arc<Metrics>, fresh: watch::Receiver<Duration>) -> Self {
        let mut registry = Registry::with_prefix("tickforge");
        registry.register_collector(Box::new(exposition::Exposition(Arc::clone(&metrics))));
        Daemon {
            metrics,
            registry,
            fresh,
            refused_at: AtomicI64::new(0),
        }
    }

    /// Why the daemon is not ready; empty when it is.
    fn reasons(&self, now_ns: i64) -> Vec<String> {
        let mut reasons = Vec::new();
        let ingest = &self.metrics.ingest;
        let (up, wanted) = (ingest.connections_up.get(), ingest.connections_wanted.get());
        if up < wanted.max(1) {
            reasons.push(format!(
                "feeds: {up} of {} connections are up",
                wanted.max(1)
            ));
        }
        let fresh = *self.fresh.borrow();
        match ingest.last_frame_ns.get() as i64 {
            0 => reasons.push("feeds: no frame yet".to_owned()),
            last if Duration::from_nanos((now_ns - last).max(0) as u64) > fresh => {
                let seconds = (now_ns - last) / 1_000_000_000;
                reasons.push(format!("feeds: no frame for {seconds} s"));
            }
            _ => {}
        }
        let refused_at = self.refused_at.load(Relaxed);
        if refused_at > 0 && now_ns - refused_at < REFUSING_NS {
            let remedy = "free the disk, or bring the stores back";
            reasons.push(format!("journal: full, new signals are refused; {remedy}"));
        }
        reasons
    }
}

/// Notes when the journal refuses: its counter alone does not say when. Never ends.
async fn watch_journal(daemon: &Daemon) {
    let mut seen = daemon.metrics.journal.refused.get();
    let mut every_second = tokio::time::interval(Duration::from_secs(1));
    loop {
        every_second.tick().await;
        let refused = daemon.metrics.journal.refused.get();
        if refused != seen {
            seen = refused;
            daemon.refused_at.store(clock::now_ns(), Relaxed);
        }
    }
}

async fn exposed(State(daemon): State<Arc<Daemon>>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &daemon.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, exposition::CONTENT_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Says that the daemon runs, and which of its signals an operator has switched off.
async fn health(State(daemon): State<Arc<Daemon>>) -> String {
    let off = daemon.metrics.switched_off();
    let lines = off.iter().map(|name| format!("switched off: {name}\n"));
    "ok\n".to_owned() + &lines.collect::<String>()
}

async fn readiness(State(daemon): State<Arc<Daemon>>) -> Response {
    let reasons = daemon.reasons(clock::now_ns());
    let ready = reasons.is_empty();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = serde_json::json!({ "ready": ready, "reasons": reasons }).to_string();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn daemon() -> Daemon {
        Daemon::new(Arc::default(), watch::channel(Duration::from_secs(30)).1)
    }

    #[test]
    fn readiness_needs_feeds_frames_and_a_journal_with_room() {
        const NOW: i64 = 1_700_000_000_000_000_000;
        let daemon = daemon();
        let ingest = &daemon.metrics.ingest;
        let none = ["feeds: 0 of 1 connections are up", "feeds: no frame yet"];
        assert_eq!(daemon.reasons(NOW), none);
        ingest.connections_wanted.set(2);
        ingest.connections_up.set(1);
        ingest.last_frame_ns.set(NOW as u64 - 31_000_000_000);
        let stale = [
            "feeds: 1 of 2 connections are up",
            "feeds: no frame for 31 s",
        ];
        assert_eq!(daemon.reasons(NOW), stale);
        ingest.connections_up.set(2);
        // A clock that stepped back makes no frame stale.
        for age in [30_000_000_000, 0, -5_000_000_000] {
            ingest.last_frame_ns.set((NOW - age) as u64);
            assert_eq!(daemon.reasons(NOW), [""; 0], "{age}");
        }
        daemon.refused_at.store(NOW - 1, Relaxed);
        assert!(daemon.reasons(NOW)[0].starts_with("journal: full"));
        assert_eq!(daemon.reasons(NOW + REFUSING_NS), [""; 0]);
    }

    /// The whole answer to a GET on a connection of its own.
    async fn answer(address: std::net::SocketAddr, path: &str) -> String {
        let mut socket = tokio::net::TcpStream::connect(address)
            .await
            .expect("connected");
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.expect("sent");
        let mut text = String::new();
        socket.read_to_string(&mut text).await.expect("answered");
        text
    }

    #[tokio::test]
    async fn it_serves_and_stops_at_the_deadline_though_a_client_stays() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let (stop, stopped) = watch::channel(None);
        let metrics = Arc::new(Metrics::default());
        metrics.ingest.frames_received.add(7);
        let fresh = watch::channel(Duration::from_secs(1)).1;
        let server = tokio::spawn(serve_on(listener, fresh, metrics, stopped));
        for (path, status, part) in [
            ("/healthz", "200 OK", "ok\n"),
            ("/readyz", "503 Service Unavailable", "feeds: no frame yet"),
            ("/metrics", "200 OK", "tickforge_frames_received_total 7\n"),
            ("/other", "404 Not Found", ""),
        ] {
            let text = answer(address, path).await;
            assert!(
                text.starts_with(&format!("HTTP/1.1 {status}")),
                "{path}: {text}"
            );
            assert!(text.contains(part), "{path}: {text}");
        }
        let _idle = tokio::net::TcpStream::connect(address)
            .await
            .expect("connected");
        stop.send_replace(Some(Instant::now() + Duration::from_millis(50)));
        let ended = tokio::time::timeout(Duration::from_secs(5), server).await;
        ended
            .expect("in time")
            .expect("no panic")
            .expect("no error");
    }

    #[tokio::test]
    async fn a_port_in_use_ends_nothing_but_the_server() {
        let taken = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let listen = taken.local_addr().ok();
        let config = HttpConfig {
            listen,
            fresh: Duration::from_secs(1),
        };
        let (_stop, stopped) = watch::channel(None);
        let fresh = watch::channel(config.fresh).1;
        serve(config, fresh, Arc::default(), stopped)
            .await
            .expect("no error");
    }
}
