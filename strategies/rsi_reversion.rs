//! HOT PATH. Mean reversion: buys when the RSI comes back out of the oversold zone, sells when it
//! comes back out of the overbought one. It waits for the way back, so it does not catch a falling
//! knife.
//!
//! A market that hardly moves has meaningless extremes (an RSI of 0 if it never moved): bars with
//! an ATR below `min_atr_bp` of the price count as no zone at all.

use crate::indicators::{Atr, Hlc, Rsi, Sma};
use crate::market::Bar;
use crate::signal::SignalType;
use crate::strategy::{
    Context, Draft, Drafts, Parameter, Parameters, Spec, Strategy, Streams, WarmUp, share,
};
use serde::{Deserialize, Serialize};
use ta::Next;

pub const SPEC: Spec = Spec {
    version: "1.0.0",
    summary: "trades back to the mean when the relative strength index leaves an extreme",
    parameters: PARAMETERS,
    streams: Streams::BARS,
    bar_parameters: &["bar"],
    // Averages of this kind never forget all; after so many bars what was before changes no signal.
    warm_up: |p| WarmUp::Bars(12 * p.int("period") as u32),
    new: |p| Ok(Box::new(RsiReversion::new(p)?)),
    ..Spec::new("rsi_reversion")
};

#[rustfmt::skip] // a table
const PARAMETERS: &[Parameter] = &[
    Parameter::duration_ms("bar", 60_000, "interval of the bars that it works on"),
    Parameter::int("period", 14, (2, 10_000), "bars", "period of all its indicators"),
    Parameter::float("oversold", 30.0, (1.0, 99.0), "RSI", "below this the market is oversold"),
    Parameter::float("overbought", 70.0, (1.0, 99.0), "RSI", "above this the market is overbought"),
    Parameter::float("strong_margin", 10.0, (0.1, 50.0), "RSI", "so deep in a zone is strong"),
    Parameter::float("min_atr_bp", 0.1, (0.0, 1e3), "bp", "with a smaller ATR is no zone"),
    Parameter::float("stop_atr", 1.5, (0.1, 50.0), "ATR", "distance of the stop-loss"),
    Parameter::float("take_profit_atr", 2.5, (0.1, 50.0), "ATR", "distance of the take-profit"),
    Parameter::int("valid_bars", 5, (1, 10_000), "bars", "how long a signal holds"),
];

/// A stay in an extreme zone.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Extreme {
    /// Oversold, so the way back is up; else overbought.
    low: bool,
    /// How far beyond the zone's edge the RSI went, points.
    depth: f64,
    bars: u32,
}

#[derive(Serialize, Deserialize)]
struct RsiReversion {
    rsi: Rsi,
    atr: Atr,
    mean: Sma,
    volume: Sma,
    extreme: Option<Extreme>,
    period: f64,
    oversold: f64,
    overbought: f64,
    strong_margin: f64,
    min_atr_bp: f64,
    stop_atr: f64,
    take_profit_atr: f64,
    valid_ns: i64,
}

/// What the indicators say at a bar.
struct Seen {
    rsi: f64,
    atr: f64,
    mean: f64,
    usual_volume: f64,
}

impl RsiReversion {
    fn new(p: &Parameters) -> Result<RsiReversion, String> {
        let (oversold, overbought) = (p.float("oversold"), p.float("overbought"));
        if oversold >= overbought {
            return Err(format!(
                "oversold ({oversold}) must be below overbought ({overbought})"
            ));
        }
        let period = p.int("period") as u32;
        Ok(RsiReversion {
            rsi: Rsi::new(period),
            atr: Atr::new(period),
            mean: Sma::new(period),
            volume: Sma::new(period),
            extreme: None,
            period: f64::from(period),
            oversold,
            overbought,
            strong_margin: p.float("strong_margin"),
            min_atr_bp: p.float("min_atr_bp"),
            stop_atr: p.float("stop_atr"),
            take_profit_atr: p.float("take_profit_atr"),
            valid_ns: p.duration_ns("bar").saturating_mul(p.int("valid_bars")),
        })
    }

    fn indicators(&mut self, hlc: Hlc, volume: f64) -> Option<Seen> {
        let (rsi, atr) = (self.rsi.next(hlc.close), self.atr.next(&hlc));
        let (mean, usual_volume) = (self.mean.next(hlc.close), self.volume.next(volume));
        Some(Seen {
            rsi: rsi?,
            atr: atr?,
            mean: mean?,
            usual_volume: usual_volume?,
        })
    }

    /// The stay that has ended with this RSI, if one has.
    fn left(&mut self, rsi: f64, moving: bool) -> Option<Extreme> {
        let low = rsi < self.oversold;
        let depth = if low {
            self.oversold - rsi
        } else {
            rsi - self.overbought
        };
        let before = self.extreme.take();
        if depth > 0.0 && moving {
            let stay = before.filter(|e| e.low == low).unwrap_or(Extreme {
                low,
                depth,
                bars: 0,
            });
            self.extreme = Some(Extreme {
                low,
                depth: stay.depth.max(depth),
                // A longer stay is no more of a trend.
                bars: stay.bars.saturating_add(1).min(2 * self.period as u32),
            });
        }
        // Fading into a market that stands still is no way back.
        before.filter(|e| moving && self.extreme.is_none_or(|now| now.low != e.low))
    }
}

impl Strategy for RsiReversion {
    /// Other zones and distances are taken over as they are; another period needs other bars.
    fn set(&mut self, p: &Parameters) -> bool {
        let new = RsiReversion::new(p).ok();
        let Some(new) = new.filter(|new| new.period == self.period) else {
            return false;
        };
        *self = RsiReversion {
            rsi: self.rsi.clone(),
            atr: self.atr.clone(),
            mean: self.mean.clone(),
            volume: self.volume.clone(),
            extreme: self.extreme,
            ..new
        };
        true
    }

