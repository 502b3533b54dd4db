//! What is an outcome worth? Two numbers of [`Outcome`], exact decimals; off the hot path.
//!
//! **`actual_outcome`**, percent: the market's change from the decision to the end,
//! `(exit - price) / price * 100`, signed by the market whatever the signal said: −2 after a signal
//! to sell means that the price fell, so that it was right.
//!
//! **`accuracy_score`**, 0 to 1: how far the market went the way that the signal said.
//! - To buy and to sell: ½ where the price is what it was; 1 where it went as far as the goal (the
//!   target, else take-profit); 0 where it went against the signal as far as the stop; linear in
//!   between, and no further than 0 and 1. Without a stop, the goal's distance is taken on that
//!   side; without a goal, the stop's. With neither, 1, ½ or 0 by the direction alone.
//! - To hold: 1 where the price is what it was, 0 where it went as far as the nearest level on that
//!   side (without one there, the nearest of all; without any, one percent of the price); linear in
//!   between.
//!
//! A score has two decimals, `actual_outcome` four; both are rounded half to even.

use super::{Ending, Open, Outcome};
use crate::signal::SignalType;
use rust_decimal::Decimal;

/// What the column `DECIMAL(6,4)` holds at most.
const MOST: Decimal = Decimal::from_parts(999_999, 0, 0, false, 4);
const HALF: Decimal = Decimal::from_parts(5, 0, 0, false, 1);

/// The market's change in percent, to 28 digits; `None` where the end's price was not seen.
pub fn change_percent(outcome: &Outcome) -> Option<Decimal> {
    let (price, exit) = (outcome.open.price, outcome.exit_price?);
    let change = (exit - price).checked_mul(Decimal::ONE_HUNDRED)?;
    change.checked_div(price).map(|d| d.normalize())
}

/// [`change_percent`] as its column holds it: four decimals, at most ±99.9999.
pub fn actual_outcome(outcome: &Outcome) -> Option<Decimal> {
    change_percent(outcome).map(|change| change.round_dp(4).clamp(-MOST, MOST).normalize())
}

/// See the module's text; `None` where the end's price was not seen.
pub fn accuracy(outcome: &Outcome) -> Option<Decimal> {
    let (open, exit) = (&outcome.open, outcome.exit_price?);
    let change = exit - open.price;
    let score = match open.signal_type {
        SignalType::Buy | SignalType::StrongBuy => directed(open, change),
        SignalType::Sell | SignalType::StrongSell => directed(open, -change),
        SignalType::Hold => held(open, change),
    };
    Some(score.round_dp(2).normalize())
}

/// `gain` is the change in the signal's direction.
fn directed(open: &Open, gain: Decimal) -> Decimal {
    let reach = |level: Option<Decimal>| {
        let distance = (level? - open.price).abs();
        (!distance.is_zero()).then_some(distance)
    };
    let (goal, stop) = (
        reach(open.target_price.or(open.take_profit_price)),
        reach(open.stop_loss_price),
    );
    let whole = if gain.is_sign_negative() {
        stop.or(goal)
    } else {
        goal.or(stop)
    };
    let part = match whole {
        _ if gain.is_zero() => Decimal::ZERO,
        Some(whole) => share(gain, whole),
        None => sign(gain),
    };
    HALF + part * HALF
}

fn held(open: &Open, change: Decimal) -> Decimal {
    let levels = || {
        let levels = open.levels().into_iter().filter_map(|(_, level)| level);
        levels
            .map(|level| level - open.price)
            .filter(|d| !d.is_zero())
    };
    let nearest = |d: Decimal, e: Decimal| d.min(e);
    let there = levels()
        .filter(|d| d.is_sign_negative() == change.is_sign_negative())
        .map(|d| d.abs())
        .reduce(nearest);
    let any = || levels().map(|d| d.abs()).reduce(nearest);
    let whole = there
        .or_else(any)
        .unwrap_or(open.price.abs() / Decimal::ONE_HUNDRED);
    if whole.is_zero() {
        return Decimal::ONE;
    }
    Decimal::ONE - share(change.abs(), whole)
}

/// One with the sign of `value`, which is not 0.
fn sign(value: Decimal) -> Decimal {
    if value.is_sign_negative() {
        Decimal::NEGATIVE_ONE
    } else {
        Decimal::ONE
    }
}

/// `part / whole`, at most 1 and at least -1; `whole` is above 0.
fn share(part: Decimal, whole: Decimal) -> Decimal {
    if part.abs() >= whole {
        return sign(part);
    }
    part / whole
}

impl Ending {
    pub const ALL: [Ending; 4] = [
        Ending::StopLoss,
        Ending::TakeProfit,
        Ending::Target,
        Ending::Expired,
    ];

    pub fn from_name(name: &str) -> Option<Ending> {
        Ending::ALL.into_iter().find(|e| e.name() == name)
    }
}
