//! Coinbase Advanced Trade: addresses, requests, instrument list. Frames are read in `decode`.
//!
//! Docs:
//! <https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-overview>.
//! No sockets, no clocks. Called by the feed on the ingest thread, all of it but `decode` on the
//! cold path.

mod candles;
mod cursor;
mod decode;
mod trades;

use super::trades::{Hole, Pages, PastTrade};
use super::{
    BookRule, Channels, Exchange, Frame, Hosts, Limits, Output, Plan, Reject, Request, Rest,
};
use crate::market::{Bar, Instrument, InstrumentId, Market, Scale};
use anyhow::{Context, bail};
use rust_decimal::Decimal;
use serde::Deserialize;
use std::time::Duration;

const LISTING: &str = "/api/v3/brokerage/market/products";
/// Trades are stamped in µs. (Envelopes have ns.)
const STAMP_RESOLUTION_NS: u32 = 1_000;

/// See the module's documentation.
#[derive(Default)]
pub struct Coinbase {
    decoder: decode::Decoder,
}

impl Exchange for Coinbase {
    fn name(&self) -> &'static str {
        "coinbase"
    }

    fn hosts(&self) -> Hosts {
        Hosts {
            ws: "wss://advanced-trade-ws.coinbase.com",
            rest: "https://api.coinbase.com",
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            // Eight per second and address without a login; half of it leaves room for a second
            // connection.
            messages_per_second: 4,
            // Books come by the stream; the figure only paces the instrument list.
            snapshots_per_second: 1,
            // Ten a second and address are allowed.
            candles_per_second: 5,
            trades_per_second: 5,
            // One hole in a connection's sequence breaks all of its books, and a book's snapshot
            // may be 5 MB: few enough for a resync to be over soon.
            instruments_per_connection: 20,
            // The channel `heartbeats` sends every second.
            silence: Duration::from_secs(10),
            ping: None,
        }
    }

    fn stamp_resolution_ns(&self) -> u32 {
        STAMP_RESOLUTION_NS
    }

    fn book_rule(&self) -> BookRule {
        BookRule::StreamSnapshot
    }

    fn listing_path(&self) -> String {
        LISTING.to_owned()
    }

    fn parse_listing(&self, body: &[u8]) -> anyhow::Result<Vec<Instrument>> {
        parse_listing(body)
    }

    fn guess(&self) -> Option<fn(&str) -> Option<Instrument>> {
        Some(|native| {
            let (base, quote) = native.split_once('-')?;
            let named = !base.is_empty() && !quote.is_empty() && !quote.contains('-');
            named.then(|| instrument(native, base, quote))
        })
    }

    fn plan(&self, instruments: &[(InstrumentId, &Instrument)], channels: Channels) -> Vec<Plan> {
        let mut names = Vec::new();
        // Without it Coinbase closes a connection whose markets are quiet.
        names.push("heartbeats");
        if channels.trades || channels.aggregate_trades {
            names.push("market_trades");
        }
        if channels.quotes {
            names.push("ticker");
        }
        if channels.book {
            names.push("level2");
        }
        let connections = instruments.chunks(self.limits().instruments_per_connection);
        let plan = |chunk: &[(InstrumentId, &Instrument)]| {
            let natives: Vec<&str> = chunk.iter().map(|(_, i)| i.native.as_str()).collect();
            let requests = names.iter().zip(1..);
            Plan {
                path: String::new(),
                instruments: chunk.iter().map(|(id, _)| *id).collect(),
                requests: requests
                    .map(|(channel, id)| request("subscribe", channel, &natives, id))
                    .collect(),
            }
        };
        connections.map(plan).collect()
    }

    fn resubscribe_book(&self, native: &str, id: u64) -> Vec<Request> {
        vec![
            request("unsubscribe", "level2", &[native], id),
            request("subscribe", "level2", &[native], id + 1),
        ]
    }

    fn snapshot_path(&self, _native: &str) -> Option<String> {
        None
    }

    fn candles(&self, native: &str, interval_ns: i64, count: u32, now_ns: i64) -> Option<String> {
        candles::path(native, interval_ns, count, now_ns)
    }

    fn parse_candles(
        &self,
        body: &[u8],
        interval_ns: i64,
        now_ns: i64,
        price_scale: Scale,
        amount_scale: Scale,
    ) -> Result<Vec<Bar>, Reject> {
        candles::parse(body, interval_ns, now_ns, (price_scale, amount_scale))
    }

    fn trade_pages(&self) -> Pages {
        trades::PAGES
    }

    fn trades_since(&self, native: &str, hole: &Hole) -> Option<String> {
        Some(trades::path(native, hole))
    }

    fn parse_trades(&self, body: &[u8]) -> Result<Vec<PastTrade>, Reject> {
        trades::parse(body)
    }

    fn classify(&self, url: &str) -> Rest {
        let path = url.split('?').next().unwrap_or(url);
        if path.ends_with(LISTING) {
            return Rest::Listing;
        }
        let past = candles::classify(url).or_else(|| trades::classify(url));
        past.unwrap_or(Rest::Other)
    }

    fn decode(&mut self, frame: &[u8], out: &mut Output) -> Result<Frame, Reject> {
        self.decoder.decode(frame, out)
    }

    fn decode_snapshot(
        &mut self,
        _native: &str,
        _body: &[u8],
        _out: &mut Output,
    ) -> Result<(), Reject> {
        // Never asked for: `snapshot_path` gives none.
        Err(Reject::Field("snapshot"))
    }

    /// None: an ack carries the connection's `sequence_num` like any other message, so only the
    /// recorded one fits into the recorded stream. The simulator serves it where it was recorded.
    fn answer(&self, _request: &str) -> Vec<String> {
        Vec::new()
    }

    /// Never, for the same reason: without its acks a recorded sequence would have holes.
    fn is_answer(&self, _frame: &str) -> bool {
        false
    }
}

