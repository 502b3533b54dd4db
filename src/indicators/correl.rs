//! HOT PATH. How two series move together: Pearson's correlation and beta over the last n values,
//! as TA-Lib's `CORREL` and `BETA`. Budget: 45 ns an update.
//!
//! ```text
//! CORREL = sum (x - mean x) (y - mean y) / sqrt(sum (x - mean x)² sum (y - mean y)²)
//! u, v   = (x - x[1]) / x[1], (y - y[1]) / y[1]
//! BETA   = sum (u - mean u) (v - mean v) / sum (u - mean u)²
//! ```
//! Source: Karl Pearson, Note on Regression and Inheritance in the Case of Two Parents (1895);
//! William F. Sharpe, A Simplified Model for Portfolio Analysis (1963).
//!
//! The first series is the market and the second the asset: TA-Lib's `BETA` is how much the second
//! moves when the first moves by 1. TA-Lib correlates prices, not their changes: two prices that
//! both rise are correlated. Where a series does not move, both are 0; after a price of 0 the
//! change is taken for 0.
//!
//! Sums are taken of distances from a value near the window (TA-Lib's, so that they agree where
//! little is left of them), and afresh from the window every 32 periods and where they have lost
//! digits: O(1) on average. Where a series settles smoothly onto the value they are measured from,
//! TA-Lib's `CORREL` does not notice the loss and may be off by 0.002; this one takes them afresh.

use super::{Info, Window};
use serde::{Deserialize, Serialize};
use ta::Next;

pub const CORREL: Info = Info {
    name: "CORREL",
    summary: "correlation of two series (Pearson)",
    parameters: &[("timeperiod", 30.0)],
    inputs: &["value", "value"],
    outputs: &["correlation, -1 to 1"],
    warm_up: "period values",
    source: "Pearson, Note on Regression and Inheritance in the Case of Two Parents, 1895",
};

pub const BETA: Info = Info {
    name: "BETA",
    summary: "how much the second series moves with the first",
    parameters: &[("timeperiod", 5.0)],
    inputs: &["value", "value"],
    outputs: &["beta"],
    warm_up: "period + 1 values",
    source: "Sharpe, A Simplified Model for Portfolio Analysis, 1963",
};

/// Sums over the last n pairs.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Sums {
    period: u32,
    pairs: Window<[f64; 2]>,
    n: f64,
    per_pair: f64,
    /// Pairs until the sums are taken afresh.
    afresh_in: u32,
    every: u32,
    /// What the pairs are measured from.
    shift: [f64; 2],
    x: f64,
    y: f64,
    xx: f64,
    xy: f64,
    yy: f64,
    /// Squares of the pair that left last.
    left: [f64; 2],
    /// The greatest sums of squares since they were taken afresh.
    peak: [f64; 2],
}

impl Sums {
    fn new(period: u32) -> Sums {
        let every = period.saturating_mul(32);
        Sums {
            period,
            pairs: Window::new(period),
            n: f64::from(period),
            per_pair: 1.0 / f64::from(period),
            afresh_in: every.saturating_add(period - 1),
            every,
            shift: [0.0; 2],
            x: 0.0,
            y: 0.0,
            xx: 0.0,
            xy: 0.0,
            yy: 0.0,
            left: [0.0; 2],
            peak: [0.0; 2],
        }
    }

    /// Whether there are n pairs. The oldest is still part of the sums then.
    #[inline]
    fn push(&mut self, pair: [f64; 2]) -> bool {
        if self.pairs.is_empty() {
            self.shift = pair;
        }
        self.pairs.push(pair);
        self.add(pair);
        self.peak = [self.peak[0].max(self.xx), self.peak[1].max(self.yy)];
        if !pair.iter().all(|value| value.abs() < HUGE) {
            // When it has left.
            self.afresh_in = self.period.saturating_add(1);
        }
        self.afresh_in = self.afresh_in.saturating_sub(1);
        self.pairs.is_full()
    }

    #[inline]
    fn add(&mut self, [x, y]: [f64; 2]) {
        let (x, y) = (x - self.shift[0], y - self.shift[1]);
        self.x += x;
        self.xx += x * x;
        self.xy += x * y;
        self.y += y;
        self.yy += y * y;
    }

    /// Takes the oldest pair out of the sums.
    #[inline]
    fn drop_oldest(&mut self) {
        let [x, y] = self.pairs.oldest();
        let (x, y) = (x - self.shift[0], y - self.shift[1]);
        self.left = [x * x, y * y];
        self.x -= x;
        self.xx -= x * x;
        self.xy -= x * y;
        self.y -= y;
        self.yy -= y * y;
    }

