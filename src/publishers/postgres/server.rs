//! Which PostgreSQL, how to reach it, and what an error of it means. It must not print a password.
//! Called by the sink on the publisher's thread, by `tickforge check` and by `tickforge migrate`.

use crate::config::PostgresConfig;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgPool};
use std::future::Future;
use std::io;
use std::str::FromStr;
use std::time::Duration;

/// The oldest release that is tested and supported.
const MIN_VERSION: i32 = 140_000;

/// Asks the server for its version, which is what `tickforge check` prints; else says what is wrong
/// and what to do.
pub async fn probe(config: &PostgresConfig) -> Result<String, String> {
    let server = Server::parse(&config.url.0)?;
    let limits = Limits {
        statement: config.timeout,
        lock: config.timeout,
    };
    let mut connection = server
        .connect(config.timeout, limits)
        .await
        .map_err(|e| server.explain(&e))?;
    let question = "SELECT current_setting('server_version'), \
                    current_setting('server_version_num')::int, pg_is_in_recovery()";
    let answer = sqlx::query_as::<_, (String, i32, bool)>(question).fetch_one(&mut connection);
    let (version, number, standby) = within(config.timeout, answer)
        .await
        .map_err(|e| server.explain(&e))?;
    let _ = within(config.timeout, connection.close()).await; // the answer is known; only courtesy
    let place = &server.place;
    if number < MIN_VERSION {
        return Err(format!(
            "{place}: version {version} is too old; 14 or newer is needed"
        ));
    }
    if standby {
        return Err(format!("{place}: is a read-only standby; {PRIMARY}"));
    }
    Ok(version)
}

/// How long the server may spend on one statement, and on waiting for one lock.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub statement: Duration,
    pub lock: Duration,
}

/// One PostgreSQL server and database, as a URL names it.
pub struct Server {
    options: PgConnectOptions,
    /// For messages: host, port, database and user, never the password.
    pub place: String,
}

impl Server {
    pub fn parse(url: &str) -> Result<Server, String> {
        if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
            return Err(format!("the PostgreSQL url has no such scheme; {FORM}"));
        }
        let options = PgConnectOptions::from_str(url)
            .map_err(|e| format!("the PostgreSQL url cannot be read: {e}; {FORM}"))?;
        let place = place(&options);
        let options = match options.get_application_name() {
            Some(_) => options,
            None => options.application_name("tickforge"),
        };
        Ok(Server {
            options: options.disable_statement_logging(),
            place,
        })
    }

    /// A connection whose every statement ends within `limits`, or an error within `limit`.
    pub async fn connect(
        &self,
        limit: Duration,
        limits: Limits,
    ) -> Result<PgConnection, sqlx::Error> {
        within(limit, self.limited(limits).connect()).await
    }

    fn limited(&self, limits: Limits) -> PgConnectOptions {
        self.options.clone().options([
            ("statement_timeout", millis(limits.statement)),
            ("lock_timeout", millis(limits.lock)),
            // A host that vanished within a transaction must not keep its locks.
            (
                "idle_in_transaction_session_timeout",
                millis(limits.statement),
            ),
            ("client_min_messages", "warning".to_owned()),
        ])
    }

    /// The same by a pool of one, for what must have a pool.
    pub fn pool(&self, limit: Duration, limits: Limits) -> PgPool {
        PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(limit)
            .connect_lazy_with(self.limited(limits))
    }

    /// How other programs are told of the same server and database: variables of libpq, so that no
    /// password is ever on a command line.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let options = &self.options;
        let host = options.get_socket().map(|path| path.display().to_string());
        let user = options.get_username();
        let mut all = vec![
            (
                "PGHOST",
                host.unwrap_or_else(|| options.get_host().to_owned()),
            ),
            ("PGPORT", options.get_port().to_string()),
            ("PGUSER", user.to_owned()),
            (
                "PGDATABASE",
                options.get_database().unwrap_or(user).to_owned(),
            ),
        ];
        // The one way to the rest; a name may hold what no URL does, and is not asked for here.
        let rest = options
            .clone()
            .username("user")
            .database("name")
            .to_url_lossy();
        let form = rest.password().map(|p| p.replace('+', "%2B"));
        let decoded = |text: &str| {
            let mut url = rest.clone();
            url.set_query(Some(&format!("p={text}")));
            url.query_pairs()
                .next()
                .map(|(_, value)| value.into_owned())
        };
        all.extend(form.and_then(|p| decoded(&p)).map(|p| ("PGPASSWORD", p)));
        for (key, value) in rest.query_pairs() {
            let name = match key.as_ref() {
                "sslmode" => "PGSSLMODE",
                "sslrootcert" => "PGSSLROOTCERT",
                "sslcert" => "PGSSLCERT",
                "sslkey" => "PGSSLKEY",
                _ => continue,
            };
            // libpq's own default, which allows what ours does.
            if (name, value.as_ref()) != ("PGSSLMODE", "prefer") {
                all.push((name, value.into_owned()));
            }
        }
        all
    }

    /// Place, cause and remedy in one line.
    pub fn explain(&self, error: &sqlx::Error) -> String {
        format!("{}: {}; {}", self.place, cause(error), remedy(error))
    }
}

