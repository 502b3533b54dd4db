//! `tickforge db archive`: moves orders that are older than a year into `orders_archive`, while the
//! daemon and the applications go on.
//!
//! One connection walks the old orders by a cursor, another one moves them, a batch a statement:
//! deleted and inserted at once, so that a kill at any moment loses and doubles nothing. No
//! statement takes longer than [`LIMIT`]: the batch follows the time that the last one took, and
//! what would take longer is ended by the server and tried again with less. Rows that somebody else
//! has locked, another archive at work among them, are passed by and looked at again at the end.
//! Trades follow their orders, in the same statement; orders that a table of somebody else's
//! references stay, and are counted.

use super::{LOCK, Report, Target, connect, print};
use crate::config::Config;
use crate::publishers::postgres::Server;
use anyhow::{Context, anyhow, bail, ensure};
use serde::Serialize;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// The server ends a statement that takes longer; what is promised is 200 ms.
const LIMIT: Duration = Duration::from_millis(120);
/// What a statement should take.
const AIM: Duration = Duration::from_millis(50);
const FIRST_BATCH: usize = 100;
const LARGEST_BATCH: usize = 5_000;
/// Looks at what was locked, with a pause before each.
const PASSES: usize = 3;
const PAUSE: Duration = Duration::from_secs(1);
/// A single order that the server cannot move within its limit this many times is an error.
const PATIENCE: usize = 50;
const REPORT_EVERY: Duration = Duration::from_secs(10);

#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// Orders created longer ago than this, at least a day; as PostgreSQL writes intervals
    #[arg(long, value_name = "INTERVAL", default_value = "1 year")]
    older_than: String,
}

#[derive(Debug, Serialize)]
struct Archived {
    /// Orders from before this moment were looked at.
    older_than_at: String,
    moved: u64,
    /// Left in `orders`, because other rows reference them.
    kept_referenced: u64,
    /// Left for the next time, because somebody held a lock on them until the end.
    kept_locked: u64,
    statements: u64,
    /// Statements that the server ended at their limit; they changed nothing and were tried again.
    cut_short: u64,
    statement_ms_max: f64,
    batch_max: usize,
    seconds: f64,
}

pub async fn run(args: Args, config: &Config, json: bool) -> anyhow::Result<bool> {
    let server = args.target.server(config, config.archive.login.as_ref())?;
    let archived = archive(&server, &args.older_than).await?;
    print(&archived, json)?;
    Ok(true)
}

async fn archive(server: &Server, older_than: &str) -> anyhow::Result<Archived> {
    let begun = Instant::now();
    let explain = |e: sqlx::Error| anyhow!(server.explain(&e));
    let mut finder = connect(server, Duration::from_secs(60), LOCK).await?;
    let cutoff = cutoff(&mut finder, older_than).await.map_err(explain)?;
    let cutoff = cutoff.with_context(|| format!("--older-than {older_than:?}: at least a day"))?;
    may_see_all(server, &mut finder).await?;
    let mut mover = Mover {
        server,
        connection: connect(server, LIMIT, LIMIT / 3).await?,
        sql: Statements::of(server, &mut finder, &cutoff).await?,
        pace: Pace { batch: FIRST_BATCH },
        said: Instant::now(),
        done: Archived {
            older_than_at: cutoff,
            moved: 0,
            kept_referenced: 0,
            kept_locked: 0,
            statements: 0,
            cut_short: 0,
            statement_ms_max: 0.0,
            batch_max: 0,
            seconds: 0.0,
        },
    };
    for pass in 0..PASSES {
        if pass > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        (mover.done.kept_locked, mover.done.kept_referenced) = (0, 0);
        mover.walk(&mut finder).await?;
        if mover.done.kept_locked == 0 {
            break;
        }
    }
    mover.done.seconds = begun.elapsed().as_secs_f64();
    Ok(mover.done)
}

