//! The decoders of all exchanges, each with the feed around it and an engine behind it.
//!
//! An input is a conversation, a frame a line; `@snapshot SYMBOL BODY` and `@listing BODY` are REST
//! answers, `@disconnect` is a lost connection. It is played twice: as it is, and with a blank in
//! front of each frame, which no cursor takes. Both paths must say the same.

use super::{Verdict, fingerprint, fuzz};
use crate::alloc::Mark;
use rust_decimal::Decimal;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tickforge::capture::{Dir, Reader};
use tickforge::engine::{Collect, Engine};
use tickforge::exchanges::output::Want;
use tickforge::exchanges::{Channels, Exchange, Frame, Reject, Rest, by_name};
use tickforge::feed::Feed;
use tickforge::market::{Event, Flags, Instrument, InstrumentId, Kind, Registry, Status, decimal};
use tickforge::metrics::IngestMetrics;

/// One feed with its engine, and what the rules of the stream say about it.
struct Side {
    feed: Feed,
    engine: Engine,
    collected: Collect,
    metrics: IngestMetrics,
    /// By instrument: price and amount scale, and whether its book is live.
    state: HashMap<InstrumentId, (u8, u8, bool)>,
}

/// An event with its values, whatever the scale.
#[derive(Debug, PartialEq)]
struct Told {
    kind: Kind,
    flags: Flags,
    instrument: InstrumentId,
    exchange_ns: i64,
    update_id: u64,
    values: [Decimal; 4],
    rest: u128,
    /// Of price and amount.
    scales: (u8, u8),
}

/// What a line came to.
#[derive(Debug, PartialEq)]
struct Outcome {
    result: Result<Frame, Reject>,
    events: Vec<Told>,
    wants: Vec<Want>,
    broken: usize,
    /// Duplicates, gaps, rounded values and resyncs so far.
    counts: [u64; 4],
}

/// A decode may hold this much, and this much for each byte of its frame: buffers that grow.
const BYTES: u64 = 512 << 10;
const BYTES_PER_BYTE: u64 = 128;

impl Side {
    fn new(exchange: &str, instruments: &[Instrument]) -> Side {
        let registry = Arc::new(Registry::default());
        let channels = Channels {
            trades: true,
            aggregate_trades: false,
            quotes: true,
            book: true,
        };
        let mut side = Side {
            feed: Feed::new(
                by_name(exchange).expect("an exchange"),
                Arc::clone(&registry),
                channels,
            ),
            engine: Engine::new(registry, Vec::new()),
            collected: Collect::default(),
            metrics: IngestMetrics::default(),
            state: HashMap::new(),
        };
        side.feed.list(instruments.to_vec(), |_| true);
        for slot in side.feed.out.slots() {
            side.state.insert(
                slot.instrument,
                (slot.price_scale, slot.amount_scale, false),
            );
        }
        let listed = std::mem::take(&mut side.feed.out.events);
        for event in &listed {
            side.engine.on_event(event, &mut side.collected);
        }
        side
    }

    fn line(&mut self, line: &[u8], blank: bool) -> Result<Outcome, String> {
        let before = Mark::set();
        let result = match line.strip_prefix(b"@") {
            Some(command) => self.command(command),
            None if blank => self.feed.frame(0, 7, &[b" ", line].concat(), &self.metrics),
            None => self.feed.frame(0, 7, line, &self.metrics),
        };
        let held = before.most();
        if held > BYTES + BYTES_PER_BYTE * line.len() as u64 {
            return Err(format!("{held} bytes held for a line of {}", line.len()));
        }
        let mut events = Vec::new();
        self.take_events(&mut events)?;
        let broken: Vec<_> = self.collected.broken.drain(..).collect();
        for (instrument, reason) in &broken {
            self.feed.break_book(*instrument, *reason, 7, &self.metrics);
            self.take_events(&mut events)?;
        }
        self.collected = Collect::default();
        let m = &self.metrics;
        let counts = [&m.events_duplicate, &m.gaps, &m.inexact, &m.resyncs].map(|c| c.get());
        let wants = self.feed.take_wants();
        Ok(Outcome {
            result,
            events,
            wants,
            broken: broken.len(),
            counts,
        })
    }

