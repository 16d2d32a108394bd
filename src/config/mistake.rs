//! What is wrong with a file that is no configuration, in words that show nothing of what stands there but keys.

use serde::Deserialize;

use super::Config;

/// What each key is to be, for a value of another kind. A test compares the keys with those of the example.
const EXPECTED: &[(&str, &str)] = &[
    ("service.log", "a filter such as \"info\" or \"info,usher::floor=debug\""),
    ("service.log_format", "\"text\" or \"json\""),
    ("service.health_listen", HOST_PORT),
    ("service.stop_within", DURATION),
    ("service.state", "a folder, such as \"/var/lib/usher\""),
    ("service.language", "\"en\", \"es\" or \"pt_BR\""),
    ("database.host", "a host name, an address, or the folder of the UNIX socket, such as \"/run/postgresql\""),
    ("database.port", "a number from 1 to 65535"),
    ("database.name", "a database's name, such as \"usher\""),
    ("database.user", "a role's name, such as \"usher\""),
    ("database.password_file", "a file's name, such as \"database.password\""),
    ("database.tls", "\"disable\" or \"require\""),
    ("database.ca_file", "a file's name, such as \"database-ca.pem\""),
    ("database.pool_size", "a number from 2 to 64"),
    ("database.timeout", DURATION),
    ("database.outbox", "a number from 100 to 10000000"),
    ("xmpp.jid", "a bare JID, such as \"usher@example.org\""),
    ("xmpp.password_file", "a file's name, such as \"xmpp.password\""),
    ("xmpp.address", "HOST:PORT, such as \"xmpp.example.org:5222\""),
    ("xmpp.tls", "\"starttls\" or \"direct\""),
    ("xmpp.ca_file", "a file's name, such as \"xmpp-ca.pem\""),
    ("xmpp.pubsub", "the JID of a service, such as \"pubsub.example.org\""),
    ("xmpp.node_prefix", "a text, such as \"extension\""),
    ("xmpp.crm", "a list of bare JIDs, such as [\"crm@example.org\"]"),
    ("xmpp.supervisors", "a list of bare JIDs, such as [\"boss@example.org\"]"),
    ("xmpp.rooms", "the JID of a service, such as \"conference.example.org\""),
    ("xmpp.publish_bound", DURATION),
    ("xmpp.corrections", SWITCH),
    ("xmpp.component", "a domain, such as \"usher.example.org\""),
    ("xmpp.component_secret_file", "a file's name, such as \"component.secret\""),
    ("xmpp.component_address", "HOST:PORT, such as \"127.0.0.1:5347\""),
    ("pops.json", SWITCH),
    ("pops.private", SWITCH),
    ("pops.link_secret_file", "a file's name, such as \"link.secret\""),
    ("pops.link_lifetime", DURATION),
    ("agi.listen", HOST_PORT),
    ("agi.announce", "the form agi://HOST:PORT"),
    (
        "agi.allow",
        "a list of single IP addresses, such as [\"127.0.0.1\"]; networks, as in 10.0.0.0/8, and names are not understood",
    ),
    ("agi.deadline", DURATION),
    ("agi.most", "a number from 1 to 100000"),
    ("floor.transfer_code", CODE),
    ("floor.consult_code", CODE),
    ("asterisk.name", "a name of letters, digits, '-' or '_', such as \"pbx\""),
    ("asterisk.url", "http://HOST:PORT, such as \"http://127.0.0.1:8088\""),
    ("asterisk.app", "a name of letters, digits, '-' or '_', such as \"usher\""),
    ("asterisk.user", "a user of ari.conf, such as \"usher\""),
    ("asterisk.password_file", "a file's name, such as \"asterisk.password\""),
    ("asterisk.requests", "\"auto\", \"websocket\" or \"http\""),
    // The tables themselves.
    ("service", "the table [service]"),
    ("database", "the table [database]"),
    ("xmpp", "the table [xmpp]"),
    ("pops", "the table [pops]"),
    ("agi", "the table [agi]"),
    ("floor", "the table [floor]"),
    ("asterisk", "a table [[asterisk]] for each server"),
];

const DURATION: &str = "a duration with a unit, such as \"3s\"";
const HOST_PORT: &str = "HOST:PORT, the host by its address, such as \"127.0.0.1:4573\" or \"[::1]:4573\"";
const SWITCH: &str = "true or false";
const CODE: &str = "up to 4 of 0-9 * #, such as \"##\", or \"\"";

