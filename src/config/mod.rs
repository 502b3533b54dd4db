//! One TOML file becomes a validated [`Config`]; every limit lives here, in `load` and
//! `stores`. `config/tickforge.toml` documents each key with unit and default. Read once, at start,
//! by the commands; never by the engine.

#[cfg(test)]
mod documented;
mod load;
mod reload;
mod section;
mod stores;

pub use reload::{Changes, RELOADED};

use crate::strategy::Instance;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes of a file: what is larger is another file, passed by mistake.
const LARGEST: u64 = 1 << 20;

#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The producer's name, in every signal.
    pub name: String,
    pub data_dir: PathBuf,
    pub exchanges: BTreeMap<String, ExchangeConfig>,
    pub stores: StoresConfig,
    /// Encrypts users' API keys in PostgreSQL; for commands and applications, not for the daemon.
    pub api_keys: Option<Secret>,
    pub journal: JournalConfig,
    pub ingest: IngestConfig,
    pub engine: EngineConfig,
    pub http: HttpConfig,
    pub log: LogConfig,
    pub paths: PathsConfig,
    pub backup: BackupConfig,
    pub archive: ArchiveConfig,
    /// Instances of strategies by name; a strategy runs where a section asks for it, or all run
    /// where there is no section. Values are checked against what the strategy declares.
    pub strategies: BTreeMap<String, Instance>,
}

impl Config {
    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let place = path.display().to_string();
        let wrong = |what: &str| {
            let remedy = "config/tickforge.toml shows every key";
            ConfigError::one(format!("{place}: {what}; {remedy}"))
        };
        let mut bytes = Vec::new();
        // One byte more tells a file that is too large.
        let read = File::open(path).and_then(|f| f.take(LARGEST + 1).read_to_end(&mut bytes));
        read.map_err(|error| wrong(&format!("cannot be read: {error}")))?;
        if bytes.len() as u64 > LARGEST {
            return Err(wrong("larger than 1 MiB, so it is no configuration"));
        }
        let text = String::from_utf8(bytes).map_err(|_| wrong("not text in UTF-8"))?;
        Config::parse(&text, &place)
    }

    /// Checks a file's text; `place` is its path. Credential files are found beside it.
    pub fn parse(text: &str, place: &str) -> Result<Config, ConfigError> {
        load::parse(text, place, &load::Known::registered())
    }

    /// All defaults: no exchange, no server, ticks as Parquet.
    pub fn embedded() -> Config {
        Config::parse("", "").expect("an empty configuration is a valid one")
    }

    /// What every command's `--config FILE` and `--data-dir DIR` ask for: the file, or all defaults
    /// where there is none.
    pub fn from_args(file: Option<&Path>, data_dir: Option<&Path>) -> Result<Config, ConfigError> {
        let mut config = file.map_or_else(|| Ok(Config::embedded()), Config::load)?;
        if let Some(dir) = data_dir {
            config.data_dir = dir.to_owned();
        }
        Ok(config)
    }

    /// The folder of backups.
    pub fn backups(&self) -> PathBuf {
        self.data_dir.join(&self.paths.backups)
    }

    /// The folder of model artifacts.
    pub fn models(&self) -> PathBuf {
        self.data_dir.join(&self.paths.models)
    }

    /// The folder of log files; `None` = the log goes to stderr alone.
    pub fn logs(&self) -> Option<PathBuf> {
        self.paths
            .logs
            .as_ref()
            .map(|logs| self.data_dir.join(logs))
    }
}

/// All that is wrong with a configuration, a line for each: `config/x.toml:12: …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub problems: Vec<String>,
}

impl ConfigError {
    fn one(problem: String) -> ConfigError {
        ConfigError {
            problems: vec![problem],
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("\n"))
    }
}

impl std::error::Error for ConfigError {}

