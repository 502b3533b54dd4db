//! The statements on `trading_signals` and the arrays they take: signals, what became of them, and
//! those whose time is over. It must not decide what an error means. Called by the sink within its
//! limits.

use crate::outcome::Ending;
use crate::outcome::record::OutcomeRecord;
use crate::publishers::{Concluded, Entry};
use crate::signal::record::SignalRecord;
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};
use sqlx::postgres::PgConnection;
use std::collections::BTreeMap;
use std::time::Duration;
use uuid::Uuid;

/// Text becomes the column's type in the server: enums by name, times exact to the microsecond.
/// Ordered by id, so that two daemons with the same signals wait for each other, never in a circle.
const INSERT_SIGNALS: &str = "
INSERT INTO trading_signals (id, trading_pair_id, signal_type, source, strength, confidence,
    target_price, stop_loss_price, take_profit_price, reasoning,
    technical_indicators, market_conditions, valid_until, is_active, created_at)
SELECT u.id, tp.id, u.signal_type::signal_type, u.source::signal_source, u.strength, u.confidence,
    u.target_price, u.stop_loss_price, u.take_profit_price, u.reasoning,
    u.technical_indicators::jsonb, u.market_conditions::jsonb,
    u.valid_until::timestamptz, true, u.created_at::timestamptz
FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[],
    $6::numeric[], $7::numeric[], $8::numeric[], $9::numeric[], $10::numeric[],
    $11::text[], $12::text[], $13::text[], $14::text[], $15::text[])
    AS u(id, symbol, exchange, signal_type, source,
        strength, confidence, target_price, stop_loss_price, take_profit_price,
        reasoning, technical_indicators, market_conditions, valid_until, created_at)
JOIN trading_pairs tp ON tp.symbol = u.symbol AND tp.exchange = u.exchange
ORDER BY u.id
ON CONFLICT (id) DO NOTHING";

const COUNT_SIGNALS: &str = "SELECT count(*) FROM trading_signals WHERE id = ANY($1)";

/// Inserts what is not there yet, and makes sure that all of it is there then.
pub(super) async fn insert_signals(
    connection: &mut PgConnection,
    entries: &[Entry],
) -> Result<(), sqlx::Error> {
    type R = SignalRecord;
    let texts =
        |of: fn(&R) -> &str| -> Vec<&str> { entries.iter().map(|e| of(&e.record)).collect() };
    let shares =
        |of: fn(&R) -> Decimal| -> Vec<Decimal> { entries.iter().map(|e| of(&e.record)).collect() };
    let prices = |of: fn(&R) -> Option<Decimal>| -> Vec<Option<Decimal>> {
        entries.iter().map(|e| of(&e.record)).collect()
    };
    let objects = |of: fn(&R) -> Value| -> Vec<String> {
        entries.iter().map(|e| of(&e.record).to_string()).collect()
    };
    let mut ids: Vec<Uuid> = entries.iter().map(|e| e.record.signal_id).collect();
    let inserted = sqlx::query(INSERT_SIGNALS)
        .bind(&ids)
        .bind(texts(|r| &r.symbol))
        .bind(texts(|r| &r.exchange))
        .bind(texts(|r| &r.signal_type))
        .bind(texts(|r| &r.source))
        .bind(shares(|r| r.strength))
        .bind(shares(|r| r.confidence))
        .bind(prices(|r| r.target_price))
        .bind(prices(|r| r.stop_loss_price))
        .bind(prices(|r| r.take_profit_price))
        .bind(texts(|r| &r.reasoning))
        .bind(objects(|r| Value::Object(r.technical_indicators.clone())))
        .bind(objects(|r| Value::Object(market_conditions(r))))
        .bind(texts(|r| &r.valid_until))
        .bind(texts(|r| &r.created_at))
        .execute(&mut *connection)
        .await?
        .rows_affected();
    ids.sort_unstable();
    ids.dedup();
    let expected = ids.len() as u64;
    if inserted == expected {
        return Ok(());
    }
    // Some were there already, or their pair is gone and the join let them fall.
    let there: i64 = sqlx::query_scalar(COUNT_SIGNALS)
        .bind(&ids)
        .fetch_one(connection)
        .await?;
    if u64::try_from(there) == Ok(expected) {
        return Ok(());
    }
    Err(sqlx::Error::Protocol(format!(
        "of {expected} signals only {there} are stored: a row of trading_pairs is missing"
    )))
}

