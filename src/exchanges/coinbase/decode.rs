//! HOT PATH. A Coinbase frame becomes events.
//!
//! The [`cursor`] is asked first; any frame that is not its own is simd-json's. Every message
//! carries `sequence_num`, which runs over all channels of its connection, so each one is counted
//! ([`Output::sequence`]), acks included.
//!
//! Runs on the ingest thread. Allocates only while its buffers grow.

use super::super::json::{self, Json};
use super::super::output::SlotId;
use super::super::{Frame, Output, Reject, time};
use super::cursor;
use crate::market::event::Flags;
use crate::market::{Number, Side};
use simd_json::prelude::*;
use simd_json::tape::{Array, Value};

/// A frame's trades, until all of it was read.
#[derive(Clone, Copy)]
pub(super) struct Print {
    pub(super) slot: SlotId,
    pub(super) exchange_ns: i64,
    pub(super) price: Number,
    pub(super) amount: Number,
    pub(super) id: u128,
    pub(super) taker: Side,
    pub(super) flags: Flags,
}

/// Both paths, with their buffers.
#[derive(Default)]
pub(super) struct Decoder {
    json: Json,
    prints: Vec<Print>,
}

impl Decoder {
    #[inline]
    pub(super) fn decode(&mut self, frame: &[u8], out: &mut Output) -> Result<Frame, Reject> {
        if let Some(result) = cursor::decode(frame, out) {
            out.cursor += 1;
            return result;
        }
        self.by_simd_json(frame, out)
    }

    pub(super) fn by_simd_json(&mut self, frame: &[u8], out: &mut Output) -> Result<Frame, Reject> {
        out.simd_json += 1;
        let prints = &mut self.prints;
        self.json.parse(frame, |root| complete(&root, prints, out))
    }
}

/// The taker's side of a trade whose `side` is this.
///
/// The field is the **maker's** side, which the documentation leaves open: in a recording all
/// trades at the best ask said `SELL` (47), and all at the best bid `BUY` (18).
pub(super) fn taker(side: &[u8]) -> Option<Side> {
    match side {
        b"SELL" => Some(Side::Buy),
        b"BUY" => Some(Side::Sell),
        _ => None,
    }
}

fn book_side(side: &str) -> Result<Side, Reject> {
    match side {
        "bid" => Ok(Side::Buy),
        "offer" => Ok(Side::Sell),
        _ => Err(Reject::Field("side")),
    }
}

pub(super) fn put_trade(p: Print, out: &mut Output) -> Result<(), Reject> {
    out.trade(
        p.slot,
        p.exchange_ns,
        p.price,
        p.amount,
        p.id,
        p.taker,
        p.flags,
    )
}

fn complete(root: &Value, prints: &mut Vec<Print>, out: &mut Output) -> Result<Frame, Reject> {
    if root.get("channel").is_none() {
        return refused(root);
    }
    let channel = json::text(root, "channel")?;
    out.sequence(json::integer(root, "sequence_num")?);
    match channel {
        "l2_data" => {
            let exchange_ns = stamp(root, "timestamp")?;
            for event in &array(root, "events")? {
                book(&event, exchange_ns, out)?;
            }
            Ok(Frame::Data)
        }
        "market_trades" => trades(root, prints, out),
        "ticker" | "ticker_batch" => {
            let exchange_ns = stamp(root, "timestamp")?;
            for event in &array(root, "events")? {
                for ticker in &array(&event, "tickers")? {
                    quote(&ticker, exchange_ns, out)?;
                }
            }
            Ok(Frame::Data)
        }
        "subscriptions" => Ok(Frame::Ack { id: None }),
        "heartbeats" => Ok(Frame::Heartbeat),
        _ => Ok(Frame::Ignored),
    }
}

/// `{"type":"error","message":"…"}`: the only message without channel and sequence.
#[cold]
fn refused(root: &Value) -> Result<Frame, Reject> {
    if json::text(root, "type") != Ok("error") {
        return Err(Reject::Field("channel"));
    }
    let reason = json::text(root, "message")
        .unwrap_or("no reason given")
        .to_owned();
    Ok(Frame::Refused { id: None, reason })
}

