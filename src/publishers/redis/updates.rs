//! Market updates and the cache of last prices, at most one write for each instrument in
//! `update_interval`.
//!
//! Trades are conflated: an update has the newest price and the summed volume of the trades since
//! the one before. `sequence` counts an instrument's updates since the daemon started, so that a
//! reader sees a hole where updates were dropped, and an equal number where one was written twice
//! (its answer was lost). `timestamp` is in seconds, with a fraction of up to nine digits. While
//! Redis is away the newest update of each instrument is kept and the older ones are dropped and
//! counted; nothing waits for it. Only trades are counted: what comes out of a subscription's
//! history is no update and counts as expired.
//!
//! Runs on the publishers' runtime, with a connection of its own.

use crate::config::RedisConfig;
use crate::keyspace::cache::MarketData;
use crate::keyspace::market_updates::{self, MarketUpdate};
use crate::keyspace::{Batch, Connection, Place, explain, place};
use crate::market::decimal::{self, Scale};
use crate::market::{DayStats, Event, Flags, InstrumentId, Kind, Registry, Status, Tick};
use crate::metrics::Metrics;
use crate::publishers::intake::{self, CHANGE_SCALE, Instruments, SEEN_SCALE, Stop};
use crate::ring::Consumer;
use jiff::Timestamp;
use rust_decimal::Decimal;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Takes ticks until their producer is gone and everything is written, or until the deadline.
pub async fn updates(
    consumer: Consumer<Tick>,
    config: RedisConfig,
    registry: Arc<Registry>,
    metrics: Arc<Metrics>,
    stop: Stop,
) {
    let mut intake = Intake::new(consumer, &config, registry, Arc::clone(&metrics));
    let mut writer = Writer::new(config, metrics);
    tokio::select! {
        () = run(&mut intake, &mut writer, stop.clone()) => {}
        () = intake::deadline(stop) => {
            intake.drain();
            let lost = intake.fresh_trades + writer.unsent_trades();
            writer.metrics.market_updates.dropped.add(lost);
            tracing::error!(lost, "{}: market updates not written before the stop", writer.place);
        }
    }
    writer.metrics.market_updates.spooled.set(0);
}

async fn run(intake: &mut Intake, writer: &mut Writer, stop: Stop) {
    let mut due = Instant::now();
    loop {
        intake.drain();
        let closed = intake.consumer.is_closed();
        if closed && intake.fresh.is_empty() && writer.unsent.is_empty() {
            return;
        }
        let hurry = closed || stop.borrow().is_some();
        if Instant::now() >= due || hurry && writer.failures == 0 {
            due = Instant::now() + writer.config.update_interval;
            writer.take(intake);
            intake::alongside(writer.write(), || intake.drain()).await;
            due += writer.pause();
        }
        intake.spooled(writer.unsent_trades());
        tokio::time::sleep(intake::POLL).await;
    }
}

/// The keys of an instrument.
#[derive(Clone, Debug)]
struct Keys {
    exchange: &'static str,
    stream: String,
    cache: String,
    /// `cache:market_data:SYMBOL`, where this exchange is the symbol's primary one.
    primary: Option<String>,
}

/// One write: the newest price, and what was traded since the write before.
#[derive(Clone, Debug)]
struct Update {
    price: i64,
    price_scale: Scale,
    amount_scale: Scale,
    volume: Decimal,
    time_ns: i64,
    day: DayStats,
    /// Trades in it.
    trades: u64,
    sequence: u64,
    keys: Arc<Keys>,
}

/// Takes ticks from the ring and conflates them.
struct Intake {
    consumer: Consumer<Tick>,
    instruments: Instruments<Arc<Keys>>,
    metrics: Arc<Metrics>,
    fresh: BTreeMap<InstrumentId, Update>,
    fresh_trades: u64,
}

impl Intake {
    fn new(
        consumer: Consumer<Tick>,
        config: &RedisConfig,
        registry: Arc<Registry>,
        metrics: Arc<Metrics>,
    ) -> Intake {
        let (order, all) = (config.primary.clone(), Arc::clone(&registry));
        let instruments = Instruments::new(registry, move |instrument| {
            let symbol = &instrument.symbol;
            let rivals = all.all();
            let rivals = rivals
                .iter()
                .filter(|i| i.symbol == *symbol)
                .map(|i| i.exchange);
            Arc::new(Keys {
                exchange: instrument.exchange,
                stream: market_updates::key(symbol),
                cache: MarketData::key_of_exchange(instrument.exchange, symbol),
                primary: (primary(&order, rivals) == Some(instrument.exchange))
                    .then(|| MarketData::key(symbol)),
            })
        });
        Intake {
            consumer,
            instruments,
            metrics,
            fresh: BTreeMap::new(),
            fresh_trades: 0,
        }
    }

