//! Kraken's candles: `GET /0/public/OHLC`, oldest first, the open one at the end.
//!
//! Docs: <https://docs.kraken.com/api-reference/market-data/get-ohlc-data>. Up to 720 of the
//! newest entries that begin after `since`. The pair is named as `wsname` of the REST list has it.

use super::{in_the_list, today};
use crate::exchanges::candles::{
    Candle, MINUTE, SECOND, Turnover, bars, open_since_s, parameter, unread,
};
use crate::exchanges::{Reject, Rest};
use crate::market::{Bar, Scale};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

const PATH: &str = "/0/public/OHLC";
/// Candles in one answer, without the open one.
const MOST: u32 = 719;
/// Intervals of at most a day, minutes.
const INTERVALS: [i64; 7] = [1, 5, 15, 30, 60, 240, 1440];

pub fn path(native: &str, interval_ns: i64, count: u32, now_ns: i64) -> Option<String> {
    let minutes = minutes(interval_ns)?;
    let (base, quote) = native.split_once('/')?;
    let (base, quote) = (in_the_list(base), in_the_list(quote));
    let length_s = i64::from(count.min(MOST)) * minutes * 60;
    let since = open_since_s(interval_ns, now_ns) - length_s - 1;
    Some(format!(
        "{PATH}?pair={base}/{quote}&interval={minutes}&since={since}"
    ))
}

fn minutes(interval_ns: i64) -> Option<i64> {
    INTERVALS.into_iter().find(|m| m * MINUTE == interval_ns)
}

pub fn classify(url: &str) -> Option<Rest> {
    if !url.split('?').next()?.ends_with(PATH) {
        return None;
    }
    let (base, quote) = parameter(url, "pair")?.split_once('/')?;
    let asked: i64 = parameter(url, "interval")?.parse().ok()?;
    Some(Rest::Candles {
        native: format!("{}/{}", today(base), today(quote)),
        interval_ns: INTERVALS.into_iter().find(|m| *m == asked)? * MINUTE,
    })
}

/// `{"error":[],"result":{"XXBTZUSD":[[…],…],"last":1688672160}}`
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(default)]
    error: Vec<IgnoredAny>,
    #[serde(borrow)]
    result: Option<BTreeMap<String, &'a RawValue>>,
}

/// Begin in s, open, high, low, close, average price, volume, trades:
/// `[1688671200,"30306.1","30306.2","30305.7","30305.7","30306.1","3.39243896",23]`
type Row<'a> = (
    i64,
    &'a str,
    &'a str,
    &'a str,
    &'a str,
    &'a str,
    &'a str,
    u32,
);

