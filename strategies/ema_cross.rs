//! HOT PATH. Trend following: buys when the fast average crosses above the slow one, sells when
//! below.
//!
//! This file is the tutorial: copy it to `strategies/my_idea.rs`, change `name` to `my_idea`,
//! build, and `tickforge strategies` lists it. A strategy has three parts, from top to bottom here:
//!
//! 1. [`SPEC`] declares it: name, parameters, which events it wants, how much history it needs.
//! 2. A struct holds what it remembers; there is one for each instrument, so it never sees two
//!    mixed.
//! 3. `impl Strategy` has one function for each kind of event. It gets the market as a [`Context`]
//!    and puts signals into `out`. It cannot block, read a clock or do I/O: the same events always
//!    give the same signals, live and in a replay. It must not allocate either: make everything in
//!    `new`.

use crate::indicators::{Atr, Ema, Hlc, Sma};
use crate::market::Bar;
use crate::signal::SignalType;
use crate::strategy::{
    Context, Draft, Drafts, Parameter, Parameters, Spec, Strategy, Streams, WarmUp, share,
};
use serde::{Deserialize, Serialize};
use ta::Next;

/// The build looks for exactly this: `pub const SPEC: Spec`.
pub const SPEC: Spec = Spec {
    version: "1.0.0", // yours; the build adds a digest of this file
    summary: "follows the trend when a fast and a slow exponential average of the closes cross",
    parameters: PARAMETERS,
    streams: Streams::BARS,
    bar_parameters: &["bar"],
    // Averages of this kind never forget all; after so many bars what was before changes no signal.
    warm_up: |p| WarmUp::Bars((5 * p.int("slow")).max(8 * p.int("atr")) as u32),
    new: |p| Ok(Box::new(EmaCross::new(p)?)),
    ..Spec::new("ema_cross") // the file's name; what is left out is as most want it
};

/// What can be set in the configuration, under `[strategies.ema_cross]`: name, default, range,
/// unit, help. The range is checked before `new` sees a value.
#[rustfmt::skip] // a table
const PARAMETERS: &[Parameter] = &[
    Parameter::duration_ms("bar", 60_000, "interval of the bars that it works on"),
    Parameter::int("fast", 12, (1, 10_000), "bars", "period of the fast average"),
    Parameter::int("slow", 26, (1, 10_000), "bars", "period of the slow average and usual volume"),
    Parameter::int("atr", 14, (1, 10_000), "bars", "period of the volatility, the true range"),
    Parameter::float("min_gap_bp", 0.5, (0.0, 1e3), "bp", "closer than this is no cross"),
    Parameter::float("target_atr", 2.0, (0.1, 50.0), "ATR", "distance of the target"),
    Parameter::float("stop_atr", 1.5, (0.1, 50.0), "ATR", "distance of the stop-loss"),
    Parameter::float("take_profit_atr", 3.0, (0.1, 50.0), "ATR", "distance of the take-profit"),
    Parameter::int("valid_bars", 5, (1, 10_000), "bars", "how long a signal holds"),
];

/// A gap of this many ATRs in the bar of the cross is a trend of full strength.
const FULL_GAP_ATR: f64 = 0.25;
/// From this strength on it is a strong buy or sell.
const STRONG: f64 = 0.75;

#[derive(Serialize, Deserialize)]
struct EmaCross {
    fast: Ema,
    slow: Ema,
    atr: Atr,
    volume: Sma,
    /// Whether the fast average was last above the slow one; `None` until the first gap.
    above: Option<bool>,
    /// Bars since it came to this side.
    bars_on_side: u32,
    /// Lengths of the averages: fast, slow, of the true range.
    periods: [i64; 3],
    min_gap_bp: f64,
    target_atr: f64,
    stop_atr: f64,
    take_profit_atr: f64,
    valid_ns: i64,
    slow_period: f64,
}

