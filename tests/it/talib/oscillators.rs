//! Oscillators of prices and of volume: differences of averages, and places in a range.

use super::cases::{Case, all, case};
use ta::Next;
use tickforge::indicators::{
    Ac, Ao, Apo, Candle, Coppock, Dpo, Kdj, MaType, Macd, MacdExt, MacdFix, MacdValue, Ppo, Pvo,
    Qstick, Smi, Stoch, StochF, StochRsi, StochValue, Trix, Tsi, ao, coppock, dpo, macd, ppo,
    qstick, stoch, stoch_rsi, trix, tsi,
};

type Parameters = &'static [(&'static str, f64)];

const EMA: MaType = MaType::Ema;
const RMA: MaType = MaType::Rma;
const SMA: MaType = MaType::Sma;

/// A function with averages of kinds by TA-Lib's numbers.
macro_rules! kinds {
    ($($function:ident $([$($kind:literal)*])+;)*) => {
        [$($($function::<$($kind),*>()),+),*]
    };
}

pub fn cases() -> Vec<Case> {
    let mut cases = differences();
    cases.extend(changes());
    cases.extend(macds());
    cases.extend(places());
    // Where two averages of prices meet, a last bit of them is more than 1e-9 of their difference:
    // a kind whose sums are not rounded as TA-Lib's is held against it on its own.
    cases.extend(kinds![
        apo_of [0] [1] [3] [6] [7] [10] [11] [12];
        ppo_of [0] [1] [3] [6] [7] [10] [11] [12];
        pvo_of [0] [1] [2] [3] [4] [6] [7] [8] [9] [10] [11] [12] [13];
        macd_of [0] [1] [3] [6] [7] [10] [11] [12];
        macd_of_two [0 3] [10 11] [13 12] [1 3] [3 1] [6 0];
        macd_signal [0] [1] [2] [3] [4] [5] [6] [7] [8] [9] [10] [11] [12] [13];
        stoch_of [0] [1] [2] [3] [4] [5] [7] [8] [9] [10] [11] [12] [13];
        stochf_of [0] [1] [2] [3] [4] [7] [8] [9] [10] [11] [12] [13];
        stoch_rsi_of [0] [1] [2] [3] [4] [5] [7] [8] [9] [10] [11] [12] [13];
        kdj_of [0] [1] [2] [3] [4] [7] [8] [9] [10] [11] [12] [13];
    ]);
    cases
}

/// Of two averages.
fn differences() -> Vec<Case> {
    let ao = |p: Parameters, new| case(&ao::AO, p, new, |i: &mut Ao, c| [i.next(c)]);
    let ac = |p: Parameters, new| case(&ao::AC, p, new, |i: &mut Ac, c| [i.next(c)]);
    let apo = |p: Parameters, new| case(&ppo::APO, p, new, |i: &mut Apo, c| [i.next(c.close)]);
    let ppo = |p: Parameters, new| case(&ppo::PPO, p, new, |i: &mut Ppo, c| [i.next(c.close)]);
    let pvo = |p: Parameters, new| case(&ppo::PVO, p, new, |i: &mut Pvo, c| [i.next(c)]);
    let dpo = |p: Parameters, new| case(&dpo::INFO, p, new, |i: &mut Dpo, c| [i.next(c.close)]);
    vec![
        ao(&[], || Ao::new(5, 34)),
        ao(&[("fastperiod", 100.0), ("slowperiod", 2.0)], || {
            Ao::new(100, 2)
        }),
        ao(&[("fastperiod", 7.0), ("slowperiod", 7.0)], || {
            Ao::new(7, 7)
        }),
        ac(&[], || Ac::new(5, 34, 5)),
        ac(
            &[
                ("fastperiod", 2.0),
                ("slowperiod", 3.0),
                ("signalperiod", 100.0),
            ],
            || Ac::new(2, 3, 100),
        ),
        ac(
            &[
                ("fastperiod", 9.0),
                ("slowperiod", 3.0),
                ("signalperiod", 2.0),
            ],
            || Ac::new(9, 3, 2),
        ),
        apo(&[], || Apo::new(12, 26, EMA)),
        apo(&[("fastperiod", 100.0), ("slowperiod", 2.0)], || {
            Apo::new(100, 2, EMA)
        }),
        apo(&[("fastperiod", 9.0), ("slowperiod", 18.0)], || {
            Apo::new(9, 18, EMA)
        }),
        apo(&[("fastperiod", 2.0), ("slowperiod", 2.0)], || {
            Apo::new(2, 2, EMA)
        }),
        ppo(&[], || Ppo::new(12, 26, EMA)),
        ppo(&[("fastperiod", 100.0), ("slowperiod", 2.0)], || {
            Ppo::new(100, 2, EMA)
        }),
        pvo(&[], || Pvo::new(12, 26, EMA)),
        pvo(&[("fastperiod", 100.0), ("slowperiod", 2.0)], || {
            Pvo::new(100, 2, EMA)
        }),
        dpo(&[], || Dpo::new(20)),
        dpo(&[("timeperiod", 2.0)], || Dpo::new(2)),
        dpo(&[("timeperiod", 3.0)], || Dpo::new(3)),
        dpo(&[("timeperiod", 4.0)], || Dpo::new(4)),
        dpo(&[("timeperiod", 100.0)], || Dpo::new(100)),
    ]
}

