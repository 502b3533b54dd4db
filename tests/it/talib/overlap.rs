//! Overlap studies: averages, bands and stops that are drawn over the price.

use super::cases::{Case, all, case};
use serde::{Deserialize, Serialize};
use ta::Next;
use tickforge::indicators::bbands::Bands;
use tickforge::indicators::mavp::Mavp;
use tickforge::indicators::sar::Acceleration;
use tickforge::indicators::{
    AccBands, BBands, Candle, Dema, Donchian, Hma, Kama, Kc, Ma, MaType, Mama, MidPoint, MidPrice,
    Rma, Sar, SarExt, SuperTrend, T3, Tema, Trima, Vwma, Wma, Zlema,
};
use tickforge::indicators::{
    bbands, channels, dema, kama, ma, mama, mavp, midpoint, rma, sar, supertrend, trima, vwma, wma,
    zlema,
};

pub fn cases() -> Vec<Case> {
    let mut cases = averages();
    cases.extend(any_average());
    cases.extend(varying());
    cases.extend(bands());
    cases.extend(middles());
    cases.extend(stops());
    cases
}

fn averages() -> Vec<Case> {
    vec![
        case(&wma::WMA, &[], || Wma::new(30), |i, c| [i.next(c.close)]),
        case(
            &wma::WMA,
            &[("timeperiod", 1.0)],
            || Wma::new(1),
            |i, c| [i.next(c.close)],
        ),
        case(
            &wma::WMA,
            &[("timeperiod", 2.0)],
            || Wma::new(2),
            |i, c| [i.next(c.close)],
        ),
        case(
            &wma::WMA,
            &[("timeperiod", 100.0)],
            || Wma::new(100),
            |i, c| [i.next(c.close)],
        ),
        case(&wma::HMA, &[], || Hma::new(20), |i, c| [i.next(c.close)]),
        case(
            &wma::HMA,
            &[("timeperiod", 1.0)],
            || Hma::new(1),
            |i, c| [i.next(c.close)],
        ),
        case(
            &wma::HMA,
            &[("timeperiod", 2.0)],
            || Hma::new(2),
            |i, c| [i.next(c.close)],
        ),
        case(
            &wma::HMA,
            &[("timeperiod", 3.0)],
            || Hma::new(3),
            |i, c| [i.next(c.close)],
        ),
        case(
            &wma::HMA,
            &[("timeperiod", 100.0)],
            || Hma::new(100),
            |i, c| [i.next(c.close)],
        ),
        case(
            &trima::INFO,
            &[],
            || Trima::new(30),
            |i, c| [i.next(c.close)],
        ),
        case(
            &trima::INFO,
            &[("timeperiod", 1.0)],
            || Trima::new(1),
            |i, c| [i.next(c.close)],
        ),
        case(
            &trima::INFO,
            &[("timeperiod", 2.0)],
            || Trima::new(2),
            |i, c| [i.next(c.close)],
        ),
        case(
            &trima::INFO,
            &[("timeperiod", 7.0)],
            || Trima::new(7),
            |i, c| [i.next(c.close)],
        ),
        case(
            &trima::INFO,
            &[("timeperiod", 100.0)],
            || Trima::new(100),
            |i, c| [i.next(c.close)],
        ),
        case(&dema::DEMA, &[], || Dema::new(30), |i, c| [i.next(c.close)]),
        case(
            &dema::DEMA,
            &[("timeperiod", 1.0)],
            || Dema::new(1),
            |i, c| [i.next(c.close)],
        ),
        case(
            &dema::DEMA,
            &[("timeperiod", 2.0)],
            || Dema::new(2),
            |i, c| [i.next(c.close)],
        ),
        case(
            &dema::DEMA,
            &[("timeperiod", 100.0)],
            || Dema::new(100),
            |i, c| [i.next(c.close)],
        ),
        case(&dema::TEMA, &[], || Tema::new(30), |i, c| [i.next(c.close)]),
        case(
            &dema::TEMA,
            &[("timeperiod", 1.0)],
            || Tema::new(1),
            |i, c| [i.next(c.close)],
        ),
        case(
            &dema::TEMA,
            &[("timeperiod", 2.0)],
            || Tema::new(2),
            |i, c| [i.next(c.close)],
        ),
        case(
            &dema::TEMA,
            &[("timeperiod", 100.0)],
            || Tema::new(100),
            |i, c| [i.next(c.close)],
        ),
        case(&dema::T3, &[], || T3::new(5, 0.7), |i, c| [i.next(c.close)]),
        case(
            &dema::T3,
            &[("timeperiod", 1.0), ("vfactor", 0.5)],
            || T3::new(1, 0.5),
            |i, c| [i.next(c.close)],
        ),
        case(
            &dema::T3,
            &[("timeperiod", 2.0), ("vfactor", 0.0)],
            || T3::new(2, 0.0),
            |i, c| [i.next(c.close)],
        ),
        case(
            &dema::T3,
            &[("timeperiod", 100.0), ("vfactor", 1.0)],
            || T3::new(100, 1.0),
            |i, c| [i.next(c.close)],
        ),
        case(
            &zlema::INFO,
            &[],
            || Zlema::new(30),
            |i, c| [i.next(c.close)],
        ),
        case(
            &zlema::INFO,
            &[("timeperiod", 1.0)],
            || Zlema::new(1),
            |i, c| [i.next(c.close)],
        ),
        case(
            &zlema::INFO,
            &[("timeperiod", 2.0)],
            || Zlema::new(2),
            |i, c| [i.next(c.close)],
        ),
        case(
            &zlema::INFO,
            &[("timeperiod", 3.0)],
            || Zlema::new(3),
            |i, c| [i.next(c.close)],
        ),
        case(
            &zlema::INFO,
            &[("timeperiod", 100.0)],
            || Zlema::new(100),
            |i, c| [i.next(c.close)],
        ),
        case(&rma::INFO, &[], || Rma::new(30), |i, c| [i.next(c.close)]),
        case(
            &rma::INFO,
            &[("timeperiod", 1.0)],
            || Rma::new(1),
            |i, c| [i.next(c.close)],
        ),
        case(
            &rma::INFO,
            &[("timeperiod", 2.0)],
            || Rma::new(2),
            |i, c| [i.next(c.close)],
        ),
        case(
            &rma::INFO,
            &[("timeperiod", 100.0)],
            || Rma::new(100),
            |i, c| [i.next(c.close)],
        ),
        case(&kama::INFO, &[], || Kama::new(30), |i, c| [i.next(c.close)]),
        case(
            &kama::INFO,
            &[("timeperiod", 1.0)],
            || Kama::new(1),
            |i, c| [i.next(c.close)],
        ),
        case(
            &kama::INFO,
            &[("timeperiod", 2.0)],
            || Kama::new(2),
            |i, c| [i.next(c.close)],
        ),
        case(
            &kama::INFO,
            &[("timeperiod", 100.0)],
            || Kama::new(100),
            |i, c| [i.next(c.close)],
        ),
        case(
            &mama::INFO,
            &[],
            || Mama::new(0.5, 0.05),
            |i, c| all(i.next(c.close), |v| [v.mama, v.fama]),
        ),
        case(
            &mama::INFO,
            &[("fastlimit", 0.9), ("slowlimit", 0.01)],
            || Mama::new(0.9, 0.01),
            |i, c| all(i.next(c.close), |v| [v.mama, v.fama]),
        ),
        case(
            &mama::INFO,
            &[("fastlimit", 0.1), ("slowlimit", 0.6)],
            || Mama::new(0.1, 0.6),
            |i, c| all(i.next(c.close), |v| [v.mama, v.fama]),
        ),
    ]
}

