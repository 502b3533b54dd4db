//! A book message that is lost, doubled or out of order is noticed by the instrument's next one,
//! or the book is right all the same.
//!
//! Every book message of a capture (REST snapshots too) is in its turn deleted, doubled, swapped
//! with the instrument's next one, and swapped with the next line of any kind. From the
//! instrument's first message behind the damage on, its book is either not held for right (stale,
//! or with a gap counted) or equal to that of the undamaged capture. A checksum covers ten levels a
//! side: below them a book may differ until the difference comes into sight. A damaged message
//! without a successor has nothing that could notice it. Neighbours are not disturbed, except where
//! the sequence is the connection's own (Coinbase).

use rust_decimal::Decimal;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use tickforge::capture::{Dir, Line, Reader};
use tickforge::exchanges::{Exchange, Rest, by_name};
use tickforge::market::Side;
use tickforge::playback::Playback;
use tickforge::state::{BookState, MarketState};

/// A capture, and what each of its lines is about.
struct Capture {
    exchange: &'static str,
    lines: Vec<Line>,
    /// The symbol of a book message.
    books: Vec<Option<String>>,
    /// After each line: every instrument's book.
    right: Vec<HashMap<String, Seen>>,
}

/// What is to be seen of a book.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    synced: bool,
    gaps: u32,
    /// Of all levels, and of the ten best a side.
    all: u64,
    top: u64,
}

