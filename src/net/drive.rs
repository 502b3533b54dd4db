//! How the ingest thread waits for what the network brings: asleep, or looking all the time.
//!
//! Both run the same tasks on a single-threaded runtime. Asleep, a frame pays for the kernel's
//! wake-up; looking all the time costs a whole core. Called on the ingest thread itself.

use crate::config::IngestMode;
use crate::cores;
use std::io;
use tokio::runtime::Builder;
use tokio::task::{LocalSet, yield_now};

/// Runs `work` on the calling thread to its end. Helper threads (name look-ups) run on `others`.
pub fn block_on(
    mode: IngestMode,
    others: Option<Vec<usize>>,
    work: impl Future<Output = ()> + 'static,
) -> io::Result<()> {
    let mut builder = Builder::new_current_thread();
    builder.enable_all();
    if let Some(others) = others {
        builder.on_thread_start(move || {
            if let Err(error) = cores::allow(&others) {
                tracing::warn!(%error, "a helper thread may disturb the pinned ones");
            }
        });
    }
    let runtime = builder.build()?;
    match mode {
        IngestMode::Tokio => LocalSet::new().block_on(&runtime, work),
        IngestMode::BusyPoll => LocalSet::new().block_on(&runtime, awake(work)),
    }
    Ok(())
}

/// The runtime sleeps when no task is ready; there is always one here, which gives way to all
/// others.
async fn awake(work: impl Future<Output = ()> + 'static) {
    let work = tokio::task::spawn_local(work);
    while !work.is_finished() {
        yield_now().await;
    }
    // A panic was reported by its hook, and ends this thread as it does in the other mode.
    if let Err(error) = work.await
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}
