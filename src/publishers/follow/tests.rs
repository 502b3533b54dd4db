//! Whatever a store does, each signal is in it once in effect.

use super::*;
use crate::config::{JournalConfig, JournalSync};
use crate::publishers::journal::{Journal, System, sample};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

#[derive(Clone, Copy)]
enum Answer {
    Take,
    Retry,
    Refuse(usize),
    /// Forgets all it has.
    Empty,
    /// Forgets what came after this number.
    Forget(u64),
    /// Never answers.
    Hang,
    /// Takes all and never says so.
    TakeAndHang,
}

/// A store that keeps signals by id and answers by script, then takes everything.
#[derive(Clone, Default)]
struct Fake(Rc<RefCell<Store>>);

#[derive(Default)]
struct Store {
    script: VecDeque<Answer>,
    rows: BTreeMap<uuid::Uuid, u64>,
    idles: u64,
    /// What each start was told that the store has.
    resumed: Vec<u64>,
    /// How long it takes to open, once.
    opens_in: Option<Duration>,
}

impl SignalSink for Fake {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn resume(&mut self, _taken: u64, last: &Entry) {
        assert_eq!(last.record.signal_id, sample::signal(last.seq).id);
        self.0.borrow_mut().resumed.push(last.seq);
    }

    async fn open(&mut self) -> Result<(), SinkError> {
        let time = self.0.borrow().opens_in;
        if let Some(time) = time {
            tokio::time::sleep(time).await;
            self.0.borrow_mut().opens_in = None;
        }
        Ok(())
    }

    async fn deliver(&mut self, entries: &[Entry]) -> Result<(), SinkError> {
        let answer = self
            .0
            .borrow_mut()
            .script
            .pop_front()
            .unwrap_or(Answer::Take);
        let take = |store: &mut Store| {
            store
                .rows
                .extend(entries.iter().map(|e| (e.record.signal_id, e.seq)));
        };
        match answer {
            Answer::Take => take(&mut self.0.borrow_mut()),
            Answer::Retry => return Err(SinkError::Retry("fake: away".to_owned())),
            Answer::Refuse(index) => {
                return Err(SinkError::Refused {
                    index,
                    reason: "too odd".to_owned(),
                });
            }
            Answer::Empty => {
                self.0.borrow_mut().rows.clear();
                return Err(SinkError::Behind { has: 0 });
            }
            Answer::Forget(has) => {
                self.0.borrow_mut().rows.retain(|_, seq| *seq <= has);
                return Err(SinkError::Behind { has });
            }
            Answer::Hang => std::future::pending().await,
            Answer::TakeAndHang => {
                take(&mut self.0.borrow_mut());
                std::future::pending().await
            }
        }
        Ok(())
    }

    async fn idle(&mut self) -> Result<(), SinkError> {
        self.0.borrow_mut().idles += 1;
        Ok(())
    }
}

struct Bench {
    dir: tempfile::TempDir,
    journal: Journal,
    metrics: Arc<Metrics>,
    sink: Fake,
    taken: Arc<AtomicU64>,
}

fn bench(script: &[Answer]) -> Bench {
    let dir = tempfile::tempdir().expect("a folder");
    let sync = JournalSync::Every(Duration::ZERO);
    let config = JournalConfig {
        sync,
        max_bytes: 1 << 30,
        segment_bytes: 8192,
    };
    let (journal, _) = Journal::open(dir.path(), &config).expect("opens");
    let sink = Fake::default();
    sink.0.borrow_mut().script = script.iter().copied().collect();
    Bench {
        dir,
        journal,
        metrics: Arc::default(),
        sink,
        taken: Arc::default(),
    }
}

impl Bench {
    fn append(&mut self, n: u64) -> u64 {
        let json = serde_json::to_vec(&sample::record(n)).expect("JSON");
        self.journal.append(&json).expect("appends");
        self.journal.commit(false).expect("commits")
    }

