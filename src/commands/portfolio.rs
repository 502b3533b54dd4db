//! `tickforge portfolio performance USER`: how do a user's portfolios do? The document's query; and
//! what the commands about one user share: who it is, and how row level security is told.

use super::Common;
use super::db::{Report, Session, Target, print};
use super::table;
use anyhow::Context;
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{Connection, FromRow};
use std::io::{self, Write};
use uuid::Uuid;

#[derive(clap::Subcommand, Clone, Debug)]
pub enum Portfolio {
    /// Profit and loss of a user's portfolios, over all of their positions
    Performance(Args),
}

#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Id, e-mail address or user name
    user: String,
    #[command(flatten)]
    target: Target,
}

/// Whom a command is about.
#[derive(Debug, Serialize, FromRow)]
pub struct User {
    pub id: Uuid,
    pub email: String,
    pub username: String,
}

#[derive(Debug, Serialize)]
struct Performance {
    user: User,
    portfolios: Vec<Row>,
}

/// A portfolio's row; `null` where it has no position.
#[derive(Debug, Serialize, FromRow)]
struct Row {
    name: String,
    total_pnl: Option<String>,
    position_count: i64,
    avg_pnl: Option<String>,
}

/// Numbers as texts, to the last digit.
const PERFORMANCE: &str = "SELECT q.name, trim_scale(q.total_pnl)::text AS total_pnl,
    q.position_count, trim_scale(q.avg_pnl)::text AS avg_pnl FROM (
SELECT
    p.name,
    SUM(pos.unrealized_pnl + pos.realized_pnl) as total_pnl,
    COUNT(pos.id) as position_count,
    AVG(pos.unrealized_pnl + pos.realized_pnl) as avg_pnl
FROM portfolios p
LEFT JOIN positions pos ON p.id = pos.portfolio_id
WHERE p.user_id = $1
GROUP BY p.id, p.name) q ORDER BY q.name";

pub fn run(Portfolio::Performance(args): &Portfolio, common: &Common) -> anyhow::Result<bool> {
    let (user, portfolios) = as_user(common, &args.target, &args.user, PERFORMANCE)?;
    print(&Performance { user, portfolios }, common.json)?;
    Ok(true)
}

/// The user, and the rows of a query whose `$1` is the user's id.
pub fn as_user<T>(
    common: &Common,
    target: &Target,
    user: &str,
    sql: &'static str,
) -> anyhow::Result<(User, Vec<T>)>
where
    T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    super::install_crypto();
    let config = common.load()?;
    crate::logging::init(&config.log);
    super::block_on(async {
        let mut session = target.connect(&config).await?;
        let found = find(&mut session, user).await?;
        let rows = rows(&mut session, &found, sql).await;
        let rows = session.ok(rows)?;
        Ok((found, rows))
    })?
}

async fn find(session: &mut Session, user: &str) -> anyhow::Result<User> {
    let by = match user.parse::<Uuid>() {
        Ok(id) => sqlx::query_as("SELECT id, email, username FROM users WHERE id = $1").bind(id),
        Err(_) => {
            let sql = "SELECT id, email, username FROM users WHERE username = $1
                UNION SELECT id, email, username FROM users WHERE email = $1";
            sqlx::query_as(sql).bind(user.to_owned())
        }
    };
    let found = by.fetch_optional(&mut session.connection).await;
    session.ok(found)?.with_context(|| {
        let place = &session.server.place;
        format!("{place}: no user has the id, e-mail address or name \"{user}\"")
    })
}

/// In a transaction that names the user, so that the application's role sees these rows, too.
async fn rows<T>(
    session: &mut Session,
    user: &User,
    sql: &'static str,
) -> Result<Vec<T>, sqlx::Error>
where
    T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let mut transaction = session.connection.begin().await?;
    sqlx::query("SELECT set_config('app.current_user_id', $1, true)")
        .bind(user.id.to_string())
        .execute(&mut *transaction)
        .await?;
    let rows = sqlx::query_as(sql)
        .bind(user.id)
        .fetch_all(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(rows)
}

impl Report for Performance {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let text = |t: &Option<String>| t.clone().unwrap_or_else(|| "-".to_owned());
        let row = |r: &Row| {
            let count = r.position_count.to_string();
            vec![r.name.clone(), text(&r.total_pnl), count, text(&r.avg_pnl)]
        };
        let rows: Vec<_> = self.portfolios.iter().map(row).collect();
        table::print(
            out,
            &["portfolio", "total pnl>", "positions>", "average pnl>"],
            &rows,
        )?;
        writeln!(out, "{} portfolios of {}", rows.len(), self.user.username)
    }
}
