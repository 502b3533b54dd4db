//! HOT PATH. Two markets that move together: where the ratio of their prices is far from its mean,
//! sells the first one if it is dear against the second, and buys it if it is cheap.
//!
//! This file is the tutorial for strategies over several instruments; what they share with others
//! is in `ema_cross.rs`. What is different:
//!
//! 1. `legs: 2` in [`SPEC`]. The configuration names the instruments, group by group, as
//!    `groups = [["binance:BTC/USDT", "kraken:BTC/USD"]]`; there is an instance for each group, and
//!    none without. The first one named is leg 0.
//! 2. A callback is for an event of one leg, and [`Context::leg`] says of which. `ctx.state`,
//!    `ctx.price` and `ctx.amount` are that leg's: keep numbers of the other one as they came out
//!    of `ctx.price` when it was its turn.
//! 3. [`Context::market`] gives the market of any leg as it is now. Decide by events all the same:
//!    while past bars are shown to a new instance, that market is not the one of their time.
//! 4. A signal is about leg 0, or about the one of [`Draft::leg()`]; its prices are that one's.

use crate::indicators::{BBands, Bands, MaType, Sliding, Window};
use crate::market::Bar;
use crate::signal::SignalType;
use crate::strategy::{
    Context, Draft, Drafts, Parameter, Parameters, Spec, Strategy, Streams, WarmUp,
};
use serde::{Deserialize, Serialize};
use ta::Next;

pub const SPEC: Spec = Spec {
    version: "1.0.0",
    summary: "trades one market back to the mean of its price in terms of another",
    parameters: PARAMETERS,
    streams: Streams::BARS,
    bar_parameters: &["bar"],
    // Bars of leg 0. What is older than two periods has no say, so these are all that it needs.
    warm_up: |p| WarmUp::Bars(2 * p.int("period") as u32 + 2),
    legs: 2,
    new: |p| Ok(Box::new(SpreadReversion::new(p)?)),
    ..Spec::new("spread_reversion")
};

#[rustfmt::skip] // a table
const PARAMETERS: &[Parameter] = &[
    Parameter::duration_ms("bar", 60_000, "interval of the bars that it works on"),
    Parameter::int("period", 60, (3, 10_000), "bars", "so many pairs make mean and deviation"),
    Parameter::float("entry", 2.0, (0.1, 50.0), "sd", "so far from the mean is a signal"),
    Parameter::float("stop", 4.0, (0.2, 100.0), "sd", "distance of the stop-loss from the mean"),
    Parameter::float("min_sd_bp", 1.0, (0.01, 1e3), "bp", "with a smaller deviation is no spread"),
    Parameter::int("valid_bars", 30, (1, 10_000), "bars", "how long a signal holds"),
];

/// From this strength on it is a strong buy or sell.
const STRONG: f64 = 0.5;

#[derive(Serialize, Deserialize)]
struct SpreadReversion {
    /// The last bar of each leg: its end, ns, and its close.
    last: [(i64, f64); 2],
    /// Of the spread, one deviation wide.
    bands: BBands,
    /// Squares of its steps from pair to pair.
    steps: Sliding<f64>,
    /// When the pairs ended that all this comes from, ns.
    ends: Window<i64>,
    /// Of the pair before.
    spread: Option<f64>,
    z: Option<f64>,
    bar_ns: i64,
    period: u32,
    entry: f64,
    stop: f64,
    min_sd: f64,
    valid_ns: i64,
}

/// What a pair of bars says. The spread is ln(price of leg 0 / price of leg 1).
struct Seen {
    mean: f64,
    sd: f64,
    /// How many deviations the spread is from its mean, and was one pair ago.
    z: f64,
    before: f64,
    reversion: f64,
}

impl SpreadReversion {
    fn new(p: &Parameters) -> Result<SpreadReversion, String> {
        let (entry, stop) = (p.float("entry"), p.float("stop"));
        if entry >= stop {
            return Err(format!("entry ({entry}) must be below stop ({stop})"));
        }
        let period = p.int("period") as u32;
        // Of n values none is further from their mean than this, in their own deviations.
        let furthest = f64::from(period - 1).sqrt();
        if entry >= furthest {
            return Err(format!(
                "entry ({entry}) must be below {furthest:.2}, or period ({period}) longer: \
                 no spread gets there"
            ));
        }
        Ok(SpreadReversion {
            last: [(i64::MIN, 0.0); 2],
            bands: BBands::new(period, 1.0, 1.0, MaType::Sma),
            steps: Sliding::new(period),
            ends: Window::new(period + 1),
            spread: None,
            z: None,
            bar_ns: p.duration_ns("bar"),
            period,
            entry,
            stop,
            min_sd: p.float("min_sd_bp") / 10_000.0,
            valid_ns: p.duration_ns("bar").saturating_mul(p.int("valid_bars")),
        })
    }

