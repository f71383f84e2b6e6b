//! The table of modules, enforced: who may import whom, and which client library is used where.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Every module with what it may import, as ARCHITECTURE.md says.
const TABLE: &[(&str, &[&str])] = &[
    ("quarantine", &[]),
    (
        "query",
        &["fault", "position", "projection", "store", "telemetry"],
    ),
    ("position", &[]),
    ("failpoint", &[]),
    ("fault", &[]),
    ("record", &["position"]),
    ("event", &["fault", "position", "record"]),
    ("projection", &["event", "fault", "position"]),
    ("store", &["fault", "position", "projection", "telemetry"]),
    ("source", &["fault", "position", "record", "telemetry"]),
    ("telemetry", &["fault", "position"]),
    ("lifecycle", &["fault", "telemetry"]),
    (
        "pipeline",
        &[
            "event",
            "fault",
            "position",
            "projection",
            "record",
            "source",
            "store",
            "telemetry",
        ],
    ),
    (
        "generation",
        &[
            "event",
            "fault",
            "pipeline",
            "position",
            "projection",
            "source",
            "store",
            "telemetry",
        ],
    ),
    (
        "api",
        &[
            "fault",
            "generation",
            "position",
            "projection",
            "query",
            "telemetry",
        ],
    ),
    ("config", &["api", "event", "fault", "source", "telemetry"]),
    (
        "service",
        &[
            "api",
            "config",
            "event",
            "fault",
            "generation",
            "lifecycle",
            "pipeline",
            "position",
            "projection",
            "query",
            "source",
            "store",
            "telemetry",
        ],
    ),
    (
        "cli",
        &[
            "api",
            "config",
            "event",
            "fault",
            "lifecycle",
            "position",
            "projection",
            "service",
            "telemetry",
        ],
    ),
];

/// Client libraries, and the one directory that may use each.
const CLIENTS: &[(&str, &str)] = &[
    ("sqlx", "store/postgres"),
    ("redis", "store/redis"),
    ("rdkafka", "source/kafka"),
    ("axum", "api"),
    ("clap", "cli"),
    ("ureq", "cli"),
    ("jsonwebtoken", "api/jwt"),
    ("utoipa::openapi", "api/openapi"),
    ("cel", "projection/expr"),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Files below src with their text up to the first test module, without comments.
fn files() -> Vec<(String, String)> {
    let mut found = Vec::new();
    sources(Path::new("src"), &mut found);
    let code = |text: &str| {
        let lines = text
            .lines()
            .take_while(|line| !line.starts_with("#[cfg(test)]"));
        lines
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    found
        .iter()
        .map(|path| {
            let name = path
                .strip_prefix("src")
                .unwrap()
                .to_str()
                .unwrap()
                .replace('\\', "/");
            (name, code(&fs::read_to_string(path).unwrap()))
        })
        .collect()
}

fn module_of(file: &str) -> &str {
    file.split('/').next().unwrap().trim_end_matches(".rs")
}

/// The modules of ours that `text` names as `crate::module`, also in `use crate::{a, b}`.
fn imports(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let group = &group[..group.find('}').unwrap_or(group.len())];
            found.extend(
                group
                    .split(',')
                    .map(|name| name.trim().split("::").next().unwrap().to_owned()),
            );
        } else {
            let name: String = rest
                .chars()
                .take_while(|c| c.is_ascii_lowercase() || *c == '_')
                .collect();
            found.push(name);
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

#[test]
fn modules_import_only_what_the_table_allows() {
    let table: BTreeMap<&str, &[&str]> = TABLE.iter().copied().collect();
    let mut wrong = Vec::new();
    for (file, text) in files() {
        let module = module_of(&file);
        if module == "lib"
            || module == "main"
            || file.contains("/tests/")
            || file.ends_with("/tests.rs")
        {
            continue;
        }
        let Some(allowed) = table.get(module) else {
            wrong.push(format!("{file}: module {module} is not in the table"));
            continue;
        };
        for import in imports(&text) {
            if import != module
                && table.contains_key(import.as_str())
                && !allowed.contains(&import.as_str())
            {
                wrong.push(format!("{file}: {module} may not import {import}"));
            }
        }
    }
    wrong.dedup();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_client_library_is_used_in_one_directory() {
    let mut wrong = Vec::new();
    for (file, text) in files() {
        for (library, home) in CLIENTS {
            let uses = [
                format!("use {library}::"),
                format!("use {library};"),
                format!(" {library}::"),
            ];
            let at_home = file.starts_with(home);
            // `redis` is also the name of our module; the JWT issuer's keys are asked for over HTTP.
            let ours = *library == "redis" && module_of(&file) == "service"
                || *library == "ureq" && file == "api/jwt/keys.rs";
            if !at_home && !ours && uses.iter().any(|used| text.contains(used)) {
                wrong.push(format!("{file}: {library} belongs to {home}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_the_composition_root_names_concrete_stores() {
    for (file, text) in files() {
        if file.starts_with("store/") || file.starts_with("source/") || file == "service/parts.rs" {
            continue;
        }
        for concrete in ["PostgresStore", "RedisStore", "KafkaSource"] {
            assert!(!text.contains(concrete), "{file} names {concrete}");
        }
    }
}

#[test]
fn the_entry_point_is_thin() {
    let main = fs::read_to_string("src/main.rs").unwrap();
    assert!(
        main.lines().count() < 30,
        "src/main.rs should only start the command line"
    );
}
