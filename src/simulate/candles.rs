//! Candles of the synthetic market, as Binance, Kraken and Coinbase serve them by REST.
//!
//! Since the market began they are made of its trades; before that of a random walk that ends at
//! the symbol's first price, the same for the same seed. The walk is drawn when it is asked for;
//! trades are kept as seconds, a bounded number of them. Called by `synthetic` on the simulator's
//! task.

use super::batch::decimal;
use super::book::Print;
use super::draw::Draw;
use super::server::Answer;
use super::symbols::Symbol;
use super::world::World;
use crate::exchanges::candles::parameter;
use crate::exchanges::{self, Rest};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::OnceLock;

/// Seconds with trades that are kept, over all symbols; and of one symbol, at least and at most.
const KEPT: usize = 1_000_000;
const KEPT_OF_ONE: (usize, usize) = (600, 7_200);
/// How far the walk goes back: a year of minutes; for shorter intervals a day of seconds.
const MINUTES: i64 = 365 * 24 * 60;
const SECONDS: i64 = 24 * 60 * 60;
/// The walk's volatility in a minute, and the share of its distance from the end that it loses.
const VOLATILITY: f64 = 0.000_5;
const REVERSION: f64 = 0.000_2;

/// What was traded in an interval; prices in ticks, amounts in lots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Interval {
    start_s: i64,
    open: i64,
    high: i64,
    low: i64,
    close: i64,
    lots: i64,
    /// Lots that takers bought.
    bought: i64,
    /// Sums of price times amount, all of it and what takers bought.
    turnover: i128,
    bought_turnover: i128,
    trades: u64,
}

impl Interval {
    fn of(start_s: i64, trade: &Print) -> Interval {
        let turnover = i128::from(trade.price) * i128::from(trade.lots);
        let bought = !trade.buyer_is_maker;
        Interval {
            start_s,
            open: trade.price,
            high: trade.price,
            low: trade.price,
            close: trade.price,
            lots: trade.lots,
            bought: if bought { trade.lots } else { 0 },
            turnover,
            bought_turnover: if bought { turnover } else { 0 },
            trades: 1,
        }
    }

    /// With what came later; it begins when it began.
    fn then(self, later: Interval) -> Interval {
        Interval {
            start_s: self.start_s,
            open: self.open,
            high: self.high.max(later.high),
            low: self.low.min(later.low),
            close: later.close,
            lots: self.lots + later.lots,
            bought: self.bought + later.bought,
            turnover: self.turnover + later.turnover,
            bought_turnover: self.bought_turnover + later.bought_turnover,
            trades: self.trades + later.trades,
        }
    }
}

/// One symbol's newest seconds with trades.
#[derive(Default)]
struct Seconds {
    list: VecDeque<Interval>,
    /// Older ones were let go.
    cut: bool,
}

pub struct Candles {
    seed: u64,
    most: usize,
    symbols: Vec<Seconds>,
    /// When the walk ends, s since the epoch: at the first trade, or when it was first asked for.
    began_s: OnceLock<i64>,
}

impl Candles {
    pub fn new(seed: u64, symbols: usize) -> Candles {
        let (least, most) = KEPT_OF_ONE;
        Candles {
            seed,
            most: (KEPT / symbols.max(1)).clamp(least, most),
            symbols: (0..symbols).map(|_| Seconds::default()).collect(),
            began_s: OnceLock::new(),
        }
    }

    pub fn trade(&mut self, symbol: usize, trade: &Print, now_us: i64) {
        let second = now_us.div_euclid(1_000_000);
        self.began_s.get_or_init(|| second);
        let seconds = &mut self.symbols[symbol];
        let new = Interval::of(second, trade);
        match seconds.list.back_mut() {
            Some(last) if last.start_s >= second => *last = last.then(new),
            _ => {
                if seconds.list.len() >= self.most {
                    seconds.list.pop_front();
                    seconds.cut = true;
                }
                seconds.list.push_back(new);
            }
        }
    }

    /// The intervals of `length_s` that begin from `from_s` on, oldest first, the open one
    /// included; one without a trade is left out.
    fn rows(&self, asked: &Asked, from_s: i64) -> Vec<Interval> {
        let start_of = |second: i64| second.div_euclid(asked.length_s) * asked.length_s;
        let mut rows: BTreeMap<i64, Interval> = BTreeMap::new();
        for step in self.walk(asked, from_s) {
            let start_s = start_of(step.start_s);
            let at = Interval { start_s, ..step };
            let row = rows.entry(start_s);
            row.and_modify(|newer| *newer = at.then(*newer))
                .or_insert(at);
        }
        let seconds = &self.symbols[asked.index];
        let cut_s = seconds.list.front().filter(|_| seconds.cut);
        let cut_s = cut_s.map_or(i64::MIN, |second| second.start_s);
        for second in &seconds.list {
            let start_s = start_of(second.start_s);
            let at = Interval { start_s, ..*second };
            // What is not known from its beginning is not told.
            if start_s >= cut_s {
                let row = rows.entry(start_s);
                row.and_modify(|older| *older = older.then(at))
                    .or_insert(at);
            }
        }
        rows.into_values().filter(|r| r.start_s >= from_s).collect()
    }

