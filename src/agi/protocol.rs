//! The FastAGI wire format, pure: bytes to lines, lines to a request or an answer, variables to commands.
//!
//! A result stays text: `0071` is not 71, and an empty one is not 0. Bytes that are not UTF-8 are replaced, not refused.

use std::collections::HashMap;

use super::Request;
use crate::domain::id::ChannelId;

/// The longest line taken, in bytes. Asterisk's own buffer has 2,048.
pub const LINE_MOST: usize = 2048;
/// Header lines at most: Asterisk writes about 22, and 128 arguments at most.
pub const HEADERS_MOST: usize = 192;
/// Arguments at most, as in Asterisk.
pub const ARGUMENTS_MOST: usize = 128;
/// The longest value written, escapes included: the command must fit into Asterisk's 2,048 bytes.
const VALUE_MOST: usize = 1800;

/// What a caller's own lines in a request mean, and what there is to do.
pub(super) const SMUGGLED: &str = "the caller's number or name holds line ends, and what it says is not taken for \
    Asterisk's words; have the dialplan take such a number for a withheld one before AGI(), as the context usher-caller of the \
    shipped extensions.conf does";

/// Why a peer is not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// No line end in sight.
    #[error("a line is longer than {LINE_MOST} bytes; only Asterisk should connect here")]
    LineTooLong,
    /// The headers do not end.
    #[error("more than {HEADERS_MOST} header lines; only Asterisk should connect here")]
    TooManyHeaders,
    /// A header line without a colon, or one that is not AGI's.
    #[error("a header is not of the form \"agi_name: value\"; only Asterisk should connect here")]
    NotAHeader,
    /// The headers ended without `agi_network_script`.
    #[error("the headers name no script; call AGI(agi://HOST:PORT/PATH)")]
    NoScript,
    /// Asterisk sends each header once; another one was in what a caller shows.
    #[error("a header comes twice: {SMUGGLED}")]
    Twice,
}

/// Cuts a stream of bytes into lines, however it arrives.
#[derive(Debug, Default)]
pub struct Lines {
    bytes: Vec<u8>,
    seen: usize,
}

impl Lines {
    /// Takes what arrived. Call [`Lines::next_line`] until it has no more before the next.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole line without its end (`\n` or `\r\n`).
    ///
    /// # Errors
    /// When the line is longer than [`LINE_MOST`].
    pub fn next_line(&mut self) -> Result<Option<String>, Malformed> {
        let rest = self.bytes.get(self.seen..).unwrap_or_default();
        let Some(end) = rest.iter().position(|&byte| byte == b'\n').map(|at| at + self.seen) else {
            self.seen = self.bytes.len();
            return if self.seen > LINE_MOST { Err(Malformed::LineTooLong) } else { Ok(None) };
        };
        if end > LINE_MOST {
            return Err(Malformed::LineTooLong);
        }
        let line: Vec<u8> = self.bytes.drain(..=end).take(end).collect();
        self.seen = 0;
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        Ok(Some(String::from_utf8_lossy(line).into_owned()))
    }
}

/// Reads the headers that open a connection.
#[derive(Debug, Default)]
pub struct Prelude {
    headers: HashMap<String, String>,
    lines: usize,
}

impl Prelude {
    /// Takes one line. The empty one ends the headers and gives the request.
    ///
    /// # Errors
    /// See [`Malformed`].
    pub fn line(&mut self, line: &str) -> Result<Option<Request>, Malformed> {
        if line.is_empty() {
            return self.request().map(Some);
        }
        self.lines += 1;
        if self.lines > HEADERS_MOST {
            return Err(Malformed::TooManyHeaders);
        }
        let (name, value) = line.split_once(':').ok_or(Malformed::NotAHeader)?;
        let name = name.strip_prefix("agi_").ok_or(Malformed::NotAHeader)?;
        // A line end in a caller's number makes lines of the caller's own; only one of the two is Asterisk's, and which is not known.
        match self.headers.insert(name.into(), value.strip_prefix(' ').unwrap_or(value).into()) {
            None => Ok(None),
            Some(_) => Err(Malformed::Twice),
        }
    }

    fn request(&mut self) -> Result<Request, Malformed> {
        let script = self.headers.remove("network_script").ok_or(Malformed::NoScript)?;
        let mut take = |name: &str| self.headers.remove(name).unwrap_or_default();
        let caller_number = Some(take("callerid")).filter(|number| !number.is_empty() && number != "unknown");
        let (channel, unique_id) = (take("channel"), ChannelId::new(take("uniqueid")));
        let count = (1..=ARGUMENTS_MOST).rev().find(|n| self.headers.contains_key(&format!("arg_{n}"))).unwrap_or(0);
        let args = (1..=count).map(|n| self.headers.remove(&format!("arg_{n}")).unwrap_or_default()).collect();
        Ok(Request { path: format!("/{}", script.trim_start_matches('/')), args, caller_number, channel, unique_id })
    }
}

