//! A change to an order book and a look at both best prices, beside a book made of two `BTreeMap`s.
//!
//! The changes come from a generator that keeps its own book: 1000 levels a side, most changes near
//! a touch that wanders, 26 % of them removals, prices in steps of 0.01 at scale 8. Both books see
//! the same changes, over and over; the last of them lead back to where they began.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use tickforge::capture::Reader;
use tickforge::market::book::Level;
use tickforge::market::event::Flags;
use tickforge::market::{Book, BookDelta, Instrument, Kind, Side};
use tickforge::playback::Playback;

mod paired;
use paired::{Contender, compare};

const TICK: i64 = 1_000_000;
const START: i64 = 9_123_456 * TICK;
const LEVELS: usize = 1000;
const DELTAS: usize = 200_000;
const REMOVALS: f64 = 0.26;

type Map = BTreeMap<i64, i64>;

/// The usual way to hold a book.
#[derive(Default)]
struct MapBook {
    bids: Map,
    asks: Map,
}

impl MapBook {
    fn side(&mut self, side: Side) -> &mut Map {
        match side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        }
    }

    fn apply(&mut self, delta: &BookDelta) {
        match delta.amount {
            0 => self.side(delta.side).remove(&delta.price),
            amount => self.side(delta.side).insert(delta.price, amount),
        };
    }

    fn touch(&self) -> (Option<Level>, Option<Level>) {
        let level = |(&price, &amount): (&i64, &i64)| Level { price, amount };
        (
            self.bids.last_key_value().map(level),
            self.asks.first_key_value().map(level),
        )
    }
}

/// Writes changes and applies them to its own book, so that they make sense.
struct Market {
    random: StdRng,
    book: MapBook,
    /// The lowest price at which asks may stand; bids stand below it.
    touch: i64,
    deltas: Vec<BookDelta>,
    removals: usize,
}

impl Market {
    fn put(&mut self, side: Side, price: i64, amount: i64) {
        let (price_digits, amount_digits, checksum) = (2, 8, 0);
        let delta = BookDelta {
            side,
            price,
            amount,
            price_digits,
            amount_digits,
            checksum,
        };
        self.book.apply(&delta);
        self.deltas.push(delta);
        self.removals += usize::from(amount == 0);
    }

    fn amount(&mut self) -> i64 {
        self.random.random_range(1..500_000_000)
    }

    /// A price behind the touch: the nearer, the more likely.
    fn price(&mut self, side: Side) -> i64 {
        let uniform: f64 = self.random.random_range(1e-6..1.0);
        let steps = ((-uniform.ln()).powf(1.6) * 120.0) as i64;
        match side {
            Side::Buy => self.touch - (1 + steps) * TICK,
            Side::Sell => self.touch + steps * TICK,
        }
    }

    /// Moves the touch a few steps, with a pull back to the start, and removes what it passes.
    fn wander(&mut self) {
        let pull = (self.touch - START) / TICK;
        let steps =
            self.random.random_range(-3..=3) - i64::from(self.random.random_bool(0.2)) * pull / 200;
        self.touch += steps * TICK;
        let bids: Vec<i64> = self
            .book
            .bids
            .range(self.touch..)
            .map(|(price, _)| *price)
            .collect();
        let asks: Vec<i64> = self
            .book
            .asks
            .range(..self.touch)
            .map(|(price, _)| *price)
            .collect();
        bids.into_iter()
            .for_each(|price| self.put(Side::Buy, price, 0));
        asks.into_iter()
            .for_each(|price| self.put(Side::Sell, price, 0));
    }

    fn step(&mut self) {
        if self.random.random_bool(0.1) {
            self.wander();
        }
        let side = if self.random.random_bool(0.5) {
            Side::Buy
        } else {
            Side::Sell
        };
        let mut price = self.price(side);
        // A side that the touch ran through fills up again.
        let low = LEVELS - LEVELS / 20;
        while self.book.side(side).len() < low && self.book.side(side).contains_key(&price) {
            price = self.price(side);
        }
        let levels = self.book.side(side);
        let (len, held) = (levels.len(), levels.contains_key(&price));
        let nearest = levels
            .range(..=price)
            .next_back()
            .or_else(|| levels.range(price..).next());
        let nearest = nearest.map_or(price, |(price, _)| *price);
        let due = (self.removals as f64) < REMOVALS * self.deltas.len() as f64;
        let amount = self.amount();
        if due && len > low {
            self.put(side, nearest, 0);
        } else if held || len < LEVELS {
            self.put(side, price, amount);
        } else {
            self.put(side, nearest, amount);
        }
    }
}

