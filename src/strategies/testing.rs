//! A market built by hand, for the tests at the bottom of each strategy: one instrument with 8
//! decimals, one strategy, and what it says to each event; and two of them for a strategy over two.
//! Prices and amounts are plain numbers.

use super::defaults;
use crate::market::{
    Bar, BookDelta, Event, Flags, Instrument, Market, Quote, Scale, Side, Trade, decimal,
};
use crate::state::{BookChange, MarketState};
use crate::strategy::{Context, Draft, Drafts, Group, Parameters, Spec, Strategy, Value};
use rust_decimal::Decimal;
use std::sync::Arc;

pub const SECOND_NS: i64 = 1_000_000_000;
const START_NS: i64 = 1_700_000_000 * SECOND_NS;

/// The defaults with some parameters changed.
pub fn parameters(spec: &Spec, changes: &[(&str, Value)]) -> Parameters {
    let mut all = defaults(spec);
    for (name, value) in changes {
        let slot = all
            .0
            .iter_mut()
            .find(|(n, _)| n == name)
            .expect("a declared parameter");
        assert_eq!(slot.1.type_name(), value.type_name(), "{name}");
        slot.1 = *value;
    }
    all
}

/// Why the strategy refuses these parameters.
pub fn refusal(spec: &Spec, changes: &[(&str, Value)]) -> String {
    (spec.new)(&parameters(spec, changes))
        .err()
        .expect("it refuses")
}

pub struct Bench {
    pub state: MarketState,
    strategy: Box<dyn Strategy>,
    now_ns: i64,
}

impl Bench {
    pub fn new(spec: &Spec, changes: &[(&str, Value)]) -> Bench {
        let strategy = (spec.new)(&parameters(spec, changes)).expect("parameters that go together");
        Bench {
            state: market(Decimal::new(1, 2)),
            strategy,
            now_ns: START_NS,
        }
    }

    pub fn wait(&mut self, ns: i64) {
        self.now_ns += ns;
    }

    /// A minute passes and its bar closes; takers bought `bought` of the volume, a share of one.
    pub fn bar(&mut self, high: f64, low: f64, close: f64, volume: f64, bought: f64) -> Drafts {
        let start_ns = self.now_ns;
        self.wait(60 * SECOND_NS);
        let bar = Bar {
            start_ns,
            end_ns: self.now_ns,
            open: fixed(close),
            high: fixed(high),
            low: fixed(low),
            close: fixed(close),
            volume: fixed(volume),
            taker_buy_volume: fixed(volume * bought),
            trades: 1,
            late: 0,
            ..Bar::default()
        };
        let trade = Trade {
            price: fixed(close),
            amount: fixed(1.0),
            id: 1,
            taker: Side::Buy,
        };
        let event = Event::from_trade(0, self.now_ns, self.now_ns, trade);
        self.state.trade_event(&event);
        self.call(&event, |strategy, ctx, out| strategy.on_bar(ctx, &bar, out))
    }

    /// A bar of volume 1 that spans `half_range` around its close, half of it bought.
    pub fn close(&mut self, close: f64, half_range: f64) -> Drafts {
        self.bar(close + half_range, close - half_range, close, 1.0, 0.5)
    }

    /// A new best bid and offer, of (price, amount).
    pub fn quote(&mut self, bid: (f64, f64), ask: (f64, f64)) -> Drafts {
        let quote = Quote {
            bid: fixed(bid.0),
            bid_amount: fixed(bid.1),
            ask: fixed(ask.0),
            ask_amount: fixed(ask.1),
        };
        let event = Event::from_quote(0, self.now_ns, self.now_ns, 0, quote);
        self.state.quote = Some(quote);
        self.call(&event, |strategy, ctx, out| {
            strategy.on_quote(ctx, &quote, out)
        })
    }

    /// A whole new book, of (price, amount).
    pub fn book(&mut self, bids: &[(f64, f64)], asks: &[(f64, f64)]) -> Drafts {
        let levels = bids
            .iter()
            .map(|l| (Side::Buy, l))
            .chain(asks.iter().map(|l| (Side::Sell, l)));
        let last = bids.len() + asks.len() - 1;
        let mut event = None;
        for (i, (side, level)) in levels.enumerate() {
            let delta = BookDelta {
                side,
                price: fixed(level.0),
                amount: fixed(level.1),
                price_digits: 8,
                amount_digits: 8,
                checksum: 0,
            };
            let mut e = Event::from_delta(0, self.now_ns, self.now_ns, 1, delta);
            let flags = e.flags.with(Flags::SNAPSHOT).with_if(i == 0, Flags::FIRST);
            e.flags = flags.with_if(i == last, Flags::LAST);
            let change = self.state.book_event(&e);
            assert_eq!(
                change == BookChange::Updated,
                i == last,
                "a book that is right"
            );
            event = Some(e);
        }
        let event = event.expect("a level");
        self.call(&event, |strategy, ctx, out| strategy.on_book(ctx, out))
    }

