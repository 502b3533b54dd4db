//! What the store alone can tell: bars of seconds out of their raw trades, and minutes and hours
//! out of finer bars. So a window is right that was open when an earlier run ended, however it
//! ended, and one that gets a trade long after memory let it go.
//!
//! A bar is never replaced by one of fewer trades: raw trades go after an hour, and what was made
//! of them stays. Reads and writes the store; holds nothing of the roll-up in memory.

use super::bar::{Bar, Fact, Span};
use super::line;
use super::past::{self, Bars, Name};
use super::server::{Answer, Server};
use std::collections::BTreeSet;
use std::ops::Range;

/// Lines in one write.
const LINES: usize = 5_000;

/// What is to be made again.
#[derive(Clone, Debug)]
pub struct Job {
    /// Of one series, or of all.
    pub of: Option<Name>,
    /// Seconds, from their raw trades.
    pub seconds: Range<i64>,
    /// Minutes and hours beside those that the seconds are in.
    pub windows: Vec<(Span, i64)>,
    /// From here on trades are in memory, too.
    pub owned_ns: i64,
}

/// A minute or an hour, as the store's finer bars make it.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    pub of: Name,
    pub span: Span,
    pub start_ns: i64,
    pub full: Bar,
    /// Without what memory has, too.
    pub base: Bar,
}

/// Writes the seconds, and returns the minutes and hours. All points that were made before have to
/// be in the store.
pub async fn run(server: &Server, job: &Job) -> Result<(Vec<Made>, u64), String> {
    let (minutes, hours) = (job.starts(Span::Minute), job.starts(Span::Hour));
    let mut made = Vec::new();
    let mut repaired = 0;
    let mut of_minutes = Bars::new();
    let mut bases = Bars::new();
    for start_ns in minutes {
        let range = start_ns..start_ns + Span::Minute.ns();
        let mut seconds = past::bars(server, &job.of, Span::Second, &range).await?;
        let raw = job.seconds.start.max(range.start)..job.seconds.end.min(range.end);
        let better = better(server, &job.of, &raw, &seconds).await?;
        repaired += better.len() as u64;
        write(server, Span::Second, &better).await?;
        seconds.extend(better);
        for ((name, second), bar) in seconds {
            let key = (name, start_ns);
            if second < job.owned_ns {
                add(&mut bases, &key, &bar);
            }
            add(&mut of_minutes, &key, &bar);
        }
    }
    collect(&mut made, Span::Minute, &of_minutes, &bases);
    for start_ns in hours {
        let range = start_ns..start_ns + Span::Hour.ns();
        let mut stored = past::bars(server, &job.of, Span::Minute, &range).await?;
        let ours = of_minutes.iter().filter(|((_, m), _)| range.contains(m));
        stored.extend(ours.map(|(key, bar)| (key.clone(), *bar)));
        let (mut of_hours, mut of_bases) = (Bars::new(), Bars::new());
        for ((name, minute), bar) in stored {
            let key = (name, start_ns);
            add(&mut of_hours, &key, &bar);
            let split = job.owned_ns < minute + Span::Minute.ns();
            let base = if split {
                bases.get(&(key.0.clone(), minute)).copied()
            } else {
                Some(bar)
            };
            add(&mut of_bases, &key, &base.unwrap_or(Bar::EMPTY));
        }
        collect(&mut made, Span::Hour, &of_hours, &of_bases);
    }
    Ok((made, repaired))
}

impl Job {
    /// Where the minutes or hours begin that the job is about. The minute in which a run began is
    /// a part of its hour.
    fn starts(&self, span: Span) -> BTreeSet<i64> {
        let mut starts = BTreeSet::new();
        if !self.seconds.is_empty() {
            let mut start = span.start(self.seconds.start);
            while start < self.seconds.end {
                starts.insert(start);
                start += span.ns();
            }
        }
        let windows = self.windows.iter();
        starts.extend(windows.clone().filter(|w| w.0 == span).map(|w| w.1));
        if span == Span::Minute && windows.clone().any(|w| w.0 == Span::Hour) {
            starts.insert(span.start(self.owned_ns));
        }
        starts
    }
}

fn add(bars: &mut Bars, key: &(Name, i64), bar: &Bar) {
    bars.entry(key.clone()).or_insert(Bar::EMPTY).merge(bar);
}

fn collect(made: &mut Vec<Made>, span: Span, all: &Bars, bases: &Bars) {
    made.extend(all.iter().map(|(key, full)| Made {
        of: key.0.clone(),
        span,
        start_ns: key.1,
        full: *full,
        base: bases.get(key).copied().unwrap_or(Bar::EMPTY),
    }));
}

/// Bars of seconds from their raw trades, where those say more than what is stored.
async fn better(
    server: &Server,
    of: &Option<Name>,
    range: &Range<i64>,
    stored: &Bars,
) -> Result<Bars, String> {
    let mut better = Bars::new();
    let mut take = |name: &Name, fact: &Fact| {
        let key = (name.clone(), Span::Second.start(fact.time_ns));
        add(&mut better, &key, &Bar::of(fact));
    };
    past::facts(server, of, range, &mut take).await?;
    better.retain(|key, bar| {
        let known = stored.get(key).copied().unwrap_or(Bar::EMPTY);
        bar.trades > known.trades || bar.trades == known.trades && !bar.equals(&known)
    });
    Ok(better)
}

/// Straight to the store, [`LINES`] at a time.
async fn write(server: &Server, span: Span, bars: &Bars) -> Result<(), String> {
    let (mut text, mut lines) = (Vec::new(), 0);
    for (i, (((symbol, exchange), start_ns), bar)) in bars.iter().enumerate() {
        let tags = [("symbol", symbol.as_str()), ("exchange", exchange)];
        let series = line::series("market_data", &tags);
        lines += usize::from(bar.encode(&series, *start_ns, &mut text));
        if lines > 0 && (lines == LINES || i + 1 == bars.len()) {
            lines = 0;
            match server.write(span.policy(), std::mem::take(&mut text)).await {
                Answer::Stored { .. } => {}
                other => return Err(format!("{}: bars: {other:?}", server.place)),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_names_the_windows_that_it_is_about() {
        let minute = Span::Minute.ns();
        let job = Job {
            of: None,
            seconds: 59 * minute..61 * minute + 1,
            windows: vec![(Span::Hour, 0)],
            owned_ns: 65 * minute + 5,
        };
        let minutes: Vec<i64> = job.starts(Span::Minute).into_iter().collect();
        assert_eq!(minutes, [59, 60, 61, 65].map(|m| m * minute));
        let hours: Vec<i64> = job.starts(Span::Hour).into_iter().collect();
        assert_eq!(hours, [0, 60 * minute]);
    }
}
