//! HOT PATH. Coinbase's busiest messages, books and single trades, in the field order it uses.
//!
//! `None` is "not mine": nothing has changed then that [`Output::rollback`] would not undo, and the
//! complete path takes the frame. Called by `decode` on the ingest thread.

use super::super::cursor::Cursor;
use super::super::{Frame, Output, Reject, time};
use super::decode::{Print, put_trade, taker};
use crate::market::Side;
use crate::market::event::Flags;

/// `{"channel":"l2_data","timestamp":"…","sequence_num":9,"events":[{"type":"update",…}]}`, and the
/// same with `market_trades`. `client_id` is documented, and not always there.
#[inline]
pub(super) fn decode(frame: &[u8], out: &mut Output) -> Option<Result<Frame, Reject>> {
    let mut c = Cursor::new(frame);
    c.expect(br#"{"channel":""#)?;
    let is_book = c.accept(br#"l2_data""#);
    if !is_book {
        c.expect(br#"market_trades""#)?;
    }
    c.accept(br#","client_id":"""#);
    c.expect(br#","timestamp":""#)?;
    let exchange_ns = time::parse(c.text()?)?;
    c.expect(br#","sequence_num":"#)?;
    let sequence = c.integer()?;
    c.expect(br#","events":[{"type":""#)?;
    let snapshot = c.accept(br#"snapshot""#);
    if !snapshot {
        c.expect(br#"update""#)?;
    }
    // A hole breaks books, and this path could not take that back; nor may a frame be counted
    // before its end was seen, or a torn one would leave no hole.
    if !out.follows(sequence) {
        return None;
    }
    if is_book {
        let mark = out.mark();
        if book(c, exchange_ns, snapshot, out).is_none() {
            out.rollback(mark);
            return None;
        }
        out.sequence(sequence);
        out.book_end(None);
        Some(Ok(Frame::Data))
    } else {
        let print = trade(c, snapshot, out)?;
        out.sequence(sequence);
        Some(put_trade(print, out).map(|()| Frame::Data))
    }
}

/// `,"product_id":"BTC-USD","updates":[{"side":"bid","event_time":"…","price_level":"…",
/// "new_quantity":"…"},…]}]}`, without the line break.
#[inline]
fn book(mut c: Cursor, exchange_ns: i64, snapshot: bool, out: &mut Output) -> Option<()> {
    c.expect(br#","product_id":""#)?;
    let slot = out.slot(c.text()?).ok()?;
    c.expect(br#","updates":["#)?;
    if !out.book(slot, exchange_ns, 0, 0, snapshot) {
        return None;
    }
    let mut pen = out.pen()?;
    if !c.accept(b"]") {
        loop {
            c.expect(br#"{"side":""#)?;
            let side = if c.accept(br#"bid""#) {
                Side::Buy
            } else {
                c.expect(br#"offer""#)?;
                Side::Sell
            };
            c.expect(br#","event_time":""#)?;
            c.text()?;
            c.expect(br#","price_level":""#)?;
            let price = c.decimal()?;
            c.expect(br#","new_quantity":""#)?;
            let amount = c.decimal()?;
            c.expect(b"}")?;
            pen.level(side, price, amount)?;
            if !c.accept(b",") {
                break;
            }
        }
        c.expect(b"]")?;
    }
    c.expect(b"}]}")?;
    c.end()
}

/// `,"trades":[{"product_id":"BTC-USD","trade_id":"1","price":"…","size":"…","time":"…",
/// "side":"SELL"}]}]}`, without the line break.
#[inline]
fn trade(mut c: Cursor, snapshot: bool, out: &mut Output) -> Option<Print> {
    c.expect(br#","trades":[{"product_id":""#)?;
    let slot = out.slot(c.text()?).ok()?;
    c.expect(br#","trade_id":""#)?;
    let id = u128::from(c.integer()?);
    c.expect(br#"","price":""#)?;
    let price = c.decimal()?;
    c.expect(br#","size":""#)?;
    let amount = c.decimal()?;
    c.expect(br#","time":""#)?;
    let exchange_ns = time::parse(c.text()?)?;
    c.expect(br#","side":""#)?;
    let taker = taker(c.text()?)?;
    c.expect(b"}]}]}")?;
    c.end()?;
    let flags = Flags::default().with_if(snapshot, Flags::SNAPSHOT);
    Some(Print {
        slot,
        exchange_ns,
        price,
        amount,
        id,
        taker,
        flags,
    })
}

#[cfg(test)]
mod tests {
    use super::super::Coinbase;
    use super::super::decode::Decoder;
    use super::super::decode::tests::{NATIVES, book_event, message, trade_event};
    use super::*;
    use crate::exchanges::testing;
    use proptest::prelude::*;

    #[test]
    fn a_torn_frame_leaves_a_hole_in_the_sequence() {
        let mut exchange = Coinbase::default();
        let mut out = testing::output(&exchange, &NATIVES);
        let update = |n| {
            message(
                "l2_data",
                n,
                &book_event("update", "BTC-USD", &[("bid", "9", "2")]),
            )
        };
        let snapshot = message(
            "l2_data",
            0,
            &book_event("snapshot", "BTC-USD", &[("bid", "9", "1")]),
        );
        assert_eq!(
            testing::play(&mut exchange, &mut out, &snapshot),
            Ok(Frame::Data)
        );
        let torn = update(1);
        let torn = &torn[..torn.len() - 3];
        assert_eq!(
            testing::play(&mut exchange, &mut out, torn),
            Err(Reject::Json)
        );
        out.events.clear();
        assert_eq!(
            testing::play(&mut exchange, &mut out, &update(2)),
            Ok(Frame::Data)
        );
        assert_eq!(
            testing::describe(&out),
            ["BookStale { reason: SequenceGap, epoch: 1 }"]
        );
    }

    #[test]
    fn the_cursor_serves_what_it_was_made_for() {
        let mut exchange = Coinbase::default();
        let mut out = testing::output(&exchange, &NATIVES);
        let client = message(
            "l2_data",
            4,
            &book_event(
                "update",
                "BTC-USD",
                &[("bid", "9", "2"), ("offer", "10", "0")],
            ),
        );
        for (frame, cursor) in [
            (message("subscriptions", 0, "{}"), 0),
            (
                message(
                    "l2_data",
                    1,
                    &book_event("snapshot", "BTC-USD", &[("bid", "9", "1")]),
                ),
                1,
            ),
            (
                message(
                    "l2_data",
                    2,
                    &book_event("update", "BTC-USD", &[("offer", "9", "1")]),
                ),
                2,
            ),
            (
                message(
                    "market_trades",
                    3,
                    &trade_event("update", &[("BTC-USD", 7, "9", "1", "BUY")]),
                ),
                3,
            ),
            (
                client.replace(r#""l2_data","#, r#""l2_data","client_id":"","#),
                4,
            ),
            (
                message(
                    "l2_data",
                    5,
                    &book_event("update", "ETH-USD", &[("offer", "9", "1")]),
                ),
                4,
            ),
        ] {
            assert!(
                testing::play(&mut exchange, &mut out, &frame).is_ok(),
                "{frame}"
            );
            assert_eq!(out.cursor, cursor, "{frame}");
        }
        assert_eq!(out.simd_json, 2);
    }

    proptest! {
        #[test]
        fn both_paths_agree(which in 0usize..5, changes in testing::changes()) {
            let snapshot = message("l2_data", 0, &book_event("snapshot", "BTC-USD", &[("bid", "9", "1")]));
            let two = [("bid", "9.25", "1"), ("offer", "10.123456789", "0.5")];
            let frame = [
                message("l2_data", 1, &book_event("update", "BTC-USD", &two)),
                message("l2_data", 1, &book_event("snapshot", "ETH-USD", &two)),
                message("l2_data", 2, &book_event("update", "BTC-USD", &two)),
                message("market_trades", 1, &trade_event("update", &[("BTC-USD", 7, "9", "1", "BUY")])),
                message("market_trades", 1, &trade_event("snapshot", &[("ETH-USD", 7, "9.123456789", "1", "SELL")])),
            ];
            let changed = testing::mutate(&frame[which], &changes);
            let after = message("l2_data", 2, &book_event("update", "BTC-USD", &[("bid", "9", "3")]));
            let (mut fast, mut complete) = (Decoder::default(), Decoder::default());
            testing::check_same(
                &Coinbase::default(),
                &NATIVES,
                &[&snapshot, &changed, &after],
                &mut |frame, out| fast.decode(frame, out),
                &mut |frame, out| complete.by_simd_json(frame, out),
            );
        }
    }
}
