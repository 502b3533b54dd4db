//! HOT PATH. Ehlers' Hilbert transform: the in-phase and quadrature parts of a price, and the
//! period of its dominant cycle, as TA-Lib's `HT_DCPERIOD` and `HT_PHASOR`. The other `HT_`
//! indicators and `MAMA` are made of it. Budget: 60 ns an update, most of it one arc tangent.
//!
//! ```text
//! S     = (4 P + 3 P[1] + 2 P[2] + P[3]) / 10                      (smoothed price)
//! H(x)  = (0.0962 x + 0.5769 x[2] - 0.5769 x[4] - 0.0962 x[6]) (0.075 period[1] + 0.54)
//! D     = H(S)         Q1 = H(D)        I1 = D[3]
//! I2    = 0.2 (I1 - H(Q1)) + 0.8 I2[1]
//! Q2    = 0.2 (Q1 + H(I1)) + 0.8 Q2[1]
//! Re    = 0.2 (I2 I2[1] + Q2 Q2[1]) + 0.8 Re[1]
//! Im    = 0.2 (I2 Q2[1] - Q2 I2[1]) + 0.8 Im[1]
//! p     = 360 / atan(Im / Re), held within 0.67 to 1.5 times period[1], then within 6 to 50
//! period = 0.2 p + 0.8 period[1]       smooth = 0.33 period + 0.67 smooth[1]
//! ```
//! Source: John F. Ehlers, Rocket Science for Traders (2001), chapters 6 and 7.
//!
//! TA-Lib does not start with the first price: it smooths 12 of them first (37 for the indicators
//! that need the phase), and what comes later depends on that for dozens of bars. Where nothing
//! moves, or all moves along a straight line, the parts are rounding errors and the period says
//! nothing; sums are taken in TA-Lib's order, so that even these agree. All is
//! recursive: a NaN stays until the indicator is made anew. The arc tangent is the C library's: its
//! last bit may differ between machines.

use super::Info;
use serde::{Deserialize, Serialize};
use ta::Next;

pub const HT_DCPERIOD: Info = Info {
    name: "HT_DCPERIOD",
    summary: "period of the dominant cycle (Hilbert transform)",
    parameters: &[],
    inputs: &["value"],
    outputs: &["period, 6 to 50 bars"],
    warm_up: "33 values",
    source: "Ehlers, Rocket Science for Traders, 2001, chapter 7",
};

pub const HT_PHASOR: Info = Info {
    name: "HT_PHASOR",
    summary: "in-phase and quadrature parts of the price (Hilbert transform)",
    parameters: &[],
    inputs: &["value"],
    outputs: &["in phase", "quadrature"],
    warm_up: "33 values",
    source: "Ehlers, Rocket Science for Traders, 2001, chapter 6",
};

/// What the transform makes of a price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cycle {
    /// The price, averaged over four bars.
    pub smooth_price: f64,
    pub in_phase: f64,
    pub quadrature: f64,
    /// Smoothed, in bars.
    pub period: f64,
}

/// The transform itself. `MAMA` and the indicators of the period skip 12 prices, those of the phase
/// 37.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hilbert {
    /// Prices that only enter the smoothing, still to come.
    skip: u32,
    smoother: Smoother,
    /// The last six inputs of each filter; the oldest is at `at`.
    smooth: [f64; 6],
    detrended: [f64; 6],
    in_phase: [f64; 6],
    quadrature: [f64; 6],
    at: usize,
    i2: f64,
    q2: f64,
    re: f64,
    im: f64,
    period: f64,
    smooth_period: f64,
}

impl Hilbert {
    pub fn new(skip: u32) -> Hilbert {
        Hilbert {
            skip,
            smoother: Smoother::default(),
            smooth: [0.0; 6],
            detrended: [0.0; 6],
            in_phase: [0.0; 6],
            quadrature: [0.0; 6],
            at: 0,
            i2: 0.0,
            q2: 0.0,
            re: 0.0,
            im: 0.0,
            period: 0.0,
            smooth_period: 0.0,
        }
    }
}

impl Next<f64> for Hilbert {
    type Output = Option<Cycle>;

    #[inline]
    fn next(&mut self, price: f64) -> Option<Cycle> {
        let smooth = self.smoother.next(price);
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        let (at, gain) = (self.at, 0.075 * self.period + 0.54);
        let in_phase = self.detrended[back(at, 3)];
        let detrended = filter(&mut self.smooth, at, smooth) * gain;
        let quadrature = filter(&mut self.detrended, at, detrended) * gain;
        let ahead_i = filter(&mut self.in_phase, at, in_phase) * gain;
        let ahead_q = filter(&mut self.quadrature, at, quadrature) * gain;
        self.at = back(at, 5);
        let q2 = 0.2 * (quadrature + ahead_i) + 0.8 * self.q2;
        let i2 = 0.2 * (in_phase - ahead_q) + 0.8 * self.i2;
        self.re = 0.2 * (i2 * self.i2 + q2 * self.q2) + 0.8 * self.re;
        self.im = 0.2 * (i2 * self.q2 - q2 * self.i2) + 0.8 * self.im;
        (self.i2, self.q2) = (i2, q2);
        let last = self.period;
        let mut period = last;
        if self.im != 0.0 && self.re != 0.0 {
            period = 360.0 / ((self.im / self.re).atan() * DEGREES);
        }
        // By comparisons, not `min` and `max`: these would hide a NaN.
        if period > 1.5 * last {
            period = 1.5 * last;
        }
        if period < 0.67 * last {
            period = 0.67 * last;
        }
        period = period.clamp(6.0, 50.0);
        self.period = 0.2 * period + 0.8 * last;
        self.smooth_period = 0.33 * self.period + 0.67 * self.smooth_period;
        Some(Cycle {
            smooth_price: smooth,
            in_phase,
            quadrature,
            period: self.smooth_period,
        })
    }
}

