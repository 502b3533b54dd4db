//! One section of the file, key by key: what is there, of which type, in which range; and what is
//! there that nobody asked for. Problems are collected with their place: all are told at once.
//!
//! Asking for a key makes it known: there is no second list of keys. Knows no key by itself.

use crate::strategy::parameters::{format_duration_ns, parse_duration_ns};
use crate::suggest;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Problems by their byte offset in the file, and the keys that were asked for.
#[derive(Default)]
pub(super) struct Report {
    problems: RefCell<Vec<(usize, String)>>,
    asked: RefCell<BTreeSet<(String, &'static str)>>,
}

impl Report {
    pub fn problem(&self, at: usize, text: String) {
        self.problems.borrow_mut().push((at, text));
    }

    /// `config/x.toml:12: …`, in the order of the file.
    pub fn lines(&self, text: &str, place: &str) -> Vec<String> {
        let mut problems = self.problems.borrow().clone();
        problems.sort();
        let line = |at: usize| 1 + text.bytes().take(at).filter(|b| *b == b'\n').count();
        problems
            .iter()
            .map(|(at, problem)| format!("{place}:{}: {problem}", line(*at)))
            .collect()
    }

    /// (section, key) of all that was asked for: what must be documented.
    #[cfg(test)]
    pub fn asked(&self) -> BTreeSet<(String, &'static str)> {
        self.asked.borrow().clone()
    }
}

pub(super) struct Section<'a> {
    /// `exchanges.binance`; empty at the top.
    name: String,
    at: usize,
    table: Option<&'a DeTable<'a>>,
    asked: Vec<&'static str>,
    pub report: &'a Report,
}

impl<'a> Section<'a> {
    pub fn top(table: &'a DeTable<'a>, report: &'a Report) -> Self {
        Section {
            name: String::new(),
            at: 0,
            table: Some(table),
            asked: Vec::new(),
            report,
        }
    }

    pub fn is_present(&self) -> bool {
        self.table.is_some()
    }