impl EmaCross {
    /// What cannot be seen from one parameter alone is refused here, in words that name them.
    fn new(p: &Parameters) -> Result<EmaCross, String> {
        let (fast, slow) = (p.int("fast"), p.int("slow"));
        if fast >= slow {
            return Err(format!("fast ({fast}) must be smaller than slow ({slow})"));
        }
        Ok(EmaCross {
            fast: Ema::new(fast as u32),
            slow: Ema::new(slow as u32),
            atr: Atr::new(p.int("atr") as u32),
            volume: Sma::new(slow as u32),
            above: None,
            bars_on_side: 0,
            periods: [fast, slow, p.int("atr")],
            min_gap_bp: p.float("min_gap_bp"),
            target_atr: p.float("target_atr"),
            stop_atr: p.float("stop_atr"),
            take_profit_atr: p.float("take_profit_atr"),
            valid_ns: p.duration_ns("bar").saturating_mul(p.int("valid_bars")),
            slow_period: slow as f64,
        })
    }

    /// How many bars the averages were on the other side, if they crossed in this bar.
    fn crossed(&mut self, gap: f64, close: f64) -> Option<u32> {
        // A side that was held for longer than this is no surer.
        let most = 3 * self.periods[1] as u32;
        self.bars_on_side = self.bars_on_side.saturating_add(1).min(most);
        // The small gap that is asked for keeps a flat market from crossing at every bar.
        if gap == 0.0 || gap.abs() / close * 10_000.0 < self.min_gap_bp {
            return None;
        }
        let above = gap > 0.0;
        let before = self.above.replace(above);
        if before == Some(above) {
            return None;
        }
        let bars = std::mem::take(&mut self.bars_on_side);
        // The first side is where we came in, not a cross.
        before.map(|_| bars)
    }
}

impl Strategy for EmaCross {
    /// Other distances are taken over as they are. Averages of other lengths remember other bars:
    /// those the engine shows to a new instance.
    fn set(&mut self, p: &Parameters) -> bool {
        let new = EmaCross::new(p).ok();
        let Some(new) = new.filter(|new| new.periods == self.periods) else {
            return false;
        };
        *self = EmaCross {
            fast: self.fast.clone(),
            slow: self.slow.clone(),
            atr: self.atr.clone(),
            volume: self.volume.clone(),
            above: self.above,
            bars_on_side: self.bars_on_side,
            ..new
        };
        true
    }