pub fn parse(
    body: &[u8],
    interval_ns: i64,
    now_ns: i64,
    scales: (Scale, Scale),
) -> Result<Vec<Bar>, Reject> {
    let answer: Answer = serde_json::from_slice(body).map_err(|e| unread(&e, "result"))?;
    // `{"error":["EQuery:Unknown asset pair"]}`
    if !answer.error.is_empty() {
        return Err(Reject::Refused);
    }
    let result = answer.result.ok_or(Reject::Field("result"))?;
    let of_the_pair = result.iter().find(|(name, _)| *name != "last");
    let (_, rows) = of_the_pair.ok_or(Reject::Field("pair"))?;
    let rows: Vec<Row> = serde_json::from_str(rows.get()).map_err(|e| unread(&e, "pair"))?;
    let candles = rows.iter().map(|row| Candle {
        start_ns: row.0.saturating_mul(SECOND),
        open: row.1,
        high: row.2,
        low: row.3,
        close: row.4,
        volume: row.6,
        turnover: Turnover::AtVwap(row.5),
        trades: Some(row.7),
        taker_bought: None,
    });
    bars(candles, interval_ns, now_ns, scales)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchanges::Exchange;
    use crate::exchanges::kraken::Kraken;

    const BODY: &str = r#"{"error":[],"result":{"XXBTZUSD":[
        [1688671200,"30306.1","30306.2","30305.7","30305.7","30306.1","3.39243896",23],
        [1688671260,"30305.7","30305.7","30305.7","30305.7","0.0","0.00000000",0],
        [1688671320,"30304.5","30304.6","30300.0","30300.0","30300.2","2.00000000",9]],
        "last":1688671260}}"#;

    fn parsed(body: &str, now_ns: i64) -> Result<Vec<Bar>, Reject> {
        Kraken::default().parse_candles(body.as_bytes(), MINUTE, now_ns, 8, 8)
    }

    #[test]
    fn entries_become_bars() {
        let start_ns = 1_688_671_200 * SECOND;
        let first = Bar {
            start_ns,
            end_ns: start_ns + MINUTE,
            open: 3_030_610_000_000,
            high: 3_030_620_000_000,
            low: 3_030_570_000_000,
            close: 3_030_570_000_000,
            volume: 339_243_896,
            taker_buy_volume: 169_621_948,
            notional: 3_030_610_000_000 * 339_243_896,
            first_ns: start_ns,
            last_ns: start_ns + MINUTE - 1,
            trades: 23,
            late: 0,
            incomplete: false,
        };
        // The second one had no trade, the third one is open.
        let end_ns = start_ns + 3 * MINUTE;
        assert_eq!(parsed(BODY, end_ns - 1), Ok(vec![first]));
        let closed = parsed(BODY, end_ns).expect("bars");
        let seen: Vec<_> = closed.iter().map(|b| (b.end_ns, b.trades)).collect();
        assert_eq!(seen, [(first.end_ns, 23), (end_ns, 9)]);
    }

    #[test]
    fn other_answers_say_what_is_wrong() {
        for (body, reject) in [
            (
                r#"{"error":["EQuery:Unknown asset pair"]}"#,
                Reject::Refused,
            ),
            (r#"{"error":[]}"#, Reject::Field("result")),
            (r#"{"error":[],"result":{"last":1}}"#, Reject::Field("pair")),
            (
                r#"{"error":[],"result":{"A":[[1]]}}"#,
                Reject::Field("pair"),
            ),
            ("", Reject::Json),
        ] {
            assert_eq!(parsed(body, i64::MAX), Err(reject), "{body}");
        }
        let torn = BODY.replace("30306.2", "?");
        assert_eq!(parsed(&torn, i64::MAX), Err(Reject::Number("high")));
    }

    #[test]
    fn a_request_is_known_again() {
        let kraken = Kraken::default();
        let now_ns = 1_688_671_325 * SECOND;
        let path = |native, interval_ns, count| kraken.candles(native, interval_ns, count, now_ns);
        // The open one began at …320; ten before it begin at …720 at the earliest.
        let expected = "/0/public/OHLC?pair=XBT/USD&interval=1&since=1688670719";
        assert_eq!(path("BTC/USD", MINUTE, 10).as_deref(), Some(expected));
        let most = format!("since={}", 1_688_671_320 - 719 * 60 - 1);
        let far = path("ETH/EUR", MINUTE, 5_000);
        assert!(far.is_some_and(|p| p.ends_with(&most)));
        assert_eq!(path("BTC/USD", 3 * MINUTE, 10), None);
        for minutes in INTERVALS {
            let interval_ns = minutes * MINUTE;
            let path = path("DOGE/BTC", interval_ns, 9).expect("a path");
            let rest = Rest::Candles {
                native: "DOGE/BTC".to_owned(),
                interval_ns,
            };
            let url = format!("https://api.kraken.com{path}");
            assert_eq!(kraken.classify(&url), rest, "{url}");
        }
        let unknown = "https://api.kraken.com/0/public/OHLC?pair=XBT/USD&interval=21600";
        assert_eq!(kraken.classify(unknown), Rest::Other);
    }
}
