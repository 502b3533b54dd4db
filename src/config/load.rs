//! Every key, its default and its range. The text of a file in, a checked [`Config`] or all that is
//! wrong with it out. A value is never shown where it may be a secret.

mod strategies;

use super::section::{Report, Section, format_duration, parse_duration};
use super::stores::{Credentials, api_keys, login, stores};
use super::*;
use crate::strategy::Entry;
use crate::suggest;
use std::ops::RangeInclusive;
use toml::de::DeTable;
use tracing_subscriber::EnvFilter;

/// The names that the program knows.
pub(super) struct Known {
    pub exchanges: Vec<&'static str>,
    pub strategies: &'static [Entry],
}

impl Known {
    pub fn registered() -> Known {
        Known {
            exchanges: crate::exchanges::ALL
                .iter()
                .map(|(name, _)| *name)
                .collect(),
            strategies: crate::strategies::ALL,
        }
    }
}

pub(super) fn parse(text: &str, place: &str, known: &Known) -> Result<Config, ConfigError> {
    parse_with(text, place, known, &Report::default())
}

pub(super) fn parse_with(
    text: &str,
    place: &str,
    known: &Known,
    report: &Report,
) -> Result<Config, ConfigError> {
    let failed = || ConfigError {
        problems: report.lines(text, place),
    };
    let table = match DeTable::parse(text) {
        Ok(table) => table.into_inner(),
        Err(error) => {
            report.problem(error.span().map_or(0, |span| span.start), syntax(&error));
            return Err(failed());
        }
    };
    // The same text once more, as plain values for the strategies' own tables.
    let values: toml::Table = match toml::from_str(text) {
        Ok(values) => values,
        Err(error) => {
            report.problem(error.span().map_or(0, |span| span.start), syntax(&error));
            return Err(failed());
        }
    };
    let credentials = Credentials {
        beside: Path::new(place)
            .parent()
            .unwrap_or(Path::new(""))
            .to_owned(),
        systemd: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
    };
    let config = config(Section::top(&table, report), &values, known, &credentials);
    let problems = failed();
    if problems.problems.is_empty() {
        Ok(config)
    } else {
        Err(problems)
    }
}

/// The first line alone, without the source text that may hold a secret.
fn syntax(error: &toml::de::Error) -> String {
    let message = error.message().lines().next().unwrap_or_default();
    format!("not valid TOML: {message}")
}

pub(super) const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub(super) const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(super) const HOUR: Duration = secs(3600);
pub(super) const DAY: Duration = secs(86_400);

fn config(
    mut top: Section<'_>,
    values: &toml::Table,
    known: &Known,
    credentials: &Credentials,
) -> Config {
    let name = top.text("name").unwrap_or_else(|| "tickforge".to_owned());
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        top.problem_of(
            "name",
            "name must be 1 to 64 letters, digits, '.', '_' or '-'",
        );
    }
    let data_dir = top
        .text("data_dir")
        .unwrap_or_else(|| "tickforge-data".to_owned());
    if data_dir.is_empty() {
        top.problem_of("data_dir", "data_dir must be a folder, found an empty text");
    }
    let exchanges = exchanges(top.section("exchanges"), known);
    let ingest = ingest(top.section("ingest"));
    let engine = engine(top.section("engine"), ingest.core);
    let config = Config {
        name,
        data_dir: data_dir.into(),
        stores: stores(top.section("stores"), credentials, &exchanges),
        api_keys: api_keys(top.section("api_keys"), credentials),
        exchanges,
        journal: journal(top.section("journal")),
        ingest,
        engine,
        http: http(top.section("http")),
        log: log(top.section("log")),
        paths: paths(top.section("paths")),
        backup: backup(top.section("backup"), credentials),
        archive: ArchiveConfig {
            login: login(top.section("archive"), credentials),
        },
        strategies: strategies::strategies(top.section("strategies"), values, known),
    };
    top.finish();
    config
}

fn exchanges(all: Section<'_>, known: &Known) -> BTreeMap<String, ExchangeConfig> {
    let mut exchanges = BTreeMap::new();
    for (name, section) in all.sections() {
        if !known.exchanges.contains(&name.as_str()) {
            let hint = suggest::hint(&name, known.exchanges.iter().copied());
            section.problem(&format!("unknown exchange \"{name}\"{hint}"));
            continue;
        }
        exchanges.insert(name, exchange(section));
    }
    exchanges
}

