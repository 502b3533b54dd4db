//! `tickforge run`: the daemon, until a signal or `--for`. SIGHUP reads the configuration again; a
//! second SIGTERM or SIGINT ends the process at once.

use super::Common;
use crate::app::App;
use crate::config::Config;
use crate::service::Service;
use crate::summary::Summary;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

#[derive(clap::Args, Debug)]
pub struct Args {
    /// Stop after this time, as `30s` or `10m`
    #[arg(long = "for", value_name = "TIME", value_parser = super::duration)]
    run_for: Option<Duration>,
    /// Record every frame here, in the order of processing
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

pub fn run(args: &Args, common: &Common) -> anyhow::Result<bool> {
    let config = common.load()?;
    crate::logging::init_daemon(&config);
    super::install_crypto();
    super::without_huge_pages();
    if config.exchanges.is_empty() {
        anyhow::bail!(
            "no exchange is configured: give --config FILE with an [exchanges.NAME] table (config/tickforge.toml shows one)"
        );
    }
    let summary = super::block_on(run_daemon(config, args, common))??;
    print(&summary, common.json)?;
    Ok(true)
}

/// Starts, waits, drains.
async fn run_daemon(config: Config, args: &Args, common: &Common) -> anyhow::Result<Summary> {
    info!(data_dir = %config.data_dir.display(), name = %config.name, "starting");
    let mut signals = Signals::new()?;
    let mut app = App::start(config, args.record.clone())?;
    let mut service = Service::new(Arc::clone(&app.metrics), app.clock, &app.threads());
    let mut look = tokio::time::interval(service.pace());
    let deadline = args.run_for.map(|d| Instant::now() + d);
    let at = deadline.unwrap_or_else(|| Instant::now() + Duration::from_secs(86_400 * 365));
    let why = loop {
        tokio::select! {
            heard = signals.next() => match heard {
                Some(why) => break why,
                None => reload(&mut app, &mut service, common),
            },
            () = tokio::time::sleep_until(at.into()) => break "the time is over",
            _ = look.tick() => {
                service.look();
                if app.crippled() { break "a thread has ended" }
            }
        }
    };
    info!("draining: {why}");
    service.stopping(why, app.config().engine.drain);
    let mut drained = tokio::task::spawn_blocking(move || app.stop());
    loop {
        tokio::select! {
            summary = &mut drained => return summary?,
            heard = signals.next() => if heard.is_some() {
                error!("a second signal: ended without draining");
                std::process::exit(1);
            },
            _ = look.tick() => service.drain(),
        }
    }
}

/// Waits for a signal, the deadline, or a thread's death: for what drains at once and has nothing
/// to reload.
pub async fn wait(
    crippled: impl Fn() -> bool,
    deadline: Option<Instant>,
) -> anyhow::Result<&'static str> {
    let mut signals = Signals::new()?;
    let mut look = tokio::time::interval(Duration::from_millis(500));
    let at = deadline.unwrap_or_else(|| Instant::now() + Duration::from_secs(86_400 * 365));
    loop {
        tokio::select! {
            Some(why) = signals.next() => return Ok(why),
            () = tokio::time::sleep_until(at.into()) => return Ok("the time is over"),
            _ = look.tick() => if crippled() { return Ok("a thread has ended") },
        }
    }
}

/// What the daemon listens to.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Why to end, or to reload where there is no reason.
    async fn next(&mut self) -> Option<&'static str> {
        tokio::select! {
            _ = self.interrupt.recv() => Some("interrupted"),
            _ = self.terminate.recv() => Some("asked to terminate"),
            _ = self.hangup.recv() => None,
        }
    }
}

/// Reads the configuration again. What is wrong with it is named, and the old one holds.
fn reload(app: &mut App, service: &mut Service, common: &Common) {
    service.reloading();
    let said = match common.load() {
        Ok(new) => {
            let changes = app.reload(&new);
            if changes.reloaded.iter().any(|key| key == "[log] level")
                && let Some(problem) = crate::logging::set_level(&new.log.level)
            {
                warn!("{problem}");
            }
            info!("configuration read again: {changes}");
            format!("configuration read again: {changes}")
        }
        Err(error) => {
            error!("the old configuration holds, the new one is wrong: {error}");
            format!("the old configuration holds, the new one is wrong: {error:#}")
        }
    };
    service.reloaded(&said.replace('\n', " | "));
}

pub fn print(summary: &Summary, json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, summary)?;
        writeln!(out)?;
    } else {
        write!(out, "{}", summary.text())?;
    }
    Ok(out.flush()?)
}
