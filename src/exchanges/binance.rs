//! HOT PATH. Binance spot, JSON streams: trade, aggTrade, bookTicker, diff depth.
//!
//! Source: Binance's `web-socket-streams.md` and `rest-api.md` of `binance-spot-api-docs`. Prices
//! and amounts are strings; `m` = the buyer is the maker, so the taker sold. A book begins with a
//! REST snapshot that joins the diff stream by update id (`U`..`u`).
//!
//! The cursor serves the four busiest messages in their usual field order; simd-json serves the
//! rest.

mod candles;
mod setup;
mod trades;

use super::cursor::Cursor;
use super::json::{self, Json};
use super::output::{BookRule, Output, SlotId};
use super::trades::{Hole, Pages, PastTrade};
use super::{Channels, Exchange, Frame, Hosts, Limits, Plan, Reject, Request, Rest};
use crate::market::event::Flags;
use crate::market::{Bar, Instrument, InstrumentId, Number, Scale, Side};
use simd_json::prelude::*;
use simd_json::tape::Value;
use std::time::Duration;

#[derive(Default)]
pub struct Binance {
    json: Json,
}

/// Levels per side of a REST snapshot (5000 at most, at five times the request weight).
const SNAPSHOT_LEVELS: u32 = 1000;

impl Exchange for Binance {
    fn name(&self) -> &'static str {
        "binance"
    }

    fn hosts(&self) -> Hosts {
        Hosts {
            ws: "wss://stream.binance.com:9443",
            rest: "https://api.binance.com",
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            messages_per_second: 4,           // 5 allowed, pongs count
            snapshots_per_second: 2,          // weight 50 each of 6000 a minute
            candles_per_second: 20,           // weight 2 each of 6000 a minute
            trades_per_second: 4,             // weight 25 each, for half a minute at most
            instruments_per_connection: 300,  // three streams each of 1024
            silence: Duration::from_secs(60), // a ping frame comes every 20 s
            ping: None,
        }
    }

    fn stamp_resolution_ns(&self) -> u32 {
        setup::STAMP_RESOLUTION_NS
    }

    fn book_rule(&self) -> BookRule {
        BookRule::RestSnapshot
    }

    // COLD: once at start.
    fn listing_path(&self) -> String {
        "/api/v3/exchangeInfo".to_owned()
    }

    fn parse_listing(&self, body: &[u8]) -> anyhow::Result<Vec<Instrument>> {
        setup::parse_listing(body)
    }

    fn guess(&self) -> Option<fn(&str) -> Option<Instrument>> {
        None // `BTCUSDT` cannot be split by rule
    }

    // COLD: once at start.
    fn plan(&self, instruments: &[(InstrumentId, &Instrument)], channels: Channels) -> Vec<Plan> {
        let chunks = instruments.chunks(self.limits().instruments_per_connection);
        chunks.map(|chunk| setup::plan(chunk, channels)).collect()
    }

    fn resubscribe_book(&self, _native: &str, _id: u64) -> Vec<Request> {
        Vec::new()
    }

    // COLD: one for each resync.
    fn snapshot_path(&self, native: &str) -> Option<String> {
        Some(format!(
            "/api/v3/depth?symbol={native}&limit={SNAPSHOT_LEVELS}"
        ))
    }

    fn candles(&self, native: &str, interval_ns: i64, count: u32, _now_ns: i64) -> Option<String> {
        candles::path(native, interval_ns, count)
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

    // COLD: captures only.
    fn classify(&self, url: &str) -> Rest {
        if url.contains("/api/v3/exchangeInfo") {
            return Rest::Listing;
        }
        if let Some(past) = candles::classify(url).or_else(|| trades::classify(url)) {
            return past;
        }
        let symbol = url.split_once("/api/v3/depth?").and_then(|(_, query)| {
            query
                .split('&')
                .find_map(|pair| pair.strip_prefix("symbol="))
        });
        symbol.map_or(Rest::Other, |s| Rest::Snapshot(s.to_owned()))
    }

    #[inline]
    fn decode(&mut self, frame: &[u8], out: &mut Output) -> Result<Frame, Reject> {
        let mark = out.mark();
        if let Some(result) = fast(frame, out) {
            out.cursor += 1;
            return result.map(|()| Frame::Data);
        }
        out.rollback(mark);
        out.simd_json += 1;
        self.json.parse(frame, |root| complete(&root, out))
    }

    fn decode_snapshot(
        &mut self,
        native: &str,
        body: &[u8],
        out: &mut Output,
    ) -> Result<(), Reject> {
        let slot = out.slot(native.as_bytes())?;
        self.json.parse(body, |root| {
            let last = json::integer(&root, "lastUpdateId")?;
            if !out.snapshot_fits(slot, last) {
                return Ok(());
            }
            out.book(slot, 0, last, last, true);
            levels(&root, "bids", Side::Buy, out)?;
            levels(&root, "asks", Side::Sell, out)?;
            out.book_end(None);
            out.join(slot);
            Ok(())
        })
    }

    // COLD: the simulator only.
    fn answer(&self, request: &str) -> Vec<String> {
        let Ok(request) = serde_json::from_str::<serde_json::Value>(request) else {
            return vec![r#"{"code":3,"msg":"Invalid JSON"}"#.to_owned()];
        };
        vec![format!(r#"{{"result":null,"id":{}}}"#, request["id"])]
    }

    fn is_answer(&self, frame: &str) -> bool {
        frame.starts_with(r#"{"result":"#)
    }
}

/// Times come in ms, or in µs where the connection asked for them.
#[inline]
fn stamp_ns(stamp: u64) -> i64 {
    let unit = if stamp < 100_000_000_000_000 {
        1_000_000
    } else {
        1_000
    };
    (stamp as i64).saturating_mul(unit)
}

/// The usual field order, byte by byte; `None` = not mine. State changes only when all was read.
#[inline]
fn fast(frame: &[u8], out: &mut Output) -> Option<Result<(), Reject>> {
    let mut c = Cursor::new(frame);
    c.expect(b"{\"")?;
    let combined = c.accept(b"stream\":\"");
    let mut stream: &[u8] = b"@bookTicker";
    if combined {
        stream = c.text()?;
        c.expect(b",\"data\":{\"")?;
    }
    if c.accept(b"u\":") {
        // Nothing within a quote says that it is one.
        if !stream.ends_with(b"@bookTicker") {
            return None;
        }
        return fast_quote(c, combined, out);
    }
    c.expect(b"e\":\"")?;
    if c.accept(b"trade\"") {
        fast_trade(c, combined, out)
    } else if c.accept(b"depthUpdate\"") {
        fast_depth(c, combined, out)
    } else if c.accept(b"aggTrade\"") {
        fast_aggregate(c, combined, out)
    } else {
        None
    }
}

#[inline(always)]
fn close(c: &mut Cursor, combined: bool) -> Option<()> {
    if combined {
        c.expect(b"}")?;
    }
    c.expect(b"}")?;
    c.end()
}

// Not inlined into each other: each by itself keeps what it works with in registers.

/// `{"u":1,"s":"BTCUSDT","b":"1.0","B":"2.0","a":"1.1","A":"3.0"}`: no time at all.
#[inline(never)]
fn fast_quote(mut c: Cursor, combined: bool, out: &mut Output) -> Option<Result<(), Reject>> {
    let update_id = c.integer()?;
    c.expect(b",\"s\":\"")?;
    let symbol = c.text()?;
    c.expect(b",\"b\":\"")?;
    let bid = c.decimal()?;
    c.expect(b",\"B\":\"")?;
    let bid_amount = c.decimal()?;
    c.expect(b",\"a\":\"")?;
    let ask = c.decimal()?;
    c.expect(b",\"A\":\"")?;
    let ask_amount = c.decimal()?;
    close(&mut c, combined)?;
    Some(
        out.slot(symbol)
            .and_then(|slot| quote(out, slot, update_id, [bid, bid_amount, ask, ask_amount])),
    )
}

/// An empty side comes as zeros.
#[inline]
fn quote(out: &mut Output, slot: SlotId, update_id: u64, n: [Number; 4]) -> Result<(), Reject> {
    let side = |p: Number, a: Number| (p.mantissa != 0).then_some((p, a));
    out.quote(slot, 0, update_id, side(n[0], n[1]), side(n[2], n[3]))
}

/// `{"e":"trade","E":1,"s":"BTCUSDT","t":2,"p":"1.0","q":"2.0","T":3,"m":true,"M":true}`
#[inline(never)]
fn fast_trade(mut c: Cursor, combined: bool, out: &mut Output) -> Option<Result<(), Reject>> {
    c.expect(b",\"E\":")?;
    c.integer()?;
    c.expect(b",\"s\":\"")?;
    let symbol = c.text()?;
    c.expect(b",\"t\":")?;
    let id = c.integer()?;
    c.expect(b",\"p\":\"")?;
    let price = c.decimal()?;
    c.expect(b",\"q\":\"")?;
    let amount = c.decimal()?;
    fast_trade_end(c, combined, out, symbol, price, amount, id, Flags(0))
}

/// `{"e":"aggTrade","E":1,"s":"BTCUSDT","a":2,"p":"1.0","q":"2.0","f":1,"l":2,"T":3,"m":true,"M":true}`
#[inline(never)]
fn fast_aggregate(mut c: Cursor, combined: bool, out: &mut Output) -> Option<Result<(), Reject>> {
    c.expect(b",\"E\":")?;
    c.integer()?;
    c.expect(b",\"s\":\"")?;
    let symbol = c.text()?;
    c.expect(b",\"a\":")?;
    let id = c.integer()?;
    c.expect(b",\"p\":\"")?;
    let price = c.decimal()?;
    c.expect(b",\"q\":\"")?;
    let amount = c.decimal()?;
    c.expect(b",\"f\":")?;
    c.integer()?;
    c.expect(b",\"l\":")?;
    c.integer()?;
    fast_trade_end(
        c,
        combined,
        out,
        symbol,
        price,
        amount,
        id,
        Flags::AGGREGATE,
    )
}

#[inline(always)]
#[expect(
    clippy::too_many_arguments,
    reason = "the fields of one message, passed in registers"
)]
fn fast_trade_end(
    mut c: Cursor,
    combined: bool,
    out: &mut Output,
    symbol: &[u8],
    price: Number,
    amount: Number,
    id: u64,
    flags: Flags,
) -> Option<Result<(), Reject>> {
    c.expect(b",\"T\":")?;
    let time = c.integer()?;
    c.expect(b",\"m\":")?;
    let taker = if c.boolean()? { Side::Sell } else { Side::Buy };
    if c.accept(b",\"M\":") {
        c.boolean()?;
    }
    close(&mut c, combined)?;
    Some(out.slot(symbol).and_then(|slot| {
        out.trade(
            slot,
            stamp_ns(time),
            price,
            amount,
            u128::from(id),
            taker,
            flags,
        )
    }))
}

/// `{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":2,"u":3,"b":[["1.0","2.0"]],"a":[]}`
#[inline(never)]
fn fast_depth(mut c: Cursor, combined: bool, out: &mut Output) -> Option<Result<(), Reject>> {
    c.expect(b",\"E\":")?;
    let time = c.integer()?;
    c.expect(b",\"s\":\"")?;
    let symbol = c.text()?;
    c.expect(b",\"U\":")?;
    let first = c.integer()?;
    c.expect(b",\"u\":")?;
    let last = c.integer()?;
    c.expect(b",\"b\":[")?;
    let slot = out.slot(symbol).ok()?;
    // An old message is read to its end all the same: "not mine" must not depend on the book.
    out.book(slot, stamp_ns(time), first, last, false);
    c = fast_levels(c, Side::Buy, out)?;
    c.expect(b",\"a\":[")?;
    c = fast_levels(c, Side::Sell, out)?;
    close(&mut c, combined)?;
    out.book_end(None);
    Some(Ok(()))
}

#[inline(never)]
fn fast_levels<'a>(mut c: Cursor<'a>, side: Side, out: &mut Output) -> Option<Cursor<'a>> {
    if c.accept(b"]") {
        return Some(c);
    }
    let mut pen = out.pen();
    let (mut price_digits, mut amount_digits) = (1, 1);
    c.expect(b"[\"")?;
    loop {
        let price = c.decimal_like(&mut price_digits)?;
        c.expect(b",\"")?;
        let amount = c.decimal_like(&mut amount_digits)?;
        if let Some(pen) = &mut pen {
            pen.level(side, price, amount)?;
        }
        if !c.accept(b"],[\"") {
            return c.expect(b"]]").map(|()| c);
        }
    }
}