    /// A bar of each leg ended at `end_ns`.
    fn pair(&mut self, end_ns: i64, spread: f64) -> Option<Seen> {
        let bands = self.bands.next(spread);
        self.ends.push(end_ns);
        if let Some(before) = self.spread.replace(spread) {
            self.steps.push((spread - before) * (spread - before));
        }
        let Bands {
            upper,
            middle: mean,
            ..
        } = bands?;
        let sd = upper - mean;
        // A spread that stands still is at its mean: what rounding does to it is no distance.
        let moves = sd >= self.min_sd;
        let z = if moves { (spread - mean) / sd } else { 0.0 };
        let before = self.z.replace(z)?;
        let steps = self.steps.full_sum()?;
        // A mean of other days is none of now: half of the intervals may be without a pair.
        let span_ns = self.bar_ns.saturating_mul(2 * i64::from(self.period));
        if end_ns.saturating_sub(self.ends.oldest()) > span_ns || !moves {
            return None;
        }
        // Von Neumann's ratio (1941), halved: the mean square of the steps over twice the variance.
        // Near 1, each bar is at another place around the mean; near 0, the spread wanders off.
        let reversion = steps / (2.0 * f64::from(self.period) * sd * sd);
        Some(Seen {
            mean,
            sd,
            z,
            before,
            reversion,
        })
    }

    /// Whether the spread has just come so far, on this side. That is told by this pair and the one
    /// before: had it to remember its last signal, that might be from any time ago.
    fn entered(&self, seen: &Seen) -> bool {
        let was_there = seen.before * seen.z.signum() >= self.entry;
        // At the stop already, there is nothing to win.
        (self.entry..self.stop).contains(&seen.z.abs()) && !was_there
    }
}

impl Strategy for SpreadReversion {
    /// Other distances are taken over as they are; other bars, or another number, are other pairs.
    fn set(&mut self, p: &Parameters) -> bool {
        let new = SpreadReversion::new(p).ok();
        let same = |new: &SpreadReversion| (new.bar_ns, new.period) == (self.bar_ns, self.period);
        let Some(new) = new.filter(same) else {
            return false;
        };
        *self = SpreadReversion {
            last: self.last,
            bands: self.bands.clone(),
            steps: self.steps.clone(),
            ends: self.ends.clone(),
            spread: self.spread,
            z: self.z,
            ..new
        };
        true
    }

