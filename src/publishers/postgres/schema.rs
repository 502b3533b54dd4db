//! How a database gets its tables: the files of `migrations/`, embedded in the binary, each applied
//! once and never undone. Called by the sink when it connects, and by `tickforge migrate`.
//!
//! Safe to run from several daemons at once: the first takes an advisory lock, the others wait for
//! it and then find nothing to do. Each file is one transaction with its entry in the list.
//!
//! Roles belong to the cluster, so they, and what is granted to them, may be missing though all
//! migrations are applied: that is said at each run, and mended by `tickforge migrate`.

use super::server::{Limits, Server, within};
use anyhow::anyhow;
use sqlx::Connection;
use sqlx::migrate::{Migrate, MigrateError, Migrator};
use sqlx::postgres::PgConnection;
use std::time::Duration;

/// Where sqlx keeps the list of what was applied.
const TABLE: &str = "_sqlx_migrations";

const CONNECT: Duration = Duration::from_secs(10);
/// A migration may build an index over years of rows.
const STATEMENT: Duration = Duration::from_secs(600);
/// For another migrator to finish, or for a table that is in use: a migration that waits for a
/// table's lock holds up everybody behind it, so it gives up and is tried again.
const LOCK: Duration = Duration::from_secs(30);
/// All that is to be applied, so that a dead network ends too.
const WHOLE: Duration = Duration::from_secs(1800);

/// What a run of the migrations did.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Migrated {
    /// Applied by this run, in order: `0001_types`.
    pub applied: Vec<String>,
    /// The newest version that the database has now.
    pub version: i64,
    /// Roles, grants and policies that are not as they should be, each with its remedy.
    pub warnings: Vec<String>,
}

/// Applies what the database at `url` does not have yet, and makes rights that have gone since, or
/// could not be made then, as far as this login may.
pub async fn migrate(url: &str) -> anyhow::Result<Migrated> {
    run(url, CONNECT, true).await
}

/// The same for a daemon, at each connection: looking takes no longer than `timeout`, what is to be
/// applied as long as it takes. It only says what is wrong with rights: making them locks every
/// table.
pub(super) async fn migrate_at_start(url: &str, timeout: Duration) -> anyhow::Result<Migrated> {
    run(url, timeout, false).await
}

async fn run(url: &str, timeout: Duration, mend: bool) -> anyhow::Result<Migrated> {
    let server = Server::parse(url).map_err(anyhow::Error::msg)?;
    let limits = Limits {
        statement: STATEMENT,
        lock: LOCK,
    };
    let mut connection = server
        .connect(timeout, limits)
        .await
        .map_err(|e| anyhow!(server.explain(&e)))?;
    let work = async {
        let mut migrator = sqlx::migrate!("./migrations");
        // A newer daemon may have been here before: migrations only add, so this one still works.
        migrator.set_ignore_missing(true);
        let done = within(timeout, nothing_to_do(&migrator, &mut connection)).await?;
        // On failure too the connection ends here, and with it the advisory lock.
        let mut migrated = match done {
            Some(done) => done,
            None => within(WHOLE, apply(&migrator, &mut connection)).await?,
        };
        let limit = if mend { WHOLE } else { timeout };
        migrated.warnings = within(limit, rights(&mut connection, mend)).await?;
        Ok(migrated)
    };
    let migrated = work.await.map_err(|e| explain(&server, &e))?;
    // All is committed; only courtesy.
    let _ = within(timeout, connection.close()).await;
    Ok(migrated)
}

async fn apply(
    migrator: &Migrator,
    connection: &mut PgConnection,
) -> Result<Migrated, MigrateError> {
    // `run` takes this lock too. Held around it, it makes the list before and after this run's own.
    connection.lock().await?;
    connection.ensure_migrations_table(TABLE).await?;
    let before = versions(connection).await?;
    migrator.run(&mut *connection).await?;
    let after = versions(connection).await?;
    connection.unlock().await?;

    let applied = migrator
        .iter()
        .filter(|m| after.contains(&m.version) && !before.contains(&m.version))
        .map(|m| format!("{:04}_{}", m.version, m.description.replace(' ', "_")))
        .collect();
    Ok(Migrated {
        applied,
        version: newest(&after),
        warnings: Vec::new(),
    })
}