/// Degrees in a radian, as TA-Lib rounds them.
pub(crate) const DEGREES: f64 = 45.0 / std::f64::consts::FRAC_PI_4;

/// Where the input of `bars` bars ago is, in a ring of six whose oldest is at `at`.
#[inline]
fn back(at: usize, bars: usize) -> usize {
    let place = at + 6 - bars;
    if place >= 6 { place - 6 } else { place }
}

/// Takes `value` in; what the four taps make of it and the last six.
#[inline]
fn filter(last: &mut [f64; 6], at: usize, value: f64) -> f64 {
    const A: f64 = 0.0962;
    const B: f64 = 0.5769;
    let [two, four, six] = [2, 4, 6].map(|bars| last[back(at, bars)]);
    last[at] = value;
    A * value - A * six - B * four + B * two
}

/// The weighted mean of four values, as two running sums.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Smoother {
    /// Values seen, counted up to three.
    seen: u32,
    /// The last four, the newest first.
    last: [f64; 4],
    sum: f64,
    weighted: f64,
}

impl Smoother {
    /// Nothing of use before the fourth.
    #[inline]
    fn next(&mut self, value: f64) -> f64 {
        let [a, b, c, out] = self.last;
        self.last = [value, a, b, c];
        if self.seen < 3 {
            self.seen += 1;
            self.sum += value;
            self.weighted += value * f64::from(self.seen);
            return value;
        }
        self.sum += value;
        self.sum -= out;
        self.weighted += value * 4.0;
        let mean = self.weighted * 0.1;
        self.weighted -= self.sum;
        mean
    }
}

/// The period of the dominant cycle.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HtDcPeriod {
    core: Hilbert,
    missing: u32,
}

impl HtDcPeriod {
    pub fn new() -> HtDcPeriod {
        HtDcPeriod {
            core: Hilbert::new(12),
            missing: 33,
        }
    }
}

impl Default for HtDcPeriod {
    fn default() -> Self {
        Self::new()
    }
}

impl Next<f64> for HtDcPeriod {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        self.missing = self.missing.saturating_sub(1);
        let cycle = self.core.next(value)?;
        (self.missing == 0).then_some(cycle.period)
    }
}

/// The parts of the price as a rotating vector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Phasor {
    pub in_phase: f64,
    pub quadrature: f64,
}

/// The in-phase and quadrature parts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HtPhasor {
    core: Hilbert,
    missing: u32,
}

impl HtPhasor {
    pub fn new() -> HtPhasor {
        HtPhasor {
            core: Hilbert::new(12),
            missing: 33,
        }
    }
}

impl Default for HtPhasor {
    fn default() -> Self {
        Self::new()
    }
}

impl Next<f64> for HtPhasor {
    type Output = Option<Phasor>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<Phasor> {
        self.missing = self.missing.saturating_sub(1);
        let cycle = self.core.next(value)?;
        (self.missing == 0).then_some(Phasor {
            in_phase: cycle.in_phase,
            quadrature: cycle.quadrature,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_period_of_a_sine() {
        for period in [10.0, 20.0, 30.0] {
            let mut cycle = HtDcPeriod::new();
            let wave = |i: u32| 100.0 + (std::f64::consts::TAU * f64::from(i) / period).sin();
            let last = (0..400).map(|i| cycle.next(wave(i))).last().flatten();
            let found = last.expect("warm");
            assert!((found / period - 1.0).abs() < 0.1, "{period}: {found}");
        }
    }

    #[test]
    fn is_warm_with_the_33rd_value() {
        let (mut period, mut phasor) = (HtDcPeriod::new(), HtPhasor::new());
        for i in 1..=40_u32 {
            let value = 50.0 + f64::from(i * i % 7);
            assert_eq!(period.next(value).is_some(), i >= 33, "{i}");
            assert_eq!(phasor.next(value).is_some(), i >= 33, "{i}");
        }
    }

    #[test]
    fn a_market_that_never_moved_has_no_phasor() {
        let mut phasor = HtPhasor::new();
        let last = (0..200).map(|_| phasor.next(8.0)).last().flatten();
        let still = Phasor {
            in_phase: 0.0,
            quadrature: 0.0,
        };
        assert_eq!(last, Some(still));
    }

    #[test]
    fn takes_any_number() {
        let mut cycle = HtDcPeriod::new();
        for value in [1.0, f64::NAN, f64::INFINITY, -1e308, 0.0]
            .iter()
            .cycle()
            .take(200)
        {
            cycle.next(*value);
        }
        assert!((0..100).all(|_| cycle.next(1.0).is_some_and(f64::is_nan)));
    }
}
