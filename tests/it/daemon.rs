//! A simulated exchange and a daemon as processes, and what each of them left behind.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use tickforge::metrics::ledger::Contents;

pub fn tickforge() -> Command {
    Command::new(env!("CARGO_BIN_EXE_tickforge"))
}

/// Runs a command to its end; its standard output.
pub fn output(args: &[&str]) -> String {
    let out = tickforge()
        .args(args)
        .stderr(Stdio::inherit())
        .output()
        .expect("the binary starts");
    assert!(out.status.success(), "{args:?}: {}", out.status);
    String::from_utf8(out.stdout).expect("text")
}

/// A process that is ended when dropped, so that a failing test leaves nothing.
pub struct Process {
    child: Child,
    pub stdout: BufReader<ChildStdout>,
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error only says that it has ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    pub fn start(args: &[&str], log: &Path) -> Process {
        Process::start_with(args, &[], log)
    }

    /// With these variables beside those of this process.
    pub fn start_with(args: &[&str], variables: &[(&str, &str)], log: &Path) -> Process {
        let mut command = tickforge();
        command.args(args).envs(variables.iter().copied());
        Process::of(command, log)
    }

    pub fn of(mut command: Command, log: &Path) -> Process {
        let log = std::fs::File::create(log).expect("a log file");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut child = command.spawn().expect("the binary starts");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        Process { child, stdout }
    }

    /// The next line of its standard output, as JSON.
    pub fn line(&mut self) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("a line");
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"))
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// As a crash: nothing is finished.
    pub fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("our own child");
    }

    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    pub fn signal(&self, name: &str) {
        let pid = self.id().to_string();
        let status = Command::new("kill")
            .args([name, &pid])
            .status()
            .expect("kill");
        assert!(status.success());
    }

    pub fn wait(&mut self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().expect("our own child") {
                return status.success();
            }
            assert!(Instant::now() < deadline, "it did not end within {limit:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A simulated exchange.
pub struct Exchange {
    pub process: Process,
    pub ws: String,
    pub rest: String,
}

impl Exchange {
    pub fn start(dir: &Path, flags: &[&str]) -> Exchange {
        let mut args = vec!["simulate", "--json", "--listen", "127.0.0.1:0"];
        args.extend(flags);
        let mut process = Process::start(&args, &dir.join("simulate.log"));
        let first = process.line();
        let text = |key: &str| first[key].as_str().expect("an address").to_owned();
        Exchange {
            ws: text("ws"),
            rest: text("rest"),
            process,
        }
    }
}

/// (symbol, id) of every trade that the exchange says it sent.
pub fn true_trades(truth: &Path) -> BTreeSet<(String, String)> {
    let text = std::fs::read_to_string(truth).expect("the truth");
    let rows = text
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).expect("JSON"));
    let trades = rows.filter(|r| r["ch"] == "trade");
    let text = |v: &Value| v.as_str().expect("text").to_owned();
    trades
        .map(|r| (text(&r["symbol"]), text(&r["id"])))
        .collect()
}

/// The journal's signals, by `tickforge signals`.
pub fn journalled(data_dir: &Path) -> Vec<Value> {
    let out = output(&[
        "signals",
        "--json",
        "--data-dir",
        &data_dir.display().to_string(),
    ]);
    out.lines()
        .map(|l| serde_json::from_str(l).expect("a signal"))
        .collect()
}

/// What became of them, by `tickforge signals --outcomes`.
pub fn outcomes(data_dir: &Path) -> Vec<Value> {
    let data_dir = data_dir.display().to_string();
    let out = output(&["signals", "--outcomes", "--json", "--data-dir", &data_dir]);
    let read = |l: &str| serde_json::from_str(l).expect("an outcome");
    out.lines().map(read).collect()
}

pub fn ids(signals: &[Value]) -> Vec<String> {
    signals
        .iter()
        .map(|s| s["signal_id"].as_str().expect("an id").to_owned())
        .collect()
}

pub fn u64_of(value: &Value, path: &str) -> u64 {
    let found = value.pointer(path).and_then(Value::as_u64);
    found.unwrap_or_else(|| panic!("{path} of {value}"))
}

