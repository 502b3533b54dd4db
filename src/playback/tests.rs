//! A recording's marks of trades that were held back: a replay has them where the run had them.

use super::*;
use crate::market::Kind;

const LISTING: &str = r#"{"symbols":[{"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT",
 "filters":[{"filterType":"PRICE_FILTER","tickSize":"0.01000000"},{"filterType":"LOT_SIZE","stepSize":"0.00001000"}]}]}"#;
const MISSED: &str = r#"[{"id":101,"price":"100.5","qty":"2","time":1795339200101,"isBuyerMaker":true},
 {"id":102,"price":"100.5","qty":"2","time":1795339200102,"isBuyerMaker":true},
 {"id":103,"price":"100.5","qty":"2","time":1795339200103,"isBuyerMaker":true}]"#;

fn http(t: i64, path: &str, body: &str) -> Line {
    let url = format!("https://api.binance.com{path}");
    let line = Line::new(t, "binance.rest", Dir::Http);
    line.with_url(url).with_text(body)
}

fn marked(t: i64, mark: &str, why: &str) -> Line {
    Line::new(t, "binance", Dir::Mark).with_mark(mark, "BTCUSDT", why)
}

fn frame(t: i64) -> Line {
    let text = format!(
        r#"{{"e":"trade","E":1795339200200,"s":"BTCUSDT","t":{t},"p":"100.5","q":"2","T":1795339200200,"m":true,"M":true}}"#
    );
    Line::new(t, "binance.ws.0", Dir::Recv).with_text(&text)
}

/// What a run records that begins with trades it missed; a frame's time is its trade's id.
fn recording(why: &str) -> Vec<Line> {
    let first = Line::new(1, mark::RECORDER, Dir::Mark);
    vec![
        first.with_mark(mark::RECORDING, "", "tickforge"),
        http(2, "/api/v3/exchangeInfo", LISTING),
        marked(3, mark::LISTED, "configured"),
        marked(3, mark::HELD, "100"),
        frame(103),
        http(
            104,
            "/api/v3/historicalTrades?symbol=BTCUSDT&fromId=101&limit=1000",
            MISSED,
        ),
        frame(105),
        marked(106, mark::MISSED, why),
        frame(107),
    ]
}

/// Its trades: id, whether it was missed, when it was received; and statuses as nothing of it.
fn played(lines: &[Line]) -> Vec<(u128, bool, i64)> {
    let mut playback = Playback::new(None, Vec::new()).expect("a playback");
    let mut seen = Vec::new();
    for line in lines {
        let outcome = playback.line(line, |event, _, _, _| {
            let id = match event.kind {
                Kind::Trade => event.trade().id,
                _ => 0,
            };
            seen.push((id, event.was_missed(), event.recv_ns));
        });
        let outcome = outcome.expect("a line of a recording");
        assert!(!matches!(outcome, Outcome::Rest(Err(_))), "{line:?}");
    }
    let ingest = &playback.metrics.ingest;
    let [decoded, delivered] = [&ingest.events_decoded, &ingest.events_delivered];
    assert_eq!(decoded.get(), delivered.get());
    seen
}

#[test]
fn what_was_fetched_stands_where_it_went_on() {
    assert_eq!(
        played(&recording(mark::FETCHED)),
        [
            (0, false, 3),
            (101, true, 106),
            (102, true, 106),
            (0, false, 106), // caught up
            (103, false, 103),
            (105, false, 105),
            (107, false, 107)
        ]
    );
}

#[test]
fn what_was_given_up_is_not_in_it() {
    assert_eq!(
        played(&recording("not done within 30s")),
        [
            (0, false, 3),
            (0, false, 106),
            (103, false, 103),
            (105, false, 105),
            (107, false, 107)
        ]
    );
}

#[test]
fn a_run_that_ended_before_puts_nothing_out() {
    let mut lines = recording(mark::FETCHED);
    lines.truncate(7);
    assert_eq!(played(&lines), [(0, false, 3)]);
}
