//! Every key of the store, written and read by its typed place: on one server, on the cluster, and
//! on the master that Sentinel made. And what a full run leaves: no key that should expire lives
//! for ever.

use crate::redis_servers::{each, watched};
use jiff::{SignedDuration, Timestamp};
use redis::cmd;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use std::time::Duration;
use tickforge::config::RedisConfig;
use tickforge::keyspace::cache::{MarketData, PortfolioSummary, UserProfile};
use tickforge::keyspace::celery::{self, Task};
use tickforge::keyspace::market_updates::{self, MarketUpdate};
use tickforge::keyspace::rate_limit::RateLimit;
use tickforge::keyspace::sessions::{self, Session};
use tickforge::keyspace::temp::{AiProcessing, OrderValidation};
use tickforge::keyspace::{Connection, Life, Pattern, notifications, pattern_of, websocket};
use uuid::Uuid;

/// All keys of the store: on a cluster, of every master.
pub async fn keys(look: &mut Connection) -> Vec<String> {
    cmd("KEYS").arg("*").query_async(look).await.expect("keys")
}

/// Every key is of a known family and of its type, and those that should expire do.
pub async fn assert_tidy(look: &mut Connection) -> Vec<&'static Pattern> {
    let mut found = Vec::new();
    for key in keys(look).await {
        let Some(pattern) = pattern_of(&key) else {
            panic!("{key} is of no known family");
        };
        let kind: String = cmd("TYPE")
            .arg(&key)
            .query_async(look)
            .await
            .expect("a type");
        let ttl: i64 = cmd("PTTL")
            .arg(&key)
            .query_async(look)
            .await
            .expect("a TTL");
        if kind == "none" {
            continue; // It has expired since.
        }
        assert_eq!(kind, pattern.kind.name(), "{key}");
        let stays = matches!(pattern.life, Life::Stays(_));
        assert_eq!(
            stays,
            ttl == -1,
            "{key}: PTTL {ttl}, and should be {:?}",
            pattern.life
        );
        if !found.contains(&pattern) {
            found.push(pattern);
        }
    }
    found
}

fn now() -> Timestamp {
    // To the second, as the store may round.
    Timestamp::from_second(tickforge::clock::now_ns() / 1_000_000_000).expect("now")
}

fn session(user_id: Uuid, lasts: Duration) -> Session {
    let lasts = SignedDuration::try_from(lasts).expect("short");
    Session {
        user_id,
        username: "john_doe".to_owned(),
        email: "john@example.com".to_owned(),
        is_premium: true,
        created_at: now(),
        expires_at: Timestamp::from_nanosecond(tickforge::clock::now_ns().into())
            .expect("now")
            .checked_add(lasts)
            .expect("soon"),
    }
}

async fn pttl(look: &mut Connection, key: &str) -> i64 {
    cmd("PTTL").arg(key).query_async(look).await.expect("a TTL")
}

async fn sessions_end_with_their_users_set(_: RedisConfig, mut look: Connection) {
    let look = &mut look;
    let (user, hour) = (Uuid::new_v4(), Duration::from_secs(3600));
    let (long, short) = (
        session(user, hour),
        session(user, Duration::from_millis(400)),
    );
    sessions::start(look, "long", &long).await.expect("begun");
    sessions::start(look, "short", &short).await.expect("begun");
    assert_eq!(
        sessions::find(look, "long").await.expect("read"),
        Some(long.clone())
    );
    assert_eq!(sessions::find(look, "none").await.expect("read"), None);
    let mut of_user = sessions::of_user(look, user).await.expect("read");
    of_user.sort();
    assert_eq!(of_user, ["long", "short"]);
    // The set lives as long as the longest of its sessions, to the millisecond.
    let mut when = Vec::new();
    for key in [sessions::key("long"), sessions::user_key(user)] {
        let mut time = cmd("PEXPIRETIME");
        when.push(
            time.arg(key)
                .query_async::<i64>(look)
                .await
                .expect("a time"),
        );
    }
    assert_eq!(when, [long.expires_at.as_millisecond(); 2]);

    tokio::time::sleep(Duration::from_millis(450)).await;
    assert_eq!(sessions::find(look, "short").await.expect("read"), None);
    assert!(
        !sessions::extend(look, "short", long.expires_at)
            .await
            .expect("asked")
    );
    assert_eq!(sessions::of_user(look, user).await.expect("read"), ["long"]);
    let mut members = cmd("SCARD");
    let members: u32 = members
        .arg(sessions::user_key(user))
        .query_async(look)
        .await
        .expect("read");
    assert_eq!(members, 1, "the one that is over is forgotten");

    let later = long
        .expires_at
        .checked_add(SignedDuration::from_hours(1))
        .expect("later");
    assert!(
        sessions::extend(look, "long", later)
            .await
            .expect("extended")
    );
    let extended = sessions::find(look, "long")
        .await
        .expect("read")
        .expect("there");
    assert_eq!(extended.expires_at, later);
    assert!(pttl(look, &sessions::user_key(user)).await > 3_600_000);

    sessions::start(look, "other", &long).await.expect("begun");
    assert!(sessions::end(look, "other").await.expect("ended"));
    assert!(!sessions::end(look, "other").await.expect("ended before"));
    sessions::start(look, "third", &long).await.expect("begun");
    assert_eq!(sessions::end_all(look, user).await.expect("ended"), 2);
    assert_eq!(sessions::of_user(look, user).await.expect("read"), [""; 0]);
    // A session that is long over leaves nothing behind.
    let over = Session {
        expires_at: now(),
        ..long
    };
    sessions::start(look, "over", &over).await.expect("begun");
    assert_eq!(keys(look).await, [""; 0]);
}

