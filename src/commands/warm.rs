//! `tickforge warm`: strategies and bars see the trades that earlier runs stored as Parquet, and
//! what they remember then is kept for the next run. For a new version, new parameters or a new
//! strategy, whose memory of its own there is none yet.

use super::Common;
use crate::app;
use crate::clock;
use crate::engine::{Collect, Engine};
use crate::exchanges;
use crate::market::{Event, Flags, Instrument, InstrumentId, Market, Registry, Status, Trade};
use crate::publishers::parquet::{self, Stored};
use crate::replay::keep_state;
use anyhow::ensure;
use rust_decimal::Decimal;
use serde_json::json;
use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

#[derive(clap::Args, Debug)]
pub struct Args {
    /// Trades of this time before now, as `6h`
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = super::duration)]
    since: Duration,
}

pub fn run(args: &Args, common: &Common, out: &mut dyn Write) -> anyhow::Result<bool> {
    let config = common.load()?;
    crate::logging::init(&config.log);
    let registry = Arc::new(Registry::default());
    let engine = Engine::new(Arc::clone(&registry), app::plans(&config)?);
    let mut warming = Warming {
        engine,
        registry,
        ids: HashMap::new(),
        made: Collect::default(),
    };
    let from_ns = clock::now_ns().saturating_sub(args.since.as_nanos() as i64);
    let ticks = parquet::dir(&config.data_dir);
    let trades = parquet::trades(&ticks, from_ns, |stored| warming.trade(stored))?;
    ensure!(
        trades > 0,
        "no trades of this time below {}; [stores.parquet] stores them",
        ticks.display()
    );
    let instruments = keep_state(&warming.engine, &config.data_dir)?;
    if common.json {
        let said = json!({ "trades": trades, "instruments": instruments });
        writeln!(out, "{said}")?;
    } else {
        writeln!(
            out,
            "{trades} trades of {instruments} instruments: a run that begins within [engine] \
             state_max_age of the last one goes on from there"
        )?;
    }
    Ok(true)
}

struct Warming {
    engine: Engine,
    registry: Arc<Registry>,
    /// By exchange and symbol; `None` where this version does not know the exchange.
    ids: HashMap<(String, String), Option<InstrumentId>>,
    made: Collect,
}

impl Warming {
    fn trade(&mut self, stored: &Stored) {
        let key = (stored.exchange.to_owned(), stored.symbol.to_owned());
        let id = match self.ids.get(&key) {
            Some(id) => *id,
            None => {
                let id = self.list(stored);
                self.ids.insert(key, id);
                id
            }
        };
        let Some(id) = id else { return };
        let market = self.engine.market(id);
        let scales = market.map(|m| (m.price_scale, m.amount_scale));
        let (price, amount) = (stored.price_scale, stored.amount_scale);
        if scales != Some((price, amount)) {
            self.status(id, stored.recv_ns, Status::Rescale { price, amount });
        }
        let trade = Trade {
            price: stored.price,
            amount: stored.amount,
            // Exchanges number their trades.
            id: stored.id.parse().unwrap_or(0),
            taker: stored.taker,
        };
        let mut event = Event::from_trade(id, stored.exchange_ns, stored.recv_ns, trade);
        event.flags = event.flags.with(Flags(stored.flags));
        self.engine.on_event(&event, &mut self.made);
        self.made = Collect::default();
    }

    fn status(&mut self, id: InstrumentId, recv_ns: i64, status: Status) {
        let event = Event::from_status(id, recv_ns, status);
        self.engine.on_event(&event, &mut self.made);
    }

    /// An instrument of which only what bars need is known.
    fn list(&mut self, stored: &Stored) -> Option<InstrumentId> {
        let mut known = exchanges::ALL.iter().map(|(name, _)| *name);
        let exchange = known.find(|name| *name == stored.exchange)?;
        let (base, quote) = stored.symbol.split_once('/')?;
        let step = |scale: u8| Decimal::new(1, u32::from(scale));
        let id = self.registry.add(Instrument {
            exchange,
            native: stored.symbol.to_owned(),
            symbol: stored.symbol.to_owned(),
            base: base.to_owned(),
            quote: quote.to_owned(),
            market: Market::Spot,
            tick_size: step(stored.price_scale),
            amount_step: step(stored.amount_scale),
            min_amount: Decimal::ZERO,
            max_amount: None,
            active: true,
            stamp_resolution_ns: 1,
            book_depth: 0,
            checksum: false,
        });
        self.status(id, stored.recv_ns, Status::Listed);
        Some(id)
    }
}
