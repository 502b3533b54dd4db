//! Open positions at the market's price, and analyses of markets, each at its configured pace.
//!
//! Takes trades from a ring of its own, keeps each instrument's last price and bars, and writes by
//! a connection of its own. Nothing waits for it: while the database is away the newest prices are
//! kept, and of analyses the newest of each timeframe. Runs on the publishers' runtime.
//!
//! A position's price is the last trade's; what it would gain, `(price - entry) * remaining` for
//! long ones and the other way round for short ones, is computed by the server in its exact
//! decimals. A position that somebody has locked is left for the next time.

use super::server::{Limits, Server, within};
use crate::analysis::{Analysis, Frame};
use crate::clock;
use crate::config::PostgresConfig;
use crate::market::decimal::{self, Scale};
use crate::market::{Event, Flags, InstrumentId, Kind, Registry, Status, Tick};
use crate::metrics::Metrics;
use crate::publishers::intake::{self, Stop, backoff};
use crate::ring::Consumer;
use rust_decimal::Decimal;
use rust_decimal::prelude::FromPrimitive;
use serde_json::Value;
use sqlx::postgres::PgConnection;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Prices and analyses in one statement, and positions that one may change.
const ROWS: usize = 1000;
const POSITIONS: i64 = 5000;

/// Takes trades until their producer is gone, or until the deadline.
pub async fn market(
    ticks: Consumer<Tick>,
    config: PostgresConfig,
    registry: Arc<Registry>,
    metrics: Arc<Metrics>,
    stop: Stop,
) {
    let server = match Server::parse(&config.url.0) {
        Ok(server) => server,
        Err(e) => return tracing::error!("positions are not marked: {e}"),
    };
    let mut intake = Intake::new(ticks, &config, registry, metrics);
    let mut writer = Writer {
        server,
        config,
        connection: None,
        failures: 0,
    };
    tokio::select! {
        () = run(&mut intake, &mut writer) => {}
        () = intake::deadline(stop) => {}
    }
}

async fn run(intake: &mut Intake, writer: &mut Writer) {
    let now = Instant::now();
    let (positions_every, analysis_every) =
        (writer.config.positions_every, writer.config.analysis_every);
    let (mut positions, mut analyses, mut rested) = (now, now, now);
    loop {
        intake.drain();
        let closed = intake.ticks.is_closed() && intake.ticks.is_empty();
        let now = Instant::now();
        let due = |at: Instant, every: Duration| !every.is_zero() && (closed || now >= at);
        let mark = due(positions, positions_every).then(|| intake.prices());
        let rows = due(analyses, analysis_every).then(|| intake.analyses());
        if now >= rested && (mark.is_some() || rows.is_some()) {
            let work = writer.write(mark.as_deref(), rows.as_deref());
            match intake::alongside(work, || intake.drain()).await {
                Ok(()) => {
                    if mark.is_some() {
                        positions = now + positions_every;
                    }
                    if let Some(rows) = rows {
                        intake.written(&rows);
                        analyses = now + analysis_every;
                    }
                }
                Err(e) => rested = Instant::now() + writer.failed(&e),
            }
        }
        if closed {
            return;
        }
        tokio::time::sleep(intake::POLL).await;
    }
}

struct Market {
    exchange: &'static str,
    symbol: String,
    scale: Scale,
    now_ns: i64,
    last: Option<i64>,
    /// By timeframe of the configuration.
    frames: Vec<Frame>,
}

/// One row to write: which instrument and timeframe, and what.
#[derive(Clone)]
struct Row {
    at: (InstrumentId, usize),
    exchange: &'static str,
    symbol: String,
    timeframe: String,
    analysis: Analysis,
}

struct Intake {
    ticks: Consumer<Tick>,
    registry: Arc<Registry>,
    metrics: Arc<Metrics>,
    timeframes: Vec<i64>,
    markets: BTreeMap<InstrumentId, Market>,
    /// The newest of each instrument and timeframe that is not written.
    fresh: BTreeMap<(InstrumentId, usize), Row>,
}