/// One channel a message is all that Coinbase takes. Acks carry no id; one comes for each request.
fn request(kind: &str, channel: &str, natives: &[&str], id: u64) -> Request {
    let text = serde_json::json!({ "type": kind, "product_ids": natives, "channel": channel });
    Request {
        id,
        text: text.to_string(),
        acks: 1,
    }
}

/// What the symbol alone says.
fn instrument(native: &str, base: &str, quote: &str) -> Instrument {
    Instrument {
        exchange: "coinbase",
        native: native.to_owned(),
        symbol: format!("{base}/{quote}"),
        base: base.to_owned(),
        quote: quote.to_owned(),
        market: Market::Spot,
        tick_size: Decimal::ZERO,
        amount_step: Decimal::ZERO,
        min_amount: Decimal::ZERO,
        max_amount: None,
        active: true,
        stamp_resolution_ns: STAMP_RESOLUTION_NS,
        book_depth: 0,
        checksum: false,
    }
}

#[derive(Deserialize)]
struct Listing {
    products: Vec<Product>,
}

#[derive(Deserialize)]
struct Product {
    product_id: String,
    #[serde(default)]
    product_type: String,
    base_currency_id: String,
    quote_currency_id: String,
    /// The product whose book this one shares, and under whose name the stream sends both.
    #[serde(default)]
    alias: String,
    #[serde(default)]
    price_increment: String,
    #[serde(default)]
    quote_increment: String,
    #[serde(default)]
    base_increment: String,
    #[serde(default)]
    base_min_size: String,
    #[serde(default)]
    base_max_size: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    is_disabled: bool,
    #[serde(default)]
    trading_disabled: bool,
}

fn parse_listing(body: &[u8]) -> anyhow::Result<Vec<Instrument>> {
    let listing: Listing =
        serde_json::from_slice(body).context("coinbase's product list is not as documented")?;
    if listing.products.is_empty() {
        bail!("coinbase's product list is empty");
    }
    let spot = |p: &&Product| matches!(p.product_type.as_str(), "" | "SPOT");
    // An alias (BTC-USDC of BTC-USD) has no stream of its own.
    let own = |p: &&Product| p.alias.is_empty();
    listing
        .products
        .iter()
        .filter(spot)
        .filter(own)
        .map(listed)
        .collect()
}

