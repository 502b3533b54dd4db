//! What ships beside the program: unit, alert rules, dashboard, package and the operator's page,
//! each held against the program and by the tools that will read it.

use crate::daemon::{Exchange, Process};
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn shipped(path: &str) -> String {
    let path = Path::new(ROOT).join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Runs a tool; `None` says that it is not here.
fn tool(program: &Path, arguments: &[&str], dir: &Path) -> Option<Output> {
    let run = Command::new(program)
        .args(arguments)
        .current_dir(dir)
        .output();
    if run.is_err() {
        eprintln!("skipped: no {}; tests/run gets it", program.display());
    }
    run.ok()
}

fn text(output: &Output) -> String {
    let both = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8_lossy(&both).into_owned()
}

/// What the timers start.
const SERVICES: [&str; 2] = ["tickforge-backup", "tickforge-archive"];

/// systemd's own measure of what the unit may do, from 0 to 10.
fn exposure(unit: &str) -> Option<f64> {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("tickforge.service"), unit).expect("written");
    let flags = [
        "security",
        "--offline=true",
        "--no-pager",
        "./tickforge.service",
    ];
    let output = tool(Path::new("systemd-analyze"), &flags, dir.path())?;
    let text = text(&output);
    let line = text.lines().find(|l| l.contains("Overall exposure level"));
    let line = line.unwrap_or_else(|| panic!("{text}"));
    let figure = line
        .rsplit(": ")
        .next()
        .and_then(|rest| rest.split(' ').next());
    Some(
        figure
            .and_then(|n| n.parse().ok())
            .unwrap_or_else(|| panic!("{line}")),
    )
}

#[test]
fn the_units_may_do_little_with_pinned_cores_too() {
    let unit = shipped("systemd/tickforge.service");
    let pinned = format!("{unit}\n{}", shipped("systemd/pinning.conf"));
    let services = SERVICES.map(|name| shipped(&format!("systemd/{name}.service")));
    for unit in [unit, pinned].iter().chain(&services) {
        if let Some(figure) = exposure(unit) {
            assert!(figure <= 1.3, "{figure}");
        }
    }
}

/// Puts a unit into `dir`, with the program that is here.
fn install(dir: &Path, name: &str, text: &str) {
    let here = text.replace("/usr/bin/tickforge", env!("CARGO_BIN_EXE_tickforge"));
    // What needs a system around it is not the unit's fault.
    let here = here
        .replace("After=network-online.target", "#")
        .replace("Wants=", "#");
    fs::write(dir.join(name), here).expect("written");
}

#[test]
fn systemd_understands_every_line_of_the_units() {
    let dir = tempfile::tempdir().expect("a folder");
    let unit = shipped("systemd/tickforge.service") + &shipped("systemd/pinning.conf");
    install(dir.path(), "tickforge.service", &unit);
    let mut units = vec!["./tickforge.service".to_owned()];
    for kind in SERVICES
        .iter()
        .flat_map(|name| [(name, "service"), (name, "timer")])
    {
        let name = format!("{}.{}", kind.0, kind.1);
        install(dir.path(), &name, &shipped(&format!("systemd/{name}")));
        units.push(format!("./{name}"));
    }
    let flags = ["verify", "--man=no"].into_iter();
    let flags: Vec<&str> = flags.chain(units.iter().map(String::as_str)).collect();
    let Some(output) = tool(Path::new("systemd-analyze"), &flags, dir.path()) else {
        return;
    };
    let said = text(&output);
    let of_ours = said.lines().filter(|line| line.contains("tickforge"));
    assert_eq!(of_ours.count(), 0, "{said}");
}

/// Each timer starts a command that the program has, by the service of its name.
#[test]
fn timers_start_commands_that_exist() {
    for name in SERVICES {
        let service = shipped(&format!("systemd/{name}.service"));
        let line = service
            .lines()
            .find_map(|l| l.strip_prefix("ExecStart=/usr/bin/tickforge "));
        let words: Vec<&str> = line
            .expect("a command")
            .split(" --config")
            .next()
            .unwrap()
            .split(' ')
            .collect();
        let help = Command::new(env!("CARGO_BIN_EXE_tickforge"))
            .args(&words)
            .arg("--help")
            .output();
        assert!(help.expect("it starts").status.success(), "{words:?}");
        let timer = shipped(&format!("systemd/{name}.timer"));
        assert!(
            timer.contains("Persistent=true") && !timer.contains("Unit="),
            "{timer}"
        );
    }
}

