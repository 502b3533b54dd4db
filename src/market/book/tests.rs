//! The book against a model that is too simple to be wrong.

use super::*;
use crate::market::decimal;
use proptest::collection;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::BTreeMap;

#[derive(Default)]
struct Model {
    bids: BTreeMap<i64, (i64, u16)>,
    asks: BTreeMap<i64, (i64, u16)>,
    depth: usize,
}

type ModelLevels = Vec<(Level, u16)>;

impl Model {
    fn side(&mut self, side: Side) -> &mut BTreeMap<i64, (i64, u16)> {
        match side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        }
    }

    fn set(&mut self, side: Side, price: i64, amount: i64, text: u16) {
        match amount {
            0 => self.side(side).remove(&price),
            _ => self.side(side).insert(price, (amount, text)),
        };
    }

    fn truncate(&mut self) {
        while self.depth > 0 && self.bids.len() > self.depth {
            self.bids.pop_first();
        }
        while self.depth > 0 && self.asks.len() > self.depth {
            self.asks.pop_last();
        }
    }

    fn levels(&self, side: Side) -> ModelLevels {
        let level =
            |(&price, &(amount, text)): (&i64, &(i64, u16))| (Level { price, amount }, text);
        match side {
            Side::Buy => self.bids.iter().rev().map(level).collect(),
            Side::Sell => self.asks.iter().map(level).collect(),
        }
    }

    fn rescale(&mut self, convert: impl Fn(i64) -> Option<i64>) -> bool {
        let sides = [Side::Buy, Side::Sell].map(|side| (side, self.levels(side)));
        self.bids.clear();
        self.asks.clear();
        for (side, levels) in sides {
            for (level, text) in levels {
                let (Some(price), Some(amount)) = (convert(level.price), convert(level.amount))
                else {
                    self.bids.clear();
                    self.asks.clear();
                    return false;
                };
                if amount != 0 {
                    self.set(side, price, amount, text);
                }
            }
        }
        true
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// Levels a step apart, away from the touch (or beyond it where `from` is negative).
    Run {
        buy: bool,
        from: i64,
        count: i64,
        amount: i64,
    },
    /// One level, so many steps from the touch and so far off the grid.
    One {
        buy: bool,
        steps: i64,
        off: i64,
        amount: i64,
    },
    /// A price that has nothing to do with the others.
    Outlier {
        buy: bool,
        price: i64,
        amount: i64,
    },
    /// The touch moves; what it passes is taken away.
    Move {
        steps: i64,
    },
    DropBest {
        buy: bool,
        count: usize,
    },
    Truncate,
    Clear,
    Finer,
    Coarser,
}

fn steps() -> impl Strategy<Value = Step> {
    let amount =
        || prop_oneof![2 => Just(0_i64), 5 => 1..1_000_000_i64, 1 => Just(i64::MAX / 1000)];
    let distance = || prop_oneof![6 => -20..200_i64, 2 => -3000..6000_i64];
    let any_price = prop_oneof![
        4 => -100_000_000..100_000_000_i64,
        1 => any::<i64>(),
        1 => Just(i64::MIN),
        1 => Just(i64::MAX),
    ];
    prop_oneof![
        6 => (any::<bool>(), distance(), 1..250_i64, amount())
            .prop_map(|(buy, from, count, amount)| Step::Run { buy, from, count, amount }),
        30 => (any::<bool>(), distance(), prop_oneof![6 => Just(0_i64), 1 => 1..1000_i64], amount())
            .prop_map(|(buy, steps, off, amount)| Step::One { buy, steps, off, amount }),
        2 => (any::<bool>(), any_price, amount())
            .prop_map(|(buy, price, amount)| Step::Outlier { buy, price, amount }),
        6 => prop_oneof![4 => -50..50_i64, 1 => -5000..5000_i64, 1 => -90_000..90_000_i64]
            .prop_map(|steps| Step::Move { steps }),
        4 => (any::<bool>(), 1..300_usize).prop_map(|(buy, count)| Step::DropBest { buy, count }),
        4 => Just(Step::Truncate),
        1 => Just(Step::Clear),
        1 => Just(Step::Finer),
        1 => Just(Step::Coarser),
    ]
}