    fn on_bar(&mut self, ctx: &Context, bar: &Bar, out: &mut Drafts) {
        // `ctx.price` knows the scale of the leg whose bar this is, and of no other.
        self.last[ctx.leg] = (bar.end_ns, ctx.price(bar.close));
        let [(end_ns, close), (other_end_ns, other_close)] = self.last;

        // Bars that end at the same time are a pair, whichever comes first. A leg without a trade
        // in an interval has no bar, and then that interval has no pair: an old price would look
        // like a spread. Nor has it one where the other leg closes its next bar before this one
        // comes: what is that late is past.
        if end_ns != other_end_ns {
            return;
        }
        let spread = (close / other_close).ln();
        if !spread.is_finite() {
            return; // a price of 0
        }
        let Some(seen) = self.pair(end_ns, spread) else {
            return;
        };
        if !self.entered(&seen) {
            return;
        }

        // The prices of leg 0 at which the spread would be at its mean, and at the stop, by what
        // leg 1 costs.
        let away = seen.z.signum();
        let at = |z: f64| other_close * (seen.mean + z * seen.sd).exp();
        let (target, stop) = (at(0.0), at(away * self.stop));
        // This may be the other leg's bar, so leg 0 is asked for by its number.
        let price = ctx.market(0).and_then(|m| m.price()).unwrap_or(close);
        if (price - target) * away <= 0.0 || (stop - price) * away <= 0.0 {
            return; // the market has gone there since its bar closed
        }

        // The nearer to the stop, the more there is to win; the sooner it came back until now, the
        // surer.
        let strength = (seen.z.abs() - self.entry) / (self.stop - self.entry);
        let cheap = seen.z < 0.0;
        let signal_type = SignalType::of(cheap, strength >= STRONG);
        let away_bp = (seen.z * seen.sd).abs() * 10_000.0;
        let draft = Draft::new(signal_type, strength, seen.reversion)
            .prices(target, stop, target)
            .valid_for(self.valid_ns)
            .because(format_args!(
                "the ratio of the prices is {:.1} deviations, {away_bp:.1} bp, {} its mean of {} \
                 bars",
                seen.z.abs(),
                if cheap { "below" } else { "above" },
                self.period,
            ))
            .indicator("z", seen.z)
            .indicator("spread", spread)
            .indicator("mean", seen.mean)
            .indicator("deviation", seen.sd)
            .indicator("reversion", seen.reversion)
            .condition("close", close)
            .condition("other_close", other_close);
        // There is room for four at one event.
        let _ = out.try_push(draft);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategies::testing::{Pair, parameters, refusal};
    use crate::strategy::Value;

    const SMALL: [(&str, Value); 1] = [("period", Value::Int(20))];
    /// Leg 0 at this, where leg 1 stays at 50, is 2.2 deviations from the mean after the calm.
    const DEAR: f64 = 100.36;

    fn to_and_fro(minute: i64) -> f64 {
        if minute % 2 == 0 { 100.0 } else { 100.2 }
    }

    /// So many minutes of leg 0 to and fro around 100.1, and of leg 1 at 50.
    fn calm(minutes: i64) -> Pair {
        let mut pair = Pair::new(&SPEC, &SMALL);
        for minute in 1..=minutes {
            let drafts = both(&mut pair, minute, to_and_fro(minute), 50.0);
            assert!(drafts.is_empty(), "minute {minute}");
        }
        pair
    }

    fn both(pair: &mut Pair, minute: i64, close: f64, other_close: f64) -> Drafts {
        assert!(pair.close(0, minute, close).is_empty(), "half a pair");
        pair.close(1, minute, other_close)
    }

    fn one(drafts: &Drafts) -> &Draft {
        let [draft] = drafts.as_slice() else {
            panic!("one signal, not {drafts:?}")
        };
        assert_eq!(draft.leg, 0);
        draft
    }

    fn prices(draft: &Draft) -> [f64; 3] {
        let all = [
            draft.target_price,
            draft.stop_loss_price,
            draft.take_profit_price,
        ];
        all.map(|p| p.expect("a price"))
    }

    #[test]
    fn a_dear_leg_is_sold_once_down_to_the_mean() {
        let mut pair = calm(30);
        let drafts = both(&mut pair, 31, DEAR, 50.0);
        let draft = one(&drafts);
        assert_eq!(draft.signal_type, SignalType::Sell);
        assert_eq!(draft.strength.hundredths(), 11);
        assert_eq!(draft.confidence.hundredths(), 100, "it came back each time");
        assert_eq!(draft.valid_for_ns, 30 * 60_000_000_000);
        let [target, stop, profit] = prices(draft);
        let window = (12..=30).map(to_and_fro).chain([DEAR]);
        let mean = window.map(|close| (close / 50.0).ln()).sum::<f64>() / 20.0;
        assert!((target - 50.0 * mean.exp()).abs() < 1e-9, "{target}");
        assert!(target < DEAR && DEAR < stop, "{target} {stop}");
        assert_eq!(target, profit);

        assert!(both(&mut pair, 32, 100.4, 50.0).is_empty(), "still there");
        assert!(both(&mut pair, 33, 100.1, 50.0).is_empty(), "and back");
        one(&both(&mut pair, 34, 100.45, 50.0));
    }

    #[test]
    fn a_cheap_leg_is_bought_whichever_bar_comes_last() {
        let mut pair = calm(30);
        assert!(pair.close(1, 31, 50.13).is_empty());
        let drafts = pair.close(0, 31, 100.1);
        let draft = one(&drafts);
        assert_eq!(draft.signal_type, SignalType::Buy);
        let [target, stop, _] = prices(draft);
        assert!(stop < 100.1 && 100.1 < target, "{stop} {target}");
        assert!((target - 100.342).abs() < 1e-3, "{target}");
    }

    #[test]
    fn the_first_pair_that_counts_has_a_whole_period_before_it() {
        let mut pair = calm(19);
        assert!(both(&mut pair, 20, DEAR, 50.0).is_empty());
        let mut pair = calm(20);
        one(&both(&mut pair, 21, DEAR, 50.0));
    }

    #[test]
    fn a_leg_that_skips_an_interval_is_waited_for() {
        let mut pair = calm(30);
        assert!(pair.close(0, 31, DEAR).is_empty());
        one(&both(&mut pair, 32, DEAR, 50.0));
    }

    #[test]
    fn bars_that_do_not_end_together_are_no_pair() {
        let mut pair = Pair::new(&SPEC, &SMALL);
        for minute in 1..60 {
            let close = if minute < 50 {
                to_and_fro(minute)
            } else {
                DEAR
            };
            assert!(pair.close(0, minute, close).is_empty());
            assert!(pair.close(1, minute - 1, 50.0).is_empty(), "a minute late");
        }
    }

    #[test]
    fn pairs_that_are_far_apart_make_no_mean() {
        for (every, signals) in [(2, 1), (3, 0)] {
            let mut pair = Pair::new(&SPEC, &SMALL);
            for i in 1..=30 {
                assert!(both(&mut pair, i * every, to_and_fro(i), 50.0).is_empty());
            }
            assert_eq!(both(&mut pair, 31 * every, DEAR, 50.0).len(), signals);
        }
    }

    #[test]
    fn a_spread_that_stands_still_says_nothing() {
        let mut pair = Pair::new(&SPEC, &SMALL);
        for minute in 1..=50 {
            assert!(both(&mut pair, minute, 100.0, 50.0).is_empty());
        }
        // Both move, and their ratio does not, but for rounding.
        for minute in 51..=200 {
            let other_close = 50.0 + (minute % 7) as f64 / 3.0;
            assert!(both(&mut pair, minute, 2.0 * other_close, other_close).is_empty());
        }
    }

    #[test]
    fn a_spread_past_the_stop_says_nothing() {
        let mut pair = Pair::new(&SPEC, &SMALL);
        for minute in 1..=50 {
            both(&mut pair, minute, 100.0, 50.0);
        }
        // Of 20 values one alone is 4.36 deviations away, then two are 3.
        for minute in 51..=53 {
            assert!(both(&mut pair, minute, 100.1, 50.0).is_empty());
        }
    }

    #[test]
    fn what_was_before_the_warm_up_changes_no_signal() {
        let close = |minute: i64, leg: i64| {
            let draw = (minute * 7_919 + leg * 104_729 + minute * minute * 31) % 1_013;
            let odd = (draw as f64 / 1_013.0 - 0.5).powi(5);
            100.0 / (leg + 1) as f64 * (1.0 + 0.05 * odd)
        };
        // Leg 1 skips each fifth minute, and is away for more than half an hour.
        let trades = |minute: i64| minute % 5 != 2 && !(140..=175).contains(&minute);
        let signals = |from: i64| {
            let mut pair = Pair::new(&SPEC, &SMALL);
            let mut all = Vec::new();
            for minute in from..=600 {
                let mut drafts = pair.close(0, minute, close(minute, 0));
                if trades(minute) {
                    drafts.extend(pair.close(1, minute, close(minute, 1)));
                }
                all.extend(drafts.into_iter().map(|draft| (minute, draft)));
            }
            all.retain(|(minute, _)| *minute > 150 + 42);
            all
        };
        let (long, short) = (signals(1), signals(150));
        assert!(long.len() > 5 && long.len() == short.len(), "{long:?}");
        for ((minute, a), (also, b)) in long.iter().zip(&short) {
            assert_eq!((minute, a.signal_type), (also, b.signal_type));
            assert_eq!((a.strength, a.confidence), (b.strength, b.confidence));
            for (a, b) in prices(a).into_iter().zip(prices(b)) {
                assert!((a - b).abs() < 1e-9, "{minute}: {a} {b}");
            }
        }
    }

    #[test]
    fn other_distances_are_taken_over_and_another_period_is_not() {
        const SECOND: Value = Value::Duration(1_000_000_000);
        let with = |name, value| parameters(&SPEC, &[SMALL[0], (name, value)]);
        let mut pair = calm(30);
        assert!(pair.strategy.set(&with("entry", Value::Float(2.5))));
        assert!(both(&mut pair, 31, DEAR, 50.0).is_empty(), "not so far");
        let mut pair = calm(30);
        assert!(pair.strategy.set(&with("stop", Value::Float(3.0))));
        one(&both(&mut pair, 31, DEAR, 50.0));
        assert!(!pair.strategy.set(&with("period", Value::Int(21))));
        assert!(!pair.strategy.set(&with("bar", SECOND)));
    }

    #[test]
    fn distances_that_cannot_be_are_refused_by_name() {
        let text = refusal(&SPEC, &[("entry", Value::Float(4.0))]);
        assert_eq!(text, "entry (4) must be below stop (4)");
        let text = refusal(&SPEC, &[("period", Value::Int(5))]);
        assert_eq!(
            text,
            "entry (2) must be below 2.00, or period (5) longer: no spread gets there"
        );
    }
}
