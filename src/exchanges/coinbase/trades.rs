//! Coinbase's trades: `GET /api/v3/brokerage/market/products/{product_id}/ticker` between two
//! seconds, newest first, the newest 1000 where there are more.
//!
//! Docs: "Get Public Market Trades" of <https://docs.cdp.coinbase.com/api-reference>, which leave
//! open whose `side` it is: it is read as the stream's, the maker's. (Who puts them before the
//! stream's own compares the two.)

use super::LISTING;
use super::decode::taker;
use crate::exchanges::candles::{SECOND, unread};
use crate::exchanges::trades::{Hole, Pages, PastTrade, in_order, number};
use crate::exchanges::{Reject, Rest, time};
use serde::Deserialize;
use serde::de::IgnoredAny;

pub const PAGES: Pages = Pages {
    most: 1000,
    from_the_end: true,
    gapless: true,
};

pub fn path(native: &str, hole: &Hole) -> String {
    let start = hole.after.1.div_euclid(SECOND);
    let end = hole.until_ns.div_euclid(SECOND) + 1;
    let most = PAGES.most;
    format!("{LISTING}/{native}/ticker?limit={most}&start={start}&end={end}")
}

pub fn classify(url: &str) -> Option<Rest> {
    let path = url.split('?').next()?;
    let (_, product) = path.split_once(LISTING)?;
    let native = product.strip_prefix('/')?.strip_suffix("/ticker")?;
    Some(Rest::Trades {
        native: native.to_owned(),
    })
}

#[derive(Deserialize)]
struct Answer<'a> {
    error: Option<IgnoredAny>,
    #[serde(borrow)]
    trades: Option<Vec<Row<'a>>>,
}

/// `{"trade_id":"995098700","product_id":"BTC-USD","price":"140.91","size":"4",
/// "time":"2021-05-31T09:59:59.000000Z","side":"BUY"}`
#[derive(Deserialize)]
struct Row<'a> {
    trade_id: &'a str,
    price: &'a str,
    size: &'a str,
    time: &'a str,
    side: &'a str,
}

pub fn parse(body: &[u8]) -> Result<Vec<PastTrade>, Reject> {
    let answer: Answer = serde_json::from_slice(body).map_err(|e| unread(&e, "trades"))?;
    // `{"error":"INVALID_ARGUMENT","error_details":"…","message":"…"}`
    if answer.error.is_some() {
        return Err(Reject::Refused);
    }
    let rows = answer.trades.ok_or(Reject::Field("trades"))?;
    let trades: Result<Vec<PastTrade>, Reject> = rows.iter().map(trade).collect();
    Ok(in_order(trades?))
}

fn trade(row: &Row) -> Result<PastTrade, Reject> {
    let id = row.trade_id.parse();
    Ok(PastTrade {
        exchange_ns: time::parse(row.time.as_bytes()).ok_or(Reject::Field("time"))?,
        id: id.map_err(|_| Reject::Number("trade_id"))?,
        price: number(row.price, "price")?,
        amount: number(row.size, "size")?,
        taker: taker(row.side.as_bytes()).ok_or(Reject::Field("side"))?,
        aggregate: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchanges::Exchange;
    use crate::exchanges::coinbase::Coinbase;
    use crate::market::{Number, Side};

    const BODY: &str = r#"{"trades":[
        {"trade_id":"1068572091","product_id":"BTC-USD","price":"68900.02","size":"0.5",
         "time":"2026-08-09T21:05:43.000001Z","side":"BUY","bid":"","ask":""},
        {"trade_id":"1068572090","product_id":"BTC-USD","price":"68900.01","size":"0.00012",
         "time":"2026-08-09T21:05:42.514318Z","side":"SELL","bid":"","ask":""}],
        "best_bid":"68900.01","best_ask":"68900.02"}"#;

    fn parsed(body: &str) -> Result<Vec<PastTrade>, Reject> {
        Coinbase::default().parse_trades(body.as_bytes())
    }

    #[test]
    fn trades_come_oldest_first_with_the_taker_s_side() {
        let trades = parsed(BODY).expect("trades");
        let first = PastTrade {
            exchange_ns: 1_786_309_542_514_318_000,
            id: 1_068_572_090,
            price: Number::parse(b"68900.01").expect("a number"),
            amount: Number::parse(b"0.00012").expect("a number"),
            taker: Side::Buy,
            aggregate: false,
        };
        assert_eq!((trades.len(), trades[0]), (2, first));
        assert_eq!((trades[1].id, trades[1].taker), (first.id + 1, Side::Sell));
    }

    #[test]
    fn other_answers_say_what_is_wrong() {
        for (body, reject) in [
            (r#"{"error":"NOT_FOUND","message":"no"}"#, Reject::Refused),
            ("{}", Reject::Field("trades")),
            (r#"{"trades":[{"price":"1"}]}"#, Reject::Field("trades")),
            ("<html>", Reject::Json),
        ] {
            assert_eq!(parsed(body), Err(reject), "{body}");
        }
        for (good, bad, reject) in [
            ("68900.02", "?", Reject::Number("price")),
            ("1068572091", "34b080bf", Reject::Number("trade_id")),
            ("SELL", "NEITHER", Reject::Field("side")),
            ("T21:05:43", "T25:05:43", Reject::Field("time")),
        ] {
            // The first one only: best prices are not read.
            assert_eq!(parsed(&BODY.replacen(good, bad, 1)), Err(reject), "{bad}");
        }
        assert_eq!(parsed(r#"{"trades":[]}"#), Ok(vec![]));
    }

    #[test]
    fn a_request_is_known_again() {
        let coinbase = Coinbase::default();
        let hole = Hole {
            after: (77, 1_786_309_542_514_318_000),
            until_ns: 1_786_309_600_000_000_000,
            aggregates: false,
        };
        let path = coinbase.trades_since("BTC-USD", &hole).expect("a path");
        let expected = "/api/v3/brokerage/market/products/BTC-USD/ticker?limit=1000&start=1786309542&end=1786309601";
        assert_eq!(path, expected);
        let native = "BTC-USD".to_owned();
        let url = format!("https://api.coinbase.com{path}");
        assert_eq!(coinbase.classify(&url), Rest::Trades { native });
    }
}
