//! `tickforge db restore FILE`: a backup into an empty database, or over the tables of this one.
//!
//! The file is verified first, all of it happens in one transaction or not at all, and afterwards
//! every table is compared with what the manifest says was saved. Roles belong to the cluster and
//! are in no dump: those of the schema are made where they are missing.

use super::backup::{become_reader, version};
use super::{Report, Session, Target, print};
use crate::backup::content::{Content, contents, differences, prepare, tables};
use crate::backup::tools::Tools;
use crate::backup::verify;
use crate::commands::table;
use crate::config::Config;
use anyhow::{Context, bail};
use serde::Serialize;
use sqlx::Executor;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Instant;

#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// The backup
    file: PathBuf,
    #[command(flatten)]
    target: Target,
    /// Replace what the database has of the same names; needs --yes
    #[arg(long, requires = "yes")]
    clean: bool,
    /// Yes, what is in the database now may be replaced
    #[arg(long, requires = "clean")]
    yes: bool,
}

#[derive(Debug, Serialize)]
struct Restored {
    file: String,
    database: String,
    tables: BTreeMap<String, Content>,
    rows: i64,
    /// Whether there was a manifest to compare with.
    compared: bool,
    /// What is not as it was saved.
    differences: Vec<String>,
    seconds: f64,
}

pub async fn run(args: Args, config: &Config, json: bool) -> anyhow::Result<bool> {
    let begun = Instant::now();
    let file = args.file.display().to_string();
    if !args.file.is_file() {
        bail!("{file}: no such file; `tickforge db status` names the newest backup");
    }
    let mut session = args.target.connect(config).await?;
    let (_, major) = version(&mut session).await?;
    let tools = Tools::find(major, session.server.environment())?;
    let manifest = verify(&args.file, &tools).await?;
    let there = tables(&mut session.connection).await;
    let there = session.ok(there)?;
    if !there.is_empty() && !args.clean {
        bail!(
            "{}: has {} tables; restore into an empty database (createdb), or replace them by \
             --clean --yes",
            session.server.place,
            there.len()
        );
    }
    make_roles(&mut session).await?;
    let name = sqlx::query_scalar("SELECT current_database()::text");
    let name = name.fetch_one(&mut session.connection).await;
    let database: String = session.ok(name)?;
    tools
        .restore(&args.file, arguments(&file, &database, args.clean))
        .await?;
    apply_rights(&mut session).await?;
    let found = read_back(&mut session).await;
    let found = found.context("all is restored, but cannot be compared with what was saved")?;
    let saved = manifest.as_ref().map(|manifest| &manifest.tables);
    let restored = Restored {
        file,
        database,
        rows: found.values().map(|table| table.rows).sum(),
        compared: saved.is_some(),
        differences: saved
            .map(|saved| differences(saved, &found))
            .unwrap_or_default(),
        tables: found,
        seconds: begun.elapsed().as_secs_f64(),
    };
    let same = restored.differences.is_empty();
    print(&restored, json)?;
    Ok(same)
}

/// Every row: as a role that row level security does not hold, or as the tables' owner, whom the
/// schema's rights make an administrator.
async fn read_back(session: &mut Session) -> anyhow::Result<BTreeMap<String, Content>> {
    let reader = become_reader(session).await;
    let prepared = prepare(&mut session.connection).await;
    session.ok(prepared)?;
    if let Err(blind) = reader {
        let admin = "SELECT pg_has_role(current_user, 'trading_bot_admin', 'USAGE')";
        let admin = sqlx::query_scalar(admin)
            .fetch_one(&mut session.connection)
            .await;
        if !session.ok(admin)? {
            return Err(blind);
        }
        let set = session.connection.execute("SET row_security = on").await;
        session.ok(set)?;
    }
    let found = contents(&mut session.connection).await;
    session.ok(found)
}

/// The roles that the schema's grants and policies name.
const ROLES: [&str; 5] = [
    "trading_bot_app",
    "trading_bot_readonly",
    "trading_bot_admin",
    "trading_bot_engine",
    "trading_bot_backup",
];

async fn make_roles(session: &mut Session) -> anyhow::Result<()> {
    for role in ROLES {
        let there = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)");
        let there = there.bind(role).fetch_one(&mut session.connection).await;
        if session.ok(there)? {
            continue;
        }
        let sees_all = if role == "trading_bot_backup" {
            " BYPASSRLS"
        } else {
            ""
        };
        let make = sqlx::AssertSqlSafe(format!("CREATE ROLE {role}{sees_all}"));
        let made = session.connection.execute(make).await;
        session.ok(made).with_context(|| {
            format!("role {role}, which the backup grants rights to, is missing in this cluster")
        })?;
    }
    Ok(())
}

/// Privileges on tables to come are the owner's, who may be another one now: they were left out,
/// and are made anew.
async fn apply_rights(session: &mut Session) -> anyhow::Result<()> {
    let there = "SELECT to_regproc('public.apply_rights') IS NOT NULL";
    let there = sqlx::query_scalar(there)
        .fetch_one(&mut session.connection)
        .await;
    if session.ok(there)? {
        let applied = session
            .connection
            .execute("SELECT public.apply_rights()")
            .await;
        session.ok(applied)?;
    }
    Ok(())
}

fn arguments(file: &str, database: &str, clean: bool) -> Vec<String> {
    let mut arguments = vec![
        // Whoever restores owns what comes of it: the owners of then need not exist here.
        "--no-owner".to_owned(),
        "--single-transaction".to_owned(),
        "--exit-on-error".to_owned(),
        "--no-password".to_owned(),
        format!("--dbname={database}"),
    ];
    if clean {
        arguments.extend(["--clean".to_owned(), "--if-exists".to_owned()]);
    }
    arguments.push(file.to_owned());
    arguments
}

impl Report for Restored {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let rows: Vec<Vec<String>> = self
            .tables
            .iter()
            .map(|(name, table)| vec![name.clone(), table.rows.to_string()])
            .collect();
        table::print(out, &["table", "rows>"], &rows)?;
        let Restored {
            rows,
            file,
            database,
            seconds,
            ..
        } = self;
        writeln!(
            out,
            "{rows} rows of {file} are in {database}, after {seconds:.1} s"
        )?;
        if !self.compared {
            return writeln!(
                out,
                "there is no manifest beside the file to compare them with"
            );
        }
        match self.differences.as_slice() {
            [] => writeln!(
                out,
                "every table has the rows and the checksum that were saved"
            ),
            lines => lines
                .iter()
                .try_for_each(|line| writeln!(out, "NOT AS SAVED: {line}")),
        }
    }
}
