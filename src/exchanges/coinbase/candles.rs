//! Coinbase's candles: `GET /api/v3/brokerage/market/products/{product_id}/candles`, newest first.
//!
//! Docs: "Get Public Product Candles" of <https://docs.cdp.coinbase.com/api-reference>. A range that
//! holds 350 candles or more is refused. Neither trades nor amounts of quote are given.

use super::LISTING;
use crate::exchanges::candles::{
    Candle, HOUR, Intervals, MINUTE, SECOND, Turnover, bars, interval_of, name_of, open_since_s,
    parameter, unread,
};
use crate::exchanges::{Reject, Rest};
use crate::market::{Bar, Scale};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// Candles in one answer.
const MOST: u32 = 349;

const INTERVALS: &Intervals = &[
    (MINUTE, "ONE_MINUTE"),
    (5 * MINUTE, "FIVE_MINUTE"),
    (15 * MINUTE, "FIFTEEN_MINUTE"),
    (30 * MINUTE, "THIRTY_MINUTE"),
    (HOUR, "ONE_HOUR"),
    (2 * HOUR, "TWO_HOUR"),
    (4 * HOUR, "FOUR_HOUR"),
    (6 * HOUR, "SIX_HOUR"),
    (24 * HOUR, "ONE_DAY"),
];

pub fn path(native: &str, interval_ns: i64, count: u32, now_ns: i64) -> Option<String> {
    let granularity = name_of(INTERVALS, interval_ns)?;
    let open_since = open_since_s(interval_ns, now_ns);
    let start = open_since - i64::from(count.min(MOST)) * (interval_ns / SECOND);
    // Those that begin at both ends are in the answer.
    let end = open_since - 1;
    Some(format!(
        "{LISTING}/{native}/candles?granularity={granularity}&start={start}&end={end}"
    ))
}

pub fn classify(url: &str) -> Option<Rest> {
    let path = url.split('?').next()?;
    let (_, product) = path.split_once(LISTING)?;
    let native = product.strip_prefix('/')?.strip_suffix("/candles")?;
    Some(Rest::Candles {
        native: native.to_owned(),
        interval_ns: interval_of(INTERVALS, parameter(url, "granularity")?)?,
    })
}

#[derive(Deserialize)]
struct Answer<'a> {
    error: Option<IgnoredAny>,
    #[serde(borrow)]
    candles: Option<Vec<Row<'a>>>,
}

/// `{"start":"1639508040","low":"140.21","high":"141.5","open":"140.5","close":"141","volume":"56"}`
#[derive(Deserialize)]
struct Row<'a> {
    /// s since the epoch.
    start: &'a str,
    low: &'a str,
    high: &'a str,
    open: &'a str,
    close: &'a str,
    volume: &'a str,
}

pub fn parse(
    body: &[u8],
    interval_ns: i64,
    now_ns: i64,
    scales: (Scale, Scale),
) -> Result<Vec<Bar>, Reject> {
    let answer: Answer = serde_json::from_slice(body).map_err(|e| unread(&e, "candles"))?;
    // `{"error":"INVALID_ARGUMENT","error_details":"…","message":"…"}`
    if answer.error.is_some() {
        return Err(Reject::Refused);
    }
    let rows = answer.candles.ok_or(Reject::Field("candles"))?;
    let candles: Vec<Candle> = rows.iter().map(candle).collect::<Result<_, _>>()?;
    bars(candles, interval_ns, now_ns, scales)
}