fn promtool(arguments: &[&str]) {
    let program = std::env::var_os("TICKFORGE_TEST_PROMTOOL");
    let program = program.map_or_else(|| PathBuf::from("promtool"), PathBuf::from);
    let dir = Path::new(ROOT).join("systemd/prometheus");
    if let Some(output) = tool(&program, arguments, &dir) {
        assert!(output.status.success(), "{}", text(&output));
    }
}

#[test]
fn prometheus_takes_the_rules() {
    promtool(&["check", "rules", "tickforge.rules.yml"]);
}

#[test]
fn alarms_come_when_they_should_and_only_then() {
    promtool(&["test", "rules", "tickforge.rules.test.yml"]);
}

/// Names of the alarms, each with its part of the file.
fn alarms(rules: &str) -> Vec<(&str, &str)> {
    let parts = rules.split("- alert: ").skip(1);
    parts
        .map(|part| (part.lines().next().unwrap_or_default().trim(), part))
        .collect()
}

#[test]
fn every_alarm_says_what_to_do_is_tested_and_is_on_the_operators_page() {
    let rules = shipped("systemd/prometheus/tickforge.rules.yml");
    let tested = shipped("systemd/prometheus/tickforge.rules.test.yml");
    let page = shipped("systemd/OPERATORS.md");
    let alarms = alarms(&rules);
    assert!(alarms.len() > 20, "only {} alarms", alarms.len());
    for (name, part) in alarms {
        for key in ["severity: ", "summary: ", "runbook: "] {
            assert!(part.contains(key), "{name}: no {key}");
        }
        assert!(
            tested.contains(&format!("alertname: {name}\n")),
            "{name}: no test"
        );
        assert!(
            page.contains(&format!("`{name}`")),
            "{name}: not in systemd/OPERATORS.md"
        );
    }
}

/// Words that begin with `tickforge_`, as metrics do.
fn names(text: &str) -> BTreeSet<String> {
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c: char| !inner(c));
    words
        .filter(|w| w.starts_with("tickforge_"))
        .map(str::to_owned)
        .collect()
}

