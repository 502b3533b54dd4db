//! The text of market messages, as Binance spot writes them, many in one buffer.
//!
//! A message is rendered once, in the wrapper of combined streams; its raw form is a slice of that.
//! Nobody's message is not rendered. No serde, no allocation per message. Called by `synthetic`.

use super::book::{Diff, Level, Print, Sink, Touch};
use super::faults::Chaos;
use super::symbols::Symbol;
use std::sync::atomic::{AtomicBool, Ordering};

/// Streams of a symbol; a stream's number is symbol × [`KINDS`] + kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Trade,
    Aggregate,
    Touch,
    Depth,
    SlowDepth,
}

pub const KINDS: usize = 5;

impl Stream {
    const ALL: [(&'static str, Stream); 6] = [
        ("trade", Stream::Trade),
        ("aggTrade", Stream::Aggregate),
        ("bookTicker", Stream::Touch),
        ("depth@100ms", Stream::Depth),
        ("depth", Stream::SlowDepth),
        ("depth@1000ms", Stream::SlowDepth),
    ];

    /// The stream that a part of a stream's name after the symbol stands for.
    pub fn parse(suffix: &str) -> Option<Stream> {
        Self::ALL
            .iter()
            .find(|(name, _)| *name == suffix)
            .map(|(_, s)| *s)
    }

    pub fn of(self, symbol: usize) -> usize {
        symbol * KINDS + self as usize
    }
}

/// A message within the batch's text.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    pub stream: usize,
    /// With its wrapper.
    pub combined: (u32, u32),
    pub raw: (u32, u32),
    /// Where its times end; 0 where there is none.
    pub stamps: [u32; 2],
    /// Which of the batch's trades it is.
    pub trade: Option<u32>,
}

/// A trade that was put into a batch.
pub struct Traded {
    pub symbol: usize,
    pub print: Print,
    pub aggregate: bool,
    /// As it was stamped, µs since the epoch.
    pub us: i64,
    /// Set by a connection that has flushed it to its socket.
    pub sent: AtomicBool,
}

impl Traded {
    pub fn was_sent(&self) -> bool {
        self.sent.load(Ordering::Acquire)
    }
}

/// Renders what happens in the market.
pub struct Renderer {
    pub text: Vec<u8>,
    pub parts: Vec<Part>,
    pub trades: Vec<Traded>,
    /// How many connections want each stream.
    pub listeners: Vec<u32>,
    /// Stamped on all that follows, µs since the epoch.
    pub now_us: i64,
    /// Of the message at hand.
    stamps: [u32; 2],
    names: Vec<Names>,
    chaos: Chaos,
}

struct Names {
    upper: String,
    lower: String,
    tick: u64,
    lot: u64,
}

impl Renderer {
    pub fn new(symbols: &[Symbol], chaos: Chaos) -> Renderer {
        let names = symbols.iter().map(|s| Names {
            upper: s.name.clone(),
            lower: s.name.to_ascii_lowercase(),
            tick: s.tick,
            lot: s.lot,
        });
        Renderer {
            text: Vec::with_capacity(64 << 10),
            parts: Vec::with_capacity(1024),
            trades: Vec::with_capacity(256),
            listeners: vec![0; symbols.len() * KINDS],
            now_us: 0,
            stamps: [0; 2],
            names: names.collect(),
            chaos,
        }
    }

    pub fn chaos(&mut self) -> &mut Chaos {
        &mut self.chaos
    }

    fn begin(&mut self, symbol: usize, suffix: &str) -> usize {
        let start = self.text.len();
        self.stamps = [0; 2];
        self.text.extend_from_slice(b"{\"stream\":\"");
        self.text
            .extend_from_slice(self.names[symbol].lower.as_bytes());
        self.text.extend_from_slice(suffix.as_bytes());
        self.text.extend_from_slice(b"\",\"data\":");
        start
    }

