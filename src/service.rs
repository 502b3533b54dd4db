//! What does the daemon's supervisor hear? systemd's notify protocol where `NOTIFY_SOCKET` names
//! a socket, nothing elsewhere; and what goes wrong with threads and clock stands in the log.
//!
//! `READY=1` comes when every thread has passed its loop once, `WATCHDOG=1` only while all do: see
//! [`Watchdog`]. Driven by `commands::run`, on its thread; slows nothing down, waits for nothing.

use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::watchdog::Watchdog;
use sd_notify::NotifyState;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often [`Service::look`] is to be called, at most.
const LOOK: Duration = Duration::from_millis(500);
/// Between two changes of the status text.
const STATUS_EVERY: Duration = Duration::from_secs(5);
/// A thread that stands still for this long is named in the log, where no watchdog says sooner.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at what strategies cost.
const CALLS_EVERY: Duration = Duration::from_secs(60);
/// One call in so many may take longer than its budget: it was held up.
const SLOW_ONE_IN: u64 = 1000;
/// The host's clock has stepped when it moved so far within a look, ns; slewing moves both alike.
const STEP_NS: i64 = 5_000_000;

pub struct Service {
    metrics: Arc<Metrics>,
    clock: Clock,
    watchdog: Watchdog,
    /// Within this time the supervisor wants to be fed.
    limit: Option<Duration>,
    ready: bool,
    /// When all threads had passed their loops.
    passed: Instant,
    /// The threads that the log has named since.
    named: Vec<&'static str>,
    fed: Instant,
    status: String,
    status_at: Option<Instant>,
    /// When calls were last looked at, and by strategy how many there were, and over budget.
    calls_at: Instant,
    calls: Vec<(u64, u64)>,
}

impl Service {
    /// `threads` are those that have to pass their loops.
    pub fn new(metrics: Arc<Metrics>, clock: Clock, threads: &[&'static str]) -> Service {
        let now = Instant::now();
        metrics
            .host_clock
            .started_ns
            .set(clock.now_ns().unsigned_abs());
        Service {
            metrics,
            clock,
            watchdog: Watchdog::new(threads),
            limit: sd_notify::watchdog_enabled(),
            ready: false,
            passed: now,
            named: Vec::new(),
            fed: now,
            status: String::new(),
            status_at: None,
            calls_at: now,
            calls: Vec::new(),
        }
    }

    /// The pace of [`Service::look`].
    pub fn pace(&self) -> Duration {
        self.limit.map_or(LOOK, |limit| (limit / 8).min(LOOK))
    }

    /// Looks at the threads and the clock, and tells the supervisor.
    pub fn look(&mut self) {
        let now = Instant::now();
        self.look_at_clock();
        self.look_at_calls(now);
        let stuck = self.watchdog.stuck(&self.metrics.passes);
        if stuck.is_empty() {
            self.passed = now;
            self.named.clear();
            if !self.ready {
                self.ready = true;
                tracing::info!("ready");
                send(&[NotifyState::Ready]);
            }
            self.feed(now);
        } else if self.ready {
            self.name(stuck, now);
        }
        if self.ready {
            self.tell_status(now);
        }
    }

    /// Keeps the supervisor content while the threads end one after another; the drain has a limit
    /// of its own.
    pub fn drain(&mut self) {
        self.feed(Instant::now());
    }

    fn feed(&mut self, now: Instant) {
        let Some(limit) = self.limit else { return };
        if now - self.fed >= limit / 8 {
            self.fed = now;
            send(&[NotifyState::Watchdog]);
        }
    }

    fn name(&mut self, stuck: Vec<&'static str>, now: Instant) {
        let still = now - self.passed;
        let patience = self
            .limit
            .map_or(PATIENCE, |limit| (limit / 2).min(PATIENCE));
        if still >= patience && self.named != stuck {
            let threads = stuck.join(", ");
            let next = if self.limit.is_some() {
                "the watchdog is not fed"
            } else {
                "restart the daemon"
            };
            tracing::error!("no pass of the loop of {threads} for {still:.1?}; {next}");
            self.named = stuck;
        }
    }

    fn look_at_clock(&self) {
        let Some(lead_ns) = self.clock.host_lead_ns() else {
            return;
        };
        let host = &self.metrics.host_clock;
        let moved_ns = lead_ns - host.offset_ns.get();
        host.offset_ns.set(lead_ns);
        if moved_ns.abs() >= STEP_NS {
            host.steps.add(1);
            let ms = moved_ns / 1_000_000;
            tracing::warn!(
                "the host's clock stepped by {ms} ms; stamps follow the clock of the start until a restart"
            );
        }
    }

    /// Names the strategies that break their budget.
    fn look_at_calls(&mut self, now: Instant) {
        if now - self.calls_at < CALLS_EVERY {
            return;
        }
        self.calls_at = now;
        let all = self.metrics.strategies();
        self.calls.resize(all.len(), (0, 0));
        for ((strategy, metrics), before) in all.iter().zip(&mut self.calls) {
            let now = (metrics.calls.get(), metrics.over_budget.get());
            let (calls, over) = (now.0 - before.0, now.1 - before.1);
            *before = now;
            if over > 1 && over > calls / SLOW_ONE_IN {
                let budget = Duration::from_nanos(metrics.budget_ns.get());
                let longest = Duration::from_nanos(metrics.longest_ns.get());
                tracing::warn!(
                    "strategy {strategy}: {over} of its last {calls} calls took longer than its \
                     budget of {budget:?}, the longest so far {longest:.1?}; the others wait for it"
                );
            }
        }
    }

    fn tell_status(&mut self, now: Instant) {
        if self.status_at.is_some_and(|at| now - at < STATUS_EVERY) {
            return;
        }
        self.status_at = Some(now);
        let status = self.text();
        if status != self.status {
            send(&[NotifyState::Status(&status)]);
            self.status = status;
        }
    }

    /// One line for `systemctl status`.
    fn text(&self) -> String {
        let (ingest, engine) = (&self.metrics.ingest, &self.metrics.engine);
        let (up, wanted) = (ingest.connections_up.get(), ingest.connections_wanted.get());
        let (synced, stale) = (engine.books_synced.get(), engine.books_stale.get());
        let signals = self.metrics.journal.appended.get();
        let mut text = format!(
            "{up} of {wanted} connections up; books: {synced} synced, {stale} stale; {signals} signals"
        );
        let stores = [
            ("postgres", &self.metrics.postgres),
            ("redis", &self.metrics.redis),
        ];
        for (name, store) in stores {
            if store.wanted.get() == 1 && store.up.get() == 0 {
                text += &format!("; {name} is away, {} signals wait", store.lag.get());
            }
        }
        text
    }

    /// A reload begins; [`Service::reloaded`] ends it.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => send(&[NotifyState::Reloading, now]),
            Err(_) => send(&[NotifyState::Reloading]),
        }
    }

    pub fn reloaded(&mut self, said: &str) {
        send(&[NotifyState::Ready, NotifyState::Status(said)]);
        // It stays to be read until the next text is due.
        said.clone_into(&mut self.status);
        self.status_at = Some(Instant::now());
    }

    /// The drain begins and takes at most `limit`.
    pub fn stopping(&mut self, why: &str, limit: Duration) {
        let more = limit + Duration::from_secs(10);
        let more = u32::try_from(more.as_micros()).unwrap_or(u32::MAX);
        send(&[
            NotifyState::Stopping,
            NotifyState::ExtendTimeoutUsec(more),
            NotifyState::Status(&format!("draining: {why}")),
        ]);
    }
}

