//! What is in a database, in a form that two databases can be compared by: rows and a checksum of
//! each table. Reads every row; changes nothing.

use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    pub rows: i64,
    /// Sum over the rows' digests: the same in whatever order they lie.
    pub checksum: String,
}

/// How values are written, whatever the server's or the role's own settings; and an error where
/// row level security would hide rows.
const SETTINGS: &str = "SET timezone = 'UTC'; SET datestyle = 'ISO, YMD'; SET bytea_output = 'hex';
    SET intervalstyle = 'iso_8601'; SET extra_float_digits = 1; SET row_security = off;
    SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0";

/// Tables that a dump holds, as `schema.table`: none of an extension's own.
const TABLES: &str = "SELECT format('%I.%I', n.nspname, c.relname)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname <> 'information_schema'
        AND n.nspname NOT LIKE 'pg\\_%' AND NOT EXISTS (SELECT FROM pg_depend d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    ORDER BY 1";

/// Puts the connection's settings right for [`contents`].
pub async fn prepare(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    connection.execute(SETTINGS).await?;
    Ok(())
}

pub async fn tables(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(TABLES).fetch_all(connection).await
}

/// Of every table, within the transaction that the connection is in.
pub async fn contents(
    connection: &mut PgConnection,
) -> Result<BTreeMap<String, Content>, sqlx::Error> {
    let mut all = BTreeMap::new();
    for table in tables(connection).await? {
        let sql = format!(
            "SELECT count(*), COALESCE(sum(('x' || encode(substring(sha256(convert_to(
                 tickforge_row::text, 'UTF8')) FROM 1 FOR 8), 'hex'))::bit(64)::bigint::numeric),
                 0)::text
             FROM ONLY {table} AS tickforge_row"
        );
        let question = sqlx::query_as(AssertSqlSafe(sql)).persistent(false);
        let (rows, checksum) = question.fetch_one(&mut *connection).await?;
        all.insert(table, Content { rows, checksum });
    }
    Ok(all)
}

/// What differs, a line for each table.
pub fn differences(
    expected: &BTreeMap<String, Content>,
    found: &BTreeMap<String, Content>,
) -> Vec<String> {
    let missing = expected.keys().filter(|table| !found.contains_key(*table));
    let mut lines: Vec<String> = missing
        .map(|table| format!("{table}: is missing"))
        .collect();
    for (table, content) in found {
        match expected.get(table) {
            None => lines.push(format!("{table}: was not in the backup")),
            Some(was) if was.rows != content.rows => {
                lines.push(format!(
                    "{table}: {} rows, and {} were saved",
                    content.rows, was.rows
                ));
            }
            Some(was) if was != content => {
                lines.push(format!("{table}: other rows than those that were saved"));
            }
            Some(_) => {}
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_difference_is_named() {
        let content = |rows, checksum: &str| Content {
            rows,
            checksum: checksum.to_owned(),
        };
        let of = |tables: &[(&str, Content)]| {
            let owned = tables
                .iter()
                .map(|(name, c)| ((*name).to_owned(), c.clone()));
            owned.collect::<BTreeMap<_, _>>()
        };
        let saved = of(&[
            ("a", content(1, "7")),
            ("b", content(2, "8")),
            ("c", content(3, "9")),
        ]);
        let found = of(&[
            ("b", content(1, "8")),
            ("c", content(3, "10")),
            ("d", content(0, "0")),
        ]);
        assert_eq!(
            differences(&saved, &found),
            [
                "a: is missing",
                "b: 1 rows, and 2 were saved",
                "c: other rows than those that were saved",
                "d: was not in the backup"
            ]
        );
        assert!(differences(&saved, &saved).is_empty());
    }
}
