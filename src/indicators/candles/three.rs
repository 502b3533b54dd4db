//! HOT PATH. Patterns of three candles.

use super::settings::{
    BODY_DOJI, BODY_LONG, BODY_SHORT, Bar, EQUAL, FAR, NEAR, SHADOW_SHORT, SHADOW_VERY_SHORT,
};
use super::{BEARISH, BULLISH, View, is_near, when};

/// Each closes higher than the one before.
fn closes_rise([first, second, third]: &[Bar; 3]) -> bool {
    third.close > second.close && second.close > first.close
}

fn closes_fall([first, second, third]: &[Bar; 3]) -> bool {
    third.close < second.close && second.close < first.close
}

pattern! {
    /// Two crows: a long white candle, a black one whose body gaps above it, and a black one that
    /// opens in the second's body and closes in the first's. Bearish: the gap did not hold.
    Cdl2Crows, "CDL2CROWS", "two crows", 13 bars, two_crows, [(BODY_LONG, 2)]
}

fn two_crows(view: &View) -> i32 {
    let [first, second, third] = view.last();
    let is_found = first.is_white()
        && first.body() > view.limits[0]
        && second.is_black()
        && second.body_above(&first)
        && third.is_black()
        && third.open < second.open
        && third.open > second.close
        && third.close > first.open
        && third.close < first.close;
    when(is_found, BEARISH)
}

pattern! {
    /// Three inside: a harami, then a candle that closes beyond the first's open. It confirms that
    /// the move turns.
    Cdl3Inside, "CDL3INSIDE", "three inside up or down", 13 bars, three_inside,
    [(BODY_LONG, 2), (BODY_SHORT, 1)]
}

fn three_inside(view: &View) -> i32 {
    let [first, second, third] = view.last();
    let [long, short, ..] = view.limits;
    let is_beyond = if first.is_white() {
        third.close < first.open
    } else {
        third.close > first.open
    };
    let is_found = first.body() > long
        && second.body() <= short
        && second.body_within(&first)
        && third.color() != first.color()
        && is_beyond;
    when(is_found, -100 * first.color())
}

pattern! {
    /// Three outside: an engulfing pattern, then a close further its way. It confirms that the
    /// move turns.
    Cdl3Outside, "CDL3OUTSIDE", "three outside up or down", 4 bars, three_outside, []
}

fn three_outside(view: &View) -> i32 {
    let [first, second, third] = view.last();
    let is_up = second.close > first.open && second.open < first.close;
    let is_down = second.close < first.open && second.open > first.close;
    let is_found = first.color() != second.color()
        && if second.is_white() {
            is_up && third.close > second.close
        } else {
            is_down && third.close < second.close
        };
    when(is_found, 100 * second.color())
}

pattern! {
    /// Three stars in the south: three black candles, each smaller and with a higher low: a long
    /// one with a long lower shadow, one like it, and a short one without shadows. Bullish: the
    /// fall runs dry.
    Cdl3StarsInSouth, "CDL3STARSINSOUTH", "three stars in the south", 13 bars,
    three_stars_in_south,
    [(BODY_LONG, 2), (SHADOW_VERY_SHORT, 1), (SHADOW_VERY_SHORT, 0), (BODY_SHORT, 0)]
}

fn three_stars_in_south(view: &View) -> i32 {
    let [first, second, third] = view.last();
    let [long, no_shadow_second, no_shadow_third, short, ..] = view.limits;
    let is_found = first.is_black()
        && second.is_black()
        && third.is_black()
        && first.body() > long
        && first.lower_shadow() > first.long_shadow()
        && second.body() < first.body()
        && second.open > first.close
        && second.open <= first.high
        && second.low < first.close
        && second.low >= first.low
        && second.lower_shadow() > no_shadow_second
        && third.body() < short
        && third.lower_shadow() < no_shadow_third
        && third.upper_shadow() < no_shadow_third
        && third.low > second.low
        && third.high < second.high;
    when(is_found, BULLISH)
}