/// Ends `work` after `limit`: a dead network gives no answer at all, which no setting of the server
/// can cut short.
pub async fn within<T, E: From<sqlx::Error>>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result,
        Err(_) => {
            let text = format!("no answer within {limit:?}");
            let error = io::Error::new(io::ErrorKind::TimedOut, text);
            Err(sqlx::Error::Io(error).into())
        }
    }
}

/// Whether the same call can succeed later without a change to its data. The one place that
/// decides: what is not known to be the row's own fault is waited for.
pub(super) fn is_retriable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Encode(_) => false,
        sqlx::Error::Database(e) => e.code().is_none_or(|code| is_retriable_state(&code)),
        _ => true,
    }
}

/// By SQLSTATE: class 22 is data that no column takes, 23 a constraint, 44 a view's condition, 54
/// a value beyond the server's limits, P0 an operator's own trigger that says no.
fn is_retriable_state(code: &str) -> bool {
    match code {
        // A pair that somebody deleted between our look and our insert: it is there the next time.
        "23503" => true,
        _ => !matches!(code.get(..2), Some("22" | "23" | "44" | "54" | "P0")),
    }
}

/// What the server said, with its SQLSTATE.
pub(super) fn cause(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(e) => match e.code() {
            Some(code) => format!("{} (SQLSTATE {code})", e.message()),
            None => e.message().to_owned(),
        },
        other => other.to_string(),
    }
}

fn remedy(error: &sqlx::Error) -> &'static str {
    match error {
        sqlx::Error::Database(e) => remedy_of_state(e.code().as_deref().unwrap_or_default()),
        sqlx::Error::Tls(_) => "check sslmode and sslrootcert in [stores.postgres] url",
        sqlx::Error::Io(e) if e.kind() == io::ErrorKind::TimedOut => {
            "is the host reachable, and is [stores.postgres] timeout long enough?"
        }
        _ => "is it running, and is [stores.postgres] url right?",
    }
}

const FORM: &str = "[stores.postgres] url is postgres://USER:PASSWORD@HOST:PORT/DATABASE";
const PRIMARY: &str = "point [stores.postgres] url at the primary";

fn remedy_of_state(code: &str) -> &'static str {
    match code {
        "28P01" | "28000" => {
            "check user and password in [stores.postgres] url, and the server's pg_hba.conf"
        }
        "3D000" => "create the database (createdb), or correct its name in [stores.postgres] url",
        "42501" => "grant the role its rights, or run `tickforge migrate` as the tables' owner",
        "42P07" | "42710" | "42723" => {
            "tickforge did not make the object of this name: give it its own database"
        }
        "42P01" | "42703" | "42704" | "42804" | "42883" | "3F000" => {
            "the schema is missing or another one: run `tickforge migrate`"
        }
        "25006" => PRIMARY,
        "53300" => "raise max_connections, or close other clients",
        "53100" => "free disk space on the server",
        "57014" | "55P03" | "25P03" => {
            "a lock or an overloaded server held it up; [stores.postgres] timeout sets the limit"
        }
        "57P01" | "57P02" | "57P03" => "it is starting or stopping; trying again",
        "08P01" => "for PgBouncer: ignore_startup_parameters = extra_float_digits,options",
        _ if code.starts_with("40") => "another writer was in the way; trying again",
        _ => "see the server's log",
    }
}