/// The body of `GET path` once it is served.
fn get(port: u16, path: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut socket = loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(socket) => break socket,
            Err(e) => assert!(Instant::now() < deadline, "port {port}: {e}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let request = format!("GET {path} HTTP/1.0\r\nhost: x\r\n\r\n");
    socket.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("answered");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    body.to_owned()
}

/// The value of a sample, by name and labels as they are written.
fn sample(metrics: &str, name: &str) -> f64 {
    let line = metrics
        .lines()
        .find_map(|l| l.strip_prefix(name)?.strip_prefix(' '));
    let value = line.unwrap_or_else(|| panic!("no {name} in {metrics}"));
    value
        .parse()
        .unwrap_or_else(|e| panic!("{name} {value}: {e}"))
}

/// `/metrics` of a daemon that has worked for a few seconds, by itself and without servers.
fn scraped() -> String {
    let dir = tempfile::tempdir().expect("a folder");
    let exchange = Exchange::start(dir.path(), &["--rate", "500"]);
    let port = {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        free.local_addr().expect("bound").port()
    };
    let config = dir.path().join("tickforge.toml");
    let text = format!(
        "[exchanges.binance]\nsymbols = [\"*\"]\nws = {:?}\nrest = {:?}\n\
         [http]\nlisten = \"127.0.0.1:{port}\"\n[paths]\nlogs = \"logs\"\n",
        exchange.ws, exchange.rest
    );
    fs::write(&config, text).expect("written");
    let (config, data) = (config.display().to_string(), dir.path().join("data"));
    let daemon = Process::start(
        &[
            "run",
            "--config",
            &config,
            "--data-dir",
            &data.display().to_string(),
        ],
        &dir.path().join("run.log"),
    );
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let metrics = get(port, "/metrics");
        let events = sample(&metrics, "tickforge_engine_events_total");
        let passed = metrics.contains("tickforge_start_timestamp_seconds 1");
        if passed && events > 500.0 {
            logged_as_json(&data.join("logs/tickforge.log"));
            daemon.terminate();
            return metrics;
        }
        let log = fs::read_to_string(dir.path().join("run.log")).expect("a log");
        assert!(Instant::now() < deadline, "{log}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The daemon's log is in its folder, too: an object a line.
fn logged_as_json(file: &Path) {
    let text = fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let lines = text
        .lines()
        .map(|l| serde_json::from_str::<serde_json::Value>(l).expect(l));
    let said: Vec<_> = lines
        .map(|l| l["fields"]["message"].as_str().map(str::to_owned))
        .collect();
    assert!(said.contains(&Some("connected".to_owned())), "{text}");
}

#[test]
fn rules_and_dashboard_name_metrics_that_are_there_and_they_hold_together() {
    let metrics = scraped();
    let there = names(&metrics);
    for file in [
        "systemd/prometheus/tickforge.rules.yml",
        "systemd/grafana/tickforge.json",
    ] {
        let named = names(&shipped(file));
        assert!(named.len() > 15, "{file} names only {named:?}");
        let missing: Vec<_> = named.difference(&there).collect();
        assert!(missing.is_empty(), "{file} names {missing:?}");
    }
    let of = |name: &str| sample(&metrics, &format!("tickforge_{name}"));
    // Read while it counts: a frame may be between two of its counters.
    let frames =
        of("frames_decoded_total") + of("frames_control_total") + of("frames_rejected_total");
    assert!(
        (of("frames_received_total") - frames).abs() <= 1.0,
        "{metrics}"
    );
    let own = of("exchange_frames_received_total{exchange=\"binance\"}");
    assert!(
        (own - of("frames_received_total")).abs() <= 1.0,
        "{metrics}"
    );
    let wanted = of("exchange_connections_wanted{exchange=\"binance\"}");
    assert_eq!(of("exchange_connections_up{exchange=\"binance\"}"), wanted);
    // Exchange and daemon share a clock here.
    let skew = of("exchange_skew_seconds{exchange=\"binance\"}");
    assert!((-0.001..1.0).contains(&skew), "{skew}");
    assert!(of("exchange_to_recv_seconds_count{exchange=\"binance\"}") > 0.0);
    for thread in ["ingest", "engine", "journal", "stores", "parquet"] {
        assert!(
            of(&format!("thread_passes_total{{thread=\"{thread}\"}}")) > 0.0,
            "{thread}"
        );
    }
    assert_eq!(of("host_clock_steps_total"), 0.0);
    assert!(of("host_clock_offset_seconds").abs() < 0.005);
    assert_eq!(of("journal_max_bytes"), f64::from(1 << 30));
    assert!(of("resident_bytes") > 1e6);
}

#[test]
fn the_dashboard_is_json_whose_panels_all_ask_something() {
    let text = shipped("systemd/grafana/tickforge.json");
    let dashboard: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(
            ids.insert(panel["id"].as_u64().expect("an id")),
            "an id twice: {panel}"
        );
        if panel["type"] == "row" {
            continue;
        }
        let targets = panel["targets"].as_array().expect("targets");
        let asks =
            |t: &serde_json::Value| t["expr"].as_str().is_some_and(|e| e.contains("tickforge"));
        assert!(!targets.is_empty() && targets.iter().all(asks), "{panel}");
    }
    assert!(ids.len() > 15, "only {} panels", ids.len());
}

#[test]
fn the_package_holds_files_that_exist() {
    let manifest: toml::Table = toml::from_str(&shipped("Cargo.toml")).expect("TOML");
    let deb = &manifest["package"]["metadata"]["deb"];
    let assets = deb["assets"].as_array().expect("assets");
    let mut targets = BTreeSet::new();
    for asset in assets {
        let part = |i: usize| asset[i].as_str().expect("text");
        let source = part(0);
        let there = source.starts_with("target/") || Path::new(ROOT).join(source).is_file();
        assert!(there, "{source} is not there");
        targets.insert(format!("/{}", part(1)));
    }
    for file in deb["conf-files"].as_array().expect("conf-files") {
        assert!(targets.contains(file.as_str().expect("text")), "{file}");
    }
    let scripts = deb["maintainer-scripts"].as_str().expect("a folder");
    for script in ["postinst", "prerm", "postrm"] {
        let path = format!("{scripts}{script}");
        assert!(shipped(&path).starts_with("#!/bin/sh\n"), "{path}");
    }
}
