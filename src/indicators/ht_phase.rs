//! HOT PATH. What Ehlers makes of the dominant cycle: its phase, the sine of it, the trend line
//! that is the price without the cycle, and whether the market trends at all; as TA-Lib's
//! `HT_DCPHASE`, `HT_SINE`, `HT_TRENDLINE` and `HT_TRENDMODE`. Budget: 200 ns an update.
//!
//! ```text
//! n     = period + 0.5, whole (at most 50)
//! phase = atan(sum sin(360 i / n) S[i] / sum cos(360 i / n) S[i]) + 90 + 360 / period,
//!         over the last n smoothed prices S; + 180 where the second sum is negative;
//!         - 360 where it passes 315: -45 to 315 degrees
//! sine  = sin(phase)       lead = sin(phase + 45)
//! T     = mean of the last n prices
//! line  = (4 T + 3 T[1] + 2 T[2] + T[3]) / 10
//! trend = 0 for half a period after sine and lead crossed, and while the phase moves by 0.67 to
//!         1.5 times 360 / period a bar; 1 otherwise, and always where S is 1.5% off the line
//! ```
//! Source: John F. Ehlers, Rocket Science for Traders (2001), chapters 7, 9, 10 and 11.
//!
//! The sums run over at most 50 prices, so an update is O(1). Their sines come from a table. As in
//! the transform itself, a NaN stays until the indicator is made anew, and the C library's sine and
//! arc tangent may differ in the last bit between machines. TA-Lib skips 37 prices first and
//! answers from the 64th on. Where nothing moves the phase is what rounding makes of it.

use super::hilbert::{Cycle, DEGREES, Hilbert};
use super::{Info, Window};
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;
use ta::Next;

pub const HT_DCPHASE: Info = Info {
    name: "HT_DCPHASE",
    summary: "phase of the dominant cycle (Hilbert transform)",
    parameters: &[],
    inputs: &["value"],
    outputs: &["phase, -45 to 315 degrees"],
    warm_up: "64 values",
    source: "Ehlers, Rocket Science for Traders, 2001, chapter 9",
};

pub const HT_SINE: Info = Info {
    name: "HT_SINE",
    summary: "sine of the dominant cycle's phase, and of 45 degrees more (Hilbert transform)",
    parameters: &[],
    inputs: &["value"],
    outputs: &["sine", "lead sine"],
    warm_up: "64 values",
    source: "Ehlers, Rocket Science for Traders, 2001, chapter 9",
};

pub const HT_TRENDLINE: Info = Info {
    name: "HT_TRENDLINE",
    summary: "instantaneous trend line: the price without its dominant cycle (Hilbert transform)",
    parameters: &[],
    inputs: &["value"],
    outputs: &["line"],
    warm_up: "64 values",
    source: "Ehlers, Rocket Science for Traders, 2001, chapter 10",
};

pub const HT_TRENDMODE: Info = Info {
    name: "HT_TRENDMODE",
    summary: "1 in a trend, 0 in a cycle (Hilbert transform)",
    parameters: &[],
    inputs: &["value"],
    outputs: &["0 or 1"],
    warm_up: "64 values",
    source: "Ehlers, Rocket Science for Traders, 2001, chapter 11",
};

/// The longest cycle, in bars.
const LONGEST: usize = 50;

/// Values that the transform only smooths, and values up to the first answer.
const SKIP: u32 = 37;
const WARM: u32 = 64;

/// Sines and cosines of `360 i / n` for each `n` up to the longest: those of `n` start at
/// `n (n - 1) / 2`.
static WAVES: LazyLock<[(f64, f64); LONGEST * (LONGEST + 1) / 2]> = LazyLock::new(|| {
    let mut waves = [(0.0, 0.0); LONGEST * (LONGEST + 1) / 2];
    for n in 1..=LONGEST {
        for i in 0..n {
            let angle = i as f64 * std::f64::consts::TAU / n as f64;
            waves[n * (n - 1) / 2 + i] = angle.sin_cos();
        }
    }
    waves
});

/// How many bars make the cycle.
#[inline]
fn bars(cycle: &Cycle) -> usize {
    // A NaN is none.
    ((cycle.period + 0.5) as usize).min(LONGEST)
}

/// The transform with the phase.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Phase {
    core: Hilbert,
    smooth: Window<f64>,
    degrees: f64,
}

