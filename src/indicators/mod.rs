//! HOT PATH. Technical indicators: O(1) an update on average but for a few, whose files say what
//! they cost, no allocation after construction, no `NaN` to begin with.
//!
//! Each is a file of its own, or one of a family, implements [`ta::Next`] and answers `None` until
//! it is warm; from then on TA-Lib's functions agree with TA-Lib to 1e-9 relative, and the candle
//! patterns exactly (`tests/it/talib` holds each to TA-Lib itself). Their state can be saved and
//! restored by serde. Strategies call them on the engine thread. They know no market: values in,
//! values out.
//!
//! To add one: its file, a `pub mod` line and its lines in [`ALL`]. INDICATORS.md beside this file
//! lists them all, and says where the crate `ta` differs.

pub mod ad;
pub mod adr;
pub mod ao;
pub mod aroon;
pub mod atr;
pub mod avgdev;
pub mod bbands;
pub mod bbo;
pub mod bop;
pub mod candle;
pub mod candles;
pub mod cci;
pub mod chande;
pub mod channels;
pub mod coppock;
pub mod correl;
pub mod cvi;
pub mod dema;
pub mod depth_imbalance;
pub mod directional;
pub mod dpo;
pub mod efficiency;
pub mod efi;
pub mod ema;
pub mod eri;
pub mod extremes;
pub mod fosc;
pub mod fractal;
pub mod heikin_ashi;
pub mod hilbert;
pub mod ht_phase;
pub mod ichimoku;
pub mod illiquidity;
pub mod imi;
pub mod info;
pub mod kama;
pub mod linearreg;
pub mod ma;
pub mod macd;
pub mod mama;
pub mod marketfi;
pub mod massi;
pub mod mavp;
pub mod mfi;
pub mod microprice;
pub mod midpoint;
pub mod momentum;
pub mod obv;
pub mod operators;
pub mod order_flow;
pub mod percentile;
pub mod ppo;
pub mod price_transform;
pub mod qstick;
pub mod quote_average;
pub mod range_volatility;
pub mod rma;
pub mod rsi;
pub mod rvi;
pub mod rvol;
pub mod sar;
mod sliding;
pub mod sma;
pub mod stoch;
pub mod stoch_rsi;
pub mod sum;
pub mod supertrend;
pub mod time_ema;
pub mod trade_flow;
pub mod trade_vwap;
pub mod trange;
pub mod transforms;
pub mod trima;
pub mod trix;
pub mod tsi;
mod up_down;
pub mod variance;
pub mod volatility;
pub mod volume_index;
pub mod vortex;
pub mod vwap;
pub mod vwma;
pub mod williams;
pub mod window;
pub mod wma;
pub mod zlema;

