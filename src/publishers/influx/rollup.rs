//! Which bars does this run's stream of trades make? Windows of a second, a minute and an hour for
//! each instrument, in memory; a bar is written again whenever it changed.
//!
//! No window is ever closed, so none can be closed too early: its newest state overwrites the
//! older one, at the same time in the same series. What memory alone cannot know is asked of the
//! store, by a [`Repair`]: seconds before [`Rollup::owned_ns`] (an earlier run may have trades in
//! them), and late trades of windows that memory has let go. Pure: no I/O, the time is given.

use super::bar::{Bar, Fact, Rolling, Span};
use super::points::{self, Series};
use super::policy::Policy;
use crate::market::decimal;
use crate::market::{InstrumentId, Tick};
use crate::publishers::intake::{self, CHANGE_SCALE, Known};
use rust_decimal::Decimal;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

/// Windows of each span that are kept: the newest ones with trades in them. Equal for all spans,
/// so that where a second is still here, its minute and its hour are, too.
const KEPT: usize = 4;

/// Takes a bar's line: its policy, whose it is, and what writes it.
pub trait Outlet {
    fn bar(&mut self, policy: Policy, owner: &Arc<str>, bar: &Bar, series: &[u8], start_ns: i64);
}

/// What the store has to be asked for: these seconds of one instrument, from their raw trades, the
/// minutes and hours that they are in, and what is missing of windows in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    pub instrument: InstrumentId,
    pub seconds: Range<i64>,
}

pub struct Rollup {
    /// From here on every trade comes by this run.
    pub owned_ns: i64,
    markets: Vec<Option<Box<Market>>>,
    /// With something to be written.
    dirty: Vec<InstrumentId>,
    repairs: BTreeMap<InstrumentId, Range<i64>>,
    /// Trades older than the raw policy keeps: in no bar.
    pub too_late: u64,
}

struct Market {
    name: Arc<str>,
    series: Arc<[u8]>,
    windows: [[Window; KEPT]; 3],
    dirty: bool,
}

#[derive(Clone, Copy)]
struct Window {
    /// `i64::MIN` where it is not in use.
    start_ns: i64,
    bar: Bar,
    base: Base,
    dirty: bool,
    written: Option<Instant>,
}

const UNUSED: Window = Window {
    start_ns: i64::MIN,
    bar: Bar::EMPTY,
    base: Base::None,
    dirty: false,
    written: None,
};

/// What is in a window beside this run's own trades.
#[derive(Clone, Copy, PartialEq)]
enum Base {
    /// Nothing: the window is this run's from its beginning.
    None,
    /// Not known yet, so that it cannot be written.
    Unknown,
    Known(Bar),
}

impl Window {
    fn full(&self) -> Option<Bar> {
        match self.base {
            Base::None => Some(self.bar),
            Base::Unknown => None,
            Base::Known(mut bar) => {
                bar.merge(&self.bar);
                Some(bar)
            }
        }
    }
}

impl Rollup {
    /// `owned_ns` is where a second begins.
    pub fn new(owned_ns: i64) -> Rollup {
        Rollup {
            owned_ns: Span::Second.start(owned_ns),
            markets: Vec::new(),
            dirty: Vec::new(),
            repairs: BTreeMap::new(),
            too_late: 0,
        }
    }

    /// A trade whose line is made. What falls out of memory is written by `out`.
    pub fn trade(
        &mut self,
        tick: &Tick,
        known: &Known<Series>,
        now_ns: i64,
        out: &mut impl Outlet,
    ) {
        let fact = fact(tick, known);
        if fact.time_ns <= now_ns - Policy::Realtime.keeps_ns() {
            self.too_late += 1;
            return;
        }
        let id = tick.event.instrument;
        let second = Span::Second.start(fact.time_ns);
        let owned = second >= self.owned_ns;
        let owned_ns = self.owned_ns;
        let market = self.market(id, known);
        let mut ask: Option<Range<i64>> = (!owned).then_some(second..second + Span::Second.ns());
        for span in Span::ALL {
            if !owned {
                break;
            }
            match market.take(span, &fact, owned_ns, out) {
                Taken::Here => {}
                Taken::Ask(range) => widen(&mut ask, range),
            }
        }
        if let Some(range) = ask {
            self.ask(id, range);
        }
        if owned {
            self.mark_dirty(id);
        }
    }

