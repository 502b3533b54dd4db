//! InfluxDB 1.x by its own HTTP API: `/write?db=&rp=`, and InfluxQL statements for the rest.

use super::query::{self, Series};
use super::{Fault, Held, Http, Verdict, causes, describe, error_of, expired, text};
use crate::config::InfluxConfig;
use crate::publishers::influx::policy::{self, Policy, Terms};
use reqwest::{RequestBuilder, StatusCode, Url};

pub type Login = Option<(String, String)>;

pub struct One {
    http: Http,
    login: Login,
    database: String,
}

enum QueryError {
    /// It answered, and refused the statement.
    Statement(String),
    /// Only an administrator may.
    Forbidden(String),
    Away(String),
}

impl From<QueryError> for Fault {
    fn from(error: QueryError) -> Fault {
        match error {
            QueryError::Forbidden(reason) => Fault::Forbidden(reason),
            QueryError::Statement(reason) if reason.contains("already exists") => Fault::Exists,
            QueryError::Statement(reason) | QueryError::Away(reason) => Fault::Other(reason),
        }
    }
}

impl One {
    pub fn new(http: Http, login: Login, config: &InfluxConfig) -> One {
        One {
            http,
            login,
            database: config.database.clone(),
        }
    }

    /// The policies that are there; none where the database is missing.
    pub async fn held(&self) -> Result<Vec<Held>, Fault> {
        let show = format!("SHOW RETENTION POLICIES ON {}", quoted(&self.database));
        let rows = match self.query(&show).await {
            Ok(body) => query::parse(body.as_bytes()).map_err(Fault::Other)?,
            Err(QueryError::Statement(reason)) if reason.contains("database not found") => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(error.into()),
        };
        let policy = |name: String| Policy::ALL.into_iter().find(|p| p.name() == name);
        let rows = rows.iter().flat_map(Series::each);
        let held = rows.filter_map(|row| {
            Some(Held {
                policy: policy(row.text("name")?)?,
                terms: Terms {
                    keeps: policy::parse(&row.text("duration")?)?,
                    shard: policy::parse(&row.text("shardGroupDuration")?)?,
                    default: row.flag("default"),
                },
                id: String::new(),
            })
        });
        Ok(held.collect())
    }

    /// With its database.
    pub async fn create(&self, policy: Policy) -> Result<(), Fault> {
        let database = quoted(&self.database);
        self.run(&format!("CREATE DATABASE {database}")).await?;
        let statement = format!(
            "CREATE RETENTION POLICY \"{}\" ON {database} DURATION {} REPLICATION 1 \
             SHARD DURATION {}{}",
            policy.name(),
            policy::text(policy.wanted().keeps),
            policy::text(policy.wanted().shard),
            default(policy)
        );
        self.run(&statement).await
    }

    pub async fn mend(&self, policy: Policy) -> Result<(), Fault> {
        let statement = format!(
            "ALTER RETENTION POLICY \"{}\" ON {} DURATION {} SHARD DURATION {}{}",
            policy.name(),
            quoted(&self.database),
            policy::text(policy.wanted().keeps),
            policy::text(policy.wanted().shard),
            default(policy)
        );
        self.run(&statement).await
    }

    async fn run(&self, statement: &str) -> Result<(), Fault> {
        self.query(statement).await?;
        Ok(())
    }

    pub async fn version(&self) -> Result<String, String> {
        let place = &self.http.place;
        let ping = self.http.client.get(self.http.url(&["ping"], &[]));
        let answer = ping.send().await.map_err(|e| {
            let remedy = "is it running, and is [stores.influx] url right?";
            format!("{place}: {}; {remedy}", causes(&e))
        })?;
        let version = answer.headers().get("x-influxdb-version");
        let version = version
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        if version.trim_start_matches('v').starts_with("1.") {
            return Ok(version);
        }
        let found = if version.is_empty() {
            "something else"
        } else {
            &version
        };
        Err(format!(
            "{place}: {found} answers there, but InfluxDB 1.x is needed; set [stores.influx] \
             version = 2 for InfluxDB 2.x"
        ))
    }

    pub async fn log_in(&self) -> Result<(), String> {
        match self.query("SHOW DATABASES").await {
            Ok(_) | Err(QueryError::Forbidden(_)) => Ok(()),
            Err(QueryError::Statement(reason) | QueryError::Away(reason)) => {
                Err(format!("{}: {reason}", self.http.place))
            }
        }
    }

    /// The answer's text.
    async fn query(&self, statement: &str) -> Result<String, QueryError> {
        let url = self.http.url(&["query"], &[("q", statement)]);
        let request = self.with_login(self.http.client.post(url));
        let answer = request.send().await.map_err(|e| {
            QueryError::Away(format!(
                "{}; is it running, and is the url right?",
                causes(&e)
            ))
        })?;
        let status = answer.status();
        let body = text(answer).await;
        match (status, error_of(&body)) {
            (StatusCode::OK, None) => Ok(body),
            (StatusCode::OK, Some(reason)) => Err(QueryError::Statement(reason)),
            (StatusCode::FORBIDDEN, Some(reason)) => Err(QueryError::Forbidden(reason)),
            (_, reason) => Err(QueryError::Away(describe(status, reason, &body))),
        }
    }

    pub fn query_request(&self, statements: &str) -> RequestBuilder {
        let parameters = query::parameters(&self.database, statements);
        let url = self.http.url(&["query"], &parameters);
        self.with_login(self.http.client.post(url))
    }

    pub fn write(&self, policy: Policy) -> RequestBuilder {
        let database = self.database.as_str();
        let parameters = [("db", database), ("rp", policy.name()), ("precision", "ns")];
        let url = self.http.url(&["write"], &parameters);
        self.with_login(self.http.client.post(url))
    }

    fn with_login(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.login {
            Some((user, password)) => request.basic_auth(user, Some(password)),
            None => request,
        }
    }
}

pub fn judge(status: StatusCode, error: Option<&str>) -> Verdict {
    let says = |part: &str| error.is_some_and(|e| e.contains(part));
    match (status, error) {
        (StatusCode::NOT_FOUND, _) if says("database not found") => Verdict::Missing,
        (StatusCode::INTERNAL_SERVER_ERROR, _) if says("retention policy not found") => {
            Verdict::Missing
        }
        // Without its words it is not the database that answers, but something in front of it.
        (StatusCode::BAD_REQUEST, Some(error)) => match expired(error) {
            Some(expired) => Verdict::Stored { expired },
            None => Verdict::Refused,
        },
        _ => Verdict::Retry,
    }
}

/// As configured, or as the URL has it.
pub fn login(config: &InfluxConfig, url: &Url) -> Login {
    let password = config.password.as_ref().map(|p| p.0.clone());
    match &config.username {
        Some(user) => Some((user.clone(), password.unwrap_or_default())),
        None if !url.username().is_empty() => Some((
            url.username().to_owned(),
            url.password().unwrap_or_default().to_owned(),
        )),
        None => None,
    }
}

fn default(policy: Policy) -> &'static str {
    if policy.wanted().default {
        " DEFAULT"
    } else {
        ""
    }
}

fn quoted(identifier: &str) -> String {
    format!(
        "\"{}\"",
        identifier.replace('\\', "\\\\").replace('"', "\\\"")
    )
}
