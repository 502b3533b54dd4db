//! Does what a strategy's file declares hold together? Asked by `tickforge strategies`; the tests
//! ask it of every strategy that is built in.

use crate::strategy::instance::RESERVED;
use crate::strategy::parameters::{self, canonical};
use crate::strategy::{Entry, LEGS, Parameter, TIMEFRAMES, Value, WarmUp};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The warm-up with all defaults, or what is wrong with the declaration.
pub fn examine(entry: &Entry) -> Result<WarmUp, String> {
    let spec = entry.spec;
    if spec.name.is_empty() || spec.version.is_empty() {
        return Err("name and version must not be empty".to_owned());
    }
    if entry.file != format!("strategies/{}.rs", spec.name) {
        let name = spec.name;
        return Err(format!(
            "its SPEC's name is {name}, which is not its file's"
        ));
    }
    if !(1..=LEGS).contains(&usize::from(spec.legs)) {
        return Err(format!("it must look at 1 to {LEGS} instruments"));
    }
    for (i, parameter) in spec.parameters.iter().enumerate() {
        if RESERVED.contains(&parameter.name) {
            let name = parameter.name;
            return Err(format!(
                "parameter {name} has a name that sections use themselves"
            ));
        }
        declared_well(parameter)?;
        if spec.parameters[..i]
            .iter()
            .any(|other| other.name == parameter.name)
        {
            return Err(format!("parameter {} is declared twice", parameter.name));
        }
    }
    if spec.bar_parameters.len() > TIMEFRAMES {
        return Err(format!("more than {TIMEFRAMES} kinds of bars"));
    }
    for name in spec.bar_parameters {
        let declared = spec.parameters.iter().find(|p| p.name == *name);
        match declared.map(|p| p.default) {
            Some(Value::Duration(ns)) if ns > 0 => {}
            Some(Value::Bars(_)) => {}
            Some(_) => {
                return Err(format!(
                    "bar parameter {name} must be a kind of bars, or a duration above 0"
                ));
            }
            None => return Err(format!("bar parameter {name} is not declared")),
        }
    }
    let defaults = parameters::resolve(spec, &toml::Table::new())?;
    // A strategy that asks for what it did not declare panics: that is the fault looked for.
    let made = catch_unwind(AssertUnwindSafe(|| {
        (spec.new)(&defaults).map(|_| (spec.warm_up)(&defaults))
    }));
    let made = made.unwrap_or_else(|panic| Err(format!("it panics: {}", message(&*panic))));
    made.map_err(|reason| format!("with its defaults {}: {reason}", canonical(&defaults)))
}

fn declared_well(parameter: &Parameter) -> Result<(), String> {
    let Parameter {
        name,
        default,
        min,
        max,
        ..
    } = *parameter;
    if name.is_empty() {
        return Err("a parameter has no name".to_owned());
    }
    for limit in [min, max].into_iter().flatten() {
        if limit.type_name() != default.type_name() {
            let (is, must) = (limit.type_name(), default.type_name());
            return Err(format!(
                "parameter {name}: a limit is a {is}, the default a {must}"
            ));
        }
    }
    parameters::in_range(parameter, default).map_err(|reason| format!("the default of {reason}"))
}

fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::{Parameters, Spec, Strategy, Streams};
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
    struct Silent;
    impl Strategy for Silent {}

    fn silent(_: &Parameters) -> Result<Box<dyn Strategy>, String> {
        Ok(Box::new(Silent))
    }

    const FAST: Parameter = Parameter {
        max: None,
        ..Parameter::int("fast", 12, (1, 1_000), "bars", "Length")
    };
    const BAR: Parameter = Parameter::duration_ms("bar", 60_000, "");
    const GOOD: Spec = Spec {
        parameters: &[FAST, BAR],
        streams: Streams::BARS,
        bar_parameters: &["bar"],
        warm_up: |p| WarmUp::Bars(p.int("fast") as u32),
        new: silent,
        ..Spec::new("good")
    };

    fn examined(spec: Spec) -> Result<WarmUp, String> {
        let (file, digest) = ("strategies/good.rs", "0");
        // What a program is built of lives as long as it.
        let spec = Box::leak(Box::new(spec));
        examine(&Entry { spec, file, digest })
    }

    #[test]
    fn a_faulty_declaration_is_told() {
        const OUT: Parameter = Parameter {
            default: Value::Int(0),
            ..FAST
        };
        const ABOVE: Parameter = Parameter {
            max: Some(Value::Int(10)),
            ..FAST
        };
        const MIXED: Parameter = Parameter {
            max: Some(Value::Float(3.0)),
            ..FAST
        };
        const NAMED: Parameter = Parameter {
            name: "only",
            ..FAST
        };
        for (spec, expected) in [
            (
                Spec { legs: 0, ..GOOD },
                "it must look at 1 to 8 instruments",
            ),
            (
                Spec {
                    parameters: &[NAMED],
                    ..GOOD
                },
                "parameter only has a name that sections use themselves",
            ),
            (
                Spec {
                    name: "other",
                    ..GOOD
                },
                "its SPEC's name is other, which is not its file's",
            ),
            (
                Spec {
                    bar_parameters: &["bar", "bar", "bar", "bar", "bar"],
                    ..GOOD
                },
                "more than 4 kinds of bars",
            ),
            (
                Spec {
                    version: "",
                    ..GOOD
                },
                "name and version must not be empty",
            ),
            (
                Spec {
                    parameters: &[FAST, BAR, FAST],
                    ..GOOD
                },
                "parameter fast is declared twice",
            ),
            (
                Spec {
                    parameters: &[OUT],
                    ..GOOD
                },
                "the default of fast must be at least 1, found 0",
            ),
            (
                Spec {
                    parameters: &[ABOVE],
                    ..GOOD
                },
                "the default of fast must be from 1 to 10, found 12",
            ),
            (
                Spec {
                    parameters: &[MIXED],
                    ..GOOD
                },
                "parameter fast: a limit is a float, the default a int",
            ),
            (
                Spec {
                    parameters: &[FAST],
                    ..GOOD
                },
                "bar parameter bar is not declared",
            ),
            (
                Spec {
                    bar_parameters: &["fast"],
                    ..GOOD
                },
                "bar parameter fast must be a kind of bars, or a duration above 0",
            ),
            (
                Spec {
                    parameters: &[BAR],
                    ..GOOD
                },
                "with its defaults {\"bar\":60000000000}: it panics: parameter fast is not \
                 declared in SPEC",
            ),
            (
                Spec {
                    new: |_| Err("no".to_owned()),
                    ..GOOD
                },
                "with its defaults {\"bar\":60000000000,\"fast\":12}: no",
            ),
        ] {
            assert_eq!(examined(spec), Err(expected.to_owned()));
        }
        assert_eq!(examined(GOOD), Ok(WarmUp::Bars(12)));
    }
}
