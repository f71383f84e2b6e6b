//! Definition files on disk.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Definition, Diagnostic};

impl Definition {
    /// Reads one definition file; its name without `.toml` is the projection's.
    pub fn read_file(path: &Path) -> Result<Self, Vec<Diagnostic>> {
        let file = path.display().to_string();
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let failed = |message: String| Err(vec![Diagnostic::of_file(&file, message)]);
        if path.extension().is_none_or(|extension| extension != "toml") {
            return failed("a definition's file name ends in .toml".to_owned());
        }
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) => return failed(format!("cannot be read: {error}")),
        };
        match String::from_utf8(bytes) {
            Ok(text) => Self::parse(&name, &file, &text),
            Err(error) => failed(format!(
                "is not UTF-8 (byte {})",
                error.utf8_error().valid_up_to()
            )),
        }
    }

    /// Reads every `*.toml` of a directory (hidden files and sub-directories are left out), in
    /// name order. Err = the problems of all files.
    pub fn read_dir(path: &Path) -> Result<Vec<Self>, Vec<Diagnostic>> {
        let files = files_in(path).map_err(|error| {
            let message = format!("directory of projections cannot be read: {error}");
            vec![Diagnostic::of_file(&path.display().to_string(), message)]
        })?;
        let mut definitions = Vec::new();
        let mut problems = Vec::new();
        for file in files {
            match Self::read_file(&file) {
                Ok(definition) => definitions.push(definition),
                Err(found) => problems.extend(found),
            }
        }
        if problems.is_empty() {
            Ok(definitions)
        } else {
            Err(problems)
        }
    }
}

fn files_in(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        let hidden = file
            .file_name()
            .is_none_or(|name| name.to_string_lossy().starts_with('.'));
        let is_definition = file.extension().is_some_and(|e| e == "toml");
        if is_definition && !hidden && !file.is_dir() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}
