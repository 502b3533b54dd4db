//! The rules of this code base that a program can check. Each says how to obey it where it fails.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A source file and its path from the root, as `src/engine.rs`.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// Numbered lines up to the unit tests: a `#[cfg(test)]` at the left margin, on a `mod … {`.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines: Vec<&str> = self.text.lines().collect();
        let is_tests = |i: &usize| {
            let item = lines[*i..].iter().find(|line| !line.starts_with("#["));
            let module = item.is_some_and(|l| l.contains("mod ") && l.ends_with('{'));
            lines[*i] == "#[cfg(test)]" && module
        };
        let end = (0..lines.len()).find(is_tests).unwrap_or(lines.len());
        lines
            .into_iter()
            .take(end)
            .enumerate()
            .map(|(i, line)| (i + 1, line))
    }

    fn is_test_only(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        matches!(name, "tests.rs" | "testing.rs" | "documented.rs")
    }
}

/// All Rust files below the given folders, sorted.
fn sources(folders: &[&str]) -> Vec<Source> {
    let mut files = Vec::new();
    for folder in folders {
        walk(&Path::new(ROOT).join(folder), &mut files);
    }
    files.sort();
    let source = |file: PathBuf| Source {
        path: file.strip_prefix(ROOT).unwrap().display().to_string(),
        text: fs::read_to_string(&file).unwrap(),
    };
    files
        .into_iter()
        .filter(|f| f.extension().is_some_and(|e| e == "rs"))
        .map(source)
        .collect()
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            walk(&path, files)
        } else {
            files.push(path)
        }
    }
}

fn everything() -> Vec<Source> {
    let all = sources(&["src", "strategies", "tests", "benches"]);
    assert!(all.len() > 30, "only {} files were found", all.len());
    all
}

/// Fails with all violations at once.
fn none(violations: Vec<String>, remedy: &str) {
    let mut text = String::new();
    violations
        .iter()
        .for_each(|v| writeln!(text, "  {v}").unwrap());
    assert!(violations.is_empty(), "{remedy}\n{text}");
}

#[test]
fn every_file_begins_with_what_it_is() {
    let opens = |s: &Source| s.text.starts_with("//! ") || s.text.starts_with("#![doc");
    let all = everything()
        .into_iter()
        .filter(|s| !opens(s))
        .map(|s| s.path)
        .collect();
    none(
        all,
        "a file begins with `//!`: which question it answers, what it must not do, who calls it",
    );
}

#[test]
fn files_and_lines_are_short() {
    let mut violations = Vec::new();
    for Source { path, text } in everything() {
        let lines = text.lines().count();
        if lines > 600 {
            violations.push(format!("{path}: {lines} lines"));
        }
        for (i, line) in text
            .lines()
            .enumerate()
            .filter(|(_, l)| l.chars().count() > 100 && !is_unbreakable(l))
        {
            violations.push(format!(
                "{path}:{}: {} columns",
                i + 1,
                line.chars().count()
            ));
        }
    }
    none(
        violations,
        "split a file of more than 600 lines by idea, a line of more than 100 columns",
    );
}

/// A frame or a message in a string literal, a row of a table.
fn is_unbreakable(line: &str) -> bool {
    line.contains('"') || line.trim_start().starts_with("//! |")
}

#[test]
fn nothing_is_left_undone() {
    // Put together here, so that this file does not hold them.
    let banned = [
        "todo".to_owned() + "!",
        "dbg".to_owned() + "!",
        "#[ig".to_owned() + "nore",
    ];
    let mut violations = Vec::new();
    for Source { path, text } in everything() {
        for (i, line) in text.lines().enumerate() {
            for token in banned.iter().filter(|token| line.contains(token.as_str())) {
                violations.push(format!("{path}:{}: {token}", i + 1));
            }
        }
    }
    none(
        violations,
        "finish it, or leave it out; a test that needs a server says `skipped: …`",
    );
}

/// What allocates, waits, logs, panics on the world's input or reads a clock.
const NOT_HOT: [&str; 11] = [
    "String::new",
    "format!",
    ".to_string()",
    ".to_owned()",
    ".await",
    "Mutex",
    "println",
    "tracing::",
    "unwrap()",
    "SystemTime",
    "Instant::now",
];

#[test]
fn hot_files_hold_nothing_that_waits_or_allocates() {
    let all = sources(&["src", "strategies"]);
    let hot: Vec<_> = all
        .iter()
        .filter(|s| s.text.starts_with("//! HOT PATH."))
        .collect();
    assert!(hot.len() > 5, "only {} hot files were found", hot.len());
    let violations = hot.iter().flat_map(|source| not_hot(source)).collect();
    let remedy = "in a file that begins with `//! HOT PATH.` these are allowed only in `fn new`, in an \
                  item or line below `#[cold]` or a comment `// COLD: why`, and in tests";
    none(violations, remedy);
}

