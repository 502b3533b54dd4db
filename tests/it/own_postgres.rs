//! A PostgreSQL cluster of a test's own: with no roles yet, a log that may be read, settings that
//! would be in the way of others. Gone, with its data, when dropped.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub struct OwnPostgres {
    port: u16,
    dir: tempfile::TempDir,
    child: Child,
}

/// `initdb`, `pg_dump` and the like of the newest release that is installed.
pub fn program(name: &str) -> Option<PathBuf> {
    let releases = fs::read_dir("/usr/lib/postgresql").ok()?;
    let programs = releases.map(|release| release.unwrap().path().join("bin").join(name));
    programs.filter(|path| path.exists()).max()
}

/// `None` says what is skipped: PostgreSQL is not installed here.
pub fn start(settings: &[(&str, &str)]) -> Option<OwnPostgres> {
    let (Some(initdb), Some(postgres)) = (program("initdb"), program("postgres")) else {
        eprintln!("skipped: PostgreSQL is not installed; tests/run installs it");
        return None;
    };
    let dir = tempfile::tempdir().unwrap();
    // The server refuses to run as root.
    let user = user();
    if let Some((uid, gid)) = user {
        chown(dir.path(), Some(uid), Some(gid)).unwrap();
    }
    let data = dir.path().join("data");
    let options = [
        "-U",
        "postgres",
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--locale=C.UTF-8",
        "--no-sync",
    ];
    let mut init = as_user(&initdb, user, dir.path());
    let made = init
        .arg("-D")
        .arg(&data)
        .args(options)
        .stdout(Stdio::null());
    assert!(made.status().unwrap().success(), "initdb");
    // A port may be taken between looking and binding: then another one is tried.
    for _ in 0..5 {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut server = as_user(&postgres, user, dir.path());
        server.arg("-D").arg(&data).arg("-p").arg(port.to_string());
        let fixed = [
            ("listen_addresses", "127.0.0.1"),
            ("unix_socket_directories", ""),
            ("fsync", "off"),
        ];
        for (key, value) in fixed.iter().chain(settings) {
            server.arg("-c").arg(format!("{key}={value}"));
        }
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let mut child = server.stderr(log).stdout(Stdio::null()).spawn().unwrap();
        if is_up(&mut child, port) {
            return Some(OwnPostgres { port, dir, child });
        }
    }
    let log = fs::read_to_string(dir.path().join("log")).unwrap();
    panic!("PostgreSQL did not start on five ports: {log}");
}

impl OwnPostgres {
    pub fn url(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/{database}", self.port)
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.path().join("log")).unwrap()).into_owned()
    }

    /// Where the server keeps tables, write-ahead log and all.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }
}

impl Drop for OwnPostgres {
    fn drop(&mut self) {
        // By SIGQUIT the server ends its own processes; an error says that it has ended before.
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args(["-QUIT", &pid]).status();
        self.child.wait().expect("our own child");
    }
}

fn is_up(child: &mut Child, port: u16) -> bool {
    let ready = program("pg_isready").expect("it comes with the server");
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline && child.try_wait().unwrap().is_none() {
        let mut ready = Command::new(&ready);
        ready.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]);
        if ready.status().unwrap().success() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill(); // it is of no use either way
    child.wait().expect("our own child");
    false
}

fn as_user(program: &Path, user: Option<(u32, u32)>, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(dir).stdin(Stdio::null());
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    command
}

/// Whom root runs it as.
fn user() -> Option<(u32, u32)> {
    let is_root = fs::metadata("/proc/self").unwrap();
    if std::os::unix::fs::MetadataExt::uid(&is_root) != 0 {
        return None;
    }
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let of = |name: &str| {
        let line = passwd.lines().find(|l| l.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2).map(|field| field.parse().unwrap());
        Some((fields.next()?, fields.next()?))
    };
    of("postgres").or_else(|| of("nobody"))
}