fn candle<'a>(row: &Row<'a>) -> Result<Candle<'a>, Reject> {
    let start: i64 = row.start.parse().map_err(|_| Reject::Number("start"))?;
    Ok(Candle {
        start_ns: start.saturating_mul(SECOND),
        open: row.open,
        high: row.high,
        low: row.low,
        close: row.close,
        volume: row.volume,
        turnover: Turnover::Typical,
        trades: None,
        taker_bought: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchanges::Exchange;
    use crate::exchanges::coinbase::Coinbase;

    const BODY: &str = r#"{"candles":[
        {"start":"1639508160","low":"140.2","high":"140.3","open":"140.21","close":"140.22","volume":"7"},
        {"start":"1639508100","low":"140.00","high":"141.50","open":"140.50","close":"141.00","volume":"56.4"},
        {"start":"1639508040","low":"140.21","high":"140.21","open":"140.21","close":"140.21","volume":"2"}]}"#;

    fn parsed(body: &str, now_ns: i64) -> Result<Vec<Bar>, Reject> {
        Coinbase::default().parse_candles(body.as_bytes(), MINUTE, now_ns, 8, 8)
    }

    #[test]
    fn candles_become_bars() {
        let start_ns = 1_639_508_100 * SECOND;
        let second = Bar {
            start_ns,
            end_ns: start_ns + MINUTE,
            open: 14_050_000_000,
            high: 14_150_000_000,
            low: 14_000_000_000,
            close: 14_100_000_000,
            volume: 5_640_000_000,
            taker_buy_volume: 2_820_000_000,
            notional: 42_250_000_000 * 5_640_000_000 / 3,
            first_ns: start_ns,
            last_ns: start_ns + MINUTE - 1,
            trades: 1,
            late: 0,
            incomplete: false,
        };
        // The third one is open.
        let closed = parsed(BODY, start_ns + 2 * MINUTE - 1).expect("bars");
        assert_eq!((closed.len(), closed[1]), (2, second));
        assert_eq!(closed[0].end_ns, start_ns);
        let all = parsed(BODY, start_ns + 2 * MINUTE).expect("bars");
        assert_eq!(all.len(), 3);
    }

    #[test]
    fn other_answers_say_what_is_wrong() {
        let refused = r#"{"error":"INVALID_ARGUMENT","message":"number of candles requested should be less than 350"}"#;
        for (body, reject) in [
            (refused, Reject::Refused),
            ("{}", Reject::Field("candles")),
            (r#"{"candles":[{"start":"1"}]}"#, Reject::Field("candles")),
            ("<html>", Reject::Json),
        ] {
            assert_eq!(parsed(body, i64::MAX), Err(reject), "{body}");
        }
        let torn = BODY.replace("1639508160", "noon");
        assert_eq!(parsed(&torn, i64::MAX), Err(Reject::Number("start")));
        let empty = parsed(r#"{"candles":[]}"#, i64::MAX);
        assert_eq!(empty, Ok(vec![]));
    }

    #[test]
    fn a_request_is_known_again() {
        let coinbase = Coinbase::default();
        let now_ns = 1_639_508_165 * SECOND;
        let path =
            |native, interval_ns, count| coinbase.candles(native, interval_ns, count, now_ns);
        // The open one began at …160; ten before it begin at …560 at the earliest.
        let expected = "/api/v3/brokerage/market/products/BTC-USD/candles?granularity=ONE_MINUTE&start=1639507560&end=1639508159";
        assert_eq!(path("BTC-USD", MINUTE, 10).as_deref(), Some(expected));
        let most = format!("&start={}&", 1_639_508_160 - 349 * 60);
        let far = path("BTC-USD", MINUTE, 5_000);
        assert!(far.is_some_and(|p| p.contains(&most)));
        assert_eq!(path("BTC-USD", SECOND, 10), None);
        for &(interval_ns, _) in INTERVALS {
            let path = path("ETH-EUR", interval_ns, 9).expect("a path");
            let rest = Rest::Candles {
                native: "ETH-EUR".to_owned(),
                interval_ns,
            };
            let url = format!("https://api.coinbase.com{path}");
            assert_eq!(coinbase.classify(&url), rest, "{url}");
        }
        let unknown = "https://api.coinbase.com/api/v3/brokerage/market/products/A-B/candles";
        assert_eq!(coinbase.classify(unknown), Rest::Other);
    }
}
