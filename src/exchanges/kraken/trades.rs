//! Kraken's trades: `GET /0/public/Trades`, oldest first, those after a time.
//!
//! Docs: <https://docs.kraken.com/api-reference/market-data/get-recent-trades>. `since` excludes
//! its own ns, while the stream's stamps are cut to µs: so the last µs is asked for again. The pair
//! is named as `wsname` of the REST list has it; `b` and `s` are the taker's side.

use super::decode::side;
use super::{in_the_list, today};
use crate::exchanges::candles::{parameter, unread};
use crate::exchanges::trades::{Hole, Pages, PastTrade, in_order, number};
use crate::exchanges::{Reject, Rest};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

const PATH: &str = "/0/public/Trades";
/// What a stamp of the stream is a multiple of, ns.
const STAMP: i64 = 1_000;

pub const PAGES: Pages = Pages {
    most: 1000,
    from_the_end: false,
    gapless: false,
};

pub fn path(native: &str, hole: &Hole) -> Option<String> {
    let (base, quote) = native.split_once('/')?;
    let (base, quote) = (in_the_list(base), in_the_list(quote));
    let (since, most) = (hole.after.1.saturating_sub(STAMP), PAGES.most);
    Some(format!(
        "{PATH}?pair={base}/{quote}&since={since}&count={most}"
    ))
}

pub fn classify(url: &str) -> Option<Rest> {
    if !url.split('?').next()?.ends_with(PATH) {
        return None;
    }
    let (base, quote) = parameter(url, "pair")?.split_once('/')?;
    Some(Rest::Trades {
        native: format!("{}/{}", today(base), today(quote)),
    })
}

/// `{"error":[],"result":{"XXBTZUSD":[[…],…],"last":"1688671969993150842"}}`
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(default)]
    error: Vec<IgnoredAny>,
    #[serde(borrow)]
    result: Option<BTreeMap<String, &'a RawValue>>,
}

/// Price, amount, time in s, side, kind of order, remarks, id:
/// `["30243.40000","0.34507674",1688669597.8277369,"b","m","",61044952]`
type Row<'a> = (
    &'a str,
    &'a str,
    &'a RawValue,
    &'a str,
    IgnoredAny,
    IgnoredAny,
    u64,
);

pub fn parse(body: &[u8]) -> Result<Vec<PastTrade>, Reject> {
    let answer: Answer = serde_json::from_slice(body).map_err(|e| unread(&e, "result"))?;
    // `{"error":["EQuery:Unknown asset pair"]}`
    if !answer.error.is_empty() {
        return Err(Reject::Refused);
    }
    let result = answer.result.ok_or(Reject::Field("result"))?;
    let of_the_pair = result.iter().find(|(name, _)| *name != "last");
    let (_, rows) = of_the_pair.ok_or(Reject::Field("pair"))?;
    let rows: Vec<Row> = serde_json::from_str(rows.get()).map_err(|e| unread(&e, "pair"))?;
    let trades: Result<Vec<PastTrade>, Reject> = rows.iter().map(trade).collect();
    Ok(in_order(trades?))
}

fn trade(row: &Row) -> Result<PastTrade, Reject> {
    let ns = number(row.2.get(), "time")?.rounded(9);
    let ns = ns.ok_or(Reject::Range)?;
    let taker = match row.3 {
        "b" => side(b"buy"),
        "s" => side(b"sell"),
        _ => None,
    };
    Ok(PastTrade {
        exchange_ns: ns - ns.rem_euclid(STAMP),
        id: u128::from(row.6),
        price: number(row.0, "price")?,
        amount: number(row.1, "volume")?,
        taker: taker.ok_or(Reject::Field("side"))?,
        aggregate: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchanges::Exchange;
    use crate::exchanges::kraken::Kraken;
    use crate::market::{Number, Side};

    const BODY: &str = r#"{"error":[],"result":{"XXBTZUSD":[
        ["30243.40000","0.34507674",1688669597.8277369,"b","m","",61044952],
        ["30243.30000","0.00376960",1688669598.280411277,"s","l","",61044953]],
        "last":"1688671969993150842"}}"#;

    fn parsed(body: &str) -> Result<Vec<PastTrade>, Reject> {
        Kraken::default().parse_trades(body.as_bytes())
    }

    #[test]
    fn trades_have_the_stream_s_stamps() {
        let trades = parsed(BODY).expect("trades");
        let first = PastTrade {
            exchange_ns: 1_688_669_597_827_736_000,
            id: 61_044_952,
            price: Number::parse(b"30243.40000").expect("a number"),
            amount: Number::parse(b"0.34507674").expect("a number"),
            taker: Side::Buy,
            aggregate: false,
        };
        assert_eq!((trades.len(), trades[0]), (2, first));
        let second = (trades[1].exchange_ns, trades[1].taker);
        assert_eq!(second, (1_688_669_598_280_411_000, Side::Sell));
    }

    #[test]
    fn other_answers_say_what_is_wrong() {
        for (body, reject) in [
            (
                r#"{"error":["EQuery:Unknown asset pair"]}"#,
                Reject::Refused,
            ),
            (r#"{"error":[]}"#, Reject::Field("result")),
            (
                r#"{"error":[],"result":{"last":"1"}}"#,
                Reject::Field("pair"),
            ),
            (
                r#"{"error":[],"result":{"A":[[1]]}}"#,
                Reject::Field("pair"),
            ),
            ("", Reject::Json),
        ] {
            assert_eq!(parsed(body), Err(reject), "{body}");
        }
        for (good, bad, reject) in [
            ("30243.30000", "?", Reject::Number("price")),
            ("1688669597.8277369", "true", Reject::Number("time")),
            ("\"s\"", "\"x\"", Reject::Field("side")),
        ] {
            assert_eq!(parsed(&BODY.replace(good, bad)), Err(reject), "{bad}");
        }
        let empty = r#"{"error":[],"result":{"XXBTZUSD":[],"last":"1"}}"#;
        assert_eq!(parsed(empty), Ok(vec![]));
    }

    #[test]
    fn a_request_is_known_again() {
        let kraken = Kraken::default();
        let hole = Hole {
            after: (61_044_952, 1_688_669_597_827_736_000),
            until_ns: 0,
            aggregates: false,
        };
        let path = kraken.trades_since("BTC/USD", &hole).expect("a path");
        let expected = "/0/public/Trades?pair=XBT/USD&since=1688669597827735000&count=1000";
        assert_eq!(path, expected);
        let native = "BTC/USD".to_owned();
        let url = format!("https://api.kraken.com{path}");
        assert_eq!(kraken.classify(&url), Rest::Trades { native });
        assert_eq!(kraken.trades_since("BTCUSD", &hole), None);
    }
}
