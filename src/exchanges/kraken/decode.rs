//! HOT PATH. A Kraken v2 frame becomes events.
//!
//! Kraken sends JSON numbers, and its book checksum is over their very text, trailing zeros
//! included. simd-json hands out a number as an integer or a float, without its text, so it cannot
//! be the complete path here: that is serde_json, borrowing each number's text as a [`RawValue`],
//! counted where other exchanges count simd-json. In front of it is `cursor`, for all data in
//! Kraken's usual field order. Kraken has no sequence: what a torn frame held of a book is missed
//! by the next checksum.
//!
//! Runs on the ingest thread. The cursor allocates only while its buffers grow; the complete path
//! allocates for each frame, and serves acks and what Kraken might change.

use super::super::output::SlotId;
use super::super::{Frame, Output, Reject, time};
use crate::market::event::Flags;
use crate::market::{Number, Side};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

pub(super) struct Print {
    pub(super) slot: SlotId,
    pub(super) exchange_ns: i64,
    pub(super) price: Number,
    pub(super) amount: Number,
    pub(super) id: u128,
    pub(super) taker: Side,
}

/// Both paths, with their buffers.
#[derive(Default)]
pub(super) struct Decoder {
    /// The book message under way. Its stamp and checksum come after its levels.
    pub(super) levels: Vec<(Side, Number, Number)>,
    /// The trades of the frame under way.
    pub(super) prints: Vec<Print>,
}

impl Decoder {
    #[inline]
    pub(super) fn decode(&mut self, frame: &[u8], out: &mut Output) -> Result<Frame, Reject> {
        if let Some(result) = self.by_cursor(frame, out) {
            out.cursor += 1;
            return result;
        }
        self.by_serde(frame, out)
    }

    pub(super) fn put_trades(&mut self, snapshot: bool, out: &mut Output) -> Result<Frame, Reject> {
        let flags = Flags::default().with_if(snapshot, Flags::SNAPSHOT);
        for p in self.prints.drain(..) {
            out.trade(
                p.slot,
                p.exchange_ns,
                p.price,
                p.amount,
                p.id,
                p.taker,
                flags,
            )?;
        }
        Ok(Frame::Data)
    }
}

pub(super) fn side(text: &[u8]) -> Option<Side> {
    match text {
        b"buy" => Some(Side::Buy),
        b"sell" => Some(Side::Sell),
        _ => None,
    }
}

/// An empty side of the touch is sent as zeros.
pub(super) fn touch(price: Number, amount: Number) -> Option<(Number, Number)> {
    (price.mantissa != 0).then_some((price, amount))
}

/// Any message: data has `channel`, an answer has `method`.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    channel: Cow<'a, str>,
    #[serde(borrow, default, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Cow<'a, str>,
    success: Option<bool>,
    error: Option<String>,
    req_id: Option<u64>,
}

/// What is read of an entry of `data`, of any channel.
#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    symbol: Cow<'a, str>,
    timestamp: Option<String>,
    #[serde(borrow)]
    bids: Option<Vec<Level<'a>>>,
    #[serde(borrow)]
    asks: Option<Vec<Level<'a>>>,
    checksum: Option<u32>,
    #[serde(default, borrow)]
    side: Cow<'a, str>,
    #[serde(borrow)]
    price: Option<&'a RawValue>,
    #[serde(borrow)]
    qty: Option<&'a RawValue>,
    trade_id: Option<u64>,
    #[serde(borrow)]
    bid: Option<&'a RawValue>,
    #[serde(borrow)]
    bid_qty: Option<&'a RawValue>,
    #[serde(borrow)]
    ask: Option<&'a RawValue>,
    #[serde(borrow)]
    ask_qty: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Level<'a> {
    #[serde(borrow)]
    price: Option<&'a RawValue>,
    #[serde(borrow)]
    qty: Option<&'a RawValue>,
}

impl Decoder {
    pub(super) fn by_serde(&mut self, frame: &[u8], out: &mut Output) -> Result<Frame, Reject> {
        out.simd_json += 1;
        let message: Message = serde_json::from_slice(frame).map_err(|e| unread(&e, "frame"))?;
        match &*message.channel {
            "book" => {
                let snapshot = is_snapshot(&message)?;
                entries(&message)?
                    .iter()
                    .try_for_each(|entry| book(entry, snapshot, out))?;
                Ok(Frame::Data)
            }
            "trade" => {
                let snapshot = is_snapshot(&message)?;
                self.prints.clear();
                for entry in &entries(&message)? {
                    self.prints.push(print(entry, out)?);
                }
                self.put_trades(snapshot, out)
            }
            "ticker" => {
                entries(&message)?
                    .iter()
                    .try_for_each(|entry| quote(entry, out))?;
                Ok(Frame::Data)
            }
            "heartbeat" => Ok(Frame::Heartbeat),
            "" => answered(message),
            // `status` too: whatever the matching engine's state, data goes on being what it is.
            _ => Ok(Frame::Ignored),
        }
    }
}