    fn on_bar(&mut self, ctx: &Context, bar: &Bar, out: &mut Drafts) {
        // Events carry exact integers; the context turns them into numbers to calculate with.
        let (close, volume) = (ctx.price(bar.close), ctx.amount(bar.volume));
        let hlc = Hlc {
            high: ctx.price(bar.high),
            low: ctx.price(bar.low),
            close,
        };

        // Every indicator sees every bar, and only then we ask which are warm.
        let averages = (self.fast.next(close), self.slow.next(close));
        let ranges = (self.atr.next(&hlc), self.volume.next(volume));
        let (Some(fast), Some(slow)) = averages else {
            return;
        };
        let (Some(atr), Some(usual_volume)) = ranges else {
            return;
        };

        let gap = fast - slow;
        let Some(trend_bars) = self.crossed(gap, close) else {
            return;
        };
        if atr <= 0.0 {
            return; // a market without volatility gives no distances
        }
        let up = gap > 0.0;

        // How strong: the averages part the faster, the harder the price moves for this market.
        let gap_atr = gap / atr;
        let strength = (gap_atr.abs() / FULL_GAP_ATR).min(1.0);
        // How sure: the mean of three shares. A side that held for long was no noise; volume above
        // the usual and takers on our side stand behind the move.
        let age = f64::from(trend_bars) / (f64::from(trend_bars) + self.slow_period);
        let behind = share(volume, volume + usual_volume);
        let bought = share(ctx.amount(bar.taker_buy_volume), volume);
        let takers = if up { bought } else { 1.0 - bought };
        let confidence = (age + behind + takers) / 3.0;

        let signal_type = SignalType::of(up, strength >= STRONG);
        let price = ctx.state.price().unwrap_or(close);
        let step = if up { atr } else { -atr };
        let draft = Draft::new(signal_type, strength, confidence)
            .prices(
                price + self.target_atr * step,
                price - self.stop_atr * step,
                price + self.take_profit_atr * step,
            )
            .valid_for(self.valid_ns)
            .because(format_args!(
                "the fast average crossed {} the slow one after {trend_bars} bars, by {:.2} ATR",
                if up { "above" } else { "below" },
                gap_atr.abs(),
            ))
            .indicator("ema_fast", fast)
            .indicator("ema_slow", slow)
            .indicator("atr", atr)
            .indicator("gap_atr", gap_atr)
            .condition("close", close)
            .condition("volume", volume)
            .condition("usual_volume", usual_volume)
            .condition("taker_buy_share", bought);
        // There is room for four at one event, so this cannot fail.
        let _ = out.try_push(draft);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategies::testing::{Bench, refusal};
    use crate::strategy::Value;

    const SMALL: [(&str, Value); 3] = [
        ("fast", Value::Int(2)),
        ("slow", Value::Int(4)),
        ("atr", Value::Int(3)),
    ];

    /// Falls for ten bars, so that the fast average is below.
    fn falling() -> Bench {
        let mut bench = Bench::new(&SPEC, &SMALL);
        for i in 0..10 {
            assert!(
                bench.close(100.0 - f64::from(i), 0.5).is_empty(),
                "no cross in bar {i}"
            );
        }
        bench
    }

    #[test]
    fn a_turn_upwards_buys_once() {
        let mut bench = falling();
        assert!(bench.close(91.5, 0.5).is_empty(), "still below");
        let drafts = bench.bar(97.0, 92.0, 97.0, 3.0, 1.0);
        let [draft] = drafts.as_slice() else {
            panic!("one signal, not {drafts:?}")
        };
        assert_eq!(draft.signal_type, SignalType::StrongBuy);
        assert_eq!(draft.strength.hundredths(), 100);
        assert_eq!(draft.valid_for_ns, 5 * 60_000_000_000);
        let [target, stop, profit] = [
            draft.target_price,
            draft.stop_loss_price,
            draft.take_profit_price,
        ]
        .map(|p| p.expect("a price"));
        assert!(
            stop < 97.0 && 97.0 < target && target < profit,
            "{stop} {target} {profit}"
        );
        let bought = draft.conditions.iter().find(|c| c.0 == "taker_buy_share");
        assert_eq!(bought.map(|c| c.1), Some(1.0));
        assert!(bench.close(98.0, 0.5).is_empty(), "it crossed already");
    }

    #[test]
    fn a_turn_downwards_sells_below_the_price() {
        let mut bench = falling();
        bench.close(99.0, 0.5);
        let drafts = (0..4)
            .flat_map(|i| bench.close(95.0 - 2.0 * f64::from(i), 0.5))
            .collect::<Vec<_>>();
        let [draft] = drafts.as_slice() else {
            panic!("one signal, not {drafts:?}")
        };
        assert!(matches!(
            draft.signal_type,
            SignalType::Sell | SignalType::StrongSell
        ));
        assert!(draft.target_price < draft.stop_loss_price);
    }

    #[test]
    fn volume_and_takers_behind_it_make_it_surer() {
        let confidence = |volume, bought| {
            let mut bench = falling();
            bench.bar(97.0, 90.0, 97.0, volume, bought)[0].confidence
        };
        assert!(confidence(5.0, 1.0) > confidence(1.0, 0.5));
        assert!(confidence(1.0, 0.5) > confidence(0.1, 0.0));
    }

    #[test]
    fn is_quiet_before_it_is_warm_and_in_a_market_that_does_not_move() {
        let mut bench = Bench::new(&SPEC, &SMALL);
        for close in [100.0, 90.0, 120.0] {
            assert!(bench.close(close, 1.0).is_empty());
        }
        let mut bench = Bench::new(&SPEC, &SMALL);
        for _ in 0..50 {
            assert!(bench.bar(100.0, 100.0, 100.0, 0.0, 0.0).is_empty());
        }
    }

    #[test]
    fn a_gap_below_the_asked_one_is_no_cross() {
        let mut wide = SMALL.to_vec();
        wide.push(("min_gap_bp", Value::Float(1000.0)));
        let mut bench = Bench::new(&SPEC, &wide);
        let closes = (0..10).map(|i| 100.0 - f64::from(i)).chain([95.0, 97.0]);
        assert_eq!(closes.map(|c| bench.close(c, 0.5).len()).sum::<usize>(), 0);
    }

    #[test]
    fn averages_that_cannot_cross_are_refused_by_name() {
        let text = refusal(&SPEC, &[("fast", Value::Int(26))]);
        assert_eq!(text, "fast (26) must be smaller than slow (26)");
    }
}