pattern! {
    /// Three advancing white soldiers: three white candles, each opening in or near the last body
    /// and closing higher near its high, none far smaller than the last. Bullish.
    Cdl3WhiteSoldiers, "CDL3WHITESOLDIERS", "three advancing white soldiers", 13 bars,
    three_white_soldiers,
    [
        (SHADOW_VERY_SHORT, 2), (SHADOW_VERY_SHORT, 1), (SHADOW_VERY_SHORT, 0), (NEAR, 2),
        (NEAR, 1), (FAR, 2), (FAR, 1), (BODY_SHORT, 0)
    ],
    source: "Nison, Japanese Candlestick Charting Techniques, 1991, chapter 7"
}

fn three_white_soldiers(view: &View) -> i32 {
    let bars = view.last();
    let [first, second, third] = bars;
    let [
        shadow_first,
        shadow_second,
        shadow_third,
        near_first,
        near_second,
        ..,
    ] = view.limits;
    let [.., far_first, far_second, short] = view.limits;
    let is_found = is_advance(&bars, near_first, near_second)
        && first.upper_shadow() < shadow_first
        && second.upper_shadow() < shadow_second
        && third.upper_shadow() < shadow_third
        && second.body() > first.body() - far_first
        && third.body() > second.body() - far_second
        && third.body() > short;
    when(is_found, BULLISH)
}

/// Three white candles, each closing higher and opening in the last body or just above it.
fn is_advance(bars: &[Bar; 3], near_first: f64, near_second: f64) -> bool {
    let [first, second, third] = bars;
    bars.iter().all(Bar::is_white)
        && closes_rise(bars)
        && second.open > first.open
        && second.open <= first.close + near_first
        && third.open > second.open
        && third.open <= second.close + near_second
}

pattern! {
    /// Abandoned baby: a long candle, a doji that gaps away from it, shadows and all, and a candle
    /// of the other color that gaps back and closes well in the first's body. The move turns.
    CdlAbandonedBaby, "CDLABANDONEDBABY", "abandoned baby", 13 bars, abandoned_baby,
    [(BODY_LONG, 2), (BODY_DOJI, 1), (BODY_SHORT, 0)], penetration: &[("penetration", 0.3)]
}

fn abandoned_baby(view: &View) -> i32 {
    let [first, second, third] = view.last();
    let [long, doji, short, ..] = view.limits;
    let depth = first.body() * view.penetration;
    let is_turn = if first.is_white() {
        third.is_black()
            && third.close < first.close - depth
            && second.all_above(&first)
            && third.all_below(&second)
    } else {
        third.is_white()
            && third.close > first.close + depth
            && second.all_below(&first)
            && third.all_above(&second)
    };
    let is_found = first.body() > long && second.body() <= doji && third.body() > short && is_turn;
    when(is_found, 100 * third.color())
}

pattern! {
    /// Advance block: three white candles that close higher, the first long, the later ones weaker:
    /// smaller bodies or longer upper shadows. Bearish: the rise tires.
    CdlAdvanceBlock, "CDLADVANCEBLOCK", "advance block", 13 bars, advance_block,
    [
        (SHADOW_SHORT, 2), (SHADOW_SHORT, 1), (SHADOW_SHORT, 0), (NEAR, 2), (NEAR, 1), (FAR, 2),
        (FAR, 1), (BODY_LONG, 2)
    ],
    source: "Nison, Japanese Candlestick Charting Techniques, 1991, chapter 7"
}

fn advance_block(view: &View) -> i32 {
    let bars = view.last();
    let [first, second, third] = bars;
    let [
        shadow_first,
        shadow_second,
        shadow_third,
        near_first,
        near_second,
        ..,
    ] = view.limits;
    let [.., far_first, far_second, long] = view.limits;
    let is_second_small =
        second.body() < first.body() - far_first && third.body() < second.body() + near_second;
    let is_third_small = third.body() < second.body() - far_second;
    let has_shadow = third.upper_shadow() > shadow_third || second.upper_shadow() > shadow_second;
    let are_shrinking = third.body() < second.body() && second.body() < first.body() && has_shadow;
    let is_beaten_back = third.body() < second.body() && third.upper_shadow() > third.long_shadow();
    let is_found = is_advance(&bars, near_first, near_second)
        && first.body() > long
        && first.upper_shadow() < shadow_first
        && (is_second_small || is_third_small || are_shrinking || is_beaten_back);
    when(is_found, BEARISH)
}

