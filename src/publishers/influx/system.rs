//! How is the daemon itself? `system_metrics` at a configured pace, from its own counters and from
//! the kernel's. Runs on the publishers' runtime, whether the store answers or not.

use super::derived::Derived;
use super::measurements::{Measurement, SystemMetrics};
use crate::clock;
use crate::metrics::{Metrics, Since};
use crate::publishers::intake::Stop;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The tag `service`.
const SERVICE: &str = "tickforge";

/// Until a stop; `instance` is the daemon's name.
pub async fn system(
    derived: Arc<Derived>,
    instance: String,
    every: Duration,
    metrics: Arc<Metrics>,
    mut stop: Stop,
) {
    let mut look = Look::new();
    let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            _ = stop.wait_for(Option::is_some) => return,
        }
        let point = look.at(&metrics, &instance);
        point.write(&derived, clock::now_ns());
    }
}

/// The counters as they were at the last look.
struct Look {
    when: Instant,
    cpu: Option<Duration>,
    received: u64,
    rejected: u64,
    respond: Since,
}

impl Look {
    fn new() -> Look {
        Look {
            when: Instant::now(),
            cpu: cpu_time(),
            received: 0,
            rejected: 0,
            respond: Since::default(),
        }
    }

    /// What happened since the last look. A share of nothing is not known.
    fn at<'a>(&mut self, metrics: &Metrics, instance: &'a str) -> SystemMetrics<'a> {
        let (now, cpu) = (Instant::now(), cpu_time());
        let used = cpu
            .zip(self.cpu)
            .map(|(now, then)| now.saturating_sub(then));
        let elapsed = now.duration_since(self.when).as_secs_f64();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let ingest = &metrics.ingest;
        let (received, rejected) = (ingest.frames_received.get(), ingest.frames_rejected.get());
        let frames = received - self.received;
        let p99 = self.respond.quantile(&metrics.engine.respond, 0.99);
        let point = SystemMetrics {
            service: SERVICE,
            instance,
            cpu_usage: used.map(|u| percent(u.as_secs_f64(), elapsed * cores as f64)),
            memory_usage: memory_share(),
            response_time: p99.map(|ns| ns as f64 / 1e6),
            error_rate: (frames > 0).then(|| (rejected - self.rejected) as f64 / frames as f64),
        };
        (self.when, self.cpu) = (now, cpu);
        (self.received, self.rejected) = (received, rejected);
        point
    }
}

fn percent(part: f64, whole: f64) -> f64 {
    (part / whole.max(f64::MIN_POSITIVE) * 1e4).round() / 100.0
}

/// Processor time of this process, in the kernel and outside of it.
fn cpu_time() -> Option<Duration> {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the kernel fills the structure it is given; all-zero is a valid one, too.
    let usage = unsafe {
        if libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) != 0 {
            return None;
        }
        usage.assume_init()
    };
    let time = |t: libc::timeval| {
        Duration::from_secs(t.tv_sec.unsigned_abs())
            + Duration::from_micros(t.tv_usec.unsigned_abs())
    };
    Some(time(usage.ru_utime) + time(usage.ru_stime))
}

/// Memory that this process holds, percent of the host's.
fn memory_share() -> Option<f64> {
    let value = |file: &str, key: &str| {
        let text = std::fs::read_to_string(file).ok()?;
        let line = text.lines().find(|line| line.starts_with(key))?;
        line.split_whitespace().nth(1)?.parse::<f64>().ok()
    };
    let ours = value("/proc/self/status", "VmRSS:")?;
    Some(percent(ours, value("/proc/meminfo", "MemTotal:")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_the_last_period() {
        let metrics = Metrics::default();
        let mut look = Look::new();
        metrics.ingest.frames_received.add(1_000);
        metrics.ingest.frames_rejected.add(10);
        (0..1_000).for_each(|_| metrics.engine.respond.record(2_000_000));
        let first = look.at(&metrics, "a");
        assert_eq!(first.error_rate, Some(0.01));
        assert!((first.response_time.expect("known") - 2.0).abs() < 0.1);
        assert!(first.memory_usage.is_some_and(|m| m > 0.0 && m < 100.0));
        assert!(first.cpu_usage.is_some_and(|c| (0.0..=100.5).contains(&c)));
        metrics.ingest.frames_received.add(100);
        (0..1_000).for_each(|_| metrics.engine.respond.record(5_000_000));
        let second = look.at(&metrics, "a");
        assert_eq!(second.error_rate, Some(0.0));
        assert!((second.response_time.expect("known") - 5.0).abs() < 0.2);
        let third = look.at(&metrics, "a");
        assert_eq!((third.error_rate, third.response_time), (None, None));
    }
}
