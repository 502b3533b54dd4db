//! HOT PATH. Patterns of two candles.

use super::settings::{BODY_DOJI, BODY_LONG, BODY_SHORT, Bar, EQUAL, NEAR, SHADOW_VERY_SHORT};
use super::{BEARISH, BULLISH, View, is_near, when};

pattern! {
    /// Counterattack: two long candles of opposite colors that close at the same price. The second
    /// side is said to take over.
    CdlCounterattack, "CDLCOUNTERATTACK", "counterattack", 12 bars, counterattack,
    [(EQUAL, 1), (BODY_LONG, 1), (BODY_LONG, 0)]
}

fn counterattack(view: &View) -> i32 {
    let [first, second] = view.last();
    let [equal, long_first, long_second, ..] = view.limits;
    let is_found = first.color() != second.color()
        && first.body() > long_first
        && second.body() > long_second
        && is_near(second.close, first.close, equal);
    when(is_found, 100 * second.color())
}

pattern! {
    /// Dark cloud cover: a long white candle, then a black one that opens above its high and
    /// closes deep in its body. Bearish: the breakout failed.
    CdlDarkCloudCover, "CDLDARKCLOUDCOVER", "dark cloud cover", 12 bars, dark_cloud_cover,
    [(BODY_LONG, 1)], penetration: &[("penetration", 0.5)]
}

fn dark_cloud_cover(view: &View) -> i32 {
    let [first, second] = view.last();
    let is_found = first.is_white()
        && first.body() > view.limits[0]
        && second.is_black()
        && second.open > first.high
        && second.close > first.open
        && second.close < first.close - first.body() * view.penetration;
    when(is_found, BEARISH)
}

pattern! {
    /// Doji star: a long candle, then a doji beyond its close with a gap. The move is said to turn.
    CdlDojiStar, "CDLDOJISTAR", "doji star", 12 bars, doji_star, [(BODY_LONG, 1), (BODY_DOJI, 0)]
}

fn doji_star(view: &View) -> i32 {
    let [first, second] = view.last();
    let [long, doji, ..] = view.limits;
    let has_gap = if first.is_white() {
        second.body_above(&first)
    } else {
        second.body_below(&first)
    };
    let is_found = first.body() > long && second.body() <= doji && has_gap;
    when(is_found, -100 * first.color())
}

pattern! {
    /// Engulfing: a candle whose body holds the body of the one before, of the other color. The
    /// second side takes over. 80 where the bodies share one end, none where they share both.
    CdlEngulfing, "CDLENGULFING", "engulfing pattern", 3 bars, engulfing, [],
    source: "Nison, Japanese Candlestick Charting Techniques, 1991, chapter 4"
}

fn engulfing(view: &View) -> i32 {
    let [first, second] = view.last();
    if first.color() == second.color() {
        return 0;
    }
    // The first opens where the second may close, and the other way round.
    let beyond = f64::from(second.color());
    let at_close = (second.close - first.open) * beyond;
    let at_open = (first.close - second.open) * beyond;
    let is_found = at_close >= 0.0 && at_open >= 0.0 && (at_close > 0.0 || at_open > 0.0);
    let strength = if at_close > 0.0 && at_open > 0.0 {
        100
    } else {
        80
    };
    when(is_found, strength * second.color())
}

pattern! {
    /// Hammer: a short body near or below the last low, with a long lower shadow and no upper one.
    /// Bullish after a fall: sellers were beaten back.
    CdlHammer, "CDLHAMMER", "hammer", 12 bars, hammer,
    [(BODY_SHORT, 0), (SHADOW_VERY_SHORT, 0), (NEAR, 1)],
    source: "Nison, Japanese Candlestick Charting Techniques, 1991, chapter 4"
}

fn hammer(view: &View) -> i32 {
    let [first, second] = view.last();
    let [short, no_shadow, near, ..] = view.limits;
    let is_low = second.bottom() <= first.low + near;
    when(is_umbrella(&second, short, no_shadow) && is_low, BULLISH)
}

pattern! {
    /// Hanging man: a hammer near or above the last high. Bearish after a rise: sellers have been
    /// there.
    CdlHangingMan, "CDLHANGINGMAN", "hanging man", 12 bars, hanging_man,
    [(BODY_SHORT, 0), (SHADOW_VERY_SHORT, 0), (NEAR, 1)],
    source: "Nison, Japanese Candlestick Charting Techniques, 1991, chapter 4"
}

fn hanging_man(view: &View) -> i32 {
    let [first, second] = view.last();
    let [short, no_shadow, near, ..] = view.limits;
    let is_high = second.bottom() >= first.high - near;
    when(is_umbrella(&second, short, no_shadow) && is_high, BEARISH)
}

