//! HOT PATH. All that a strategy may see and say.
//!
//! A strategy is one file in `strategies/` with a `pub const SPEC: Spec`. The build finds it;
//! nothing else is touched. The engine calls it on the engine thread, one instance for each
//! instrument, with events in ring order. It cannot block, do I/O or read a clock: time is
//! [`Context::now_ns`].

pub mod instance;
pub mod memory;
pub mod parameters;
pub mod prelude;

pub use instance::Instance;
pub use memory::Memory;

use crate::market::decimal;
use crate::market::{Bar, BarSpec, Event, InstrumentId, Quote, Side, Trade};
use crate::signal::{DataQuality, Features, Percent, Reasoning, SignalType, Source};
use crate::state::{BookState, MarketState};
use arrayvec::ArrayVec;
use std::fmt;

/// A parameter's value, and by its variant its type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    Int(i64),
    Float(f64),
    Bool(bool),
    /// Nanoseconds; written `"1s"`, `"250ms"`, `"5m"` in the configuration.
    Duration(i64),
    /// A kind of bars; written `"1m"`, `"trades:100"`, `"volume:12.5"`, `"notional:1000000"`,
    /// `"renko:10"`.
    Bars(BarSpec),
}

impl Value {
    pub const fn type_name(self) -> &'static str {
        match self {
            Value::Int(_) => "int",
            Value::Float(_) => "float",
            Value::Bool(_) => "bool",
            Value::Duration(_) => "duration",
            Value::Bars(_) => "bars",
        }
    }

    /// For comparing with a range; `Bool` and `Bars` have none.
    pub fn as_f64(self) -> f64 {
        match self {
            Value::Int(v) | Value::Duration(v) => v as f64,
            Value::Float(v) => v,
            Value::Bool(v) => f64::from(u8::from(v)),
            Value::Bars(_) => f64::NAN,
        }
    }
}

/// A declared parameter. `min` and `max` are inclusive and of `default`'s type.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    pub name: &'static str,
    pub default: Value,
    pub min: Option<Value>,
    pub max: Option<Value>,
    pub unit: &'static str,
    pub help: &'static str,
}

impl Parameter {
    /// A whole number from `min` to `max`.
    pub const fn int(
        name: &'static str,
        default: i64,
        (min, max): (i64, i64),
        unit: &'static str,
        help: &'static str,
    ) -> Parameter {
        let (min, max) = (Some(Value::Int(min)), Some(Value::Int(max)));
        Parameter {
            name,
            default: Value::Int(default),
            min,
            max,
            unit,
            help,
        }
    }
    /// A number from `min` to `max`.
    pub const fn float(
        name: &'static str,
        default: f64,
        (min, max): (f64, f64),
        unit: &'static str,
        help: &'static str,
    ) -> Parameter {
        let (min, max) = (Some(Value::Float(min)), Some(Value::Float(max)));
        Parameter {
            name,
            default: Value::Float(default),
            min,
            max,
            unit,
            help,
        }
    }
    /// A kind of bars.
    pub const fn bars(name: &'static str, default: BarSpec, help: &'static str) -> Parameter {
        Parameter {
            name,
            default: Value::Bars(default),
            min: None,
            max: None,
            unit: "bars",
            help,
        }
    }
    /// A time from 10 ms to a day, in milliseconds here.
    pub const fn duration_ms(name: &'static str, default: i64, help: &'static str) -> Parameter {
        const MS: i64 = 1_000_000;
        let (min, max) = (
            Some(Value::Duration(10 * MS)),
            Some(Value::Duration(86_400_000 * MS)),
        );
        Parameter {
            name,
            default: Value::Duration(default * MS),
            min,
            max,
            unit: "time",
            help,
        }
    }
}

/// Parameters of one instance, complete and checked, in the order of declaration.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters(pub Vec<(&'static str, Value)>);