/// What Asterisk says after a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// `200 result=…`: done. The result as it stands, and what follows it.
    Done {
        /// Between `result=` and the next space; often empty, sometimes digits with leading zeros.
        result: String,
        /// The rest: `(timeout)`, `endpos=…`.
        rest: String,
    },
    /// The channel has hung up: 511, or `HANGUP` on a line of its own.
    HungUp,
    /// Any other answer: 510 unknown command, 520 wrong use, or nothing of AGI's.
    Refused(String),
}

/// Reads answers line by line; 520 may span several.
#[derive(Debug, Default)]
pub struct Answers {
    usage: Option<String>,
}

impl Answers {
    /// Takes one line; gives an answer when it is whole.
    pub fn line(&mut self, line: &str) -> Option<Answer> {
        if line == "HANGUP" {
            return Some(Answer::HungUp);
        }
        if let Some(first) = self.usage.take() {
            if line.starts_with("520 ") {
                return Some(Answer::Refused(first));
            }
            self.usage = Some(first);
            return None;
        }
        let (code, text) = (line.get(..3).unwrap_or_default(), line.get(3..).unwrap_or_default());
        match (code, text.strip_prefix(" result=")) {
            ("200", Some(text)) => {
                let (result, rest) = text.split_once(' ').unwrap_or((text, ""));
                Some(Answer::Done { result: result.into(), rest: rest.into() })
            }
            ("511", _) => Some(Answer::HungUp),
            ("520", _) if text.starts_with('-') => {
                self.usage = Some(line.into());
                None
            }
            _ => Some(Answer::Refused(line.into())),
        }
    }
}

/// The question to which only Asterisk knows the answer, and the answer, both without line ends: `proof`, a text of letters and
/// digits that nobody could know beforehand, back as it is.
///
/// Whatever comes between the headers and this answer was sent before the question was known, so that it is not Asterisk's: an
/// empty line in a caller's number ends the headers too early, and what follows would be taken for arguments and answers.
pub fn prove(proof: &str) -> (String, String) {
    (format!("GET FULL VARIABLE {proof}"), format!("200 result=1 ({proof})"))
}