struct Pair {
    book: Book,
    model: Model,
    tick: i64,
    touch: i64,
    text: u8,
}

impl Pair {
    fn new(tick: i64, depth: usize, touch: i64) -> Pair {
        let model = Model {
            depth,
            ..Model::default()
        };
        Pair {
            book: Book::new(tick, depth, true),
            model,
            tick,
            touch,
            text: 0,
        }
    }

    fn set(&mut self, side: Side, price: i64, amount: i64) {
        self.text = self.text.wrapping_add(1);
        let (price_digits, amount_digits) = (self.text, self.text ^ 0x5a);
        let text = u16::from_le_bytes([price_digits, amount_digits]);
        let delta = BookDelta {
            side,
            price,
            amount,
            price_digits,
            amount_digits,
            checksum: 0,
        };
        self.book.apply(&delta);
        self.model.set(side, price, amount, text);
        self.check_touch();
    }

    /// The price so many steps behind the touch.
    fn price(&self, side: Side, steps: i64) -> i64 {
        let steps = if side == Side::Buy { -1 - steps } else { steps };
        self.touch.saturating_add(steps.saturating_mul(self.tick))
    }

    fn drop_best(&mut self, side: Side, count: usize) {
        for (level, _) in self.model.levels(side).into_iter().take(count) {
            self.set(side, level.price, 0);
        }
    }

    fn run(&mut self, step: Step) {
        let side = |buy| if buy { Side::Buy } else { Side::Sell };
        match step {
            Step::Run {
                buy,
                from,
                count,
                amount,
            } => {
                for steps in from..from + count {
                    self.set(side(buy), self.price(side(buy), steps), amount);
                }
            }
            Step::One {
                buy,
                steps,
                off,
                amount,
            } => {
                let price = self.price(side(buy), steps).saturating_add(off);
                self.set(side(buy), price, amount);
            }
            Step::Outlier { buy, price, amount } => self.set(side(buy), price, amount),
            Step::Move { steps } => {
                self.touch = self.touch.saturating_add(steps.saturating_mul(self.tick));
                for side in [Side::Buy, Side::Sell] {
                    let passed = |level: &Level| match side {
                        Side::Buy => level.price >= self.touch,
                        Side::Sell => level.price < self.touch,
                    };
                    let levels = self.model.levels(side);
                    let count = levels.iter().take_while(|(level, _)| passed(level)).count();
                    self.drop_best(side, count);
                }
            }
            Step::DropBest { buy, count } => self.drop_best(side(buy), count),
            Step::Truncate => {
                self.book.truncate();
                self.model.truncate();
            }
            Step::Clear => {
                self.book.clear();
                self.model = Model {
                    depth: self.model.depth,
                    ..Model::default()
                };
            }
            Step::Finer => self.rescale(0, 1),
            Step::Coarser => self.rescale(1, 0),
        }
        self.check_all();
    }

    fn rescale(&mut self, from: Scale, to: Scale) {
        let convert = |value| decimal::rescale(value, from, to).map(|(value, _)| value);
        self.tick = convert(self.tick).unwrap_or(1).max(1);
        self.touch = convert(self.touch).unwrap_or(0);
        assert_eq!(
            self.book.rescale(self.tick, convert, convert),
            self.model.rescale(convert)
        );
    }

    fn check_touch(&self) {
        let level = |(&price, &(amount, _)): (&i64, &(i64, u16))| Level { price, amount };
        assert_eq!(
            self.book.best_bid(),
            self.model.bids.last_key_value().map(level)
        );
        assert_eq!(
            self.book.best_ask(),
            self.model.asks.first_key_value().map(level)
        );
        assert_eq!(self.book.len(Side::Buy), self.model.bids.len());
        assert_eq!(self.book.len(Side::Sell), self.model.asks.len());
    }

