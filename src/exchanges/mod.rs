//! HOT PATH. How exchanges speak: one file each, bytes in, values out. No sockets, no clocks.
//!
//! An exchange says where it is, what to send, and how a frame becomes events
//! ([`Exchange::decode`]); [`output::Output`] is where events go and where the rules that all
//! exchanges share (scales, book sequence, duplicates) are kept. `crate::feed` drives both, live
//! and from captures alike.

pub mod binance;
pub(crate) mod candles;
pub mod coinbase;
pub mod cursor;
pub mod json;
pub mod kraken;
pub mod output;
#[cfg(test)]
mod testing;
pub mod time;
pub mod trades;

use crate::market::{Bar, Instrument, InstrumentId, Scale};
pub use output::{BookRule, Output};
use std::time::Duration;
use trades::{Hole, Pages, PastTrade};

/// What a frame turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Events were put out (perhaps none: a duplicate, an update of a book that waits).
    Data,
    /// A request was accepted.
    Ack {
        id: Option<u64>,
    },
    /// A request was refused, with the exchange's words.
    Refused {
        id: Option<u64>,
        reason: String,
    },
    Heartbeat,
    /// The exchange will close this connection soon: reconnect now.
    ShuttingDown,
    /// Well formed, and not for us.
    Ignored,
}

/// Why a frame could not be decoded. The frame is counted, its books are resynced, the feed goes
/// on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    #[error("not valid JSON")]
    Json,
    #[error("field {0} is missing or of another type")]
    Field(&'static str),
    #[error("{0} is not a number")]
    Number(&'static str),
    #[error("the symbol is not in the exchange's instrument list")]
    Symbol,
    #[error("a number that no integer of ours can hold")]
    Range,
    #[error("the exchange refuses the request")]
    Refused,
    #[error("a candle that does not begin at a multiple of its interval")]
    Grid,
}

/// What to subscribe to, for each instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channels {
    pub trades: bool,
    /// Trades aggregated by taker order where the exchange has them, instead of single ones.
    pub aggregate_trades: bool,
    pub quotes: bool,
    pub book: bool,
}

/// A request to be sent after connecting; its answer is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub id: u64,
    pub text: String,
    /// How many acks it is answered by (Kraken: one for each symbol).
    pub acks: u32,
}

/// One connection to be kept: where, and what to ask for.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Appended to the WebSocket address.
    pub path: String,
    pub instruments: Vec<InstrumentId>,
    pub requests: Vec<Request>,
}

/// Addresses without a trailing slash.
#[derive(Clone, Copy, Debug)]
pub struct Hosts {
    pub ws: &'static str,
    pub rest: &'static str,
}

/// What the exchange allows, and what it promises.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Text messages that we may send per second on one connection.
    pub messages_per_second: u32,
    /// REST book snapshots per second.
    pub snapshots_per_second: u32,
    /// REST requests for candles per second, while no snapshot waits.
    pub candles_per_second: u32,
    /// REST requests for trades that were missed per second; before candles, for a short time.
    pub trades_per_second: u32,
    /// Instruments on one connection.
    pub instruments_per_connection: usize,
    /// Silence longer than this means a dead connection.
    pub silence: Duration,
    /// Text to send at this pace to stay connected, where the exchange wants that.
    pub ping: Option<(Duration, &'static str)>,
}

/// What a recorded or fetched URL is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rest {
    Listing,
    /// A book snapshot of this native symbol.
    Snapshot(String),
    /// Candles of this native symbol.
    Candles {
        native: String,
        interval_ns: i64,
    },
    /// Trades of this native symbol.
    Trades {
        native: String,
    },
    Other,
}

/// An exchange's protocol. Values in, values out; one instance for each feed.
pub trait Exchange: Send {
    /// Lower case, as in the configuration and in signals.
    fn name(&self) -> &'static str;
    fn hosts(&self) -> Hosts;
    fn limits(&self) -> Limits;
    /// The stamps of trades are multiples of this, ns.
    fn stamp_resolution_ns(&self) -> u32;
    fn book_rule(&self) -> BookRule;

    /// Path and query of the instrument list, below the REST address.
    fn listing_path(&self) -> String;
    /// The instrument list's answer; the error says what is wrong with it.
    fn parse_listing(&self, body: &[u8]) -> anyhow::Result<Vec<Instrument>>;
    /// Makes an instrument of its native symbol alone, for captures that hold no list; `None` where
    /// the exchange's symbols do not say enough.
    fn guess(&self) -> Option<fn(&str) -> Option<Instrument>>;

