//! `tickforge warm`: strategies and bars see the trades that earlier runs stored, as Parquet or in
//! InfluxDB, and what they remember then is kept for the next run. For a new version, new
//! parameters or a new strategy, whose memory of its own there is none yet.

mod influx;

use super::Common;
use crate::app;
use crate::clock;
use crate::engine::{Collect, Engine, Plan};
use crate::exchanges;
use crate::market::{Event, Flags, Instrument, InstrumentId, Market, Registry, Status, Trade};
use crate::publishers::parquet::{self, Stored};
use crate::replay::keep_state;
use anyhow::ensure;
use rust_decimal::Decimal;
use serde_json::json;
use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

#[derive(clap::Args, Debug)]
pub struct Args {
    /// Trades of this time before now, as `6h`
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = super::duration)]
    since: Duration,
    /// The store that has them
    #[arg(long, value_enum, value_name = "STORE", default_value_t = Store::Parquet)]
    from: Store,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Store {
    /// Files below the data folder, of all trades
    Parquet,
    /// The trades of the last hour or two, and before them the bars that were made of all
    Influx,
}

pub fn run(args: &Args, common: &Common, out: &mut dyn Write) -> anyhow::Result<bool> {
    let config = common.load()?;
    crate::logging::init(&config.log);
    let from_ns = clock::now_ns().saturating_sub(args.since.as_nanos() as i64);
    let mut warming = Warming::new(app::plans(&config)?);
    let (trades, bars) = match args.from {
        Store::Parquet => (files(&config.data_dir, from_ns, &mut warming)?, None),
        Store::Influx => {
            let fed = influx::feed(&config, from_ns, &mut warming)?;
            (fed.trades, Some(fed.bars))
        }
    };
    let instruments = keep_state(&warming.engine, &config.data_dir)?;
    if common.json {
        let mut said = json!({ "trades": trades, "instruments": instruments });
        if let Some(bars) = bars {
            said["bars"] = bars.into();
        }
        writeln!(out, "{said}")?;
    } else {
        let bars = bars.map_or_else(String::new, |bars| format!(" and {bars} bars"));
        writeln!(
            out,
            "{trades} trades{bars} of {instruments} instruments: a run that begins within \
             [engine] state_max_age of the last one goes on from there"
        )?;
    }
    Ok(true)
}

/// Feeds the trades that are in files; says how many.
fn files(data_dir: &Path, from_ns: i64, warming: &mut Warming) -> anyhow::Result<u64> {
    let ticks = parquet::dir(data_dir);
    let trades = parquet::trades(&ticks, from_ns, |stored| warming.trade(stored))?;
    ensure!(
        trades > 0,
        "no trades of this time below {}; [stores.parquet] stores them",
        ticks.display()
    );
    Ok(trades)
}

struct Warming {
    engine: Engine,
    registry: Arc<Registry>,
    /// By exchange and symbol; `None` where this version does not know the exchange.
    ids: HashMap<(String, String), Option<InstrumentId>>,
    made: Collect,
}

impl Warming {
    fn new(plans: Vec<Plan>) -> Warming {
        let registry = Arc::new(Registry::default());
        Warming {
            engine: Engine::new(Arc::clone(&registry), plans),
            registry,
            ids: HashMap::new(),
            made: Collect::default(),
        }
    }

    fn trade(&mut self, stored: &Stored) {
        let Some(id) = self.instrument(stored) else {
            return;
        };
        let market = self.engine.market(id);
        let scales = market.map(|m| (m.price_scale, m.amount_scale));
        let (price, amount) = (stored.price_scale, stored.amount_scale);
        if scales != Some((price, amount)) {
            self.status(id, stored.recv_ns, Status::Rescale { price, amount });
        }
        let trade = Trade {
            price: stored.price,
            amount: stored.amount,
            id: stored.id,
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

    /// A trade's instrument, which is listed where this is its first trade; none where this version
    /// does not know the exchange.
    fn instrument(&mut self, stored: &Stored) -> Option<InstrumentId> {
        let key = (stored.exchange.to_owned(), stored.symbol.to_owned());
        if let Some(id) = self.ids.get(&key) {
            return *id;
        }
        let id = self.list(stored);
        self.ids.insert(key, id);
        id
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