    /// Steps of the walk back to `from_s`, newest first.
    fn walk(&self, asked: &Asked, from_s: i64) -> impl Iterator<Item = Interval> {
        let (step_s, most) = if asked.length_s < 60 {
            (1, SECONDS)
        } else {
            (60, MINUTES)
        };
        // Beyond the streams of the markets.
        let stream = (1 << 32) + 2 * asked.index as u64 + u64::from(step_s == 1);
        let mut draw = Draw::new(self.seed, stream);
        let began_s = *self.began_s.get_or_init(|| asked.now_s);
        let end_s = began_s.div_euclid(step_s) * step_s;
        let steps = ((end_s - from_s) / step_s).clamp(0, most);
        let (start, size) = (asked.symbol.start as f64, asked.symbol.size);
        let deviation = start * VOLATILITY * (step_s as f64 / 60.0).sqrt();
        let mut price = start;
        (1..=steps).map(move |back| {
            let close = price;
            price += (start - price) * REVERSION + deviation * draw.normal();
            price = price.clamp(start * 0.75, start * 1.25);
            let high = close.max(price) + deviation * draw.unit();
            let low = close.min(price) - deviation * draw.unit();
            let ticks = |price: f64| (price.round() as i64).max(1);
            let lots = 1 + draw.exponential(size) as i64;
            let bought = (lots as f64 * draw.unit()) as i64;
            let all = ticks(price) + ticks(high) + ticks(low) + ticks(close);
            let middle = i128::from(all / 4);
            Interval {
                start_s: end_s - back * step_s,
                open: ticks(price),
                high: ticks(high),
                low: ticks(low),
                close: ticks(close),
                lots,
                bought,
                turnover: middle * i128::from(lots),
                bought_turnover: middle * i128::from(bought),
                trades: 1 + draw.below(20),
            }
        })
    }

    /// The answer, where this is a request for candles.
    pub fn answer(&self, world: &World, path: &str, now_s: i64) -> Option<Answer> {
        let (name, _) = PATHS.iter().find(|(_, begin)| path.starts_with(begin))?;
        let rest = exchanges::by_name(name)?.classify(path);
        let Rest::Candles {
            native,
            interval_ns,
        } = rest
        else {
            return Some(refusal(name, "no such interval"));
        };
        let native_of = |s: &Symbol| match *name {
            "kraken" => format!("{}/{}", s.base, s.quote),
            "coinbase" => format!("{}-{}", s.base, s.quote),
            _ => s.name.clone(),
        };
        let Some(index) = world.symbols.iter().position(|s| native_of(s) == native) else {
            return Some(refusal(name, "no such symbol"));
        };
        let asked = Asked {
            index,
            symbol: &world.symbols[index],
            length_s: (interval_ns / 1_000_000_000).max(1),
            now_s,
        };
        Some(match *name {
            "kraken" => self.kraken(&asked, path),
            "coinbase" => self.coinbase(&asked, path),
            _ => self.binance(&asked, path),
        })
    }

    fn binance(&self, asked: &Asked, path: &str) -> Answer {
        let limit = parameter(path, "limit").and_then(|l| l.parse::<i64>().ok());
        let limit = limit.unwrap_or(500).clamp(1, 1_000);
        let rows = self.rows(asked, asked.newest(limit));
        let rows: Vec<Value> = rows.iter().map(|r| asked.kline(r)).collect();
        Answer::ok(Value::Array(rows).to_string())
    }

    fn kraken(&self, asked: &Asked, path: &str) -> Answer {
        let since = parameter(path, "since").and_then(|s| s.parse().ok());
        let after = since.unwrap_or(0i64).saturating_add(1);
        let rows = self.rows(asked, after.max(asked.newest(720)));
        let last = asked.newest(2);
        let rows: Vec<Value> = rows.iter().map(|r| asked.entry(r)).collect();
        let pair = parameter(path, "pair").unwrap_or_default();
        Answer::ok(json!({"error": [], "result": {pair: rows, "last": last}}).to_string())
    }

    fn coinbase(&self, asked: &Asked, path: &str) -> Answer {
        let time = |name| parameter(path, name).and_then(|t| t.parse::<i64>().ok());
        let (Some(start), Some(end)) = (time("start"), time("end")) else {
            return refusal("coinbase", "start and end argument is invalid");
        };
        if end.saturating_sub(start) / asked.length_s >= 350 {
            let why = "number of candles requested should be less than 350";
            return refusal("coinbase", why);
        }
        let rows = self.rows(asked, start);
        let within = rows.iter().rev().filter(|r| r.start_s <= end);
        let rows: Vec<Value> = within.map(|r| asked.candle(r)).collect();
        Answer::ok(json!({ "candles": rows }).to_string())
    }
}

