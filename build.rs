//! Finds the strategies: every `strategies/NAME.rs` becomes a module and a row of the list that
//! `src/strategies.rs` includes. Nothing else is edited to add one.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

#[path = "src/strategies/name.rs"]
mod name;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/strategies/name.rs");
    println!("cargo::rerun-if-changed=strategies");
    println!("cargo::rerun-if-changed=migrations"); // embedded by sqlx
    let done = generate().and_then(|()| state_code());
    if let Err(text) = done {
        // One plain line; the build fails by it.
        println!("cargo::error={}", text.replace('\n', " "));
    }
}

fn generate() -> Result<(), String> {
    let root =
        PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("CARGO_MANIFEST_DIR is not set")?);
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let mut modules = String::new();
    let mut rows = String::new();
    for path in strategy_files(&root.join("strategies"))? {
        let file = path
            .strip_prefix(&root)
            .unwrap_or(&path)
            .display()
            .to_string();
        println!("cargo::rerun-if-changed={file}");
        let name = path.file_stem().and_then(|s| s.to_str()).unwrap_or("");
        name::check(name).map_err(|why| format!("{file}: {why}"))?;
        let text = fs::read_to_string(&path).map_err(|e| format!("{file}: cannot be read: {e}"))?;
        if !declares_spec(&text) {
            return Err(format!(
                "{file}: has no `pub const SPEC: Spec`; every file in strategies/ is one strategy \
                 and declares it (strategies/ema_cross.rs shows how), so add it or move the file \
                 elsewhere"
            ));
        }
        let absolute = path.to_str().ok_or(format!(
            "{file}: its folder's name is not UTF-8; rename the folder"
        ))?;
        let digest = digest(text.as_bytes());
        // Writing to a String cannot fail.
        let _ = writeln!(modules, "#[path = {absolute:?}]\npub mod {name};");
        let _ = writeln!(
            rows,
            "    crate::strategy::Entry {{\n        spec: &{name}::SPEC,\n        \
             file: {file:?},\n        digest: {digest:?},\n    }},"
        );
    }
    let text = format!("{modules}\npub static ALL: &[crate::strategy::Entry] = &[\n{rows}];\n");
    let target = out.join("strategies.rs");
    fs::write(&target, text).map_err(|e| format!("{}: cannot be written: {e}", target.display()))
}

/// All `*.rs` of the folder in order of their names; hidden ones (editors' leftovers) are no
/// strategies.
fn strategy_files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder)
        .map_err(|e| format!("strategies/: cannot be read: {e}; the folder must exist"))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry
            .map_err(|e| format!("strategies/: cannot be read: {e}"))?
            .path();
        let hidden = path
            .file_name()
            .is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.is_file() && path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn declares_spec(text: &str) -> bool {
    let declares = |line: &str| {
        let rest = line
            .strip_prefix("pub const SPEC")
            .or_else(|| line.strip_prefix("pub static SPEC"));
        rest.is_some_and(|r| r.trim_start().starts_with(':'))
    };
    text.lines().any(declares)
}

/// A digest of all code whose changes may change what a saved state means: indicators, bars,
/// strategies' frame, engine. The strategies' own files have digests of their own.
fn state_code() -> Result<(), String> {
    let root =
        PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("CARGO_MANIFEST_DIR is not set")?);
    let mut files = Vec::new();
    for place in ["engine", "indicators", "market", "strategy"] {
        println!("cargo::rerun-if-changed=src/{place}");
        rust_files(&root.join("src").join(place), &mut files)?;
    }
    for file in ["engine.rs", "state.rs", "strategy.rs"] {
        println!("cargo::rerun-if-changed=src/{file}");
        files.push(root.join("src").join(file));
    }
    files.sort();
    let mut all = Vec::new();
    for file in files {
        let text = fs::read(&file);
        all.extend(text.map_err(|e| format!("{}: cannot be read: {e}", file.display()))?);
    }
    println!("cargo::rustc-env=TICKFORGE_STATE_CODE={}", digest(&all));
    Ok(())
}

fn rust_files(folder: &Path, into: &mut Vec<PathBuf>) -> Result<(), String> {
    let failed = |e| format!("{}: cannot be read: {e}", folder.display());
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            rust_files(&path, into)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
    Ok(())
}

/// Two CRC-32s, of the text and of the text backwards: 64 bits that no honest edit leaves
/// unchanged.
fn digest(text: &[u8]) -> String {
    let backwards: Vec<u8> = text.iter().rev().copied().collect();
    format!(
        "{:08x}{:08x}",
        crc32fast::hash(text),
        crc32fast::hash(&backwards)
    )
}
