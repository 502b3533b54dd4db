//! Which known name did the user mean? For every "unknown …" message; never on a hot path.

/// `; did you mean "fast"?`, or the known names where none is near.
pub fn hint<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let mut known: Vec<&str> = known.into_iter().collect();
    known.sort_unstable();
    match nearest(wrong, &known) {
        Some(name) => format!("; did you mean \"{name}\"?"),
        None if known.is_empty() => String::new(),
        None => format!("; known are {}", known.join(", ")),
    }
}

/// The known name that a slip of the fingers turns into `wrong`: at most a third of it differs.
fn nearest<'a>(wrong: &str, known: &[&'a str]) -> Option<&'a str> {
    let wrong = wrong.to_lowercase();
    let distance = |name: &str| strsim::damerau_levenshtein(&wrong, &name.to_lowercase());
    let best = known.iter().copied().min_by_key(|name| distance(name))?;
    let allowed = (wrong.chars().count().max(best.chars().count()) / 3).max(1);
    (distance(best) <= allowed).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested_and_far_ones_listed() {
        let known = ["symbols", "ws", "rest", "book", "backoff_min"];
        for (wrong, expected) in [
            ("sybols", "; did you mean \"symbols\"?"),
            ("Symbols", "; did you mean \"symbols\"?"),
            ("bokk", "; did you mean \"book\"?"),
            ("backof_min", "; did you mean \"backoff_min\"?"),
            ("colour", "; known are backoff_min, book, rest, symbols, ws"),
        ] {
            assert_eq!(hint(wrong, known), expected, "{wrong}");
        }
        assert_eq!(hint("anything", []), "");
    }
}
