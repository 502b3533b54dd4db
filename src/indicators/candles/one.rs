//! HOT PATH. Patterns of one candle.

use super::settings::{BODY_DOJI, BODY_LONG, BODY_SHORT, NEAR, SHADOW_SHORT, SHADOW_VERY_SHORT};
use super::{BULLISH, View, when};

pattern! {
    /// Belt-hold: a long candle without a shadow at its open. The side that it closes on took over
    /// at once and held.
    CdlBeltHold, "CDLBELTHOLD", "belt-hold", 11 bars, belt_hold,
    [(BODY_LONG, 0), (SHADOW_VERY_SHORT, 0)]
}

fn belt_hold(view: &View) -> i32 {
    let [bar] = view.last();
    let [long, no_shadow, ..] = view.limits;
    let shadow = if bar.is_white() {
        bar.lower_shadow()
    } else {
        bar.upper_shadow()
    };
    when(bar.body() > long && shadow < no_shadow, 100 * bar.color())
}

pattern! {
    /// Closing marubozu: a long candle without a shadow at its close. Its move is said to go on.
    CdlClosingMarubozu, "CDLCLOSINGMARUBOZU", "closing marubozu", 11 bars, closing_marubozu,
    [(BODY_LONG, 0), (SHADOW_VERY_SHORT, 0)]
}

fn closing_marubozu(view: &View) -> i32 {
    let [bar] = view.last();
    let [long, no_shadow, ..] = view.limits;
    let shadow = if bar.is_white() {
        bar.upper_shadow()
    } else {
        bar.lower_shadow()
    };
    when(bar.body() > long && shadow < no_shadow, 100 * bar.color())
}

pattern! {
    /// Doji: it closes about where it opened. Nobody won; always 100, though it has no direction.
    CdlDoji, "CDLDOJI", "doji", 11 bars, doji, [(BODY_DOJI, 0)],
    source: "Nison, Japanese Candlestick Charting Techniques, 1991, chapter 8"
}

fn doji(view: &View) -> i32 {
    let [bar] = view.last();
    when(bar.body() <= view.limits[0], BULLISH)
}

pattern! {
    /// Dragonfly doji: a doji with a lower shadow only. Sellers were beaten back; bullish after a
    /// fall.
    CdlDragonflyDoji, "CDLDRAGONFLYDOJI", "dragonfly doji", 11 bars, dragonfly_doji,
    [(BODY_DOJI, 0), (SHADOW_VERY_SHORT, 0)]
}

fn dragonfly_doji(view: &View) -> i32 {
    let [bar] = view.last();
    let [doji, no_shadow, ..] = view.limits;
    let is_found =
        bar.body() <= doji && bar.upper_shadow() < no_shadow && bar.lower_shadow() > no_shadow;
    when(is_found, BULLISH)
}

pattern! {
    /// Gravestone doji: a doji with an upper shadow only. Buyers were beaten back; bearish after a
    /// rise, and yet 100.
    CdlGravestoneDoji, "CDLGRAVESTONEDOJI", "gravestone doji", 11 bars, gravestone_doji,
    [(BODY_DOJI, 0), (SHADOW_VERY_SHORT, 0)],
    source: "Nison, Japanese Candlestick Charting Techniques, 1991, chapter 8"
}

fn gravestone_doji(view: &View) -> i32 {
    let [bar] = view.last();
    let [doji, no_shadow, ..] = view.limits;
    let is_found =
        bar.body() <= doji && bar.lower_shadow() < no_shadow && bar.upper_shadow() > no_shadow;
    when(is_found, BULLISH)
}

pattern! {
    /// High wave: a short body between very long shadows. The market is at a loss; the sign is the
    /// candle's color only.
    CdlHighWave, "CDLHIGHWAVE", "high wave", 11 bars, high_wave, [(BODY_SHORT, 0)]
}

fn high_wave(view: &View) -> i32 {
    let [bar] = view.last();
    let is_found = bar.body() < view.limits[0]
        && bar.upper_shadow() > bar.very_long_shadow()
        && bar.lower_shadow() > bar.very_long_shadow();
    when(is_found, 100 * bar.color())
}