/// The changes that fill a book, and those to measure.
fn deltas() -> (Vec<BookDelta>, Vec<BookDelta>) {
    let random = StdRng::seed_from_u64(7);
    let (book, deltas) = (MapBook::default(), Vec::new());
    let mut market = Market {
        random,
        book,
        touch: START,
        deltas,
        removals: 0,
    };
    for side in [Side::Buy, Side::Sell] {
        while market.book.side(side).len() < LEVELS {
            let (price, amount) = (market.price(side), market.amount());
            market.put(side, price, amount);
        }
    }
    let fill = std::mem::take(&mut market.deltas);
    let (bids, asks) = (market.book.bids.clone(), market.book.asks.clone());
    while market.deltas.len() < DELTAS {
        market.step();
    }
    // Back to the first state: its levels return, then those that are not of it go.
    for (side, first) in [(Side::Buy, bids), (Side::Sell, asks)] {
        for (&price, &amount) in &first {
            market.put(side, price, amount);
        }
        let all = market.book.side(side).clone();
        for price in all.keys().filter(|price| !first.contains_key(price)) {
            market.put(side, *price, 0);
        }
    }
    (fill, market.deltas)
}

fn bench(c: &mut Criterion) {
    let (fill, deltas) = deltas();
    let mut book = Book::new(TICK, 0, false);
    let mut map = MapBook::default();
    for delta in &fill {
        book.apply(delta);
        map.apply(delta);
    }
    // What is measured must be the same work with the same result.
    for delta in &deltas {
        book.apply(delta);
        map.apply(delta);
        assert_eq!((book.best_bid(), book.best_ask()), map.touch());
    }
    assert_eq!(
        (book.len(Side::Buy), book.len(Side::Sell)),
        (map.bids.len(), map.asks.len())
    );

    let mut group = c.benchmark_group("book: change and touch");
    group.throughput(Throughput::Elements(deltas.len() as u64));
    group.bench_function("tickforge", |b| {
        b.iter(|| {
            for delta in &deltas {
                book.apply(delta);
                black_box((book.best_bid(), book.best_ask()));
            }
        });
    });
    group.bench_function("BTreeMap", |b| {
        b.iter(|| {
            for delta in &deltas {
                map.apply(delta);
                black_box(map.touch());
            }
        });
    });
    group.finish();
    reads(c, &book, &fill);
}

/// What a strategy reads, and what Kraken's books cost on top.
fn reads(c: &mut Criterion, book: &Book, fill: &[BookDelta]) {
    let mut kraken = Book::new(TICK, 1000, true);
    fill.iter().for_each(|delta| kraken.apply(delta));
    let mut group = c.benchmark_group("book: reading");
    group.bench_function("20 best levels of both sides", |b| {
        b.iter(|| {
            let amount = |side| {
                book.levels(side)
                    .take(20)
                    .map(|level| level.amount)
                    .sum::<i64>()
            };
            black_box((amount(Side::Buy), amount(Side::Sell)))
        });
    });
    group.bench_function("Kraken's checksum", |b| {
        b.iter(|| black_box(kraken.kraken_checksum(8, 8)))
    });
    group.finish();
}

/// Changes as they came: `None` begins a snapshot.
type Recorded = Vec<(usize, Option<BookDelta>)>;

/// The book changes of a capture by its instruments, decoded beforehand.
fn recorded(path: &Path) -> anyhow::Result<(Vec<Arc<Instrument>>, Recorded)> {
    let mut playback = Playback::new(None, Vec::new())?;
    let mut changes = Recorded::new();
    for line in Reader::open(path)? {
        playback.line(&line?.1, |event, _, _, _| {
            if event.kind != Kind::Book {
                return;
            }
            let book = event.instrument as usize;
            if event.flags.has(Flags::SNAPSHOT) && event.flags.has(Flags::FIRST) {
                changes.push((book, None));
            }
            if !event.flags.has(Flags::EMPTY) {
                changes.push((book, Some(event.delta())));
            }
        })?;
    }
    Ok((playback.registry.all(), changes))
}

