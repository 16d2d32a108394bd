//! Secrets: from a file of their own, else from the environment.

use std::{
    fs,
    path::{Path, PathBuf},
};

use secrecy::SecretString;

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
    /// Variables of the environment; the first that is set counts.
    pub(super) variables: Vec<String>,
}

impl Secret {
    /// The secret, if it is given; makes the file's path absolute.
    ///
    /// # Errors
    /// When the file cannot be read or is empty.
    pub(super) fn find(
        &self,
        folder: &Path,
        file: &mut Option<PathBuf>,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<SecretString>, String> {
        resolve(folder, file);
        if let Some(file) = file {
            let text = fs::read_to_string(&*file).map_err(|e| format!("cannot read {}: {e}", file.display()))?;
            let first = text.lines().next().unwrap_or_default();
            if first.is_empty() {
                return Err(format!("{} is empty: its first line is the secret", file.display()));
            }
            return Ok(Some(first.into()));
        }
        Ok(self.variables.iter().find_map(|name| env(name)).map(SecretString::from))
    }
}

/// Relative paths are relative to the folder of the configuration.
pub(super) fn resolve(folder: &Path, file: &mut Option<PathBuf>) {
    if let Some(file) = file
        && file.is_relative()
    {
        *file = folder.join(&*file);
    }
}
