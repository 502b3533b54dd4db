//! HOT PATH. Order-book pressure: buys where the best levels hold far more bids than asks for some
//! time, sells where far more asks.
//!
//! The imbalance (bids - asks) / (bids + asks) of the best levels and that of the quote are
//! averaged, then smoothed over event time, so that an order shown for a moment weighs nothing.
//! While the pressure lasts a signal comes once per `cooldown` and holds until the next. After a
//! break of the book it starts anew.

use crate::indicators::TimeEma;
use crate::market::{Quote, Side};
use crate::signal::SignalType;
use crate::strategy::{
    Context, Draft, Drafts, Parameter, Parameters, Spec, Strategy, Streams, WarmUp,
};
use serde::{Deserialize, Serialize};
use ta::Next;

pub const SPEC: Spec = Spec {
    version: "1.0.0",
    summary: "follows lasting pressure of one side of the order book",
    parameters: PARAMETERS,
    streams: Streams::QUOTES.and(Streams::BOOK),
    // An average of this kind never forgets all; after so long what was before changes no signal.
    warm_up: |p| WarmUp::Time(7 * p.duration_ns("smoothing")),
    new: |p| Ok(Box::new(BookImbalance::new(p)?)),
    ..Spec::new("book_imbalance")
};

#[rustfmt::skip] // a table
const PARAMETERS: &[Parameter] = &[
    Parameter::int("levels", 5, (1, 100), "levels", "best levels of each side that count"),
    Parameter::duration_ms("smoothing", 2_000, "time constant of the imbalance's average"),
    Parameter::float("threshold", 0.6, (0.01, 1.0), "share", "average that makes a signal"),
    Parameter::float("strong", 0.8, (0.01, 1.0), "share", "average that makes a strong one"),
    Parameter::duration_ms("cooldown", 10_000, "one signal in this time; it holds as long"),
    Parameter::float("max_spread_bp", 5.0, (0.01, 1e3), "bp", "no signal where it is wider"),
    Parameter::float("target_bp", 4.0, (0.1, 1e3), "bp", "distance of the target price"),
    Parameter::float("stop_bp", 3.0, (0.1, 1e3), "bp", "distance of the stop-loss price"),
    Parameter::float("take_profit_bp", 6.0, (0.1, 1e3), "bp", "distance of the take-profit price"),
];

#[derive(Serialize, Deserialize)]
struct BookImbalance {
    pressure: TimeEma,
    /// No signal before this event time.
    quiet_until_ns: i64,
    levels: usize,
    smoothing_ns: i64,
    threshold: f64,
    strong: f64,
    cooldown_ns: i64,
    max_spread_bp: f64,
    target: f64,
    stop: f64,
    take_profit: f64,
}

impl BookImbalance {
    fn new(p: &Parameters) -> Result<BookImbalance, String> {
        let (threshold, strong) = (p.float("threshold"), p.float("strong"));
        if threshold > strong {
            return Err(format!(
                "threshold ({threshold}) must not be above strong ({strong})"
            ));
        }
        let (target, take_profit) = (p.float("target_bp"), p.float("take_profit_bp"));
        if target > take_profit {
            return Err(format!(
                "target_bp ({target}) must not be above take_profit_bp ({take_profit})"
            ));
        }
        Ok(BookImbalance {
            pressure: TimeEma::new(p.duration_ns("smoothing")),
            quiet_until_ns: i64::MIN,
            levels: p.int("levels") as usize,
            smoothing_ns: p.duration_ns("smoothing"),
            threshold,
            strong,
            cooldown_ns: p.duration_ns("cooldown"),
            max_spread_bp: p.float("max_spread_bp"),
            target: target / 10_000.0,
            stop: p.float("stop_bp") / 10_000.0,
            take_profit: take_profit / 10_000.0,
        })
    }

    /// The book or the quote has changed.
    fn look(&mut self, ctx: &Context, out: &mut Drafts) {
        let sides = (
            ctx.depth(Side::Buy, self.levels),
            ctx.depth(Side::Sell, self.levels),
        );
        let (Some(bids), Some(asks)) = sides else {
            self.pressure.reset();
            return;
        };
        let now_ns = ctx.now_ns();
        let book = imbalance(bids, asks);
        // An exchange without quotes leaves the book alone to say it.
        let quote = ctx.state.quote.map_or(book, |q| {
            imbalance(ctx.amount(q.bid_amount), ctx.amount(q.ask_amount))
        });
        let Some(pressure) = self.pressure.next((now_ns, (book + quote) / 2.0)) else {
            return;
        };
        if pressure.abs() < self.threshold || now_ns < self.quiet_until_ns {
            return;
        }
        let (Some(mid), Some(spread_bp)) = (ctx.mid(), ctx.spread_bp()) else {
            return;
        };
        // Below zero: quote and book come by different ways, and one is behind.
        if !(0.0..=self.max_spread_bp).contains(&spread_bp) {
            return;
        }
        self.quiet_until_ns = now_ns.saturating_add(self.cooldown_ns);

        let up = pressure > 0.0;
        let signal_type = SignalType::of(up, pressure.abs() >= self.strong);
        // Surer where book and quote say the same, and where the spread is tight.
        let agreement = 1.0 - (book - quote).abs() / 2.0;
        let tight = 1.0 - spread_bp / self.max_spread_bp;
        let away = if up { mid } else { -mid };
        let draft = Draft::new(signal_type, pressure.abs(), (agreement + tight) / 2.0)
            .prices(
                mid + away * self.target,
                mid - away * self.stop,
                mid + away * self.take_profit,
            )
            .valid_for(self.cooldown_ns)
            .because(format_args!(
                "{} hold the best {} levels: imbalance {pressure:+.2}, spread {spread_bp:.2} bp",
                if up { "bids" } else { "asks" },
                self.levels,
            ))
            .indicator("pressure", pressure)
            .indicator("book_imbalance", book)
            .indicator("quote_imbalance", quote)
            .condition("bid_depth", bids)
            .condition("ask_depth", asks)
            .condition("spread_bp", spread_bp);
        // There is room for four at one event.
        let _ = out.try_push(draft);
    }
}

