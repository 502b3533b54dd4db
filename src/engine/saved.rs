//! What an engine remembers of an instrument, books aside, as bytes: for a restart that goes on
//! where the run before stood. Off the hot path, but called on its thread: one instrument at a
//! time, into a buffer that is used again.
//!
//! The bytes hold no names (postcard), so whoever keeps them also keeps what code wrote them. An
//! instance is known by the root of its signals' ids: strategy, code, parameters, instrument. Where
//! any of these differs, it begins cold.

use super::warming::Warming;
use super::{Begun, Engine, Outbox};
use crate::market::decimal::{self, Scale};
use crate::market::{Bars, InstrumentId, Trade};
use crate::state::{Before, MarketState};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use uuid::Uuid;

/// The code that writes and reads what is saved: a digest of all that it consists of, made by the
/// build.
pub const CODE: u64 = parse(env!("TICKFORGE_STATE_CODE"));

const fn parse(text: &str) -> u64 {
    match u64::from_str_radix(text, 16) {
        Ok(code) => code,
        Err(_) => panic!("the build gives sixteen hex digits"),
    }
}

/// What earlier runs remembered, by the instrument's name.
pub type Saved = HashMap<String, Vec<u8>>;

#[derive(Serialize, Deserialize)]
struct SavedMarket {
    price_scale: Scale,
    amount_scale: Scale,
    now_ns: i64,
    last_trade: Option<Trade>,
    last_trade_ns: i64,
    bars: Bars,
    hosts: Vec<SavedHost>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct SavedHost {
    namespace: Uuid,
    warming: Warming,
    /// By leg.
    fed_ns: Vec<i64>,
    memory: Vec<u8>,
}

/// The last trade that was seen, id and time (ns), of what [`Engine::save`] wrote: from here on
/// trades were missed.
pub fn last_trade(saved: &[u8]) -> Option<(u128, i64)> {
    let saved: SavedMarket = postcard::from_bytes(saved).ok()?;
    Some((saved.last_trade?.id, saved.last_trade_ns))
}

impl Engine {
    /// Writes down an instrument's market and the strategies that it leads, in place of what
    /// `into` held; false where there is nothing to save. A strategy over several instruments goes
    /// with the first.
    pub fn save(&self, id: InstrumentId, into: &mut Vec<u8>) -> bool {
        into.clear();
        let Some(market) = self.market(id) else {
            return false;
        };
        let led = self.listeners[id as usize].iter();
        let led = led
            .filter(|(_, leg)| *leg == 0)
            .map(|(slot, _)| &self.hosts[*slot]);
        let hosts = led.filter(|host| !host.waiting || host.restored);
        let hosts = hosts.filter_map(|host| {
            let mut memory = Vec::new();
            host.strategy.save(&mut memory).ok()?;
            Some(SavedHost {
                namespace: host.namespace,
                warming: host.warming,
                fed_ns: host.fed_ns.to_vec(),
                memory,
            })
        });
        let saved = SavedMarket {
            price_scale: market.price_scale,
            amount_scale: market.amount_scale,
            now_ns: market.now_ns,
            last_trade: market.last_trade,
            last_trade_ns: market.last_trade_ns,
            bars: market.bars.clone(),
            hosts: hosts.collect(),
        };
        let written = postcard::to_extend(&saved, std::mem::take(into));
        written.map(|bytes| *into = bytes).is_ok()
    }

    /// Takes over what an earlier run remembered of an instrument that is being listed, and of the
    /// strategies that begin with it.
    #[cold]
    pub(super) fn restore<O: Outbox>(&mut self, id: InstrumentId, name: &str, out: &mut O) {
        let saved = self.saved.remove(name);
        // Whoever kept it has checked it; what cannot be read all the same is not known.
        let saved = saved.and_then(|bytes| postcard::from_bytes::<SavedMarket>(&bytes).ok());
        if let Some(mut saved) = saved
            && let Some(market) = self.markets[id as usize].as_deref_mut()
        {
            take_over(market, &mut saved);
            if self.past_promised {
                market.before = Before::Awaited;
            } else {
                // What happened in between nobody will tell.
                market.bars.gap();
            }
            self.saved_hosts.append(&mut saved.hosts);
        }
        for listener in 0..self.listeners[id as usize].len() {
            let (slot, _) = self.listeners[id as usize][listener];
            self.restore_host(slot, id, out);
        }
    }

    /// An instance goes on, if its memory is there. It is with the first of its instruments; the
    /// instance begins with the last that is listed.
    fn restore_host<O: Outbox>(&mut self, slot: usize, id: InstrumentId, out: &mut O) {
        let host = &mut self.hosts[slot];
        let ours = |saved: &mut SavedHost| saved.namespace == host.namespace;
        let Some(saved) = self.saved_hosts.extract_if(.., ours).last() else {
            return;
        };
        if self.past_promised && !host.joins_on()
            || saved.fed_ns.len() != host.legs.len()
            || host.strategy.restore(&saved.memory).is_err()
        {
            return;
        }
        host.warming = saved.warming;
        host.fed_ns = saved.fed_ns.into_iter().collect();
        host.restored = true;
        host.waiting |= self.past_promised && host.legs.len() > 1;
        for (leg, id) in host.legs.clone().into_iter().enumerate() {
            let market = self.markets[id as usize].as_deref();
            if market.is_some_and(|m| m.before >= Before::CaughtUp) {
                host.answered_by(leg);
            }
        }
        let name = &self.plans[usize::from(host.plan)].name;
        out.begun(name, id, Begun::Restored);
    }
}

/// The market goes on: bars, the last trade, the time.
fn take_over(market: &mut MarketState, saved: &mut SavedMarket) {
    let (price_scale, amount_scale) = (market.price_scale, market.amount_scale);
    let price = |v| decimal::rescale(v, saved.price_scale, price_scale).map(|r| r.0);
    let amount = |v| decimal::rescale(v, saved.amount_scale, amount_scale).map(|r| r.0);
    let mut bars = std::mem::take(&mut saved.bars);
    bars.rescale(price, amount);
    market.bars.take_over(bars);
    market.now_ns = saved.now_ns;
    market.last_trade_ns = saved.last_trade_ns;
    market.last_trade = saved.last_trade.and_then(|trade| {
        Some(Trade {
            price: price(trade.price)?,
            amount: amount(trade.amount)?,
            ..trade
        })
    });
}
