//! `tickforge signals`: which signals has the daemon made? Prints the journal, of a running daemon
//! too: it takes no lock, changes nothing and asks no server. Called by `main`; all output goes to
//! `out`.

pub mod active;

use crate::clock;
use crate::outcome::record::OutcomeRecord;
use crate::publishers::journal::{self, Reader, Record};
use crate::signal::record::SignalRecord;
use anyhow::Context;
use rust_decimal::Decimal;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Duration;

/// How often `--follow` looks for more.
const FOLLOW_EVERY: Duration = Duration::from_millis(50);

#[derive(Clone, Debug, Default, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    pub what: Option<What>,
    /// Go on with new signals as they are made
    #[arg(long)]
    pub follow: bool,
    /// Begin with this number of the journal
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub from_seq: u64,
    /// Only signals of events at or after this time (RFC 3339), or this long ago (10m, 2h, 1d)
    #[arg(long, value_name = "TIME", value_parser = parse_since)]
    pub since: Option<Since>,
    /// Only signals of this strategy
    #[arg(long, value_name = "NAME")]
    pub strategy: Option<String>,
    /// Only signals of this symbol, as BASE/QUOTE
    #[arg(long, value_name = "SYMBOL")]
    pub symbol: Option<String>,
    /// Instead of the signals, what became of them
    #[arg(long)]
    pub outcomes: bool,
}

/// Instead of the journal's.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum What {
    /// Those in PostgreSQL that hold now, the strongest first
    Active(active::Args),
}

/// A time, ns since the epoch, or a time before now, ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    At(i64),
    Ago(i64),
}

impl Since {
    /// ns since the epoch.
    pub fn ns(self) -> i64 {
        match self {
            Since::At(ns) => ns,
            Since::Ago(ns) => clock::now_ns().saturating_sub(ns),
        }
    }
}

pub fn parse_since(text: &str) -> Result<Since, String> {
    if let Some(ns) = clock::parse_rfc3339(text) {
        return Ok(Since::At(ns));
    }
    let days = jiff::SpanRelativeTo::days_are_24_hours();
    let ago = text
        .parse::<jiff::Span>()
        .and_then(|span| span.to_duration(days));
    ago.ok()
        .and_then(|ago| i64::try_from(ago.as_nanos()).ok())
        .filter(|ns| *ns >= 0)
        .map(Since::Ago)
        .ok_or_else(|| {
            "neither a time (2026-01-31T12:00:00Z) nor a duration ago (10m, 2h, 1d)".to_owned()
        })
}

/// Prints the signals asked for, one a line. A reader that goes away (`| head`) ends it, quietly.
pub fn run(args: &Args, data_dir: &Path, json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    let dir = journal::dir(data_dir);
    anyhow::ensure!(
        journal::exists(&dir),
        "no journal at {}: has tickforge run with this --data-dir?",
        dir.display()
    );
    match print(args, &dir, json, out) {
        Err(e) if is_broken_pipe(&e) => Ok(()),
        other => other.with_context(|| format!("reading the journal at {}", dir.display())),
    }
}

fn print(args: &Args, dir: &Path, json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut reader = Reader::open(dir, args.from_seq);
    let filter = Filter::new(args);
    let mut out = BufWriter::new(out);
    loop {
        while let Some(record) = reader.next(u64::MAX)? {
            if OutcomeRecord::is(record.payload) != args.outcomes {
                continue;
            }
            if let Err(error) = filter.print(&record, json, &mut out) {
                if !error.is_data() && !error.is_syntax() {
                    return Err(io::Error::from(error).into());
                }
                let seq = record.seq;
                tracing::warn!(seq, %error, "not of this version, passed over");
            }
        }
        out.flush()?;
        if !args.follow {
            break;
        }
        std::thread::sleep(FOLLOW_EVERY);
    }
    let (deleted, damaged) = (reader.skipped(), reader.damaged());
    // Without --from-seq the beginning is wherever the journal begins.
    if damaged > 0 || (deleted > 0 && args.from_seq > 1) {
        tracing::warn!(
            deleted,
            damaged,
            "the journal no longer has some of the signals asked for"
        );
    }
    Ok(())
}

struct Filter<'a> {
    since_ns: i64,
    strategy: Option<&'a str>,
    symbol: Option<&'a str>,
}

impl<'a> Filter<'a> {
    fn new(args: &'a Args) -> Self {
        Filter {
            since_ns: args.since.map_or(i64::MIN, Since::ns),
            strategy: args.strategy.as_deref(),
            symbol: args.symbol.as_deref(),
        }
    }

    /// Prints a record that is asked for; an error of data says that it cannot be read.
    fn print(&self, record: &Record, json: bool, out: &mut impl Write) -> serde_json::Result<()> {
        let (seq, payload) = (record.seq, record.payload);
        let text = if OutcomeRecord::is(payload) {
            let o: OutcomeRecord = serde_json::from_slice(payload)?;
            self.wants(o.event_ns, &o.strategy, &o.symbol)
                .then(|| outcome_text(seq, &o))
        } else {
            let s: SignalRecord = serde_json::from_slice(payload)?;
            self.wants(s.event_ns, &s.strategy, &s.symbol)
                .then(|| signal_text(seq, &s))
        };
        let Some(text) = text else { return Ok(()) };
        let written = if json {
            write_json(out, seq, payload)
        } else {
            out.write_all(text.as_bytes())
        };
        written.map_err(serde_json::Error::io)
    }

    fn wants(&self, event_ns: i64, strategy: &str, symbol: &str) -> bool {
        event_ns >= self.since_ns
            && self.strategy.is_none_or(|s| s == strategy)
            && self.symbol.is_none_or(|s| s == symbol)
    }
}

