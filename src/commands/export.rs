//! `tickforge export`: a capture's events, one a line.

use crate::capture::Reader;
use crate::engine::Engine;
use crate::market::decimal::to_decimal;
use crate::market::event::Flags;
use crate::market::{Event, Kind, Side};
use crate::playback::Playback;
use crate::state::{BookChange, BookState, MarketState};
use anyhow::{Context, bail};
use serde::Serialize;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

#[derive(clap::Args, Debug)]
pub struct Args {
    /// The capture: `*.capture.jsonl` or `*.capture.jsonl.zst`.
    file: PathBuf,
    /// How to write the events.
    #[arg(long, value_enum, default_value = "ndjson")]
    format: Format,
    /// Add every instrument's whole book at the end.
    #[arg(long)]
    final_books: bool,
    /// The exchange, where the capture's addresses do not tell.
    #[arg(long)]
    exchange: Option<String>,
    /// Write here instead of to standard output.
    #[arg(short, long)]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Ndjson,
    Csv,
    Parquet,
}

/// What every line has.
#[derive(Serialize)]
struct Head<'a> {
    n: i64,
    exchange: &'a str,
    native: &'a str,
    market: &'a str,
    symbol: &'a str,
    exchange_ns: i64,
    recv_ns: i64,
}

type Pair = [String; 2];

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Row<'a> {
    Trade {
        #[serde(flatten)]
        head: Head<'a>,
        side: &'a str,
        price: String,
        amount: String,
        id: String,
        snapshot: bool,
        aggregate: bool,
    },
    Quote {
        #[serde(flatten)]
        head: Head<'a>,
        bid: String,
        bid_amount: String,
        ask: String,
        ask_amount: String,
    },
    Book {
        #[serde(flatten)]
        head: Head<'a>,
        bid: Pair,
        ask: Pair,
        bids: usize,
        asks: usize,
        synced: bool,
    },
    BookFinal {
        #[serde(flatten)]
        head: Head<'a>,
        bids: Vec<Pair>,
        asks: Vec<Pair>,
        synced: bool,
    },
}

/// A line that cannot be read is named and counted; the others are exported, and the command fails.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let out: Box<dyn Write> = match &args.output {
        Some(path) => Box::new(
            File::create(path).with_context(|| format!("cannot write {}", path.display()))?,
        ),
        None => Box::new(io::stdout().lock()),
    };
    let mut sink = sink::new(args.format, BufWriter::with_capacity(1 << 20, out))?;
    let mut reader = Reader::open(&args.file)?;
    let mut playback = Playback::new(args.exchange.as_deref(), Vec::new())?;
    let mut broken = 0u64;
    let mut failed = None;
    for line in &mut reader {
        let played = line
            .map_err(anyhow::Error::from)
            .and_then(|(number, line)| {
                let see = |event: &Event, change: BookChange, engine: &Engine, n: i64| {
                    if let Err(e) = export(event, change, engine, n, sink.as_mut()) {
                        failed.get_or_insert(e);
                    }
                };
                let place = || format!("{}:{number}", args.file.display());
                playback.line(&line, see).with_context(place)
            });
        if let Err(e) = played {
            tracing::error!("{e:#}; the other lines are exported");
            broken += 1;
        }
        if let Some(e) = failed {
            return finish(Err(e));
        }
    }
    if args.final_books {
        for (_, market) in playback
            .engine
            .markets()
            .filter(|(_, m)| !m.book.is_empty())
        {
            let wrote = sink.row(&book_final(market, playback.n));
            if wrote.is_err() {
                return finish(wrote);
            }
        }
    }
    finish(sink.end())?;
    if broken > 0 {
        bail!(
            "{broken} lines of {} could not be read",
            args.file.display()
        );
    }
    Ok(())
}

/// A reader that has seen enough is no fault of ours.
fn finish(result: io::Result<()>) -> anyhow::Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("writing the export"),
    }
}

fn export(
    event: &Event,
    change: BookChange,
    engine: &Engine,
    n: i64,
    sink: &mut dyn sink::Sink,
) -> io::Result<()> {
    let Some(market) = engine.market(event.instrument) else {
        return Ok(());
    };
    let price = |v: i64| to_decimal(v, market.price_scale).to_string();
    let amount = |v: i64| to_decimal(v, market.amount_scale).to_string();
    let head = head(market, n, event.exchange_ns, event.recv_ns);
    let row = match event.kind {
        Kind::Trade => {
            let t = event.trade();
            Row::Trade {
                head,
                side: if t.taker == Side::Buy { "buy" } else { "sell" },
                price: price(t.price),
                amount: amount(t.amount),
                id: trade_id(market.instrument.exchange, t.id),
                snapshot: event.flags.has(Flags::SNAPSHOT),
                aggregate: event.flags.has(Flags::AGGREGATE),
            }
        }
        Kind::Quote => {
            let q = event.quote();
            Row::Quote {
                head,
                bid: price(q.bid),
                bid_amount: amount(q.bid_amount),
                ask: price(q.ask),
                ask_amount: amount(q.ask_amount),
            }
        }
        Kind::Book if change != BookChange::None => Row::Book {
            head,
            bid: touch(market, Side::Buy),
            ask: touch(market, Side::Sell),
            bids: market.book.len(Side::Buy),
            asks: market.book.len(Side::Sell),
            synced: market.book_state == BookState::Synced,
        },
        Kind::Book | Kind::Status => return Ok(()),
    };
    sink.row(&row)
}

