//! For the tests of exchanges: plays frames and captures through a decoder as a feed would.

use super::{Exchange, Frame, Output, Reject, Rest};
use crate::market::{Event, Flags, Instrument, Kind, Registry, Side, Status, decimal};
use proptest::prelude::{Strategy, any};
use proptest::sample::Index;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// An output that knows these instruments.
pub fn output(exchange: &dyn Exchange, natives: &[&str]) -> Output {
    let mut out = Output::new(exchange.book_rule(), Arc::new(Registry::default()));
    let guess = exchange.guess().expect("symbols that say enough");
    for native in natives {
        out.add(guess(native).expect("a symbol"));
    }
    out.events.clear();
    out
}

/// Decodes one frame of connection 0; an error is rolled back.
pub fn play(exchange: &mut dyn Exchange, out: &mut Output, frame: &str) -> Result<Frame, Reject> {
    out.begin(0, 7);
    let mark = out.mark();
    let result = exchange.decode(frame.as_bytes(), out);
    if result.is_err() {
        out.reject(mark);
    }
    result
}

/// Events as short text: `trade buy 1.5 x 2 #7 snapshot @100`.
pub fn describe(out: &Output) -> Vec<String> {
    out.events
        .iter()
        .map(|event| describe_one(out, event))
        .collect()
}

fn describe_one(out: &Output, event: &Event) -> String {
    let slot = out
        .slots()
        .iter()
        .find(|s| s.instrument == event.instrument)
        .expect("a slot");
    let price = |v| decimal::to_decimal(v, slot.price_scale);
    let amount = |v| decimal::to_decimal(v, slot.amount_scale);
    let side = |sell, buy| {
        if event.side() == Side::Sell {
            sell
        } else {
            buy
        }
    };
    let mut text = match event.kind {
        Kind::Trade => {
            let t = event.trade();
            format!(
                "trade {} {} {} x {} #{}",
                slot.native,
                side("sell", "buy"),
                price(t.price),
                amount(t.amount),
                t.id
            )
        }
        Kind::Quote => {
            let q = event.quote();
            let (bid, ask) = (price(q.bid), price(q.ask));
            format!(
                "quote {} {bid} x {} / {ask} x {}",
                slot.native,
                amount(q.bid_amount),
                amount(q.ask_amount)
            )
        }
        Kind::Book => {
            let d = event.delta();
            let digits = (d.price_digits, d.amount_digits);
            format!(
                "book {} {} {} x {} {digits:?}",
                slot.native,
                side("ask", "bid"),
                price(d.price),
                amount(d.amount)
            )
        }
        Kind::Status => return format!("{:?}", event.status()),
    };
    for (flag, name) in [
        (Flags::EMPTY, "empty"),
        (Flags::SNAPSHOT, "snapshot"),
        (Flags::INEXACT, "inexact"),
    ] {
        if event.flags.has(flag) {
            text += &format!(" {name}");
        }
    }
    if event.kind == Kind::Book {
        text += if event.flags.has(Flags::FIRST) {
            " first"
        } else {
            ""
        };
        text += if event.flags.has(Flags::LAST) {
            " last"
        } else {
            ""
        };
        if event.flags.has(Flags::CHECKSUM) {
            text += &format!(" crc {}", event.delta().checksum);
        }
    }
    format!("{text} @{}", event.exchange_ns)
}

/// A book that is right and slow: price to (amount, the texts' digits).
#[derive(Default)]
struct PlainBook {
    sides: [BTreeMap<Decimal, (Decimal, String)>; 2],
}

impl PlainBook {
    fn levels(&self, side: usize) -> Vec<(Decimal, Decimal, &str)> {
        let all = self.sides[side]
            .iter()
            .map(|(p, (a, text))| (*p, *a, text.as_str()));
        if side == 0 {
            all.rev().collect()
        } else {
            all.collect()
        }
    }

    fn truncate(&mut self, depth: usize) {
        while depth > 0 && self.sides[0].len() > depth {
            self.sides[0].pop_first();
        }
        while depth > 0 && self.sides[1].len() > depth {
            self.sides[1].pop_last();
        }
    }

    /// Kraken's: the ten best asks, then bids, without points and leading zeros.
    fn checksum(&self) -> u32 {
        let top = |side| {
            self.levels(side)
                .into_iter()
                .take(10)
                .map(|(_, _, text)| text.to_owned())
        };
        crc32(top(1).chain(top(0)).collect::<String>().as_bytes())
    }
}