    /// Measures from the mean of the window, as `mean` makes it of the sum.
    fn take_afresh(&mut self, mean: impl Fn(f64) -> f64) {
        let (mut x, mut y) = (0.0, 0.0);
        for pair in self.pairs.iter() {
            x += pair[0];
            y += pair[1];
        }
        self.shift = [mean(x), mean(y)];
        (self.x, self.y, self.xx, self.xy, self.yy) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for back in (0..self.pairs.len()).rev() {
            self.add(self.pairs.get(back));
        }
        self.peak = [self.xx, self.yy];
        if (self.x + self.y + self.xx + self.xy + self.yy).is_finite() {
            self.afresh_in = self.every;
        } else if self.afresh_in == 0 {
            self.afresh_in = self.period;
        }
    }
}

/// Correlation of two series.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Correl {
    sums: Sums,
    /// For how many pairs each series has had its value.
    still: [u32; 2],
    /// The sums wait for a market that moves.
    waits: bool,
}

impl Correl {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> Correl {
        Correl {
            sums: Sums::new(period),
            still: [0; 2],
            waits: false,
        }
    }

    /// Squares and products that are left around the means, and whether they are too little of the
    /// sums to be exact.
    #[inline]
    fn centred(&self) -> ([f64; 3], bool) {
        const LITTLE: f64 = 1e-6;
        let sums = &self.sums;
        let xx = sums.xx - sums.x * sums.x * sums.per_pair;
        let yy = sums.yy - sums.y * sums.y * sums.per_pair;
        let xy = sums.xy - sums.x * sums.y * sums.per_pair;
        let little = xx < LITTLE * sums.xx || yy < LITTLE * sums.yy;
        let nothing = xx < ROUNDING * sums.peak[0] || yy < ROUNDING * sums.peak[1];
        ([xx, xy, yy], little || nothing)
    }

    fn take_afresh(&mut self) {
        let per_pair = self.sums.per_pair;
        self.sums.take_afresh(|sum| sum * per_pair);
    }
}

impl Next<(f64, f64)> for Correl {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, (x, y): (f64, f64)) -> Option<f64> {
        const MUCH: f64 = 1e6;
        let last = if self.sums.pairs.is_empty() {
            [f64::NAN; 2]
        } else {
            self.sums.pairs.get(0)
        };
        for (still, moves) in self.still.iter_mut().zip([x != last[0], y != last[1]]) {
            *still = if moves { 1 } else { still.saturating_add(1) };
        }
        let flat = self.still[0].max(self.still[1]) >= self.sums.period;
        if self.waits {
            if flat && x.abs() < HUGE && y.abs() < HUGE {
                self.sums.pairs.push([x, y]);
                return Some(0.0);
            }
            self.waits = false;
            self.take_afresh();
            self.sums.drop_oldest();
        }
        if !self.sums.push([x, y]) {
            return None;
        }
        let (mut left, mut little) = self.centred();
        let sums = &self.sums;
        let outlier = sums.left[0] > MUCH * sums.xx || sums.left[1] > MUCH * sums.yy;
        if little || outlier || sums.afresh_in == 0 {
            self.take_afresh();
            (left, little) = self.centred();
            // The same rounding would be met with each pair, as long as nothing moves.
            self.waits = flat && little;
            if self.waits {
                return Some(0.0);
            }
        }
        let [xx, xy, yy] = left;
        let found = if xx <= NOTHING * self.sums.xx || yy <= NOTHING * self.sums.yy {
            0.0
        } else {
            (xy / (xx * yy).sqrt()).clamp(-1.0, 1.0)
        };
        self.sums.drop_oldest();
        Some(found)
    }
}

/// Beta of the second series to the first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Beta {
    /// Of changes.
    sums: Sums,
    last: Option<(f64, f64)>,
}

impl Beta {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> Beta {
        Beta {
            sums: Sums::new(period),
            last: None,
        }
    }
}

impl Next<(f64, f64)> for Beta {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, (x, y): (f64, f64)) -> Option<f64> {
        const LITTLE: f64 = 1e-6;
        const MUCH: f64 = 1e3;
        let (last_x, last_y) = self.last.replace((x, y))?;
        let sums = &mut self.sums;
        if !sums.push([change(last_x, x), change(last_y, y)]) {
            return None;
        }
        let n = sums.n;
        let mut all = n * sums.xx;
        let mut left = all - sums.x * sums.x;
        let outlier = sums.left[0] > MUCH * sums.xx || sums.left[1] > MUCH * sums.yy;
        if left < LITTLE * all || outlier || sums.afresh_in == 0 {
            sums.take_afresh(|sum| sum / n);
            all = n * sums.xx;
            left = all - sums.x * sums.x;
        }
        let found = if left <= NOTHING * all {
            0.0
        } else {
            (n * sums.xy - sums.x * sums.y) / left
        };
        sums.drop_oldest();
        Some(found)
    }
}

