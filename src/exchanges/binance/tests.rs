//! Frames of Binance's documentation, and the two decode paths against each other.

use super::*;
use crate::market::{Event, Kind, Registry, Status};
use proptest::prelude::*;
use std::sync::Arc;

const LISTING: &str = r#"{"symbols":[{"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT",
 "filters":[{"filterType":"PRICE_FILTER","minPrice":"0.01","maxPrice":"1000000.00","tickSize":"0.01000000"},
 {"filterType":"LOT_SIZE","minQty":"0.00001000","maxQty":"9000.00000000","stepSize":"0.00001000"}]}]}"#;

const TRADE: &str = r#"{"stream":"btcusdt@trade","data":{"e":"trade","E":1795339200123,"s":"BTCUSDT","t":5012345678,"p":"91234.56000000","q":"0.01250000","T":1795339200121,"m":true,"M":true}}"#;
const AGGREGATE: &str = r#"{"e":"aggTrade","E":1795339200123,"s":"BTCUSDT","a":77,"p":"91234.56","q":"0.5","f":1,"l":3,"T":1795339200121,"m":false,"M":true}"#;
const QUOTE: &str = r#"{"u":61234567890,"s":"BTCUSDT","b":"91234.55000000","B":"1.20000000","a":"91234.56000000","A":"0.45000000"}"#;
const DEPTH: &str = r#"{"e":"depthUpdate","E":1795339200200,"s":"BTCUSDT","U":11,"u":12,"b":[["91234.55000000","1.20000000"]],"a":[["91240.00000000","0.00000000"]]}"#;

fn output() -> (Binance, Output) {
    let binance = Binance::default();
    let mut out = Output::new(binance.book_rule(), Arc::new(Registry::default()));
    for instrument in binance
        .parse_listing(LISTING.as_bytes())
        .expect("a listing")
    {
        out.add(instrument);
    }
    out.events.clear();
    (binance, out)
}

fn decode(binance: &mut Binance, out: &mut Output, frame: &str) -> Result<Frame, Reject> {
    out.begin(0, 7);
    let mark = out.mark();
    let result = binance.decode(frame.as_bytes(), out);
    if result.is_err() {
        out.reject(mark);
    }
    result
}

fn snapshot(binance: &mut Binance, out: &mut Output, id: u64) {
    let body = format!(
        r#"{{"lastUpdateId":{id},"bids":[["91234.00","1.0"]],"asks":[["91240.00","2.0"]]}}"#
    );
    binance
        .decode_snapshot("BTCUSDT", body.as_bytes(), out)
        .expect("a snapshot");
}

#[test]
fn the_documented_frames() {
    let (mut b, mut out) = output();
    assert_eq!(decode(&mut b, &mut out, TRADE), Ok(Frame::Data));
    let e = out.events[0];
    let t = e.trade();
    assert_eq!(
        (t.price, t.amount, t.id, t.taker),
        (9_123_456_000_000, 1_250_000, 5_012_345_678, Side::Sell)
    );
    assert_eq!((e.exchange_ns, e.recv_ns), (1_795_339_200_121_000_000, 7));
    assert_eq!(decode(&mut b, &mut out, AGGREGATE), Ok(Frame::Data));
    assert!(out.events[1].flags.has(Flags::AGGREGATE));
    assert_eq!(out.events[1].trade().taker, Side::Buy);
    assert_eq!(decode(&mut b, &mut out, QUOTE), Ok(Frame::Data));
    let q = out.events[2].quote();
    assert_eq!(
        (q.bid, q.ask_amount, out.events[2].update_id),
        (9_123_455_000_000, 45_000_000, 61_234_567_890)
    );
    assert_eq!(out.cursor, 3);
    assert_eq!(decode(&mut b, &mut out, TRADE), Ok(Frame::Data));
    assert_eq!(
        (out.events.len(), out.counts.duplicates),
        (3, 1),
        "a repeated id is dropped"
    );
}

