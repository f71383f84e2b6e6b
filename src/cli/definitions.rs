//! The definitions that commands without a server look at.

use std::path::{Path, PathBuf};

use super::failure::Failure;
use crate::config::Config;
use crate::projection::{Definition, Diagnostic, Registry};

/// The projections of the configured folder and those of the binary; all problems at once. A binary
/// with projections of its own needs no folder.
pub(super) fn all(
    config: &Config,
    registry: &Registry,
) -> Result<Vec<Definition>, Vec<Diagnostic>> {
    let folder = &config.projections;
    let mut definitions = match folder.exists() || registry.all().is_empty() {
        true => Definition::read_dir(folder)?,
        false => Vec::new(),
    };
    for definition in current(registry) {
        if definitions
            .iter()
            .any(|known| known.name == definition.name)
        {
            let file = folder.join(format!("{}.toml", definition.name));
            return Err(vec![Diagnostic {
                file: file.display().to_string(),
                line: 1,
                column: 1,
                message: "this binary has a projection of the same name: rename one".into(),
            }]);
        }
        definitions.push(definition);
    }
    Ok(definitions)
}

/// The definitions of these files.
pub(super) fn of_files(files: &[PathBuf]) -> Result<Vec<Definition>, Vec<Diagnostic>> {
    let mut definitions = Vec::new();
    let mut problems = Vec::new();
    for file in files {
        match Definition::read_file(file) {
            Ok(definition) => definitions.push(definition),
            Err(found) => problems.extend(found),
        }
    }
    match problems.is_empty() {
        true => Ok(definitions),
        false => Err(problems),
    }
}

/// The definition called `name`, in the configured folder or in the binary; or that of a file, when
/// `name` is the path of one.
pub(super) fn one(name: &str, config: &Config, registry: &Registry) -> Result<Definition, Failure> {
    if let Some(definition) = current(registry).find(|known| *known.name == *name) {
        return Ok(definition);
    }
    let file = match name.ends_with(".toml") {
        true => PathBuf::from(name),
        false => config.projections.join(format!("{name}.toml")),
    };
    if !file.exists() {
        let known = names(&config.projections, registry);
        let file = file.display();
        let text = format!("there is no projection `{name}`: no file {file}; known are {known}");
        return Err(Failure::Usage(text));
    }
    Definition::read_file(&file).map_err(|problems| refused(&problems))
}

/// The current version of each projection of the binary.
fn current(registry: &Registry) -> impl Iterator<Item = Definition> {
    let all = registry.all();
    let newest = all.iter().enumerate().filter(|(index, projection)| {
        let name = &projection.schema().name;
        let later = all.iter().skip(index + 1);
        !later.clone().any(|other| other.schema().name == *name)
    });
    newest.map(|(_, projection)| Definition::of(projection.clone()))
}

fn names(folder: &Path, registry: &Registry) -> String {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = files
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()))
        .chain(current(registry).map(|definition| definition.name.to_string()))
        .collect();
    names.sort();
    match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(", "),
    }
}

/// Problems of definitions, one per line.
pub(super) fn refused(problems: &[Diagnostic]) -> Failure {
    let lines: Vec<String> = problems.iter().map(Diagnostic::to_string).collect();
    Failure::Usage(lines.join("\n"))
}
