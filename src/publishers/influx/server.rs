//! An InfluxDB: where it is, which of its APIs it is spoken to by, and what its answer to a write
//! means.
//!
//! Holds no points and never tries again by itself. What the two APIs do differently is in `one`
//! and `two`; both answer InfluxQL (`query`).

mod one;
mod query;
#[cfg(feature = "influxdb2")]
mod two;

use super::policy::{Outcome, Policy, Report, Terms};
use crate::config::InfluxConfig;
use one::One;
#[cfg(test)]
pub use query::parse;
pub use query::{Row, Series};
use reqwest::header::RETRY_AFTER;
use reqwest::{Response, StatusCode, Url};
use std::time::Duration;
#[cfg(feature = "influxdb2")]
use two::Two;

/// What to do where no answer comes.
const AWAY: &str = "is it running, and is [stores.influx] url right?";

/// What became of a write.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// Stored, except this many points that are older than the policy keeps.
    Stored { expired: usize },
    /// At least one line is refused and would be again; the others may be stored.
    Refused(String),
    /// Too many bytes at once.
    TooLarge,
    /// The database, bucket or policy is not there.
    Missing(String),
    /// Away, overloaded, wrong password: try again, not before the time it asked for.
    Retry {
        reason: String,
        after: Option<Duration>,
    },
}

/// What an API's status and words say about a write.
enum Verdict {
    Stored { expired: usize },
    Refused,
    TooLarge,
    Missing,
    Retry,
}

/// A policy that a server has.
struct Held {
    policy: Policy,
    terms: Terms,
    /// Of a bucket.
    id: String,
}

/// Why a policy was not looked at, made or changed.
enum Fault {
    /// Only an administrator may.
    Forbidden(String),
    /// There already, made by another one just now.
    Exists,
    /// Not there.
    Missing,
    Other(String),
}

pub struct Server {
    api: Api,
    /// `influx at http://host:8086`, for messages.
    pub place: String,
}

enum Api {
    One(One),
    #[cfg(feature = "influxdb2")]
    Two(Two),
}

