//! The bands of ARCHITECTURE.md, kept by reading the sources: who may know whom.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// For each top-level module, the other modules of this crate that it may name. What is not here may name nothing.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("link", &[]),
    ("worker", &[]),
    ("fence", &[]),
    ("telemetry", &["config"]),
    ("health", &["link"]),
    ("config", &["domain"]),
    // Shells: one foreign protocol each. None knows another, or a service.
    ("ari", &["config", "domain", "fence", "link"]),
    ("agi", &["config", "domain"]),
    ("xmpp", &["config", "domain", "fence"]),
    ("db", &["config", "domain", "link"]),
    // Services: each may know the shells it speaks through, and those below it.
    ("ledger", &["config", "db", "domain", "fence", "link"]),
    ("desk", &["config", "domain", "fence", "link", "xmpp"]),
    ("duty", &["config", "db", "domain", "fence", "link"]),
    ("standby", &["ari", "config", "link", "xmpp"]),
    ("ivr", &["agi", "desk", "domain", "ledger"]),
    ("floor", &["ari", "desk", "domain", "ledger", "worker"]),
    ("counter", &["desk", "domain", "fence", "floor", "ledger", "xmpp", "worker"]),
    ("presence", &["desk", "domain", "floor", "ledger", "xmpp", "worker"]),
    ("contacts", &["counter", "desk", "domain", "fence", "floor", "link", "xmpp"]),
    ("rooms", &["counter", "desk", "domain", "fence", "floor", "xmpp", "worker"]),
    ("mirror", &["ari", "domain", "link"]),
    // The wiring, and people.
    (
        "app",
        &[
            "agi", "ari", "config", "contacts", "counter", "desk", "domain", "duty", "fence", "floor", "health", "ivr",
            "ledger", "link", "mirror", "presence", "rooms", "standby", "xmpp",
        ],
    ),
    ("cli", &["app", "ari", "config", "db", "desk", "domain", "health", "ledger", "telemetry", "xmpp"]),
];

fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let name = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().display().to_string();
            found.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}

fn all_sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    found
}

/// `src/floor/mod.rs` and `src/app.rs` belong to `floor` and `app`.
fn module_of(file: &str) -> &str {
    file.strip_prefix("src/").unwrap().split(['/', '.']).next().unwrap()
}

/// The modules named after `crate::`, both in `crate::a::b` and in `use crate::{a::b, c}`.
fn named(source: &str) -> BTreeSet<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut names = BTreeSet::new();
    for (at, _) in source.match_indices("crate::") {
        let rest = &source[at + "crate::".len()..];
        let Some(group) = rest.strip_prefix('{') else {
            names.insert(word(rest));
            continue;
        };
        let mut depth = 0;
        let mut first = true;
        for (index, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => first = true,
                c if first && depth == 0 && c.is_alphabetic() => {
                    names.insert(word(&group[index..]));
                    first = false;
                }
                _ => {}
            }
        }
    }
    names
}

#[test]
fn no_module_knows_one_that_is_not_below_it() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_KNOW.iter().copied().collect();
    let modules: BTreeSet<String> = all_sources().iter().map(|(file, _)| module_of(file).to_owned()).collect();
    let mut wrong = Vec::new();
    for (file, source) in all_sources() {
        let own = module_of(&file);
        if matches!(own, "lib" | "main") {
            continue;
        }
        let may = allowed.get(own).unwrap_or_else(|| panic!("{own} is new: say in MAY_KNOW what it may know"));
        for name in named(&source) {
            if modules.contains(&name) && name != own && !may.contains(&name.as_str()) {
                wrong.push(format!("{file} names crate::{name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_core_names_no_runtime_no_network_and_no_database() {
    for (file, source) in all_sources().iter().filter(|(file, _)| module_of(file) == "domain") {
        for foreign in
            ["tokio", "reqwest", "tokio_postgres", "xmpp_parsers", "tokio_xmpp", "axum", "std::net", "std::fs"]
        {
            let hit = source.lines().find(|line| {
                let code = line.trim_start();
                !code.starts_with("//")
                    && (code.contains(&format!("{foreign}::")) || code.contains(&format!("use {foreign}")))
            });
            assert_eq!(hit, None, "{file} names {foreign}");
        }
    }
}

#[test]
fn main_stays_short_enough_for_a_child() {
    let (_, main) = all_sources().into_iter().find(|(file, _)| file == "src/main.rs").unwrap();
    assert!(main.lines().count() <= 40);
}

#[test]
fn names_in_a_group_of_imports_are_found() {
    let source =
        "use crate::{\n    ari::{Ari, wire},\n    domain::{a::{B, C}},\n    ledger,\n};\nfn f() { crate::floor::x() }";
    let expected: BTreeSet<String> = ["ari", "domain", "floor", "ledger"].map(str::to_owned).into();
    assert_eq!(named(source), expected);
}
