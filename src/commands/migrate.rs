//! `tickforge migrate`: brings a database's tables up to date and says what it did. It must not
//! start anything else. Called by `main` on the main thread; `tickforge db migrate` is the same.

use crate::config::PostgresConfig;
use crate::publishers::postgres::{self, Migrated};
use anyhow::Context;
use std::io::{self, Write};

/// Create or update the tables in PostgreSQL; what was applied before is left alone
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// postgres://USER:PASSWORD@HOST:PORT/DATABASE; else the configuration's [stores.postgres] url
    #[arg(long, value_name = "URL")]
    pub database_url: Option<String>,
}

/// `configured` reads the configuration, and is asked only where no URL was given.
pub async fn run(
    args: Args,
    json: bool,
    configured: impl FnOnce() -> anyhow::Result<Option<PostgresConfig>>,
) -> anyhow::Result<()> {
    let url = match args.database_url {
        Some(url) => url,
        None => {
            let postgres = configured()?
                .context("no database: give --database-url URL, or set [stores.postgres] url")?;
            postgres.url.0
        }
    };
    let migrated = postgres::migrate(&url).await?;
    print(&mut io::stdout().lock(), &migrated, json).context("writing to stdout")
}

fn print(out: &mut impl Write, migrated: &Migrated, json: bool) -> io::Result<()> {
    if json {
        return writeln!(out, "{}", serde_json::to_string(migrated)?);
    }
    for name in &migrated.applied {
        writeln!(out, "applied {name}")?;
    }
    match migrated.applied.len() {
        0 => writeln!(
            out,
            "nothing to do, the database is at version {}",
            migrated.version
        ),
        n => writeln!(
            out,
            "{n} applied, the database is at version {}",
            migrated.version
        ),
    }?;
    for warning in &migrated.warnings {
        writeln!(out, "warning: {warning}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(applied: &[&str], warnings: &[&str], json: bool, expected: &str) {
        let texts = |of: &[&str]| of.iter().map(|s| (*s).to_owned()).collect();
        let migrated = Migrated {
            applied: texts(applied),
            version: 2,
            warnings: texts(warnings),
        };
        let mut out = Vec::new();
        print(&mut out, &migrated, json).expect("a Vec takes all");
        assert_eq!(String::from_utf8(out).expect("UTF-8"), expected);
    }

    #[test]
    fn says_what_it_did() {
        check(
            &["0002_b"],
            &["no role x"],
            true,
            "{\"applied\":[\"0002_b\"],\"version\":2,\"warnings\":[\"no role x\"]}\n",
        );
        check(
            &["0001_a", "0002_b"],
            &[],
            false,
            "applied 0001_a\napplied 0002_b\n2 applied, the database is at version 2\n",
        );
        check(
            &[],
            &["no role x"],
            false,
            "nothing to do, the database is at version 2\nwarning: no role x\n",
        );
    }
}
