//! Where logs go: stderr, as text for people or a JSON object a line; the daemon's to [`files`],
//! too. Started once, by `main`, before any thread starts; its level may change while it runs.

mod files;

use crate::config::{Config, LogConfig};
use files::LogFiles;
use std::io::IsTerminal;
use std::sync::{Mutex, OnceLock};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, reload};

/// The variable that overrides `[log] level`.
pub const VARIABLE: &str = "TICKFORGE_LOG";

/// Sets the filter of the running log.
static SET: OnceLock<Box<dyn Fn(EnvFilter) -> bool + Send + Sync>> = OnceLock::new();

/// Starts logging to stderr; a second call does nothing.
pub fn init(config: &LogConfig) {
    init_with(config, None);
}

/// Starts the daemon's logging: to stderr, and to files where the configuration names their folder.
pub fn init_daemon(config: &Config) {
    let opened = config.logs().map(|folder| {
        let LogConfig {
            file_bytes,
            total_bytes,
            ..
        } = config.log;
        let opened = LogFiles::open(&folder, &config.name, file_bytes, total_bytes);
        opened.map_err(|e| {
            format!(
                "no log files in {}: {e}; is it ours to write?",
                folder.display()
            )
        })
    });
    match opened.transpose() {
        Ok(files) => init_with(&config.log, files),
        Err(problem) => {
            init(&config.log);
            tracing::warn!("{problem}");
        }
    }
}

fn init_with(config: &LogConfig, files: Option<LogFiles>) {
    let (filter, problem) = filter(&config.level, variable().as_deref());
    let (filter, handle) = reload::Layer::new(filter);
    let stderr = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let stderr = if config.json {
        stderr.json().boxed()
    } else {
        stderr.boxed()
    };
    let files = files.map(|files| {
        tracing_subscriber::fmt::layer()
            .json()
            .with_writer(Mutex::new(files))
    });
    let log = tracing_subscriber::registry()
        .with(filter)
        .with(stderr)
        .with(files);
    // An error, here and below, only says that logging has been started before.
    if log.try_init().is_ok() {
        let _ = SET.set(Box::new(move |filter| handle.reload(filter).is_ok()));
    }
    if let Some(problem) = problem {
        tracing::warn!("{problem}");
    }
}

/// Takes over another level; what stands in the way of it, if anything does.
pub fn set_level(level: &str) -> Option<String> {
    if variable().is_some() {
        return Some(format!("[log] level: {VARIABLE} is set and overrides it"));
    }
    let (filter, problem) = filter(level, None);
    let set = SET.get().is_some_and(|set| set(filter));
    let failed = (!set).then(|| "[log] level: the log is not ours to change".to_owned());
    problem.or(failed)
}

fn variable() -> Option<String> {
    std::env::var(VARIABLE).ok().filter(|text| !text.is_empty())
}

/// The filter that holds, and what is wrong with the one that was asked for.
fn filter(level: &str, variable: Option<&str>) -> (EnvFilter, Option<String>) {
    let parse = |text: &str| EnvFilter::builder().parse(text);
    let configured = || parse(level).unwrap_or_else(|_| EnvFilter::new("info"));
    match variable.map(parse) {
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => {
            let text =
                format!("{VARIABLE} is no filter ({error}); [log] level = \"{level}\" holds");
            (configured(), Some(text))
        }
        None => (configured(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_overrides_the_level_where_it_is_a_filter() {
        for (level, variable, holds, warns) in [
            ("info", None, "info", false),
            (
                "info,tickforge::feed=debug",
                None,
                "tickforge::feed=debug,info",
                false,
            ),
            ("info", Some("debug"), "debug", false),
            ("warn", Some("a=b=c"), "warn", true),
            ("a=b=c", None, "info", false),
        ] {
            let (filter, problem) = filter(level, variable);
            assert_eq!(filter.to_string(), holds, "{level} {variable:?}");
            assert_eq!(problem.is_some(), warns, "{level} {variable:?}");
        }
    }
}