fn not_hot(source: &Source) -> Vec<String> {
    let mut violations = Vec::new();
    let mut cold = Cold::Not;
    for (number, line) in source.code() {
        let code = line.split("//").next().unwrap_or_default();
        if cold.covers(line) {
            continue;
        }
        for token in NOT_HOT.iter().filter(|token| code.contains(**token)) {
            violations.push(format!("{}:{number}: {token}", source.path));
        }
    }
    violations
}

/// Follows an item from its mark to its end: the line that closes its last bracket and ends in `}`,
/// `;` or `,`. A function `new` needs no mark: it makes things before the first event.
enum Cold {
    Not,
    /// Marked: the item begins with the next line that is no comment and no attribute.
    Marked,
    /// In it, and how many brackets are open.
    Inside(i32),
}

impl Cold {
    fn covers(&mut self, line: &str) -> bool {
        let line = line.trim();
        let remark = line.starts_with("//") || line.starts_with("#[");
        let open = match self {
            Cold::Not if line.starts_with("// COLD: ") || line == "#[cold]" => {
                *self = Cold::Marked;
                return true;
            }
            Cold::Not if !line.contains("fn new(") => return false,
            Cold::Not => 0,
            Cold::Marked if remark || line.is_empty() => return true,
            Cold::Marked => 0,
            Cold::Inside(open) => *open,
        };
        let brackets = line.split(" // ").next().unwrap_or_default().chars();
        let open = open
            + brackets
                .map(|c| match c {
                    '(' | '[' | '{' => 1,
                    ')' | ']' | '}' => -1,
                    _ => 0,
                })
                .sum::<i32>();
        let ended = open <= 0 && line.ends_with(['}', ';', ',']);
        *self = if ended { Cold::Not } else { Cold::Inside(open) };
        true
    }
}

#[test]
fn the_rule_of_hot_files_sees_what_it_should() {
    let check = |text: &str, expected: &[usize]| {
        let source = Source {
            path: "x".to_owned(),
            text: text.to_owned(),
        };
        let lines: Vec<usize> = not_hot(&source)
            .iter()
            .map(|v| v.split(':').nth(1).unwrap().parse().unwrap())
            .collect();
        assert_eq!(lines, expected, "{text}");
    };
    check("let a = format!(\"\");\nlet b = 1; // format!", &[1]);
    check(
        "#[cold]\nfn a(\n    b: u8,\n) {\n    format!()\n}\nformat!()",
        &[7],
    );
    check(
        "// COLD: only once\n#[inline]\nlet a = b\n    .to_string();\nx.to_string()",
        &[5],
    );
    check(
        "pub fn new() -> A {\n    format!()\n}\nfn newer() {\n    format!()\n}",
        &[5],
    );
    check(
        "fn a() {}\n\n#[cfg(test)]\npub mod tests {\n    format!()\n}",
        &[],
    );
    check(
        "#[cfg(test)]\nmod checks;\nfn a() {\n    format!()\n}",
        &[4],
    );
}

/// Who may use whom. What is not named here (the application, commands, `main`) may use all.
const USES: [(&str, &[&str]); 32] = [
    ("swar", &[]),
    ("backup", &["clock"]),
    ("clock", &[]),
    ("metrics", &[]),
    ("ring", &["metrics"]),
    ("wait", &["ring"]),
    ("suggest", &[]),
    ("switches", &[]),
    ("watchdog", &["metrics"]),
    ("service", &["clock", "metrics", "watchdog"]),
    ("market", &[]),
    ("indicators", &["market"]),
    ("exchanges", &["clock", "market", "swar"]),
    ("capture", &["clock", "market", "swar"]),
    ("signal", &["clock", "market"]),
    ("outcome", &["clock", "market", "signal"]),
    ("notify", &["market", "signal"]),
    ("analysis", &["indicators", "market"]),
    // A strategy sees the market's state, which holds instances of strategies.
    ("state", &["indicators", "market", "signal", "strategy"]),
    (
        "strategy",
        &["indicators", "market", "signal", "state", "suggest"],
    ),
    (
        "strategies",
        &["indicators", "market", "signal", "state", "strategy"],
    ),
    (
        "engine",
        &[
            "indicators",
            "market",
            "metrics",
            "outcome",
            "ring",
            "signal",
            "state",
            "strategies",
            "strategy",
        ],
    ),
    ("keyspace", &["config"]),
    (
        "publishers",
        &[
            "analysis",
            "clock",
            "config",
            "exchanges",
            "keyspace",
            "market",
            "metrics",
            "notify",
            "outcome",
            "ring",
            "signal",
            "switches",
            "wait",
        ],
    ),
    (
        "config",
        &["exchanges", "strategies", "strategy", "suggest"],
    ),
    ("cores", &["config"]),
    ("database", &["clock", "config", "notify"]),
    ("http", &["clock", "config", "metrics"]),
    ("feed", &["exchanges", "market", "metrics"]),
    (
        "runner",
        &[
            "clock", "engine", "market", "metrics", "outcome", "ring", "signal", "state", "wait",
        ],
    ),
    (
        "playback",
        &[
            "capture",
            "engine",
            "exchanges",
            "feed",
            "market",
            "metrics",
            "outcome",
            "signal",
            "state",
            "strategy",
        ],
    ),
    (
        "net",
        &[
            "capture",
            "clock",
            "config",
            "cores",
            "exchanges",
            "feed",
            "market",
            "metrics",
            "ring",
            "suggest",
            "switches",
        ],
    ),
];

