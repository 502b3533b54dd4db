//! HOT PATH. Candle patterns: the 61 of TA-Lib (`CDL…`), to the last bit. Budget: 80 ns an update.
//!
//! Each answers with TA-Lib's whole numbers: 0 where there is no pattern, 100 for a bullish one,
//! -100 for a bearish one; `CDLDOJI` and the like say 100 for what has no direction. Where it has
//! more: 80 and -80 for an engulfing or harami pattern whose bodies share one end, 200 and -200 for
//! a hikkake that a later close confirms.
//!
//! ```text
//! limit = factor × mean of the 5 or 10 candles before the one that is judged
//! long body:  |close - open| > limit of the bodies     doji:  |close - open| <= 0.1 range
//! near, far, equal: 0.2, 0.6, 0.05 range               shadow: of the range, or of its own body
//! ```
//! Source: Nison, Japanese Candlestick Charting Techniques (1991), and Bulkowski, Encyclopedia of
//! Candlestick Charts (2008), for what they look like and mean; TA-Lib for the numbers.
//!
//! What one would not expect: TA-Lib does not look at the trend, which a reversal needs, so
//! whoever trades on one asks for the trend too. A candle that closes at its open is white. On a
//! price grid a body often equals its limit, and the last bit of the running sum decides: the sums
//! begin at TA-Lib's bar, and are kept in its order.
//!
//! Each pattern is a type ([`CdlHammer`]); [`Pattern`] is any of them, by name.

mod settings;

/// A type for a pattern. Its function sees the bars at hand and the limits asked for, each as
/// (setting, which bar before the newest is judged by it).
macro_rules! pattern {
    (
        $(#[$doc:meta])*
        $Type:ident, $name:literal, $summary:literal, $bars:literal bars, $found:ident,
        [$(($setting:ident, $back:literal)),*] $(, $field:ident: $value:expr)*
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
        pub struct $Type(super::Pattern);

        impl $Type {
            pub(super) const RULE: super::Rule = super::Rule {
                $($field: $value,)*
                ..super::Rule::new(
                    $name,
                    $summary,
                    ($bars, concat!($bars, " bars")),
                    &[$(($setting, $back)),*],
                    $found,
                )
            };
            pub const INFO: super::Info = Self::RULE.info();
        }

        impl<T: ta::Open + ta::High + ta::Low + ta::Close> ta::Next<&T> for $Type {
            type Output = Option<i32>;

            #[inline]
            fn next(&mut self, bar: &T) -> Option<i32> {
                self.0.next(bar)
            }
        }

        pattern!(@new $Type, $($field)*);
    };
    (@new $Type:ident, penetration $($field:ident)*) => {
        impl $Type {
            /// A part of the first candle's body: how deep the last candle must close in it, or,
            /// in a mat hold, how deep the short ones may sink in it.
            ///
            /// Panics where that is no number or below 0.
            pub fn new(penetration: f64) -> $Type {
                $Type(super::Pattern::of(&Self::RULE, penetration))
            }
        }
    };
    (@new $Type:ident, $($field:ident)*) => {
        impl $Type {
            pub fn new() -> $Type {
                $Type(super::Pattern::of(&Self::RULE, 0.0))
            }
        }

        impl Default for $Type {
            fn default() -> $Type {
                $Type::new()
            }
        }
    };
}

mod five;
mod one;
mod three;
mod two;

pub use five::*;
pub use one::*;
pub use three::*;
pub use two::*;

use super::Info;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use settings::{Bar, Bars, Setting};
use ta::{Close, High, Low, Next, Open};

/// Limits that a pattern may ask for.
const LIMITS: usize = 8;
/// Bars within which a hikkake is confirmed.
const CONFIRMATION: u8 = 3;

const BULLISH: i32 = 100;
const BEARISH: i32 = -100;

/// What a pattern is.
#[derive(Debug)]
struct Rule {
    name: &'static str,
    summary: &'static str,
    source: &'static str,
    /// Bars until it answers.
    bars: usize,
    warm_up: &'static str,
    /// Each with the bar that it is for, counted back from the newest.
    limits: &'static [(Setting, usize)],
    found: fn(&View) -> i32,
    /// The default of how far a candle must reach into another's body, where that is asked for.
    penetration: &'static [(&'static str, f64)],
    /// It speaks again where one of the next closes confirms it.
    confirmed: bool,
}