impl Seen {
    fn new(market: &MarketState) -> Seen {
        let hash = |levels: usize| {
            let mut hasher = DefaultHasher::new();
            for side in [Side::Buy, Side::Sell] {
                for level in market.book.levels(side).take(levels) {
                    (side as u8, level.price, level.amount).hash(&mut hasher);
                }
            }
            (market.price_scale, market.amount_scale).hash(&mut hasher);
            hasher.finish()
        };
        let gaps = market.quality.gaps;
        Seen {
            synced: market.book_state == BookState::Synced,
            gaps,
            all: hash(usize::MAX),
            top: hash(10),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Damage {
    Deleted,
    Doubled,
    SwappedWithItsNext,
    SwappedWithNextLine,
}

/// What became of a damaged message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Verdict {
    Noticed,
    Harmless,
    /// No message of the instrument comes after it.
    Last,
}

impl Capture {
    fn new(exchange: &'static str, lines: Vec<Line>) -> Capture {
        let codec = by_name(exchange).expect("an exchange");
        let books = lines
            .iter()
            .map(|line| book_of(codec.as_ref(), line))
            .collect();
        let mut capture = Capture {
            exchange,
            lines,
            books,
            right: Vec::new(),
        };
        let mut playback = capture.playback();
        for line in &capture.lines {
            play(&mut playback, line);
            let markets = playback.engine.markets();
            let seen = markets
                .map(|(_, m)| (m.instrument.native.clone(), Seen::new(m)))
                .collect();
            capture.right.push(seen);
        }
        capture
    }

    fn playback(&self) -> Playback {
        Playback::new(Some(self.exchange), Vec::new()).expect("a playback")
    }

    /// The order of lines with this damage at line `at`, and the last place that it touches; `None`
    /// where there is nothing to swap with.
    fn order(&self, damage: Damage, at: usize) -> Option<(Vec<usize>, usize)> {
        let mut order: Vec<usize> = (0..self.lines.len()).collect();
        let next = match damage {
            Damage::Deleted => {
                order.remove(at);
                return Some((order, at.checked_sub(1)?));
            }
            Damage::Doubled => {
                order.insert(at, at);
                return Some((order, at + 1));
            }
            Damage::SwappedWithItsNext => {
                (at + 1..order.len()).find(|i| self.books[*i] == self.books[at])?
            }
            Damage::SwappedWithNextLine => Some(at + 1).filter(|next| *next < order.len())?,
        };
        order.swap(at, next);
        Some((order, next))
    }

    /// Plays the damaged capture up to where the book is judged; the error says what is wrong.
    fn judge(&self, damage: Damage, at: usize) -> Result<Verdict, String> {
        let Some((order, touched)) = self.order(damage, at) else {
            return Ok(Verdict::Last);
        };
        let symbol = self.books[at].as_ref().expect("a book message");
        let mut playback = self.playback();
        let mut verdict = Verdict::Last;
        for (place, &line) in order.iter().enumerate() {
            play(&mut playback, &self.lines[line]);
            if place <= touched || self.books[line].as_ref() != Some(symbol) {
                continue;
            }
            let right = &self.right[line];
            let Some(market) = market(&playback, symbol) else {
                return Ok(Verdict::Noticed);
            };
            let (seen, expected) = (Seen::new(market), &right[symbol]);
            if self.exchange != "coinbase" {
                self.neighbours(&playback, right, symbol)?;
            }
            if !seen.synced || seen.gaps > expected.gaps {
                return Ok(Verdict::Noticed);
            }
            if expected.synced && seen.all == expected.all {
                return Ok(Verdict::Harmless);
            }
            let deep = self.exchange == "kraken" && seen.top == expected.top;
            if expected.synced && !deep {
                return Err(format!(
                    "line {at} of {symbol} {damage:?}: at line {line} the book is wrong and held for right"
                ));
            }
            verdict = Verdict::Harmless;
        }
        Ok(verdict)
    }

    fn neighbours(
        &self,
        playback: &Playback,
        right: &HashMap<String, Seen>,
        symbol: &str,
    ) -> Result<(), String> {
        for (_, market) in playback.engine.markets() {
            let native = &market.instrument.native;
            if native != symbol && right.get(native) != Some(&Seen::new(market)) {
                return Err(format!("damage to {symbol} changed the book of {native}"));
            }
        }
        Ok(())
    }

    /// Damages every book message in every way.
    fn check(&self) {
        let mut verdicts: HashMap<(String, Verdict), usize> = HashMap::new();
        let mut wrong = Vec::new();
        let mut tried = 0;
        for at in (0..self.lines.len()).filter(|at| self.books[*at].is_some()) {
            for damage in [
                Damage::Deleted,
                Damage::Doubled,
                Damage::SwappedWithItsNext,
                Damage::SwappedWithNextLine,
            ] {
                tried += 1;
                match self.judge(damage, at) {
                    Ok(verdict) => {
                        *verdicts
                            .entry((format!("{damage:?}"), verdict))
                            .or_default() += 1
                    }
                    Err(what) => wrong.push(what),
                }
            }
        }
        let shown: BTreeMap<String, usize> = verdicts
            .iter()
            .map(|((d, v), n)| (format!("{d} {v:?}"), *n))
            .collect();
        eprintln!("{}: {tried} damages: {shown:?}", self.exchange);
        assert!(
            wrong.is_empty(),
            "{} of {tried}: {:#?}",
            wrong.len(),
            &wrong[..wrong.len().min(10)]
        );
        let noticed = verdicts.get(&("Deleted".to_owned(), Verdict::Noticed));
        assert!(
            noticed.is_some_and(|n| *n > 0),
            "no deleted message was noticed: {shown:?}"
        );
    }
}

fn play(playback: &mut Playback, line: &Line) {
    playback
        .line(line, |_, _, _, _| {})
        .expect("a line of a capture");
}

fn market<'a>(playback: &'a Playback, symbol: &str) -> Option<&'a MarketState> {
    playback
        .engine
        .markets()
        .map(|(_, m)| m)
        .find(|m| m.instrument.native == symbol)
}

/// The symbol of a book message.
fn book_of(exchange: &dyn Exchange, line: &Line) -> Option<String> {
    if line.dir == Dir::Http {
        return match exchange.classify(line.url.as_deref()?) {
            Rest::Snapshot(native) => Some(native),
            _ => None,
        };
    }
    if line.dir != Dir::Recv {
        return None;
    }
    let frame: Value = serde_json::from_str(line.raw.as_deref()?).ok()?;
    let (is_book, symbol) = match exchange.name() {
        "binance" => (frame["data"]["e"] == "depthUpdate", &frame["data"]["s"]),
        "coinbase" => (
            frame["channel"] == "l2_data",
            &frame["events"][0]["product_id"],
        ),
        _ => (frame["channel"] == "book", &frame["data"][0]["symbol"]),
    };
    symbol.as_str().filter(|_| is_book).map(str::to_owned)
}

fn read(path: &Path) -> Vec<Line> {
    Reader::open(path)
        .unwrap()
        .map(|line| line.unwrap().1)
        .collect()
}

