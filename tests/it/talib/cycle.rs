//! Cycles, statistics and price transforms.

use super::cases::{Case, all, case};
use ta::Next;
use tickforge::indicators::{
    AvgDev, AvgPrice, Beta, Correl, Ha, HtDcPeriod, HtDcPhase, HtPhasor, HtSine, HtTrendMode,
    HtTrendline, LinearReg, LinearRegAngle, LinearRegIntercept, LinearRegSlope, MedPrice,
    PercentRank, Percentile, StdDev, Tsf, TypPrice, Var, WclPrice,
};
use tickforge::indicators::{avgdev, correl, heikin_ashi, hilbert, ht_phase, linearreg};
use tickforge::indicators::{percentile, price_transform, variance};

pub fn cases() -> Vec<Case> {
    let mut all = cycles();
    all.extend(statistics());
    all.extend(lines());
    all.extend(prices());
    all
}

fn cycles() -> Vec<Case> {
    vec![
        case(&hilbert::HT_DCPERIOD, &[], HtDcPeriod::new, |i, c| {
            [i.next(c.close)]
        }),
        case(&hilbert::HT_PHASOR, &[], HtPhasor::new, |i, c| {
            all(i.next(c.close), |p| [p.in_phase, p.quadrature])
        }),
        case(&ht_phase::HT_DCPHASE, &[], HtDcPhase::new, |i, c| {
            [i.next(c.close)]
        }),
        case(&ht_phase::HT_SINE, &[], HtSine::new, |i, c| {
            all(i.next(c.close), |s| [s.sine, s.lead])
        }),
        case(&ht_phase::HT_TRENDLINE, &[], HtTrendline::new, |i, c| {
            [i.next(c.close)]
        }),
        case(&ht_phase::HT_TRENDMODE, &[], HtTrendMode::new, |i, c| {
            [i.next(c.close)]
        }),
    ]
}

fn statistics() -> Vec<Case> {
    const PERIOD: &str = "timeperiod";
    const SHARE: &str = "percentile";
    use correl::{BETA, CORREL};
    use percentile::{PERCENTILE, PERCENTRANK};
    use variance::{STDDEV, VAR};
    vec![
        case(&VAR, &[], || Var::new(5, 1.0), |i, c| [i.next(c.close)]),
        case(
            &VAR,
            &[(PERIOD, 1.0)],
            || Var::new(1, 1.0),
            |i, c| [i.next(c.close)],
        ),
        case(
            &VAR,
            &[(PERIOD, 2.0), ("nbdev", 3.0)],
            || Var::new(2, 3.0),
            |i, c| [i.next(c.close)],
        ),
        case(
            &VAR,
            &[(PERIOD, 100.0)],
            || Var::new(100, 1.0),
            |i, c| [i.next(c.close)],
        ),
        case(
            &STDDEV,
            &[],
            || StdDev::new(5, 1.0),
            |i, c| [i.next(c.close)],
        ),
        case(
            &STDDEV,
            &[(PERIOD, 2.0)],
            || StdDev::new(2, 1.0),
            |i, c| [i.next(c.close)],
        ),
        case(
            &STDDEV,
            &[(PERIOD, 20.0), ("nbdev", 2.5)],
            || StdDev::new(20, 2.5),
            |i, c| [i.next(c.close)],
        ),
        case(
            &STDDEV,
            &[(PERIOD, 100.0)],
            || StdDev::new(100, 1.0),
            |i, c| [i.next(c.close)],
        ),
        case(
            &CORREL,
            &[],
            || Correl::new(30),
            |i, c| [i.next((c.high, c.low))],
        ),
        case(
            &CORREL,
            &[(PERIOD, 1.0)],
            || Correl::new(1),
            |i, c| [i.next((c.high, c.low))],
        ),
        case(
            &CORREL,
            &[(PERIOD, 2.0)],
            || Correl::new(2),
            |i, c| [i.next((c.high, c.low))],
        ),
        case(
            &CORREL,
            &[(PERIOD, 5.0)],
            || Correl::new(5),
            |i, c| [i.next((c.high, c.low))],
        ),
        case(
            &CORREL,
            &[(PERIOD, 100.0)],
            || Correl::new(100),
            |i, c| [i.next((c.high, c.low))],
        ),
        case(
            &BETA,
            &[],
            || Beta::new(5),
            |i, c| [i.next((c.high, c.low))],
        ),
        case(
            &BETA,
            &[(PERIOD, 1.0)],
            || Beta::new(1),
            |i, c| [i.next((c.high, c.low))],
        ),
        case(
            &BETA,
            &[(PERIOD, 2.0)],
            || Beta::new(2),
            |i, c| [i.next((c.high, c.low))],
        ),
        case(
            &BETA,
            &[(PERIOD, 100.0)],
            || Beta::new(100),
            |i, c| [i.next((c.high, c.low))],
        ),
        case(
            &PERCENTILE,
            &[],
            || Percentile::new(30, 50.0),
            |i, c| [i.next(c.close)],
        ),
        case(
            &PERCENTILE,
            &[(PERIOD, 2.0), (SHARE, 100.0)],
            || Percentile::new(2, 100.0),
            |i, c| [i.next(c.close)],
        ),
        case(
            &PERCENTILE,
            &[(PERIOD, 9.0), (SHARE, 0.0)],
            || Percentile::new(9, 0.0),
            |i, c| [i.next(c.close)],
        ),
        case(
            &PERCENTILE,
            &[(PERIOD, 100.0), (SHARE, 7.0)],
            || Percentile::new(100, 7.0),
            |i, c| [i.next(c.close)],
        ),
        case(
            &PERCENTRANK,
            &[],
            || PercentRank::new(100),
            |i, c| [i.next(c.close)],
        ),
        case(
            &PERCENTRANK,
            &[(PERIOD, 2.0)],
            || PercentRank::new(2),
            |i, c| [i.next(c.close)],
        ),
        case(
            &PERCENTRANK,
            &[(PERIOD, 7.0)],
            || PercentRank::new(7),
            |i, c| [i.next(c.close)],
        ),
    ]
}

