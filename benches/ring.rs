//! The hop between two threads, beside rtrb, crossbeam's `ArrayQueue` and its bounded channel.
//!
//! `throughput` pushes events from one thread to another as fast as the ring takes them; `hop`
//! sends one event there and back and counts half of it. Every contender moves the same 64-byte
//! events through the same loops with the same waiting; run them together and compare only within a
//! run.

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use crossbeam::channel;
use crossbeam::queue::ArrayQueue;
use std::hint::{black_box, spin_loop};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tickforge::market::{Event, Side, Trade};
use tickforge::ring::{Consumer, Producer, ring};

mod paired;
use paired::{Contender, compare};

const CAPACITY: usize = 8192;
/// Events pushed or read at once where that is possible.
const BATCH: usize = 32;

fn event(i: u64) -> Event {
    let trade = Trade {
        price: i as i64,
        amount: 1,
        id: u128::from(i),
        taker: Side::Buy,
    };
    Event::from_trade(0, 0, 0, trade)
}

/// Tries until it works: spins first, then yields, so that one core is enough to end. One pause
/// between two looks: with longer and longer ones a hop takes as long as the last of them, and not
/// as long as the value is on its way.
fn until<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    loop {
        for _ in 0..10_000 {
            if let Some(value) = attempt() {
                return value;
            }
            spin_loop();
        }
        thread::yield_now();
    }
}

/// A contender: how to make it, push (false when full) and pop.
struct Pipe<S, R> {
    name: &'static str,
    make: fn() -> (S, R),
    push: fn(&mut S, Event) -> bool,
    pop: fn(&mut R) -> Option<Event>,
}

impl<S: Send, R: Send> Pipe<S, R> {
    fn throughput(&self, group: &mut BenchmarkGroup<WallTime>) {
        group.bench_function(self.name, |b| b.iter_custom(|count| self.stream(count)));
    }

    fn stream(&self, count: u64) -> Duration {
        let (mut sender, mut receiver) = (self.make)();
        thread::scope(|scope| {
            let begun = Instant::now();
            scope.spawn(move || {
                for i in 0..count {
                    let event = event(i);
                    until(|| (self.push)(&mut sender, event).then_some(()));
                }
            });
            for i in 0..count {
                let event = until(|| (self.pop)(&mut receiver));
                assert_eq!(event.trade().price, i as i64);
            }
            begun.elapsed()
        })
    }

    fn hop(&self, group: &mut BenchmarkGroup<WallTime>) {
        group.bench_function(self.name, |b| {
            b.iter_custom(|count| self.ping_pong(count) / 2)
        });
    }

    fn ping_pong(&self, count: u64) -> Duration {
        let (mut sender, mut echo_receiver) = (self.make)();
        let (mut echo_sender, mut receiver) = (self.make)();
        thread::scope(|scope| {
            scope.spawn(move || {
                for _ in 0..count {
                    let event = until(|| (self.pop)(&mut echo_receiver));
                    until(|| (self.push)(&mut echo_sender, event).then_some(()));
                }
            });
            let begun = Instant::now();
            for i in 0..count {
                let event = event(i);
                until(|| (self.push)(&mut sender, event).then_some(()));
                black_box(until(|| (self.pop)(&mut receiver)));
            }
            begun.elapsed()
        })
    }
}

/// Our ring as the daemon uses it: pushed as slices, read in place.
fn stream_in_batches(count: u64) -> Duration {
    let (mut producer, mut consumer) = ring::<Event>(CAPACITY);
    thread::scope(|scope| {
        let begun = Instant::now();
        scope.spawn(move || {
            let mut batch = Vec::with_capacity(BATCH);
            let mut next = 0;
            while next < count {
                batch.clear();
                batch.extend((next..count).take(BATCH).map(event));
                next += batch.len() as u64;
                let mut rest = batch.as_slice();
                while !rest.is_empty() {
                    let done = until(|| Some(producer.push_slice(rest)).filter(|done| *done > 0));
                    rest = &rest[done..];
                }
            }
        });
        let mut next = 0;
        while next < count {
            let read = until(|| {
                let events = consumer.peek();
                for (event, i) in events.iter().take(BATCH).zip(next..) {
                    assert_eq!(event.trade().price, i as i64);
                }
                Some(events.len().min(BATCH)).filter(|read| *read > 0)
            });
            consumer.consume(read);
            next += read as u64;
        }
        begun.elapsed()
    })
}

fn ours() -> Pipe<Producer<Event>, Consumer<Event>> {
    Pipe {
        name: "tickforge",
        make: || ring::<Event>(CAPACITY),
        push: |producer, event| producer.push(event).is_ok(),
        pop: |consumer| consumer.pop(),
    }
}

fn rtrb_pipe() -> Pipe<rtrb::Producer<Event>, rtrb::Consumer<Event>> {
    Pipe {
        name: "rtrb",
        make: || rtrb::RingBuffer::<Event>::new(CAPACITY),
        push: |producer, event| producer.push(event).is_ok(),
        pop: |consumer| consumer.pop().ok(),
    }
}

fn bench(c: &mut Criterion) {
    let (ours, rtrb) = (ours(), rtrb_pipe());
    let queue = Pipe {
        name: "crossbeam ArrayQueue",
        make: || {
            let queue = Arc::new(ArrayQueue::<Event>::new(CAPACITY));
            (Arc::clone(&queue), queue)
        },
        push: |queue, event| queue.push(event).is_ok(),
        pop: |queue| queue.pop(),
    };
    let bounded = Pipe {
        name: "crossbeam channel",
        make: || channel::bounded::<Event>(CAPACITY),
        push: |sender, event| sender.try_send(event).is_ok(),
        pop: |receiver| receiver.try_recv().ok(),
    };

    let mut group = c.benchmark_group("ring: throughput");
    group.throughput(Throughput::Elements(1));
    group.bench_function("tickforge in batches", |b| b.iter_custom(stream_in_batches));
    ours.throughput(&mut group);
    rtrb.throughput(&mut group);
    queue.throughput(&mut group);
    bounded.throughput(&mut group);
    group.finish();

    let mut group = c.benchmark_group("ring: hop");
    ours.hop(&mut group);
    rtrb.hop(&mut group);
    queue.hop(&mut group);
    bounded.hop(&mut group);
    group.finish();
}

/// Ours and rtrb in turn: one event there and back, half of it counted.
fn paired_hops(_: &mut Criterion) {
    const TRIPS: u64 = 20_000;
    let (ours, rtrb) = (ours(), rtrb_pipe());
    let contenders = vec![
        Contender::new(ours.name, 2 * TRIPS, || {
            black_box(ours.ping_pong(TRIPS));
        }),
        Contender::new(rtrb.name, 2 * TRIPS, || {
            black_box(rtrb.ping_pong(TRIPS));
        }),
    ];
    compare("ring hop", 41, contenders);
}

criterion_group!(benches, bench, paired_hops);
criterion_main!(benches);