/// What a path of each exchange begins with.
const PATHS: [(&str, &str); 3] = [
    ("binance", "/api/v3/klines"),
    ("kraken", "/0/public/OHLC"),
    ("coinbase", "/api/v3/brokerage/market/products/"),
];

fn refusal(exchange: &str, why: &str) -> Answer {
    let (status, body) = match exchange {
        "kraken" => (200, json!({"error": [format!("EQuery:{why}")]})),
        "coinbase" => (400, json!({"error": "INVALID_ARGUMENT", "message": why})),
        _ => (400, json!({"code": -1121, "msg": why})),
    };
    Answer {
        status,
        body: body.to_string(),
    }
}

/// Whose candles, of which length, and the time now.
struct Asked<'a> {
    index: usize,
    symbol: &'a Symbol,
    length_s: i64,
    now_s: i64,
}

impl Asked<'_> {
    /// Where the newest `count` intervals begin, the open one included.
    fn newest(&self, count: i64) -> i64 {
        (self.now_s.div_euclid(self.length_s) + 1 - count) * self.length_s
    }

    fn price(&self, ticks: i64) -> String {
        text(ticks as u64 * self.symbol.tick)
    }

    fn amount(&self, lots: i64) -> String {
        text(lots as u64 * self.symbol.lot)
    }

    fn turnover(&self, sum: i128) -> String {
        let units = sum * i128::from(self.symbol.tick) * i128::from(self.symbol.lot);
        text((units / 100_000_000) as u64)
    }

    fn kline(&self, r: &Interval) -> Value {
        json!([
            r.start_s * 1_000,
            self.price(r.open),
            self.price(r.high),
            self.price(r.low),
            self.price(r.close),
            self.amount(r.lots),
            (r.start_s + self.length_s) * 1_000 - 1,
            self.turnover(r.turnover),
            r.trades,
            self.amount(r.bought),
            self.turnover(r.bought_turnover),
            "0"
        ])
    }

    fn entry(&self, r: &Interval) -> Value {
        let average = r.turnover * i128::from(self.symbol.tick) / i128::from(r.lots.max(1));
        json!([
            r.start_s,
            self.price(r.open),
            self.price(r.high),
            self.price(r.low),
            self.price(r.close),
            text(average as u64),
            self.amount(r.lots),
            r.trades
        ])
    }

    fn candle(&self, r: &Interval) -> Value {
        json!({
            "start": r.start_s.to_string(),
            "low": self.price(r.low),
            "high": self.price(r.high),
            "open": self.price(r.open),
            "close": self.price(r.close),
            "volume": self.amount(r.lots)
        })
    }
}

