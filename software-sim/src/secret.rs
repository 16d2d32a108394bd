//! Secrets: the first line of a file.

use std::{fs, path::Path};

/// The first line of a file.
///
/// # Errors
/// When it cannot be read, or is empty.
pub fn first_line(file: &Path) -> Result<String, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    match text.lines().next() {
        Some(first) if !first.is_empty() => Ok(first.into()),
        Some(_) | None => Err(format!("{} is empty: its first line is the secret", file.display())),
    }
}

/// The account's password: from a file, or else from `SOFTWARE_SIM_PASSWORD`.
///
/// # Errors
/// When there is none.
pub fn password(file: Option<&Path>) -> Result<String, String> {
    match file {
        Some(file) => first_line(file),
        None => std::env::var("SOFTWARE_SIM_PASSWORD")
            .map_err(|_| "no password: give a password file or set SOFTWARE_SIM_PASSWORD".into()),
    }
}
