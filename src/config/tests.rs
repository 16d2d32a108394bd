use std::collections::{BTreeMap, BTreeSet};

use serde::de::{DeserializeSeed, MapAccess, Visitor};
use tempfile::TempDir;

use super::*;

mod secrets;

const EXAMPLE: &str = include_str!("../../usher.example.toml");

/// The least that is accepted; passwords come from [`env`].
const LEAST: &str =
    "[database]\n[xmpp]\njid = \"usher@example.org\"\n[[asterisk]]\nname = \"pbx\"\nurl = \"http://127.0.0.1:8088\"\n";

fn env(name: &str) -> Option<String> {
    name.ends_with("_PASSWORD").then(|| "secret".into())
}

fn parse(text: &str) -> Result<Config, Error> {
    Config::parse(text, Path::new("/etc/usher/usher.toml"), &env)
}

/// The message about a configuration in which `from` is replaced.
fn refused(from: &str, to: &str) -> String {
    assert!(LEAST.contains(from), "{from}");
    parse(&LEAST.replacen(from, to, 1)).unwrap_err().to_string()
}

/// The example with every optional key in force: `#key = value` without its mark.
fn example_in_full() -> String {
    EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') && rest.contains(" = ") => format!("{rest}\n"),
            Some(_) | None => format!("{line}\n"),
        })
        .collect()
}

fn folder_with_passwords() -> TempDir {
    let folder = TempDir::new().unwrap();
    for name in ["xmpp.password", "asterisk.password", "database.password"] {
        fs::write(folder.path().join(name), "from the file\nnot this line\n").unwrap();
    }
    fs::write(folder.path().join("component.secret"), "from the server\n").unwrap();
    fs::write(folder.path().join("link.secret"), format!("{}\n", "s".repeat(64))).unwrap();
    folder
}

#[test]
fn the_example_is_accepted_as_it_is_and_with_every_key_in_force() {
    let folder = folder_with_passwords();
    let path = folder.path().join("usher.toml");
    for text in [EXAMPLE.to_owned(), example_in_full()] {
        let config = Config::parse(&text, &path, &|_| None).unwrap();
        assert_eq!(secrecy::ExposeSecret::expose_secret(&config.xmpp.password.unwrap()), "from the file");
    }
}

#[test]
fn the_optional_values_in_the_example_are_the_defaults() {
    let folder = folder_with_passwords();
    let path = folder.path().join("usher.toml");
    // These have no default, or one that depends on other keys: the example says so.
    let without: String = example_in_full()
        .lines()
        .filter(|line| {
            ![
                "address",
                "announce",
                "pubsub =",
                "crm",
                "supervisors",
                "rooms",
                "ca_file",
                "link_secret_file",
                "component =",
                "component_secret_file",
            ]
            .iter()
            .any(|key| line.starts_with(key))
        })
        .filter(|line| *line != "password_file = \"database.password\"")
        .map(|line| format!("{line}\n"))
        .collect();
    let full = Config::parse(&without, &path, &|_| None).unwrap();
    let plain = Config::parse(EXAMPLE, &path, &|_| None).unwrap();
    assert_eq!(format!("{full:?}"), format!("{plain:?}"));
}

/// Deserializing from this tells which fields each struct asks for.
struct Fields<'a> {
    of: String,
    seen: &'a mut BTreeMap<String, BTreeSet<String>>,
    example: &'a toml::Value,
}

impl<'de> serde::Deserializer<'de> for Fields<'_> {
    type Error = toml::de::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        serde::Deserializer::deserialize_any(self.example.clone(), visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        let known = self.seen.entry(self.of.clone()).or_default();
        known.extend(fields.iter().map(|field| (*field).to_owned()));
        let entries = self.example.as_table().unwrap().iter().map(|(key, value)| (key.clone(), value)).collect();
        visitor.visit_map(Entries { of: self.of, seen: self.seen, entries, value: None })
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        struct Items<'a>(String, &'a mut BTreeMap<String, BTreeSet<String>>, Vec<&'a toml::Value>);
        impl<'de> serde::de::SeqAccess<'de> for Items<'_> {
            type Error = toml::de::Error;
            fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Self::Error> {
                let Some(example) = self.2.pop() else { return Ok(None) };
                seed.deserialize(Fields { of: self.0.clone(), seen: self.1, example }).map(Some)
            }
        }
        let items = self.example.as_array().unwrap().iter().rev().collect();
        visitor.visit_seq(Items(self.of, self.seen, items))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_some(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        serde::Deserializer::deserialize_enum(self.example.clone(), name, variants, visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct
        tuple tuple_struct map identifier ignored_any
    }
}