impl Intake {
    fn new(
        ticks: Consumer<Tick>,
        config: &PostgresConfig,
        registry: Arc<Registry>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let wanted = !config.analysis_every.is_zero();
        let nanos = |d: &Duration| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX);
        let timeframes = config.analysis_timeframes.iter().map(nanos);
        Intake {
            ticks,
            registry,
            metrics,
            timeframes: timeframes.filter(|_| wanted).collect(),
            markets: BTreeMap::new(),
            fresh: BTreeMap::new(),
        }
    }

    fn drain(&mut self) {
        while let Some(tick) = self.ticks.pop() {
            let event = &tick.event;
            match event.kind {
                Kind::Trade => {
                    self.metrics.market.stored.add(1);
                    if !event.flags.has(Flags::SNAPSHOT) {
                        self.trade(event);
                    }
                }
                Kind::Status => {
                    if let Status::Rescale { price, .. } = event.status() {
                        self.rescale(event.instrument, price.min(decimal::MAX_SCALE));
                    }
                }
                Kind::Quote | Kind::Book => {}
            }
        }
    }

    fn market(&mut self, id: InstrumentId) -> &mut Market {
        let (registry, timeframes) = (&self.registry, &self.timeframes);
        self.markets.entry(id).or_insert_with(|| {
            let instrument = registry.get(id);
            Market {
                exchange: instrument.exchange,
                symbol: instrument.symbol.clone(),
                scale: instrument.price_scale(),
                now_ns: i64::MIN,
                last: None,
                frames: timeframes.iter().map(|ns| Frame::new(*ns)).collect(),
            }
        })
    }

    fn trade(&mut self, event: &Event) {
        let (id, trade, time_ns) = (event.instrument, event.trade(), event.time_ns());
        let market = self.market(id);
        market.now_ns = market.now_ns.max(time_ns);
        market.last = Some(trade.price);
        let (now_ns, scale) = (market.now_ns, market.scale);
        let (exchange, symbol) = (market.exchange, market.symbol.clone());
        let made: Vec<(usize, Analysis)> = market
            .frames
            .iter_mut()
            .enumerate()
            .filter_map(|(i, frame)| {
                let trade = (time_ns, trade.price, trade.amount);
                Some((i, frame.trade(now_ns, trade, scale)?))
            })
            .collect();
        for (i, analysis) in made {
            let row = Row {
                at: (id, i),
                exchange,
                symbol: symbol.clone(),
                timeframe: timeframe(self.timeframes[i]),
                analysis,
            };
            self.fresh.insert((id, i), row);
        }
    }

    fn rescale(&mut self, id: InstrumentId, scale: Scale) {
        let market = self.market(id);
        let from = std::mem::replace(&mut market.scale, scale);
        let price = |v: i64| decimal::rescale(v, from, scale).map(|r| r.0);
        market.last = market.last.and_then(price);
        for frame in &mut market.frames {
            frame.rescale(price);
        }
    }

    /// Exchange, symbol and last price of all that traded.
    fn prices(&self) -> Vec<(&'static str, String, Decimal)> {
        let price = |m: &Market| {
            let price = decimal::to_decimal(m.last.filter(|p| *p > 0)?, m.scale);
            Some((m.exchange, m.symbol.clone(), price))
        };
        self.markets.values().filter_map(price).collect()
    }

    fn analyses(&self) -> Vec<Row> {
        self.fresh.values().cloned().collect()
    }

    /// These are in the table; newer ones, which came meanwhile, stay.
    fn written(&mut self, rows: &[Row]) {
        for row in rows {
            let same = |f: &Row| f.analysis.at_ns == row.analysis.at_ns;
            if self.fresh.get(&row.at).is_some_and(same) {
                self.fresh.remove(&row.at);
            }
        }
    }
}

/// As the column holds it: `90s`, `5m`, `4h`, `1d`, `2w`.
fn timeframe(ns: i64) -> String {
    const UNITS: [(&str, i64); 5] = [
        ("w", 604_800),
        ("d", 86_400),
        ("h", 3600),
        ("m", 60),
        ("s", 1),
    ];
    let seconds = (ns / 1_000_000_000).max(1);
    let fits = |(_, n): &&(&str, i64)| seconds % n == 0;
    let (unit, n) = UNITS.iter().find(fits).unwrap_or(&UNITS[4]);
    format!("{}{unit}", seconds / n)
}

struct Writer {
    server: Server,
    config: PostgresConfig,
    connection: Option<PgConnection>,
    failures: u32,
}

impl Writer {
    async fn write(
        &mut self,
        prices: Option<&[(&'static str, String, Decimal)]>,
        rows: Option<&[Row]>,
    ) -> Result<(), sqlx::Error> {
        let limit = self.config.timeout;
        // After a failure nothing about the connection is taken for granted.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let limits = Limits {
                    statement: limit,
                    lock: limit,
                };
                self.server.connect(limit, limits).await?
            }
        };
        for part in prices.unwrap_or_default().chunks(ROWS) {
            while within(limit, mark(&mut connection, part)).await? >= POSITIONS as u64 {}
        }
        for part in rows.unwrap_or_default().chunks(ROWS) {
            within(limit, insert(&mut connection, part)).await?;
        }
        self.connection = Some(connection);
        if std::mem::take(&mut self.failures) > 0 {
            tracing::info!("{}: positions are marked again", self.server.place);
        }
        Ok(())
    }

    /// How long to rest.
    fn failed(&mut self, error: &sqlx::Error) -> Duration {
        self.failures += 1;
        // At the beginning another task may still be making the tables.
        if self.failures == 3 {
            let text = self.server.explain(error);
            tracing::warn!("positions are not marked, markets not analysed: {text}");
        }
        backoff(self.failures)
    }
}

