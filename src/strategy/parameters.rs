//! From a strategy's declared parameters and its table of the configuration to complete, checked
//! [`Parameters`], and their canonical form, which is a part of every signal's id.
//!
//! Called at start, off the hot path. Reads no file and knows no strategy.

use super::{Parameter, Parameters, Spec, Value};
use crate::suggest;
use toml::Value as Toml;

/// What is wrong with a strategy's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key at fault, where the table has it.
    pub key: String,
    /// `unknown key "fsat"; did you mean "fast"?`
    pub text: String,
}

/// Declared defaults, overridden by `table`. An error names place and key, one line for each:
/// `[strategies.ema_cross] unknown key "fsat"; did you mean "fast"?`
pub fn resolve(spec: &Spec, table: &toml::Table) -> Result<Parameters, String> {
    resolve_each(spec, table).map_err(|problems| {
        let line = |p: &Problem| format!("[strategies.{}] {}", spec.name, p.text);
        problems.iter().map(line).collect::<Vec<_>>().join("\n")
    })
}

/// As [`resolve`], with each problem by its key.
pub fn resolve_each(spec: &Spec, table: &toml::Table) -> Result<Parameters, Vec<Problem>> {
    let names = || spec.parameters.iter().map(|p| p.name);
    let mut problems = Vec::new();
    for key in table.keys().filter(|key| !names().any(|name| name == *key)) {
        let text = if spec.parameters.is_empty() {
            format!("unknown key \"{key}\"; it has no parameters")
        } else {
            format!("unknown key \"{key}\"{}", suggest::hint(key, names()))
        };
        problems.push(Problem {
            key: key.clone(),
            text,
        });
    }
    let mut values = Vec::with_capacity(spec.parameters.len());
    for parameter in spec.parameters {
        let given = table
            .get(parameter.name)
            .map(|given| read(parameter, given));
        match given.unwrap_or(Ok(parameter.default)) {
            Ok(value) => values.push((parameter.name, value)),
            Err(text) => problems.push(Problem {
                key: parameter.name.to_owned(),
                text,
            }),
        }
    }
    if problems.is_empty() {
        Ok(Parameters(values))
    } else {
        Err(problems)
    }
}

fn read(parameter: &Parameter, given: &Toml) -> Result<Value, String> {
    let name = parameter.name;
    let value = match (parameter.default, given) {
        (Value::Int(_), Toml::Integer(v)) => Value::Int(*v),
        (Value::Float(_), Toml::Float(v)) if v.is_finite() => Value::Float(*v),
        (Value::Float(_), Toml::Float(_)) => return Err(format!("{name} must be a finite number")),
        (Value::Float(_), Toml::Integer(v)) => Value::Float(*v as f64),
        (Value::Bool(_), Toml::Boolean(v)) => Value::Bool(*v),
        (Value::Duration(_), Toml::String(v)) => {
            Value::Duration(parse_duration_ns(v).map_err(|reason| format!("{name}: {reason}"))?)
        }
        (Value::Bars(_), Toml::String(v)) => {
            Value::Bars(v.parse().map_err(|reason| format!("{name}: {reason}"))?)
        }
        (default, given) => {
            let expected = expected_type(default);
            return Err(format!(
                "{name} must be {expected}, found {}",
                given.type_str()
            ));
        }
    };
    in_range(parameter, value).map(|()| value)
}

fn expected_type(default: Value) -> &'static str {
    match default {
        Value::Int(_) => "an integer",
        Value::Float(_) => "a number",
        Value::Bool(_) => "true or false",
        Value::Duration(_) => "a duration such as \"1s\"",
        Value::Bars(_) => "a kind of bars such as \"1m\" or \"trades:100\"",
    }
}

/// Whether `value` lies within the declared range; the error says how the range is written.
pub fn in_range(parameter: &Parameter, value: Value) -> Result<(), String> {
    let below = parameter.min.is_some_and(|min| less(value, min));
    let above = parameter.max.is_some_and(|max| less(max, value));
    if !below && !above {
        return Ok(());
    }
    let range = match (parameter.min, parameter.max) {
        (Some(min), Some(max)) => format!("from {} to {}", text(min), text(max)),
        (Some(min), None) => format!("at least {}", text(min)),
        (None, Some(max)) => format!("at most {}", text(max)),
        (None, None) => return Ok(()),
    };
    Err(format!(
        "{} must be {range}, found {}",
        parameter.name,
        text(value)
    ))
}

/// Integers are compared as integers: a float cannot tell nanoseconds of 100 days apart.
fn less(a: Value, b: Value) -> bool {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) | (Value::Duration(a), Value::Duration(b)) => a < b,
        (a, b) => a.as_f64() < b.as_f64(),
    }
}

/// As it is written in the configuration.
pub fn text(value: Value) -> String {
    match value {
        Value::Int(v) => v.to_string(),
        Value::Float(v) => v.to_string(),
        Value::Bool(v) => v.to_string(),
        Value::Duration(ns) => format_duration_ns(ns),
        Value::Bars(bars) => bars.to_string(),
    }
}

/// An object sorted by name. Durations are integers of nanoseconds, so that `"1s"` and `"1000ms"`
/// are the same parameters and give the same signal ids.
pub fn canonical(parameters: &Parameters) -> serde_json::Value {
    let mut sorted = parameters.0.clone();
    sorted.sort_by_key(|(name, _)| *name);
    let member = |(name, value): (&str, Value)| (name.to_owned(), json(value));
    serde_json::Value::Object(sorted.into_iter().map(member).collect())
}

