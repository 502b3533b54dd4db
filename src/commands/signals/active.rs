//! `tickforge signals active`: which signals hold now? The document's query of PostgreSQL: valid,
//! and with a confidence above 0.7; the strongest first.

use crate::commands::db::{Report, Target, print, rfc3339};
use crate::commands::{Common, table};
use serde::Serialize;
use std::io::{self, Write};

#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Serialize)]
struct Active {
    signals: Vec<Signal>,
}

/// A row of `trading_signals` with its pair's names. `signal_id` is its `id`, as in the journal and
/// in Redis.
#[derive(Debug, Serialize, sqlx::FromRow)]
struct Signal {
    signal_id: String,
    ai_command_id: Option<String>,
    trading_pair_id: String,
    symbol: String,
    exchange: String,
    signal_type: String,
    source: String,
    strength: String,
    confidence: String,
    target_price: Option<String>,
    stop_loss_price: Option<String>,
    take_profit_price: Option<String>,
    reasoning: Option<String>,
    technical_indicators: table::Json,
    sentiment_data: table::Json,
    market_conditions: table::Json,
    valid_until: Option<String>,
    is_active: Option<bool>,
    actual_outcome: Option<String>,
    accuracy_score: Option<String>,
    created_at: Option<String>,
    executed_at: Option<String>,
    expired_at: Option<String>,
}

const ACTIVE: &str = concat!(
    "SELECT q.id::text AS signal_id, q.ai_command_id::text, q.trading_pair_id::text, q.symbol,
    q.exchange, q.signal_type::text, q.source::text, q.strength::text, q.confidence::text,
    trim_scale(q.target_price)::text AS target_price,
    trim_scale(q.stop_loss_price)::text AS stop_loss_price,
    trim_scale(q.take_profit_price)::text AS take_profit_price, q.reasoning,
    q.technical_indicators::text, q.sentiment_data::text, q.market_conditions::text,
    q.is_active, q.actual_outcome::text, q.accuracy_score::text, ",
    rfc3339!("q.valid_until"),
    " AS valid_until, ",
    rfc3339!("q.created_at"),
    " AS created_at, ",
    rfc3339!("q.executed_at"),
    " AS executed_at, ",
    rfc3339!("q.expired_at"),
    " AS expired_at FROM (
SELECT
    ts.*,
    tp.symbol,
    tp.exchange
FROM trading_signals ts
JOIN trading_pairs tp ON ts.trading_pair_id = tp.id
WHERE ts.is_active = true
  AND ts.valid_until > NOW()
  AND ts.confidence > 0.7
ORDER BY ts.strength DESC, ts.created_at DESC) q"
);

pub fn run(args: &Args, common: &Common) -> anyhow::Result<bool> {
    crate::commands::install_crypto();
    let config = common.load()?;
    crate::logging::init(&config.log);
    let signals = crate::commands::block_on(async {
        let mut session = args.target.connect(&config).await?;
        let rows = sqlx::query_as(ACTIVE)
            .fetch_all(&mut session.connection)
            .await;
        session.ok(rows)
    })??;
    print(&Active { signals }, common.json)?;
    Ok(true)
}

impl Report for Active {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let text = |t: &Option<String>| t.clone().unwrap_or_default();
        let row = |s: &Signal| {
            let market = format!("{} {}", s.exchange, s.symbol);
            let judged = [s.strength.clone(), s.confidence.clone()];
            let (target, until) = (text(&s.target_price), text(&s.valid_until));
            let words = vec![s.signal_type.clone(), market];
            [
                words,
                judged.to_vec(),
                vec![target, until, text(&s.reasoning)],
            ]
            .concat()
        };
        let names = [
            "signal",
            "market",
            "strength>",
            "confidence>",
            "target>",
            "valid until",
            "why",
        ];
        let rows: Vec<_> = self.signals.iter().map(row).collect();
        table::print(out, &names, &rows)?;
        writeln!(out, "{} active signals", rows.len())
    }
}
