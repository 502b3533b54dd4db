//! Where logs go: stderr, as text for people or a JSON object a line. Started once, by `main`,
//! before any thread starts; its level may change while it runs.

use crate::config::LogConfig;
use std::io::IsTerminal;
use std::sync::OnceLock;
use tracing_subscriber::EnvFilter;

/// The variable that overrides `[log] level`.
pub const VARIABLE: &str = "TICKFORGE_LOG";

/// Sets the filter of the running log.
static SET: OnceLock<Box<dyn Fn(EnvFilter) -> bool + Send + Sync>> = OnceLock::new();

/// Starts logging; a second call does nothing.
pub fn init(config: &LogConfig) {
    let (filter, problem) = filter(&config.level, variable().as_deref());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // An error, here and below, only says that logging has been started before.
    let _ = if config.json {
        let builder = builder.json().with_filter_reloading();
        let handle = builder.reload_handle();
        let _ = SET.set(Box::new(move |filter| handle.reload(filter).is_ok()));
        builder.try_init()
    } else {
        let builder = builder.with_filter_reloading();
        let handle = builder.reload_handle();
        let _ = SET.set(Box::new(move |filter| handle.reload(filter).is_ok()));
        builder.try_init()
    };
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
