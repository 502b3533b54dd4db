//! InfluxDB 2.x: a bucket for each retention policy, `trading_bot/realtime` and so on.
//!
//! Organisations, buckets and health by the crate `influxdb2`. Its write answers with status and
//! text alone (`RequestError::Http`), so the time that an overloaded server asks for in Retry-After
//! would be lost: lines go to `/api/v2/write` by the client that writes to 1.x, too.

use super::{Fault, Held, Http, Verdict, causes, chain, describe, error_of, expired, query, text};
use crate::config::InfluxConfig;
use crate::publishers::influx::policy::{Policy, Terms};
use influxdb2::RequestError;
use influxdb2::api::organization::ListOrganizationRequest;
use influxdb2::models::{PostBucketRequest, RetentionRule, retention_rule};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use std::error::Error;
use std::time::Duration;

pub struct Two {
    http: Http,
    /// The crate's.
    client: influxdb2::Client,
    org: String,
    token: String,
    database: String,
}

impl Two {
    pub fn new(http: Http, config: &InfluxConfig) -> Result<Two, String> {
        let (Some(org), Some(token)) = (config.org.clone(), config.token.clone()) else {
            let remedy = "set org and token_file in [stores.influx]";
            return Err(format!(
                "{}: no login for version = 2; {remedy}",
                http.place
            ));
        };
        if http.base.path() != "/" {
            // The crate would leave it out.
            return Err(
                "[stores.influx] url: version = 2 takes no path behind the host".to_owned(),
            );
        }
        let builder = reqwest_of_influxdb2::Client::builder()
            .timeout(config.timeout)
            .connect_timeout(config.timeout)
            .redirect(reqwest_of_influxdb2::redirect::Policy::none())
            // A host without certificates can still reach a server that needs none.
            .tls_built_in_root_certs(http.base.scheme() == "https")
            .no_proxy();
        let base = http.base.as_str();
        let client = influxdb2::ClientBuilder::with_builder(builder, base, &org, &token.0)
            .build()
            .map_err(|e| format!("{}: no HTTP client: {e}", http.place))?;
        Ok(Two {
            http,
            client,
            org,
            token: token.0,
            database: config.database.clone(),
        })
    }

    fn bucket(&self, policy: Policy) -> String {
        format!("{}/{}", self.database, policy.name())
    }

    /// The buckets that are there. Read by our own client: the crate does not give the time that
    /// a shard holds.
    pub async fn held(&self) -> Result<Vec<Held>, Fault> {
        let mut held = Vec::new();
        for policy in Policy::ALL {
            let bucket = self.bucket(policy);
            let parameters = [("org", self.org.as_str()), ("name", &bucket)];
            let path = ["api", "v2", "buckets"];
            let answer = self.call(Method::GET, &path, &parameters, None).await;
            let buckets = match answer {
                Ok(answer) => answer,
                // Said by some versions where there is no such bucket.
                Err(Fault::Missing) => continue,
                Err(fault) => return Err(fault),
            };
            let found = buckets["buckets"].as_array().into_iter().flatten();
            held.extend(
                found
                    .filter(|b| b["name"] == *bucket)
                    .filter_map(|b| held_as(policy, b)),
            );
        }
        Ok(held)
    }

    pub async fn create(&self, policy: Policy) -> Result<(), Fault> {
        let Some(org_id) = self.org_id().await.map_err(Fault::Other)? else {
            return Err(Fault::Forbidden("the organisation is not seen".to_owned()));
        };
        let seconds = |time: Duration| i32::try_from(time.as_secs()).unwrap_or(0);
        let wanted = policy.wanted();
        let mut rule = RetentionRule::new(retention_rule::Type::Expire, seconds(wanted.keeps));
        rule.shard_group_duration_seconds = Some(seconds(wanted.shard).into());
        let mut request = PostBucketRequest::new(org_id, self.bucket(policy));
        request.retention_rules.push(rule);
        match self.client.create_bucket(Some(request)).await.map_err(told) {
            Ok(()) => Ok(()),
            Err(Told::Refused(_, reason)) if reason.contains("already exists") => {
                Err(Fault::Exists)
            }
            Err(Told::Refused(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, reason)) => {
                Err(Fault::Forbidden(reason))
            }
            Err(told) => Err(Fault::Other(told.text())),
        }
    }