fn book(event: &Value, exchange_ns: i64, out: &mut Output) -> Result<(), Reject> {
    let slot = out.slot(json::text(event, "product_id")?.as_bytes())?;
    let snapshot = is_snapshot(event)?;
    // No update ids: `sequence_num` is the connection's own, and a signal's id must not depend on
    // it.
    if !out.book(slot, exchange_ns, 0, 0, snapshot) {
        return Ok(());
    }
    for level in &array(event, "updates")? {
        let side = book_side(json::text(&level, "side")?)?;
        out.level(
            side,
            json::decimal(&level, "price_level")?,
            json::decimal(&level, "new_quantity")?,
        )?;
    }
    out.book_end(None);
    Ok(())
}

fn trades(root: &Value, prints: &mut Vec<Print>, out: &mut Output) -> Result<Frame, Reject> {
    prints.clear();
    for event in &array(root, "events")? {
        let flags = Flags::default().with_if(is_snapshot(&event)?, Flags::SNAPSHOT);
        for trade in &array(&event, "trades")? {
            prints.push(Print {
                slot: out.slot(json::text(&trade, "product_id")?.as_bytes())?,
                exchange_ns: stamp(&trade, "time")?,
                price: json::decimal(&trade, "price")?,
                amount: json::decimal(&trade, "size")?,
                id: json::text(&trade, "trade_id")?
                    .parse()
                    .map_err(|_| Reject::Number("trade_id"))?,
                taker: taker(json::text(&trade, "side")?.as_bytes())
                    .ok_or(Reject::Field("side"))?,
                flags,
            });
        }
    }
    // Coinbase lists the newest first; a bar wants them as they happened.
    prints.sort_unstable_by_key(|p| p.id);
    for print in prints.drain(..) {
        put_trade(print, out)?;
    }
    Ok(Frame::Data)
}

fn quote(ticker: &Value, exchange_ns: i64, out: &mut Output) -> Result<(), Reject> {
    let slot = out.slot(json::text(ticker, "product_id")?.as_bytes())?;
    // `ticker_batch` names no best prices.
    if ticker.get("best_bid").is_none() && ticker.get("best_ask").is_none() {
        return Ok(());
    }
    let bid = touch(ticker, "best_bid", "best_bid_quantity")?;
    let ask = touch(ticker, "best_ask", "best_ask_quantity")?;
    out.quote(slot, exchange_ns, 0, bid, ask)
}

/// One side of the touch; `None` where it is empty: no text, or a price of zero.
fn touch(
    ticker: &Value,
    price: &'static str,
    amount: &'static str,
) -> Result<Option<(Number, Number)>, Reject> {
    let absent = |field| {
        ticker
            .get(field)
            .is_none_or(|v| v.is_null() || v.as_str() == Some(""))
    };
    if absent(price) || absent(amount) {
        return Ok(None);
    }
    let (price, amount) = (
        json::decimal(ticker, price)?,
        json::decimal(ticker, amount)?,
    );
    Ok((price.mantissa != 0).then_some((price, amount)))
}

fn is_snapshot(event: &Value) -> Result<bool, Reject> {
    match json::text(event, "type")? {
        "snapshot" => Ok(true),
        "update" => Ok(false),
        _ => Err(Reject::Field("type")),
    }
}

fn stamp(object: &Value, field: &'static str) -> Result<i64, Reject> {
    time::parse(json::text(object, field)?.as_bytes()).ok_or(Reject::Field(field))
}

