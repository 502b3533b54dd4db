//! `tickforge db status`: how is the database? Server, schema, roles, rows, extensions, replicas,
//! and how old archive and backup are. Changes nothing; what the role that asks may not see is left
//! out, and what needs somebody's hand is in `todo`.

use super::sizes::{Sizes, sizes};
use super::{Report, Session, Target, print, rfc3339};
use crate::backup::{Manifest, folder};
use crate::clock;
use crate::commands::table;
use crate::config::Config;
use crate::publishers::postgres::{Pending, pending};
use serde::Serialize;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Serialize)]
struct Status {
    server: Server,
    migrations: Pending,
    roles: Vec<Role>,
    extensions: Vec<Extension>,
    /// Of this server, where it is the primary.
    replicas: Vec<Replica>,
    archive: Option<Archive>,
    backup: Backups,
    sizes: Sizes,
    /// What is not as it should be, and what to do.
    todo: Vec<String>,
}

#[derive(Debug, Serialize, sqlx::FromRow)]
struct Server {
    version: String,
    database: String,
    user: String,
    started_at: String,
    standby: bool,
    /// Of a standby: since what it replayed last was written, seconds.
    replay_lag_seconds: Option<f64>,
    connections: i64,
    max_connections: i32,
}

const SERVER: &str = concat!(
    "SELECT current_setting('server_version') AS version, current_database()::text AS database,
    current_user::text AS user, ",
    rfc3339!("pg_postmaster_start_time()"),
    " AS started_at, pg_is_in_recovery() AS standby,
    extract(epoch FROM now() - pg_last_xact_replay_timestamp())::float8 AS replay_lag_seconds,
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
    current_setting('max_connections')::int AS max_connections"
);

#[derive(Debug, Serialize, sqlx::FromRow)]
struct Role {
    name: String,
    present: bool,
    /// How many roles are members of it.
    members: i64,
}

const ROLES: &str = "
SELECT name, r.oid IS NOT NULL AS present,
    (SELECT count(*) FROM pg_auth_members m WHERE m.roleid = r.oid) AS members
FROM unnest(ARRAY['trading_bot_app', 'trading_bot_readonly', 'trading_bot_admin',
    'trading_bot_engine', 'trading_bot_backup']) WITH ORDINALITY AS wanted(name, n)
LEFT JOIN pg_roles r ON r.rolname = name ORDER BY n";

#[derive(Debug, Serialize, sqlx::FromRow)]
struct Extension {
    name: String,
    /// `null` where it is not in this database.
    installed: Option<String>,
    /// `null` where the server does not have it.
    available: Option<String>,
}

const EXTENSIONS: &str = "
SELECT name, x.extversion AS installed, a.default_version AS available
FROM unnest(ARRAY['pgcrypto', 'pg_stat_statements']) AS name
LEFT JOIN pg_extension x ON x.extname = name
LEFT JOIN pg_available_extensions a USING (name)";

#[derive(Debug, Serialize, sqlx::FromRow)]
struct Replica {
    name: Option<String>,
    address: Option<String>,
    state: Option<String>,
    /// Not yet replayed there, bytes.
    lag_bytes: Option<i64>,
    lag_seconds: Option<f64>,
}

const REPLICAS: &str = "
SELECT application_name AS name, client_addr::text AS address, state,
    CASE WHEN pg_is_in_recovery() THEN NULL
        ELSE pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::bigint END AS lag_bytes,
    extract(epoch FROM replay_lag)::float8 AS lag_seconds
FROM pg_stat_replication ORDER BY 1";

#[derive(Debug, Serialize, sqlx::FromRow)]
struct Archive {
    /// Of what is still in `orders`.
    oldest_order_at: Option<String>,
    /// Orders that `tickforge db archive` would move; up to 10,000 are counted.
    due: i64,
    /// As the statistics estimate them.
    archived_rows: i64,
}