    fn drain(&mut self) {
        let mut listed = false;
        for _ in 0..self.consumer.len() {
            let Some(tick) = self.consumer.pop() else {
                break;
            };
            match tick.event.kind {
                Kind::Status => {
                    // Another exchange may be the primary one of a symbol from here on.
                    listed |= tick.event.status() == Status::Listed;
                    self.instruments.status(&tick.event);
                }
                Kind::Trade => self.trade(&tick.event, tick.day),
                Kind::Quote | Kind::Book => {}
            }
        }
        if listed {
            self.instruments.relabel();
        }
    }

    fn trade(&mut self, event: &Event, day: DayStats) {
        if event.flags.has(Flags::SNAPSHOT) {
            self.metrics.market_updates.expired.add(1);
            return;
        }
        let trade = event.trade();
        let known = self.instruments.get(event.instrument);
        let amount = decimal::to_decimal(trade.amount, known.amount_scale);
        self.fresh_trades += 1;
        let mut update = Update {
            price: trade.price,
            price_scale: known.price_scale,
            amount_scale: known.amount_scale,
            volume: amount,
            time_ns: event.time_ns(),
            day,
            trades: 1,
            sequence: 0,
            keys: Arc::clone(&known.label),
        };
        if let Some(older) = self.fresh.get(&event.instrument) {
            update.trades += older.trades;
            update.volume = amount.checked_add(older.volume).unwrap_or(older.volume);
        }
        self.fresh.insert(event.instrument, update);
    }

    fn spooled(&self, unsent_trades: u64) {
        let waiting = self.consumer.len() as u64 + self.fresh_trades + unsent_trades;
        self.metrics.market_updates.spooled.set(waiting);
    }
}

/// The first of `order` that lists the symbol, else the first by name, as the configuration has
/// them.
fn primary<'a>(order: &[String], rivals: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let place = |name: &str| order.iter().position(|o| o == name).unwrap_or(order.len());
    rivals.min_by_key(|name| (place(name), *name))
}

/// Writes updates; holds those that the store has not confirmed.
struct Writer {
    config: RedisConfig,
    metrics: Arc<Metrics>,
    place: String,
    connection: Option<Connection>,
    unsent: BTreeMap<InstrumentId, Update>,
    sequences: BTreeMap<InstrumentId, u64>,
    /// Writes that failed in a row.
    failures: u32,
}

impl Writer {
    fn new(config: RedisConfig, metrics: Arc<Metrics>) -> Writer {
        Writer {
            place: place(&config),
            config,
            metrics,
            connection: None,
            unsent: BTreeMap::new(),
            sequences: BTreeMap::new(),
            failures: 0,
        }
    }

    /// Takes what was conflated; it replaces what still waits of the same instrument.
    fn take(&mut self, intake: &mut Intake) {
        intake.fresh_trades = 0;
        for (id, mut update) in std::mem::take(&mut intake.fresh) {
            let sequence = self.sequences.entry(id).or_default();
            *sequence += 1;
            update.sequence = *sequence;
            if let Some(older) = self.unsent.insert(id, update) {
                self.metrics.market_updates.dropped.add(older.trades);
            }
        }
    }

    fn unsent_trades(&self) -> u64 {
        self.unsent.values().map(|u| u.trades).sum()
    }

    /// Writes what is unsent, a batch at a time; on a failure the rest stays unsent.
    async fn write(&mut self) {
        while !self.unsent.is_empty() {
            let batch: Vec<InstrumentId> = self
                .unsent
                .keys()
                .copied()
                .take(self.config.batch.max(1))
                .collect();
            match self.write_batch(&batch).await {
                Ok(()) if self.failures > 0 => {
                    tracing::info!("{}: takes market updates again", self.place);
                    self.failures = 0;
                }
                Ok(()) => {}
                Err(reason) => {
                    self.connection = None;
                    if self.failures == 0 {
                        tracing::warn!("{reason} (market updates; will try again)");
                    }
                    self.failures = self.failures.saturating_add(1);
                    self.metrics.market_updates.retries.add(1);
                    return;
                }
            }
        }
    }

