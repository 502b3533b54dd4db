//! HOT PATH. Kraken's books, trades, tickers and heartbeats, in the field order it uses.
//!
//! `None` is "not mine": nothing is put out before a frame's last byte was read, and the complete
//! path takes the frame. Called by `decode` on the ingest thread.

use super::super::cursor::Cursor;
use super::super::{Frame, Output, Reject, time};
use super::decode::{Decoder, Print, side, touch};
use crate::market::Side;

impl Decoder {
    #[inline]
    pub(super) fn by_cursor(
        &mut self,
        frame: &[u8],
        out: &mut Output,
    ) -> Option<Result<Frame, Reject>> {
        let mut c = Cursor::new(frame);
        c.expect(br#"{"channel":""#)?;
        match c.text()? {
            b"book" => self.book(c, out),
            b"trade" => self.trades(c, out),
            b"ticker" => ticker(c, out),
            b"heartbeat" => {
                c.expect(b"}")?;
                c.end()?;
                Some(Ok(Frame::Heartbeat))
            }
            _ => None,
        }
    }

    /// `,"type":"update","data":[{"symbol":"BTC/USD","bids":[{"price":91234.4,"qty":0.00000000}],
    /// "asks":[],"checksum":2114181697,"timestamp":"…"}]}`, without the line break.
    #[inline]
    fn book(&mut self, mut c: Cursor, out: &mut Output) -> Option<Result<Frame, Reject>> {
        let snapshot = head(&mut c)?;
        let slot = out.slot(c.text()?).ok()?;
        self.levels.clear();
        c.expect(br#","bids":["#)?;
        self.read_levels(&mut c, Side::Buy)?;
        c.expect(br#","asks":["#)?;
        self.read_levels(&mut c, Side::Sell)?;
        c.expect(br#","checksum":"#)?;
        let checksum = u32::try_from(c.integer()?).ok()?;
        c.expect(br#","timestamp":""#)?;
        let exchange_ns = time::parse(c.text()?)?;
        c.expect(b"}]}")?;
        c.end()?;
        if out.book(slot, exchange_ns, 0, 0, snapshot) {
            for &(side, price, amount) in &self.levels {
                if let Err(reject) = out.level(side, price, amount) {
                    return Some(Err(reject));
                }
            }
            out.book_end(Some(checksum));
        }
        Some(Ok(Frame::Data))
    }

    #[inline]
    fn read_levels(&mut self, c: &mut Cursor, side: Side) -> Option<()> {
        if c.accept(b"]") {
            return Some(());
        }
        loop {
            c.expect(br#"{"price":"#)?;
            let price = c.number()?;
            c.expect(br#","qty":"#)?;
            let amount = c.number()?;
            c.expect(b"}")?;
            self.levels.push((side, price, amount));
            if !c.accept(b",") {
                return c.expect(b"]");
            }
        }
    }

    /// `,"type":"update","data":[{"symbol":"BTC/USD","side":"buy","price":91234.5,"qty":0.01250000,
    /// "ord_type":"market","trade_id":81234567,"timestamp":"…"},…]}`
    #[inline]
    fn trades(&mut self, mut c: Cursor, out: &mut Output) -> Option<Result<Frame, Reject>> {
        let snapshot = head(&mut c)?;
        self.prints.clear();
        loop {
            let slot = out.slot(c.text()?).ok()?;
            c.expect(br#","side":""#)?;
            let taker = side(c.text()?)?;
            c.expect(br#","price":"#)?;
            let price = c.number()?;
            c.expect(br#","qty":"#)?;
            let amount = c.number()?;
            c.expect(br#","ord_type":""#)?;
            c.text()?;
            c.expect(br#","trade_id":"#)?;
            let id = u128::from(c.integer()?);
            c.expect(br#","timestamp":""#)?;
            let exchange_ns = time::parse(c.text()?)?;
            c.expect(b"}")?;
            self.prints.push(Print {
                slot,
                exchange_ns,
                price,
                amount,
                id,
                taker,
            });
            if !c.accept(br#",{"symbol":""#) {
                break;
            }
        }
        c.expect(b"]}")?;
        c.end()?;
        Some(self.put_trades(snapshot, out))
    }
}

/// `,"type":"update","data":[{"symbol":"`: whether it is a snapshot.
#[inline]
fn head(c: &mut Cursor) -> Option<bool> {
    c.expect(br#","type":""#)?;
    let snapshot = c.accept(br#"snapshot""#);
    if !snapshot {
        c.expect(br#"update""#)?;
    }
    c.expect(br#","data":[{"symbol":""#)?;
    Some(snapshot)
}

/// `,"type":"update","data":[{"symbol":"BTC/USD","bid":91234.4,"bid_qty":1.5,"ask":91234.5,
/// "ask_qty":0.2,"last":…,"volume":…,"vwap":…,"low":…,"high":…,"change":-1.5,"change_pct":-0.45,
/// "timestamp":"…"}]}`
#[inline]
fn ticker(mut c: Cursor, out: &mut Output) -> Option<Result<Frame, Reject>> {
    head(&mut c)?;
    let slot = out.slot(c.text()?).ok()?;
    c.expect(br#","bid":"#)?;
    let bid = c.number()?;
    c.expect(br#","bid_qty":"#)?;
    let bid_amount = c.number()?;
    c.expect(br#","ask":"#)?;
    let ask = c.number()?;
    c.expect(br#","ask_qty":"#)?;
    let ask_amount = c.number()?;
    for key in [
        &br#","last":"#[..],
        br#","volume":"#,
        br#","vwap":"#,
        br#","low":"#,
        br#","high":"#,
        br#","change":"#,
        br#","change_pct":"#,
    ] {
        c.expect_bytes(key)?;
        c.accept(b"-");
        c.number()?;
    }
    c.expect(br#","timestamp":""#)?;
    let exchange_ns = time::parse(c.text()?)?;
    c.expect(b"}]}")?;
    c.end()?;
    let quote = out.quote(
        slot,
        exchange_ns,
        0,
        touch(bid, bid_amount),
        touch(ask, ask_amount),
    );
    Some(quote.map(|()| Frame::Data))
}

#[cfg(test)]
mod tests {
    use super::super::Kraken;
    use super::super::decode::tests::{NATIVES, SNAPSHOT, TICKER, TRADES, UPDATE};
    use super::*;
    use crate::exchanges::testing;
    use proptest::prelude::*;

    #[test]
    fn the_cursor_serves_what_it_was_made_for() {
        let mut exchange = Kraken::default();
        let mut out = testing::output(&exchange, &NATIVES);
        for frame in [
            SNAPSHOT,
            UPDATE,
            TRADES,
            TICKER,
            r#"{"channel":"heartbeat"}"#,
        ] {
            assert!(
                testing::play(&mut exchange, &mut out, frame).is_ok(),
                "{frame}"
            );
        }
        assert_eq!((out.cursor, out.simd_json), (5, 0));
    }

    proptest! {
        #[test]
        fn both_paths_agree(which in 0usize..4, changes in testing::changes()) {
            let changed = testing::mutate([SNAPSHOT, UPDATE, TRADES, TICKER][which], &changes);
            let (mut fast, mut complete) = (Decoder::default(), Decoder::default());
            testing::check_same(
                &Kraken::default(),
                &NATIVES,
                &[SNAPSHOT, &changed, UPDATE],
                &mut |frame, out| fast.decode(frame, out),
                &mut |frame, out| complete.by_serde(frame, out),
            );
        }
    }
}
