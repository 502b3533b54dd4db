//! Does a strategy keep its promises? It is run over a capture several times, each time with one
//! thing changed that must make no difference:
//!
//! - the capture's first half alone: the whole one gives the same signals in that half, so it does
//!   not look ahead;
//! - the whole capture, twice: the same signals, to the last bit, so it is deterministic;
//! - a fresh instance from a third of the capture on, and from half: the same signals once it is
//!   warm, so the warm-up that it declares is enough.
//!
//! The time of each call is taken in both whole runs, and the lesser of the two counts: what held
//! up one run alone was the machine.
//!
//! The market runs on from the beginning in all of them, books included; the strategy alone is
//! fresh. `tickforge strategies NAME --check --capture FILE` calls this. It reads the clock, so
//! nothing of it is in the daemon.

use crate::capture::Reader;
use crate::engine::{Outbox, Plan};
use crate::market::{InstrumentId, Reason, Tick};
use crate::outcome::Outcome;
use crate::playback::Playback;
use crate::signal::{Features, Signal};
use anyhow::{Context, ensure};
use rust_decimal::Decimal;
use serde::Serialize;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Instant;
use uuid::Uuid;

/// Of this many calls one may take longer than the budget.
const SLOW_ONE_IN: usize = 1000;
/// No call may take this many times the budget.
const NEVER: u64 = 20;
/// How far strength and confidence may differ by longer history, hundredths: a recursive average
/// never forgets all.
const HUNDREDTHS: u8 = 1;
/// How far prices and features may differ by longer history, relative.
const RELATIVE: f64 = 1e-3;

pub struct Trial<'a> {
    pub plan: Plan,
    pub files: &'a [PathBuf],
    /// The exchange, where the capture's addresses do not tell.
    pub exchange: Option<&'a str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    NoLookAhead,
    Deterministic,
    WarmUpSuffices,
    WithinBudget,
    NoPanic,
}

/// A promise that was not kept.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    pub rule: Rule,
    pub text: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub signals: usize,
    pub calls: usize,
    pub budget_ns: u64,
    /// The time that all calls but one in a thousand keep, and the longest.
    pub call_p999_ns: u64,
    pub call_max_ns: u64,
    pub findings: Vec<Finding>,
    /// Whether a fresh instance became warm, so that its warm-up could be judged.
    pub warm_up_judged: bool,
    /// What the capture was too short for.
    pub notes: Vec<String>,
}

