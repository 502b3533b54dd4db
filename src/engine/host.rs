//! HOT PATH. One strategy on one instrument: its instance, its bars, what becomes of its drafts.

use super::warming::Warming;
use super::{Call, Plan};
use crate::market::{Event, Kind};
use crate::signal::{Signal, Timing};
use crate::state::MarketState;
use crate::strategy::{Context, Draft, Strategy, Streams, TIMEFRAMES};
use arrayvec::ArrayVec;
use uuid::Uuid;

/// Root of all signal ids.
const NAMESPACE: Uuid = Uuid::from_u128(0x7469_636b_666f_7267_6520_7369_676e_616c);

pub(super) struct Host {
    pub strategy: Box<dyn Strategy>,
    pub plan: u16,
    pub streams: Streams,
    /// Indices of its bar builders in the instrument's state, in the order of its kinds of bars.
    pub bars: ArrayVec<usize, TIMEFRAMES>,
    pub warming: Warming,
    /// All that its ids have in common: strategy, code version, parameters, exchange, symbol.
    namespace: Uuid,
}

impl Host {
    /// An instance of a plan on an instrument, with its bar builders added to the instrument's
    /// state. The error says why there is none: its kinds of bars do not fit the instrument's
    /// numbers. (Parameters that do not go together are refused at start.)
    #[cold]
    pub fn new(index: u16, plan: &Plan, market: &mut MarketState) -> Result<Host, String> {
        let spec = plan.entry.spec;
        let strategy = (spec.new)(&plan.parameters)?;
        let mut bars = ArrayVec::new();
        for wanted in plan.bars() {
            let kind = wanted.at(market.price_scale, market.amount_scale);
            let kind = kind.map_err(|why| {
                let name = market.instrument.name();
                format!("no bars {wanted} of {name}: {why}; choose another size")
            })?;
            bars.push(market.bars.add(kind));
        }
        let warming = Warming::new((spec.warm_up)(&plan.parameters));
        let described = plan.described();
        let name = [
            described.strategy,
            &described.version,
            &described.parameters.to_string(),
            market.instrument.exchange,
            &market.instrument.symbol,
        ]
        .join("\0");
        Ok(Host {
            strategy,
            plan: index,
            streams: spec.streams,
            bars,
            warming,
            namespace: Uuid::new_v5(&NAMESPACE, name.as_bytes()),
        })
    }

    /// Completes a draft. `None` where there is no price yet to put on it.
    pub fn sign(
        &self,
        context: &Context,
        call: Call,
        ordinal: usize,
        draft: Draft,
    ) -> Option<Signal> {
        let (market, event) = (context.state, context.event);
        let event_ns = event.time_ns();
        let on_tick = |price: Option<f64>| price.and_then(|p| market.on_tick(p));
        Some(Signal {
            id: self.signal_id(context, call, ordinal),
            strategy: self.plan,
            instrument: event.instrument,
            signal_type: draft.signal_type,
            source: draft.source,
            strength: draft.strength,
            confidence: draft.confidence,
            price: market.price_decimal()?,
            target_price: on_tick(draft.target_price),
            stop_loss_price: on_tick(draft.stop_loss_price),
            take_profit_price: on_tick(draft.take_profit_price),
            reasoning: draft.reasoning,
            indicators: draft.indicators,
            conditions: draft.conditions,
            quality: market.quality,
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
        name[9] = ordinal as u8;
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
        Uuid::new_v5(&self.namespace, &name)
    }
}
