//! What was really sent, as lines of JSON to compare a client's records with.
//!
//! A trade is listed once, when a connection has flushed it to its socket. Called by `synthetic`.

use super::batch::{Traded, decimal, fraction, integer};
use super::book::Level;
use super::clients::Sent;
use super::symbols::Symbol;
use super::world::World;
use anyhow::Context as _;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

pub struct Truth {
    path: PathBuf,
    file: BufWriter<File>,
    line: Vec<u8>,
}

impl Truth {
    pub fn create(path: &Path) -> anyhow::Result<Truth> {
        let file = File::create(path).with_context(|| {
            format!(
                "truth {}: cannot create; does its folder exist?",
                path.display()
            )
        })?;
        let (path, line) = (path.to_owned(), Vec::with_capacity(256));
        Ok(Truth {
            path,
            file: BufWriter::with_capacity(64 << 10, file),
            line,
        })
    }

    pub fn trade(&mut self, symbols: &[Symbol], trade: &Traded) -> anyhow::Result<()> {
        let symbol = &symbols[trade.symbol];
        let line = &mut self.line;
        line.clear();
        let ch = if trade.aggregate {
            "agg_trade"
        } else {
            "trade"
        };
        let side = if trade.print.buyer_is_maker {
            "sell"
        } else {
            "buy"
        };
        for part in [
            "{\"ch\":\"",
            ch,
            "\",\"symbol\":\"",
            &symbol.name,
            "\",\"side\":\"",
            side,
        ] {
            line.extend_from_slice(part.as_bytes());
        }
        line.extend_from_slice(b"\",\"price\":\"");
        decimal(line, trade.print.price as u64 * symbol.tick);
        line.extend_from_slice(b"\",\"amount\":\"");
        decimal(line, trade.print.lots as u64 * symbol.lot);
        line.extend_from_slice(b"\",\"id\":\"");
        integer(line, trade.print.id);
        line.extend_from_slice(b"\",\"t\":");
        integer(line, trade.us as u64 / 1_000_000);
        let mut digits = *b".000000";
        fraction(&mut digits, trade.us as u64 % 1_000_000);
        line.extend_from_slice(&digits);
        line.extend_from_slice(b"}\n");
        self.write()
    }

    /// Final books and the summary; the file is complete afterwards.
    pub fn finish(mut self, world: &World, sent: &Sent) -> anyhow::Result<()> {
        for (symbol, market) in world.symbols.iter().zip(&world.markets) {
            self.line.clear();
            self.line
                .extend_from_slice(b"{\"ch\":\"book_final\",\"symbol\":\"");
            self.line.extend_from_slice(symbol.name.as_bytes());
            self.line.extend_from_slice(b"\",\"bids\":");
            levels(&mut self.line, symbol, market.book.bids());
            self.line.extend_from_slice(b",\"asks\":");
            levels(&mut self.line, symbol, market.book.asks());
            self.line.extend_from_slice(b"}\n");
            self.write()?;
        }
        let mut summary = serde_json::to_value(sent)?;
        summary["ch"] = "summary".into();
        self.line = format!("{summary}\n").into_bytes();
        self.write()?;
        self.file.flush().with_context(|| self.advice())
    }

    fn write(&mut self) -> anyhow::Result<()> {
        self.file
            .write_all(&self.line)
            .with_context(|| self.advice())
    }

    fn advice(&self) -> String {
        format!(
            "truth {}: cannot write; is the disk full?",
            self.path.display()
        )
    }
}

/// A book's side as JSON: `[["price","amount"],…]`.
pub fn levels(out: &mut Vec<u8>, symbol: &Symbol, levels: impl Iterator<Item = Level>) {
    out.push(b'[');
    for (i, (ticks, lots)) in levels.enumerate() {
        out.extend_from_slice(if i == 0 { b"[\"" } else { b",[\"" });
        decimal(out, ticks as u64 * symbol.tick);
        out.extend_from_slice(b"\",\"");
        decimal(out, lots as u64 * symbol.lot);
        out.extend_from_slice(b"\"]");
    }
    out.push(b']');
}