impl Rule {
    const fn new(
        name: &'static str,
        summary: &'static str,
        (bars, warm_up): (usize, &'static str),
        limits: &'static [(Setting, usize)],
        found: fn(&View) -> i32,
    ) -> Rule {
        assert!(limits.len() <= LIMITS);
        Rule {
            name,
            summary,
            source: "Bulkowski, Encyclopedia of Candlestick Charts, 2008",
            bars,
            warm_up,
            limits,
            found,
            penetration: &[],
            confirmed: false,
        }
    }

    const fn info(&self) -> Info {
        Info {
            name: self.name,
            summary: self.summary,
            parameters: self.penetration,
            inputs: &["open", "high", "low", "close"],
            outputs: &["100 bullish, -100 bearish, 0 none"],
            warm_up: self.warm_up,
            source: self.source,
        }
    }

    /// The bars before the first that is judged: one that may be confirmed can come before it
    /// answers.
    #[inline]
    fn unjudged(&self) -> usize {
        self.bars
            - 1
            - if self.confirmed {
                CONFIRMATION as usize
            } else {
                0
            }
    }
}

/// What a pattern's function sees.
struct View<'a> {
    bars: &'a Bars,
    /// In the order of the rule.
    limits: [f64; LIMITS],
    penetration: f64,
}

impl View<'_> {
    /// The last bars, the newest last.
    #[inline]
    fn last<const N: usize>(&self) -> [Bar; N] {
        std::array::from_fn(|i| *self.bars.get(N - 1 - i))
    }
}

#[inline]
fn when(found: bool, signal: i32) -> i32 {
    if found { signal } else { 0 }
}

/// Not more than the limit away from the other.
#[inline]
fn is_near(value: f64, other: f64, limit: f64) -> bool {
    value <= other + limit && value >= other - limit
}

/// A pattern that waits for its confirmation.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Pending {
    signal: i32,
    /// What a close must pass.
    level: f64,
    bars_left: u8,
}

/// Any of the patterns.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pattern {
    #[serde(serialize_with = "save_name", deserialize_with = "restore_rule")]
    rule: &'static Rule,
    penetration: f64,
    bars: Bars,
    /// Bars seen, counted up to the last that it does not answer.
    seen: usize,
    /// One for each limit.
    sums: [f64; LIMITS],
    pending: Option<Pending>,
}

impl Pattern {
    /// By TA-Lib's name (`CDL3INSIDE`), with its defaults.
    ///
    /// Panics where there is no such pattern; [`PATTERNS`] has all.
    pub fn new(name: &str) -> Pattern {
        let rule = rule(name).expect("a name of a pattern");
        Pattern::of(rule, rule.penetration.first().map_or(0.0, |p| p.1))
    }

    /// Panics where there is no such pattern, it knows no penetration, or that is no number or
    /// below 0.
    pub fn with_penetration(name: &str, penetration: f64) -> Pattern {
        let rule = rule(name).expect("a name of a pattern");
        assert!(!rule.penetration.is_empty(), "it has no penetration");
        Pattern::of(rule, penetration)
    }

    fn of(rule: &'static Rule, penetration: f64) -> Pattern {
        assert!(penetration >= 0.0, "a penetration is at least 0");
        Pattern {
            rule,
            penetration,
            bars: Bars::default(),
            seen: 0,
            sums: [0.0; LIMITS],
            pending: None,
        }
    }

    /// TA-Lib's name.
    pub fn name(&self) -> &'static str {
        self.rule.name
    }

    /// The sums of the bars before the first that is judged.
    fn begin(&mut self) {
        let first = self.rule.unjudged();
        for (sum, (setting, back)) in self.sums.iter_mut().zip(self.rule.limits) {
            if self.seen + setting.period >= first {
                *sum += setting.measure(self.bars.get(*back));
            }
        }
    }

    fn judge(&mut self) -> i32 {
        let rule = self.rule;
        let mut limits = [0.0; LIMITS];
        for (k, (setting, _)) in rule.limits.iter().enumerate() {
            limits[k] = setting.limit(self.sums[k]);
        }
        let found = (rule.found)(&View {
            bars: &self.bars,
            limits,
            penetration: self.penetration,
        });
        for (sum, (setting, back)) in self.sums.iter_mut().zip(rule.limits) {
            let measure = |back: usize| setting.measure(self.bars.get(back));
            *sum += measure(*back) - measure(back + setting.period);
            if !sum.is_finite() {
                // A price that was no number must not stay for ever.
                *sum = (*back..back + setting.period).map(measure).sum();
            }
        }
        found
    }

    fn confirm(&mut self, found: i32) -> i32 {
        if found != 0 {
            let before = self.bars.get(1);
            self.pending = Some(Pending {
                signal: found,
                level: if found > 0 { before.high } else { before.low },
                bars_left: CONFIRMATION,
            });
            return found;
        }
        let Some(pending) = &mut self.pending else {
            return 0;
        };
        let (signal, level) = (pending.signal, pending.level);
        let close = self.bars.get(0).close;
        let is_confirmed = if signal > 0 {
            close > level
        } else {
            close < level
        };
        pending.bars_left = pending.bars_left.saturating_sub(1);
        if is_confirmed || pending.bars_left == 0 {
            self.pending = None;
        }
        when(is_confirmed, 2 * signal)
    }
}