/// Reads the text.
///
/// # Errors
/// Line, key with its table, and what is expected there. The library's own text shows the line itself, with whatever somebody
/// took for the place of a password.
pub(super) fn read(text: &str) -> Result<Config, String> {
    let document = toml::Deserializer::parse(text).map_err(|error| explain(text, "", &error))?;
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(document, &mut track);
    Config::deserialize(tracked).map_err(|error| explain(text, &track.path().to_string(), &error))
}

/// `path` is the key as far as it is known: `asterisk[0].url`.
fn explain(text: &str, path: &str, error: &toml::de::Error) -> String {
    let message = error.message();
    let line =
        error.span().map(|span| 1 + text.get(..span.start.min(text.len())).unwrap_or_default().matches('\n').count());
    let whole = line.and_then(|line| text.lines().nth(line - 1)).unwrap_or_default();
    let at = line.map(|line| format!("line {line}: ")).unwrap_or_default();
    let written = key(whole);
    let secret = [Some(path), written].into_iter().flatten().any(is_secret);

    if let Some(missing) = quoted(message, "missing field") {
        let key = [path, missing].into_iter().filter(|part| !matches!(*part, "" | ".")).collect::<Vec<_>>().join(".");
        return format!("{at}{key} is missing: expected {}", expected(&key).unwrap_or("this key"));
    }
    if let Some(unknown) = quoted(message, "unknown field") {
        let table = path.strip_suffix(unknown).unwrap_or(path).trim_end_matches(['.', '?']);
        let unknown = unknown.escape_debug();
        let key = if table.is_empty() { unknown.to_string() } else { format!("{table}.{unknown}") };
        let there_are = message.split_once("expected ").map_or("", |(_, there_are)| there_are);
        let advice = if secret { SECRETS } else { "" };
        return format!("{at}{key}: no such key: expected {there_are}{advice}");
    }
    if let Some(wanted) = expected(path) {
        let found =
            message.split_once("expected").map_or(message, |(found, _)| found).trim_end_matches([' ', ',', ':']);
        // Of some values the library tells what it wanted, in words of its own.
        let found = match quoted(message, "unknown variant") {
            _ if secret || found.is_empty() || found.starts_with("wanted") => "not a value of this key".into(),
            Some(word) => format!("{word:?} is none of them"),
            None => found.into(),
        };
        let advice = if secret { SECRETS } else { "" };
        return format!("{at}{path}: {found}: expected {wanted}{advice}");
    }
    let key = written.map(|key| format!("{key}: ")).unwrap_or_default();
    if secret {
        let expected = message.find("expected ").and_then(|at| message.get(at..)).unwrap_or("not a value of this key");
        return format!("{at}{key}{expected}{SECRETS}");
    }
    format!("{at}{key}{message}")
}

const SECRETS: &str = "; secrets are never in this file, but in one of their own that password_file names";

/// What stands in backquotes behind these words.
fn quoted<'a>(message: &'a str, words: &str) -> Option<&'a str> {
    Some(message.strip_prefix(words)?.trim_start().strip_prefix('`')?.split_once('`')?.0)
}

/// What is expected at `asterisk[0].url`, or in a list at `agi.allow[1]`.
fn expected(path: &str) -> Option<&'static str> {
    let mut key = String::new();
    for part in path.split('.') {
        let name = part.split('[').next().unwrap_or_default();
        key = if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
    }
    EXPECTED.iter().find(|(known, _)| *known == key).map(|(_, expected)| *expected)
}

/// The key of a line, or its table, if it is written as ours are.
fn key(line: &str) -> Option<&str> {
    let name = line.split_once('=').map_or(line, |(key, _)| key).trim();
    let plain = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b"._".contains(&b));
    let inner = name.trim_start_matches('[').trim_end_matches(']');
    (plain(inner) && (line.contains('=') || name.starts_with('['))).then_some(name)
}

/// Whether somebody may have written a secret behind this key.
fn is_secret(key: &str) -> bool {
    ["password", "secret", "token"].iter().any(|word| key.contains(word))
}

#[cfg(test)]
pub(super) fn keys() -> impl Iterator<Item = &'static str> {
    EXPECTED.iter().map(|(key, _)| *key).filter(|key| key.contains('.'))
}