/// CRC-32 (IEEE), a bit at a time: independent of the crate that the engine uses.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| {
        if crc & 1 == 1 {
            (crc >> 1) ^ 0xEDB8_8320
        } else {
            crc >> 1
        }
    };
    !bytes
        .iter()
        .fold(!0u32, |crc, &b| (0..8).fold(crc ^ u32::from(b), step))
}

/// Digits of a level as a checksum takes them.
fn stripped(value: Decimal, digits: u8) -> String {
    let text = format!("{value:.*}", usize::from(digits)).replace('.', "");
    text.trim_start_matches('0').to_owned()
}

/// Plays `tests/data/NAME/conversation.capture.jsonl` and compares each trade, quote, book and
/// final book with the truth beside it, and each checksum with the book. Returns how many checksums
/// held.
pub fn check_conversation(exchange: &mut dyn Exchange) -> usize {
    let folder = format!(
        "{}/tests/data/{}",
        env!("CARGO_MANIFEST_DIR"),
        exchange.name()
    );
    let lines = |name: &str| -> Vec<Value> {
        let text =
            std::fs::read_to_string(format!("{folder}/conversation.{name}.jsonl")).expect("a file");
        text.lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    };
    let registry = Arc::new(Registry::default());
    let mut out = Output::new(exchange.book_rule(), Arc::clone(&registry));
    let mut books = BTreeMap::<String, PlainBook>::new();
    let (mut seen, mut checksums, mut n) = (Vec::new(), 0, 0);
    for line in lines("capture") {
        let text = |key: &str| line[key].as_str().unwrap_or_default();
        match text("dir") {
            "http" if exchange.classify(text("url")) == Rest::Listing => {
                let list: Vec<Instrument> = exchange
                    .parse_listing(text("raw").as_bytes())
                    .expect("a list");
                out.add_when_seen(list, None);
            }
            "recv" => {
                let result = play(exchange, &mut out, text("raw"));
                assert!(result.is_ok(), "{result:?}: {line}");
                for event in std::mem::take(&mut out.events) {
                    checksums += usize::from(event.flags.has(Flags::CHECKSUM));
                    seen.extend(record(&out, &registry, &mut books, &event, n));
                }
                n += 1;
            }
            _ => {}
        }
    }
    assert_eq!(out.wants, [], "the conversation has no break");
    for (native, book) in &books {
        let side = |i| {
            book.levels(i)
                .into_iter()
                .map(|(p, a, _)| json!([p, a]))
                .collect::<Vec<_>>()
        };
        seen.push(json!({"ch": "book_final", "symbol": native, "bids": side(0), "asks": side(1)}));
    }
    let truth: Vec<String> = lines("truth").into_iter().map(canonical).collect();
    let seen: Vec<String> = seen.into_iter().map(canonical).collect();
    for (seen, truth) in seen.iter().zip(&truth) {
        assert_eq!(seen, truth);
    }
    assert_eq!(seen.len(), truth.len());
    checksums
}

/// What the truth would say of this event; levels are applied, and a checksum compared.
fn record(
    out: &Output,
    registry: &Registry,
    books: &mut BTreeMap<String, PlainBook>,
    event: &Event,
    n: u64,
) -> Option<Value> {
    let slot = out
        .slots()
        .iter()
        .find(|s| s.instrument == event.instrument)
        .expect("a slot");
    let price = |v| decimal::to_decimal(v, slot.price_scale);
    let amount = |v| decimal::to_decimal(v, slot.amount_scale);
    let native = slot.native.as_str();
    match event.kind {
        Kind::Trade => {
            let (t, snapshot) = (event.trade(), event.flags.has(Flags::SNAPSHOT));
            let side = if t.taker == Side::Buy { "buy" } else { "sell" };
            Some(
                json!({"ch": "trade", "n": n, "symbol": native, "side": side, "price": price(t.price),
                "amount": amount(t.amount), "id": t.id.to_string(), "snapshot": snapshot, "exchange_ns": event.exchange_ns}),
            )
        }
        Kind::Quote => {
            let q = event.quote();
            Some(
                json!({"ch": "quote", "n": n, "symbol": native, "bid": price(q.bid), "ask": price(q.ask),
                "bid_amount": amount(q.bid_amount), "ask_amount": amount(q.ask_amount), "exchange_ns": event.exchange_ns}),
            )
        }
        Kind::Book => {
            let book = books.entry(native.to_owned()).or_default();
            if event.flags.has(Flags::FIRST) && event.flags.has(Flags::SNAPSHOT) {
                *book = PlainBook::default();
            }
            let d = event.delta();
            let (p, a) = (price(d.price), amount(d.amount));
            let side = &mut book.sides[usize::from(d.side == Side::Sell)];
            if a.is_zero() {
                side.remove(&p);
            } else {
                side.insert(
                    p,
                    (
                        a,
                        stripped(p, d.price_digits) + &stripped(a, d.amount_digits),
                    ),
                );
            }
            if !event.flags.has(Flags::LAST) {
                return None;
            }
            book.truncate(usize::from(registry.get(event.instrument).book_depth));
            if event.flags.has(Flags::CHECKSUM) {
                assert_eq!(book.checksum(), d.checksum, "frame {n}");
            }
            let best = |i| book.levels(i).first().map(|(p, a, _)| json!([p, a]));
            Some(
                json!({"ch": "book", "n": n, "symbol": native, "bid": best(0), "ask": best(1),
                "bids": book.sides[0].len(), "asks": book.sides[1].len(), "exchange_ns": event.exchange_ns}),
            )
        }
        Kind::Status => match event.status() {
            Status::Listed | Status::Rescale { .. } => None,
            broken => panic!("frame {n}: {broken:?}"),
        },
    }
}