impl Trial<'_> {
    pub fn run(&self) -> anyhow::Result<Report> {
        let lines = self.count()?;
        ensure!(lines > 0, "the capture has no line that can be read");
        // First the cut one: what it could not know yet, a cheat may know in a later run.
        let cut = self.pass(lines / 2, None)?;
        let whole = self.pass(lines, None)?;
        let again = self.pass(lines, None)?;
        let mut findings = Vec::new();
        if whole.stopped {
            let text = "it panics; run it by `tickforge replay` to see where".to_owned();
            let rule = Rule::NoPanic;
            findings.push(Finding { rule, text });
        }
        if let Some(text) = difference(&whole.signals, &again.signals, identical) {
            let text = format!("two runs over the same capture differ: {text}");
            let rule = Rule::Deterministic;
            findings.push(Finding { rule, text });
        }
        let half: Vec<_> = whole
            .signals
            .iter()
            .filter(|s| s.line < lines / 2)
            .cloned()
            .collect();
        if let Some(text) = difference(&half, &cut.signals, identical) {
            let text = format!("with the future cut off its signals differ: {text}");
            let rule = Rule::NoLookAhead;
            findings.push(Finding { rule, text });
        }
        let (mut notes, mut warm_up_judged) = (Vec::new(), false);
        if whole.signals.is_empty() {
            notes.push("it made no signal on this capture".to_owned());
        }
        for (from, name) in [(lines / 3, "a third"), (lines / 2, "half")] {
            let fresh = self.pass(lines, Some(from))?;
            if fresh.warm.is_empty() {
                notes.push(format!(
                    "begun after {name} of the capture, it is never warm"
                ));
                continue;
            }
            warm_up_judged = true;
            if let Some(text) = needs_history(&whole, &fresh) {
                let text = format!("begun after {name} of the capture, once it is warm: {text}");
                let rule = Rule::WarmUpSuffices;
                findings.push(Finding { rule, text });
                break;
            }
        }
        let budget_ns = self.plan.entry.spec.budget_ns;
        let mut calls = least(&whole.calls, &again.calls);
        let late = calls.len() - calls.len() / SLOW_ONE_IN;
        let call_p999_ns = calls.get(late.saturating_sub(1)).copied().unwrap_or(0);
        let call_max_ns = calls.pop().unwrap_or(0);
        if call_p999_ns > budget_ns || call_max_ns > NEVER * budget_ns {
            let text = format!(
                "a call may take {budget_ns} ns; one in {SLOW_ONE_IN} takes {call_p999_ns} ns or \
                 more, the longest {call_max_ns} ns"
            );
            let rule = Rule::WithinBudget;
            findings.push(Finding { rule, text });
        }
        Ok(Report {
            signals: whole.signals.len(),
            calls: whole.calls.len(),
            budget_ns,
            call_p999_ns,
            call_max_ns,
            findings,
            warm_up_judged,
            notes,
        })
    }

    fn readers(&self) -> impl Iterator<Item = anyhow::Result<(&Path, Reader)>> {
        let files = self.files.iter();
        files.map(|file| Ok((file.as_path(), Reader::open(file)?)))
    }

    fn count(&self) -> anyhow::Result<usize> {
        let mut lines = 0;
        for reader in self.readers() {
            lines += reader?.1.count();
        }
        Ok(lines)
    }

    /// Plays the first `to` lines; at line `fresh` the strategy is made anew.
    fn pass(&self, to: usize, fresh: Option<usize>) -> anyhow::Result<Seen> {
        let plans = vec![self.plan.clone()];
        let mut playback = Playback::with(self.exchange, plans, Seen::default())?;
        let mut cold: Option<Vec<InstrumentId>> = None;
        let mut at = 0;
        for reader in self.readers() {
            let (file, reader) = reader?;
            for line in reader {
                if at >= to {
                    return Ok(playback.out);
                }
                playback.out.line = at;
                if fresh == Some(at) {
                    playback.engine.begin_again();
                    playback.out.signals.clear();
                    cold = Some(playback.engine.markets().map(|(id, _)| id).collect());
                }
                // A line that cannot be read is one for every run.
                if let Ok((number, line)) = line {
                    let played = playback.line(&line, |_, _, _, _| ());
                    played.with_context(|| format!("{}:{number}", file.display()))?;
                }
                if let Some(cold) = &mut cold {
                    let (engine, out) = (&playback.engine, &mut playback.out);
                    for id in cold.extract_if(.., |id| engine.is_warm(*id)) {
                        out.warm.insert(id, at);
                    }
                }
                at += 1;
            }
        }
        Ok(playback.out)
    }
}

/// A signal, and the line that made it.
#[derive(Clone)]
struct Made {
    line: usize,
    signal: Signal,
}

/// What a pass saw.
#[derive(Default)]
struct Seen {
    line: usize,
    signals: Vec<Made>,
    /// The line at which a fresh instance became warm.
    warm: HashMap<InstrumentId, usize>,
    /// How long each call took, ns.
    calls: Vec<u64>,
    begun: Option<Instant>,
    stopped: bool,
}

impl Outbox for Seen {
    fn signal(&mut self, signal: Signal) {
        let line = self.line;
        self.signals.push(Made { line, signal });
    }
    fn outcome(&mut self, _: Outcome) {}
    fn tick(&mut self, _: Tick) {}
    fn book_broken(&mut self, _: InstrumentId, _: Reason) {}
    fn suppressed(&mut self) {}
    fn switched_off(&mut self) {}
    fn strategy_stopped(&mut self, _: &str, _: InstrumentId) {
        self.stopped = true;
    }
    fn call_begins(&mut self) {
        self.begun = Some(Instant::now());
    }
    fn call_ended(&mut self, _plan: u16, _instrument: InstrumentId) {
        let took = self.begun.take().map(|begun| begun.elapsed().as_nanos());
        self.calls.extend(took.map(|ns| ns as u64));
    }
}