pub use ad::{Ad, AdOsc, Cmf};
pub use adr::Adr;
pub use ao::{Ac, Ao};
pub use aroon::{Aroon, AroonOsc, AroonValue};
pub use atr::Atr;
pub use avgdev::AvgDev;
pub use bbands::{BBands, Bands};
pub use bbo::Bbo;
pub use bop::Bop;
pub use candle::{Candle, Hlc};
pub use candles::Pattern;
pub use cci::Cci;
pub use chande::{Cmo, Cmou};
pub use channels::{AccBands, Donchian, Kc};
pub use coppock::Coppock;
pub use correl::{Beta, Correl};
pub use cvi::Cvi;
pub use dema::{Dema, T3, Tema};
pub use depth_imbalance::{DepthImbalance, DepthImbalanceWeighted};
pub use directional::{Adx, Adxr, Dx, MinusDi, MinusDm, PlusDi, PlusDm};
pub use dpo::Dpo;
pub use efficiency::{Er, Vhf};
pub use efi::Efi;
pub use ema::Ema;
pub use eri::{Eri, EriValue};
pub use extremes::{
    LowestHighest, LowestHighestAgo, Max, MaxIndex, Min, MinIndex, MinMax, MinMaxIndex,
};
pub use fosc::Fosc;
pub use fractal::{Fractal, FractalValue};
pub use heikin_ashi::{Ha, HeikinAshi};
pub use hilbert::{Cycle, Hilbert, HtDcPeriod, HtPhasor, Phasor};
pub use ht_phase::{HtDcPhase, HtSine, HtTrendMode, HtTrendline, Sines};
pub use ichimoku::{Ichimoku, IchimokuLines};
pub use illiquidity::{Amihud, KyleLambda, RollSpread};
pub use imi::Imi;
pub use info::Info;
pub use kama::Kama;
pub use linearreg::{LinearReg, LinearRegAngle, LinearRegIntercept, LinearRegSlope, Tsf};
pub use ma::{Ma, MaType, UnknownMaType};
pub use macd::{Macd, MacdExt, MacdFix, MacdValue};
pub use mama::{Mama, MamaValue};
pub use marketfi::MarketFi;
pub use massi::Massi;
pub use mavp::Mavp;
pub use mfi::Mfi;
pub use microprice::{Microprice, MicropriceAdjusted};
pub use midpoint::{MidPoint, MidPrice};
pub use momentum::{Mom, Roc, Rocp, Rocr, Rocr100};
pub use obv::{Obv, Pvt};
pub use operators::{Add, CumSum, Div, Mult, Sub};
pub use order_flow::{Ofi, OfiTime};
pub use percentile::{PercentRank, Percentile, Sorted};
pub use ppo::{Apo, Ppo, Pvo};
pub use price_transform::{AvgPrice, MedPrice, TypPrice, WclPrice};
pub use qstick::Qstick;
pub use quote_average::{QuoteAverages, QuoteMean, QuoteTimeMean};
pub use range_volatility::{VolGarmanKlass, VolParkinson, VolRogersSatchell, VolYangZhang};
pub use rma::Rma;
pub use rsi::Rsi;
pub use rvi::Rvi;
pub use rvol::Rvol;
pub use sar::{Acceleration, Sar, SarExt};
pub use sliding::{Comoments, Moments, Sliding, SlidingTime};
pub use sma::Sma;
pub use stoch::{Kdj, KdjValue, Stoch, StochF, StochValue};
pub use stoch_rsi::StochRsi;
pub use sum::Sum;
pub use supertrend::{SuperTrend, SuperTrendValue};
pub use time_ema::TimeEma;
pub use trade_flow::{TradeImbalance, TradeImbalanceTime, Vpin};
pub use trade_vwap::{VwapAnchored, VwapRolling, VwapSession, VwapTime};
pub use trange::{Natr, TRange};
pub use transforms::{
    Acos, Asin, Atan, Ceil, Cos, Cosh, Exp, Floor, Ln, Log10, Sin, Sinh, Sqrt, Tan, Tanh,
};
pub use trima::Trima;
pub use trix::Trix;
pub use tsi::{Smi, SmiValue, Tsi};
pub use up_down::UpDown;
pub use variance::{StdDev, Var};
pub use volatility::{VolClose, VolCloseMean};
pub use volume_index::{Nvi, Pvi};
pub use vortex::{Vortex, VortexValue};
pub use vwap::Vwap;
pub use vwma::Vwma;
pub use williams::{UltOsc, Wad, WillR};
pub use window::{Greatest, Window};
pub use wma::{Hma, Wma};
pub use zlema::Zlema;

