//! What a user owns: portfolios, balances and positions. All of it as the user. It must not compute
//! from the market: `current_price` and `unrealized_pnl` are the daemon's.

use super::Time;
use super::orders::Side;
use rust_decimal::Decimal;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Portfolio {
    pub id: Uuid,
    pub name: String,
    /// What its profit is counted in.
    pub base_currency: String,
}

/// A second one of the same name is an error of the database, unique violation.
pub async fn create(
    connection: &mut PgConnection,
    user_id: Uuid,
    name: &str,
    base_currency: &str,
) -> Result<Uuid, sqlx::Error> {
    sqlx::query_scalar(
        "INSERT INTO portfolios (user_id, name, base_currency) VALUES ($1, $2, $3) RETURNING id",
    )
    .bind(user_id)
    .bind(name)
    .bind(base_currency)
    .fetch_one(connection)
    .await
}

/// Those of a user, by name.
pub async fn of_user(
    connection: &mut PgConnection,
    user_id: Uuid,
) -> Result<Vec<Portfolio>, sqlx::Error> {
    sqlx::query_as(
        "SELECT id, name, base_currency FROM portfolios WHERE user_id = $1 ORDER BY name",
    )
    .bind(user_id)
    .fetch_all(connection)
    .await
}

#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Balance {
    pub currency: String,
    /// Always available + locked.
    pub total: Decimal,
    pub available: Decimal,
    /// By open orders.
    pub locked: Decimal,
}

/// Adds to what is available and to what is locked, either may be negative: a deposit is (x, 0), an
/// order that is placed (-x, x), a fill (0, -x). Less than there is, is an error of the database,
/// check violation, and changes nothing.
pub async fn change_balance(
    connection: &mut PgConnection,
    portfolio_id: Uuid,
    currency: &str,
    available: Decimal,
    locked: Decimal,
) -> Result<Balance, sqlx::Error> {
    sqlx::query_as(
        "WITH changed AS ( \
             UPDATE balances SET available = available + $3, locked = locked + $4, \
                 total = total + $3 + $4 \
             WHERE portfolio_id = $1 AND currency = $2 \
             RETURNING currency, total, available, locked), \
         made AS ( \
             INSERT INTO balances (user_id, portfolio_id, currency, total, available, locked) \
             SELECT user_id, id, $2, $3 + $4, $3, $4 FROM portfolios \
             WHERE id = $1 AND NOT EXISTS (SELECT FROM changed) \
             ON CONFLICT ON CONSTRAINT uq_balances_portfolio_id_currency DO UPDATE SET \
                 available = balances.available + EXCLUDED.available, \
                 locked = balances.locked + EXCLUDED.locked, \
                 total = balances.total + EXCLUDED.total \
             RETURNING currency, total, available, locked) \
         SELECT * FROM changed UNION ALL SELECT * FROM made",
    )
    .bind(portfolio_id)
    .bind(currency)
    .bind(available)
    .bind(locked)
    .fetch_one(connection)
    .await
}

/// By currency.
pub async fn balances(
    connection: &mut PgConnection,
    portfolio_id: Uuid,
) -> Result<Vec<Balance>, sqlx::Error> {
    sqlx::query_as(
        "SELECT currency, total, available, locked FROM balances WHERE portfolio_id = $1 \
         ORDER BY currency",
    )
    .bind(portfolio_id)
    .fetch_all(connection)
    .await
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "position_status", rename_all = "snake_case")]
pub enum PositionStatus {
    Open,
    Closed,
    PartiallyClosed,
}

#[derive(Clone, Copy, Debug)]
pub struct NewPosition {
    pub user_id: Uuid,
    pub portfolio_id: Uuid,
    pub trading_pair_id: Uuid,
    /// `Buy` is long, `Sell` short.
    pub side: Side,
    /// In the base currency.
    pub size: Decimal,
    pub entry_price: Decimal,
    /// In the quote currency.
    pub fees: Decimal,
    pub stop_loss_price: Option<Decimal>,
    pub take_profit_price: Option<Decimal>,
}

pub async fn open_position(
    connection: &mut PgConnection,
    new: &NewPosition,
) -> Result<Uuid, sqlx::Error> {
    sqlx::query_scalar(
        "INSERT INTO positions (user_id, portfolio_id, trading_pair_id, side, size, remaining_size, \
             entry_price, total_fees, stop_loss_price, take_profit_price) \
         VALUES ($1, $2, $3, $4, $5, $5, $6, $7, $8, $9) RETURNING id",
    )
    .bind(new.user_id)
    .bind(new.portfolio_id)
    .bind(new.trading_pair_id)
    .bind(new.side)
    .bind(new.size)
    .bind(new.entry_price)
    .bind(new.fees)
    .bind(new.stop_loss_price)
    .bind(new.take_profit_price)
    .fetch_one(connection)
    .await
}

/// A position as it is now. Money is in the quote currency.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Position {
    pub id: Uuid,
    pub status: PositionStatus,
    pub side: Side,
    pub size: Decimal,
    pub remaining_size: Decimal,
    pub entry_price: Decimal,
    /// Where the daemon has seen the market since.
    pub current_price: Option<Decimal>,
    pub exit_price: Option<Decimal>,
    pub unrealized_pnl: Decimal,
    pub realized_pnl: Decimal,
    pub total_fees: Decimal,
    pub opened_at: Time,
    pub closed_at: Option<Time>,
}

/// Sells (of a short one: buys back) `size` of what remains. The profit before fees is added to
/// `realized_pnl`, and the part's share of `unrealized_pnl` goes. `exit_price` is that of the last
/// part. More than remains is an error of the database, check violation; `None`: no such position
/// of theirs.
pub async fn reduce_position(
    connection: &mut PgConnection,
    id: Uuid,
    size: Decimal,
    exit_price: Decimal,
    fee: Decimal,
) -> Result<Option<Position>, sqlx::Error> {
    sqlx::query_as(
        "UPDATE positions SET remaining_size = remaining_size - $2, exit_price = $3, \
             realized_pnl = realized_pnl \
                 + CASE side WHEN 'buy' THEN $3 - entry_price ELSE entry_price - $3 END * $2, \
             unrealized_pnl = unrealized_pnl * (remaining_size - $2) / NULLIF(remaining_size, 0), \
             total_fees = total_fees + $4, \
             status = CASE WHEN remaining_size = $2 THEN 'closed'::position_status \
                 ELSE 'partially_closed' END, \
             closed_at = CASE WHEN remaining_size = $2 THEN NOW() END \
         WHERE id = $1 AND status <> 'closed' \
         RETURNING id, status, side, size, remaining_size, entry_price, current_price, exit_price, \
             unrealized_pnl, realized_pnl, total_fees, opened_at, closed_at",
    )
    .bind(id)
    .bind(size)
    .bind(exit_price)
    .bind(fee)
    .fetch_optional(connection)
    .await
}

/// Of a portfolio, the newest first; closed ones, too.
pub async fn positions(
    connection: &mut PgConnection,
    portfolio_id: Uuid,
) -> Result<Vec<Position>, sqlx::Error> {
    sqlx::query_as(
        "SELECT id, status, side, size, remaining_size, entry_price, current_price, exit_price, \
             unrealized_pnl, realized_pnl, total_fees, opened_at, closed_at \
         FROM positions WHERE portfolio_id = $1 ORDER BY opened_at DESC, id",
    )
    .bind(portfolio_id)
    .fetch_all(connection)
    .await
}
