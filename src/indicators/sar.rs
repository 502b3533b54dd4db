//! HOT PATH. Wilder's parabolic stop and reverse: a stop that follows the price, faster with each
//! new extreme, and changes sides when it is hit; as TA-Lib's `SAR` and `SAREXT`. Budget: 14 ns an
//! update.
//!
//! ```text
//! next SAR = SAR + af (extreme - SAR), not within the last two bars
//! af       = initial, + step at each new extreme, up to the greatest
//! hit      : the SAR becomes the extreme of the trade, af the initial one
//! ```
//! Source: J. Welles Wilder, New Concepts in Technical Trading Systems (1978); TA-Lib, function
//! SAREXT, 0.8.1. As in TA-Lib, the first bar gives only the first stop; the second decides the
//! side: short where it went down by more than up, else long. A stop that is touched is hit.
//! `SAREXT` has its own acceleration for each side and is below zero while short.

use super::Info;
use serde::{Deserialize, Serialize};
use ta::{High, Low, Next};

pub const SAR: Info = Info {
    name: "SAR",
    summary: "parabolic stop and reverse (Wilder)",
    parameters: &[("acceleration", 0.02), ("maximum", 0.2)],
    inputs: &["high", "low"],
    outputs: &["stop"],
    warm_up: "2 bars",
    source: "Wilder, New Concepts in Technical Trading Systems, 1978",
};

pub const SAREXT: Info = Info {
    name: "SAREXT",
    summary: "parabolic stop and reverse with settings for each side",
    parameters: &[
        ("startvalue", 0.0),
        ("offsetonreverse", 0.0),
        ("accelerationinitlong", 0.02),
        ("accelerationlong", 0.02),
        ("accelerationmaxlong", 0.2),
        ("accelerationinitshort", 0.02),
        ("accelerationshort", 0.02),
        ("accelerationmaxshort", 0.2),
    ],
    inputs: &["high", "low"],
    outputs: &["stop, below zero while short"],
    warm_up: "2 bars",
    source: "TA-Lib, function SAREXT, 0.8.1",
};

/// How a stop speeds up on one side.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Acceleration {
    pub initial: f64,
    pub step: f64,
    pub greatest: f64,
}

impl Acceleration {
    /// Neither the first nor a step is beyond the greatest.
    fn checked(self) -> Acceleration {
        let Acceleration {
            initial,
            step,
            greatest,
        } = self;
        let all = [initial, step, greatest];
        assert!(
            all.iter().all(|a| *a >= 0.0),
            "an acceleration is at least 0"
        );
        Acceleration {
            initial: initial.min(greatest),
            step: step.min(greatest),
            greatest,
        }
    }
}

/// The stop as it goes; the sides' settings come with each bar.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Stop {
    long: bool,
    /// High and low of the last bar.
    last: Option<(f64, f64)>,
    started: bool,
    extreme: f64,
    af: f64,
    stop: f64,
}

impl Stop {
    /// The stop for this bar and whether it is a long trade's.
    #[inline]
    fn next(&mut self, high: f64, low: f64, rules: &Rules) -> Option<(f64, bool)> {
        let (mut last_high, mut last_low) = self.last.replace((high, low))?;
        if !self.started {
            self.start((last_high, last_low), (high, low), rules);
            // There are no two bars to stay clear of yet.
            (last_high, last_low) = (high, low);
        }
        let (top, bottom) = (high.max(last_high), low.min(last_low));
        let hit = if self.long {
            low <= self.stop
        } else {
            high >= self.stop
        };
        if hit {
            self.long = !self.long;
            self.af = rules.side(self.long).initial;
            if self.long {
                self.stop = self.extreme.min(bottom);
                self.stop -= self.stop * rules.offset;
                self.extreme = high;
            } else {
                self.stop = self.extreme.max(top);
                self.stop += self.stop * rules.offset;
                self.extreme = low;
            }
        }
        let stop = self.stop;
        let further = if self.long {
            high > self.extreme
        } else {
            low < self.extreme
        };
        if further {
            let side = rules.side(self.long);
            self.extreme = if self.long { high } else { low };
            self.af = (self.af + side.step).min(side.greatest);
        }
        self.stop += self.af * (self.extreme - self.stop);
        self.stop = if self.long {
            self.stop.min(bottom)
        } else {
            self.stop.max(top)
        };
        Some((stop, self.long))
    }