fn exchange(mut s: Section<'_>) -> ExchangeConfig {
    let symbols = symbols(&mut s);
    let backoff = ms(1)..=HOUR;
    let config = ExchangeConfig {
        symbols,
        ws: address(&mut s, "ws", &["ws://", "wss://"]),
        rest: address(&mut s, "rest", &["http://", "https://"]),
        trades: s.flag("trades", true),
        aggregate_trades: s.flag("aggregate_trades", false),
        quotes: s.flag("quotes", true),
        book: s.flag("book", true),
        snapshots_per_second: s.number("snapshots_per_second", 1..=1000).map(|n| n as u32),
        instruments_per_connection: s
            .number("instruments_per_connection", 1..=1000)
            .map(|n| n as usize),
        silence: s.duration("silence", ms(100)..=DAY),
        backoff_min: s
            .duration("backoff_min", backoff.clone())
            .unwrap_or(ms(250)),
        backoff_max: s.duration("backoff_max", backoff).unwrap_or(secs(30)),
    };
    if config.backoff_min > config.backoff_max {
        s.problem_of("backoff_min", "backoff_min must not be above backoff_max");
    }
    if !(config.trades || config.quotes || config.book) {
        s.problem("nothing to subscribe to: one of trades, quotes and book must be true");
    }
    s.finish();
    config
}

fn symbols(s: &mut Section<'_>) -> Vec<String> {
    let given = s.has("symbols");
    let symbols = s.texts("symbols").unwrap_or_default();
    if !given {
        s.problem("symbols is missing; write symbols = [\"BTC/USDT\"]");
    } else if symbols.is_empty() {
        s.problem_of(
            "symbols",
            "symbols must name at least one, as [\"BTC/USDT\"]",
        );
    }
    for symbol in &symbols {
        let sides = symbol.split('/').filter(|side| !side.is_empty()).count();
        let spaced = symbol.contains(char::is_whitespace);
        if (symbol != "*" && sides != 2) || spaced {
            let text =
                format!("symbol \"{symbol}\" must be BASE/QUOTE, as \"BTC/USDT\" or \"*/EUR\"");
            s.problem_of("symbols", &text);
        }
    }
    symbols
}

/// An address without a trailing slash.
pub(super) fn address(s: &mut Section<'_>, key: &'static str, schemes: &[&str]) -> Option<String> {
    let url = s.text(key)?;
    if !schemes
        .iter()
        .any(|scheme| url.starts_with(scheme) && url.len() > scheme.len())
    {
        s.problem_of(
            key,
            &format!("{key} must begin with {}", schemes.join(" or ")),
        );
        return None;
    }
    Some(url.trim_end_matches('/').to_owned())
}

fn journal(mut s: Section<'_>) -> JournalConfig {
    let sync = match s.text("sync").as_deref() {
        None => JournalSync::Every(ms(10)),
        Some("before_publish") => JournalSync::BeforePublish,
        Some(text) => {
            let every = s.measure("sync", text, ms(1)..=secs(10), parse_sync, &format_duration);
            JournalSync::Every(every.unwrap_or(ms(10)))
        }
    };
    let max_bytes = s.size("max_bytes", 32 << 10..=1 << 44).unwrap_or(1 << 30);
    let segment = s.size("segment_bytes", 4 << 10..=1 << 30);
    // A journal of few segments frees its room in leaps; a small one has small segments.
    let segment_bytes = segment.unwrap_or((max_bytes / 8).min(16 << 20));
    if segment_bytes > max_bytes / 2 {
        s.problem_of(
            "segment_bytes",
            "segment_bytes must be at most half of max_bytes",
        );
    }
    s.finish();
    JournalConfig {
        sync,
        max_bytes,
        segment_bytes,
    }
}

fn parse_sync(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|reason| format!("{reason} or \"before_publish\""))
}

fn ingest(mut s: Section<'_>) -> IngestConfig {
    let mode = match s.text("mode").as_deref() {
        None | Some("tokio") => IngestMode::Tokio,
        Some("busy_poll") => IngestMode::BusyPoll,
        Some(other) => {
            let hint = suggest::hint(other, ["tokio", "busy_poll"]);
            let text = format!("mode must be \"tokio\" or \"busy_poll\", found \"{other}\"{hint}");
            s.problem_of("mode", &text);
            IngestMode::Tokio
        }
    };
    let (core, history) = (core(&mut s), s.flag("history", true));
    s.finish();
    IngestConfig {
        mode,
        core,
        history,
    }
}

/// Whether the machine has it is known at start only.
fn core(s: &mut Section<'_>) -> Option<usize> {
    s.number("core", 0..=1023).map(|n| n as usize)
}