fn lines() -> Vec<Case> {
    const TWO: &[(&str, f64)] = &[("timeperiod", 2.0)];
    const HUNDRED: &[(&str, f64)] = &[("timeperiod", 100.0)];
    use LinearRegIntercept as Intercept;
    use linearreg::{LINEARREG, LINEARREG_ANGLE, LINEARREG_INTERCEPT, LINEARREG_SLOPE, TSF};
    vec![
        case(
            &LINEARREG,
            &[],
            || LinearReg::new(14),
            |i, c| [i.next(c.close)],
        ),
        case(
            &LINEARREG,
            TWO,
            || LinearReg::new(2),
            |i, c| [i.next(c.close)],
        ),
        case(
            &LINEARREG,
            HUNDRED,
            || LinearReg::new(100),
            |i, c| [i.next(c.close)],
        ),
        case(
            &LINEARREG_ANGLE,
            &[],
            || LinearRegAngle::new(14),
            |i, c| [i.next(c.close)],
        ),
        case(
            &LINEARREG_ANGLE,
            TWO,
            || LinearRegAngle::new(2),
            |i, c| [i.next(c.close)],
        ),
        case(
            &LINEARREG_ANGLE,
            HUNDRED,
            || LinearRegAngle::new(100),
            |i, c| [i.next(c.close)],
        ),
        case(
            &LINEARREG_INTERCEPT,
            &[],
            || Intercept::new(14),
            |i, c| [i.next(c.close)],
        ),
        case(
            &LINEARREG_INTERCEPT,
            TWO,
            || Intercept::new(2),
            |i, c| [i.next(c.close)],
        ),
        case(
            &LINEARREG_INTERCEPT,
            HUNDRED,
            || Intercept::new(100),
            |i, c| [i.next(c.close)],
        ),
        case(
            &LINEARREG_SLOPE,
            &[],
            || LinearRegSlope::new(14),
            |i, c| [i.next(c.close)],
        ),
        case(
            &LINEARREG_SLOPE,
            TWO,
            || LinearRegSlope::new(2),
            |i, c| [i.next(c.close)],
        ),
        case(
            &LINEARREG_SLOPE,
            HUNDRED,
            || LinearRegSlope::new(100),
            |i, c| [i.next(c.close)],
        ),
        case(&TSF, &[], || Tsf::new(14), |i, c| [i.next(c.close)]),
        case(&TSF, TWO, || Tsf::new(2), |i, c| [i.next(c.close)]),
        case(&TSF, HUNDRED, || Tsf::new(100), |i, c| [i.next(c.close)]),
    ]
}

fn prices() -> Vec<Case> {
    use price_transform::{AVGPRICE, MEDPRICE, TYPPRICE, WCLPRICE};
    vec![
        case(&AVGPRICE, &[], AvgPrice::new, |i, c| [i.next(c)]),
        case(&MEDPRICE, &[], MedPrice::new, |i, c| [i.next(c)]),
        case(&TYPPRICE, &[], TypPrice::new, |i, c| [i.next(c)]),
        case(&WCLPRICE, &[], WclPrice::new, |i, c| [i.next(c)]),
        case(&heikin_ashi::INFO, &[], Ha::new, |i, c| {
            all(i.next(c), |bar| [bar.open, bar.high, bar.low, bar.close])
        }),
        case(
            &avgdev::INFO,
            &[],
            || AvgDev::new(14),
            |i, c| [i.next(c.close)],
        ),
        case(
            &avgdev::INFO,
            &[("timeperiod", 2.0)],
            || AvgDev::new(2),
            |i, c| [i.next(c.close)],
        ),
        case(
            &avgdev::INFO,
            &[("timeperiod", 100.0)],
            || AvgDev::new(100),
            |i, c| [i.next(c.close)],
        ),
    ]
}
