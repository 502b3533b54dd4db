//! HOT PATH. Any of TA-Lib's moving averages by its number, as TA-Lib's `MA`: what other indicators
//! take for a parameter. Budget: that of the average and 1 ns.
//!
//! Source: TA-Lib, function MA, 0.8.1; for the formulas, each average's own file. With a period of
//! 1 every kind is the value itself; `Mama` takes no period (TA-Lib gives it limits of 0.5 and
//! 0.05), `T3` a factor of 0.7.

use super::{Dema, Ema, Hma, Info, Kama, Mama, Rma, Sma, T3, Tema, Trima, Wma, Zlema};
use serde::{Deserialize, Serialize};
use std::fmt;
use ta::Next;

pub const INFO: Info = Info {
    name: "MA",
    summary: "a moving average of any kind",
    parameters: &[("timeperiod", 30.0), ("matype", 0.0)],
    inputs: &["value"],
    outputs: &["average"],
    warm_up: "that of the average",
    source: "TA-Lib, function MA, 0.8.1",
};

/// A kind of moving average, by TA-Lib's number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum MaType {
    #[default]
    Sma = 0,
    Ema = 1,
    Wma = 2,
    Dema = 3,
    Tema = 4,
    Trima = 5,
    Kama = 6,
    Mama = 7,
    T3 = 8,
    Hma = 9,
    /// The value itself.
    None = 10,
    /// The one a function is published with; of [`Ma`] and of the bands, the simple one.
    Own = 11,
    Zlema = 12,
    Rma = 13,
}

/// A number that is no [`MaType`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownMaType(pub u8);

impl fmt::Display for UnknownMaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no moving average has the number {} (0 to 13)", self.0)
    }
}

impl std::error::Error for UnknownMaType {}

impl TryFrom<u8> for MaType {
    type Error = UnknownMaType;

    fn try_from(number: u8) -> Result<MaType, UnknownMaType> {
        Ok(match number {
            0 => MaType::Sma,
            1 => MaType::Ema,
            2 => MaType::Wma,
            3 => MaType::Dema,
            4 => MaType::Tema,
            5 => MaType::Trima,
            6 => MaType::Kama,
            7 => MaType::Mama,
            8 => MaType::T3,
            9 => MaType::Hma,
            10 => MaType::None,
            11 => MaType::Own,
            12 => MaType::Zlema,
            13 => MaType::Rma,
            _ => return Err(UnknownMaType(number)),
        })
    }
}

impl MaType {
    /// How many values before the first answer of a [`Ma`] of that period: TA-Lib's lookback.
    pub fn lookback(self, period: u32) -> u32 {
        let n = period.saturating_sub(1);
        if n == 0 {
            return 0;
        }
        match self {
            MaType::Sma | MaType::Ema | MaType::Wma | MaType::Trima => n,
            MaType::Own | MaType::Rma => n,
            MaType::Dema => 2 * n,
            MaType::Tema => 3 * n,
            MaType::Kama => period,
            MaType::Mama => 32,
            MaType::T3 => 6 * n,
            MaType::Hma => n + period.isqrt() - 1,
            MaType::None => 0,
            MaType::Zlema => n + n / 2,
        }
    }
}

/// A moving average of any kind. The great ones are behind a pointer, set up once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Ma {
    Sma(Sma),
    Ema(Ema),
    Wma(Box<Wma>),
    Dema(Box<Dema>),
    Tema(Box<Tema>),
    Trima(Box<Trima>),
    Kama(Box<Kama>),
    Mama(Box<Mama>),
    T3(Box<T3>),
    Hma(Box<Hma>),
    /// The value itself.
    Same,
    Zlema(Box<Zlema>),
    Rma(Rma),
}

impl Ma {
    /// Panics on a period of 0.
    pub fn new(period: u32, kind: MaType) -> Ma {
        assert!(period > 0, "a period is at least 1");
        if period == 1 {
            return Ma::Same;
        }
        match kind {
            MaType::Sma | MaType::Own => Ma::Sma(Sma::new(period)),
            MaType::Ema => Ma::Ema(Ema::new(period)),
            MaType::Wma => Ma::Wma(Box::new(Wma::new(period))),
            MaType::Dema => Ma::Dema(Box::new(Dema::new(period))),
            MaType::Tema => Ma::Tema(Box::new(Tema::new(period))),
            MaType::Trima => Ma::Trima(Box::new(Trima::new(period))),
            MaType::Kama => Ma::Kama(Box::new(Kama::new(period))),
            MaType::Mama => Ma::Mama(Box::new(Mama::new(0.5, 0.05))),
            MaType::T3 => Ma::T3(Box::new(T3::new(period, 0.7))),
            MaType::Hma => Ma::Hma(Box::new(Hma::new(period))),
            MaType::None => Ma::Same,
            MaType::Zlema => Ma::Zlema(Box::new(Zlema::new(period))),
            MaType::Rma => Ma::Rma(Rma::new(period)),
        }
    }
}

impl Next<f64> for Ma {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        match self {
            Ma::Sma(average) => average.next_in_steps(value),
            Ma::Ema(average) => average.next(value),
            Ma::Wma(average) => average.next(value),
            Ma::Dema(average) => average.next(value),
            Ma::Tema(average) => average.next(value),
            Ma::Trima(average) => average.next(value),
            Ma::Kama(average) => average.next(value),
            Ma::Mama(average) => average.next(value).map(|both| both.mama),
            Ma::T3(average) => average.next(value),
            Ma::Hma(average) => average.next(value),
            Ma::Same => Some(value),
            Ma::Zlema(average) => average.next(value),
            Ma::Rma(average) => average.next(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_ta_libs() {
        for number in 0..14 {
            assert_eq!(MaType::try_from(number).map(|kind| kind as u8), Ok(number));
        }
        assert_eq!(MaType::try_from(14), Err(UnknownMaType(14)));
        assert_eq!(MaType::default(), MaType::Sma);
    }

    #[test]
    fn each_answers_when_it_says() {
        for number in 0..14 {
            let kind = MaType::try_from(number).expect("a kind");
            for period in [1, 2, 3, 4, 10, 30] {
                let mut average = Ma::new(period, kind);
                let late = (0..1000).take_while(|i| average.next(f64::from(*i)).is_none());
                assert_eq!(
                    late.count() as u32,
                    kind.lookback(period),
                    "{kind:?} {period}"
                );
            }
        }
    }
}