pattern! {
    /// Evening doji star: an evening star whose star is a doji, and said to be the stronger for it.
    CdlEveningDojiStar, "CDLEVENINGDOJISTAR", "evening doji star", 13 bars, evening_star,
    [(BODY_LONG, 2), (BODY_DOJI, 1), (BODY_SHORT, 0)], penetration: &[("penetration", 0.3)],
    source: "Nison, Japanese Candlestick Charting Techniques, 1991, chapter 5"
}

pattern! {
    /// Evening star: a long white candle, a short body that gaps above it, and a black candle that
    /// closes well in the first's body. Bearish: the rise turns.
    CdlEveningStar, "CDLEVENINGSTAR", "evening star", 13 bars, evening_star,
    [(BODY_LONG, 2), (BODY_SHORT, 1), (BODY_SHORT, 0)], penetration: &[("penetration", 0.3)],
    source: "Nison, Japanese Candlestick Charting Techniques, 1991, chapter 5"
}

fn evening_star(view: &View) -> i32 {
    let [first, second, third] = view.last();
    let is_found = has_star_sizes(view)
        && first.is_white()
        && second.body_above(&first)
        && third.is_black()
        && third.close < first.close - first.body() * view.penetration;
    when(is_found, BEARISH)
}

/// Long, small enough for a star, and not short.
fn has_star_sizes(view: &View) -> bool {
    let [first, second, third] = view.last();
    let [long, star, short, ..] = view.limits;
    first.body() > long && second.body() <= star && third.body() > short
}

pattern! {
    /// Side-by-side white lines: two white candles alike, side by side, both with a gap from the
    /// candle before them. The move goes on the way of the gap.
    CdlGapSideSideWhite, "CDLGAPSIDESIDEWHITE", "gap side-by-side white lines", 8 bars,
    gap_side_side_white, [(NEAR, 1), (EQUAL, 1)]
}

fn gap_side_side_white(view: &View) -> i32 {
    let [first, second, third] = view.last();
    let [near, equal, ..] = view.limits;
    let is_up = second.body_above(&first) && third.body_above(&first);
    let is_down = second.body_below(&first) && third.body_below(&first);
    let is_found = (is_up || is_down)
        && second.is_white()
        && third.is_white()
        && is_near(third.body(), second.body(), near)
        && is_near(third.open, second.open, equal);
    when(is_found, if is_up { BULLISH } else { BEARISH })
}

pattern! {
    /// Hikkake: an inside bar, then one that leaves it on one side: a trap for those who follow.
    /// The signal points the other way, and doubles when one of the next three bars closes beyond
    /// the inside bar on that side.
    CdlHikkake, "CDLHIKKAKE", "hikkake", 6 bars, hikkake, [], confirmed: true,
    source: "Chesler, Trading False Moves with the Hikkake Pattern, Active Trader, April 2004"
}

fn hikkake(view: &View) -> i32 {
    let [first, second, third] = view.last();
    let is_inside = second.high < first.high && second.low > first.low;
    let is_lower = third.high < second.high && third.low < second.low;
    let is_higher = third.high > second.high && third.low > second.low;
    when(
        is_inside && (is_lower || is_higher),
        if is_lower { BULLISH } else { BEARISH },
    )
}