const MARK: &str = "
WITH due AS (
    SELECT p.id, u.price, v.gain
    FROM UNNEST($1::text[], $2::text[], $3::numeric[]) AS u(exchange, symbol, price)
    JOIN trading_pairs tp ON tp.symbol = u.symbol AND tp.exchange = u.exchange
    JOIN positions p ON p.trading_pair_id = tp.id AND p.status IN ('open', 'partially_closed'),
    LATERAL (SELECT round(p.remaining_size * CASE p.side WHEN 'buy' THEN u.price - p.entry_price
        ELSE p.entry_price - u.price END, 18) AS gain) AS v
    WHERE (p.current_price, p.unrealized_pnl) IS DISTINCT FROM (u.price, v.gain)
        AND abs(v.gain) < 1e20 -- what the column holds
    ORDER BY p.id LIMIT $4
    FOR NO KEY UPDATE OF p SKIP LOCKED
)
UPDATE positions AS p SET current_price = due.price, unrealized_pnl = due.gain
FROM due WHERE p.id = due.id";

/// Marks positions where they differ, a bounded number; returns how many.
async fn mark(
    connection: &mut PgConnection,
    prices: &[(&'static str, String, Decimal)],
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(MARK)
        .bind(prices.iter().map(|p| p.0).collect::<Vec<&str>>())
        .bind(prices.iter().map(|p| p.1.as_str()).collect::<Vec<&str>>())
        .bind(prices.iter().map(|p| p.2).collect::<Vec<Decimal>>())
        .bind(POSITIONS)
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}

const INSERT: &str = "
INSERT INTO market_analysis (trading_pair_id, timeframe, trend, price, support_levels,
    resistance_levels, volatility, indicators, analysed_at)
SELECT tp.id, u.timeframe, u.trend::market_trend, u.price, u.support::numeric[],
    u.resistance::numeric[], u.volatility, u.indicators::jsonb, u.at::timestamptz
FROM UNNEST($1::text[], $2::text[], $3::text[], $4::text[], $5::numeric[], $6::text[],
    $7::text[], $8::numeric[], $9::text[], $10::text[])
    AS u(exchange, symbol, timeframe, trend, price, support, resistance, volatility, indicators, at)
JOIN trading_pairs tp ON tp.symbol = u.symbol AND tp.exchange = u.exchange
ORDER BY tp.id, u.timeframe
ON CONFLICT ON CONSTRAINT uq_market_analysis_pair_timeframe_analysed_at DO NOTHING";

async fn insert(connection: &mut PgConnection, rows: &[Row]) -> Result<(), sqlx::Error> {
    // An array of arrays must be square; a list in text need not.
    let list = |levels: &[Decimal]| {
        let texts: Vec<String> = levels.iter().map(Decimal::to_string).collect();
        format!("{{{}}}", texts.join(","))
    };
    let texts = |of: fn(&Row) -> String| -> Vec<String> { rows.iter().map(of).collect() };
    let volatility = |r: &Row| r.analysis.volatility.and_then(Decimal::from_f64);
    sqlx::query(INSERT)
        .bind(rows.iter().map(|r| r.exchange).collect::<Vec<&str>>())
        .bind(texts(|r| r.symbol.clone()))
        .bind(texts(|r| r.timeframe.clone()))
        .bind(
            rows.iter()
                .map(|r| r.analysis.trend.name())
                .collect::<Vec<&str>>(),
        )
        .bind(
            rows.iter()
                .map(|r| r.analysis.price)
                .collect::<Vec<Decimal>>(),
        )
        .bind(
            rows.iter()
                .map(|r| list(&r.analysis.support))
                .collect::<Vec<String>>(),
        )
        .bind(
            rows.iter()
                .map(|r| list(&r.analysis.resistance))
                .collect::<Vec<String>>(),
        )
        .bind(
            rows.iter()
                .map(volatility)
                .collect::<Vec<Option<Decimal>>>(),
        )
        .bind(texts(|r| {
            Value::Object(r.analysis.indicators.clone()).to_string()
        }))
        .bind(texts(|r| clock::rfc3339(r.analysis.at_ns)))
        .execute(connection)
        .await?;
    Ok(())
}