fn head(market: &MarketState, n: i64, exchange_ns: i64, recv_ns: i64) -> Head<'_> {
    let i = &market.instrument;
    Head {
        n,
        exchange: i.exchange,
        native: &i.native,
        market: i.market.name(),
        symbol: &i.symbol,
        exchange_ns,
        recv_ns,
    }
}

fn trade_id(exchange: &str, id: u128) -> String {
    crate::exchanges::by_name(exchange).map_or_else(|| id.to_string(), |e| e.trade_id(id))
}

fn pair(market: &MarketState, level: crate::market::book::Level) -> Pair {
    [
        to_decimal(level.price, market.price_scale).to_string(),
        to_decimal(level.amount, market.amount_scale).to_string(),
    ]
}

fn touch(market: &MarketState, side: Side) -> Pair {
    let best = match side {
        Side::Buy => market.book.best_bid(),
        Side::Sell => market.book.best_ask(),
    };
    best.map_or(["0".to_owned(), "0".to_owned()], |level| {
        pair(market, level)
    })
}

fn book_final(market: &MarketState, n: i64) -> Row<'_> {
    let side = |side| market.book.levels(side).map(|l| pair(market, l)).collect();
    Row::BookFinal {
        head: head(market, n, 0, 0),
        bids: side(Side::Buy),
        asks: side(Side::Sell),
        synced: market.book_state == BookState::Synced,
    }
}

/// The output formats.
mod sink {
    use super::{Format, Row};
    use serde_json::Value;
    use std::io::{self, Write};

    pub trait Sink {
        fn row(&mut self, row: &Row) -> io::Result<()>;
        fn end(&mut self) -> io::Result<()>;
    }

    pub fn new<'a>(format: Format, out: impl Write + 'a) -> anyhow::Result<Box<dyn Sink + 'a>> {
        Ok(match format {
            Format::Ndjson => Box::new(Ndjson(out)),
            Format::Csv => Box::new(Csv { out, begun: false }),
            Format::Parquet => Box::new(Parquet {
                out,
                rows: Vec::new(),
            }),
        })
    }

    struct Ndjson<W>(W);

    impl<W: Write> Sink for Ndjson<W> {
        fn row(&mut self, row: &Row) -> io::Result<()> {
            serde_json::to_writer(&mut self.0, row)?;
            self.0.write_all(b"\n")
        }
        fn end(&mut self) -> io::Result<()> {
            self.0.flush()
        }
    }

    /// One table for all types: columns that a type does not have stay empty. Whole books are JSON
    /// text.
    const COLUMNS: [&str; 21] = [
        "type",
        "n",
        "exchange",
        "native",
        "market",
        "symbol",
        "exchange_ns",
        "recv_ns",
        "side",
        "price",
        "amount",
        "id",
        "snapshot",
        "aggregate",
        "bid",
        "bid_amount",
        "ask",
        "ask_amount",
        "bids",
        "asks",
        "synced",
    ];

    /// A row's cells in the order of [`COLUMNS`].
    fn cells(row: &Row) -> io::Result<Vec<String>> {
        let Value::Object(mut object) = serde_json::to_value(row)? else {
            return Ok(Vec::new());
        };
        // `book` has its touch as pairs, `book_final` its sides as lists.
        for side in ["bid", "ask"] {
            if let Some(Value::Array(pair)) = object.get(side).cloned() {
                object.insert(side.to_owned(), pair[0].clone());
                object.insert(format!("{side}_amount"), pair[1].clone());
            }
        }
        Ok(COLUMNS.iter().map(|c| text(object.get(*c))).collect())
    }

    fn text(value: Option<&Value>) -> String {
        match value {
            None => String::new(),
            Some(Value::String(s)) => s.clone(),
            Some(other) => other.to_string(),
        }
    }

    struct Csv<W> {
        out: W,
        begun: bool,
    }

    impl<W: Write> Sink for Csv<W> {
        fn row(&mut self, row: &Row) -> io::Result<()> {
            if !std::mem::replace(&mut self.begun, true) {
                writeln!(self.out, "{}", COLUMNS.join(","))?;
            }
            let cells = cells(row)?;
            let quoted = cells.iter().map(|c| match c.contains([',', '"', '\n']) {
                true => format!("\"{}\"", c.replace('"', "\"\"")),
                false => c.clone(),
            });
            writeln!(self.out, "{}", quoted.collect::<Vec<_>>().join(","))
        }
        fn end(&mut self) -> io::Result<()> {
            self.out.flush()
        }
    }

    /// Text columns, as in CSV: exact, and typed by whoever reads them.
    struct Parquet<W> {
        out: W,
        rows: Vec<Vec<String>>,
    }

    impl<W: Write> Sink for Parquet<W> {
        fn row(&mut self, row: &Row) -> io::Result<()> {
            self.rows.push(cells(row)?);
            Ok(())
        }
        fn end(&mut self) -> io::Result<()> {
            use polars::prelude::{Column, DataFrame, ParquetWriter};
            let column = |(i, name): (usize, &&str)| {
                let values: Vec<&str> = self.rows.iter().map(|r| r[i].as_str()).collect();
                Column::new((*name).into(), values)
            };
            let columns: Vec<Column> = COLUMNS.iter().enumerate().map(column).collect();
            let mut frame = DataFrame::new(self.rows.len(), columns).map_err(io::Error::other)?;
            ParquetWriter::new(&mut self.out)
                .finish(&mut frame)
                .map_err(io::Error::other)?;
            self.out.flush()
        }
    }
}