impl<T: Open + High + Low + Close> Next<&T> for Pattern {
    type Output = Option<i32>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<i32> {
        self.bars.push(Bar::of(bar));
        let is_warm = self.seen + 1 >= self.rule.bars;
        if !is_warm {
            if self.seen < self.rule.unjudged() {
                self.begin();
                self.seen += 1;
                return None;
            }
            self.seen += 1;
        }
        let mut found = self.judge();
        if self.rule.confirmed {
            found = self.confirm(found);
        }
        is_warm.then_some(found)
    }
}

fn rule(name: &str) -> Option<&'static Rule> {
    let at = RULES.binary_search_by(|rule| rule.name.cmp(name)).ok()?;
    Some(&RULES[at])
}

fn save_name<S: Serializer>(rule: &&'static Rule, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(rule.name)
}

// COLD: where a state is restored.
fn restore_rule<'a, D: Deserializer<'a>>(from: D) -> Result<&'static Rule, D::Error> {
    let name = String::deserialize(from)?;
    rule(&name).ok_or_else(|| D::Error::custom(format!("no candle pattern {name:?}")))
}

/// All patterns, by name.
pub static PATTERNS: [Info; RULES.len()] = {
    let mut all = [RULES[0].info(); RULES.len()];
    let mut i = 0;
    while i < all.len() {
        all[i] = RULES[i].info();
        i += 1;
    }
    all
};

