//! What the file of a strategy needs in most cases: `use crate::strategy::prelude::*;`. All
//! indicators are in it.

pub use super::{
    Context, Draft, Drafts, Parameter, Parameters, Spec, Strategy, Streams, Value, WarmUp, share,
};
pub use crate::indicators::*;
pub use crate::market::{Bar, BarSpec, Quote, Side, Trade};
pub use crate::signal::{SignalType, Source};
pub use serde::{Deserialize, Serialize};
pub use ta::Next;
