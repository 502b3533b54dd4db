//! `tickforge indicators [NAME]`: what strategies can calculate with, and each one's data sheet.

use super::table;
use crate::indicators::{self, Info};
use crate::suggest;
use anyhow::bail;
use serde_json::json;
use std::io::Write;

#[derive(Clone, Debug, Default, clap::Args)]
pub struct Args {
    /// Only this indicator
    pub name: Option<String>,
}

pub fn run(args: &Args, json: bool, out: &mut dyn Write) -> anyhow::Result<bool> {
    let mut all = indicators::all();
    if let Some(name) = &args.name {
        let names: Vec<&str> = all.iter().map(|info| info.name).collect();
        all.retain(|info| info.name.eq_ignore_ascii_case(name));
        if all.is_empty() {
            let name_as_written = name.to_ascii_uppercase();
            let hint = suggest::hint(&name_as_written, names);
            bail!("unknown indicator \"{name}\"{hint}");
        }
    }
    if json {
        let array: Vec<_> = all.iter().map(|info| as_json(info)).collect();
        writeln!(out, "{}", serde_json::Value::Array(array))?;
    } else if args.name.is_some() {
        all.iter().try_for_each(|info| as_sheet(info, out))?;
    } else {
        let row = |info: &&Info| {
            vec![
                info.name.to_owned(),
                info.summary.to_owned(),
                parameters(info),
                info.warm_up.to_owned(),
            ]
        };
        let rows: Vec<_> = all.iter().map(row).collect();
        table::print(out, &["NAME", "WHAT", "PARAMETERS", "WARM AFTER"], &rows)?;
        writeln!(out, "{} indicators", rows.len())?;
    }
    Ok(true)
}

fn parameters(info: &Info) -> String {
    let one = |(name, default): &(&str, f64)| format!("{name}={default}");
    let all: Vec<String> = info.parameters.iter().map(one).collect();
    all.join(" ")
}

fn as_json(info: &Info) -> serde_json::Value {
    let parameter =
        |(name, default): &(&str, f64)| json!({ "name": name, "default": number(*default) });
    json!({
        "name": info.name,
        "summary": info.summary,
        "parameters": info.parameters.iter().map(parameter).collect::<Vec<_>>(),
        "inputs": info.inputs,
        "outputs": info.outputs,
        "warm_up": info.warm_up,
        "source": info.source,
    })
}

/// Whole numbers without a fraction: most parameters are counts.
fn number(value: f64) -> serde_json::Value {
    if value.fract() == 0.0 && value.abs() < 9e15 {
        return (value as i64).into();
    }
    value.into()
}

fn as_sheet(info: &Info, out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(out, "{}  {}", info.name, info.summary)?;
    for (what, text) in [
        ("parameters", parameters(info)),
        ("inputs", info.inputs.join(", ")),
        ("outputs", info.outputs.join(", ")),
        ("warm after", info.warm_up.to_owned()),
        ("source", info.source.to_owned()),
    ] {
        writeln!(out, "    {what:<11} {text}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(name: Option<&str>, json: bool) -> anyhow::Result<String> {
        let mut out = Vec::new();
        let name = name.map(str::to_owned);
        run(&Args { name }, json, &mut out)?;
        Ok(String::from_utf8(out)?)
    }

    #[test]
    fn the_json_is_the_documented_array() {
        let text = output(Some("ema"), true).expect("known");
        let parsed: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let ema = &parsed[0];
        assert_eq!(ema["name"], "EMA");
        assert_eq!(
            ema["parameters"],
            json!([{ "name": "timeperiod", "default": 30 }])
        );
        assert_eq!(ema["inputs"], json!(["value"]));
        let all: serde_json::Value =
            serde_json::from_str(&output(None, true).expect("all")).expect("JSON");
        assert_eq!(all.as_array().map(Vec::len), Some(indicators::all().len()));
    }

    #[test]
    fn an_unknown_name_is_told_what_it_may_have_meant() {
        let error = output(Some("macdd"), false).expect_err("unknown");
        assert_eq!(
            error.to_string(),
            "unknown indicator \"macdd\"; did you mean \"MACD\"?"
        );
    }

    #[test]
    fn the_sheet_has_all_that_is_known() {
        let sheet = output(Some("ATR"), false).expect("known");
        for part in ["timeperiod=14", "high, low, close", "Wilder", "period + 1"] {
            assert!(sheet.contains(part), "{part}: {sheet}");
        }
    }
}
