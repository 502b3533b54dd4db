//! HOT PATH. Patterns of four and five candles.

use super::settings::{BODY_LONG, BODY_SHORT, Bar, NEAR, SHADOW_VERY_SHORT};
use super::{BEARISH, BULLISH, View, when};

pattern! {
    /// Three black crows: a white candle, then three black ones with no lower shadows that open in
    /// the last body and close lower, the first of them below the white one's high. Bearish.
    Cdl3BlackCrows, "CDL3BLACKCROWS", "three black crows", 14 bars, three_black_crows,
    [(SHADOW_VERY_SHORT, 2), (SHADOW_VERY_SHORT, 1), (SHADOW_VERY_SHORT, 0)],
    source: "Nison, Japanese Candlestick Charting Techniques, 1991, chapter 6"
}

fn three_black_crows(view: &View) -> i32 {
    let [before, first, second, third] = view.last();
    let [shadow_first, shadow_second, shadow_third, ..] = view.limits;
    let opens_within = |bar: &Bar, last: &Bar| bar.open < last.open && bar.open > last.close;
    let is_found = before.is_white()
        && first.is_black()
        && first.lower_shadow() < shadow_first
        && second.is_black()
        && second.lower_shadow() < shadow_second
        && third.is_black()
        && third.lower_shadow() < shadow_third
        && opens_within(&second, &first)
        && opens_within(&third, &second)
        && before.high > first.close
        && first.close > second.close
        && second.close > third.close;
    when(is_found, BEARISH)
}

pattern! {
    /// Three-line strike: three candles of one color that step on, each opening in or near the last
    /// body, then one of the other that takes all of it back. The sign is that of the three: they
    /// are said to go on.
    Cdl3LineStrike, "CDL3LINESTRIKE", "three-line strike", 9 bars, three_line_strike,
    [(NEAR, 3), (NEAR, 2)]
}

fn three_line_strike(view: &View) -> i32 {
    let [first, second, third, strike] = view.last();
    let [near_first, near_second, ..] = view.limits;
    let opens_near = |bar: &Bar, last: &Bar, near: f64| {
        bar.open >= last.bottom() - near && bar.open <= last.top() + near
    };
    let takes_back = if third.is_white() {
        third.close > second.close
            && second.close > first.close
            && strike.open > third.close
            && strike.close < first.open
    } else {
        third.close < second.close
            && second.close < first.close
            && strike.open < third.close
            && strike.close > first.open
    };
    let is_found = first.color() == second.color()
        && second.color() == third.color()
        && third.color() != strike.color()
        && opens_near(&second, &first, near_first)
        && opens_near(&third, &second, near_second)
        && takes_back;
    when(is_found, 100 * third.color())
}

pattern! {
    /// Breakaway: a long candle, a gap on its way, two more bars on that way, then a candle of the
    /// other color that closes in the gap. The move turns.
    CdlBreakaway, "CDLBREAKAWAY", "breakaway", 15 bars, breakaway, [(BODY_LONG, 4)]
}

fn breakaway(view: &View) -> i32 {
    let [first, second, third, fourth, fifth] = view.last();
    let is_lower = |bar: &Bar, last: &Bar| bar.high < last.high && bar.low < last.low;
    let is_higher = |bar: &Bar, last: &Bar| bar.high > last.high && bar.low > last.low;
    let breaks = if first.is_black() {
        second.body_below(&first)
            && is_lower(&third, &second)
            && is_lower(&fourth, &third)
            && fifth.close > second.open
            && fifth.close < first.close
    } else {
        second.body_above(&first)
            && is_higher(&third, &second)
            && is_higher(&fourth, &third)
            && fifth.close < second.open
            && fifth.close > first.close
    };
    let is_found = first.body() > view.limits[0]
        && first.color() == second.color()
        && second.color() == fourth.color()
        && fourth.color() != fifth.color()
        && breaks;
    when(is_found, 100 * fifth.color())
}

pattern! {
    /// Concealing baby swallow: two black marubozu, a black candle that gaps down and reaches up
    /// into the second, and a black one that holds all of the third. Bullish: the fall is spent.
    CdlConcealBabySwall, "CDLCONCEALBABYSWALL", "concealing baby swallow", 14 bars,
    conceal_baby_swall,
    [(SHADOW_VERY_SHORT, 3), (SHADOW_VERY_SHORT, 2), (SHADOW_VERY_SHORT, 1)]
}

fn conceal_baby_swall(view: &View) -> i32 {
    let bars = view.last();
    let [first, second, third, fourth] = bars;
    let [shadow_first, shadow_second, shadow_third, ..] = view.limits;
    let is_found = bars.iter().all(Bar::is_black)
        && first.lower_shadow() < shadow_first
        && first.upper_shadow() < shadow_first
        && second.lower_shadow() < shadow_second
        && second.upper_shadow() < shadow_second
        && third.body_below(&second)
        && third.upper_shadow() > shadow_third
        && third.high > second.close
        && fourth.high > third.high
        && fourth.low < third.low;
    when(is_found, BULLISH)
}

