//! Power cuts under the whole delivery with `journal.sync = "before_publish"`: the journal's
//! thread on a disk that loses what was not synced, real PostgreSQL and Redis behind it. What a
//! consumer read from Redis, PostgreSQL has in the end, however far it was behind when the power
//! went.

use crate::disk::{Draw, Fragile};
use crate::{daemon, postgres, servers};
use sqlx::{Connection, PgConnection};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tickforge::clock::Clock;
use tickforge::config::{JournalConfig, JournalSync, PostgresConfig, RedisConfig};
use tickforge::market::Registry;
use tickforge::metrics::Metrics;
use tickforge::outcome::Decision;
use tickforge::publishers::follow::{FollowContext, follow};
use tickforge::publishers::journal::{self, Disk, Journal, JournalContext, Reader};
use tickforge::publishers::postgres::PostgresSink;
use tickforge::publishers::redis::RedisSink;
use tickforge::publishers::{Entry, SignalSink, SinkError};
use tickforge::ring::ring;
use tickforge::signal::descriptions::Descriptions;
use tickforge::signal::record::{Described, SignalRecord};
use tickforge::signal::{
    DataQuality, Features, Percent, Reasoning, Signal, SignalType, Source, Timing,
};
use tokio::sync::watch;
use uuid::Uuid;

fn signal(n: u64) -> Signal {
    let event_ns = 1_795_000_000_000_000_000 + n as i64;
    Signal {
        id: Uuid::from_u128(0x7057_0000_0000 + u128::from(n)),
        strategy: 0,
        setting: 0,
        instrument: 0,
        signal_type: SignalType::Buy,
        source: Source::TechnicalAnalysis,
        strength: Percent::of(0.5),
        confidence: Percent::of(0.75),
        price: "91234.56".parse().unwrap(),
        target_price: None,
        stop_loss_price: None,
        take_profit_price: None,
        reasoning: Reasoning::from("a power cut is near").unwrap(),
        indicators: Features::new(),
        conditions: Features::new(),
        quality: DataQuality::default(),
        event_ns,
        valid_until_ns: event_ns + 60_000_000_000,
        timing: Timing {
            exchange_ns: event_ns,
            recv_ns: event_ns,
            decode_ns: 50,
            decided_ns: event_ns + 100,
        },
    }
}

/// A store that is slower than the other one.
struct Behind<S> {
    sink: S,
    pause: Duration,
}

impl<S: SignalSink> SignalSink for Behind<S> {
    fn name(&self) -> &'static str {
        self.sink.name()
    }

    fn resume(&mut self, taken: u64, last: &Entry) {
        self.sink.resume(taken, last);
    }

    async fn deliver(&mut self, entries: &[Entry]) -> Result<(), SinkError> {
        tokio::time::sleep(self.pause).await;
        self.sink.deliver(entries).await
    }

    async fn idle(&mut self) -> Result<(), SinkError> {
        self.sink.idle().await
    }
}

struct World {
    root: PathBuf,
    journal: PathBuf,
    config: JournalConfig,
    postgres: PostgresConfig,
    redis: RedisConfig,
    registry: Arc<Registry>,
    next: u64,
}

impl World {
    fn new(root: &Path, postgres: String, redis: String) -> World {
        let registry = Registry::default();
        registry.add(postgres::instrument("binance", "BTC/USDT"));
        World {
            root: root.to_owned(),
            journal: root.join("journal"),
            config: JournalConfig {
                sync: JournalSync::BeforePublish,
                max_bytes: 1 << 30,
                segment_bytes: 20_000,
            },
            postgres: PostgresConfig {
                batch: 20,
                ..postgres::config(&postgres)
            },
            redis: crate::redis::config(redis),
            registry: Arc::new(registry),
            next: 1,
        }
    }

    fn context(
        &self,
        disk: &Arc<dyn Disk>,
        published: watch::Receiver<u64>,
        metrics: &Arc<Metrics>,
    ) -> FollowContext {
        FollowContext {
            disk: Arc::clone(disk),
            journal: self.journal.clone(),
            quarantine: self.root.join("quarantine"),
            published,
            metrics: Arc::clone(metrics),
            of: |m| &m.redis,
            batch: 20,
            timeout: Duration::from_secs(5),
            taken: Arc::default(),
        }
    }