/// What is wrong with roles, grants and policies, after mending them where it is wanted and this
/// login owns the tables.
async fn rights(connection: &mut PgConnection, mend: bool) -> Result<Vec<String>, MigrateError> {
    let missing = rights_missing(connection).await?;
    let owned = "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = 'users'::regclass";
    if missing.is_empty()
        || !mend
        || !sqlx::query_scalar(owned)
            .fetch_one(&mut *connection)
            .await?
    {
        return Ok(missing);
    }
    connection.lock().await?;
    sqlx::query("SELECT apply_rights()")
        .execute(&mut *connection)
        .await?;
    connection.unlock().await?;
    Ok(rights_missing(connection).await?)
}

async fn rights_missing(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar("SELECT rights_missing()")
        .fetch_all(connection)
        .await
}

/// Where all is applied, nothing is written and no lock taken: a role that may only use the tables
/// can start the daemon.
async fn nothing_to_do(
    migrator: &Migrator,
    connection: &mut PgConnection,
) -> Result<Option<Migrated>, MigrateError> {
    let exists: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(TABLE)
        .fetch_one(&mut *connection)
        .await?;
    if !exists || connection.dirty_version(TABLE).await?.is_some() {
        return Ok(None);
    }
    let applied = connection.list_applied_migrations(TABLE).await?;
    let has = |version, checksum| {
        applied
            .iter()
            .any(|a| a.version == version && a.checksum == checksum)
    };
    if !migrator.iter().all(|m| has(m.version, m.checksum.clone())) {
        return Ok(None);
    }
    let versions: Vec<i64> = applied.iter().map(|a| a.version).collect();
    Ok(Some(Migrated {
        applied: Vec::new(),
        version: newest(&versions),
        warnings: Vec::new(),
    }))
}

/// What of this binary's schema a database does not have yet.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Pending {
    /// The newest version that the database has; 0 = none.
    pub version: i64,
    /// In order: `0001_types`.
    pub pending: Vec<String>,
}

/// Looks, and applies nothing.
pub async fn pending(connection: &mut PgConnection) -> Result<Pending, sqlx::Error> {
    let exists = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL").bind(TABLE);
    let applied: Vec<i64> = if exists.fetch_one(&mut *connection).await? {
        let sql = "SELECT version FROM _sqlx_migrations WHERE success";
        sqlx::query_scalar(sql).fetch_all(connection).await?
    } else {
        Vec::new()
    };
    let migrator = sqlx::migrate!("./migrations");
    let missing = migrator.iter().filter(|m| !applied.contains(&m.version));
    Ok(Pending {
        version: newest(&applied),
        pending: missing
            .map(|m| format!("{:04}_{}", m.version, m.description.replace(' ', "_")))
            .collect(),
    })
}

async fn versions(connection: &mut PgConnection) -> Result<Vec<i64>, MigrateError> {
    let applied = connection.list_applied_migrations(TABLE).await?;
    Ok(applied.iter().map(|a| a.version).collect())
}

fn newest(versions: &[i64]) -> i64 {
    versions.iter().copied().max().unwrap_or(0)
}

fn explain(server: &Server, error: &MigrateError) -> anyhow::Error {
    match error {
        MigrateError::Execute(e) => anyhow!("migrations: {}", server.explain(e)),
        MigrateError::ExecuteMigration(e, version) => {
            anyhow!("migration {version:04}: {}", server.explain(e))
        }
        MigrateError::VersionMismatch(version) => anyhow!(
            "{}: migration {version:04} is recorded there with another text than this binary has; \
             use a binary of the release that made the database, or a database of its own",
            server.place
        ),
        other => anyhow!("{}: {other}", server.place),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn migrations_are_numbered_without_a_gap_and_only_go_forward() {
        let migrator = sqlx::migrate!("./migrations");
        let versions: Vec<i64> = migrator.iter().map(|m| m.version).collect();
        assert_eq!(versions, (1..=versions.len() as i64).collect::<Vec<_>>());
        for m in migrator.iter() {
            assert!(!m.migration_type.is_down_migration(), "{}", m.description);
            assert!(!m.no_tx, "{} is not one transaction", m.description);
        }
    }
}
