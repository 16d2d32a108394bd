//! What a request came to when it did not succeed, sorted by what the asker can do about it.

/// Why a request did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The channel, bridge or playback is not there (404, or 409/422 where Asterisk says so): a normal outcome.
    #[error("gone: {0}")]
    Gone(String),
    /// Something of that id is there already (409): an earlier try worked.
    #[error("conflict: {0}")]
    Conflict(String),
    /// Asterisk will not do it (any other 4xx or 5xx).
    #[error("refused with status {status}: {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Asterisk's words.
        message: String,
    },
    /// It was not sent: the link is down. Nothing has happened.
    #[error("not sent: the link is down")]
    NotSent,
    /// It was sent and no answer came: it may have been executed.
    #[error("outcome unknown: no answer in time")]
    OutcomeUnknown,
}

impl Error {
    /// Sorts a status of Asterisk. 412 is what it says of a channel that is not in the application any more.
    pub(super) fn from_status(status: u16, message: String) -> Self {
        match status {
            404 | 410 | 412 => Self::Gone(message),
            409 => Self::Conflict(message),
            _ => Self::Refused { status, message },
        }
    }

    /// Whether the same request may do better later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::NotSent | Self::OutcomeUnknown => true,
            Self::Gone(_) | Self::Conflict(_) | Self::Refused { .. } => false,
        }
    }
}