    fn command(&mut self, command: &[u8]) -> Result<Frame, Reject> {
        let mut words = command.splitn(3, |b| *b == b' ');
        let mut word = || words.next().unwrap_or_default();
        match word() {
            b"snapshot" => {
                let native = String::from_utf8_lossy(word()).into_owned();
                self.feed
                    .snapshot(7, &native, word(), &self.metrics)
                    .map(|()| Frame::Data)
            }
            b"listing" => {
                let listed = self
                    .feed
                    .exchange
                    .parse_listing(&[word(), b" ", word()].concat());
                Ok(if listed.is_ok() {
                    Frame::Data
                } else {
                    Frame::Ignored
                })
            }
            b"disconnect" => {
                self.feed.disconnected(0, 7, &self.metrics);
                Ok(Frame::Ignored)
            }
            _ => Ok(Frame::Ignored),
        }
    }

    /// Hands the events to the engine, and holds them against the rules: a book message is whole
    /// and in one piece, and none but a snapshot follows a break.
    fn take_events(&mut self, told: &mut Vec<Told>) -> Result<(), String> {
        let events = std::mem::take(&mut self.feed.out.events);
        let mut open: Option<InstrumentId> = None;
        for event in &events {
            let state = self.state.entry(event.instrument).or_insert((8, 8, false));
            if open.is_some_and(|id| event.kind != Kind::Book || id != event.instrument) {
                return Err(format!("{event:?} in the middle of a book message"));
            }
            if event.kind == Kind::Book {
                let (first, last) = (event.flags.has(Flags::FIRST), event.flags.has(Flags::LAST));
                if first != open.is_none() {
                    return Err(format!(
                        "a book message without its begin or end at {event:?}"
                    ));
                }
                let snapshot = event.flags.has(Flags::SNAPSHOT);
                if !snapshot && !state.2 {
                    return Err(format!("{event:?} changes a book that is not live"));
                }
                open = (!last).then_some(event.instrument);
                state.2 |= snapshot && last;
            } else if event.kind == Kind::Status {
                match event.status() {
                    Status::Listed => {}
                    Status::BookStale { .. } => state.2 = false,
                    Status::Rescale { price, amount } => (state.0, state.1) = (price, amount),
                    Status::Interrupted => {}
                    other => return Err(format!("a feed switches nothing: {other:?}")),
                }
            }
            told.push(tell(event, (state.0, state.1)));
            self.engine.on_event(event, &mut self.collected);
        }
        match open {
            Some(_) => Err("a book message without an end".to_owned()),
            None => Ok(()),
        }
    }
}

fn tell(event: &Event, scales: (u8, u8)) -> Told {
    let price = |v| decimal::to_decimal(v, scales.0);
    let amount = |v| decimal::to_decimal(v, scales.1);
    let none = Decimal::ZERO;
    let (values, rest) = match event.kind {
        Kind::Trade => {
            let t = event.trade();
            ([price(t.price), amount(t.amount), none, none], t.id)
        }
        Kind::Quote => {
            let q = event.quote();
            (
                [
                    price(q.bid),
                    amount(q.bid_amount),
                    price(q.ask),
                    amount(q.ask_amount),
                ],
                0,
            )
        }
        Kind::Book => {
            let d = event.delta();
            let digits = u128::from(d.price_digits) << 40 | u128::from(d.amount_digits) << 32;
            (
                [price(d.price), amount(d.amount), none, none],
                digits | u128::from(d.checksum),
            )
        }
        Kind::Status => (
            [none; 4],
            u128::from(fingerprint(format!("{:?}", event.status()))),
        ),
    };
    let Event {
        kind,
        flags,
        instrument,
        exchange_ns,
        update_id,
        ..
    } = *event;
    Told {
        kind,
        flags,
        instrument,
        exchange_ns,
        update_id,
        values,
        rest,
        scales,
    }
}

