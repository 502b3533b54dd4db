//! What is to run: a strategy, under a name of its own, with checked parameters, on some
//! instruments. Made from the configuration at start; off the hot path.

use crate::market::{BarSpec, Instrument, matches};
use crate::signal::descriptions::Descriptions;
use crate::signal::record::Described;
use crate::strategy::{Entry, Instance, Parameters, Streams, TIMEFRAMES, WarmUp, parameters};
use anyhow::{anyhow, bail};
use arrayvec::ArrayVec;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// One instance of a strategy in the configuration.
#[derive(Clone)]
pub struct Plan {
    /// The instance's name, by which signals and switches know it.
    pub name: Arc<str>,
    pub entry: &'static Entry,
    pub tuning: Tuning,
    /// Its signals are journalled and go nowhere else.
    pub shadow: bool,
    /// `EXCHANGE:SYMBOL` patterns of instruments that it runs on; empty for all.
    pub only: Vec<String>,
    /// For a strategy over several instruments: the `EXCHANGE:SYMBOL` of each, group by group.
    pub groups: Vec<Vec<String>>,
}

/// The parameters of a plan: its own, and those of instruments that have others.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuning {
    pub parameters: Parameters,
    /// By `EXCHANGE:SYMBOL`.
    pub instruments: BTreeMap<String, Parameters>,
}

impl Tuning {
    /// Checks a section of the configuration; the error names place and key.
    pub fn new(name: &str, entry: &Entry, config: &Instance) -> anyhow::Result<Tuning> {
        let checked = |table: &toml::Table| {
            let parameters = parameters::resolve(entry.spec, table).map_err(|e| anyhow!(e))?;
            (entry.spec.new)(&parameters).map_err(|e| anyhow!("[strategies.{name}] {e}"))?;
            anyhow::Ok(parameters)
        };
        let with = |own: &toml::Table| checked(&config.parameters_with(own));
        let instruments = config.instruments.iter();
        Ok(Tuning {
            parameters: checked(&config.parameters)?,
            instruments: instruments
                .map(|(instrument, own)| Ok((instrument.clone(), with(own)?)))
                .collect::<anyhow::Result<_>>()?,
        })
    }

    /// Of an instrument, by `EXCHANGE:SYMBOL`.
    pub fn of(&self, instrument: &str) -> &Parameters {
        self.instruments.get(instrument).unwrap_or(&self.parameters)
    }
}

/// `EXCHANGE:SYMBOL`, as the configuration and `system_config` name an instrument.
pub fn key_of(instrument: &Instrument) -> String {
    format!("{}:{}", instrument.exchange, instrument.symbol)
}

impl Plan {
    /// A strategy under its own name, on every instrument.
    pub fn new(entry: &'static Entry, parameters: Parameters) -> Plan {
        let instruments = BTreeMap::new();
        Plan {
            name: entry.spec.name.into(),
            entry,
            tuning: Tuning {
                parameters,
                instruments,
            },
            shadow: false,
            only: Vec::new(),
            groups: Vec::new(),
        }
    }

    /// From a section of the configuration. An error names place and remedy.
    pub fn configured(
        name: &str,
        entry: &'static Entry,
        config: &Instance,
    ) -> anyhow::Result<Plan> {
        let legs = usize::from(entry.spec.legs);
        if legs > 1 && config.groups.is_empty() {
            bail!(
                "[strategies.{name}] looks at {legs} instruments at once: name them, as \
                 groups = [[\"binance:BTC/USDT\", \"kraken:BTC/USD\"]]"
            );
        }
        if let Some(wrong) = config.groups.iter().find(|group| group.len() != legs) {
            bail!("[strategies.{name}] groups: {wrong:?} must name {legs} instruments");
        }
        Ok(Plan {
            name: name.into(),
            entry,
            tuning: Tuning::new(name, entry, config)?,
            shadow: config.shadow,
            only: config.only.clone(),
            groups: config.groups.clone(),
        })
    }

    /// What its signals have in common, where these are the parameters.
    pub fn described(&self, parameters: &Parameters) -> Described {
        Described {
            strategy: Arc::clone(&self.name),
            version: self.entry.code_version(),
            parameters: parameters::canonical(parameters),
            shadow: self.shadow,
        }
    }

    /// Whether it runs on an instrument, by `EXCHANGE:SYMBOL`, that is no part of a group.
    pub fn runs_on(&self, instrument: &str) -> bool {
        self.groups.is_empty()
            && (self.only.is_empty() || self.only.iter().any(|p| matches(p, instrument)))
    }

    /// The kinds of bars that it listens to with these parameters.
    pub fn bars(&self, parameters: &Parameters) -> ArrayVec<BarSpec, TIMEFRAMES> {
        let spec = self.entry.spec;
        if !spec.streams.has(Streams::BARS) {
            return ArrayVec::new();
        }
        let named = spec.bar_parameters.iter().take(TIMEFRAMES);
        let mut bars: ArrayVec<_, TIMEFRAMES> = named.map(|name| parameters.bars(name)).collect();
        if bars.is_empty() {
            bars.push(spec.bars);
        }
        bars
    }

    /// How many bars of each of its kinds an instance is warmed by; none where it does not ask for
    /// bars. Of a further kind of time as many as reach back as far as those of the first.
    pub fn history(&self, parameters: &Parameters) -> ArrayVec<u32, TIMEFRAMES> {
        let WarmUp::Bars(count) = (self.entry.spec.warm_up)(parameters) else {
            return self.bars(parameters).iter().map(|_| 0).collect();
        };
        let bars = self.bars(parameters);
        let first = bars.first().copied();
        let of = |kind: &BarSpec| match (first, *kind) {
            (Some(BarSpec::Time(first)), BarSpec::Time(this)) => {
                let span = i128::from(first) * i128::from(count);
                let reach = (span + i128::from(this) - 1) / i128::from(this.max(1));
                u32::try_from(reach).unwrap_or(u32::MAX)
            }
            _ => count,
        };
        bars.iter().map(of).collect()
    }
}

/// The kinds of bars of time that plans are warmed by, in ns, and how many of each: what is to be
/// had from an exchange's candles.
pub fn candles(plans: &[Plan]) -> Vec<(i64, u32)> {
    let mut wanted = BTreeMap::<i64, u32>::new();
    for plan in plans {
        let all = plan.tuning.instruments.values();
        for parameters in all.chain([&plan.tuning.parameters]) {
            let (bars, counts) = (plan.bars(parameters), plan.history(parameters));
            for (kind, count) in bars.iter().zip(counts) {
                if let BarSpec::Time(interval_ns) = *kind
                    && count > 0
                {
                    let most = wanted.entry(interval_ns).or_default();
                    *most = count.max(*most);
                }
            }
        }
    }
    wanted.into_iter().collect()
}

/// What the engine shares with the threads around it.
#[derive(Default)]
pub struct Settings {
    /// What signals of this run were made with.
    pub descriptions: Arc<Descriptions>,
    changes: RwLock<Vec<Arc<Change>>>,
}

/// New parameters of a plan.
pub struct Change {
    pub plan: u16,
    pub tuning: Tuning,
}

impl Settings {
    /// Leaves a change for the engine; the answer goes there in an event.
    pub fn leave(&self, change: Change) -> u32 {
        let mut all = self.changes.write().unwrap_or_else(PoisonError::into_inner);
        all.push(Arc::new(change));
        (all.len() - 1) as u32
    }

    pub fn change(&self, index: u32) -> Option<Arc<Change>> {
        let all = self.changes.read().unwrap_or_else(PoisonError::into_inner);
        all.get(index as usize).cloned()
    }
}
