//! Does every thread pass its loop? If so, the watchdog of whoever supervises the daemon is fed.
//!
//! Each loop counts its passes, idle ones too: the longest sleep is half a second, so a silent
//! exchange is no reason not to feed. One thread that stands still is one, whatever the others do.
//! Only counts and compares: the caller keeps the time and does the feeding.

use crate::metrics::{Counter, Passes};
use std::time::Duration;

/// How often a task passes on a thread that has a runtime instead of a loop.
const BEAT: Duration = Duration::from_millis(100);

/// Passes with the runtime it is spawned on. Never ends.
pub async fn beat(passes: &Counter) {
    loop {
        passes.add(1);
        tokio::time::sleep(BEAT).await;
    }
}

/// A thread and its passes when it was last found moving.
struct Watched {
    name: &'static str,
    seen: u64,
}

/// The threads that have to move.
pub struct Watchdog(Vec<Watched>);

impl Watchdog {
    /// `names` are those of [`Passes::all`]; a thread that this configuration does not start is
    /// left out.
    pub fn new(names: &[&'static str]) -> Watchdog {
        let watched = |name: &&'static str| Watched { name, seen: 0 };
        Watchdog(names.iter().map(watched).collect())
    }

    /// The threads that have not passed since the last time all had: while empty, feed.
    pub fn stuck(&mut self, passes: &Passes) -> Vec<&'static str> {
        let all = passes.all();
        let now = |name| {
            all.iter()
                .find(|(n, _)| *n == name)
                .map_or(0, |(_, c)| c.get())
        };
        let still: Vec<_> = self
            .0
            .iter()
            .filter(|w| now(w.name) == w.seen)
            .map(|w| w.name)
            .collect();
        if still.is_empty() {
            self.0.iter_mut().for_each(|w| w.seen = now(w.name));
        }
        still
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_fed_while_every_thread_has_passed_since_the_last_time() {
        let passes = Passes::default();
        let mut watchdog = Watchdog::new(&["ingest", "engine"]);
        assert_eq!(
            watchdog.stuck(&passes),
            ["ingest", "engine"],
            "not yet begun"
        );
        passes.ingest.add(1);
        assert_eq!(watchdog.stuck(&passes), ["engine"]);
        passes.engine.add(1);
        assert!(watchdog.stuck(&passes).is_empty());
        // The engine hangs, the others hurry on.
        for _ in 0..3 {
            passes.ingest.add(100);
            passes.parquet.add(100);
            assert_eq!(watchdog.stuck(&passes), ["engine"]);
        }
        // It goes on: what the others did meanwhile counts.
        passes.engine.add(1);
        assert!(watchdog.stuck(&passes).is_empty());
        assert_eq!(watchdog.stuck(&passes), ["ingest", "engine"]);
    }

    #[tokio::test]
    async fn a_beat_goes_on_with_its_runtime() {
        let passes = Passes::default();
        let some = tokio::time::timeout(3 * BEAT, beat(&passes.stores));
        assert!(some.await.is_err(), "it never ends");
        assert!((2..=4).contains(&passes.stores.get()));
    }
}