    #[cold]
    fn start(&mut self, last: (f64, f64), now: (f64, f64), rules: &Rules) {
        let (up, down) = (now.0 - last.0, last.1 - now.1);
        self.long = match rules.start {
            0.0 => !(down > 0.0 && up < down),
            start => start > 0.0,
        };
        let (extreme, stop) = if self.long {
            (now.0, last.1)
        } else {
            (now.1, last.0)
        };
        self.extreme = extreme;
        self.stop = if rules.start == 0.0 {
            stop
        } else {
            rules.start.abs()
        };
        self.af = rules.side(self.long).initial;
        self.started = true;
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Rules {
    start: f64,
    offset: f64,
    long: Acceleration,
    short: Acceleration,
}

impl Rules {
    #[inline]
    fn side(&self, long: bool) -> &Acceleration {
        if long { &self.long } else { &self.short }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sar {
    rules: Rules,
    stop: Stop,
}

impl Sar {
    /// `acceleration` is the first one and the step.
    ///
    /// Panics on an acceleration or a maximum below 0.
    pub fn new(acceleration: f64, maximum: f64) -> Sar {
        let side = Acceleration {
            initial: acceleration,
            step: acceleration,
            greatest: maximum,
        };
        Sar {
            rules: Rules {
                start: 0.0,
                offset: 0.0,
                long: side.checked(),
                short: side.checked(),
            },
            stop: Stop::default(),
        }
    }
}

impl<T: High + Low> Next<&T> for Sar {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        let (stop, _) = self.stop.next(bar.high(), bar.low(), &self.rules)?;
        Some(stop)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SarExt {
    rules: Rules,
    stop: Stop,
}

impl SarExt {
    /// `start` is the first stop: of a long trade above 0, of a short one below; found from the
    /// bars where it is 0. `offset` is the part of itself that the stop is moved away at a reverse.
    ///
    /// Panics on an acceleration or an offset below 0.
    pub fn new(start: f64, offset: f64, long: Acceleration, short: Acceleration) -> SarExt {
        assert!(offset >= 0.0, "an offset is at least 0");
        SarExt {
            rules: Rules {
                start,
                offset,
                long: long.checked(),
                short: short.checked(),
            },
            stop: Stop::default(),
        }
    }
}

impl<T: High + Low> Next<&T> for SarExt {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        let (stop, long) = self.stop.next(bar.high(), bar.low(), &self.rules)?;
        Some(if long { stop } else { -stop })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::Hlc;

    fn bar(high: f64, low: f64) -> Hlc {
        Hlc {
            high,
            low,
            close: low,
        }
    }

    #[test]
    fn follows_and_reverses() {
        let mut sar = Sar::new(0.1, 0.2);
        assert_eq!(sar.next(&bar(10.0, 9.0)), None);
        assert_eq!(
            sar.next(&bar(11.0, 10.0)),
            Some(9.0),
            "long, from the first low"
        );
        // 9 + 0.1 (11 - 9); then a new extreme: 9.2 + 0.2 (13 - 9.2).
        let close = |found: Option<f64>, expected: f64| {
            assert!(
                found.is_some_and(|f| (f - expected).abs() < 1e-12),
                "{found:?}"
            );
        };
        close(sar.next(&bar(13.0, 12.0)), 9.2);
        close(sar.next(&bar(13.0, 12.5)), 9.96);
        // Touched: the stop is the extreme of the trade.
        close(sar.next(&bar(12.0, 9.0)), 13.0);
    }

    #[test]
    fn a_short_one_is_below_zero_in_the_extended() {
        let side = Acceleration {
            initial: 0.02,
            step: 0.02,
            greatest: 0.2,
        };
        let (mut plain, mut extended) = (Sar::new(0.02, 0.2), SarExt::new(0.0, 0.0, side, side));
        for i in 0..300_u32 {
            let middle = 100.0 + 10.0 * (f64::from(i) / 9.0).sin();
            let bar = bar(middle + 1.0, middle - 1.0);
            let (a, b) = (plain.next(&bar), extended.next(&bar));
            assert_eq!(a, b.map(f64::abs));
            assert!(i < 40 || b.is_some());
        }
    }

    #[test]
    fn equal_bars_do_not_move_it() {
        let mut sar = Sar::new(0.02, 0.2);
        let found = [(); 4].map(|()| sar.next(&bar(10.0, 9.0)));
        // Long at the low, which is touched at once, then short at the high, and so on.
        assert_eq!(found, [None, Some(10.0), Some(9.0), Some(10.0)]);
    }
}
