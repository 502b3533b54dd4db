//! Ticks that wait for InfluxDB: out of the ring into memory, from there to the disk where memory
//! ends, and every one in the books: offered = stored + spooled + dropped + expired.
//!
//! Status events are kept among the ticks in ring order: they change the scales of those behind
//! them. Runs on the publishers' runtime, and never waits for the disk.

use super::COMPLAIN_EVERY;
use super::bars::Bars;
use super::batch::{Batch, Source};
use super::disk::Disk;
use super::lines::Lines;
use super::points::{self, Series};
use super::pump::Supply;
use super::server::Server;
use crate::clock;
use crate::config::InfluxConfig;
use crate::market::{Kind, Registry, Tick};
use crate::metrics::TickMetrics;
use crate::publishers::intake::{self, Instruments, Known};
use crate::ring::Consumer;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

/// Lines that are made at once while a batch is written: less than a millisecond.
const AT_ONCE: usize = 1_000;
/// Instruments that a line about lost points names.
const NAMED: usize = 5;

pub struct Queue<'a> {
    consumer: Consumer<Tick>,
    config: InfluxConfig,
    instruments: Instruments<Series>,
    disk: Disk<'a>,
    bars: Bars<'a>,
    counts: &'a TickMetrics,
    ticks: VecDeque<Tick>,
    /// Lines of the oldest of them, made while a batch was written; no status event among them.
    ready: Lines,
    /// Trades and quotes among them.
    points: usize,
    /// When the oldest of them came.
    since: Instant,
    complaint: Complaint,
    /// Of [`crate::metrics::RingLosses`], what is in the books by name.
    ring_losses: u64,
    named_ring_losses: std::collections::HashMap<Option<u32>, u64>,
}

#[derive(Default)]
struct Complaint {
    when: Option<Instant>,
    lost: u64,
}