pattern! {
    /// Identical three crows: three black candles with no lower shadows, each opening at the last
    /// close. Bearish.
    CdlIdentical3Crows, "CDLIDENTICAL3CROWS", "identical three crows", 13 bars,
    identical_three_crows,
    [
        (SHADOW_VERY_SHORT, 2), (SHADOW_VERY_SHORT, 1), (SHADOW_VERY_SHORT, 0), (EQUAL, 2),
        (EQUAL, 1)
    ]
}

fn identical_three_crows(view: &View) -> i32 {
    let bars = view.last();
    let [first, second, third] = bars;
    let [
        shadow_first,
        shadow_second,
        shadow_third,
        equal_first,
        equal_second,
        ..,
    ] = view.limits;
    let is_found = bars.iter().all(Bar::is_black)
        && first.lower_shadow() < shadow_first
        && second.lower_shadow() < shadow_second
        && third.lower_shadow() < shadow_third
        && closes_fall(&bars)
        && is_near(second.open, first.close, equal_first)
        && is_near(third.open, second.close, equal_second);
    when(is_found, BEARISH)
}

pattern! {
    /// Morning doji star: a morning star whose star is a doji, and said to be the stronger for it.
    CdlMorningDojiStar, "CDLMORNINGDOJISTAR", "morning doji star", 13 bars, morning_star,
    [(BODY_LONG, 2), (BODY_DOJI, 1), (BODY_SHORT, 0)], penetration: &[("penetration", 0.3)],
    source: "Nison, Japanese Candlestick Charting Techniques, 1991, chapter 5"
}

pattern! {
    /// Morning star: a long black candle, a short body that gaps below it, and a white candle that
    /// closes well in the first's body. Bullish: the fall turns.
    CdlMorningStar, "CDLMORNINGSTAR", "morning star", 13 bars, morning_star,
    [(BODY_LONG, 2), (BODY_SHORT, 1), (BODY_SHORT, 0)], penetration: &[("penetration", 0.3)],
    source: "Nison, Japanese Candlestick Charting Techniques, 1991, chapter 5"
}

fn morning_star(view: &View) -> i32 {
    let [first, second, third] = view.last();
    let is_found = has_star_sizes(view)
        && first.is_black()
        && second.body_below(&first)
        && third.is_white()
        && third.close > first.close + first.body() * view.penetration;
    when(is_found, BULLISH)
}

pattern! {
    /// Stalled pattern: two long white candles, then a short one that opens near the last close.
    /// Bearish: the rise stalls.
    CdlStalledPattern, "CDLSTALLEDPATTERN", "stalled pattern", 13 bars, stalled_pattern,
    [
        (BODY_LONG, 2), (BODY_LONG, 1), (BODY_SHORT, 0), (SHADOW_VERY_SHORT, 1), (NEAR, 2),
        (NEAR, 1)
    ],
    source: "Nison, Japanese Candlestick Charting Techniques, 1991, chapter 7"
}

fn stalled_pattern(view: &View) -> i32 {
    let bars = view.last();
    let [first, second, third] = bars;
    let [
        long_first,
        long_second,
        short,
        no_shadow,
        near_first,
        near_second,
        ..,
    ] = view.limits;
    let is_found = bars.iter().all(Bar::is_white)
        && closes_rise(&bars)
        && first.body() > long_first
        && second.body() > long_second
        && second.upper_shadow() < no_shadow
        && second.open > first.open
        && second.open <= first.close + near_first
        && third.body() < short
        && third.open >= second.close - third.body() - near_second;
    when(is_found, BEARISH)
}

pattern! {
    /// Stick sandwich: a white candle above the close of the black one before it, then a black one
    /// that closes where the first did. Bullish: it is a support.
    CdlStickSandwich, "CDLSTICKSANDWICH", "stick sandwich", 8 bars, stick_sandwich, [(EQUAL, 2)]
}

fn stick_sandwich(view: &View) -> i32 {
    let [first, second, third] = view.last();
    let is_found = first.is_black()
        && second.is_white()
        && third.is_black()
        && second.low > first.close
        && is_near(third.close, first.close, view.limits[0]);
    when(is_found, BULLISH)
}

