//! Signals into PostgreSQL: `trading_pairs` as the exchanges list them, `trading_signals` in
//! batches, each signal once. It must not lose a signal, wait without limit, or print a password.
//!
//! Called by [`super::follow`] on the publisher's thread. Deliveries come one after the other, so
//! one connection serves, and a second one takes half of what is large; whatever breaks, both are
//! dropped, and the next call starts anew: connect, migrate, list the pairs. So a restarted,
//! restored or replaced server needs no human.

mod market;
mod notify;
mod pairs;
mod read;
mod results;
mod rows;
mod schema;
mod server;
mod watch;

pub use market::market;
pub use read::signals_since;
pub use results::{Results, TradingResult};
pub use schema::{Migrated, Pending, migrate, pending};
pub use server::{Limits, Server, probe};
pub use watch::watch;

use super::{Concluded, Entry, SignalSink, SinkError};
use crate::config::PostgresConfig;
use crate::market::{ExchangeList, Instrument, Registry};
use crate::metrics::Metrics;
use crate::signal::record::SignalRecord;
use pairs::pair_key;
use rustc_hash::FxHashSet;
use server::{cause, is_retriable, within};
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// A signal that is over this long is put out though its market has shown no end of it: long enough
/// for what is on its way here.
const GRACE: Duration = Duration::from_secs(5);

/// Pairs in one statement.
const PAIRS: usize = 1000;
/// From so many signals on two connections share a batch: the server works for each on a processor
/// of its own.
const SHARED: usize = 256;

pub struct PostgresSink {
    config: PostgresConfig,
    instruments: Arc<Registry>,
    metrics: Arc<Metrics>,
    session: Option<Session>,
    /// The newest signal that the server has acknowledged.
    last: Option<Uuid>,
    /// The newest one when the table was last looked at: under load `last` is always there.
    anchor: Option<Uuid>,
}

impl PostgresSink {
    /// Connects at the first call that needs it.
    pub fn new(config: PostgresConfig, instruments: Arc<Registry>, metrics: Arc<Metrics>) -> Self {
        PostgresSink {
            config,
            instruments,
            metrics,
            session: None,
            last: None,
            anchor: None,
        }
    }

    async fn session(&mut self) -> Result<Session, SinkError> {
        match self.session.take() {
            Some(session) => Ok(session),
            None => Session::open(&self.config).await,
        }
    }

    /// Keeps the session for the next call unless it failed it: after a failure nothing about the
    /// server is taken for granted.
    fn settle(
        &mut self,
        session: Session,
        outcome: Result<(), SinkError>,
    ) -> Result<(), SinkError> {
        if matches!(outcome, Err(SinkError::Behind { .. })) {
            (self.last, self.anchor) = (None, None);
        }
        if !matches!(outcome, Err(SinkError::Retry(_))) {
            self.session = Some(session);
        }
        outcome
    }

    fn count(&self, outcome: &Result<(), SinkError>) {
        self.metrics
            .postgres
            .up
            .set(u64::from(!matches!(outcome, Err(SinkError::Retry(_)))));
    }

    async fn try_deliver(&mut self, entries: &[Entry]) -> Result<(), SinkError> {
        let mut session = self.session().await?;
        let outcome = session.deliver(&self.instruments, entries, self.last).await;
        if let (Ok(()), Some(entry)) = (&outcome, entries.last()) {
            self.last = Some(entry.record.signal_id);
            self.anchor = self.anchor.or(self.last);
        }
        self.settle(session, outcome)
    }

    async fn try_conclude(&mut self, outcomes: &[Concluded]) -> Result<(), SinkError> {
        let mut session = self.session().await?;
        let outcome = session.conclude(outcomes).await;
        self.settle(session, outcome)
    }

    async fn try_idle(&mut self) -> Result<(), SinkError> {
        let mut session = self.session().await?;
        let outcome = session.idle(&self.instruments, self.anchor).await;
        if outcome.is_ok() {
            self.anchor = self.last;
        }
        self.settle(session, outcome)
    }
}

impl SignalSink for PostgresSink {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn resume(&mut self, _taken: u64, last: &Entry) {
        self.last = Some(last.record.signal_id);
        self.anchor = self.last;
    }

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
        let outcome = self.try_deliver(entries).await;
        self.count(&outcome);
        outcome
    }

    async fn conclude(&mut self, outcomes: &[Concluded]) -> Result<(), SinkError> {
        let outcome = self.try_conclude(outcomes).await;
        self.count(&outcome);
        outcome
    }

    async fn idle(&mut self) -> Result<(), SinkError> {
        let outcome = self.try_idle().await;
        self.count(&outcome);
        outcome
    }
}

/// One connection, and what is known of the tables behind it.
pub(super) struct Session {
    server: Server,
    connection: PgConnection,
    /// Opened for the first large batch.
    second: Option<PgConnection>,
    /// The server gave no second one.
    alone: bool,
    limits: Limits,
    /// For one call as a whole; the server has the half of it for each statement.
    limit: Duration,
    /// Instruments of the registry, and of the exchanges' whole lists, that were written.
    listed: usize,
    catalogued: usize,
    /// Pairs that the table has.
    known: FxHashSet<String>,
    /// Whether what the table should have was found in it, or its absence was reported.
    looked: bool,
}