    async fn write_batch(&mut self, batch: &[InstrumentId]) -> Result<(), String> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(Connection::open(&self.config).await?),
        };
        // A transaction, so that no cached price is ever left without its time to live.
        let mut commands = Batch::transaction(connection);
        let places: Vec<Vec<Place>> = batch
            .iter()
            .map(|id| write(&self.unsent[id], &self.config, &mut commands))
            .collect();
        let answers = commands.send(connection).await;
        let answers = answers.map_err(|e| explain(&self.place, &e))?;
        for (id, places) in batch.iter().zip(places) {
            let Some(update) = self.unsent.remove(id) else {
                continue;
            };
            let answers = places.iter().flat_map(|place| answers.of(*place));
            let refused = answers.filter_map(|answer| answer.as_ref().err()).next();
            let counts = &self.metrics.market_updates;
            match refused {
                None => counts.stored.add(update.trades),
                // Of this key alone (another type): trying again would not help, and the rest is
                // in.
                Some(e) => {
                    counts.dropped.add(update.trades);
                    let reason = explain(&self.place, e);
                    tracing::warn!(key = update.keys.stream, "market update refused: {reason}");
                }
            }
        }
        Ok(())
    }

    /// How long to leave a store alone that failed: 0.2 to 5 s, jittered.
    fn pause(&self) -> Duration {
        if self.failures == 0 {
            Duration::ZERO
        } else {
            intake::backoff(self.failures)
        }
    }
}

/// Adds the commands for an update; where their answers will be.
fn write(update: &Update, config: &RedisConfig, batch: &mut Batch) -> Vec<Place> {
    let keys = &update.keys;
    let price = decimal::to_decimal(update.price, update.price_scale);
    let day = &update.day;
    let at_price = |v| decimal::to_decimal(v, update.price_scale);
    let (high_24h, low_24h) = (at_price(day.high), at_price(day.low));
    let volume_24h = decimal::to_decimal(day.volume, update.amount_scale);
    let change_24h = intake::change_24h(day).map(|c| decimal::to_decimal(c, CHANGE_SCALE));
    let seen_24h = decimal::to_decimal(intake::seen_24h(day), SEEN_SCALE);
    let entry = MarketUpdate {
        price,
        volume: update.volume.normalize(),
        timestamp: seconds(update.time_ns),
        exchange: keys.exchange.to_owned(),
        sequence: update.sequence,
        high_24h,
        low_24h,
        volume_24h,
        change_24h,
        seen_24h,
    };
    let cached = MarketData {
        price,
        high_24h,
        low_24h,
        volume_24h,
        change_24h,
        seen_24h,
        last_updated: Timestamp::from_nanosecond(update.time_ns.into()).unwrap_or_default(),
    };
    let stream = batch.add(&keys.stream, |pipeline| {
        entry.append(pipeline, &keys.stream, config.updates_max_len);
    });
    let caches = [Some(&keys.cache), keys.primary.as_ref()];
    let caches = caches
        .into_iter()
        .flatten()
        .map(|key| batch.add(key, |pipeline| cached.put(pipeline, key, config.cache_ttl)));
    std::iter::once(stream).chain(caches).collect()
}

/// Seconds since the epoch, exact: `1705329930`, `1705329930.25`.
fn seconds(ns: i64) -> Decimal {
    decimal::to_decimal(ns, 9)
}

#[cfg(test)]
mod tests {
    use super::super::tests::config;
    use super::*;
    use crate::market::{Side, Trade};
    use crate::publishers::intake::tests::instrument;
    use crate::ring::{Producer, ring};

    fn tick(id: InstrumentId, price: i64, amount: i64, time_ns: i64) -> Tick {
        let trade = Trade {
            price,
            amount,
            id: 1,
            taker: Side::Buy,
        };
        let day = DayStats {
            open: 100,
            last: price,
            high: price,
            low: 100,
            volume: 7,
            seen_minutes: 720,
        };
        Tick {
            event: Event::from_trade(id, time_ns, time_ns, trade),
            day,
        }
    }

    fn setup(primary: &[&str]) -> (Producer<Tick>, Intake, Writer) {
        let registry = Arc::new(Registry::default());
        registry.add(instrument("binance", "BTC/USDT"));
        registry.add(instrument("kraken", "BTC/USDT"));
        let mut config = config("redis://127.0.0.1:1");
        config.primary = primary.iter().map(|&name| name.to_owned()).collect();
        let metrics = Arc::new(Metrics::default());
        let (producer, consumer) = ring(64);
        let intake = Intake::new(consumer, &config, registry, Arc::clone(&metrics));
        (producer, intake, Writer::new(config, metrics))
    }

    fn push(producer: &mut Producer<Tick>, tick: Tick) {
        assert!(producer.push(tick).is_ok());
    }

