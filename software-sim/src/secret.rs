//! Secrets: the first line of a file.

use std::{fs, path::Path};

/// The first line of a file.
///
/// # Errors
/// When it cannot be read, or is empty.
pub fn first_line(file: &Path) -> Result<String, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    // Some editors put a mark before the text, which nobody sees.
    match text.strip_prefix('\u{feff}').unwrap_or(&text).lines().next() {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_of_an_editor_is_no_part_of_a_secret() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for text in ["\u{feff}hunter2\r\nmore", "hunter2\n"] {
            fs::write(file.path(), text).unwrap();
            assert_eq!(first_line(file.path()).unwrap(), "hunter2");
        }
        fs::write(file.path(), "\u{feff}\n").unwrap();
        assert!(first_line(file.path()).is_err());
    }
}
