//! Is `config/tickforge.toml` complete and true? Tests only: a key, its default and its
//! documentation are held together here.

use super::load::parse_with;
use super::load::tests::{known, parsed};
use super::section::Report;

const DOCUMENTED: &str = include_str!("../../config/tickforge.toml");

/// A commented key or section: "#" and no space.
fn commented(line: &str) -> Option<&str> {
    line.strip_prefix('#')
        .filter(|rest| rest.starts_with(|c| c == '[' || char::is_alphabetic(c)))
}

/// The documented file with all its keys, but for those that stand instead of others.
fn uncommented() -> Vec<&'static str> {
    let lines = DOCUMENTED
        .lines()
        .filter(|line| !line.contains("# instead of"));
    lines.map(|line| commented(line).unwrap_or(line)).collect()
}

#[test]
fn the_documented_file_is_valid_as_it_is_and_with_every_key() {
    let as_it_is = parsed(DOCUMENTED).expect("the file as it is");
    let symbols = "symbols = [\"BTC/USDT\", \"ETH/USDT\"]";
    let minimal = parsed(&format!("[exchanges.binance]\n{symbols}")).expect("minimal");
    assert_eq!(as_it_is, minimal);
    let full = parsed(&uncommented().join("\n")).expect("every key");
    assert!(full.stores.postgres.is_some() && full.stores.influx.is_some());
    assert!(full.exchanges["binance"].silence.is_some());
}

#[test]
fn each_documented_default_is_the_default() {
    let full = parsed(&uncommented().join("\n")).expect("every key");
    let mut checked = 0;
    for line in DOCUMENTED.lines().filter(|line| commented(line).is_some()) {
        let key = commented(line).unwrap_or_default();
        if key.starts_with('[') || line.contains("# instead of") {
            continue;
        }
        // Several sections have a key of this name, perhaps with the same value: without each.
        let lines = uncommented();
        for i in (0..lines.len()).filter(|i| lines[*i] == key) {
            let mut without = lines.clone();
            without.remove(i);
            let without = parsed(&without.join("\n"));
            let is_default = without.as_ref() == Ok(&full);
            assert_eq!(is_default, !line.contains("# example"), "{line}");
            checked += 1;
        }
    }
    assert!(checked > 40, "only {checked} keys were checked");
}

#[test]
fn every_key_of_the_parser_is_documented() {
    let report = Report::default();
    let text = uncommented().join("\n");
    parse_with(&text, "config/x.toml", &known(), &report).expect("valid");
    let mut section = String::new();
    let mut documented = std::collections::BTreeSet::new();
    for line in DOCUMENTED
        .lines()
        .map(|line| commented(line).unwrap_or(line))
    {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.split(']').next()) {
            section = name.to_owned();
            let (parent, key) = name.rsplit_once('.').unwrap_or(("", name));
            documented.insert((String::new(), parent.to_owned()));
            documented.insert((parent.to_owned(), key.to_owned()));
        } else if let Some((key, _)) = line.split_once(" = ") {
            documented.insert((section.clone(), key.to_owned()));
        }
    }
    for (section, key) in report.asked() {
        assert!(
            documented.contains(&(section.clone(), key.to_owned())),
            "[{section}] {key}"
        );
    }
}

#[test]
fn the_keys_that_a_reload_takes_over_are_marked() {
    let mut section = "";
    let mut marked = Vec::new();
    for line in DOCUMENTED.lines() {
        if let Some(name) = line.trim_start_matches('#').strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some((head, mark)) = line.rsplit_once(" # ")
            && mark == "reloads"
        {
            let key = commented(head).unwrap_or(head).split(' ').next();
            marked.push((section, key.unwrap_or_default()));
        }
    }
    assert_eq!(marked, super::RELOADED);
}