struct Entries<'a> {
    of: String,
    seen: &'a mut BTreeMap<String, BTreeSet<String>>,
    entries: Vec<(String, &'a toml::Value)>,
    value: Option<(String, &'a toml::Value)>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = toml::de::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Self::Error> {
        self.value = self.entries.pop();
        let Some((key, _)) = &self.value else { return Ok(None) };
        seed.deserialize(serde::de::value::StringDeserializer::new(key.clone())).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Self::Error> {
        let (key, example) = self.value.take().unwrap();
        let of = if self.of.is_empty() { key } else { format!("{}.{key}", self.of) };
        seed.deserialize(Fields { of, seen: self.seen, example })
    }
}

#[test]
fn no_key_of_the_program_is_missing_in_the_example() {
    let example: toml::Value = toml::from_str(&example_in_full()).unwrap();
    let mut seen = BTreeMap::new();
    Config::deserialize(Fields { of: String::new(), seen: &mut seen, example: &example }).unwrap();
    assert_eq!(
        seen.keys().collect::<Vec<_>>(),
        ["", "agi", "asterisk", "database", "floor", "pops", "service", "xmpp"]
    );
    for (section, fields) in seen {
        let table = match section.as_str() {
            "" => &example,
            "asterisk" => &example["asterisk"][0],
            other => &example[other],
        };
        let given: BTreeSet<String> = table.as_table().unwrap().keys().cloned().collect();
        assert_eq!(given, fields, "[{section}]");
    }
}

#[test]
fn an_unknown_key_is_refused_with_its_file_line_and_the_keys_there_are() {
    let message = refused("[xmpp]\n", "[xmpp]\njidd = 1\n");
    for part in ["/etc/usher/usher.toml", "line 3: xmpp.jidd: no such key: expected one of", "`publish_bound`"] {
        assert!(message.contains(part), "{part}: {message}");
    }
}

#[test]
fn a_duration_without_a_unit_is_refused_with_what_is_expected() {
    for value in ["\"500\"", "500", "\"-1s\"", "\"\""] {
        let message = refused("[database]\n", &format!("[database]\ntimeout = {value}\n"));
        assert!(message.contains("line 2"), "{message}");
        assert!(message.contains("unit"), "{message}");
    }
}

#[test]
fn values_out_of_range_or_of_the_wrong_form_name_their_key() {
    for (from, to, key) in [
        ("[database]\n", "[database]\npool_size = 1\n", "database.pool_size: 1 is out of range: expected 2 to 64"),
        ("[database]\n", "[database]\ntimeout = \"1ms\"\n", "database.timeout"),
        ("[database]\n", "[database]\noutbox = 1\n", "database.outbox"),
        ("[database]\n", "[database]\nport = 0\n", "database.port: 0 is out of range: expected 1 to 65535"),
        ("[database]\n", "[database]\nhost = \"\"\n", "database.host: \"\" is no name"),
        ("[database]\n", "[database]\nuser = \" \"\n", "database.user: \" \" is no name"),
        ("usher@example.org", "example.org", "xmpp.jid"),
        ("[xmpp]\n", "[xmpp]\npubsub = \"a@b\"\n", "xmpp.pubsub"),
        ("[xmpp]\n", "[xmpp]\nrooms = \"a@b\"\n", "xmpp.rooms"),
        ("[xmpp]\n", "[xmpp]\ncrm = [\"b\"]\n", "xmpp.crm"),
        ("[xmpp]\n", "[xmpp]\nsupervisors = [\"boss\"]\n", "xmpp.supervisors"),
        (
            "[xmpp]\n",
            "[xmpp]\ncomponent = \"usher.example.org\"\n",
            "xmpp.component_secret_file: no secret: name a file here or set USHER_XMPP_COMPONENT_SECRET",
        ),
        ("[xmpp]\n", "[xmpp]\ncomponent_address = \"host\"\n", "xmpp.component_address"),
        (
            "[xmpp]\n",
            "[xmpp]\naddress = \"host\"\n",
            "xmpp.address: \"host\" is not such an address: expected HOST:PORT",
        ),
        ("[xmpp]\n", "[xmpp]\naddress = \"host:0\"\n", "xmpp.address"),
        ("[xmpp]\n", "[xmpp]\naddress = \"::1\"\n", "xmpp.address"),
        (
            "[xmpp]\n",
            "[service]\nlanguage = \"de\"\n[xmpp]\n",
            "service.language: \"de\" is none of them: expected \"en\", \"es\" or \"pt_BR\"",
        ),
        ("\"pbx\"", "\"p b x\"", "asterisk[0].name"),
        ("http://", "ftp://", "asterisk[0].url"),
        ("[xmpp]\n", "[xmpp]\nnode_prefix = \"a\\u0001\"\n", "xmpp.node_prefix: \"a\\u{1}\" holds a control character"),
        ("[xmpp]\n", "[xmpp]\nnode_prefix = \"a\\n\"\n", "xmpp.node_prefix"),
        ("[xmpp]\n", "[xmpp]\nnode_prefix = \"\\uFFFF\"\n", "xmpp.node_prefix"),
        ("url = ", "app = \"us her\"\nurl = ", "asterisk[0].app: \"us her\" is not a name"),
        ("url = ", "app = \"\"\nurl = ", "asterisk[0].app"),
        ("url = ", "user = \"a:b\"\nurl = ", "asterisk[0].user: holds a colon"),
        ("url = ", "app = \"usher,x\"\nurl = ", "asterisk[0].app"),
        ("[xmpp]\n", "[agi]\nallow = []\n[xmpp]\n", "agi.allow: nobody is allowed: expected the addresses"),
        ("[xmpp]\n", "[agi]\nannounce = \"agi://host\"\n[xmpp]\n", "agi.announce"),
        ("[xmpp]\n", "[agi]\nannounce = \"agi://host:abc\"\n[xmpp]\n", "agi.announce"),
        ("[xmpp]\n", "[agi]\nannounce = \"agi://:4573\"\n[xmpp]\n", "agi.announce"),
        ("[xmpp]\n", "[agi]\nannounce = \"agi://host:0\"\n[xmpp]\n", "agi.announce"),
        (
            "[xmpp]\n",
            "[agi]\nlisten = \"127.0.0.1:9190\"\n[xmpp]\n",
            "service.health_listen: 127.0.0.1:9190 is the address",
        ),
        (
            "[xmpp]\n",
            "[agi]\nlisten = \"0.0.0.0:9190\"\n[xmpp]\n",
            "service.health_listen: 127.0.0.1:9190 is the address",
        ),
        ("[xmpp]\n", "[agi]\nlisten = \"127.0.0.1:0\"\n[xmpp]\n", "agi.listen: 127.0.0.1:0 has no port"),
        ("[xmpp]\n", "[service]\nhealth_listen = \"[::1]:0\"\n[xmpp]\n", "service.health_listen: [::1]:0 has no port"),
        ("[xmpp]\n", "[xmpp]\npassword_file = \"/nonexistent\"\n", "xmpp.password_file: cannot read /nonexistent"),
        ("jid = \"usher@example.org\"\n", "", "line 2: xmpp.jid is missing: expected a bare JID"),
        ("[database]\n", "", "database is missing: expected the table [database]"),
        ("[xmpp]\n", "[agi]\nallow = [\"127.0.0.1\", \"10.0.0.0/8\"]\n[xmpp]\n", "line 3: agi.allow[1]: "),
        ("[xmpp]\n", "[agi]\nallow = [\"10.0.0.0/8\"]\n[xmpp]\n", "expected a list of single IP addresses"),
        ("[database]\n", "database.port = \"x\"\n", "line 1: database.port: "),
        ("[database]\n", "database = { port = \"x\" }\n", "line 1: database.port: "),
    ] {
        let message = refused(from, to);
        assert!(message.contains(key), "{key}: {message}");
    }
    let twice = format!("{LEAST}[[asterisk]]\nname = \"pbx\"\nurl = \"http://127.0.0.1:8089\"\n");
    assert!(parse(&twice).unwrap_err().to_string().contains("asterisk[1].name"));
    for url in ["http://127.0.0.1:8088", "http://127.0.0.1:8088/"] {
        let message =
            parse(&format!("{LEAST}[[asterisk]]\nname = \"other\"\nurl = \"{url}\"\n")).unwrap_err().to_string();
        assert!(message.contains("asterisk[1].url: http://127.0.0.1:8088 is there already, as \"pbx\""), "{message}");
    }
    let hosts = LEAST.replace("127.0.0.1", "pbx.example.org");
    let message = parse(&format!("{hosts}[[asterisk]]\nname = \"other\"\nurl = \"http://PBX.example.org:8088/\"\n"));
    assert!(message.unwrap_err().to_string().contains("asterisk[1].url"));
}

#[test]
fn a_component_has_a_domain_of_its_own_and_a_secret_from_file_or_environment() {
    let with = |component: &str| LEAST.replace("[xmpp]\n", &format!("[xmpp]\ncomponent = \"{component}\"\n"));
    let env = |name: &str| (name.contains("XMPP") || name.contains("ASTERISK")).then(|| "secret".to_owned());
    let parse = |text: &str| Config::parse(text, Path::new("/etc/usher/usher.toml"), &env);
    let config = parse(&with("usher.example.org")).unwrap();
    assert!(config.xmpp.component_secret.is_some());
    assert_eq!(config.xmpp.component_address, "127.0.0.1:5347");
    assert!(parse(LEAST).unwrap().xmpp.component_secret.is_none(), "without a component there is none to be had");
    for (component, words) in [
        ("example.org", "is the domain of the account or of the pubsub service"),
        ("Pubsub.Example.org", "is the domain of the account or of the pubsub service"),
        ("a@example.org", "expected the form usher.example.org"),
        ("", "expected the form usher.example.org"),
    ] {
        let message = parse(&with(component)).unwrap_err().to_string();
        assert!(message.contains("xmpp.component: ") && message.contains(words), "{component}: {message}");
    }
}

#[test]
fn an_address_to_listen_on_without_a_port_says_that_host_and_port_are_expected() {
    for (section, key) in [("agi", "listen"), ("service", "health_listen")] {
        for value in ["\"127.0.0.1\"", "\"localhost:4573\"", "\"\"", "4573"] {
            let message = refused("[database]\n", &format!("[{section}]\n{key} = {value}\n[database]\n"));
            for part in ["/etc/usher/usher.toml", "line 2", &format!("{key}: "), "expected HOST:PORT"] {
                assert!(message.contains(part), "{part}: {message}");
            }
        }
    }
}

#[test]
fn a_password_in_the_wrong_place_is_not_shown_and_the_message_says_where_it_belongs() {
    for (from, to, parts) in [
        (
            "[database]\n",
            "[database]\npassword = \"hunter2\"\n",
            ["line 2: database.password: no such key", "`password_file`"],
        ),
        ("[xmpp]\n", "[xmpp]\npassword = \"hunter2\"\n", ["line 3: xmpp.password: no such key", "`password_file`"]),
        ("[xmpp]\n", "[xmpp]\npassword_file = [\"hunter2\"]\n", ["line 3: xmpp.password_file: ", "expected"]),
        ("[xmpp]\n", "[xmpp]\npassword_file = 271828\n", ["line 3: xmpp.password_file: ", "expected"]),
        ("[xmpp]\n", "[xmpp]\npassword = hunter2\n", ["line 3: password: ", "password_file"]),
        ("[xmpp]\n", "[xmpp]\nusher_token = \"hunter2\n", ["line 3: usher_token: ", "password_file"]),
        ("[xmpp]\n", "[xmpp]\npassword: hunter2\n", ["line 3: ", "expected"]),
        ("[xmpp]\n", "[xmpp]\nhunter2\n", ["line 3: ", "expected"]),
        ("[xmpp]\n", "[xmpp]\npassword_file = { key = \"hunter2\" }\n", ["line 3: xmpp.password_file: ", "expected"]),
    ] {
        let message = refused(from, to);
        for part in parts {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert!(!message.contains("hunter2") && !message.contains("271828") && !message.contains('\n'), "{message}");
    }
}

#[test]
fn a_file_that_is_not_utf_8_says_in_which_line() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("usher.toml");
    fs::write(&path, b"[database]\n# Z\xfcrich\n").unwrap();
    let message = Config::load(&path).unwrap_err().to_string();
    assert!(message.contains("usher.toml: line 2 holds bytes that are not UTF-8"), "{message}");
}

/// Values of which most are wrong for any key.
const ODD: [&str; 13] = [
    "true",
    "1",
    "-1",
    "1.5",
    "\"\"",
    "\" \"",
    "\"\\u0007x\"",
    "[]",
    "[1]",
    "[\"a b\"]",
    "{ a = 1 }",
    "1979-05-27",
    "\"\\u007f\"",
];

/// Where such a value is a right one.
fn is_right(key: &str, value: &str) -> bool {
    match key {
        "pops.json" | "xmpp.corrections" => value == "true",
        // The example has the secret that this needs.
        "pops.private" => value == "true",
        "agi.most" | "database.port" => value == "1",
        "floor.transfer_code" | "floor.consult_code" | "xmpp.node_prefix" if value == "\"\"" => true,
        "xmpp.node_prefix" => value == "\" \"",
        "xmpp.crm" | "xmpp.supervisors" => value == "[]",
        _ => false,
    }
}

#[test]
fn every_wrong_value_of_every_key_is_refused_with_file_table_key_and_what_is_expected() {
    let folder = folder_with_passwords();
    let path = folder.path().join("usher.toml");
    let mut table = String::new();
    let mut keys = BTreeSet::new();
    let mut wrong = Vec::new();
    let example = example_in_full();
    let lines: Vec<&str> = example.lines().collect();
    for (number, line) in lines.iter().enumerate() {
        if let Some(name) = line.strip_prefix('[') {
            table = name.trim_matches(['[', ']']).to_owned();
        }
        let Some((name, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) else { continue };
        let key = format!("{table}.{name}");
        let shown = key.replace("asterisk.", "asterisk[0].");
        for value in ODD {
            let odd = format!("{name} = {value}");
            let mut lines = lines.clone();
            lines[number] = &odd;
            let text = lines.join("\n");
            match Config::parse(&text, &path, &|_| None).map_err(|error| error.to_string()) {
                Ok(_) if is_right(&key, value) => {}
                Err(message)
                    if message.starts_with(&format!("{}: ", path.display()))
                        && message.contains(&format!(": {shown}"))
                        && message.contains(": expected ")
                        && !is_right(&key, value)
                        && !message.contains(char::is_control) => {}
                other => wrong.push(format!("{key} = {value}: {:?}", other.map(|_| "taken"))),
            }
        }
        keys.insert(key);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(keys, mistake::keys().map(str::to_owned).collect());
}

#[test]
fn a_mark_that_an_editor_put_before_a_text_is_no_part_of_it() {
    let folder = folder_with_passwords();
    let path = folder.path().join("usher.toml");
    fs::write(folder.path().join("xmpp.password"), "\u{feff}from the file\r\n").unwrap();
    fs::write(&path, format!("\u{feff}{EXAMPLE}")).unwrap();
    let config = Config::load(&path).unwrap();
    assert_eq!(secrecy::ExposeSecret::expose_secret(&config.xmpp.password.unwrap()), "from the file");
    // UTF-16, as other editors have it.
    fs::write(folder.path().join("xmpp.password"), b"\xff\xfef\0r\0").unwrap();
    let message = Config::load(&path).unwrap_err().to_string();
    assert!(message.contains("xmpp.password holds bytes that are not UTF-8: save it as UTF-8"), "{message}");
}

#[test]
fn a_file_s_name_cannot_move_the_cursor_of_who_reads_the_error() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a\u{7}\u{1b}[2J.toml");
    let message = Config::load(&path).unwrap_err().to_string();
    assert!(message.contains("a\\u{7}\\u{1b}[2J.toml") && !message.contains(char::is_control), "{message}");
    fs::write(&path, "[database]\nport = true\n").unwrap();
    let message = Config::load(&path).unwrap_err().to_string();
    assert!(message.contains("a\\u{7}") && !message.contains(char::is_control), "{message}");
}

#[test]
fn a_variable_that_is_set_to_nothing_gives_no_password() {
    let empty = |name: &str| name.ends_with("_PASSWORD").then(String::new);
    let message = Config::parse(LEAST, Path::new("usher.toml"), &empty).unwrap_err().to_string();
    assert!(message.contains("xmpp.password_file: no password"), "{message}");
}

/// The names and values of the example that are durations.
fn durations_of_the_example() -> Vec<(String, String)> {
    let found: Vec<_> = example_in_full()
        .lines()
        .filter_map(|line| line.split_once(" = "))
        .filter(|(_, value)| parse_duration(value.trim_matches('"')).is_ok() && value.starts_with('"'))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    assert!(found.iter().any(|(key, _)| key == "deadline") && found.len() >= 4, "{found:?}");
    found
}

#[test]
fn a_bare_number_where_a_duration_belongs_says_that_a_unit_is_expected_for_every_such_key() {
    let folder = folder_with_passwords();
    let path = folder.path().join("usher.toml");
    for (key, value) in durations_of_the_example() {
        for number in ["3", "0.5", "true"] {
            let text = example_in_full().replacen(&format!("{key} = {value}"), &format!("{key} = {number}"), 1);
            let message = Config::parse(&text, &path, &|_| None).unwrap_err().to_string();
            assert!(message.contains("expected a duration with a unit, such as \"3s\""), "{message}");
            assert!(message.contains(&format!(".{key}: ")), "{message}");
        }
    }
}

#[test]
fn a_deadline_of_agi_that_the_database_alone_may_use_up_is_refused() {
    for (timeout, deadline) in [("3s", "3s"), ("4s", "3s"), ("150ms", "100ms")] {
        let text = format!("[database]\ntimeout = \"{timeout}\"\n[agi]\ndeadline = \"{deadline}\"\n");
        let message = refused("[database]\n", &text);
        assert!(message.contains("/etc/usher/usher.toml: agi.deadline: "), "{message}");
        assert!(message.contains("not longer than database.timeout"), "{message}");
    }
    // The default of 3s counts as well.
    assert!(refused("[database]\n", "[database]\ntimeout = \"5s\"\n").contains("agi.deadline: 3s is not longer"));
    let good = "[database]\ntimeout = \"5s\"\n[agi]\ndeadline = \"5001ms\"\n";
    parse(&LEAST.replacen("[database]\n", good, 1)).unwrap();
}

#[test]
fn an_asterisk_without_a_host_in_its_url_is_refused() {
    let with = |url: &str| LEAST.replacen("http://127.0.0.1:8088", url, 1);
    for url in [
        "http://",
        "https://",
        "http:///ari",
        "http://:8088",
        "http://?a",
        "http://#a",
        "http://host:99999",
        "http://host:0",
        "http://a b",
        "http://host/ ",
        "http://usher:secret@host",
        "http://host?a=b",
        "http://host#a",
        "ws://host",
        "host:8088",
    ] {
        let message = parse(&with(url)).unwrap_err().to_string();
        assert!(message.contains("/etc/usher/usher.toml: asterisk[0].url: "), "{url}: {message}");
        assert!(!message.contains("secret"), "{message}");
    }
    for (url, base) in [
        ("http://127.0.0.1:8088/", "http://127.0.0.1:8088"),
        ("https://pbx.example.org/asterisk", "https://pbx.example.org/asterisk"),
        ("http://[::1]:8088", "http://[::1]:8088"),
    ] {
        assert_eq!(parse(&with(url)).unwrap().asterisk[0].url, base);
    }
}

#[test]
fn a_log_filter_that_is_none_is_refused_from_the_file_and_from_the_environment() {
    for text in ["", "loud", "info,loud", "usher", "usher=loud", "info,tokio_xmpp::xmlstream=trace"] {
        let file = refused("[database]\n", &format!("[service]\nlog = \"{text}\"\n[database]\n"));
        assert!(
            file.contains("/etc/usher/usher.toml: service.log: ") && file.contains("expected error, warn"),
            "{file}"
        );
        let given = |name: &str| if name == "USHER_LOG" { Some(text.to_owned()) } else { env(name) };
        let message = Config::parse(LEAST, Path::new("usher.toml"), &given).unwrap_err().to_string();
        assert!(message.contains("service.log, as USHER_LOG in the environment gives it"), "{message}");
    }
    for text in ["info", "WARN", "off", "info,usher::floor=debug", "info,usher[span]=debug"] {
        parse(&LEAST.replacen("[database]\n", &format!("[service]\nlog = \"{text}\"\n[database]\n"), 1)).unwrap();
    }
    let given = |name: &str| if name == "USHER_LOG" { Some("debug".to_owned()) } else { env(name) };
    assert_eq!(Config::parse(LEAST, Path::new("usher.toml"), &given).unwrap().service.log, "debug");
}

#[test]
fn a_value_of_any_length_is_shown_in_short_with_what_was_expected() {
    let long = "ä".repeat(100_000);
    let message = parse(&LEAST.replacen("[database]", &format!("[service]\nlog = \"{long}\"\n[database]"), 1));
    let message = message.unwrap_err().to_string();
    assert!(message.contains("service.log") && message.contains("expected"), "{message}");
    assert!(message.chars().count() < 1000, "{} characters", message.chars().count());
}