/// Of each call the lesser time, sorted.
fn least(a: &[u64], b: &[u64]) -> Vec<u64> {
    let mut least: Vec<u64> = a.iter().zip(b).map(|(a, b)| *a.min(b)).collect();
    least.sort_unstable();
    least
}

/// The first signal that differs, in words.
fn difference(a: &[Made], b: &[Made], same: fn(&Signal, &Signal) -> bool) -> Option<String> {
    if a.len() != b.len() {
        let (a, b) = (a.len(), b.len());
        return Some(format!("{a} signals, then {b}"));
    }
    let wrong = a.iter().zip(b).find(|(a, b)| !same(&a.signal, &b.signal));
    wrong.map(|(a, b)| both(&a.signal, &b.signal))
}

/// What a run with more history says otherwise than a fresh one that is warm.
fn needs_history(whole: &Seen, fresh: &Seen) -> Option<String> {
    let is_warm = |made: &&Made| {
        let warm = fresh.warm.get(&made.signal.instrument);
        warm.is_some_and(|warm| made.line > *warm)
    };
    let by_id = |seen: &'_ Seen| -> HashMap<Uuid, Signal> {
        let warm = seen.signals.iter().filter(is_warm);
        warm.map(|made| (made.signal.id, made.signal.clone()))
            .collect()
    };
    let (long, short) = (by_id(whole), by_id(fresh));
    for made in whole.signals.iter().filter(is_warm) {
        let signal = &made.signal;
        match short.get(&signal.id) {
            None => return Some(format!("it does not say {}", words(signal))),
            Some(other) if !alike(signal, other) => return Some(both(signal, other)),
            Some(_) => {}
        }
    }
    let extra = fresh.signals.iter().filter(is_warm);
    let extra = extra
        .map(|made| &made.signal)
        .find(|s| !long.contains_key(&s.id));
    extra.map(|signal| format!("it alone says {}", words(signal)))
}

/// The decision is the same to the last bit.
fn identical(a: &Signal, b: &Signal) -> bool {
    let bits = |f: &Features| -> Vec<_> { f.iter().map(|(n, v)| (*n, v.to_bits())).collect() };
    let prices = |s: &Signal| {
        let stops = (s.stop_loss_price, s.take_profit_price);
        (s.price, s.target_price, stops)
    };
    let rest = |s: &Signal| {
        (
            s.id,
            s.signal_type,
            s.strength,
            s.confidence,
            s.valid_until_ns,
        )
    };
    rest(a) == rest(b)
        && prices(a) == prices(b)
        && a.reasoning == b.reasoning
        && bits(&a.indicators) == bits(&b.indicators)
        && bits(&a.conditions) == bits(&b.conditions)
}

/// The decision is the same but for what a long memory leaves behind.
fn alike(a: &Signal, b: &Signal) -> bool {
    let near = |a: f64, b: f64| (a - b).abs() <= RELATIVE * a.abs().max(b.abs());
    let close = |a: u8, b: u8| a.abs_diff(b) <= HUNDREDTHS;
    let number = |price: Decimal| price.try_into().unwrap_or(f64::NAN);
    let prices = |a: Option<Decimal>, b: Option<Decimal>| match (a, b) {
        (Some(a), Some(b)) => near(number(a), number(b)),
        (a, b) => a == b,
    };
    a.signal_type == b.signal_type
        && close(a.strength.hundredths(), b.strength.hundredths())
        && close(a.confidence.hundredths(), b.confidence.hundredths())
        && a.price == b.price
        && prices(a.target_price, b.target_price)
        && prices(a.stop_loss_price, b.stop_loss_price)
        && prices(a.take_profit_price, b.take_profit_price)
}

fn words(signal: &Signal) -> String {
    format!(
        "{} with strength {} and confidence {} at {} ns",
        signal.signal_type.name(),
        signal.strength.decimal(),
        signal.confidence.decimal(),
        signal.event_ns
    )
}

fn both(a: &Signal, b: &Signal) -> String {
    let (a_words, b_words) = (words(a), words(b));
    if a_words != b_words {
        return format!("{a_words}, then {b_words}");
    }
    format!("{a_words}, with other prices, features or reasons")
}
