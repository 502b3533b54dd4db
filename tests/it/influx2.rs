//! InfluxDB 2.x: buckets, organisation and token, through a translator in front of the real 1.x
//! server, since no 2.x server can be installed here. The translator answers as 2.x is documented
//! to; that a real 2.x server does so is not shown by these tests.

use crate::influx::{counted, post, publish, registry, rows, trade};
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Query, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tickforge::clock;
use tickforge::config::{InfluxConfig, Secret};
use tickforge::market::DayStats;
use tickforge::publishers::influx;

const ORG: &str = "trading";
const ORG_ID: &str = "0123456789abcdef";
const TOKEN: &str = "a-token-of-the-tests";

/// A server in front of InfluxDB 1.x that speaks 2.x, and passes 1.x through. It can be away, and
/// given answers to say first.
pub struct Front {
    pub url: String,
    shared: Arc<Shared>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
}

struct Shared {
    upstream: String,
    client: reqwest::Client,
    away: AtomicBool,
    may_create: AtomicBool,
    writes: AtomicUsize,
    /// Status, seconds of Retry-After and text of the next answers to writes.
    script: Mutex<VecDeque<(u16, u32, String)>>,
}

impl Front {
    /// On a thread of its own: tests wait for processes meanwhile.
    pub fn start(upstream: String) -> Front {
        tickforge::commands::install_crypto();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]);
        let shared = Arc::new(Shared {
            upstream,
            client: client.build().expect("a client"),
            away: AtomicBool::new(false),
            may_create: AtomicBool::new(true),
            writes: AtomicUsize::new(0),
            script: Mutex::default(),
        });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("nonblocking");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let routes = axum::Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&shared));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime").block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                let server = axum::serve(listener, routes).into_future();
                tokio::select! {
                    ended = server => ended.expect("served"),
                    _ = stopped => {}
                }
            });
        });
        let stop = Some(stop);
        Front { url, shared, stop }
    }

    /// Answers 503 to everything, or is back.
    pub fn set_away(&self, away: bool) {
        self.shared.away.store(away, Relaxed);
    }

    fn say(&self, status: u16, retry_after: u32, text: &str) {
        let mut script = self.shared.script.lock().expect("the script");
        script.push_back((status, retry_after, text.to_owned()));
    }

    fn writes(&self) -> usize {
        self.shared.writes.swap(0, Relaxed)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // It has ended before where this fails.
            let _ = stop.send(());
        }
    }
}

fn say(status: StatusCode, code: &str, message: &str) -> Response {
    let text = json!({"code": code, "message": message}).to_string();
    reply(status, text)
}

fn reply(status: StatusCode, text: String) -> Response {
    let response = Response::builder().status(status);
    response.body(Body::from(text)).expect("a response")
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    if shared.away.load(Relaxed) {
        return reply(StatusCode::SERVICE_UNAVAILABLE, String::new());
    }
    let (head, body) = request.into_parts();
    let body = to_bytes(body, 64 << 20).await.expect("a body");
    let path = head.uri.path().to_owned();
    let Query(query) = Query::<HashMap<String, String>>::try_from_uri(&head.uri).expect("a query");
    if path == "/health" {
        let health = json!({"name": "influxdb", "status": "pass", "version": "v2.7.12"});
        return reply(StatusCode::OK, health.to_string());
    }
    if !path.starts_with("/api/v2/") {
        let url = format!("{}{}", shared.upstream, head.uri);
        return forward(&shared, head.method, url, body).await;
    }
    let token = head.headers.get(header::AUTHORIZATION);
    if token.is_none_or(|t| t.as_bytes() != format!("Token {TOKEN}").as_bytes()) {
        let message = "unauthorized access";
        return say(StatusCode::UNAUTHORIZED, "unauthorized", message);
    }
    match (head.method, path.as_str()) {
        (Method::GET, "/api/v2/orgs") if query["org"] == ORG => {
            let orgs = json!({"orgs": [{"id": ORG_ID, "name": ORG}]});
            reply(StatusCode::OK, orgs.to_string())
        }
        (Method::GET, "/api/v2/orgs") => {
            let message = format!("organization name \"{}\" not found", query["org"]);
            say(StatusCode::NOT_FOUND, "not found", &message)
        }
        (Method::POST, "/api/v2/buckets") => create(&shared, &body).await,
        (Method::GET, "/api/v2/buckets") => bucket(&shared, &query["name"]).await,
        (Method::PATCH, path) if path.starts_with("/api/v2/buckets/") => {
            mend(&shared, path.trim_start_matches("/api/v2/buckets/"), &body).await
        }
        (Method::POST, "/api/v2/write") => write(&shared, &query, body).await,
        (_, path) => say(StatusCode::NOT_FOUND, "not found", path),
    }
}

