//! Which servers may a test use? Those that `tests/run` started or was told of; a test that is
//! about a Redis going away starts one of its own.
//!
//! The servers are shared by tests that run side by side: a test makes a database of its own, or
//! uses names of its own. A test that stops a shared one by [`ctl`] has `alone_` in its name:
//! `tests/run` runs it alone.
#![allow(dead_code, reason = "not every server is used by every set of tests")]

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Any database of the PostgreSQL server, for a superuser; `None` says what is skipped.
pub fn postgres_url() -> Option<String> {
    server("POSTGRES")
}

/// The Redis server; its keys are shared by all tests.
pub fn redis_url() -> Option<String> {
    server("REDIS")
}

/// Masters of the Redis Cluster, whose tests follow one another: see `redis_servers`.
pub fn cluster_urls() -> Option<Vec<String>> {
    let urls = server("CLUSTER")?;
    Some(urls.split(' ').map(str::to_owned).collect())
}

/// The InfluxDB server; its databases are shared by all tests.
pub fn influx_url() -> Option<String> {
    server("INFLUX")
}

fn server(name: &str) -> Option<String> {
    let variable = format!("TICKFORGE_TEST_{name}");
    let url = std::env::var(&variable).ok().filter(|url| !url.is_empty());
    if url.is_none() {
        eprintln!("skipped: {variable} names no server; tests/run starts one");
    }
    url
}

/// Whether tests that take minutes are wanted: `tests/run --long`.
pub fn long() -> bool {
    std::env::var_os("TICKFORGE_TEST_LONG").is_some()
}

/// A name that no other test has, of lower-case letters, digits and `_`.
pub fn unique_name() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let run = std::env::var("TICKFORGE_TEST_RUN").unwrap_or_default();
    let number = NUMBER.fetch_add(1, Relaxed);
    format!("tickforge_test_{run}_{}_{number}", std::process::id()).to_lowercase()
}

/// The URL of a new, empty database. Needs [`postgres_url`]; works inside a runtime and outside.
pub fn fresh_database() -> String {
    let base = postgres_url().expect("a PostgreSQL server, asked for by postgres_url() before");
    let name = unique_name();
    let url = with_database(&base, &name);
    let create = async move {
        let mut connection = PgConnection::connect(&base).await.expect("connected");
        let sql = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        connection.execute(sql).await.expect("a new database");
        connection.close().await.expect("closed");
    };
    // A thread of its own: a runtime cannot be entered from within another one.
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(create);
    });
    thread.join().expect("a new database");
    url
}

/// `postgres://user@host:1/old?x=y` with another database's name.
fn with_database(url: &str, name: &str) -> String {
    let (address, options) = url.split_once('?').map_or((url, ""), |(a, o)| (a, o));
    let authority = address.find("://").map_or(0, |i| i + 3);
    let end = address[authority..]
        .find('/')
        .map_or(address.len(), |i| authority + i);
    let mark = if options.is_empty() { "" } else { "?" };
    format!("{}/{name}{mark}{options}", &address[..end])
}

/// Runs `start` or `stop` of a shared server (`POSTGRES`, `REDIS`, `INFLUX`): the same port before
/// and after; Redis comes back empty. `false` says what is skipped: the server is not ours to stop.
pub fn ctl(server: &str, action: &str) -> bool {
    let variable = format!("TICKFORGE_TEST_{server}_CTL");
    let Ok(dir) = std::env::var(&variable) else {
        eprintln!("skipped: {variable} is not set; tests/run starts a server that may be stopped");
        return false;
    };
    let status = Command::new(format!("{dir}/{action}"))
        .status()
        .expect("the program starts");
    assert!(status.success(), "{dir}/{action}: {status}");
    true
}

/// A Redis server of a test's own; `None` says what is skipped: it is not installed.
pub fn own_redis() -> Option<OwnRedis> {
    own_redis_with(&[])
}

