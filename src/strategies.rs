//! Which strategies are there? Every file of `strategies/`, as the build found them, in [`ALL`],
//! sorted by name. Nothing here is edited to add one; see `build.rs`.
//!
//! Known trap: `cargo fmt` does not see files that a generated list declares; format them by
//! `rustfmt --edition 2024 strategies/*.rs`.

mod found {
    include!(concat!(env!("OUT_DIR"), "/strategies.rs"));
}
pub use found::*;

pub mod declaration;
pub mod name;

use crate::strategy::{Entry, Parameters, Spec};

#[cfg(test)]
pub(crate) mod testing;

/// The strategy of this name.
pub fn find(name: &str) -> Option<&'static Entry> {
    ALL.iter().find(|e| e.spec.name == name)
}

/// Those that run where the configuration names none: on each instrument. Those over several
/// instruments have to be told which.
pub fn by_default() -> impl Iterator<Item = &'static Entry> {
    ALL.iter().filter(|entry| entry.spec.legs <= 1)
}

/// All parameters of a strategy at their defaults.
pub fn defaults(spec: &Spec) -> Parameters {
    Parameters(
        spec.parameters
            .iter()
            .map(|p| (p.name, p.default))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_listed() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/strategies");
        let names = std::fs::read_dir(folder)
            .expect("the folder")
            .map(|e| e.expect("an entry").file_name());
        let mut files: Vec<String> = names.filter_map(|n| n.into_string().ok()).collect();
        files.retain(|f| f.ends_with(".rs") && !f.starts_with('.'));
        files.sort();
        let listed: Vec<&str> = ALL.iter().map(|e| &e.file["strategies/".len()..]).collect();
        assert_eq!(listed, files);
    }

    #[test]
    fn every_strategy_keeps_the_contract() {
        for entry in ALL {
            let examined = declaration::examine(entry);
            assert!(examined.is_ok(), "{}: {examined:?}", entry.file);
            let digest = entry.digest;
            assert!(
                digest.len() == 16 && digest.bytes().all(|c| c.is_ascii_hexdigit()),
                "{digest}"
            );
            assert!(find(entry.spec.name).is_some_and(|e| std::ptr::eq(e, entry)));
            for p in entry.spec.parameters {
                assert!(
                    p.help.len() > 10,
                    "{}: {} says what it is for",
                    entry.file,
                    p.name
                );
            }
        }
    }
}