impl Server {
    pub fn new(config: &InfluxConfig) -> Result<Server, String> {
        let wrong = |what: &str| {
            format!("[stores.influx] url: {what}; it looks like http://127.0.0.1:8086")
        };
        let mut base: Url = config.url.parse().map_err(|_| wrong("not a URL"))?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(wrong("neither http nor https"));
        }
        let login = one::login(config, &base);
        // What follows may be printed.
        let _ = base.set_username("");
        let _ = base.set_password(None);
        let place = format!("influx at {}", base.as_str().trim_end_matches('/'));
        let client = client(config, base.scheme() == "https")
            .map_err(|e| format!("{place}: no HTTP client: {}", causes(&e)))?;
        let http = Http {
            client,
            base,
            place: place.clone(),
        };
        let api = match config.version {
            1 => Api::One(One::new(http, login, config)),
            #[cfg(feature = "influxdb2")]
            2 => Api::Two(Two::new(http, config)?),
            other => {
                return Err(format!(
                    "[stores.influx] version = {other}: this build does not speak it; build with \
                     the feature influxdb2 for version = 2, or set version = 1 for a 1.x server"
                ));
            }
        };
        Ok(Server { api, place })
    }

    /// Creates the database and its policies, or a bucket for each policy, where they are missing.
    /// A policy that differs is changed where `mend` says so, and else told of in the log.
    pub async fn set_up(&self, mend: bool) -> Result<Vec<Report>, String> {
        let held = match self.held().await {
            Ok(held) => held,
            Err(Fault::Forbidden(reason)) => return Ok(self.forbidden(&reason)),
            Err(Fault::Exists | Fault::Missing) => Vec::new(),
            Err(Fault::Other(reason)) => return Err(format!("{}: {reason}", self.place)),
        };
        let mut reports = Vec::new();
        for policy in Policy::ALL {
            let held = held.iter().find(|h| h.policy == policy);
            reports.push(self.settle(policy, held, mend).await?);
        }
        Ok(reports)
    }

    async fn settle(
        &self,
        policy: Policy,
        held: Option<&Held>,
        mend: bool,
    ) -> Result<Report, String> {
        let (place, name) = (&self.place, policy.name());
        let differences = held.map_or_else(Vec::new, |h| h.terms.differences(&policy.wanted()));
        let done = match held {
            Some(_) if differences.is_empty() => Ok(Outcome::Ok),
            Some(held) if mend => self.mend(held).await.map(|()| Outcome::Mended),
            Some(_) => Ok(Outcome::Differs),
            None => self.create(policy).await.map(|()| Outcome::Created),
        };
        let state = match done {
            Ok(state) => state,
            Err(Fault::Exists) => Outcome::Ok,
            Err(Fault::Forbidden(reason)) => {
                tracing::warn!("{place}: policy {name}: {reason}; an administrator has to");
                Outcome::Forbidden
            }
            Err(Fault::Missing) => return Err(format!("{place}: policy {name}: not found")),
            Err(Fault::Other(reason)) => return Err(format!("{place}: policy {name}: {reason}")),
        };
        if state == Outcome::Differs {
            let told: Vec<String> = differences.iter().map(ToString::to_string).collect();
            let told = told.join(", ");
            tracing::warn!("{place}: policy {name}: {told}; `tickforge influx setup` mends it");
        }
        if matches!(state, Outcome::Created | Outcome::Mended) {
            tracing::info!("{place}: policy {name}: {state:?}");
        }
        Ok(Report {
            policy: name,
            state,
            differences,
        })
    }

    fn forbidden(&self, reason: &str) -> Vec<Report> {
        let place = &self.place;
        tracing::warn!("{place}: policies are not seen: {reason}; an administrator has to set up");
        let report = |policy: Policy| Report {
            policy: policy.name(),
            state: Outcome::Forbidden,
            differences: Vec::new(),
        };
        Policy::ALL.map(report).into()
    }

    async fn held(&self) -> Result<Vec<Held>, Fault> {
        match &self.api {
            Api::One(one) => one.held().await,
            #[cfg(feature = "influxdb2")]
            Api::Two(two) => two.held().await,
        }
    }

    async fn create(&self, policy: Policy) -> Result<(), Fault> {
        match &self.api {
            Api::One(one) => one.create(policy).await,
            #[cfg(feature = "influxdb2")]
            Api::Two(two) => two.create(policy).await,
        }
    }

    async fn mend(&self, held: &Held) -> Result<(), Fault> {
        match &self.api {
            Api::One(one) => one.mend(held.policy).await,
            #[cfg(feature = "influxdb2")]
            Api::Two(two) => two.mend(held).await,
        }
    }

    /// Rows of one or more InfluxQL statements, in order; an error names the place and the reason.
    pub async fn query(&self, statements: &str) -> Result<Vec<Series>, String> {
        let request = match &self.api {
            Api::One(one) => one.query_request(statements),
            #[cfg(feature = "influxdb2")]
            Api::Two(two) => two.query_request(statements),
        };
        let place = &self.place;
        let answer = request.send().await;
        let answer = answer.map_err(|e| format!("{place}: {}; {AWAY}", causes(&e)))?;
        let status = answer.status();
        let bytes = answer.bytes().await;
        let bytes = bytes.map_err(|e| format!("{place}: {}", causes(&e)))?;
        if !status.is_success() {
            let body = String::from_utf8_lossy(&bytes);
            let reason = describe(status, error_of(&body), &body);
            return Err(format!("{place}: query: {reason}"));
        }
        query::parse(&bytes).map_err(|reason| {
            let remedy = if reason.contains("not found") {
                "; is [stores.influx] database right? `tickforge influx setup` makes it"
            } else {
                ""
            };
            format!("{place}: query: {reason}{remedy}")
        })
    }

    /// Its version, from an answer that needs no login; an error where it is another one than
    /// configured.
    pub async fn version(&self) -> Result<String, String> {
        match &self.api {
            Api::One(one) => one.version().await,
            #[cfg(feature = "influxdb2")]
            Api::Two(two) => two.version().await,
        }
    }

    /// Whether it lets us in.
    pub async fn log_in(&self) -> Result<(), String> {
        match &self.api {
            Api::One(one) => one.log_in().await,
            #[cfg(feature = "influxdb2")]
            Api::Two(two) => two.log_in().await,
        }
    }

    /// Writes lines to a policy.
    pub async fn write(&self, policy: Policy, lines: Vec<u8>) -> Answer {
        let request = match &self.api {
            Api::One(one) => one.write(policy),
            #[cfg(feature = "influxdb2")]
            Api::Two(two) => two.write(policy),
        };
        match request.body(lines).send().await {
            Ok(answer) => {
                let (status, after) = (answer.status(), retry_after(&answer));
                self.judge(status, after, &text(answer).await)
            }
            Err(e) => {
                let reason = format!("{}: {}; {AWAY}", self.place, causes(&e));
                let after = None;
                Answer::Retry { reason, after }
            }
        }
    }

    fn judge(&self, status: StatusCode, after: Option<Duration>, body: &str) -> Answer {
        let error = error_of(body);
        let words = error.as_deref();
        let verdict = match &self.api {
            _ if status.is_success() => Verdict::Stored { expired: 0 },
            _ if status == StatusCode::PAYLOAD_TOO_LARGE => Verdict::TooLarge,
            Api::One(_) => one::judge(status, words),
            #[cfg(feature = "influxdb2")]
            Api::Two(_) => two::judge(status, words),
        };
        match verdict {
            Verdict::Stored { expired } => Answer::Stored { expired },
            Verdict::TooLarge => Answer::TooLarge,
            Verdict::Refused => Answer::Refused(error.unwrap_or_default()),
            Verdict::Missing => {
                Answer::Missing(format!("{}: {}", self.place, error.unwrap_or_default()))
            }
            Verdict::Retry => {
                let reason = format!("{}: {}", self.place, describe(status, error, body));
                Answer::Retry { reason, after }
            }
        }
    }
}

