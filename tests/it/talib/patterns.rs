//! Candle patterns, and bars that are full of them.

use super::cases::{Case, case};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use ta::Next;
use tickforge::indicators::Candle;
use tickforge::indicators::candles::*;

/// A pattern that needs nothing, and one that needs a penetration: its default and others.
macro_rules! pattern {
    ($Type:ident) => {
        vec![case(&$Type::INFO, &[], $Type::new, |i, c| [i.next(c).map(f64::from)])]
    };
    ($Type:ident $($penetration:literal)*) => {
        vec![$(case(
            &$Type::INFO,
            &[("penetration", $penetration)],
            || $Type::new($penetration),
            |i, c| [i.next(c).map(f64::from)],
        )),*]
    };
}

pub fn cases() -> Vec<Case> {
    let all = [
        pattern!(Cdl2Crows),
        pattern!(Cdl3BlackCrows),
        pattern!(Cdl3Inside),
        pattern!(Cdl3LineStrike),
        pattern!(Cdl3Outside),
        pattern!(Cdl3StarsInSouth),
        pattern!(Cdl3WhiteSoldiers),
        pattern!(CdlAbandonedBaby 0.3 0.0 0.7),
        pattern!(CdlAdvanceBlock),
        pattern!(CdlBeltHold),
        pattern!(CdlBreakaway),
        pattern!(CdlClosingMarubozu),
        pattern!(CdlConcealBabySwall),
        pattern!(CdlCounterattack),
        pattern!(CdlDarkCloudCover 0.5 0.0 0.9),
        pattern!(CdlDoji),
        pattern!(CdlDojiStar),
        pattern!(CdlDragonflyDoji),
        pattern!(CdlEngulfing),
        pattern!(CdlEveningDojiStar 0.3 0.0 0.7),
        pattern!(CdlEveningStar 0.3 0.0 0.7),
        pattern!(CdlGapSideSideWhite),
        pattern!(CdlGravestoneDoji),
        pattern!(CdlHammer),
        pattern!(CdlHangingMan),
        pattern!(CdlHarami),
        pattern!(CdlHaramiCross),
        pattern!(CdlHighWave),
        pattern!(CdlHikkake),
        pattern!(CdlHikkakeMod),
        pattern!(CdlHomingPigeon),
        pattern!(CdlIdentical3Crows),
        pattern!(CdlInNeck),
        pattern!(CdlInvertedHammer),
        pattern!(CdlKicking),
        pattern!(CdlKickingByLength),
        pattern!(CdlLadderBottom),
        pattern!(CdlLongLeggedDoji),
        pattern!(CdlLongLine),
        pattern!(CdlMarubozu),
        pattern!(CdlMatchingLow),
        pattern!(CdlMatHold 0.5 0.1 2.0),
        pattern!(CdlMorningDojiStar 0.3 0.0 0.7),
        pattern!(CdlMorningStar 0.3 0.0 0.7),
        pattern!(CdlOnNeck),
        pattern!(CdlPiercing),
        pattern!(CdlRickshawMan),
        pattern!(CdlRiseFall3Methods),
        pattern!(CdlSeparatingLines),
        pattern!(CdlShootingStar),
        pattern!(CdlShortLine),
        pattern!(CdlSpinningTop),
        pattern!(CdlStalledPattern),
        pattern!(CdlStickSandwich),
        pattern!(CdlTakuri),
        pattern!(CdlTasukiGap),
        pattern!(CdlThrusting),
        pattern!(CdlTristar),
        pattern!(CdlUnique3River),
        pattern!(CdlUpsideGap2Crows),
        pattern!(CdlXSideGap3Methods),
    ];
    all.into_iter().flatten().collect()
}

/// Open, high, low, close in ticks.
type Shape = &'static [[i64; 4]];