    fn market(&mut self, id: InstrumentId, known: &Known<Series>) -> &mut Market {
        let i = id as usize;
        if i >= self.markets.len() {
            self.markets.resize_with(i + 1, || None);
        }
        self.markets[i].get_or_insert_with(|| {
            Box::new(Market {
                name: Arc::clone(&known.label.name),
                series: known.label.trades().into(),
                windows: [[UNUSED; KEPT]; 3],
                dirty: false,
            })
        })
    }

    fn mark_dirty(&mut self, id: InstrumentId) {
        if let Some(Some(market)) = self.markets.get_mut(id as usize)
            && !std::mem::replace(&mut market.dirty, true)
        {
            self.dirty.push(id);
        }
    }

    /// Asks for a part of an instrument's time to be made again from the store.
    pub fn ask(&mut self, id: InstrumentId, range: Range<i64>) {
        let mut known = self.repairs.remove(&id);
        widen(&mut known, range);
        self.repairs.extend(known.map(|range| (id, range)));
    }

    /// What has to be asked of the store; it is not asked again unless [`Rollup::ask`]ed for.
    pub fn repairs(&mut self) -> Vec<Repair> {
        let all = std::mem::take(&mut self.repairs).into_iter();
        all.map(|(instrument, seconds)| Repair {
            instrument,
            seconds,
        })
        .collect()
    }

    pub fn has_repairs(&self) -> bool {
        !self.repairs.is_empty()
    }

    /// The oldest moment of which something is not in the store yet. Of a minute and an hour it is
    /// their last second: what is repaired from there on makes them again, out of finer bars.
    pub fn unsettled_ns(&self) -> Option<i64> {
        let asked = self.repairs.values().map(|range| range.start);
        let markets = self
            .dirty
            .iter()
            .filter_map(|id| self.markets.get(*id as usize));
        let dirty = markets.flatten().flat_map(|market| {
            let windows = Span::ALL.into_iter().zip(&market.windows);
            windows.flat_map(|(span, windows)| {
                let dirty = windows.iter().filter(|w| w.dirty);
                dirty.map(move |w| w.start_ns + span.ns() - Span::Second.ns())
            })
        });
        asked.chain(dirty).min()
    }

    /// Writes the bars that changed and whose pace is over, or `all` that changed.
    pub fn write(&mut self, all: bool, now: Instant, out: &mut impl Outlet) {
        let markets = &mut self.markets;
        self.dirty.retain(|id| {
            let Some(Some(market)) = markets.get_mut(*id as usize) else {
                return false;
            };
            market.dirty = market.write(all, now, out);
            market.dirty
        });
    }

    /// Windows that are here and lack what was in them before this run.
    pub fn incomplete(&self, id: InstrumentId) -> impl Iterator<Item = (Span, i64)> {
        let market = self.markets.get(id as usize).and_then(Option::as_ref);
        let windows = market
            .into_iter()
            .flat_map(|m| Span::ALL.into_iter().zip(&m.windows));
        windows.flat_map(|(span, windows)| {
            let unknown = windows.iter().filter(|w| w.base == Base::Unknown);
            unknown.map(move |w| (span, w.start_ns))
        })
    }

    /// All instruments with an incomplete window.
    pub fn all_incomplete(&self) -> Vec<InstrumentId> {
        let ids = 0..self.markets.len() as InstrumentId;
        ids.filter(|id| self.incomplete(*id).next().is_some())
            .collect()
    }