/// The moment that counts for the whole run; `None` where the interval is shorter than a day.
async fn cutoff(connection: &mut PgConnection, age: &str) -> Result<Option<String>, sqlx::Error> {
    let sql = concat!(
        "SELECT ",
        super::rfc3339!("now() - $1::text::interval"),
        " WHERE now() - $1::text::interval <= now() - interval '1 day'"
    );
    sqlx::query_scalar(sql)
        .bind(age)
        .fetch_optional(connection)
        .await
}

/// Row level security would hide orders rather than refuse them.
async fn may_see_all(server: &Server, connection: &mut PgConnection) -> anyhow::Result<()> {
    let sql = "SELECT NOT row_security_active('orders') OR EXISTS (
        SELECT FROM pg_roles WHERE rolname = 'trading_bot_admin'
            AND pg_has_role(current_user, oid, 'USAGE'))";
    let sees = sqlx::query_scalar::<_, bool>(sql)
        .fetch_one(connection)
        .await;
    let sees = sees.map_err(|e| anyhow!(server.explain(&e)))?;
    ensure!(
        sees,
        "{}: this role sees only its own user's orders; GRANT trading_bot_admin to it, or name \
         another one in [archive] url",
        server.place
    );
    Ok(())
}

/// Texts made of what the database says of its tables.
struct Statements {
    open: String,
    /// `$1`: ids of a batch.
    shift: String,
    /// `$1`: ids of a batch; how many of them are still there, and how many are referenced.
    left: String,
}

impl Statements {
    async fn of(
        server: &Server,
        connection: &mut PgConnection,
        cutoff: &str,
    ) -> anyhow::Result<Statements> {
        let explain = |e: sqlx::Error| anyhow!(server.explain(&e));
        let columns = columns(connection, "orders").await.map_err(explain)?;
        let there = columns_of_archive(connection).await.map_err(explain)?;
        let missing: Vec<_> = columns.iter().filter(|c| !there.contains(c)).collect();
        if !missing.is_empty() {
            let (place, missing) = (&server.place, missing.len());
            bail!(
                "{place}: orders_archive is not there or lacks {missing} columns of orders; run \
                 `tickforge migrate`"
            );
        }
        let referenced = references(connection).await.map_err(explain)?;
        Ok(Statements::new(cutoff, &columns.join(", "), &referenced))
    }

    fn new(cutoff: &str, columns: &str, referenced: &str) -> Statements {
        // An order that is in both, after a hand-made copy, keeps its newer text.
        let excluded = columns
            .split(", ")
            .map(|column| format!("EXCLUDED.{column}"));
        let excluded = excluded.collect::<Vec<_>>().join(", ");
        Statements {
            open: format!(
                "DECLARE old_orders NO SCROLL CURSOR FOR SELECT id FROM orders
                 WHERE created_at < '{cutoff}' ORDER BY created_at"
            ),
            shift: format!(
                "WITH due AS MATERIALIZED (
                     SELECT o.id FROM orders o
                     WHERE o.id = ANY($1) AND o.created_at < '{cutoff}' AND NOT ({referenced})
                     FOR UPDATE OF o SKIP LOCKED),
                 moved AS (DELETE FROM orders o USING due WHERE o.id = due.id RETURNING o.*),
                 followed AS (UPDATE trades t SET order_id = NULL, archived_order_id = t.order_id
                     FROM due WHERE t.order_id = due.id)
                 INSERT INTO orders_archive ({columns}) SELECT {columns} FROM moved
                 ON CONFLICT (id) DO UPDATE SET ({columns}) = ROW({excluded})"
            ),
            left: format!(
                "SELECT count(*), count(*) FILTER (WHERE {referenced})
                 FROM orders o WHERE o.id = ANY($1)"
            ),
        }
    }
}

async fn columns(
    connection: &mut PgConnection,
    table: &'static str,
) -> Result<Vec<String>, sqlx::Error> {
    let sql = "SELECT quote_ident(attname) FROM pg_attribute
        WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
            AND attgenerated = '' ORDER BY attnum";
    sqlx::query_scalar(sql)
        .bind(table)
        .fetch_all(connection)
        .await
}