    /// Ends the message begun at `start`, whose data begins at `data`; faults are played here.
    fn end(&mut self, stream: usize, start: usize, data: usize, trade: Option<u32>) {
        self.text.push(b'}');
        let end = self.text.len();
        let span = |from: usize, to: usize| (from as u32, to as u32);
        let part = Part {
            stream,
            combined: span(start, end),
            raw: span(data, end - 1),
            stamps: self.stamps,
            trade,
        };
        if self.chaos.malformed() {
            // A torn copy before the whole one, so that nothing is lost.
            let cut = data + (end - data) * 2 / 3;
            let torn = Part {
                combined: span(start, cut),
                raw: span(data, cut),
                trade: None,
                ..part
            };
            self.parts.push(torn);
        }
        self.parts.push(part);
        if trade.is_some() && self.chaos.duplicate_trade() {
            self.parts.push(part);
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        self.text.extend_from_slice(bytes);
    }

    fn stamp(&mut self, which: usize) {
        integer(&mut self.text, self.now_us as u64);
        self.stamps[which] = self.text.len() as u32;
    }

    fn price(&mut self, symbol: usize, ticks: i64) {
        decimal(&mut self.text, ticks as u64 * self.names[symbol].tick);
    }

    fn amount(&mut self, symbol: usize, lots: i64) {
        decimal(&mut self.text, lots as u64 * self.names[symbol].lot);
    }

    fn levels(&mut self, symbol: usize, levels: &[Level]) {
        for (i, &(ticks, lots)) in levels.iter().enumerate() {
            self.put(if i == 0 { b"[\"" } else { b",[\"" });
            self.price(symbol, ticks);
            self.put(b"\",\"");
            self.amount(symbol, lots);
            self.put(b"\"]");
        }
    }

    fn wanted(&self, stream: usize) -> bool {
        self.listeners[stream] > 0
    }

    fn remember(&mut self, symbol: usize, print: Print, aggregate: bool) -> u32 {
        let sent = AtomicBool::new(false);
        self.trades.push(Traded {
            symbol,
            print,
            aggregate,
            us: self.now_us,
            sent,
        });
        self.trades.len() as u32 - 1
    }

    fn head(&mut self, event: &[u8], symbol: usize) {
        self.put(b"{\"e\":\"");
        self.put(event);
        self.put(b"\",\"E\":");
        self.stamp(0);
        self.put(b",\"s\":\"");
        self.text
            .extend_from_slice(self.names[symbol].upper.as_bytes());
    }

    /// Price, amount and what follows them up to `T`, which trades and aggregates share.
    fn price_and_amount(&mut self, symbol: usize, print: Print) {
        self.put(b",\"p\":\"");
        self.price(symbol, print.price);
        self.put(b"\",\"q\":\"");
        self.amount(symbol, print.lots);
        self.put(b"\"");
    }

    fn time_and_maker(&mut self, buyer_is_maker: bool) {
        self.put(b",\"T\":");
        self.stamp(1);
        self.put(if buyer_is_maker {
            b",\"m\":true,\"M\":true}"
        } else {
            b",\"m\":false,\"M\":true}"
        });
    }
}

impl Sink for Renderer {
    fn trade(&mut self, symbol: usize, print: Print) {
        let stream = Stream::Trade.of(symbol);
        if !self.wanted(stream) {
            return;
        }
        let start = self.begin(symbol, "@trade");
        let data = self.text.len();
        self.head(b"trade", symbol);
        self.put(b"\",\"t\":");
        integer(&mut self.text, print.id);
        self.price_and_amount(symbol, print);
        self.time_and_maker(print.buyer_is_maker);
        let trade = self.remember(symbol, print, false);
        self.end(stream, start, data, Some(trade));
    }

    fn aggregate(&mut self, symbol: usize, print: Print, first: u64, last: u64) {
        let stream = Stream::Aggregate.of(symbol);
        if !self.wanted(stream) {
            return;
        }
        let start = self.begin(symbol, "@aggTrade");
        let data = self.text.len();
        self.head(b"aggTrade", symbol);
        self.put(b"\",\"a\":");
        integer(&mut self.text, print.id);
        self.price_and_amount(symbol, print);
        self.put(b",\"f\":");
        integer(&mut self.text, first);
        self.put(b",\"l\":");
        integer(&mut self.text, last);
        self.time_and_maker(print.buyer_is_maker);
        let trade = self.remember(symbol, print, true);
        self.end(stream, start, data, Some(trade));
    }

    fn touch(&mut self, symbol: usize, touch: Touch) {
        let stream = Stream::Touch.of(symbol);
        if !self.wanted(stream) {
            return;
        }
        let start = self.begin(symbol, "@bookTicker");
        let data = self.text.len();
        self.put(b"{\"u\":");
        integer(&mut self.text, touch.update_id);
        self.put(b",\"s\":\"");
        self.text
            .extend_from_slice(self.names[symbol].upper.as_bytes());
        for (i, (ticks, lots)) in [touch.bid, touch.ask].into_iter().enumerate() {
            self.put(if i == 0 {
                b"\",\"b\":\""
            } else {
                b"\",\"a\":\""
            });
            self.price(symbol, ticks);
            self.put(if i == 0 {
                b"\",\"B\":\""
            } else {
                b"\",\"A\":\""
            });
            self.amount(symbol, lots);
        }
        self.put(b"\"}");
        self.end(stream, start, data, None);
    }

