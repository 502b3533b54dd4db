//! The statements on `trading_pairs`: what the exchanges list, and what of it is gone. Called by
//! the sink within its limits.
//!
//! `is_active` has two writers. The daemon puts a pair off where its exchange does not list it or
//! lets nobody trade it, notes that in `delisted_at`, and puts on again only what it put off
//! itself. So an operator's `UPDATE trading_pairs SET is_active = false` stays until the operator
//! ends it.

use crate::market::Instrument;
use crate::signal::record::SignalRecord;
use rust_decimal::Decimal;
use sqlx::postgres::PgConnection;
use std::collections::BTreeMap;

/// Names a pair in the sink's memory of what the table has. No exchange's name has a space.
pub(super) fn pair_key(exchange: &str, symbol: &str) -> String {
    format!("{exchange} {symbol}")
}

/// Updates only what differs: an unchanged list writes nothing. Fees are the operator's.
const UPSERT_PAIRS: &str = "
INSERT INTO trading_pairs AS tp (symbol, exchange, base_currency, quote_currency, is_active,
    delisted_at, min_order_size, max_order_size, price_precision, quantity_precision)
SELECT u.symbol, u.exchange, u.base, u.quote, u.active, CASE WHEN NOT u.active THEN now() END,
    u.min_size, u.max_size, COALESCE(u.price_precision, 8), COALESCE(u.quantity_precision, 8)
FROM UNNEST($1::text[], $2::text[], $3::text[], $4::text[], $5::bool[],
    $6::numeric[], $7::numeric[], $8::int[], $9::int[])
    AS u(symbol, exchange, base, quote, active,
        min_size, max_size, price_precision, quantity_precision)
ON CONFLICT ON CONSTRAINT uq_trading_pair_exchange DO UPDATE SET
    base_currency = EXCLUDED.base_currency,
    quote_currency = EXCLUDED.quote_currency,
    is_active = EXCLUDED.is_active AND (tp.is_active OR tp.delisted_at IS NOT NULL),
    delisted_at = CASE
        WHEN EXCLUDED.is_active THEN NULL
        WHEN tp.is_active THEN now()
        ELSE tp.delisted_at END,
    min_order_size = EXCLUDED.min_order_size,
    max_order_size = EXCLUDED.max_order_size,
    price_precision = EXCLUDED.price_precision,
    quantity_precision = EXCLUDED.quantity_precision
WHERE (tp.base_currency, tp.quote_currency, tp.min_order_size, tp.max_order_size,
        tp.price_precision, tp.quantity_precision)
    IS DISTINCT FROM
      (EXCLUDED.base_currency, EXCLUDED.quote_currency, EXCLUDED.min_order_size,
        EXCLUDED.max_order_size, EXCLUDED.price_precision, EXCLUDED.quantity_precision)
    OR CASE WHEN EXCLUDED.is_active THEN tp.delisted_at IS NOT NULL ELSE tp.is_active END";

/// Writes what the exchanges list. Each (exchange, symbol) at most once in `listed`.
pub(super) async fn upsert_pairs(
    connection: &mut PgConnection,
    listed: &[&Instrument],
) -> Result<(), sqlx::Error> {
    let column =
        |of: fn(&Instrument) -> &str| -> Vec<&str> { listed.iter().map(|i| of(i)).collect() };
    let numbers = |of: fn(&Instrument) -> Option<Decimal>| -> Vec<Option<Decimal>> {
        listed.iter().map(|i| of(i)).collect()
    };
    let precisions = |of: fn(&Instrument) -> Decimal| -> Vec<Option<i32>> {
        listed.iter().map(|i| precision(of(i))).collect()
    };
    sqlx::query(UPSERT_PAIRS)
        .bind(column(|i| &i.symbol))
        .bind(column(|i| i.exchange))
        .bind(column(|i| &i.base))
        .bind(column(|i| &i.quote))
        .bind(listed.iter().map(|i| i.active).collect::<Vec<bool>>())
        .bind(numbers(|i| Some(i.min_amount.max(Decimal::ZERO))))
        .bind(numbers(|i| i.max_amount.filter(|max| *max > Decimal::ZERO)))
        .bind(precisions(|i| i.tick_size))
        .bind(precisions(|i| i.amount_step))
        .execute(connection)
        .await?;
    Ok(())
}

