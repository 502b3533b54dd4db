//! `tickforge strategies [NAME] [--check]`: which strategies are compiled in, with their
//! parameters, and whether each one's declaration holds together. With `--capture FILE` each is run
//! over a recording, and held to what it promises (see [`crate::trial`]).

use super::{Common, replay};
use crate::app;
use crate::strategies::{ALL, declaration};
use crate::strategy::parameters::text;
use crate::strategy::{Entry, Parameter, Value, WarmUp};
use crate::suggest;
use crate::trial::{Report, Trial};
use anyhow::{Context, bail};
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;

#[derive(Clone, Debug, Default, clap::Args)]
pub struct Args {
    /// Only this strategy
    pub name: Option<String>,
    /// Exit with 1 where a strategy's declaration is not in order
    #[arg(long)]
    pub check: bool,
    /// With --check: run it over this recording; may be given again for more of one recording
    #[arg(long, value_name = "FILE", requires = "check")]
    pub capture: Vec<PathBuf>,
    /// A parameter in that run: `key=value` of the one strategy, or `strategy.key=value`
    #[arg(long, value_name = "K=V", requires = "capture")]
    pub set: Vec<String>,
    /// The exchange, where the capture's addresses do not tell
    #[arg(long, requires = "capture")]
    pub exchange: Option<String>,
}

/// Whether all is well; without `--check`, it always is.
pub fn run(args: &Args, common: &Common, out: &mut dyn Write) -> anyhow::Result<bool> {
    if args.capture.is_empty() {
        return list(ALL, args, common.json, out);
    }
    let mut config = common.load()?;
    crate::logging::init(&config.log);
    let named: Vec<String> = args.name.iter().cloned().collect();
    replay::choose(&mut config, &named, &args.set)?;
    let mut all_well = true;
    let mut told = Vec::new();
    for plan in app::plans(&config)? {
        let name = plan.entry.spec.name;
        let trial = Trial {
            plan,
            files: &args.capture,
            exchange: args.exchange.as_deref(),
        };
        let report = trial.run().with_context(|| name.to_owned())?;
        all_well &= report.findings.is_empty();
        if common.json {
            let mut object = serde_json::to_value(&report)?;
            object["name"] = name.into();
            object["status"] = if report.findings.is_empty() {
                "ok"
            } else {
                "not ok"
            }
            .into();
            told.push(object);
        } else {
            as_report(name, &report, out)?;
        }
    }
    if common.json {
        writeln!(out, "{}", serde_json::Value::Array(told))?;
    }
    Ok(all_well)
}

fn as_report(name: &str, report: &Report, out: &mut dyn Write) -> std::io::Result<()> {
    let (signals, calls) = (report.signals, report.calls);
    writeln!(out, "{name}  {signals} signals in {calls} calls")?;
    for finding in &report.findings {
        writeln!(out, "    NOT OK: {}", finding.text)?;
    }
    if report.findings.is_empty() {
        let (p999, max, budget) = (report.call_p999_ns, report.call_max_ns, report.budget_ns);
        writeln!(
            out,
            "    ok, deterministic, without look-ahead, warm in time"
        )?;
        writeln!(
            out,
            "    a call took {p999} ns (99.9%), {max} ns at most; its budget is {budget} ns"
        )?;
    }
    for note in &report.notes {
        writeln!(out, "    note: {note}")?;
    }
    Ok(())
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
        .map(|entry| (entry, declaration::examine(entry)))
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
        Value::Duration(_) | Value::Bars(_) => text(value).into(),
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
    use crate::strategy::{Parameters, Spec, Strategy, Streams};
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
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
        version: "1.0.0",
        summary: "Does nothing",
        parameters: &[FAST, BAR],
        streams: Streams::BARS,
        bar_parameters: &["bar"],
        warm_up: |p| WarmUp::Bars(p.int("fast") as u32),
        new: silent,
        ..Spec::new("good")
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
            file: match spec.name {
                "good" => "strategies/good.rs",
                _ => "strategies/bad.rs",
            },
            digest: "9f3c21ab",
        }
    }

    fn output(all: &[Entry], args: &Args, json: bool) -> (bool, String) {
        let mut out = Vec::new();
        let ok = list(all, args, json, &mut out).expect("listed");
        (ok, String::from_utf8(out).expect("UTF-8"))
    }

    #[test]
    fn the_json_is_the_documented_array() {
        let (ok, text) = output(&[entry(&GOOD_SPEC)], &Args::default(), true);
        assert!(ok);
        let parsed: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let expected = json!([{
            "name": "good",
            "version": "1.0.0+9f3c21ab",
            "file": "strategies/good.rs",
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
            ..Args::default()
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
