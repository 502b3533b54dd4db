//! What changes between events: instruments are listed, strategies begin on them, wait for bars
//! from before the run, are switched, get other parameters. Off the hot path.

use super::host::{Host, add_bars};
use super::{Begun, Call, Engine, Outbox, Warming, invoke};
use crate::market::{Bar, BarKind, Event, InstrumentId, Reason, Side, Status, Tick, Trade};
use crate::outcome::Watch;
use crate::state::{Before, BookState, MarketState};
use crate::strategy::{Context, Group};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

impl Engine {
    #[cold]
    pub(super) fn on_status<O: Outbox>(&mut self, event: &Event, out: &mut O) {
        let id = event.instrument;
        let market = self.markets.get_mut(id as usize);
        let market = market.and_then(Option::as_deref_mut);
        match event.status() {
            Status::Listed => self.listed(id, event.recv_ns, out),
            Status::BookStale { epoch, reason } => {
                if let Some(market) = market {
                    market.book_stale(epoch);
                    if matches!(reason, Reason::Disconnected | Reason::SequenceGap) {
                        market.bars.gap();
                    }
                }
                self.broke(id);
                return;
            }
            Status::Interrupted => {
                if let Some(market) = market {
                    market.bars.gap();
                }
                return self.broke(id);
            }
            Status::InstrumentSwitch { on } => {
                if let Some(off) = self.off.get_mut(id as usize) {
                    *off = !on;
                }
                return;
            }
            Status::StrategySwitch { plan, on } => {
                if let Some(off) = self.plans_off.get_mut(usize::from(plan)) {
                    *off = !on;
                }
                return;
            }
            Status::Past => return self.past(id, out),
            Status::CaughtUp => return self.caught_up(id, out),
            Status::Parameters { change } => return self.change(change, out),
            Status::Rescale { price, amount } => {
                if let Some(market) = market
                    && !market.rescale(price, amount)
                {
                    market.book_state = BookState::Stale;
                    out.book_broken(id, Reason::Rejected);
                }
                if let Some(watch) = self.watches.get_mut(id as usize) {
                    watch.rescale(price);
                }
            }
        }
        // Tick stores keep scales too.
        out.tick(Tick {
            event: *event,
            day: Default::default(),
        });
    }

    fn broke(&mut self, id: InstrumentId) {
        if let Some(watch) = self.watches.get_mut(id as usize) {
            watch.broke();
        }
    }

    fn listed<O: Outbox>(&mut self, id: InstrumentId, now_ns: i64, out: &mut O) {
        let index = id as usize;
        if self.markets.len() <= index {
            self.markets.resize_with(index + 1, || None);
            self.listeners.resize_with(index + 1, Vec::new);
            self.watches.resize_with(index + 1, || Watch::new(0));
            self.off.resize(index + 1, false);
        }
        let instrument = self.registry.get(id);
        let name = instrument.name();
        let mut market = Box::new(MarketState::new(Arc::clone(&instrument)));
        self.watches[index] = Watch::new(market.price_scale);
        let (exchange, symbol) = (instrument.exchange, &instrument.symbol);
        let ours = |(e, s, _): &mut (String, String, _)| e == exchange && s == symbol;
        for (_, _, open) in self.resumed.extract_if(.., ours) {
            self.watches[index].add(open);
        }
        market.continue_day(self.history.remove(&name), now_ns);
        self.markets[index] = Some(market);
        // Listed again, it begins again; its hosts stay where they are in the list.
        let before = std::mem::take(&mut self.listeners[index]);
        for plan in 0..self.plans.len() {
            for legs in self.legs_of(plan, id) {
                self.begin(plan, &legs, &before, out);
            }
            self.bars_for_groups(plan, id);
        }
        self.restore(id, &name, out);
    }

    /// A strategy over several instruments begins with the last that is listed; the bars that it
    /// will listen to are made, filled and restored from here on.
    fn bars_for_groups(&mut self, plan: usize, id: InstrumentId) {
        let plan = &self.plans[plan];
        let Some(market) = self.markets[id as usize].as_deref_mut() else {
            return;
        };
        let this = super::plan::key_of(&market.instrument);
        for group in plan.groups.iter().filter(|group| group.contains(&this)) {
            let first = group.first().map_or("", String::as_str);
            // What does not fit is told where the instance begins.
            let _ = add_bars(plan, plan.tuning.of(first), market);
        }
    }

