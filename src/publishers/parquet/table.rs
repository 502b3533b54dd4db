//! What are the columns? Turns trades and quotes into tables of exact values. Knows no files.

use crate::exchanges::{self, Exchange};
use crate::market::{Event, Instrument, InstrumentId, Registry, Scale, Side};
use polars::prelude::{Column, DataFrame, NamedFrom, PolarsResult, Series};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// An event with the scales of its numbers at that point of the stream.
#[derive(Clone, Copy)]
pub struct Row {
    pub event: Event,
    pub price_scale: Scale,
    pub amount_scale: Scale,
}

/// What was listed, by its number in this run, and the scales that its events have now.
pub struct Instruments {
    registry: Arc<Registry>,
    known: FxHashMap<InstrumentId, (Arc<Instrument>, Scale, Scale)>,
    /// How each exchange writes a trade's id; `None` for one that is not of ours.
    exchanges: FxHashMap<&'static str, Option<Box<dyn Exchange>>>,
}

impl Instruments {
    pub fn new(registry: Arc<Registry>) -> Self {
        Instruments {
            registry,
            known: FxHashMap::default(),
            exchanges: FxHashMap::default(),
        }
    }

    fn get(&mut self, id: InstrumentId) -> &mut (Arc<Instrument>, Scale, Scale) {
        self.known.entry(id).or_insert_with(|| {
            let instrument = self.registry.get(id);
            let scales = (instrument.price_scale(), instrument.amount_scale());
            (instrument, scales.0, scales.1)
        })
    }

    pub fn rescale(&mut self, id: InstrumentId, price: Scale, amount: Scale) {
        let (_, price_scale, amount_scale) = self.get(id);
        (*price_scale, *amount_scale) = (price, amount);
    }

    /// As it is called in the counts of lost ticks.
    pub fn name(&mut self, id: InstrumentId) -> String {
        self.get(id).0.name()
    }

    pub fn row(&mut self, event: Event) -> Row {
        let (_, price_scale, amount_scale) = *self.get(event.instrument);
        Row {
            event,
            price_scale,
            amount_scale,
        }
    }

    fn trade_id(&mut self, exchange: &'static str, id: u128) -> String {
        let known = self
            .exchanges
            .entry(exchange)
            .or_insert_with(|| exchanges::by_name(exchange));
        known
            .as_ref()
            .map_or_else(|| id.to_string(), |e| e.trade_id(id))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    Trades,
    Quotes,
}

impl Table {
    pub const fn name(self) -> &'static str {
        match self {
            Table::Trades => "trades",
            Table::Quotes => "quotes",
        }
    }

    pub fn frame(self, rows: &[Row], instruments: &mut Instruments) -> PolarsResult<DataFrame> {
        let listed: Vec<Arc<Instrument>> = rows
            .iter()
            .map(|r| Arc::clone(&instruments.get(r.event.instrument).0))
            .collect();
        let events = || rows.iter().map(|r| &r.event);
        let exchanges: Vec<&str> = listed.iter().map(|i| i.exchange).collect();
        let symbols: Vec<&str> = listed.iter().map(|i| i.symbol.as_str()).collect();
        // Null rather than 0 where the exchange gives no stamp.
        let stamps: Vec<Option<i64>> = events()
            .map(|e| (e.exchange_ns != 0).then_some(e.exchange_ns))
            .collect();
        let mut columns = vec![
            column("exchange", exchanges),
            column("symbol", symbols),
            column("exchange_ns", stamps),
            column("recv_ns", events().map(|e| e.recv_ns).collect::<Vec<_>>()),
            column(
                "update_id",
                events().map(|e| e.update_id).collect::<Vec<_>>(),
            ),
        ];
        match self {
            Table::Trades => {
                let trades = || events().map(Event::trade);
                let sides = trades().map(|t| match t.taker {
                    Side::Buy => "buy",
                    Side::Sell => "sell",
                });
                let ids = trades()
                    .zip(&listed)
                    .map(|(t, i)| instruments.trade_id(i.exchange, t.id));
                columns.extend([
                    column("price", trades().map(|t| t.price).collect::<Vec<_>>()),
                    column("amount", trades().map(|t| t.amount).collect::<Vec<_>>()),
                    column("side", sides.collect::<Vec<_>>()),
                    column("id", ids.collect::<Vec<_>>()),
                ]);
            }
            Table::Quotes => {
                let quotes = || events().map(Event::quote);
                columns.extend([
                    column("bid", quotes().map(|q| q.bid).collect::<Vec<_>>()),
                    column(
                        "bid_amount",
                        quotes().map(|q| q.bid_amount).collect::<Vec<_>>(),
                    ),
                    column("ask", quotes().map(|q| q.ask).collect::<Vec<_>>()),
                    column(
                        "ask_amount",
                        quotes().map(|q| q.ask_amount).collect::<Vec<_>>(),
                    ),
                ]);
            }
        }
        columns.extend([
            column(
                "price_scale",
                rows.iter().map(|r| r.price_scale).collect::<Vec<_>>(),
            ),
            column(
                "amount_scale",
                rows.iter().map(|r| r.amount_scale).collect::<Vec<_>>(),
            ),
            column("flags", events().map(|e| e.flags.0).collect::<Vec<_>>()),
        ]);
        DataFrame::new(rows.len(), columns)
    }
}

fn column<T, P: ?Sized>(name: &'static str, values: T) -> Column
where
    Series: NamedFrom<T, P>,
{
    Column::new(name.into(), values)
}
