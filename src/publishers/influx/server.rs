//! InfluxDB 1.x over its own HTTP API: what is asked, and what its answers mean.
//!
//! Holds no points and never tries again by itself.

use crate::config::InfluxConfig;
use reqwest::header::RETRY_AFTER;
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use std::time::Duration;

/// Retention policies: name, how long it keeps, and whether it is the default one. (`2y` does not
/// parse: 104 weeks.)
const POLICIES: [(&str, &str, bool); 4] = [
    ("realtime", "1h", true),
    ("short_term", "7d", false),
    ("medium_term", "90d", false),
    ("long_term", "104w", false),
];

/// What became of a write.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// Stored, except this many points that are older than the policy keeps.
    Stored { expired: usize },
    /// At least one line is refused and would be again; the others may be stored.
    Refused(String),
    /// Too many bytes at once.
    TooLarge,
    /// The database or its policy is not there.
    Missing(String),
    /// Away, overloaded, wrong password: try again, not before the time it asked for.
    Retry {
        reason: String,
        after: Option<Duration>,
    },
}

pub struct Server {
    client: reqwest::Client,
    base: Url,
    login: Option<(String, String)>,
    database: String,
    /// `influx at http://host:8086`, for messages.
    pub place: String,
}

impl Server {
    pub fn new(config: &InfluxConfig) -> Result<Server, String> {
        if config.version != 1 {
            return Err(format!(
                "[stores.influx] version = {}: this build speaks InfluxDB 1.x only; \
                 set version = 1 and point url at a 1.x server, or remove the section",
                config.version
            ));
        }
        let wrong = |what: &str| {
            format!("[stores.influx] url: {what}; it looks like http://127.0.0.1:8086")
        };
        let mut base: Url = config.url.parse().map_err(|_| wrong("not a URL"))?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(wrong("neither http nor https"));
        }
        let login = login(config, &base);
        // What follows may be printed.
        let _ = base.set_username("");
        let _ = base.set_password(None);
        let place = format!("influx at {}", base.as_str().trim_end_matches('/'));
        let client = client(config, base.scheme() == "https")
            .map_err(|e| format!("{place}: no HTTP client: {}", causes(&e)))?;
        Ok(Server {
            client,
            base,
            login,
            database: config.database.clone(),
            place,
        })
    }

    /// Creates the database and its retention policies where they are missing.
    pub async fn set_up(&self) -> Result<(), String> {
        let database = quoted(&self.database);
        self.create(&format!("CREATE DATABASE {database}")).await?;
        for (name, keeps, default) in POLICIES {
            let default = if default { " DEFAULT" } else { "" };
            let statement = format!(
                "CREATE RETENTION POLICY \"{name}\" ON {database} \
                 DURATION {keeps} REPLICATION 1{default}"
            );
            self.create(&statement).await?;
        }
        Ok(())
    }

    /// A statement that may have been run before, or be the administrator's business.
    async fn create(&self, statement: &str) -> Result<(), String> {
        match self.query(statement).await {
            Err(QueryError::Statement(reason)) if reason.contains("already exists") => {
                tracing::info!("{}: {statement}: {reason}; left as it is", self.place);
                Ok(())
            }
            Err(QueryError::Forbidden(reason)) => {
                tracing::warn!(
                    "{}: {statement}: {reason}; an administrator has to",
                    self.place
                );
                Ok(())
            }
            Err(QueryError::Statement(reason) | QueryError::Away(reason)) => {
                Err(format!("{}: {statement}: {reason}", self.place))
            }
            Ok(()) => Ok(()),
        }
    }

    /// Its version, from an answer that needs no login; an error where it is not 1.x.
    pub async fn version(&self) -> Result<String, String> {
        let answer = self.client.get(self.url("ping", &[])).send().await;
        let answer = answer.map_err(|e| self.away(&e))?;
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
            "{}: {found} answers there, but InfluxDB 1.x is needed",
            self.place
        ))
    }

    /// Whether it lets us in.
    pub async fn log_in(&self) -> Result<(), String> {
        match self.query("SHOW DATABASES").await {
            Ok(()) | Err(QueryError::Forbidden(_)) => Ok(()),
            Err(QueryError::Statement(reason) | QueryError::Away(reason)) => {
                Err(format!("{}: {reason}", self.place))
            }
        }
    }

    async fn query(&self, statement: &str) -> Result<(), QueryError> {
        let request = self.client.post(self.url("query", &[("q", statement)]));
        let answer = self.with_login(request).send().await.map_err(|e| {
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

    /// Writes lines to the policy of ticks.
    pub async fn write(&self, lines: Vec<u8>) -> Answer {
        let parameters = [
            ("db", self.database.as_str()),
            ("rp", "realtime"),
            ("precision", "ns"),
        ];
        let request = self.client.post(self.url("write", &parameters)).body(lines);
        match self.with_login(request).send().await {
            Ok(answer) => {
                let status = answer.status();
                let after = answer
                    .headers()
                    .get(RETRY_AFTER)
                    .and_then(|v| v.to_str().ok());
                let after = after
                    .and_then(|v| v.trim().parse().ok())
                    .map(Duration::from_secs);
                self.judge(status, after, &text(answer).await)
            }
            Err(e) => Answer::Retry {
                reason: self.away(&e),
                after: None,
            },
        }
    }

    fn judge(&self, status: StatusCode, after: Option<Duration>, body: &str) -> Answer {
        let error = error_of(body);
        let says = |part: &str| error.as_ref().is_some_and(|e| e.contains(part));
        match status {
            s if s.is_success() => Answer::Stored { expired: 0 },
            StatusCode::PAYLOAD_TOO_LARGE => Answer::TooLarge,
            StatusCode::NOT_FOUND if says("database not found") => self.missing(error),
            StatusCode::INTERNAL_SERVER_ERROR if says("retention policy not found") => {
                self.missing(error)
            }
            // Without its words it is not the database that answers, but something in front of it.
            StatusCode::BAD_REQUEST if error.is_some() => {
                let error = error.unwrap_or_default();
                match expired(&error) {
                    Some(expired) => Answer::Stored { expired },
                    None => Answer::Refused(error),
                }
            }
            _ => {
                let reason = format!("{}: {}", self.place, describe(status, error, body));
                Answer::Retry { reason, after }
            }
        }
    }

    fn missing(&self, error: Option<String>) -> Answer {
        Answer::Missing(format!("{}: {}", self.place, error.unwrap_or_default()))
    }

    fn away(&self, error: &reqwest::Error) -> String {
        let remedy = "is it running, and is [stores.influx] url right?";
        format!("{}: {}; {remedy}", self.place, causes(error))
    }

    fn url(&self, path: &str, parameters: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(path);
        }
        if !parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(parameters);
        }
        url
    }

    fn with_login(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.login {
            Some((user, password)) => request.basic_auth(user, Some(password)),
            None => request,
        }
    }
}