/// The command that sets a channel variable, with its line end.
///
/// A value is quoted as Asterisk unquotes it; control characters, which no quoting carries, are left out; what is too
/// long for Asterisk's buffer is cut between two characters.
pub fn set_variable(name: &str, value: &str) -> String {
    let mut command = format!("SET VARIABLE {name} \"");
    let most = command.len() + VALUE_MOST;
    for letter in value.chars().filter(|letter| !letter.is_control()) {
        let escaped = matches!(letter, '"' | '\\');
        if command.len() + letter.len_utf8() + usize::from(escaped) > most {
            break;
        }
        if escaped {
            command.push('\\');
        }
        command.push(letter);
    }
    command.push_str("\"\n");
    command
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PRELUDE: &str = "agi_network: yes\nagi_network_script: customer\nagi_request: agi://127.0.0.1:4573/customer\n\
        agi_channel: PJSIP/2000-00000001\nagi_uniqueid: 1795233600.1\nagi_callerid: 2000\nagi_calleridname: a: b\n\
        agi_arg_1: 0071\nagi_arg_2: support\n\n";

    fn lines(chunks: &[&[u8]]) -> Result<Vec<String>, Malformed> {
        let (mut lines, mut out) = (Lines::default(), Vec::new());
        for chunk in chunks {
            lines.push(chunk);
            while let Some(line) = lines.next_line()? {
                out.push(line);
            }
        }
        Ok(out)
    }

    fn prelude(text: &str) -> Result<Option<Request>, Malformed> {
        let mut prelude = Prelude::default();
        for line in lines(&[text.as_bytes()])? {
            if let Some(request) = prelude.line(&line)? {
                return Ok(Some(request));
            }
        }
        Ok(None)
    }

    /// How Asterisk takes a quoted argument apart: a backslash frees the next character, a quote ends it.
    fn unquote(command: &str) -> String {
        let (_, quoted) = command.split_once('"').unwrap();
        let (mut value, mut letters) = (String::new(), quoted.chars());
        loop {
            match letters.next().unwrap() {
                '\\' => value.push(letters.next().unwrap()),
                '"' => break,
                letter => value.push(letter),
            }
        }
        assert_eq!(letters.as_str(), "\n");
        value
    }

    #[test]
    fn a_request_has_its_path_its_arguments_with_leading_zeros_and_its_caller() {
        let request = prelude(PRELUDE).unwrap().unwrap();
        assert_eq!(request.path, "/customer");
        assert_eq!(request.args, ["0071", "support"]);
        assert_eq!(request.caller_number.as_deref(), Some("2000"));
        assert_eq!((request.channel.as_str(), request.unique_id.as_str()), ("PJSIP/2000-00000001", "1795233600.1"));
    }

    #[test]
    fn a_caller_without_a_number_is_none_and_not_the_text_unknown() {
        let request = prelude("agi_network_script: x\nagi_callerid: unknown\n\n").unwrap().unwrap();
        assert_eq!((request.caller_number, request.args.len()), (None, 0));
    }

    #[test]
    fn an_argument_that_is_missing_in_between_is_empty() {
        let request = prelude("agi_network_script: x\nagi_arg_3: c\nagi_arg_1: a\n\n").unwrap().unwrap();
        assert_eq!(request.args, ["a", "", "c"]);
        assert_eq!((request.arg(0), request.arg(1), request.arg(9)), ("a", "", ""));
    }

    #[test]
    fn headers_without_end_without_script_or_of_another_protocol_are_refused() {
        let many: String = (0..=HEADERS_MOST).map(|n| format!("agi_{n}: b\n")).collect();
        assert_eq!(prelude(&many), Err(Malformed::TooManyHeaders));
        assert_eq!(prelude("agi_channel: x\n\n"), Err(Malformed::NoScript));
        assert_eq!(prelude("GET / HTTP/1.1\n"), Err(Malformed::NotAHeader));
        assert_eq!(prelude("Host: example.org\n"), Err(Malformed::NotAHeader));
    }

    #[test]
    fn a_header_that_comes_twice_is_refused_whichever_comes_first() {
        let smuggled = PRELUDE.replace("agi_callerid: 2000\n", "agi_callerid: 2000\nagi_arg_1: 1111\n");
        assert_eq!(prelude(&smuggled), Err(Malformed::Twice));
        assert_eq!(prelude("agi_network_script: x\nagi_network_script: log-on\n\n"), Err(Malformed::Twice));
    }

    #[test]
    fn a_line_without_end_is_refused_before_it_fills_the_memory() {
        assert_eq!(lines(&[&[b'a'; LINE_MOST]]), Ok(vec![]));
        assert_eq!(lines(&[&[b'a'; LINE_MOST + 1]]), Err(Malformed::LineTooLong));
        assert_eq!(lines(&[&[b'a'; LINE_MOST], b"a\n"]), Err(Malformed::LineTooLong));
    }

    #[test]
    fn a_result_keeps_its_leading_zeros_and_an_empty_one_stays_empty() {
        let done = |result: &str, rest: &str| Some(Answer::Done { result: result.into(), rest: rest.into() });
        let cases = [
            ("200 result=0071", done("0071", "")),
            ("200 result=12345678901", done("12345678901", "")),
            ("200 result= (timeout)", done("", "(timeout)")),
            ("200 result=12*", done("12*", "")),
            ("200 result=1 (a b) endpos=160", done("1", "(a b) endpos=160")),
            ("HANGUP", Some(Answer::HungUp)),
            ("511 Command Not Permitted on a dead channel", Some(Answer::HungUp)),
            ("510 Invalid or unknown command", Some(Answer::Refused("510 Invalid or unknown command".into()))),
            ("é", Some(Answer::Refused("é".into()))),
            ("", Some(Answer::Refused(String::new()))),
        ];
        for (line, expected) in cases {
            assert_eq!(Answers::default().line(line), expected, "{line:?}");
        }
    }

    #[test]
    fn an_answer_of_several_lines_is_one_answer() {
        let mut answers = Answers::default();
        assert_eq!(answers.line("520-Invalid command syntax.  Proper usage follows:"), None);
        assert_eq!(answers.line("200 result=9 is part of the usage"), None);
        assert!(matches!(answers.line("520 End of proper usage."), Some(Answer::Refused(_))));
        assert!(matches!(answers.line("200 result=1"), Some(Answer::Done { .. })));
    }

    #[test]
    fn a_name_with_quotes_backslashes_and_line_ends_stays_one_command() {
        let command = set_variable("CUSTOMER_NAME", "A \"B\" \\ C,\r\n<D> & é");
        assert_eq!(command, "SET VARIABLE CUSTOMER_NAME \"A \\\"B\\\" \\\\ C,<D> & é\"\n");
    }

    proptest! {
        #[test]
        fn any_value_arrives_without_its_control_characters_or_cut(value in "\\PC{0,3000}") {
            let command = set_variable("NAME", &value);
            prop_assert!(command.len() < LINE_MOST);
            let arrived = unquote(&command);
            prop_assert!(value.starts_with(&arrived));
            prop_assert!(arrived == value || command.len() > VALUE_MOST);
        }

        #[test]
        fn control_characters_never_split_a_command(value in any::<String>()) {
            let command = set_variable("NAME", &value);
            prop_assert_eq!(command.chars().filter(|letter| letter.is_control()).count(), 1);
            prop_assert!(command.ends_with("\"\n"));
        }

        #[test]
        fn lines_are_the_same_however_the_bytes_arrive(bytes in prop::collection::vec(
            prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..600), cuts in prop::collection::vec(1usize..50, 1..20))
        {
            let whole = lines(&[&bytes]);
            let (mut chunks, mut rest) = (Vec::new(), bytes.as_slice());
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (chunk, after) = rest.split_at((*cut).min(rest.len()));
                chunks.push(chunk);
                rest = after;
            }
            prop_assert_eq!(whole, lines(&chunks));
        }

        #[test]
        fn no_line_makes_a_parser_panic(texts in prop::collection::vec("(agi_|520|200 result=)?\\PC{0,20}", 0..30)) {
            let (mut prelude, mut answers) = (Prelude::default(), Answers::default());
            for text in &texts {
                let _ = (prelude.line(text), answers.line(text));
            }
        }
    }
}
