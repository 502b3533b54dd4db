//! When do an hour's segments become one file? On a thread of its own, so that a large hour holds
//! up no tick. It sleeps while there is nothing to merge; a merge cut short by the end is done
//! after the next start.

use super::files;
use crossbeam::channel::{Receiver, Sender, bounded};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Hours that may wait to be merged; the others are offered again later.
const WAITING: usize = 64;

pub struct Merger {
    hours: Option<Sender<PathBuf>>,
    abandon: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Merger {
    pub fn start() -> io::Result<Merger> {
        let (sender, receiver) = bounded(WAITING);
        let abandon = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&abandon);
        let thread = std::thread::Builder::new()
            .name("parquet-merge".to_owned())
            .spawn(move || work(&receiver, &theirs))?;
        Ok(Merger {
            hours: Some(sender),
            abandon,
            thread: Some(thread),
        })
    }

    /// Has an hour's folder merged; false where that must be asked again later.
    pub fn merge(&self, hour: &Path) -> bool {
        self.hours
            .as_ref()
            .is_some_and(|hours| hours.try_send(hour.to_owned()).is_ok())
    }
}

impl Drop for Merger {
    fn drop(&mut self) {
        self.abandon.store(true, Ordering::Relaxed);
        self.hours = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that merges ticks panicked");
        }
    }
}

fn work(hours: &Receiver<PathBuf>, abandon: &AtomicBool) {
    for hour in hours {
        if abandon.load(Ordering::Relaxed) {
            return;
        }
        match files::merge(&hour, abandon) {
            Ok(Some(rows)) => {
                tracing::debug!(hour = %hour.display(), rows, "merged an hour of ticks")
            }
            Ok(None) => {}
            Err(error) => {
                let place = hour.display();
                tracing::error!(
                    "ticks at {place} stay unmerged until the next start: {error:#}; disk full?"
                );
            }
        }
    }
}
