//! Captures through the real command: `export` against a truth that somebody else derived,
//! `inspect`'s verdict, what becomes of broken lines, and a capture served by the simulator.

use crate::daemon;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn data(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "data", name]
        .iter()
        .collect()
}

/// Recordings kept beside the project, where they are present.
fn corpus() -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()?
        .join("shared")
        .join("corpus");
    if !dir.join("check.py").exists() {
        eprintln!(
            "skipped: no recordings beside the project ({})",
            dir.display()
        );
        return None;
    }
    Some(dir)
}

fn export(capture: &Path) -> Vec<Value> {
    let file = capture.display().to_string();
    let out = daemon::output(&["export", &file, "--format", "ndjson", "--final-books"]);
    out.lines()
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect()
}

fn decimal(value: &Value) -> rust_decimal::Decimal {
    // An empty side: nothing in a truth, "0" in an export.
    if value.is_null() || value == "" {
        return rust_decimal::Decimal::ZERO;
    }
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    text.parse::<rust_decimal::Decimal>()
        .expect("a decimal")
        .normalize()
}

fn level(value: &Value) -> (String, String) {
    (
        decimal(&value[0]).to_string(),
        decimal(&value[1]).to_string(),
    )
}

/// The project's own conversations: every record of the truth is in the export.
fn check(name: &str) {
    let exported = export(&data(&format!("{name}/conversation.capture.jsonl")));
    let truth = std::fs::read_to_string(data(&format!("{name}/conversation.truth.jsonl")))
        .expect("the truth");
    let mut seen = BTreeSet::new();
    for row in truth
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).expect("JSON"))
    {
        let kind = row["ch"].as_str().expect("a kind");
        seen.insert(kind.to_owned());
        let of_kind = |e: &&Value| e["type"] == kind && e["native"] == row["symbol"];
        let found = exported.iter().filter(of_kind).any(|e| match kind {
            "trade" => {
                e["side"] == row["side"]
                    && e["id"].as_str() == Some(row["id"].as_str().expect("an id"))
                    && decimal(&e["price"]) == decimal(&row["price"])
                    && decimal(&e["amount"]) == decimal(&row["amount"])
            }
            "quote" => {
                decimal(&e["bid"]) == decimal(&row["bid"])
                    && decimal(&e["ask"]) == decimal(&row["ask"])
            }
            "book" => {
                e["n"] == row["n"]
                    && level(&e["bid"]) == level(&row["bid"])
                    && level(&e["ask"]) == level(&row["ask"])
                    && e["bids"] == row["bids"]
                    && e["asks"] == row["asks"]
            }
            "book_final" => ["bids", "asks"].iter().all(|side| {
                let side_of = |v: &Value| {
                    v[*side]
                        .as_array()
                        .expect("levels")
                        .iter()
                        .map(level)
                        .collect::<Vec<_>>()
                };
                side_of(e) == side_of(&row)
            }),
            other => panic!("{other}: not a record of these conversations"),
        });
        assert!(found, "{name}: nothing in the export is {row}");
    }
    for kind in ["trade", "quote", "book", "book_final"] {
        assert!(seen.contains(kind), "{name}: the truth has a {kind}");
    }
}

#[test]
fn coinbase_conversation() {
    check("coinbase");
}

#[test]
fn kraken_conversation() {
    check("kraken");
    let file = data("kraken/conversation.capture.jsonl")
        .display()
        .to_string();
    let report: Value =
        serde_json::from_str(&daemon::output(&["inspect", &file, "--json"])).expect("JSON");
    assert_eq!(report["checksums"]["failed"], 0, "{report}");
    assert!(report["checksums"]["ok"].as_u64() > Some(10), "{report}");
    assert_eq!(report["books"][0]["proof"], "checksum");
    assert_eq!(
        report["books"][0]["state"], "stale",
        "it ends with a disconnect"
    );
}