fn send(states: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "NOTIFY_SOCKET takes nothing");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> Service {
        Service::new(Arc::default(), Clock::system(), &["engine", "journal"])
    }

    #[test]
    fn it_is_ready_once_every_thread_has_passed() {
        let mut service = service();
        let passes = Arc::clone(&service.metrics);
        service.look();
        passes.passes.engine.add(1);
        service.look();
        assert!(!service.ready);
        passes.passes.journal.add(1);
        service.look();
        assert!(service.ready);
    }

    #[test]
    fn feeding_stops_with_one_thread() {
        let mut service = service();
        service.limit = Some(Duration::from_millis(8));
        let metrics = Arc::clone(&service.metrics);
        let both = || {
            metrics.passes.engine.add(1);
            metrics.passes.journal.add(1);
        };
        let mut fed_by = |pass: &dyn Fn()| {
            std::thread::sleep(Duration::from_millis(2));
            let before = service.fed;
            pass();
            service.look();
            service.fed > before
        };
        assert!(fed_by(&both));
        assert!(fed_by(&both));
        assert!(!fed_by(&|| metrics.passes.journal.add(1)));
        std::thread::sleep(Duration::from_millis(10));
        assert!(!fed_by(&|| metrics.passes.journal.add(1)));
        assert!(fed_by(&|| metrics.passes.engine.add(1)));
        assert!(service.named.is_empty());
    }

    #[test]
    fn a_thread_that_stands_still_is_named() {
        let mut service = service();
        service.limit = Some(Duration::from_millis(8));
        let metrics = Arc::clone(&service.metrics);
        metrics.passes.engine.add(1);
        metrics.passes.journal.add(1);
        service.look();
        metrics.passes.engine.add(1);
        std::thread::sleep(Duration::from_millis(5));
        service.look();
        assert_eq!(service.named, ["journal"]);
    }

    #[test]
    fn the_status_says_what_is_away() {
        let service = service();
        let metrics = &service.metrics;
        metrics.ingest.connections_wanted.set(2);
        metrics.engine.books_synced.set(3);
        metrics.redis.wanted.set(1);
        metrics.redis.lag.set(7);
        assert_eq!(
            service.text(),
            "0 of 2 connections up; books: 3 synced, 0 stale; 0 signals; redis is away, 7 signals wait"
        );
    }
}