impl Strategy for BookImbalance {
    /// Other limits are taken over as they are; another smoothing begins anew.
    fn set(&mut self, p: &Parameters) -> bool {
        let new = BookImbalance::new(p).ok();
        let Some(new) = new.filter(|new| new.smoothing_ns == self.smoothing_ns) else {
            return false;
        };
        *self = BookImbalance {
            pressure: self.pressure.clone(),
            quiet_until_ns: self.quiet_until_ns,
            ..new
        };
        true
    }

    fn on_quote(&mut self, ctx: &Context, _: &Quote, out: &mut Drafts) {
        self.look(ctx, out);
    }
    fn on_book(&mut self, ctx: &Context, out: &mut Drafts) {
        self.look(ctx, out);
    }
}

/// -1 (only asks) to 1 (only bids); 0 where there is neither.
fn imbalance(bids: f64, asks: f64) -> f64 {
    if bids + asks > 0.0 {
        (bids - asks) / (bids + asks)
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategies::testing::{Bench, SECOND_NS, refusal};
    use crate::strategy::Value;

    const BID: f64 = 99.995;
    const ASK: f64 = 100.005;

    fn book(bench: &mut Bench, bids: f64, asks: f64) -> Drafts {
        bench.book(
            &[(BID, bids / 2.0), (99.9, bids / 2.0)],
            &[(ASK, asks / 2.0), (100.1, asks / 2.0)],
        )
    }

    /// Three seconds of this book, which is longer than the smoothing.
    fn warm(bids: f64, asks: f64) -> Bench {
        let mut bench = Bench::new(&SPEC, &[]);
        assert!(book(&mut bench, bids, asks).is_empty(), "cold");
        bench.wait(SECOND_NS);
        assert!(book(&mut bench, bids, asks).is_empty(), "not warm yet");
        bench.wait(2 * SECOND_NS);
        bench
    }

    #[test]
    fn lasting_pressure_makes_a_signal_once_a_cooldown() {
        for (bids, asks, expected) in [
            (9.5, 0.5, SignalType::StrongBuy),
            (8.5, 1.5, SignalType::Buy),
            (0.5, 9.5, SignalType::StrongSell),
            (1.5, 8.5, SignalType::Sell),
        ] {
            let mut bench = warm(bids, asks);
            let drafts = book(&mut bench, bids, asks);
            let [draft] = drafts.as_slice() else {
                panic!("one signal, not {drafts:?}")
            };
            assert_eq!(draft.signal_type, expected);
            let share = (bids - asks).abs() / (bids + asks);
            assert!((f64::from(draft.strength.hundredths()) / 100.0 - share).abs() < 0.01);
            let up = bids > asks;
            assert_eq!(draft.target_price > Some(100.0), up);
            assert_eq!(draft.stop_loss_price < Some(100.0), up);
            bench.wait(9 * SECOND_NS);
            assert!(book(&mut bench, bids, asks).is_empty(), "cooling down");
            bench.wait(SECOND_NS);
            assert_eq!(book(&mut bench, bids, asks).len(), 1, "and again");
        }
    }

    #[test]
    fn a_balanced_book_and_a_moments_order_say_nothing() {
        let mut bench = warm(5.0, 5.0);
        assert!(book(&mut bench, 5.0, 5.0).is_empty());
        assert!(book(&mut bench, 500.0, 0.1).is_empty(), "shown");
        bench.wait(1000);
        assert!(book(&mut bench, 5.0, 5.0).is_empty(), "and gone");
    }

    #[test]
    fn the_quote_has_its_say() {
        let mut bench = warm(9.0, 1.0);
        assert!(
            bench.quote((BID, 1.0), (ASK, 1000.0)).len() == 1,
            "it weighs nothing yet"
        );
        bench.wait(20 * SECOND_NS);
        assert!(
            bench.quote((BID, 1.0), (ASK, 1000.0)).is_empty(),
            "book and quote contradict"
        );
    }

    #[test]
    fn a_wide_or_crossed_spread_is_silent_and_none_is_fine() {
        for (bid, ask, signals) in [(99.9, 100.1, 0), (100.02, 100.0, 0), (100.0, 100.0, 1)] {
            let mut bench = warm(9.5, 0.5);
            assert_eq!(
                bench.quote((bid, 9.5), (ask, 0.5)).len(),
                signals,
                "{bid} {ask}"
            );
        }
    }

    #[test]
    fn a_stale_book_is_silent_and_starts_anew() {
        let mut bench = warm(9.5, 0.5);
        bench.state.book_stale(1);
        assert!(bench.quote((BID, 9.5), (ASK, 0.5)).is_empty(), "stale");
        bench.wait(SECOND_NS);
        assert!(book(&mut bench, 9.5, 0.5).is_empty(), "cold again");
        bench.wait(2 * SECOND_NS);
        assert_eq!(book(&mut bench, 9.5, 0.5).len(), 1);
    }

    #[test]
    fn limits_the_wrong_way_round_are_refused_by_name() {
        let text = refusal(&SPEC, &[("threshold", Value::Float(0.9))]);
        assert_eq!(text, "threshold (0.9) must not be above strong (0.8)");
        let text = refusal(&SPEC, &[("target_bp", Value::Float(9.0))]);
        assert_eq!(text, "target_bp (9) must not be above take_profit_bp (6)");
    }
}
