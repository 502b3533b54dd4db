//! InfluxDB 1.x by its own HTTP API: `/write?db=&rp=`, and InfluxQL statements for the rest.

use super::{Http, POLICIES, TICKS, Verdict, causes, describe, error_of, expired, text};
use crate::config::InfluxConfig;
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

impl One {
    pub fn new(http: Http, login: Login, config: &InfluxConfig) -> One {
        One {
            http,
            login,
            database: config.database.clone(),
        }
    }

    pub async fn set_up(&self) -> Result<(), String> {
        let database = quoted(&self.database);
        self.create(&format!("CREATE DATABASE {database}")).await?;
        for (name, keeps, default) in POLICIES {
            let default = if default { " DEFAULT" } else { "" };
            let hours = keeps.as_secs() / 3600;
            let statement = format!(
                "CREATE RETENTION POLICY \"{name}\" ON {database} \
                 DURATION {hours}h REPLICATION 1{default}"
            );
            self.create(&statement).await?;
        }
        Ok(())
    }

    /// A statement that may have been run before, or be the administrator's business.
    async fn create(&self, statement: &str) -> Result<(), String> {
        let place = &self.http.place;
        match self.query(statement).await {
            Err(QueryError::Statement(reason)) if reason.contains("already exists") => {
                tracing::info!("{place}: {statement}: {reason}; left as it is");
                Ok(())
            }
            Err(QueryError::Forbidden(reason)) => {
                tracing::warn!("{place}: {statement}: {reason}; an administrator has to");
                Ok(())
            }
            Err(QueryError::Statement(reason) | QueryError::Away(reason)) => {
                Err(format!("{place}: {statement}: {reason}"))
            }
            Ok(()) => Ok(()),
        }
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
            Ok(()) | Err(QueryError::Forbidden(_)) => Ok(()),
            Err(QueryError::Statement(reason) | QueryError::Away(reason)) => {
                Err(format!("{}: {reason}", self.http.place))
            }
        }
    }

    async fn query(&self, statement: &str) -> Result<(), QueryError> {
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
            (StatusCode::OK, None) => Ok(()),
            (StatusCode::OK, Some(reason)) => Err(QueryError::Statement(reason)),
            (StatusCode::FORBIDDEN, Some(reason)) => Err(QueryError::Forbidden(reason)),
            (_, reason) => Err(QueryError::Away(describe(status, reason, &body))),
        }
    }

    pub fn write(&self) -> RequestBuilder {
        let database = self.database.as_str();
        let parameters = [("db", database), ("rp", TICKS), ("precision", "ns")];
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

fn quoted(identifier: &str) -> String {
    format!(
        "\"{}\"",
        identifier.replace('\\', "\\\\").replace('"', "\\\"")
    )
}
