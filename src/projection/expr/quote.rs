//! Parts of a source text as they are repeated in messages.

/// So much of a source text is worth repeating.
const MAX_CHARS: usize = 60;

/// The text in one line, cut where it is long.
pub(super) fn quote(text: &str) -> String {
    let mut line = String::new();
    for (count, word) in text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .enumerate()
    {
        if count > 0 && !word.is_empty() && !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    match line.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => {
            line.truncate(end);
            line.push('…');
            line
        }
        None => line,
    }
}