#[test]
fn control_frames_and_rubbish() {
    let (mut b, mut out) = output();
    let cases = [
        (r#"{"result":null,"id":7}"#, Ok(Frame::Ack { id: Some(7) })),
        (
            r#"{"error":{"code":2,"msg":"bad"},"id":8}"#,
            Ok(Frame::Refused {
                id: Some(8),
                reason: "bad".into(),
            }),
        ),
        (r#"{"e":"serverShutdown","E":1}"#, Ok(Frame::ShuttingDown)),
        (
            r#"{"stream":"x@kline_1m","data":{"e":"kline","E":1,"s":"BTCUSDT"}}"#,
            Ok(Frame::Ignored),
        ),
        ("{", Err(Reject::Json)),
        (
            r#"{"e":"trade","s":"BTCUSDT","t":1,"p":"x","q":"1","T":1,"m":true}"#,
            Err(Reject::Number("p")),
        ),
        (
            r#"{"e":"trade","s":"NOPE","t":1,"p":"1","q":"1","T":1,"m":true}"#,
            Err(Reject::Symbol),
        ),
        (
            r#"{"e":"trade","s":"BTCUSDT","t":1,"p":"1","q":"1","T":1}"#,
            Err(Reject::Field("m")),
        ),
    ];
    for (frame, expected) in cases {
        assert_eq!(decode(&mut b, &mut out, frame), expected, "{frame}");
        assert!(out.events.is_empty(), "{frame}");
    }
}

/// Names of what the events say, for reading a sequence at a glance.
fn story(events: &[Event]) -> Vec<String> {
    let tell = |e: &Event| match e.kind {
        Kind::Status => match e.status() {
            Status::BookStale { reason, epoch } => format!("stale {} {epoch}", reason.name()),
            other => format!("{other:?}"),
        },
        _ if e.flags.has(Flags::SNAPSHOT) => format!("snapshot {}", e.update_id),
        _ => format!("diff {}", e.update_id),
    };
    let mut told: Vec<String> = events.iter().map(tell).collect();
    told.dedup();
    told
}

fn depth(first: u64, last: u64) -> String {
    format!(
        r#"{{"e":"depthUpdate","E":1795339200200,"s":"BTCUSDT","U":{first},"u":{last},"b":[["91234.5","1.2"]],"a":[]}}"#
    )
}

#[test]
fn a_snapshot_joins_the_diffs_that_waited() {
    let (mut b, mut out) = output();
    for (first, last) in [(11, 12), (13, 15), (16, 16)] {
        decode(&mut b, &mut out, &depth(first, last)).expect("a diff");
    }
    assert!(out.events.is_empty());
    assert_eq!(out.wants.len(), 1, "one snapshot is asked for");
    snapshot(&mut b, &mut out, 5);
    assert_eq!(out.wants.len(), 2, "too old: asked for again");
    snapshot(&mut b, &mut out, 13);
    assert_eq!(story(&out.events), ["snapshot 13", "diff 15", "diff 16"]);
    out.events.clear();
    decode(&mut b, &mut out, &depth(16, 16)).expect("old");
    decode(&mut b, &mut out, &depth(17, 18)).expect("next");
    assert_eq!(story(&out.events), ["diff 18"]);
    out.events.clear();
    decode(&mut b, &mut out, &depth(20, 21)).expect("after a hole");
    assert_eq!(story(&out.events), ["stale sequence_gap 1"]);
    decode(&mut b, &mut out, &depth(22, 22)).expect("waits");
    out.events.clear();
    snapshot(&mut b, &mut out, 20);
    assert_eq!(story(&out.events), ["snapshot 20", "diff 21", "diff 22"]);
}

#[test]
fn finer_digits_widen_the_scale_before_the_message() {
    let (mut b, mut out) = output();
    snapshot(&mut b, &mut out, 10);
    out.events.clear();
    let frame = r#"{"e":"depthUpdate","E":1795339200200,"s":"BTCUSDT","U":11,"u":11,"b":[["1.5","1.0"],["0.1234567891","2.0"]],"a":[]}"#;
    decode(&mut b, &mut out, frame).expect("a diff");
    assert_eq!(
        out.events[0].status(),
        Status::Rescale {
            price: 10,
            amount: 8
        }
    );
    assert_eq!(out.events[1].delta().price, 15_000_000_000);
    assert_eq!(out.events[2].delta().price, 1_234_567_891);
    assert!(out.events[1].flags.has(Flags::FIRST) && out.events[2].flags.has(Flags::LAST));
    let huge = r#"{"u":1,"s":"BTCUSDT","b":"1.5","B":"500000000000","a":"1.6","A":"1"}"#;
    out.events.clear();
    decode(&mut b, &mut out, huge).expect("a quote");
    let q = out.events.last().expect("a quote").quote();
    let Status::Rescale { price: 10, amount } = out.events[0].status() else {
        panic!("narrowed")
    };
    assert_eq!(q.bid_amount, 500_000_000_000 * 10i64.pow(u32::from(amount)));
    assert_eq!(q.ask_amount, 10i64.pow(u32::from(amount)));
}

#[test]
fn finer_digits_beside_a_value_too_large_for_them_are_rounded() {
    let (mut b, mut out) = output();
    snapshot(&mut b, &mut out, 10);
    out.events.clear();
    // At nine decimals the first amount would fit no i64.
    let frame = r#"{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":11,"u":11,"b":[["2","10000000000"],["1","0.123456789"]],"a":[]}"#;
    decode(&mut b, &mut out, frame).expect("a diff");
    let seen: Vec<_> = out
        .events
        .iter()
        .map(|e| (e.delta().amount, e.flags.has(Flags::INEXACT)))
        .collect();
    assert_eq!(
        seen,
        [(1_000_000_000_000_000_000, false), (12_345_679, true)]
    );
    assert_eq!(out.counts.inexact, 1);
}

#[test]
fn a_quote_is_known_by_its_stream_alone() {
    let (mut b, mut out) = output();
    let other =
        r#"{"stream":"other","data":{"u":1,"s":"BTCUSDT","b":"1","B":"1","a":"2","A":"1"}}"#;
    assert_eq!(decode(&mut b, &mut out, other), Ok(Frame::Ignored));
    let quote = other.replace("other", "btcusdt@bookTicker");
    assert_eq!(decode(&mut b, &mut out, &quote), Ok(Frame::Data));
    assert_eq!((out.events.len(), out.cursor), (1, 1));
}

#[test]
fn a_broken_message_breaks_its_book_only() {
    let (mut b, mut out) = output();
    snapshot(&mut b, &mut out, 10);
    out.events.clear();
    let frame = r#"{"e":"depthUpdate","E":1795339200200,"s":"BTCUSDT","U":11,"u":11,"b":[["1.5","1.0"],["oops","2.0"]],"a":[]}"#;
    assert_eq!(decode(&mut b, &mut out, frame), Err(Reject::Number("b")));
    assert_eq!(story(&out.events), ["stale rejected 1"]);
}

proptest! {
    /// Whatever bytes come: the cursor's answer is the complete path's.
    #[test]
    fn both_paths_agree(
        which in 0usize..4,
        at in 0usize..200,
        with in prop::collection::vec(prop::sample::select(b"0123456789.,:\"{}[]eEtru -+\\x".to_vec()), 0..4),
        cut in 0usize..3,
    ) {
        let mut frame = [TRADE, AGGREGATE, QUOTE, DEPTH][which].as_bytes().to_vec();
        let at = at.min(frame.len());
        let end = (at + cut).min(frame.len());
        frame.splice(at..end, with);
        let (_, mut quick) = output();
        let (mut judge, mut slow) = output();
        for out in [&mut quick, &mut slow] {
            snapshot(&mut judge, out, 10);
            out.events.clear();
            out.begin(0, 7);
        }
        if let Some(result) = fast(&frame, &mut quick) {
            let complete = judge.json.parse(&frame, |root| complete(&root, &mut slow));
            prop_assert_eq!(result.map(|()| Frame::Data), complete);
            prop_assert_eq!(&quick.events, &slow.events);
        }
    }
}
