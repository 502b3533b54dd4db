//! What runs on the stores' thread for PostgreSQL beside the delivery of signals: the reader of
//! `system_config`, positions and analyses, notifications.

use super::{Tasks, deliver};
use crate::market::Tick;
use crate::publishers::notifications::NotificationSink;
use crate::publishers::postgres;
use crate::ring::Consumer;
use crate::switches;
use std::sync::Arc;
use tokio::task::{JoinHandle, spawn_local};

impl Tasks {
    /// Starts what the configuration asks for; `market` are the trades for positions and analyses.
    pub(super) fn alongside_postgres(&self, market: Option<Consumer<Tick>>) -> Vec<JoinHandle<()>> {
        let stores = &self.config.stores;
        let Some(config) = &stores.postgres else {
            return Vec::new();
        };
        let kept = switches::path(&self.config.data_dir);
        let told = self.telling.clone();
        let watch = postgres::watch(config.clone(), kept, told, self.stop.clone());
        let mut tasks = vec![spawn_local(watch)];
        if let Some(ticks) = market {
            let (registry, metrics) = (Arc::clone(&self.registry), Arc::clone(&self.metrics));
            let stop = self.stop.clone();
            let work = postgres::market(ticks, config.clone(), registry, metrics, stop);
            tasks.push(spawn_local(work));
        }
        // The last of the followers, where it is one.
        if let Some(taken) = self.taken.last().filter(|_| config.notify) {
            let taken = Arc::clone(taken);
            let (batch, timeout) = (config.batch, config.timeout);
            let context = self.follow_context(|m| &m.notifications, batch, timeout, taken);
            let (redis, metrics) = (stores.redis.clone(), Arc::clone(&self.metrics));
            let sink = NotificationSink::new(config.clone(), redis, metrics);
            tasks.push(spawn_local(deliver(sink, context, self.stop.clone())));
        }
        tasks
    }
}
