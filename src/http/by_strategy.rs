//! What each strategy instance costs, labelled by its name.

use super::encoder::{Out, Read};
use crate::metrics::{CallMetrics, Metrics};
use std::fmt;

pub(super) fn by_strategy(out: &mut Out, m: &Metrics) -> fmt::Result {
    const COUNTERS: [(&str, &str, Read<CallMetrics>); 2] = [
        ("strategy_calls", "Calls of a strategy", |c| c.calls.get()),
        (
            "strategy_calls_over_budget",
            "Calls that took longer than the strategy's budget",
            |c| c.over_budget.get(),
        ),
    ];
    const GAUGES: [(&str, &str, Read<CallMetrics>); 3] = [
        (
            "strategy_longest_call_seconds",
            "The longest call of a strategy since the start",
            |c| c.longest_ns.get(),
        ),
        (
            "strategy_busy_seconds",
            "Time in all calls of a strategy",
            |c| c.total_ns.get(),
        ),
        (
            "strategy_budget_seconds",
            "What a strategy declares for one call",
            |c| c.budget_ns.get(),
        ),
    ];
    let held = m.strategies();
    let rows: Vec<_> = held.iter().map(|(name, c)| (&**name, &**c)).collect();
    for (name, help, read) in COUNTERS {
        out.counters(name, "strategy", help, &rows, read)?;
    }
    for (name, help, read) in GAUGES {
        out.gauges(name, "strategy", help, &rows, |c| read(c) as f64 / 1e9)?;
    }
    Ok(())
}
