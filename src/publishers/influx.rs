//! Trades and quotes to InfluxDB 1.x, into its policy `realtime`.
//!
//! Points of one series with equal times overwrite each other, so a point's time is the event's
//! plus an offset below the stamp's resolution that comes from its id: trades within a millisecond
//! stay apart, and writing a batch again changes nothing. While a write is under way, or the store
//! is away, ticks are still taken from the ring into a bounded queue; its oldest are dropped and
//! counted. What the store accepts, refuses or finds too old is counted to the unit. Runs on the
//! publishers' runtime; never holds back the engine.

mod batch;
mod line;
mod points;
mod server;

use crate::config::InfluxConfig;
use crate::market::{Kind, Registry, Tick};
use crate::metrics::{Counter, Metrics, TickMetrics};
use crate::publishers::intake::{self, Instruments, Stop};
use crate::ring::Consumer;
use batch::Batch;
use points::Series;
use server::{Answer, Server};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Refused lines of one batch that are logged with their text.
const LOGGED_LINES: u32 = 3;
/// Between two lines about points that are dropped.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// Takes ticks until their producer is gone and everything is stored, or until the deadline. An
/// error means that it never began: the configuration names a version that this build cannot speak.
pub async fn run(
    consumer: Consumer<Tick>,
    config: InfluxConfig,
    registry: Arc<Registry>,
    metrics: Arc<Metrics>,
    stop: Stop,
) -> Result<(), String> {
    let server = Server::new(&config)?;
    let counts = &metrics.influx;
    let unresolved = Counter::default();
    let mut intake = Intake::new(consumer, config, registry, counts, &unresolved);
    let mut batch = Batch::default();
    tokio::select! {
        () = pump(&mut intake, &mut batch, &server, stop.clone()) => {}
        () = intake::deadline(stop) => {
            intake.drain();
            let lost = (batch.unresolved() + intake.points) as u64;
            if lost > 0 {
                counts.dropped.add(lost);
                tracing::error!(lost, "{}: points not stored before the stop", server.place);
            }
        }
    }
    counts.spooled.set(0);
    Ok(())
}

/// Whether this configuration can be used at all: a plain error at start rather than a silent
/// store.
pub fn accept(config: &InfluxConfig) -> Result<(), String> {
    Server::new(config).map(drop)
}

/// Whether the store answers and lets us in: its version and answer time, or what is wrong.
pub async fn probe(config: InfluxConfig) -> Result<String, String> {
    let server = Server::new(&config)?;
    let asked = Instant::now();
    let version = server.version().await?;
    let answered = asked.elapsed();
    server.log_in().await?;
    Ok(format!("{version}, answers in {answered:.1?}"))
}

async fn pump(intake: &mut Intake<'_>, batch: &mut Batch, server: &Server, stop: Stop) {
    let (counts, unresolved) = (intake.counts, intake.unresolved);
    intake::alongside(set_up(server, counts), || intake.drain()).await;
    loop {
        intake.drain();
        let closed = intake.consumer.is_closed();
        if closed && intake.points == 0 {
            return;
        }
        let hurry = closed || stop.borrow().is_some();
        if intake.points == 0 || !hurry && !intake.due() {
            tokio::time::sleep(intake::POLL).await;
            continue;
        }
        intake.fill(batch);
        unresolved.set(batch.unresolved() as u64);
        let work = deliver(batch, server, counts, unresolved);
        intake::alongside(work, || intake.drain()).await;
    }
}

async fn set_up(server: &Server, counts: &TickMetrics) {
    let mut failures = 0;
    while let Err(reason) = server.set_up().await {
        failures += 1;
        counts.retries.add(1);
        if failures == 1 {
            tracing::warn!("{reason} (will try again)");
        }
        tokio::time::sleep(intake::backoff(failures)).await;
    }
    if failures > 0 {
        tracing::info!("{}: ready after {failures} failed attempts", server.place);
    }
}

