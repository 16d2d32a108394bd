//! The token of a private pop: says of which call and customer a link is, for a while, and cannot be made by others.
//!
//! `base64url(claims) "." base64url(HMAC-SHA256(secret, base64url(claims)))`, both without padding (RFC 4648 section 5); the claims are
//! JSON. What the secret signs is the text before the dot as it stands, so that nobody has to write JSON twice in the same way.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::domain::id::{CallId, Extension};

/// What a token says. Nothing by which somebody outside could tell the person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The call.
    pub call: CallId,
    /// Key of the customer in the database.
    pub customer: i64,
    /// On whose desk the pop is.
    pub extension: Extension,
    /// Until when it counts, in seconds since 1970 (UTC), as in a JSON Web Token.
    pub exp: i64,
}

/// Why a token does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not two texts of base64url joined by a dot.
    #[error("it is no token: expected two texts of letters, digits, '-' and '_', joined by a dot")]
    Form,
    /// Signed by somebody else, or changed.
    #[error("its signature is wrong: it was changed, or signed with another secret")]
    Signature,
    /// Signed by us, and not understood.
    #[error("its signature is right, but what it says cannot be read: it is of another version")]
    Claims,
    /// Over.
    #[error("its time was over at {0}")]
    Expired(Timestamp),
}

/// The secret that signs. Shows nothing of itself.
#[derive(Debug, Clone)]
pub struct Key(SecretString);

impl Key {
    /// Signs with the bytes of this text.
    pub fn new(secret: SecretString) -> Self {
        Self(secret)
    }

    /// A token that says this.
    pub fn sign(&self, claims: &Claims) -> String {
        let json = serde_json::to_vec(claims).expect("claims have a JSON form");
        let body = BASE64_URL_SAFE_NO_PAD.encode(json);
        let signature = self.mac(&body).finalize().into_bytes();
        format!("{body}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }

    /// What a token says, if it is ours and its time is not over.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, Refused> {
        let (body, signature) = token.split_once('.').ok_or(Refused::Form)?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).map_err(|_| Refused::Form)?;
        // In a time that does not depend on what is wrong with it.
        self.mac(body).verify_slice(&signature).map_err(|_| Refused::Signature)?;
        let json = BASE64_URL_SAFE_NO_PAD.decode(body).map_err(|_| Refused::Form)?;
        let claims: Claims = serde_json::from_slice(&json).map_err(|_| Refused::Claims)?;
        let end = Timestamp::from_second(claims.exp).map_err(|_| Refused::Claims)?;
        if end <= now { Err(Refused::Expired(end)) } else { Ok(claims) }
    }

    fn mac(&self, body: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose_secret().as_bytes()).expect("a key of any length");
        mac.update(body.as_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn key(secret: &str) -> Key {
        Key::new(secret.to_owned().into())
    }

    fn claims() -> Claims {
        Claims { call: CallId(Uuid::from_u128(7)), customer: 17, extension: Extension::new("1000"), exp: 1_800_000_000 }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_token_says_what_was_signed_until_its_time_is_over() {
        let token = key("k").sign(&claims());
        assert_eq!(key("k").verify(&token, at(1_799_999_999)), Ok(claims()));
        assert_eq!(key("k").verify(&token, at(1_800_000_000)), Err(Refused::Expired(at(1_800_000_000))));
    }

    #[test]
    fn its_form_is_the_one_in_the_documents() {
        // Counted by another program: python3 -c 'import hmac, base64, hashlib; …'
        let token = key("0123456789abcdef0123456789abcdef").sign(&claims());
        let (body, signature) = token.split_once('.').unwrap();
        assert_eq!(
            String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(body).unwrap()).unwrap(),
            r#"{"call":"00000000-0000-0000-0000-000000000007","customer":17,"extension":"1000","exp":1800000000}"#
        );
        assert_eq!(signature, "OrJp6Zs-AzH44JsyPpOEk174cFGG3SAdUiw-oc1ijLw");
    }

    #[test]
    fn whatever_is_changed_is_refused() {
        let token = key("k").sign(&claims());
        let now = at(0);
        assert_eq!(key("other").verify(&token, now), Err(Refused::Signature));
        for index in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(key("k").verify(&changed, now).is_err(), "{changed}");
        }
        for text in
            ["", ".", "a", "a.b.c", "é.é", &token[..token.len() - 1], &format!("{token}="), &format!("{token}\n")]
        {
            assert!(key("k").verify(text, now).is_err(), "{text}");
        }
        let (body, _) = token.split_once('.').unwrap();
        assert_eq!(key("k").verify(&format!("{body}."), now), Err(Refused::Signature));
    }

    #[test]
    fn a_printed_key_shows_nothing() {
        assert!(!format!("{:?}", key("hidden")).contains("hidden"));
    }
}
