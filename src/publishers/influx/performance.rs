//! How do the portfolios do? `trading_performance` at a configured pace, from PostgreSQL's
//! positions and fills. Runs on the publishers' runtime; a database that is away costs the points
//! of that time.

use super::derived::Derived;
use super::measurements::{Measurement, TradingPerformance};
use crate::clock;
use crate::config::PostgresConfig;
use crate::publishers::intake::Stop;
use crate::publishers::postgres::Results;
use std::sync::Arc;
use std::time::Duration;

/// Until a stop.
pub async fn performance(
    derived: Arc<Derived>,
    postgres: PostgresConfig,
    every: Duration,
    mut stop: Stop,
) {
    let mut results = Results::new(&postgres);
    let mut failing = false;
    let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            _ = stop.wait_for(Option::is_some) => return,
        }
        match results.all().await {
            Ok(rows) => {
                failing = false;
                let now_ns = clock::now_ns();
                for row in &rows {
                    let point = TradingPerformance {
                        user_id: &row.user_id,
                        portfolio_id: &row.portfolio_id,
                        symbol: &row.symbol,
                        pnl: row.pnl,
                        pnl_percentage: row.pnl_percentage,
                        trade_count: Some(row.trade_count.into()),
                        win_rate: row.win_rate,
                    };
                    point.write(&derived, now_ns);
                }
            }
            Err(reason) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!("{reason} (trading_performance; will try again)");
                }
            }
        }
    }
}