enum QueryError {
    /// It answered, and refused the statement.
    Statement(String),
    /// Only an administrator may.
    Forbidden(String),
    Away(String),
}

fn client(config: &InfluxConfig, tls: bool) -> reqwest::Result<reqwest::Client> {
    // Installed already, except in a program that starts with this store.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .timeout(config.timeout)
        .connect_timeout(config.timeout)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy();
    if !tls {
        // A host without certificates can still reach a server that needs none.
        builder = builder.tls_certs_only([]);
    }
    builder.build()
}

fn login(config: &InfluxConfig, url: &Url) -> Option<(String, String)> {
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

/// At most so much of an answer is read.
const ANSWER_BYTES: usize = 64 * 1024;

async fn text(mut answer: Response) -> String {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > ANSWER_BYTES {
            break;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The `error` of an answer, also of a statement within a successful one.
fn error_of(body: &str) -> Option<String> {
    let json: serde_json::Value = serde_json::from_str(body).ok()?;
    let within = || {
        json.get("results")?
            .as_array()?
            .iter()
            .find_map(|r| r.get("error"))
    };
    json.get("error")
        .or_else(within)?
        .as_str()
        .map(str::to_owned)
}

/// Points that were dropped for their age, where that is all the error says.
fn expired(error: &str) -> Option<usize> {
    let rest = error.strip_prefix("partial write: points beyond retention policy dropped=")?;
    rest.trim().parse().ok()
}

fn describe(status: StatusCode, error: Option<String>, body: &str) -> String {
    let said = error.unwrap_or_else(|| body.chars().take(200).collect());
    let remedy = match status {
        StatusCode::UNAUTHORIZED => "; correct username and password in [stores.influx]",
        StatusCode::FORBIDDEN => "; grant the user in [stores.influx] write access",
        StatusCode::NOT_FOUND => "; is [stores.influx] url right?",
        _ => "",
    };
    format!("{status}: {}{remedy}", said.trim())
}

/// An error with its causes, without the URL.
fn causes(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut text = String::new();
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(c) = cause {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&c.to_string());
        cause = c.source();
    }
    if text.is_empty() {
        "the request failed".to_owned()
    } else {
        text
    }
}
