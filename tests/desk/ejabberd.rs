//! A private ejabberd on loopback, configured by the very file that `INSTALL.md` puts in place.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::prosody::{COMPONENT, COMPONENT_SECRET, DOMAIN, USERS};

/// Where Debian has its code.
const LIBRARIES: &str = "/usr/lib/x86_64-linux-gnu";
const SNIPPET: &str = include_str!("../../dist/ejabberd/usher.yml");

pub fn is_installed() -> bool {
    Path::new("/usr/sbin/ejabberdctl").exists()
}

pub fn write(folder: &Path, port: u16, component: u16) {
    let both = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    fs::write(folder.join("both.pem"), both("server.key") + &both("server.pem")).unwrap();
    fs::write(folder.join("usher.yml"), SNIPPET.replace("example.org", DOMAIN)).unwrap();
    let config = format!(
        r#"
hosts: ["{DOMAIN}"]
loglevel: info
certfiles: ["{path}/both.pem"]
ca_file: "{path}/ca.pem"
auth_password_format: scram
disable_sasl_mechanisms: ["digest-md5", "X-OAUTH2"]
listen:
  - port: {port}
    ip: "127.0.0.1"
    module: ejabberd_c2s
    shaper: c2s_shaper
    starttls_required: true
  - port: {component}
    ip: "127.0.0.1"
    module: ejabberd_service
    access: all
    hosts:
      "{COMPONENT}":
        password: "{COMPONENT_SECRET}"
acl:
  admin:
    user: [""]
shaper:
  normal:
    rate: 3000
    burst_size: 20000
modules:
  mod_adhoc: {{}}
  mod_disco: {{}}
  mod_offline: {{}}
  mod_ping: {{}}
  mod_roster: {{}}
  mod_caps: {{}}
  mod_muc: {{}}
  mod_stream_mgmt:
    resend_on_timeout: if_offline
include_config_file: "{path}/usher.yml"
"#,
        path = folder.display()
    );
    fs::write(folder.join("ejabberd.yml"), config).unwrap();
}

/// Starts it without a node name, so that no port mapper is left behind, and sets every account's password.
pub fn spawn(folder: &Path, password_of: impl Fn(&str) -> String) -> Child {
    let accounts = USERS.map(|user| {
        let password = password_of(user);
        format!(
            "ejabberd_auth:try_register(<<\"{user}\">>,<<\"{DOMAIN}\">>,<<\"{password}\">>), \
             ejabberd_auth:set_password(<<\"{user}\">>,<<\"{DOMAIN}\">>,<<\"{password}\">>)"
        )
    });
    let start = format!(
        "application:ensure_all_started(ejabberd), {}, file:write_file(\"{}/started\", <<>>).",
        accounts.join(", "),
        folder.display()
    );
    let _not_there_the_first_time = fs::remove_file(folder.join("started"));
    Command::new("erl")
        .args(["-noinput", "-mnesia", "dir"])
        .arg(format!("\"{}/mnesia\"", folder.display()))
        .args(["-eval", &start])
        .env("ERL_LIBS", LIBRARIES)
        .env("EJABBERD_CONFIG_PATH", folder.join("ejabberd.yml"))
        .env("EJABBERD_LOG_PATH", folder.join("server.log"))
        .env("ERL_CRASH_DUMP_BYTES", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("ejabberd starts")
}
