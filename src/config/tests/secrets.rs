//! Where secrets come from, and where they do not go.

use super::*;

#[test]
fn a_missing_password_says_which_variable_or_key_gives_it() {
    let none = |_: &str| None;
    let message = Config::parse(LEAST, Path::new("usher.toml"), &none).unwrap_err().to_string();
    assert!(message.contains("USHER_XMPP_PASSWORD"), "{message}");
    let xmpp = |name: &str| (name == "USHER_XMPP_PASSWORD").then(|| "secret".to_owned());
    let message = Config::parse(LEAST, Path::new("usher.toml"), &xmpp).unwrap_err().to_string();
    assert!(message.contains("USHER_ASTERISK_PASSWORD_PBX"), "{message}");
}

#[test]
fn a_server_s_own_password_wins_over_the_common_one() {
    let env = |name: &str| name.contains("_PASSWORD").then(|| name.to_owned());
    let config = Config::parse(LEAST, Path::new("usher.toml"), &env).unwrap();
    let password = config.asterisk[0].password.as_ref().unwrap();
    assert_eq!(secrecy::ExposeSecret::expose_secret(password), "USHER_ASTERISK_PASSWORD_PBX");
}

#[test]
fn private_pops_need_a_secret_that_is_long_enough() {
    let with = |table: &str| LEAST.replacen("[[asterisk]]", &format!("[pops]\n{table}\n[[asterisk]]"), 1);
    let given = |secret: Option<&'static str>| {
        move |name: &str| match name {
            "USHER_LINK_SECRET" => secret.map(str::to_owned),
            name => env(name),
        }
    };
    let path = Path::new("/etc/usher/usher.toml");
    let message = Config::parse(&with("private = true"), path, &given(None)).unwrap_err().to_string();
    assert!(message.contains("pops.link_secret_file") && message.contains("USHER_LINK_SECRET"), "{message}");
    let message = Config::parse(&with("private = true"), path, &given(Some("tooshort"))).unwrap_err().to_string();
    assert!(message.contains("32 characters") && !message.contains("tooshort"), "{message}");
    let message = parse(&with("link_lifetime = \"1s\"")).unwrap_err().to_string();
    assert!(message.contains("pops.link_lifetime") && message.contains("10s to 24h"), "{message}");
    let config =
        Config::parse(&with("private = true"), path, &given(Some("0123456789abcdef0123456789abcdef"))).unwrap();
    assert!(config.pops.private && !format!("{config:?}").contains("0123456789"));
}

#[test]
fn commands_that_need_the_database_alone_ask_for_no_other_secret() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("usher.toml");
    let text = LEAST.replacen("[xmpp]\n", "[xmpp]\npassword_file = \"unreadable\"\n", 1);
    fs::write(&path, text).unwrap();
    assert!(Config::load_for_database(&path).unwrap().xmpp.password.is_none());
}

#[test]
fn a_password_with_a_blank_at_its_end_is_taken_as_it_is_and_said_to_have_one() {
    for (password, doubts) in [("secret", 0), ("secret ", 1), ("\tsecret", 1), ("two words", 0)] {
        let given = |name: &str| (name == "USHER_XMPP_PASSWORD").then(|| password.to_owned()).or_else(|| env(name));
        let config = Config::parse(LEAST, Path::new("usher.toml"), &given).unwrap();
        assert_eq!(secrecy::ExposeSecret::expose_secret(config.xmpp.password.as_ref().unwrap()), password);
        assert_eq!(config.doubts().len(), doubts, "{password:?}");
        assert!(config.doubts().iter().all(|doubt| doubt.contains("xmpp") && !doubt.contains("secret")));
    }
}

#[test]
fn a_printed_configuration_shows_no_password() {
    let text = format!("{:?}", parse(LEAST).unwrap());
    assert!(!text.contains("secret\""), "{text}");
}
