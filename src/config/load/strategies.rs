//! The sections `[strategies.NAME]`: instances, their parameters, and those of single instruments.

use super::super::section::Section;
use super::Known;
use crate::strategy::instance::RESERVED;
use crate::strategy::{Entry, Instance, LEGS, parameters};
use crate::suggest;
use std::collections::BTreeMap;

pub(super) fn strategies(
    all: Section<'_>,
    values: &toml::Table,
    known: &Known,
) -> BTreeMap<String, Instance> {
    let mut strategies = BTreeMap::new();
    for (name, section) in all.sections() {
        let table = values
            .get("strategies")
            .and_then(|all| all.get(&name)?.as_table());
        let table = table.cloned().unwrap_or_default();
        if let Some(instance) = instance(&name, section, table, known) {
            strategies.insert(name, instance);
        }
    }
    strategies
}

fn instance(
    name: &str,
    mut s: Section<'_>,
    mut table: toml::Table,
    known: &Known,
) -> Option<Instance> {
    let named = s.text("strategy");
    let strategy = named.clone().unwrap_or_else(|| name.to_owned());
    let mut entries = known.strategies.iter();
    let Some(entry) = entries.find(|entry| entry.spec.name == strategy) else {
        let hint = suggest::hint(&strategy, known.strategies.iter().map(|e| e.spec.name));
        match named {
            Some(_) => s.problem_of(
                "strategy",
                &format!("unknown strategy \"{strategy}\"{hint}"),
            ),
            None if hint.is_empty() => s.problem(&format!(
                "unknown strategy \"{strategy}\"; an instance under a name of its own says whose it \
                 is: strategy = \"…\""
            )),
            None => s.problem(&format!("unknown strategy \"{strategy}\"{hint}")),
        }
        return None;
    };
    if !instance_name(name) {
        s.problem("an instance's name is 1 to 64 letters, digits, '.', '_' or '-'");
    }
    let only = s.texts("only").unwrap_or_default();
    if let Some(wrong) = only.iter().find(|pattern| !pattern.contains(':')) {
        let text = format!("\"{wrong}\" must be EXCHANGE:SYMBOL, as \"binance:*/USDT\"");
        s.problem_of("only", &text);
    }
    let shadow = s.flag("shadow", false);
    let groups = groups(&s, &table, entry);
    let mut instruments = BTreeMap::new();
    match table.get("instruments") {
        None => {}
        Some(toml::Value::Table(own)) => {
            for (instrument, table) in own {
                match table {
                    toml::Value::Table(table) if instrument.contains(':') => {
                        instruments.insert(instrument.clone(), table.clone());
                    }
                    _ => s.problem_of(
                        "instruments",
                        &format!(
                            "\"{instrument}\" must be a section of parameters by EXCHANGE:SYMBOL, \
                             as [strategies.{name}.instruments.\"binance:BTC/USDT\"]"
                        ),
                    ),
                }
            }
        }
        Some(_) => s.problem_of("instruments", "instruments must be sections of parameters"),
    }
    RESERVED.iter().for_each(|key| drop(table.remove(*key)));
    let instance = Instance {
        strategy,
        shadow,
        only,
        groups,
        parameters: table,
        instruments,
    };
    check(&s, entry, &instance.parameters, None);
    for (instrument, own) in &instance.instruments {
        check(&s, entry, &instance.parameters_with(own), Some(instrument));
    }
    Some(instance)
}

fn instance_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=64).contains(&name.len()) && name.chars().all(plain)
}

/// Whether these parameters are what the strategy takes.
fn check(s: &Section<'_>, entry: &Entry, table: &toml::Table, instrument: Option<&str>) {
    let place = instrument.map_or(String::new(), |i| format!("for {i}: "));
    match parameters::resolve_each(entry.spec, table) {
        Ok(parameters) => {
            if let Err(reason) = (entry.spec.new)(&parameters) {
                s.problem(&format!("{place}{reason}"));
            }
        }
        Err(problems) => {
            for problem in problems {
                s.problem_of(&problem.key, &format!("{place}{}", problem.text));
            }
        }
    }
}

/// The groups of instruments of a strategy that looks at several.
fn groups(s: &Section<'_>, table: &toml::Table, entry: &Entry) -> Vec<Vec<String>> {
    let legs = usize::from(entry.spec.legs).min(LEGS);
    let example = "groups = [[\"binance:BTC/USDT\", \"kraken:BTC/USD\"]]";
    let texts = |group: &toml::Value| -> Option<Vec<String>> {
        let texts = group
            .as_array()?
            .iter()
            .map(|text| Some(text.as_str()?.to_owned()));
        texts.collect()
    };
    let given = table.get("groups");
    let groups = given.and_then(|all| all.as_array()?.iter().map(texts).collect());
    let groups: Vec<Vec<String>> = groups.unwrap_or_default();
    match given {
        None if legs > 1 => s.problem(&format!(
            "it looks at {legs} instruments at once: name them, as {example}"
        )),
        Some(_) if legs == 1 => {
            s.problem_of("groups", "it looks at one instrument; choose which by only");
        }
        Some(_) if groups.is_empty() => {
            s.problem_of(
                "groups",
                &format!("groups must be lists of instruments, as {example}"),
            );
        }
        _ => {}
    }
    for group in &groups {
        let named = group.iter().all(|name| name.contains(':'));
        let mut apart = group.clone();
        apart.sort();
        apart.dedup();
        if group.len() != legs || apart.len() != legs || !named {
            s.problem_of(
                "groups",
                &format!("{group:?} must name {legs} different instruments, as {example}"),
            );
        }
    }
    groups
}
