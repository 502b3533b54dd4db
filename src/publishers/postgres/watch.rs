//! `system_config`, read at start and whenever somebody changes it: which strategies and
//! instruments are switched off.
//!
//! One connection listens on the channel `system_config` and reads all rows at each word from
//! there; it also reads them every [`POLL`] without one, so that a pooler between that swallows
//! notifications, or a connection that is dead without saying so, costs that long. While the
//! database is away, what was read last holds. Runs on the publishers' runtime.

use super::server::{Limits, Server, within};
use crate::config::PostgresConfig;
use crate::publishers::intake::{Stop, backoff};
use crate::switches::{self, Switches, Told};
use sqlx::postgres::PgListener;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::watch;

const CHANNEL: &str = "system_config";
/// How often the rows are read without a notification.
const POLL: Duration = Duration::from_secs(10);
/// At the beginning the tables may be on their way: another task migrates.
const AT_FIRST: Duration = Duration::from_millis(100);

const ROWS: &str = "SELECT key, value::text FROM system_config \
                    WHERE key LIKE 'strategies.%' OR key LIKE 'instruments.%'";

/// Tells `told` of all changes until `stop`. `kept` is the file for what was read last.
pub async fn watch(
    config: PostgresConfig,
    kept: PathBuf,
    told: watch::Sender<Told>,
    mut stop: Stop,
) {
    let work = async {
        let server = match Server::parse(&config.url.0) {
            Ok(server) => server,
            Err(e) => return tracing::error!("system_config is not read: {e}"),
        };
        let mut watcher = Watcher {
            kept,
            told,
            problems: Vec::new(),
            failures: 0,
        };
        loop {
            let Err(e) = watcher.listen(&server, &config).await;
            watcher.failures += 1;
            let early = !watcher.told.borrow().read && watcher.failures < 50;
            if watcher.failures == 1 && !early {
                let place = &server.place;
                tracing::warn!("{place}: system_config: {e}; what was read last holds");
            }
            let wait = if early {
                AT_FIRST
            } else {
                backoff(watcher.failures)
            };
            tokio::time::sleep(wait).await;
        }
    };
    tokio::select! {
        () = work => {}
        _ = stop.wait_for(Option::is_some) => {}
    }
}

struct Watcher {
    kept: PathBuf,
    told: watch::Sender<Told>,
    /// What was wrong when the rows were read last, so that it is said once.
    problems: Vec<String>,
    failures: u32,
}

impl Watcher {
    /// Listens for as long as the connection lives.
    async fn listen(
        &mut self,
        server: &Server,
        config: &PostgresConfig,
    ) -> Result<std::convert::Infallible, sqlx::Error> {
        let limits = Limits {
            statement: config.timeout,
            lock: config.timeout,
        };
        let pool = server.pool(config.timeout, limits);
        let mut listener = within(config.timeout, PgListener::connect_with(&pool)).await?;
        // Otherwise it would connect again by itself, and what came in between would go unseen.
        listener.eager_reconnect(false);
        within(config.timeout, listener.listen(CHANNEL)).await?;
        loop {
            let rows = sqlx::query_as(ROWS).fetch_all(&mut listener);
            let rows = within(config.timeout, rows).await?;
            self.take(rows);
            match tokio::time::timeout(POLL, listener.try_recv()).await {
                Ok(Ok(None)) => return Err(sqlx::Error::PoolClosed),
                Ok(Err(e)) => return Err(e),
                Ok(Ok(Some(_))) => while listener.next_buffered().is_some() {},
                Err(_) => {}
            }
        }
    }

    fn take(&mut self, rows: Vec<(String, String)>) {
        if std::mem::take(&mut self.failures) > 0 && self.told.borrow().read {
            tracing::info!("system_config is followed again");
        }
        let rows: Vec<(String, serde_json::Value)> = rows
            .into_iter()
            .map(|(key, value)| (key, serde_json::from_str(&value).unwrap_or_default()))
            .collect();
        let before = self.told.borrow().switches.clone();
        let pairs = rows.iter().map(|(key, value)| (key.as_str(), value));
        let (switches, problems) = Switches::read(pairs, &before);
        if problems != self.problems {
            for problem in &problems {
                tracing::warn!("system_config: {problem}");
            }
            self.problems = problems;
        }
        if switches != before
            && let Err(error) = switches::save(&self.kept, &switches)
        {
            let file = self.kept.display();
            tracing::warn!(%error, "{file} was not written: a restart without the database forgets");
        }
        let told = Told {
            switches,
            read: true,
        };
        self.told.send_if_modified(|known| {
            let changed = *known != told;
            *known = told;
            changed
        });
    }
}