fn engine(mut s: Section<'_>, ingest_core: Option<usize>) -> EngineConfig {
    let waits = Duration::ZERO..=secs(1);
    let config = EngineConfig {
        ring: ring(&mut s, "ring", 65_536),
        signal_ring: ring(&mut s, "signal_ring", 1_024),
        tick_ring: ring(&mut s, "tick_ring", 65_536),
        spin: s
            .duration("spin", waits.clone())
            .unwrap_or(Duration::from_micros(20)),
        yield_for: s
            .duration("yield_for", waits)
            .unwrap_or(Duration::from_micros(100)),
        drain: s
            .duration("drain", Duration::ZERO..=secs(600))
            .unwrap_or(secs(20)),
        core: core(&mut s),
        state_max_age: s
            .duration("state_max_age", Duration::ZERO..=DAY)
            .unwrap_or(secs(600)),
    };
    if config.core.is_some() && config.core == ingest_core {
        s.problem_of(
            "core",
            "core must not be that of [ingest]: one would wait for the other",
        );
    }
    s.finish();
    config
}

const RING: RangeInclusive<u64> = 64..=1 << 24;

fn ring(s: &mut Section<'_>, key: &'static str, default: usize) -> usize {
    let size = s.number(key, RING).map_or(default, |n| n as usize);
    if !size.is_power_of_two() {
        let next = size.next_power_of_two();
        s.problem_of(
            key,
            &format!("{key} must be a power of two, as {next}; found {size}"),
        );
    }
    size
}

fn http(mut s: Section<'_>) -> HttpConfig {
    let listen = s
        .text("listen")
        .unwrap_or_else(|| "127.0.0.1:9464".to_owned());
    let listen = match listen.parse::<std::net::SocketAddr>() {
        _ if listen == "off" => None,
        Ok(address) if address.ip().is_loopback() => Some(address),
        Ok(_) => {
            let text = "listen must be a loopback address: nothing here asks for a password";
            s.problem_of("listen", text);
            None
        }
        Err(_) => {
            s.problem_of(
                "listen",
                "listen must be \"off\" or an address, as \"127.0.0.1:9464\"",
            );
            None
        }
    };
    let fresh = s.duration("fresh", ms(100)..=DAY).unwrap_or(secs(30));
    s.finish();
    HttpConfig { listen, fresh }
}

fn log(mut s: Section<'_>) -> LogConfig {
    let level = s.text("level").unwrap_or_else(|| "info".to_owned());
    // A word alone would be taken for a module, and a slip of the pen would silence the log.
    let word = |part: &str| !part.is_empty() && part.chars().all(char::is_alphanumeric);
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    let slip = |part: &str| word(part) && !levels.contains(&part.to_lowercase().as_str());
    if EnvFilter::builder().parse(&level).is_err() || level.split(',').any(slip) {
        let text = "level must be error, warn, info, debug, trace or a filter, \
                    as \"info,tickforge::feed=debug\"";
        s.problem_of("level", text);
    }
    let json = s.flag("json", false);
    let config = LogConfig {
        level,
        json,
        file_bytes: s
            .size("file_bytes", 64 << 10..=16 << 30)
            .unwrap_or(64 << 20),
        total_bytes: s
            .size("total_bytes", 128 << 10..=16 << 40)
            .unwrap_or(1 << 30),
    };
    if config.total_bytes < 2 * config.file_bytes {
        let text =
            "total_bytes must be at least twice file_bytes: one is written while one is kept";
        s.problem_of("total_bytes", text);
    }
    s.finish();
    config
}

fn paths(mut s: Section<'_>) -> PathsConfig {
    let mut folder = |key: &'static str| {
        let text = s.text(key)?;
        if text.is_empty() {
            s.problem_of(key, &format!("{key} must be a folder, found an empty text"));
        }
        Some(PathBuf::from(text))
    };
    let logs = folder("logs");
    let config = PathsConfig {
        // systemd's LogsDirectory=, which may be several: the first one.
        logs: logs.or_else(|| {
            let given = std::env::var_os("LOGS_DIRECTORY")?;
            std::env::split_paths(&given).next()
        }),
        models: folder("models").unwrap_or_else(|| "models".into()),
        backups: folder("backups").unwrap_or_else(|| "backups".into()),
    };
    s.finish();
    config
}

fn backup(mut s: Section<'_>, credentials: &Credentials) -> BackupConfig {
    let keep = s.duration("keep", DAY..=3660 * DAY).unwrap_or(30 * DAY);
    BackupConfig {
        keep,
        login: login(s, credentials),
    }
}

#[cfg(test)]
pub(super) mod tests;