/// A number given in 1e-8.
fn text(units: u64) -> String {
    let mut out = Vec::with_capacity(24);
    decimal(&mut out, units);
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::Bar;

    /// 2026-11-22T09:20:30Z.
    const NOW_S: i64 = 1_795_339_230;
    const MINUTE: i64 = 60_000_000_000;

    fn world() -> World {
        World::new(1, 4, 2_000, 100)
    }

    /// What the exchange's own codec makes of the answer.
    fn bars(candles: &Candles, name: &str, native: &str, interval_ns: i64, now_s: i64) -> Vec<Bar> {
        let exchange = exchanges::by_name(name).expect("an exchange");
        let now_ns = now_s * 1_000_000_000;
        let path = exchange.candles(native, interval_ns, 50, now_ns);
        let path = path.expect("an interval of it");
        let answer = candles.answer(&world(), &path, now_s).expect("an answer");
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        let body = answer.body.as_bytes();
        let parsed = exchange.parse_candles(body, interval_ns, now_ns, 8, 8);
        parsed.unwrap_or_else(|reject| panic!("{path}: {reject}: {}", answer.body))
    }

    fn prices(bars: &[Bar]) -> Vec<[i64; 6]> {
        let of = |b: &Bar| [b.start_ns, b.open, b.high, b.low, b.close, b.volume];
        bars.iter().map(of).collect()
    }

    #[test]
    fn there_is_a_past_before_the_first_trade() {
        let candles = Candles::new(1, 4);
        let seen = bars(&candles, "binance", "BTCUSDT", MINUTE, NOW_S);
        let (first, last) = (seen[0], seen[49]);
        assert_eq!(seen.len(), 50);
        assert_eq!(last.end_ns, (NOW_S - 30) * 1_000_000_000);
        assert_eq!(first.start_ns, last.end_ns - 50 * MINUTE);
        assert_eq!(last.close, 9_123_456_000_000, "the first price");
        for pair in seen.windows(2) {
            assert_eq!(pair[0].close, pair[1].open);
            assert!(pair[0].low <= pair[0].open && pair[0].open <= pair[0].high);
            assert!(
                pair[0]
                    .vwap()
                    .is_some_and(|v| v >= pair[0].low && v <= pair[0].high)
            );
        }
        let kraken = bars(&candles, "kraken", "BTC/USDT", MINUTE, NOW_S);
        let coinbase = bars(&candles, "coinbase", "BTC-USDT", MINUTE, NOW_S);
        assert_eq!(prices(&kraken), prices(&seen));
        assert_eq!(prices(&coinbase), prices(&seen));
        let other = bars(&candles, "binance", "ETHUSDT", MINUTE, NOW_S);
        assert_ne!(prices(&other), prices(&seen));
    }

    #[test]
    fn a_seed_is_a_past_and_intervals_agree() {
        let of = |seed, length| bars(&Candles::new(seed, 4), "binance", "SOLUSDT", length, NOW_S);
        assert_eq!(of(3, MINUTE), of(3, MINUTE));
        assert_ne!(of(3, MINUTE), of(4, MINUTE));
        let (minutes, fives) = (of(3, MINUTE), of(3, 5 * MINUTE));
        let five = fives.last().expect("bars");
        let within = |b: &&Bar| b.start_ns >= five.start_ns && b.end_ns <= five.end_ns;
        let within: Vec<&Bar> = minutes.iter().filter(within).collect();
        assert_eq!((within.len(), five.open), (5, within[0].open));
        assert_eq!(Some(five.high), within.iter().map(|b| b.high).max());
        assert_eq!(five.volume, within.iter().map(|b| b.volume).sum::<i64>());
        assert_eq!(of(3, MINUTE / 60).len(), 50);
    }

    #[test]
    fn trades_go_on_where_the_past_ends() {
        let mut candles = Candles::new(1, 4);
        let print = |price, lots, buyer_is_maker| Print {
            id: 1,
            price,
            lots,
            buyer_is_maker,
        };
        candles.trade(0, &print(9_123_456, 10, false), NOW_S * 1_000_000);
        candles.trade(0, &print(9_123_500, 5, true), NOW_S * 1_000_000 + 900_000);
        candles.trade(0, &print(9_123_400, 7, false), (NOW_S + 20) * 1_000_000);
        candles.trade(0, &print(9_123_300, 1, false), (NOW_S + 30) * 1_000_000);
        let seen = bars(&candles, "binance", "BTCUSDT", MINUTE, NOW_S + 40);
        let (before, live) = (seen[48], seen[49]);
        assert_eq!(
            (before.end_ns, before.close),
            (live.start_ns, 9_123_456_000_000)
        );
        assert_eq!(live.start_ns, (NOW_S - 30) * 1_000_000_000);
        assert_eq!(
            [live.open, live.high, live.low, live.close],
            [
                9_123_456_000_000,
                9_123_500_000_000,
                9_123_400_000_000,
                9_123_400_000_000
            ]
        );
        let lot = 1_000;
        assert_eq!((live.volume, live.taker_buy_volume), (22 * lot, 17 * lot));
        assert_eq!(live.trades, 3);
        let sum: i128 = 9_123_456 * 10 + 9_123_500 * 5 + 9_123_400 * 7;
        assert_eq!(live.notional, sum * 1_000_000 * 1_000);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut candles = Candles::new(1, 2_000);
        let print = Print {
            id: 1,
            price: 100,
            lots: 1,
            buyer_is_maker: false,
        };
        for second in 0..1_000 {
            candles.trade(7, &print, (NOW_S + second) * 1_000_000);
        }
        assert_eq!(candles.symbols[7].list.len(), 600);
        assert!(candles.symbols[7].cut);
    }

    #[test]
    fn what_is_not_there_is_refused_as_the_exchange_does() {
        let candles = Candles::new(1, 4);
        let answer = |path| candles.answer(&world(), path, NOW_S);
        assert!(answer("/api/v3/depth?symbol=BTCUSDT").is_none());
        for (path, status) in [
            ("/api/v3/klines?symbol=NOSUCH&interval=1m", 400),
            ("/api/v3/klines?symbol=BTCUSDT&interval=7m", 400),
            ("/0/public/OHLC?pair=NO/SUCH&interval=1", 200),
            (
                "/api/v3/brokerage/market/products/BTC-USDT/candles?granularity=ONE_MINUTE&start=0&end=21000",
                400,
            ),
        ] {
            let answer = answer(path).expect("an answer");
            assert_eq!(answer.status, status, "{path}");
            assert!(answer.body.contains("error") || answer.body.contains("code"));
        }
    }
}