/// A short body with a long lower shadow only.
fn is_umbrella(bar: &Bar, short: f64, no_shadow: f64) -> bool {
    bar.body() < short && bar.lower_shadow() > bar.long_shadow() && bar.upper_shadow() < no_shadow
}

/// The same upside down.
fn is_upturned(bar: &Bar, short: f64, no_shadow: f64) -> bool {
    bar.body() < short && bar.upper_shadow() > bar.long_shadow() && bar.lower_shadow() < no_shadow
}

pattern! {
    /// Harami: a long candle, then a short one within its body. The move is said to turn. 80 where
    /// the bodies share an end.
    CdlHarami, "CDLHARAMI", "harami", 12 bars, harami, [(BODY_LONG, 1), (BODY_SHORT, 0)],
    source: "Nison, Japanese Candlestick Charting Techniques, 1991, chapter 6"
}

pattern! {
    /// Harami cross: a harami whose second candle is a doji, and said to be the stronger for it.
    CdlHaramiCross, "CDLHARAMICROSS", "harami cross", 12 bars, harami,
    [(BODY_LONG, 1), (BODY_DOJI, 0)],
    source: "Nison, Japanese Candlestick Charting Techniques, 1991, chapter 6"
}

fn harami(view: &View) -> i32 {
    let [first, second] = view.last();
    let [long, short, ..] = view.limits;
    let is_inside = second.top() <= first.top() && second.bottom() >= first.bottom();
    let strength = if second.body_within(&first) { 100 } else { 80 };
    let is_found = first.body() > long && second.body() <= short && is_inside;
    when(is_found, -strength * first.color())
}

pattern! {
    /// Homing pigeon: a long black candle, then a short black one within its body. Bullish: the
    /// fall slows.
    CdlHomingPigeon, "CDLHOMINGPIGEON", "homing pigeon", 12 bars, homing_pigeon,
    [(BODY_LONG, 1), (BODY_SHORT, 0)]
}

fn homing_pigeon(view: &View) -> i32 {
    let [first, second] = view.last();
    let [long, short, ..] = view.limits;
    let is_found = first.is_black()
        && second.is_black()
        && first.body() > long
        && second.body() <= short
        && second.body_within(&first);
    when(is_found, BULLISH)
}

pattern! {
    /// In-neck: a long black candle, then a white one that opens below its low and closes at or
    /// just above its close. Bearish: the bounce was weak.
    CdlInNeck, "CDLINNECK", "in-neck", 12 bars, in_neck, [(EQUAL, 1), (BODY_LONG, 1)]
}

fn in_neck(view: &View) -> i32 {
    let [first, second] = view.last();
    let [equal, long, ..] = view.limits;
    let is_found = is_bounce(&first, &second, long)
        && second.close <= first.close + equal
        && second.close >= first.close;
    when(is_found, BEARISH)
}

/// A long black candle, then a white one that opens below its low.
fn is_bounce(first: &Bar, second: &Bar, long: f64) -> bool {
    first.is_black() && first.body() > long && second.is_white() && second.open < first.low
}

pattern! {
    /// Inverted hammer: a short body below the last one, with a long upper shadow and no lower
    /// one. Bullish after a fall: buyers begin to try.
    CdlInvertedHammer, "CDLINVERTEDHAMMER", "inverted hammer", 12 bars, inverted_hammer,
    [(BODY_SHORT, 0), (SHADOW_VERY_SHORT, 0)],
    source: "Nison, Japanese Candlestick Charting Techniques, 1991, chapter 5"
}

fn inverted_hammer(view: &View) -> i32 {
    let [first, second] = view.last();
    let [short, no_shadow, ..] = view.limits;
    when(
        is_upturned(&second, short, no_shadow) && second.body_below(&first),
        BULLISH,
    )
}

pattern! {
    /// Kicking: two marubozu of opposite colors with a gap between them, away from the first. The
    /// market goes the second's way.
    CdlKicking, "CDLKICKING", "kicking", 12 bars, kicking,
    [(SHADOW_VERY_SHORT, 1), (SHADOW_VERY_SHORT, 0), (BODY_LONG, 1), (BODY_LONG, 0)]
}

fn kicking(view: &View) -> i32 {
    let [_, second] = view.last();
    when(is_kick(view), 100 * second.color())
}

pattern! {
    /// Kicking by length: as kicking, but the longer of the two says where the market goes.
    CdlKickingByLength, "CDLKICKINGBYLENGTH", "kicking, by the longer candle", 12 bars,
    kicking_by_length,
    [(SHADOW_VERY_SHORT, 1), (SHADOW_VERY_SHORT, 0), (BODY_LONG, 1), (BODY_LONG, 0)],
    source: "TA-Lib, function CDLKICKINGBYLENGTH, 0.8.1"
}