    /// The groups of instruments on which a plan can begin, now that this one is listed.
    fn legs_of(&self, plan: usize, id: InstrumentId) -> Vec<Vec<InstrumentId>> {
        let plan = &self.plans[plan];
        let key = |id: InstrumentId| super::plan::key_of(&self.registry.get(id));
        let this = key(id);
        if plan.groups.is_empty() {
            return plan.runs_on(&this).then(|| vec![id]).into_iter().collect();
        }
        let mut ids = self
            .markets()
            .map(|(id, _)| (key(id), id))
            .collect::<Vec<_>>();
        ids.sort_by_key(|(_, other)| *other == id);
        let id_of = |name: &String| ids.iter().rev().find(|(k, _)| k == name).map(|(_, id)| *id);
        let groups = plan.groups.iter().filter(|group| group.contains(&this));
        groups
            .filter_map(|group| group.iter().map(id_of).collect())
            .collect()
    }

    /// Begins an instance on its instruments, all of which are listed.
    fn begin<O: Outbox>(
        &mut self,
        plan: usize,
        legs: &[InstrumentId],
        before: &[(usize, usize)],
        out: &mut O,
    ) {
        let (index, settings) = (plan as u16, &self.settings);
        let plan = &self.plans[plan];
        let mut host = match Host::new(index, plan, legs, &mut self.markets, settings) {
            Ok(host) => host,
            Err(why) => return out.refused(&plan.name, legs[0], &why),
        };
        host.waiting = self.past_promised && host.wants_past(&self.markets);
        for (leg, id) in legs.iter().enumerate() {
            if self.market(*id).is_some_and(|m| m.before == Before::Told) {
                host.answered_by(leg);
            }
        }
        let same = |(slot, _): &&(usize, usize)| {
            self.hosts[*slot].plan == index && self.hosts[*slot].legs[..] == *legs
        };
        let slot = match before.iter().find(same) {
            Some((slot, _)) => {
                self.hosts[*slot] = host;
                *slot
            }
            None => {
                self.hosts.push(host);
                self.hosts.len() - 1
            }
        };
        for (leg, id) in legs.iter().enumerate() {
            let listeners = &mut self.listeners[*id as usize];
            if !listeners.contains(&(slot, leg)) {
                listeners.push((slot, leg));
            }
        }
    }

    /// Bars from before the run are there, or there are none. Those who waited see them, and those
    /// that closed meanwhile.
    fn past<O: Outbox>(&mut self, id: InstrumentId, out: &mut O) {
        let bars = self.registry.take_bars(id);
        let Some(market) = self
            .markets
            .get_mut(id as usize)
            .and_then(Option::as_deref_mut)
        else {
            return;
        };
        market.before = Before::Told;
        let waiting = |(slot, _): &&(usize, usize)| self.hosts[*slot].waiting;
        let waiting: Vec<(usize, usize)> = self.listeners[id as usize]
            .iter()
            .filter(waiting)
            .copied()
            .collect();
        for (interval_ns, bars) in bars {
            let kind = BarKind::Time(interval_ns);
            let builder = market.bars.iter().position(|b| b.kind() == kind);
            if let Some(builder) = builder {
                let live = |(slot, leg): &(usize, usize)| {
                    let host = &self.hosts[*slot];
                    !host.waiting && host.bars[*leg].iter().any(|(b, _)| *b == builder)
                };
                let awaits_open = self.listeners[id as usize].iter().any(live);
                market.bars.fill(builder, &bars, awaits_open);
            }
        }
        for (slot, leg) in waiting {
            let host = &mut self.hosts[slot];
            if !host.answered_by(leg) || host.rejoins_ns.is_some() {
                continue;
            }
            host.waiting = false;
            let begun = self.show_bars(slot, out);
            let name = &self.plans[usize::from(self.hosts[slot].plan)].name;
            out.begun(name, id, begun);
        }
    }

    /// The trades that were missed since an earlier run are in: its strategies go on live.
    fn caught_up<O: Outbox>(&mut self, id: InstrumentId, out: &mut O) {
        let Some(market) = self
            .markets
            .get_mut(id as usize)
            .and_then(Option::as_deref_mut)
        else {
            return;
        };
        market.before = market.before.max(Before::CaughtUp);
        for listener in 0..self.listeners[id as usize].len() {
            let (slot, leg) = self.listeners[id as usize][listener];
            let host = &mut self.hosts[slot];
            if !host.waiting || !host.restored || !host.answered_by(leg) {
                continue;
            }
            if host.legs.len() > 1 {
                let legs = host
                    .legs
                    .iter()
                    .map(|id| self.markets[*id as usize].as_deref());
                host.rejoins_ns = legs.flatten().map(|market| market.now_ns).max();
            } else {
                host.waiting = false;
            }
        }
        self.rejoin(out);
    }