/// Averages of changes, and changes of averages.
fn changes() -> Vec<Case> {
    let coppock = |p: Parameters, new| {
        case(&coppock::INFO, p, new, |i: &mut Coppock, c| {
            [i.next(c.close)]
        })
    };
    let qstick = |p: Parameters, new| case(&qstick::INFO, p, new, |i: &mut Qstick, c| [i.next(c)]);
    let trix = |p: Parameters, new| case(&trix::INFO, p, new, |i: &mut Trix, c| [i.next(c.close)]);
    let tsi = |p: Parameters, new| case(&tsi::TSI, p, new, |i: &mut Tsi, c| [i.next(c.close)]);
    let smi = |p: Parameters, new| {
        case(&tsi::SMI, p, new, |i: &mut Smi, c| {
            all(i.next(c), |v| [v.smi, v.signal])
        })
    };
    vec![
        coppock(&[], || Coppock::new(10, 11, 14)),
        coppock(
            &[("wmaperiod", 1.0), ("roc1period", 3.0), ("roc2period", 1.0)],
            || Coppock::new(1, 3, 1),
        ),
        coppock(
            &[("wmaperiod", 2.0), ("roc1period", 1.0), ("roc2period", 1.0)],
            || Coppock::new(2, 1, 1),
        ),
        coppock(
            &[
                ("wmaperiod", 100.0),
                ("roc1period", 100.0),
                ("roc2period", 2.0),
            ],
            || Coppock::new(100, 100, 2),
        ),
        qstick(&[], || Qstick::new(10)),
        qstick(&[("timeperiod", 1.0)], || Qstick::new(1)),
        qstick(&[("timeperiod", 2.0)], || Qstick::new(2)),
        qstick(&[("timeperiod", 100.0)], || Qstick::new(100)),
        trix(&[], || Trix::new(30)),
        trix(&[("timeperiod", 1.0)], || Trix::new(1)),
        trix(&[("timeperiod", 2.0)], || Trix::new(2)),
        trix(&[("timeperiod", 9.0)], || Trix::new(9)),
        trix(&[("timeperiod", 100.0)], || Trix::new(100)),
        tsi(&[], || Tsi::new(25, 13)),
        tsi(&[("firstperiod", 2.0), ("secondperiod", 2.0)], || {
            Tsi::new(2, 2)
        }),
        tsi(&[("firstperiod", 4.0), ("secondperiod", 100.0)], || {
            Tsi::new(4, 100)
        }),
        smi(&[], || Smi::new(13, 2, 25, 9)),
        smi(
            &[
                ("timeperiod", 2.0),
                ("fastperiod", 9.0),
                ("slowperiod", 2.0),
                ("signalperiod", 2.0),
            ],
            || Smi::new(2, 9, 2, 2),
        ),
        smi(
            &[
                ("timeperiod", 100.0),
                ("fastperiod", 2.0),
                ("slowperiod", 3.0),
                ("signalperiod", 100.0),
            ],
            || Smi::new(100, 2, 3, 100),
        ),
    ]
}

fn of_macd(value: Option<MacdValue>) -> [Option<f64>; 3] {
    all(value, |v| [v.macd, v.signal, v.histogram])
}