/// Its square, many times, is still a number.
const HUGE: f64 = 1e150;

/// What is left of the greatest sum is its rounding error.
const ROUNDING: f64 = 1e-12;

/// TA-Lib's zero.
const NOTHING: f64 = 1e-14;

#[inline]
fn change(last: f64, now: f64) -> f64 {
    if last.abs() < NOTHING {
        0.0
    } else {
        (now - last) / last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_correlates_fully() {
        let mut correl = Correl::new(3);
        let pairs = [
            (1.0, 10.0),
            (2.0, 20.0),
            (4.0, 40.0),
            (3.0, 40.0),
            (2.0, 40.0),
        ];
        let rows = pairs.map(|pair| correl.next(pair));
        assert_eq!(rows[..3], [None, None, Some(1.0)]);
        assert_eq!(rows[4], Some(0.0), "the second stands still");
        let mut down = Correl::new(2);
        let rows = [(1.0, 5.0), (2.0, 3.0), (2.0, 4.0)].map(|pair| down.next(pair));
        assert_eq!(rows, [None, Some(-1.0), Some(0.0)]);
    }

    #[test]
    fn beta_is_of_changes() {
        let mut beta = Beta::new(2);
        // Changes of 1 and 0.5 in the first, 2 and 1 in the second.
        let rows = [(1.0, 1.0), (2.0, 3.0), (3.0, 6.0)].map(|pair| beta.next(pair));
        assert_eq!(rows, [None, None, Some(2.0)]);
        let mut still = Beta::new(2);
        let rows = [(1.0, 1.0), (1.0, 2.0), (1.0, 1.0)].map(|pair| still.next(pair));
        assert_eq!(rows[2], Some(0.0), "the first stands still");
        let mut zero = Beta::new(2);
        let rows = [(0.0, 1.0), (5.0, 2.0), (10.0, 2.0)].map(|pair| zero.next(pair));
        assert_eq!(rows[2], Some(-1.0), "changes of 0 and 1; 1 and 0");
    }

    #[test]
    fn a_smooth_calm_after_a_storm_is_exact() {
        // Back to where the sums are measured from, which leaves nothing of them but rounding.
        let (mut correl, mut beta) = (Correl::new(5), Beta::new(5));
        for i in -1..40 {
            let x = if i < 0 {
                100.0
            } else {
                100.0 + 1000.0 * 0.6_f64.powi(i)
            };
            let pair = (x, 300.0 - x);
            let found = (correl.next(pair), beta.next((x, x * 7.0)));
            assert!(
                found.0.is_none_or(|found| (found + 1.0).abs() < 1e-5),
                "{i}: {found:?}"
            );
            assert!(
                found.1.is_none_or(|found| (found - 1.0).abs() < 1e-5),
                "{i}: {found:?}"
            );
        }
    }

    #[test]
    fn no_number_outlives_its_window() {
        for odd in [f64::NAN, f64::INFINITY, 1e200] {
            for at in 0..8 {
                let (mut correl, mut beta) = (Correl::new(3), Beta::new(3));
                for i in 0..12 {
                    let x = if i == at { odd } else { f64::from(i % 3) + 1.0 };
                    correl.next((x, 1.0));
                    beta.next((x, f64::from(i % 2)));
                }
                let pairs = [(1.0, 2.0), (2.0, 4.0), (4.0, 8.0), (2.0, 4.0), (1.0, 2.0)];
                let rows = pairs.map(|pair| (correl.next(pair), beta.next(pair)));
                let (correl, beta) = rows[4];
                assert!(
                    (correl.expect("warm") - 1.0).abs() < 1e-9,
                    "{odd} at {at}: {rows:?}"
                );
                assert!(
                    (beta.expect("warm") - 1.0).abs() < 1e-9,
                    "{odd} at {at}: {rows:?}"
                );
            }
        }
    }

    #[test]
    fn a_market_that_wakes_up_is_measured_as_if_it_had_not_slept() {
        // Thrice 0.1 has a mean that is not 0.1.
        let awake = [(0.3, 0.7), (0.9, 0.2), (0.4, 0.5), (0.6, 0.1)];
        let mut fresh = Correl::new(3);
        let rows = awake.map(|pair| fresh.next(pair));
        let mut slept = Correl::new(3);
        let asleep = (0..50)
            .map(|i| slept.next((0.1, f64::from(i % 7))))
            .last()
            .flatten();
        assert_eq!(asleep, Some(0.0));
        let woke = awake.map(|pair| slept.next(pair));
        for i in 2..4 {
            let (woke, fresh) = (woke[i].expect("warm"), rows[i].expect("warm"));
            assert!((woke - fresh).abs() < 1e-12, "{woke} {fresh}");
        }
    }
}
