//! The newest trades of the synthetic market, as Binance serves them by REST: all of them, sent or
//! not. Called by `synthetic` on the simulator's task.

use super::batch::{decimal, integer};
use super::book::Print;
use super::server::Answer;
use super::symbols::Symbol;
use super::world::World;
use crate::exchanges::candles::parameter;
use serde_json::json;
use std::collections::VecDeque;

const PATH: &str = "/api/v3/historicalTrades";
/// Trades that are kept, over all symbols; and of one symbol, at least.
const KEPT: usize = 120_000;
const KEPT_OF_ONE: usize = 2_000;
/// Trades in one answer.
const MOST: usize = 1_000;

#[derive(Clone, Copy)]
struct Made {
    print: Print,
    /// As it was stamped, µs since the epoch; REST answers in ms.
    us: i64,
}

pub struct Trades {
    most: usize,
    /// By symbol, oldest first.
    symbols: Vec<VecDeque<Made>>,
}

impl Trades {
    pub fn new(symbols: usize) -> Trades {
        Trades {
            most: (KEPT / symbols.max(1)).max(KEPT_OF_ONE),
            symbols: vec![VecDeque::new(); symbols],
        }
    }

    pub fn trade(&mut self, symbol: usize, print: &Print, now_us: i64) {
        let made = &mut self.symbols[symbol];
        if made.len() >= self.most {
            made.pop_front();
        }
        made.push_back(Made {
            print: *print,
            us: now_us,
        });
    }

    /// The answer, where this is a request for trades.
    pub fn answer(&self, world: &World, path: &str) -> Option<Answer> {
        if path.split('?').next() != Some(PATH) {
            return None;
        }
        let name = parameter(path, "symbol").unwrap_or_default();
        let Some(index) = world.index_of(name) else {
            let body = json!({"code": -1121, "msg": "Invalid symbol."});
            return Some(Answer {
                status: 400,
                body: body.to_string(),
            });
        };
        let number = |name| parameter(path, name).and_then(|text| text.parse::<u64>().ok());
        let limit = number("limit").map_or(500, |limit| (limit as usize).clamp(1, MOST));
        let made = &self.symbols[index];
        let first = match number("fromId") {
            Some(id) => made.partition_point(|trade| trade.print.id < id),
            None => made.len().saturating_sub(limit),
        };
        let mut body = vec![b'['];
        for trade in made.iter().skip(first).take(limit) {
            if body.len() > 1 {
                body.push(b',');
            }
            row(&mut body, &world.symbols[index], trade);
        }
        body.push(b']');
        Some(Answer::ok(String::from_utf8_lossy(&body).into_owned()))
    }
}

fn row(out: &mut Vec<u8>, symbol: &Symbol, Made { print, us }: &Made) {
    let (price, amount) = (
        print.price as u64 * symbol.tick,
        print.lots as u64 * symbol.lot,
    );
    let turnover = u128::from(price) * u128::from(amount) / 100_000_000;
    out.extend_from_slice(b"{\"id\":");
    integer(out, print.id);
    for (name, units) in [
        (&b"price"[..], price),
        (&b"qty"[..], amount),
        (&b"quoteQty"[..], turnover as u64),
    ] {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(name);
        out.extend_from_slice(b"\":\"");
        decimal(out, units);
        out.push(b'"');
    }
    out.extend_from_slice(b",\"time\":");
    integer(out, *us as u64 / 1_000);
    out.extend_from_slice(b",\"isBuyerMaker\":");
    let maker = if print.buyer_is_maker {
        "true"
    } else {
        "false"
    };
    out.extend_from_slice(maker.as_bytes());
    out.extend_from_slice(b",\"isBestMatch\":true}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchanges;
    use crate::exchanges::trades::{Hole, PastTrade};
    use crate::market::{Number, Side};

    fn world() -> World {
        World::new(1, 4, 2_000, 100)
    }

    fn print(id: u64) -> Print {
        Print {
            id,
            price: 9_123_456,
            lots: 1_250,
            buyer_is_maker: id.is_multiple_of(2),
        }
    }

    /// What the exchange's own codec makes of the answer.
    fn since(trades: &Trades, native: &str, id: u128) -> Vec<PastTrade> {
        let exchange = exchanges::by_name("binance").expect("an exchange");
        let hole = Hole {
            after: (id, 0),
            until_ns: 0,
            aggregates: false,
        };
        let path = exchange.trades_since(native, &hole).expect("a path");
        let answer = trades.answer(&world(), &path).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.body);
        let parsed = exchange.parse_trades(answer.body.as_bytes());
        parsed.expect("trades")
    }

    #[test]
    fn trades_are_as_they_were_made() {
        let mut trades = Trades::new(4);
        trades.trade(0, &print(77), 1_795_339_200_123_456);
        trades.trade(0, &print(78), 1_795_339_200_124_000);
        let row = r#"[{"id":77,"price":"91234.56000000","qty":"0.01250000","quoteQty":"1140.43200000","time":1795339200123,"isBuyerMaker":false,"isBestMatch":true},"#;
        let path = "/api/v3/historicalTrades?symbol=BTCUSDT";
        let answer = trades.answer(&world(), path).expect("an answer");
        assert!(answer.body.starts_with(row), "{}", answer.body);
        let parsed = since(&trades, "BTCUSDT", 77);
        let second = PastTrade {
            exchange_ns: 1_795_339_200_124_000_000,
            id: 78,
            price: Number::parse(b"91234.56000000").expect("a number"),
            amount: Number::parse(b"0.01250000").expect("a number"),
            taker: Side::Sell,
            aggregate: false,
        };
        assert_eq!(parsed, [second]);
        assert!(since(&trades, "BTCUSDT", 78).is_empty());
        assert!(since(&trades, "ETHUSDT", 0).is_empty());
    }

    #[test]
    fn what_is_kept_is_bounded_and_answers_are() {
        let mut trades = Trades::new(2_000);
        for id in 1..=5_000 {
            trades.trade(0, &print(id), 1);
        }
        let ids: Vec<u128> = since(&trades, "BTCUSDT", 3_990)
            .iter()
            .map(|t| t.id)
            .collect();
        assert_eq!(ids, (3_991..=4_990).collect::<Vec<u128>>());
        assert_eq!(since(&trades, "BTCUSDT", 0)[0].id, 3_001);
        assert_eq!(Trades::new(4).most, 30_000);
    }

    #[test]
    fn what_is_not_there_is_refused() {
        let trades = Trades::new(4);
        assert!(
            trades
                .answer(&world(), "/api/v3/trades?symbol=BTCUSDT")
                .is_none()
        );
        let refused = trades.answer(&world(), "/api/v3/historicalTrades?symbol=NOSUCH");
        assert_eq!(refused.map(|answer| answer.status), Some(400));
    }
}
