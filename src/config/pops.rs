//! `[pops]`: in which form screen pops are published, and what they leave out.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{
    secret::{Secret, Secrets},
    value::{duration, spans},
};

/// The shortest secret: as many characters as bytes that SHA-256 gives.
const LEAST_SECRET: usize = 32;

/// `[pops]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pops {
    /// Whether the payload has the same in JSON (XEP-0335) beside the XML.
    pub json: bool,
    /// Whether everything that tells the person is left out, and a signed link stands in its place. For all queues: who can read
    /// what the XMPP server holds is the same for each, and a queue that is added can not be forgotten.
    pub private: bool,
    /// File whose first line signs the tokens of links; else `USHER_LINK_SECRET`. Needed with `private`.
    pub link_secret_file: Option<PathBuf>,
    /// How long a token counts from the moment in which its revision is sent.
    #[serde(deserialize_with = "duration")]
    pub link_lifetime: Duration,
    /// Filled by [`super::Config::load`].
    #[serde(skip)]
    pub link_secret: Option<SecretString>,
}

impl Default for Pops {
    fn default() -> Self {
        Self {
            json: false,
            private: false,
            link_secret_file: None,
            link_lifetime: Duration::from_secs(15 * 60),
            link_secret: None,
        }
    }
}

impl Pops {
    /// Reads the secret and checks every value.
    ///
    /// # Errors
    /// The key, and what is wrong with its value.
    pub(super) fn settle(
        &mut self,
        folder: &Path,
        env: &dyn Fn(&str) -> Option<String>,
        secrets: Secrets,
    ) -> Result<(), (&'static str, String)> {
        spans(self.link_lifetime, "10s", "24h").map_err(|problem| ("pops.link_lifetime", problem))?;
        if secrets == Secrets::OfDatabase {
            return Ok(());
        }
        let secret = Secret { key: "pops.link_secret_file", variables: vec!["USHER_LINK_SECRET".into()] };
        let found = secret.find(folder, &mut self.link_secret_file, env).map_err(|problem| (secret.key, problem))?;
        let advice = "`openssl rand -hex 32` makes one";
        match &found {
            Some(text) if text.expose_secret().chars().count() < LEAST_SECRET => {
                let problem = format!("the secret is too short: expected {LEAST_SECRET} characters or more; {advice}");
                return Err((secret.key, problem));
            }
            None if self.private => {
                let problem = format!(
                    "no secret, and with pops.private links are signed: name a file here or set USHER_LINK_SECRET; {advice}"
                );
                return Err((secret.key, problem));
            }
            Some(_) | None => {}
        }
        self.link_secret = found;
        Ok(())
    }
}
