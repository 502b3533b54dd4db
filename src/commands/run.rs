//! `tickforge run`: the daemon, until a signal or `--for`.

use super::Common;
use crate::app::App;
use crate::config::Config;
use crate::summary::Summary;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

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
    crate::logging::init(&config.log);
    super::install_crypto();
    if config.exchanges.is_empty() {
        anyhow::bail!(
            "no exchange is configured: give --config FILE with an [exchanges.NAME] table (config/tickforge.toml shows one)"
        );
    }
    let summary = run_daemon(config, args.record.clone(), args.run_for)?;
    print(&summary, common.json)?;
    Ok(true)
}

/// Starts, waits, drains.
fn run_daemon(
    config: Config,
    record: Option<PathBuf>,
    run_for: Option<Duration>,
) -> anyhow::Result<Summary> {
    info!(data_dir = %config.data_dir.display(), name = %config.name, "starting");
    let app = App::start(config, record)?;
    let deadline = run_for.map(|d| Instant::now() + d);
    let why = super::block_on(wait(|| app.crippled(), deadline))??;
    info!("draining: {why}");
    app.stop()
}

/// Until a signal, the deadline, or a thread's death. A second signal ends the process at once.
pub async fn wait(
    crippled: impl Fn() -> bool,
    deadline: Option<Instant>,
) -> anyhow::Result<&'static str> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let at = deadline.unwrap_or_else(|| Instant::now() + Duration::from_secs(86_400 * 365));
    let mut look = tokio::time::interval(Duration::from_millis(500));
    let why = loop {
        tokio::select! {
            _ = interrupt.recv() => break "interrupted",
            _ = terminate.recv() => break "asked to terminate",
            () = tokio::time::sleep_until(at.into()) => break "the time is over",
            _ = look.tick() => if crippled() { break "a thread has ended" },
        }
    };
    Ok(why)
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
