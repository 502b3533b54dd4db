//! `tickforge db backup`: a dump of the whole database, proven good before it gets its name, and
//! what is older than `[backup] keep` goes.
//!
//! pg_dump reads the same snapshot that the manifest's rows were counted in, so that a restored
//! database can be compared with it, however busy the database was.

use super::{Report, Session, Target, print};
use crate::backup::content::{contents, prepare};
use crate::backup::folder::{Folder, Unfinished};
use crate::backup::tools::Tools;
use crate::backup::{Manifest, sha256, verify};
use crate::clock;
use crate::commands::table;
use crate::config::Config;
use anyhow::{Context, bail};
use serde::Serialize;
use sqlx::Executor;
use std::io::{self, Write};
use std::path::Path;
use std::time::Instant;

/// The role of the migrations that sees every row; a member of it dumps as it.
const ROLE: &str = "trading_bot_backup";
/// pg_dump does not wait longer than this for a table that a migration has locked.
const LOCK_WAIT_MS: &str = "600000";

#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Serialize)]
struct Done {
    path: String,
    #[serde(flatten)]
    manifest: Manifest,
    rows: i64,
    /// Names of those that were too old.
    removed: Vec<String>,
    seconds: f64,
}

pub async fn run(args: Args, config: &Config, json: bool) -> anyhow::Result<bool> {
    let begun = Instant::now();
    let folder = Folder::open(&config.backups())?;
    let server = args.target.server(config, config.backup.login.as_ref())?;
    let session = Session::open(server).await?;
    let now_ns = clock::now_ns();
    let (path, manifest) = backup(session, folder.begin(now_ns)?, now_ns).await?;
    let done = Done {
        path: path.display().to_string(),
        rows: manifest.tables.values().map(|table| table.rows).sum(),
        manifest,
        removed: folder.prune(config.backup.keep, now_ns)?,
        seconds: begun.elapsed().as_secs_f64(),
    };
    print(&done, json)?;
    Ok(true)
}

async fn backup(
    mut session: Session,
    file: Unfinished,
    now_ns: i64,
) -> anyhow::Result<(std::path::PathBuf, Manifest)> {
    let (server_version, major) = version(&mut session).await?;
    let tools = Tools::find(major, session.server.environment())?;
    let role = become_reader(&mut session).await?;
    let prepared = prepare(&mut session.connection).await;
    session.ok(prepared)?;
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    let begun = session.connection.execute(begin).await;
    session.ok(begun)?;
    let of_this = "SELECT pg_export_snapshot(), current_database()::text";
    let of_this = sqlx::query_as(of_this)
        .fetch_one(&mut session.connection)
        .await;
    let (snapshot, database): (String, String) = session.ok(of_this)?;
    let tables = contents(&mut session.connection).await;
    let tables = session.ok(tables)?;
    // The snapshot lasts as long as the transaction that it came from.
    tools
        .dump(arguments(&file.partial, &snapshot, role))
        .await?;
    let ended = session.connection.execute("COMMIT").await;
    session.ok(ended)?;
    verify(&file.partial, &tools).await?;
    let bytes = std::fs::metadata(&file.partial)
        .with_context(|| format!("{} is gone", file.partial.display()))?
        .len();
    let name = file.final_path.file_name().unwrap_or_default();
    let manifest = Manifest {
        file: name.to_string_lossy().into_owned(),
        bytes,
        sha256: sha256(&file.partial)?,
        database,
        server_version,
        taken_at: clock::rfc3339(now_ns),
        tables,
    };
    let path = file.finish(&manifest)?;
    Ok((path, manifest))
}

fn arguments(partial: &Path, snapshot: &str, role: Option<&str>) -> Vec<String> {
    let mut arguments = vec![
        "--format=custom".to_owned(),
        "--compress=9".to_owned(),
        "--no-password".to_owned(),
        format!("--lock-wait-timeout={LOCK_WAIT_MS}"),
        format!("--snapshot={snapshot}"),
        format!("--file={}", partial.display()),
    ];
    arguments.extend(role.map(|role| format!("--role={role}")));
    arguments
}

/// The server's version as text, and its major number.
pub async fn version(session: &mut Session) -> anyhow::Result<(String, u32)> {
    let sql = "SELECT current_setting('server_version'), \
               current_setting('server_version_num')::int / 10000";
    let answer = sqlx::query_as(sql).fetch_one(&mut session.connection).await;
    let (text, major): (String, i32) = session.ok(answer)?;
    Ok((text, major.unsigned_abs()))
}

/// Sees to it that row level security hides nothing: as the role that connects, or as the role of
/// the migrations that is made for this, which then is the answer.
pub async fn become_reader(session: &mut Session) -> anyhow::Result<Option<&'static str>> {
    let sql = "SELECT rolsuper OR rolbypassrls,
            EXISTS (SELECT FROM pg_roles b
                WHERE b.rolname = $1 AND pg_has_role(current_user, b.oid, 'MEMBER')),
            EXISTS (SELECT FROM pg_class WHERE relrowsecurity)
        FROM pg_roles r WHERE r.rolname = current_user";
    let answer = sqlx::query_as(sql)
        .bind(ROLE)
        .fetch_one(&mut session.connection)
        .await;
    let (sees_all, member, rules): (bool, bool, bool) = session.ok(answer)?;
    if sees_all || !rules && !member {
        return Ok(None);
    }
    if !member {
        bail!(
            "{}: this role does not see every row, so that a backup would lack some; GRANT {ROLE} \
             to it, or name another one in [backup] url",
            session.server.place
        );
    }
    let set = session
        .connection
        .execute("SET ROLE trading_bot_backup")
        .await;
    session.ok(set)?;
    Ok(Some(ROLE))
}

impl Report for Done {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let (tables, size) = (
            self.manifest.tables.len(),
            table::bytes(self.manifest.bytes as i64),
        );
        let Done {
            path,
            rows,
            seconds,
            ..
        } = self;
        writeln!(
            out,
            "{path}: {rows} rows of {tables} tables in {size}, {seconds:.1} s"
        )?;
        writeln!(
            out,
            "read through by pg_restore; SHA-256 {}",
            self.manifest.sha256
        )?;
        for name in &self.removed {
            writeln!(out, "removed {name}, which was too old")?;
        }
        Ok(())
    }
}
