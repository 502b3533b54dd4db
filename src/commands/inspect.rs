//! `tickforge inspect`: what is in a capture, and whether its books came out right.

use crate::capture::Reader;
use crate::exchanges::{BookRule, Frame};
use crate::market::decimal::to_decimal;
use crate::market::event::Flags;
use crate::market::{Event, Kind, Side, Status};
use crate::playback::{Outcome, Playback};
use crate::state::{BookChange, BookState, MarketState};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

#[derive(clap::Args, Debug)]
pub struct Args {
    /// The capture: `*.capture.jsonl` or `*.capture.jsonl.zst`.
    file: PathBuf,
    /// The exchange, where the capture's addresses do not tell.
    #[arg(long)]
    exchange: Option<String>,
}

#[derive(Serialize, Default)]
struct Report {
    messages: u64,
    decoded: u64,
    control: u64,
    rejected: u64,
    events: BTreeMap<&'static str, u64>,
    gaps: u64,
    resyncs: u64,
    duplicates: u64,
    inexact: u64,
    /// Lines that could not be read.
    broken_lines: u64,
    /// The last line was cut off: the recorder was killed.
    torn: bool,
    checksums: Checksums,
    from_ns: i64,
    to_ns: i64,
    /// Why frames were rejected, with the first line of each kind.
    reasons: BTreeMap<String, Reason>,
    books: Vec<Book>,
}

#[derive(Serialize, Default)]
struct Checksums {
    ok: u64,
    failed: u64,
}

#[derive(Serialize)]
struct Reason {
    count: u64,
    first_line: usize,
}

#[derive(Serialize)]
struct Book {
    exchange: &'static str,
    native: String,
    market: &'static str,
    symbol: String,
    state: &'static str,
    proof: &'static str,
    bids: usize,
    asks: usize,
    bid: [String; 2],
    ask: [String; 2],
}

pub fn run(args: &Args, json: bool) -> anyhow::Result<()> {
    let report = inspect(args)?;
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, &report)?;
        writeln!(out)?;
    } else {
        write!(out, "{}", table(&report))?;
    }
    if report.broken_lines > 0 {
        anyhow::bail!(
            "{} lines of {} could not be read",
            report.broken_lines,
            args.file.display()
        );
    }
    Ok(())
}

fn inspect(args: &Args) -> anyhow::Result<Report> {
    let mut reader = Reader::open(&args.file)?;
    let mut playback = Playback::new(args.exchange.as_deref(), Vec::new())?;
    let mut report = Report::default();
    let mut exact = BTreeMap::<&'static str, u64>::new();
    for line in &mut reader {
        let (number, line) = match line {
            Ok(line) => line,
            Err(e) => {
                tracing::error!("{e}");
                report.broken_lines += 1;
                continue;
            }
        };
        if report.from_ns == 0 {
            report.from_ns = line.t;
        }
        report.to_ns = report.to_ns.max(line.t);
        let see = |event: &Event, change: BookChange, _: &_, _| {
            if let Some(name) = kind(event, change) {
                *exact.entry(name).or_default() += 1;
            }
        };
        match playback.line(&line, see) {
            Ok(Outcome::Frame(Err(reject))) => note(&mut report, reject.to_string(), number),
            Ok(Outcome::Frame(Ok(Frame::Refused { reason, .. }))) => {
                note(&mut report, reason, number)
            }
            Ok(Outcome::Rest(Err(reject))) => note(&mut report, format!("REST: {reject}"), number),
            Ok(_) => {}
            Err(e) => {
                tracing::error!("{}:{number}: {e:#}", args.file.display());
                report.broken_lines += 1;
            }
        }
    }
    report.torn = reader.torn();
    report.events = exact;
    complete(&mut report, &playback);
    Ok(report)
}