impl Session {
    pub(super) async fn open(config: &PostgresConfig) -> Result<Session, SinkError> {
        let server = Server::parse(&config.url.0).map_err(SinkError::Retry)?;
        if config.migrate {
            let migrated = schema::migrate_at_start(&config.url.0, config.timeout)
                .await
                .map_err(|e| SinkError::Retry(format!("{e:#}")))?;
            if !migrated.applied.is_empty() {
                tracing::info!(applied = ?migrated.applied, "{}: migrated", server.place);
            }
            for warning in &migrated.warnings {
                tracing::warn!("{}: {warning}", server.place);
            }
        }
        let limits = Limits {
            statement: config.timeout,
            lock: config.timeout,
        };
        let connection = server
            .connect(config.timeout, limits)
            .await
            .map_err(|e| SinkError::Retry(server.explain(&e)))?;
        Ok(Session {
            server,
            connection,
            second: None,
            alone: false,
            limits,
            limit: config.timeout.saturating_mul(2),
            listed: 0,
            catalogued: 0,
            known: FxHashSet::default(),
            looked: false,
        })
    }

    async fn deliver(
        &mut self,
        instruments: &Registry,
        entries: &[Entry],
        last: Option<Uuid>,
    ) -> Result<(), SinkError> {
        let Some(first) = entries.first() else {
            return Ok(());
        };
        self.list(instruments).await?;
        if !self.looked {
            let there = match last {
                Some(id) => self.has_signal(id).await,
                None if first.seq == 1 => Ok(true),
                None => self.has_signals().await,
            };
            self.look(there)?;
        }
        match self.store(entries).await {
            Ok(()) => Ok(()),
            Err(e) if is_retriable(&e) => Err(self.retry(&e)),
            Err(_) => self.find_refused(entries).await,
        }
    }

    /// What became of signals, in one statement.
    async fn conclude(&mut self, outcomes: &[Concluded]) -> Result<(), SinkError> {
        match within(self.limit, rows::conclude(&mut self.connection, outcomes)).await {
            Ok(()) => Ok(()),
            Err(e) if is_retriable(&e) => Err(self.retry(&e)),
            Err(e) if outcomes.len() == 1 => Err(SinkError::Refused {
                index: 0,
                reason: cause(&e),
            }),
            Err(_) => self.find_refused_outcome(outcomes).await,
        }
    }

    async fn find_refused_outcome(&mut self, outcomes: &[Concluded]) -> Result<(), SinkError> {
        for (index, one) in outcomes.iter().enumerate() {
            let one = std::slice::from_ref(one);
            match within(self.limit, rows::conclude(&mut self.connection, one)).await {
                Ok(()) => {}
                Err(e) if is_retriable(&e) => return Err(self.retry(&e)),
                Err(e) => {
                    let reason = cause(&e);
                    return Err(SinkError::Refused { index, reason });
                }
            }
        }
        Ok(())
    }

    /// Asks for a signal that was there rather than only for an answer: a table that is truncated,
    /// or a server that failed over to a copy that lagged, is noticed though nothing is to be sent.
    async fn idle(
        &mut self,
        instruments: &Registry,
        anchor: Option<Uuid>,
    ) -> Result<(), SinkError> {
        self.list(instruments).await?;
        self.lapse().await?;
        match anchor {
            Some(id) => {
                let there = self.has_signal(id).await;
                self.look(there)
            }
            None => within(self.limit, self.connection.ping())
                .await
                .map_err(|e| self.retry(&e)),
        }
    }

    async fn lapse(&mut self) -> Result<(), SinkError> {
        loop {
            match within(self.limit, rows::lapse(&mut self.connection, GRACE)).await {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(e) => return Err(self.retry(&e)),
            }
        }
    }

    /// Draws the consequence where the table lacks what it had.
    fn look(&mut self, there: Result<bool, sqlx::Error>) -> Result<(), SinkError> {
        let there = there.map_err(|e| self.retry(&e))?;
        self.looked = true;
        // How much of it is left is not known; what is there already is not doubled.
        there.then_some(()).ok_or(SinkError::Behind { has: 0 })
    }