/// Writes the batch until each of its lines is stored, too old, or refused for good.
async fn deliver(batch: &mut Batch, server: &Server, counts: &TickMetrics, unresolved: &Counter) {
    let (mut failures, mut refused) = (0, 0u32);
    while let Some(range) = batch.next() {
        let n = range.len();
        let mut wait = None;
        match server.write(batch.lines(&range).to_vec()).await {
            Answer::Stored { expired } => {
                let expired = expired.min(n);
                counts.expired.add(expired as u64);
                counts.stored.add((n - expired) as u64);
                batch.resolved();
            }
            Answer::Refused(_) | Answer::TooLarge if n > 1 => batch.split(),
            answer @ (Answer::Refused(_) | Answer::TooLarge) => {
                refused += 1;
                if refused <= LOGGED_LINES {
                    let line = String::from_utf8_lossy(batch.lines(&range));
                    let line = line.trim_end();
                    tracing::error!(line, ?answer, "{}: point refused, dropped", server.place);
                }
                counts.dropped.add(1);
                batch.resolved();
            }
            Answer::Missing(reason) => {
                if failures == 0 {
                    tracing::warn!("{reason}; creating it");
                }
                let made = server.set_up().await;
                wait = Some((made.err().unwrap_or(reason), None));
            }
            Answer::Retry { reason, after } => wait = Some((reason, after)),
        }
        unresolved.set(batch.unresolved() as u64);
        if let Some((reason, after)) = wait {
            failures += 1;
            counts.retries.add(1);
            if failures == 1 {
                tracing::warn!("{reason} (will try again)");
            }
            let pause = intake::backoff(failures);
            tokio::time::sleep(after.map_or(pause, |after| after.max(pause))).await;
        } else if failures > 0 {
            tracing::info!(
                "{}: answers again after {failures} failed attempts",
                server.place
            );
            failures = 0;
        }
    }
    if refused > LOGGED_LINES {
        tracing::error!(
            refused,
            "{}: points of one batch refused, dropped",
            server.place
        );
    }
}

/// Ticks out of the ring that wait for their batch, status events among them in ring order.
struct Intake<'a> {
    consumer: Consumer<Tick>,
    config: InfluxConfig,
    instruments: Instruments<Series>,
    counts: &'a TickMetrics,
    /// Lines of the batch under way.
    unresolved: &'a Counter,
    queue: VecDeque<Tick>,
    /// Trades and quotes in the queue.
    points: usize,
    /// When the queue's oldest point came.
    since: Instant,
    /// When it was last said that points are dropped.
    complained: Option<Instant>,
}

