//! May a strategy's file be called so? Asked by the build, which includes this file, and by
//! `tickforge new strategy`.

/// Names that Rust does not let a module have.
const KEYWORDS: [&str; 51] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
    "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl",
    "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
    "return", "self", "static", "struct", "super", "trait", "true", "try", "type", "typeof",
    "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// `name` is a file's without `.rs`, and becomes a module's; the error says what is wrong.
pub fn check(name: &str) -> Result<(), String> {
    let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase());
    let plain = name
        .bytes()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_');
    if starts_well && plain && !KEYWORDS.contains(&name) {
        return Ok(());
    }
    Err(format!(
        "{name:?} cannot be a strategy's name: that becomes a module's, so it is lower-case \
         letters, digits and _, begins with a letter and is no Rust keyword; call it \
         my_strategy, say"
    ))
}
