//! Which strategies are there? Every file of `strategies/`, as the build found them, in [`ALL`],
//! sorted by name. Nothing here is edited to add one; see `build.rs`.
//!
//! Known trap: `cargo fmt` does not see files that a generated list declares; format them by
//! `rustfmt --edition 2024 strategies/*.rs`.

mod found {
    include!(concat!(env!("OUT_DIR"), "/strategies.rs"));
}
pub use found::*;

pub mod name;

use crate::strategy::{Entry, Parameters, Spec, Value};
use std::cmp::Ordering;

#[cfg(test)]
pub(crate) mod testing;

/// The strategy of this name.
pub fn find(name: &str) -> Option<&'static Entry> {
    ALL.iter().find(|e| e.spec.name == name)
}

/// All parameters of a strategy at their defaults.
pub fn defaults(spec: &Spec) -> Parameters {
    Parameters(
        spec.parameters
            .iter()
            .map(|p| (p.name, p.default))
            .collect(),
    )
}

/// What is wrong with what a strategy's file declares: empty where nothing is.
pub fn faults(entry: &Entry) -> Vec<String> {
    let spec = entry.spec;
    let mut faults = Vec::new();
    if entry.file != format!("strategies/{}.rs", spec.name) {
        faults.push(format!(
            "SPEC's name is {}, which is not its file's",
            spec.name
        ));
    }
    for (i, p) in spec.parameters.iter().enumerate() {
        if spec.parameters[..i]
            .iter()
            .any(|other| other.name == p.name)
        {
            faults.push(format!("parameter {} is declared twice", p.name));
        }
        for (what, limit, wrong) in [
            ("min", p.min, Ordering::Less),
            ("max", p.max, Ordering::Greater),
        ] {
            let Some(limit) = limit else { continue };
            if limit.type_name() != p.default.type_name() {
                faults.push(format!(
                    "parameter {}: {what} is not of default's type",
                    p.name
                ));
            } else if p.default.as_f64().partial_cmp(&limit.as_f64()) == Some(wrong) {
                faults.push(format!("parameter {}: default is beyond {what}", p.name));
            }
        }
    }
    for name in spec.bar_parameters {
        let declared = spec.parameters.iter().find(|p| p.name == *name);
        let kind = declared.map(|p| p.default);
        if !matches!(kind, Some(Value::Duration(_) | Value::Bars(_))) {
            faults.push(format!("bar parameter {name} is no declared kind of bars"));
        }
    }
    if let Err(text) = (spec.new)(&defaults(spec)) {
        faults.push(format!("refuses its own defaults: {text}"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::{Parameter, Strategy, Streams, Value, WarmUp};

    #[test]
    fn every_file_of_the_folder_is_listed() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/strategies");
        let names = std::fs::read_dir(folder)
            .expect("the folder")
            .map(|e| e.expect("an entry").file_name());
        let mut files: Vec<String> = names.filter_map(|n| n.into_string().ok()).collect();
        files.retain(|f| f.ends_with(".rs") && !f.starts_with('.'));
        files.sort();
        let listed: Vec<&str> = ALL.iter().map(|e| &e.file["strategies/".len()..]).collect();
        assert_eq!(listed, files);
    }

    #[test]
    fn every_strategy_keeps_the_contract() {
        for entry in ALL {
            assert_eq!(faults(entry), Vec::<String>::new(), "{}", entry.file);
            let digest = entry.digest;
            assert!(
                digest.len() == 16 && digest.bytes().all(|c| c.is_ascii_hexdigit()),
                "{digest}"
            );
            assert!(find(entry.spec.name).is_some_and(|e| std::ptr::eq(e, entry)));
            for p in entry.spec.parameters {
                assert!(
                    p.help.len() > 10,
                    "{}: {} says what it is for",
                    entry.file,
                    p.name
                );
            }
        }
    }

    #[test]
    fn faults_are_found() {
        struct Nothing;
        impl Strategy for Nothing {}
        const fn parameter(
            name: &'static str,
            default: Value,
            min: Value,
            max: Value,
        ) -> Parameter {
            Parameter {
                name,
                default,
                min: Some(min),
                max: Some(max),
                unit: "",
                help: "",
            }
        }
        static SPEC: Spec = Spec {
            version: "1",
            summary: "",
            parameters: &[
                parameter("a", Value::Int(5), Value::Int(6), Value::Int(4)),
                parameter("a", Value::Int(5), Value::Int(5), Value::Int(5)),
                parameter("b", Value::Int(5), Value::Float(1.0), Value::Int(9)),
            ],
            streams: Streams::BARS,
            bar_parameters: &["b"],
            warm_up: |_| WarmUp::None,
            new: |p| {
                if p.int("b") == 5 {
                    Err("b is odd".into())
                } else {
                    Ok(Box::new(Nothing))
                }
            },
            ..Spec::new("other")
        };
        let entry = Entry {
            spec: &SPEC,
            file: "strategies/this.rs",
            digest: "0",
        };
        let expected = [
            "SPEC's name is other, which is not its file's",
            "parameter a: default is beyond min",
            "parameter a: default is beyond max",
            "parameter a is declared twice",
            "parameter b: min is not of default's type",
            "bar parameter b is no declared kind of bars",
            "refuses its own defaults: b is odd",
        ];
        assert_eq!(faults(&entry), expected);
    }
}
