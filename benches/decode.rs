//! Text to values: the decoder beside simd-json's typed path and the best-known Rust peer, in one
//! run.
//!
//! `cargo bench -p tickforge-peers`; the lines that begin with "paired" compare in turn. The peers
//! parse into what they need for the same job: simd-json into borrowed structs with fixed-point
//! integers, `barter-data` into its own `MarketEvent` (its inner object only, without the stream's
//! wrapper, which favours it).

use barter_data::event::MarketIter;
use barter_data::exchange::Connector;
use barter_data::exchange::binance::spot::BinanceSpot;
use barter_data::exchange::binance::spot::l2::BinanceSpotOrderBookL2Update;
use barter_data::exchange::binance::trade::BinanceTrade;
use barter_data::subscription::book::OrderBookEvent;
use barter_data::subscription::trade::PublicTrade;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use serde::Deserialize;
use std::cell::RefCell;
use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;
use tickforge::exchanges::binance::Binance;
use tickforge::exchanges::{Exchange, Output};
use tickforge::market::{Fit, Number, Registry};

mod paired;
use paired::{Contender, compare};

const LISTING: &str = r#"{"symbols":[{"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT",
 "filters":[{"filterType":"PRICE_FILTER","tickSize":"0.01000000"},{"filterType":"LOT_SIZE","minQty":"0.00001","stepSize":"0.00001"}]}]}"#;

fn wrapped(stream: &str, data: &str) -> String {
    format!(r#"{{"stream":"btcusdt@{stream}","data":{data}}}"#)
}

fn trade(id: u64) -> String {
    format!(
        r#"{{"e":"trade","E":1795339200123456,"s":"BTCUSDT","t":{id},"p":"91234.56000000","q":"0.01250000","T":1795339200121234,"m":true,"M":true}}"#
    )
}

fn depth(levels: usize, first: u64) -> String {
    let side = |base: f64, step: f64| {
        let level = |i| {
            format!(
                r#"["{:.8}","{:.8}"]"#,
                base + step * i as f64,
                0.25 + i as f64 * 0.125
            )
        };
        (0..levels / 2).map(level).collect::<Vec<_>>().join(",")
    };
    format!(
        r#"{{"e":"depthUpdate","E":1795339200200456,"s":"BTCUSDT","U":{first},"u":{first},"b":[{}],"a":[{}]}}"#,
        side(91234.55, -0.01),
        side(91234.56, 0.01)
    )
}

#[derive(Deserialize)]
struct Wrapped<T> {
    data: T,
}

#[derive(Deserialize)]
struct TypedTrade<'a> {
    s: &'a str,
    t: u64,
    p: &'a str,
    q: &'a str,
    #[serde(rename = "T")]
    time: u64,
    m: bool,
}