/// The changes of a recorded feed, its snapshots of tens of thousands of levels included.
fn replayed(_: &mut Criterion) {
    // A closed standard output ends a bench anyway.
    let say = |text: &str| drop(writeln!(std::io::stdout(), "{text}"));
    let Some(path) = std::env::var_os("TICKFORGE_BENCH_CAPTURE") else {
        return say("skipped: TICKFORGE_BENCH_CAPTURE names no capture");
    };
    let (instruments, changes) = match recorded(Path::new(&path)) {
        Ok(recorded) => recorded,
        Err(e) => return say(&format!("skipped: {e:#}")),
    };
    let after = changes.iter().rposition(|(_, c)| c.is_none()).unwrap_or(0);
    let rest = changes[after..]
        .iter()
        .position(|(_, c)| c.is_some_and(|d| d.amount == 0))
        .unwrap_or(0);
    let (fill, deltas) = changes.split_at(after + rest);
    let new = |i: &Arc<Instrument>| Book::new(i.tick(i.price_scale()), 0, false);
    let apply = |books: &mut [Book], changes: &Recorded| {
        for (book, change) in changes {
            match change {
                Some(delta) => books[*book].apply(delta),
                None => books[*book].clear(),
            }
            black_box((books[*book].best_bid(), books[*book].best_ask()));
        }
    };
    let apply_map = |maps: &mut [MapBook], changes: &Recorded| {
        for (book, change) in changes {
            match change {
                Some(delta) => maps[*book].apply(delta),
                None => maps[*book] = MapBook::default(),
            }
            black_box(maps[*book].touch());
        }
    };
    for (title, fill, changes) in [
        ("recorded deltas", fill.to_vec(), deltas.to_vec()),
        (
            "recorded feed, snapshots too",
            Recorded::new(),
            changes.clone(),
        ),
    ] {
        let books = RefCell::new(Vec::new());
        let maps = RefCell::new(Vec::new());
        let ours = Contender {
            name: "tickforge",
            operations: changes.len() as u64,
            prepare: Box::new(|| {
                let mut fresh: Vec<Book> = instruments.iter().map(new).collect();
                apply(&mut fresh, &fill);
                *books.borrow_mut() = fresh;
            }),
            work: Box::new(|| apply(&mut books.borrow_mut(), &changes)),
        };
        let map = Contender {
            name: "BTreeMap",
            operations: changes.len() as u64,
            prepare: Box::new(|| {
                let mut fresh: Vec<MapBook> =
                    instruments.iter().map(|_| MapBook::default()).collect();
                apply_map(&mut fresh, &fill);
                *maps.borrow_mut() = fresh;
            }),
            work: Box::new(|| apply_map(&mut maps.borrow_mut(), &changes)),
        };
        compare(title, 21, vec![ours, map]);
        for (book, map) in books.borrow().iter().zip(maps.borrow().iter()) {
            assert_eq!((book.best_bid(), book.best_ask()), map.touch());
            assert_eq!(book.len(Side::Buy), map.bids.len());
        }
    }
}

fn paired(_: &mut Criterion) {
    let (fill, deltas) = deltas();
    let mut book = Book::new(TICK, 0, false);
    let mut map = MapBook::default();
    for delta in &fill {
        book.apply(delta);
        map.apply(delta);
    }
    let ours = Contender::new("tickforge", deltas.len() as u64, || {
        for delta in &deltas {
            book.apply(delta);
            black_box((book.best_bid(), book.best_ask()));
        }
    });
    let peer = Contender::new("BTreeMap", deltas.len() as u64, || {
        for delta in &deltas {
            map.apply(delta);
            black_box(map.touch());
        }
    });
    compare("generated deltas, 1000 levels", 21, vec![ours, peer]);
}

criterion_group!(benches, bench, paired, replayed);
criterion_main!(benches);