impl Parameters {
    /// Panics where `name` was not declared with this type: a fault of the strategy's file, found
    /// by `tickforge strategies --check` and at every start.
    pub fn int(&self, name: &str) -> i64 {
        match self.get(name) {
            Value::Int(v) => v,
            v => panic!("parameter {name} is a {}, not an int", v.type_name()),
        }
    }
    /// As [`Parameters::int`].
    pub fn float(&self, name: &str) -> f64 {
        match self.get(name) {
            Value::Float(v) => v,
            v => panic!("parameter {name} is a {}, not a float", v.type_name()),
        }
    }
    /// As [`Parameters::int`].
    pub fn bool(&self, name: &str) -> bool {
        match self.get(name) {
            Value::Bool(v) => v,
            v => panic!("parameter {name} is a {}, not a bool", v.type_name()),
        }
    }
    /// Nanoseconds. As [`Parameters::int`].
    pub fn duration_ns(&self, name: &str) -> i64 {
        match self.get(name) {
            Value::Duration(v) => v,
            v => panic!("parameter {name} is a {}, not a duration", v.type_name()),
        }
    }
    /// A kind of bars; a duration is one of time. As [`Parameters::int`].
    pub fn bars(&self, name: &str) -> BarSpec {
        match self.get(name) {
            Value::Bars(v) => v,
            Value::Duration(ns) => BarSpec::Time(ns),
            v => panic!(
                "parameter {name} is a {}, not a kind of bars",
                v.type_name()
            ),
        }
    }
    fn get(&self, name: &str) -> Value {
        let found = self.0.iter().find(|(n, _)| *n == name);
        found
            .unwrap_or_else(|| panic!("parameter {name} is not declared in SPEC"))
            .1
    }
}

/// Which events a strategy is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streams(pub u8);

impl Streams {
    pub const TRADES: Streams = Streams(1);
    pub const QUOTES: Streams = Streams(2);
    pub const BOOK: Streams = Streams(4);
    pub const BARS: Streams = Streams(8);

    pub const fn and(self, other: Streams) -> Streams {
        Streams(self.0 | other.0)
    }
    #[inline]
    pub const fn has(self, other: Streams) -> bool {
        self.0 & other.0 != 0
    }
}

/// History that a strategy needs before it may decide: declared, never coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WarmUp {
    None,
    /// Closed bars of its kind; where it has several, of the first.
    Bars(u32),
    /// Trades or quotes, whichever it listens to.
    Events(u32),
    /// This much event time, ns, of the live market: books and quotes cannot be had afterwards.
    Time(i64),
}

/// Kinds of bars that one strategy may have.
pub const TIMEFRAMES: usize = 4;
/// Instruments that one instance may look at.
pub const LEGS: usize = 8;

/// What a strategy's file declares.
#[derive(Debug)]
pub struct Spec {
    pub name: &'static str,
    /// The author's version; the build appends a digest of the file.
    pub version: &'static str,
    pub summary: &'static str,
    pub parameters: &'static [Parameter],
    pub streams: Streams,
    /// The names of the parameters that hold its kinds of bars (or durations: bars of time), at
    /// most [`TIMEFRAMES`]. [`Context::timeframe`] is an index into them.
    pub bar_parameters: &'static [&'static str],
    /// Its bars where no parameter holds them.
    pub bars: BarSpec,
    pub warm_up: fn(&Parameters) -> WarmUp,
    /// How many instruments an instance looks at, at most [`LEGS`]: 1, but for spreads and for what
    /// leads and what follows. More than 1, and the configuration names them, as
    /// `groups = [["binance:BTC/USDT", "kraken:BTC/USD"]]`; see [`Context::leg`].
    pub legs: u8,
    /// Publish signals that were computed on a stale book (they say so). Most do not want that.
    pub accepts_stale_book: bool,
    /// What one call may take, ns: `tickforge strategies NAME --check --capture FILE` holds it to
    /// that, and a running daemon counts the calls that take longer.
    pub budget_ns: u64,
    /// Makes an instance for one instrument; an error names the parameters that do not go together.
    pub new: fn(&Parameters) -> Result<Box<dyn Strategy>, String>,
}

impl Spec {
    /// What most strategies have in common, for `..Spec::new("name")`: version 1.0.0, no
    /// parameters, trades alone, no warm-up, no signals on a stale book, 20 µs a call. `new` is
    /// still to be declared.
    pub const fn new(name: &'static str) -> Spec {
        Spec {
            name,
            version: "1.0.0",
            summary: "",
            parameters: &[],
            streams: Streams::TRADES,
            bar_parameters: &[],
            bars: BarSpec::Time(60_000_000_000),
            warm_up: |_| WarmUp::None,
            legs: 1,
            accepts_stale_book: false,
            budget_ns: 20_000,
            new: |_| Err("its SPEC has no `new`".to_owned()),
        }
    }

