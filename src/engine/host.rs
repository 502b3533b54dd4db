//! HOT PATH. One strategy on one instrument, or on a group of them: its instance, its bars, what
//! becomes of its drafts.

use super::plan::{Plan, Settings, key_of};
use super::warming::Warming;
use super::{Call, Markets};
use crate::market::event::MISSED_AT_MOST;
use crate::market::{BarKind, BarSpec, Event, InstrumentId, Kind};
use crate::signal::{DataQuality, Signal, Timing};
use crate::state::{BookState, MarketState};
use crate::strategy::{Context, Draft, LEGS, Parameters, Strategy, Streams, TIMEFRAMES};
use arrayvec::ArrayVec;
use sha1::{Digest, Sha1};
use uuid::Uuid;

/// Root of all signal ids.
const NAMESPACE: Uuid = Uuid::from_u128(0x7469_636b_666f_7267_6520_7369_676e_616c);

pub(super) struct Host {
    pub strategy: Box<dyn Strategy>,
    pub plan: u16,
    /// What its signals are made with: an index into [`Settings::descriptions`].
    pub setting: u32,
    pub streams: Streams,
    /// Its instruments; one, but for a group.
    pub legs: ArrayVec<InstrumentId, LEGS>,
    /// By leg: indices of its bar builders in the instrument's state, in the order of its kinds of
    /// bars, and how many bars of each it is warmed by.
    pub bars: Vec<ArrayVec<(usize, u32), TIMEFRAMES>>,
    pub warming: Warming,
    /// It waits for bars from before the run, and is called for nothing.
    pub waiting: bool,
    /// It goes on where an earlier run stood.
    pub restored: bool,
    /// Of which of its instruments what was before the run has come: a bit for each leg.
    answered: u8,
    /// It waits only until all its instruments have come to this time, ns: where the first of them
    /// was when the last had told what it missed.
    pub rejoins_ns: Option<i64>,
    /// By leg: bars that end here or earlier are known to it, ns.
    pub fed_ns: ArrayVec<i64, LEGS>,
    /// All that its ids have in common: strategy, code version, parameters, exchange, symbol.
    pub namespace: Uuid,
}

/// Adds the bars that a plan listens to with these parameters to a market: their builders, and how
/// many it is warmed by. The error names the instrument that they do not fit.
#[cold]
pub(super) fn add_bars(
    plan: &Plan,
    parameters: &Parameters,
    market: &mut MarketState,
) -> Result<ArrayVec<(usize, u32), TIMEFRAMES>, String> {
    let counted = plan
        .bars(parameters)
        .into_iter()
        .zip(plan.history(parameters));
    let add = |(wanted, count): (BarSpec, u32)| {
        let kind = wanted.at(market.price_scale, market.amount_scale);
        let kind = kind.map_err(|why| {
            let name = market.instrument.name();
            format!("no bars {wanted} of {name}: {why}; choose another size")
        })?;
        let builder = market.bars.add(kind);
        let mut kept = count as usize;
        if !plan.groups.is_empty()
            && let BarKind::Time(interval_ns) = kind
        {
            // What one leg missed waits here for what the others did.
            kept += (MISSED_AT_MOST.as_nanos() / interval_ns.max(1) as u128) as usize;
        }
        market.bars.keep(builder, kept);
        Ok((builder, count))
    };
    counted.map(add).collect()
}

impl Host {
    /// An instance of a plan on its instruments, with its bar builders added to their state. The
    /// error says why there is none: its kinds of bars do not fit an instrument's numbers.
    /// (Parameters that do not go together are refused at start.)
    #[cold]
    pub fn new(
        index: u16,
        plan: &Plan,
        legs: &[InstrumentId],
        markets: &mut Markets,
        settings: &Settings,
    ) -> Result<Host, String> {
        let mut listed = legs.iter().map(|id| &markets[*id as usize]);
        let first = listed.next().and_then(Option::as_deref);
        let first = first.ok_or("its instrument is not listed")?;
        let parameters = plan.tuning.of(&key_of(&first.instrument)).clone();
        let strategy = (plan.entry.spec.new)(&parameters)?;
        let mut host = Host {
            strategy,
            plan: index,
            setting: 0,
            streams: plan.entry.spec.streams,
            legs: legs.iter().copied().collect(),
            bars: Vec::new(),
            warming: Warming::Done,
            waiting: false,
            restored: false,
            answered: 0,
            rejoins_ns: None,
            fed_ns: ArrayVec::new(),
            namespace: Uuid::nil(),
        };
        host.describe(plan, &parameters, markets, settings)?;
        Ok(host)
    }