    #[test]
    fn trades_are_conflated_across_a_change_of_scale() {
        let (mut producer, mut intake, mut writer) = setup(&[]);
        push(&mut producer, tick(0, 200, 300_000_000, 1_000));
        let rescale = Status::Rescale {
            price: 9,
            amount: 9,
        };
        let event = Event::from_status(0, 0, rescale);
        push(
            &mut producer,
            Tick {
                event,
                day: DayStats::default(),
            },
        );
        push(&mut producer, tick(0, 5_000_000_000, 1, 2_000));
        push(&mut producer, tick(1, 300, 1, 3_000));
        intake.drain();
        writer.take(&mut intake);
        let update = &writer.unsent[&0];
        assert_eq!(
            (update.trades, update.sequence, update.time_ns),
            (2, 1, 2_000)
        );
        assert_eq!(update.volume.normalize().to_string(), "3.000000001");
        let mut batch = Batch::default();
        write(update, &writer.config, &mut batch);
        let text = batch.text();
        let words: Vec<&str> = text
            .lines()
            .filter(|l| !l.starts_with(['*', '$']))
            .collect();
        let expected = "XADD market_updates:BTC/USDT MAXLEN ~ 1000 price 5 volume 3.000000001 \
                        timestamp 0.000002 exchange binance sequence 1 \
                        high_24h 5 low_24h 0.0000001 volume_24h 0.000000007 \
                        change_24h 4999999900 seen_24h 0.5 \
                        HSET cache:market_data:binance:BTC/USDT price 5";
        assert!(words.join(" ").starts_with(expected), "{words:?}");
    }

    #[test]
    fn an_older_update_that_waits_is_dropped_and_leaves_a_hole() {
        let (mut producer, mut intake, mut writer) = setup(&[]);
        for price in [200, 201, 202] {
            push(&mut producer, tick(0, price, 1, price));
            push(&mut producer, tick(0, price, 1, price));
            intake.drain();
            writer.take(&mut intake);
        }
        assert_eq!(
            (writer.unsent[&0].price, writer.unsent[&0].sequence),
            (202, 3)
        );
        assert_eq!(
            (
                writer.metrics.market_updates.dropped.get(),
                writer.unsent_trades()
            ),
            (4, 2)
        );
        let mut history = tick(0, 150, 1, 100);
        history.event.flags = history.event.flags.with(Flags::SNAPSHOT);
        push(&mut producer, history);
        intake.drain();
        assert_eq!(
            (
                writer.metrics.market_updates.expired.get(),
                intake.fresh_trades
            ),
            (1, 0)
        );
    }

    #[test]
    fn one_exchange_writes_the_cache_of_a_symbol() {
        for (order, expected) in [
            (&[][..], [true, false]),
            (&["kraken", "binance"], [false, true]),
            (&["coinbase", "binance"], [true, false]),
        ] {
            let (_, mut intake, _) = setup(order);
            let has = [0, 1].map(|id| intake.instruments.get(id).label.primary.is_some());
            assert_eq!(has, expected, "{order:?}");
        }
    }

    #[test]
    fn the_primary_exchange_may_be_listed_later() {
        let (mut producer, mut intake, _) = setup(&["coinbase"]);
        assert!(intake.instruments.get(0).label.primary.is_some());
        let id = intake
            .instruments
            .registry()
            .add(instrument("coinbase", "BTC/USDT"));
        let event = Event::from_status(id, 0, Status::Listed);
        push(
            &mut producer,
            Tick {
                event,
                day: DayStats::default(),
            },
        );
        intake.drain();
        let has = [0, id].map(|id| intake.instruments.get(id).label.primary.is_some());
        assert_eq!(has, [false, true]);
    }

    #[test]
    fn seconds_are_exact() {
        assert_eq!(seconds(1_705_329_930_000_000_000).to_string(), "1705329930");
        let text = seconds(1_705_329_930_250_000_001).to_string();
        assert_eq!(text, "1705329930.250000001");
    }

    #[tokio::test]
    async fn what_cannot_be_written_by_the_deadline_is_counted() {
        let (mut producer, intake, writer) = setup(&[]);
        push(&mut producer, tick(0, 200, 1, 1));
        drop(producer);
        let (_stop, stopped) = tokio::sync::watch::channel(Some(Instant::now()));
        let registry = Arc::new(Registry::default());
        registry.add(instrument("binance", "BTC/USDT"));
        let metrics = Arc::clone(&writer.metrics);
        fn may_be_spawned<F: Future + Send + 'static>(task: F) -> F {
            task
        }
        let run = updates(
            intake.consumer,
            writer.config,
            registry,
            writer.metrics,
            stopped,
        );
        may_be_spawned(run).await;
        let counts = &metrics.market_updates;
        assert_eq!(
            (
                counts.dropped.get(),
                counts.stored.get(),
                counts.spooled.get()
            ),
            (1, 0, 0)
        );
    }
}
