//! Binance's candles: `GET /api/v3/klines`, weight 2, oldest first, the open one at the end.
//!
//! Source: `rest-api.md` of `binance-spot-api-docs`, "Kline/Candlestick data". Weeks and months are
//! left out: they do not begin at a multiple of their length.

use crate::exchanges::candles::{
    Candle, HOUR, Intervals, MINUTE, SECOND, Turnover, bars, interval_of, name_of, parameter,
    unread,
};
use crate::exchanges::{Reject, Rest};
use crate::market::{Bar, Scale};
use serde::de::IgnoredAny;

const PATH: &str = "/api/v3/klines";
/// Candles in one answer.
const MOST: u32 = 1000;

const INTERVALS: &Intervals = &[
    (SECOND, "1s"),
    (MINUTE, "1m"),
    (3 * MINUTE, "3m"),
    (5 * MINUTE, "5m"),
    (15 * MINUTE, "15m"),
    (30 * MINUTE, "30m"),
    (HOUR, "1h"),
    (2 * HOUR, "2h"),
    (4 * HOUR, "4h"),
    (6 * HOUR, "6h"),
    (8 * HOUR, "8h"),
    (12 * HOUR, "12h"),
    (24 * HOUR, "1d"),
];

pub fn path(native: &str, interval_ns: i64, count: u32) -> Option<String> {
    let interval = name_of(INTERVALS, interval_ns)?;
    // One more, since the newest one is open.
    let limit = count.saturating_add(1).min(MOST);
    Some(format!(
        "{PATH}?symbol={native}&interval={interval}&limit={limit}"
    ))
}

pub fn classify(url: &str) -> Option<Rest> {
    if !url.contains("/api/v3/klines?") {
        return None;
    }
    Some(Rest::Candles {
        native: parameter(url, "symbol")?.to_owned(),
        interval_ns: interval_of(INTERVALS, parameter(url, "interval")?)?,
    })
}

/// Open time in ms, open, high, low, close, volume, close time, quote volume, trades, volume that
/// takers bought, the same of quote, unused:
/// `[1499040000000,"0.0163","0.8000","0.0157","0.0158","148976.1",1499644799999,"2434.2",308,
/// "1756.9","28.5","0"]`
type Row<'a> = (
    i64,
    &'a str,
    &'a str,
    &'a str,
    &'a str,
    &'a str,
    IgnoredAny,
    &'a str,
    u32,
    &'a str,
    IgnoredAny,
    IgnoredAny,
);

pub fn parse(
    body: &[u8],
    interval_ns: i64,
    now_ns: i64,
    scales: (Scale, Scale),
) -> Result<Vec<Bar>, Reject> {
    let rows: Vec<Row> = serde_json::from_slice(body).map_err(|e| {
        // `{"code":-1121,"msg":"Invalid symbol."}`
        if e.is_data() && body.trim_ascii_start().starts_with(b"{") {
            Reject::Refused
        } else {
            unread(&e, "klines")
        }
    })?;
    let candles = rows.iter().map(|row| Candle {
        start_ns: row.0.saturating_mul(1_000_000),
        open: row.1,
        high: row.2,
        low: row.3,
        close: row.4,
        volume: row.5,
        turnover: Turnover::Given(row.7),
        trades: Some(row.8),
        taker_bought: Some(row.9),
    });
    bars(candles, interval_ns, now_ns, scales)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchanges::Exchange;
    use crate::exchanges::binance::Binance;

    const BODY: &str = r#"[
        [1795339200000,"91234.56000000","91240.00000000","91230.01000000","91235.10000000","12.50000000",
         1795339259999,"1140438.25100000",81,"6.10000000","556534.11000000","0"],
        [1795339260000,"91235.10000000","91235.10000000","91235.10000000","91235.10000000","0.00000000",
         1795339319999,"0.00000000",0,"0.00000000","0.00000000","0"],
        [1795339320000,"91235.11000000","91236.00000000","91235.00000000","91235.50000000","1.00000000",
         1795339379999,"91235.50000000",4,"0.25000000","22808.87500000","0"]]"#;

    fn parsed(body: &str, now_ns: i64) -> Result<Vec<Bar>, Reject> {
        Binance::default().parse_candles(body.as_bytes(), MINUTE, now_ns, 8, 8)
    }

    #[test]
    fn klines_become_bars() {
        let start_ns = 1_795_339_200 * SECOND;
        let first = Bar {
            start_ns,
            end_ns: start_ns + MINUTE,
            open: 9_123_456_000_000,
            high: 9_124_000_000_000,
            low: 9_123_001_000_000,
            close: 9_123_510_000_000,
            volume: 1_250_000_000,
            taker_buy_volume: 610_000_000,
            notional: 11_404_382_510_000_000_000_000,
            first_ns: start_ns,
            last_ns: start_ns + MINUTE - 1,
            trades: 81,
            late: 0,
            incomplete: false,
        };
        // The second one had no trade, the third one is open.
        let end_ns = start_ns + 3 * MINUTE;
        assert_eq!(parsed(BODY, end_ns - 1), Ok(vec![first]));
        let closed = parsed(BODY, end_ns).expect("bars");
        let seen: Vec<_> = closed.iter().map(|b| (b.end_ns, b.trades)).collect();
        assert_eq!(seen, [(first.end_ns, 81), (end_ns, 4)]);
    }

    #[test]
    fn other_answers_say_what_is_wrong() {
        for (body, reject) in [
            (r#"{"code":-1121,"msg":"Invalid symbol."}"#, Reject::Refused),
            ("[[1]]", Reject::Field("klines")),
            ("[", Reject::Json),
            ("<html>", Reject::Json),
        ] {
            assert_eq!(parsed(body, i64::MAX), Err(reject), "{body}");
        }
        let torn = BODY.replace("91240.00000000", "?");
        assert_eq!(parsed(&torn, i64::MAX), Err(Reject::Number("high")));
    }

    #[test]
    fn a_request_is_known_again() {
        let binance = Binance::default();
        let path = binance.candles("BTCUSDT", 5 * MINUTE, 50, 0);
        let expected = "/api/v3/klines?symbol=BTCUSDT&interval=5m&limit=51";
        assert_eq!(path.as_deref(), Some(expected));
        let most = binance.candles("BTCUSDT", HOUR, 5_000, 0);
        assert!(most.is_some_and(|p| p.ends_with("interval=1h&limit=1000")));
        assert_eq!(binance.candles("BTCUSDT", 10 * SECOND, 50, 0), None);
        for &(interval_ns, _) in INTERVALS {
            let path = binance
                .candles("ETHUSDT", interval_ns, 9, 0)
                .expect("a path");
            let rest = Rest::Candles {
                native: "ETHUSDT".to_owned(),
                interval_ns,
            };
            let url = format!("https://api.binance.com{path}");
            assert_eq!(binance.classify(&url), rest, "{url}");
        }
        let unknown = "https://api.binance.com/api/v3/klines?symbol=BTCUSDT&interval=1w";
        assert_eq!(binance.classify(unknown), Rest::Other);
    }
}