/// A line's behaviour for telling inputs apart: what came of it, not with which values.
fn behaviour(outcome: &Outcome, cursor: bool) -> u64 {
    let result = match &outcome.result {
        Ok(frame) => format!("{:?}", std::mem::discriminant(frame)),
        Err(reject) => format!("{reject:?}"),
    };
    let kinds = outcome.events.iter().fold((0u8, 0u8), |(kinds, flags), e| {
        (kinds | 1 << e.kind as u8, flags | e.flags.0)
    });
    let wants: Vec<_> = outcome.wants.iter().map(std::mem::discriminant).collect();
    let size = outcome.events.len().checked_ilog2();
    fingerprint((
        result,
        kinds,
        wants,
        outcome.broken.min(2),
        size,
        cursor,
        outcome.counts.map(|c| c.min(2)),
    ))
}

fn play(exchange: &str, instruments: &[Instrument], input: &[u8]) -> Verdict {
    let (mut fast, mut complete) = (
        Side::new(exchange, instruments),
        Side::new(exchange, instruments),
    );
    let mut did = Vec::new();
    let began = Instant::now();
    for line in input.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        // A text frame is UTF-8: the WebSocket sees to it.
        let text = std::str::from_utf8(line).is_ok();
        let cursor = fast.metrics.decode_cursor.get();
        let (a, b) = (fast.line(line, false)?, complete.line(line, true)?);
        if text && a != b {
            return Err(format!(
                "the paths differ\nas it is:  {a:?}\nby the complete one: {b:?}"
            ));
        }
        if text && let Some(what) = untrue(exchange, line, &b) {
            return Err(what);
        }
        did.push(behaviour(&a, fast.metrics.decode_cursor.get() > cursor));
        if !text {
            break;
        }
    }
    if complete.metrics.decode_cursor.get() > 0 {
        return Err("the blank did not keep the cursor away".to_owned());
    }
    if began.elapsed() > Duration::from_secs(5) {
        return Err("it took more than five seconds".to_owned());
    }
    Ok(did)
}

/// A level's price and amount as a frame writes them.
type Pair = (String, String);

/// Where the events of a book message are not what the frame says.
fn untrue(exchange: &str, line: &[u8], outcome: &Outcome) -> Option<String> {
    let told: Vec<&Told> = outcome
        .events
        .iter()
        .filter(|e| e.kind == Kind::Book && !e.flags.has(Flags::EMPTY))
        .collect();
    if told.is_empty() || outcome.result != Ok(Frame::Data) {
        return None;
    }
    let said = said(exchange, line)?;
    if said.len() != told.len() {
        return None; // messages that waited came with it, or it was no live book's
    }
    for (told, said) in told.iter().zip(&said) {
        let scales = [told.scales.0, told.scales.1];
        let texts = [&said.0, &said.1].into_iter().zip(scales);
        for (value, (text, scale)) in told.values.iter().zip(texts) {
            let exact = text.parse::<Decimal>().ok().filter(|_| text.len() < 28);
            let Some(exact) = exact else { continue };
            // What is flagged as rounded is so by a unit of its scale at most, or of the scale that
            // it had before a later level of the message widened it.
            let rounded = told.flags.has(Flags::INEXACT);
            let unit = Decimal::new(i64::from(rounded), u32::from(scale.min(8)));
            if (exact - value).abs() > unit {
                return Some(format!("{said:?} became {told:?}"));
            }
        }
    }
    None
}