    /// The same anew: it has seen nothing, and waits for what this one waits for.
    #[cold]
    pub fn cold(
        &self,
        plan: &Plan,
        markets: &mut Markets,
        settings: &Settings,
    ) -> Result<Host, String> {
        Ok(Host {
            waiting: self.waiting,
            answered: self.answered,
            ..Host::new(self.plan, plan, &self.legs, markets, settings)?
        })
    }

    /// Other parameters, between two events. The instance takes them over, or a cold one with them
    /// takes its place; the answer says whether it is the old one.
    #[cold]
    pub fn change(
        &mut self,
        plan: &Plan,
        markets: &mut Markets,
        settings: &Settings,
    ) -> Result<bool, String> {
        let leg = self.legs.first().map_or(0, |id| *id as usize);
        let market = markets.get(leg).and_then(Option::as_deref);
        let key = market.map(|m| key_of(&m.instrument)).unwrap_or_default();
        let parameters = plan.tuning.of(&key).clone();
        let cold = (plan.entry.spec.new)(&parameters)?;
        let (warming, fed_ns) = (self.warming, self.fed_ns.clone());
        let bars = self.bars.clone();
        self.describe(plan, &parameters, markets, settings)?;
        let same_bars = bars == self.bars;
        if same_bars && self.strategy.set(&parameters) {
            (self.warming, self.fed_ns) = (warming, fed_ns);
            return Ok(true);
        }
        self.strategy = cold;
        Ok(false)
    }

    /// Takes down what follows from the parameters: bars, warm-up, ids. It begins cold.
    #[cold]
    fn describe(
        &mut self,
        plan: &Plan,
        parameters: &Parameters,
        markets: &mut Markets,
        settings: &Settings,
    ) -> Result<(), String> {
        let described = plan.described(parameters);
        let mut name = vec![
            described.strategy.to_string(),
            described.version.clone(),
            described.parameters.to_string(),
        ];
        let mut bars = Vec::new();
        for id in &self.legs {
            let market = markets.get_mut(*id as usize).and_then(|m| m.as_deref_mut());
            let market = market.ok_or("its instrument is not listed")?;
            name.push(market.instrument.exchange.to_owned());
            name.push(market.instrument.symbol.clone());
            bars.push(add_bars(plan, parameters, market)?);
        }
        self.bars = bars;
        self.warming = Warming::new((plan.entry.spec.warm_up)(parameters));
        self.fed_ns = self.legs.iter().map(|_| i64::MIN).collect();
        self.namespace = uuid_v5(&NAMESPACE, name.join("\0").as_bytes());
        self.setting = settings.descriptions.add(described);
        Ok(())
    }

    /// Whether bars from before the run are of use to it: they are bars of time.
    pub fn wants_past(&self, markets: &Markets) -> bool {
        let wanted = |(id, bars): (&InstrumentId, &ArrayVec<(usize, u32), TIMEFRAMES>)| {
            let market = markets.get(*id as usize).and_then(Option::as_deref);
            market.is_some_and(|market| {
                let is_time = |(builder, count): &(usize, u32)| {
                    *count > 0
                        && market
                            .bars
                            .get(*builder)
                            .is_some_and(|b| b.kind().is_time())
                };
                bars.iter().any(is_time)
            })
        };
        self.legs.iter().zip(&self.bars).any(wanted)
    }

    /// What was before the run has come of one leg. Says whether it has of all.
    pub fn answered_by(&mut self, leg: usize) -> bool {
        self.answered |= 1 << leg;
        self.answered.count_ones() as usize >= self.legs.len()
    }

    /// Whether it does not see what happens now. What goes on from an earlier run sees what it
    /// missed; with several legs only once all have told theirs, so that it sees them in order.
    #[inline]
    pub fn waits(&self, missed: bool) -> bool {
        self.waiting && !(missed && self.restored && self.legs.len() == 1)
    }

    /// Whether what it missed can be shown to it once all its legs have told it: bars are kept.
    pub fn joins_on(&self) -> bool {
        let mut counts = self.bars.iter().flatten().map(|(_, count)| *count);
        self.legs.len() == 1 || !self.streams.has(Streams::TRADES) && counts.all(|count| count > 0)
    }

