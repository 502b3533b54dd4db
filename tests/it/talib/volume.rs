//! Volume, volatility, and the arithmetic of series.

use super::cases::{Case, all, case};
use ta::Next;
use tickforge::indicators::{
    ad, adr, cvi, efi, extremes, marketfi, massi, obv, operators, rvi, rvol, sum, trange,
    transforms, volume_index, vwap,
};

pub fn cases() -> Vec<Case> {
    let mut all = volume();
    all.extend(volatility());
    all.extend(arithmetic());
    all.extend(highest_and_lowest());
    all.extend(transformed());
    all
}

fn volume() -> Vec<Case> {
    use ad::{Ad, AdOsc, Cmf};
    use {efi::Efi, marketfi::MarketFi, rvol::Rvol, vwap::Vwap};
    use {obv::Obv, obv::Pvt, volume_index::Nvi, volume_index::Pvi};
    const OF_2: &[(&str, f64)] = &[("timeperiod", 2.0)];
    const OF_100: &[(&str, f64)] = &[("timeperiod", 100.0)];
    const TURNED: &[(&str, f64)] = &[("fastperiod", 12.0), ("slowperiod", 5.0)];
    const SHORT: &[(&str, f64)] = &[("fastperiod", 2.0), ("slowperiod", 3.0)];
    vec![
        case(&ad::AD, &[], Ad::new, |i, c| [i.next(c)]),
        case(&ad::ADOSC, &[], || AdOsc::new(3, 10), |i, c| [i.next(c)]),
        case(&ad::ADOSC, TURNED, || AdOsc::new(12, 5), |i, c| [i.next(c)]),
        case(&ad::ADOSC, SHORT, || AdOsc::new(2, 3), |i, c| [i.next(c)]),
        case(&ad::CMF, &[], || Cmf::new(20), |i, c| [i.next(c)]),
        case(&ad::CMF, OF_2, || Cmf::new(2), |i, c| [i.next(c)]),
        case(&ad::CMF, OF_100, || Cmf::new(100), |i, c| [i.next(c)]),
        case(&efi::INFO, &[], || Efi::new(13), |i, c| [i.next(c)]),
        case(&efi::INFO, OF_2, || Efi::new(2), |i, c| [i.next(c)]),
        case(
            &efi::INFO,
            &[("timeperiod", 1.0)],
            || Efi::new(1),
            |i, c| [i.next(c)],
        ),
        case(&marketfi::INFO, &[], MarketFi::new, |i, c| [i.next(c)]),
        case(&volume_index::NVI, &[], Nvi::new, |i, c| [i.next(c)]),
        case(&volume_index::PVI, &[], Pvi::new, |i, c| [i.next(c)]),
        case(&obv::OBV, &[], Obv::new, |i, c| [i.next(c)]),
        case(&obv::PVT, &[], Pvt::new, |i, c| [i.next(c)]),
        case(&rvol::INFO, &[], || Rvol::new(20), |i, c| [i.next(c)]),
        case(
            &rvol::INFO,
            &[("timeperiod", 1.0)],
            || Rvol::new(1),
            |i, c| [i.next(c)],
        ),
        case(&rvol::INFO, OF_100, || Rvol::new(100), |i, c| [i.next(c)]),
        case(&vwap::INFO, &[], Vwap::new, |i, c| [i.next(c)]),
    ]
}