// COLD: answers to our own requests.
fn answered(message: Message) -> Result<Frame, Reject> {
    let id = message.req_id;
    if message.error.is_some() || message.success == Some(false) {
        let reason = message
            .error
            .unwrap_or_else(|| "no reason given".to_owned());
        return Ok(Frame::Refused { id, reason });
    }
    match &*message.method {
        "" => Err(Reject::Field("channel")),
        "pong" => Ok(Frame::Heartbeat),
        _ => Ok(Frame::Ack { id }),
    }
}

fn book(entry: &Entry, snapshot: bool, out: &mut Output) -> Result<(), Reject> {
    let slot = out.slot(entry.symbol.as_bytes())?;
    if !out.book(slot, stamp(entry)?, 0, 0, snapshot) {
        return Ok(());
    }
    // From here on an error tells the caller which book lost a message.
    let bids = entry.bids.as_ref().ok_or(Reject::Field("bids"))?;
    let asks = entry.asks.as_ref().ok_or(Reject::Field("asks"))?;
    let checksum = entry.checksum.ok_or(Reject::Field("checksum"))?;
    for (side, levels) in [(Side::Buy, bids), (Side::Sell, asks)] {
        for level in levels {
            out.level(
                side,
                number(level.price, "price")?,
                number(level.qty, "qty")?,
            )?;
        }
    }
    out.book_end(Some(checksum));
    Ok(())
}

fn print(entry: &Entry, out: &mut Output) -> Result<Print, Reject> {
    Ok(Print {
        slot: out.slot(entry.symbol.as_bytes())?,
        exchange_ns: stamp(entry)?,
        price: number(entry.price, "price")?,
        amount: number(entry.qty, "qty")?,
        id: u128::from(entry.trade_id.ok_or(Reject::Field("trade_id"))?),
        taker: side(entry.side.as_bytes()).ok_or(Reject::Field("side"))?,
    })
}

fn quote(entry: &Entry, out: &mut Output) -> Result<(), Reject> {
    let slot = out.slot(entry.symbol.as_bytes())?;
    let bid = touch(number(entry.bid, "bid")?, number(entry.bid_qty, "bid_qty")?);
    let ask = touch(number(entry.ask, "ask")?, number(entry.ask_qty, "ask_qty")?);
    out.quote(slot, stamp(entry)?, 0, bid, ask)
}

fn is_snapshot(message: &Message) -> Result<bool, Reject> {
    match &*message.kind {
        "snapshot" => Ok(true),
        "update" => Ok(false),
        _ => Err(Reject::Field("type")),
    }
}

fn entries<'a>(message: &Message<'a>) -> Result<Vec<Entry<'a>>, Reject> {
    let data = message.data.ok_or(Reject::Field("data"))?;
    serde_json::from_str(data.get()).map_err(|e| unread(&e, "data"))
}

/// Messages older than the field have no stamp.
fn stamp(entry: &Entry) -> Result<i64, Reject> {
    match &entry.timestamp {
        Some(text) => time::parse(text.as_bytes()).ok_or(Reject::Field("timestamp")),
        None => Ok(0),
    }
}

fn number(raw: Option<&RawValue>, field: &'static str) -> Result<Number, Reject> {
    let text = raw.ok_or(Reject::Field(field))?.get();
    Number::parse(text.as_bytes()).ok_or(Reject::Number(field))
}