impl Phase {
    fn new() -> Phase {
        LazyLock::force(&WAVES);
        Phase {
            core: Hilbert::new(SKIP),
            smooth: Window::new(LONGEST as u32),
            degrees: 0.0,
        }
    }

    /// The phase is in `degrees` then.
    #[inline]
    fn next(&mut self, price: f64) -> Option<Cycle> {
        let cycle = self.core.next(price)?;
        self.smooth.push(cycle.smooth_price);
        let n = bars(&cycle);
        let waves = &WAVES[n * n.saturating_sub(1) / 2..][..n];
        let (mut real, mut imaginary) = (0.0, 0.0);
        for ((sine, cosine), price) in waves.iter().zip(self.smooth.iter().rev()) {
            real += sine * price;
            imaginary += cosine * price;
        }
        let mut degrees = self.degrees;
        if imaginary != 0.0 {
            degrees = (real / imaginary).atan() * DEGREES;
        } else if real < 0.0 {
            degrees -= 90.0;
        } else if real > 0.0 {
            degrees += 90.0;
        }
        degrees += 90.0;
        degrees += 360.0 / cycle.period;
        if imaginary < 0.0 {
            degrees += 180.0;
        }
        if degrees > 315.0 {
            degrees -= 360.0;
        }
        self.degrees = degrees;
        Some(cycle)
    }

    #[inline]
    fn sines(&self) -> Sines {
        const RADIANS: f64 = 1.0 / DEGREES;
        Sines {
            sine: (self.degrees * RADIANS).sin(),
            lead: ((self.degrees + 45.0) * RADIANS).sin(),
        }
    }
}

/// The price without its dominant cycle.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Line {
    prices: Window<f64>,
    /// Means of the last three bars, the newest first.
    means: [f64; 3],
}

impl Line {
    fn new() -> Line {
        Line {
            prices: Window::new(LONGEST as u32),
            means: [0.0; 3],
        }
    }

    #[inline]
    fn push(&mut self, price: f64) {
        self.prices.push(price);
    }

    /// The line at the last price, where the cycle is `n` bars.
    #[inline]
    fn at(&mut self, n: usize) -> f64 {
        let mut mean = self
            .prices
            .iter()
            .rev()
            .take(n)
            .fold(0.0, |sum, price| sum + price);
        if n > 0 {
            mean /= n as f64;
        }
        let [a, b, c] = self.means;
        self.means = [mean, a, b];
        (4.0 * mean + 3.0 * a + 2.0 * b + c) / 10.0
    }
}

/// Phase of the dominant cycle, in degrees.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HtDcPhase {
    phase: Phase,
    missing: u32,
}

impl HtDcPhase {
    pub fn new() -> HtDcPhase {
        HtDcPhase {
            phase: Phase::new(),
            missing: WARM,
        }
    }
}

impl Default for HtDcPhase {
    fn default() -> Self {
        Self::new()
    }
}

impl Next<f64> for HtDcPhase {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        self.missing = self.missing.saturating_sub(1);
        self.phase.next(value)?;
        (self.missing == 0).then_some(self.phase.degrees)
    }
}

/// Sines of the phase. They cross where the cycle turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sines {
    pub sine: f64,
    /// 45 degrees ahead.
    pub lead: f64,
}

/// Sine of the dominant cycle's phase, and of 45 degrees more.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HtSine {
    phase: Phase,
    missing: u32,
}

impl HtSine {
    pub fn new() -> HtSine {
        HtSine {
            phase: Phase::new(),
            missing: WARM,
        }
    }
}

impl Default for HtSine {
    fn default() -> Self {
        Self::new()
    }
}

impl Next<f64> for HtSine {
    type Output = Option<Sines>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<Sines> {
        self.missing = self.missing.saturating_sub(1);
        self.phase.next(value)?;
        (self.missing == 0).then(|| self.phase.sines())
    }
}

/// Instantaneous trend line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HtTrendline {
    core: Hilbert,
    line: Line,
    missing: u32,
}

impl HtTrendline {
    pub fn new() -> HtTrendline {
        HtTrendline {
            core: Hilbert::new(SKIP),
            line: Line::new(),
            missing: WARM,
        }
    }
}

impl Default for HtTrendline {
    fn default() -> Self {
        Self::new()
    }
}

