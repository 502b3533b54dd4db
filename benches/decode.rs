//! Text to values: the decoder beside simd-json's typed path and the best-known Rust peer, in one
//! run.
//!
//! `cargo bench --bench decode`. The peers parse into what they need for the same job: simd-json
//! into borrowed structs with fixed-point integers, `barter-data` into its own `MarketEvent` (its
//! inner object only, without the stream's wrapper, which favours it).

use barter_data::event::MarketIter;
use barter_data::exchange::Connector;
use barter_data::exchange::binance::spot::BinanceSpot;
use barter_data::exchange::binance::spot::l2::BinanceSpotOrderBookL2Update;
use barter_data::exchange::binance::trade::BinanceTrade;
use barter_data::subscription::book::OrderBookEvent;
use barter_data::subscription::trade::PublicTrade;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use serde::Deserialize;
use std::hint::black_box;
use std::sync::Arc;
use tickforge::exchanges::binance::Binance;
use tickforge::exchanges::{Exchange, Output};
use tickforge::market::{Fit, Number, Registry};

const LISTING: &str = r#"{"symbols":[{"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT",
 "filters":[{"filterType":"PRICE_FILTER","tickSize":"0.01000000"},{"filterType":"LOT_SIZE","minQty":"0.00001","stepSize":"0.00001"}]}]}"#;

fn wrapped(stream: &str, data: &str) -> String {
    format!(r#"{{"stream":"btcusdt@{stream}","data":{data}}}"#)
}

fn trade(id: u64) -> String {
    format!(
        r#"{{"e":"trade","E":1795339200123,"s":"BTCUSDT","t":{id},"p":"91234.56000000","q":"0.01250000","T":1795339200121,"m":true,"M":true}}"#
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
        r#"{{"e":"depthUpdate","E":1795339200200,"s":"BTCUSDT","U":{first},"u":{first},"b":[{}],"a":[{}]}}"#,
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
    assert_eq!(out.counts.simd_json, 0, "the cursor serves these frames");
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

criterion_group!(benches, trades, depths);
criterion_main!(benches);
