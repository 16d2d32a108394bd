//! What a single value must be. Each error says what is wrong and what is expected; the caller names file and key.

use std::{fmt, net::SocketAddr, path::Path, time::Duration};

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// Reads a duration with its unit: `"500ms"`, `"15s"`, `"1m 30s"`.
pub(super) fn duration<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    struct Text;
    impl serde::de::Visitor<'_> for Text {
        type Value = Duration;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a duration with a unit, such as \"3s\"")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Duration, E> {
            parse_duration(text).map_err(E::custom)
        }
    }
    from.deserialize_str(Text)
}

/// Parses a duration with its unit.
///
/// # Errors
/// When there is no unit, or it is negative.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("{text:?} is not a duration: expected a number with a unit, such as \"500ms\", \"15s\" or \"2m\"");
    let signed: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    Duration::try_from(signed).map_err(|_| wrong())
}

/// Reads where to listen: an address of this machine and a port.
pub(super) fn socket_address<'de, D: serde::Deserializer<'de>>(from: D) -> Result<SocketAddr, D::Error> {
    struct Text;
    impl serde::de::Visitor<'_> for Text {
        type Value = SocketAddr;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("HOST:PORT, the host by its address, such as \"127.0.0.1:4573\" or \"[::1]:4573\"")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<SocketAddr, E> {
            text.parse().map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self))
        }
    }
    from.deserialize_str(Text)
}

/// Reads a feature code: up to four keys of a phone.
pub(super) fn feature_code<'de, D: serde::Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = <String as serde::Deserialize>::deserialize(from)?;
    if text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit() || b"*#".contains(&b)) {
        return Ok(text);
    }
    Err(serde::de::Error::custom(format!("{text:?} is not a feature code: expected up to 4 of 0-9 * #, or nothing")))
}

/// A name of something, which cannot be left empty.
pub(super) fn filled(text: &str) -> Result<(), String> {
    if text.trim().is_empty() || text.chars().any(char::is_control) {
        return Err(format!(
            "{text:?} is no name: expected a text without control characters; without the key its default counts"
        ));
    }
    Ok(())
}

/// A path that can be meant.
pub(super) fn a_file(path: &Path) -> Result<(), String> {
    let text = path.to_string_lossy();
    if text.trim().is_empty() || text.chars().any(char::is_control) {
        return Err(format!("{text:?} is no path: expected one without control characters, or no such key"));
    }
    Ok(())
}

/// A path as it can be shown on a terminal: it may hold characters that move the cursor.
pub fn shown(path: &Path) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    path.to_string_lossy().chars().map(escaped).collect()
}

/// A text that may name a value of any length, without its middle: what was expected stands at its end.
pub(super) fn short(text: &str) -> String {
    const LONGEST: usize = 600;
    let count = text.chars().count();
    if count <= LONGEST {
        return text.to_owned();
    }
    let (head, tail) = (text.chars().take(LONGEST / 2), text.chars().skip(count - LONGEST / 2));
    head.chain(" … ".chars()).chain(tail).collect()
}

pub(super) fn within<T: PartialOrd + fmt::Display>(value: T, least: T, most: T) -> Result<(), String> {
    if value < least || value > most {
        return Err(format!("{value} is out of range: expected {least} to {most}"));
    }
    Ok(())
}

pub(super) fn spans(value: Duration, least: &str, most: &str) -> Result<(), String> {
    let bound = |text: &str| parse_duration(text).unwrap_or_default();
    if value < bound(least) || value > bound(most) {
        return Err(format!("{value:?} is out of range: expected {least} to {most}"));
    }
    Ok(())
}

/// `agi.deadline` against `database.timeout`.
pub(super) fn outlasts(deadline: Duration, answer: Duration) -> Result<(), String> {
    if deadline > answer {
        return Ok(());
    }
    Err(format!(
        "{deadline:?} is not longer than database.timeout, {answer:?}: a request would be given up before the database has \
         answered; expected more than {answer:?} here, or a shorter database.timeout"
    ))
}

pub(super) fn bare_jid(text: &str, with_node: bool) -> Result<(), String> {
    let example = if with_node { "usher@example.org" } else { "pubsub.example.org" };
    match text.parse::<xmpp_parsers::jid::BareJid>() {
        Ok(jid) if jid.node().is_some() == with_node => Ok(()),
        Ok(_) | Err(_) => Err(format!("{text:?} is not such an address: expected the form {example}")),
    }
}