/// 64 clients, each with a connection of its own, ask ten times each at once.
async fn a_limit_of_n_admits_exactly_n(config: RedisConfig, mut look: Connection) {
    const LIMIT: u64 = 100;
    let user = Uuid::new_v4();
    let limit = RateLimit::api(user, "/api/v1/orders", LIMIT, Duration::from_secs(30));
    let mut clients = Vec::new();
    for _ in 0..64 {
        clients.push(Connection::open(&config).await.expect("a connection"));
    }
    let ask = |mut client: Connection| {
        let limit = limit.clone();
        async move {
            let mut admitted = 0;
            for _ in 0..10 {
                let answer = limit.admit(&mut client).await.expect("an answer");
                assert!(answer.used <= LIMIT && answer.resets_in <= Duration::from_secs(30));
                admitted += u64::from(answer.admitted);
            }
            admitted
        }
    };
    let admitted = futures_util::future::join_all(clients.into_iter().map(ask)).await;
    assert_eq!(admitted.iter().sum::<u64>(), LIMIT);
    assert!(
        admitted.iter().filter(|n| **n > 0).count() > 10,
        "{admitted:?}"
    );
    let count: u64 = cmd("GET")
        .arg(limit.key())
        .query_async(&mut look)
        .await
        .expect("a count");
    assert_eq!(
        (count, limit.used(&mut look).await.expect("read")),
        (LIMIT, LIMIT)
    );
    assert_eq!(limit.key(), format!("rate_limit:api:{user}:/api/v1/orders"));
}

async fn a_window_ends_and_begins_anew(_: RedisConfig, mut look: Connection) {
    let limit = RateLimit::telegram(123_456_789, 3, Duration::from_millis(300));
    for window in 0..2 {
        let mut answers = Vec::new();
        for _ in 0..5 {
            answers.push(limit.admit(&mut look).await.expect("an answer"));
        }
        let admitted: Vec<bool> = answers.iter().map(|a| a.admitted).collect();
        assert_eq!(
            admitted,
            [true, true, true, false, false],
            "window {window}"
        );
        let used: Vec<u64> = answers.iter().map(|a| a.used).collect();
        assert_eq!(used, [1, 2, 3, 3, 3]);
        tokio::time::sleep(answers[4].resets_in + Duration::from_millis(20)).await;
    }
    // Written by somebody who forgot the time to live: it counts, and its window ends.
    let mut set = cmd("SET");
    set.arg(limit.key())
        .arg(2)
        .exec_async(&mut look)
        .await
        .expect("set");
    let answers = [
        limit.admit(&mut look).await.expect("an answer").admitted,
        limit.admit(&mut look).await.expect("an answer").admitted,
    ];
    assert_eq!(answers, [true, false]);
    assert!((1..=300).contains(&pttl(&mut look, limit.key()).await));
    let mut set = cmd("SET");
    set.arg(limit.key())
        .arg("x")
        .exec_async(&mut look)
        .await
        .expect("set");
    let error = limit
        .admit(&mut look)
        .await
        .expect_err("no number")
        .to_string();
    assert!(error.contains("holds no number"), "{error}");
}