impl Next<f64> for HtTrendline {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        self.missing = self.missing.saturating_sub(1);
        self.line.push(value);
        let cycle = self.core.next(value)?;
        let line = self.line.at(bars(&cycle));
        (self.missing == 0).then_some(line)
    }
}

/// Whether the market trends (1) or goes in cycles (0).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HtTrendMode {
    phase: Phase,
    line: Line,
    last: Sines,
    /// Bars since the sines crossed.
    days: u32,
    missing: u32,
}

impl HtTrendMode {
    pub fn new() -> HtTrendMode {
        HtTrendMode {
            phase: Phase::new(),
            line: Line::new(),
            last: Sines::default(),
            days: 0,
            missing: WARM,
        }
    }
}

impl Default for HtTrendMode {
    fn default() -> Self {
        Self::new()
    }
}

impl Next<f64> for HtTrendMode {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        self.missing = self.missing.saturating_sub(1);
        self.line.push(value);
        let last_degrees = self.phase.degrees;
        let cycle = self.phase.next(value)?;
        let line = self.line.at(bars(&cycle));
        let now = self.phase.sines();
        let last = std::mem::replace(&mut self.last, now);
        let up = now.sine > now.lead && last.sine <= last.lead;
        let down = now.sine < now.lead && last.sine >= last.lead;
        let crossed = up || down;
        self.days = if crossed {
            1
        } else {
            self.days.saturating_add(1)
        };
        let young = f64::from(self.days) < 0.5 * cycle.period;
        let (moved, step) = (self.phase.degrees - last_degrees, 360.0 / cycle.period);
        let turns = moved > 0.67 * step && moved < 1.5 * step;
        let off = line != 0.0 && ((cycle.smooth_price - line) / line).abs() >= 0.015;
        let trend = off || !(crossed || young || turns);
        (self.missing == 0).then_some(f64::from(u8::from(trend)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: f64 = 20.0;

    fn wave(i: u32) -> f64 {
        1000.0 + (std::f64::consts::TAU * f64::from(i) / PERIOD).sin()
    }

    #[test]
    fn the_phase_of_a_sine_turns_evenly() {
        let (mut phase, mut sines) = (HtDcPhase::new(), HtSine::new());
        let rows: Vec<_> = (0..400)
            .map(|i| (phase.next(wave(i)), sines.next(wave(i))))
            .collect();
        assert!(rows[..63].iter().all(|row| *row == (None, None)));
        for i in 200..400 {
            let degrees = rows[i].0.expect("warm");
            assert!((-45.0..=315.0).contains(&degrees));
            let turned = (degrees - rows[i - 1].0.expect("warm")).rem_euclid(360.0);
            assert!((turned - 360.0 / PERIOD).abs() < 6.0, "bar {i}: {turned}");
            let sines = rows[i].1.expect("warm");
            assert!((sines.sine - degrees.to_radians().sin()).abs() < 1e-12);
            assert!((sines.lead - (degrees + 45.0).to_radians().sin()).abs() < 1e-12);
        }
    }

    #[test]
    fn the_trend_line_takes_the_cycle_out() {
        let mut line = HtTrendline::new();
        let last = (0..400).map(|i| line.next(wave(i))).last().flatten();
        assert!((last.expect("warm") - 1000.0).abs() < 0.2, "{last:?}");
        let mut flat = HtTrendline::new();
        let rows: Vec<_> = (0..100).map(|_| flat.next(8.0)).collect();
        assert!(rows[..63].iter().all(Option::is_none));
        assert!(rows[63..].iter().all(|line| *line == Some(8.0)));
    }

    #[test]
    fn a_sine_is_a_cycle_and_a_steep_rise_a_trend() {
        let last = |price: fn(u32) -> f64| {
            let mut mode = HtTrendMode::new();
            (0..400).map(|i| mode.next(price(i))).last().flatten()
        };
        assert_eq!(last(wave), Some(0.0));
        assert_eq!(last(|i| 100.0 * 1.01_f64.powi(i as i32)), Some(1.0));
    }

    #[test]
    fn takes_any_number() {
        let (mut mode, mut line) = (HtTrendMode::new(), HtTrendline::new());
        for value in [1.0, f64::NAN, f64::INFINITY, -1e308, 0.0]
            .iter()
            .cycle()
            .take(200)
        {
            mode.next(*value);
            line.next(*value);
        }
    }
}