fn volatility() -> Vec<Case> {
    use {adr::Adr, cvi::Cvi, massi::Massi, rvi::Rvi, trange::Natr, trange::TRange};
    const OF_1: &[(&str, f64)] = &[("timeperiod", 1.0)];
    const OF_100: &[(&str, f64)] = &[("timeperiod", 100.0)];
    const ROC_1: &[(&str, f64)] = &[("timeperiod", 2.0), ("rocperiod", 1.0)];
    const ROC_7: &[(&str, f64)] = &[("timeperiod", 30.0), ("rocperiod", 7.0)];
    const SHORT: &[(&str, f64)] = &[("fastperiod", 2.0), ("slowperiod", 3.0)];
    const LONG: &[(&str, f64)] = &[("fastperiod", 30.0), ("slowperiod", 2.0)];
    const PAIRS: &[(&str, f64)] = &[("timeperiod", 1.0), ("stddevperiod", 2.0)];
    const WIDE: &[(&str, f64)] = &[("timeperiod", 5.0), ("stddevperiod", 100.0)];
    const SLOW: &[(&str, f64)] = &[("timeperiod", 100.0), ("stddevperiod", 3.0)];
    vec![
        case(&adr::INFO, &[], || Adr::new(14), |i, c| [i.next(c)]),
        case(&adr::INFO, OF_1, || Adr::new(1), |i, c| [i.next(c)]),
        case(&adr::INFO, OF_100, || Adr::new(100), |i, c| [i.next(c)]),
        case(&cvi::INFO, &[], || Cvi::new(10, 10), |i, c| [i.next(c)]),
        case(&cvi::INFO, ROC_1, || Cvi::new(2, 1), |i, c| [i.next(c)]),
        case(&cvi::INFO, ROC_7, || Cvi::new(30, 7), |i, c| [i.next(c)]),
        case(&massi::INFO, &[], || Massi::new(9, 25), |i, c| [i.next(c)]),
        case(&massi::INFO, SHORT, || Massi::new(2, 3), |i, c| [i.next(c)]),
        case(&massi::INFO, LONG, || Massi::new(30, 2), |i, c| [i.next(c)]),
        case(&trange::NATR, &[], || Natr::new(14), |i, c| [i.next(c)]),
        case(&trange::NATR, OF_1, || Natr::new(1), |i, c| [i.next(c)]),
        case(
            &trange::NATR,
            &[("timeperiod", 2.0)],
            || Natr::new(2),
            |i, c| [i.next(c)],
        ),
        case(&trange::NATR, OF_100, || Natr::new(100), |i, c| [i.next(c)]),
        case(
            &rvi::INFO,
            &[],
            || Rvi::new(14, 10),
            |i, c| [i.next(c.close)],
        ),
        case(
            &rvi::INFO,
            PAIRS,
            || Rvi::new(1, 2),
            |i, c| [i.next(c.close)],
        ),
        case(
            &rvi::INFO,
            WIDE,
            || Rvi::new(5, 100),
            |i, c| [i.next(c.close)],
        ),
        case(
            &rvi::INFO,
            SLOW,
            || Rvi::new(100, 3),
            |i, c| [i.next(c.close)],
        ),
        case(&trange::TRANGE, &[], TRange::new, |i, c| [i.next(c)]),
    ]
}

fn arithmetic() -> Vec<Case> {
    use {operators::*, sum::Sum};
    const OF_2: &[(&str, f64)] = &[("timeperiod", 2.0)];
    const OF_100: &[(&str, f64)] = &[("timeperiod", 100.0)];
    vec![
        case(&ADD, &[], Add::new, |i, c| [i.next((c.high, c.low))]),
        case(&SUB, &[], Sub::new, |i, c| [i.next((c.high, c.low))]),
        case(&MULT, &[], Mult::new, |i, c| [i.next((c.high, c.low))]),
        case(&DIV, &[], Div::new, |i, c| [i.next((c.high, c.low))]),
        case(&CUMSUM, &[], CumSum::new, |i, c| [i.next(c.close)]),
        case(&sum::INFO, &[], || Sum::new(30), |i, c| [i.next(c.close)]),
        case(&sum::INFO, OF_2, || Sum::new(2), |i, c| [i.next(c.close)]),
        case(
            &sum::INFO,
            OF_100,
            || Sum::new(100),
            |i, c| [i.next(c.close)],
        ),
    ]
}

/// TA-Lib's index of what came `ago` bars before the bar at hand, which `bars` counts.
fn index(bars: u64, ago: u64) -> f64 {
    (bars - 1 - ago) as f64
}