/// All indicators but the candle patterns, by name.
pub static ALL: &[&Info] = &[
    &ao::AC,
    &channels::ACCBANDS,
    &transforms::ACOS,
    &ad::AD,
    &operators::ADD,
    &ad::ADOSC,
    &adr::INFO,
    &directional::ADX,
    &directional::ADXR,
    &illiquidity::AMIHUD,
    &ao::AO,
    &ppo::APO,
    &aroon::AROON,
    &aroon::AROONOSC,
    &transforms::ASIN,
    &transforms::ATAN,
    &atr::INFO,
    &avgdev::INFO,
    &price_transform::AVGPRICE,
    &bbands::INFO,
    &correl::BETA,
    &bop::INFO,
    &cci::INFO,
    &transforms::CEIL,
    &ad::CMF,
    &chande::CMO,
    &chande::CMOU,
    &coppock::INFO,
    &correl::CORREL,
    &transforms::COS,
    &transforms::COSH,
    &operators::CUMSUM,
    &cvi::INFO,
    &dema::DEMA,
    &depth_imbalance::DEPTH_IMBALANCE,
    &depth_imbalance::DEPTH_IMBALANCE_WEIGHTED,
    &operators::DIV,
    &channels::DONCHIAN,
    &dpo::INFO,
    &directional::DX,
    &efi::INFO,
    &ema::INFO,
    &efficiency::ER,
    &eri::INFO,
    &transforms::EXP,
    &transforms::FLOOR,
    &fosc::INFO,
    &fractal::INFO,
    &heikin_ashi::INFO,
    &wma::HMA,
    &hilbert::HT_DCPERIOD,
    &ht_phase::HT_DCPHASE,
    &hilbert::HT_PHASOR,
    &ht_phase::HT_SINE,
    &ht_phase::HT_TRENDLINE,
    &ht_phase::HT_TRENDMODE,
    &ichimoku::INFO,
    &imi::INFO,
    &kama::INFO,
    &channels::KC,
    &stoch::KDJ,
    &illiquidity::KYLE_LAMBDA,
    &linearreg::LINEARREG,
    &linearreg::LINEARREG_ANGLE,
    &linearreg::LINEARREG_INTERCEPT,
    &linearreg::LINEARREG_SLOPE,
    &transforms::LN,
    &transforms::LOG10,
    &ma::INFO,
    &macd::MACD,
    &macd::MACDEXT,
    &macd::MACDFIX,
    &mama::INFO,
    &marketfi::INFO,
    &massi::INFO,
    &mavp::INFO,
    &extremes::MAX,
    &extremes::MAXINDEX,
    &price_transform::MEDPRICE,
    &mfi::INFO,
    &microprice::MICROPRICE,
    &microprice::MICROPRICE_ADJUSTED,
    &midpoint::MIDPOINT,
    &midpoint::MIDPRICE,
    &extremes::MIN,
    &extremes::MININDEX,
    &extremes::MINMAX,
    &extremes::MINMAXINDEX,
    &directional::MINUS_DI,
    &directional::MINUS_DM,
    &momentum::MOM,
    &operators::MULT,
    &trange::NATR,
    &volume_index::NVI,
    &obv::OBV,
    &order_flow::OFI,
    &order_flow::OFI_TIME,
    &percentile::PERCENTILE,
    &percentile::PERCENTRANK,
    &directional::PLUS_DI,
    &directional::PLUS_DM,
    &ppo::PPO,
    &volume_index::PVI,
    &ppo::PVO,
    &obv::PVT,
    &qstick::INFO,
    &quote_average::QUOTE_MEAN,
    &quote_average::QUOTE_TIME_MEAN,
    &rma::INFO,
    &momentum::ROC,
    &momentum::ROCP,
    &momentum::ROCR,
    &momentum::ROCR100,
    &illiquidity::ROLL_SPREAD,
    &rsi::INFO,
    &rvi::INFO,
    &rvol::INFO,
    &sar::SAR,
    &sar::SAREXT,
    &transforms::SIN,
    &transforms::SINH,
    &sma::INFO,
    &tsi::SMI,
    &transforms::SQRT,
    &variance::STDDEV,
    &stoch::STOCH,
    &stoch::STOCHF,
    &stoch_rsi::INFO,
    &operators::SUB,
    &sum::INFO,
    &supertrend::INFO,
    &dema::T3,
    &transforms::TAN,
    &transforms::TANH,
    &dema::TEMA,
    &time_ema::INFO,
    &trade_flow::TRADE_IMBALANCE,
    &trade_flow::TRADE_IMBALANCE_TIME,
    &trange::TRANGE,
    &trima::INFO,
    &trix::INFO,
    &linearreg::TSF,
    &tsi::TSI,
    &price_transform::TYPPRICE,
    &williams::ULTOSC,
    &variance::VAR,
    &efficiency::VHF,
    &volatility::VOL_CLOSE,
    &volatility::VOL_CLOSE_MEAN,
    &range_volatility::VOL_GARMAN_KLASS,
    &range_volatility::VOL_PARKINSON,
    &range_volatility::VOL_ROGERS_SATCHELL,
    &range_volatility::VOL_YANG_ZHANG,
    &vortex::INFO,
    &trade_flow::VPIN,
    &vwap::INFO,
    &trade_vwap::VWAP_ANCHORED,
    &trade_vwap::VWAP_ROLLING,
    &trade_vwap::VWAP_SESSION,
    &trade_vwap::VWAP_TIME,
    &vwma::INFO,
    &williams::WAD,
    &price_transform::WCLPRICE,
    &williams::WILLR,
    &wma::WMA,
    &zlema::INFO,
];

