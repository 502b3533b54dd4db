//! `tickforge replay`: recordings through the same feeds, engine and strategies as live, with the
//! same decisions.

use super::Common;
use crate::config::Config;
use crate::replay::{self, Options};
use crate::simulate::Speed;
use crate::strategies;
use crate::strategy::Instance;
use crate::suggest;
use anyhow::{Context, bail};
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;

#[derive(clap::Args, Debug)]
pub struct Args {
    /// Captures, played one after the other
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// max, or a multiple of the pace at which it was recorded
    #[arg(long, default_value = "max")]
    speed: Speed,
    /// Read all files into memory before the first frame is played
    #[arg(long)]
    from_memory: bool,
    /// Write the signals here, a line of JSON each
    #[arg(long, value_name = "FILE")]
    signals: Option<PathBuf>,
    /// Write what became of the signals here, a line of JSON each
    #[arg(long, value_name = "FILE")]
    outcomes: Option<PathBuf>,
    /// Only this strategy; may be given again for more
    #[arg(long, value_name = "NAME")]
    strategy: Vec<String>,
    /// A parameter: `key=value` of the one --strategy, or `strategy.key=value`
    #[arg(long, value_name = "K=V")]
    set: Vec<String>,
    /// The exchange, where the capture's addresses do not tell
    #[arg(long)]
    exchange: Option<String>,
    /// Keep what bars and strategies remember at the end, below the data folder: a run that begins
    /// soon after goes on from there, warm
    #[arg(long)]
    keep_state: bool,
}

/// The summary, and what only a replay has.
#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    summary: crate::summary::Summary,
    load_seconds: f64,
    broken_lines: u64,
}

pub fn run(args: &Args, common: &Common) -> anyhow::Result<bool> {
    let mut config = common.load()?;
    crate::logging::init(&config.log);
    choose(&mut config, &args.strategy, &args.set)?;
    let options = Options {
        files: args.files.clone(),
        speed: args.speed,
        from_memory: args.from_memory,
        signals: args.signals.clone(),
        outcomes: args.outcomes.clone(),
        exchange: args.exchange.clone(),
        keep_state: args.keep_state,
    };
    let replayed = replay::run(&config, &options)?;
    if common.json {
        let report = Report {
            summary: replayed.summary,
            load_seconds: replayed.load_seconds,
            broken_lines: replayed.broken_lines,
        };
        let mut out = std::io::stdout().lock();
        serde_json::to_writer(&mut out, &report)?;
        writeln!(out)?;
    } else {
        super::run::print(&replayed.summary, false)?;
    }
    if replayed.broken_lines > 0 {
        bail!(
            "{} lines could not be played; the others were",
            replayed.broken_lines
        );
    }
    Ok(true)
}

/// Puts the command line's strategies and parameters over the configuration's.
pub(super) fn choose(config: &mut Config, only: &[String], set: &[String]) -> anyhow::Result<()> {
    for name in only {
        known(config, name)?;
    }
    if !only.is_empty() {
        config.strategies.retain(|name, _| only.contains(name));
        for name in only {
            let all = &mut config.strategies;
            all.entry(name.clone())
                .or_insert_with(|| Instance::of(name));
        }
    }
    for given in set {
        let (key, value) = given
            .split_once('=')
            .with_context(|| format!("--set {given}: write key=value"))?;
        let (strategy, key) = match (key.split_once('.'), only) {
            (Some((strategy, key)), _) => (strategy, key),
            (None, [one]) => (one.as_str(), key),
            (None, _) => {
                bail!("--set {given}: whose? write strategy.{given}, or give one --strategy")
            }
        };
        known(config, strategy)?;
        if config.strategies.is_empty() {
            // All of them run: naming one must not stop the others.
            let all = strategies::by_default().map(|e| e.spec.name.to_owned());
            config.strategies = all.map(|n| (n.clone(), Instance::of(&n))).collect();
        }
        let all = &mut config.strategies;
        let instance = all.entry(strategy.to_owned());
        let instance = instance.or_insert_with(|| Instance::of(strategy));
        instance.parameters.insert(key.to_owned(), value_of(value));
    }
    Ok(())
}

/// A strategy, or an instance of the configuration.
fn known(config: &Config, name: &str) -> anyhow::Result<()> {
    if strategies::find(name).is_none() && !config.strategies.contains_key(name) {
        let names = strategies::ALL.iter().map(|e| e.spec.name);
        let names = names.chain(config.strategies.keys().map(String::as_str));
        bail!("unknown strategy \"{name}\"{}", suggest::hint(name, names));
    }
    Ok(())
}

/// As TOML has it; what is none is text, so that durations need no quotes.
fn value_of(text: &str) -> toml::Value {
    let whole = format!("v = {text}").parse::<toml::Table>();
    whole
        .ok()
        .and_then(|mut table| table.remove("v"))
        .unwrap_or_else(|| toml::Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(text: &str, only: &[&str], set: &[&str]) -> Result<Config, String> {
        let owned = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        let mut config = Config::parse(text, "test").expect("valid");
        choose(&mut config, &owned(only), &owned(set)).map_err(|e| e.to_string())?;
        Ok(config)
    }

    #[test]
    fn strategies_and_parameters_are_chosen() {
        let config = chosen("", &["ema_cross"], &["fast=3", "bar=250ms"]).expect("valid");
        assert_eq!(config.strategies.len(), 1);
        let table = &config.strategies["ema_cross"].parameters;
        assert_eq!(table["fast"].as_integer(), Some(3));
        assert_eq!(table["bar"].as_str(), Some("250ms"));
        assert_eq!(crate::app::plans(&config).expect("plans").len(), 1);
        let config = chosen("", &[], &["ema_cross.fast=3"]).expect("valid");
        let all = strategies::by_default().count();
        assert_eq!(config.strategies.len(), all);
        assert_eq!(crate::app::plans(&config).expect("plans").len(), all);
        let text = "[strategies.ema_cross]\nfast = 5\nslow = 9";
        let config = chosen(text, &[], &["ema_cross.fast=3"]).expect("valid");
        assert_eq!(
            config.strategies["ema_cross"].parameters["slow"].as_integer(),
            Some(9)
        );
        assert_eq!(config.strategies.len(), 1);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (only, set, part) in [
            (&["ema_cros"][..], &[][..], "did you mean"),
            (&[], &["fast=3"], "whose?"),
            (&["ema_cross"], &["fast"], "write key=value"),
            (&[], &["ema_cros.fast=3"], "did you mean"),
        ] {
            let error = chosen("", only, set).expect_err("refused");
            assert!(error.contains(part), "{error}");
        }
    }
}