async fn caches_hold_what_was_written_for_a_while(_: RedisConfig, mut look: Connection) {
    let look = &mut look;
    let market = MarketData {
        price: Decimal::new(4_500_050, 2),
        volume_24h: Decimal::new(123_456_789, 2),
        high_24h: Decimal::new(4_600_000, 2),
        low_24h: Decimal::new(4_400_000, 2),
        change_24h: Some(Decimal::new(-25, 1)),
        seen_24h: Decimal::ONE,
        last_updated: now(),
    };
    let minute = Duration::from_secs(60);
    for key in [
        MarketData::key("A/B"),
        MarketData::key_of_exchange("kraken", "A/B"),
    ] {
        let mut pipeline = redis::pipe();
        market.put(pipeline.atomic(), &key, minute);
        pipeline.exec_async(look).await.expect("written");
        assert_eq!(
            MarketData::read(look, &key).await.expect("read"),
            Some(market.clone())
        );
        assert!((1..=60_000).contains(&pttl(look, &key).await));
    }
    // A field that is not there any more is taken away.
    let unknown = MarketData {
        change_24h: None,
        ..market
    };
    let key = MarketData::key("A/B");
    let mut pipeline = redis::pipe();
    unknown.put(pipeline.atomic(), &key, minute);
    pipeline.exec_async(look).await.expect("written");
    assert_eq!(
        MarketData::read(look, &key).await.expect("read"),
        Some(unknown)
    );

    let id = Uuid::new_v4();
    let portfolio = PortfolioSummary {
        user_id: Uuid::new_v4(),
        name: "main {USD}: growth".to_owned(),
        total_pnl: Decimal::new(15_075, 2),
        position_count: 5,
        avg_pnl: Decimal::new(3015, 2),
        last_updated: now(),
    };
    portfolio.write(look, id).await.expect("written");
    assert_eq!(
        PortfolioSummary::read(look, id).await.expect("read"),
        Some(portfolio)
    );
    assert!(PortfolioSummary::delete(look, id).await.expect("deleted"));
    assert_eq!(PortfolioSummary::read(look, id).await.expect("read"), None);
    let profile = UserProfile {
        username: "john_doe".to_owned(),
        email: "john@example.com".to_owned(),
        first_name: "Jöhn".to_owned(),
        last_name: String::new(),
        is_premium: false,
        timezone: "UTC".to_owned(),
        preferred_currency: "USD".to_owned(),
        last_updated: now(),
    };
    profile.write(look, id).await.expect("written");
    assert_eq!(
        UserProfile::read(look, id).await.expect("read"),
        Some(profile)
    );
    let mut spoil = cmd("HSET");
    let key = UserProfile::key(id);
    spoil
        .arg(&key)
        .arg("is_premium")
        .arg("perhaps")
        .exec_async(look)
        .await
        .expect("spoilt");
    let error = UserProfile::read(look, id)
        .await
        .expect_err("no flag")
        .to_string();
    assert!(
        error.contains(&key) && error.contains("is_premium is \"perhaps\""),
        "{error}"
    );
}

async fn work_in_progress_is_forgotten_in_time(_: RedisConfig, mut look: Connection) {
    let look = &mut look;
    let id = Uuid::new_v4();
    let processing = AiProcessing {
        status: "processing".to_owned(),
        step: "reading the news".to_owned(),
        progress_percent: 40,
        worker: "worker-1".to_owned(),
        started_at: now(),
        updated_at: now(),
    };
    processing.write(look, id).await.expect("written");
    assert_eq!(
        AiProcessing::read(look, id).await.expect("read"),
        Some(processing)
    );
    let validation = OrderValidation {
        valid: false,
        reason: "not enough USDT".to_owned(),
        price: Decimal::new(45_000, 0),
        required: Decimal::new(450_001, 4),
        currency: "USDT".to_owned(),
        checked_at: now(),
    };
    validation.write(look, id).await.expect("written");
    assert_eq!(
        OrderValidation::read(look, id).await.expect("read"),
        Some(validation)
    );
    let task = Task {
        name: "signals.notify".to_owned(),
        state: "STARTED".to_owned(),
        queue: "default".to_owned(),
        args: "[1, {\"a\": 2}]".to_owned(),
        retries: 1,
        created_at: now(),
        updated_at: now(),
    };
    celery::write_task(look, "t1", &task)
        .await
        .expect("written");
    assert_eq!(
        celery::read_task(look, "t1").await.expect("read"),
        Some(task)
    );
    assert_eq!(
        celery::read_result::<Value, _>(look, "t1")
            .await
            .expect("read"),
        None
    );
    let result = json!({"sent": 3, "failed": []});
    celery::write_result(look, "t1", &result)
        .await
        .expect("written");
    assert_eq!(
        celery::read_result(look, "t1").await.expect("read"),
        Some(result)
    );
    for (key, ttl) in [
        (AiProcessing::key(id), AiProcessing::TTL),
        (OrderValidation::key(id), OrderValidation::TTL),
        (celery::task_key("t1"), celery::TTL),
        (celery::result_key("t1"), celery::TTL),
    ] {
        let left = pttl(look, &key).await;
        let ttl = ttl.as_millis() as i64;
        assert!((ttl - 10_000..=ttl).contains(&left), "{key}: {left}");
    }
}