/// Each kind, of 10 values.
fn any_average() -> Vec<Case> {
    macro_rules! kinds {
        ($($number:literal $kind:ident),*) => {
            vec![$(case(
                &ma::INFO,
                &[("timeperiod", 10.0), ("matype", $number)],
                || Ma::new(10, MaType::$kind),
                |i, c| [i.next(c.close)],
            )),*]
        };
    }
    let mut cases = kinds![
        0.0 Sma, 1.0 Ema, 2.0 Wma, 3.0 Dema, 4.0 Tema, 5.0 Trima, 6.0 Kama, 7.0 Mama, 8.0 T3,
        9.0 Hma, 10.0 None, 11.0 Own, 12.0 Zlema, 13.0 Rma
    ];
    cases.push(case(
        &ma::INFO,
        &[],
        || Ma::new(30, MaType::Sma),
        |i, c| [i.next(c.close)],
    ));
    cases.push(case(
        &ma::INFO,
        &[("timeperiod", 1.0), ("matype", 7.0)],
        || Ma::new(1, MaType::Mama),
        |i, c| [i.next(c.close)],
    ));
    cases
}

/// The periods that are given to TA-Lib: 2 to 30, in turn.
#[derive(Serialize, Deserialize)]
struct Given {
    average: Mavp,
    seen: u32,
}

impl Given {
    fn new(least: u32, greatest: u32, kind: MaType) -> Given {
        Given {
            average: Mavp::new(least, greatest, kind),
            seen: 0,
        }
    }