async fn forward(shared: &Shared, method: Method, url: String, body: Bytes) -> Response {
    let request = shared.client.request(method, url).body(body);
    let answer = request.send().await.expect("the 1.x server answers");
    let status = answer.status();
    reply(status, answer.text().await.expect("a text"))
}

async fn create(shared: &Shared, body: &[u8]) -> Response {
    if !shared.may_create.load(Relaxed) {
        let message = "write:orgs/0123456789abcdef/buckets is unauthorized";
        return say(StatusCode::UNAUTHORIZED, "unauthorized", message);
    }
    let request: Value = serde_json::from_slice(body).expect("JSON");
    assert_eq!(request["orgID"], ORG_ID);
    let rule = &request["retentionRules"][0];
    assert_eq!(rule["type"], "expire");
    let name = request["name"].as_str().expect("a name");
    let (database, policy) = name.split_once('/').expect("database and policy");
    let default = if policy == "realtime" { " DEFAULT" } else { "" };
    let statement = format!(
        "CREATE DATABASE \"{database}\"; CREATE RETENTION POLICY \"{policy}\" ON \"{database}\" \
         DURATION {}s REPLICATION 1 SHARD DURATION {}s{default}",
        rule["everySeconds"], rule["shardGroupDurationSeconds"]
    );
    let mut url: reqwest::Url = format!("{}/query", shared.upstream).parse().expect("a URL");
    url.query_pairs_mut().append_pair("q", &statement);
    let answer = shared.client.post(url).send().await.expect("an answer");
    let text = answer.text().await.expect("a text");
    if text.contains("already exists") {
        let message = format!("bucket with name {name} already exists");
        return say(StatusCode::UNPROCESSABLE_ENTITY, "conflict", &message);
    }
    assert!(!text.contains("error"), "{statement}: {text}");
    reply(StatusCode::CREATED, request.to_string())
}

async fn ask(shared: &Shared, statement: &str) -> Value {
    let mut url: reqwest::Url = format!("{}/query", shared.upstream).parse().expect("a URL");
    url.query_pairs_mut().append_pair("q", statement);
    let answer = shared.client.post(url).send().await.expect("an answer");
    let text = answer.text().await.expect("a text");
    serde_json::from_str(&text).expect("JSON")
}

/// A bucket's id says its name.
fn id_of(name: &str) -> String {
    name.bytes().map(|b| format!("{b:02x}")).collect()
}

fn name_of(id: &str) -> String {
    let bytes = (0..id.len()).step_by(2);
    let bytes = bytes.map(|i| u8::from_str_radix(&id[i..i + 2], 16).expect("hex"));
    String::from_utf8(bytes.collect()).expect("a name")
}

async fn bucket(shared: &Shared, name: &str) -> Response {
    let (database, policy) = name.split_once('/').expect("database and policy");
    let statement = format!("SHOW RETENTION POLICIES ON \"{database}\"");
    let answer = ask(shared, &statement).await;
    let rows = answer["results"][0]["series"][0]["values"].as_array();
    let row = rows.into_iter().flatten().find(|row| row[0] == policy);
    let Some(row) = row else {
        let message = format!("bucket \"{name}\" not found");
        return say(StatusCode::NOT_FOUND, "not found", &message);
    };
    let seconds = |text: &Value| {
        let hours = text
            .as_str()
            .and_then(|t| t.split_once('h'))
            .expect("hours");
        hours.0.parse::<u64>().expect("a number") * 3600
    };
    let rule = json!({"type": "expire", "everySeconds": seconds(&row[1]),
        "shardGroupDurationSeconds": seconds(&row[2])});
    let bucket = json!({"id": id_of(name), "name": name, "retentionRules": [rule]});
    reply(StatusCode::OK, json!({"buckets": [bucket]}).to_string())
}