/// Decimals of a step; `None` where the list does not say. (A step of 0.5 needs one, of 10 none.)
fn precision(step: Decimal) -> Option<i32> {
    (!step.is_zero()).then(|| step.normalize().scale() as i32)
}

/// What a list no longer names. A list that lacks most of what is active is not believed: one of
/// another market, or of a simulated exchange.
const DELIST_PAIRS: &str = "
WITH active AS (
    SELECT id, symbol = ANY($2) AS listed FROM trading_pairs
    WHERE exchange = $1 AND is_active
), gone AS (
    SELECT id FROM active
    WHERE NOT listed AND (SELECT count(*) FILTER (WHERE listed) * 2 >= count(*) FROM active)
    ORDER BY id
)
UPDATE trading_pairs SET is_active = false, delisted_at = now()
WHERE id IN (SELECT id FROM gone)
RETURNING symbol";

/// Puts off what an exchange's complete list does not name; returns the symbols.
pub(super) async fn delist_pairs(
    connection: &mut PgConnection,
    exchange: &str,
    listed: &[&str],
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(DELIST_PAIRS)
        .bind(exchange)
        .bind(listed)
        .fetch_all(connection)
        .await
}

/// Inactive, because no exchange lists it now; listing it later makes it active with its sizes.
const INSERT_UNLISTED_PAIRS: &str = "
INSERT INTO trading_pairs (symbol, exchange, base_currency, quote_currency,
    is_active, delisted_at, min_order_size)
SELECT u.symbol, u.exchange, u.base, u.quote, false, now(), 0
FROM UNNEST($1::text[], $2::text[], $3::text[], $4::text[]) AS u(symbol, exchange, base, quote)
ON CONFLICT ON CONSTRAINT uq_trading_pair_exchange DO NOTHING";

/// Makes sure that the pairs of `records` exist: a journal may hold signals of an earlier
/// configuration, or be ahead of the exchanges' lists at start.
pub(super) async fn insert_unlisted_pairs(
    connection: &mut PgConnection,
    records: &[&SignalRecord],
) -> Result<(), sqlx::Error> {
    // Sorted, so that two daemons lock in one order.
    let unique: BTreeMap<(&str, &str), (&str, &str)> = records
        .iter()
        .map(|r| {
            (
                (r.symbol.as_str(), r.exchange.as_str()),
                currencies(&r.symbol),
            )
        })
        .collect();
    sqlx::query(INSERT_UNLISTED_PAIRS)
        .bind(unique.keys().map(|k| k.0).collect::<Vec<&str>>())
        .bind(unique.keys().map(|k| k.1).collect::<Vec<&str>>())
        .bind(unique.values().map(|v| v.0).collect::<Vec<&str>>())
        .bind(unique.values().map(|v| v.1).collect::<Vec<&str>>())
        .execute(connection)
        .await?;
    Ok(())
}

/// Base and quote of `BASE/QUOTE` or `BASE/QUOTE:SETTLE`.
fn currencies(symbol: &str) -> (&str, &str) {
    match symbol.split_once('/') {
        Some((base, rest)) => (base, rest.split_once(':').map_or(rest, |(quote, _)| quote)),
        None => (symbol, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symbol_gives_its_currencies() {
        let check = |symbol, expected| assert_eq!(currencies(symbol), expected, "{symbol}");
        check("BTC/USDT", ("BTC", "USDT"));
        check("BTC/USD:BTC", ("BTC", "USD"));
        check("BTC/USDT:USDT-261225", ("BTC", "USDT"));
        check("INDEX", ("INDEX", ""));
    }

    #[test]
    fn precision_is_the_decimals_of_a_step() {
        let check = |step: &str, expected| {
            assert_eq!(
                precision(step.parse().expect("a decimal")),
                expected,
                "{step}"
            );
        };
        check("0.01000000", Some(2));
        check("0.5", Some(1));
        check("10", Some(0));
        check("0.000000000001", Some(12));
        check("0", None);
    }
}