pattern! {
    /// Long-legged doji: a doji with a long shadow, above or below. Nobody won, after a fight.
    CdlLongLeggedDoji, "CDLLONGLEGGEDDOJI", "long-legged doji", 11 bars, long_legged_doji,
    [(BODY_DOJI, 0)], source: "Nison, Japanese Candlestick Charting Techniques, 1991, chapter 8"
}

fn long_legged_doji(view: &View) -> i32 {
    let [bar] = view.last();
    let has_leg = bar.lower_shadow() > bar.long_shadow() || bar.upper_shadow() > bar.long_shadow();
    when(bar.body() <= view.limits[0] && has_leg, BULLISH)
}

pattern! {
    /// Long line: a long body between short shadows. One side ruled the bar.
    CdlLongLine, "CDLLONGLINE", "long line", 11 bars, long_line,
    [(BODY_LONG, 0), (SHADOW_SHORT, 0)]
}

fn long_line(view: &View) -> i32 {
    let [bar] = view.last();
    let [long, short_shadow, ..] = view.limits;
    let is_found =
        bar.body() > long && bar.upper_shadow() < short_shadow && bar.lower_shadow() < short_shadow;
    when(is_found, 100 * bar.color())
}

pattern! {
    /// Marubozu: a long body without shadows. One side ruled from open to close.
    CdlMarubozu, "CDLMARUBOZU", "marubozu", 11 bars, marubozu,
    [(BODY_LONG, 0), (SHADOW_VERY_SHORT, 0)]
}

fn marubozu(view: &View) -> i32 {
    let [bar] = view.last();
    let [long, no_shadow, ..] = view.limits;
    let is_found =
        bar.body() > long && bar.upper_shadow() < no_shadow && bar.lower_shadow() < no_shadow;
    when(is_found, 100 * bar.color())
}

pattern! {
    /// Rickshaw man: a doji with two long shadows and its body near the middle. Nobody won.
    CdlRickshawMan, "CDLRICKSHAWMAN", "rickshaw man", 11 bars, rickshaw_man,
    [(BODY_DOJI, 0), (NEAR, 0)]
}

fn rickshaw_man(view: &View) -> i32 {
    let [bar] = view.last();
    let [doji, near, ..] = view.limits;
    let middle = bar.low + bar.range() / 2.0;
    let is_found = bar.body() <= doji
        && bar.lower_shadow() > bar.long_shadow()
        && bar.upper_shadow() > bar.long_shadow()
        && bar.bottom() <= middle + near
        && bar.top() >= middle - near;
    when(is_found, BULLISH)
}

pattern! {
    /// Short line: a short body between short shadows. A pause; the sign is the candle's color.
    CdlShortLine, "CDLSHORTLINE", "short line", 11 bars, short_line,
    [(BODY_SHORT, 0), (SHADOW_SHORT, 0)]
}

fn short_line(view: &View) -> i32 {
    let [bar] = view.last();
    let [short, short_shadow, ..] = view.limits;
    let is_found = bar.body() < short
        && bar.upper_shadow() < short_shadow
        && bar.lower_shadow() < short_shadow;
    when(is_found, 100 * bar.color())
}

pattern! {
    /// Spinning top: a short body between shadows that are longer than it. Doubt; the sign is the
    /// candle's color.
    CdlSpinningTop, "CDLSPINNINGTOP", "spinning top", 11 bars, spinning_top, [(BODY_SHORT, 0)]
}

fn spinning_top(view: &View) -> i32 {
    let [bar] = view.last();
    let is_found = bar.body() < view.limits[0]
        && bar.upper_shadow() > bar.body()
        && bar.lower_shadow() > bar.body();
    when(is_found, 100 * bar.color())
}

pattern! {
    /// Takuri: a dragonfly doji with a very long lower shadow. Sellers were beaten back; bullish
    /// after a fall.
    CdlTakuri, "CDLTAKURI", "takuri line", 11 bars, takuri,
    [(BODY_DOJI, 0), (SHADOW_VERY_SHORT, 0)]
}

fn takuri(view: &View) -> i32 {
    let [bar] = view.last();
    let [doji, no_shadow, ..] = view.limits;
    let is_found = bar.body() <= doji
        && bar.upper_shadow() < no_shadow
        && bar.lower_shadow() > bar.very_long_shadow();
    when(is_found, BULLISH)
}
