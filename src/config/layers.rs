//! The layers, least first: built-in defaults, files, environment, command line. Each is applied
//! onto what the ones before it said.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::Config;
use super::jwt;
use super::node::{Entry, Node, Raw};
use super::problem::{Origin, Problem, Problems};
use super::read::{self, Read};
use super::{Kafka, Listener, Pipeline, Postgres, Rebuild, Redis, Telemetry, environment};

/// The file that is read when the command line names none.
pub const DEFAULT_FILE: &str = "config/viewfold.toml";

/// Where settings come from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Files, each over the ones before it. They must exist.
    pub files: Vec<PathBuf>,
    /// The file that is read when `files` is empty and it exists.
    pub default_file: Option<PathBuf>,
    /// The environment.
    pub variables: Vec<(OsString, OsString)>,
    /// Settings of the command line, `section.key=value` each.
    pub set: Vec<String>,
    /// The folder of projections, from the command line.
    pub projections: Option<String>,
}

impl Sources {
    /// This process's environment and the default file.
    pub fn of_process() -> Self {
        Self {
            default_file: Some(PathBuf::from(DEFAULT_FILE)),
            variables: std::env::vars_os().collect(),
            ..Self::default()
        }
    }
}

/// Reads and checks all layers.
pub(super) fn load(sources: &Sources) -> Result<Config, Problems> {
    let mut loading = Loading::default();
    let default = sources.default_file.iter().filter(|file| file.exists());
    let files: Vec<&PathBuf> = match sources.files.is_empty() {
        true => default.collect(),
        false => sources.files.iter().collect(),
    };
    for file in &files {
        loading.file(file);
    }
    for node in environment::layer(&sources.variables, &mut loading.problems) {
        loading.apply(&node);
    }
    for text in &sources.set {
        loading.option(text);
    }
    if let Some(folder) = &sources.projections {
        let origin = Origin::Option("--projections".into());
        let path = ["projections".to_owned()];
        loading.apply(&Node::along(&path, folder.clone(), origin));
    }
    loading.check_together();
    let names: Vec<String> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    loading.problems.sort(&names);
    match loading.problems.0.is_empty() {
        true => Ok(loading.config),
        false => Err(loading.problems),
    }
}

/// What is known while layers are applied.
#[derive(Default)]
struct Loading {
    config: Config,
    problems: Problems,
    /// Where each setting was said last.
    origins: BTreeMap<String, Origin>,
}

const SECTIONS: &str = "kafka, postgres, redis, api, admin, pipeline, rebuild, telemetry";

impl Loading {
    fn file(&mut self, file: &Path) {
        let name = file.display().to_string();
        match std::fs::read_to_string(file) {
            Err(error) => {
                let message = format!("failed to read the file: {error}");
                self.problems.add(&Origin::WholeFile(name), message);
            }
            Ok(text) => {
                let (node, syntax) = Node::document(&name, &text);
                self.apply(&node);
                // A value that could not be read is one problem, not two.
                let read = |problem: &Problem| syntax.iter().all(|s| s.origin != problem.origin);
                self.problems.0.retain(read);
                self.problems.0.extend(syntax);
            }
        }
    }

    fn option(&mut self, text: &str) {
        let Some((name, value)) = text.split_once('=') else {
            let origin = Origin::Option(format!("--set {text}"));
            return self.problems.add(&origin, "must be SECTION.KEY=VALUE");
        };
        let origin = Origin::Option(format!("--set {name}"));
        let node = Node::along(&option_path(name.trim()), value.to_owned(), origin);
        self.apply(&node);
    }

    /// Applies one layer.
    fn apply(&mut self, layer: &Node) {
        let Raw::Table(entries) = &layer.raw else {
            return;
        };
        for entry in entries {
            if entry.key == "projections" {
                let read = read::text(&entry.value).map(|folder| {
                    self.config.projections = PathBuf::from(folder);
                });
                self.done("projections", &entry.value.origin, read);
                continue;
            }
            let Some(known) = known_keys(&entry.key) else {
                let message = format!(
                    "unknown section `{}`; known are {SECTIONS} and the top-level key projections",
                    entry.key
                );
                self.problems.add(&entry.origin, message);
                continue;
            };
            match &entry.value.raw {
                Raw::Table(settings) => {
                    for setting in settings {
                        self.setting(&entry.key, known, setting);
                    }
                }
                _ => {
                    let message = format!("`{0}` must be a section [{0}]", entry.key);
                    self.problems.add(&entry.origin, message);
                }
            }
        }
    }

