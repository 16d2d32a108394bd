//! Which bytes pass.

use std::fmt;

/// What stands in the place of a stanza that was left out.
const NOTHING: &[u8] = b"<message/>";
/// As much of a stanza's name and sender as anybody needs to see.
const NAME: usize = 32;
const SENDER: usize = 256;

/// What a stanza may be. Each bound is far above what servers and clients send, and below what the parser stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Elements within one another, the stanza included.
    pub depth: usize,
    /// Bytes of a name or of an attribute's value, as they stand in the stream.
    pub token: usize,
    /// Attributes of one element.
    pub attributes: usize,
    /// Bytes of the whole stanza.
    pub stanza: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 64, token: 4096, attributes: 128, stanza: 1024 * 1024 }
    }
}

/// Which bound a stanza went over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Elements within one another.
    Depth,
    /// A name or a value.
    Token,
    /// Attributes of one element.
    Attributes,
    /// The whole.
    Size,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Depth => "its elements are nested too deep",
            Self::Token => "a name or an attribute in it is too long",
            Self::Attributes => "an element in it has too many attributes",
            Self::Size => "it is too large",
        })
    }
}

/// A stanza that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Its name, such as `message`, cut if it is long.
    pub name: String,
    /// Its attribute `from`, as it stands in the stream, cut if it is long.
    pub from: String,
    /// What is wrong with it.
    pub why: Why,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Text,
    /// After `<`.
    Open,
    /// After `<!`, with so many bytes of `[CDATA[` seen.
    Bang(usize),
    /// In a CDATA section, with so many `]` seen.
    Cdata(usize),
    /// In `<? … ?>`; whether the last byte was `?`.
    Instruction {
        ends: bool,
    },
    /// In a start tag's name.
    Name,
    /// In a start tag; whether the last byte was `/`.
    Tag {
        empty: bool,
    },
    /// In an attribute's name.
    Attribute,
    /// In an attribute's value, up to this quote.
    Value(u8),
    /// In an end tag.
    End,
}

/// Takes what goes over a bound out of a stream of stanzas.
#[derive(Debug)]
pub struct Sieve {
    limits: Limits,
    state: State,
    /// Open elements, the stream itself included.
    depth: usize,
    token: usize,
    attributes: usize,
    /// The stanza so far. It is passed on when it is whole.
    held: Vec<u8>,
    is_held: bool,
    wrong: Option<Why>,
    name: Vec<u8>,
    attribute: Vec<u8>,
    from: Vec<u8>,
}