fn macds() -> Vec<Case> {
    let macd = |p: Parameters, new| {
        case(&macd::MACD, p, new, |i: &mut Macd, c| {
            of_macd(i.next(c.close))
        })
    };
    let fix = |p: Parameters, new| {
        case(&macd::MACDFIX, p, new, |i: &mut MacdFix, c| {
            of_macd(i.next(c.close))
        })
    };
    let ext = |p: Parameters, new| {
        case(&macd::MACDEXT, p, new, |i: &mut MacdExt, c| {
            of_macd(i.next(c.close))
        })
    };
    vec![
        macd(&[], || Macd::new(12, 26, 9)),
        macd(
            &[
                ("fastperiod", 2.0),
                ("slowperiod", 3.0),
                ("signalperiod", 1.0),
            ],
            || Macd::new(2, 3, 1),
        ),
        macd(
            &[
                ("fastperiod", 100.0),
                ("slowperiod", 9.0),
                ("signalperiod", 2.0),
            ],
            || Macd::new(100, 9, 2),
        ),
        macd(
            &[
                ("fastperiod", 7.0),
                ("slowperiod", 7.0),
                ("signalperiod", 100.0),
            ],
            || Macd::new(7, 7, 100),
        ),
        macd(&[("fastperiod", 19.0), ("slowperiod", 39.0)], || {
            Macd::new(19, 39, 9)
        }),
        fix(&[], || MacdFix::new(9)),
        fix(&[("signalperiod", 1.0)], || MacdFix::new(1)),
        fix(&[("signalperiod", 100.0)], || MacdFix::new(100)),
        ext(&[], || MacdExt::new(12, SMA, 26, SMA, 9, SMA)),
        ext(
            &[
                ("slowperiod", 5.0),
                ("slowmatype", 1.0),
                ("signalperiod", 1.0),
            ],
            || MacdExt::new(12, SMA, 5, EMA, 1, SMA),
        ),
    ]
}

fn of_stoch(value: Option<StochValue>) -> [Option<f64>; 2] {
    all(value, |v| [v.k, v.d])
}

fn kdj_next(kdj: &mut Kdj, candle: &Candle) -> [Option<f64>; 3] {
    all(kdj.next(candle), |v| [v.k, v.d, v.j])
}

/// In a range.
fn places() -> Vec<Case> {
    let slow = |p: Parameters, new| {
        case(&stoch::STOCH, p, new, |i: &mut Stoch, c| {
            of_stoch(i.next(c))
        })
    };
    let fast = |p: Parameters, new| {
        case(&stoch::STOCHF, p, new, |i: &mut StochF, c| {
            of_stoch(i.next(c))
        })
    };
    let rsi = |p: Parameters, new| {
        case(&stoch_rsi::INFO, p, new, |i: &mut StochRsi, c| {
            of_stoch(i.next(c.close))
        })
    };
    let kdj = |p: Parameters, new| case(&stoch::KDJ, p, new, kdj_next);
    vec![
        slow(&[], || Stoch::new(5, 3, SMA, 3, SMA)),
        slow(
            &[
                ("fastk_period", 1.0),
                ("slowk_period", 1.0),
                ("slowd_period", 1.0),
            ],
            || Stoch::new(1, 1, SMA, 1, SMA),
        ),
        slow(
            &[
                ("fastk_period", 100.0),
                ("slowk_period", 2.0),
                ("slowd_period", 100.0),
            ],
            || Stoch::new(100, 2, SMA, 100, SMA),
        ),
        fast(&[], || StochF::new(5, 3, SMA)),
        fast(&[("fastk_period", 1.0), ("fastd_period", 1.0)], || {
            StochF::new(1, 1, SMA)
        }),
        fast(&[("fastk_period", 2.0), ("fastd_period", 100.0)], || {
            StochF::new(2, 100, SMA)
        }),
        rsi(&[], || StochRsi::new(14, 5, 3, SMA)),
        rsi(
            &[
                ("timeperiod", 2.0),
                ("fastk_period", 1.0),
                ("fastd_period", 1.0),
            ],
            || StochRsi::new(2, 1, 1, SMA),
        ),
        rsi(
            &[
                ("timeperiod", 2.0),
                ("fastk_period", 2.0),
                ("fastd_period", 2.0),
            ],
            || StochRsi::new(2, 2, 2, SMA),
        ),
        rsi(
            &[
                ("timeperiod", 100.0),
                ("fastk_period", 2.0),
                ("fastd_period", 1.0),
            ],
            || StochRsi::new(100, 2, 1, SMA),
        ),
        rsi(
            &[
                ("timeperiod", 7.0),
                ("fastk_period", 100.0),
                ("fastd_period", 9.0),
            ],
            || StochRsi::new(7, 100, 9, SMA),
        ),
        kdj(&[], || Kdj::new(9, 3, RMA, 3, RMA)),
        kdj(
            &[
                ("fastk_period", 1.0),
                ("slowk_period", 1.0),
                ("slowd_period", 1.0),
            ],
            || Kdj::new(1, 1, RMA, 1, RMA),
        ),
        kdj(
            &[
                ("fastk_period", 2.0),
                ("slowk_period", 100.0),
                ("slowd_period", 2.0),
            ],
            || Kdj::new(2, 100, RMA, 2, RMA),
        ),
    ]
}

