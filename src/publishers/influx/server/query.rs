//! What does InfluxDB answer to InfluxQL? Rows by series, with their tags. Both APIs answer alike.

use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// One series of an answer.
#[derive(Debug, Default, Deserialize)]
pub struct Series {
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    columns: Vec<String>,
    #[serde(default)]
    values: Vec<Vec<Value>>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    results: Vec<Outcome>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Outcome {
    #[serde(default)]
    series: Vec<Series>,
    error: Option<String>,
}

/// In pieces, since the server cuts an answer in one piece off at 10,000 rows without a word that
/// would be an error.
pub fn parameters<'a>(database: &'a str, statements: &'a str) -> [(&'static str, &'a str); 4] {
    let (db, q) = (("db", database), ("q", statements));
    [db, ("epoch", "ns"), ("chunked", "true"), q]
}

/// Reads an answer, which is one JSON object for each piece.
pub fn parse(bytes: &[u8]) -> Result<Vec<Series>, String> {
    let mut all = Vec::new();
    for piece in serde_json::Deserializer::from_slice(bytes).into_iter::<Answer>() {
        let piece = piece.map_err(|_| "the answer is not InfluxDB's".to_owned())?;
        let within = piece.results.into_iter().map(|r| match r.error {
            None => Ok(r.series),
            Some(error) => Err(error),
        });
        for series in piece.error.map(Err).into_iter().chain(within) {
            all.extend(series?);
        }
    }
    Ok(all)
}

impl Series {
    pub fn each(&self) -> impl Iterator<Item = Row<'_>> {
        self.values.iter().map(|values| Row {
            columns: &self.columns,
            values,
        })
    }

    /// What the tag is, or nothing.
    pub fn tag(&self, key: &str) -> &str {
        self.tags.get(key).map_or("", String::as_str)
    }
}

/// One row, whose values are found by their columns' names.
pub struct Row<'a> {
    columns: &'a [String],
    values: &'a [Value],
}

impl Row<'_> {
    fn get(&self, column: &str) -> Option<&Value> {
        let i = self.columns.iter().position(|c| c == column)?;
        self.values.get(i)
    }

    pub fn text(&self, column: &str) -> Option<String> {
        self.get(column)?.as_str().map(str::to_owned)
    }

    pub fn flag(&self, column: &str) -> bool {
        self.get(column).and_then(Value::as_bool).unwrap_or(false)
    }

    pub fn time_ns(&self) -> Option<i64> {
        self.get("time")?.as_i64()
    }

    /// The number as the shortest decimal that reads back as the float which the server keeps.
    pub fn decimal(&self, column: &str) -> Option<Decimal> {
        self.get(column)?.as_f64()?.to_string().parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_joined_and_errors_are_found_wherever_they_are() {
        let text = r#"{"results":[{"series":[{"name":"m","tags":{"symbol":"A/B"},
            "columns":["time","price","id","on"],
            "values":[[1705329930123000001,45000.1,"7",true]],"partial":true}],"partial":true}]}
            {"results":[{"series":[{"name":"m","columns":["time","price"],"values":[[2,null]]}]}]}
            "#;
        let all = parse(text.as_bytes()).expect("rows");
        assert_eq!(
            (all.len(), all[0].tag("symbol"), all[1].tag("symbol")),
            (2, "A/B", "")
        );
        let row = all[0].each().next().expect("a row");
        assert_eq!(row.time_ns(), Some(1_705_329_930_123_000_001));
        assert_eq!(row.decimal("price"), Some(Decimal::new(450_001, 1)));
        assert_eq!(
            (row.text("id").as_deref(), row.flag("on")),
            (Some("7"), true)
        );
        let row = all[1].each().next().expect("a row");
        assert_eq!((row.decimal("price"), row.decimal("none")), (None, None));
        for wrong in [r#"{"error":"bad"}"#, r#"{"results":[{}, {"error":"bad"}]}"#] {
            assert_eq!(parse(wrong.as_bytes()).expect_err(wrong), "bad");
        }
        assert!(parse(b"<html>").is_err());
        assert_eq!(
            parse(br#"{"results":[{"statement_id":0}]}"#)
                .expect("none")
                .len(),
            0
        );
    }
}
