//! `tickforge redis rebuild`: fills the streams of signals again, from the journal and, for what is
//! no longer or never was in this one, from PostgreSQL, and that of outcomes from the journal. Ids
//! are recognised, so that nothing is there twice. The daemon may run or not.

use super::Common;
use super::db::{Report, Session, Target, print};
use super::signals::{Since, parse_since};
use crate::config::Config;
use crate::outcome::record::OutcomeRecord;
use crate::publishers::journal::{self, Reader};
use crate::publishers::postgres::signals_since;
use crate::publishers::redis::rebuild::{Rebuilt, rebuild};
use crate::signal::record::SignalRecord;
use anyhow::Context;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Write};
use uuid::Uuid;

#[derive(clap::Subcommand, Clone, Debug)]
pub enum Redis {
    /// Append what the streams of signals and outcomes lack
    Rebuild(Args),
}

#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Only what happened at or after this time (RFC 3339), or this long ago (10m, 2h, 1d);
    /// all, as far as the streams keep them, where left out
    #[arg(long, value_name = "TIME", value_parser = parse_since)]
    since: Option<Since>,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Default, Serialize)]
struct Done {
    from_journal: usize,
    from_postgres: usize,
    outcomes_from_journal: usize,
    /// Rows of PostgreSQL that no daemon made: streams have none of them.
    foreign: u64,
    /// Why PostgreSQL was not asked, where it was to be.
    postgres_error: Option<String>,
    #[serde(flatten)]
    rebuilt: Rebuilt,
}

pub fn run(Redis::Rebuild(args): &Redis, common: &Common) -> anyhow::Result<bool> {
    super::install_crypto();
    let config = common.load()?;
    crate::logging::init(&config.log);
    let done = super::block_on(work(args, &config))??;
    print(&done, common.json)?;
    Ok(done.postgres_error.is_none())
}

/// In the order of events, the newest that a stream keeps.
struct Gathered<T> {
    records: BTreeMap<(i64, Uuid), T>,
    most: usize,
}

impl<T> Gathered<T> {
    fn new(most: usize) -> Self {
        let records = BTreeMap::new();
        Gathered { records, most }
    }

    fn put(&mut self, event_ns: i64, id: Uuid, record: T) {
        self.records.insert((event_ns, id), record);
        if self.records.len() > self.most {
            self.records.pop_first();
        }
    }
}

async fn work(args: &Args, config: &Config) -> anyhow::Result<Done> {
    let redis = config.stores.redis.as_ref();
    let redis = redis.context("no Redis: set [stores.redis] url in the file of --config")?;
    let since_ns = args.since.map_or(0, Since::ns);
    let mut done = Done::default();
    let most = redis.signals_max_len as usize;
    let (mut signals, mut outcomes) = (Gathered::new(most), Gathered::new(most));
    if args.target.database_url.is_some() || config.stores.postgres.is_some() {
        match from_postgres(args, config, since_ns, redis.signals_max_len).await {
            Ok((records, foreign)) => {
                (done.from_postgres, done.foreign) = (records.len(), foreign);
                for record in records {
                    signals.put(record.event_ns, record.signal_id, record);
                }
            }
            Err(error) => done.postgres_error = Some(format!("{error:#}")),
        }
    }
    // What both have is taken from here: the journal has all of it.
    (done.from_journal, done.outcomes_from_journal) =
        from_journal(config, since_ns, &mut signals, &mut outcomes)?;
    let signals = signals.records.into_values().collect();
    let outcomes = outcomes.records.into_values().collect();
    let rebuilt = rebuild(redis, &config.name, signals, outcomes).await;
    done.rebuilt = rebuilt.map_err(anyhow::Error::msg)?;
    Ok(done)
}

async fn from_postgres(
    args: &Args,
    config: &Config,
    since_ns: i64,
    most: u64,
) -> anyhow::Result<(Vec<SignalRecord>, u64)> {
    let Session {
        server,
        mut connection,
    } = args.target.connect(config).await?;
    let signals = signals_since(&mut connection, since_ns, most).await;
    signals.map_err(|e| anyhow::anyhow!(server.explain(&e)))
}

/// How many signals and outcomes it has of this time.
fn from_journal(
    config: &Config,
    since_ns: i64,
    signals: &mut Gathered<SignalRecord>,
    outcomes: &mut Gathered<OutcomeRecord>,
) -> anyhow::Result<(usize, usize)> {
    let dir = journal::dir(&config.data_dir);
    let mut counts = (0, 0);
    if !journal::exists(&dir) {
        return Ok(counts);
    }
    let mut reader = Reader::open(&dir, 1);
    let failed = || format!("reading the journal at {}", dir.display());
    while let Some(record) = reader.next(u64::MAX).with_context(failed)? {
        // What is not of this version is in no stream of this version.
        if OutcomeRecord::is(record.payload) {
            if let Ok(outcome) = serde_json::from_slice::<OutcomeRecord>(record.payload)
                && outcome.event_ns >= since_ns
                && !outcome.shadow
            {
                counts.1 += 1;
                outcomes.put(outcome.event_ns, outcome.signal_id, outcome);
            }
        } else if let Ok(signal) = serde_json::from_slice::<SignalRecord>(record.payload)
            && signal.event_ns >= since_ns
            && !signal.shadow
        {
            counts.0 += 1;
            signals.put(signal.event_ns, signal.signal_id, signal);
        }
    }
    Ok(counts)
}

impl Report for Done {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let Done {
            from_journal,
            from_postgres,
            outcomes_from_journal,
            foreign,
            ..
        } = self;
        writeln!(
            out,
            "{from_journal} signals and {outcomes_from_journal} outcomes in the journal, \
             {from_postgres} signals in PostgreSQL"
        )?;
        if *foreign > 0 {
            writeln!(
                out,
                "{foreign} rows there were made by no daemon and belong to no stream"
            )?;
        }
        if let Some(error) = &self.postgres_error {
            writeln!(out, "PostgreSQL was NOT asked: {error}")?;
        }
        let Rebuilt {
            streams,
            already_there,
            appended,
            outcomes_already_there,
            outcomes_appended,
        } = &self.rebuilt;
        writeln!(
            out,
            "{streams} streams: {already_there} signals were there, {appended} appended; \
             {outcomes_already_there} outcomes were there, {outcomes_appended} appended"
        )
    }
}
