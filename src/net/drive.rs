//! The ingest thread's runtime: a single thread with all tasks of the shard. Called on that thread
//! itself.

use crate::cores;
use std::io;
use tokio::runtime::Builder;
use tokio::task::LocalSet;

/// Runs `work` to its end. The runtime's helper threads, which look up names, run on `others`.
pub fn block_on(others: Option<Vec<usize>>, work: impl Future<Output = ()>) -> io::Result<()> {
    let mut builder = Builder::new_current_thread();
    builder.enable_all();
    if let Some(others) = others {
        builder.on_thread_start(move || {
            if let Err(error) = cores::allow(&others) {
                tracing::warn!(%error, "a helper thread may disturb the pinned ones");
            }
        });
    }
    LocalSet::new().block_on(&builder.build()?, work);
    Ok(())
}
