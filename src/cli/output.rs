//! What commands print. Tables and colours only on a terminal; plain lines and JSON elsewhere.

use std::io::{IsTerminal, Write};

use comfy_table::{Table, presets};
use serde::Serialize;

use super::failure::Failure;

/// Prints text to standard output. That nobody reads it (`| head`) is no error of ours.
pub(super) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

/// Prints a line to standard output.
pub(super) fn line(text: &str) {
    print(&format!("{text}\n"));
}

/// Prints a line to standard error.
pub(super) fn error_line(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

/// Prints a value as JSON: indented on a terminal, one line elsewhere.
pub(super) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = match on_terminal() {
        true => serde_json::to_string_pretty(value),
        false => serde_json::to_string(value),
    };
    let text = text.map_err(|error| Failure::Failed(format!("failed to print JSON: {error}")))?;
    line(&text);
    Ok(())
}

/// Whether people look at standard output.
pub(super) fn on_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Columns with a header: a table on a terminal, aligned plain lines elsewhere.
pub(super) fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    styled(header, rows, on_terminal())
}

/// A table whatever standard output is.
pub(super) fn framed(header: &[&str], rows: Vec<Vec<String>>) -> String {
    styled(header, rows, true)
}

fn styled(header: &[&str], rows: Vec<Vec<String>>, frame: bool) -> String {
    let mut table = Table::new();
    table.load_style(match frame {
        true => presets::UTF8_FULL_CONDENSED,
        false => presets::NOTHING,
    });
    table.set_header(header.to_vec());
    table.add_rows(rows);
    let lines: Vec<String> = table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    lines.join("\n") + "\n"
}

/// Text that should catch the eye: red on a terminal that wants colours.
pub(super) fn alarm(text: &str) -> String {
    let wanted = on_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    match wanted {
        true => format!("\u{1b}[31m{text}\u{1b}[0m"),
        false => text.to_owned(),
    }
}