fn kind<const K: u8>() -> MaType {
    MaType::try_from(K).expect("a kind")
}

fn apo_of<const K: u8>() -> Case {
    let p = const {
        &[
            ("fastperiod", 5.0),
            ("slowperiod", 12.0),
            ("matype", K as f64),
        ]
    };
    case(
        &ppo::APO,
        p,
        || Apo::new(5, 12, kind::<K>()),
        |i, c| [i.next(c.close)],
    )
}

fn ppo_of<const K: u8>() -> Case {
    let p = const {
        &[
            ("fastperiod", 10.0),
            ("slowperiod", 3.0),
            ("matype", K as f64),
        ]
    };
    case(
        &ppo::PPO,
        p,
        || Ppo::new(10, 3, kind::<K>()),
        |i, c| [i.next(c.close)],
    )
}

fn pvo_of<const K: u8>() -> Case {
    let p = const {
        &[
            ("fastperiod", 2.0),
            ("slowperiod", 5.0),
            ("matype", K as f64),
        ]
    };
    case(
        &ppo::PVO,
        p,
        || Pvo::new(2, 5, kind::<K>()),
        |i, c| [i.next(c)],
    )
}

/// All three of one kind.
fn macd_of<const K: u8>() -> Case {
    let p = const {
        &[
            ("fastmatype", K as f64),
            ("slowmatype", K as f64),
            ("signalmatype", K as f64),
        ]
    };
    let new = || MacdExt::new(12, kind::<K>(), 26, kind::<K>(), 9, kind::<K>());
    case(&macd::MACDEXT, p, new, |i, c| of_macd(i.next(c.close)))
}

/// Two kinds, in the wrong order.
fn macd_of_two<const K: u8, const L: u8>() -> Case {
    let p = const {
        &[
            ("fastperiod", 9.0),
            ("fastmatype", K as f64),
            ("slowperiod", 4.0),
            ("slowmatype", L as f64),
        ]
    };
    let new = || MacdExt::new(9, kind::<K>(), 4, kind::<L>(), 9, SMA);
    case(&macd::MACDEXT, p, new, |i, c| of_macd(i.next(c.close)))
}

/// The signal alone.
fn macd_signal<const K: u8>() -> Case {
    let p = const { &[("signalperiod", 5.0), ("signalmatype", K as f64)] };
    let new = || MacdExt::new(12, SMA, 26, SMA, 5, kind::<K>());
    case(&macd::MACDEXT, p, new, |i, c| of_macd(i.next(c.close)))
}

fn stoch_of<const K: u8>() -> Case {
    let p = const {
        &[
            ("slowk_period", 4.0),
            ("slowk_matype", K as f64),
            ("slowd_period", 2.0),
            ("slowd_matype", K as f64),
        ]
    };
    let new = || Stoch::new(5, 4, kind::<K>(), 2, kind::<K>());
    case(&stoch::STOCH, p, new, |i, c| of_stoch(i.next(c)))
}

fn stochf_of<const K: u8>() -> Case {
    let p = const { &[("fastk_period", 14.0), ("fastd_matype", K as f64)] };
    let new = || StochF::new(14, 3, kind::<K>());
    case(&stoch::STOCHF, p, new, |i, c| of_stoch(i.next(c)))
}

fn stoch_rsi_of<const K: u8>() -> Case {
    let p = const { &[("fastd_period", 4.0), ("fastd_matype", K as f64)] };
    let new = || StochRsi::new(14, 5, 4, kind::<K>());
    case(&stoch_rsi::INFO, p, new, |i, c| of_stoch(i.next(c.close)))
}

fn kdj_of<const K: u8>() -> Case {
    let p = const { &[("slowk_matype", K as f64), ("slowd_matype", K as f64)] };
    let new = || Kdj::new(9, 3, kind::<K>(), 3, kind::<K>());
    case(&stoch::KDJ, p, new, kdj_next)
}