impl<'a> Intake<'a> {
    fn new(
        consumer: Consumer<Tick>,
        config: InfluxConfig,
        registry: Arc<Registry>,
        counts: &'a TickMetrics,
        unresolved: &'a Counter,
    ) -> Intake<'a> {
        Intake {
            consumer,
            config,
            instruments: Instruments::new(registry, points::series),
            counts,
            unresolved,
            queue: VecDeque::new(),
            points: 0,
            since: Instant::now(),
            complained: None,
        }
    }

    fn drain(&mut self) {
        for _ in 0..self.consumer.len() {
            let Some(tick) = self.consumer.pop() else {
                break;
            };
            if tick.event.kind == Kind::Book {
                continue;
            }
            if tick.event.kind != Kind::Status {
                if self.points == 0 {
                    self.since = Instant::now();
                }
                self.points += 1;
            }
            self.queue.push_back(tick);
            while self.points > self.config.max_waiting.max(1) {
                self.drop_oldest();
            }
        }
        let waiting = self.consumer.len() + self.points;
        self.counts
            .spooled
            .set(waiting as u64 + self.unresolved.get());
    }

    fn drop_oldest(&mut self) {
        let Some(tick) = self.queue.pop_front() else {
            return;
        };
        if tick.event.kind == Kind::Status {
            self.instruments.status(&tick.event);
            return;
        }
        self.points -= 1;
        self.counts.dropped.add(1);
        if self
            .complained
            .is_none_or(|then| then.elapsed() >= COMPLAIN_EVERY)
        {
            self.complained = Some(Instant::now());
            let dropped = self.counts.dropped.get();
            tracing::warn!(
                dropped,
                "influx: more points wait than max_waiting; the oldest go"
            );
        }
    }

    fn due(&self) -> bool {
        self.points >= self.config.batch
            || self.points > 0 && self.since.elapsed() >= self.config.flush
    }

    /// Encodes the oldest ticks into the batch.
    fn fill(&mut self, batch: &mut Batch) {
        batch.fill(self.config.batch, |out| {
            while let Some(tick) = self.queue.pop_front() {
                if tick.event.kind == Kind::Status {
                    self.instruments.status(&tick.event);
                    continue;
                }
                self.points -= 1;
                points::encode(&tick, self.instruments.get(tick.event.instrument), out);
                return true;
            }
            false
        });
        self.since = Instant::now();
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::config::Secret;
    use crate::market::{DayStats, Event, Side, Trade};
    use crate::publishers::intake::tests::instrument;
    use crate::ring::ring;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    pub const TIME: i64 = 1_705_329_930_123_000_000;

    fn config(url: String) -> InfluxConfig {
        InfluxConfig {
            url,
            version: 1,
            database: "trading_bot".to_owned(),
            username: None,
            password: None,
            batch: 5000,
            flush: Duration::from_millis(10),
            timeout: Duration::from_millis(300),
            max_waiting: 10_000,
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
        };
        Tick {
            event: Event::from_trade(0, TIME, TIME + 5, trade),
            day,
        }
    }

    pub fn registry() -> Arc<Registry> {
        let registry = Registry::default();
        registry.add(instrument("binance", "BTC/USDT"));
        Arc::new(registry)
    }

    /// A server that gives these answers to writes, in turn, then 204; says what was written.
    fn scripted(
        answers: Vec<(u16, &'static str)>,
    ) -> (String, std::thread::JoinHandle<Vec<usize>>) {
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
                    _ => {
                        written.push(body.lines().count());
                        answers.next().unwrap_or((204, ""))
                    }
                };
                let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n");
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

    fn may_be_spawned<F: Future + Send + 'static>(task: F) -> F {
        task
    }

    /// Offers trades to a scripted server; what was counted (stored, expired, dropped) and the
    /// lines of each write.
    async fn check(
        trades: u128,
        answers: Vec<(u16, &'static str)>,
        expected: (u64, u64, u64),
        writes: &[usize],
    ) {
        let (url, server) = scripted(answers);
        let (mut producer, consumer) = ring(1024);
        for id in 0..trades {
            assert!(producer.push(trade(id)).is_ok());
        }
        drop(producer);
        let metrics = Arc::new(Metrics::default());
        let (_stop, stopped) = tokio::sync::watch::channel(None);
        let run = run(
            consumer,
            config(url.clone()),
            registry(),
            Arc::clone(&metrics),
            stopped,
        );
        may_be_spawned(run).await.expect("version 1");
        let end = TcpStream::connect(url.trim_start_matches("http://"));
        write!(end.expect("the server"), "GET /end HTTP/1.1\r\n\r\n").expect("sent");
        let counts = &metrics.influx;
        let counted = (
            counts.stored.get(),
            counts.expired.get(),
            counts.dropped.get(),
        );
        assert_eq!(counted, expected);
        assert_eq!(counts.spooled.get(), 0);
        assert_eq!(server.join().expect("the server's end"), writes);
    }

    #[tokio::test]
    async fn answers_are_counted_to_the_unit() {
        let old = r#"{"error":"partial write: points beyond retention policy dropped=3"}"#;
        let bad = r#"{"error":"partial write: field type conflict: dropped=1"}"#;
        let away = (503, r#"{"error":"timeout"}"#);
        check(8, vec![], (8, 0, 0), &[8]).await;
        check(8, vec![(400, old)], (5, 3, 0), &[8]).await;
        check(
            8,
            vec![away, (429, ""), (500, "")],
            (8, 0, 0),
            &[8, 8, 8, 8],
        )
        .await;
        check(8, vec![(413, "")], (8, 0, 0), &[8, 4, 4]).await;
        check(
            4,
            vec![(400, bad), (400, bad), (400, bad)],
            (3, 0, 1),
            &[4, 2, 1, 1, 2],
        )
        .await;
        check(1, vec![(413, "")], (0, 0, 1), &[1]).await;
        let gone = r#"{"error":"database not found: \"trading_bot\""}"#;
        check(
            2,
            vec![(404, gone), (404, "no such page")],
            (2, 0, 0),
            &[2, 2, 2],
        )
        .await;
        check(2, vec![(400, "<html>proxy</html>")], (2, 0, 0), &[2, 2]).await;
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
        let run = run(consumer, config, registry(), Arc::clone(&metrics), stopped);
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
    }

    #[test]
    fn a_configuration_that_cannot_work_is_refused_at_start() {
        let good = config("http://bob:hunter2@127.0.0.1:8086".to_owned());
        assert_eq!(accept(&good), Ok(()));
        let two = InfluxConfig {
            version: 2,
            ..good.clone()
        };
        assert!(accept(&two).expect_err("version 2").contains("1.x only"));
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
}