impl<'a> Queue<'a> {
    pub fn new(
        consumer: Consumer<Tick>,
        config: InfluxConfig,
        registry: Arc<Registry>,
        disk: Disk<'a>,
        bars: Bars<'a>,
    ) -> Queue<'a> {
        Queue {
            consumer,
            config,
            instruments: Instruments::new(registry, points::series),
            counts: disk.counts,
            disk,
            bars,
            ticks: VecDeque::new(),
            ready: Lines::default(),
            points: 0,
            since: Instant::now(),
            complaint: Complaint::default(),
            ring_losses: 0,
            named_ring_losses: Default::default(),
        }
    }

    /// The oldest go to the disk, a frame at a time. While the disk is behind they stay, until
    /// memory holds twice what it should; then they are lost. False where they stay.
    fn overflow(&mut self) -> bool {
        let max = self.config.max_waiting.max(1);
        let disk = self.disk.takes();
        if disk == Some(false) && self.points <= 2 * max {
            return false;
        }
        let frame = disk.map_or(1, |_| self.config.batch.min(max));
        let lines = self.oldest(frame);
        self.disk.spill_or_drop(lines);
        true
    }

    /// The oldest ticks, encoded; their trades are in bars from here on.
    fn oldest(&mut self, most: usize) -> Lines {
        let mut lines = std::mem::take(&mut self.ready);
        if lines.len() > most {
            lines = Lines::default();
        }
        let mut ready = lines.len();
        let now_ns = clock::now_ns();
        while (ready > 0 || lines.len() < most.max(1))
            && let Some(tick) = self.ticks.pop_front()
        {
            if tick.event.kind == Kind::Status {
                self.instruments.status(&tick.event);
                continue;
            }
            self.points -= 1;
            let known = self.instruments.get(tick.event.instrument);
            match ready {
                0 => line(&tick, known, &mut lines),
                _ => ready -= 1,
            }
            if tick.event.kind == Kind::Trade {
                self.bars.trade(&tick, known, now_ns);
            }
        }
        lines
    }

    /// Makes some of the next batch's lines. Their trades are in no bar yet: bars may be written
    /// while these still wait.
    fn prepare(&mut self) {
        // Those that may not get into a batch at all are not worth it.
        if self.points >= self.config.max_waiting {
            return;
        }
        let most = self.config.batch.min(self.ready.len() + AT_ONCE);
        for tick in self.ticks.range(self.ready.len()..) {
            if self.ready.len() >= most || tick.event.kind == Kind::Status {
                return;
            }
            let known = self.instruments.get(tick.event.instrument);
            line(tick, known, &mut self.ready);
        }
    }

    pub fn points(&self) -> usize {
        self.points
    }

    /// The end: what is still in memory goes to the disk, and the books are closed. What comes back
    /// is to be closed when the bars are in the store or on disk, too.
    pub async fn finish(mut self, batch: Batch) -> Bars<'a> {
        self.drain();
        let mut rest = VecDeque::new();
        while self.points > 0 {
            rest.push_back(self.oldest(self.config.batch));
        }
        self.bars.write(true);
        self.disk.finish(batch, || rest.pop_front()).await;
        self.name_ring_losses();
        self.complaint.when = None;
        self.complain();
        self.bars
    }

    /// What the engine could not hand over: by number there, by name in the books.
    fn name_ring_losses(&mut self) {
        let losses = self.counts.ring_dropped.get();
        if losses == self.ring_losses {
            return;
        }
        self.ring_losses = losses;
        for (instrument, n) in self.counts.ring_losses.each() {
            let known = self.named_ring_losses.entry(instrument).or_default();
            let more = n - std::mem::replace(known, n);
            if more > 0 {
                let name = match instrument {
                    Some(id) => Arc::clone(&self.instruments.get(id).label.name),
                    None => "others".into(),
                };
                self.counts.lost.add(&name, more);
            }
        }
    }

    /// Says now and then that points were lost, and of what.
    fn complain(&mut self) {
        let counts = self.counts;
        let lost = counts.ring_dropped.get() + counts.dropped.get() + counts.backlog.dropped.get();
        let quiet = |then: Instant| then.elapsed() < COMPLAIN_EVERY;
        if lost == self.complaint.lost || self.complaint.when.is_some_and(quiet) {
            return;
        }
        self.complaint = Complaint {
            when: Some(Instant::now()),
            lost,
        };
        let all = counts.lost.all();
        let mut most: Vec<_> = all.iter().map(|(name, n)| (*n, name)).collect();
        most.sort_unstable_by(|a, b| b.cmp(a));
        let most: Vec<String> = most
            .iter()
            .take(NAMED)
            .map(|(n, name)| format!("{name}: {n}"))
            .collect();
        tracing::warn!(
            lost,
            instruments = all.len(),
            most = most.join(", "),
            "influx: ticks are lost, of these instruments above all"
        );
    }
}

fn line(tick: &Tick, known: &Known<Series>, lines: &mut Lines) {
    lines.push(&known.label.name, |out| points::encode(tick, known, out));
}