/// Where requests go, and by which client.
struct Http {
    client: reqwest::Client,
    base: Url,
    place: String,
}

impl Http {
    fn url(&self, path: &[&str], parameters: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(parameters);
        }
        url
    }
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

fn retry_after(answer: &Response) -> Option<Duration> {
    let seconds = answer.headers().get(RETRY_AFTER)?.to_str().ok()?;
    seconds.trim().parse().ok().map(Duration::from_secs)
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

/// What an answer says is wrong: `error` of 1.x, also of a statement within a successful answer;
/// `message` of 2.x.
fn error_of(body: &str) -> Option<String> {
    let json: serde_json::Value = serde_json::from_str(body).ok()?;
    let within = || {
        json.get("results")?
            .as_array()?
            .iter()
            .find_map(|r| r.get("error"))
    };
    json.get("error")
        .or_else(|| json.get("message"))
        .or_else(within)?
        .as_str()
        .map(str::to_owned)
}

/// Points that were dropped for their age, where that is all the error says. Servers from 2.7.12
/// say it in the second way, and more behind it.
fn expired(error: &str) -> Option<usize> {
    let (_, partial) = error.split_once("partial write: ")?;
    let number = |text: &str| text.trim().parse().ok();
    if let Some(rest) = partial.strip_prefix("points beyond retention policy dropped=") {
        return number(rest.split(' ').next()?);
    }
    let (dropped, rest) = partial.strip_prefix("dropped ")?.split_once(' ')?;
    let in_window = !rest.contains("write window") || rest.contains(" 0 points outside write");
    let by_age = rest.starts_with("points outside retention policy") && in_window;
    number(dropped).filter(|_| by_age)
}

fn describe(status: StatusCode, error: Option<String>, body: &str) -> String {
    let said = error.unwrap_or_else(|| body.chars().take(200).collect());
    let remedy = match status {
        StatusCode::UNAUTHORIZED => "; correct the login in [stores.influx]",
        StatusCode::FORBIDDEN => "; grant the login in [stores.influx] read and write access",
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
    let causes = chain(std::error::Error::source(error));
    if causes.is_empty() {
        "the request failed".to_owned()
    } else {
        causes
    }
}

fn chain(mut cause: Option<&dyn std::error::Error>) -> String {
    let mut text = String::new();
    while let Some(c) = cause {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&c.to_string());
        cause = c.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_too_old_are_told_from_all_other_losses() {
        let v2 = "failure writing points to database: partial write: ";
        for (error, count) in [
            (
                "partial write: points beyond retention policy dropped=3".to_owned(),
                Some(3),
            ),
            (
                format!("{v2}points beyond retention policy dropped=4"),
                Some(4),
            ),
            (
                format!(
                    "{v2}dropped 5 points outside retention policy of duration 1h0m0s - oldest \
                     point m at 2026-01-01T00:00:00Z dropped because it violates a Retention \
                     Policy Lower Bound at 2026-01-02T00:00:00Z dropped=5 for database: 9f28 for \
                     retention policy: autogen"
                ),
                Some(5),
            ),
            (
                format!("{v2}field type conflict: input field \"a\" dropped=1"),
                None,
            ),
            (
                format!(
                    "{v2}dropped 1 points outside retention policy and 2 points outside write \
                     window: x to y dropped=3"
                ),
                None,
            ),
            ("unable to parse 'x': missing fields".to_owned(), None),
        ] {
            assert_eq!(expired(&error), count, "{error}");
        }
    }
}