fn place(options: &PgConnectOptions) -> String {
    let address = match options.get_socket() {
        Some(folder) => folder.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    let user = options.get_username();
    // What the server itself does with a connection that names no database.
    let database = options.get_database().unwrap_or(user);
    format!("postgres at {address}, database {database}, user {user}")
}

/// As a setting: whole milliseconds, at least 1, because 0 would mean no limit.
fn millis(limit: Duration) -> String {
    limit.as_millis().clamp(1, i32::MAX as u128).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_the_place_and_never_the_password() {
        let check = |url: &str, expected: &str| {
            let server = Server::parse(url).expect("a url");
            assert_eq!(server.place, expected, "{url}");
            let text = server.explain(&sqlx::Error::PoolClosed);
            assert!(
                text.starts_with(expected) && !text.contains("s3cret"),
                "{text}"
            );
        };
        check(
            "postgres://bot:s3cret@db.example:6543/trading",
            "postgres at db.example:6543, database trading, user bot",
        );
        check(
            "postgresql://bot@db.example:5432?password=s3cret",
            "postgres at db.example:5432, database bot, user bot",
        );
        check(
            "postgres://bot:s3cret@%2Frun%2Fpostgresql/trading",
            "postgres at /run/postgresql, database trading, user bot",
        );
    }

    #[test]
    fn other_programs_are_told_by_variables() {
        let check = |url: &str, expected: &[(&str, &str)]| {
            let variables = Server::parse(url).expect("a url").environment();
            for (name, value) in expected {
                let found = variables.iter().find(|(n, _)| n == name);
                assert_eq!(found.map(|(_, v)| v.as_str()), Some(*value), "{url} {name}");
            }
        };
        check(
            "postgres://a%40b:s3%2B%25+cret%20@db.example:6543/trading?sslmode=require",
            &[
                ("PGHOST", "db.example"),
                ("PGPORT", "6543"),
                ("PGUSER", "a@b"),
                ("PGDATABASE", "trading"),
                ("PGPASSWORD", "s3+%+cret "),
                ("PGSSLMODE", "require"),
            ],
        );
        check(
            "postgres://bot@%2Frun%2Fpostgresql",
            &[("PGHOST", "/run/postgresql"), ("PGDATABASE", "bot")],
        );
    }

    #[test]
    fn a_url_that_cannot_be_read_is_explained_without_its_text() {
        for url in [
            "mysql://bot:s3cret@db/trading",
            "s3cret",
            "postgres://bot:s3cret@db:port/trading",
            "postgres://bot:s3cret@db/trading?sslmode=maybe",
        ] {
            let Err(text) = Server::parse(url) else {
                panic!("{url} was taken")
            };
            assert!(text.contains(FORM) && !text.contains("s3cret"), "{text}");
        }
    }

    #[test]
    fn only_what_is_the_rows_own_fault_is_refused() {
        let retried = [
            "08000", "08006", "08P01", "23503", "25006", "25P03", "28000", "28P01", "3D000",
            "40001", "40P01", "42501", "42703", "42P01", "42P07", "53100", "53200", "53300",
            "55P03", "57014", "57P01", "57P02", "57P03", "58030", "XX000", "",
        ];
        for code in retried {
            assert!(is_retriable_state(code), "{code}");
        }
        let refused = [
            "22001", "22003", "22007", "22021", "22P02", "22P05", "23502", "23505", "23514",
            "44000", "54000", "P0001",
        ];
        for code in refused {
            assert!(!is_retriable_state(code), "{code}");
        }
    }

    #[test]
    fn errors_without_a_state_are_waited_for_unless_the_value_cannot_be_sent() {
        assert!(is_retriable(&sqlx::Error::PoolTimedOut));
        assert!(is_retriable(&sqlx::Error::Io(
            io::ErrorKind::ConnectionRefused.into()
        )));
        assert!(is_retriable(&sqlx::Error::Protocol("odd".into())));
        assert!(is_retriable(&sqlx::Error::Tls("certificate".into())));
        assert!(!is_retriable(&sqlx::Error::Encode("too long".into())));
    }

    #[test]
    fn a_limit_is_never_sent_as_no_limit() {
        assert_eq!(millis(Duration::ZERO), "1");
        assert_eq!(millis(Duration::from_micros(10)), "1");
        assert_eq!(millis(Duration::from_secs(5)), "5000");
        assert_eq!(millis(Duration::MAX), i32::MAX.to_string());
    }
}
