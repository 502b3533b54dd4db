//! What happened while no run was there: trades by REST, from the last one that the saved state has
//! seen to the first one that comes live.
//!
//! From its listing on an instrument's live trades are held back in the feed. Once it is subscribed
//! to, what was missed is fetched, one instrument after the other; then all goes on in its order.
//! Where that does not succeed in time, what was held back goes on, and the stream says that trades
//! are missing.

use super::pages::{Progress, Step};
use super::past::{LOOK_EVERY, Stopped, not_as_documented};
use super::venue::Venue;
use super::{Backoff, Stop, stopped};
use crate::capture::{Dir, Line, mark};
use crate::exchanges::output::MOST_HELD;
use crate::market::InstrumentId;
use crate::market::event::MISSED_AT_MOST;
use anyhow::{Context, anyhow};
use std::rc::Rc;
use std::time::Duration;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, timeout_at};
use tracing::{info, warn};

/// Trades are held back for no longer than this.
const WITHIN: Duration = Duration::from_secs(30);
/// From the exchange's ack on, until the stream surely has all that its REST does not.
const SETTLED_AFTER: Duration = Duration::from_secs(1);
/// Pause before an answer that was not far enough is asked for again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// Attempts for one answer.
const ATTEMPTS: u32 = 3;
/// A request gives way to book snapshots for no longer than this.
const GIVE_WAY: Duration = Duration::from_secs(1);

/// An instrument whose trades are held back.
pub struct Missing {
    native: String,
    instrument: InstrumentId,
    /// The last trade that was seen: id, and time in ns.
    after: (u128, i64),
    /// How long its trades are held back.
    deadline: Instant,
}

/// Why no more is fetched.
enum End {
    Stopped,
    GivenUp(anyhow::Error),
}

impl From<anyhow::Error> for End {
    fn from(error: anyhow::Error) -> End {
        End::GivenUp(error)
    }
}

impl Missing {
    /// What the work comes to, within the time that there is.
    async fn within<T>(&self, stop: &mut Stop, work: impl Future<Output = T>) -> Result<T, End> {
        tokio::select! {
            done = timeout_at(self.deadline, work) => {
                done.map_err(|_| End::GivenUp(anyhow!("not done within {WITHIN:?}")))
            }
            () = stopped(stop) => Err(End::Stopped),
        }
    }
}

impl Venue {
    /// Begins to hold back trades of the instruments whose last trade is known. To be called within
    /// the turn that lists them.
    pub(super) fn hold_back(&self, now_ns: i64) {
        if !self.config.trades {
            return;
        }
        let slots: Vec<_> = {
            let feed = self.feed.borrow();
            let slots = feed.out.slots().iter();
            slots.map(|s| (s.native.clone(), s.instrument)).collect()
        };
        let deadline = Instant::now() + WITHIN;
        for (native, instrument) in slots {
            let name = self.hub.registry.get(instrument).name();
            let Some(&after) = self.past.resume.get(&name) else {
                continue;
            };
            self.hub.record(|| {
                let line = Line::new(now_ns, self.name, Dir::Mark);
                line.with_mark(mark::HELD, &native, &after.0.to_string())
            });
            self.feed.borrow_mut().hold(&native, after.0);
            let missing_for = Duration::from_nanos(now_ns.saturating_sub(after.1).max(0) as u64);
            // Candles have to do.
            if missing_for > MISSED_AT_MOST {
                info!(
                    exchange = self.name,
                    %native,
                    "its last trade was seen {missing_for:.0?} ago: those since are not fetched"
                );
                self.let_go(&native, now_ns, "too long ago");
                continue;
            }
            self.missing.borrow_mut().push(Missing {
                native,
                instrument,
                after,
                deadline,
            });
        }
    }

    /// Fetches what was missed of every instrument that is held back.
    pub(super) async fn fetch_missed(self: &Rc<Self>, stop: &mut Stop) -> Result<(), Stopped> {
        let per_second = self.feed.borrow().exchange.limits().trades_per_second;
        let mut pace = interval(Duration::from_secs(1) / per_second.max(1));
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let all = self.missing.take();
        for missing in &all {
            match self.fetch_trades(missing, &mut pace, stop).await {
                Ok(trades) => {
                    info!(exchange = self.name, native = %missing.native, trades, "fetched what was missed");
                }
                // Nothing is put out: the next run asks for the same and more.
                Err(End::Stopped) => return Err(Stopped),
                Err(End::GivenUp(error)) => self.give_up(missing, &error).await,
            }
        }
        Ok(())
    }