    fn setting(&mut self, section: &str, known: &[&str], setting: &Entry) {
        let key = setting.key.as_str();
        if !known.contains(&key) {
            let hint = match key {
                "projections" => "; it belongs above the first section".to_owned(),
                _ => format!("; known are {}", known.join(", ")),
            };
            let message = format!("unknown key `{key}` in [{section}]{hint}");
            return self.problems.add(&setting.origin, message);
        }
        let (config, node, problems) = (&mut self.config, &setting.value, &mut self.problems);
        let origins = &mut self.origins;
        let read = match section {
            "kafka" => config.kafka.set(key, node, problems, origins),
            "postgres" => config.postgres.set(key, node),
            "redis" => config.redis.set(key, node),
            "api" => config.api.set(section, key, node, problems),
            "admin" => config.admin.set(section, key, node, problems),
            "pipeline" => config.pipeline.set(key, node),
            "rebuild" => config.rebuild.set(key, node),
            _ => config.telemetry.set(key, node),
        };
        self.done(&format!("{section}.{key}"), &setting.value.origin, read);
    }

    fn done(&mut self, name: &str, origin: &Origin, read: Read<()>) {
        match read {
            Ok(()) => {
                self.origins.insert(name.to_owned(), origin.clone());
            }
            Err(message) => self.problems.add(origin, format!("{name} {message}")),
        }
    }

    /// Settings that are right each for itself and wrong together.
    fn check_together(&mut self) {
        let (admin, api) = (&self.config.admin, &self.config.api);
        let postgres = &self.config.postgres;
        let pipeline = &self.config.pipeline;
        let found = [
            (!admin.is_loopback() && admin.access().is_open()).then(|| {
                let message = format!(
                    "admin.listen {} can be reached from other hosts, which needs admin.tokens \
                     (`viewfold token NAME --scope operate` makes one); or listen on 127.0.0.1",
                    admin.listen
                );
                (["admin.listen", "admin.tokens"], message)
            }),
            collide(api, admin).then(|| {
                let message = format!(
                    "api.listen {} and admin.listen {} are in each other's way: use two ports",
                    api.listen, admin.listen
                );
                (["admin.listen", "api.listen"], message)
            }),
            (postgres.schema == postgres.views_schema).then(|| {
                let message = "postgres.schema and postgres.views_schema must differ: \
                     a view could have the name of a table of ours";
                (
                    ["postgres.views_schema", "postgres.schema"],
                    message.to_owned(),
                )
            }),
            (pipeline.batch_bytes > pipeline.memory_limit).then(|| {
                let message = "pipeline.batch_bytes must not be above pipeline.memory_limit";
                (
                    ["pipeline.batch_bytes", "pipeline.memory_limit"],
                    message.to_owned(),
                )
            }),
        ];
        let kafka = self.config.kafka.settings(pipeline.memory_limit);
        for problem in kafka.check() {
            let name = format!("kafka.{}", problem.key);
            let origin = self.origins.get(&name).unwrap_or(&Origin::BuiltIn);
            let message = format!("{name} cannot be set: {}", problem.message);
            self.problems.add(&origin.clone(), message);
        }
        for (section, listener) in [("api", api), ("admin", admin)] {
            let Some(jwt) = &listener.jwt else { continue };
            let origin = self.origins.get(&format!("{section}.jwt"));
            let origin = origin.cloned().unwrap_or(Origin::BuiltIn);
            jwt::check(jwt, section, &origin, &mut self.problems);
        }
        for (names, message) in found.into_iter().flatten() {
            let origin = names.iter().find_map(|name| self.origins.get(*name));
            let origin = origin.cloned().unwrap_or(Origin::BuiltIn);
            self.problems.0.push(Problem { origin, message });
        }
    }
}

fn known_keys(section: &str) -> Option<&'static [&'static str]> {
    Some(match section {
        "kafka" => Kafka::KEYS,
        "postgres" => Postgres::KEYS,
        "redis" => Redis::KEYS,
        "api" | "admin" => Listener::KEYS,
        "pipeline" => Pipeline::KEYS,
        "rebuild" => Rebuild::KEYS,
        "telemetry" => Telemetry::KEYS,
        _ => return None,
    })
}

/// Whether both would bind the same port of the same host.
fn collide(api: &Listener, admin: &Listener) -> bool {
    let (a, b) = (api.listen, admin.listen);
    let overlap = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port() && a.port() != 0 && overlap
}

/// `kafka.properties.sasl.password` names one property, `kafka.topics.shop.orders.envelope` one
/// key of the topic `shop.orders`.
fn option_path(name: &str) -> Vec<String> {
    let mut path: Vec<String> = Vec::new();
    if let Some(property) = name.strip_prefix("kafka.properties.") {
        path.extend(["kafka", "properties", property].map(str::to_owned));
    } else if let Some((topic, key)) = name
        .strip_prefix("kafka.topics.")
        .and_then(|rest| rest.rsplit_once('.'))
    {
        path.extend(["kafka", "topics", topic, key].map(str::to_owned));
    } else {
        path.extend(name.split('.').map(str::to_owned));
    }
    path
}
