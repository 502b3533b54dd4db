//! Binance's trades: `GET /api/v3/historicalTrades`, weight 25, and `GET /api/v3/aggTrades`, weight
//! 4; both from an id on, oldest first, without a key.
//!
//! Source: `rest-api.md` of `binance-spot-api-docs`, "Old trade lookup" and "Compressed/Aggregate
//! trades list". `isBuyerMaker` and `m`: the buyer is the maker, so the taker sold.

use super::stamp_ns;
use crate::exchanges::candles::{parameter, unread};
use crate::exchanges::trades::{Hole, Pages, PastTrade, in_order, number};
use crate::exchanges::{Reject, Rest};
use crate::market::Side;
use serde::Deserialize;
use serde::de::IgnoredAny;

const SINGLE: &str = "/api/v3/historicalTrades?";
const AGGREGATE: &str = "/api/v3/aggTrades?";

pub const PAGES: Pages = Pages {
    most: 1000,
    from_the_end: false,
    gapless: true,
};

pub fn path(native: &str, hole: &Hole) -> String {
    let path = if hole.aggregates { AGGREGATE } else { SINGLE };
    let (from, most) = (hole.after.0.saturating_add(1), PAGES.most);
    format!("{path}symbol={native}&fromId={from}&limit={most}")
}

pub fn classify(url: &str) -> Option<Rest> {
    if !url.contains(SINGLE) && !url.contains(AGGREGATE) {
        return None;
    }
    let native = parameter(url, "symbol")?.to_owned();
    Some(Rest::Trades { native })
}

/// `{"id":28457,"price":"4.00000100","qty":"12.00000000","quoteQty":"48.000012",
/// "time":1499865549590,"isBuyerMaker":true,"isBestMatch":true}`, or an aggregate:
/// `{"a":26129,"p":"0.01633102","q":"4.70443515","f":27781,"l":27781,"T":1498793709153,"m":true,
/// "M":true}`
#[derive(Deserialize)]
struct Row<'a> {
    #[serde(alias = "a")]
    id: u64,
    #[serde(alias = "p")]
    price: &'a str,
    #[serde(rename = "qty", alias = "q")]
    amount: &'a str,
    #[serde(alias = "T")]
    time: u64,
    #[serde(rename = "isBuyerMaker", alias = "m")]
    buyer_is_maker: bool,
    /// The last single trade in it: of an aggregate.
    #[serde(rename = "l")]
    last: Option<IgnoredAny>,
}

pub fn parse(body: &[u8]) -> Result<Vec<PastTrade>, Reject> {
    let rows: Vec<Row> = serde_json::from_slice(body).map_err(|e| {
        // `{"code":-1121,"msg":"Invalid symbol."}`
        if e.is_data() && body.trim_ascii_start().starts_with(b"{") {
            Reject::Refused
        } else {
            unread(&e, "trades")
        }
    })?;
    let trades: Result<Vec<PastTrade>, Reject> = rows.iter().map(trade).collect();
    Ok(in_order(trades?))
}

fn trade(row: &Row) -> Result<PastTrade, Reject> {
    let taker = if row.buyer_is_maker {
        Side::Sell
    } else {
        Side::Buy
    };
    Ok(PastTrade {
        exchange_ns: stamp_ns(row.time),
        id: u128::from(row.id),
        price: number(row.price, "price")?,
        amount: number(row.amount, "qty")?,
        taker,
        aggregate: row.last.is_some(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchanges::Exchange;
    use crate::exchanges::binance::Binance;
    use crate::market::Number;

    const SINGLES: &str = r#"[
        {"id":5012345679,"price":"91234.56000000","qty":"0.01250000","quoteQty":"1140.43200000",
         "time":1795339200121,"isBuyerMaker":true,"isBestMatch":true},
        {"id":5012345680,"price":"91234.57000000","qty":"1.00000000","quoteQty":"91234.57000000",
         "time":1795339200122,"isBuyerMaker":false,"isBestMatch":true}]"#;
    const AGGREGATES: &str = r#"[{"a":26129,"p":"0.01633102","q":"4.70443515","f":27781,"l":27782,
        "T":1498793709153,"m":true,"M":true}]"#;

    fn parsed(body: &str) -> Result<Vec<PastTrade>, Reject> {
        Binance::default().parse_trades(body.as_bytes())
    }

    fn decimal(text: &str) -> Number {
        Number::parse(text.as_bytes()).expect("a number")
    }

    #[test]
    fn single_trades_are_as_the_stream_has_them() {
        let trades = parsed(SINGLES).expect("trades");
        let first = PastTrade {
            exchange_ns: 1_795_339_200_121_000_000,
            id: 5_012_345_679,
            price: decimal("91234.56000000"),
            amount: decimal("0.01250000"),
            taker: Side::Sell,
            aggregate: false,
        };
        assert_eq!((trades.len(), trades[0]), (2, first));
        assert_eq!((trades[1].id, trades[1].taker), (first.id + 1, Side::Buy));
    }

    #[test]
    fn aggregates_say_so() {
        let trades = parsed(AGGREGATES).expect("trades");
        let only = PastTrade {
            exchange_ns: 1_498_793_709_153_000_000,
            id: 26_129,
            price: decimal("0.01633102"),
            amount: decimal("4.70443515"),
            taker: Side::Sell,
            aggregate: true,
        };
        assert_eq!(trades, [only]);
    }

    #[test]
    fn other_answers_say_what_is_wrong() {
        for (body, reject) in [
            (r#"{"code":-1121,"msg":"Invalid symbol."}"#, Reject::Refused),
            (r#"[{"id":1}]"#, Reject::Field("trades")),
            ("<html>", Reject::Json),
        ] {
            assert_eq!(parsed(body), Err(reject), "{body}");
        }
        let torn = SINGLES.replace("91234.57000000\",\"qty", "?\",\"qty");
        assert_eq!(parsed(&torn), Err(Reject::Number("price")));
        assert_eq!(parsed("[]"), Ok(vec![]));
    }

    #[test]
    fn a_request_is_known_again() {
        let binance = Binance::default();
        for (aggregates, expected) in [
            (
                false,
                "/api/v3/historicalTrades?symbol=BTCUSDT&fromId=78&limit=1000",
            ),
            (
                true,
                "/api/v3/aggTrades?symbol=BTCUSDT&fromId=78&limit=1000",
            ),
        ] {
            let hole = Hole {
                after: (77, 1),
                until_ns: 2,
                aggregates,
            };
            let path = binance.trades_since("BTCUSDT", &hole);
            assert_eq!(path.as_deref(), Some(expected));
            let native = "BTCUSDT".to_owned();
            let url = format!("https://api.binance.com{expected}");
            assert_eq!(binance.classify(&url), Rest::Trades { native });
        }
        let unknown = "https://api.binance.com/api/v3/historicalTrades?limit=5";
        assert_eq!(binance.classify(unknown), Rest::Other);
    }
}