    /// Connections for these instruments (at most [`Limits::instruments_per_connection`] each).
    fn plan(&self, instruments: &[(InstrumentId, &Instrument)], channels: Channels) -> Vec<Plan>;
    /// Texts that make the exchange send this book's snapshot again (unsubscribe, subscribe);
    /// empty where the snapshot comes by REST. `id` is free for use, as are the nine after it.
    fn resubscribe_book(&self, native: &str, id: u64) -> Vec<Request>;
    /// Path and query of a book snapshot, where it comes by REST.
    fn snapshot_path(&self, native: &str) -> Option<String>;
    /// Path and query of the last `count` closed candles at `now_ns`, or of as many as one answer
    /// holds. `None` where the exchange has no candles of this interval.
    fn candles(&self, native: &str, interval_ns: i64, count: u32, now_ns: i64) -> Option<String>;
    /// The answer to [`Exchange::candles`] as bars, oldest first: those that were closed at
    /// `now_ns` and had a trade, as bars of our own making do.
    ///
    /// What an exchange does not say is estimated: the amount of quote is the volume at the average
    /// price where that is given, else at the typical price (high + low + close) / 3; takers bought
    /// half of the volume; there was one trade. The first trade was at the beginning, the last one
    /// at the end. A number with more decimals than the scale has is rounded half to even.
    fn parse_candles(
        &self,
        body: &[u8],
        interval_ns: i64,
        now_ns: i64,
        price_scale: Scale,
        amount_scale: Scale,
    ) -> Result<Vec<Bar>, Reject>;
    /// How the answers to [`Exchange::trades_since`] come.
    fn trade_pages(&self) -> Pages;
    /// Path and query of trades that are missing, or of as many as one answer holds. `None` where
    /// the exchange does not tell.
    fn trades_since(&self, native: &str, hole: &Hole) -> Option<String>;
    /// The answer to [`Exchange::trades_since`], oldest first.
    fn parse_trades(&self, body: &[u8]) -> Result<Vec<PastTrade>, Reject>;
    /// What a URL of a capture is.
    fn classify(&self, url: &str) -> Rest;

    /// Decodes one text frame into `out`. On an error `out` is rolled back by the caller.
    fn decode(&mut self, frame: &[u8], out: &mut Output) -> Result<Frame, Reject>;
    /// Decodes the answer to [`Exchange::snapshot_path`].
    fn decode_snapshot(
        &mut self,
        native: &str,
        body: &[u8],
        out: &mut Output,
    ) -> Result<(), Reject>;
    /// A trade's id as the exchange writes it.
    // COLD: for display and export.
    fn trade_id(&self, id: u128) -> String {
        id.to_string()
    }

    /// The exchange's side of a subscription, for `tickforge simulate`: texts that answer
    /// `request`.
    fn answer(&self, request: &str) -> Vec<String>;
    /// Whether a recorded frame answers a subscription (the simulator answers by itself).
    fn is_answer(&self, frame: &str) -> bool;
}

/// An exchange by its configured name.
pub fn by_name(name: &str) -> Option<Box<dyn Exchange>> {
    ALL.iter().find(|(n, _)| *n == name).map(|(_, new)| new())
}

/// An exchange by a URL of a capture (its host).
pub fn by_url(url: &str) -> Option<&'static str> {
    let host = url.split("://").nth(1)?.split(['/', '?']).next()?;
    HOSTS
        .iter()
        .find(|(part, _)| host.contains(part))
        .map(|(_, name)| *name)
}

type New = fn() -> Box<dyn Exchange>;

/// All exchanges, by name.
pub const ALL: &[(&str, New)] = &[
    ("binance", || Box::new(binance::Binance::default())),
    ("coinbase", || Box::<coinbase::Coinbase>::default()),
    ("kraken", || Box::<kraken::Kraken>::default()),
];

/// A part of the host name that tells the exchange.
const HOSTS: &[(&str, &str)] = &[
    ("stream.binance.com", "binance"),
    ("data-stream.binance.vision", "binance"),
    ("api.binance.com", "binance"),
    ("advanced-trade-ws.coinbase.com", "coinbase"),
    ("api.coinbase.com", "coinbase"),
    ("ws.kraken.com", "kraken"),
    ("api.kraken.com", "kraken"),
];