pattern! {
    /// Modified hikkake: a hikkake whose inside bar lies in an inside bar, the outer of which
    /// closed near its low (bullish) or high (bearish). It is confirmed as a hikkake is.
    CdlHikkakeMod, "CDLHIKKAKEMOD", "modified hikkake", 11 bars, hikkake_mod, [(NEAR, 2)],
    confirmed: true,
    source: "TA-Lib, function CDLHIKKAKEMOD, 0.8.1"
}

fn hikkake_mod(view: &View) -> i32 {
    let [first, second, third, fourth] = view.last();
    let near = view.limits[0];
    let is_inside = |bar: &Bar, last: &Bar| bar.high < last.high && bar.low > last.low;
    let is_trap_below =
        fourth.high < third.high && fourth.low < third.low && second.close <= second.low + near;
    let is_trap_above =
        fourth.high > third.high && fourth.low > third.low && second.close >= second.high - near;
    let is_found = is_inside(&second, &first)
        && is_inside(&third, &second)
        && (is_trap_below || is_trap_above);
    when(is_found, if is_trap_below { BULLISH } else { BEARISH })
}

pattern! {
    /// Ladder bottom: three black candles that step down, a black one with an upper shadow, then a
    /// white one that opens above its body and closes above its high. Bullish.
    CdlLadderBottom, "CDLLADDERBOTTOM", "ladder bottom", 15 bars, ladder_bottom,
    [(SHADOW_VERY_SHORT, 1)]
}

fn ladder_bottom(view: &View) -> i32 {
    let bars = view.last();
    let [first, second, third, fourth, fifth] = bars;
    let is_found = bars[..4].iter().all(Bar::is_black)
        && first.open > second.open
        && second.open > third.open
        && first.close > second.close
        && second.close > third.close
        && fourth.upper_shadow() > view.limits[0]
        && fifth.is_white()
        && fifth.open > fourth.open
        && fifth.close > fourth.high;
    when(is_found, BULLISH)
}

pattern! {
    /// Mat hold: a long white candle, three short ones that gap up and then sink, but not deep into
    /// its body, and a white one that closes above them all. Bullish: the rise goes on.
    CdlMatHold, "CDLMATHOLD", "mat hold", 15 bars, mat_hold,
    [(BODY_LONG, 4), (BODY_SHORT, 3), (BODY_SHORT, 2), (BODY_SHORT, 1)],
    penetration: &[("penetration", 0.5)]
}

fn mat_hold(view: &View) -> i32 {
    let [first, second, third, fourth, fifth] = view.last();
    let [long, short_second, short_third, short_fourth, ..] = view.limits;
    let floor = first.close - first.body() * view.penetration;
    let is_found = first.body() > long
        && second.body() < short_second
        && third.body() < short_third
        && fourth.body() < short_fourth
        && first.is_white()
        && second.is_black()
        && fifth.is_white()
        && second.body_above(&first)
        && third.bottom() < first.close
        && fourth.bottom() < first.close
        && third.bottom() > floor
        && fourth.bottom() > floor
        && third.top() < second.open
        && fourth.top() < third.top()
        && fifth.open > fourth.close
        && fifth.close > second.high.max(third.high).max(fourth.high);
    when(is_found, BULLISH)
}

pattern! {
    /// Rising or falling three methods: a long candle, three short ones of the other color that go
    /// against it within its range, and a long one that closes beyond it. The move goes on.
    CdlRiseFall3Methods, "CDLRISEFALL3METHODS", "rising or falling three methods", 15 bars,
    rise_fall_three_methods,
    [(BODY_LONG, 4), (BODY_SHORT, 3), (BODY_SHORT, 2), (BODY_SHORT, 1), (BODY_LONG, 0)],
    source: "Nison, Japanese Candlestick Charting Techniques, 1991, chapter 7"
}

fn rise_fall_three_methods(view: &View) -> i32 {
    let [first, second, third, fourth, fifth] = view.last();
    let [
        long_first,
        short_second,
        short_third,
        short_fourth,
        long_fifth,
        ..,
    ] = view.limits;
    let is_in_range = |bar: &Bar| bar.bottom() < first.high && bar.top() > first.low;
    let is_beyond = |a: f64, b: f64| if first.is_white() { a > b } else { a < b };
    let is_found = first.body() > long_first
        && second.body() < short_second
        && third.body() < short_third
        && fourth.body() < short_fourth
        && fifth.body() > long_fifth
        && first.color() != second.color()
        && second.color() == third.color()
        && third.color() == fourth.color()
        && fourth.color() != fifth.color()
        && is_in_range(&second)
        && is_in_range(&third)
        && is_in_range(&fourth)
        && is_beyond(second.close, third.close)
        && is_beyond(third.close, fourth.close)
        && is_beyond(fifth.open, fourth.close)
        && is_beyond(fifth.close, first.close);
    when(is_found, 100 * first.color())
}
