//! Bars from before the run: parsed at the scales of their time, handed over at those of another.
//! Trades that were missed: they go before those that are held back for them.

use super::*;
use crate::exchanges::by_name;
use crate::exchanges::output::MOST_HELD;
use crate::market::{Flags, Kind, Number, Side};

const MINUTE: i64 = 60_000_000_000;
const LISTING: &str = r#"{"symbols":[{"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT",
 "filters":[{"filterType":"PRICE_FILTER","tickSize":"0.01000000"},{"filterType":"LOT_SIZE","stepSize":"0.00001000"}]}]}"#;
const KLINES: &str =
    r#"[[1795339200000,"100.5","101","99.25","100","2",1795339259999,"201.5",3,"0.5","50.1","0"]]"#;

fn feed() -> (Feed, Arc<Registry>, IngestMetrics) {
    let registry = Arc::new(Registry::default());
    let channels = Channels {
        trades: true,
        aggregate_trades: false,
        quotes: true,
        book: true,
    };
    let exchange = by_name("binance").expect("an exchange");
    let mut feed = Feed::new(exchange, Arc::clone(&registry), channels);
    let listed = feed.exchange.parse_listing(LISTING.as_bytes());
    feed.list(listed.expect("a list"), |_| true);
    feed.out.events.clear();
    (feed, registry, IngestMetrics::default())
}

fn answer(feed: &mut Feed, metrics: &IngestMetrics, body: &str) -> Result<(), Reject> {
    let recv_ns = 1_795_339_300_000_000_000;
    feed.candles(recv_ns, "BTCUSDT", MINUTE, body.as_bytes(), metrics)
}

#[test]
fn bars_are_there_when_the_event_says_so() {
    let (mut feed, registry, metrics) = feed();
    assert_eq!(answer(&mut feed, &metrics, KLINES), Ok(()));
    assert!(feed.out.events.is_empty());
    feed.past("BTCUSDT", 7, &metrics);
    let events = std::mem::take(&mut feed.out.events);
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].kind, events[0].recv_ns), (Kind::Status, 7));
    assert_eq!(events[0].status(), Status::Past);
    let taken = registry.take_bars(events[0].instrument);
    assert_eq!((taken.len(), taken[0].0, taken[0].1.len()), (1, MINUTE, 1));
    let bar = taken[0].1[0];
    assert_eq!((bar.low, bar.volume), (9_925_000_000, 200_000_000));
    assert_eq!(bar.notional, 2_015_000_000_000_000_000);
}