/// Patterns as they are drawn in books; bars around them have bodies of 6 to 10 and ranges
/// of 14 to 20.
const SHAPES: &[Shape] = &[
    // Two candles: kicking, counterattack, dark cloud cover, the necks, thrusting, piercing.
    &[[40, 40, 10, 10], [50, 80, 50, 80]],
    &[[60, 61, 39, 40], [10, 41, 9, 40]],
    &[[0, 31, -1, 30], [36, 37, 9, 10]],
    &[[40, 41, 9, 10], [4, 11, 3, 10]],
    &[[40, 41, 8, 10], [4, 11, 3, 8]],
    &[[40, 41, 9, 10], [4, 19, 3, 18]],
    &[[40, 41, 9, 10], [2, 31, 1, 30]],
    // Engulfing, harami, homing pigeon, separating lines.
    &[[20, 21, 9, 10], [8, 27, 7, 26], [26, 33, 25, 32]],
    &[[40, 41, 9, 10], [18, 25, 17, 22], [24, 46, 23, 45]],
    &[[40, 41, 9, 10], [25, 31, 19, 20]],
    &[[20, 21, -1, 0], [20, 50, 20, 50]],
    // Three candles: crows, stars, soldiers, gaps.
    &[[0, 31, -1, 30], [40, 41, 32, 33], [36, 37, 14, 15]],
    &[[0, 31, -1, 30], [39, 41, 34, 36], [44, 45, 31, 33]],
    &[[40, 41, 20, 20], [20, 21, 0, 0], [0, 1, -20, -20]],
    &[[40, 41, -10, 20], [30, 31, -4, 18], [8, 8, 4, 4]],
    &[[0, 20, -2, 20], [10, 30, 9, 30], [22, 42, 21, 42]],
    &[[0, 26, -2, 24], [14, 36, 13, 32], [26, 46, 25, 36]],
    &[[0, 31, -1, 30], [20, 51, 19, 51], [50, 58, 49, 54]],
    &[[40, 41, 9, 10], [2, 3, 1, 2], [12, 31, 10, 30]],
    &[[0, 31, -1, 30], [36, 42, 35, 40], [34, 35, 9, 10]],
    &[[0, 11, -1, 10], [20, 31, 19, 30], [20, 31, 19, 30]],
    &[[20, 21, 9, 10], [-8, 3, -9, 2], [-8, 3, -9, 2]],
    &[[30, 31, 9, 10], [14, 36, 13, 34], [34, 35, 9, 10]],
    &[[0, 11, -1, 10], [20, 33, 19, 32], [28, 29, 14, 16]],
    &[[0, 6, -6, 0], [5, 11, 1, 5], [1, 6, -4, 1]],
    &[[40, 41, 9, 10], [36, 37, 2, 20], [6, 12, 5, 10]],
    &[[0, 11, -1, 10], [16, 31, 15, 30], [22, 23, 4, 5]],
    // Four: crows, strike, baby swallow, a modified hikkake and its confirmation.
    &[
        [0, 22, -1, 20],
        [18, 19, 0, 0],
        [10, 11, -12, -12],
        [-4, -3, -26, -26],
    ],
    &[
        [0, 12, -2, 10],
        [6, 22, 5, 20],
        [14, 32, 13, 30],
        [34, 35, -6, -4],
    ],
    &[
        [40, 40, 20, 20],
        [20, 20, 0, 0],
        [-6, 4, -10, -9],
        [5, 6, -14, -13],
    ],
    &[
        [0, 40, -40, 5],
        [0, 30, -30, -28],
        [0, 20, -20, 5],
        [0, 15, -25, -5],
        [0, 28, -2, 25],
    ],
    // Five: breakaway, ladder, mat hold, three methods.
    &[
        [40, 41, 9, 10],
        [4, 5, -3, -2],
        [-4, 1, -8, -6],
        [-7, -2, -14, -12],
        [-10, 9, -11, 7],
    ],
    &[
        [60, 61, 49, 50],
        [50, 51, 39, 40],
        [40, 41, 29, 30],
        [30, 36, 22, 24],
        [32, 50, 31, 48],
    ],
    &[
        [0, 31, -1, 30],
        [38, 39, 32, 33],
        [33, 36, 27, 28],
        [29, 33, 24, 25],
        [30, 46, 29, 45],
    ],
    &[
        [0, 41, -1, 40],
        [36, 38, 29, 31],
        [31, 32, 24, 26],
        [27, 28, 19, 21],
        [24, 51, 23, 50],
    ],
];

/// Bars among which the shapes stand, as they are and upside down, often with one price that is off
/// or at another's level: all patterns in numbers that no market has, what only just is none, and
/// ties.
pub fn staged(seed: u64, count: usize) -> Vec<Candle> {
    let mut draw = StdRng::seed_from_u64(seed);
    let mut candles = Vec::with_capacity(count);
    let mut level = 10_000_i64;
    while candles.len() < count {
        // Steady bars have averages to which a body can be equal.
        let is_steady = draw.random_bool(0.5);
        let bars = if is_steady {
            14
        } else {
            draw.random_range(3..14)
        };
        for _ in 0..bars {
            let sign = if draw.random_bool(0.5) { 1 } else { -1 };
            let (body, high, low) = if is_steady {
                (10, 5, 5)
            } else {
                (
                    draw.random_range(0..=12),
                    draw.random_range(0..=8),
                    draw.random_range(0..=8),
                )
            };
            let open = level + draw.random_range(-2..=2);
            level = open + sign * body;
            candles.push(candle([
                open,
                open.max(level) + high,
                open.min(level) - low,
                level,
            ]));
        }
        level = level.clamp(5_000, 20_000);
        let mut shape = SHAPES[draw.random_range(0..SHAPES.len())].to_vec();
        let (bar, price) = (draw.random_range(0..shape.len()), draw.random_range(0..4));
        match draw.random_range(0..5) {
            0 => {}
            1 | 2 => shape[bar][price] += draw.random_range(-12..=12),
            _ => {
                let other = shape[draw.random_range(0..shape.len())][draw.random_range(0..4)];
                shape[bar][price] = other + draw.random_range(-1..=1);
            }
        }
        let sign = if draw.random_bool(0.5) { 1 } else { -1 };
        let start = level - sign * shape[0][0];
        for bar in shape {
            let [open, high, low, close] = bar.map(|ticks| start + sign * ticks);
            let ends = [open, high, low, close];
            let (top, bottom) = (ends.iter().max(), ends.iter().min());
            let (top, bottom) = (top.expect("four"), bottom.expect("four"));
            candles.push(candle([open, *top, *bottom, close]));
            level = close;
        }
    }
    candles.truncate(count);
    candles
}

fn candle(ticks: [i64; 4]) -> Candle {
    // A tick of 1/4: sums are exact, so that ties are.
    let [open, high, low, close] = ticks.map(|ticks| ticks as f64 / 4.0);
    Candle {
        open,
        high,
        low,
        close,
        volume: 1.0,
    }
}

/// Else a comparison on these bars would say little.
#[test]
fn every_pattern_is_there_and_both_ways() {
    let candles = staged(5, 10_000);
    let mut two_ways = 0;
    for info in &PATTERNS {
        let mut pattern = Pattern::new(info.name);
        let found: Vec<i32> = candles.iter().filter_map(|c| pattern.next(c)).collect();
        let ups = found.iter().filter(|f| **f > 0).count();
        let downs = found.iter().filter(|f| **f < 0).count();
        assert!(ups.max(downs) >= 3, "{}: {ups} up, {downs} down", info.name);
        two_ways += u32::from(ups.min(downs) >= 3);
    }
    assert_eq!(two_ways, 27, "the others know one way only");
}
