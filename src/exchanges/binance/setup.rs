//! What is asked once at start: the instrument list, the subscriptions.

use crate::exchanges::{Channels, Plan, Request};
use crate::market::instrument::Market;
use crate::market::{Instrument, InstrumentId};
use anyhow::Context;
use rust_decimal::Decimal;
use serde::Deserialize;

/// Streams named in one SUBSCRIBE.
const STREAMS_PER_REQUEST: usize = 150;
/// What the streams are asked to stamp with: µs rather than ms.
pub const STAMP_RESOLUTION_NS: u32 = 1_000;

/// One connection for these instruments.
pub fn plan(instruments: &[(InstrumentId, &Instrument)], channels: Channels) -> Plan {
    let mut streams = Vec::new();
    for (_, instrument) in instruments {
        let symbol = instrument.native.to_lowercase();
        let wanted = [
            (channels.trades && !channels.aggregate_trades, "trade"),
            (channels.trades && channels.aggregate_trades, "aggTrade"),
            (channels.quotes, "bookTicker"),
            (channels.book, "depth@100ms"),
        ];
        streams.extend(
            wanted
                .iter()
                .filter(|w| w.0)
                .map(|w| format!("\"{symbol}@{}\"", w.1)),
        );
    }
    let requests = streams
        .chunks(STREAMS_PER_REQUEST)
        .zip(1..)
        .map(|(chunk, id)| Request {
            id,
            text: format!(
                r#"{{"method":"SUBSCRIBE","params":[{}],"id":{id}}}"#,
                chunk.join(",")
            ),
            acks: 1,
        });
    Plan {
        path: "/stream?timeUnit=MICROSECOND".to_owned(),
        instruments: instruments.iter().map(|(id, _)| *id).collect(),
        requests: requests.collect(),
    }
}

#[derive(Deserialize)]
struct Listing {
    symbols: Vec<Symbol>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Symbol {
    symbol: String,
    status: String,
    base_asset: String,
    quote_asset: String,
    filters: Vec<Filter>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    filter_type: String,
    tick_size: Option<Decimal>,
    step_size: Option<Decimal>,
    min_qty: Option<Decimal>,
    max_qty: Option<Decimal>,
}

pub fn parse_listing(body: &[u8]) -> anyhow::Result<Vec<Instrument>> {
    let list: Listing =
        serde_json::from_slice(body).context("binance's exchangeInfo is not as documented")?;
    Ok(list.symbols.into_iter().map(instrument).collect())
}

fn instrument(s: Symbol) -> Instrument {
    let filter = |name: &str| s.filters.iter().find(|f| f.filter_type == name);
    let lot = filter("LOT_SIZE");
    Instrument {
        exchange: "binance",
        symbol: format!("{}/{}", s.base_asset, s.quote_asset),
        market: Market::Spot,
        tick_size: filter("PRICE_FILTER")
            .and_then(|f| f.tick_size)
            .unwrap_or_default(),
        amount_step: lot.and_then(|f| f.step_size).unwrap_or_default(),
        min_amount: lot.and_then(|f| f.min_qty).unwrap_or_default(),
        max_amount: lot.and_then(|f| f.max_qty),
        active: s.status == "TRADING",
        stamp_resolution_ns: STAMP_RESOLUTION_NS,
        book_depth: 0,
        checksum: false,
        native: s.symbol,
        base: s.base_asset,
        quote: s.quote_asset,
    }
}