fn array<'a>(object: &Value<'a, 'a>, field: &'static str) -> Result<Array<'a, 'a>, Reject> {
    object
        .get(field)
        .and_then(|v| v.as_array())
        .ok_or(Reject::Field(field))
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::Coinbase;
    use super::*;
    use crate::exchanges::testing;

    pub const NATIVES: [&str; 2] = ["BTC-USD", "ETH-USD"];

    /// A message of the documented form with this sequence number and these events.
    pub fn message(channel: &str, number: u64, events: &str) -> String {
        format!(
            r#"{{"channel":"{channel}","timestamp":"2026-11-22T10:00:00.000000009Z","sequence_num":{number},"events":[{events}]}}"#
        )
    }

    pub fn book_event(kind: &str, native: &str, updates: &[(&str, &str, &str)]) -> String {
        let level = |(side, price, amount): &(&str, &str, &str)| {
            format!(
                r#"{{"side":"{side}","event_time":"2026-11-22T09:59:59.9Z","price_level":"{price}","new_quantity":"{amount}"}}"#
            )
        };
        let updates = updates.iter().map(level).collect::<Vec<_>>().join(",");
        format!(r#"{{"type":"{kind}","product_id":"{native}","updates":[{updates}]}}"#)
    }

    pub fn trade_event(kind: &str, trades: &[(&str, u64, &str, &str, &str)]) -> String {
        let trade = |(native, id, price, size, side): &(&str, u64, &str, &str, &str)| {
            format!(
                r#"{{"product_id":"{native}","trade_id":"{id}","price":"{price}","size":"{size}","time":"2026-11-22T10:00:00.000001Z","side":"{side}"}}"#
            )
        };
        let trades = trades.iter().map(trade).collect::<Vec<_>>().join(",");
        format!(r#"{{"type":"{kind}","trades":[{trades}]}}"#)
    }

    fn ticker_event(fields: &str) -> String {
        format!(
            r#"{{"type":"update","tickers":[{{"type":"ticker","product_id":"BTC-USD","price":"3"{fields}}}]}}"#
        )
    }

    /// After `before` (whose events are not looked at), `frame` gives this outcome and these
    /// events.
    fn check(before: &[String], frame: &str, outcome: Result<Frame, Reject>, events: &[&str]) {
        let mut exchange = Coinbase::default();
        let mut out = testing::output(&exchange, &NATIVES);
        for frame in before {
            testing::play(&mut exchange, &mut out, frame).expect("a good frame");
        }
        out.events.clear();
        assert_eq!(
            testing::play(&mut exchange, &mut out, frame),
            outcome,
            "{frame}"
        );
        assert_eq!(testing::describe(&out), events, "{frame}");
    }

    const STAMP: i64 = 1_795_341_600_000_000_009;

    #[test]
    fn books_begin_with_a_snapshot_and_go_on() {
        let snapshot = message(
            "l2_data",
            0,
            &book_event(
                "snapshot",
                "BTC-USD",
                &[("bid", "9.5", "1"), ("offer", "9.60", "0.20")],
            ),
        );
        let first = format!("book BTC-USD bid 9.5 x 1 (1, 0) snapshot first @{STAMP}");
        let last = format!("book BTC-USD ask 9.6 x 0.2 (2, 2) snapshot last @{STAMP}");
        check(&[], &snapshot, Ok(Frame::Data), &[&first, &last]);

        let update = message(
            "l2_data",
            1,
            &book_event("update", "BTC-USD", &[("offer", "9.6", "0")]),
        );
        let gone = format!("book BTC-USD ask 9.6 x 0 (1, 0) first last @{STAMP}");
        check(&[], &update, Ok(Frame::Data), &[]);
        check(&[snapshot], &update, Ok(Frame::Data), &[&gone]);

        let empty = message("l2_data", 0, &book_event("snapshot", "BTC-USD", &[]));
        let nothing = format!("book BTC-USD bid 0 x 0 (0, 0) empty snapshot first last @{STAMP}");
        check(&[], &empty, Ok(Frame::Data), &[&nothing]);
    }

    #[test]
    fn the_side_of_a_trade_is_the_makers() {
        let ns = 1_795_341_600_000_001_000i64;
        let one = message(
            "market_trades",
            5,
            &trade_event("update", &[("BTC-USD", 7, "9.5", "0.1", "SELL")]),
        );
        check(
            &[],
            &one,
            Ok(Frame::Data),
            &[&format!("trade BTC-USD buy 9.5 x 0.1 #7 @{ns}")],
        );

        // Newest first as it comes, oldest first as it is put out; what was seen comes once.
        let two = [
            ("ETH-USD", 9, "2", "1", "BUY"),
            ("ETH-USD", 8, "3", "1", "SELL"),
        ];
        let history = message("market_trades", 0, &trade_event("snapshot", &two[1..]));
        let both = message("market_trades", 1, &trade_event("snapshot", &two));
        let (old, new) = (
            format!("trade ETH-USD buy 3 x 1 #8 snapshot @{ns}"),
            format!("trade ETH-USD sell 2 x 1 #9 snapshot @{ns}"),
        );
        check(&[], &both, Ok(Frame::Data), &[&old, &new]);
        check(&[history], &both, Ok(Frame::Data), &[&new]);
    }

    #[test]
    fn tickers_with_best_prices_are_quotes() {
        for (fields, event) in [
            (
                r#","best_bid":"9.5","best_ask":"9.6","best_bid_quantity":"1","best_ask_quantity":"0.25""#,
                Some("9.5 x 1 / 9.6 x 0.25"),
            ),
            (
                r#","best_bid":"","best_ask":"9.6","best_bid_quantity":"","best_ask_quantity":"2""#,
                Some("0 x 0 / 9.6 x 2"),
            ),
            (
                r#","best_bid":"9.5","best_bid_quantity":"1""#,
                Some("9.5 x 1 / 0 x 0"),
            ),
            (
                r#","best_bid":"0","best_ask":null,"best_bid_quantity":"5""#,
                Some("0 x 0 / 0 x 0"),
            ),
            ("", None),
        ] {
            let event = event.map(|e| format!("quote BTC-USD {e} @{STAMP}"));
            let events: Vec<&str> = event.iter().map(String::as_str).collect();
            check(
                &[],
                &message("ticker", 4, &ticker_event(fields)),
                Ok(Frame::Data),
                &events,
            );
        }
    }

    #[test]
    fn what_is_no_data_is_told_apart() {
        let subscriptions = r#"{"subscriptions":{"level2":["BTC-USD"]}}"#;
        let heartbeat =
            r#"{"current_time":"2026-11-22 10:00:10.0 +0000 UTC m=+4.2","heartbeat_counter":42}"#;
        for (frame, outcome) in [
            (
                message("subscriptions", 1, subscriptions),
                Frame::Ack { id: None },
            ),
            (message("heartbeats", 1, heartbeat), Frame::Heartbeat),
            (
                message("candles", 1, r#"{"type":"update","candles":[]}"#),
                Frame::Ignored,
            ),
            (message("status", 1, "7"), Frame::Ignored),
            (message("ticker_batch", 1, &ticker_event("")), Frame::Data),
            (
                r#"{"type":"error","message":"NOPE-USD is not a valid product"}"#.to_owned(),
                Frame::Refused {
                    id: None,
                    reason: "NOPE-USD is not a valid product".to_owned(),
                },
            ),
        ] {
            check(&[], &frame, Ok(outcome), &[]);
        }
    }

    #[test]
    fn every_message_counts_in_the_sequence() {
        let snapshot = message(
            "l2_data",
            0,
            &book_event("snapshot", "BTC-USD", &[("bid", "9", "1")]),
        );
        let ack = message("subscriptions", 1, "{}");
        let candles = message("candles", 2, "{}");
        let update = |n| {
            message(
                "l2_data",
                n,
                &book_event("update", "BTC-USD", &[("bid", "9", "2")]),
            )
        };
        let change = format!("book BTC-USD bid 9 x 2 (0, 0) first last @{STAMP}");
        let before = [snapshot, ack, candles];
        check(&before, &update(3), Ok(Frame::Data), &[&change]);
        let stale = "BookStale { reason: SequenceGap, epoch: 1 }";
        check(&before, &update(4), Ok(Frame::Data), &[stale]);
        check(
            &before,
            &message("heartbeats", 4, "{}"),
            Ok(Frame::Heartbeat),
            &[stale],
        );
        check(&before, &update(1), Ok(Frame::Data), &[stale]);
    }

    #[test]
    fn what_cannot_be_read_is_rejected_and_breaks_its_book_only() {
        let snapshots = [
            message(
                "l2_data",
                0,
                &book_event("snapshot", "BTC-USD", &[("bid", "9", "1")]),
            ),
            message(
                "l2_data",
                1,
                &book_event("snapshot", "ETH-USD", &[("bid", "9", "1")]),
            ),
        ];
        let stale = "BookStale { reason: Rejected, epoch: 1 }";
        let book = |updates| message("l2_data", 2, &book_event("update", "ETH-USD", updates));
        let good = ("bid", "9", "2");
        for (frame, reject, events) in [
            ("".to_owned(), Reject::Json, &[][..]),
            ("[]".to_owned(), Reject::Field("channel"), &[]),
            (
                r#"{"channel":"ticker"}"#.to_owned(),
                Reject::Field("sequence_num"),
                &[],
            ),
            (
                book(&[good, ("bid", "9x", "1")]),
                Reject::Number("price_level"),
                &[stale],
            ),
            (
                book(&[good, ("bid", "9", "")]),
                Reject::Number("new_quantity"),
                &[stale],
            ),
            (
                book(&[good, ("ask", "9", "1")]),
                Reject::Field("side"),
                &[stale],
            ),
            (
                book(&[good, ("bid", "9999999999999999999", "1")]),
                Reject::Range,
                &[stale],
            ),
            (
                book(&[good]).replace("updates", "update"),
                Reject::Field("updates"),
                &[stale],
            ),
            (book(&[good]).replace("ETH", "NEW"), Reject::Symbol, &[]),
            (
                book(&[good]).replace("10:00:00", "10:99:00"),
                Reject::Field("timestamp"),
                &[],
            ),
            (
                message(
                    "market_trades",
                    2,
                    &trade_event("update", &[("BTC-USD", 1, "9", "1", "sell")]),
                ),
                Reject::Field("side"),
                &[],
            ),
            (
                message(
                    "market_trades",
                    2,
                    &trade_event(
                        "update",
                        &[
                            ("BTC-USD", 2, "9", "1", "SELL"),
                            ("BTC-USD", 1, "-", "1", "SELL"),
                        ],
                    ),
                ),
                Reject::Number("price"),
                &[],
            ),
            (
                message("market_trades", 2, &trade_event("again", &[])),
                Reject::Field("type"),
                &[],
            ),
            (
                message(
                    "ticker",
                    2,
                    &ticker_event(r#","best_bid":"x","best_bid_quantity":"1""#),
                ),
                Reject::Number("best_bid"),
                &[],
            ),
        ] {
            check(&snapshots, &frame, Err(reject), events);
        }
    }

    #[test]
    fn finer_digits_widen_the_scale_once_even_where_the_cursor_gives_up() {
        let before = [message(
            "l2_data",
            0,
            &book_event("snapshot", "BTC-USD", &[("bid", "9", "1")]),
        )];
        let levels = [("bid", "9.123456789", "1"), ("bid", "8", "1")];
        let frame = message("l2_data", 1, &book_event("update", "BTC-USD", &levels));
        let events = [
            "Rescale { price: 9, amount: 8 }".to_owned(),
            format!("book BTC-USD bid 9.123456789 x 1 (9, 0) first @{STAMP}"),
            format!("book BTC-USD bid 8 x 1 (0, 0) last @{STAMP}"),
        ];
        let events: Vec<&str> = events.iter().map(String::as_str).collect();
        check(&before, &frame, Ok(Frame::Data), &events);
        check(
            &before,
            &frame.replace(r#""8","#, r#""8", "#),
            Ok(Frame::Data),
            &events,
        );
    }

    #[test]
    fn the_recorded_conversation_gives_its_truth() {
        assert_eq!(testing::check_conversation(&mut Coinbase::default()), 0);
    }
}