    /// Those over several instruments that have told what they missed go on once the others have
    /// come to where the first is: so they see the bars of all in one order.
    #[cold]
    pub(super) fn rejoin<O: Outbox>(&mut self, out: &mut O) {
        self.rejoining = false;
        for slot in 0..self.hosts.len() {
            let host = &mut self.hosts[slot];
            let Some(rejoins_ns) = host.rejoins_ns else {
                continue;
            };
            let mut legs = host
                .legs
                .iter()
                .map(|id| self.markets[*id as usize].as_deref());
            if legs.all(|market| market.is_some_and(|m| m.now_ns >= rejoins_ns)) {
                (host.waiting, host.rejoins_ns) = (false, None);
                self.show_bars(slot, out);
            } else {
                self.rejoining = true;
            }
        }
    }

    /// Shows an instance the bars that are kept and that it has not seen. What it says to them is
    /// dropped.
    fn show_bars<O: Outbox>(&mut self, slot: usize, out: &mut O) -> Begun {
        let host = &mut self.hosts[slot];
        let mut bars: Vec<(i64, usize, usize, usize, Bar)> = Vec::new();
        let mut reaches_back = true;
        for (leg, (id, builders)) in host.legs.iter().zip(&host.bars).enumerate() {
            let Some(market) = self.markets[*id as usize].as_deref() else {
                continue;
            };
            for (timeframe, (builder, count)) in builders.iter().enumerate() {
                let past = market.bars.past(*builder);
                reaches_back &= past.iter().next().is_none_or(|oldest| {
                    past.len() < past.kept() || oldest.start_ns <= host.fed_ns[leg]
                });
                let surplus = past.len().saturating_sub(*count as usize);
                // One that goes on sees all that it missed.
                let goes_on = host.fed_ns[leg] > i64::MIN;
                let newest = past.iter().skip(if goes_on { 0 } else { surplus });
                bars.extend(newest.map(|bar| (bar.end_ns, *builder, leg, timeframe, *bar)));
            }
        }
        if host.fed_ns.iter().any(|fed| *fed > i64::MIN) && !reaches_back {
            // More was missed than is known: what it remembers does not join on.
            let plan = &self.plans[usize::from(host.plan)];
            if let Ok(cold) = host.cold(plan, &mut self.markets, &self.settings) {
                *host = cold;
            }
        }
        // In the order of their ends, as they would have come.
        bars.sort_by_key(|(end_ns, builder, leg, ..)| (*end_ns, *leg, *builder));
        bars.retain(|(end_ns, _, leg, ..)| *end_ns > host.fed_ns[*leg]);
        let (markets, stopped) = (&self.markets[..], &mut self.stopped);
        for (end_ns, builder, leg, timeframe, bar) in &bars {
            let id = host.legs[*leg];
            let Some(state) = markets[id as usize].as_deref() else {
                continue;
            };
            let trade = Trade {
                price: bar.close,
                amount: 0,
                id: 0,
                taker: Side::Buy,
            };
            let event = Event::from_trade(id, *end_ns, *end_ns, trade);
            let legs = &host.legs[..];
            let context = Context {
                state,
                event: &event,
                timeframe: *timeframe,
                leg: *leg,
                group: &Group { legs, markets },
            };
            let (call, drafts) = (Call::Bar(*builder, bar, 0), &mut self.drafts);
            let shown = catch_unwind(AssertUnwindSafe(|| {
                invoke(&mut *host.strategy, &context, call, drafts)
            }));
            self.drafts.clear();
            if shown.is_err() {
                let plan = usize::from(host.plan);
                stopped[plan] = true;
                out.strategy_stopped(&self.plans[plan].name, id);
                break;
            }
            host.fed_ns[*leg] = host.fed_ns[*leg].max(*end_ns);
            host.warming = host.warming.after(call, *timeframe, *leg, *end_ns);
        }
        if host.warming == Warming::Done {
            Begun::WarmedBy(bars.len())
        } else {
            Begun::StillCold(bars.len())
        }
    }

    /// Other parameters for a plan, from here on.
    fn change<O: Outbox>(&mut self, change: u32, out: &mut O) {
        let Some(change) = self.settings.change(change) else {
            return;
        };
        let Some(plan) = self.plans.get_mut(usize::from(change.plan)) else {
            return;
        };
        plan.tuning = change.tuning.clone();
        for slot in 0..self.hosts.len() {
            let host = &mut self.hosts[slot];
            if host.plan != change.plan {
                continue;
            }
            let (plan, id) = (&self.plans[usize::from(change.plan)], host.legs[0]);
            let changed = host.change(plan, &mut self.markets, &self.settings);
            let begun = match changed {
                Ok(true) => Begun::Changed,
                Ok(false) if self.hosts[slot].waiting => continue,
                Ok(false) => self.show_bars(slot, out),
                Err(why) => {
                    // The old one goes on as it was.
                    out.refused(&plan.name, id, &why);
                    continue;
                }
            };
            let name = &self.plans[usize::from(change.plan)].name;
            out.begun(name, id, begun);
        }
    }
}
