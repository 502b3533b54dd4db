//! How does each portfolio do, symbol by symbol? Read from positions and fills, as the role of the
//! daemon. It must not write.

use super::server::{Limits, Server, within};
use crate::config::PostgresConfig;
use rust_decimal::Decimal;
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use std::time::Duration;

/// One portfolio in one symbol, over all exchanges.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct TradingResult {
    pub user_id: String,
    pub portfolio_id: String,
    pub symbol: String,
    /// Realised and unrealised.
    pub pnl: Option<Decimal>,
    /// Of what the positions cost at entry; none without positions.
    pub pnl_percentage: Option<Decimal>,
    pub trade_count: i64,
    /// Closed positions with a profit, of all closed ones; none where none is closed.
    pub win_rate: Option<Decimal>,
}

const QUESTION: &str = "\
    WITH held AS ( \
        SELECT user_id, portfolio_id, trading_pair_id, \
            COALESCE(unrealized_pnl, 0) + COALESCE(realized_pnl, 0) AS pnl, \
            size * entry_price AS cost, 0 AS fills, \
            (status = 'closed')::int AS closed, \
            (status = 'closed' AND realized_pnl > 0)::int AS won \
        FROM positions \
        UNION ALL \
        SELECT user_id, portfolio_id, trading_pair_id, NULL, NULL, count(*), 0, 0 \
        FROM trades GROUP BY 1, 2, 3) \
    SELECT user_id::text, portfolio_id::text, symbol, \
        round(sum(pnl), 8) AS pnl, \
        round(100 * sum(pnl) / NULLIF(sum(cost), 0), 8) AS pnl_percentage, \
        sum(fills)::bigint AS trade_count, \
        round(sum(won)::numeric / NULLIF(sum(closed), 0), 8) AS win_rate \
    FROM held JOIN trading_pairs ON trading_pairs.id = trading_pair_id \
    GROUP BY user_id, portfolio_id, symbol ORDER BY 1, 2, 3";

/// Asks one server over one connection, which is made anew after a failure.
pub struct Results {
    url: String,
    timeout: Duration,
    connection: Option<PgConnection>,
}

impl Results {
    pub fn new(config: &PostgresConfig) -> Results {
        Results {
            url: config.url.0.clone(),
            timeout: config.timeout,
            connection: None,
        }
    }

    /// Of all portfolios; an error names the place, the cause and the remedy.
    pub async fn all(&mut self) -> Result<Vec<TradingResult>, String> {
        let server = Server::parse(&self.url)?;
        let limits = Limits {
            statement: self.timeout,
            lock: self.timeout,
        };
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let connected = server.connect(self.timeout, limits).await;
                connected.map_err(|e| server.explain(&e))?
            }
        };
        let question = sqlx::query_as(QUESTION).fetch_all(&mut connection);
        match within(self.timeout, question).await {
            Ok(rows) => {
                self.connection = Some(connection);
                Ok(rows)
            }
            Err(error) => {
                let reason = server.explain(&error);
                // It is of no use any more; only courtesy.
                let _ = within(self.timeout, connection.close()).await;
                Err(reason)
            }
        }
    }
}
