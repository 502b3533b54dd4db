//! `tickforge db slow-queries`: what takes the server's time? What pg_stat_statements counted,
//! where it is loaded; in any case what runs now, and which tables are read from end to end.

use super::{Report, Session, Target, print};
use crate::commands::table;
use crate::config::Config;
use serde::Serialize;
use std::io::{self, Write};

#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// How many statements
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

#[derive(Debug, Serialize)]
struct SlowQueries {
    /// `null` where nothing was counted: then `statements_missing` says why, and what to do.
    statements: Option<Vec<Statement>>,
    statements_missing: Option<String>,
    running: Vec<Running>,
    scans: Vec<Scans>,
}

#[derive(Debug, Serialize, sqlx::FromRow)]
struct Statement {
    query: String,
    calls: i64,
    total_exec_time_ms: f64,
    mean_exec_time_ms: f64,
    rows: i64,
}

#[derive(Debug, Serialize, sqlx::FromRow)]
struct Running {
    pid: i32,
    user: Option<String>,
    application: Option<String>,
    state: Option<String>,
    seconds: f64,
    waits_for: Option<String>,
    query: String,
}

#[derive(Debug, Serialize, sqlx::FromRow)]
struct Scans {
    table: String,
    scans: i64,
    rows_read: i64,
    rows: i64,
}

/// The document's query, by the names that its columns have since PostgreSQL 13.
const STATEMENTS: &str = "
SELECT
    query,
    calls,
    total_exec_time AS total_exec_time_ms,
    mean_exec_time AS mean_exec_time_ms,
    rows
FROM pg_stat_statements
ORDER BY mean_exec_time DESC
LIMIT $1";

const RUNNING: &str = "
SELECT pid, usename::text AS user, application_name AS application, state,
    COALESCE(extract(epoch FROM clock_timestamp() - CASE WHEN state = 'active' THEN query_start
        ELSE xact_start END), 0)::float8 AS seconds,
    wait_event_type || ': ' || wait_event AS waits_for, query
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
ORDER BY seconds DESC
LIMIT $1";

const SCANS: &str = "
SELECT relname::text AS table, seq_scan AS scans, seq_tup_read AS rows_read, n_live_tup AS rows
FROM pg_stat_user_tables
WHERE seq_tup_read > 0
ORDER BY seq_tup_read DESC
LIMIT $1";

pub async fn run(args: Args, config: &Config, json: bool) -> anyhow::Result<bool> {
    let mut session = args.target.connect(config).await?;
    let limit = i64::from(args.limit);
    let counted = sqlx::query_as(STATEMENTS)
        .bind(limit)
        .fetch_all(&mut session.connection)
        .await;
    let (statements, statements_missing) = match counted {
        Ok(statements) => (Some(statements), None),
        Err(error) => (None, Some(why_missing(&session, &error)?)),
    };
    let running = sqlx::query_as(RUNNING)
        .bind(limit)
        .fetch_all(&mut session.connection)
        .await;
    let running = session.ok(running)?;
    let scans = sqlx::query_as(SCANS)
        .bind(limit)
        .fetch_all(&mut session.connection)
        .await;
    let scans = session.ok(scans)?;
    print(
        &SlowQueries {
            statements,
            statements_missing,
            running,
            scans,
        },
        json,
    )?;
    Ok(true)
}

/// The extension may be missing in the database, or in the server's memory, or not be ours to read.
fn why_missing(session: &Session, error: &sqlx::Error) -> anyhow::Result<String> {
    let code = error
        .as_database_error()
        .and_then(|e| e.code())
        .unwrap_or_default();
    let why = match code.as_ref() {
        "42P01" => {
            "pg_stat_statements is not in this database: CREATE EXTENSION pg_stat_statements"
        }
        "55000" => {
            "pg_stat_statements is not loaded: shared_preload_libraries = 'pg_stat_statements' in \
             postgresql.conf, and a restart"
        }
        "42501" => "pg_stat_statements may not be read: GRANT pg_read_all_stats to this role",
        _ => anyhow::bail!(session.server.explain(error)),
    };
    Ok(why.to_owned())
}

impl Report for SlowQueries {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        if let Some(why) = &self.statements_missing {
            writeln!(out, "{why}")?;
        }
        if let Some(statements) = &self.statements {
            let row = |s: &Statement| {
                let (mean, total) = (s.mean_exec_time_ms, s.total_exec_time_ms);
                let numbers = [
                    format!("{mean:.2}"),
                    format!("{total:.0}"),
                    s.calls.to_string(),
                ];
                [numbers.to_vec(), vec![s.rows.to_string(), s.query.clone()]].concat()
            };
            let rows: Vec<_> = statements.iter().map(row).collect();
            table::print(
                out,
                &["mean ms>", "total ms>", "calls>", "rows>", "query"],
                &rows,
            )?;
        }
        writeln!(out)?;
        let text = |t: &Option<String>| t.clone().unwrap_or_default();
        let row = |r: &Running| {
            let seconds = format!("{:.1}", r.seconds);
            vec![
                seconds,
                r.pid.to_string(),
                text(&r.user),
                text(&r.waits_for),
                r.query.clone(),
            ]
        };
        let rows: Vec<_> = self.running.iter().map(row).collect();
        table::print(
            out,
            &["running s>", "pid>", "user", "waits for", "query"],
            &rows,
        )?;
        writeln!(out)?;
        let row = |s: &Scans| {
            let numbers = [s.scans, s.rows_read, s.rows].map(|n| n.to_string());
            [vec![s.table.clone()], numbers.to_vec()].concat()
        };
        let rows: Vec<_> = self.scans.iter().map(row).collect();
        table::print(
            out,
            &["read from end to end", "times>", "rows read>", "rows>"],
            &rows,
        )
    }
}
