//! An InfluxDB: where it is, which of its APIs it is spoken to by, and what its answer to a write
//! means.
//!
//! Holds no points and never tries again by itself. What the two APIs do differently is in `one`
//! and `two`.

mod one;
#[cfg(feature = "influxdb2")]
mod two;

use crate::config::InfluxConfig;
use one::One;
use reqwest::header::RETRY_AFTER;
use reqwest::{Response, StatusCode, Url};
use std::time::Duration;
#[cfg(feature = "influxdb2")]
use two::Two;

/// Retention policies: name, how long it keeps, and whether it is the default one.
const POLICIES: [(&str, Duration, bool); 4] = [
    ("realtime", hours(1), true),
    ("short_term", hours(7 * 24), false),
    ("medium_term", hours(90 * 24), false),
    ("long_term", hours(104 * 7 * 24), false),
];

const fn hours(n: u64) -> Duration {
    Duration::from_secs(n * 3600)
}

/// The policy of ticks.
const TICKS: &str = "realtime";

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

    /// Creates what ticks are written to where it is missing: the database and its policies, or a
    /// bucket for each policy.
    pub async fn set_up(&self) -> Result<(), String> {
        match &self.api {
            Api::One(one) => one.set_up().await,
            #[cfg(feature = "influxdb2")]
            Api::Two(two) => two.set_up().await,
        }
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

    /// Writes lines to the policy of ticks.
    pub async fn write(&self, lines: Vec<u8>) -> Answer {
        let request = match &self.api {
            Api::One(one) => one.write(),
            #[cfg(feature = "influxdb2")]
            Api::Two(two) => two.write(),
        };
        match request.body(lines).send().await {
            Ok(answer) => {
                let (status, after) = (answer.status(), retry_after(&answer));
                self.judge(status, after, &text(answer).await)
            }
            Err(e) => {
                let remedy = "is it running, and is [stores.influx] url right?";
                let reason = format!("{}: {}; {remedy}", self.place, causes(&e));
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
        StatusCode::FORBIDDEN => "; grant the login in [stores.influx] write access",
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
