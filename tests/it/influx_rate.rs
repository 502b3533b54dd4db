//! What does rendering cost, and does it hold back the store? Trades through the publisher, and the
//! same lines, rendered before, posted by a bare client, by turns on one server.

use crate::{influx, postgres, servers};
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tickforge::clock;
use tickforge::config::InfluxConfig;
use tickforge::market::decimal::to_decimal;
use tickforge::market::{DayStats, Event, Registry, Side, Tick, Trade};
use tickforge::metrics::Metrics;
use tickforge::publishers::influx::{Derived, render};
use tickforge::ring::Producer;

const INSTRUMENTS: u32 = 50;
const BATCH: usize = 5_000;
/// From a trade to the next one.
const APART_NS: i64 = 200_000;

fn registry() -> Arc<Registry> {
    let registry = Registry::default();
    for n in 0..INSTRUMENTS {
        registry.add(postgres::instrument("binance", &format!("COIN{n}/USDT")));
    }
    Arc::new(registry)
}

/// Trades as a busy market has them, 5000 a second, with all of the day's fields.
fn trades(count: u64, begin_ns: i64) -> Vec<Tick> {
    let tick = |n: u64| {
        let price = 4_500_012_000_000 + (n * 7_919 % 100_000) as i64 * 1_000_000;
        let trade = Trade {
            price,
            amount: 1_234_000 + (n * 104_729 % 1_000_000) as i64 * 1_000,
            id: u128::from(3_000_000_000 + n),
            taker: if n.is_multiple_of(2) {
                Side::Buy
            } else {
                Side::Sell
            },
        };
        let time_ns = begin_ns + n as i64 * APART_NS;
        let id = (n * 31 % u64::from(INSTRUMENTS)) as u32;
        Tick {
            event: Event::from_trade(id, time_ns, time_ns, trade),
            day: DayStats {
                high: 4_700_001_000_000,
                low: 4_400_099_000_000,
                open: 4_444_444_000_000,
                last: price,
                volume: 123_456_789_012_345,
                seen_minutes: 1441,
            },
        }
    };
    (0..count).map(tick).collect()
}

#[test]
fn a_point_is_rendered_faster_than_it_is_formatted() {
    let (registry, trades) = (registry(), trades(20_000, clock::now_ns()));
    let mut out = Vec::new();
    let round = |out: &mut Vec<u8>| {
        out.clear();
        let begun = Instant::now();
        render(&registry, &trades, out);
        begun.elapsed().as_nanos() as f64 / trades.len() as f64
    };
    // Beside what anybody would write, for the machine may be slow or busy.
    let plain = |out: &mut Vec<u8>| {
        out.clear();
        let begun = Instant::now();
        for Tick { event, day } in &trades {
            let trade = event.trade();
            let [price, amount, high, low, volume] =
                [trade.price, trade.amount, day.high, day.low, day.volume]
                    .map(|v| to_decimal(v, 8).normalize());
            let written = writeln!(
                out,
                "market_data,symbol=COIN{}/USDT,exchange=binance,side={:?} price={price},\
                 amount={amount},high_24h={high},low_24h={low},volume_24h={volume},\
                 change_24h={},trade_id=\"{}\" {}",
                event.instrument,
                trade.taker,
                day.change_percent(),
                trade.id,
                event.exchange_ns
            );
            written.expect("a Vec takes all");
        }
        begun.elapsed().as_nanos() as f64 / trades.len() as f64
    };
    let mut text = Vec::new();
    round(&mut out);
    plain(&mut text);
    let rounds = (0..15).map(|_| (round(&mut out), plain(&mut text)));
    let (mut ours, mut theirs): (Vec<f64>, Vec<f64>) = rounds.unzip();
    ours.sort_unstable_by(f64::total_cmp);
    theirs.sort_unstable_by(f64::total_cmp);
    let bytes = out.len() / trades.len();
    eprintln!(
        "a trade's point, {bytes} bytes: {:.0} ns median, {:.0} ns at best; by write!, {} bytes: \
         {:.0} ns",
        ours[7],
        ours[0],
        text.len() / trades.len(),
        theirs[7]
    );
    assert!(ours[7] < theirs[7], "{ours:?}, {theirs:?}");
    assert!(!servers::long() || ours[0] < 400.0, "{ours:?}");
}

/// The publisher at work, bars included.
struct Publisher {
    ring: Producer<Tick>,
    metrics: Arc<Metrics>,
    given: u64,
}