/// All indicators, candle patterns too, by name.
pub fn all() -> Vec<&'static Info> {
    let mut all: Vec<&Info> = ALL.iter().copied().chain(&candles::PATTERNS).collect();
    all.sort_by_key(|info| info.name);
    all
}

#[cfg(test)]
pub(crate) mod reference {
    //! A market of 35 bars, and the check of an indicator against what TA-Lib 0.8.1 makes of it.

    use super::Hlc;

    const HIGH: [f64; 35] = [
        100.48, 100.32, 100.56, 99.49, 98.75, 97.76, 97.79, 99.83, 98.65, 98.8, 99.4, 99.34, 99.0,
        98.38, 99.17, 99.12, 98.04, 96.9, 95.31, 93.78, 92.24, 91.63, 90.73, 91.46, 91.17, 90.69,
        88.33, 87.59, 88.17, 87.93, 86.17, 86.11, 85.28, 84.57, 85.32,
    ];
    const LOW: [f64; 35] = [
        99.61, 99.1, 99.75, 99.08, 97.93, 97.28, 97.55, 98.87, 98.45, 97.07, 98.21, 98.64, 98.72,
        97.93, 97.85, 97.99, 97.31, 96.59, 94.26, 93.28, 91.82, 91.19, 90.13, 89.97, 90.76, 90.22,
        87.28, 87.3, 86.45, 86.36, 85.87, 85.03, 84.49, 82.43, 84.34,
    ];
    pub const CLOSE: [f64; 35] = [
        100.0, 100.3, 100.03, 99.14, 98.68, 97.69, 97.75, 99.09, 98.6, 97.98, 98.47, 98.82, 98.93,
        98.0, 97.97, 98.66, 97.32, 96.86, 94.96, 93.67, 91.83, 91.59, 90.33, 90.6, 90.76, 90.57,
        88.05, 87.51, 87.46, 87.58, 86.05, 85.57, 84.59, 83.78, 84.84,
    ];

    pub fn bars() -> Vec<Hlc> {
        let bar = |i| Hlc {
            high: HIGH[i],
            low: LOW[i],
            close: CLOSE[i],
        };
        (0..CLOSE.len()).map(bar).collect()
    }

    /// `values` are an indicator's, one for each bar; TA-Lib's come last and are all there are.
    pub fn check(values: Vec<Option<f64>>, expected: &[f64]) {
        let warm_up = values.len() - expected.len();
        assert!(
            values[..warm_up].iter().all(Option::is_none),
            "it answers before it is warm"
        );
        for (i, (value, expected)) in values[warm_up..].iter().zip(expected).enumerate() {
            let value = value.expect("it is warm");
            assert!(
                (value / expected - 1.0).abs() < 1e-9,
                "bar {}: {value}, not {expected}",
                warm_up + i
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_complete() {
        assert!(
            all().windows(2).all(|w| w[0].name < w[1].name),
            "sorted by name, none twice"
        );
        assert!(ALL.windows(2).all(|w| w[0].name < w[1].name));
        let documented = include_str!("INDICATORS.md");
        for info in all() {
            let row = format!("| {} | {} |", info.name, info.summary.replace('|', "\\|"));
            assert!(documented.contains(&row), "INDICATORS.md lacks {row}");
            let texts = [info.name, info.summary, info.warm_up, info.source];
            assert!(texts.iter().all(|t| !t.is_empty()), "{info:?}");
            assert!(
                !info.inputs.is_empty() && !info.outputs.is_empty(),
                "{info:?}"
            );
        }
    }
}