fn listed(p: &Product) -> anyhow::Result<Instrument> {
    let step = if p.price_increment.is_empty() {
        &p.quote_increment
    } else {
        &p.price_increment
    };
    let number = |field: &str, text: &str| match text {
        "" => Ok(Decimal::ZERO),
        _ => text.parse().with_context(|| {
            format!(
                "coinbase's {}: {field} {text:?} is not a number",
                p.product_id
            )
        }),
    };
    let max_amount = number("base_max_size", &p.base_max_size)?;
    Ok(Instrument {
        tick_size: number("price_increment", step)?,
        amount_step: number("base_increment", &p.base_increment)?,
        min_amount: number("base_min_size", &p.base_min_size)?,
        max_amount: (!max_amount.is_zero()).then_some(max_amount),
        active: matches!(p.status.as_str(), "" | "online") && !p.is_disabled && !p.trading_disabled,
        ..instrument(&p.product_id, &p.base_currency_id, &p.quote_currency_id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_product_list_becomes_instruments() {
        let body = br#"{"products":[
            {"product_id":"BTC-USD","product_type":"SPOT","base_currency_id":"BTC","quote_currency_id":"USD",
             "price_increment":"0.01","base_increment":"0.00000001","base_min_size":"0.0001","base_max_size":"3400",
             "status":"online","is_disabled":false,"alias":"","alias_to":["BTC-USDC"],"new":false},
            {"product_id":"BTC-USDC","product_type":"SPOT","base_currency_id":"BTC","quote_currency_id":"USDC",
             "price_increment":"0.01","status":"online","is_disabled":false,"alias":"BTC-USD"},
            {"product_id":"OLD-EUR","base_currency_id":"OLD","quote_currency_id":"EUR","quote_increment":"0.1",
             "base_max_size":"","status":"delisted"},
            {"product_id":"BIT-28NOV26-CDE","product_type":"FUTURE","base_currency_id":"","quote_currency_id":"USD"}
        ],"num_products":4}"#;
        let list = parse_listing(body).expect("a product list");
        let seen: Vec<_> = list
            .iter()
            .map(|i| {
                (
                    i.native.as_str(),
                    i.symbol.as_str(),
                    i.tick_size.to_string(),
                    i.max_amount,
                    i.active,
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                (
                    "BTC-USD",
                    "BTC/USD",
                    "0.01".to_owned(),
                    Some(Decimal::from(3400)),
                    true
                ),
                ("OLD-EUR", "OLD/EUR", "0.1".to_owned(), None, false),
            ]
        );
        assert_eq!(list[0].amount_step.to_string(), "0.00000001");
        assert_eq!(list[0].min_amount.to_string(), "0.0001");
    }

    #[test]
    fn a_bad_product_list_says_what_is_wrong() {
        for (body, part) in [
            ("<html>", "not as documented"),
            (r#"{"products":[]}"#, "empty"),
            (
                r#"{"products":[{"product_id":"A-B"}]}"#,
                "not as documented",
            ),
            (
                r#"{"products":[{"product_id":"A-B","base_currency_id":"A","quote_currency_id":"B","base_increment":"x"}]}"#,
                "A-B: base_increment \"x\"",
            ),
        ] {
            let error = parse_listing(body.as_bytes()).expect_err(body);
            assert!(format!("{error:#}").contains(part), "{error:#}");
        }
    }

    #[test]
    fn a_symbol_says_enough() {
        let guess = Coinbase::default().guess().expect("a rule");
        assert_eq!(
            guess("ETH-EUR").map(|i| i.symbol),
            Some("ETH/EUR".to_owned())
        );
        for native in ["ETHEUR", "-EUR", "ETH-", "BIT-28NOV26-CDE", ""] {
            assert!(guess(native).is_none(), "{native:?}");
        }
    }

    #[test]
    fn requests_name_one_channel_each_and_heartbeats_always() {
        let exchange = Coinbase::default();
        let list: Vec<Instrument> = (0..21)
            .map(|i| instrument(&format!("C{i}-USD"), &format!("C{i}"), "USD"))
            .collect();
        let chosen: Vec<_> = (7..).zip(&list).collect();
        let channels = Channels {
            trades: true,
            aggregate_trades: false,
            quotes: false,
            book: true,
        };
        let plans = exchange.plan(&chosen, channels);
        assert_eq!(plans.len(), 2);
        assert_eq!(plans[1].instruments, [27]);
        let texts: Vec<_> = plans[1]
            .requests
            .iter()
            .map(|r| (r.id, r.text.as_str(), r.acks))
            .collect();
        assert_eq!(
            texts,
            [
                (
                    1,
                    r#"{"channel":"heartbeats","product_ids":["C20-USD"],"type":"subscribe"}"#,
                    1
                ),
                (
                    2,
                    r#"{"channel":"market_trades","product_ids":["C20-USD"],"type":"subscribe"}"#,
                    1
                ),
                (
                    3,
                    r#"{"channel":"level2","product_ids":["C20-USD"],"type":"subscribe"}"#,
                    1
                ),
            ]
        );
        let again: Vec<_> = exchange
            .resubscribe_book("A-B", 40)
            .into_iter()
            .map(|r| (r.id, r.text))
            .collect();
        assert_eq!(
            again,
            [
                (
                    40,
                    r#"{"channel":"level2","product_ids":["A-B"],"type":"unsubscribe"}"#.to_owned()
                ),
                (
                    41,
                    r#"{"channel":"level2","product_ids":["A-B"],"type":"subscribe"}"#.to_owned()
                ),
            ]
        );
    }

    #[test]
    fn urls_are_told_apart() {
        let exchange = Coinbase::default();
        for (url, rest) in [
            (
                "https://api.coinbase.com/api/v3/brokerage/market/products",
                Rest::Listing,
            ),
            (
                "http://127.0.0.1:1/api/v3/brokerage/market/products?limit=5",
                Rest::Listing,
            ),
            (
                "https://api.coinbase.com/api/v3/brokerage/market/products/BTC-USD",
                Rest::Other,
            ),
        ] {
            assert_eq!(exchange.classify(url), rest, "{url}");
        }
    }
}
