//! `tickforge db …`: looking after the PostgreSQL database. One file for each command; here is what
//! they share: which database, as whom, and how a report is printed.

pub mod archive;
pub mod backup;
pub mod restore;
pub mod seed;
pub mod sizes;
pub mod slow_queries;
pub mod status;

use super::{Common, migrate};
use crate::config::{Config, Login, Secret};
use crate::publishers::postgres::{Limits, Server};
use anyhow::{Context, anyhow};
use serde::Serialize;
use sqlx::postgres::PgConnection;
use std::io::{self, Write};
use std::time::Duration;

const CONNECT: Duration = Duration::from_secs(10);
/// For a look at a large table.
const STATEMENT: Duration = Duration::from_secs(600);
const LOCK: Duration = Duration::from_secs(30);

#[derive(clap::Subcommand, Clone, Debug)]
pub enum Db {
    /// Server, migrations, roles, rows, and how old archive and backup are
    Status(status::Args),
    /// Bring the PostgreSQL schema up to date (the same as `tickforge migrate`)
    Migrate(migrate::Args),
    /// A demonstration user with all that belongs to one; again, and nothing changes
    Seed(seed::Args),
    /// Move old orders into orders_archive, in batches too small to be noticed
    Archive(archive::Args),
    /// A verified pg_dump in the folder of backups; old ones go
    Backup(backup::Args),
    /// A backup into an empty database, verified before and after
    Restore(restore::Args),
    /// What takes the server's time
    SlowQueries(slow_queries::Args),
    /// How large the tables are
    Sizes(sizes::Args),
}

/// Whether all is well.
pub fn run(command: Db, common: &Common) -> anyhow::Result<bool> {
    let command = match command {
        Db::Migrate(args) => return super::migrate(args, common),
        other => other,
    };
    super::install_crypto();
    let config = common.load()?;
    crate::logging::init(&config.log);
    super::block_on(async {
        match command {
            Db::Status(args) => status::run(args, &config, common.json).await,
            Db::Seed(args) => seed::run(args, &config, common.json).await,
            Db::Archive(args) => archive::run(args, &config, common.json).await,
            Db::Backup(args) => backup::run(args, &config, common.json).await,
            Db::Restore(args) => restore::run(args, &config, common.json).await,
            Db::SlowQueries(args) => slow_queries::run(args, &config, common.json).await,
            Db::Sizes(args) => sizes::run(args, &config, common.json).await,
            Db::Migrate(_) => Ok(true), // done above
        }
    })?
}

/// Which database.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Target {
    /// postgres://USER@HOST:PORT/DATABASE, its password in PGPASSWORD or ~/.pgpass; else the
    /// configuration's
    #[arg(long, value_name = "URL")]
    pub database_url: Option<String>,
}

impl Target {
    /// The given one, else the one that the configuration has for this purpose, else the daemon's.
    pub fn server(&self, config: &Config, own: Option<&Login>) -> anyhow::Result<Server> {
        let daemons = || config.stores.postgres.as_ref().map(|p| p.url.clone());
        let configured = || match own {
            Some(own) => own.url().map(Some),
            None => Ok(daemons()),
        };
        let url = match &self.database_url {
            Some(url) => Some(Secret(url.clone())),
            None => configured().map_err(anyhow::Error::msg)?,
        };
        let url =
            url.context("no database: give --database-url URL, or set [stores.postgres] url")?;
        Server::parse(&url.0).map_err(anyhow::Error::msg)
    }

    /// A connection to it, for questions that may take minutes.
    pub async fn connect(&self, config: &Config) -> anyhow::Result<Session> {
        Session::open(self.server(config, None)?).await
    }
}

/// A connection, and how to explain what it says.
pub struct Session {
    pub server: Server,
    pub connection: PgConnection,
}

impl Session {
    pub async fn open(server: Server) -> anyhow::Result<Session> {
        let connection = connect(&server, STATEMENT, LOCK).await?;
        Ok(Session { server, connection })
    }

    /// What the server answered, or place, cause and remedy.
    pub fn ok<T>(&self, result: Result<T, sqlx::Error>) -> anyhow::Result<T> {
        result.map_err(|e| anyhow!(self.server.explain(&e)))
    }
}

async fn connect(
    server: &Server,
    statement: Duration,
    lock: Duration,
) -> anyhow::Result<PgConnection> {
    let connected = server.connect(CONNECT, Limits { statement, lock }).await;
    connected.map_err(|e| anyhow!(server.explain(&e)))
}

/// What a command found: an object for scripts, text for people.
pub trait Report: Serialize {
    fn text(&self, out: &mut dyn Write) -> io::Result<()>;
}

pub fn print(report: &impl Report, json: bool) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, report)?;
        writeln!(out)?;
    } else {
        report.text(&mut out)?;
    }
    Ok(out.flush()?)
}

/// An SQL expression as RFC 3339 in UTC, for a text column.
macro_rules! rfc3339 {
    ($expression:literal) => {
        concat!(
            "to_char((",
            $expression,
            ") AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
        )
    };
}
pub(crate) use rfc3339;
