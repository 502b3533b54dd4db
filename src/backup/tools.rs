//! pg_dump and pg_restore: where they are, in which version, and what they said. A password goes to
//! them by their environment, never by a command line. They run on a thread that may block.

use anyhow::{Context, bail, ensure};
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Debian keeps the releases side by side here.
const RELEASES: &str = "/usr/lib/postgresql";
/// Of what such a program says, the end is what counts.
const LAST_LINES: usize = 5;
/// What would lead libpq elsewhere than to the server that we speak to.
const FOREIGN: [&str; 5] = [
    "PGHOSTADDR",
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGOPTIONS",
    "PGTZ",
];

/// The client programs that fit a server.
#[derive(Clone, Debug)]
pub struct Tools {
    pg_dump: PathBuf,
    pg_restore: PathBuf,
    environment: Vec<(&'static str, String)>,
}

impl Tools {
    /// For a server of this major version: the same release's, or the next newer one's that is
    /// here. `environment` names the server.
    pub fn find(major: u32, environment: Vec<(&'static str, String)>) -> anyhow::Result<Tools> {
        let mut found: Vec<(u32, PathBuf)> = folders()
            .into_iter()
            .filter_map(|folder| Some((version(&folder.join("pg_dump"))?, folder)))
            .filter(|(version, folder)| *version >= major && folder.join("pg_restore").exists())
            .collect();
        found.sort_by_key(|(version, _)| *version);
        let Some((_, folder)) = found.into_iter().next() else {
            bail!(
                "no pg_dump and pg_restore for PostgreSQL {major}, neither in {RELEASES} nor in \
                 PATH; apt-get install postgresql-client-{major}"
            );
        };
        Ok(Tools {
            pg_dump: folder.join("pg_dump"),
            pg_restore: folder.join("pg_restore"),
            environment,
        })
    }

    pub async fn dump(&self, arguments: Vec<String>) -> anyhow::Result<()> {
        self.run(&self.pg_dump, arguments, String::new())
            .await
            .map(|_| ())
    }

    /// All of `dump` but for privileges on tables to come: those are of the role that owned the
    /// tables, which need not exist where it is restored.
    pub async fn restore(&self, dump: &Path, mut arguments: Vec<String>) -> anyhow::Result<()> {
        let wanted: String = self
            .list(dump)
            .await?
            .lines()
            .filter(|line| !line.contains(" DEFAULT ACL "))
            .flat_map(|line| [line, "\n"])
            .collect();
        arguments.insert(0, "--use-list=/dev/stdin".to_owned());
        self.run(&self.pg_restore, arguments, wanted)
            .await
            .map(|_| ())
    }

    /// Reads a dump's table of contents and then all of its data, and uses neither.
    pub async fn read_through(&self, dump: &Path) -> anyhow::Result<()> {
        let path = dump.display().to_string();
        let list = self.list(dump).await?;
        let entries = list
            .lines()
            .filter(|l| !l.starts_with(';') && !l.trim().is_empty());
        ensure!(entries.count() > 0, "{path}: a dump of nothing");
        let all = vec!["--file=/dev/null".to_owned(), path.clone()];
        let read = self.run(&self.pg_restore, all, String::new()).await;
        read.with_context(|| format!("{path}: damaged")).map(|_| ())
    }

    /// A dump's table of contents.
    async fn list(&self, dump: &Path) -> anyhow::Result<String> {
        let path = dump.display().to_string();
        let list = vec!["--list".to_owned(), path.clone()];
        let list = self.run(&self.pg_restore, list, String::new()).await;
        list.with_context(|| format!("{path}: damaged, or no dump"))
    }

    /// What the program printed, having read `input`.
    async fn run(
        &self,
        program: &Path,
        arguments: Vec<String>,
        input: String,
    ) -> anyhow::Result<String> {
        let mut command = Command::new(program);
        command.args(&arguments).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        for name in FOREIGN {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.envs([
            ("LC_ALL", "C"),
            ("PGCONNECT_TIMEOUT", "10"),
            ("PGAPPNAME", "tickforge"),
        ]);
        let name = program.display().to_string();
        let work = move || {
            let mut child = command.spawn()?;
            if let Some(mut stdin) = child.stdin.take() {
                // One that ends before it has read this says why itself.
                let _ = stdin.write_all(input.as_bytes());
            }
            child.wait_with_output()
        };
        let ended = tokio::task::spawn_blocking(work).await?;
        let output = ended.with_context(|| format!("{name} cannot be started"))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = said.lines().collect();
        let last = lines[lines.len().saturating_sub(LAST_LINES)..].join(" | ");
        bail!("{name}: {}: {last}", output.status)
    }
}

/// Where such programs may be: each release's own folder, then those of PATH.
fn folders() -> Vec<PathBuf> {
    let releases = std::fs::read_dir(RELEASES).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = releases.map(|entry| entry.path().join("bin")).collect();
    let path = std::env::var_os("PATH").unwrap_or_default();
    folders.extend(std::env::split_paths(&path));
    folders
}

/// Its major version: 15 of `pg_dump (PostgreSQL) 15.14 (Debian …)`.
fn version(program: &Path) -> Option<u32> {
    let output = Command::new(program)
        .arg(OsStr::new("--version"))
        .output()
        .ok()?;
    major(&String::from_utf8_lossy(&output.stdout))
}

fn major(said: &str) -> Option<u32> {
    let number = said.split_once("(PostgreSQL) ")?.1;
    let digits = number.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_what_the_program_says() {
        for (said, expected) in [
            (
                "pg_dump (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n",
                Some(15),
            ),
            ("pg_dump (PostgreSQL) 18beta1", Some(18)),
            ("something else", None),
        ] {
            assert_eq!(major(said), expected, "{said}");
        }
    }

    #[test]
    fn what_is_missing_is_said_with_how_to_get_it() {
        let error = Tools::find(999, Vec::new()).expect_err("no such release");
        assert!(
            error.to_string().contains("postgresql-client-999"),
            "{error}"
        );
    }
}
