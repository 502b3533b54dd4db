//! Each indicator against TA-Lib itself, on the same bars.

use super::cases::{Case, Row};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use tickforge::indicators::Candle;

/// Relative difference that is allowed.
const RELATIVE: f64 = 1e-9;
/// Where a value passes through zero: of the greatest of its output.
const FLOOR: f64 = 1e-12;

/// What TA-Lib makes of each case, in their order.
pub fn talib(python: &str, candles: &[Candle], cases: &[Case], folder: &Path) -> Vec<Value> {
    let bars = folder.join("bars.csv");
    let mut text = String::from("open,high,low,close,volume\n");
    for c in candles {
        let numbers = [c.open, c.high, c.low, c.close, c.volume].map(|v| format!("{v:?}"));
        text.push_str(&numbers.join(","));
        text.push('\n');
    }
    std::fs::write(&bars, text).expect("written");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/with_talib.py");
    let mut process = Command::new(python)
        .arg(script)
        .arg(&bars)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut input = process.stdin.take().expect("piped");
    let lines: String = cases.iter().map(|case| line(case) + "\n").collect();
    // By a thread of its own: it answers before it has read all.
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = process.wait_with_output().expect("it ends");
    assert!(output.status.success(), "with_talib.py: {}", output.status);
    writer.join().expect("no panic").expect("all is read");
    let text = String::from_utf8(output.stdout).expect("text");
    let told: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(told.len(), cases.len());
    told
}

fn line(case: &Case) -> String {
    let mut parameters = serde_json::Map::new();
    for (name, value) in case.info.parameters.iter().chain(case.parameters) {
        parameters.insert((*name).to_owned(), json!(value));
    }
    json!({"name": case.info.name, "parameters": parameters}).to_string()
}

/// What differs, in words; `None` where nothing does.
pub fn difference(rows: &[Row], told: &Value) -> Option<String> {
    let outputs = told["outputs"].as_array().expect("outputs");
    let lookback = told["lookback"].as_u64().expect("a number") as usize;
    let whole = told["whole"].as_bool().expect("a bool");
    for (o, expected) in outputs.iter().enumerate() {
        let expected: Vec<Option<f64>> = expected
            .as_array()
            .expect("an output")
            .iter()
            .map(Value::as_f64)
            .collect();
        let greatest = expected
            .iter()
            .flatten()
            .fold(0.0_f64, |most, value| most.max(value.abs()));
        for (i, (row, expected)) in rows.iter().zip(&expected).enumerate() {
            // TA-Lib fills whole numbers up with zeros, where it has no value.
            let expected = expected.filter(|_| !(whole && i < lookback));
            let ours = row[o];
            let same = match (ours, expected) {
                (None, None) => true,
                (Some(ours), Some(expected)) if whole => ours == expected,
                (Some(ours), Some(expected)) => {
                    (ours - expected).abs() <= (RELATIVE * expected.abs()).max(FLOOR * greatest)
                }
                _ => false,
            };
            if !same {
                return Some(format!("output {o}, bar {i}: {ours:?}, not {expected:?}"));
            }
        }
    }
    (rows[0].len() != outputs.len()).then(|| format!("{} outputs", outputs.len()))
}
