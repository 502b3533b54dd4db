//! Kraken spot, WebSocket v2: addresses, requests, instrument list, acks. Frames are read in
//! `decode`.
//!
//! Docs: <https://docs.kraken.com/api/docs/websocket-v2/book> and its neighbours. No sockets, no
//! clocks. Called by the feed on the ingest thread, all of it but `decode` on the cold path.

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
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Levels a side that are subscribed to; Kraken offers 10, 25, 100, 500 and 1000.
const BOOK_DEPTH: u16 = 100;
/// Trades are stamped in µs.
const STAMP_RESOLUTION_NS: u32 = 1_000;
const LISTING: &str = "/0/public/AssetPairs";

/// See the module's documentation.
#[derive(Default)]
pub struct Kraken {
    decoder: decode::Decoder,
}

impl Exchange for Kraken {
    fn name(&self) -> &'static str {
        "kraken"
    }

    fn hosts(&self) -> Hosts {
        Hosts {
            ws: "wss://ws.kraken.com",
            rest: "https://api.kraken.com",
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            // Kraken answers `Exceeded msg rate` beyond a figure that it does not publish.
            messages_per_second: 5,
            // Books come by the stream; the figure only paces the instrument list.
            snapshots_per_second: 1,
            // One a second and address is within bounds.
            candles_per_second: 1,
            trades_per_second: 1,
            instruments_per_connection: 100,
            // A heartbeat comes every second in which nothing else does.
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
            let (base, quote) = native.split_once('/')?;
            let named = !base.is_empty() && !quote.is_empty() && !quote.contains('/');
            named.then(|| instrument(base, quote))
        })
    }

    fn plan(&self, instruments: &[(InstrumentId, &Instrument)], channels: Channels) -> Vec<Plan> {
        let connections = instruments.chunks(self.limits().instruments_per_connection);
        let plan = |chunk: &[(InstrumentId, &Instrument)]| {
            let natives: Vec<&str> = chunk.iter().map(|(_, i)| i.native.as_str()).collect();
            Plan {
                path: "/v2".to_owned(),
                instruments: chunk.iter().map(|(id, _)| *id).collect(),
                requests: subscriptions(&natives, channels),
            }
        };
        connections.map(plan).collect()
    }

    fn resubscribe_book(&self, native: &str, id: u64) -> Vec<Request> {
        vec![
            request("unsubscribe", book_params(&[native]), 1, id),
            request("subscribe", book_params(&[native]), 1, id + 1),
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
        trades::path(native, hole)
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

    fn answer(&self, request: &str) -> Vec<String> {
        answer(request)
    }

    fn is_answer(&self, frame: &str) -> bool {
        serde_json::from_str::<Value>(frame).is_ok_and(|v| v.get("method").is_some())
    }
}

fn subscriptions(natives: &[&str], channels: Channels) -> Vec<Request> {
    let mut params = Vec::new();
    if channels.trades || channels.aggregate_trades {
        params.push(json!({ "channel": "trade", "symbol": natives, "snapshot": true }));
    }
    if channels.quotes {
        params.push(json!({ "channel": "ticker", "symbol": natives, "event_trigger": "bbo" }));
    }
    if channels.book {
        params.push(book_params(natives));
    }
    params
        .into_iter()
        .zip(1..)
        .map(|(params, id)| request("subscribe", params, natives.len(), id))
        .collect()
}

fn book_params(natives: &[&str]) -> Value {
    json!({ "channel": "book", "symbol": natives, "depth": BOOK_DEPTH })
}

fn request(method: &str, params: Value, acks: usize, id: u64) -> Request {
    let text = json!({ "method": method, "params": params, "req_id": id });
    Request {
        id,
        text: text.to_string(),
        acks: acks as u32,
    }
}

/// Kraken's acks, one for each symbol, as
/// `{"method":"subscribe","result":{…},"success":true,"req_id":1}`, or its pong. (Its `time_in` and
/// `time_out` are left out: nothing here knows the time.)
fn answer(request: &str) -> Vec<String> {
    let Ok(request) = serde_json::from_str::<Value>(request) else {
        return Vec::new();
    };
    let Some(method) = request["method"].as_str() else {
        return Vec::new();
    };
    let mut ack = json!({ "method": method });
    if let Some(id) = request.get("req_id") {
        ack["req_id"] = id.clone();
    }
    if method == "ping" {
        ack["method"] = "pong".into();
        return vec![ack.to_string()];
    }
    ack["success"] = true.into();
    let symbols = request["params"]["symbol"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let one = |symbol: &Value| {
        ack["result"] = request["params"].clone();
        ack["result"]["symbol"] = symbol.clone();
        ack.to_string()
    };
    symbols.iter().map(one).collect()
}

/// What the symbol alone says.
fn instrument(base: &str, quote: &str) -> Instrument {
    Instrument {
        exchange: "kraken",
        native: format!("{base}/{quote}"),
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
        book_depth: BOOK_DEPTH,
        checksum: true,
    }
}

#[derive(Deserialize)]
struct Listing {
    #[serde(default)]
    error: Vec<String>,
    #[serde(default)]
    result: BTreeMap<String, Pair>,
}

#[derive(Deserialize)]
struct Pair {
    /// Missing where a pair has no stream.
    #[serde(default)]
    wsname: String,
    pair_decimals: u32,
    lot_decimals: u32,
    #[serde(default)]
    ordermin: Option<Decimal>,
    #[serde(default)]
    tick_size: Option<Decimal>,
    #[serde(default)]
    status: String,
}

fn parse_listing(body: &[u8]) -> anyhow::Result<Vec<Instrument>> {
    let listing: Listing =
        serde_json::from_slice(body).context("kraken's list of pairs is not as documented")?;
    if !listing.error.is_empty() {
        bail!(
            "kraken refuses its list of pairs: {}",
            listing.error.join(", ")
        );
    }
    if listing.result.is_empty() {
        bail!("kraken's list of pairs is empty");
    }
    let streamed = listing
        .result
        .iter()
        .filter(|(_, pair)| !pair.wsname.is_empty());
    streamed
        .map(|(name, pair)| listed(pair).with_context(|| format!("kraken's pair {name}")))
        .collect()
}

fn listed(pair: &Pair) -> anyhow::Result<Instrument> {
    let (base, quote) = pair
        .wsname
        .split_once('/')
        .context("wsname is not BASE/QUOTE")?;
    let step =
        |decimals| Decimal::try_new(1, decimals).context("more decimals than a number can have");
    Ok(Instrument {
        tick_size: match pair.tick_size {
            Some(tick) => tick,
            None => step(pair.pair_decimals)?,
        },
        amount_step: step(pair.lot_decimals)?,
        min_amount: pair.ordermin.unwrap_or_default(),
        active: matches!(pair.status.as_str(), "" | "online"),
        ..instrument(today(base), today(quote))
    })
}

/// REST keeps the old names of two assets; the stream's v2 does not.
fn today(asset: &str) -> &str {
    match asset {
        "XBT" => "BTC",
        "XDG" => "DOGE",
        _ => asset,
    }
}

/// The reverse of [`today`].
fn in_the_list(asset: &str) -> &str {
    match asset {
        "BTC" => "XBT",
        "DOGE" => "XDG",
        _ => asset,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAIRS: &str = r#"{"error":[],"result":{
        "XXBTZUSD":{"altname":"XBTUSD","wsname":"XBT/USD","base":"XXBT","quote":"ZUSD","pair_decimals":1,
            "lot_decimals":8,"ordermin":"0.00005","costmin":"0.5","tick_size":"0.1","status":"online"},
        "XDGXBT":{"wsname":"XDG/XBT","pair_decimals":9,"lot_decimals":8,"status":"cancel_only"},
        "XXBTZUSD.d":{"altname":"XBTUSD.d","pair_decimals":1,"lot_decimals":8}}}"#;

    #[test]
    fn the_list_of_pairs_becomes_instruments() {
        let list = parse_listing(PAIRS.as_bytes()).expect("a list");
        let seen: Vec<_> = list
            .iter()
            .map(|i| {
                (
                    i.native.as_str(),
                    i.tick_size.to_string(),
                    i.min_amount.to_string(),
                    i.active,
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                ("DOGE/BTC", "0.000000001".to_owned(), "0".to_owned(), false),
                ("BTC/USD", "0.1".to_owned(), "0.00005".to_owned(), true),
            ]
        );
        assert!(
            list.iter()
                .all(|i| i.symbol == i.native && i.checksum && i.book_depth == 100)
        );
        assert_eq!(
            (list[0].base.as_str(), list[0].quote.as_str()),
            ("DOGE", "BTC")
        );
        assert_eq!(list[1].amount_step.to_string(), "0.00000001");
    }

    #[test]
    fn a_bad_list_of_pairs_says_what_is_wrong() {
        for (body, part) in [
            ("", "not as documented"),
            (
                r#"{"error":["EService:Unavailable"]}"#,
                "EService:Unavailable",
            ),
            (r#"{"error":[],"result":{}}"#, "empty"),
            (
                r#"{"result":{"A":{"wsname":"AB","pair_decimals":1,"lot_decimals":1}}}"#,
                "kraken's pair A: wsname",
            ),
            (
                r#"{"result":{"A":{"wsname":"A/B","pair_decimals":1,"lot_decimals":99}}}"#,
                "more decimals",
            ),
        ] {
            let error = parse_listing(body.as_bytes()).expect_err(body);
            assert!(format!("{error:#}").contains(part), "{error:#}");
        }
    }

    #[test]
    fn a_symbol_says_enough() {
        let guess = Kraken::default().guess().expect("a rule");
        assert_eq!(guess("BTC/EUR").map(|i| i.base), Some("BTC".to_owned()));
        for native in ["BTCEUR", "/EUR", "BTC/", "A/B/C", ""] {
            assert!(guess(native).is_none(), "{native:?}");
        }
    }

    #[test]
    fn requests_count_an_ack_for_each_symbol() {
        let exchange = Kraken::default();
        let (btc, eth) = (instrument("BTC", "USD"), instrument("ETH", "USD"));
        let channels = Channels {
            trades: true,
            aggregate_trades: false,
            quotes: true,
            book: true,
        };
        let plans = exchange.plan(&[(3, &btc), (9, &eth)], channels);
        assert_eq!(plans.len(), 1);
        assert_eq!(
            (plans[0].path.as_str(), plans[0].instruments.as_slice()),
            ("/v2", &[3, 9][..])
        );
        let got: Vec<_> = plans[0]
            .requests
            .iter()
            .map(|r| (r.id, r.text.as_str(), r.acks))
            .collect();
        assert_eq!(
            got,
            [
                (
                    1,
                    r#"{"method":"subscribe","params":{"channel":"trade","snapshot":true,"symbol":["BTC/USD","ETH/USD"]},"req_id":1}"#,
                    2
                ),
                (
                    2,
                    r#"{"method":"subscribe","params":{"channel":"ticker","event_trigger":"bbo","symbol":["BTC/USD","ETH/USD"]},"req_id":2}"#,
                    2
                ),
                (
                    3,
                    r#"{"method":"subscribe","params":{"channel":"book","depth":100,"symbol":["BTC/USD","ETH/USD"]},"req_id":3}"#,
                    2
                ),
            ]
        );
        let again: Vec<_> = exchange
            .resubscribe_book("BTC/USD", 70)
            .into_iter()
            .map(|r| (r.id, r.text, r.acks))
            .collect();
        let text = |method, id| {
            format!(
                r#"{{"method":"{method}","params":{{"channel":"book","depth":100,"symbol":["BTC/USD"]}},"req_id":{id}}}"#
            )
        };
        assert_eq!(
            again,
            [
                (70, text("unsubscribe", 70), 1),
                (71, text("subscribe", 71), 1)
            ]
        );
    }

    #[test]
    fn the_exchange_side_answers_each_symbol() {
        let exchange = Kraken::default();
        let request = r#"{"method":"subscribe","params":{"channel":"book","symbol":["BTC/USD","ETH/USD"],"depth":100},"req_id":4}"#;
        let answers = exchange.answer(request);
        assert_eq!(
            answers,
            [
                r#"{"method":"subscribe","req_id":4,"result":{"channel":"book","depth":100,"symbol":"BTC/USD"},"success":true}"#,
                r#"{"method":"subscribe","req_id":4,"result":{"channel":"book","depth":100,"symbol":"ETH/USD"},"success":true}"#,
            ]
        );
        assert!(answers.iter().all(|a| exchange.is_answer(a)));
        assert_eq!(
            exchange.answer(r#"{"method":"ping","req_id":101}"#),
            [r#"{"method":"pong","req_id":101}"#]
        );
        for nonsense in [
            "",
            "ping",
            "{}",
            r#"{"method":7}"#,
            r#"{"method":"subscribe"}"#,
        ] {
            assert!(exchange.answer(nonsense).is_empty(), "{nonsense}");
        }
        for data in [
            r#"{"channel":"heartbeat"}"#,
            r#"{"channel":"status","type":"update","data":[]}"#,
            "{",
        ] {
            assert!(!exchange.is_answer(data), "{data}");
        }
    }

    #[test]
    fn urls_are_told_apart() {
        let exchange = Kraken::default();
        for (url, rest) in [
            ("https://api.kraken.com/0/public/AssetPairs", Rest::Listing),
            (
                "http://127.0.0.1:1/0/public/AssetPairs?pair=XBTUSD",
                Rest::Listing,
            ),
            (
                "https://api.kraken.com/0/public/Depth?pair=XBTUSD",
                Rest::Other,
            ),
        ] {
            assert_eq!(exchange.classify(url), rest, "{url}");
        }
    }
}
