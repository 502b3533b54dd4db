//! A simulated exchange on loopback: a synthetic seeded market, or a capture played back, in the
//! exchange's own protocol.
//!
//! [`start`] serves it on the caller's runtime; [`command`] is `tickforge simulate`. Used by `demo`
//! and by tests; nothing of the engine is known here.

mod batch;
mod book;
mod candles;
mod clients;
mod draw;
mod faults;
mod history;
mod market;
mod metronome;
mod playback;
mod recorded;
mod schedule;
mod server;
mod subscriptions;
mod symbols;
mod synthetic;
mod trades;
mod truth;
mod world;

pub use clients::Sent;
pub use faults::Faults;
pub use schedule::Burst;

use anyhow::{Context as _, bail};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How fast a capture is played, or the market runs against its rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    Times(f64),
    /// As fast as the slowest client reads.
    Max,
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Speed, String> {
        match text.parse::<f64>() {
            _ if text == "max" => Ok(Speed::Max),
            Ok(times) if times.is_finite() && times > 0.0 => Ok(Speed::Times(times)),
            _ => Err(format!("`{text}` is neither `max` nor a number above 0")),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Options {
    pub listen: SocketAddr,
    pub seed: u64,
    pub symbols: usize,
    /// Messages per second over all symbols, on average.
    pub rate: u32,
    pub run_for: Option<Duration>,
    pub truth: Option<PathBuf>,
    pub capture: Option<PathBuf>,
    pub speed: Speed,
    pub faults: Faults,
    /// Levels that a book keeps on each side, at least.
    pub levels: usize,
    pub burst: Option<Burst>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            seed: 1,
            symbols: 4,
            rate: 2000,
            run_for: None,
            truth: None,
            capture: None,
            speed: Speed::Times(1.0),
            faults: Faults::default(),
            levels: market::LEVELS,
            burst: None,
        }
    }
}

/// Serves a simulated exchange over WebSocket and REST on loopback.
///
/// Without --capture: a synthetic market in Binance spot's protocol, the same for the same seed,
/// symbols and rate; it begins with the first subscription.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Address of the WebSocket; REST is on another port of the same host.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Seed of the market and of the faults.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Number of symbols: BTCUSDT, ETHUSDT, SOLUSDT, …
    #[arg(long, default_value_t = 4)]
    pub symbols: usize,
    /// Messages per second over all symbols, on average.
    #[arg(long, default_value_t = 2000)]
    pub rate: u32,
    /// End after this long: 30s, 5m, 1h, 500ms.
    #[arg(long = "for", value_parser = duration)]
    pub run_for: Option<Duration>,
    /// Write what was really sent to this file, as lines of JSON.
    #[arg(long)]
    pub truth: Option<PathBuf>,
    /// Play this capture instead, in the protocol in which it was recorded.
    #[arg(long, conflicts_with_all = ["truth"])]
    pub capture: Option<PathBuf>,
    /// 1, a multiple, or max (as fast as the client reads).
    #[arg(long, default_value = "1")]
    pub speed: Speed,
    /// Faults to play, `key=value,…`:
    /// disconnect=P (chance per second and connection to be cut off),
    /// drop_depth=P (a book change is not sent), duplicate_trade=P (a trade is sent twice),
    /// malformed=P (a torn copy precedes a message),
    /// stall_ms=N (about every ten seconds nothing is sent for so long).
    /// A capture knows disconnect and stall_ms only.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub faults: Faults,
    /// Levels that a book of the synthetic market keeps on each side, at least.
    #[arg(long, default_value_t = market::LEVELS)]
    pub levels: usize,
    /// Bursts of the synthetic market, as 10x1s/60s: in the last second of each minute everything
    /// comes ten times as fast, whether it is read or not.
    #[arg(long, conflicts_with = "capture")]
    pub burst: Option<Burst>,
}

