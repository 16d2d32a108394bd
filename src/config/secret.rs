//! Secrets: from a file of their own, else from the environment.

use std::{
    fs,
    path::{Path, PathBuf},
};

use secrecy::SecretString;

use super::value::{a_file, shown};

/// Which secrets must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Secrets {
    All,
    OfDatabase,
}

/// Where one is looked for.
pub(super) struct Secret {
    /// Key of the file.
    pub(super) key: &'static str,
    /// Variables of the environment; the first that is set, and to something, counts.
    pub(super) variables: Vec<String>,
}

impl Secret {
    /// The secret, if it is given; makes the file's path absolute.
    ///
    /// # Errors
    /// When the file cannot be read or its first line is empty.
    pub(super) fn find(
        &self,
        folder: &Path,
        file: &mut Option<PathBuf>,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<SecretString>, String> {
        resolve(folder, file)?;
        if let Some(file) = file {
            let text = fs::read(&*file).map_err(|error| format!("cannot read {}: {error}", shown(file)))?;
            let text = String::from_utf8(text)
                .map_err(|_| format!("{} holds bytes that are not UTF-8: save it as UTF-8", shown(file)))?;
            // Some editors put a mark before the text, which nobody sees.
            let first = text.strip_prefix('\u{feff}').unwrap_or(&text).lines().next().unwrap_or_default();
            if first.is_empty() {
                return Err(format!("{} is empty: expected the secret in its first line", shown(file)));
            }
            return Ok(Some(first.into()));
        }
        let given = self.variables.iter().filter_map(|name| env(name)).find(|value| !value.is_empty());
        Ok(given.map(SecretString::from))
    }
}

/// Relative paths are relative to the folder of the configuration.
///
/// # Errors
/// When it is no path.
pub(super) fn resolve(folder: &Path, file: &mut Option<PathBuf>) -> Result<(), String> {
    let Some(file) = file else { return Ok(()) };
    a_file(file)?;
    if file.is_relative() {
        *file = folder.join(&*file);
    }
    Ok(())
}
