//! How do a command's rows look to people? Columns as wide as what is in them, numbers to the
//! right. For scripts there is `--json`.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use std::io::{self, Write};

/// A cell that is longer is cut: the whole text is in the JSON.
const WIDEST: usize = 60;

/// Prints `rows` below `names`; a name that ends in `>` is a column of numbers.
pub fn print(out: &mut dyn Write, names: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    let titles = names.iter().map(|name| name.trim_end_matches('>'));
    let titles: Vec<String> = titles.map(str::to_owned).collect();
    let cells = |row: &[String]| -> Vec<String> { row.iter().map(|cell| short(cell)).collect() };
    let lines: Vec<_> = std::iter::once(&titles)
        .chain(rows)
        .map(|r| cells(r))
        .collect();
    let width = |column: usize| {
        let widths = lines.iter().map(|line| line[column].chars().count());
        widths.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..names.len()).map(width).collect();
    for line in &lines {
        let mut text = String::new();
        for ((cell, name), width) in line.iter().zip(names).zip(&widths) {
            let fill = " ".repeat(width - cell.chars().count());
            let (before, after) = if name.ends_with('>') {
                (fill, String::new())
            } else {
                (String::new(), fill)
            };
            text += &format!("{before}{cell}{after}  ");
        }
        writeln!(out, "{}", text.trim_end())?;
    }
    Ok(())
}

/// One line, at most [`WIDEST`] characters.
fn short(cell: &str) -> String {
    let cell = cell.replace(['\n', '\r', '\t'], " ");
    if cell.chars().count() <= WIDEST {
        return cell;
    }
    cell.chars().take(WIDEST - 1).chain(['…']).collect()
}

/// `1.5 MiB`.
pub fn bytes(n: i64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value.abs() >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{n} B")
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// A JSON column, read as text and handed on as it is: its numbers keep their digits.
#[derive(Debug, sqlx::Type)]
#[sqlx(transparent)]
pub struct Json(Option<String>);

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            None => serializer.serialize_none(),
            Some(text) => RawValue::from_string(text.clone())
                .map_err(serde::ser::Error::custom)?
                .serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [
            vec!["a".to_owned(), "1".to_owned()],
            vec!["läng\ner".to_owned(), "20000".to_owned()],
            vec!["x".repeat(70), "3".to_owned()],
        ];
        let mut out = Vec::new();
        print(&mut out, &["name", "rows>"], &rows).expect("a Vec takes all");
        let text = String::from_utf8(out).expect("UTF-8");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], format!("name{}rows", " ".repeat(59)));
        assert_eq!(lines[2], format!("läng er{}20000", " ".repeat(55)));
        assert_eq!(lines[3], format!("{}…      3", "x".repeat(59)));
    }

    #[test]
    fn sizes_are_readable() {
        for (n, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (5 << 30, "5.0 GiB"),
        ] {
            assert_eq!(bytes(n), expected);
        }
    }
}
