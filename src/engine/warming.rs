//! HOT PATH. How much history has a strategy still to see? Counted down by the engine after each
//! callback.

use super::Call;
use crate::strategy::WarmUp;
use serde::{Deserialize, Serialize};

/// What a strategy has still to see before its signals count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Warming {
    Done,
    Bars(u32),
    Events(u32),
    /// This long after its first event, ns; the end once that came.
    Time {
        length_ns: i64,
        end_ns: Option<i64>,
    },
}

impl Warming {
    pub fn new(warm_up: WarmUp) -> Warming {
        match warm_up {
            WarmUp::None | WarmUp::Bars(0) | WarmUp::Events(0) => Warming::Done,
            WarmUp::Bars(n) => Warming::Bars(n),
            WarmUp::Events(n) => Warming::Events(n),
            WarmUp::Time(length_ns) => Warming::Time {
                length_ns,
                end_ns: None,
            },
        }
    }

    /// After a callback. Of several kinds of bars and several instruments the first ones count.
    #[inline]
    pub fn after(self, call: Call, timeframe: usize, leg: usize, now_ns: i64) -> Warming {
        match call {
            Call::Bar(..) if timeframe == 0 && leg == 0 => self.step(true, now_ns),
            Call::Bar(..) => self,
            _ => self.step(false, now_ns),
        }
    }

    fn step(self, is_bar: bool, now_ns: i64) -> Warming {
        match self {
            Warming::Bars(n) if is_bar => {
                if n > 1 {
                    Warming::Bars(n - 1)
                } else {
                    Warming::Done
                }
            }
            Warming::Events(n) if !is_bar => {
                if n > 1 {
                    Warming::Events(n - 1)
                } else {
                    Warming::Done
                }
            }
            Warming::Time { length_ns, end_ns } => {
                let end = end_ns.unwrap_or(now_ns.saturating_add(length_ns));
                if now_ns >= end {
                    Warming::Done
                } else {
                    Warming::Time {
                        length_ns,
                        end_ns: Some(end),
                    }
                }
            }
            unchanged => unchanged,
        }
    }
}