impl Default for Sieve {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Sieve {
    /// Before a new stream.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Text,
            depth: 0,
            token: 0,
            attributes: 0,
            held: Vec::new(),
            is_held: false,
            wrong: None,
            name: Vec::new(),
            attribute: Vec::new(),
            from: Vec::new(),
        }
    }

    /// Takes bytes from the server, in pieces of whatever size; appends those that pass to `out`, and yields what was left out.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Vec<LeftOut> {
        let mut left_out = Vec::new();
        for byte in bytes {
            self.take(*byte, out, &mut left_out);
        }
        left_out
    }

    fn take(&mut self, byte: u8, out: &mut Vec<u8>, left_out: &mut Vec<LeftOut>) {
        if self.state == State::Text && byte == b'<' && self.depth == 1 {
            self.is_held = true;
        }
        match (self.is_held, self.wrong) {
            (false, _) => out.push(byte),
            (true, None) => {
                self.held.push(byte);
                if self.held.len() > self.limits.stanza {
                    self.is_wrong(Why::Size);
                }
            }
            (true, Some(_)) => {}
        }
        self.state = self.next(byte);
        // Between two stanzas again.
        if self.is_held && self.state == State::Text && self.depth <= 1 {
            self.release(out, left_out);
        }
    }

    /// Passes the stanza on, or puts nothing in its place.
    fn release(&mut self, out: &mut Vec<u8>, left_out: &mut Vec<LeftOut>) {
        self.is_held = false;
        match self.wrong.take() {
            None => out.append(&mut self.held),
            Some(why) => {
                if matches!(self.name.as_slice(), b"message" | b"presence" | b"iq") {
                    out.extend_from_slice(NOTHING);
                }
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                left_out.push(LeftOut { name: text(&self.name), from: text(&self.from), why });
            }
        }
        self.held.clear();
        self.from.clear();
    }

    fn is_wrong(&mut self, why: Why) {
        // The stream's own header is the server's; without it there is no stream at all.
        if self.is_held {
            self.wrong = self.wrong.or(Some(why));
            self.held = Vec::new();
        }
    }

    fn count(&mut self) {
        self.token += 1;
        if self.token > self.limits.token {
            self.is_wrong(Why::Token);
        }
    }

    fn next(&mut self, byte: u8) -> State {
        match (self.state, byte) {
            (State::Text, b'<') => State::Open,
            (State::Text, _) => State::Text,
            (State::Open, b'?') => State::Instruction { ends: false },
            (State::Open, b'!') => State::Bang(0),
            (State::Open, b'/') => State::End,
            (State::Open, _) => self.begin(byte),
            (State::Bang(seen), _) => match b"[CDATA[".get(seen) {
                Some(expected) if *expected == byte && seen == 6 => State::Cdata(0),
                Some(expected) if *expected == byte => State::Bang(seen + 1),
                // Servers do not send it; the parser refuses it.
                _ => State::Text,
            },
            (State::Cdata(2..), b'>') => State::Text,
            (State::Cdata(seen), b']') => State::Cdata(seen + 1),
            (State::Cdata(_), _) => State::Cdata(0),
            (State::Instruction { ends: true }, b'>') => {
                // Only a new stream begins with one.
                self.depth = 0;
                State::Text
            }
            (State::Instruction { .. }, _) => State::Instruction { ends: byte == b'?' },
            (State::Name, b'>') => self.opened(),
            (State::Name, b'/') => State::Tag { empty: true },
            (State::Name, _) if byte.is_ascii_whitespace() => State::Tag { empty: false },
            (State::Name, _) => {
                self.count();
                if self.depth <= 1 && self.name.len() < NAME {
                    self.name.push(byte);
                }
                State::Name
            }
            (State::Tag { empty: false }, b'>') => self.opened(),
            (State::Tag { empty: true }, b'>') => State::Text,
            (State::Tag { .. }, b'/') => State::Tag { empty: true },
            (State::Tag { .. }, b'"' | b'\'') => {
                self.token = 0;
                self.attributes += 1;
                if self.attributes > self.limits.attributes {
                    self.is_wrong(Why::Attributes);
                }
                State::Value(byte)
            }
            (State::Tag { .. }, _) if byte.is_ascii_whitespace() || byte == b'=' => State::Tag { empty: false },
            (State::Tag { .. }, _) => {
                self.token = 1;
                self.attribute.clear();
                self.attribute.push(byte);
                State::Attribute
            }
            (State::Attribute, b'=') => State::Tag { empty: false },
            (State::Attribute, _) if byte.is_ascii_whitespace() => State::Tag { empty: false },
            (State::Attribute, _) => {
                self.count();
                if self.attribute.len() < NAME {
                    self.attribute.push(byte);
                }
                State::Attribute
            }
            (State::Value(quote), _) if byte == quote => State::Tag { empty: false },
            (State::Value(quote), _) => {
                self.count();
                if self.depth <= 1 && self.attribute == b"from" && self.from.len() < SENDER {
                    self.from.push(byte);
                }
                State::Value(quote)
            }
            (State::End, b'>') => {
                self.depth = self.depth.saturating_sub(1);
                State::Text
            }
            (State::End, _) => State::End,
        }
    }

    /// A start tag begins.
    fn begin(&mut self, byte: u8) -> State {
        (self.token, self.attributes) = (1, 0);
        if self.depth <= 1 {
            self.name.clear();
            self.name.push(byte);
        }
        if self.depth > self.limits.depth {
            self.is_wrong(Why::Depth);
        }
        State::Name
    }

    /// A start tag is over, and its element is open.
    fn opened(&mut self) -> State {
        // After the log-in the server begins anew in the middle of the first stream.
        let is_header = self.depth <= 1 && self.name.ends_with(b":stream");
        self.depth = if is_header { 1 } else { self.depth + 1 };
        State::Text
    }
}