impl Publisher {
    /// These through the ring, until all are stored.
    async fn publish(&mut self, ticks: &[Tick]) -> Duration {
        let begun = Instant::now();
        self.given += ticks.len() as u64;
        for tick in ticks {
            let mut tick = *tick;
            while let Err(back) = self.ring.push(tick) {
                tick = back;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        while self.metrics.influx.stored.get() < self.given {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        begun.elapsed()
    }
}

/// The same lines in batches of the same size, by a bare client.
async fn post(client: &reqwest::Client, config: &InfluxConfig, batches: &[Vec<u8>]) -> Duration {
    let (base, database) = (&config.url, &config.database);
    let url = format!("{base}/write?db={database}&rp=realtime&precision=ns");
    let begun = Instant::now();
    for batch in batches {
        let answer = client.post(&url).body(batch.clone()).send().await;
        let status = answer.expect("an answer").status();
        assert_eq!(status.as_u16(), 204);
    }
    begun.elapsed()
}

#[tokio::test]
async fn alone_the_publisher_keeps_up_with_posting_rendered_lines() {
    let Some(mut bare) = influx::config("") else {
        return;
    };
    let (count, rounds) = if servers::long() {
        (200_000, 31)
    } else {
        (30_000, 31)
    };
    let registry = registry();
    let rendered = |some: &[Tick]| {
        let mut out = Vec::new();
        render(&registry, some, &mut out);
        out
    };
    let mut config = bare.clone();
    for config in [&mut bare, &mut config] {
        config.database = servers::unique_name();
        config.max_waiting = count as usize;
        let made = tickforge::publishers::influx::set_up_now(config, false).await;
        made.expect("set up");
    }
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]);
    let client = client.build().expect("a client");
    let metrics = Arc::new(Metrics::default());
    let (ring, consumer) = tickforge::ring::ring(1 << 16);
    let (_stop, stopped) = tokio::sync::watch::channel(None);
    let run = tickforge::publishers::influx::run(
        consumer,
        config,
        std::path::PathBuf::new(),
        Arc::clone(&registry),
        Arc::clone(&metrics),
        Derived::new(Arc::clone(&metrics)),
        stopped,
    );
    let publisher = Publisher {
        ring,
        metrics: Arc::clone(&metrics),
        given: 0,
    };
    let rate = |took: Duration| count as f64 / took.as_secs_f64();
    // Of its first seconds a run looks in the store for an earlier one's trades.
    let begin_ns = clock::now_ns() + 10_000_000_000;
    let measured = async {
        let mut publisher = publisher;
        let mut ratios = Vec::new();
        for round in 0..=rounds {
            let passed_ns = (round * count) as i64 * APART_NS;
            let trades = trades(count, begin_ns + passed_ns);
            let batches: Vec<Vec<u8>> = trades.chunks(BATCH).map(rendered).collect();
            // Each goes first by turns: what the server does behind a write falls on the next one.
            let (ours, theirs) = if round % 2 == 0 {
                let ours = publisher.publish(&trades).await;
                (ours, post(&client, &bare, &batches).await)
            } else {
                let theirs = post(&client, &bare, &batches).await;
                (publisher.publish(&trades).await, theirs)
            };
            // The first one warms all of it up.
            if round > 0 {
                eprintln!(
                    "round {round}: {:.0} points/s published, {:.0} posted",
                    rate(ours),
                    rate(theirs)
                );
                ratios.push(theirs.as_secs_f64() / ours.as_secs_f64());
            }
        }
        ratios
    };
    let (ran, mut ratios) = tokio::join!(run, measured);
    assert_eq!(ran, Ok(()));
    let given = count * (rounds + 1);
    assert_eq!(influx::counted(&metrics.influx), (given, 0, 0));
    let bars = metrics.influx_derived.stored.get();
    let seconds = given as i64 * APART_NS / 1_000_000_000;
    eprintln!("{bars} bars beside {given} trades of {seconds} s");
    // At least one of each instrument's seconds, all of which have trades.
    assert!(bars as i64 >= seconds * i64::from(INSTRUMENTS), "{bars}");
    ratios.sort_unstable_by(f64::total_cmp);
    let median = ratios[ratios.len() / 2];
    eprintln!("published / posted: median {median:.2} of {ratios:.2?}");
    assert!(median >= 0.8, "{ratios:?}");
}
