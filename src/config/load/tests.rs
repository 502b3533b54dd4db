//! What the loader takes and refuses, with place and remedy.

use super::*;
use crate::strategy::{Parameter, Spec, Streams, Value, WarmUp};

const MINIMAL: &str = "[exchanges.binance]\nsymbols = [\"BTC/USDT\"]\n";

static SPEC: Spec = Spec {
    version: "1.0.0",
    summary: "",
    parameters: &[Parameter {
        name: "fast",
        default: Value::Int(12),
        min: Some(Value::Int(1)),
        max: None,
        unit: "bars",
        help: "",
    }],
    streams: Streams::BARS,
    warm_up: |_| WarmUp::None,
    new: |p| Err(format!("fast = {} goes with nothing", p.int("fast"))).or_else(only_12),
    ..Spec::new("ema_cross")
};
static STRATEGIES: [Entry; 1] = [Entry {
    spec: &SPEC,
    file: "",
    digest: "",
}];

fn only_12(reason: String) -> Result<Box<dyn crate::strategy::Strategy>, String> {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Silent;
    impl crate::strategy::Strategy for Silent {}
    if reason.contains("= 12 ") {
        Ok(Box::new(Silent))
    } else {
        Err(reason)
    }
}

pub fn known() -> Known {
    Known {
        exchanges: vec!["binance", "coinbase", "kraken"],
        strategies: &STRATEGIES,
    }
}

pub fn parsed(text: &str) -> Result<Config, ConfigError> {
    parse(text, "config/x.toml", &known())
}

#[test]
fn three_lines_make_a_run() {
    let config = parsed(MINIMAL).expect("valid");
    let exchange = &config.exchanges["binance"];
    assert_eq!(exchange.symbols, ["BTC/USDT"]);
    assert!(exchange.trades && exchange.quotes && exchange.book);
    assert_eq!(config.data_dir, Path::new("tickforge-data"));
    assert!(config.stores.parquet.is_some() && config.stores.influx.is_none());
    assert_eq!(
        Config {
            exchanges: BTreeMap::new(),
            ..config
        },
        Config::embedded()
    );
}

#[test]
fn what_is_wrong_is_told_with_line_reason_and_remedy() {
    for (text, expected) in [
        (
            "nme = \"a\"",
            "1: unknown key \"nme\"; did you mean \"name\"?",
        ),
        (
            "[exchange.binance]",
            "1: unknown section \"exchange\"; did you mean \"exchanges\"?",
        ),
        (
            "\nname = 3",
            "2: name must be a text in quotes, found integer",
        ),
        (
            "name = \"a b\"",
            "1: name must be 1 to 64 letters, digits, '.', '_' or '-'",
        ),
        (
            "journal = 3",
            "1: [journal] must be a section, found integer",
        ),
        (
            "[exchanges.binnance]\nsymbols = [\"BTC/USDT\"]",
            "1: [exchanges.binnance] unknown exchange \"binnance\"; did you mean \"binance\"?",
        ),
        (
            "[exchanges.binance]\nsybols = [\"A/B\"]\nsymbols = [\"A/B\"]",
            "2: [exchanges.binance] unknown key \"sybols\"; did you mean \"symbols\"?",
        ),
        (
            "[exchanges.binance]",
            "1: [exchanges.binance] symbols is missing; write symbols = [\"BTC/USDT\"]",
        ),
        (
            "[exchanges.binance]\nsymbols = [\"BTCUSDT\"]",
            "2: [exchanges.binance] symbol \"BTCUSDT\" must be BASE/QUOTE, as \"BTC/USDT\" or \
                 \"*/EUR\"",
        ),
        (
            "[exchanges.kraken]\nsymbols = [\"*\"]\nws = \"http://x\"",
            "3: [exchanges.kraken] ws must begin with ws:// or wss://",
        ),
        (
            "[journal]\nsync = \"1 min\"",
            "2: [journal] sync: \"1 min\" is no duration; write a \
              whole number and ns, us, ms, s, m, h or d: \"10ms\" or \"before_publish\"",
        ),
        (
            "[journal]\nsync = \"1h\"",
            "2: [journal] sync must be from 1ms to 10s, found 1h",
        ),
        (
            "[journal]\nmax_bytes = \"1KiB\"",
            "2: [journal] max_bytes must be from 32KiB to 16TiB, \
              found 1KiB",
        ),
        (
            "[journal]\nsegment_bytes = \"1GiB\"",
            "2: [journal] segment_bytes must be at most half \
              of max_bytes",
        ),
        (
            "[engine]\nring = 1000",
            "2: [engine] ring must be a power of two, as 1024; found 1000",
        ),
        (
            "[engine]\nring = -1",
            "2: [engine] ring must be from 64 to 16777216, found -1",
        ),
        (
            "[ingest]\nmode = \"busypoll\"",
            "2: [ingest] mode must be \"tokio\" or \"busy_poll\", found \"busypoll\"; \
                 did you mean \"busy_poll\"?",
        ),
        (
            "[ingest]\ncore = 1\n[engine]\ncore = 1",
            "4: [engine] core must not be that of [ingest]: one would wait for the other",
        ),
        (
            "[http]\nlisten = \"0.0.0.0:80\"",
            "2: [http] listen must be a loopback address: \
              nothing here asks for a password",
        ),
        (
            "[log]\nlevel = \"loud=very\"",
            "2: [log] level must be error, warn, info, debug, trace \
              or a filter, as \"info,tickforge::feed=debug\"",
        ),
        (
            "[log]\nlevel = \"inof\"",
            "2: [log] level must be error, warn, info, debug, trace \
              or a filter, as \"info,tickforge::feed=debug\"",
        ),
        (
            "[strategies.ema_cros]",
            "1: [strategies.ema_cros] unknown strategy \"ema_cros\"; did you \
              mean \"ema_cross\"?",
        ),
        (
            "[strategies.ema_cross]\n\nfsat = 3",
            "3: [strategies.ema_cross] unknown key \"fsat\"; \
              did you mean \"fast\"?",
        ),
        (
            "[strategies.ema_cross]\nfast = 3",
            "1: [strategies.ema_cross] fast = 3 goes with nothing",
        ),
        (
            "[strategies]\nema_cross = 3",
            "2: [strategies.ema_cross] must be a section, found integer",
        ),
        (
            "name = ",
            "1: not valid TOML: string values must be quoted, expected literal string",
        ),
    ] {
        let error = parsed(text).expect_err(text);
        assert_eq!(
            error.to_string(),
            format!("config/x.toml:{expected}"),
            "{text}"
        );
    }
}

#[test]
fn all_problems_are_told_in_the_order_of_the_file() {
    let text = "[log]\njson = 1\n[journal]\nsnyc = \"1s\"\n[exchanges.binance]\nsymbols = []\n";
    let places: Vec<_> = parsed(text).expect_err("three faults").problems;
    let places: Vec<_> = places
        .iter()
        .map(|p| p.split(": ").next().unwrap_or(""))
        .collect();
    assert_eq!(
        places,
        ["config/x.toml:2", "config/x.toml:4", "config/x.toml:6"]
    );
}

#[test]
fn a_small_journal_has_small_segments() {
    let journal = |text: &str| parsed(text).expect("valid").journal;
    assert_eq!(journal("").segment_bytes, 16 << 20);
    assert_eq!(
        journal("[journal]\nmax_bytes = \"1MiB\"").segment_bytes,
        128 << 10
    );
    let before = journal("[journal]\nsync = \"before_publish\"");
    assert_eq!(before.sync, JournalSync::BeforePublish);
}