fn json(value: Value) -> serde_json::Value {
    match value {
        Value::Int(v) | Value::Duration(v) => v.into(),
        Value::Float(v) => v.into(),
        Value::Bool(v) => v.into(),
        Value::Bars(v) => v.to_string().into(),
    }
}

/// Units of a duration, the longest first.
const UNITS: [(&str, i64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Nanoseconds of `"250ms"`, `"1s"`, `"5m"`, `"1h"`: a whole number and a unit.
pub fn parse_duration_ns(text: &str) -> Result<i64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start();
    let found = UNITS.iter().find(|(name, _)| *name == unit);
    let (Some((_, scale)), false) = (found, number.is_empty()) else {
        return Err(format!(
            "\"{text}\" is no duration; write a whole number and ns, us, ms, s, m, h or d: \"10ms\""
        ));
    };
    let ns = number
        .parse::<i64>()
        .ok()
        .and_then(|n| n.checked_mul(*scale));
    ns.ok_or_else(|| format!("\"{text}\" is too long; the longest is 292 years"))
}

/// In the longest unit that holds it exactly; the inverse of [`parse_duration_ns`].
pub fn format_duration_ns(ns: i64) -> String {
    let exact = UNITS.iter().find(|(_, scale)| ns != 0 && ns % scale == 0);
    match exact {
        Some((unit, scale)) => format!("{}{unit}", ns / scale),
        None => "0s".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Streams, WarmUp};
    use super::*;

    const fn parameter(
        name: &'static str,
        default: Value,
        min: Option<Value>,
        max: Option<Value>,
    ) -> Parameter {
        Parameter {
            name,
            default,
            min,
            max,
            unit: "",
            help: "",
        }
    }

    const SECOND: i64 = 1_000_000_000;
    static SPEC: Spec = Spec {
        version: "1.0.0",
        summary: "",
        parameters: &[
            parameter(
                "slow",
                Value::Int(26),
                Some(Value::Int(2)),
                Some(Value::Int(500)),
            ),
            parameter("fast", Value::Int(12), Some(Value::Int(1)), None),
            parameter(
                "threshold",
                Value::Float(0.5),
                Some(Value::Float(0.0)),
                None,
            ),
            parameter("short", Value::Bool(false), None, None),
            parameter(
                "bar",
                Value::Duration(SECOND),
                None,
                Some(Value::Duration(3600 * SECOND)),
            ),
        ],
        streams: Streams::BARS,
        bar_parameters: &["bar"],
        warm_up: |_| WarmUp::None,
        new: |_| Err("not built here".to_owned()),
        ..Spec::new("ema_cross")
    };

    fn resolved(table: &str) -> Result<Parameters, String> {
        resolve(&SPEC, &table.parse().expect("TOML"))
    }

    #[test]
    fn what_is_left_out_is_the_default_in_the_order_of_declaration() {
        let parameters = resolved("fast = 5\nthreshold = 2\nbar = \"5m\"").expect("valid");
        let expected = [
            ("slow", Value::Int(26)),
            ("fast", Value::Int(5)),
            ("threshold", Value::Float(2.0)),
            ("short", Value::Bool(false)),
            ("bar", Value::Duration(300 * SECOND)),
        ];
        assert_eq!(parameters, Parameters(expected.to_vec()));
    }

    #[test]
    fn a_wrong_table_says_where_and_why() {
        for (table, expected) in [
            ("fsat = 3", "unknown key \"fsat\"; did you mean \"fast\"?"),
            ("fast = 1.5", "fast must be an integer, found float"),
            ("fast = 0", "fast must be at least 1, found 0"),
            ("slow = 501", "slow must be from 2 to 500, found 501"),
            ("threshold = nan", "threshold must be a finite number"),
            ("threshold = -1", "threshold must be at least 0, found -1"),
            ("short = 1", "short must be true or false, found integer"),
            (
                "bar = 60",
                "bar must be a duration such as \"1s\", found integer",
            ),
            ("bar = \"2h\"", "bar must be at most 1h, found 2h"),
        ] {
            let error = resolved(table).expect_err(table);
            assert_eq!(error, format!("[strategies.ema_cross] {expected}"));
        }
        let both = resolved("fsat = 3\nslow = 1").expect_err("two faults");
        assert_eq!(both.lines().count(), 2, "{both}");
    }

    #[test]
    fn the_canonical_form_is_sorted_and_exact() {
        let one = canonical(&resolved("bar = \"1s\"\nthreshold = 2").expect("valid"));
        let same = canonical(&resolved("threshold = 2.0\nbar = \"1000ms\"").expect("valid"));
        assert_eq!(one, same);
        let text = r#"{"bar":1000000000,"fast":12,"short":false,"slow":26,"threshold":2.0}"#;
        assert_eq!(one.to_string(), text);
    }

    #[test]
    fn durations_are_read_and_written_exactly() {
        for (text, ns) in [
            ("0s", 0),
            ("7ns", 7),
            ("15us", 15_000),
            ("10ms", 10_000_000),
            ("90s", 90 * SECOND),
            ("5m", 300 * SECOND),
            ("1h", 3600 * SECOND),
            ("2d", 2 * 86_400 * SECOND),
        ] {
            assert_eq!(parse_duration_ns(text), Ok(ns), "{text}");
            assert_eq!(format_duration_ns(ns), text);
        }
        assert_eq!(parse_duration_ns("1 s"), Ok(SECOND));
        assert_eq!(format_duration_ns(60 * SECOND), "1m");
        for wrong in [
            "",
            "s",
            "10",
            "1.5s",
            "-1s",
            "1w",
            "1S",
            "99999999999d",
            "99999999999999999999s",
        ] {
            assert!(parse_duration_ns(wrong).is_err(), "{wrong}");
        }
    }
}