    fn check_all(&self) {
        self.check_touch();
        for side in [Side::Buy, Side::Sell] {
            let expected = self.model.levels(side);
            let mut levels = self.book.levels(side);
            assert_eq!(levels.len(), expected.len());
            let seen: ModelLevels = std::iter::from_fn(|| levels.next_with_text()).collect();
            assert_eq!(seen, expected);
            assert_eq!((levels.len(), levels.next()), (0, None));
            for count in [0, 1, 5, 20, usize::MAX] {
                let best = expected.iter().take(count).map(|(level, _)| level.amount);
                let all = best.fold(0, i64::saturating_add);
                assert_eq!(self.book.depth(side, count), all, "best {count}");
            }
        }
        let bid = self.model.bids.last_key_value().map(|(price, _)| *price);
        let ask = self.model.asks.first_key_value().map(|(price, _)| *price);
        assert_eq!(
            self.book.crossed(),
            bid.zip(ask).is_some_and(|(bid, ask)| bid >= ask)
        );
        assert_eq!(self.book.is_empty(), bid.is_none() && ask.is_none());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn the_book_does_what_a_sorted_map_does(
        tick in select(vec![1_i64, 3, 100, 1_000_000, 1 << 50, i64::MAX]),
        depth in select(vec![0_usize, 1, 10, 400]),
        touch in select(vec![0_i64, 9_123_456_000_000, -5_000, i64::MAX, i64::MIN]),
        steps in collection::vec(steps(), 1..120),
    ) {
        let mut pair = Pair::new(tick, depth, touch);
        for step in steps {
            pair.run(step);
        }
    }
}

fn level(side: Side, price: i64, amount: i64) -> BookDelta {
    BookDelta {
        side,
        price,
        amount,
        price_digits: 0,
        amount_digits: 0,
        checksum: 0,
    }
}

#[test]
fn crossed_means_bid_at_or_above_ask() {
    for (bid, ask, crossed) in [
        (99, 100, false),
        (100, 100, true),
        (101, 100, true),
        (-2, -1, false),
    ] {
        let mut book = Book::new(1, 0, false);
        book.apply(&level(Side::Buy, bid, 1));
        assert!(!book.crossed(), "one side alone");
        book.apply(&level(Side::Sell, ask, 1));
        assert_eq!(book.crossed(), crossed, "{bid} {ask}");
        book.clear();
        assert!(book.is_empty() && !book.crossed());
    }
}

#[test]
fn prices_that_fall_together_at_a_coarser_scale_become_one_level() {
    let mut book = Book::new(1, 0, false);
    for (side, price, amount) in [
        (Side::Buy, 1000, 50),
        (Side::Buy, 998, 70),
        (Side::Buy, 990, 4),
        (Side::Sell, 1010, 30),
        (Side::Sell, 1012, 90),
    ] {
        book.apply(&level(side, price, amount));
    }
    let coarser = |value| decimal::rescale(value, 1, 0).map(|(value, _)| value);
    assert!(book.rescale(1, coarser, coarser));
    assert_eq!(
        book.levels(Side::Buy).collect::<Vec<_>>(),
        [Level {
            price: 100,
            amount: 7
        }]
    );
    assert_eq!(
        book.levels(Side::Sell).collect::<Vec<_>>(),
        [Level {
            price: 101,
            amount: 9
        }]
    );
}

#[test]
fn a_value_that_no_longer_fits_clears_the_book() {
    let mut book = Book::new(1, 0, false);
    book.apply(&level(Side::Buy, 10, i64::MAX / 5));
    book.apply(&level(Side::Sell, 11, 1));
    let finer = |value| decimal::rescale(value, 0, 1).map(|(value, _)| value);
    assert!(!book.rescale(10, finer, finer));
    assert!(book.is_empty());
    book.apply(&level(Side::Buy, 100, 7));
    assert_eq!(
        book.best_bid(),
        Some(Level {
            price: 100,
            amount: 7
        }),
        "it goes on working"
    );
}