const ARCHIVE: &str = concat!(
    "SELECT ",
    rfc3339!("(SELECT min(created_at) FROM orders)"),
    " AS oldest_order_at,
    (SELECT count(*) FROM (SELECT FROM orders WHERE created_at < now() - interval '1 year'
        LIMIT 10000) d) AS due,
    COALESCE((SELECT n_live_tup FROM pg_stat_user_tables
        WHERE relid = to_regclass('orders_archive')), 0) AS archived_rows"
);

#[derive(Debug, Serialize)]
struct Backups {
    folder: String,
    count: usize,
    newest: Option<String>,
    newest_at: Option<String>,
    newest_bytes: Option<u64>,
    age_seconds: Option<f64>,
    /// Whether there is a manifest that the file's size agrees with; its content is looked at by
    /// `tickforge db restore`.
    whole: bool,
}

/// A backup each night, and one may fail.
const BACKUP_TOO_OLD: Duration = Duration::from_secs(2 * 86_400);

pub async fn run(args: Args, config: &Config, json: bool) -> anyhow::Result<bool> {
    let mut session = args.target.connect(config).await?;
    let server = sqlx::query_as(SERVER)
        .fetch_one(&mut session.connection)
        .await;
    let server: Server = session.ok(server)?;
    let roles = sqlx::query_as(ROLES)
        .fetch_all(&mut session.connection)
        .await;
    let extensions = sqlx::query_as(EXTENSIONS)
        .fetch_all(&mut session.connection)
        .await;
    let replicas = sqlx::query_as(REPLICAS)
        .fetch_all(&mut session.connection)
        .await;
    let migrations = pending(&mut session.connection).await;
    let mut status = Status {
        server,
        migrations: session.ok(migrations)?,
        roles: session.ok(roles)?,
        extensions: session.ok(extensions)?,
        replicas: session.ok(replicas)?,
        archive: archive(&mut session).await?,
        backup: backups(&config.backups()),
        sizes: sizes(&mut session).await?,
        todo: Vec::new(),
    };
    status.todo = todo(&status, rights_missing(&mut session).await?);
    print(&status, json)?;
    Ok(true)
}

/// `None` where the tables are not there yet, or are not ours to read.
async fn archive(session: &mut Session) -> anyhow::Result<Option<Archive>> {
    let may = "SELECT COALESCE(has_table_privilege(to_regclass('orders'), 'SELECT'), false)";
    let may = sqlx::query_scalar(may)
        .fetch_one(&mut session.connection)
        .await;
    if !session.ok(may)? {
        return Ok(None);
    }
    let archive = sqlx::query_as(ARCHIVE)
        .fetch_one(&mut session.connection)
        .await;
    session.ok(archive).map(Some)
}

/// By the schema's own account, where it is there.
async fn rights_missing(session: &mut Session) -> anyhow::Result<Vec<String>> {
    let there = "SELECT to_regproc('public.rights_missing') IS NOT NULL";
    let there = sqlx::query_scalar(there)
        .fetch_one(&mut session.connection)
        .await;
    if !session.ok(there)? {
        return Ok(Vec::new());
    }
    let missing = sqlx::query_scalar("SELECT * FROM public.rights_missing()");
    let missing = missing.fetch_all(&mut session.connection).await;
    session.ok(missing)
}

fn backups(path: &Path) -> Backups {
    // No folder, no backup; a folder that this user may not read looks the same.
    let all = folder::list(path).unwrap_or_default();
    let newest = all.first();
    let bytes = newest
        .and_then(|b| std::fs::metadata(&b.path).ok())
        .map(|m| m.len());
    let manifest = newest.and_then(|b| Manifest::of(&b.path).ok().flatten());
    Backups {
        folder: path.display().to_string(),
        count: all.len(),
        newest: newest.map(|b| b.path.display().to_string()),
        newest_at: newest.map(|b| clock::rfc3339(b.taken_ns)),
        newest_bytes: bytes,
        age_seconds: newest.map(|b| (clock::now_ns() - b.taken_ns) as f64 / 1e9),
        whole: manifest.is_some_and(|manifest| Some(manifest.bytes) == bytes),
    }
}

