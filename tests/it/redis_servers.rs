//! Redis as a test meets it: a database of one server, the cluster, a master with a replica that
//! Sentinel watches, by TLS. The same test runs on each.
//!
//! A cluster has one database, and tests that use it follow one another: who has it, has it empty.

use crate::redis::config;
use crate::servers::{self, OwnRedis};
use redis::aio::MultiplexedConnection;
use redis::{RedisResult, cmd};
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};
use tickforge::config::{RedisConfig, RedisServers, Secret};
use tickforge::keyspace::Connection;
use tokio::sync::{Mutex, MutexGuard};

/// Runs `test` on an empty database of the server and on the empty cluster, where they are there.
pub async fn each(number: u8, test: impl AsyncFn(RedisConfig, Connection)) {
    if let Some((config, look)) = server(number).await {
        test(config, look).await;
    }
    if let Some((config, look, _turn)) = cluster().await {
        test(config, look).await;
    }
}

/// An empty database of the server, and a connection to look into it. `None` where there is no
/// server.
pub async fn server(number: u8) -> Option<(RedisConfig, Connection)> {
    let config = config(format!("{}/{number}", servers::redis_url()?));
    let look = emptied(&config).await;
    Some((config, look))
}

/// The cluster, empty, and a connection to look into it, for as long as the guard is kept.
pub async fn cluster() -> Option<(RedisConfig, Connection, MutexGuard<'static, ()>)> {
    static TURN: Mutex<()> = Mutex::const_new(());
    let urls = servers::cluster_urls()?;
    let turn = TURN.lock().await;
    let config = RedisConfig {
        servers: RedisServers::Cluster(urls.into_iter().map(Secret).collect()),
        ..config(String::new())
    };
    let look = emptied(&config).await;
    Some((config, look, turn))
}

async fn emptied(config: &RedisConfig) -> Connection {
    let patient = RedisConfig {
        timeout: Duration::from_secs(10),
        ..config.clone()
    };
    let mut look = Connection::open(&patient).await.expect("a connection");
    let flush = cmd("FLUSHDB");
    flush
        .exec_async(&mut look)
        .await
        .expect("an empty database");
    look
}

/// A master, its replica, and the sentinel that watches them.
pub struct Watched {
    pub master: OwnRedis,
    _replica: OwnRedis,
    pub sentinel: OwnRedis,
    pub config: RedisConfig,
}

/// `None` says what is skipped: Redis is not installed.
pub async fn watched() -> Option<Watched> {
    let quick = ["--repl-diskless-sync-delay", "0"];
    let master = servers::own_redis_with(&quick)?;
    let of = format!("127.0.0.1 {}", master.port());
    let [option, value] = quick;
    let replica = servers::own_redis_with(&["--replicaof", &of, option, value])?;
    let dir = tempfile::tempdir().expect("a folder");
    // Sentinel writes what it learns into its file.
    let file = dir.keep().join("sentinel.conf");
    let name = "mymaster";
    let text = format!(
        "sentinel monitor {name} {of} 1\nsentinel down-after-milliseconds {name} 400\n\
         sentinel failover-timeout {name} 2000\n"
    );
    std::fs::write(&file, text).expect("written");
    let path = file.display().to_string();
    let sentinel = servers::own_redis_with(&[&path, "--sentinel"])?;
    let config = RedisConfig {
        servers: RedisServers::Sentinel {
            sentinels: vec![Secret(sentinel.url())],
            url: Secret(format!("redis://{name}")),
        },
        ..config(String::new())
    };
    let watched = Watched {
        master,
        _replica: replica,
        sentinel,
        config,
    };
    watched
        .sentinel_says("SENTINEL REPLICAS", "role-reported:slave")
        .await;
    watched.replicated().await;
    Some(watched)
}

impl Watched {
    /// What was written until now is on the replica, too.
    pub async fn replicated(&self) {
        let mut master = look(&self.master).await;
        assert!(
            has_replica(&mut master).await,
            "the replica does not follow"
        );
    }

    /// From here on the replica gets nothing more, and cannot catch up.
    pub async fn part(&self) {
        let mut master = look(&self.master).await;
        let mut forbid = cmd("ACL");
        forbid
            .arg("SETUSER")
            .arg("default")
            .arg("-psync")
            .arg("-sync");
        forbid.exec_async(&mut master).await.expect("forbidden");
        let mut kill = cmd("CLIENT");
        kill.arg("KILL").arg("TYPE").arg("replica");
        kill.exec_async(&mut master).await.expect("parted");
    }

