//! What is wrong with a file that is no configuration, in words that show nothing of what stands there but keys.

/// Line, key, and what is expected there.
///
/// The library's own text shows the line itself, with whatever somebody took for the place of a password.
pub(super) fn explain(text: &str, error: &toml::de::Error) -> String {
    let Some(start) = error.span().map(|span| span.start.min(text.len())) else { return error.message().into() };
    let before = text.get(..start).unwrap_or_default();
    let line = 1 + before.matches('\n').count();
    let whole = text.lines().nth(line - 1).unwrap_or_default();
    match key(whole) {
        Some(key) if is_secret(key) => {
            let expected = error.message().find("expected ").and_then(|at| error.message().get(at..));
            let unknown = if error.message().starts_with("unknown field") { "no such key: " } else { "" };
            format!(
                "line {line}: {key}: {unknown}{}; secrets are never in this file, but in one of their own that password_file names",
                expected.unwrap_or("not a value of this key"),
            )
        }
        Some(key) => format!("line {line}: {key}: {}", error.message()),
        None => format!("line {line}: {}", error.message()),
    }
}

/// The key of a line, or its table, if it is written as ours are.
fn key(line: &str) -> Option<&str> {
    let name = line.split_once('=').map_or(line, |(key, _)| key).trim();
    let plain = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b"._".contains(&b));
    let inner = name.trim_start_matches('[').trim_end_matches(']');
    (plain(inner) && (line.contains('=') || name.starts_with('['))).then_some(name)
}

/// Whether somebody may have written a secret behind this key.
fn is_secret(key: &str) -> bool {
    ["password", "secret", "token"].iter().any(|word| key.contains(word))
}
