//! Frames in Binance's format, and the path from a frame's bytes to all that follows from it, in
//! process: decode, engine, three strategies. For the allocation test and the bench of the same
//! name.
#![allow(dead_code, reason = "each user takes what it needs")]

use std::sync::Arc;
use tickforge::app;
use tickforge::capture::{Dir, Line, Writer};
use tickforge::config::Config;
use tickforge::engine::{Engine, Outbox, Plan};
use tickforge::exchanges::{Channels, by_name};
use tickforge::feed::Feed;
use tickforge::market::{InstrumentId, Reason, Registry, Tick};
use tickforge::metrics::IngestMetrics;
use tickforge::outcome::Outcome;
use tickforge::signal::Signal;

/// Counts what the engine makes, and keeps none of it.
#[derive(Default)]
pub struct Counted {
    pub signals: u64,
    pub outcomes: u64,
    pub ticks: u64,
    pub broken: u64,
}

impl Outbox for Counted {
    fn signal(&mut self, signal: Signal) {
        std::hint::black_box(&signal);
        self.signals += 1;
    }
    fn tick(&mut self, tick: Tick) {
        std::hint::black_box(&tick);
        self.ticks += 1;
    }
    fn book_broken(&mut self, _instrument: InstrumentId, _reason: Reason) {
        self.broken += 1;
    }
    fn outcome(&mut self, outcome: Outcome) {
        std::hint::black_box(&outcome);
        self.outcomes += 1;
    }
    fn suppressed(&mut self) {}
    fn switched_off(&mut self) {}
    fn strategy_stopped(&mut self, strategy: &str, _instrument: InstrumentId) {
        panic!("{strategy} panicked");
    }
}

const LISTING: &str = r#"{"symbols":[{"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT",
 "filters":[{"filterType":"PRICE_FILTER","tickSize":"0.01000000"},{"filterType":"LOT_SIZE","minQty":"0.00001","stepSize":"0.00001"}]}]}"#;

const SNAPSHOT: &str =
    r#"{"lastUpdateId":0,"bids":[["91134.00","1.0"]],"asks":[["91334.00","2.0"]]}"#;

/// Bars short enough that every strategy works, not only waits.
pub const STRATEGIES: &str = "
[strategies.ema_cross]
bar = \"100ms\"
fast = 3
slow = 7
min_gap_bp = 0.0
[strategies.rsi_reversion]
bar = \"100ms\"
period = 7
min_atr_bp = 0.0
[strategies.book_imbalance]
smoothing = \"50ms\"
threshold = 0.05
cooldown = \"100ms\"
max_spread_bp = 50.0
";

/// 40% quotes, 30% trades, 30% diffs of six levels, a millisecond apart, around a price that
/// wanders.
pub fn frames(n: u64) -> Vec<String> {
    let mut x = 7u64;
    const BASE: i64 = 9_123_450;
    let (mut mid, mut diff) = (BASE, 0u64);
    let mut draw = |below: u64| {
        x = x
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (x >> 33) % below
    };
    let price = |cents: i64| format!("{}.{:02}000000", cents / 100, cents % 100);
    (1..=n)
        .map(|i| {
            let time = 1_795_339_200_000 + i;
            // Bounded, so that bids left behind never cross asks left behind.
            mid = (mid + draw(5) as i64 - 2).clamp(BASE - 29, BASE + 29);
            let amount = || "1.25000000";
            match draw(10) {
                0..4 => format!(
                    r#"{{"stream":"btcusdt@bookTicker","data":{{"u":{i},"s":"BTCUSDT","b":"{}","B":"{}.50000000","a":"{}","A":"{}.25000000"}}}}"#,
                    price(mid), draw(9), price(mid + 1), draw(9)
                ),
                4..7 => format!(
                    r#"{{"stream":"btcusdt@trade","data":{{"e":"trade","E":{time},"s":"BTCUSDT","t":{i},"p":"{}","q":"{}","T":{time},"m":{},"M":true}}}}"#,
                    price(mid), amount(), draw(2) == 0
                ),
                _ => {
                    diff += 1;
                    let mut level = |away: i64| format!(r#"["{}","{}.75000000"]"#, price(mid + away), draw(20));
                    format!(
                        r#"{{"stream":"btcusdt@depth@100ms","data":{{"e":"depthUpdate","E":{time},"s":"BTCUSDT","U":{diff},"u":{diff},"b":[{},{},{}],"a":[{},{},{}]}}}}"#,
                        level(-60), level(-61), level(-62), level(60), level(61), level(62)
                    )
                }
            }
        })
        .collect()
}

/// The same as a capture: the listing, the book's snapshot, and `n` frames.
pub fn write_capture(file: &std::path::Path, n: u64) {
    let url = |path: &str| format!("https://api.binance.com/api/v3/{path}");
    let at = |n: u64, dir| Line::new(1_795_339_200_000_000_000 + n as i64 * 1_000_000, "b-1", dir);
    let mut writer = Writer::create(file).expect("created");
    let listing = at(0, Dir::Http).with_url(url("exchangeInfo"));
    let depth = at(0, Dir::Http).with_url(url("depth?symbol=BTCUSDT&limit=1000"));
    let rest = [listing.with_text(LISTING), depth.with_text(SNAPSHOT)];
    let frames = frames(n);
    let frames = frames
        .iter()
        .zip(1..)
        .map(|(text, n)| at(n, Dir::Recv).with_text(text));
    for line in rest.into_iter().chain(frames) {
        writer.write(&line).expect("written");
    }
    writer.finish().expect("finished");
}

pub struct Path<O = Counted> {
    pub feed: Feed,
    pub engine: Engine,
    pub metrics: IngestMetrics,
    pub made: O,
}

impl Path {
    pub fn new() -> Path {
        let config = Config::parse(STRATEGIES, "bench").expect("a configuration");
        Path::with(app::plans(&config).expect("plans"), Counted::default())
    }
}

impl<O: Outbox> Path<O> {
    pub fn with(plans: Vec<Plan>, made: O) -> Path<O> {
        let registry = Arc::new(Registry::default());
        let channels = Channels {
            trades: true,
            aggregate_trades: false,
            quotes: true,
            book: true,
        };
        let exchange = by_name("binance").expect("binance");
        let listed = exchange
            .parse_listing(LISTING.as_bytes())
            .expect("a listing");
        let mut path = Path {
            feed: Feed::new(exchange, Arc::clone(&registry), channels),
            engine: Engine::new(registry, plans),
            metrics: IngestMetrics::default(),
            made,
        };
        path.feed.list(listed, |_| true);
        path.feed
            .snapshot(0, "BTCUSDT", SNAPSHOT.as_bytes(), &path.metrics)
            .expect("a snapshot");
        path.drain();
        path
    }

    pub fn drain(&mut self) {
        for event in self.feed.out.events.drain(..) {
            self.engine.on_event(&event, &mut self.made);
        }
    }

    pub fn frame(&mut self, frame: &str) {
        let done = self.feed.frame(0, 7, frame.as_bytes(), &self.metrics);
        std::hint::black_box(&done).as_ref().expect("a frame");
        self.drain();
    }
}
