//! SMA, EMA, RSI and ATR.

use super::cases::{Case, case};
use ta::Next;
use tickforge::indicators::{Atr, Ema, Rsi, Sma, atr, ema, rsi, sma};

pub fn cases() -> Vec<Case> {
    vec![
        case(&sma::INFO, &[], || Sma::new(30), |i, c| [i.next(c.close)]),
        case(
            &sma::INFO,
            &[("timeperiod", 7.0)],
            || Sma::new(7),
            |i, c| [i.next(c.close)],
        ),
        case(&ema::INFO, &[], || Ema::new(30), |i, c| [i.next(c.close)]),
        case(&rsi::INFO, &[], || Rsi::new(14), |i, c| [i.next(c.close)]),
        case(&atr::INFO, &[], || Atr::new(14), |i, c| [i.next(c)]),
    ]
}
