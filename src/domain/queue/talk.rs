//! The part of a queue's policy that is about the talk of a caller and a member.

/// What belongs to a talk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TalkPolicy {
    /// Sound that a member hears after the answer and before the caller; empty: none.
    pub member_greeting: String,
    /// Whether talks of callers who enter from now on are recorded.
    pub recording: bool,
    /// Sound that tells callers so on entering; empty: they are told otherwise.
    pub recording_prompt: String,
}

impl TalkPolicy {
    /// What tells callers that they are recorded; `None`: nothing, or they are not.
    pub fn says_recorded(&self) -> Option<&str> {
        (self.recording && !self.recording_prompt.is_empty()).then_some(self.recording_prompt.as_str())
    }
}
