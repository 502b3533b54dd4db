//! Every indicator that TA-Lib has, against TA-Lib itself: 10,000 bars of random walks and bars of
//! a simulated market, with other parameters beside the defaults, its state saved and restored on
//! the way. And none of them allocates.

mod candles;
mod cases;
mod compare;
mod cycle;
mod first;
mod oscillators;
mod overlap;
mod patterns;
mod trend;
mod volume;

use crate::alloc::counted;
use crate::daemon::{Exchange, Process};
use crate::replay::configuration;
use cases::Case;
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::Duration;
use tickforge::indicators::{self, Candle};

fn cases() -> Vec<Case> {
    let families = [
        first::cases,
        overlap::cases,
        trend::cases,
        oscillators::cases,
        cycle::cases,
        volume::cases,
        patterns::cases,
    ];
    families.into_iter().flat_map(|cases| cases()).collect()
}

/// A Python that has TA-Lib; `None` says what is skipped.
fn python() -> Option<String> {
    let python = std::env::var("TICKFORGE_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let mut asked = Command::new(&python);
    let asked = asked.args(["-c", "import talib"]).stderr(Stdio::null());
    if asked.status().is_ok_and(|status| status.success()) {
        return Some(python);
    }
    eprintln!(
        "skipped: {python} has no talib; tests/run installs it and sets TICKFORGE_TEST_PYTHON"
    );
    None
}

fn agree(sets: &[(&str, Vec<Candle>)]) {
    let Some(python) = python() else { return };
    let cases = cases();
    let mut wrong = Vec::new();
    for (set, candles) in sets {
        let folder = tempfile::tempdir().expect("a folder");
        let told = compare::talib(&python, candles, &cases, folder.path());
        for (case, told) in cases.iter().zip(&told) {
            if let Some(text) = compare::difference(&(case.run)(candles), told) {
                wrong.push(format!(
                    "{set}: {} {:?}: {text}",
                    case.info.name, case.parameters
                ));
            }
        }
        let version = &told[0]["version"];
        eprintln!(
            "{set}: {} cases on {} bars, TA-Lib {version}",
            cases.len(),
            candles.len()
        );
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn each_agrees_with_ta_lib_on_random_walks() {
    agree(&[
        ("cents", candles::walk(1, 10_000, 100.0, 0.01)),
        ("coarse", candles::walk(2, 10_000, 40.0, 0.05)),
        ("bitcoin", candles::walk(3, 10_000, 60_000.0, 0.1)),
        ("short", candles::walk(4, 20, 100.0, 0.01)),
    ]);
}

/// What a simulated exchange traded, ten trades a bar.
#[test]
fn each_agrees_with_ta_lib_on_a_simulated_market() {
    let dir = tempfile::tempdir().expect("a folder");
    let truth = dir.path().join("truth");
    let file = truth.display().to_string();
    let flags = [
        "--seed",
        "5",
        "--symbols",
        "1",
        "--rate",
        "20000",
        "--for",
        "4s",
        "--truth",
        &file,
    ];
    let mut exchange = Exchange::start(dir.path(), &flags);
    let config = configuration(dir.path(), &exchange);
    let run = ["run", "--config", &config, "--json"];
    let mut daemon = Process::start(&run, &dir.path().join("run.log"));
    let ended = exchange.process.wait(Duration::from_secs(60));
    assert!(ended, "the exchange failed");
    daemon.terminate();
    assert!(daemon.wait(Duration::from_secs(30)), "the daemon failed");
    let text = std::fs::read_to_string(truth).expect("the truth");
    let trades: Vec<(f64, f64)> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .filter(|line| line["ch"] == "trade")
        .map(|trade| {
            let number = |key: &str| {
                trade[key]
                    .as_str()
                    .expect("text")
                    .parse()
                    .expect("a number")
            };
            (number("price"), number("amount"))
        })
        .collect();
    let bars: Vec<Candle> = trades.chunks_exact(10).map(bar).collect();
    assert!(bars.len() > 500, "{} bars", bars.len());
    agree(&[("simulated", bars)]);
}

fn bar(trades: &[(f64, f64)]) -> Candle {
    let prices = || trades.iter().map(|(price, _)| *price);
    Candle {
        open: trades[0].0,
        high: prices().fold(f64::MIN, f64::max),
        low: prices().fold(f64::MAX, f64::min),
        close: trades[trades.len() - 1].0,
        volume: trades.iter().map(|(_, amount)| amount).sum(),
    }
}

#[test]
fn none_allocates_after_it_was_made() {
    let candles = candles::walk(6, 3_000, 100.0, 0.01);
    for case in cases() {
        let allocated = (case.allocations)(&candles, 0, counted);
        assert_eq!(allocated, 0, "{} {:?}", case.info.name, case.parameters);
    }
}

/// All but what is tickforge's own has a case.
#[test]
fn each_of_ta_libs_is_compared() {
    let compared: BTreeSet<&str> = cases().iter().map(|case| case.info.name).collect();
    let listed: BTreeSet<&str> = indicators::all().iter().map(|info| info.name).collect();
    let ours: Vec<_> = listed.difference(&compared).collect();
    assert_eq!(
        compared.len(),
        listed.len() - ours.len(),
        "a case of none that is listed"
    );
    assert!(compared.len() >= 100 + 61, "{}", compared.len());
    let Some(python) = python() else { return };
    let script = "import talib; print('\\n'.join(talib.get_functions()))";
    let told = Command::new(python)
        .args(["-c", script])
        .output()
        .expect("it starts");
    let told = String::from_utf8(told.stdout).expect("text");
    let theirs: BTreeSet<&str> = told.lines().collect();
    for name in ours {
        assert!(
            !theirs.contains(name),
            "{name} is TA-Lib's and not compared"
        );
    }
    for name in compared {
        assert!(theirs.contains(name), "{name} is none of TA-Lib's");
    }
}