async fn mend(shared: &Shared, id: &str, body: &[u8]) -> Response {
    let name = name_of(id);
    let (database, policy) = name.split_once('/').expect("database and policy");
    let request: Value = serde_json::from_slice(body).expect("JSON");
    let rule = &request["retentionRules"][0];
    let (keeps, shard) = (&rule["everySeconds"], &rule["shardGroupDurationSeconds"]);
    let statement = format!(
        "ALTER RETENTION POLICY \"{policy}\" ON \"{database}\" DURATION {keeps}s SHARD DURATION {shard}s"
    );
    let answer = ask(shared, &statement).await;
    assert_eq!(answer["results"][0]["error"], Value::Null, "{statement}");
    reply(StatusCode::OK, json!({"id": id, "name": name}).to_string())
}

async fn write(shared: &Shared, query: &HashMap<String, String>, body: Bytes) -> Response {
    // Bars are written, too: what is counted and scripted is about ticks.
    let ticks = query["bucket"].ends_with("/realtime");
    shared.writes.fetch_add(usize::from(ticks), Relaxed);
    let scripted = if ticks {
        shared.script.lock().expect("the script").pop_front()
    } else {
        None
    };
    if let Some((status, seconds, text)) = scripted {
        let status = StatusCode::from_u16(status).expect("a status");
        let mut response = reply(status, text);
        if seconds > 0 {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        return response;
    }
    assert_eq!((&*query["org"], &*query["precision"]), (ORG, "ns"));
    let bucket = &query["bucket"];
    let (database, policy) = bucket.split_once('/').expect("database and policy");
    let mut url: reqwest::Url = format!("{}/write", shared.upstream).parse().expect("a URL");
    url.query_pairs_mut()
        .extend_pairs([("db", database), ("rp", policy), ("precision", "ns")]);
    let request = shared.client.post(url).body(body);
    let answer = request.send().await.expect("the 1.x server answers");
    let status = answer.status();
    let text = answer.text().await.expect("a text");
    let said: Value = serde_json::from_str(&text).unwrap_or_default();
    let error = said["error"].as_str().unwrap_or_default();
    match status {
        StatusCode::NO_CONTENT => reply(status, text),
        _ if error.contains("not found") => {
            let message = format!("bucket \"{bucket}\" not found");
            say(StatusCode::NOT_FOUND, "not found", &message)
        }
        StatusCode::BAD_REQUEST if error.starts_with("partial write") => {
            let message = format!("failure writing points to database: {error}");
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            say(status, "unprocessable entity", &message)
        }
        StatusCode::BAD_REQUEST => say(status, "invalid", error),
        _ => say(status, "internal error", error),
    }
}

pub fn config(front: &Front, database: &str) -> InfluxConfig {
    InfluxConfig {
        url: front.url.clone(),
        version: 2,
        database: database.to_owned(),
        username: None,
        password: None,
        org: Some(ORG.to_owned()),
        token: Some(Secret(TOKEN.to_owned())),
        batch: 5000,
        flush: Duration::from_millis(20),
        timeout: Duration::from_secs(5),
        max_waiting: 100_000,
        spool_max_bytes: 0,
        metrics_every: Duration::from_secs(10),
        performance_every: Duration::from_secs(60),
    }
}

/// The front, and a database of this test's own.
async fn fresh(database: &str) -> Option<(Front, InfluxConfig)> {
    let front = Front::start(crate::servers::influx_url()?);
    let config = config(&front, database);
    let drop = format!("DROP DATABASE {database}");
    post(&config, "query", &[("q", &drop)], String::new()).await;
    Some((front, config))
}

#[tokio::test]
async fn each_policy_is_a_bucket_and_ticks_are_in_theirs() {
    let Some((front, config)) = fresh("it2_buckets").await else {
        return;
    };
    let now = clock::now_ns() / 1_000_000 * 1_000_000;
    let ticks: Vec<_> = (1..=300)
        .map(|id| trade(id, now, DayStats::default()))
        .collect();
    assert_eq!(counted(&publish(&config, &ticks).await), (300, 0, 0));
    let again = counted(&publish(&config, &ticks).await);
    assert_eq!(again, (300, 0, 0), "the buckets are there");
    let found = rows(&config, "SELECT id FROM realtime.market_data").await;
    assert_eq!(found.len(), 300);
    let show = format!("SHOW RETENTION POLICIES ON {}", config.database);
    let policies = rows(&config, &show).await;
    for (name, keeps) in [
        ("realtime", "1h0m0s"),
        ("short_term", "168h0m0s"),
        ("medium_term", "2160h0m0s"),
        ("long_term", "17472h0m0s"),
    ] {
        let row = policies.iter().find(|row| row[0] == name).expect(name);
        assert_eq!(row[1], keeps, "{name}");
    }
    let probed = influx::probe(config.clone()).await.expect("it answers");
    assert!(probed.starts_with("v2.7.12"), "{probed}");
    let stranger = InfluxConfig {
        token: Some(Secret("another".to_owned())),
        ..config.clone()
    };
    let error = influx::probe(stranger).await.expect_err("a wrong token");
    assert!(error.contains("correct org or token"), "{error}");
    assert!(!error.contains("another"), "{error}");
    let elsewhere = InfluxConfig {
        org: Some("nobody".to_owned()),
        ..config.clone()
    };
    let error = influx::probe(elsewhere).await.expect_err("a wrong org");
    assert!(error.contains("\"nobody\" not found"), "{error}");
    front.set_away(true);
    let error = influx::probe(config).await.expect_err("away");
    assert!(error.contains("not InfluxDB 2.x"), "{error}");
}

#[tokio::test]
async fn a_token_that_may_only_write_writes_where_an_administrator_made_the_buckets() {
    let Some((front, config)) = fresh("it2_restricted").await else {
        return;
    };
    assert_eq!(counted(&publish(&config, &[]).await), (0, 0, 0));
    front.shared.may_create.store(false, Relaxed);
    let now = clock::now_ns();
    let ticks = [trade(1, now, DayStats::default())];
    assert_eq!(counted(&publish(&config, &ticks).await), (1, 0, 0));
}

#[tokio::test]
async fn refusals_and_overload_of_2_x_cost_what_they_must() {
    let Some((front, config)) = fresh("it2_refused").await else {
        return;
    };
    let now = clock::now_ns() / 1_000_000 * 1_000_000;
    let unknown = DayStats::default();
    assert_eq!(counted(&publish(&config, &[]).await), (0, 0, 0));
    // From now on this field is a text, and a number is refused.
    let write = [
        ("db", config.database.as_str()),
        ("rp", "realtime"),
        ("precision", "ns"),
    ];
    let text = format!("market_data high_24h=\"x\" {now}\n");
    post(&config, "write", &write, text).await;
    let known = DayStats {
        high: 300,
        low: 100,
        open: 200,
        last: 210,
        volume: 5,
        seen_minutes: 144,
    };
    let mut ticks = vec![trade(1, now - 3 * 3_600_000_000_000, unknown)];
    ticks.push(trade(2, now, known));
    ticks.extend((3..40).map(|id| trade(id, now, unknown)));
    assert_eq!(counted(&publish(&config, &ticks).await), (37, 1, 1));
    let found = rows(&config, "SELECT id FROM realtime.market_data").await;
    assert_eq!(found.len(), 37);

    front.writes();
    front.say(413, 0, "{\"code\":\"request too large\",\"message\":\"x\"}");
    let good: Vec<_> = (50..60).map(|id| trade(id, now, unknown)).collect();
    assert_eq!(counted(&publish(&config, &good).await), (10, 0, 0));
    assert_eq!(front.writes(), 3, "once in whole, then in halves");

    front.say(429, 2, "{\"code\":\"too many requests\",\"message\":\"x\"}");
    front.say(503, 0, "");
    let began = Instant::now();
    let more: Vec<_> = (70..80).map(|id| trade(id, now, unknown)).collect();
    assert_eq!(counted(&publish(&config, &more).await), (10, 0, 0));
    assert_eq!(front.writes(), 3);
    assert!(began.elapsed() >= Duration::from_millis(2_200));
    let found = rows(&config, "SELECT id FROM realtime.market_data").await;
    assert_eq!(found.len(), 57);
    assert_eq!(registry().all().len(), 1);
}

#[tokio::test]
async fn a_bucket_deleted_in_the_middle_is_made_again() {
    let Some((front, config)) = fresh("it2_deleted").await else {
        return;
    };
    let now = clock::now_ns();
    let ticks: Vec<_> = (1..=3)
        .map(|id| trade(id, now, DayStats::default()))
        .collect();
    assert_eq!(counted(&publish(&config, &ticks).await), (3, 0, 0));
    let drop = format!("DROP DATABASE {}", config.database);
    post(&config, "query", &[("q", &drop)], String::new()).await;
    // The first write finds it gone, after the set-up has made it: as if deleted in between.
    let gone = json!({"code": "not found", "message": "bucket \"x\" not found"});
    front.say(404, 0, &gone.to_string());
    assert_eq!(counted(&publish(&config, &ticks).await), (3, 0, 0));
    let found = rows(&config, "SELECT id FROM realtime.market_data").await;
    assert_eq!(found.len(), 3);
}