    pub async fn mend(&self, held: &Held) -> Result<(), Fault> {
        let wanted = held.policy.wanted();
        let rule = json!({
            "type": "expire",
            "everySeconds": wanted.keeps.as_secs(),
            "shardGroupDurationSeconds": wanted.shard.as_secs(),
        });
        let body = json!({ "retentionRules": [rule] });
        let path = ["api", "v2", "buckets", &held.id];
        self.call(Method::PATCH, &path, &[], Some(body)).await?;
        Ok(())
    }

    /// One call of the API; its answer as JSON.
    async fn call(
        &self,
        method: Method,
        path: &[&str],
        parameters: &[(&str, &str)],
        body: Option<Value>,
    ) -> Result<Value, Fault> {
        let url = self.http.url(path, parameters);
        let mut request = self.with_token(self.http.client.request(method, url));
        if let Some(body) = body {
            request = request
                .header("Content-Type", "application/json")
                .body(body.to_string());
        }
        let answer = request.send().await;
        let answer = answer.map_err(|e| Fault::Other(causes(&e)))?;
        let status = answer.status();
        let body = text(answer).await;
        match status {
            StatusCode::NOT_FOUND => Err(Fault::Missing),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(Fault::Forbidden(error_of(&body).unwrap_or_default()))
            }
            _ if !status.is_success() => {
                Err(Fault::Other(describe(status, error_of(&body), &body)))
            }
            _ => serde_json::from_str(&body)
                .map_err(|_| Fault::Other("what answers is not InfluxDB 2.x".to_owned())),
        }
    }

    fn with_token(&self, request: RequestBuilder) -> RequestBuilder {
        request.header("Authorization", format!("Token {}", self.token))
    }

    /// `None` where the token may not see the organisation: it may be allowed to write all the
    /// same, to buckets that an administrator made.
    async fn org_id(&self) -> Result<Option<String>, String> {
        let (place, org) = (&self.http.place, &self.org);
        match self.organizations().await {
            Ok(Some(id)) => Ok(Some(id)),
            Ok(None) | Err(Told::Refused(StatusCode::NOT_FOUND, _)) => {
                let remedy = "make the buckets, or correct org or token";
                tracing::warn!("{place}: organisation {org:?} is not seen; {remedy}");
                Ok(None)
            }
            Err(Told::Refused(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, reason)) => {
                let remedy = "make the buckets, or correct the token";
                tracing::warn!("{place}: organisation {org:?}: {reason}; {remedy}");
                Ok(None)
            }
            Err(told) => Err(format!("{place}: organisation {org:?}: {}", told.text())),
        }
    }

    /// The id of ours among those that the token may see.
    async fn organizations(&self) -> Result<Option<String>, Told> {
        let request = ListOrganizationRequest {
            org: Some(self.org.clone()),
            ..ListOrganizationRequest::default()
        };
        let found = self
            .client
            .list_organizations(request)
            .await
            .map_err(told)?;
        let ours = found.orgs.into_iter().find(|o| o.name == self.org);
        Ok(ours.and_then(|o| o.id))
    }

    pub async fn version(&self) -> Result<String, String> {
        let place = &self.http.place;
        let remedy = "is InfluxDB 2.x running there, and is [stores.influx] url right?";
        let health = self.client.health().await;
        let health = health.map_err(|e| format!("{place}: {}; {remedy}", told(e).text()))?;
        if health.status != influxdb2::models::Status::Pass {
            let reason = health.message.unwrap_or_else(|| "not in health".to_owned());
            return Err(format!("{place}: {reason}"));
        }
        Ok(health.version.unwrap_or_else(|| "2.x".to_owned()))
    }

    pub async fn log_in(&self) -> Result<(), String> {
        let (place, org) = (&self.http.place, &self.org);
        match self.organizations().await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(format!(
                "{place}: no organisation {org:?} that the token may see; correct org or token"
            )),
            Err(told) => Err(format!(
                "{place}: organisation {org:?}: {}; correct org or token",
                told.text()
            )),
        }
    }

    /// InfluxQL, which 2.x answers for buckets that are named as database and policy.
    pub fn query_request(&self, statements: &str) -> RequestBuilder {
        let parameters = query::parameters(&self.database, statements);
        let url = self.http.url(&["query"], &parameters);
        self.with_token(self.http.client.post(url))
    }

    pub fn write(&self, policy: Policy) -> RequestBuilder {
        let bucket = self.bucket(policy);
        let parameters = [
            ("org", self.org.as_str()),
            ("bucket", bucket.as_str()),
            ("precision", "ns"),
        ];
        let url = self.http.url(&["api", "v2", "write"], &parameters);
        self.with_token(self.http.client.post(url))
    }
}

