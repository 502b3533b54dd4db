//! Signals out of `trading_signals`, as the journal had them: for filling another store again.
//! What the table does not keep (when the frame came in) is put at the event's time.

use crate::clock;
use crate::signal::record::SignalRecord;
use rust_decimal::Decimal;
use serde_json::{Map, Value};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

/// The newest ones of a time, the newest first.
const SIGNALS: &str = "
SELECT ts.id, tp.symbol, ts.signal_type::text, ts.source::text, ts.strength::text,
    ts.confidence::text, trim_scale(ts.target_price)::text AS target_price,
    trim_scale(ts.stop_loss_price)::text AS stop_loss_price,
    trim_scale(ts.take_profit_price)::text AS take_profit_price, ts.reasoning,
    ts.technical_indicators::text, ts.market_conditions::text,
    (extract(epoch FROM ts.valid_until) * 1000000)::bigint AS valid_until_us
FROM trading_signals ts JOIN trading_pairs tp ON tp.id = ts.trading_pair_id
WHERE ts.created_at >= timestamptz 'epoch' + $1::float8 * interval '1 microsecond'
ORDER BY ts.created_at DESC
LIMIT $2";

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    symbol: String,
    signal_type: String,
    source: String,
    strength: String,
    confidence: String,
    target_price: Option<String>,
    stop_loss_price: Option<String>,
    take_profit_price: Option<String>,
    reasoning: Option<String>,
    technical_indicators: Option<String>,
    market_conditions: Option<String>,
    valid_until_us: Option<i64>,
}

/// At most `limit` signals of events at or after `since_ns`, and how many rows among them no daemon
/// made.
pub async fn signals_since(
    connection: &mut PgConnection,
    since_ns: i64,
    limit: u64,
) -> Result<(Vec<SignalRecord>, u64), sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(SIGNALS)
        .bind((since_ns / 1_000) as f64)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await?;
    let all = rows.len();
    let records: Vec<SignalRecord> = rows.into_iter().filter_map(record).collect();
    let foreign = (all - records.len()) as u64;
    Ok((records, foreign))
}

/// `None` for a row that lacks what a daemon's signal has: an application's own.
fn record(row: Row) -> Option<SignalRecord> {
    let object = |text: Option<String>| -> Option<Map<String, Value>> {
        serde_json::from_str(&text.unwrap_or_else(|| "{}".to_owned())).ok()
    };
    let price = |text: Option<String>| -> Option<Option<Decimal>> {
        text.map(|text| text.parse().ok())
            .map_or(Some(None), |p| p.map(Some))
    };
    let mut kept = object(row.market_conditions)?;
    let event_ns = kept.get("event_ns")?.as_i64()?;
    let arrived_ns = kept.get("latency_ns")?.get("exchange_to_recv")?.as_i64();
    let mut take = |key: &str| kept.remove(key);
    Some(SignalRecord {
        schema: take("schema")?.as_u64()?.try_into().ok()?,
        signal_id: row.id,
        producer: take("producer")?.as_str()?.to_owned(),
        strategy: take("strategy")?.as_str()?.to_owned(),
        shadow: false,
        strategy_version: take("strategy_version")?.as_str()?.to_owned(),
        parameters: take("parameters")?,
        exchange: take("exchange")?.as_str()?.to_owned(),
        symbol: row.symbol,
        signal_type: row.signal_type,
        source: row.source,
        strength: row.strength.parse().ok()?,
        confidence: row.confidence.parse().ok()?,
        price: take("price")?.as_str()?.parse().ok()?,
        target_price: price(row.target_price)?,
        stop_loss_price: price(row.stop_loss_price)?,
        take_profit_price: price(row.take_profit_price)?,
        reasoning: row.reasoning.unwrap_or_default(),
        technical_indicators: object(row.technical_indicators)?,
        data_quality: serde_json::from_value(take("data_quality")?).ok()?,
        event_ns: take("event_ns")?.as_i64()?,
        created_at: clock::rfc3339(event_ns),
        valid_until: clock::rfc3339(row.valid_until_us?.checked_mul(1_000)?),
        recv_ns: event_ns + arrived_ns.unwrap_or(0),
        latency_ns: serde_json::from_value(take("latency_ns")?).ok()?,
        market_conditions: kept,
    })
}