/// A recording kept beside the project, where it is present: its list without what it does not
/// speak of, its snapshots cut to `levels` a side, since each is read thousands of times here.
fn recorded(exchange: &'static str, levels: usize) -> Option<Capture> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join(format!("../shared/corpus/{exchange}.capture.jsonl.zst"));
    if !path.exists() {
        eprintln!(
            "skipped: no recording beside the project ({})",
            path.display()
        );
        return None;
    }
    let mut lines = read(&path);
    let frames = lines
        .iter()
        .filter(|l| l.dir == Dir::Recv)
        .filter_map(|l| l.raw.clone());
    let spoken = frames.collect::<String>();
    for line in lines
        .iter_mut()
        .filter(|l| l.raw.as_ref().is_some_and(|raw| raw.len() > 20_000))
    {
        let mut value: Value = serde_json::from_str(line.raw.as_deref().unwrap()).unwrap();
        for (list, id) in [("symbols", "symbol"), ("products", "product_id")] {
            if let Some(list) = value.get_mut(list).and_then(Value::as_array_mut) {
                list.retain(|one| {
                    one[id]
                        .as_str()
                        .is_some_and(|id| spoken.contains(&format!("\"{id}\"")))
                });
            }
        }
        for side in ["bids", "asks"] {
            if let Some(list) = value.get_mut(side).and_then(Value::as_array_mut) {
                list.truncate(levels);
            }
        }
        if let Some(Value::Array(list)) = value.pointer_mut("/events/0/updates") {
            let mut left = HashMap::from([("bid", levels), ("offer", levels)]);
            list.retain(|level| {
                let left = left.get_mut(level["side"].as_str().unwrap()).unwrap();
                *left = left.saturating_sub(1);
                *left > 0
            });
        }
        line.raw = Some(value.to_string());
    }
    Some(Capture::new(exchange, lines))
}

#[test]
fn binance_recorded() {
    if let Some(capture) = recorded("binance", 1_000) {
        capture.check();
    }
}

#[test]
fn coinbase_recorded() {
    if let Some(capture) = recorded("coinbase", 200) {
        capture.check();
    }
}

#[test]
fn conversations() {
    for exchange in ["kraken", "coinbase"] {
        let name = format!("{exchange}/conversation.capture.jsonl");
        let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "data", &name]
            .iter()
            .collect();
        Capture::new(exchange, read(&path)).check();
    }
}

/// One side of a book as Kraken keeps it: price in ticks to amount in 1e-8.
type Ladder = BTreeMap<i64, u64>;

/// A market of Kraken's: its whole book, and the hundred levels a side that are subscribed to.
struct Market {
    symbol: &'static str,
    decimals: u32,
    bids: Ladder,
    asks: Ladder,
}

const DEPTH: usize = 100;

impl Market {
    fn view(&self) -> [Ladder; 2] {
        let bids = self
            .bids
            .iter()
            .rev()
            .take(DEPTH)
            .map(|(p, a)| (*p, *a))
            .collect();
        [
            bids,
            self.asks
                .iter()
                .take(DEPTH)
                .map(|(p, a)| (*p, *a))
                .collect(),
        ]
    }

    fn price(&self, ticks: i64) -> String {
        format!(
            "{:.*}",
            self.decimals as usize,
            Decimal::new(ticks, self.decimals)
        )
    }

    fn level(&self, price: i64, amount: u64) -> String {
        let amount = Decimal::new(amount as i64, 8);
        format!("{{\"price\":{},\"qty\":{amount:.8}}}", self.price(price))
    }

    /// CRC-32 (IEEE) over the texts of the ten best asks, then bids, a bit at a time.
    fn checksum(&self) -> u32 {
        let mut text = String::new();
        let asks = self.asks.iter().take(10);
        for (price, amount) in asks.chain(self.bids.iter().rev().take(10)) {
            write!(text, "{price}{amount}").unwrap();
        }
        let step = |crc: u32, _| {
            if crc & 1 == 1 {
                (crc >> 1) ^ 0xEDB8_8320
            } else {
                crc >> 1
            }
        };
        !text
            .bytes()
            .fold(!0u32, |crc, b| (0..8).fold(crc ^ u32::from(b), step))
    }