    /// Follows until all is delivered or `limit` is over.
    async fn run(&self, limit: Duration) -> u64 {
        let (published, end) = watch::channel(self.journal.last_seq());
        drop(published);
        let (_stop, stopping) = watch::channel(Some(Instant::now() + limit));
        follow(self.sink.clone(), self.context(end), stopping).await
    }

    fn context(&self, published: watch::Receiver<u64>) -> FollowContext {
        FollowContext {
            disk: Arc::new(System),
            journal: self.dir.path().to_owned(),
            quarantine: self.dir.path().join("quarantine"),
            published,
            metrics: Arc::clone(&self.metrics),
            of: |m| &m.redis,
            batch: 10,
            timeout: Duration::from_millis(50),
            taken: Arc::clone(&self.taken),
        }
    }

    fn rows(&self) -> Vec<u64> {
        self.sink.0.borrow().rows.values().copied().collect()
    }
}

#[tokio::test]
async fn whatever_the_store_does_each_signal_is_there_once() {
    use Answer::*;
    let cases: [(&[Answer], u64, u64); 8] = [
        (&[], 0, 0),
        (&[Take, Retry, Retry, Take], 2, 0),
        (&[Take, Hang, Take], 1, 0),
        (&[TakeAndHang, Take], 1, 0),
        (&[Take, Take, Empty], 0, 1),
        (&[Empty, Empty, Take], 1, 0),
        (&[Take, Take, Forget(13), Take, Forget(17)], 0, 2),
        (&[Retry, Take, Empty, Hang, TakeAndHang, Retry], 4, 1),
    ];
    for (script, retries, rewinds) in cases {
        let mut bench = bench(script);
        (1..=35).for_each(|n| assert_eq!(bench.append(n), n));
        assert_eq!(bench.run(Duration::from_secs(20)).await, 0);
        assert!((1..=35).eq(bench.rows()));
        let m = &bench.metrics.redis;
        assert_eq!((m.retries.get(), m.rewinds.get()), (retries, rewinds));
        assert_eq!((m.up.get(), m.lag.get(), m.refused.get()), (1, 0, 0));
        assert_eq!(bench.taken.load(Ordering::Relaxed), 35);
        assert!(bench.sink.0.borrow().idles >= 1);
    }
}

#[tokio::test]
async fn what_is_on_trial_goes_to_no_store_and_holds_nothing_up() {
    let mut bench = bench(&[]);
    for n in 1..=30 {
        let mut record = sample::record(n);
        // The last ones, too: nothing is left to be delivered behind them.
        record.shadow = n % 3 == 0 || n > 25;
        let json = serde_json::to_vec(&record).expect("JSON");
        bench.journal.append(&json).expect("appends");
        bench.journal.commit(false).expect("commits");
    }
    assert_eq!(bench.run(Duration::from_secs(5)).await, 0);
    let published = (1..=25).filter(|n| n % 3 != 0);
    assert_eq!(bench.rows(), published.collect::<Vec<_>>());
    assert_eq!(bench.taken.load(Ordering::Relaxed), 30);
    // The next run begins behind them.
    bench.run(Duration::from_secs(5)).await;
    assert_eq!(bench.sink.0.borrow().resumed, [25]);
}

#[tokio::test]
async fn the_refused_are_quarantined_with_the_reason_and_the_rest_goes_on() {
    let mut bench = bench(&[Answer::Refuse(3), Answer::Refuse(0), Answer::Take]);
    (1..=25).for_each(|n| assert_eq!(bench.append(n), n));
    bench.journal.append(b"{\"schema\":99}").expect("appends");
    bench.journal.commit(false).expect("commits");
    assert_eq!(bench.run(Duration::from_secs(20)).await, 0);
    assert!((1..=25).filter(|n| ![1, 4].contains(n)).eq(bench.rows()));
    let m = &bench.metrics.redis;
    assert_eq!(
        (m.refused.get(), m.delivered.get(), m.retries.get()),
        (3, 23, 0)
    );
    let path = bench.dir.path().join("quarantine/fake.jsonl");
    let text = std::fs::read_to_string(path).expect("a quarantine");
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect();
    let seqs: Vec<_> = lines.iter().map(|l| l["journal_seq"].as_u64()).collect();
    assert_eq!(seqs, [Some(4), Some(1), Some(26)]);
    assert_eq!(lines[0]["reason"], "too odd");
    assert_eq!(lines[0]["signal"]["symbol"], "BTC/USDT");
}

