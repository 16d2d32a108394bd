//! A sieve between an XMPP server and the client's XML parser.
//!
//! Anybody who may write to an account may send it any well-formed stanza. One that nests its elements some hundred times deep
//! overflows the stack of whoever makes a tree of it, and one with a name or an attribute of more than 8 kB is refused by the
//! parser (rxml), which breaks the stream; after that the server sends it again, with every resumption (XEP-0198). So
//! such a stanza is taken out of the stream before the parser sees it, and a message that says nothing is put in its place, because both
//! sides count stanzas.
//!
//! [`Sieve`] is the machine, over bytes; [`Sieved`] puts it before a connection. It relies on the server for everything else, such as that the
//! stream is well-formed and has no comments and no document type (RFC 6120, 11.1).

mod io;
mod machine;

pub use crate::{
    io::Sieved,
    machine::{LeftOut, Limits, Sieve, Why},
};
