//! The metrics of a tick store's spool, and of the ticks that stores lost, by instrument.

use super::encoder::Out;
use crate::metrics::TickMetrics;
use std::fmt;

pub(super) fn spool(out: &mut Out, store: &str, m: &TickMetrics) -> fmt::Result {
    let of_store = |n: u64| vec![(vec![("store", store.to_owned())], n)];
    for (name, help, counter) in [
        (
            "spool_torn_bytes",
            "Bytes of damaged spool files that were removed",
            &m.spool_torn_bytes,
        ),
        (
            "backlog_found",
            "Ticks that an earlier run left on disk",
            &m.backlog.found,
        ),
        (
            "backlog_stored",
            "Of an earlier run's ticks, those stored",
            &m.backlog.stored,
        ),
        (
            "backlog_dropped",
            "Of an earlier run's ticks, those dropped",
            &m.backlog.dropped,
        ),
        (
            "backlog_expired",
            "Of an earlier run's ticks, those older than the store keeps",
            &m.backlog.expired,
        ),
    ] {
        out.labelled_counters(name, help, &of_store(counter.get()))?;
    }
    let spools = [(store, m)];
    let help = "Bytes of the spool on disk";
    out.gauges("spool_size_bytes", "store", help, &spools, |t| {
        t.spool_bytes.get() as f64
    })?;
    let help = "Of an earlier run's ticks, those that still wait";
    out.gauges("backlog_waiting", "store", help, &spools, |t| {
        t.backlog.waiting.get() as f64
    })
}

/// What each store misses, by instrument, and what of it died with the run before.
pub(super) fn lost(out: &mut Out, stores: &[(&'static str, &TickMetrics)]) -> fmt::Result {
    let of_store = |(store, m): &(&'static str, &TickMetrics)| {
        let store = *store;
        m.lost.all().into_iter().map(move |(name, n)| {
            let (exchange, symbol) = name.split_once(' ').unwrap_or(("", &name));
            let labels = [("store", store), ("exchange", exchange), ("symbol", symbol)];
            (labels.map(|(k, v)| (k, v.to_owned())).to_vec(), n)
        })
    };
    let lost: Vec<_> = stores.iter().flat_map(of_store).collect();
    let help = "Ticks that a store misses, by instrument";
    out.labelled_counters("ticks_lost", help, &lost)?;
    let help = "Ticks that were in memory when the run before was killed";
    out.counters("ticks_died", "store", help, stores, |t| t.died.get())?;
    let help = "Of those, the ones that were on their way to the store and may be there";
    out.counters("ticks_died_unsure", "store", help, stores, |t| {
        t.died_unsure.get()
    })
}