fn todo(status: &Status, rights: Vec<String>) -> Vec<String> {
    let mut todo = Vec::new();
    if !status.migrations.pending.is_empty() {
        let names = status.migrations.pending.join(", ");
        todo.push(format!(
            "migrations are pending ({names}): run `tickforge migrate`"
        ));
    }
    todo.extend(rights);
    if status
        .archive
        .as_ref()
        .is_some_and(|archive| archive.due > 0)
    {
        todo.push("orders are older than a year: run `tickforge db archive`".to_owned());
    }
    match status.backup.age_seconds {
        None => todo.push("there is no backup: run `tickforge db backup`".to_owned()),
        Some(age) if age > BACKUP_TOO_OLD.as_secs_f64() => todo.push(
            "the newest backup is older than two days: see `systemctl status tickforge-backup`"
                .to_owned(),
        ),
        Some(_) if !status.backup.whole => todo.push(
            "the newest backup has no manifest that fits it: run `tickforge db backup`".to_owned(),
        ),
        Some(_) => {}
    }
    todo
}

impl Report for Status {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let Server {
            version,
            database,
            user,
            started_at,
            ..
        } = &self.server;
        writeln!(
            out,
            "PostgreSQL {version}, database {database} as {user}, up since {started_at}"
        )?;
        let Server {
            connections,
            max_connections,
            standby,
            replay_lag_seconds,
            ..
        } = &self.server;
        let lag = replay_lag_seconds
            .map(|lag| format!(", {lag:.1} s behind"))
            .unwrap_or_default();
        let kind = if *standby {
            format!("standby{lag}")
        } else {
            "primary".to_owned()
        };
        writeln!(
            out,
            "{kind}; {connections} of {max_connections} connections"
        )?;
        for replica in &self.replicas {
            let text = |t: &Option<String>| t.clone().unwrap_or_default();
            let (name, state) = (text(&replica.name), text(&replica.state));
            let lag = replica
                .lag_bytes
                .map(table::bytes)
                .unwrap_or_else(|| "?".to_owned());
            writeln!(
                out,
                "replica {name} at {}: {state}, {lag} behind",
                text(&replica.address)
            )?;
        }
        let Pending { version, pending } = &self.migrations;
        writeln!(
            out,
            "schema at version {version}, {} migrations pending",
            pending.len()
        )?;
        let role = |role: &Role| {
            let there = if role.present { "present" } else { "MISSING" };
            vec![
                role.name.clone(),
                there.to_owned(),
                role.members.to_string(),
            ]
        };
        writeln!(out)?;
        table::print(
            out,
            &["role", "", "members>"],
            &self.roles.iter().map(role).collect::<Vec<_>>(),
        )?;
        writeln!(out)?;
        let or = |text: &Option<String>, other: &str| text.clone().unwrap_or(other.to_owned());
        let extension = |e: &Extension| {
            vec![
                e.name.clone(),
                or(&e.installed, "not here"),
                or(&e.available, "no"),
            ]
        };
        let rows: Vec<_> = self.extensions.iter().map(extension).collect();
        table::print(out, &["extension", "installed", "available"], &rows)?;
        writeln!(out)?;
        self.sizes.text(out)?;
        writeln!(out)?;
        if let Some(Archive {
            oldest_order_at,
            due,
            archived_rows,
        }) = &self.archive
        {
            let oldest = or(oldest_order_at, "none");
            writeln!(
                out,
                "oldest order {oldest}; {due} to be archived, ~{archived_rows} archived"
            )?;
        }
        let Backups {
            count,
            newest,
            age_seconds,
            folder,
            ..
        } = &self.backup;
        match (newest, age_seconds) {
            (Some(newest), Some(age)) => {
                writeln!(
                    out,
                    "{count} backups, the newest {newest}, {:.1} h ago",
                    age / 3600.0
                )?;
            }
            _ => writeln!(out, "no backup in {folder}")?,
        }
        self.todo
            .iter()
            .try_for_each(|line| writeln!(out, "TO DO: {line}"))
    }
}
