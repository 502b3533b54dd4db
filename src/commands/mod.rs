//! One file for each command of the command line: its arguments, its work, its output. `main` calls
//! them, and turns `false` into exit code 1.

pub mod ai;
pub mod check;
pub mod db;
pub mod demo;
pub mod export;
pub mod indicators;
pub mod influx;
pub mod inspect;
pub mod migrate;
pub mod new;
pub mod portfolio;
pub mod record;
pub mod redis;
pub mod replay;
pub mod run;
pub mod signals;
pub mod strategies;
mod table;
pub mod warm;

use crate::config::Config;
use crate::strategy::parameters;
use std::future::Future;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// The flags that every command takes.
#[derive(Clone, Debug)]
pub struct Common {
    pub config: Option<PathBuf>,
    pub data_dir: Option<PathBuf>,
    pub json: bool,
}

impl Common {
    pub fn load(&self) -> anyhow::Result<Config> {
        Ok(Config::from_args(
            self.config.as_deref(),
            self.data_dir.as_deref(),
        )?)
    }

    /// Starts logging, as the configuration wants it.
    pub fn logged(&self) -> anyhow::Result<()> {
        crate::logging::init(&self.load()?.log);
        Ok(())
    }
}

/// `30s`, `250ms`, `10m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let ns = parameters::parse_duration_ns(text)?;
    Ok(Duration::from_nanos(ns.unsigned_abs()))
}

/// rustls asks each process to name its cryptography once.
pub fn install_crypto() {
    // An error says that it is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Keeps transparent huge pages away from this process, whatever the host's setting: one touched
/// byte would make two megabytes resident, and the kernel stalls a thread while it puts them
/// together and clears them (5 ms at a time on a virtual machine whose host had not given it that
/// memory yet).
pub fn without_huge_pages() {
    // SAFETY: takes no pointer; the unused arguments must be 0.
    if unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) } != 0 {
        tracing::warn!(
            "transparent huge pages stay as the host has them: more memory may be resident"
        );
    }
}

/// Runs a command's own few tasks on this thread.
pub fn block_on<T>(work: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(tokio::task::LocalSet::new().block_on(&runtime, work))
}

pub fn simulate(args: crate::simulate::Args, common: &Common) -> anyhow::Result<bool> {
    common.logged()?;
    without_huge_pages();
    block_on(crate::simulate::command(args, common.json))??;
    Ok(true)
}

pub fn signals(args: signals::Args, common: &Common) -> anyhow::Result<bool> {
    if let Some(signals::What::Active(args)) = &args.what {
        return signals::active::run(args, common);
    }
    let config = common.load()?;
    crate::logging::init(&config.log);
    signals::run(
        &args,
        &config.data_dir,
        common.json,
        &mut std::io::stdout().lock(),
    )?;
    Ok(true)
}

pub fn migrate(args: migrate::Args, common: &Common) -> anyhow::Result<bool> {
    install_crypto();
    let configured = || Ok(common.load()?.stores.postgres);
    block_on(migrate::run(args, common.json, configured))??;
    Ok(true)
}

pub fn influx(args: &influx::Args, common: &Common) -> anyhow::Result<bool> {
    install_crypto();
    let config = common.load()?;
    crate::logging::init(&config.log);
    let Some(store) = config.stores.influx else {
        anyhow::bail!("no InfluxDB: set [stores.influx] url, and give --config FILE");
    };
    let mut out = std::io::stdout();
    block_on(influx::run(args, &store, common.json, &mut out))?
}

pub fn check(common: &Common) -> anyhow::Result<bool> {
    install_crypto();
    let config = Config::from_args(common.config.as_deref(), common.data_dir.as_deref());
    block_on(check::run(config, common.json, &mut std::io::stdout()))?
}

/// The one line that a failed command ends with.
pub fn fail(error: &anyhow::Error) -> ExitCode {
    let io = error
        .chain()
        .filter_map(|e| e.downcast_ref::<std::io::Error>());
    if io
        .map(std::io::Error::kind)
        .any(|k| k == std::io::ErrorKind::BrokenPipe)
    {
        return ExitCode::SUCCESS; // the reader has seen enough
    }
    // Nothing is left to tell it to where standard error is closed.
    let _ = writeln!(std::io::stderr(), "tickforge: {error:#}");
    ExitCode::FAILURE
}