/// Only what has no outcome yet is changed, so that a repeat changes nothing and of two daemons the
/// first one counts. Locked in the order of ids, as for inserting.
const CONCLUDE: &str = "
UPDATE trading_signals AS s SET
    is_active = false,
    expired_at = e.expired_at,
    actual_outcome = e.actual_outcome,
    accuracy_score = e.accuracy_score,
    market_conditions = COALESCE(s.market_conditions, '{}')
        || jsonb_build_object('outcome', e.outcome)
FROM (
    SELECT u.id, u.expired_at::timestamptz, u.actual_outcome, u.accuracy_score, u.outcome::jsonb
    FROM UNNEST($1::uuid[], $2::text[], $3::numeric[], $4::numeric[], $5::text[])
        AS u(id, expired_at, actual_outcome, accuracy_score, outcome)
    JOIN trading_signals t ON t.id = u.id
    WHERE NOT COALESCE(t.market_conditions ? 'outcome', false)
    ORDER BY u.id
    FOR NO KEY UPDATE OF t
) AS e
WHERE s.id = e.id AND NOT COALESCE(s.market_conditions ? 'outcome', false)";

/// Writes what became of signals whose rows have no outcome yet. A signal that is not there (it was
/// refused, or archived) is left out.
pub(super) async fn conclude(
    connection: &mut PgConnection,
    outcomes: &[Concluded],
) -> Result<(), sqlx::Error> {
    // An UPDATE takes one row for each id only.
    let first: BTreeMap<Uuid, &OutcomeRecord> = outcomes
        .iter()
        .rev()
        .map(|o| (o.record.signal_id, &o.record))
        .collect();
    let numbers = |of: fn(&OutcomeRecord) -> Option<Decimal>| -> Vec<Option<Decimal>> {
        first.values().map(|r| of(r)).collect()
    };
    let expired = |r: &&OutcomeRecord| (r.ending == EXPIRED).then(|| r.valid_until.clone());
    sqlx::query(CONCLUDE)
        .bind(first.keys().copied().collect::<Vec<Uuid>>())
        .bind(first.values().map(expired).collect::<Vec<Option<String>>>())
        .bind(numbers(|r| r.actual_outcome))
        .bind(numbers(|r| r.accuracy_score))
        .bind(first.values().map(|r| detail(r)).collect::<Vec<String>>())
        .execute(connection)
        .await?;
    Ok(())
}

const EXPIRED: &str = Ending::Expired.name();

/// What the table has no column for.
fn detail(record: &OutcomeRecord) -> String {
    json!({
        "producer": record.producer,
        "ending": record.ending,
        "exit_price": record.exit_price,
        "change_percent": record.change_percent,
        "ended_at": record.ended_at,
        "data_quality": record.data_quality,
    })
    .to_string()
}

/// Rows in one statement that nobody waits for.
const LAPSED_AT_ONCE: i64 = 1000;

/// A market that is silent, or a daemon that was away, ends no signal: its row is no longer active
/// all the same. Rows that somebody has locked are left for the next time. What became of the
/// signal comes later, if it can be known.
const LAPSE: &str = "
UPDATE trading_signals SET is_active = false, expired_at = valid_until
WHERE id IN (
    SELECT id FROM trading_signals WHERE is_active AND valid_until < now() - $1::interval
    ORDER BY valid_until LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED
)";

/// Puts out signals whose validity ended before `grace`; true where there may be more.
pub(super) async fn lapse(
    connection: &mut PgConnection,
    grace: Duration,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(LAPSE)
        .bind(format!("{} milliseconds", grace.as_millis()))
        .bind(LAPSED_AT_ONCE)
        .execute(connection)
        .await?;
    Ok(done.rows_affected() >= LAPSED_AT_ONCE as u64)
}

/// The strategy's own values, and what the table has no column for. Ours win over equal names.
fn market_conditions(record: &SignalRecord) -> Map<String, Value> {
    let mut all = record.market_conditions.clone();
    let ours = [
        ("schema", json!(record.schema)),
        ("producer", json!(record.producer)),
        ("strategy", json!(record.strategy)),
        ("strategy_version", json!(record.strategy_version)),
        ("parameters", record.parameters.clone()),
        ("exchange", json!(record.exchange)),
        ("price", json!(record.price)),
        ("data_quality", json!(record.data_quality)),
        ("event_ns", json!(record.event_ns)),
        ("latency_ns", json!(record.latency_ns)),
    ];
    all.extend(ours.map(|(name, value)| (name.to_owned(), value)));
    all
}
