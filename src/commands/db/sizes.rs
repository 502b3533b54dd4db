//! `tickforge db sizes`: which tables take the room? The document's query, and beside it what of it
//! is indexes, and about how many rows there are.

use super::{Report, Session, Target, print};
use crate::commands::table;
use crate::config::Config;
use serde::Serialize;
use std::io::{self, Write};

#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Serialize)]
pub struct Sizes {
    /// Of the whole database.
    pub database_bytes: i64,
    pub tables: Vec<Size>,
}

/// A table, the largest first.
#[derive(Debug, Serialize, sqlx::FromRow)]
pub struct Size {
    pub schema: String,
    pub table: String,
    /// With indexes and what lies outside of its pages.
    pub bytes: i64,
    pub index_bytes: i64,
    /// As the statistics estimate them.
    pub rows: i64,
}

const SIZES: &str = "
SELECT
    t.schemaname::text AS schema,
    t.tablename::text AS table,
    pg_total_relation_size(quote_ident(t.schemaname)||'.'||quote_ident(tablename)) AS bytes,
    pg_indexes_size((quote_ident(t.schemaname)||'.'||quote_ident(tablename))::regclass)
        AS index_bytes,
    COALESCE(s.n_live_tup, 0) AS rows
FROM pg_tables t
LEFT JOIN pg_stat_user_tables s ON s.schemaname = t.schemaname AND s.relname = t.tablename
WHERE t.schemaname = 'public'
ORDER BY bytes DESC, t.tablename";

pub async fn run(args: Args, config: &Config, json: bool) -> anyhow::Result<bool> {
    let mut session = args.target.connect(config).await?;
    let sizes = sizes(&mut session).await?;
    print(&sizes, json)?;
    Ok(true)
}

pub async fn sizes(session: &mut Session) -> anyhow::Result<Sizes> {
    let tables = sqlx::query_as(SIZES)
        .fetch_all(&mut session.connection)
        .await;
    let tables = session.ok(tables)?;
    let whole = sqlx::query_scalar("SELECT pg_database_size(current_database())");
    let whole = whole.fetch_one(&mut session.connection).await;
    Ok(Sizes {
        database_bytes: session.ok(whole)?,
        tables,
    })
}

impl Report for Sizes {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let row = |size: &Size| {
            let (all, indexes) = (table::bytes(size.bytes), table::bytes(size.index_bytes));
            vec![size.table.clone(), all, indexes, format!("~{}", size.rows)]
        };
        let rows: Vec<_> = self.tables.iter().map(row).collect();
        table::print(out, &["table", "size>", "of it indexes>", "rows>"], &rows)?;
        writeln!(out, "{} in all", table::bytes(self.database_bytes))
    }
}
