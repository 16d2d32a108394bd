//! What members want, or do not want, by their own word.

use crate::domain::{
    id::{CallId, CustomerCode, Extension},
    queue::transfer::TransferFailure,
};

/// Which caller somebody means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// Whoever is the first in line.
    First,
    /// This customer.
    Customer(CustomerCode),
}

/// A call that somebody can have, or leave to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Which.
    pub call: CallId,
    /// Code of the customer.
    pub code: CustomerCode,
    /// Name of the customer.
    pub name: String,
}

/// Why nobody is given to who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoClaim {
    /// They are logged on to no queue.
    NotLoggedOn,
    /// In their queues nobody waits, or not who was meant.
    NobodyWaits,
    /// Somebody else was first.
    Taken {
        /// Who.
        by: Extension,
    },
    /// They have that call, or its phone rings.
    Yours,
    /// They have another call.
    Busy,
    /// They are paused in that queue.
    Paused,
    /// They wrap up.
    WrapUp,
    /// Their phone is in use.
    PhoneInUse,
    /// Their phone cannot be reached.
    PhoneUnavailable,
    /// The callers who wait are not for them: their penalty, or the caller cannot be reached now.
    NotForYou,
}

/// Why nobody is called back for who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoCallBack {
    /// Their number was withheld, or is none that can be called.
    NoNumber,
    /// They are on the floor again, with this one or offered to them; `None`: nobody yet.
    There(Option<Extension>),
    /// Their Asterisk is away.
    ServerAway,
    /// Who asks can have no call now.
    NotNow(NoClaim),
}

/// Why nobody is sent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoTransfer {
    /// They talk with no caller.
    NotTalking,
    /// To themselves.
    Yourself,
    /// It would come to nothing: they keep the caller.
    Failed(TransferFailure),
}

/// Why nothing is declined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoDecline {
    /// Nothing is offered to them, or not who was meant.
    NothingOffered,
    /// They have answered it.
    Answered,
}