#[test]
fn dependencies_point_one_way() {
    let mut violations = Vec::new();
    for source in sources(&["src"]).iter().filter(|s| !s.is_test_only()) {
        let module = source
            .path
            .trim_start_matches("src/")
            .split(['/', '.'])
            .next()
            .unwrap();
        let Some((_, allowed)) = USES.iter().find(|(name, _)| *name == module) else {
            continue;
        };
        for (number, line) in source
            .code()
            .filter(|(_, l)| !l.trim_start().starts_with("//"))
        {
            for used in used_modules(line) {
                if used != module && !allowed.contains(&used) {
                    let path = &source.path;
                    violations.push(format!("{path}:{number}: {module} uses {used}"));
                }
            }
        }
    }
    none(
        violations,
        "move what is shared to the lower module; the order is USES in tests/it/tidy.rs",
    );
}

/// `market` of `use crate::market::Event` and of `crate::market::Event` in an expression.
fn used_modules(line: &str) -> impl Iterator<Item = &str> {
    let end = |c: char| !c.is_ascii_lowercase() && c != '_';
    let names = line
        .split("crate::")
        .skip(1)
        .filter_map(move |rest| rest.split(end).next());
    names.filter(|name| !name.is_empty())
}

#[test]
fn every_dependency_has_its_reason() {
    let manifest = fs::read_to_string(Path::new(ROOT).join("Cargo.toml")).unwrap();
    let mut section = "";
    let mut violations = Vec::new();
    let mut seen = 0;
    for (i, line) in manifest.lines().enumerate() {
        if line.starts_with('[') {
            section = line;
        } else if section.ends_with("dependencies]") && !line.is_empty() && !line.starts_with('#') {
            seen += 1;
            let reason = line
                .rsplit_once("# ")
                .is_some_and(|(_, reason)| !reason.is_empty());
            if !reason {
                violations.push(format!("Cargo.toml:{}: {line}", i + 1));
            }
        }
    }
    assert!(seen > 10, "only {seen} dependencies were found");
    none(
        violations,
        "say behind a dependency, after `#`, what it is for",
    );
}

#[test]
fn every_strategy_declares_itself_and_is_tested() {
    let mut violations = Vec::new();
    for Source { path, text } in sources(&["strategies"]) {
        for needed in ["pub const SPEC: Spec", "#[cfg(test)]", "#[test]"] {
            if !text.contains(needed) {
                violations.push(format!("{path}: no `{needed}`"));
            }
        }
    }
    none(
        violations,
        "a file in strategies/ has a SPEC and tests of its own; ema_cross.rs shows how",
    );
}

#[test]
fn every_module_is_compiled() {
    let mut violations = Vec::new();
    let all = sources(&["src"]);
    let is_root = |path: &str| matches!(path, "src/lib.rs" | "src/main.rs");
    for source in all
        .iter()
        .filter(|s| !is_root(&s.path) && !s.path.starts_with("src/bin/"))
    {
        let file = Path::new(&source.path);
        let (name, folder) = match file.file_stem().and_then(|s| s.to_str()).unwrap() {
            "mod" => (
                file.parent().unwrap().file_name().unwrap(),
                file.parent().unwrap().parent(),
            ),
            _ => (file.file_stem().unwrap(), file.parent()),
        };
        let (name, folder) = (
            name.to_str().unwrap(),
            folder.unwrap().display().to_string(),
        );
        let parents = if folder == "src" {
            vec!["src/lib.rs".to_owned(), "src/main.rs".to_owned()]
        } else {
            vec![format!("{folder}.rs"), format!("{folder}/mod.rs")]
        };
        let declared = |s: &Source| s.text.contains(&format!("mod {name};"));
        if !all.iter().any(|s| parents.contains(&s.path) && declared(s)) {
            violations.push(format!(
                "{}: no `mod {name};` in {}",
                source.path,
                parents.join(" or ")
            ));
        }
    }
    none(violations, "declare the file as a module, or remove it");
}