/// What serde_json could not read: no JSON at all, or something of another type.
fn unread(error: &serde_json::Error, field: &'static str) -> Reject {
    if error.is_data() {
        Reject::Field(field)
    } else {
        Reject::Json
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::Kraken;
    use super::*;
    use crate::exchanges::testing;

    pub const NATIVES: [&str; 2] = ["BTC/USD", "ETH/USD"];
    pub const SNAPSHOT: &str = r#"{"channel":"book","type":"snapshot","data":[{"symbol":"BTC/USD","bids":[{"price":91234.4,"qty":1.50000000}],"asks":[{"price":91234.5,"qty":0.20000000}],"checksum":2439117997,"timestamp":"2026-11-22T10:00:00.000000Z"}]}"#;
    pub const UPDATE: &str = r#"{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[{"price":91234.4,"qty":0.00000000},{"price":91234.4,"qty":0.10}],"asks":[],"checksum":2114181697,"timestamp":"2026-11-22T10:00:00.050000Z"}]}"#;
    pub const TRADES: &str = r#"{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"buy","price":91234.5,"qty":0.01250000,"ord_type":"market","trade_id":81234567,"timestamp":"2026-11-22T10:00:00.123456Z"},{"symbol":"ETH/USD","side":"sell","price":2000.12,"qty":3,"ord_type":"limit","trade_id":5,"timestamp":"2026-11-22T10:00:00.123456Z"}]}"#;
    pub const TICKER: &str = r#"{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","bid":91234.4,"bid_qty":1.5,"ask":91234.5,"ask_qty":0.2,"last":91234.5,"volume":1532.1,"vwap":90987.6,"low":90010.0,"high":92050.0,"change":-412.5,"change_pct":-0.45,"timestamp":"2026-11-22T10:00:00.123456Z"}]}"#;

    /// After `before` (whose events are not looked at), `frame` gives this outcome and these
    /// events.
    fn check(before: &[&str], frame: &str, outcome: Result<Frame, Reject>, events: &[&str]) {
        let mut exchange = Kraken::default();
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

    #[test]
    fn books_keep_the_digits_that_the_checksum_is_over() {
        let snapshot = [
            "book BTC/USD bid 91234.4 x 1.5 (1, 8) snapshot first @1795341600000000000",
            "book BTC/USD ask 91234.5 x 0.2 (1, 8) snapshot last crc 2439117997 @1795341600000000000",
        ];
        // The same price twice: both, in their order.
        let update = [
            "book BTC/USD bid 91234.4 x 0 (1, 8) first @1795341600050000000",
            "book BTC/USD bid 91234.4 x 0.1 (1, 2) last crc 2114181697 @1795341600050000000",
        ];
        check(&[], SNAPSHOT, Ok(Frame::Data), &snapshot);
        check(&[], UPDATE, Ok(Frame::Data), &[]);
        check(&[SNAPSHOT], UPDATE, Ok(Frame::Data), &update);
        // The complete path, and several entries in a message.
        check(
            &[SNAPSHOT],
            &UPDATE.replace(":[", ": ["),
            Ok(Frame::Data),
            &update,
        );
        let entry = &SNAPSHOT[SNAPSHOT.find(r#"{"symbol"#).expect("an entry")..SNAPSHOT.len() - 2];
        let two = SNAPSHOT.replace(entry, &format!("{entry},{}", entry.replace("BTC", "ETH")));
        let other = snapshot.map(|e| e.replace("BTC", "ETH"));
        check(
            &[],
            &two,
            Ok(Frame::Data),
            &[snapshot[0], snapshot[1], &other[0], &other[1]],
        );
        // A stamp is no must.
        let bare = UPDATE.replace(r#","timestamp":"2026-11-22T10:00:00.050000Z""#, "");
        let unstamped = update.map(|e| e.replace("@1795341600050000000", "@0"));
        check(
            &[SNAPSHOT],
            &bare,
            Ok(Frame::Data),
            &[&unstamped[0], &unstamped[1]],
        );
    }

    #[test]
    fn trades_carry_the_takers_side() {
        let events = [
            "trade BTC/USD buy 91234.5 x 0.0125 #81234567 @1795341600123456000",
            "trade ETH/USD sell 2000.12 x 3 #5 @1795341600123456000",
        ];
        check(&[], TRADES, Ok(Frame::Data), &events);
        check(&[], &TRADES.replace(",", " ,"), Ok(Frame::Data), &events);
        check(&[TRADES], TRADES, Ok(Frame::Data), &[]);
        let history = events.map(|e| e.replace(" @", " snapshot @"));
        check(
            &[],
            &TRADES.replace("update", "snapshot"),
            Ok(Frame::Data),
            &[&history[0], &history[1]],
        );
    }

    #[test]
    fn tickers_are_quotes() {
        check(
            &[],
            TICKER,
            Ok(Frame::Data),
            &["quote BTC/USD 91234.4 x 1.5 / 91234.5 x 0.2 @1795341600123456000"],
        );
        let empty = TICKER.replace(r#""bid":91234.4,"bid_qty":1.5"#, r#""bid":0.0,"bid_qty":0"#);
        let small = TICKER.replace("1.5,", "1.5e-05,");
        check(
            &[],
            &empty,
            Ok(Frame::Data),
            &["quote BTC/USD 0 x 0 / 91234.5 x 0.2 @1795341600123456000"],
        );
        check(
            &[],
            &small,
            Ok(Frame::Data),
            &["quote BTC/USD 91234.4 x 0.000015 / 91234.5 x 0.2 @1795341600123456000"],
        );
    }

    #[test]
    fn what_is_no_data_is_told_apart() {
        let refused = |id, reason: &str| Frame::Refused {
            id,
            reason: reason.to_owned(),
        };
        for (frame, outcome) in [
            (
                r#"{"method":"subscribe","result":{"channel":"book","symbol":"BTC/USD","depth":10,"snapshot":true},"success":true,"time_in":"2026-11-22T10:00:00.100000Z","time_out":"2026-11-22T10:00:00.100100Z","req_id":4}"#,
                Frame::Ack { id: Some(4) },
            ),
            (
                r#"{"method":"unsubscribe","success":true}"#,
                Frame::Ack { id: None },
            ),
            (
                r#"{"method":"subscribe","success":false,"error":"Currency pair not supported FOO/USD","symbol":"FOO/USD","req_id":4}"#,
                refused(Some(4), "Currency pair not supported FOO/USD"),
            ),
            (
                r#"{"error":"Exceeded msg rate","success":false}"#,
                refused(None, "Exceeded msg rate"),
            ),
            (
                r#"{"method":"pong","req_id":101,"time_in":"x","time_out":"y"}"#,
                Frame::Heartbeat,
            ),
            (r#"{"channel":"heartbeat"}"#, Frame::Heartbeat),
            (r#"{ "channel":"heartbeat" }"#, Frame::Heartbeat),
            (
                r#"{"channel":"status","type":"update","data":[{"system":"maintenance","api_version":"v2","connection_id":12345678901234567890,"version":"2.0.x"}]}"#,
                Frame::Ignored,
            ),
            (
                r#"{"channel":"instrument","type":"snapshot","data":{"assets":[],"pairs":[]}}"#,
                Frame::Ignored,
            ),
            (
                r#"{"channel":"ohlc","type":"update","data":[]}"#,
                Frame::Ignored,
            ),
        ] {
            check(&[], frame, Ok(outcome), &[]);
        }
    }

    #[test]
    fn what_cannot_be_read_is_rejected_and_breaks_its_book() {
        let stale = &["BookStale { reason: Rejected, epoch: 1 }"][..];
        for (frame, reject, events) in [
            (String::new(), Reject::Json, &[][..]),
            (UPDATE[..90].to_owned(), Reject::Json, &[]),
            ("{}".to_owned(), Reject::Field("channel"), &[]),
            (
                r#"[336,{"a":[]},"book-10","XBT/USD"]"#.to_owned(),
                Reject::Field("frame"),
                &[],
            ),
            (
                r#"{"channel":"book","type":"update"}"#.to_owned(),
                Reject::Field("data"),
                &[],
            ),
            (
                UPDATE.replace("update", "delta"),
                Reject::Field("type"),
                &[],
            ),
            (UPDATE.replace("BTC/USD", "FOO/USD"), Reject::Symbol, &[]),
            (
                UPDATE.replace(r#""symbol""#, r#""name""#),
                Reject::Field("data"),
                &[],
            ),
            (
                UPDATE.replace("0.10}", r#""0.10"}"#),
                Reject::Number("qty"),
                stale,
            ),
            (
                UPDATE.replace("0.10}", "null}"),
                Reject::Field("qty"),
                stale,
            ),
            (
                UPDATE.replace(r#""qty":0.10"#, r#""q":0.10"#),
                Reject::Field("qty"),
                stale,
            ),
            (
                UPDATE.replace("0.10}", "99999999999999999999}"),
                Reject::Number("qty"),
                stale,
            ),
            (
                UPDATE.replace("0.10}", "9999999999999999999}"),
                Reject::Range,
                stale,
            ),
            (
                UPDATE.replace(r#""asks""#, r#""offers""#),
                Reject::Field("asks"),
                stale,
            ),
            (
                UPDATE.replace("checksum", "crc"),
                Reject::Field("checksum"),
                stale,
            ),
            (
                UPDATE.replace("2114181697", "4294967296"),
                Reject::Field("data"),
                &[],
            ),
            (
                UPDATE.replace("10:00", "25:00"),
                Reject::Field("timestamp"),
                &[],
            ),
            (TRADES.replace("sell", "SELL"), Reject::Field("side"), &[]),
            (
                TRADES.replace(r#""trade_id":5"#, r#""trade_id":null"#),
                Reject::Field("trade_id"),
                &[],
            ),
            (
                TICKER.replace(r#""bid":91234.4,"#, ""),
                Reject::Field("bid"),
                &[],
            ),
        ] {
            check(&[SNAPSHOT], &frame, Err(reject), events);
        }
    }

    #[test]
    fn the_recorded_conversation_gives_its_truth_and_each_checksum_holds() {
        assert_eq!(testing::check_conversation(&mut Kraken::default()), 22);
    }
}