async fn columns_of_archive(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    columns(connection, "orders_archive").await
}

/// Whether another row than a trade references order `o`, as a condition: by every foreign key that
/// would refuse the deletion, or be followed by it (the others' own rule is to let it go).
async fn references(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    let sql = "SELECT format('EXISTS (SELECT FROM %s r WHERE r.%I = o.id)', conrelid::regclass,
            (SELECT attname FROM pg_attribute WHERE attrelid = conrelid AND attnum = conkey[1]))
        FROM pg_constraint WHERE contype = 'f' AND confrelid = 'orders'::regclass
            AND conrelid <> 'trades'::regclass AND confdeltype IN ('a', 'r', 'c') AND conparentid = 0 ORDER BY conname";
    let found: Vec<String> = sqlx::query_scalar(sql).fetch_all(connection).await?;
    Ok(if found.is_empty() {
        "false".to_owned()
    } else {
        found.join(" OR ")
    })
}

/// How many orders the next statement moves.
struct Pace {
    batch: usize,
}

impl Pace {
    fn took(&mut self, moved: usize, elapsed: Duration) {
        let ratio = AIM.as_secs_f64() / elapsed.as_secs_f64().max(1e-6);
        let next = moved as f64 * ratio.clamp(0.25, 1.5);
        // A batch that was small because little was left says nothing against a larger one.
        if ratio < 1.0 || moved == self.batch {
            self.batch = (next.ceil() as usize).clamp(1, LARGEST_BATCH);
        }
    }

    fn cut_short(&mut self) {
        self.batch = (self.batch / 4).max(1);
    }
}

struct Mover<'a> {
    server: &'a Server,
    connection: PgConnection,
    sql: Statements,
    pace: Pace,
    said: Instant,
    done: Archived,
}

impl Mover<'_> {
    /// All old orders, once.
    async fn walk(&mut self, finder: &mut PgConnection) -> anyhow::Result<()> {
        let explain = |e: sqlx::Error| anyhow!(self.server.explain(&e));
        // The index on created_at gives each FETCH what it needs and no more; a scan of the table
        // would read on until it has found enough.
        let begin = "BEGIN READ ONLY; SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off;
            SET LOCAL enable_bitmapscan = off";
        finder.execute(begin).await.map_err(explain)?;
        let open = AssertSqlSafe(self.sql.open.clone());
        finder.execute(open).await.map_err(explain)?;
        let mut waiting: VecDeque<Uuid> = VecDeque::new();
        loop {
            if waiting.len() < self.pace.batch {
                let fetch = format!("FETCH {} FROM old_orders", self.pace.batch);
                let asked = Instant::now();
                let fetch = sqlx::query_scalar::<_, Uuid>(AssertSqlSafe(fetch));
                let ids = fetch.persistent(false).fetch_all(&mut *finder).await;
                waiting.extend(ids.map_err(|e| anyhow!(self.explain(&e)))?);
                self.count(asked.elapsed());
            }
            if waiting.is_empty() {
                break;
            }
            let size = self.pace.batch.min(waiting.len());
            let ids: Vec<Uuid> = waiting.drain(..size).collect();
            self.shift(ids).await?;
            self.say();
        }
        let end = finder.execute("COMMIT").await;
        end.map_err(|e| anyhow!(self.server.explain(&e)))?;
        Ok(())
    }

    fn count(&mut self, elapsed: Duration) {
        let ms = elapsed.as_secs_f64() * 1e3;
        self.done.statements += 1;
        self.done.statement_ms_max = self.done.statement_ms_max.max(ms);
    }

    /// Moves these orders, in as many statements as it takes.
    async fn shift(&mut self, mut ids: Vec<Uuid>) -> anyhow::Result<()> {
        let mut refused = 0;
        while !ids.is_empty() {
            let size = self.pace.batch.min(ids.len());
            let batch = &ids[ids.len() - size..];
            let asked = Instant::now();
            let sql = sqlx::query(AssertSqlSafe(self.sql.shift.clone())).bind(batch);
            let outcome = sql.execute(&mut self.connection).await;
            let elapsed = asked.elapsed();
            self.count(elapsed);
            let moved = match outcome {
                Ok(done) => done.rows_affected(),
                Err(e) if is_passing(&e) && refused < PATIENCE => {
                    refused += usize::from(size == 1);
                    self.done.cut_short += 1;
                    self.pace.cut_short();
                    tokio::time::sleep(LIMIT / 3).await;
                    continue;
                }
                Err(e) => bail!("{}; archived so far: {}", self.explain(&e), self.done.moved),
            };
            self.pace.took(size, elapsed);
            self.done.moved += moved;
            self.done.batch_max = self.done.batch_max.max(size);
            if moved < size as u64 {
                let batch = batch.to_vec();
                self.ask_what_is_left(&batch).await?;
            }
            ids.truncate(ids.len() - size);
        }
        Ok(())
    }

    async fn ask_what_is_left(&mut self, batch: &[Uuid]) -> anyhow::Result<()> {
        let sql = sqlx::query_as::<_, (i64, i64)>(AssertSqlSafe(self.sql.left.clone()));
        let asked = Instant::now();
        let answer = sql.bind(batch).fetch_one(&mut self.connection).await;
        let (there, referenced) = answer.map_err(|e| anyhow!(self.explain(&e)))?;
        self.count(asked.elapsed());
        self.done.kept_referenced += referenced.unsigned_abs();
        self.done.kept_locked += (there - referenced).unsigned_abs();
        Ok(())
    }

    fn explain(&self, error: &sqlx::Error) -> String {
        self.server.explain(error)
    }

    fn say(&mut self) {
        if self.said.elapsed() >= REPORT_EVERY {
            self.said = Instant::now();
            tracing::info!(
                moved = self.done.moved,
                batch = self.pace.batch,
                "archiving orders"
            );
        }
    }
}

