//! Orders and their fills, as the user. It must not talk to an exchange: what an exchange answered
//! is handed to it. Orders that were archived are looked for in `orders_archive` by SQL.

use super::Time;
use rust_decimal::Decimal;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "order_type", rename_all = "snake_case")]
pub enum OrderType {
    Market,
    Limit,
    Stop,
    StopLimit,
    TrailingStop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "order_side", rename_all = "snake_case")]
pub enum Side {
    Buy,
    Sell,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "order_status", rename_all = "snake_case")]
pub enum OrderStatus {
    Pending,
    Open,
    PartiallyFilled,
    Filled,
    Cancelled,
    Rejected,
    Expired,
}

#[derive(Clone, Copy, Debug)]
pub struct NewOrder<'a> {
    pub user_id: Uuid,
    pub portfolio_id: Uuid,
    pub trading_pair_id: Uuid,
    pub order_type: OrderType,
    pub side: Side,
    /// In the base currency.
    pub amount: Decimal,
    /// `None` for market orders.
    pub price: Option<Decimal>,
    /// For stop orders.
    pub stop_price: Option<Decimal>,
    /// `manual`, `ai`, `strategy`, `stop_loss`, …
    pub source: &'a str,
    pub ai_command_id: Option<Uuid>,
}

/// As `pending`: the exchange has not answered yet.
pub async fn place(connection: &mut PgConnection, new: &NewOrder<'_>) -> Result<Uuid, sqlx::Error> {
    sqlx::query_scalar(
        "INSERT INTO orders (user_id, portfolio_id, trading_pair_id, type, side, amount, \
             remaining_amount, price, stop_price, source, ai_command_id) \
         VALUES ($1, $2, $3, $4, $5, $6, $6, $7, $8, $9, $10) RETURNING id",
    )
    .bind(new.user_id)
    .bind(new.portfolio_id)
    .bind(new.trading_pair_id)
    .bind(new.order_type)
    .bind(new.side)
    .bind(new.amount)
    .bind(new.price)
    .bind(new.stop_price)
    .bind(new.source)
    .bind(new.ai_command_id)
    .fetch_one(connection)
    .await
}

/// The exchange took it. `false`: no pending order of theirs.
pub async fn submitted(
    connection: &mut PgConnection,
    id: Uuid,
    exchange_order_id: &str,
) -> Result<bool, sqlx::Error> {
    let update = sqlx::query(
        "UPDATE orders SET status = 'open', exchange_order_id = $2, submitted_at = NOW() \
         WHERE id = $1 AND status = 'pending'",
    );
    let update = update.bind(id).bind(exchange_order_id).execute(connection);
    Ok(update.await?.rows_affected() > 0)
}

/// It ends before it is filled: `Cancelled`, `Rejected` or `Expired`. `false`: no order of theirs
/// that has not ended.
pub async fn end(
    connection: &mut PgConnection,
    id: Uuid,
    status: OrderStatus,
) -> Result<bool, sqlx::Error> {
    let update = sqlx::query(
        "UPDATE orders SET status = $2, \
             cancelled_at = CASE WHEN $2 = 'cancelled'::order_status THEN NOW() END \
         WHERE id = $1 AND status IN ('pending', 'open', 'partially_filled')",
    );
    let update = update.bind(id).bind(status).execute(connection);
    Ok(update.await?.rows_affected() > 0)
}

#[derive(Clone, Copy, Debug)]
pub struct NewTrade<'a> {
    pub order_id: Uuid,
    /// As the exchange numbers trades of this pair.
    pub exchange_trade_id: &'a str,
    pub price: Decimal,
    /// In the base currency.
    pub amount: Decimal,
    /// Negative: a rebate.
    pub fee: Decimal,
    pub fee_currency: Option<&'a str>,
    pub is_maker: Option<bool>,
    /// By the exchange's clock.
    pub executed_at: Time,
}

/// Stores a fill and brings its order up to date: amounts, average price, fees, status. `None`: it
/// was stored before, and nothing changes; or there is no such order of theirs.
pub async fn record_trade(
    connection: &mut PgConnection,
    new: &NewTrade<'_>,
) -> Result<Option<Uuid>, sqlx::Error> {
    // The order's row is locked before, so that fills that arrive together are added up one by one.
    sqlx::query_scalar(
        "WITH o AS (SELECT * FROM orders WHERE id = $1 FOR UPDATE), \
         trade AS ( \
             INSERT INTO trades (user_id, portfolio_id, trading_pair_id, order_id, \
                 exchange_trade_id, side, price, amount, fee, fee_currency, is_maker, executed_at) \
             SELECT user_id, portfolio_id, trading_pair_id, id, $2, side, $3, $4, $5, $6, $7, $8 \
             FROM o \
             ON CONFLICT ON CONSTRAINT uq_trades_exchange_trade DO NOTHING RETURNING id), \
         filled AS ( \
             UPDATE orders SET filled_amount = o.filled_amount + $4, \
                 remaining_amount = GREATEST(o.amount - o.filled_amount - $4, 0), \
                 average_fill_price = (COALESCE(o.average_fill_price, 0) * o.filled_amount \
                     + $3 * $4) / (o.filled_amount + $4), \
                 total_fee = o.total_fee + $5, fee_currency = COALESCE($6, o.fee_currency), \
                 status = CASE WHEN o.filled_amount + $4 >= o.amount THEN 'filled'::order_status \
                     WHEN o.status IN ('pending', 'open') THEN 'partially_filled' \
                     ELSE o.status END, \
                 filled_at = CASE WHEN o.filled_amount + $4 >= o.amount THEN $8 END \
             FROM o, trade WHERE orders.id = o.id) \
         SELECT id FROM trade",
    )
    .bind(new.order_id)
    .bind(new.exchange_trade_id)
    .bind(new.price)
    .bind(new.amount)
    .bind(new.fee)
    .bind(new.fee_currency)
    .bind(new.is_maker)
    .bind(new.executed_at)
    .fetch_optional(connection)
    .await
}

#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Order {
    pub id: Uuid,
    pub portfolio_id: Uuid,
    pub trading_pair_id: Uuid,
    pub exchange_order_id: Option<String>,
    #[sqlx(rename = "type")]
    pub order_type: OrderType,
    pub side: Side,
    pub status: OrderStatus,
    pub amount: Decimal,
    pub price: Option<Decimal>,
    pub filled_amount: Decimal,
    pub remaining_amount: Option<Decimal>,
    pub average_fill_price: Option<Decimal>,
    pub total_fee: Decimal,
    pub fee_currency: Option<String>,
    pub created_at: Time,
    pub filled_at: Option<Time>,
}

pub async fn find(connection: &mut PgConnection, id: Uuid) -> Result<Option<Order>, sqlx::Error> {
    sqlx::query_as("SELECT * FROM orders WHERE id = $1")
        .bind(id)
        .fetch_optional(connection)
        .await
}

/// Of a portfolio, the newest first, at most `limit`.
pub async fn of_portfolio(
    connection: &mut PgConnection,
    portfolio_id: Uuid,
    limit: u32,
) -> Result<Vec<Order>, sqlx::Error> {
    sqlx::query_as(
        "SELECT * FROM orders WHERE portfolio_id = $1 ORDER BY created_at DESC, id LIMIT $2",
    )
    .bind(portfolio_id)
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await
}
