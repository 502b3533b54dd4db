//! What each exchange has of the counters, labelled by its name. The plain counters of the same
//! names are the sums.

use super::encoder::{Out, Read};
use crate::metrics::{Metrics, VenueMetrics};
use std::fmt;

pub(super) fn by_exchange(out: &mut Out, m: &Metrics) -> fmt::Result {
    const COUNTERS: [(&str, &str, Read<VenueMetrics>); 5] = [
        (
            "exchange_frames_received",
            "WebSocket frames received from an exchange",
            |v| v.frames_received.get(),
        ),
        (
            "exchange_frames_rejected",
            "Frames of an exchange that could not be decoded",
            |v| v.frames_rejected.get(),
        ),
        (
            "exchange_reconnects",
            "Connections to an exchange made again",
            |v| v.reconnects.get(),
        ),
        (
            "exchange_resyncs",
            "Books of an exchange rebuilt from a snapshot",
            |v| v.resyncs.get(),
        ),
        (
            "exchange_gaps",
            "Breaks of the sequence of an exchange's books",
            |v| v.gaps.get(),
        ),
    ];
    const GAUGES: [(&str, &str, Read<VenueMetrics>); 2] = [
        (
            "exchange_connections_up",
            "Connections to an exchange that are up",
            |v| v.connections_up.get(),
        ),
        (
            "exchange_connections_wanted",
            "Connections to an exchange that should be up",
            |v| v.connections_wanted.get(),
        ),
    ];
    let held = m.venues();
    let venues: Vec<_> = held.iter().map(|(name, v)| (*name, &**v)).collect();
    for (name, help, read) in COUNTERS {
        out.counters(name, "exchange", help, &venues, read)?;
    }
    for (name, help, read) in GAUGES {
        out.gauges(name, "exchange", help, &venues, |v| read(v) as f64)?;
    }
    out.gauges(
        "exchange_last_frame_timestamp_seconds",
        "exchange",
        "When the newest frame of an exchange came",
        &venues,
        |v| v.last_frame_ns.get() as f64 / 1e9,
    )?;
    out.gauges(
        "exchange_skew_seconds",
        "exchange",
        "Smallest delay from an exchange's stamp to the receipt, within 10 s; negative: this host's clock is behind",
        &venues,
        |v| v.skew.min_ns.get() as f64 / 1e9,
    )?;
    out.histograms(
        "exchange_to_recv",
        "exchange",
        "From an exchange's stamp to a frame's arrival, by two clocks",
        &venues,
        |v| &v.skew.exchange_to_recv,
    )
}
