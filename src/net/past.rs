//! What happened before the run: trades that were missed since the last one, and closed candles by
//! REST, for strategies that want them to warm up.
//!
//! One task for each exchange, on the ingest thread, beside the connections: no subscription and no
//! book waits for it. Requests go out one at a time at the exchange's pace, and book snapshots go
//! first. Trades come before candles ([`super::missed`]). An instrument is done, and its strategies
//! go on, when each of its intervals was answered or given up.

use super::venue::Venue;
use super::{Backoff, Stop, stopped};
use crate::capture::{Dir, Line, mark};
use crate::exchanges::Reject;
use anyhow::{Context, anyhow};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tracing::{info, warn};

/// An answer that takes longer will not come.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Attempts for one interval of one instrument.
const ATTEMPTS: u32 = 3;
/// A request gives way to book snapshots for no longer than this.
const GIVE_WAY: Duration = Duration::from_secs(10);
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(50);
/// After so many in a row that got no answer the others are not asked for.
const DEAD_AFTER: u32 = 5;

/// What to fetch from before the run, of instruments that are followed.
#[derive(Clone, Debug, Default)]
pub struct PastContext {
    /// Candles of every instrument: interval, ns, and how many.
    pub candles: Vec<(i64, u32)>,
    /// The last trade that the saved state has seen, by the instrument's name: id, and time in ns.
    /// What came after it was missed.
    pub resume: HashMap<String, (u128, i64)>,
}

impl PastContext {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.candles.is_empty() && self.resume.is_empty()
    }
}

/// A stop came first.
pub(super) struct Stopped;

pub(super) fn not_as_documented(reject: Reject, body: &[u8]) -> anyhow::Error {
    let start = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
    anyhow!("the answer is not as documented: {reject}: {start}")
}

impl Venue {
    /// Fetches what is wanted of every instrument, then is done.
    pub(super) async fn fetch_past(self: Rc<Self>, mut stop: Stop) {
        // An error is a stop: the strategies end, too.
        if self.fetch_missed(&mut stop).await.is_ok() {
            let _ = self.fetch_all(&mut stop).await;
        }
    }

    async fn fetch_all(self: &Rc<Self>, stop: &mut Stop) -> Result<(), Stopped> {
        let (natives, per_second) = {
            let feed = self.feed.borrow();
            let slots = feed.out.slots().iter();
            let natives: Vec<String> = slots.map(|s| s.native.clone()).collect();
            (natives, feed.exchange.limits().candles_per_second.max(1))
        };
        let wanted = self.on_offer(&natives);
        let mut pace = interval(Duration::from_secs(1) / per_second);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut silent, mut answered) = (0, 0u32);
        for (i, native) in natives.iter().enumerate() {
            for &(interval_ns, count) in &wanted {
                if silent >= DEAD_AFTER {
                    break;
                }
                tokio::select! {
                    _ = pace.tick() => {}
                    () = stopped(stop) => return Err(Stopped),
                }
                if self.fetch_one(native, interval_ns, count, stop).await? {
                    (silent, answered) = (0, answered + 1);
                } else {
                    silent += 1;
                }
                if silent == DEAD_AFTER {
                    let others = natives.len() - i - 1;
                    warn!(
                        exchange = self.name,
                        others,
                        "no candles come: the other instruments are not asked for, their strategies warm up live"
                    );
                }
            }
            self.take_past(native).await;
        }
        if !wanted.is_empty() {
            info!(exchange = self.name, answered, "candles from before");
        }
        Ok(())
    }

    /// What is wanted and the exchange has.
    fn on_offer(&self, natives: &[String]) -> Vec<(i64, u32)> {
        let (feed, now_ns) = (self.feed.borrow(), self.hub.clock.now_ns());
        let has = |&(interval_ns, count): &(i64, u32)| {
            let path = |n: &String| feed.exchange.candles(n, interval_ns, count, now_ns);
            let has = natives.iter().any(|n| path(n).is_some());
            if !has {
                let interval = Duration::from_nanos(interval_ns.unsigned_abs());
                info!(
                    exchange = self.name,
                    ?interval,
                    "the exchange has no such candles: strategies on such bars warm up live"
                );
            }
            has
        };
        self.past.candles.iter().copied().filter(has).collect()
    }

    /// Fetches one interval of one instrument; retries, then gives up with a word. False where no
    /// answer of use came.
    async fn fetch_one(
        self: &Rc<Self>,
        native: &str,
        interval_ns: i64,
        count: u32,
        stop: &mut Stop,
    ) -> Result<bool, Stopped> {
        let mut backoff = Backoff::new(&self.config);
        let mut attempt = 1;
        loop {
            let now_ns = self.hub.clock.now_ns();
            let path = {
                let feed = self.feed.borrow();
                feed.exchange.candles(native, interval_ns, count, now_ns)
            };
            let Some(path) = path else {
                return Ok(true);
            };
            tokio::select! {
                () = self.give_way(GIVE_WAY) => {}
                () = stopped(stop) => return Err(Stopped),
            }
            let answer = tokio::select! {
                answer = timeout(ANSWER_WITHIN, self.get(&path)) => answer,
                () = stopped(stop) => return Err(Stopped),
            };
            let late = || format!("no answer within {ANSWER_WITHIN:?}");
            let taken = match answer.with_context(late).flatten() {
                Ok((url, body)) => self.take_candles(native, interval_ns, url, &body).await,
                Err(error) => Err(error),
            };
            let Err(error) = taken else {
                return Ok(true);
            };
            if attempt == ATTEMPTS {
                let interval = Duration::from_nanos(interval_ns.unsigned_abs());
                warn!(
                    exchange = self.name,
                    %native,
                    ?interval,
                    "no candles: {error:#}; strategies on them warm up live"
                );
                return Ok(false);
            }
            attempt += 1;
            tokio::select! {
                () = sleep(backoff.next()) => {}
                () = stopped(stop) => return Err(Stopped),
            }
        }
    }

    /// Waits while book snapshots are queued, for a while.
    pub(super) async fn give_way(&self, at_most: Duration) {
        let until = Instant::now() + at_most;
        while self.snapshots_wait() && Instant::now() < until {
            sleep(LOOK_EVERY).await;
        }
    }

    /// The answer is recorded within the turn that takes it, so that a replay meets it there.
    async fn take_candles(
        &self,
        native: &str,
        interval_ns: i64,
        url: String,
        body: &[u8],
    ) -> anyhow::Result<()> {
        let _turn = self.hub.turn().await;
        let now_ns = self.hub.clock.now_ns();
        self.record_rest(now_ns, url, body);
        let metrics = &self.hub.metrics.ingest;
        let mut feed = self.feed.borrow_mut();
        let taken = feed.candles(now_ns, native, interval_ns, body, metrics);
        taken.map_err(|reject| not_as_documented(reject, body))
    }

    /// Nothing more comes of this instrument's past: its strategies go on with what came.
    async fn take_past(self: &Rc<Self>, native: &str) {
        let _turn = self.hub.turn().await;
        let now_ns = self.hub.clock.now_ns();
        self.hub.record(|| {
            Line::new(now_ns, self.name, Dir::Mark).with_mark(mark::PAST, native, "candles")
        });
        let metrics = &self.hub.metrics.ingest;
        self.feed.borrow_mut().past(native, now_ns, metrics);
        self.pass_on().await;
    }
}
