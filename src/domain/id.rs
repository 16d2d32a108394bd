//! Identifiers: one type each, so that a channel is never passed for a call.

use std::{borrow::Borrow, fmt, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What is wrong with a text that should be an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {text:?} is not valid: {expected}")]
pub struct InvalidId {
    kind: &'static str,
    text: String,
    expected: &'static str,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes over a text that is known to be one, without a check.
            pub fn new(text: impl AsRef<str>) -> Self {
                Self(text.as_ref().into())
            }

            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($kind, " {}"), self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

text_id!(
    /// An agent's short number, `1000`: one to twenty of `0-9`, `A-Z`, `a-z`, `_`, `-`.
    Extension, "extension"
);
text_id!(
    /// The name of a queue, `support`: one to fifty of `0-9`, `A-Z`, `a-z`, `_`, `-`.
    QueueName, "queue"
);
text_id!(
    /// The customer's code as it is keyed in: one to sixteen digits. Leading zeros count.
    CustomerCode, "customer code"
);
text_id!(
    /// An Asterisk channel: one call leg.
    ChannelId, "channel"
);
text_id!(
    /// An Asterisk bridge.
    BridgeId, "bridge"
);
text_id!(
    /// One Asterisk machine, by its name in the configuration.
    ServerId, "server"
);
text_id!(
    /// What rings for a member, in Asterisk's form: `PJSIP/1000`.
    Interface, "interface"
);

fn is_word(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// What stands before the number of a party outside.
const OUTSIDE: &str = "outside/";

impl Extension {
    /// Stands for a party that is none of ours: whom an agent has transferred a caller to. Taken for no extension, since none
    /// has a slash.
    pub fn outside(number: &str) -> Self {
        Self::new(format!("{OUTSIDE}{number}"))
    }

    /// The number of a party that is none of ours.
    pub fn number_outside(&self) -> Option<&str> {
        self.as_str().strip_prefix(OUTSIDE)
    }

    /// Parses an extension from outside (a caller id, a command line).
    ///
    /// # Errors
    /// When it is empty, longer than 20 or holds other characters than letters, digits, `_` and `-`.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        if is_word(text, 20) {
            return Ok(Self::new(text));
        }
        Err(InvalidId { kind: "extension", text: text.into(), expected: "1 to 20 letters, digits, '_' or '-'" })
    }
}

impl QueueName {
    /// Parses a queue name from outside.
    ///
    /// # Errors
    /// When it is empty, longer than 50 or holds other characters than letters, digits, `_` and `-`.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        if is_word(text, 50) {
            return Ok(Self::new(text));
        }
        Err(InvalidId { kind: "queue name", text: text.into(), expected: "1 to 50 letters, digits, '_' or '-'" })
    }
}

impl CustomerCode {
    /// Parses a customer code as keyed in by a caller.
    ///
    /// # Errors
    /// When it is not 1 to 16 digits (a code is never a number: `0071` stays `0071`).
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        if (1..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()) {
            return Ok(Self::new(text));
        }
        Err(InvalidId { kind: "customer code", text: text.into(), expected: "1 to 16 digits" })
    }
}

/// A call: all legs joined for one purpose. Also the id of its pubsub item and of its row in `calls`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallId(pub Uuid);

impl CallId {
    /// When the call came: its id (UUID version 7) tells. `None` for an id of another kind.
    pub fn made_at(self) -> Option<Timestamp> {
        let (seconds, nanoseconds) = self.0.get_timestamp()?.to_unix();
        Timestamp::new(i64::try_from(seconds).ok()?, i32::try_from(nanoseconds).ok()?).ok()
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The n-th offer of a call, from 1: tells a late answer to an old offer from the current one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OfferNo(pub u32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customer_code_keeps_its_leading_zeros() {
        assert_eq!(CustomerCode::parse("0071").unwrap().as_str(), "0071");
    }

    #[test]
    fn a_customer_code_of_seventeen_digits_letters_or_nothing_is_refused() {
        for text in ["", "12345678901234567", "12a4", "12*", " 1"] {
            assert!(CustomerCode::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_extension_with_a_quote_or_a_slash_is_refused() {
        for text in ["", "10'00", "1000/x", "1000 ", "é"] {
            assert!(Extension::parse(text).is_err(), "{text:?}");
        }
    }
}