    fn on_bar(&mut self, ctx: &Context, bar: &Bar, out: &mut Drafts) {
        let (close, volume) = (ctx.price(bar.close), ctx.amount(bar.volume));
        let hlc = Hlc {
            high: ctx.price(bar.high),
            low: ctx.price(bar.low),
            close,
        };
        let Some(seen) = self.indicators(hlc, volume) else {
            return;
        };
        let moving = seen.atr > 0.0 && seen.atr / close * 10_000.0 >= self.min_atr_bp;
        let Some(extreme) = self.left(seen.rsi, moving) else {
            return;
        };

        // Twice the strong margin is full strength. A short stay is a shock that reverts; a long
        // one is a trend. Volume and takers on the way back make it surer.
        let strength = (extreme.depth / (2.0 * self.strong_margin)).min(1.0);
        let sharp = self.period / (self.period + f64::from(extreme.bars));
        let behind = share(volume, volume + seen.usual_volume);
        let bought = share(ctx.amount(bar.taker_buy_volume), volume);
        let takers = if extreme.low { bought } else { 1.0 - bought };
        let signal_type = SignalType::of(extreme.low, extreme.depth >= self.strong_margin);

        // The target is the mean, or an ATR away where the price is past the mean already.
        let price = ctx.state.price().unwrap_or(close);
        let (step, target) = if extreme.low {
            (seen.atr, seen.mean.max(price + seen.atr))
        } else {
            (-seen.atr, seen.mean.min(price - seen.atr))
        };
        let draft = Draft::new(signal_type, strength, (sharp + behind + takers) / 3.0)
            .prices(
                target,
                price - self.stop_atr * step,
                price + self.take_profit_atr * step,
            )
            .valid_for(self.valid_ns)
            .because(format_args!(
                "the RSI came back to {:.1} after {} bars {}, at most {:.1} points deep",
                seen.rsi,
                extreme.bars,
                if extreme.low {
                    "oversold"
                } else {
                    "overbought"
                },
                extreme.depth,
            ))
            .indicator("rsi", seen.rsi)
            .indicator("atr", seen.atr)
            .indicator("mean", seen.mean)
            .indicator("depth", extreme.depth)
            .condition("bars_in_zone", f64::from(extreme.bars))
            .condition("close", close)
            .condition("volume", volume)
            .condition("usual_volume", seen.usual_volume)
            .condition("taker_buy_share", bought);
        // There is room for four at one event.
        let _ = out.try_push(draft);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategies::testing::{Bench, refusal};
    use crate::strategy::Value;

    const SMALL: [(&str, Value); 1] = [("period", Value::Int(4))];

    /// Eight calm bars, then `step` a bar, five times.
    fn pushed(step: f64) -> (Bench, f64) {
        let mut bench = Bench::new(&SPEC, &SMALL);
        let mut price = 100.0;
        for i in 0..8 {
            price = if i % 2 == 0 { 100.0 } else { 100.4 };
            assert!(bench.close(price, 0.3).is_empty(), "calm bar {i}");
        }
        for i in 0..5 {
            price += step;
            assert!(bench.close(price, 0.3).is_empty(), "bar {i} on the way out");
        }
        (bench, price)
    }

    fn check(step: f64, expected: SignalType) -> Draft {
        let (mut bench, price) = pushed(step);
        let mut drafts = bench.close(price - 4.0 * step, 0.3);
        assert_eq!(drafts.len(), 1, "one signal on the way back");
        assert!(bench.close(price - 4.1 * step, 0.3).is_empty(), "once");
        let draft = drafts.remove(0);
        assert_eq!(draft.signal_type, expected);
        draft
    }

    #[test]
    fn a_way_back_from_a_deep_fall_buys_strongly() {
        let draft = check(-1.0, SignalType::StrongBuy);
        let price = 95.4 + 4.0;
        assert!(draft.target_price > Some(price) && draft.stop_loss_price < Some(price));
        assert!(draft.strength.hundredths() >= 50);
    }

    #[test]
    fn a_way_back_from_a_rise_sells() {
        let draft = check(1.0, SignalType::StrongSell);
        assert!(draft.target_price < draft.stop_loss_price);
    }

    #[test]
    fn a_shallow_extreme_is_a_plain_signal() {
        let (mut weak, price) = pushed(-0.15);
        let drafts: Vec<_> = (1..4)
            .flat_map(|i| weak.close(price + 0.3 * f64::from(i), 0.3))
            .collect();
        let [draft] = drafts.as_slice() else {
            panic!("one signal, not {drafts:?}")
        };
        assert_eq!(draft.signal_type, SignalType::Buy);
    }

    #[test]
    fn is_quiet_before_it_is_warm() {
        let mut bench = Bench::new(&SPEC, &SMALL);
        for close in [100.0, 90.0, 80.0, 130.0] {
            assert!(bench.close(close, 1.0).is_empty());
        }
    }

    #[test]
    fn a_market_that_stood_still_is_not_oversold() {
        let mut bench = Bench::new(&SPEC, &SMALL);
        for _ in 0..20 {
            assert!(bench.bar(100.0, 100.0, 100.0, 0.0, 0.0).is_empty());
        }
        assert!(
            bench.close(101.0, 0.5).is_empty(),
            "an RSI of 0 came back to 100 in one tick"
        );
    }

    #[test]
    fn zones_that_overlap_are_refused_by_name() {
        let text = refusal(&SPEC, &[("oversold", Value::Float(80.0))]);
        assert_eq!(text, "oversold (80) must be below overbought (70)");
    }
}