impl From<Args> for Options {
    fn from(args: Args) -> Options {
        Options {
            listen: args.listen,
            seed: args.seed,
            symbols: args.symbols,
            rate: args.rate,
            run_for: args.run_for,
            truth: args.truth,
            capture: args.capture,
            speed: args.speed,
            faults: args.faults,
            levels: args.levels,
            burst: args.burst,
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let split = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit {
        "ms" => 1e-3,
        "s" | "" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("unknown unit `{unit}`; use ms, s, m or h")),
    };
    let seconds = number
        .parse::<f64>()
        .map_err(|_| format!("`{number}` is no number"))?
        * factor;
    Duration::try_from_secs_f64(seconds).map_err(|_| format!("`{text}` is out of range"))
}

/// A simulation under way.
pub struct Running {
    /// Addresses without a trailing slash.
    pub ws: String,
    pub rest: String,
    stop: watch::Sender<bool>,
    driver: JoinHandle<anyhow::Result<Sent>>,
    tasks: [JoinHandle<()>; 2],
}

impl Running {
    /// Ends it in good order: what was queued is sent, connections are closed, the truth is
    /// complete.
    pub async fn stop(self) -> anyhow::Result<Sent> {
        self.stop.send_replace(true);
        self.ended().await
    }

    /// Waits for its own end: the time is over, or the capture.
    pub async fn ended(mut self) -> anyhow::Result<Sent> {
        (&mut self.driver).await.context("the simulation failed")?
    }

    /// Waits for its own end or for `signal`, whichever is first.
    pub async fn ended_or(mut self, signal: impl Future<Output = ()>) -> anyhow::Result<Sent> {
        let ended = tokio::select! {
            sent = &mut self.driver => Some(sent),
            () = signal => None,
        };
        match ended {
            Some(sent) => sent.context("the simulation failed")?,
            None => self.stop().await,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        self.driver.abort();
    }
}

/// Starts a simulation on the current runtime.
pub async fn start(options: Options) -> anyhow::Result<Running> {
    if options.symbols == 0 || options.symbols > 2_000 {
        bail!("--symbols {}: from 1 to 2000", options.symbols);
    }
    if options.rate == 0 || options.rate > 10_000_000 {
        bail!(
            "--rate {}: from 1 to 10000000 messages per second",
            options.rate
        );
    }
    if !(10..=2_000).contains(&options.levels) {
        bail!("--levels {}: from 10 to 2000", options.levels);
    }
    let until = options.run_for.and_then(|d| Instant::now().checked_add(d));
    let (stop, stopped) = watch::channel(false);
    let (sockets, driver) = match &options.capture {
        None => {
            let (sockets, inbox) = server::serve(options.listen, synthetic::allowed).await?;
            let driver = synthetic::Synthetic::new(&options, inbox)?;
            (sockets, tokio::spawn(driver.run(stopped, until)))
        }
        Some(capture) => {
            let recording = playback::Recording::open(capture)?;
            let (sockets, inbox) = server::serve(options.listen, |_| true).await?;
            let driver = playback::Playback::new(&options, recording, inbox)?;
            (sockets, tokio::spawn(driver.run(stopped, until)))
        }
    };
    Ok(Running {
        ws: format!("ws://{}", sockets.ws),
        rest: format!("http://{}", sockets.rest),
        stop,
        driver,
        tasks: sockets.tasks,
    })
}

/// Waits until then, or for ever.
async fn until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}

/// Waits for the order to stop; an owner who is gone has given it.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// `tickforge simulate`. With `json` the last line on stdout is the summary.
pub async fn command(args: Args, json: bool) -> anyhow::Result<()> {
    let running = start(args.into()).await?;
    say(&format!(
        r#"{{"ws":"{}","rest":"{}"}}"#,
        running.ws, running.rest
    ))?;
    let sent = running.ended_or(interrupted()).await?;
    if json {
        say(&serde_json::to_string(&sent)?)?;
    }
    tracing::info!(
        messages = sent.messages,
        trades = sent.trades,
        "the simulation is over"
    );
    Ok(())
}

fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    match (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
        _ => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