/// All levels of a book message, in their order.
fn said(exchange: &str, line: &[u8]) -> Option<Vec<Pair>> {
    if exchange == "kraken" {
        return said_by_kraken(line);
    }
    if line.contains(&b'\\') {
        return None; // a field's name may be escaped, and so be there twice unseen
    }
    let frame: Value = serde_json::from_slice(line).ok()?;
    let times = |key: &str| memchr::memmem::find_iter(line, key).count();
    let text = |v: &Value| Some(v.as_str()?.to_owned());
    if exchange == "binance" {
        if [r#""b""#, r#""a""#, r#""data""#]
            .iter()
            .any(|key| times(key) > 1)
        {
            return None; // a field twice: no reader says which one counts
        }
        let data = frame.get("data").unwrap_or(&frame);
        let levels = data["b"].as_array()?.iter().chain(data["a"].as_array()?);
        return levels
            .map(|level| Some((text(&level[0])?, text(&level[1])?)))
            .collect();
    }
    let events = frame["events"].as_array()?;
    let updates = events
        .iter()
        .map(|e| e["updates"].as_array())
        .collect::<Option<Vec<_>>>()?;
    let levels: Vec<&Value> = updates.into_iter().flatten().collect();
    let once = |key| times(key) == levels.len();
    if !once("\"price_level\"") || !once("\"new_quantity\"") || times("\"updates\"") != events.len()
    {
        return None;
    }
    let levels = levels.into_iter();
    levels
        .map(|level| Some((text(&level["price_level"])?, text(&level["new_quantity"])?)))
        .collect()
}

fn said_by_kraken(line: &[u8]) -> Option<Vec<Pair>> {
    use serde_json::value::RawValue;
    #[derive(serde::Deserialize)]
    struct Message {
        data: Vec<Entry>,
    }
    #[derive(serde::Deserialize)]
    struct Entry {
        bids: Vec<Level>,
        asks: Vec<Level>,
    }
    #[derive(serde::Deserialize)]
    struct Level {
        price: Box<RawValue>,
        qty: Box<RawValue>,
    }
    let message: Message = serde_json::from_slice(line).ok()?;
    let levels = message
        .data
        .into_iter()
        .flat_map(|e| e.bids.into_iter().chain(e.asks));
    Some(
        levels
            .map(|level| (level.price.get().to_owned(), level.qty.get().to_owned()))
            .collect(),
    )
}

/// A capture as conversations: all of it where it is short, else parts of a few lines; and the
/// instruments of its list that these speak of.
fn conversations(
    exchange: &dyn Exchange,
    capture: &std::path::Path,
) -> (Vec<Vec<u8>>, Vec<Instrument>) {
    let (mut lines, mut listed) = (Vec::new(), Vec::new());
    for (_, line) in Reader::open(capture).unwrap().map(|line| line.unwrap()) {
        let raw = line.raw.unwrap_or_default();
        match (
            line.dir,
            exchange.classify(line.url.as_deref().unwrap_or_default()),
        ) {
            (Dir::Recv, _) => lines.push(shortened(raw)),
            (Dir::Http, Rest::Listing) => listed = exchange.parse_listing(raw.as_bytes()).unwrap(),
            (Dir::Http, Rest::Snapshot(native)) => {
                lines.push(format!("@snapshot {native} {}", shortened(raw)));
            }
            (Dir::Disconnect, _) => lines.push("@disconnect".to_owned()),
            _ => {}
        }
    }
    let parts = lines.chunks(if lines.len() < 60 { lines.len() } else { 8 });
    let step = parts.len() / 40 + 1;
    let inputs: Vec<_> = parts
        .step_by(step)
        .map(|part| part.join("\n") + "\n")
        .collect();
    listed.retain(|i| {
        inputs
            .iter()
            .any(|input| input.contains(&format!("\"{}\"", i.native)))
    });
    (inputs.into_iter().map(String::into_bytes).collect(), listed)
}

/// A snapshot of thousands of levels with a few of them.
fn shortened(raw: String) -> String {
    fn cut(value: &mut Value) {
        match value {
            Value::Array(list) => {
                list.truncate(20);
                list.iter_mut().for_each(cut);
            }
            Value::Object(map) => map.values_mut().for_each(cut),
            _ => {}
        }
    }
    if raw.len() < 6_000 {
        return raw;
    }
    let mut value: Value = serde_json::from_str(&raw).unwrap();
    cut(&mut value);
    value.to_string()
}

/// Fuzzes an exchange's decoder, from `own` conversations and recorded ones.
fn decoder(name: &str, mut instruments: Vec<Instrument>, own: &str) {
    let exchange = by_name(name).expect("an exchange");
    let mut seeds = vec![own.as_bytes().to_vec()];
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in [
        root.join(format!("tests/data/{name}/conversation.capture.jsonl")),
        root.join(format!("../shared/corpus/{name}.capture.jsonl.zst")),
    ] {
        if file.exists() {
            let (inputs, listed) = conversations(exchange.as_ref(), &file);
            instruments.extend(listed);
            seeds.extend(inputs);
        }
    }
    fuzz(name, seeds, |input| play(name, &instruments, input));
}

pub const BINANCE_LIST: &str = r#"{"symbols":[{"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","filters":[{"filterType":"PRICE_FILTER","tickSize":"0.01000000"},{"filterType":"LOT_SIZE","minQty":"0.00001","stepSize":"0.00001"}]},{"symbol":"ETHUSDT","status":"TRADING","baseAsset":"ETH","quoteAsset":"USDT","filters":[]}]}"#;

pub const BINANCE: &str = r#"@snapshot BTCUSDT {"lastUpdateId":10,"bids":[["91234.00","1.0"],["91233.50","0.00000001"]],"asks":[["91240.00","2.0"]]}
{"e":"depthUpdate","E":1795339200200,"s":"BTCUSDT","U":11,"u":12,"b":[["91234.55000000","1.20000000"]],"a":[["91240.00000000","0.00000000"],["91250.1","3"]]}
{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1795339200300,"s":"BTCUSDT","U":13,"u":13,"b":[],"a":[["91241.00","7.25"]]}}
{"stream":"btcusdt@trade","data":{"e":"trade","E":1795339200123,"s":"BTCUSDT","t":5012345678,"p":"91234.56000000","q":"0.01250000","T":1795339200121,"m":true,"M":true}}
{"e":"aggTrade","E":1795339200123,"s":"BTCUSDT","a":77,"p":"91234.56","q":"0.5","f":1,"l":3,"T":1795339200121,"m":false,"M":true}
{"u":61234567890,"s":"BTCUSDT","b":"91234.55000000","B":"1.20000000","a":"91234.56000000","A":"0.45000000"}
{"stream":"ethusdt@bookTicker","data":{"u":5,"s":"ETHUSDT","b":"1.5","B":"2","a":"1.6","A":"3"}}
{"e":"depthUpdate","E":1795339200200,"s":"ETHUSDT","U":5,"u":7,"b":[["1.5","10000000000"]],"a":[]}
{"e":"depthUpdate","E":1795339200300,"s":"ETHUSDT","U":8,"u":9,"b":[["1.4","0.123456789"]],"a":[["1.6","1"]]}
@snapshot ETHUSDT {"lastUpdateId":7,"bids":[["1.5","1"]],"asks":[]}
{"e":"depthUpdate","E":1795339200400,"s":"BTCUSDT","U":14,"u":15,"b":[["91234.55","10000000000"],["91234.50","0.123456789"]],"a":[]}
{"result":null,"id":7}
{"error":{"code":2,"msg":"bad"},"id":8}
"#;

