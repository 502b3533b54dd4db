//! The publisher against a scripted server, one that is away, and a spool that fills.

use super::*;
use crate::config::Secret;
use crate::market::{DayStats, Event, Side, Trade};
use crate::publishers::intake::tests::instrument;
use crate::ring::ring;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

pub const TIME: i64 = 1_705_329_930_123_000_000;

pub fn config(url: String) -> InfluxConfig {
    InfluxConfig {
        url,
        version: 1,
        database: "trading_bot".to_owned(),
        username: None,
        password: None,
        org: None,
        token: None,
        batch: 5000,
        flush: Duration::from_millis(10),
        timeout: Duration::from_millis(300),
        max_waiting: 10_000,
        spool_max_bytes: 0,
        metrics_every: Duration::from_secs(10),
        performance_every: Duration::from_secs(60),
    }
}

/// The same server by the API of 2.x.
fn two(url: String) -> InfluxConfig {
    InfluxConfig {
        version: 2,
        org: Some("trading".to_owned()),
        token: Some(Secret("hunter2".to_owned())),
        ..config(url)
    }
}

pub fn trade(id: u128) -> Tick {
    let trade = Trade {
        price: 4_500_050_000_000,
        amount: 1_000,
        id,
        taker: Side::Sell,
    };
    let day = DayStats {
        high: 46,
        low: 44,
        open: 400,
        last: 410,
        volume: 7,
        seen_minutes: 720,
    };
    Tick {
        event: Event::from_trade(0, TIME, TIME + 5, trade),
        day,
    }
}

pub fn registry() -> Arc<Registry> {
    let registry = Registry::default();
    registry.add(instrument("binance", "BTC/USDT"));
    registry.add(instrument("binance", "ETH/USDT"));
    Arc::new(registry)
}

/// A server that gives these answers to writes, in turn, then 204; says how many lines each had.
/// It speaks both APIs.
fn scripted(answers: Vec<(u16, &'static str)>) -> (String, std::thread::JoinHandle<Vec<usize>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let server = std::thread::spawn(move || {
        let (mut answers, mut written) = (answers.into_iter(), Vec::new());
        loop {
            let (mut stream, _) = listener.accept().expect("a connection");
            let (path, body) = request(&mut stream);
            let (status, text) = match path.as_str() {
                "/end" => return written,
                p if p.starts_with("/query") => (200, r#"{"results":[{}]}"#),
                p if p.starts_with("/api/v2/orgs") => (
                    200,
                    r#"{"orgs":[{"id":"0123456789abcdef","name":"trading"}]}"#,
                ),
                p if p.starts_with("/api/v2/buckets") => (201, "{}"),
                _ => {
                    written.push(body.lines().count());
                    answers.next().unwrap_or((204, ""))
                }
            };
            let (more, text) = match text.strip_prefix("retry-after: ") {
                Some(seconds) => (format!("retry-after: {seconds}\r\n"), ""),
                None => (String::new(), text),
            };
            let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n{more}");
            let _ = write!(stream, "{head}content-length: {}\r\n\r\n{text}", text.len());
        }
    });
    (url, server)
}

fn request(stream: &mut TcpStream) -> (String, String) {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 65536]);
    loop {
        let n = stream.read(&mut chunk).expect("a request");
        bytes.extend_from_slice(&chunk[..n]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.to_lowercase();
        let length = length
            .split("content-length: ")
            .nth(1)
            .and_then(|r| r.lines().next());
        if n == 0 || body.len() >= length.map_or(0, |l| l.parse().expect("a length")) {
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            return (path, body.to_owned());
        }
    }
}

/// Offers trades to a server until all are resolved.
async fn publish(config: InfluxConfig, spool: &Path, trades: u128) -> TickMetrics {
    let (mut producer, consumer) = ring(1024);
    for id in 0..trades {
        assert!(producer.push(trade(id)).is_ok());
    }
    drop(producer);
    let metrics = Arc::new(Metrics::default());
    let (_stop, stopped) = tokio::sync::watch::channel(None);
    let counts = Arc::clone(&metrics);
    let derived = Derived::new(Arc::clone(&metrics));
    let run = run(
        consumer,
        config,
        spool.to_owned(),
        registry(),
        counts,
        derived,
        stopped,
    );
    run.await.expect("it can run");
    Arc::into_inner(metrics).expect("the last one").influx
}