    /// As [`Spec::new`], for one that listens to bars.
    pub const fn on_bars(name: &'static str, bars: BarSpec) -> Spec {
        Spec {
            streams: Streams::BARS,
            bars,
            ..Spec::new(name)
        }
    }
}

/// A registered strategy: what its file declares and what the build knows of it.
#[derive(Debug)]
pub struct Entry {
    pub spec: &'static Spec,
    /// Path from the project's root.
    pub file: &'static str,
    /// Hex digest of the file's text.
    pub digest: &'static str,
}

impl Entry {
    /// `1.0.0+9f3c21ab`: changes with every change of the file, and so do the ids of its signals.
    // COLD: asked for once, at start.
    pub fn code_version(&self) -> String {
        format!("{}+{}", self.spec.version, self.digest)
    }
}

/// Callbacks, in ring order. What is not wanted is left out, and [`Spec::streams`] says what comes.
///
/// What an instance remembers is all in its fields, and `#[derive(Serialize, Deserialize)]` is all
/// that it takes to be saved: a restart goes on where the run before stood.
#[expect(unused_variables, reason = "the default of a callback does nothing")]
pub trait Strategy: Memory + Send {
    fn on_trade(&mut self, ctx: &Context, trade: &Trade, out: &mut Drafts) {}
    fn on_quote(&mut self, ctx: &Context, quote: &Quote, out: &mut Drafts) {}
    /// A book message is complete; the book is in `ctx`.
    fn on_book(&mut self, ctx: &Context, out: &mut Drafts) {}
    /// A bar of a declared kind has closed; [`Context::timeframe`] says which.
    fn on_bar(&mut self, ctx: &Context, bar: &Bar, out: &mut Drafts) {}
    /// Takes over changed parameters and keeps what it remembers; says whether it could. Where it
    /// cannot, which is the default, a new instance takes its place and is shown the bars that the
    /// engine kept.
    fn set(&mut self, parameters: &Parameters) -> bool {
        false
    }
}

/// The market as the strategy may see it at this event.
pub struct Context<'a> {
    pub state: &'a MarketState,
    pub event: &'a Event,
    /// In `on_bar`: the bar's place in [`Spec::bar_parameters`].
    pub timeframe: usize,
    /// Which of the group's instruments the event is of; 0 where there is one.
    pub leg: usize,
    /// The group's other markets, by leg.
    pub(crate) group: &'a Group<'a>,
}

/// Where the markets of a group are.
pub(crate) struct Group<'a> {
    pub legs: &'a [InstrumentId],
    pub markets: &'a [Option<Box<MarketState>>],
}

impl Group<'_> {
    /// Of a strategy with one instrument.
    #[cfg(test)]
    pub const ONE: Group<'static> = Group {
        legs: &[],
        markets: &[],
    };
}

impl<'a> Context<'a> {
    /// The market of one of the group's instruments, as it is at this event. `None` where there is
    /// no such leg.
    pub fn market(&self, leg: usize) -> Option<&'a MarketState> {
        if leg == self.leg {
            return Some(self.state);
        }
        let id = *self.group.legs.get(leg)?;
        self.group.markets.get(id as usize)?.as_deref()
    }

    /// The event's time, ns since the epoch.
    #[inline]
    pub fn now_ns(&self) -> i64 {
        self.event.time_ns()
    }
    /// `BASE/QUOTE`.
    pub fn symbol(&self) -> &str {
        &self.state.instrument.symbol
    }
    /// An event's integer price in quote currency.
    #[inline]
    pub fn price(&self, price: i64) -> f64 {
        decimal::to_f64(price, self.state.price_scale)
    }
    /// An event's integer amount in base currency.
    #[inline]
    pub fn amount(&self, amount: i64) -> f64 {
        decimal::to_f64(amount, self.state.amount_scale)
    }
    /// Middle of the touch, `None` until both sides are known.
    #[inline]
    pub fn mid(&self) -> Option<f64> {
        self.state.mid()
    }
    /// Spread over the middle, basis points.
    pub fn spread_bp(&self) -> Option<f64> {
        let (bid, ask) = self.state.touch()?;
        let (bid, ask) = (self.price(bid), self.price(ask));
        Some((ask - bid) / ((ask + bid) / 2.0) * 10_000.0)
    }
    /// Amount of base in the best `levels` of a side, `None` where the book is not synced.
    pub fn depth(&self, side: Side, levels: usize) -> Option<f64> {
        if self.state.book_state != BookState::Synced {
            return None;
        }
        Some(self.amount(self.state.book.depth(side, levels)))
    }
    pub fn quality(&self) -> DataQuality {
        self.state.quality
    }
}