/// The judge: any field order, any whitespace, every message.
fn complete(root: &Value, out: &mut Output) -> Result<Frame, Reject> {
    if let Some(data) = root.get("data") {
        let stream = root
            .get("stream")
            .and_then(|s| s.into_string())
            .unwrap_or("");
        return complete_data(&data, stream, out);
    }
    if root.contains_key("result") {
        return Ok(Frame::Ack {
            id: json::integer(root, "id").ok(),
        });
    }
    let error = root.get("error");
    let error = error.as_ref().unwrap_or(root);
    if error.contains_key("code") {
        let words = json::text(error, "msg").unwrap_or("no reason given");
        return Ok(Frame::Refused {
            id: json::integer(root, "id").ok(),
            reason: words.into(),
        });
    }
    complete_data(root, "", out)
}

fn complete_data(data: &Value, stream: &str, out: &mut Output) -> Result<Frame, Reject> {
    match data.get("e").and_then(|e| e.into_string()) {
        Some("trade") => complete_trade(data, "t", Flags(0), out),
        Some("aggTrade") => complete_trade(data, "a", Flags::AGGREGATE, out),
        Some("depthUpdate") => complete_depth(data, out),
        Some("serverShutdown") => Ok(Frame::ShuttingDown),
        Some(_) => Ok(Frame::Ignored),
        None if stream.is_empty() || stream.ends_with("@bookTicker") => complete_quote(data, out),
        None => Ok(Frame::Ignored),
    }
}

