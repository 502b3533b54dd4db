//! What can a running daemon take over from a changed file, and what needs a restart? Compares two
//! checked configurations; a section whose credential file changed differs, too.

use super::*;

/// Taken over by a reload; `config/tickforge.toml` marks them.
pub const RELOADED: [(&str, &str); 3] = [("engine", "drain"), ("http", "fresh"), ("log", "level")];

/// What differs between the configuration that runs and a new one.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Taken over now.
    pub reloaded: Vec<String>,
    /// Left as they were until the next start.
    pub restart: Vec<String>,
    /// The strategies among what is taken over: they have other parameters.
    pub tuned: Vec<String>,
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.reloaded.as_slice(), self.restart.as_slice()) {
            ([], []) => f.write_str("nothing has changed"),
            ([], restart) => write!(f, "needs a restart: {}", restart.join(", ")),
            (reloaded, []) => write!(f, "taken over: {}", reloaded.join(", ")),
            (reloaded, restart) => {
                let (reloaded, restart) = (reloaded.join(", "), restart.join(", "));
                write!(f, "taken over: {reloaded}; needs a restart: {restart}")
            }
        }
    }
}

impl Config {
    /// Takes over what a running daemon can change, and says what that was and what is left.
    pub fn take_over(&mut self, new: &Config) -> Changes {
        let mut changes = Changes::default();
        let mut reloaded = |name: &str, changed: bool| {
            if changed {
                changes.reloaded.push(name.to_owned());
            }
        };
        reloaded("[engine] drain", self.engine.drain != new.engine.drain);
        reloaded("[http] fresh", self.http.fresh != new.http.fresh);
        reloaded("[log] level", self.log.level != new.log.level);
        self.engine.drain = new.engine.drain;
        self.http.fresh = new.http.fresh;
        self.log.level.clone_from(&new.log.level);
        for (name, instance) in &mut self.strategies {
            let changed = new.strategies.get(name);
            let changed = changed.filter(|c| *c != instance);
            if let Some(changed) = changed.filter(|c| c.differs_in_parameters_only(instance)) {
                instance.clone_from(changed);
                changes.tuned.push(name.clone());
                changes.reloaded.push(format!("[strategies.{name}]"));
            }
        }
        changes.restart = self.differences(new);
        changes
    }

    /// Keys and sections that are not equal.
    fn differences(&self, new: &Config) -> Vec<String> {
        let (old_stores, stores) = (&self.stores, &new.stores);
        let sections = [
            ("name", self.name != new.name),
            ("data_dir", self.data_dir != new.data_dir),
            ("[stores.postgres]", old_stores.postgres != stores.postgres),
            ("[stores.redis]", old_stores.redis != stores.redis),
            ("[stores.influx]", old_stores.influx != stores.influx),
            ("[stores.parquet]", old_stores.parquet != stores.parquet),
            ("[api_keys]", self.api_keys != new.api_keys),
            ("[journal]", self.journal != new.journal),
            ("[engine]", self.engine != new.engine),
            ("[http] listen", self.http.listen != new.http.listen),
            ("[log] json", self.log.json != new.log.json),
            (
                "[log] file_bytes",
                self.log.file_bytes != new.log.file_bytes,
            ),
            (
                "[log] total_bytes",
                self.log.total_bytes != new.log.total_bytes,
            ),
            ("[paths]", self.paths != new.paths),
        ];
        let changed = sections.into_iter().filter(|(_, changed)| *changed);
        let mut names: Vec<_> = changed.map(|(name, _)| name.to_owned()).collect();
        names.extend(unequal("exchanges", &self.exchanges, &new.exchanges));
        names.extend(unequal("strategies", &self.strategies, &new.strategies));
        names
    }
}

/// Sections of a family that were added, removed or changed.
fn unequal<T: PartialEq>(
    family: &str,
    old: &BTreeMap<String, T>,
    new: &BTreeMap<String, T>,
) -> Vec<String> {
    let added = new.keys().filter(|name| !old.contains_key(*name));
    let names = old.keys().chain(added);
    let changed = names.filter(|name| old.get(*name) != new.get(*name));
    changed.map(|name| format!("[{family}.{name}]")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::parse(text, "x.toml").expect(text)
    }

    #[test]
    fn what_can_be_taken_over_is_and_the_rest_is_named() {
        const OLD: &str =
            "[exchanges.kraken]\nsymbols = [\"*\"]\n[strategies.ema_cross]\nfast = 3\n";
        let check = |new: &str, said: &str| {
            let (mut running, new) = (config(OLD), config(new));
            assert_eq!(running.take_over(&new).to_string(), said);
            let again = running.take_over(&new);
            assert!(again.reloaded.is_empty(), "taken over the first time");
        };
        check(OLD, "nothing has changed");
        check(
            &format!(
                "{OLD}[log]\nlevel = \"debug\"\n[engine]\ndrain = \"1s\"\n[http]\nfresh = \"1s\""
            ),
            "taken over: [engine] drain, [http] fresh, [log] level",
        );
        check(
            &format!(
                "name = \"b\"\n{OLD}[log]\njson = true\nlevel = \"warn\"\n[engine]\nring = 64"
            ),
            "taken over: [log] level; needs a restart: name, [engine], [log] json",
        );
        check(
            "[exchanges.binance]\nsymbols = [\"*\"]\n[strategies.ema_cross]\nfast = 4\n\
             [stores.redis]\nurl = \"redis://a\"\n[stores.parquet]\nenabled = false\n\
             [journal]\nsync = \"1s\"\n[http]\nlisten = \"off\"",
            "taken over: [strategies.ema_cross]; needs a restart: [stores.redis], [stores.parquet], [journal], [http] listen, \
             [exchanges.kraken], [exchanges.binance]",
        );
    }

    #[test]
    fn a_changed_credential_file_is_a_change() {
        let dir = tempfile::tempdir().expect("a folder");
        let (file, place) = (dir.path().join("pg"), dir.path().join("x.toml"));
        let read = |url: &str| {
            std::fs::write(&file, url).expect("written");
            let text = "[stores.postgres]\nurl_file = \"pg\"";
            Config::parse(text, &place.display().to_string()).expect("valid")
        };
        let mut running = read("postgres://bot:old@db/x");
        let said = running
            .take_over(&read("postgres://bot:new@db/x"))
            .to_string();
        assert_eq!(said, "needs a restart: [stores.postgres]");
    }
}