    fn call(
        &mut self,
        event: &Event,
        f: impl FnOnce(&mut dyn Strategy, &Context, &mut Drafts),
    ) -> Drafts {
        self.state.now_ns = event.time_ns();
        let mut out = Drafts::new();
        f(
            &mut *self.strategy,
            &Context {
                timeframe: 0,
                state: &self.state,
                event,
                leg: 0,
                group: &Group::ONE,
            },
            &mut out,
        );
        out.iter().for_each(check_draft);
        out
    }
}

/// A strategy over two instruments, and what it says to the bars of each.
pub struct Pair {
    pub strategy: Box<dyn Strategy>,
    /// By leg.
    markets: [Option<Box<MarketState>>; 2],
}

impl Pair {
    /// The second instrument's prices have 10 decimals.
    pub fn new(spec: &Spec, changes: &[(&str, Value)]) -> Pair {
        let strategy = (spec.new)(&parameters(spec, changes)).expect("parameters that go together");
        let markets = [2, 10].map(|digits| Some(Box::new(market(Decimal::new(1, digits)))));
        Pair { strategy, markets }
    }

    /// The bar of one leg closes that ends so many minutes after the start; its only trade was the
    /// last of its market.
    pub fn close(&mut self, leg: usize, minute: i64, close: f64) -> Drafts {
        let end_ns = START_NS + minute * 60 * SECOND_NS;
        let market = self.markets[leg].as_deref_mut().expect("two legs");
        let price = fixed_at(close, market.price_scale);
        let bar = Bar {
            start_ns: end_ns - 60 * SECOND_NS,
            end_ns,
            open: price,
            high: price,
            low: price,
            close: price,
            volume: fixed(1.0),
            trades: 1,
            ..Bar::default()
        };
        let trade = Trade {
            price,
            amount: fixed(1.0),
            id: 1,
            taker: Side::Buy,
        };
        let event = Event::from_trade(leg as u32, end_ns, end_ns, trade);
        market.trade_event(&event);
        market.now_ns = market.now_ns.max(end_ns);
        let context = Context {
            state: self.markets[leg].as_deref().expect("two legs"),
            event: &event,
            timeframe: 0,
            leg,
            group: &Group {
                legs: &[0, 1],
                markets: &self.markets,
            },
        };
        let mut out = Drafts::new();
        self.strategy.on_bar(&context, &bar, &mut out);
        out.iter().for_each(check_draft);
        out
    }
}

/// What holds for every signal, whatever it says.
fn check_draft(draft: &Draft) {
    assert!(!draft.reasoning.is_empty(), "it says why");
    assert!(draft.valid_for_ns > 0, "it holds for some time");
    let values = draft.indicators.iter().chain(&draft.conditions);
    assert!(values.clone().count() > 0, "it says what it saw");
    for (name, value) in values {
        assert!(value.is_finite(), "{name} is {value}");
    }
    let prices = [
        draft.target_price,
        draft.stop_loss_price,
        draft.take_profit_price,
    ];
    assert!(prices.iter().flatten().all(|p| p.is_finite()), "{prices:?}");
}

/// A market with this price step.
fn market(tick_size: Decimal) -> MarketState {
    let instrument = Instrument {
        exchange: "test",
        native: "BTCUSDT".to_owned(),
        symbol: "BTC/USDT".to_owned(),
        base: "BTC".to_owned(),
        quote: "USDT".to_owned(),
        market: Market::Spot,
        tick_size,
        amount_step: Decimal::new(1, 5),
        min_amount: Decimal::new(1, 5),
        max_amount: None,
        active: true,
        stamp_resolution_ns: 1,
        book_depth: 0,
        checksum: false,
    };
    MarketState::new(Arc::new(instrument))
}

fn fixed(value: f64) -> i64 {
    fixed_at(value, 8)
}

fn fixed_at(value: f64, scale: Scale) -> i64 {
    (value * decimal::pow10(scale) as f64).round() as i64
}
