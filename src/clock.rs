//! The only place that reads a clock. Hot code is handed the time.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Wall time, ns since the Unix epoch.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the wall clock"
)]
pub fn now_ns() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_nanos() as i64)
}

/// RFC 3339 in UTC with nanoseconds where there are any.
pub fn rfc3339(ns: i64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(ns))
        .map_or_else(|_| "1970-01-01T00:00:00Z".to_owned(), |t| t.to_string())
}

/// Reads RFC 3339 text into ns since the epoch.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    let t: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(t.as_nanosecond()).ok()
}

/// Wall time that does not step back within a run: one reading of the wall clock carried on by the
/// monotonic one.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    wall_ns: i64,
    start: Instant,
}

impl Clock {
    pub fn system() -> Clock {
        Clock {
            wall_ns: now_ns(),
            start: Instant::now(),
        }
    }

    #[inline]
    pub fn now_ns(&self) -> i64 {
        self.wall_ns + self.start.elapsed().as_nanos() as i64
    }

    /// How far the host's clock has moved away from this one, ns; `None` where a pause between the
    /// readings would falsify it.
    pub fn host_lead_ns(&self) -> Option<i64> {
        const PAUSE_NS: i64 = 1_000_000;
        let before = self.now_ns();
        let host = now_ns();
        let after = self.now_ns();
        (after - before < PAUSE_NS).then(|| host - before.midpoint(after))
    }
}