#[test]
fn recordings_equal_their_truth() {
    let Some(corpus) = corpus() else { return };
    let dir = tempfile::tempdir().expect("a folder");
    for name in ["binance", "coinbase"] {
        let capture = corpus
            .join(format!("{name}.capture.jsonl.zst"))
            .display()
            .to_string();
        let out = dir.path().join("export.jsonl");
        let out = out.display().to_string();
        daemon::output(&[
            "export",
            &capture,
            "--format",
            "ndjson",
            "--final-books",
            "-o",
            &out,
        ]);
        let truth = corpus.join(format!("{name}.truth.jsonl.zst"));
        let mut check = Command::new("python3");
        check
            .arg(corpus.join("check.py"))
            .arg("check")
            .arg(truth)
            .arg(&out);
        let said = check.output().expect("python3");
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(
            said.status.success() && text.contains("differences: 0"),
            "{name}: {text}"
        );
    }
}

#[test]
fn a_broken_line_is_named_and_the_rest_is_exported() {
    let dir = tempfile::tempdir().expect("a folder");
    let text =
        std::fs::read_to_string(data("coinbase/conversation.capture.jsonl")).expect("the capture");
    let mut lines: Vec<&str> = text.lines().collect();
    lines.insert(3, "{\"t\": 12, oops");
    let path = dir.path().join("broken.capture.jsonl");
    std::fs::write(&path, lines.join("\n")).expect("written");
    let out = Command::new(env!("CARGO_BIN_EXE_tickforge"))
        .arg("export")
        .arg(&path)
        .output()
        .expect("runs");
    assert_eq!(out.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(
        errors.contains("broken.capture.jsonl") && errors.contains('4'),
        "{errors}"
    );
    let whole = daemon::output(&[
        "export",
        &data("coinbase/conversation.capture.jsonl")
            .display()
            .to_string(),
    ]);
    assert_eq!(String::from_utf8_lossy(&out.stdout), whole);
}

#[test]
fn formats_hold_the_same_rows() {
    let file = data("coinbase/conversation.capture.jsonl")
        .display()
        .to_string();
    let rows = export(Path::new(&file)).len();
    let csv = daemon::output(&["export", &file, "--format", "csv", "--final-books"]);
    assert_eq!(csv.lines().count(), rows + 1, "and a header");
    let dir = tempfile::tempdir().expect("a folder");
    let out = dir.path().join("x.parquet").display().to_string();
    daemon::output(&[
        "export",
        &file,
        "--format",
        "parquet",
        "--final-books",
        "-o",
        &out,
    ]);
    use polars::prelude::SerReader;
    let parquet = std::fs::File::open(&out).expect("written");
    let frame = polars::prelude::ParquetReader::new(parquet)
        .finish()
        .expect("Parquet");
    assert_eq!(frame.height(), rows);
}

/// A capture served by the simulator, in its exchange's protocol, to the daemon over a real socket:
/// what the daemon stores is what `export` makes of the file.
#[test]
fn a_capture_served_is_stored_as_it_is_exported() {
    for name in ["coinbase", "kraken"] {
        let capture = data(&format!("{name}/conversation.capture.jsonl"));
        let exported = export(&capture);
        let count = |kind: &str| exported.iter().filter(|e| e["type"] == kind).count() as u64;
        let dir = tempfile::tempdir().expect("a folder");
        let file = capture.display().to_string();
        let exchange = daemon::Exchange::start(dir.path(), &["--capture", &file, "--speed", "max"]);
        let config = format!(
            "data_dir = {:?}\n[exchanges.{name}]\nsymbols = [\"*\"]\nws = {:?}\nrest = {:?}\n[http]\nlisten = \"off\"\n",
            dir.path().join("data"),
            exchange.ws,
            exchange.rest
        );
        let path = dir.path().join("tickforge.toml");
        std::fs::write(&path, config).expect("the configuration");
        let path = path.display().to_string();
        let out = daemon::output(&["run", "--config", &path, "--for", "6s", "--json"]);
        let summary: Value = serde_json::from_str(&out).expect("a summary");
        daemon::assert_balanced(&summary);
        assert_eq!(summary["rejected"], 0, "{name}: {summary}");
        assert_eq!(summary["checksums_failed"], 0, "{name}: {summary}");
        assert_eq!(summary["resyncs"], 0, "{name}: {summary}");
        let ticks = count("trade") + count("quote");
        assert_eq!(
            daemon::u64_of(&summary, "/ticks/stored"),
            ticks,
            "{name}: {summary}"
        );
    }
}