pattern! {
    /// Tasuki gap: a candle with a gap, then one of the other color, about as large, that opens in
    /// its body and closes in the gap. The gap holds, and the move goes on.
    CdlTasukiGap, "CDLTASUKIGAP", "tasuki gap", 8 bars, tasuki_gap, [(NEAR, 1)]
}

fn tasuki_gap(view: &View) -> i32 {
    let [first, second, third] = view.last();
    let closes_in_gap = if second.is_white() {
        second.body_above(&first) && third.close < second.open && third.close > first.top()
    } else {
        second.body_below(&first) && third.close > second.open && third.close < first.bottom()
    };
    let is_found = third.color() != second.color()
        && third.open < second.top()
        && third.open > second.bottom()
        && closes_in_gap
        && (second.body() - third.body()).abs() < view.limits[0];
    when(is_found, 100 * second.color())
}

pattern! {
    /// Tristar: three doji, the second with a gap from the first and the third back. The move
    /// turns. TA-Lib holds all three against the limit of the first.
    CdlTristar, "CDLTRISTAR", "tristar", 13 bars, tristar, [(BODY_DOJI, 2)]
}

fn tristar(view: &View) -> i32 {
    let bars = view.last();
    let [first, second, third] = bars;
    let signal = if second.body_above(&first) && third.top() < second.top() {
        BEARISH
    } else if second.body_below(&first) && third.bottom() > second.bottom() {
        BULLISH
    } else {
        0
    };
    when(bars.iter().all(|bar| bar.body() <= view.limits[0]), signal)
}

pattern! {
    /// Unique three river: a long black candle, a black one in its body with a lower low, and a
    /// short white one that opens above that low. Bullish.
    CdlUnique3River, "CDLUNIQUE3RIVER", "unique three river", 13 bars, unique_three_river,
    [(BODY_LONG, 2), (BODY_SHORT, 0)]
}

fn unique_three_river(view: &View) -> i32 {
    let [first, second, third] = view.last();
    let [long, short, ..] = view.limits;
    let is_found = first.is_black()
        && first.body() > long
        && second.is_black()
        && second.close > first.close
        && second.open <= first.open
        && second.low < first.low
        && third.is_white()
        && third.body() < short
        && third.open > second.low;
    when(is_found, BULLISH)
}

pattern! {
    /// Upside gap two crows: a long white candle, a short black one whose body gaps above it, and a
    /// black one that engulfs it and closes above the first. Bearish: the gap does not draw buyers.
    CdlUpsideGap2Crows, "CDLUPSIDEGAP2CROWS", "upside gap two crows", 13 bars,
    upside_gap_two_crows, [(BODY_LONG, 2), (BODY_SHORT, 1)],
    source: "Nison, Japanese Candlestick Charting Techniques, 1991, chapter 6"
}

fn upside_gap_two_crows(view: &View) -> i32 {
    let [first, second, third] = view.last();
    let [long, short, ..] = view.limits;
    let is_found = first.is_white()
        && first.body() > long
        && second.is_black()
        && second.body() <= short
        && second.body_above(&first)
        && third.is_black()
        && third.open > second.open
        && third.close < second.close
        && third.close > first.close;
    when(is_found, BEARISH)
}

pattern! {
    /// Gap three methods: two candles of one color with a gap between them, then one of the other
    /// that opens in the second and closes in the first. The gap is filled, and the move goes on.
    CdlXSideGap3Methods, "CDLXSIDEGAP3METHODS", "upside or downside gap three methods", 3 bars,
    gap_three_methods, []
}

fn gap_three_methods(view: &View) -> i32 {
    let [first, second, third] = view.last();
    let has_gap = if first.is_white() {
        second.body_above(&first)
    } else {
        second.body_below(&first)
    };
    let is_found = first.color() == second.color()
        && second.color() != third.color()
        && third.open < second.top()
        && third.open > second.bottom()
        && third.close < first.top()
        && third.close > first.bottom()
        && has_gap;
    when(is_found, 100 * first.color())
}
