//! When do appended signals reach the disk itself? Within the time allowed, on a thread of its own,
//! so that a slow disk holds up no signal. The thread sleeps while there is nothing to sync.

use super::disk::DiskFile;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

#[derive(Default)]
struct State {
    /// The file to sync and when its oldest unsynced byte was written.
    dirty: Option<(Arc<dyn DiskFile>, Instant)>,
    closed: bool,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

pub struct Syncer {
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Syncer {
    /// Starts the thread; each write is synced at most `within` after it was reported.
    pub fn start(within: Duration) -> std::io::Result<Syncer> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            wake: Condvar::new(),
        });
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("journal-sync".to_owned())
            .spawn(move || work(&theirs, within))?;
        Ok(Syncer {
            shared,
            thread: Some(thread),
        })
    }

    /// `file` was written to. Earlier files are on the disk already.
    pub fn written(&self, file: Arc<dyn DiskFile>) {
        let mut state = self
            .shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let since = state
            .dirty
            .take()
            .map_or_else(Instant::now, |(_, since)| since);
        state.dirty = Some((file, since));
        drop(state);
        self.shared.wake.notify_one();
    }
}

impl Drop for Syncer {
    /// Syncs what is still to be synced, and ends the thread.
    fn drop(&mut self) {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .closed = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the journal's sync thread panicked");
        }
    }
}

fn work(shared: &Shared, within: Duration) {
    let mut failed: Option<Instant> = None;
    while let Some(file) = next(shared, within) {
        match file.sync_data() {
            Ok(()) if failed.take().is_some() => tracing::info!("the journal's disk syncs again"),
            Ok(()) => {}
            Err(error) => {
                if failed.is_none_or(|at| at.elapsed() > Duration::from_secs(10)) {
                    tracing::error!(%error, "the journal does not sync; is the disk failing?");
                    failed = Some(Instant::now());
                }
            }
        }
    }
}

/// Waits until a file is due; `None` when closed and nothing is left.
fn next(shared: &Shared, within: Duration) -> Option<Arc<dyn DiskFile>> {
    let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let wait = match &state.dirty {
            Some((_, since)) => within.saturating_sub(since.elapsed()),
            None if state.closed => return None,
            None => {
                state = shared
                    .wake
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
        };
        if wait.is_zero() || state.closed {
            return state.dirty.take().map(|(file, _)| file);
        }
        let woken = shared.wake.wait_timeout(state, wait);
        state = woken.unwrap_or_else(PoisonError::into_inner).0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn takes_what_is_due_in_time_and_the_rest_at_the_end() {
        let file = tempfile::tempfile().expect("a file");
        (&file).write_all(b"x").expect("writes");
        let file: Arc<dyn DiskFile> = Arc::new(file);
        let syncer = Syncer::start(Duration::from_millis(5)).expect("starts");
        syncer.written(Arc::clone(&file));
        let until = Instant::now() + Duration::from_secs(5);
        while syncer
            .shared
            .state
            .lock()
            .expect("not poisoned")
            .dirty
            .is_some()
        {
            assert!(Instant::now() < until, "never synced");
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(syncer);
        let late = Syncer::start(Duration::from_secs(3600)).expect("starts");
        late.written(Arc::clone(&file));
        let shared = Arc::clone(&late.shared);
        drop(late);
        assert!(shared.state.lock().expect("not poisoned").dirty.is_none());
    }
}