/// The object as it is stored, with its number put in front.
fn write_json(out: &mut impl Write, seq: u64, payload: &[u8]) -> io::Result<()> {
    write!(out, "{{\"journal_seq\":{seq},")?;
    // A record is an object with keys: what follows its brace follows our key and comma.
    out.write_all(&payload[1..])?;
    out.write_all(b"\n")
}

fn signal_text(seq: u64, s: &SignalRecord) -> String {
    format!(
        "{seq:>8}  {}  {:<11} {} {} at {}  strength {} confidence {}  {}: {}\n",
        s.created_at,
        s.signal_type,
        s.exchange,
        s.symbol,
        s.price,
        s.strength,
        s.confidence,
        s.strategy,
        s.reasoning
    )
}

fn outcome_text(seq: u64, o: &OutcomeRecord) -> String {
    let number = |n: &Option<Decimal>| n.map_or_else(|| "not seen".to_owned(), |n| n.to_string());
    let doubt = if o.data_quality.complete {
        ""
    } else {
        "  (not all of the market was seen)"
    };
    format!(
        "{seq:>8}  {}  {:<11} {} {} from {} to {}: {} %, score {}  {}: {}{doubt}\n",
        o.ended_at,
        o.signal_type,
        o.exchange,
        o.symbol,
        o.price,
        number(&o.exit_price),
        number(&o.actual_outcome),
        number(&o.accuracy_score),
        o.strategy,
        o.ending,
    )
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{JournalConfig, JournalSync};
    use crate::publishers::journal::{Journal, sample};

    /// A data folder whose journal holds signals 1 to 20 and is held open, as by a running daemon.
    fn running() -> (tempfile::TempDir, Journal) {
        let dir = tempfile::tempdir().expect("a folder");
        let sync = JournalSync::Every(Duration::ZERO);
        let config = JournalConfig {
            sync,
            max_bytes: 1 << 30,
            segment_bytes: 4096,
        };
        let (mut journal, _) = Journal::open(&journal::dir(dir.path()), &config).expect("opens");
        for n in 1..=20 {
            let mut record = sample::record(n);
            if n % 5 == 0 {
                record.symbol = "ETH/USDT".to_owned();
                record.strategy = "breakout".to_owned();
            }
            journal
                .append(&serde_json::to_vec(&record).expect("JSON"))
                .expect("appends");
            journal.commit(false).expect("commits");
        }
        (dir, journal)
    }

    fn lines(dir: &Path, args: &Args, json: bool) -> Vec<String> {
        let mut out = Vec::new();
        run(args, dir, json, &mut out).expect("prints");
        String::from_utf8(out)
            .expect("text")
            .lines()
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn prints_what_was_asked_for() {
        let (dir, _journal) = running();
        let at = |n: i64| Some(Since::At(1_700_000_000_000_000_000 + n * 1_000_000_000));
        let cases: [(Args, Vec<u64>); 6] = [
            (Args::default(), (1..=20).collect()),
            (
                Args {
                    from_seq: 18,
                    ..Args::default()
                },
                vec![18, 19, 20],
            ),
            (
                Args {
                    since: at(19),
                    ..Args::default()
                },
                vec![19, 20],
            ),
            (
                Args {
                    since: Some(Since::Ago(1_000_000_000)),
                    ..Args::default()
                },
                vec![],
            ),
            (
                Args {
                    symbol: Some("ETH/USDT".to_owned()),
                    ..Args::default()
                },
                vec![5, 10, 15, 20],
            ),
            (
                Args {
                    strategy: Some("breakout".to_owned()),
                    from_seq: 11,
                    ..Args::default()
                },
                vec![15, 20],
            ),
        ];
        for (args, expected) in cases {
            let seqs: Vec<u64> = lines(dir.path(), &args, true)
                .iter()
                .map(|line| {
                    let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
                    let record: SignalRecord = serde_json::from_str(line).expect("a signal");
                    let seq = value["journal_seq"].as_u64().expect("a number");
                    assert_eq!(record.signal_id, sample::signal(seq).id);
                    seq
                })
                .collect();
            assert_eq!(seqs, expected, "{args:?}");
        }
        let text = lines(
            dir.path(),
            &Args {
                from_seq: 20,
                ..Args::default()
            },
            false,
        );
        assert_eq!(text.len(), 1);
        for part in [
            "20",
            "buy",
            "binance ETH/USDT at 91234.56",
            "breakout: fast above slow",
        ] {
            assert!(text[0].contains(part), "{part} in {}", text[0]);
        }
    }

    #[test]
    fn says_so_where_there_is_no_journal() {
        let dir = tempfile::tempdir().expect("a folder");
        let error =
            run(&Args::default(), dir.path(), true, &mut Vec::new()).expect_err("no journal");
        assert!(error.to_string().contains("no journal at"), "{error}");
    }

    #[test]
    fn a_closed_pipe_ends_it_quietly() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (dir, _journal) = running();
        let args = Args {
            follow: true,
            ..Args::default()
        };
        run(&args, dir.path(), true, &mut Closed).expect("quiet");
    }

    #[test]
    fn times_and_durations_are_understood() {
        for (text, expected) in [
            (
                "2023-11-14T22:13:20Z",
                Some(Since::At(1_700_000_000_000_000_000)),
            ),
            ("10m", Some(Since::Ago(600_000_000_000))),
            ("1h30m", Some(Since::Ago(5_400_000_000_000))),
            ("1d", Some(Since::Ago(86_400_000_000_000))),
            ("250ms", Some(Since::Ago(250_000_000))),
            ("10", None),
            ("-10m", None),
            ("yesterday", None),
        ] {
            assert_eq!(parse_since(text).ok(), expected, "{text}");
        }
    }
}
