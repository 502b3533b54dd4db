//! `tickforge db seed`: a demonstration user with portfolio, orders, trades, positions, balances,
//! AI commands, a Telegram account and notifications, so that all that stores and shows them can be
//! tried. What is there already is left alone; `--remove` takes it away again.

use super::{Report, Session, Target, print};
use crate::commands::table;
use crate::config::Config;
use anyhow::anyhow;
use serde::Serialize;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};
use std::io::{self, Write};

/// Statements, each of which inserts into one table; a line `--` parts them.
const SEED: &str = include_str!("seed.sql");
const USER: &str = "d0000000-0000-4000-8000-000000000001";
/// What is the demonstration's own: the ids of the file above begin so.
const OURS: &str = "::text LIKE 'd0000000-0000-4000-8000-%'";

#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// Take the demonstration away, with all that its user has done since
    #[arg(long)]
    remove: bool,
}

#[derive(Debug, Serialize)]
struct Seeded {
    user_id: &'static str,
    username: &'static str,
    removed: bool,
    tables: Vec<Changed>,
}

/// Rows that this run inserted, or deleted.
#[derive(Debug, Serialize)]
struct Changed {
    table: &'static str,
    rows: u64,
}

pub async fn run(args: Args, config: &Config, json: bool) -> anyhow::Result<bool> {
    let Session {
        server,
        mut connection,
    } = args.target.connect(config).await?;
    let changed = change(&mut connection, args.remove).await;
    let tables = changed.map_err(|e| anyhow!(server.explain(&e)))?;
    let seeded = Seeded {
        user_id: USER,
        username: "demo",
        removed: args.remove,
        tables,
    };
    print(&seeded, json)?;
    Ok(true)
}

/// All of it, or nothing.
async fn change(connection: &mut PgConnection, remove: bool) -> Result<Vec<Changed>, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    // So that the application's role may do this, too.
    sqlx::query("SELECT set_config('app.current_user_id', $1, true)")
        .bind(USER)
        .execute(&mut *transaction)
        .await?;
    let statements = if remove { deletions() } else { insertions() };
    let mut changed = Vec::new();
    for (table, sql) in statements {
        let done = sqlx::query(AssertSqlSafe(sql))
            .execute(&mut *transaction)
            .await?;
        changed.push(Changed {
            table,
            rows: done.rows_affected(),
        });
    }
    transaction.commit().await?;
    Ok(changed)
}

/// Each table and the statement that fills it.
fn insertions() -> Vec<(&'static str, String)> {
    let statements = SEED
        .split("\n--\n")
        .map(|text| (inserts_into(text), text.to_owned()));
    statements.collect()
}

fn inserts_into(statement: &'static str) -> &'static str {
    let rest = statement
        .split_once("INSERT INTO ")
        .map_or("", |(_, rest)| rest);
    rest.split(' ').next().unwrap_or_default()
}

/// Backwards, what belongs to the user; of what others may use by now only what nobody does.
fn deletions() -> Vec<(&'static str, String)> {
    let mut statements = Vec::new();
    for (table, _) in insertions().into_iter().rev() {
        let which = match table {
            "users" => format!("id = '{USER}'"),
            "system_config" => "key = 'demo.seeded'".to_owned(),
            "trading_signals" => format!("id{OURS}"),
            "trading_pairs" => format!("id{OURS} AND {}", unused_pair()),
            _ => format!("user_id = '{USER}'"),
        };
        if table == "orders" {
            // What was archived since: after the trades that point at it.
            statements.push(("orders_archive", which.clone()));
        }
        statements.push((table, which));
    }
    let delete = |(table, which)| (table, format!("DELETE FROM {table} WHERE {which}"));
    statements.into_iter().map(delete).collect()
}

fn unused_pair() -> String {
    let users = [
        "orders",
        "positions",
        "trades",
        "trading_signals",
        "market_analysis",
    ];
    let unused = users.map(|table| {
        format!("NOT EXISTS (SELECT FROM {table} u WHERE u.trading_pair_id = trading_pairs.id)")
    });
    unused.join(" AND ")
}

impl Report for Seeded {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let row = |c: &Changed| vec![c.table.to_owned(), c.rows.to_string()];
        let rows: Vec<_> = self.tables.iter().map(row).collect();
        let done = if self.removed {
            "deleted>"
        } else {
            "inserted>"
        };
        table::print(out, &["table", done], &rows)?;
        if self.removed {
            return writeln!(
                out,
                "the demonstration is gone; the audit log keeps that it was there"
            );
        }
        writeln!(
            out,
            "try: tickforge portfolio performance demo; tickforge ai commands demo"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_statement_names_its_table_and_may_run_again() {
        let all = insertions();
        assert!(all.len() > 12, "{}", all.len());
        for (table, sql) in &all {
            assert!(
                !table.is_empty() && sql.contains("ON CONFLICT DO NOTHING"),
                "{sql}"
            );
        }
        let deleted: Vec<_> = deletions().into_iter().map(|(table, _)| table).collect();
        let at = |table| deleted.iter().position(|t| *t == table).expect(table);
        assert!(at("trades") < at("orders_archive") && at("orders_archive") < at("orders"));
        assert!(at("orders") < at("portfolios") && at("portfolios") < at("users"));
    }
}
