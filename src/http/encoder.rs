//! Our counters as Prometheus' kinds of metrics: a line of code for each metric. Knows no name.

use crate::metrics::Histogram;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use std::fmt;

/// A number of one store.
pub(super) type Read<T> = fn(&T) -> u64;

/// Upper bounds of the buckets, ns: 1, 2, 5 of each power of ten from 100 ns to 10 s.
const BOUNDS_NS: [u64; 25] = bounds();

const fn bounds() -> [u64; 25] {
    let mut bounds = [0; 25];
    let mut power = 100;
    let mut i = 0;
    while i < bounds.len() {
        bounds[i] = power * [1, 2, 5][i % 3];
        if i % 3 == 2 {
            power *= 10;
        }
        i += 1;
    }
    bounds
}

pub(super) struct Out<'a>(pub DescriptorEncoder<'a>);

impl Out<'_> {
    pub fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let metric = ConstCounter::new(value);
        metric.encode(
            self.0
                .encode_descriptor(name, help, None, metric.metric_type())?,
        )
    }

    pub fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let metric = ConstGauge::new(value);
        metric.encode(
            self.0
                .encode_descriptor(name, help, None, metric.metric_type())?,
        )
    }

    /// A time of the wall clock, in seconds since the epoch.
    pub fn timestamp(&mut self, name: &str, help: &str, ns: u64) -> fmt::Result {
        self.gauge(&format!("{name}_timestamp_seconds"), help, seconds(ns))
    }

    pub fn gauge_with(
        &mut self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        value: f64,
    ) -> fmt::Result {
        let mut family = self
            .0
            .encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(value).encode(family.encode_family(&labels)?)
    }

    pub fn counters<T>(
        &mut self,
        name: &str,
        label: &str,
        help: &str,
        rows: &[(&str, &T)],
        read: impl Fn(&T) -> u64,
    ) -> fmt::Result {
        let mut family = self
            .0
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        for (value, metrics) in rows {
            let labels = [(label, *value)];
            ConstCounter::new(read(metrics)).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    /// A counter for each set of labels; nothing where there is none.
    pub fn labelled_counters(
        &mut self,
        name: &str,
        help: &str,
        all: &[(Vec<(&'static str, String)>, u64)],
    ) -> fmt::Result {
        let mut family = self
            .0
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in all {
            ConstCounter::new(*value).encode(family.encode_family(labels)?)?;
        }
        Ok(())
    }

    pub fn gauges<T>(
        &mut self,
        name: &str,
        label: &str,
        help: &str,
        rows: &[(&str, &T)],
        read: impl Fn(&T) -> f64,
    ) -> fmt::Result {
        let mut family = self
            .0
            .encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (value, metrics) in rows {
            let labels = [(label, *value)];
            ConstGauge::new(read(metrics)).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    pub fn histogram(&mut self, name: &str, help: &str, h: &Histogram) -> fmt::Result {
        let kind = MetricType::Histogram;
        let mut metric = self
            .0
            .encode_descriptor(name, help, Some(&Unit::Seconds), kind)?;
        let (count, buckets) = buckets(h);
        metric.encode_histogram::<NoLabelSet>(seconds(h.sum_ns()), count, &buckets, None)
    }

    pub fn histograms<T>(
        &mut self,
        name: &str,
        label: &str,
        help: &str,
        rows: &[(&str, &T)],
        read: impl Fn(&T) -> &Histogram,
    ) -> fmt::Result {
        let kind = MetricType::Histogram;
        let mut family = self
            .0
            .encode_descriptor(name, help, Some(&Unit::Seconds), kind)?;
        for (value, metrics) in rows {
            let labels = [(label, *value)];
            let mut metric = family.encode_family(&labels)?;
            let h = read(metrics);
            let (count, buckets) = buckets(h);
            metric.encode_histogram::<NoLabelSet>(seconds(h.sum_ns()), count, &buckets, None)?;
        }
        Ok(())
    }
}

/// The count, and what is in each bucket.
fn buckets(h: &Histogram) -> (u64, Vec<(f64, u64)>) {
    let mut before = 0;
    let mut buckets = Vec::with_capacity(BOUNDS_NS.len() + 1);
    // The encoder sums up by itself; the writer may count on between two readings, never back.
    for bound in BOUNDS_NS {
        let up_to = h.count_up_to(bound).max(before);
        buckets.push((seconds(bound), up_to - before));
        before = up_to;
    }
    let count = h.count().max(before);
    buckets.push((f64::INFINITY, count - before));
    (count, buckets)
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_rise_from_100_ns_to_10_s() {
        assert_eq!(BOUNDS_NS[0], 100);
        assert_eq!(BOUNDS_NS[24], 10_000_000_000);
        assert!(BOUNDS_NS.is_sorted());
    }
}