/// With more options, as `--replicaof`, `127.0.0.1 6379`; the first one may be a file's path.
pub fn own_redis_with(options: &[&str]) -> Option<OwnRedis> {
    // A port may be taken between looking and binding: then another one is tried.
    for _ in 0..5 {
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|l| l.local_addr())
            .unwrap()
            .port();
        let dir = tempfile::tempdir().unwrap();
        let mut redis = OwnRedis {
            port,
            dir,
            options: options.iter().map(|o| (*o).to_owned()).collect(),
            child: None,
        };
        match redis.try_start() {
            Ok(true) => return Some(redis),
            Ok(false) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                eprintln!("skipped: redis-server is not installed; tests/run installs it");
                return None;
            }
            Err(error) => panic!("redis-server: {error}"),
        }
    }
    panic!("redis-server did not start on five ports");
}

/// Gone, with its data, when dropped.
pub struct OwnRedis {
    port: u16,
    dir: tempfile::TempDir,
    options: Vec<String>,
    child: Option<Child>,
}

impl OwnRedis {
    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// As a crash: nothing is saved, connections break.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // An error only says that it has ended before.
            let _ = child.kill();
            child.wait().expect("our own child");
        }
    }

    /// On the same port, and empty.
    pub fn start(&mut self) {
        assert!(
            self.try_start().expect("redis-server"),
            "redis-server ended at once"
        );
    }

    /// Whether it answers; `false` where it ended, as when its port is taken.
    fn try_start(&mut self) -> std::io::Result<bool> {
        self.stop();
        let port = self.port.to_string();
        let mut command = Command::new("redis-server");
        command
            .args(&self.options)
            .args(["--port", &port, "--bind", "127.0.0.1"]);
        if !self.options.iter().any(|option| option == "--sentinel") {
            command.args(["--save", "", "--appendonly", "no"]);
        }
        command.arg("--dir").arg(self.dir.path());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.child = Some(command.spawn()?);
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            let ended = self
                .child
                .as_mut()
                .is_none_or(|c| !matches!(c.try_wait(), Ok(None)));
            if ended {
                return Ok(false);
            }
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return Ok(true);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(false)
    }
}

impl Drop for OwnRedis {
    fn drop(&mut self) {
        self.stop();
    }
}

#[test]
fn a_fresh_database_is_empty_and_its_own() {
    for (url, expected) in [
        ("postgres://u@h:1/old", "postgres://u@h:1/new"),
        (
            "postgres://u@h:1/old?sslmode=disable",
            "postgres://u@h:1/new?sslmode=disable",
        ),
        ("postgres://u@h:1", "postgres://u@h:1/new"),
    ] {
        assert_eq!(with_database(url, "new"), expected);
    }
    if postgres_url().is_some() {
        assert_ne!(fresh_database(), fresh_database());
    }
}

#[test]
fn an_own_redis_comes_and_goes_on_its_port() {
    let Some(mut redis) = own_redis() else { return };
    let port = redis.port;
    let answers = || TcpStream::connect(("127.0.0.1", port)).is_ok();
    assert!(answers());
    redis.stop();
    assert!(!answers());
    redis.start();
    assert!(answers());
    drop(redis);
    assert!(!answers());
}

#[test]
fn alone_each_shared_server_stops_and_starts() {
    for server in ["POSTGRES", "REDIS", "INFLUX"] {
        let Some(url) = self::server(server) else {
            continue;
        };
        let Some((_, address)) = url.rsplit_once('@').or_else(|| url.split_once("://")) else {
            panic!("no address in the URL of {server}");
        };
        let address = address.split('/').next().unwrap();
        if !ctl(server, "stop") {
            continue;
        }
        assert!(
            TcpStream::connect(address).is_err(),
            "{server} still answers"
        );
        assert!(ctl(server, "stop"), "stopping twice is no error");
        ctl(server, "start");
        assert!(
            TcpStream::connect(address).is_ok(),
            "{server} does not answer"
        );
        assert!(ctl(server, "start"), "starting twice is no error");
    }
}