    /// Fetches one instrument's trades, and lets them go on; says how many were fetched.
    async fn fetch_trades(
        self: &Rc<Self>,
        missing: &Missing,
        pace: &mut Interval,
        stop: &mut Stop,
    ) -> Result<usize, End> {
        missing
            .within(stop, self.settled(missing.instrument))
            .await?;
        let pages = self.feed.borrow().exchange.trade_pages();
        let mut progress = Progress::new(pages, self.config.aggregate_trades, missing.after);
        let mut fetched = 0;
        loop {
            missing.within(stop, pace.tick()).await?;
            missing.within(stop, self.give_way(GIVE_WAY)).await?;
            let (url, body) = self.get_trades(missing, &progress, stop).await?;
            let (step, trades) = self.take_trades(missing, &mut progress, url, &body).await?;
            fetched += trades;
            match step {
                Step::Done => return Ok(fetched),
                Step::Next => {}
                Step::Later => missing.within(stop, sleep(AGAIN_AFTER)).await?,
            }
        }
    }

    /// Waits until the instrument's connection has been subscribed for a while.
    async fn settled(&self, instrument: InstrumentId) {
        let since = || self.subscribed.borrow().get(&instrument).copied();
        while since().is_none_or(|since| since.elapsed() < SETTLED_AFTER) {
            sleep(LOOK_EVERY).await;
        }
    }

    async fn get_trades(
        &self,
        missing: &Missing,
        progress: &Progress,
        stop: &mut Stop,
    ) -> Result<(String, Vec<u8>), End> {
        let mut backoff = Backoff::new(&self.config);
        let mut attempt = 1;
        loop {
            let hole = progress.hole(self.hub.clock.now_ns());
            let path = {
                let feed = self.feed.borrow();
                feed.exchange.trades_since(&missing.native, &hole)
            };
            let path = path.context("the exchange does not tell its trades")?;
            match missing.within(stop, self.get(&path)).await? {
                Ok(answer) => return Ok(answer),
                Err(error) if attempt == ATTEMPTS => return Err(End::GivenUp(error)),
                Err(_) => attempt += 1,
            }
            missing.within(stop, sleep(backoff.next())).await?;
        }
    }

    /// The answer is recorded within the turn that takes it, so that a replay meets it there; with
    /// the last one all goes on in the same turn. Says how many trades are in it.
    async fn take_trades(
        self: &Rc<Self>,
        missing: &Missing,
        progress: &mut Progress,
        url: String,
        body: &[u8],
    ) -> anyhow::Result<(Step, usize)> {
        let _turn = self.hub.turn().await;
        let now_ns = self.hub.clock.now_ns();
        self.record_rest(now_ns, url, body);
        let native = &missing.native;
        let (page, held) = {
            let mut feed = self.feed.borrow_mut();
            let page = feed.trades(native, body);
            let page = page.map_err(|reject| not_as_documented(reject, body))?;
            (page, feed.held(native))
        };
        let held = held.with_context(|| format!("{MOST_HELD} newer ones came meanwhile"))?;
        let step = progress.answer(&page, &held)?;
        if step == Step::Done {
            self.let_go(native, now_ns, mark::FETCHED);
            self.pass_on().await;
        }
        Ok((step, page.len()))
    }

    async fn give_up(self: &Rc<Self>, missing: &Missing, error: &anyhow::Error) {
        let native = &missing.native;
        warn!(
            exchange = self.name,
            %native,
            "trades were missed and are not fetched: {error:#}; bars of that time are incomplete"
        );
        let _turn = self.hub.turn().await;
        // Too many of them go on by themselves.
        let is_held = self.feed.borrow().held(native).is_some();
        if is_held {
            self.let_go(native, self.hub.clock.now_ns(), &format!("{error:#}"));
            self.pass_on().await;
        }
    }

    /// The instrument's trades go on. To be called within a turn, and before
    /// [`Venue::pass_on`].
    fn let_go(&self, native: &str, now_ns: i64, why: &str) {
        self.hub.record(|| {
            Line::new(now_ns, self.name, Dir::Mark).with_mark(mark::MISSED, native, why)
        });
        let metrics = &self.hub.metrics.ingest;
        let mut feed = self.feed.borrow_mut();
        feed.missed(native, now_ns, why == mark::FETCHED, metrics);
    }
}