/// A signal as the strategy states it; the engine adds id, price, quality and stamps.
#[derive(Clone, Debug)]
pub struct Draft {
    pub signal_type: SignalType,
    pub source: Source,
    pub strength: Percent,
    pub confidence: Percent,
    pub target_price: Option<f64>,
    pub stop_loss_price: Option<f64>,
    pub take_profit_price: Option<f64>,
    pub reasoning: Reasoning,
    pub indicators: Features,
    pub conditions: Features,
    pub valid_for_ns: i64,
    /// Which of the group's instruments it is about.
    pub leg: usize,
}

impl Draft {
    // Inlined, so that a draft is made in its place rather than moved from one to the next.

    /// `strength` and `confidence` are shares of one.
    #[inline]
    pub fn new(signal_type: SignalType, strength: f64, confidence: f64) -> Self {
        Draft {
            signal_type,
            source: Source::TechnicalAnalysis,
            strength: Percent::of(strength),
            confidence: Percent::of(confidence),
            target_price: None,
            stop_loss_price: None,
            take_profit_price: None,
            reasoning: Reasoning::new(),
            indicators: Features::new(),
            conditions: Features::new(),
            valid_for_ns: 60_000_000_000,
            leg: 0,
        }
    }
    /// About another of the group's instruments than the first; its prices are that one's.
    #[inline]
    #[must_use]
    pub fn leg(mut self, leg: usize) -> Self {
        self.leg = leg;
        self
    }
    #[inline]
    #[must_use]
    pub fn source(mut self, source: Source) -> Self {
        self.source = source;
        self
    }
    /// Prices in quote currency; the engine puts them on the instrument's price step. The signal
    /// ends at the first of them, or when its validity is over: the module `outcome` says how that
    /// is found, and `outcome::score` what it is worth. The target is what it is measured by.
    #[inline]
    #[must_use]
    pub fn prices(mut self, target: f64, stop_loss: f64, take_profit: f64) -> Self {
        self.target_price = Some(target);
        self.stop_loss_price = Some(stop_loss);
        self.take_profit_price = Some(take_profit);
        self
    }
    /// How long the signal holds, ns.
    #[inline]
    #[must_use]
    pub fn valid_for(mut self, ns: i64) -> Self {
        self.valid_for_ns = ns;
        self
    }
    /// One sentence; what does not fit is cut.
    #[inline]
    #[must_use]
    pub fn because(mut self, text: fmt::Arguments) -> Self {
        // An error here only says that the text was cut.
        let _ = fmt::Write::write_fmt(&mut Cut(&mut self.reasoning), text);
        self
    }
    /// A value it was made from; a seventeenth is left out.
    #[inline]
    #[must_use]
    pub fn indicator(mut self, name: &'static str, value: f64) -> Self {
        let _ = self.indicators.try_push((name, value));
        self
    }
    /// What the market was like; a seventeenth is left out.
    #[inline]
    #[must_use]
    pub fn condition(mut self, name: &'static str, value: f64) -> Self {
        let _ = self.conditions.try_push((name, value));
        self
    }
}

/// `part` of `whole`; a half, which says nothing either way, where there is no whole.
pub fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.5 }
}

/// Where a strategy puts its signals: at most four at one event.
pub type Drafts = ArrayVec<Draft, 4>;

struct Cut<'a>(&'a mut Reasoning);

impl fmt::Write for Cut<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.0.remaining_capacity();
        let mut end = text.len().min(room);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.0.push_str(&text[..end]);
        if end < text.len() {
            Err(fmt::Error)
        } else {
            Ok(())
        }
    }
}