#[derive(Deserialize)]
struct TypedDepth<'a> {
    s: &'a str,
    #[serde(rename = "U")]
    first: u64,
    u: u64,
    #[serde(borrow)]
    b: Vec<[&'a str; 2]>,
    #[serde(borrow)]
    a: Vec<[&'a str; 2]>,
}

fn fixed(text: &str) -> i64 {
    match Number::parse(text.as_bytes()).map(|n| n.at(8)) {
        Some(Fit::Exact(v)) => v,
        _ => 0,
    }
}

/// The decoder with one instrument, its book live at update id 0.
fn decoder() -> (Binance, Output) {
    let mut binance = Binance::default();
    let mut out = Output::new(binance.book_rule(), Arc::new(Registry::default()));
    for instrument in binance
        .parse_listing(LISTING.as_bytes())
        .expect("a listing")
    {
        out.add(instrument);
    }
    let snapshot = br#"{"lastUpdateId":0,"bids":[["91234.00","1.0"]],"asks":[["91240.00","2.0"]]}"#;
    binance
        .decode_snapshot("BTCUSDT", snapshot, &mut out)
        .expect("a snapshot");
    (binance, out)
}

/// Frames with ids that go on, so that none is a duplicate and none a gap.
fn ours(
    c: &mut criterion::BenchmarkGroup<criterion::measurement::WallTime>,
    frame: impl Fn(u64) -> String,
) {
    const FRAMES: u64 = 4096;
    let frames: Vec<String> = (1..=FRAMES).map(frame).collect();
    let (mut binance, mut out) = decoder();
    let mut next = 0usize;
    c.bench_function("tickforge", |b| {
        b.iter(|| {
            if next == frames.len() {
                (binance, out) = decoder();
                next = 0;
            }
            out.begin(0, 7);
            out.events.clear();
            let done = binance.decode(frames[next].as_bytes(), &mut out);
            next += 1;
            black_box(&out.events);
            done
        });
    });
    assert_eq!(out.simd_json, 0, "the cursor serves these frames");
}

fn trades(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode/binance_trade");
    let text = wrapped("trade", &trade(1));
    group.throughput(Throughput::Bytes(text.len() as u64));
    ours(&mut group, |id| wrapped("trade", &trade(id)));
    let mut buffers = simd_json::Buffers::new(4096);
    group.bench_function("simd_json_typed", |b| {
        b.iter_batched_ref(
            || text.clone().into_bytes(),
            |bytes| {
                let t: Wrapped<TypedTrade> =
                    simd_json::serde::from_slice_with_buffers(bytes, &mut buffers).expect("typed");
                black_box((
                    t.data.s.len(),
                    t.data.t,
                    fixed(t.data.p),
                    fixed(t.data.q),
                    t.data.time,
                    t.data.m,
                ))
            },
            BatchSize::SmallInput,
        );
    });
    let inner = trade(1);
    group.bench_function("barter_data", |b| {
        b.iter(|| {
            let t: BinanceTrade = serde_json::from_str(black_box(&inner)).expect("a trade");
            MarketIter::<usize, PublicTrade>::from((BinanceSpot::ID, 0usize, t))
        });
    });
    group.finish();
}

fn depths(c: &mut Criterion) {
    for levels in [20, 200] {
        let mut group = c.benchmark_group(format!("decode/binance_depth_{levels}"));
        let text = wrapped("depth@100ms", &depth(levels, 1));
        group.throughput(Throughput::Bytes(text.len() as u64));
        ours(&mut group, |id| wrapped("depth@100ms", &depth(levels, id)));
        let mut buffers = simd_json::Buffers::new(64 * 1024);
        group.bench_function("simd_json_typed", |b| {
            b.iter_batched_ref(
                || text.clone().into_bytes(),
                |bytes| {
                    let d: Wrapped<TypedDepth> =
                        simd_json::serde::from_slice_with_buffers(bytes, &mut buffers)
                            .expect("typed");
                    let sum: i64 = d
                        .data
                        .b
                        .iter()
                        .chain(&d.data.a)
                        .map(|l| fixed(l[0]) ^ fixed(l[1]))
                        .fold(0, |a, b| a ^ b);
                    black_box((d.data.s.len(), d.data.first, d.data.u, sum))
                },
                BatchSize::SmallInput,
            );
        });
        let inner = depth(levels, 1);
        group.bench_function("barter_data", |b| {
            b.iter(|| {
                let d: BinanceSpotOrderBookL2Update =
                    serde_json::from_str(black_box(&inner)).expect("a depth update");
                MarketIter::<usize, OrderBookEvent>::from((BinanceSpot::ID, 0usize, d))
            });
        });
        group.finish();
    }
}

/// Frames in one round of a paired comparison, and how many rounds. So few that they stay in the
/// cache, where a frame is that the kernel has just copied out of a socket.
const FRAMES: u64 = 250;
const ROUNDS: usize = 301;

fn paired_trades(_: &mut Criterion) {
    let frames: Vec<String> = (1..=FRAMES).map(|i| wrapped("trade", &trade(i))).collect();
    let inner: Vec<String> = (1..=FRAMES).map(trade).collect();
    let peer = |text: &str| -> BinanceTrade { serde_json::from_str(text).expect("a trade") };
    let peers = [
        typed("simd-json typed", &frames, |bytes, buffers| {
            let t: Wrapped<TypedTrade> =
                simd_json::serde::from_slice_with_buffers(bytes, buffers).expect("typed");
            let d = t.data;
            black_box((d.s.len(), d.t, fixed(d.p), fixed(d.q), d.time, d.m));
        }),
        Contender::new("barter-data", FRAMES, || {
            for text in &inner {
                let t = peer(black_box(text));
                black_box(MarketIter::<usize, PublicTrade>::from((
                    BinanceSpot::ID,
                    0,
                    t,
                )));
            }
        }),
    ];
    compare("Binance trade", ROUNDS, with_ours(&frames, peers));
}

fn paired_depths(_: &mut Criterion) {
    let frames: Vec<String> = (1..=FRAMES)
        .map(|i| wrapped("depth@100ms", &depth(20, i)))
        .collect();
    let inner: Vec<String> = (1..=FRAMES).map(|i| depth(20, i)).collect();
    let peers = [
        typed("simd-json typed", &frames, |bytes, buffers| {
            let d: Wrapped<TypedDepth> =
                simd_json::serde::from_slice_with_buffers(bytes, buffers).expect("typed");
            let levels = d.data.b.iter().chain(&d.data.a);
            let sum = levels
                .map(|l| fixed(l[0]) ^ fixed(l[1]))
                .fold(0, |a, b| a ^ b);
            black_box((d.data.s.len(), d.data.first, d.data.u, sum));
        }),
        Contender::new("barter-data", FRAMES, || {
            for text in &inner {
                let d: BinanceSpotOrderBookL2Update =
                    serde_json::from_str(black_box(text)).expect("a depth update");
                black_box(MarketIter::<usize, OrderBookEvent>::from((
                    BinanceSpot::ID,
                    0,
                    d,
                )));
            }
        }),
    ];
    compare(
        "Binance depth, 20 levels",
        ROUNDS,
        with_ours(&frames, peers),
    );
}

/// Ours first: all frames, each with the next id, then a fresh decoder.
fn with_ours<'a>(frames: &'a [String], peers: [Contender<'a>; 2]) -> Vec<Contender<'a>> {
    let state = Rc::new(RefCell::new(decoder()));
    let fresh = Rc::clone(&state);
    let ours = Contender {
        name: "tickforge",
        operations: frames.len() as u64,
        prepare: Box::new(move || *fresh.borrow_mut() = decoder()),
        work: Box::new(move || {
            let (binance, out) = &mut *state.borrow_mut();
            for frame in frames {
                out.begin(0, 7);
                out.events.clear();
                let done = binance.decode(frame.as_bytes(), out);
                black_box((&out.events, done.is_ok()));
            }
        }),
    };
    std::iter::once(ours).chain(peers).collect()
}

/// simd-json parses in place, so each round has copies of its own, made outside its time.
fn typed<'a>(
    name: &'static str,
    frames: &'a [String],
    parse: impl Fn(&mut [u8], &mut simd_json::Buffers) + 'a,
) -> Contender<'a> {
    let copies = Rc::new(RefCell::new(Vec::new()));
    let filled = Rc::clone(&copies);
    let mut buffers = simd_json::Buffers::new(64 * 1024);
    Contender {
        name,
        operations: frames.len() as u64,
        prepare: Box::new(move || {
            *filled.borrow_mut() = frames.iter().map(|f| f.clone().into_bytes()).collect();
        }),
        work: Box::new(move || {
            for bytes in copies.borrow_mut().iter_mut() {
                let bytes: &mut Vec<u8> = bytes;
                parse(bytes, &mut buffers);
            }
        }),
    }
}

criterion_group!(benches, trades, depths, paired_trades, paired_depths);
criterion_main!(benches);