    /// A section of this one, absent or not: what an absent one is asked for is left out.
    pub fn section(&mut self, key: &'static str) -> Section<'a> {
        let found = self.find(key);
        let name = self.path(key);
        let (at, table) = match found {
            None => (self.at, None),
            Some((at, value)) => (at, self.table_of(at, &name, value)),
        };
        Section {
            name,
            at,
            table,
            asked: Vec::new(),
            report: self.report,
        }
    }

    /// All sections of this one, whose names the user chose.
    pub fn sections(self) -> Vec<(String, Section<'a>)> {
        let mut sections = Vec::new();
        for (key, value) in self.table.into_iter().flatten() {
            let (at, name) = (key.span().start, self.path(key.get_ref()));
            if let Some(table) = self.table_of(at, &name, value.get_ref()) {
                let (table, asked, report) = (Some(table), Vec::new(), self.report);
                sections.push((
                    key.get_ref().to_string(),
                    Section {
                        name,
                        at,
                        table,
                        asked,
                        report,
                    },
                ));
            }
        }
        sections
    }

    /// Tells of every key that nobody asked for.
    pub fn finish(self) {
        for (key, value) in self.table.into_iter().flatten() {
            let name = key.get_ref().as_ref();
            if self.asked.contains(&name) {
                continue;
            }
            let what = if value.get_ref().is_table() {
                "section"
            } else {
                "key"
            };
            let hint = suggest::hint(name, self.asked.iter().copied());
            self.problem_at(
                key.span().start,
                &format!("unknown {what} \"{name}\"{hint}"),
            );
        }
    }

    /// A problem of the section as a whole.
    pub fn problem(&self, text: &str) {
        self.problem_at(self.at, text);
    }

    /// A problem of one key, or of the section where the key is not there.
    pub fn problem_of(&self, key: &str, text: &str) {
        let at = self
            .table
            .and_then(|t| t.get_key_value(key))
            .map(|(k, _)| k.span().start);
        self.problem_at(at.unwrap_or(self.at), text);
    }

    /// Whether the key is there, whatever its type.
    pub fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    pub fn text(&mut self, key: &'static str) -> Option<String> {
        self.read(key, "a text in quotes", |value| {
            value.as_str().map(str::to_owned)
        })
    }

    pub fn flag(&mut self, key: &'static str, default: bool) -> bool {
        self.read(key, "true or false", DeValue::as_bool)
            .unwrap_or(default)
    }

    pub fn texts(&mut self, key: &'static str) -> Option<Vec<String>> {
        self.read(key, "a list of texts: [\"…\", \"…\"]", |value| {
            let each = |v: &Spanned<DeValue>| v.get_ref().as_str().map(str::to_owned);
            value.as_array()?.iter().map(each).collect()
        })
    }

    /// One text, or a list of them.
    pub fn text_or_texts(&mut self, key: &'static str) -> Option<Vec<String>> {
        match self.find(key) {
            Some((_, DeValue::Array(_))) => self.texts(key),
            _ => self.text(key).map(|text| vec![text]),
        }
    }

    pub fn number(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let value = self.read(key, "a whole number", |value| {
            let integer = value.as_integer()?;
            i128::from_str_radix(integer.as_str(), integer.radix()).ok()
        })?;
        match u64::try_from(value) {
            Ok(value) if range.contains(&value) => Some(value),
            _ => {
                let (min, max) = range.into_inner();
                let text = format!("{key} must be from {min} to {max}, found {value}");
                self.problem_of(key, &text);
                None
            }
        }
    }

    pub fn duration(
        &mut self,
        key: &'static str,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let text = self.read(key, "a duration such as \"10ms\"", |v| {
            v.as_str().map(str::to_owned)
        })?;
        self.measure(key, &text, range, parse_duration, &format_duration)
    }

    /// A size in bytes.
    pub fn size(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let text = self.read(key, "a size such as \"1GiB\"", |v| {
            v.as_str().map(str::to_owned)
        })?;
        self.measure(key, &text, range, parse_size, &format_size)
    }

    /// A text that stands for a quantity, within a range.
    pub fn measure<T: PartialOrd>(
        &self,
        key: &str,
        text: &str,
        range: RangeInclusive<T>,
        parse: fn(&str) -> Result<T, String>,
        write: &dyn Fn(&T) -> String,
    ) -> Option<T> {
        let problem = match parse(text) {
            Ok(value) if range.contains(&value) => return Some(value),
            Ok(_) => {
                let (min, max) = (write(range.start()), write(range.end()));
                format!("{key} must be from {min} to {max}, found {text}")
            }
            Err(reason) => format!("{key}: {reason}"),
        };
        self.problem_of(key, &problem);
        None
    }

    fn read<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        get: impl FnOnce(&DeValue<'a>) -> Option<T>,
    ) -> Option<T> {
        let (at, value) = self.find(key)?;
        let got = get(value);
        if got.is_none() {
            // The value itself is not shown: it may be a secret.
            let found = value.type_str();
            self.problem_at(at, &format!("{key} must be {expected}, found {found}"));
        }
        got
    }

    /// Where the key is, and its value; the key is known from here on.
    fn find(&mut self, key: &'static str) -> Option<(usize, &'a DeValue<'a>)> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
            self.report
                .asked
                .borrow_mut()
                .insert((self.name.clone(), key));
        }
        let (key, value) = self.table?.get_key_value(key)?;
        Some((key.span().start, value.get_ref()))
    }

    fn table_of(&self, at: usize, name: &str, value: &'a DeValue<'a>) -> Option<&'a DeTable<'a>> {
        let table = value.as_table();
        if table.is_none() {
            let text = format!("must be a section, found {}", value.type_str());
            self.report.problem(at, format!("[{name}] {text}"));
        }
        table
    }

    fn path(&self, key: &str) -> String {
        if self.name.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.name)
        }
    }

    fn problem_at(&self, at: usize, text: &str) {
        let place = if self.name.is_empty() {
            String::new()
        } else {
            format!("[{}] ", self.name)
        };
        self.report.problem(at, format!("{place}{text}"));
    }
}

pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    parse_duration_ns(text).map(|ns| Duration::from_nanos(ns.unsigned_abs()))
}

pub(super) fn format_duration(duration: &Duration) -> String {
    format_duration_ns(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}

const SIZES: [(&str, u64); 5] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let scale = SIZES
        .iter()
        .find(|(name, _)| *name == unit.trim_start())
        .map(|(_, scale)| *scale);
    let size = scale.and_then(|scale| number.parse::<u64>().ok()?.checked_mul(scale));
    size.ok_or_else(|| {
        format!(
            "\"{text}\" is no size; write a whole number and B, KiB, MiB, GiB or TiB: \"16MiB\""
        )
    })
}

fn format_size(size: &u64) -> String {
    let exact = SIZES
        .iter()
        .find(|(_, scale)| *size != 0 && size.is_multiple_of(*scale));
    exact.map_or_else(
        || "0B".to_owned(),
        |(unit, scale)| format!("{}{unit}", size / scale),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written_exactly() {
        for (text, size) in [
            ("0B", 0),
            ("512B", 512),
            ("64KiB", 64 << 10),
            ("16MiB", 16 << 20),
            ("3GiB", 3 << 30),
            ("2TiB", 2 << 40),
        ] {
            assert_eq!(parse_size(text), Ok(size), "{text}");
            assert_eq!(format_size(&size), text);
        }
        for wrong in [
            "",
            "GiB",
            "16",
            "1.5GiB",
            "16MB",
            "16mib",
            "99999999999999TiB",
        ] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }
}