fn kind(event: &Event, change: BookChange) -> Option<&'static str> {
    match event.kind {
        Kind::Trade if event.flags.has(Flags::SNAPSHOT) => Some("snapshot_trade"),
        Kind::Trade => Some("trade"),
        Kind::Quote => Some("quote"),
        Kind::Book if change != BookChange::None => Some("book"),
        Kind::Book => None,
        Kind::Status => match event.status() {
            Status::Listed => Some("listed"),
            Status::BookStale { .. } => Some("book_stale"),
            Status::Rescale { .. } => Some("rescale"),
            Status::Interrupted => Some("interrupted"),
            Status::InstrumentSwitch { .. } | Status::StrategySwitch { .. } => Some("switch"),
            Status::Past | Status::CaughtUp => Some("past"),
            Status::Parameters { .. } => Some("parameters"),
        },
    }
}

fn note(report: &mut Report, reason: String, number: usize) {
    report
        .reasons
        .entry(reason)
        .or_insert(Reason {
            count: 0,
            first_line: number,
        })
        .count += 1;
}

fn complete(report: &mut Report, playback: &Playback) {
    let m = &playback.metrics.ingest;
    report.messages = m.frames_received.get();
    report.decoded = m.frames_decoded.get();
    report.control = m.frames_control.get();
    report.rejected = m.frames_rejected.get();
    report.gaps = m.gaps.get();
    report.resyncs = m.resyncs.get();
    report.duplicates = m.events_duplicate.get();
    report.inexact = m.inexact.get();
    for (_, market) in playback.engine.markets() {
        report.checksums.ok += market.checksums_ok;
        report.checksums.failed += market.checksums_failed;
        if !market.book.is_empty() {
            report.books.push(book(market, playback));
        }
    }
}

fn book(market: &MarketState, playback: &Playback) -> Book {
    let instrument = &market.instrument;
    let rule = playback
        .exchange(instrument.exchange)
        .map(|e| e.book_rule());
    let level = |level: Option<crate::market::book::Level>| {
        let text = |v, scale| to_decimal(v, scale).to_string();
        level.map_or(["0".to_owned(), "0".to_owned()], |l| {
            [
                text(l.price, market.price_scale),
                text(l.amount, market.amount_scale),
            ]
        })
    };
    Book {
        exchange: instrument.exchange,
        native: instrument.native.clone(),
        market: instrument.market.name(),
        symbol: instrument.symbol.clone(),
        state: match market.book_state {
            BookState::Synced => "synced",
            BookState::Loading => "loading",
            BookState::Stale => "stale",
        },
        proof: match rule {
            _ if instrument.checksum => "checksum",
            Some(BookRule::RestSnapshot) => "sequence",
            Some(BookRule::StreamSnapshot) if instrument.exchange == "coinbase" => "sequence",
            _ => "none",
        },
        bids: market.book.len(Side::Buy),
        asks: market.book.len(Side::Sell),
        bid: level(market.book.best_bid()),
        ask: level(market.book.best_ask()),
    }
}

fn table(report: &Report) -> String {
    use std::fmt::Write;
    let mut t = String::new();
    let seconds = (report.to_ns - report.from_ns) as f64 / 1e9;
    let _ = writeln!(
        t,
        "{} messages in {seconds:.1} s: {} decoded, {} control, {} rejected",
        report.messages, report.decoded, report.control, report.rejected
    );
    let events: Vec<_> = report
        .events
        .iter()
        .map(|(k, v)| format!("{v} {k}"))
        .collect();
    let _ = writeln!(t, "events: {}", events.join(", "));
    let _ = writeln!(
        t,
        "gaps {}, resyncs {}, duplicates {}, inexact {}, checksums {} ok {} failed",
        report.gaps,
        report.resyncs,
        report.duplicates,
        report.inexact,
        report.checksums.ok,
        report.checksums.failed
    );
    for (reason, r) in &report.reasons {
        let _ = writeln!(t, "{} × {reason} (first at line {})", r.count, r.first_line);
    }
    let _ = writeln!(
        t,
        "{:<12}{:<16}{:<8}{:<10}{:>8}{:>8}  bid / ask",
        "exchange", "symbol", "state", "proof", "bids", "asks"
    );
    for b in &report.books {
        let _ = writeln!(
            t,
            "{:<12}{:<16}{:<8}{:<10}{:>8}{:>8}  {} / {}",
            b.exchange, b.native, b.state, b.proof, b.bids, b.asks, b.bid[0], b.ask[0]
        );
    }
    t
}