fn highest_and_lowest() -> Vec<Case> {
    use extremes::*;
    const OF_2: &[(&str, f64)] = &[("timeperiod", 2.0)];
    const OF_100: &[(&str, f64)] = &[("timeperiod", 100.0)];
    let minmax = |parameters, new| {
        case(&MINMAX, parameters, new, |i: &mut MinMax, c| {
            all(i.next(c.close), |both| [both.min, both.max])
        })
    };
    let maxindex = |parameters, new| {
        case(
            &MAXINDEX,
            parameters,
            new,
            |(i, bars): &mut (MaxIndex, u64), c| {
                *bars += 1;
                [i.next(c.close).map(|ago| index(*bars, ago))]
            },
        )
    };
    let minindex = |parameters, new| {
        case(
            &MININDEX,
            parameters,
            new,
            |(i, bars): &mut (MinIndex, u64), c| {
                *bars += 1;
                [i.next(c.close).map(|ago| index(*bars, ago))]
            },
        )
    };
    let minmaxindex = |parameters, new| {
        case(
            &MINMAXINDEX,
            parameters,
            new,
            |(i, bars): &mut (MinMaxIndex, u64), c| {
                *bars += 1;
                let ago = i.next(c.close);
                [
                    ago.map(|ago| index(*bars, ago.min)),
                    ago.map(|ago| index(*bars, ago.max)),
                ]
            },
        )
    };
    vec![
        case(&MAX, &[], || Max::new(30), |i, c| [i.next(c.close)]),
        case(&MAX, OF_2, || Max::new(2), |i, c| [i.next(c.close)]),
        case(&MAX, OF_100, || Max::new(100), |i, c| [i.next(c.close)]),
        case(&MIN, &[], || Min::new(30), |i, c| [i.next(c.close)]),
        case(&MIN, OF_2, || Min::new(2), |i, c| [i.next(c.close)]),
        case(&MIN, OF_100, || Min::new(100), |i, c| [i.next(c.close)]),
        minmax(&[], || MinMax::new(30)),
        minmax(OF_2, || MinMax::new(2)),
        minmax(OF_100, || MinMax::new(100)),
        maxindex(&[], || (MaxIndex::new(30), 0)),
        maxindex(OF_2, || (MaxIndex::new(2), 0)),
        maxindex(OF_100, || (MaxIndex::new(100), 0)),
        minindex(&[], || (MinIndex::new(30), 0)),
        minindex(OF_2, || (MinIndex::new(2), 0)),
        minindex(OF_100, || (MinIndex::new(100), 0)),
        minmaxindex(&[], || (MinMaxIndex::new(30), 0)),
        minmaxindex(OF_2, || (MinMaxIndex::new(2), 0)),
        minmaxindex(OF_100, || (MinMaxIndex::new(100), 0)),
    ]
}

fn transformed() -> Vec<Case> {
    use transforms::*;
    vec![
        case(&ACOS, &[], Acos::new, |i, c| [i.next(c.close)]),
        case(&ASIN, &[], Asin::new, |i, c| [i.next(c.close)]),
        case(&ATAN, &[], Atan::new, |i, c| [i.next(c.close)]),
        case(&CEIL, &[], Ceil::new, |i, c| [i.next(c.close)]),
        case(&COS, &[], Cos::new, |i, c| [i.next(c.close)]),
        case(&COSH, &[], Cosh::new, |i, c| [i.next(c.close)]),
        case(&EXP, &[], Exp::new, |i, c| [i.next(c.close)]),
        case(&FLOOR, &[], Floor::new, |i, c| [i.next(c.close)]),
        case(&LN, &[], Ln::new, |i, c| [i.next(c.close)]),
        case(&LOG10, &[], Log10::new, |i, c| [i.next(c.close)]),
        case(&SIN, &[], Sin::new, |i, c| [i.next(c.close)]),
        case(&SINH, &[], Sinh::new, |i, c| [i.next(c.close)]),
        case(&SQRT, &[], Sqrt::new, |i, c| [i.next(c.close)]),
        case(&TAN, &[], Tan::new, |i, c| [i.next(c.close)]),
        case(&TANH, &[], Tanh::new, |i, c| [i.next(c.close)]),
    ]
}
