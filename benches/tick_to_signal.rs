//! Frame to decision in process: decode, engine, three strategies with their indicators.
//!
//! `cargo bench --bench tick_to_signal`. A synthetic stream of quotes, trades and book diffs in
//! Binance's format; a criterion time is that of one frame, from its bytes to all that follows from
//! it. Publishers are not in it. The second figure is the distribution over single frames.

use arrayvec::ArrayString;
use criterion::{Criterion, criterion_group, criterion_main};
use rust_decimal::Decimal;
use std::io::Write;
use std::time::Instant;
use tickforge::metrics::Histogram;
use tickforge::outcome::{Open, Watch};
use tickforge::signal::{Percent, SignalType};
use uuid::Uuid;

#[path = "../tests/it/frames.rs"]
mod frames;
use frames::Path;

fn tick_to_signal(c: &mut Criterion) {
    let frames = frames::frames(200_000);
    let mut path = Path::new();
    let (mut next, mut signals) = (0, 0);
    c.bench_function("tick_to_signal/three_strategies", |b| {
        b.iter(|| {
            if next == frames.len() {
                signals += path.made.signals;
                path = Path::new();
                next = 0;
            }
            path.frame(&frames[next]);
            next += 1;
        });
    });
    assert!(
        signals + path.made.signals > 0,
        "the strategies decide something on this stream"
    );
    distribution(&frames);
}

/// Each frame by itself; the clock's own cost (about 25 ns) is in it.
fn distribution(frames: &[String]) {
    let (all, with_signal) = (Histogram::default(), Histogram::default());
    let mut path = Path::new();
    for frame in frames {
        let before = path.made.signals;
        let started = Instant::now();
        path.frame(frame);
        let ns = started.elapsed().as_nanos() as i64;
        all.record(ns);
        if path.made.signals > before {
            with_signal.record(ns);
        }
    }
    for (name, h) in [
        ("every frame", &all),
        ("frames that made a signal", &with_signal),
    ] {
        // A closed standard output ends a bench anyway.
        let _ = writeln!(
            std::io::stdout(),
            "tick_to_signal, {name}: {} of them, p50 {} ns, p99 {} ns, p99.9 {} ns, max {} ns",
            h.count(),
            h.quantile(0.5),
            h.quantile(0.99),
            h.quantile(0.999),
            h.max_ns()
        );
    }
}

/// What an event costs where it ends none of a thousand open signals.
fn outcome(c: &mut Criterion) {
    let price = Decimal::new(10_000, 2);
    let open = |n: u128| Open {
        signal_id: Uuid::from_u128(n),
        strategy: ArrayString::new(),
        signal_type: SignalType::Buy,
        confidence: Percent::of(0.5),
        price,
        target_price: Some(price + Decimal::from(n as u64 + 1)),
        stop_loss_price: Some(price / Decimal::TWO),
        take_profit_price: None,
        event_ns: 0,
        valid_until_ns: i64::MAX,
        shadow: false,
        resumed: false,
    };
    let mut watch = Watch::new(8);
    (0..1000).for_each(|n| watch.add(open(n)));
    let (mut time_ns, mut ended) = (0, 0);
    c.bench_function("outcome/event_that_ends_none_of_1000", |b| {
        b.iter(|| {
            time_ns += 1;
            let twice = 20_000_000_000 + i128::from(time_ns % 1000);
            watch.seen(time_ns, Some(twice), |_, _, _, _, _| ended += 1);
        });
    });
    assert_eq!((watch.len(), ended), (1000, 0));
}

criterion_group!(benches, tick_to_signal, outcome);
criterion_main!(benches);
