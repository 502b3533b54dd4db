//! What has an operator switched off? The rows of `system_config` whose keys are
//!
//! ```text
//! strategies.NAME.enabled               strategies.ema_cross.enabled
//! instruments.EXCHANGE:SYMBOL.enabled   instruments.binance:BTC/USDT.enabled
//! ```
//!
//! with the value `true` or `false`. What no row names is on. Plain values: who reads the rows is
//! [`crate::publishers::postgres`], who obeys them the ingest thread, which puts each change into
//! the stream of events, so that a recording holds it.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switches {
    /// Names of strategies that are off.
    pub strategies_off: BTreeSet<String>,
    /// `EXCHANGE:SYMBOL` of instruments that are off.
    pub instruments_off: BTreeSet<String>,
}

/// What a running daemon knows of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub switches: Switches,
    /// The database has answered since the start; true where there is none to ask.
    pub read: bool,
}

/// A key that is one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key<'a> {
    Strategy(&'a str),
    Instrument(&'a str),
}

impl<'a> Key<'a> {
    fn parse(key: &'a str) -> Option<Key<'a>> {
        let name = |prefix: &str| key.strip_prefix(prefix)?.strip_suffix(".enabled");
        match (name("strategies."), name("instruments.")) {
            (Some(name), _) => Some(Key::Strategy(name)),
            (None, Some(name)) => Some(Key::Instrument(name)),
            (None, None) => None,
        }
    }
}

impl Switches {
    /// Reads all rows; keys of others are left alone. A value that says neither is reported, and
    /// what it is about stays as it was `before`.
    pub fn read<'a>(
        rows: impl IntoIterator<Item = (&'a str, &'a Value)>,
        before: &Switches,
    ) -> (Switches, Vec<String>) {
        let (mut read, mut problems) = (Switches::default(), Vec::new());
        for (text, value) in rows {
            let Some(key) = Key::parse(text) else {
                if text.starts_with("strategies.") || text.starts_with("instruments.") {
                    problems.push(format!(
                        "{text}: not understood; write strategies.NAME.enabled or \
                         instruments.EXCHANGE:SYMBOL.enabled"
                    ));
                }
                continue;
            };
            let on = value.as_bool().unwrap_or_else(|| {
                let was = if before.has_off(key) { "off" } else { "on" };
                problems.push(format!(
                    "{text} = {value}: write true or false; it stays {was}"
                ));
                !before.has_off(key)
            });
            if !on {
                read.put_off(key);
            }
        }
        (read, problems)
    }

    fn has_off(&self, key: Key) -> bool {
        match key {
            Key::Strategy(name) => self.strategies_off.contains(name),
            Key::Instrument(name) => self.instruments_off.contains(name),
        }
    }

    fn put_off(&mut self, key: Key) {
        match key {
            Key::Strategy(name) => self.strategies_off.insert(name.to_owned()),
            Key::Instrument(name) => self.instruments_off.insert(name.to_owned()),
        };
    }

    pub fn strategy_on(&self, name: &str) -> bool {
        !self.strategies_off.contains(name)
    }

    pub fn instrument_on(&self, exchange: &str, symbol: &str) -> bool {
        // Most daemons have nothing off.
        self.instruments_off.is_empty()
            || !self
                .instruments_off
                .contains(&format!("{exchange}:{symbol}"))
    }
}

/// Where what was read last is kept: a daemon whose database is away at start does as it was told
/// before.
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("switches.json")
}

/// What was kept; all on where nothing was. A file that cannot be read is said, since what an
/// operator had switched off is on until the database answers.
pub fn load(path: &Path) -> Switches {
    let read = match std::fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map_err(io::Error::from),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Switches::default(),
        Err(error) => Err(error),
    };
    read.unwrap_or_else(|error| {
        let file = path.display();
        tracing::error!(%error, "{file} is not understood: all is on until the database answers");
        Switches::default()
    })
}

pub fn save(path: &Path, switches: &Switches) -> io::Result<()> {
    let new = path.with_extension("new");
    std::fs::write(&new, serde_json::to_vec(switches)?)?;
    std::fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rows_are_read_and_bad_ones_change_nothing() {
        let read = |rows: &[(&str, Value)], before: &Switches| {
            Switches::read(rows.iter().map(|(k, v)| (*k, v)), before)
        };
        let (off, problems) = read(
            &[
                ("strategies.ema_cross.enabled", json!(false)),
                ("strategies.rsi_reversion.enabled", json!(true)),
                ("instruments.binance:BTC/USDT.enabled", json!(false)),
                ("fees.maker", json!(0.1)),
            ],
            &Switches::default(),
        );
        assert_eq!(problems, [""; 0]);
        assert!(!off.strategy_on("ema_cross") && off.strategy_on("rsi_reversion"));
        assert!(!off.instrument_on("binance", "BTC/USDT"));
        assert!(off.instrument_on("kraken", "BTC/USDT"));

        let (after, problems) = read(
            &[
                ("strategies.ema_cross.enabled", json!("no")),
                ("instruments.kraken:ETH/EUR.enabled", json!(0)),
                ("strategies.ema_cross", json!(false)),
            ],
            &off,
        );
        assert!(!after.strategy_on("ema_cross"), "as it was before");
        assert!(after.instrument_on("kraken", "ETH/EUR"));
        assert!(
            after.instrument_on("binance", "BTC/USDT"),
            "its row is gone"
        );
        let text = problems.join("\n");
        for part in ["\"no\": write true or false; it stays off", "it stays on"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(
            text.contains("strategies.ema_cross: not understood"),
            "{text}"
        );
    }

    #[test]
    fn what_was_read_last_is_kept() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = path(dir.path());
        assert_eq!(load(&file), Switches::default());
        let mut switches = Switches::default();
        switches.put_off(Key::Strategy("ema_cross"));
        save(&file, &switches).expect("written");
        assert_eq!(load(&file), switches);
    }
}
