//! The program and its configuration, as an operator meets them: files, exit codes, messages.

use std::path::Path;
use std::process::{Command, Output};
use tickforge::config::Config;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The program, with nothing of this environment.
fn tickforge(arguments: &[&str], dir: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tickforge"));
    command.args(arguments).env_clear().current_dir(dir);
    command.output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[test]
fn the_documented_file_is_valid_with_the_names_of_this_program() {
    let path = Path::new(ROOT).join("config/tickforge.toml");
    let config = Config::load(&path).expect("valid");
    assert!(config.exchanges.contains_key("binance"));
}

#[test]
fn a_missing_file_is_told_with_a_remedy() {
    let error = Config::load(Path::new("no/such.toml"))
        .expect_err("missing")
        .to_string();
    assert!(
        error.starts_with("no/such.toml: cannot be read: No such file"),
        "{error}"
    );
    assert!(
        error.ends_with("; config/tickforge.toml shows every key"),
        "{error}"
    );
}

#[test]
fn a_file_that_is_no_configuration_is_told_apart() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("x.toml");
    let refused = |bytes: &[u8]| {
        std::fs::write(&file, bytes).expect("written");
        let error = Config::load(&file).expect_err("refused").to_string();
        assert!(error.starts_with(&file.display().to_string()), "{error}");
        error
    };
    let large = "#\n".repeat(1 << 19);
    std::fs::write(&file, &large).expect("written");
    assert_eq!(Config::load(&file), Ok(Config::embedded()), "all of 1 MiB");
    let larger = refused(format!("{large}#").as_bytes());
    assert!(
        larger.contains("larger than 1 MiB, so it is no configuration"),
        "{larger}"
    );
    let binary = refused(&[0x28, 0xb5, 0x2f, 0xfd]);
    assert!(binary.contains("not text in UTF-8"), "{binary}");
}

#[test]
fn check_needs_no_environment_and_leaves_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("x.toml");
    std::fs::write(&file, "[exchanges.binance]\nsymbols = [\"BTC/USDT\"]\n").expect("written");
    let output = tickforge(&["check", "--config", "x.toml", "--json"], dir.path());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(json["config"], "ok");
    assert_eq!(std::fs::read_dir(dir.path()).expect("there").count(), 1);
}

#[test]
fn check_tells_of_each_wrong_key_and_fails() {
    let dir = tempfile::tempdir().expect("a folder");
    let wrong = "[exchanges.binance]\nsybols = [\"BTC/USDT\"]\n[journal]\nsnyc = \"1s\"\n";
    std::fs::write(dir.path().join("x.toml"), wrong).expect("written");
    let output = tickforge(&["check", "--config", "x.toml"], dir.path());
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stdout) + &text(&output.stderr);
    for line in [
        "x.toml:2: [exchanges.binance] unknown key \"sybols\"; did you mean \"symbols\"?",
        "x.toml:4: [journal] unknown key \"snyc\"; did you mean \"sync\"?",
    ] {
        assert!(
            said.lines().any(|l| l.ends_with(line)),
            "{line} is not in\n{said}"
        );
    }
}

#[test]
fn every_strategy_is_in_order() {
    let output = tickforge(&["strategies", "--check", "--json"], Path::new(ROOT));
    assert!(output.status.success(), "{}", text(&output.stdout));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    for strategy in json.as_array().expect("an array") {
        assert_eq!(strategy["status"], "ok", "{strategy}");
    }
}