/// Ended at its limit, or in somebody's way: nothing was changed, and less of it may pass.
fn is_passing(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|e| e.code());
    // The last one: a row that came to reference the order between our look and our deletion.
    matches!(
        code.as_deref(),
        Some("57014" | "55P03" | "40001" | "40P01" | "23503")
    )
}

impl Report for Archived {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let Archived {
            moved,
            older_than_at,
            seconds,
            ..
        } = self;
        writeln!(
            out,
            "{moved} orders from before {older_than_at} archived in {seconds:.1} s"
        )?;
        if self.kept_referenced > 0 {
            writeln!(
                out,
                "{} stay, because other rows reference them",
                self.kept_referenced
            )?;
        }
        if self.kept_locked > 0 {
            writeln!(
                out,
                "{} are in use and stay for the next time",
                self.kept_locked
            )?;
        }
        let Archived {
            statements,
            statement_ms_max,
            batch_max,
            cut_short,
            ..
        } = self;
        writeln!(
            out,
            "{statements} statements of at most {batch_max} orders and {statement_ms_max:.0} ms; \
             {cut_short} cut short and tried again"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_batch_follows_the_time_that_it_takes() {
        let mut pace = Pace { batch: 100 };
        let mut check = |moved: usize, ms: u64, expected: usize| {
            pace.took(moved, Duration::from_millis(ms));
            assert_eq!(pace.batch, expected, "{moved} in {ms} ms");
        };
        check(100, 5, 150);
        check(150, 100, 75);
        check(75, 50, 75);
        check(3, 1, 75); // the last few
        check(75, 1000, 19);
        check(19, 0, 29);
        pace.cut_short();
        assert_eq!(pace.batch, 7);
        pace.cut_short();
        pace.cut_short();
        assert_eq!(pace.batch, 1);
        for _ in 0..40 {
            pace.took(pace.batch, Duration::from_micros(1));
        }
        assert!(pace.batch <= LARGEST_BATCH);
    }
}
