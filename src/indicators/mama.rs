//! HOT PATH. Ehlers' adaptive moving average by the phase of the dominant cycle, and the one that
//! follows it, as TA-Lib's `MAMA`. Budget: 120 ns an update.
//!
//! ```text
//! smooth    = (4 value + 3 last + 2 x + y) / 10
//! H(x)      = (0.0962 (x - x 6 ago) + 0.5769 (x 2 ago - x 4 ago)) (0.075 period + 0.54)
//! detrender = H(smooth), Q1 = H(detrender), I1 = detrender 3 ago, jI = H(I1), jQ = H(Q1)
//! phase     = atan(Q1 / I1), in degrees
//! alpha     = fast / max(1, last phase - phase), but at least slow
//! MAMA      = last + alpha (value - last)         FAMA = last + alpha / 2 (MAMA - last)
//! period    = 360 / atan(Im / Re), by I2 + j Q2 times its last conjugate, smoothed, 6 to 50
//! ```
//! Source: J. Ehlers, MESA Adaptive Moving Averages, Stocks & Commodities 19:9 (2001), and Rocket
//! Science for Traders (2001). As in TA-Lib, both averages begin with 0 at the 13th value and
//! are told from the 33rd on: the first are below the price. A NaN stays for ever.

use super::Info;
use serde::{Deserialize, Serialize};
use ta::Next;

pub const INFO: Info = Info {
    name: "MAMA",
    summary: "MESA adaptive moving average, and the following one",
    parameters: &[("fastlimit", 0.5), ("slowlimit", 0.05)],
    inputs: &["value"],
    outputs: &["mama", "fama"],
    warm_up: "33 values",
    source: "Ehlers, MESA Adaptive Moving Averages, Stocks & Commodities 19:9, 2001",
};

/// Values before the cycle's arithmetic begins, and before the averages are told.
const SMOOTHED: u32 = 12;
const SETTLED: u32 = 32;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MamaValue {
    pub mama: f64,
    pub fama: f64,
}

/// Where a ring of six has the values six, four and two ago.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Places {
    six: usize,
    four: usize,
    two: usize,
}

impl Places {
    fn turn(self) -> Places {
        let next = |at| if at == 5 { 0 } else { at + 1 };
        Places {
            six: next(self.six),
            four: next(self.four),
            two: next(self.two),
        }
    }
}

/// Ehlers' Hilbert transform, before it is scaled by the period.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Hilbert {
    past: [f64; 6],
}

