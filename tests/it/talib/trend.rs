//! Momentum, from ADX to WILLR.

use super::cases::{Case, all, case};
use ta::Next;
use tickforge::indicators::{
    aroon::{self, Aroon, AroonOsc},
    bop::{self, Bop},
    cci::{self, Cci},
    chande::{self, Cmo, Cmou},
    directional::{self, Adx, Adxr, Dx, MinusDi, MinusDm, PlusDi, PlusDm},
    efficiency::{self, Er, Vhf},
    eri::{self, Eri},
    fosc::{self, Fosc},
    fractal::{self, Fractal},
    imi::{self, Imi},
    mfi::{self, Mfi},
    momentum::{self, Mom, Roc, Rocp, Rocr, Rocr100},
    vortex::{self, Vortex},
    williams::{self, UltOsc, Wad, WillR},
};

/// Of bars, with its default period and with others.
macro_rules! bars {
    ($info:expr, $new:path, $default:literal, $($period:literal),+) => {
        vec![
            case(&$info, &[], || $new($default), |i, c| [i.next(c)]),
            $(case(
                &$info,
                &[("timeperiod", $period as f64)],
                || $new($period),
                |i, c| [i.next(c)],
            )),+
        ]
    };
}

/// Likewise, of closes.
macro_rules! closes {
    ($info:expr, $new:path, $default:literal, $($period:literal),+) => {
        vec![
            case(&$info, &[], || $new($default), |i, c| [i.next(c.close)]),
            $(case(
                &$info,
                &[("timeperiod", $period as f64)],
                || $new($period),
                |i, c| [i.next(c.close)],
            )),+
        ]
    };
}

/// Likewise, of bars, with several outputs.
macro_rules! several {
    ($info:expr, $new:path, $parts:expr, $default:literal, $($period:literal),+) => {
        vec![
            case(&$info, &[], || $new($default), |i, c| all(i.next(c), $parts)),
            $(case(
                &$info,
                &[("timeperiod", $period as f64)],
                || $new($period),
                |i, c| all(i.next(c), $parts),
            )),+
        ]
    };
}

pub fn cases() -> Vec<Case> {
    [
        bars!(directional::PLUS_DM, PlusDm::new, 14, 1, 2, 3, 100),
        bars!(directional::MINUS_DM, MinusDm::new, 14, 1, 2, 3, 100),
        bars!(directional::PLUS_DI, PlusDi::new, 14, 1, 2, 3, 100),
        bars!(directional::MINUS_DI, MinusDi::new, 14, 1, 2, 3, 100),
        bars!(directional::DX, Dx::new, 14, 2, 3, 100),
        bars!(directional::ADX, Adx::new, 14, 2, 3, 100),
        bars!(directional::ADXR, Adxr::new, 14, 2, 3, 100),
        bars!(aroon::AROONOSC, AroonOsc::new, 14, 2, 3, 100),
        bars!(cci::INFO, Cci::new, 14, 2, 3, 7, 100),
        bars!(imi::INFO, Imi::new, 14, 2, 3, 100),
        bars!(mfi::INFO, Mfi::new, 14, 2, 3, 100),
        bars!(williams::WILLR, WillR::new, 14, 2, 3, 100),
        closes!(chande::CMO, Cmo::new, 14, 2, 3, 100),
        closes!(chande::CMOU, Cmou::new, 14, 2, 3, 100),
        closes!(efficiency::ER, Er::new, 10, 2, 3, 100),
        closes!(efficiency::VHF, Vhf::new, 28, 2, 3, 100),
        closes!(fosc::INFO, Fosc::new, 5, 2, 3, 14, 100),
        closes!(momentum::MOM, Mom::new, 10, 1, 2, 100),
        closes!(momentum::ROC, Roc::new, 10, 1, 2, 100),
        closes!(momentum::ROCP, Rocp::new, 10, 1, 2, 100),
        closes!(momentum::ROCR, Rocr::new, 10, 1, 2, 100),
        closes!(momentum::ROCR100, Rocr100::new, 10, 1, 2, 100),
        several!(aroon::AROON, Aroon::new, |v| [v.down, v.up], 14, 2, 3, 100),
        several!(
            eri::INFO,
            Eri::new,
            |v| [v.bull_power, v.bear_power],
            13,
            1,
            2,
            100
        ),
        several!(
            vortex::INFO,
            Vortex::new,
            |v| [v.plus, v.minus],
            14,
            1,
            2,
            100
        ),
        fractals(),
        others(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn others() -> Vec<Case> {
    const TURNED: &[(&str, f64)] = &[
        ("timeperiod1", 30.0),
        ("timeperiod2", 1.0),
        ("timeperiod3", 10.0),
    ];
    const SMALL: &[(&str, f64)] = &[
        ("timeperiod1", 2.0),
        ("timeperiod2", 3.0),
        ("timeperiod3", 2.0),
    ];
    vec![
        case(&bop::INFO, &[], Bop::new, |i, c| [i.next(c)]),
        case(&williams::WAD, &[], Wad::new, |i, c| [i.next(c)]),
        case(
            &williams::ULTOSC,
            &[],
            || UltOsc::new(7, 14, 28),
            |i, c| [i.next(c)],
        ),
        case(
            &williams::ULTOSC,
            TURNED,
            || UltOsc::new(30, 1, 10),
            |i, c| [i.next(c)],
        ),
        case(
            &williams::ULTOSC,
            SMALL,
            || UltOsc::new(2, 3, 2),
            |i, c| [i.next(c)],
        ),
    ]
}

fn fractals() -> Vec<Case> {
    macro_rules! fractals {
        ($(($left:literal, $right:literal)),+) => {
            vec![$(case(
                &fractal::INFO,
                &[("leftbars", $left as f64), ("rightbars", $right as f64)],
                || Fractal::new($left, $right),
                |i, c| all(i.next(c), |v| [v.swing_high, v.swing_low]),
            )),+]
        };
    }
    fractals!((2, 2), (1, 1), (3, 1), (1, 5), (10, 4))
}