    /// Whether a book that it looks at is not right.
    #[inline]
    pub fn on_stale_book(&self, context: &Context) -> bool {
        let stale = |market: &MarketState| market.book_state != BookState::Synced;
        let mut legs = 0..self.legs.len();
        self.streams.has(Streams::BOOK) && legs.any(|leg| context.market(leg).is_none_or(stale))
    }

    /// The quality of the worst market that it looks at.
    #[inline]
    fn quality(&self, context: &Context, market: &MarketState) -> DataQuality {
        let mut quality = market.quality;
        for leg in 0..self.legs.len() {
            quality.synced &= context.market(leg).is_none_or(|m| m.quality.synced);
        }
        quality
    }

    /// Completes a draft. `None` where there is no price yet to put on it, or no such leg.
    pub fn sign(
        &self,
        context: &Context,
        call: Call,
        ordinal: usize,
        draft: &Draft,
    ) -> Option<Signal> {
        let event = context.event;
        let market = context.market(draft.leg)?;
        let event_ns = event.time_ns();
        let on_tick = |price: Option<f64>| price.and_then(|p| market.on_tick(p));
        Some(Signal {
            id: self.signal_id(context, call, ordinal),
            strategy: self.plan,
            setting: self.setting,
            instrument: *self.legs.get(draft.leg)?,
            signal_type: draft.signal_type,
            source: draft.source,
            strength: draft.strength,
            confidence: draft.confidence,
            price: market.price_decimal()?,
            target_price: on_tick(draft.target_price),
            stop_loss_price: on_tick(draft.stop_loss_price),
            take_profit_price: on_tick(draft.take_profit_price),
            reasoning: draft.reasoning,
            indicators: draft.indicators.clone(),
            conditions: draft.conditions.clone(),
            quality: self.quality(context, market),
            event_ns,
            valid_until_ns: event_ns.saturating_add(draft.valid_for_ns),
            timing: Timing {
                exchange_ns: event.exchange_ns,
                recv_ns: event.recv_ns,
                decode_ns: u32::from(event.decode_ns),
                decided_ns: 0,
            },
        })
    }

    /// UUIDv5 of (strategy, code version, parameters, instrument; event time, the exchange's trade
    /// or update id, ordinal): the same on every host and in every replay. Where the exchange gives
    /// no id, the event's own values stand for it; the receipt never does.
    fn signal_id(&self, context: &Context, call: Call, ordinal: usize) -> Uuid {
        let event: &Event = context.event;
        let mut name = [0u8; 42];
        name[..8].copy_from_slice(&event.exchange_ns.to_be_bytes());
        name[8] = event.kind as u8;
        // Two instruments of a group may use the same numbers.
        name[9] = ordinal as u8 | (context.leg as u8) << 4;
        match call {
            Call::Bar(builder, bar, before) => {
                // The bar is the event; its kind is a parameter.
                name[8] = 0;
                name[10] = context.timeframe as u8;
                let builder = context.state.bars.get(builder);
                if builder.is_none_or(|b| b.kind().is_time()) {
                    // Whichever message closed it.
                    name[..8].copy_from_slice(&bar.start_ns.to_be_bytes());
                } else {
                    // The trade that closed it, and perhaps others with it.
                    name[11..27].copy_from_slice(&event.trade().id.to_be_bytes());
                    name[27..29].copy_from_slice(&before.to_be_bytes());
                }
            }
            _ => match event.kind {
                Kind::Trade => name[10..26].copy_from_slice(&event.trade().id.to_be_bytes()),
                _ if event.update_id != 0 => {
                    name[10..18].copy_from_slice(&event.update_id.to_be_bytes())
                }
                _ => name[10..42].copy_from_slice(&event.payload_bytes()),
            },
        }
        uuid_v5(&self.namespace, &name)
    }
}

/// As `Uuid::new_v5`, whose SHA-1 does not use the processor's instructions for it.
fn uuid_v5(namespace: &Uuid, name: &[u8]) -> Uuid {
    let hash = Sha1::new()
        .chain_update(namespace.as_bytes())
        .chain_update(name);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    uuid::Builder::from_sha1_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuids_of_version_5() {
        for length in 0..130 {
            let name = vec![length as u8; length];
            let ours = uuid_v5(&Uuid::NAMESPACE_DNS, &name);
            assert_eq!(ours, Uuid::new_v5(&Uuid::NAMESPACE_DNS, &name));
        }
    }
}