#[derive(Clone, Debug, PartialEq)]
pub struct ExchangeConfig {
    /// Unified symbols, `*` for any run of characters: `BTC/USDT`, `*/EUR`.
    pub symbols: Vec<String>,
    pub ws: Option<String>,
    pub rest: Option<String>,
    pub trades: bool,
    pub aggregate_trades: bool,
    pub quotes: bool,
    pub book: bool,
    /// REST book snapshots per second; the exchange's own limit where left out.
    pub snapshots_per_second: Option<u32>,
    /// Instruments on one connection; the exchange's own limit where left out.
    pub instruments_per_connection: Option<usize>,
    /// No frame for this long: reconnect. The exchange's own figure where left out.
    pub silence: Option<Duration>,
    pub backoff_min: Duration,
    pub backoff_max: Duration,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoresConfig {
    pub postgres: Option<PostgresConfig>,
    pub redis: Option<RedisConfig>,
    pub influx: Option<InfluxConfig>,
    /// On by default where InfluxDB is not configured.
    pub parquet: Option<ParquetConfig>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct PostgresConfig {
    pub url: Secret,
    pub batch: usize,
    pub timeout: Duration,
    /// Run pending migrations at start.
    pub migrate: bool,
    /// How often open positions get the market's price; 0 = never.
    pub positions_every: Duration,
    /// How often new rows of `market_analysis` are written; 0 = never.
    pub analysis_every: Duration,
    pub analysis_timeframes: Vec<Duration>,
    /// Queue notifications for users who want them.
    pub notify: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RedisConfig {
    pub servers: RedisServers,
    pub batch: usize,
    pub timeout: Duration,
    /// `MAXLEN ~` of the signal streams and of each market_updates stream.
    pub signals_max_len: u64,
    pub updates_max_len: u64,
    /// How long an id is remembered against repeats.
    pub seen_ttl: Duration,
    pub cache_ttl: Duration,
    /// At most one market update and cache write per symbol in this time.
    pub update_interval: Duration,
    /// Exchange that writes `cache:market_data:SYMBOL` where several have the symbol; the first
    /// configured one where left out.
    pub primary: Vec<String>,
}

/// Which servers of Redis there are, and how they stand together.
#[derive(Clone, Debug, PartialEq)]
pub enum RedisServers {
    One(Secret),
    /// Some of a cluster's nodes; they tell of the others.
    Cluster(Vec<Secret>),
    /// The host in `url` is the master's name, as the sentinels know it.
    Sentinel {
        sentinels: Vec<Secret>,
        url: Secret,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct InfluxConfig {
    pub url: String,
    pub version: u8,
    /// With version 2, the beginning of the buckets' names: `trading_bot/realtime`.
    pub database: String,
    pub username: Option<String>,
    pub password: Option<Secret>,
    /// Version 2 alone, and needed there.
    pub org: Option<String>,
    pub token: Option<Secret>,
    pub batch: usize,
    pub flush: Duration,
    pub timeout: Duration,
    /// Ticks that may wait in memory while the store is away.
    pub max_waiting: usize,
    /// Room on disk for those that memory does not hold; 0 = none. A quarter of it, besides, for
    /// bars and other points.
    pub spool_max_bytes: u64,
    /// Pace of `system_metrics`, and of `trading_performance`.
    pub metrics_every: Duration,
    pub performance_every: Duration,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ParquetConfig {
    /// A segment is closed after this time, at most a minute.
    pub segment: Duration,
    pub max_rows: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub struct JournalConfig {
    pub sync: JournalSync,
    pub max_bytes: u64,
    pub segment_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum JournalSync {
    /// fsync within this time after an append.
    Every(Duration),
    BeforePublish,
}

#[derive(Clone, Debug, PartialEq)]
pub struct IngestConfig {
    pub mode: IngestMode,
    /// The core that the thread is pinned to.
    pub core: Option<usize>,
    /// Ask exchanges for what was before the start: candles to warm up by, missed trades.
    pub history: bool,
}

/// How the ingest thread waits for frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IngestMode {
    /// Asleep in the kernel.
    Tokio,
    /// Looking all the time.
    BusyPoll,
}

#[derive(Clone, Debug, PartialEq)]
pub struct EngineConfig {
    /// Events in the ring from the ingest thread.
    pub ring: usize,
    /// Signals in the ring to the journal.
    pub signal_ring: usize,
    /// Ticks in the ring to each tick store.
    pub tick_ring: usize,
    /// Spin this long for the next event before yielding, and yield this long before parking.
    pub spin: Duration,
    pub yield_for: Duration,
    /// The core that the thread is pinned to.
    pub core: Option<usize>,
    /// A stop drains for at most this long.
    pub drain: Duration,
    /// A restart goes on where the run before stood, unless that is longer ago.
    pub state_max_age: Duration,
}

#[derive(Clone, Debug, PartialEq)]
pub struct HttpConfig {
    /// `None` = off.
    pub listen: Option<std::net::SocketAddr>,
    /// A feed without a frame for this long makes `/readyz` say 503.
    pub fresh: Duration,
}

#[derive(Clone, Debug, PartialEq)]
pub struct LogConfig {
    pub level: String,
    pub json: bool,
    /// A log file is closed at this size, or when the day is over.
    pub file_bytes: u64,
    /// Room for all log files; then the oldest go.
    pub total_bytes: u64,
}

/// Folders; relative ones start at `data_dir`.
#[derive(Clone, Debug, PartialEq)]
pub struct PathsConfig {
    pub logs: Option<PathBuf>,
    pub models: PathBuf,
    pub backups: PathBuf,
}

/// `tickforge db backup`.
#[derive(Clone, Debug, PartialEq)]
pub struct BackupConfig {
    pub keep: Duration,
    /// A role that reads every row; the daemon's own where left out.
    pub login: Option<Login>,
}

/// `tickforge db archive`.
#[derive(Clone, Debug, PartialEq)]
pub struct ArchiveConfig {
    /// A role that may move every order; the daemon's own where left out.
    pub login: Option<Login>,
}

/// A command's own way into the database. A file is read by that command alone, so that the daemon
/// need not have it.
#[derive(Clone, Debug, PartialEq)]
pub enum Login {
    Url(Secret),
    File(PathBuf),
}

impl Login {
    /// The error names the file.
    pub fn url(&self) -> Result<Secret, String> {
        let path = match self {
            Login::Url(url) => return Ok(url.clone()),
            Login::File(path) => path,
        };
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Secret(text.trim().to_owned())),
            Err(e) => Err(format!("url_file {} cannot be read: {e}", path.display())),
        }
    }
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}