/// Numbers in one form, keys sorted.
fn canonical(value: Value) -> String {
    fn walk(key: &str, value: Value) -> Value {
        match value {
            Value::String(s) if !matches!(key, "ch" | "symbol" | "side" | "id") => {
                json!(
                    s.parse::<Decimal>()
                        .expect("a decimal")
                        .normalize()
                        .to_string()
                )
            }
            Value::Array(list) => list.into_iter().map(|v| walk(key, v)).collect(),
            Value::Object(map) => map
                .into_iter()
                .map(|(k, v)| (k.clone(), walk(&k, v)))
                .collect(),
            other => other,
        }
    }
    walk("", value).to_string()
}

/// One path of a decoder.
pub type Decode<'a> = &'a mut dyn FnMut(&[u8], &mut Output) -> Result<Frame, Reject>;

/// Plays the same frames through both paths of an exchange: all that can be seen must be equal,
/// except which path served.
pub fn check_same<'a>(
    exchange: &dyn Exchange,
    natives: &[&str],
    frames: &[&str],
    fast: Decode<'a>,
    complete: Decode<'a>,
) {
    let mut seen = [fast, complete].map(|decode| {
        let mut out = output(exchange, natives);
        let mut results = Vec::new();
        for (i, frame) in frames.iter().enumerate() {
            out.begin(0, i as i64);
            let mark = out.mark();
            let result = decode(frame.as_bytes(), &mut out);
            if result.is_err() {
                out.reject(mark);
            }
            let events = describe(&out);
            out.events.clear();
            results.push((
                result,
                events,
                out.slots().iter().filter(|s| s.synced()).count(),
            ));
        }
        (results, out.wants, out.counts)
    });
    let [fast, complete] = &mut seen;
    assert_eq!(fast, complete, "{frames:#?}");
}

/// One change to a frame: what, where, and with what.
pub type Change = (u8, Index, Index);

/// Up to three changes: of layout, or damage.
pub fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = any::<Change>().prop_map(|(kind, at, with)| (kind % 6, at, with));
    proptest::collection::vec(change, 0..4)
}

/// The frame after these changes.
pub fn mutate(frame: &str, changes: &[Change]) -> String {
    let mut text = frame.to_owned();
    for (kind, at, with) in changes {
        let may_change = |c: char| match kind {
            0 => ",:{}[]".contains(c),
            1 | 2 => true,
            3 | 4 => c == '{',
            _ => c.is_ascii_alphanumeric(),
        };
        let places: Vec<usize> = text.match_indices(may_change).map(|(i, _)| i).collect();
        if places.is_empty() {
            continue;
        }
        let i = *at.get(&places);
        match kind {
            0 => text.insert(i, ' '),
            1 => {
                let other = *with.get(b"0123456789.,:\"{}[]-+eE\\ xnull\n");
                text.replace_range(i..=i, char::from(other).encode_utf8(&mut [0; 4]));
            }
            2 => drop(text.remove(i)),
            3 => text.insert_str(i + 1, r#""x":[1,{"y":null}],"#),
            4 => rotate_fields(&mut text, i),
            _ => text.replace_range(i..=i, &format!("\\u{:04x}", text.as_bytes()[i])),
        }
    }
    text
}

/// The first field of the innermost object at or after `i` becomes its last.
fn rotate_fields(text: &mut String, i: usize) {
    let Some(end) = text[i..].find('}').map(|n| i + n) else {
        return;
    };
    let Some(start) = text[..end].rfind('{') else {
        return;
    };
    let fields = &text[start + 1..end];
    if let Some((first, rest)) = fields.split_once(',')
        && !fields.contains('[')
    {
        let turned = format!("{rest},{first}");
        text.replace_range(start + 1..end, &turned);
    }
}