fn end(url: &str, server: std::thread::JoinHandle<Vec<usize>>) -> Vec<usize> {
    let end = TcpStream::connect(url.trim_start_matches("http://"));
    write!(end.expect("the server"), "GET /end HTTP/1.1\r\n\r\n").expect("sent");
    server.join().expect("the server's end")
}

/// Offers trades to a scripted server; what was counted (stored, expired, dropped) and the
/// lines of each write.
async fn check(
    config: fn(String) -> InfluxConfig,
    trades: u128,
    answers: Vec<(u16, &'static str)>,
    expected: (u64, u64, u64),
    writes: &[usize],
) {
    let (url, server) = scripted(answers);
    let counts = publish(config(url.clone()), Path::new(""), trades).await;
    let counted = (
        counts.stored.get(),
        counts.expired.get(),
        counts.dropped.get(),
    );
    assert_eq!(counted, expected);
    assert_eq!(counts.spooled.get(), 0);
    assert_eq!(lost(&counts), expected.2);
    assert_eq!(end(&url, server), writes);
}

fn lost(counts: &TickMetrics) -> u64 {
    counts.lost.all().values().sum()
}

#[tokio::test]
async fn answers_are_counted_to_the_unit() {
    let old = r#"{"error":"partial write: points beyond retention policy dropped=3"}"#;
    let bad = r#"{"error":"partial write: field type conflict: dropped=1"}"#;
    let away = (503, r#"{"error":"timeout"}"#);
    check(config, 8, vec![], (8, 0, 0), &[8]).await;
    check(config, 8, vec![(400, old)], (5, 3, 0), &[8]).await;
    check(
        config,
        8,
        vec![away, (429, ""), (500, "")],
        (8, 0, 0),
        &[8, 8, 8, 8],
    )
    .await;
    check(config, 8, vec![(413, "")], (8, 0, 0), &[8, 4, 4]).await;
    check(
        config,
        4,
        vec![(400, bad), (400, bad), (400, bad)],
        (3, 0, 1),
        &[4, 2, 1, 1, 2],
    )
    .await;
    check(config, 1, vec![(413, "")], (0, 0, 1), &[1]).await;
    let gone = r#"{"error":"database not found: \"trading_bot\""}"#;
    check(
        config,
        2,
        vec![(404, gone), (404, "no such page")],
        (2, 0, 0),
        &[2, 2, 2],
    )
    .await;
    check(
        config,
        2,
        vec![(400, "<html>proxy</html>")],
        (2, 0, 0),
        &[2, 2],
    )
    .await;
}

/// 2.x says the same in other words, and by other numbers.
#[cfg(feature = "influxdb2")]
#[tokio::test]
async fn answers_of_version_2_are_counted_to_the_unit() {
    let old = r#"{"code":"unprocessable entity","message":"failure writing points to database: partial write: points beyond retention policy dropped=3"}"#;
    let bad = r#"{"code":"unprocessable entity","message":"failure writing points to database: partial write: field type conflict: input field \"a\" dropped=1"}"#;
    let unparsed = r#"{"code":"invalid","message":"unable to parse 'x': missing fields"}"#;
    check(two, 8, vec![], (8, 0, 0), &[8]).await;
    check(two, 8, vec![(422, old)], (5, 3, 0), &[8]).await;
    check(two, 8, vec![(500, old)], (5, 3, 0), &[8]).await;
    let away = vec![(503, "{}"), (429, ""), (401, "{}")];
    check(two, 8, away, (8, 0, 0), &[8, 8, 8, 8]).await;
    check(two, 8, vec![(413, "")], (8, 0, 0), &[8, 4, 4]).await;
    let refused = vec![(422, bad), (400, unparsed), (422, bad)];
    check(two, 4, refused, (3, 0, 1), &[4, 2, 1, 1, 2]).await;
    let gone = r#"{"code":"not found","message":"bucket \"trading_bot/realtime\" not found"}"#;
    check(two, 2, vec![(404, gone)], (2, 0, 0), &[2, 2]).await;
    check(
        two,
        2,
        vec![(400, "<html>proxy</html>")],
        (2, 0, 0),
        &[2, 2],
    )
    .await;
}

#[tokio::test]
async fn an_overloaded_server_gets_the_time_it_asks_for() {
    let mut versions: Vec<fn(String) -> InfluxConfig> = vec![config];
    if cfg!(feature = "influxdb2") {
        versions.push(two);
    }
    for version in versions {
        for status in [429, 503] {
            let began = Instant::now();
            let answers = vec![(status, "retry-after: 1")];
            check(version, 2, answers, (2, 0, 0), &[2, 2]).await;
            assert!(began.elapsed() >= Duration::from_secs(1), "{status}");
        }
    }
}

#[tokio::test]
async fn the_oldest_are_dropped_and_the_deadline_is_kept() {
    let (mut producer, consumer) = ring(1024);
    for id in 0..50 {
        assert!(producer.push(trade(id)).is_ok());
    }
    let metrics = Arc::new(Metrics::default());
    let (stop, stopped) = tokio::sync::watch::channel(None);
    // Nobody listens there.
    let config = InfluxConfig {
        max_waiting: 20,
        ..config("http://127.0.0.1:1".to_owned())
    };
    let counts = Arc::clone(&metrics);
    let derived = Derived::new(Arc::clone(&metrics));
    let run = run(
        consumer,
        config,
        PathBuf::new(),
        registry(),
        counts,
        derived,
        stopped,
    );
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(
            (metrics.influx.dropped.get(), metrics.influx.spooled.get()),
            (30, 20)
        );
        drop(producer);
        stop.send(Some(Instant::now() + Duration::from_millis(50)))
            .expect("running");
    };
    let began = Instant::now();
    let (ran, ()) = tokio::join!(run, stopping);
    assert_eq!(ran, Ok(()));
    assert!(
        began.elapsed() < Duration::from_millis(600),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(
        (metrics.influx.dropped.get(), metrics.influx.spooled.get()),
        (50, 0)
    );
    assert_eq!(lost(&metrics.influx), 50);
}

/// A run whose server is never there, ended by its deadline.
async fn away(config: InfluxConfig, spool: &Path, ticks: &[Tick]) -> TickMetrics {
    let (mut producer, consumer) = ring(1024);
    let metrics = Arc::new(Metrics::default());
    let (stop, stopped) = tokio::sync::watch::channel(None);
    let counts = Arc::clone(&metrics);
    let derived = Derived::new(Arc::clone(&metrics));
    let run = run(
        consumer,
        config,
        spool.to_owned(),
        registry(),
        counts,
        derived,
        stopped,
    );
    let drive = async {
        for some in ticks.chunks(20) {
            for tick in some {
                assert!(producer.push(*tick).is_ok());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // A busy machine takes its time for the first answers.
        tokio::time::sleep(Duration::from_millis(500)).await;
        drop(producer);
        let deadline = Instant::now() + Duration::from_millis(50);
        stop.send(Some(deadline)).expect("running");
    };
    let (ran, ()) = tokio::join!(run, drive);
    assert_eq!(ran, Ok(()));
    Arc::into_inner(metrics).expect("the last one").influx
}

fn spooling(url: String, spool_max_bytes: u64) -> InfluxConfig {
    InfluxConfig {
        batch: 10,
        max_waiting: 200,
        spool_max_bytes,
        ..config(url)
    }
}

const NOBODY: &str = "http://127.0.0.1:1";

/// Trades of two instruments by turns.
fn trades(n: u128) -> Vec<Tick> {
    let both = |id: u128| {
        let mut tick = trade(id);
        tick.event.instrument = (id % 2) as u32;
        tick
    };
    (0..n).map(both).collect()
}

#[tokio::test]
async fn what_one_run_spools_the_next_one_stores() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = spooling(NOBODY.to_owned(), 1 << 20);
    let first = away(config, &dir.path().join("influx"), &trades(505)).await;
    assert_eq!((first.spooled.get(), first.dropped.get()), (505, 0));
    // The second has ticks of its own, and is away, too.
    let config = spooling(NOBODY.to_owned(), 1 << 20);
    let second = away(config, &dir.path().join("influx"), &trades(95)).await;
    assert_eq!((second.spooled.get(), second.dropped.get()), (95, 0));
    let backlog = &second.backlog;
    assert_eq!((backlog.found.get(), backlog.waiting.get()), (505, 505));
    let (url, server) = scripted(vec![]);
    let third = publish(
        spooling(url.clone(), 1 << 20),
        &dir.path().join("influx"),
        7,
    )
    .await;
    assert_eq!((third.stored.get(), third.spooled.get()), (7, 0));
    let backlog = &third.backlog;
    assert_eq!((backlog.found.get(), backlog.stored.get()), (600, 600));
    assert_eq!(
        (backlog.waiting.get(), third.spool_bytes.get(), lost(&third)),
        (0, 0, 0)
    );
    assert_eq!(end(&url, server).iter().sum::<usize>(), 607);
    assert_eq!(
        std::fs::read_dir(dir.path().join("influx"))
            .expect("listed")
            .count(),
        0
    );
}

#[tokio::test]
async fn a_batch_stopped_half_way_is_stored_once_in_the_books() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = spooling(NOBODY.to_owned(), 1 << 20);
    away(config, &dir.path().join("influx"), &trades(10)).await;
    // Half of the frame is stored, the other half is not before the stop.
    let (url, server) = scripted(vec![(413, ""), (204, ""), (503, "retry-after: 60")]);
    let second = away(
        spooling(url.clone(), 1 << 20),
        &dir.path().join("influx"),
        &trades(200),
    )
    .await;
    end(&url, server);
    let backlog = &second.backlog;
    let fates = (
        backlog.found.get(),
        backlog.stored.get(),
        backlog.waiting.get(),
    );
    assert_eq!(fates, (10, 5, 5));
    assert_eq!((second.spooled.get(), second.stored.get()), (200, 0));
    let (url, server) = scripted(vec![]);
    let third = publish(
        spooling(url.clone(), 1 << 20),
        &dir.path().join("influx"),
        0,
    )
    .await;
    assert_eq!(third.backlog.found.get(), 205);
    assert_eq!(third.backlog.stored.get(), 205);
    assert_eq!(end(&url, server).iter().sum::<usize>(), 205);
}

#[tokio::test]
async fn a_full_spool_drops_the_oldest_and_counts_each_by_instrument() {
    let dir = tempfile::tempdir().expect("a folder");
    let room = 3_000;
    let config = spooling(NOBODY.to_owned(), room);
    let first = away(config, &dir.path().join("influx"), &trades(600)).await;
    let (spooled, dropped) = (first.spooled.get(), first.dropped.get());
    assert_eq!(spooled + dropped, 600);
    assert!(spooled > 50 && dropped > 300, "{spooled} {dropped}");
    assert!(first.spool_bytes.get() <= room);
    let by_instrument = first.lost.all();
    assert_eq!(by_instrument.len(), 2);
    assert!(by_instrument.values().all(|n| *n == dropped / 2));
    let (url, server) = scripted(vec![]);
    let second = publish(spooling(url.clone(), room), &dir.path().join("influx"), 0).await;
    let backlog = &second.backlog;
    assert_eq!(
        (backlog.found.get(), backlog.stored.get()),
        (spooled, spooled)
    );
    assert_eq!(end(&url, server).iter().sum::<usize>() as u64, spooled);
}

#[tokio::test]
async fn a_disk_that_takes_nothing_costs_ticks_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("file");
    std::fs::write(&file, b"").expect("written");
    // No folder can be below a file.
    let config = spooling(NOBODY.to_owned(), 1 << 20);
    let first = away(config, &file.join("spool"), &trades(300)).await;
    assert_eq!((first.spooled.get(), first.dropped.get()), (0, 300));
    assert_eq!(lost(&first), 300);
}

#[test]
fn a_configuration_that_cannot_work_is_refused_at_start() {
    let good = config("http://bob:hunter2@127.0.0.1:8086".to_owned());
    assert_eq!(accept(&good), Ok(()));
    let three = InfluxConfig {
        version: 3,
        ..good.clone()
    };
    assert!(
        accept(&three)
            .expect_err("version 3")
            .contains("version = 3")
    );
    let two = two("http://127.0.0.1:8086".to_owned());
    if cfg!(feature = "influxdb2") {
        assert_eq!(accept(&two), Ok(()));
        let no_token = InfluxConfig { token: None, ..two };
        assert!(
            accept(&no_token)
                .expect_err("no token")
                .contains("token_file")
        );
    } else {
        assert!(accept(&two).expect_err("version 2").contains("influxdb2"));
    }
    let wrong = InfluxConfig {
        url: "bob:hunter2@host".to_owned(),
        ..good.clone()
    };
    assert!(!accept(&wrong).expect_err("no URL").contains("hunter2"));
    let named = InfluxConfig {
        password: Some(Secret("x".to_owned())),
        ..good
    };
    assert!(
        !Server::new(&named)
            .expect("a server")
            .place
            .contains("hunter2")
    );
}