#[test]
fn binance() {
    let list = by_name("binance")
        .expect("binance")
        .parse_listing(BINANCE_LIST.as_bytes())
        .unwrap();
    decoder(
        "binance",
        list,
        &format!("{BINANCE}@listing {BINANCE_LIST}\n"),
    );
}

const COINBASE: &str = r#"{"channel":"subscriptions","timestamp":"2026-11-22T10:00:00.5Z","sequence_num":0,"events":[{"subscriptions":{"level2":["BTC-USD"]}}]}
{"channel":"l2_data","timestamp":"2026-11-22T10:00:00.5Z","sequence_num":1,"events":[{"type":"snapshot","product_id":"BTC-USD","updates":[{"side":"bid","event_time":"2026-11-22T10:00:00Z","price_level":"9.5","new_quantity":"1.25"},{"side":"offer","event_time":"2026-11-22T10:00:00Z","price_level":"9.6","new_quantity":"10000000000"}]}]}
{"channel":"l2_data","client_id":"","timestamp":"2026-11-22T10:00:00.6Z","sequence_num":2,"events":[{"type":"update","product_id":"BTC-USD","updates":[{"side":"offer","event_time":"2026-11-22T10:00:00Z","price_level":"9.61","new_quantity":"0.123456789"}]}]}
{"channel":"market_trades","client_id":"","timestamp":"2026-11-22T10:00:00.7Z","sequence_num":3,"events":[{"type":"update","trades":[{"product_id":"BTC-USD","trade_id":"7","price":"9.5","size":"0.1","time":"2026-11-22T10:00:00.000001Z","side":"SELL"}]}]}
{"channel":"market_trades","timestamp":"2026-11-22T10:00:00.7Z","sequence_num":4,"events":[{"type":"snapshot","trades":[{"product_id":"ETH-USD","trade_id":"9","price":"2","size":"1","time":"2026-11-22T10:00:00Z","side":"BUY"},{"product_id":"ETH-USD","trade_id":"8","price":"3","size":"1","time":"2026-11-22T10:00:00Z","side":"SELL"}]}]}
{"channel":"ticker","timestamp":"2026-11-22T10:00:00.8Z","sequence_num":5,"events":[{"type":"update","tickers":[{"product_id":"BTC-USD","best_bid":"9.5","best_ask":"9.6","best_bid_quantity":"1","best_ask_quantity":"0.25"}]}]}
{"channel":"heartbeats","timestamp":"2026-11-22T10:00:01Z","sequence_num":6,"events":[{"current_time":"2026-11-22 10:00:10","heartbeat_counter":42}]}
{"channel":"l2_data","timestamp":"2026-11-22T10:00:01.5Z","sequence_num":7,"events":[{"type":"update","product_id":"BTC-USD","updates":[{"side":"bid","event_time":"2026-11-22T10:00:00Z","price_level":"9.5","new_quantity":"0"}]},{"type":"snapshot","product_id":"ETH-USD","updates":[]}]}
{"type":"error","message":"NOPE-USD is not a valid product"}
@disconnect
"#;

