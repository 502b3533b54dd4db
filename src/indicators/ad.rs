//! HOT PATH. Chaikin's accumulation and distribution: volume weighted by where in its range a bar
//! closes. The line, its oscillator and its money flow, as TA-Lib's `AD`, `ADOSC` and `CMF`.
//! Budget: 5 ns an update.
//!
//! ```text
//! flow  = volume ((close - low) - (high - close)) / (high - low)      (0 where high = low)
//! AD    = sum of all flows so far
//! ADOSC = EMA(AD, fast) - EMA(AD, slow)              each EMA begins with the first AD
//! CMF   = sum of the last n flows / sum of their volumes              (0 where that is 0)
//! ```
//! Source: Achelis, Technical Analysis from A to Z (2nd edition), Accumulation/Distribution and
//! Chaikin Oscillator; StockCharts ChartSchool, Chaikin Money Flow (CMF).
//!
//! `AD` has no zero of its own: its level depends on where it begins, only its changes say
//! something. The averages of `ADOSC` begin with the first value, unlike TA-Lib's `EMA`, and it
//! answers once the longer period is over, whichever of the two that is. Where all volumes of a
//! `CMF` are 0 and greater ones came before, TA-Lib may divide the rounding errors of its sums (and
//! answer -2.5); ours is 0. A NaN stays for ever in `AD` and `ADOSC`.

use super::{Info, Sum};
use serde::{Deserialize, Serialize};
use ta::{Close, High, Low, Next, Volume};

pub const AD: Info = Info {
    name: "AD",
    summary: "accumulation/distribution line (Chaikin)",
    parameters: &[],
    inputs: &["high", "low", "close", "volume"],
    outputs: &["volume"],
    warm_up: "1 bar",
    source: "Achelis, Technical Analysis from A to Z, 2nd edition, Accumulation/Distribution",
};

pub const ADOSC: Info = Info {
    name: "ADOSC",
    summary: "Chaikin oscillator: fast less slow average of the accumulation/distribution line",
    parameters: &[("fastperiod", 3.0), ("slowperiod", 10.0)],
    inputs: &["high", "low", "close", "volume"],
    outputs: &["volume"],
    warm_up: "as many bars as the longer period",
    source: "Achelis, Technical Analysis from A to Z, 2nd edition, Chaikin Oscillator",
};

pub const CMF: Info = Info {
    name: "CMF",
    summary: "Chaikin money flow",
    parameters: &[("timeperiod", 20.0)],
    inputs: &["high", "low", "close", "volume"],
    outputs: &["share of the volume, -1 to 1"],
    warm_up: "period bars",
    source: "StockCharts ChartSchool, Chaikin Money Flow (CMF)",
};

#[inline]
fn flow<T: High + Low + Close + Volume>(bar: &T) -> f64 {
    let (high, low, close) = (bar.high(), bar.low(), bar.close());
    let range = high - low;
    if range > 0.0 {
        ((close - low) - (high - close)) / range * bar.volume()
    } else {
        0.0
    }
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Ad {
    line: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AdOsc {
    line: f64,
    fast: f64,
    slow: f64,
    k_fast: f64,
    k_slow: f64,
    is_first: bool,
    /// Bars until it is warm.
    missing: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cmf {
    flow: Sum,
    volume: Sum,
}

impl Ad {
    pub fn new() -> Ad {
        Ad::default()
    }
}

impl AdOsc {
    /// Panics on a period of 0.
    pub fn new(fast_period: u32, slow_period: u32) -> AdOsc {
        assert!(fast_period > 0 && slow_period > 0, "a period is at least 1");
        AdOsc {
            line: 0.0,
            fast: 0.0,
            slow: 0.0,
            k_fast: 2.0 / (f64::from(fast_period) + 1.0),
            k_slow: 2.0 / (f64::from(slow_period) + 1.0),
            is_first: true,
            missing: fast_period.max(slow_period),
        }
    }
}

impl Cmf {
    /// Panics on a period of 0.
    pub fn new(period: u32) -> Cmf {
        Cmf {
            flow: Sum::new(period),
            volume: Sum::new(period),
        }
    }
}

impl<T: High + Low + Close + Volume> Next<&T> for Ad {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        self.line += flow(bar);
        Some(self.line)
    }
}

impl<T: High + Low + Close + Volume> Next<&T> for AdOsc {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        self.line += flow(bar);
        if self.is_first {
            self.is_first = false;
            (self.fast, self.slow) = (self.line, self.line);
        } else {
            self.fast += self.k_fast * (self.line - self.fast);
            self.slow += self.k_slow * (self.line - self.slow);
        }
        self.missing = self.missing.saturating_sub(1);
        (self.missing == 0).then_some(self.fast - self.slow)
    }
}

impl<T: High + Low + Close + Volume> Next<&T> for Cmf {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        let (flow, volume) = (self.flow.next(flow(bar)), self.volume.next(bar.volume()));
        let (flow, volume) = (flow?, volume?);
        Some(if volume == 0.0 { 0.0 } else { flow / volume })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::Candle;

    fn bar(high: f64, low: f64, close: f64, volume: f64) -> Candle {
        Candle {
            open: low,
            high,
            low,
            close,
            volume,
        }
    }

    /// At the high, at the low, a quarter up, without a range.
    fn bars() -> [Candle; 4] {
        [
            bar(12.0, 10.0, 12.0, 100.0),
            bar(12.0, 10.0, 10.0, 50.0),
            bar(14.0, 10.0, 11.0, 20.0),
            bar(11.0, 11.0, 11.0, 70.0),
        ]
    }

    #[test]
    fn the_line_adds_up_the_flows() {
        let mut ad = Ad::new();
        let line = bars().map(|bar| ad.next(&bar));
        assert_eq!(line, [100.0, 50.0, 40.0, 40.0].map(Some));
    }

    #[test]
    fn the_oscillator_begins_with_the_first_value() {
        let mut adosc = AdOsc::new(1, 3);
        let found = bars().map(|bar| adosc.next(&bar));
        // The slow average: 100, 75, 57.5, 48.75.
        assert_eq!(found, [None, None, Some(-17.5), Some(-8.75)]);
        let mut turned = AdOsc::new(3, 1);
        let found = bars().map(|bar| turned.next(&bar));
        assert_eq!(found, [None, None, Some(17.5), Some(8.75)]);
    }

    #[test]
    fn the_money_flow_is_a_share_of_the_volume() {
        let mut cmf = Cmf::new(2);
        let found = bars().map(|bar| cmf.next(&bar));
        let expected = [
            None,
            Some(50.0 / 150.0),
            Some(-60.0 / 70.0),
            Some(-10.0 / 90.0),
        ];
        assert_eq!(found, expected);
        for _ in 0..2 {
            cmf.next(&bar(12.0, 10.0, 12.0, 0.0));
        }
        let idle = cmf.next(&bar(12.0, 10.0, 12.0, 0.0));
        assert_eq!(idle, Some(0.0), "no volume");
    }
}