    fn next(&mut self, candle: &Candle) -> [Option<f64>; 1] {
        let period = f64::from(2 + self.seen % 29);
        self.seen += 1;
        [self.average.next((candle.close, period))]
    }
}

fn varying() -> Vec<Case> {
    macro_rules! kinds {
        ($($number:literal $kind:ident),*) => {
            vec![$(case(
                &mavp::INFO,
                &[("minperiod", 1.0), ("maxperiod", 12.0), ("matype", $number)],
                || Given::new(1, 12, MaType::$kind),
                |i, c| i.next(c),
            )),*]
        };
    }
    let mut cases = kinds![
        0.0 Sma, 1.0 Ema, 2.0 Wma, 3.0 Dema, 4.0 Tema, 5.0 Trima, 6.0 Kama, 7.0 Mama, 8.0 T3,
        9.0 Hma, 10.0 None, 11.0 Own, 12.0 Zlema, 13.0 Rma
    ];
    cases.push(case(
        &mavp::INFO,
        &[],
        || Given::new(2, 30, MaType::Sma),
        |i, c| i.next(c),
    ));
    cases.push(case(
        &mavp::INFO,
        &[("minperiod", 5.0), ("maxperiod", 5.0), ("matype", 1.0)],
        || Given::new(5, 5, MaType::Ema),
        |i, c| i.next(c),
    ));
    cases
}

fn three(bands: Bands) -> [f64; 3] {
    [bands.upper, bands.middle, bands.lower]
}

fn bands() -> Vec<Case> {
    macro_rules! kinds {
        ($($number:literal $kind:ident),*) => {
            vec![$(case(
                &bbands::INFO,
                &[("timeperiod", 40.0), ("nbdevup", 1.0), ("nbdevdn", 2.5), ("matype", $number)],
                || BBands::new(40, 1.0, 2.5, MaType::$kind),
                |i, c| all(i.next(c.close), three),
            )),*]
        };
    }
    let mut cases = kinds![
        0.0 Sma, 1.0 Ema, 2.0 Wma, 3.0 Dema, 4.0 Tema, 5.0 Trima, 6.0 Kama, 7.0 Mama, 8.0 T3,
        9.0 Hma, 10.0 None, 11.0 Own, 12.0 Zlema, 13.0 Rma
    ];
    cases.extend([
        case(
            &bbands::INFO,
            &[],
            || BBands::new(20, 2.0, 2.0, MaType::Sma),
            |i, c| all(i.next(c.close), three),
        ),
        case(
            &bbands::INFO,
            &[("timeperiod", 2.0)],
            || BBands::new(2, 2.0, 2.0, MaType::Sma),
            |i, c| all(i.next(c.close), three),
        ),
        case(
            &bbands::INFO,
            &[("timeperiod", 5.0), ("nbdevup", -1.0), ("nbdevdn", 0.0)],
            || BBands::new(5, -1.0, 0.0, MaType::Sma),
            |i, c| all(i.next(c.close), three),
        ),
        case(
            &bbands::INFO,
            &[("timeperiod", 100.0)],
            || BBands::new(100, 2.0, 2.0, MaType::Sma),
            |i, c| all(i.next(c.close), three),
        ),
        case(
            &channels::ACCBANDS,
            &[],
            || AccBands::new(20),
            |i, c| all(i.next(c), three),
        ),
        case(
            &channels::ACCBANDS,
            &[("timeperiod", 2.0)],
            || AccBands::new(2),
            |i, c| all(i.next(c), three),
        ),
        case(
            &channels::ACCBANDS,
            &[("timeperiod", 100.0)],
            || AccBands::new(100),
            |i, c| all(i.next(c), three),
        ),
        case(
            &channels::DONCHIAN,
            &[],
            || Donchian::new(20),
            |i, c| all(i.next(c), three),
        ),
        case(
            &channels::DONCHIAN,
            &[("timeperiod", 2.0)],
            || Donchian::new(2),
            |i, c| all(i.next(c), three),
        ),
        case(
            &channels::DONCHIAN,
            &[("timeperiod", 100.0)],
            || Donchian::new(100),
            |i, c| all(i.next(c), three),
        ),
        case(
            &channels::KC,
            &[],
            || Kc::new(20, 10, 2.0),
            |i, c| all(i.next(c), three),
        ),
        case(
            &channels::KC,
            &[("timeperiod", 2.0), ("atrperiod", 1.0), ("nbdev", 0.5)],
            || Kc::new(2, 1, 0.5),
            |i, c| all(i.next(c), three),
        ),
        case(
            &channels::KC,
            &[("timeperiod", 10.0), ("atrperiod", 100.0), ("nbdev", -1.0)],
            || Kc::new(10, 100, -1.0),
            |i, c| all(i.next(c), three),
        ),
    ]);
    cases
}