#[test]
fn coinbase() {
    let guess = by_name("coinbase").and_then(|e| e.guess()).expect("a rule");
    decoder(
        "coinbase",
        ["BTC-USD", "ETH-USD"]
            .into_iter()
            .filter_map(guess)
            .collect(),
        COINBASE,
    );
}

const KRAKEN: &str = r#"{"channel":"status","type":"update","data":[{"system":"online","api_version":"v2","connection_id":12345678901234567890,"version":"2.0.x"}]}
{"method":"subscribe","result":{"channel":"book","symbol":"BTC/USD","depth":10,"snapshot":true},"success":true,"time_in":"2026-11-22T10:00:00.100000Z","req_id":4}
{"channel":"book","type":"snapshot","data":[{"symbol":"BTC/USD","bids":[{"price":91234.4,"qty":1.50000000}],"asks":[{"price":91234.5,"qty":0.20000000}],"checksum":2439117997,"timestamp":"2026-11-22T10:00:00.000000Z"}]}
{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[{"price":91234.4,"qty":0.00000000},{"price":91234.4,"qty":0.10}],"asks":[],"checksum":2114181697,"timestamp":"2026-11-22T10:00:00.050000Z"}]}
{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"buy","price":91234.5,"qty":0.01250000,"ord_type":"market","trade_id":81234567,"timestamp":"2026-11-22T10:00:00.123456Z"},{"symbol":"ETH/USD","side":"sell","price":2000.12,"qty":3,"ord_type":"limit","trade_id":5,"timestamp":"2026-11-22T10:00:00.123456Z"}]}
{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","bid":91234.4,"bid_qty":1.5,"ask":91234.5,"ask_qty":0.2,"last":91234.5,"volume":1532.1,"timestamp":"2026-11-22T10:00:00.123456Z"}]}
{"channel":"heartbeat"}
{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[],"asks":[{"price":91234.6,"qty":1e-9}],"checksum":1,"timestamp":"2026-11-22T10:00:00.1Z"},{"symbol":"ETH/USD","bids":[],"asks":[],"checksum":0}]}
{"method":"subscribe","success":false,"error":"Currency pair not supported FOO/USD","symbol":"FOO/USD","req_id":4}
{"method":"pong","req_id":101}
@listing {"error":[],"result":{"XXBTZUSD":{"altname":"XBTUSD","wsname":"XBT/USD","pair_decimals":1,"lot_decimals":8,"ordermin":"0.00005","tick_size":"0.1","status":"online"},"XXBTZUSD.d":{"pair_decimals":1,"lot_decimals":8}}}
@disconnect
"#;

#[test]
fn kraken() {
    let guess = by_name("kraken").and_then(|e| e.guess()).expect("a rule");
    decoder(
        "kraken",
        ["BTC/USD", "ETH/USD"]
            .into_iter()
            .filter_map(guess)
            .collect(),
        KRAKEN,
    );
}