    /// The master is gone, as in a crash; returns when the replica has its place.
    pub async fn fail_over(&mut self) {
        self.master.stop();
        let deadline = Instant::now() + Duration::from_secs(20);
        // For a moment after it has switched, Sentinel does not know the new master well.
        let mut in_a_row = 0;
        while in_a_row < 20 {
            match Connection::open(&self.config).await {
                Ok(_) => in_a_row += 1,
                Err(reason) => {
                    assert!(Instant::now() < deadline, "{reason}");
                    in_a_row = 0;
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn sentinel_says(&self, command: &str, expected: &str) {
        let mut sentinel = look(&self.sentinel).await;
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let (name, rest) = command.split_once(' ').expect("two words");
            let mut ask = cmd(name);
            let answer: redis::Value = ask
                .arg(rest)
                .arg("mymaster")
                .query_async(&mut sentinel)
                .await
                .expect("an answer");
            let words: Vec<String> = flat(answer);
            if words.join(":").contains(expected) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{command}: {words:?}, not {expected}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Whether this is a master with a replica that has all it has; waits for that.
pub async fn has_replica(server: &mut MultiplexedConnection) -> bool {
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        // WAIT is for what this connection saw last.
        cmd("PING").exec_async(server).await.expect("PONG");
        let mut wait = cmd("WAIT");
        let waited: RedisResult<u32> = wait.arg(1).arg(200).query_async(server).await;
        match waited {
            Ok(1) => return true,
            Ok(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(_) => return false, // It is a replica itself.
        }
    }
    false
}

/// All texts in an answer, however nested.
fn flat(answer: redis::Value) -> Vec<String> {
    match answer {
        redis::Value::Array(parts) => parts.into_iter().flat_map(flat).collect(),
        redis::Value::Map(parts) => {
            let parts = parts.into_iter().flat_map(|(key, value)| [key, value]);
            parts.flat_map(flat).collect()
        }
        other => redis::from_redis_value(other).into_iter().collect(),
    }
}

async fn look(server: &OwnRedis) -> MultiplexedConnection {
    look_at(server.url()).await
}

pub async fn look_at(url: String) -> MultiplexedConnection {
    let client = redis::Client::open(url).expect("a URL");
    client
        .get_multiplexed_async_connection()
        .await
        .expect("a connection")
}

/// By TLS, with a certificate that the system trusts, and not without one.
#[test]
fn a_server_is_reached_by_tls_if_it_is_trusted() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = |name: &str| dir.path().join(name).display().to_string();
    let (key, certificate) = (file("key.pem"), file("certificate.pem"));
    let made = Command::new("openssl")
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        ])
        .args([
            "-subj",
            "/CN=tickforge",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
        ])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", &key, "-out", &certificate])
        .output();
    if !made.is_ok_and(|made| made.status.success()) {
        eprintln!("skipped: openssl made no certificate");
        return;
    }
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("an address").port().to_string();
    drop(free);
    let options = [
        "--tls-port",
        &port,
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
    ];
    let options = [&options[..], &["--tls-auth-clients", "no"]].concat();
    let Some(_redis) = crate::servers::own_redis_with(&options) else {
        return;
    };
    let config = file("tickforge.toml");
    let text = format!("[stores.redis]\nurl = \"rediss://127.0.0.1:{port}\"");
    std::fs::write(&config, text).expect("written");
    let check = |trusted: &str| {
        let out = Command::new(env!("CARGO_BIN_EXE_tickforge"))
            .args([
                "check",
                "--config",
                &config,
                "--json",
                "--data-dir",
                &file("data"),
            ])
            .env("SSL_CERT_FILE", trusted)
            .output()
            .expect("the binary starts");
        String::from_utf8(out.stdout).expect("text")
    };
    let answer = check(&certificate);
    assert!(answer.contains("\"redis\":\"ok\""), "{answer}");
    let none = file("none.pem");
    std::fs::write(&none, "").expect("written");
    let answer = check(&none).to_lowercase();
    assert!(answer.contains("certificate"), "{answer}");
}
