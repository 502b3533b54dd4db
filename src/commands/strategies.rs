//! `tickforge strategies [NAME] [--check]`: which strategies are compiled in, with their
//! parameters, and whether each one's declaration holds together.

use crate::strategies::ALL;
use crate::strategy::parameters::{self, canonical, text};
use crate::strategy::{Entry, Parameter, Spec, Value, WarmUp};
use crate::suggest;
use anyhow::bail;
use serde_json::json;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

#[derive(Clone, Debug, Default, clap::Args)]
pub struct Args {
    /// Only this strategy
    pub name: Option<String>,
    /// Exit with 1 where a strategy's declaration is not in order
    #[arg(long)]
    pub check: bool,
}

/// Whether all is well; without `--check`, it always is.
pub fn run(args: &Args, json: bool, out: &mut dyn Write) -> anyhow::Result<bool> {
    list(ALL, args, json, out)
}

fn list(all: &[Entry], args: &Args, json: bool, out: &mut dyn Write) -> anyhow::Result<bool> {
    let wanted = |entry: &&Entry| {
        args.name
            .as_ref()
            .is_none_or(|name| name == entry.spec.name)
    };
    let mut entries: Vec<&Entry> = all.iter().filter(wanted).collect();
    if let (Some(name), true) = (&args.name, entries.is_empty()) {
        bail!(
            "unknown strategy \"{name}\"{}",
            suggest::hint(name, names(all))
        );
    }
    entries.sort_by_key(|entry| entry.spec.name);
    let mut described: Vec<_> = entries
        .into_iter()
        .map(|entry| (entry, examine(entry.spec)))
        .collect();
    for (entry, examined) in &mut described {
        if examined.is_ok() && names(all).filter(|name| *name == entry.spec.name).count() > 1 {
            *examined = Err("another file declares the same name".to_owned());
        }
    }
    if json {
        let array: Vec<_> = described
            .iter()
            .map(|(e, examined)| as_json(e, examined))
            .collect();
        writeln!(out, "{}", serde_json::Value::Array(array))?;
    } else {
        described
            .iter()
            .try_for_each(|(entry, examined)| as_table(entry, examined, out))?;
    }
    Ok(!args.check || described.iter().all(|(_, examined)| examined.is_ok()))
}

fn names(all: &[Entry]) -> impl Iterator<Item = &'static str> {
    all.iter().map(|entry| entry.spec.name)
}