    /// What the store has of a window, before this run's own part. False where the window is not
    /// here, so that the bar that the store has to get is whole without memory.
    pub fn complete(&mut self, id: InstrumentId, span: Span, start_ns: i64, base: &Bar) -> bool {
        let owned_ns = self.owned_ns;
        let Some(Some(market)) = self.markets.get_mut(id as usize) else {
            return false;
        };
        let mut windows = market.windows[span as usize].iter_mut();
        let Some(window) = windows.find(|w| w.start_ns == start_ns) else {
            return false;
        };
        if start_ns < owned_ns {
            window.base = Base::Known(*base);
            window.dirty = true;
            window.written = None;
            self.mark_dirty(id);
        }
        true
    }
}

enum Taken {
    Here,
    /// The store has to be asked, for these seconds from their raw trades; empty where it is only
    /// for what was in a window before this run.
    Ask(Range<i64>),
}

impl Market {
    /// Puts a trade into its window, where memory has that or makes it.
    fn take(&mut self, span: Span, fact: &Fact, owned_ns: i64, out: &mut impl Outlet) -> Taken {
        let start_ns = span.start(fact.time_ns);
        let whole = start_ns..start_ns + span.ns();
        let windows = &mut self.windows[span as usize];
        if let Some(window) = windows.iter_mut().find(|w| w.start_ns == start_ns) {
            window.bar.merge(&Bar::of(fact));
            window.dirty = true;
            return Taken::Here;
        }
        let Some(oldest) = windows.iter_mut().min_by_key(|w| w.start_ns) else {
            return Taken::Ask(whole);
        };
        if start_ns < oldest.start_ns {
            return Taken::Ask(whole);
        }
        let let_go = std::mem::replace(
            oldest,
            Window {
                start_ns,
                bar: Bar::of(fact),
                base: if start_ns < owned_ns {
                    Base::Unknown
                } else {
                    Base::None
                },
                dirty: true,
                written: None,
            },
        );
        let mut ask = (start_ns < owned_ns).then_some(owned_ns..owned_ns);
        if let_go.dirty {
            let start_ns = let_go.start_ns;
            match let_go.full() {
                Some(bar) => out.bar(span.policy(), &self.name, &bar, &self.series, start_ns),
                None => widen(&mut ask, start_ns..start_ns + span.ns()),
            }
        }
        ask.map_or(Taken::Here, Taken::Ask)
    }

    /// Whether something is left to be written later.
    fn write(&mut self, all: bool, now: Instant, out: &mut impl Outlet) -> bool {
        let mut left = false;
        for span in Span::ALL {
            for window in self.windows[span as usize].iter_mut().filter(|w| w.dirty) {
                let rests = |then: Instant| now.duration_since(then) < span.pace();
                let due = all || !window.written.is_some_and(rests);
                let Some(bar) = window.full().filter(|_| due) else {
                    // Without its base it is no reason to look again: what brings that marks it.
                    left |= window.base != Base::Unknown;
                    continue;
                };
                out.bar(
                    span.policy(),
                    &self.name,
                    &bar,
                    &self.series,
                    window.start_ns,
                );
                window.dirty = false;
                window.written = Some(now);
            }
        }
        left
    }
}

fn widen(range: &mut Option<Range<i64>>, by: Range<i64>) {
    *range = Some(match range.take() {
        Some(known) if by.is_empty() => known,
        Some(known) if !known.is_empty() => known.start.min(by.start)..known.end.max(by.end),
        _ => by,
    });
}

fn fact(tick: &Tick, known: &Known<Series>) -> Fact {
    let (trade, day) = (tick.event.trade(), &tick.day);
    let price = |v: i64| Decimal::new(v, known.price_scale.into());
    let amount = |v: i64| Decimal::new(v, known.amount_scale.into());
    let seen = day.open != 0;
    let change = intake::change_24h(day);
    Fact {
        time_ns: points::trade_time_ns(&tick.event, known.label.resolution_ns()),
        price: price(trade.price),
        amount: amount(trade.amount),
        rolling: Rolling {
            high: seen.then(|| price(day.high)),
            low: seen.then(|| price(day.low)),
            change: change.map(|c| decimal::to_decimal(c, CHANGE_SCALE)),
            volume: seen.then(|| amount(day.volume)),
        },
    }
}

#[cfg(test)]
mod tests;