/// A bucket as the server tells of it.
fn held_as(policy: Policy, bucket: &Value) -> Option<Held> {
    let rules = bucket["retentionRules"].as_array();
    // Without a rule it keeps for ever.
    let rule = rules.and_then(|r| r.first()).cloned().unwrap_or_default();
    let seconds = |key: &str| rule[key].as_u64().map(Duration::from_secs);
    let wanted = policy.wanted();
    Some(Held {
        policy,
        terms: Terms {
            keeps: seconds("everySeconds").unwrap_or_default(),
            shard: seconds("shardGroupDurationSeconds").unwrap_or(wanted.shard),
            default: wanted.default,
        },
        id: bucket["id"].as_str()?.to_owned(),
    })
}

/// How a request of the crate failed.
enum Told {
    Refused(StatusCode, String),
    Away(String),
}

impl Told {
    fn text(self) -> String {
        match self {
            Told::Refused(status, reason) => format!("{status}: {reason}"),
            Told::Away(reason) => reason,
        }
    }
}

fn told(error: RequestError) -> Told {
    match error {
        RequestError::Http { status, text } => {
            let status = StatusCode::from_u16(status.as_u16()).unwrap_or_default();
            let reason = error_of(&text).unwrap_or_else(|| text.chars().take(200).collect());
            Told::Refused(status, reason.trim().to_owned())
        }
        RequestError::ReqwestProcessing { source } if source.is_timeout() => {
            Told::Away("no answer in time".to_owned())
        }
        RequestError::ReqwestProcessing { source } if source.is_decode() => {
            Told::Away("what answers is not InfluxDB 2.x".to_owned())
        }
        // The error itself names the URL, its causes do not.
        RequestError::ReqwestProcessing { source } => Told::Away(chain(source.source())),
        other => Told::Away(other.to_string()),
    }
}

pub fn judge(status: StatusCode, error: Option<&str>) -> Verdict {
    let Some(error) = error else {
        // Without its words it is not the database that answers, but something in front of it.
        return Verdict::Retry;
    };
    match status {
        StatusCode::NOT_FOUND => Verdict::Missing,
        // 2.0 answers 500 to points that are too old, later ones 422.
        _ if status == StatusCode::INTERNAL_SERVER_ERROR || is_refusal(status) => {
            match expired(error) {
                Some(expired) => Verdict::Stored { expired },
                None if is_refusal(status) => Verdict::Refused,
                None => Verdict::Retry,
            }
        }
        _ => Verdict::Retry,
    }
}

fn is_refusal(status: StatusCode) -> bool {
    let refusals = [StatusCode::BAD_REQUEST, StatusCode::UNPROCESSABLE_ENTITY];
    refusals.contains(&status)
}
