//! One instance of a strategy, as the configuration has it: plain values, not yet checked against
//! what the strategy declares. A recording keeps changes of it in this form.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Keys of an instance's section that are no parameters.
pub const RESERVED: [&str; 5] = ["strategy", "shadow", "only", "groups", "instruments"];

/// A section `[strategies.NAME]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// The strategy's name; the instance's own where the section does not say.
    pub strategy: String,
    /// Signals are journalled and go nowhere else.
    pub shadow: bool,
    /// Patterns of the instruments that it runs on, `EXCHANGE:SYMBOL`; empty for all.
    pub only: Vec<String>,
    /// For a strategy over several instruments: those of each group.
    pub groups: Vec<Vec<String>>,
    pub parameters: toml::Table,
    /// By `EXCHANGE:SYMBOL`: parameters that differ there.
    pub instruments: BTreeMap<String, toml::Table>,
}

impl Instance {
    /// An instance under the strategy's own name, all at its defaults.
    pub fn of(strategy: &str) -> Instance {
        Instance {
            strategy: strategy.to_owned(),
            ..Instance::default()
        }
    }

    /// The section's parameters with those of one instrument over them.
    pub fn parameters_with(&self, own: &toml::Table) -> toml::Table {
        let mut all = self.parameters.clone();
        all.extend(own.clone());
        all
    }

    /// Whether all but the parameters is the same.
    pub fn differs_in_parameters_only(&self, other: &Instance) -> bool {
        let rest = |i: &Instance| Instance {
            parameters: toml::Table::new(),
            instruments: BTreeMap::new(),
            ..i.clone()
        };
        rest(self) == rest(other)
    }
}