    fn diff(&mut self, symbol: usize, diff: Diff<'_>) {
        let kind = if diff.slow {
            Stream::SlowDepth
        } else {
            Stream::Depth
        };
        let stream = kind.of(symbol);
        if !self.wanted(stream) || self.chaos.drop_depth() {
            return;
        }
        let start = self.begin(symbol, if diff.slow { "@depth" } else { "@depth@100ms" });
        let data = self.text.len();
        self.head(b"depthUpdate", symbol);
        self.put(b"\",\"U\":");
        integer(&mut self.text, diff.first_id);
        self.put(b",\"u\":");
        integer(&mut self.text, diff.last_id);
        self.put(b",\"b\":[");
        self.levels(symbol, diff.bids);
        self.put(b"],\"a\":[");
        self.levels(symbol, diff.asks);
        self.put(b"]}");
        self.end(stream, start, data, None);
    }
}

/// Appends a number.
pub fn integer(out: &mut Vec<u8>, value: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = value;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends a number given in 1e-8, with eight decimals.
pub fn decimal(out: &mut Vec<u8>, units: u64) {
    integer(out, units / 100_000_000);
    let mut digits = *b".00000000";
    fraction(&mut digits, units % 100_000_000);
    out.extend_from_slice(&digits);
}

/// Fills in the digits behind a point.
pub fn fraction(digits: &mut [u8], mut rest: u64) {
    for digit in digits[1..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::super::faults::Faults;
    use super::super::symbols::symbols;
    use super::*;
    use serde_json::Value;

    #[test]
    fn numbers_are_written_as_the_exchange_does() {
        let check = |units, text: &str| {
            let mut out = Vec::new();
            decimal(&mut out, units);
            assert_eq!(String::from_utf8(out).expect("ASCII"), text);
        };
        check(0, "0.00000000");
        check(1, "0.00000001");
        check(9_123_456_000_000, "91234.56000000");
        check(u64::MAX, "184467440737.09551615");
    }

    fn all_messages(faults: &str) -> Renderer {
        let faults: Faults = faults.parse().expect("faults");
        let mut r = Renderer::new(&symbols(2), Chaos::new(&faults, 1));
        r.listeners.fill(1);
        r.now_us = 1_795_339_200_123_456;
        let print = Print {
            id: 77,
            price: 302_500,
            lots: 15,
            buyer_is_maker: true,
        };
        r.trade(1, print);
        r.aggregate(1, print, 77, 78);
        r.touch(
            1,
            Touch {
                update_id: 5,
                bid: (302_499, 1),
                ask: (302_501, 2),
            },
        );
        let (bids, asks) = ([(302_499, 0)], [(302_501, 2), (302_502, 3)]);
        r.diff(
            1,
            Diff {
                first_id: 4,
                last_id: 5,
                slow: false,
                bids: &bids,
                asks: &asks,
            },
        );
        r
    }

    #[test]
    fn messages_have_the_exchange_s_form() {
        let r = all_messages("");
        let expected = [
            r#"{"e":"trade","E":1795339200123456,"s":"ETHUSDT","t":77,"p":"3025.00000000","q":"0.00150000","T":1795339200123456,"m":true,"M":true}"#,
            r#"{"e":"aggTrade","E":1795339200123456,"s":"ETHUSDT","a":77,"p":"3025.00000000","q":"0.00150000","f":77,"l":78,"T":1795339200123456,"m":true,"M":true}"#,
            r#"{"u":5,"s":"ETHUSDT","b":"3024.99000000","B":"0.00010000","a":"3025.01000000","A":"0.00020000"}"#,
            r#"{"e":"depthUpdate","E":1795339200123456,"s":"ETHUSDT","U":4,"u":5,"b":[["3024.99000000","0.00000000"]],"a":[["3025.01000000","0.00020000"],["3025.02000000","0.00030000"]]}"#,
        ];
        let streams = ["@trade", "@aggTrade", "@bookTicker", "@depth@100ms"];
        assert_eq!(r.parts.len(), 4);
        for ((part, raw), stream) in r.parts.iter().zip(expected).zip(streams) {
            let text = |(a, b): (u32, u32)| {
                std::str::from_utf8(&r.text[a as usize..b as usize]).expect("UTF-8")
            };
            assert_eq!(text(part.raw), raw);
            let wrapped = format!("{{\"stream\":\"ethusdt{stream}\",\"data\":{raw}}}");
            assert_eq!(text(part.combined), wrapped);
        }
    }

    #[test]
    fn faults_are_added_and_nothing_else_is_lost() {
        let r = all_messages("malformed=1,duplicate_trade=1,drop_depth=1");
        let good = |p: &&Part| {
            let (a, b) = p.combined;
            serde_json::from_slice::<Value>(&r.text[a as usize..b as usize]).is_ok()
        };
        // Trade and aggregate: torn, whole, again; best prices: torn, whole; no book change.
        assert_eq!((r.parts.len(), r.parts.iter().filter(good).count()), (8, 5));
    }

    #[test]
    fn what_nobody_wants_is_not_made() {
        let mut r = Renderer::new(&symbols(1), Chaos::new(&Faults::default(), 1));
        r.trade(
            0,
            Print {
                id: 1,
                price: 1,
                lots: 1,
                buyer_is_maker: false,
            },
        );
        assert!(r.text.is_empty() && r.parts.is_empty() && r.trades.is_empty());
    }
}
