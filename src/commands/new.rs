//! `tickforge new strategy NAME`: a strategy's file to begin with. It is the smallest that makes
//! signals; the build finds it, and nothing else is touched.

use crate::strategies::{ALL, name as naming};
use anyhow::{Context, bail, ensure};
use serde_json::json;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

#[derive(clap::Subcommand, Clone, Debug)]
pub enum New {
    /// A file in strategies/ that makes signals, to change into yours
    Strategy(Args),
}

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Lower-case letters, digits and _, such as my_idea
    pub name: String,
    /// The project's folder, which holds strategies/
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub project: PathBuf,
}

/// Compiled here, too, so that what is written out is known to build.
#[cfg(test)]
mod smallest;

const SMALLEST: &str = include_str!("new/smallest.rs");

pub fn run(what: &New, json: bool, out: &mut dyn Write) -> anyhow::Result<bool> {
    let New::Strategy(args) = what;
    let name = args.name.as_str();
    naming::check(name).map_err(anyhow::Error::msg)?;
    let folder = args.project.join("strategies");
    ensure!(
        folder.is_dir(),
        "{} is no folder; run this where tickforge's Cargo.toml is, or give --project DIR",
        folder.display()
    );
    ensure!(
        ALL.iter().all(|entry| entry.spec.name != name),
        "there is a strategy {name} already; choose another name"
    );
    let file = folder.join(format!("{name}.rs"));
    write(&file, &text(name))?;
    let commands = [
        "cargo build --release".to_owned(),
        format!("target/release/tickforge strategies {name}"),
        format!("target/release/tickforge replay FILE --strategy {name} --signals signals.ndjson"),
        format!("target/release/tickforge strategies {name} --check --capture FILE"),
    ];
    if json {
        writeln!(out, "{}", json!({ "file": file, "next": commands }))?;
    } else {
        writeln!(
            out,
            "{}\n\nIt makes signals as it is. Next:",
            file.display()
        )?;
        commands
            .iter()
            .try_for_each(|command| writeln!(out, "    {command}"))?;
    }
    Ok(true)
}

fn text(name: &str) -> String {
    let mut words = name.split('_').collect::<Vec<_>>();
    words.retain(|word| !word.is_empty());
    let capital = |word: &str| word[..1].to_ascii_uppercase() + &word[1..];
    let pascal: String = words.into_iter().map(capital).collect();
    SMALLEST
        .replace("\"smallest\"", &format!("{name:?}"))
        .replace("Smallest", &pascal)
}

/// A file that is there is somebody's work.
fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    let place = || file.display().to_string();
    let mut created = match OpenOptions::new().write(true).create_new(true).open(file) {
        Ok(created) => created,
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            bail!("{} is there already; choose another name", place())
        }
        Err(e) => return Err(e).with_context(place),
    };
    created.write_all(text.as_bytes()).with_context(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategies::testing::Bench;

    fn new(project: &Path, name: &str) -> anyhow::Result<String> {
        let (name, project) = (name.to_owned(), project.to_owned());
        let mut out = Vec::new();
        run(&New::Strategy(Args { name, project }), false, &mut out)?;
        Ok(String::from_utf8(out)?)
    }

    #[test]
    fn the_smallest_is_small_and_makes_signals() {
        assert!(SMALLEST.lines().count() <= 20);
        let mut bench = Bench::new(&smallest::SPEC, &[]);
        for _ in 0..19 {
            assert!(bench.close(100.0, 0.5).is_empty(), "not warm yet");
        }
        let drafts = bench.close(101.0, 0.5);
        assert_eq!(drafts[0].signal_type.name(), "buy");
    }

    #[test]
    fn a_new_strategy_is_written_once_and_by_its_name() {
        let project = tempfile::tempdir().expect("a folder");
        let refused = new(project.path(), "my_idea").expect_err("no strategies/ there");
        assert!(refused.to_string().contains("--project"), "{refused}");
        std::fs::create_dir(project.path().join("strategies")).expect("created");
        let told = new(project.path(), "my_2nd_idea").expect("written");
        assert!(told.contains("strategies my_2nd_idea --check"), "{told}");
        let file = project.path().join("strategies/my_2nd_idea.rs");
        let text = std::fs::read_to_string(file).expect("there");
        assert!(
            text.contains("..Spec::on_bars(\"my_2nd_idea\", BarSpec::Trades(100))"),
            "{text}"
        );
        assert!(text.contains("struct My2ndIdea(Sma);"), "{text}");
        assert!(!text.to_lowercase().contains("smallest"), "{text}");
        for (name, reason) in [
            ("my_2nd_idea", "is there already"),
            ("ema_cross", "already"),
            ("MyIdea", "lower-case"),
            ("match", "keyword"),
            ("../idea", "lower-case"),
        ] {
            let refused = new(project.path(), name).expect_err(name);
            assert!(refused.to_string().contains(reason), "{refused}");
        }
    }
}