fn complete_trade(
    data: &Value,
    id: &'static str,
    flags: Flags,
    out: &mut Output,
) -> Result<Frame, Reject> {
    let slot = out.slot(json::text(data, "s")?.as_bytes())?;
    let id = json::integer(data, id)?;
    let (price, amount) = (json::decimal(data, "p")?, json::decimal(data, "q")?);
    let time = json::integer(data, "T")?;
    let maker_bought = data
        .get("m")
        .and_then(|m| m.as_bool())
        .ok_or(Reject::Field("m"))?;
    let taker = if maker_bought { Side::Sell } else { Side::Buy };
    out.trade(
        slot,
        stamp_ns(time),
        price,
        amount,
        u128::from(id),
        taker,
        flags,
    )?;
    Ok(Frame::Data)
}

fn complete_quote(data: &Value, out: &mut Output) -> Result<Frame, Reject> {
    let slot = out.slot(json::text(data, "s")?.as_bytes())?;
    let update_id = json::integer(data, "u")?;
    let n = [
        json::decimal(data, "b")?,
        json::decimal(data, "B")?,
        json::decimal(data, "a")?,
        json::decimal(data, "A")?,
    ];
    quote(out, slot, update_id, n)?;
    Ok(Frame::Data)
}

fn complete_depth(data: &Value, out: &mut Output) -> Result<Frame, Reject> {
    let slot = out.slot(json::text(data, "s")?.as_bytes())?;
    let time = json::integer(data, "E")?;
    let (first, last) = (json::integer(data, "U")?, json::integer(data, "u")?);
    out.book(slot, stamp_ns(time), first, last, false);
    levels(data, "b", Side::Buy, out)?;
    levels(data, "a", Side::Sell, out)?;
    out.book_end(None);
    Ok(Frame::Data)
}

/// `"b":[["price","amount"],…]`
fn levels(data: &Value, field: &'static str, side: Side, out: &mut Output) -> Result<(), Reject> {
    let value = data.get(field).ok_or(Reject::Field(field))?;
    let list = value.as_array().ok_or(Reject::Field(field))?;
    for level in list.iter() {
        let pair = level.as_array().ok_or(Reject::Field(field))?;
        let mut texts = pair.iter().map(|v| v.into_string());
        let (Some(Some(price)), Some(Some(amount))) = (texts.next(), texts.next()) else {
            return Err(Reject::Field(field));
        };
        let price = Number::parse(price.as_bytes()).ok_or(Reject::Number(field))?;
        let amount = Number::parse(amount.as_bytes()).ok_or(Reject::Number(field))?;
        out.level(side, price, amount)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
