//! The signature that tells a receiver that a request is ours and fresh.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Name of the header.
pub const HEADER: &str = "x-usher-signature";
/// Shorter keys are refused.
pub const SHORTEST: usize = 32;

/// A key; shows nothing of itself.
#[derive(Clone)]
pub struct Key(Hmac<Sha256>);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Key {
    /// From the text in the key file.
    ///
    /// # Errors
    /// When it is too short to be one.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.len() < SHORTEST {
            return Err(format!(
                "the key has {} characters, expected {SHORTEST} or more: make one with `openssl rand -hex 32`",
                text.len()
            ));
        }
        let mac = Hmac::new_from_slice(text.as_bytes()).map_err(|error| error.to_string())?;
        Ok(Self(mac))
    }

    /// The header's value for a body that is sent at this time (seconds since 1970).
    pub fn sign(&self, time: i64, body: &[u8]) -> String {
        let mut mac = self.0.clone();
        mac.update(time.to_string().as_bytes());
        mac.update(b".");
        mac.update(body);
        let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("t={time},v1={hex}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_other_tools() {
        // printf '1795000000.{"id":"c-1000-2"}' | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef
        let key = Key::new("0123456789abcdef0123456789abcdef").unwrap();
        assert_eq!(
            key.sign(1_795_000_000, br#"{"id":"c-1000-2"}"#),
            "t=1795000000,v1=2aa2fba1e64a743c3ade1cbe0a333663e5ecef80d78d2f1df360c4de7115bae3"
        );
    }

    #[test]
    fn a_short_key_is_refused_and_a_key_is_not_shown() {
        assert!(Key::new("secret").unwrap_err().contains("openssl rand"));
        assert_eq!(format!("{:?}", Key::new(&"k".repeat(32)).unwrap()), "Key(…)");
    }
}