#[tokio::test]
async fn a_store_that_hangs_does_not_hold_up_the_end_and_gets_the_rest_next_time() {
    let mut bench = bench(&[Answer::Take, Answer::Hang, Answer::Hang, Answer::Hang]);
    (1..=30).for_each(|n| assert_eq!(bench.append(n), n));
    let start = Instant::now();
    assert_eq!(bench.run(Duration::from_millis(120)).await, 20);
    assert!(start.elapsed() < Duration::from_secs(2));
    assert_eq!(bench.metrics.redis.up.get(), 0);
    bench.sink.0.borrow_mut().script.clear();
    assert_eq!(bench.run(Duration::from_secs(20)).await, 0);
    assert!((1..=30).eq(bench.rows()));
    assert_eq!(
        bench.metrics.redis.delivered.get(),
        30,
        "the first ten were not sent again"
    );
}

/// A migration at start, say: it has limits of its own, and the end of the run.
#[tokio::test]
async fn a_store_may_take_longer_to_open_than_to_answer() {
    let mut bench = bench(&[]);
    (1..=30).for_each(|n| assert_eq!(bench.append(n), n));
    bench.sink.0.borrow_mut().opens_in = Some(Duration::from_secs(600));
    let start = Instant::now();
    assert_eq!(bench.run(Duration::from_millis(120)).await, 30);
    assert!(start.elapsed() < Duration::from_secs(2));
    bench.sink.0.borrow_mut().opens_in = Some(Duration::from_millis(300));
    assert_eq!(bench.run(Duration::from_secs(20)).await, 0);
    assert!((1..=30).eq(bench.rows()));
    assert_eq!(bench.metrics.redis.retries.get(), 0);
}

/// The store's evidence is gone once it has taken something again: the cursor must say it.
#[tokio::test]
async fn a_kill_right_after_a_rewind_does_not_skip_what_the_store_lost() {
    let mut bench = bench(&[Answer::Take, Answer::Take, Answer::Take]);
    (1..=35).for_each(|n| assert_eq!(bench.append(n), n));
    assert_eq!(bench.run(Duration::from_secs(20)).await, 0);
    (36..=40).for_each(|n| assert_eq!(bench.append(n), n));
    bench.sink.0.borrow_mut().script = [Answer::Forget(20), Answer::Take, Answer::Hang].into();
    let (_published, end) = watch::channel(40);
    let (_stop, stopping) = watch::channel(None);
    let killed = follow(bench.sink.clone(), bench.context(end), stopping);
    let killed = tokio::time::timeout(Duration::from_millis(30), killed).await;
    assert!(killed.is_err(), "dropped while it hangs, as by a kill");
    assert!((1..=30).eq(bench.rows()));
    bench.sink.0.borrow_mut().script.clear();
    assert_eq!(bench.run(Duration::from_secs(20)).await, 0);
    assert!((1..=40).eq(bench.rows()));
    assert_eq!(bench.sink.0.borrow().resumed, [35, 20]);
}

#[tokio::test]
async fn follows_what_is_published_while_it_runs() {
    let mut bench = bench(&[Answer::Take, Answer::Retry]);
    let (published, end) = watch::channel(0);
    let (stop, stopping) = watch::channel(None);
    let run = follow(bench.sink.clone(), bench.context(end), stopping);
    let feed = async {
        for n in 1..=40 {
            published.send_replace(bench.append(n));
            if n % 7 == 0 {
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        }
        stop.send_replace(Some(Instant::now() + Duration::from_secs(20)));
        drop(published);
    };
    let (left, ()) = tokio::join!(run, feed);
    assert_eq!(left, 0);
    assert!((1..=40).eq(bench.rows()));
}