/// The warm-up with all defaults, or what is wrong with the declaration.
fn examine(spec: &Spec) -> Result<WarmUp, String> {
    if spec.name.is_empty() || spec.version.is_empty() {
        return Err("name and version must not be empty".to_owned());
    }
    for (i, parameter) in spec.parameters.iter().enumerate() {
        declared_well(parameter)?;
        if spec.parameters[..i]
            .iter()
            .any(|other| other.name == parameter.name)
        {
            return Err(format!("parameter {} is declared twice", parameter.name));
        }
    }
    if let Some(name) = spec.bar_parameter {
        match spec
            .parameters
            .iter()
            .find(|p| p.name == name)
            .map(|p| p.default)
        {
            Some(Value::Duration(ns)) if ns > 0 => {}
            Some(_) => return Err(format!("bar_parameter {name} must be a duration above 0")),
            None => return Err(format!("bar_parameter {name} is not declared")),
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

fn status(examined: &Result<WarmUp, String>) -> &str {
    examined.as_ref().map_or_else(String::as_str, |_| "ok")
}

fn as_json(entry: &Entry, examined: &Result<WarmUp, String>) -> serde_json::Value {
    let spec = entry.spec;
    let warm_up = match examined {
        Ok(WarmUp::Bars(count)) => json!({ "kind": "bars", "count": count }),
        Ok(WarmUp::Events(count)) => json!({ "kind": "events", "count": count }),
        Ok(WarmUp::Time(ns)) => json!({ "kind": "time", "ns": ns }),
        Ok(WarmUp::None) | Err(_) => json!({ "kind": "none", "count": 0 }),
    };
    let parameter = |p: &Parameter| {
        json!({
            "name": p.name,
            "type": p.default.type_name(),
            "default": written(p.default),
            "min": p.min.map(written),
            "max": p.max.map(written),
            "unit": p.unit,
            "help": p.help,
        })
    };
    json!({
        "name": spec.name,
        "version": entry.code_version(),
        "file": entry.file,
        "status": status(examined),
        "summary": spec.summary,
        "parameters": spec.parameters.iter().map(parameter).collect::<Vec<_>>(),
        "warm_up": warm_up,
    })
}

/// As in the configuration: durations are texts.
fn written(value: Value) -> serde_json::Value {
    match value {
        Value::Int(v) => v.into(),
        Value::Float(v) => v.into(),
        Value::Bool(v) => v.into(),
        Value::Duration(_) => text(value).into(),
    }
}

fn as_table(
    entry: &Entry,
    examined: &Result<WarmUp, String>,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let spec = entry.spec;
    writeln!(
        out,
        "{}  {}  {}",
        spec.name,
        entry.code_version(),
        entry.file
    )?;
    writeln!(out, "    {}", spec.summary)?;
    let warm_up = match examined {
        Err(reason) => format!("NOT OK: {reason}"),
        Ok(WarmUp::None) => "ok, needs no history".to_owned(),
        Ok(WarmUp::Bars(n)) => format!("ok, needs {n} bars of history"),
        Ok(WarmUp::Events(n)) => format!("ok, needs {n} events of history"),
        Ok(WarmUp::Time(ns)) => format!("ok, needs {} s of history", *ns as f64 / 1e9),
    };
    writeln!(out, "    {warm_up}")?;
    for p in spec.parameters {
        let range = match (p.min.map(text), p.max.map(text)) {
            (Some(min), Some(max)) => format!("{min} to {max}"),
            (Some(min), None) => format!("from {min}"),
            (None, Some(max)) => format!("to {max}"),
            (None, None) => String::new(),
        };
        let (name, kind, default) = (p.name, p.default.type_name(), text(p.default));
        let line = format!(
            "{name:<16} {kind:<8} {default:<8} {range:<16} {:<8} {}",
            p.unit, p.help
        );
        writeln!(out, "    {}", line.trim_end())?;
    }
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::{Parameters, Strategy, Streams};

    struct Silent;
    impl Strategy for Silent {}

    fn silent(_: &Parameters) -> Result<Box<dyn Strategy>, String> {
        Ok(Box::new(Silent))
    }

    const FAST: Parameter = Parameter {
        name: "fast",
        default: Value::Int(12),
        min: Some(Value::Int(1)),
        max: None,
        unit: "bars",
        help: "Length",
    };
    const BAR: Parameter = Parameter {
        name: "bar",
        default: Value::Duration(60_000_000_000),
        min: None,
        max: None,
        unit: "",
        help: "",
    };
    const GOOD: Spec = Spec {
        name: "good",
        version: "1.0.0",
        summary: "Does nothing",
        parameters: &[FAST, BAR],
        streams: Streams::BARS,
        bar_parameter: Some("bar"),
        warm_up: |p| WarmUp::Bars(p.int("fast") as u32),
        accepts_stale_book: false,
        new: silent,
    };
    static GOOD_SPEC: Spec = GOOD;
    static TWICE: Spec = Spec {
        name: "bad",
        parameters: &[FAST, FAST],
        ..GOOD
    };

    fn entry(spec: &'static Spec) -> Entry {
        Entry {
            spec,
            file: "strategies/x.rs",
            digest: "9f3c21ab",
        }
    }

    fn output(all: &[Entry], args: &Args, json: bool) -> (bool, String) {
        let mut out = Vec::new();
        let ok = list(all, args, json, &mut out).expect("listed");
        (ok, String::from_utf8(out).expect("UTF-8"))
    }

    #[test]
    fn a_faulty_declaration_is_told() {
        const OUT: Parameter = Parameter {
            default: Value::Int(0),
            ..FAST
        };
        const MIXED: Parameter = Parameter {
            max: Some(Value::Float(3.0)),
            ..FAST
        };
        for (spec, expected) in [
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
                "bar_parameter bar is not declared",
            ),
            (
                Spec {
                    bar_parameter: Some("fast"),
                    ..GOOD
                },
                "bar_parameter fast must be a duration above 0",
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
            assert_eq!(examine(&spec), Err(expected.to_owned()));
        }
        assert_eq!(examine(&GOOD), Ok(WarmUp::Bars(12)));
    }

    #[test]
    fn the_json_is_the_documented_array() {
        let (ok, text) = output(&[entry(&GOOD_SPEC)], &Args::default(), true);
        assert!(ok);
        let parsed: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let expected = json!([{
            "name": "good",
            "version": "1.0.0+9f3c21ab",
            "file": "strategies/x.rs",
            "status": "ok",
            "summary": "Does nothing",
            "parameters": [
                {"name": "fast", "type": "int", "default": 12, "min": 1, "max": null,
                 "unit": "bars", "help": "Length"},
                {"name": "bar", "type": "duration", "default": "1m", "min": null, "max": null,
                 "unit": "", "help": ""},
            ],
            "warm_up": {"kind": "bars", "count": 12},
        }]);
        assert_eq!(parsed, expected);
    }

    #[test]
    fn only_check_fails_and_only_for_what_was_asked() {
        let all = [entry(&GOOD_SPEC), entry(&TWICE)];
        let args = |name: Option<&str>, check| Args {
            name: name.map(str::to_owned),
            check,
        };
        for (name, check, ok) in [
            (None, false, true),
            (None, true, false),
            (Some("good"), true, true),
            (Some("bad"), true, false),
        ] {
            assert_eq!(
                output(&all, &args(name, check), false).0,
                ok,
                "{name:?} {check}"
            );
        }
        let (_, table) = output(&all, &args(None, true), false);
        assert!(
            table.contains("NOT OK: parameter fast is declared twice"),
            "{table}"
        );
        let twice = [entry(&GOOD_SPEC), entry(&GOOD_SPEC)];
        assert!(!output(&twice, &args(None, true), true).0);
        let mut out = Vec::new();
        let error = list(&all, &args(Some("godo"), false), true, &mut out).expect_err("unknown");
        assert_eq!(
            error.to_string(),
            "unknown strategy \"godo\"; did you mean \"good\"?"
        );
    }
}