fn middles() -> Vec<Case> {
    vec![
        case(
            &midpoint::MIDPOINT,
            &[],
            || MidPoint::new(14),
            |i, c| [i.next(c.close)],
        ),
        case(
            &midpoint::MIDPOINT,
            &[("timeperiod", 2.0)],
            || MidPoint::new(2),
            |i, c| [i.next(c.close)],
        ),
        case(
            &midpoint::MIDPOINT,
            &[("timeperiod", 100.0)],
            || MidPoint::new(100),
            |i, c| [i.next(c.close)],
        ),
        case(
            &midpoint::MIDPRICE,
            &[],
            || MidPrice::new(14),
            |i, c| [i.next(c)],
        ),
        case(
            &midpoint::MIDPRICE,
            &[("timeperiod", 2.0)],
            || MidPrice::new(2),
            |i, c| [i.next(c)],
        ),
        case(
            &midpoint::MIDPRICE,
            &[("timeperiod", 100.0)],
            || MidPrice::new(100),
            |i, c| [i.next(c)],
        ),
        case(
            &vwma::INFO,
            &[],
            || Vwma::new(30),
            |i, c| [i.next((c.close, c.volume))],
        ),
        case(
            &vwma::INFO,
            &[("timeperiod", 1.0)],
            || Vwma::new(1),
            |i, c| [i.next((c.close, c.volume))],
        ),
        case(
            &vwma::INFO,
            &[("timeperiod", 2.0)],
            || Vwma::new(2),
            |i, c| [i.next((c.close, c.volume))],
        ),
        case(
            &vwma::INFO,
            &[("timeperiod", 100.0)],
            || Vwma::new(100),
            |i, c| [i.next((c.close, c.volume))],
        ),
    ]
}

fn side(initial: f64, step: f64, greatest: f64) -> Acceleration {
    Acceleration {
        initial,
        step,
        greatest,
    }
}

/// TA-Lib's trend is a whole number beside one that is not: 0 before the first, as all whole ones.
fn trend(indicator: &mut SuperTrend, candle: &Candle) -> [Option<f64>; 2] {
    let value = indicator.next(candle);
    [
        value.map(|v| v.supertrend),
        Some(value.map_or(0.0, |v| v.trend)),
    ]
}

fn stops() -> Vec<Case> {
    vec![
        case(&sar::SAR, &[], || Sar::new(0.02, 0.2), |i, c| [i.next(c)]),
        case(
            &sar::SAR,
            &[("acceleration", 0.3), ("maximum", 0.1)],
            || Sar::new(0.3, 0.1),
            |i, c| [i.next(c)],
        ),
        case(
            &sar::SAR,
            &[("acceleration", 0.0), ("maximum", 0.0)],
            || Sar::new(0.0, 0.0),
            |i, c| [i.next(c)],
        ),
        case(
            &sar::SAREXT,
            &[],
            || SarExt::new(0.0, 0.0, side(0.02, 0.02, 0.2), side(0.02, 0.02, 0.2)),
            |i, c| [i.next(c)],
        ),
        case(
            &sar::SAREXT,
            &[
                ("startvalue", 90.0),
                ("offsetonreverse", 0.01),
                ("accelerationinitlong", 0.05),
                ("accelerationlong", 0.03),
                ("accelerationmaxlong", 0.3),
                ("accelerationinitshort", 0.5),
                ("accelerationshort", 0.4),
                ("accelerationmaxshort", 0.1),
            ],
            || SarExt::new(90.0, 0.01, side(0.05, 0.03, 0.3), side(0.5, 0.4, 0.1)),
            |i, c| [i.next(c)],
        ),
        case(
            &sar::SAREXT,
            &[("startvalue", -110.0)],
            || SarExt::new(-110.0, 0.0, side(0.02, 0.02, 0.2), side(0.02, 0.02, 0.2)),
            |i, c| [i.next(c)],
        ),
        case(&supertrend::INFO, &[], || SuperTrend::new(10, 3.0), trend),
        case(
            &supertrend::INFO,
            &[("timeperiod", 2.0), ("multiplier", 0.0)],
            || SuperTrend::new(2, 0.0),
            trend,
        ),
        case(
            &supertrend::INFO,
            &[("timeperiod", 100.0), ("multiplier", 1.5)],
            || SuperTrend::new(100, 1.5),
            trend,
        ),
    ]
}