/// The component's domain, which is nobody else's.
pub(super) fn own_domain(text: &str, account: &str, pubsub: &str) -> Result<(), String> {
    bare_jid(text, false).map_err(|problem| problem.replace("pubsub.example.org", "usher.example.org"))?;
    let account = account.rsplit_once('@').map_or(account, |(_, domain)| domain);
    if [account, pubsub].into_iter().any(|other| other.eq_ignore_ascii_case(text)) {
        return Err(format!(
            "{text:?} is the domain of the account or of the pubsub service: expected one of its own, such as usher.example.org"
        ));
    }
    Ok(())
}

/// What is to be connected to; the host may be a name.
pub(super) fn host_port(text: &str) -> Result<(), String> {
    let is_host =
        |host: &str| !host.is_empty() && (!host.contains(':') || (host.starts_with('[') && host.ends_with(']')));
    let odd = |c: char| c.is_whitespace() || c.is_control();
    match text.rsplit_once(':') {
        Some((host, port))
            if is_host(host) && !host.contains(odd) && port.parse::<u16>().is_ok_and(|port| port > 0) =>
        {
            Ok(())
        }
        Some(_) | None => {
            Err(format!("{text:?} is not such an address: expected HOST:PORT, such as \"127.0.0.1:5222\""))
        }
    }
}

/// Where something is to be listened on: others must be able to name it, so "any free port" will not do.
pub(super) fn listen(address: SocketAddr) -> Result<(), String> {
    if address.port() == 0 {
        return Err(format!("{address} has no port: expected ADDRESS:PORT with a port from 1 to 65535"));
    }
    Ok(())
}

/// Two addresses that are to be listened on.
pub(super) fn apart(one: SocketAddr, other: SocketAddr) -> Result<(), String> {
    let all = one.ip().is_unspecified() || other.ip().is_unspecified();
    if one.port() == other.port() && (all || one.ip().to_canonical() == other.ip().to_canonical()) {
        return Err(format!("{one} is the address of agi.listen, {other}, as well: expected another port"));
    }
    Ok(())
}

/// A name that stands in URLs and in the dialplan.
pub(super) fn plain(text: &str) -> Result<(), String> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
        return Err(format!("{text:?} is not a name: expected letters, digits, '-' or '_'"));
    }
    Ok(())
}

/// What stands in XML: there is no way to write control characters there, and the server would end the connection.
pub(super) fn printable(text: &str) -> Result<(), String> {
    match text.chars().find(|c| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}')) {
        Some(_) => Err(format!("{text:?} holds a control character: expected a text without any")),
        None => Ok(()),
    }
}

/// Base of an HTTP server, without a slash at its end.
pub(super) fn http_base(text: &str) -> Result<String, String> {
    let wrong = |why: String| {
        format!(
            "{text:?} {why}: expected http://HOST:PORT or https://HOST:PORT, and the prefix of http.conf if it has one"
        )
    };
    let Some(rest) = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")) else {
        return Err(wrong("is not a URL".into()));
    };
    // Parsers of URLs skip superfluous slashes and take the first part of the path for the host.
    if rest.is_empty() || rest.starts_with(['/', '?', '#', ':']) {
        return Err(wrong("names no host".into()));
    }
    let url = reqwest::Url::parse(text).map_err(|error| wrong(format!("is not a URL ({error})")))?;
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(wrong("contains a blank".into()));
    }
    if url.port() == Some(0) {
        return Err(wrong("has port 0".into()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a user or a password does not belong here: see asterisk.user and asterisk.password_file".into());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("has a '?' or '#'".into()));
    }
    Ok(text.trim_end_matches('/').into())
}

/// What to log.
pub(super) fn log_filter(text: &str) -> Result<(), String> {
    let wrong = |why: String| {
        format!(
            "{text:?} is not a filter{why}: expected error, warn, info, debug, trace or off, also by module as in \
             \"info,usher::floor=debug\""
        )
    };
    if text.trim().is_empty() {
        return Err(wrong(String::new()));
    }
    text.parse::<EnvFilter>().map_err(|error| wrong(format!(" ({error})")))?;
    if text.contains("tokio_xmpp") || text.contains("xmpp_parsers") {
        return Err(wrong(" (of other people's code nothing below info is shown: it would show passwords)".into()));
    }
    // The library takes a word that is no level for a module, and then logs nothing of the others.
    let words = text.split(',').map(str::trim).filter(|part| !part.contains(['=', '[']));
    match words.into_iter().find(|word| word.parse::<LevelFilter>().is_err()) {
        Some(word) => Err(wrong(format!(" ({word:?} is not a level)"))),
        None => Ok(()),
    }
}