/// The equations that every summary must satisfy.
pub fn assert_balanced(summary: &Value) {
    let get = |path: &str| u64_of(summary, path);
    let frames = get("/frames/decoded") + get("/frames/control") + get("/frames/rejected");
    assert_eq!(get("/frames/received"), frames, "frames: {summary}");
    let events = get("/event_balance/duplicate")
        + get("/event_balance/delivered")
        + get("/event_balance/dropped");
    assert_eq!(get("/event_balance/decoded"), events, "events: {summary}");
    assert_eq!(
        get("/event_balance/delivered"),
        get("/events"),
        "the engine took what was delivered"
    );
    let ticks = ["stored", "spooled", "dropped", "expired"].map(|k| get(&format!("/ticks/{k}")));
    assert_eq!(
        get("/ticks/offered"),
        ticks.iter().sum::<u64>(),
        "ticks: {summary}"
    );
    assert_settled(Path::new(summary["data_dir"].as_str().expect("a path")));
}

/// After an orderly end, every tick that was offered to a store came to an end there.
fn assert_settled(data_dir: &Path) {
    for store in ["influx", "parquet"] {
        let path = tickforge::publishers::ledger::path(data_dir, store);
        if !path.exists() {
            continue;
        }
        let ledger = Contents::read(&path, &|_| false).expect("read");
        let ledger = ledger.expect("a ledger");
        assert!(ledger.clean, "{store}: {ledger:?}");
        for row in &ledger.rows {
            assert_eq!(row.offered, row.settled, "{store}: {row:?}");
        }
    }
}

/// One query to InfluxDB: the rows of its first series, by column.
pub async fn influx_rows(url: &str, database: &str, query: &str) -> Vec<HashMap<String, Value>> {
    tickforge::commands::install_crypto();
    let client = reqwest::Client::new();
    let request = client.get(format!(
        "{url}/query?db={database}&epoch=ns&q={}",
        encode(query)
    ));
    let text = request
        .send()
        .await
        .expect("an answer")
        .text()
        .await
        .expect("text");
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    let mut rows = Vec::new();
    for series in answer["results"][0]["series"]
        .as_array()
        .unwrap_or(&Vec::new())
    {
        let columns = series["columns"].as_array().expect("columns");
        let tags: Vec<(String, Value)> = series["tags"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        for values in series["values"].as_array().expect("values") {
            let cells = columns.iter().zip(values.as_array().expect("a row"));
            let mut row: HashMap<String, Value> = cells
                .map(|(c, v)| (c.as_str().expect("a name").to_owned(), v.clone()))
                .collect();
            row.extend(tags.iter().cloned());
            rows.push(row);
        }
    }
    rows
}

fn encode(query: &str) -> String {
    let byte = |b: u8| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => (b as char).to_string(),
        _ => format!("%{b:02X}"),
    };
    query.bytes().map(byte).collect()
}

/// (symbol as `BTCUSDT`, id) → points, of every trade in InfluxDB.
pub async fn influx_trades(url: &str, database: &str) -> BTreeMap<(String, String), usize> {
    let mut found = BTreeMap::new();
    let mut offset = 0;
    loop {
        let page = 10_000; // the server's own limit of rows in an answer
        let query = format!(
            "SELECT price, symbol, id FROM realtime.market_data LIMIT {page} OFFSET {offset}"
        );
        let rows = influx_rows(url, database, &query).await;
        for row in &rows {
            let symbol = row["symbol"].as_str().expect("a symbol").replace('/', "");
            let id = row["id"].as_str().expect("an id").to_owned();
            *found.entry((symbol, id)).or_default() += 1;
        }
        if rows.len() < page {
            return found;
        }
        offset += page;
    }
}

const PATIENCE: Duration = Duration::from_secs(30);

/// The ids that a stream of Redis holds now; none where there is no stream.
pub async fn stream_ids(url: &str, stream: &str) -> BTreeSet<String> {
    let client = redis::Client::open(url).expect("a URL");
    // Its own limit of half a second is short for a whole stream on a busy machine.
    let patient = redis::AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
    let connection = client.get_multiplexed_async_connection_with_config(&patient);
    let mut connection = connection.await.expect("Redis");
    let mut range = redis::cmd("XRANGE");
    let rows: Vec<(String, HashMap<String, String>)> = range
        .arg(stream)
        .arg("-")
        .arg("+")
        .query_async(&mut connection)
        .await
        .expect("a stream");
    rows.into_iter()
        .map(|(_, mut fields)| fields.remove("signal_id").expect("an id"))
        .collect()
}

/// What `consumer.py` read of a stream.
pub fn consume(redis: &str, stream: &str) -> Value {
    let script: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "it", "consumer.py"]
        .iter()
        .collect();
    let out = Command::new("python3")
        .arg(script)
        .args([redis, stream])
        .stderr(Stdio::inherit())
        .output()
        .expect("python3");
    assert!(
        out.status.success(),
        "the consumer of {stream}: {}",
        out.status
    );
    serde_json::from_slice(&out.stdout).expect("JSON")
}