fn kicking_by_length(view: &View) -> i32 {
    let [first, second] = view.last();
    let longer = if second.body() > first.body() {
        second
    } else {
        first
    };
    when(is_kick(view), 100 * longer.color())
}

fn is_kick(view: &View) -> bool {
    let [first, second] = view.last();
    let [
        no_shadow_first,
        no_shadow_second,
        long_first,
        long_second,
        ..,
    ] = view.limits;
    let is_marubozu = |bar: &Bar, long, no_shadow| {
        bar.body() > long && bar.upper_shadow() < no_shadow && bar.lower_shadow() < no_shadow
    };
    let has_gap = if first.is_black() {
        second.all_above(&first)
    } else {
        second.all_below(&first)
    };
    first.color() != second.color()
        && is_marubozu(&first, long_first, no_shadow_first)
        && is_marubozu(&second, long_second, no_shadow_second)
        && has_gap
}

pattern! {
    /// Matching low: two black candles that close at the same price. Bullish: it is a support.
    CdlMatchingLow, "CDLMATCHINGLOW", "matching low", 7 bars, matching_low, [(EQUAL, 1)]
}

fn matching_low(view: &View) -> i32 {
    let [first, second] = view.last();
    let is_found =
        first.is_black() && second.is_black() && is_near(second.close, first.close, view.limits[0]);
    when(is_found, BULLISH)
}

pattern! {
    /// On-neck: a long black candle, then a white one that opens below its low and closes at that
    /// low. Bearish: the bounce was weak.
    CdlOnNeck, "CDLONNECK", "on-neck", 12 bars, on_neck, [(EQUAL, 1), (BODY_LONG, 1)]
}

fn on_neck(view: &View) -> i32 {
    let [first, second] = view.last();
    let [equal, long, ..] = view.limits;
    let is_at_low = is_near(second.close, first.low, equal);
    when(is_bounce(&first, &second, long) && is_at_low, BEARISH)
}

pattern! {
    /// Piercing: a long black candle, then a long white one that opens below its low and closes
    /// above the middle of its body. Bullish: the breakdown failed.
    CdlPiercing, "CDLPIERCING", "piercing pattern", 12 bars, piercing,
    [(BODY_LONG, 1), (BODY_LONG, 0)],
    source: "Nison, Japanese Candlestick Charting Techniques, 1991, chapter 4"
}

fn piercing(view: &View) -> i32 {
    let [first, second] = view.last();
    let [long_first, long_second, ..] = view.limits;
    let is_found = is_bounce(&first, &second, long_first)
        && second.body() > long_second
        && second.close < first.open
        && second.close > first.close + first.body() * 0.5;
    when(is_found, BULLISH)
}

pattern! {
    /// Separating lines: two candles of opposite colors that open at the same price, the second
    /// long and without a shadow there. The market goes the second's way.
    CdlSeparatingLines, "CDLSEPARATINGLINES", "separating lines", 12 bars, separating_lines,
    [(SHADOW_VERY_SHORT, 0), (BODY_LONG, 0), (EQUAL, 1)]
}

fn separating_lines(view: &View) -> i32 {
    let [first, second] = view.last();
    let [no_shadow, long, equal, ..] = view.limits;
    let shadow = if second.is_white() {
        second.lower_shadow()
    } else {
        second.upper_shadow()
    };
    let is_found = first.color() != second.color()
        && is_near(second.open, first.open, equal)
        && second.body() > long
        && shadow < no_shadow;
    when(is_found, 100 * second.color())
}

pattern! {
    /// Shooting star: a short body above the last one, with a long upper shadow and no lower one.
    /// Bearish after a rise: buyers were beaten back.
    CdlShootingStar, "CDLSHOOTINGSTAR", "shooting star", 12 bars, shooting_star,
    [(BODY_SHORT, 0), (SHADOW_VERY_SHORT, 0)],
    source: "Nison, Japanese Candlestick Charting Techniques, 1991, chapter 5"
}

fn shooting_star(view: &View) -> i32 {
    let [first, second] = view.last();
    let [short, no_shadow, ..] = view.limits;
    when(
        is_upturned(&second, short, no_shadow) && second.body_above(&first),
        BEARISH,
    )
}

pattern! {
    /// Thrusting: a long black candle, then a white one that opens below its low and closes in the
    /// lower half of its body. Bearish: the bounce was weak.
    CdlThrusting, "CDLTHRUSTING", "thrusting pattern", 12 bars, thrusting,
    [(EQUAL, 1), (BODY_LONG, 1)]
}

fn thrusting(view: &View) -> i32 {
    let [first, second] = view.last();
    let [equal, long, ..] = view.limits;
    let is_found = is_bounce(&first, &second, long)
        && second.close > first.close + equal
        && second.close <= first.close + first.body() * 0.5;
    when(is_found, BEARISH)
}