#[test]
fn without_a_good_answer_the_event_comes_alone() {
    let (mut feed, registry, metrics) = feed();
    let refused = answer(&mut feed, &metrics, r#"{"code":-1,"msg":"no"}"#);
    assert_eq!(refused, Err(Reject::Refused));
    feed.past("BTCUSDT", 7, &metrics);
    feed.past("NOSUCH", 8, &metrics);
    assert_eq!(feed.out.events.len(), 1);
    assert!(registry.take_bars(0).is_empty());
    let unknown = feed.candles(7, "NOSUCH", MINUTE, KLINES.as_bytes(), &metrics);
    assert_eq!(unknown, Err(Reject::Symbol));
}

#[test]
fn a_scale_that_changed_meanwhile_changes_the_bars() {
    let (mut feed, registry, metrics) = feed();
    assert_eq!(answer(&mut feed, &metrics, KLINES), Ok(()));
    let finer = r#"{"u":1,"s":"BTCUSDT","b":"0.1234567891","B":"1","a":"0.1234567892","A":"1"}"#;
    let frame = feed.frame(0, 7, finer.as_bytes(), &metrics);
    assert_eq!(frame, Ok(Frame::Data));
    let rescaled = Status::Rescale {
        price: 10,
        amount: 8,
    };
    assert_eq!(feed.out.events[0].status(), rescaled);
    feed.past("BTCUSDT", 8, &metrics);
    let bar = registry.take_bars(0)[0].1[0];
    assert_eq!((bar.low, bar.volume), (992_500_000_000, 200_000_000));
    assert_eq!(bar.notional, 201_500_000_000_000_000_000);
}

fn trade(id: u32, buyer_is_maker: bool) -> String {
    let ms = 1_795_339_200_000 + u64::from(id);
    format!(
        r#"{{"e":"trade","E":{ms},"s":"BTCUSDT","t":{id},"p":"100.5","q":"2","T":{ms},"m":{buyer_is_maker},"M":true}}"#
    )
}

/// These came live, received at their ids.
fn live(feed: &mut Feed, metrics: &IngestMetrics, ids: impl IntoIterator<Item = u32>) {
    for id in ids {
        let frame = feed.frame(0, i64::from(id), trade(id, true).as_bytes(), metrics);
        assert_eq!(frame, Ok(Frame::Data));
    }
}

/// The answer by REST with these.
fn by_rest(ids: impl IntoIterator<Item = u32>, price: &str, buyer_is_maker: bool) -> String {
    let row = |id: u32| {
        let ms = 1_795_339_200_000 + u64::from(id);
        format!(
            r#"{{"id":{id},"price":"{price}","qty":"2","quoteQty":"1","time":{ms},"isBuyerMaker":{buyer_is_maker},"isBestMatch":true}}"#
        )
    };
    let rows: Vec<String> = ids.into_iter().map(row).collect();
    format!("[{}]", rows.join(","))
}

/// Id, whether it was missed, and when it was received.
fn put_out(feed: &mut Feed) -> Vec<(u128, bool, i64)> {
    let events = std::mem::take(&mut feed.out.events);
    let trades = events.iter().filter(|e| e.kind == Kind::Trade);
    let seen = trades.map(|e| (e.trade().id, e.was_missed(), e.recv_ns));
    seen.collect()
}

#[test]
fn what_was_missed_goes_before_what_was_held_back() {
    let (mut feed, _, metrics) = feed();
    feed.hold("BTCUSDT", 100);
    live(&mut feed, &metrics, [104, 105, 104]);
    assert!(feed.out.events.is_empty());
    let held = Held {
        oldest: Some(104),
        foreign: false,
    };
    assert_eq!(feed.held("BTCUSDT"), Some(held));
    let body = by_rest(99..=104, "100.5", true);
    let fetched = feed.trades("BTCUSDT", body.as_bytes());
    assert_eq!(fetched.map(|trades| trades.len()), Ok(6));
    assert!(feed.out.events.is_empty());
    feed.missed("BTCUSDT", 7_000, true, &metrics);
    let first = feed.out.events[0];
    assert_eq!(first.exchange_ns, 1_795_339_200_101_000_000);
    assert_eq!(first.side(), Side::Sell);
    assert_eq!(
        put_out(&mut feed),
        [
            (101, true, 7_000),
            (102, true, 7_000),
            (103, true, 7_000),
            (104, false, 104),
            (105, false, 105)
        ]
    );
    assert_eq!(metrics.events_duplicate.get(), 1, "sent twice");
    assert_eq!(feed.held("BTCUSDT"), None);
    live(&mut feed, &metrics, [104, 106]);
    assert_eq!(put_out(&mut feed), [(106, false, 106)]);
}

#[test]
fn without_a_live_trade_all_that_was_fetched_was_missed() {
    let (mut feed, _, metrics) = feed();
    feed.hold("BTCUSDT", 100);
    for ids in [101..=102, 102..=103] {
        let body = by_rest(ids, "100.5", true);
        assert!(feed.trades("BTCUSDT", body.as_bytes()).is_ok());
    }
    feed.missed("BTCUSDT", 9, true, &metrics);
    let missed = [(101, true, 9), (102, true, 9), (103, true, 9)];
    assert_eq!(put_out(&mut feed), missed);
}

#[test]
fn history_of_the_subscription_was_missed_too() {
    let (mut feed, _, metrics) = feed();
    feed.hold("BTCUSDT", 100);
    let number = Number::parse(b"2").expect("a number");
    for id in [102, 99] {
        let taker = Side::Buy;
        let put = feed
            .out
            .trade(0, 1, number, number, id, taker, Flags::SNAPSHOT);
        assert_eq!(put, Ok(()));
    }
    live(&mut feed, &metrics, [103]);
    let held = feed.held("BTCUSDT").expect("is held back");
    assert_eq!((held.oldest, held.foreign), (Some(102), false));
    let body = by_rest(101..=101, "100.5", true);
    assert!(feed.trades("BTCUSDT", body.as_bytes()).is_ok());
    feed.missed("BTCUSDT", 9, true, &metrics);
    let snapshot = |e: &Event| e.flags.has(Flags::SNAPSHOT);
    assert!(!feed.out.events.iter().any(snapshot));
    let seen = put_out(&mut feed);
    let seen: Vec<_> = seen.iter().map(|(id, missed, _)| (*id, *missed)).collect();
    assert_eq!(seen, [(101, true), (102, true), (103, false)]);
}

#[test]
fn where_it_is_given_up_the_stream_says_so() {
    let (mut feed, _, metrics) = feed();
    feed.hold("BTCUSDT", 100);
    live(&mut feed, &metrics, [104, 50]);
    assert!(feed.held("BTCUSDT").is_some_and(|held| held.foreign));
    let body = by_rest(101..=102, "100.5", true);
    assert!(feed.trades("BTCUSDT", body.as_bytes()).is_ok());
    feed.missed("BTCUSDT", 9, false, &metrics);
    assert_eq!(feed.out.events[0].status(), Status::Interrupted);
    assert_eq!(put_out(&mut feed), [(104, false, 104), (50, false, 50)]);
    // Nothing is held back any more.
    feed.missed("BTCUSDT", 9, true, &metrics);
    feed.missed("NOSUCH", 9, true, &metrics);
    assert!(feed.out.events.is_empty());
}

#[test]
fn what_is_held_back_is_bounded() {
    let (mut feed, _, metrics) = feed();
    feed.hold("BTCUSDT", 100);
    let most = MOST_HELD as u32;
    live(&mut feed, &metrics, 201..=200 + most - 1);
    assert!(feed.out.events.is_empty());
    live(&mut feed, &metrics, [200 + most]);
    assert_eq!(feed.out.events[0].status(), Status::Interrupted);
    let seen = put_out(&mut feed);
    assert_eq!((seen.len(), seen[0].0), (MOST_HELD, 201));
    assert_eq!(feed.held("BTCUSDT"), None);
    let decoded = metrics.events_decoded.get();
    assert_eq!(decoded, MOST_HELD as u64 + 1);
}

#[test]
fn a_finer_number_that_was_missed_changes_the_scale_of_all() {
    let (mut feed, _, metrics) = feed();
    feed.hold("BTCUSDT", 100);
    live(&mut feed, &metrics, [102]);
    let body = by_rest([101], "0.1234567891", true);
    assert!(feed.trades("BTCUSDT", body.as_bytes()).is_ok());
    feed.missed("BTCUSDT", 9, true, &metrics);
    let rescaled = Status::Rescale {
        price: 10,
        amount: 8,
    };
    let events = &feed.out.events;
    assert_eq!((events.len(), events[0].status()), (4, rescaled));
    assert_eq!(events[2].status(), Status::CaughtUp);
    let prices = [events[1].trade().price, events[3].trade().price];
    assert_eq!(prices, [1_234_567_891, 1_005_000_000_000]);
}

#[test]
fn a_trade_that_came_both_ways_tells_whose_side_rest_states() {
    let (mut feed, _, metrics) = feed();
    feed.hold("BTCUSDT", 100);
    live(&mut feed, &metrics, [102]);
    let body = by_rest(101..=102, "100.5", false);
    assert!(feed.trades("BTCUSDT", body.as_bytes()).is_ok());
    feed.missed("BTCUSDT", 9, true, &metrics);
    let trades = feed.out.events.iter().filter(|e| e.kind == Kind::Trade);
    let sides: Vec<_> = trades.map(Event::side).collect();
    assert_eq!(sides, [Side::Sell; 2]);
}