const RULES: &[Rule] = &[
    Cdl2Crows::RULE,
    Cdl3BlackCrows::RULE,
    Cdl3Inside::RULE,
    Cdl3LineStrike::RULE,
    Cdl3Outside::RULE,
    Cdl3StarsInSouth::RULE,
    Cdl3WhiteSoldiers::RULE,
    CdlAbandonedBaby::RULE,
    CdlAdvanceBlock::RULE,
    CdlBeltHold::RULE,
    CdlBreakaway::RULE,
    CdlClosingMarubozu::RULE,
    CdlConcealBabySwall::RULE,
    CdlCounterattack::RULE,
    CdlDarkCloudCover::RULE,
    CdlDoji::RULE,
    CdlDojiStar::RULE,
    CdlDragonflyDoji::RULE,
    CdlEngulfing::RULE,
    CdlEveningDojiStar::RULE,
    CdlEveningStar::RULE,
    CdlGapSideSideWhite::RULE,
    CdlGravestoneDoji::RULE,
    CdlHammer::RULE,
    CdlHangingMan::RULE,
    CdlHarami::RULE,
    CdlHaramiCross::RULE,
    CdlHighWave::RULE,
    CdlHikkake::RULE,
    CdlHikkakeMod::RULE,
    CdlHomingPigeon::RULE,
    CdlIdentical3Crows::RULE,
    CdlInNeck::RULE,
    CdlInvertedHammer::RULE,
    CdlKicking::RULE,
    CdlKickingByLength::RULE,
    CdlLadderBottom::RULE,
    CdlLongLeggedDoji::RULE,
    CdlLongLine::RULE,
    CdlMarubozu::RULE,
    CdlMatchingLow::RULE,
    CdlMatHold::RULE,
    CdlMorningDojiStar::RULE,
    CdlMorningStar::RULE,
    CdlOnNeck::RULE,
    CdlPiercing::RULE,
    CdlRickshawMan::RULE,
    CdlRiseFall3Methods::RULE,
    CdlSeparatingLines::RULE,
    CdlShootingStar::RULE,
    CdlShortLine::RULE,
    CdlSpinningTop::RULE,
    CdlStalledPattern::RULE,
    CdlStickSandwich::RULE,
    CdlTakuri::RULE,
    CdlTasukiGap::RULE,
    CdlThrusting::RULE,
    CdlTristar::RULE,
    CdlUnique3River::RULE,
    CdlUpsideGap2Crows::RULE,
    CdlXSideGap3Methods::RULE,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::Candle;

    fn candle((open, high, low, close): (f64, f64, f64, f64)) -> Candle {
        Candle {
            open,
            high,
            low,
            close,
            volume: 1.0,
        }
    }

    /// A fall of black candles of 1, then these.
    fn after_a_fall(pattern: &mut Pattern, bars: &[(f64, f64, f64, f64)]) -> Option<i32> {
        for i in 0..20 {
            let open = 120.0 - f64::from(i);
            pattern.next(&candle((open, open + 0.5, open - 1.5, open - 1.0)));
        }
        let last = |_, bar: &(f64, f64, f64, f64)| pattern.next(&candle(*bar));
        bars.iter().fold(None, last)
    }

    #[test]
    fn the_list_is_sorted_and_by_name() {
        assert_eq!(PATTERNS.len(), 61);
        assert!(PATTERNS.windows(2).all(|w| w[0].name < w[1].name));
        for info in &PATTERNS {
            assert_eq!(Pattern::new(info.name).name(), info.name);
        }
    }

    #[test]
    fn a_hammer_is_found_where_it_is_warm() {
        let hammer = (99.0, 99.35, 96.0, 99.3);
        assert_eq!(
            after_a_fall(&mut Pattern::new("CDLHAMMER"), &[hammer]),
            Some(100)
        );
        let mut young = CdlHammer::new();
        let answers = (0..12).map(|_| young.next(&candle(hammer)));
        assert_eq!(answers.filter(Option::is_some).count(), 1);
    }

    #[test]
    fn a_harami_that_shares_an_end_counts_less() {
        let long = (100.0, 100.0, 95.0, 95.0);
        let harami = |inside| after_a_fall(&mut Pattern::new("CDLHARAMI"), &[long, inside]);
        assert_eq!(harami((96.0, 97.0, 96.0, 96.5)), Some(100));
        assert_eq!(harami((95.0, 97.0, 95.0, 95.5)), Some(80));
        assert_eq!(harami((94.9, 97.0, 94.0, 95.5)), Some(0));
    }

    #[test]
    fn a_hikkake_is_confirmed_once_within_three_bars() {
        let (outer, inner) = ((100.0, 105.0, 95.0, 100.0), (100.0, 103.0, 97.0, 100.0));
        let (lower, quiet) = ((100.0, 102.0, 96.0, 100.0), (100.0, 102.0, 96.0, 100.0));
        let beyond = (100.0, 104.0, 96.5, 103.5);
        let hikkake = |bars: &[_]| after_a_fall(&mut Pattern::new("CDLHIKKAKE"), bars);
        assert_eq!(hikkake(&[outer, inner, lower]), Some(100));
        assert_eq!(hikkake(&[outer, inner, lower, beyond]), Some(200));
        assert_eq!(hikkake(&[outer, inner, lower, beyond, beyond]), Some(0));
        assert_eq!(
            hikkake(&[outer, inner, lower, quiet, quiet, beyond]),
            Some(200)
        );
        assert_eq!(
            hikkake(&[outer, inner, lower, quiet, quiet, quiet, beyond]),
            Some(0)
        );
    }

    #[test]
    fn no_number_is_forgotten() {
        for info in &PATTERNS {
            let (mut plain, mut hurt) = (Pattern::new(info.name), Pattern::new(info.name));
            let bad = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
            for i in 0..200_u32 {
                let open = 100.0 + f64::from(i * i % 7);
                let bar = (open, open + 2.0, open - 1.0, open + f64::from(i % 3) - 1.0);
                let is_bad = (100..103).contains(&i);
                let value = if is_bad { bad[i as usize - 100] } else { bar.0 };
                let found = hurt.next(&candle((value, bar.1, bar.2, bar.3)));
                let expected = plain.next(&candle(bar));
                assert!(
                    found == expected || (100..120).contains(&i),
                    "{}: {i}",
                    info.name
                );
            }
        }
    }

    #[test]
    #[should_panic(expected = "a penetration is at least 0")]
    fn a_penetration_is_a_number() {
        CdlMorningStar::new(f64::NAN);
    }
}