    /// A daemon at work on `disk`. With a cut it goes without a word, else when all is delivered.
    async fn live(&mut self, disk: &Arc<Fragile>, lag: Duration, cut: Option<(Duration, u64)>) {
        let system: Arc<dyn Disk> = Arc::<Fragile>::clone(disk);
        let (journal, opened) =
            Journal::open_on(Arc::clone(&system), &self.journal, &self.config).expect("opens");
        let metrics = Arc::new(Metrics::default());
        let (published, end) = watch::channel(opened.last_seq);
        let context = JournalContext {
            producer: "host1".to_owned(),
            descriptions: descriptions(),
            registry: Arc::clone(&self.registry),
            metrics: Arc::clone(&metrics),
            clock: Clock::system(),
            sync: JournalSync::BeforePublish,
            published,
            taken: Vec::new(),
            unfinished: Vec::new(),
        };
        let (mut signals, consumer) = ring(64);
        let (_stop, stopping) = watch::channel(None);
        let thread = std::thread::spawn(move || journal::run(consumer, journal, context, stopping));

        let (_go, stop) = watch::channel(None);
        let redis = RedisSink::new(self.redis.clone(), "host1".to_owned(), Arc::clone(&metrics));
        let redis = follow(
            redis,
            self.context(&system, end.clone(), &metrics),
            stop.clone(),
        );
        let postgres = Behind {
            sink: PostgresSink::new(
                self.postgres.clone(),
                Arc::clone(&self.registry),
                Arc::clone(&metrics),
            ),
            pause: lag,
        };
        let postgres = follow(postgres, self.context(&system, end, &metrics), stop);
        let work = async { tokio::join!(redis, postgres) };
        match cut {
            None => {
                drop(signals);
                assert_eq!(work.await, (0, 0), "all is delivered");
            }
            Some((after, operations)) => {
                let next = &mut self.next;
                let feed = async {
                    loop {
                        let decision = Decision::Signal(signal(*next));
                        if signals.push(decision).is_ok() {
                            *next += 1;
                        }
                        signals.wake();
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                };
                let power = async {
                    tokio::time::sleep(after).await;
                    disk.cut_after(operations);
                    while !disk.is_off() {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                };
                tokio::select! {
                    _ = async { tokio::join!(work, feed) } => {}
                    () = power => {}
                }
                drop(signals);
            }
        }
        thread.join().expect("the journal's thread ends");
    }

    fn journalled(&self) -> Vec<String> {
        let mut reader = Reader::open(&self.journal, 1);
        let mut ids = Vec::new();
        while let Some(record) = reader.next(u64::MAX).expect("reads") {
            let record: SignalRecord = serde_json::from_slice(record.payload).expect("whole");
            ids.push(record.signal_id.to_string());
        }
        ids
    }
}

#[tokio::test]
async fn what_a_consumer_read_is_in_postgres_after_a_power_cut() {
    if servers::postgres_url().is_none() {
        return;
    }
    let Some(server) = servers::own_redis() else {
        return;
    };
    let rounds = if servers::long() { 60 } else { 8 };
    let dir = tempfile::tempdir().expect("a folder");
    let database = servers::fresh_database();
    let mut world = World::new(dir.path(), database.clone(), server.url());
    let (mut draw, mut behind) = (Draw::new(rounds), 0);
    for _ in 0..rounds {
        let disk = Fragile::on(dir.path());
        let after = Duration::from_millis(60 + draw.below(300));
        let lag = Duration::from_millis(draw.below(120));
        let operations = 1 + draw.below(6);
        world.live(&disk, lag, Some((after, operations))).await;
        disk.power_cut(dir.path(), &mut draw);
        let read: BTreeSet<String> = daemon::stream_ids(&server.url(), "trading_signals").await;
        let kept: BTreeSet<String> = world.journalled().into_iter().collect();
        let gone: Vec<_> = read.difference(&kept).collect();
        assert!(
            gone.is_empty(),
            "a consumer read, the journal lost: {gone:?}"
        );
        let stored = stored(&database).await;
        behind += u64::from(read.iter().any(|id| !stored.contains(id)));
    }
    assert!(behind > 0, "PostgreSQL was never behind: nothing was shown");
    world
        .live(&Fragile::on(dir.path()), Duration::ZERO, None)
        .await;
    let journalled = world.journalled();
    assert!(journalled.len() > 100, "{}", journalled.len());
    let read = daemon::consume(&server.url(), "trading_signals");
    assert_eq!(
        read["ids"],
        serde_json::json!(journalled),
        "in order, each once"
    );
    let numbers: Vec<usize> = (1..=journalled.len()).collect();
    assert_eq!(read["seqs"], serde_json::json!(numbers), "without a hole");
    let journalled: BTreeSet<String> = journalled.into_iter().collect();
    assert_eq!(stored(&database).await, journalled);
}

async fn stored(url: &str) -> BTreeSet<String> {
    let mut db = PgConnection::connect(url).await.expect("PostgreSQL");
    let question = "SELECT to_regclass('trading_signals') IS NOT NULL";
    if !sqlx::query_scalar::<_, bool>(question)
        .fetch_one(&mut db)
        .await
        .expect("an answer")
    {
        return BTreeSet::new();
    }
    let ids = sqlx::query_scalar::<_, String>("SELECT id::text FROM trading_signals");
    let ids = ids.fetch_all(&mut db).await.expect("signals");
    ids.into_iter().collect()
}

fn descriptions() -> Arc<Descriptions> {
    let all = Descriptions::default();
    all.add(Described {
        strategy: "ema_cross".into(),
        version: "1".to_owned(),
        parameters: serde_json::json!({}),
        shadow: false,
    });
    Arc::new(all)
}