impl<'a> Supply<'a> for Queue<'a> {
    fn disk(&mut self) -> &mut Disk<'a> {
        &mut self.disk
    }

    fn counts(&self) -> &'a TickMetrics {
        self.counts
    }

    /// Takes what is in the ring, and sends to the disk what is too much.
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
            self.ticks.push_back(tick);
            while self.points > self.config.max_waiting.max(1) && self.overflow() {}
        }
        self.name_ring_losses();
        self.complain();
        self.disk.publish(self.consumer.len() + self.points);
    }

    fn is_closed(&self) -> bool {
        self.consumer.is_closed()
    }

    fn is_empty(&self) -> bool {
        self.points == 0 && self.disk.is_empty()
    }

    fn due(&self, hurry: bool) -> bool {
        let waited = || hurry || self.since.elapsed() >= self.config.flush;
        self.points >= self.config.batch || self.points > 0 && waited()
    }

    fn take_batch(&mut self) -> Batch {
        let lines = self.oldest(self.config.batch);
        self.since = Instant::now();
        self.disk.under_way.own.set(lines.len() as u64);
        Batch::new(lines, Source::Memory)
    }

    async fn begun(&mut self) {
        self.bars.remember().await;
    }

    fn meanwhile(&mut self) {
        self.drain();
        self.prepare();
    }

    fn ended(&mut self) {}

    /// Every trade whose line was made is in the store or on disk: their bars may follow, and
    /// what only the store can tell is asked.
    async fn between(&mut self, server: &Server) {
        let over = self.is_closed() && self.is_empty();
        while let Some(work) = self.bars.tend(self.disk.is_empty(), over).await {
            let answer = intake::alongside(work.run(server), || self.drain()).await;
            if !self.bars.take(answer) || !over {
                break;
            }
        }
        if over {
            self.bars.write(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::bars::Memory;
    use super::super::{Derived, UnderWay, tests};
    use super::*;
    use crate::market::{Event, Status};
    use crate::metrics::Metrics;
    use crate::ring::ring;
    use proptest::prelude::*;
    use std::path::Path;
    use std::time::Duration;

    /// What happens to a queue.
    #[derive(Clone, Debug)]
    enum Step {
        Ticks(u8),
        Rescale(u8),
        Take,
        Spill(usize),
    }

    /// All lines that come out, and the bars of their trades.
    fn lines(steps: &[Step], begin_ns: i64, ahead: bool) -> (Vec<Lines>, Vec<Lines>) {
        let metrics = Arc::new(Metrics::default());
        let derived = Derived::new(Arc::clone(&metrics));
        let under_way = UnderWay::default();
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let memory = runtime
            .expect("a runtime")
            .block_on(Memory::open(Path::new("")));
        let (registry, counts) = (tests::registry(), &metrics.influx);
        let bars = Bars::new(&derived, &metrics.rollup, memory, Arc::clone(&registry));
        let (mut producer, consumer) = ring(1024);
        let config = InfluxConfig {
            batch: 7,
            flush: Duration::ZERO,
            ..tests::config("http://127.0.0.1:1".to_owned())
        };
        let disk = Disk::new(None, counts, &under_way);
        let mut queue = Queue::new(consumer, config, registry, disk, bars);
        let (mut id, mut made) = (0, Vec::new());
        for step in steps {
            match *step {
                Step::Ticks(n) => {
                    for _ in 0..n {
                        let mut tick = tests::trade(id);
                        tick.event.exchange_ns = begin_ns + id as i64 * 100_000_000;
                        assert!(producer.push(tick).is_ok());
                        id += 1;
                    }
                }
                Step::Rescale(amount) => {
                    let status = Status::Rescale { price: 8, amount };
                    let mut tick = tests::trade(0);
                    tick.event = Event::from_status(0, 0, status);
                    assert!(producer.push(tick).is_ok());
                }
                Step::Take => made.push(queue.take_batch().lines),
                Step::Spill(most) => made.push(queue.oldest(most)),
            }
            if ahead {
                queue.meanwhile();
            } else {
                queue.drain();
            }
        }
        while queue.points() > 0 {
            made.push(queue.take_batch().lines);
        }
        queue.bars.write(true);
        (made, derived.take_for_test())
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..20u8).prop_map(Step::Ticks),
            (4..9u8).prop_map(Step::Rescale),
            Just(Step::Take),
            (1..9usize).prop_map(Step::Spill),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn lines_made_ahead_are_those_made_in_time(
            steps in proptest::collection::vec(step(), 1..40),
        ) {
            // Of seconds that are this run's, so that bars are made.
            let begin_ns = clock::now_ns() + 60_000_000_000;
            prop_assert_eq!(lines(&steps, begin_ns, true), lines(&steps, begin_ns, false));
        }
    }
}
