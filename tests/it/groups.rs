//! What strategies over several instruments are promised after a restart and of past bars,
//! whichever of their instruments comes first.

use crate::kit::{AVERAGE_ENTRY, Run, SECOND, bars, bars_of, entry, plan, trade};
use tickforge::engine::Plan;
use tickforge::market::{Bar, BarSpec, Flags, InstrumentId, Status};
use tickforge::strategy::Entry;
use tickforge::strategy::prelude::*;

/// The closes of two markets, pair by pair: how many it has seen, and what they made.
#[derive(Serialize, Deserialize)]
struct Pairs {
    last: [(i64, f64); 2],
    seen: u64,
    sum: f64,
}

impl Strategy for Pairs {
    fn on_bar(&mut self, ctx: &Context, bar: &Bar, out: &mut Drafts) {
        self.last[ctx.leg] = (bar.end_ns, ctx.price(bar.close));
        let [(end_ns, here), (also, there)] = self.last;
        if end_ns == also {
            self.seen += 1;
            self.sum += (here - there) * self.seen as f64;
            let draft = Draft::new(SignalType::Hold, 0.5, 0.5).indicator("sum", self.sum);
            out.push(draft.indicator("seen", self.seen as f64));
        }
    }
}

static PAIRS: Spec = Spec {
    legs: 2,
    warm_up: |_| WarmUp::Bars(12),
    new: |_| {
        Ok(Box::new(Pairs {
            last: [(i64::MIN, 0.0); 2],
            seen: 0,
            sum: 0.0,
        }))
    },
    ..Spec::on_bars("pairs", BarSpec::Time(SECOND))
};
static PAIRS_ENTRY: Entry = entry(&PAIRS);

fn pairs() -> Plan {
    let mut plan = plan(&PAIRS_ENTRY);
    plan.groups = vec![NAMES.map(|name| name.replacen(' ', ":", 1)).to_vec()];
    plan
}

const NAMES: [&str; 2] = ["binance BTC/USDT", "kraken BTC/USDT"];

impl Run {
    /// A run that goes on where `before` stands, and will be told what it missed.
    fn after(before: &Run) -> Run {
        let mut run = Run::new(vec![pairs()]);
        let state = |id: InstrumentId| {
            let mut state = Vec::new();
            assert!(before.engine.save(id, &mut state));
            (NAMES[id as usize].to_owned(), state)
        };
        run.engine.remember([state(0), state(1)].into());
        run.engine.promise_past();
        run
    }

    /// The trades that one leg missed, and that these were all.
    fn missed(&mut self, id: InstrumentId, range: std::ops::Range<u64>) {
        for n in range {
            let mut event = trade(id, n);
            event.flags = event.flags.with(Flags::MISSED);
            self.engine.on_event(&event, &mut self.made);
        }
        self.status(id, Status::CaughtUp);
        self.status(id, Status::Past);
    }

    fn both(&mut self, range: std::ops::Range<u64>) {
        for n in range {
            self.trade(0, n);
            self.trade(1, n);
        }
    }
}

#[test]
fn a_strategy_over_two_instruments_goes_on_whichever_is_back_first() {
    for first in [0, 1] {
        let other = 1 - first;
        for cut in [9, 40, 61, 100] {
            let mut whole = Run::new(vec![pairs()]).listed(0).listed(1);
            whole.both(0..cut);
            whole.said();
            let back = cut + 14;
            // Both are listed before either has caught up; or one has, and is live, when the other
            // is listed.
            let mut at_once = Run::after(&whole).listed(first).listed(other);
            at_once.missed(first, cut..back);
            (back..back + 5).for_each(|n| at_once.trade(first, n));
            at_once.missed(other, cut..back);
            let mut one_by_one = Run::after(&whole).listed(first);
            one_by_one.missed(first, cut..back);
            (back..back + 5).for_each(|n| one_by_one.trade(first, n));
            let mut one_by_one = one_by_one.listed(other);
            one_by_one.missed(other, cut..back);
            whole.both(cut..back + 5);
            whole.said();
            whole.both(back + 5..200);
            let expected = whole.said();
            assert!(expected.len() > 20, "{}", expected.len());
            for mut run in [at_once, one_by_one] {
                assert!(run.said().is_empty(), "nothing while it waits");
                (back..back + 5).for_each(|n| run.trade(other, n));
                run.said();
                run.both(back + 5..200);
                assert_eq!(run.said(), expected, "cut at {cut}, {first} first");
            }
        }
    }
}

#[test]
fn past_bars_warm_a_strategy_over_two_instruments_whichever_comes_first() {
    for first in [0, 1] {
        let mut run = Run::new(vec![pairs()]);
        run.engine.promise_past();
        for id in [first, 1 - first] {
            run = run.listed(id);
            run.registry.leave_bars(id, SECOND, bars_of(id, 0..60));
            run.status(id, Status::Past);
        }
        assert!(run.said().is_empty(), "what is past is no news");
        run.both(60..70);
        let seen = run.made.signals.first().map(|s| s.indicators[1].1);
        assert_eq!(seen, Some(13.0), "twelve pairs were past");
    }
}

#[test]
fn candles_take_no_bar_from_a_strategy_that_is_live() {
    let plans = vec![plan(&AVERAGE_ENTRY), pairs()];
    let mut whole = Run::new(plans.clone()).listed(0);
    whole.trades(0..61);
    let mut state = Vec::new();
    assert!(whole.engine.save(0, &mut state));
    let mut run = Run::new(plans);
    run.engine.remember([(NAMES[0].to_owned(), state)].into());
    run.engine.promise_past();
    let mut run = run.listed(0);
    run.status(0, Status::CaughtUp);
    run.trades(61..63);
    // The bar that is open here is over at the exchange.
    run.registry.leave_bars(0, SECOND, bars(0..66));
    run.status(0, Status::Past);
    whole.said();
    run.trades(63..100);
    whole.trades(61..100);
    let (said, expected) = (run.said(), whole.said());
    assert!(expected.len() > 10, "{}", expected.len());
    assert_eq!(said, expected);
}