impl Hilbert {
    #[inline]
    fn push(&mut self, value: f64, at: Places) -> f64 {
        let (two, four) = (self.past[at.two], self.past[at.four]);
        let six = std::mem::replace(&mut self.past[at.six], value);
        // In TA-Lib's order of rounding.
        0.0962 * value - 0.0962 * six - 0.5769 * four + 0.5769 * two
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Mama {
    fast: f64,
    slow: f64,
    seen: u32,
    /// The last four values, newest first, and their sums, plain and by their weights.
    last: [f64; 4],
    plain: f64,
    weighted: f64,
    places: Places,
    detrender: Hilbert,
    q1: Hilbert,
    ji: Hilbert,
    jq: Hilbert,
    /// The last three of the detrender, newest first.
    detrended: [f64; 3],
    i2: f64,
    q2: f64,
    re: f64,
    im: f64,
    period: f64,
    phase: f64,
    mama: f64,
    fama: f64,
}

impl Mama {
    /// Panics on limits that are not within 0.01 to 0.99.
    pub fn new(fast: f64, slow: f64) -> Mama {
        let limits = 0.01..=0.99;
        assert!(
            limits.contains(&fast) && limits.contains(&slow),
            "a limit is 0.01 to 0.99"
        );
        Mama {
            fast,
            slow,
            seen: 0,
            last: [0.0; 4],
            plain: 0.0,
            weighted: 0.0,
            places: Places {
                six: 0,
                four: 2,
                two: 4,
            },
            detrender: Hilbert::default(),
            q1: Hilbert::default(),
            ji: Hilbert::default(),
            jq: Hilbert::default(),
            detrended: [0.0; 3],
            i2: 0.0,
            q2: 0.0,
            re: 0.0,
            im: 0.0,
            period: 0.0,
            phase: 0.0,
            mama: 0.0,
            fama: 0.0,
        }
    }

    /// The weighted average of the last four values. The sums are kept in TA-Lib's order: where
    /// the price hardly moves, what rounding leaves of them is seen in the phase.
    #[inline]
    fn smooth(&mut self, value: f64) -> f64 {
        self.plain += value;
        let [one, two, three, four] = self.last;
        self.plain -= four;
        self.last = [value, one, two, three];
        let warming = f64::from((self.seen + 1).min(4));
        self.weighted += value * warming;
        let smooth = self.weighted * 0.1;
        if self.seen >= 3 {
            self.weighted -= self.plain;
        }
        smooth
    }

    /// The period of the dominant cycle, for the next value.
    #[inline]
    fn adapt(&mut self, i2: f64, q2: f64) {
        self.re = 0.2 * (i2 * self.i2 + q2 * self.q2) + 0.8 * self.re;
        self.im = 0.2 * (i2 * self.q2 - q2 * self.i2) + 0.8 * self.im;
        (self.i2, self.q2) = (i2, q2);
        let last = self.period;
        let mut period = last;
        if self.im != 0.0 && self.re != 0.0 {
            period = 360.0 / (self.im / self.re).atan().to_degrees();
        }
        period = period.min(1.5 * last).max(0.67 * last).clamp(6.0, 50.0);
        self.period = 0.2 * period + 0.8 * last;
    }
}

impl Next<f64> for Mama {
    type Output = Option<MamaValue>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<MamaValue> {
        let smooth = self.smooth(value);
        if self.seen < SMOOTHED {
            self.seen += 1;
            return None;
        }
        let scale = 0.075 * self.period + 0.54;
        let at = self.places;
        self.places = at.turn();
        let detrender = self.detrender.push(smooth, at) * scale;
        let q1 = self.q1.push(detrender, at) * scale;
        let i1 = self.detrended[2];
        let ji = self.ji.push(i1, at) * scale;
        let jq = self.jq.push(q1, at) * scale;
        self.detrended = [detrender, self.detrended[0], self.detrended[1]];
        let q2 = 0.2 * (q1 + ji) + 0.8 * self.q2;
        let i2 = 0.2 * (i1 - jq) + 0.8 * self.i2;

        let phase = if i1 != 0.0 {
            (q1 / i1).atan().to_degrees()
        } else {
            0.0
        };
        let turn = std::mem::replace(&mut self.phase, phase) - phase;
        let alpha = if turn > 1.0 {
            (self.fast / turn).max(self.slow)
        } else {
            self.fast
        };
        self.mama = alpha * value + (1.0 - alpha) * self.mama;
        self.fama = 0.5 * alpha * self.mama + (1.0 - 0.5 * alpha) * self.fama;
        self.adapt(i2, q2);

        if self.seen < SETTLED {
            self.seen += 1;
            return None;
        }
        Some(MamaValue {
            mama: self.mama,
            fama: self.fama,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_market_is_followed_fast() {
        let mut mama = Mama::new(0.5, 0.05);
        for i in 0..200 {
            let value = mama.next(8.0);
            assert_eq!(value.is_some(), i >= 32, "value {i}");
            if i == 199 {
                let value = value.expect("warm");
                assert!((value.mama - 8.0).abs() < 1e-9, "{value:?}");
                assert!((value.fama - 8.0).abs() < 1e-9, "{value:?}");
            }
        }
    }

    #[test]
    fn takes_any_number() {
        let mut mama = Mama::new(0.5, 0.05);
        for i in 0..100 {
            let odd = [f64::NAN, f64::INFINITY, -1e308, 0.0, 1e308];
            mama.next(if i > 50 { odd[i % 5] } else { 1.0 });
        }
    }
}
