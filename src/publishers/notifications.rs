//! Signals become notifications for the users who want them: a row of `notifications` for each
//! channel, which somebody else sends, and an entry of the list `notifications:{user_id}` in Redis,
//! which somebody else pops.
//!
//! A store of its own in the eyes of the journal, with its own cursor. The table decides what is
//! new: a user is told of a signal by a channel once, whatever is repeated. The list gets one entry
//! for each row that was new, after it: a crash in between costs the entry, never the row, and an
//! answer that was lost doubles one, which its `signal_id` tells. A signal that is over already is
//! told to nobody. Runs on the publishers' runtime.

use super::postgres::Session;
use super::{Entry, SignalSink, SinkError};
use crate::clock;
use crate::config::{PostgresConfig, RedisConfig};
use crate::keyspace::{Connection, explain, notifications, place};
use crate::metrics::Metrics;
use crate::notify::{KIND, Notification, Preferences};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How long users' preferences are taken for current.
const RELOAD: Duration = Duration::from_secs(5);
/// Rows in one statement.
const ROWS: usize = 2000;

pub struct NotificationSink {
    config: PostgresConfig,
    redis: Option<RedisConfig>,
    connection: Option<Connection>,
    metrics: Arc<Metrics>,
    session: Option<Session>,
    users: Vec<(Uuid, Preferences)>,
    loaded: Option<Instant>,
    /// Users whose preferences were reported as not understood.
    misunderstood: BTreeSet<Uuid>,
    /// Entries for Redis whose rows are written.
    unsent: VecDeque<(Uuid, Value)>,
}

/// One row to be: who, by which channel, about which signal of the batch.
type Told = (Uuid, &'static str, usize);

impl NotificationSink {
    pub fn new(
        config: PostgresConfig,
        redis: Option<RedisConfig>,
        metrics: Arc<Metrics>,
    ) -> NotificationSink {
        NotificationSink {
            config,
            redis,
            connection: None,
            metrics,
            session: None,
            users: Vec::new(),
            loaded: None,
            misunderstood: BTreeSet::new(),
            unsent: VecDeque::new(),
        }
    }

    async fn tell(&mut self, entries: &[Entry]) -> Result<(), SinkError> {
        self.push().await?;
        let mut session = self.ready().await?;
        let now_ns = clock::now_ns();
        let mut told: Vec<Told> = Vec::new();
        for (at, entry) in entries.iter().enumerate() {
            let until = clock::parse_rfc3339(&entry.record.valid_until);
            if until.is_none_or(|until| until <= now_ns) {
                continue;
            }
            for (user, preferences) in &self.users {
                let channels = preferences.channels(&entry.record).iter();
                told.extend(channels.map(|c| (*user, c.name(), at)));
            }
        }
        for part in told.chunks(ROWS) {
            let new = session.notify(KIND, &rows(entries, part)).await;
            let new = new.inspect_err(|_| self.loaded = None)?;
            self.metrics.notifications_queued.add(new.len() as u64);
            self.note_unsent(entries, &new);
        }
        self.session = Some(session);
        self.push().await
    }

    async fn session(&mut self) -> Result<Session, SinkError> {
        match self.session.take() {
            Some(session) => Ok(session),
            None => {
                self.loaded = None;
                Session::open(&self.config).await
            }
        }
    }

    /// Connected, and with users' preferences that are current.
    async fn ready(&mut self) -> Result<Session, SinkError> {
        let mut session = self.session().await?;
        if self.loaded.is_none_or(|at| at.elapsed() >= RELOAD) {
            let rows = session.notified_users().await?;
            self.users = rows
                .iter()
                .filter_map(|(user, text)| Some((*user, self.understand(*user, text)?)))
                .collect();
            self.loaded = Some(Instant::now());
        }
        Ok(session)
    }

    /// Nothing of the text is logged: it is the user's.
    fn understand(&mut self, user: Uuid, text: &str) -> Option<Preferences> {
        match Preferences::parse(text) {
            Ok(preferences) => {
                self.misunderstood.remove(&user);
                Some(preferences)
            }
            Err(reason) => {
                if self.misunderstood.insert(user) {
                    tracing::warn!(%user, "notification_preferences, signals: {reason}; not told");
                }
                None
            }
        }
    }

    /// A user who is told by several channels has one entry in the list.
    fn note_unsent(&mut self, entries: &[Entry], new: &[(Uuid, Uuid)]) {
        if self.redis.is_none() {
            return;
        }
        let by_id: BTreeMap<Uuid, &Entry> =
            entries.iter().map(|e| (e.record.signal_id, e)).collect();
        let mut in_order: Vec<(u64, Uuid, &Entry)> = new
            .iter()
            .filter_map(|(user, signal)| by_id.get(signal).map(|e| (e.seq, *user, *e)))
            .collect();
        in_order.sort_by_key(|(seq, user, _)| (*seq, *user));
        in_order.dedup_by_key(|(seq, user, _)| (*seq, *user));
        self.unsent.extend(
            in_order
                .into_iter()
                .map(|(_, user, entry)| (user, json(entry))),
        );
    }

    async fn push(&mut self) -> Result<(), SinkError> {
        let Some(config) = &self.redis else {
            return Ok(());
        };
        while let Some((user, notification)) = self.unsent.front() {
            let mut connection = match self.connection.take() {
                Some(connection) => connection,
                None => Connection::open(config).await.map_err(SinkError::Retry)?,
            };
            let pushed = notifications::push(&mut connection, *user, notification).await;
            pushed.map_err(|e| SinkError::Retry(explain(&place(config), &e)))?;
            self.connection = Some(connection);
            self.unsent.pop_front();
        }
        Ok(())
    }

    fn count(&self, outcome: &Result<(), SinkError>) {
        let up = !matches!(outcome, Err(SinkError::Retry(_)));
        self.metrics.notifications.up.set(u64::from(up));
    }
}

fn json(entry: &Entry) -> Value {
    serde_json::to_value(Notification::of(&entry.record)).unwrap_or_default()
}

/// User, signal, channel and payload of each row.
fn rows(entries: &[Entry], told: &[Told]) -> Vec<(Uuid, Uuid, &'static str, String)> {
    let row = |(user, channel, at): &Told| {
        let entry = &entries[*at];
        (
            *user,
            entry.record.signal_id,
            *channel,
            json(entry).to_string(),
        )
    };
    told.iter().map(row).collect()
}

impl SignalSink for NotificationSink {
    fn name(&self) -> &'static str {
        "notifications"
    }

    /// The queue is no copy of the journal: what was sent may be deleted from it.
    fn resume(&mut self, _taken: u64, _last: &Entry) {}

    /// A migration takes what it takes.
    async fn open(&mut self) -> Result<(), SinkError> {
        if self.session.is_some() {
            return Ok(());
        }
        let opened = self.session().await;
        let outcome = opened.map(|session| self.session = Some(session));
        self.count(&outcome);
        outcome
    }

    async fn deliver(&mut self, entries: &[Entry]) -> Result<(), SinkError> {
        let outcome = self.tell(entries).await;
        self.count(&outcome);
        outcome
    }

    async fn idle(&mut self) -> Result<(), SinkError> {
        let outcome = async {
            self.push().await?;
            self.session = Some(self.ready().await?);
            Ok(())
        };
        let outcome = outcome.await;
        self.count(&outcome);
        outcome
    }
}
