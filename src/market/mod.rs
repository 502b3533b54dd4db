//! Plain values: what a market is made of. No sockets, no clocks, no threads.
pub mod bar;
pub mod book;
pub mod day;
pub mod decimal;
pub mod event;
pub mod instrument;

pub use bar::{Bar, BarBuilder, BarKind, BarSpec, Bars};
pub use book::Book;
pub use day::{Day, DayStats};
pub use decimal::{Fit, Number, Scale};
pub use event::{BookDelta, Event, Flags, Kind, Quote, Reason, Side, Status, Tick, Trade};
pub use instrument::{ExchangeList, Instrument, InstrumentId, Market, Registry, matches};