async fn lists_streams_and_sets_are_bounded(_: RedisConfig, mut look: Connection) {
    let look = &mut look;
    let user = Uuid::new_v4();
    let more = notifications::KEPT as u64 + 5;
    for n in 0..more {
        notifications::push(look, user, &json!({"n": n}))
            .await
            .expect("pushed");
    }
    assert_eq!(
        notifications::waiting(look, user).await.expect("read"),
        notifications::KEPT
    );
    let oldest: Vec<Value> = notifications::take(look, user, 2).await.expect("taken");
    assert_eq!(
        oldest,
        [json!({"n": 5}), json!({"n": 6})],
        "the oldest are out"
    );
    assert!(pttl(look, &notifications::key(user)).await > 0);
    let rest: Vec<Value> = notifications::take(look, user, 1000).await.expect("taken");
    assert_eq!((rest.len(), &rest[97]), (98, &json!({"n": more - 1})));
    let none: Vec<Value> = notifications::take(look, user, 1).await.expect("taken");
    assert!(none.is_empty());

    websocket::add(look, "web1", "a").await.expect("added");
    websocket::keep_alive(look, "web2", &["b", "c"])
        .await
        .expect("alive");
    websocket::add(look, "web20", "d").await.expect("added");
    assert_eq!(websocket::count(look).await.expect("read"), 4);
    assert!(websocket::remove(look, "web2", "b").await.expect("removed"));
    assert_eq!(
        websocket::remove_server(look, "web2")
            .await
            .expect("removed"),
        1
    );
    let mut all = websocket::all(look).await.expect("read");
    all.sort();
    assert_eq!(all, ["web1:a", "web20:d"]);
    assert!((1..=90_000).contains(&pttl(look, websocket::KEY).await));

    let key = market_updates::key("A/B");
    for sequence in 1..=600 {
        let update = MarketUpdate {
            price: Decimal::new(4_500_050, 2),
            volume: Decimal::new(12_345, 2),
            timestamp: Decimal::new(1_705_329_930, 0),
            exchange: "binance".to_owned(),
            sequence,
            high_24h: Decimal::new(46_000, 0),
            low_24h: Decimal::new(44_000, 0),
            volume_24h: Decimal::new(123_456, 2),
            change_24h: Some(Decimal::new(25, 1)),
            seen_24h: Decimal::new(5, 1),
        };
        let mut pipeline = redis::pipe();
        update.append(&mut pipeline, &key, 100);
        pipeline.exec_async(look).await.expect("appended");
    }
    let length: u64 = cmd("XLEN")
        .arg(&key)
        .query_async(look)
        .await
        .expect("a length");
    assert!((100..300).contains(&length), "{length}");
    let first = market_updates::read(look, "A/B", "0", 2)
        .await
        .expect("read");
    let next = market_updates::read(look, "A/B", &first[1].0, 1)
        .await
        .expect("read");
    let sequences = [first[0].1.sequence, first[1].1.sequence, next[0].1.sequence];
    assert_eq!(sequences, [601 - length, 602 - length, 603 - length]);
    let patterns = assert_tidy(look).await;
    assert_eq!(patterns.len(), 2, "{patterns:?}");
}

macro_rules! on_each {
    ($($number:literal $name:ident,)*) => {
        mod on_server_and_cluster {
            $(#[tokio::test]
            async fn $name() {
                super::each($number, super::$name).await;
            })*
        }

        /// The replica that Sentinel made a master serves as the master did.
        #[tokio::test]
        async fn all_of_it_holds_after_a_failover() {
            let Some(mut watched) = watched().await else {
                return;
            };
            watched.fail_over().await;
            $({
                let mut look = Connection::open(&watched.config).await.expect("the new master");
                cmd("FLUSHDB").exec_async(&mut look).await.expect("emptied");
                $name(watched.config.clone(), look).await;
            })*
        }
    };
}
on_each! {
    1 sessions_end_with_their_users_set,
    2 a_limit_of_n_admits_exactly_n,
    3 a_window_ends_and_begins_anew,
    4 caches_hold_what_was_written_for_a_while,
    5 work_in_progress_is_forgotten_in_time,
    6 lists_streams_and_sets_are_bounded,
}