    async fn has_signal(&mut self, id: Uuid) -> Result<bool, sqlx::Error> {
        let question =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM trading_signals WHERE id = $1)");
        within(
            self.limit,
            question.bind(id).fetch_one(&mut self.connection),
        )
        .await
    }

    fn retry(&self, error: &sqlx::Error) -> SinkError {
        SinkError::Retry(self.server.explain(error))
    }

    async fn has_signals(&mut self) -> Result<bool, sqlx::Error> {
        let question = sqlx::query_scalar("SELECT EXISTS (SELECT FROM trading_signals)");
        within(self.limit, question.fetch_one(&mut self.connection)).await
    }

    /// Writes the instruments that appeared since the last call: all that the exchanges list, and
    /// all that are followed.
    async fn list(&mut self, instruments: &Registry) -> Result<(), SinkError> {
        let lists = instruments.lists_from(self.catalogued);
        for list in &lists {
            self.write_pairs(&list.instruments).await?;
            self.delist(list).await?;
            self.catalogued += 1;
        }
        let all = instruments.all();
        if all.len() > self.listed {
            self.write_pairs(&all[self.listed..]).await?;
            self.listed = all.len();
        }
        Ok(())
    }

    async fn delist(&mut self, list: &ExchangeList) -> Result<(), SinkError> {
        let symbols: Vec<&str> = list.instruments.iter().map(|i| i.symbol.as_str()).collect();
        let exchange = list.exchange;
        let work = pairs::delist_pairs(&mut self.connection, exchange, &symbols);
        let gone = within(self.limit, work).await.map_err(|e| self.retry(&e))?;
        if !gone.is_empty() {
            tracing::info!(exchange, pairs = gone.len(), first = %gone[0], "no longer listed");
        }
        Ok(())
    }

    /// One that the table refuses is logged and left out: its signals, if any, say so themselves.
    async fn write_pairs(&mut self, listed: &[Arc<Instrument>]) -> Result<(), SinkError> {
        // The newest listing of a symbol counts, and two daemons lock rows in one order.
        let unique: BTreeMap<(&str, &str), &Instrument> = listed
            .iter()
            .map(|i| ((i.symbol.as_str(), i.exchange), i.as_ref()))
            .collect();
        let new: Vec<&Instrument> = unique.into_values().collect();
        let mut parts: Vec<&[&Instrument]> = new.chunks(PAIRS).rev().collect();
        while let Some(part) = parts.pop() {
            match within(self.limit, pairs::upsert_pairs(&mut self.connection, part)).await {
                Ok(()) => self
                    .known
                    .extend(part.iter().map(|i| pair_key(i.exchange, &i.symbol))),
                Err(e) if is_retriable(&e) => return Err(self.retry(&e)),
                Err(e) if part.len() == 1 => {
                    let Instrument {
                        exchange, symbol, ..
                    } = part[0];
                    tracing::warn!(exchange, symbol, "not a trading pair: {}", cause(&e));
                }
                Err(_) => {
                    let (front, back) = part.split_at(part.len() / 2);
                    parts.extend([back, front]);
                }
            }
        }
        Ok(())
    }

    /// All of `entries`; after an error none, some or all of them.
    async fn store(&mut self, entries: &[Entry]) -> Result<(), sqlx::Error> {
        let unlisted: Vec<&SignalRecord> = entries
            .iter()
            .map(|e| &e.record)
            .filter(|r| !self.known.contains(&pair_key(&r.exchange, &r.symbol)))
            .collect();
        if unlisted.is_empty() {
            return self.insert(entries).await;
        }
        let work = async {
            let mut transaction = self.connection.begin().await?;
            pairs::insert_unlisted_pairs(&mut transaction, &unlisted).await?;
            rows::insert_signals(&mut transaction, entries).await?;
            transaction.commit().await
        };
        within(self.limit, work).await?;
        self.known
            .extend(unlisted.iter().map(|r| pair_key(&r.exchange, &r.symbol)));
        Ok(())
    }

    async fn insert(&mut self, entries: &[Entry]) -> Result<(), sqlx::Error> {
        self.ask_for_second(entries.len()).await;
        let share = match self.second {
            Some(_) if entries.len() >= SHARED => entries.len() / 2,
            _ => 0,
        };
        let (theirs, ours) = entries.split_at(share);
        let ours = within(self.limit, rows::insert_signals(&mut self.connection, ours));
        let Some(second) = self.second.as_mut().filter(|_| share > 0) else {
            return ours.await;
        };
        let theirs = within(self.limit, rows::insert_signals(second, theirs));
        // Both to their end: what is left in the middle is of no more use.
        let (ours, theirs) = tokio::join!(ours, theirs);
        ours.and(theirs)
    }

    async fn ask_for_second(&mut self, entries: usize) {
        if entries < SHARED || self.alone || self.second.is_some() {
            return;
        }
        match self
            .server
            .connect(self.limits.statement, self.limits)
            .await
        {
            Ok(connection) => self.second = Some(connection),
            Err(e) => {
                self.alone = true;
                tracing::warn!("one connection has to do: {}", self.server.explain(&e));
            }
        }
    }

    /// Halves a batch that was refused for its data until the first bad signal stands alone. Good
    /// ones that are stored on the way are found there when the rest is delivered again.
    async fn find_refused(&mut self, entries: &[Entry]) -> Result<(), SinkError> {
        let (mut low, mut high) = (0, entries.len());
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            match self.store(&entries[low..middle]).await {
                Ok(()) => low = middle,
                Err(e) if is_retriable(&e) => return Err(self.retry(&e)),
                Err(_) => high = middle,
            }
        }
        match self.store(&entries[low..high]).await {
            Err(e) if !is_retriable(&e) => Err(SinkError::Refused {
                index: low,
                reason: cause(&e),
            }),
            Err(e) => Err(self.retry(&e)),
            Ok(()) => Err(SinkError::Retry(format!(
                "{}: a batch was refused whose signals are taken one by one; trying again",
                self.server.place
            ))),
        }
    }
}