    /// The message from what the client was told last to what is there now.
    fn message(&self, kind: &str, before: &[Ladder; 2], t: i64) -> String {
        let now = self.view();
        let side = |i: usize| {
            let whole = if i == 0 { &self.bids } else { &self.asks };
            let gone = before[i].keys().filter(|price| !whole.contains_key(price));
            let gone = gone.map(|price| self.level(*price, 0));
            let new = now[i]
                .iter()
                .filter(|(price, amount)| before[i].get(price) != Some(amount));
            gone.chain(new.map(|(price, amount)| self.level(*price, *amount)))
                .collect::<Vec<_>>()
                .join(",")
        };
        let (bids, asks, checksum, symbol) = (side(0), side(1), self.checksum(), self.symbol);
        let time = tickforge::clock::rfc3339(t);
        format!(
            r#"{{"channel":"book","type":"{kind}","data":[{{"symbol":"{symbol}","bids":[{bids}],"asks":[{asks}],"checksum":{checksum},"timestamp":"{time}"}}]}}"#
        )
    }

    /// A few levels change, most of them near the touch; one side moves away or comes back.
    fn change(&mut self, draw: &mut impl FnMut(u64) -> u64) {
        for _ in 0..=draw(3) {
            let bid = draw(2) == 0;
            let touch = if bid {
                self.bids.keys().next_back()
            } else {
                self.asks.keys().next()
            };
            let touch = *touch.expect("levels");
            let away = [draw(3), draw(12), draw(150)][draw(3) as usize] as i64;
            let amount = if draw(3) == 0 {
                0
            } else {
                1 + draw(500_000_000)
            };
            let (side, other, price) = if bid {
                let closer = touch + i64::from(draw(4) == 0) - away;
                let limit = self.asks.keys().next().expect("levels") - 1;
                (&mut self.bids, self.asks.len(), closer.min(limit))
            } else {
                let closer = touch - i64::from(draw(4) == 0) + away;
                let limit = self.bids.keys().next_back().expect("levels") + 1;
                (&mut self.asks, self.bids.len(), closer.max(limit))
            };
            if amount > 0 {
                side.insert(price, amount);
            } else if side.len() > 20 && other > 20 {
                side.remove(&price);
            }
        }
    }
}

/// A conversation of two markets, one of them deeper than what is subscribed to.
fn kraken(messages: usize) -> Vec<Line> {
    let mut x = 11u64;
    let mut draw = |below: u64| {
        x = x
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (x >> 33) % below
    };
    let mut market = |symbol, decimals, mid: i64, levels: i64| {
        let mut side = |sign: i64| {
            (1..=levels)
                .map(|i| (mid + sign * i, 1 + draw(900_000_000)))
                .collect()
        };
        Market {
            symbol,
            decimals,
            bids: side(-1),
            asks: side(1),
        }
    };
    let mut markets = [
        market("BTC/USD", 1, 912_345, 130),
        market("DOGE/USD", 7, 1_234_567, 40),
    ];
    let mut t = 1_795_341_600_000_000_000;
    let mut lines = vec![Line::new(t, "kraken-1", Dir::Connect).with_url("wss://ws.kraken.com/v2")];
    let nothing = [Ladder::new(), Ladder::new()];
    for market in &markets {
        let text = market.message("snapshot", &nothing, t);
        lines.push(Line::new(t, "kraken-1", Dir::Recv).with_text(&text));
    }
    for n in 0..messages {
        t += 1_000_000 * (1 + draw(50) as i64);
        let market = &mut markets[usize::from(draw(3) == 0)];
        let before = market.view();
        market.change(&mut draw);
        let text = match draw(12) {
            0 => r#"{"channel":"heartbeat"}"#.to_owned(),
            1 => format!(
                r#"{{"channel":"trade","type":"update","data":[{{"symbol":"{}","side":"buy","price":{},"qty":0.10000000,"ord_type":"limit","trade_id":{n},"timestamp":"{}"}}]}}"#,
                market.symbol,
                market.price(*market.asks.keys().next().expect("levels")),
                tickforge::clock::rfc3339(t)
            ),
            _ => String::new(),
        };
        if !text.is_empty() {
            lines.push(Line::new(t, "kraken-1", Dir::Recv).with_text(&text));
        }
        if market.view() != before {
            let text = market.message("update", &before, t);
            lines.push(Line::new(t, "kraken-1", Dir::Recv).with_text(&text));
        }
    }
    lines
}

#[test]
fn kraken_generated() {
    let capture = Capture::new("kraken", kraken(500));
    let last = capture.right.last().expect("lines");
    assert!(
        last.len() == 2 && last.values().all(|seen| seen.synced && seen.gaps == 0),
        "{last:?}"
    );
    capture.check();
}
