//! The switchboard under test: an Asterisk with the very `asterisk-conf/` that we ship, and a `site/` of the rig's.

use std::{
    collections::BTreeMap,
    fs,
    net::Ipv4Addr,
    ops::Deref,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    ari::Ari,
    asterisk::Asterisk,
    instance::{Instance, password},
    ports::BLOCK,
    postgres::run,
    wait,
};

/// Where calls from outside come from: an address of their own, so that they are told from the desks' phones.
pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// The phones that `asterisk-conf/pjsip.conf` ships; further ones are the rig's.
pub const SHIPPED_PHONES: [&str; 3] = ["1000", "2000", "3000"];

/// What a [`Pbx`] is started with.
#[derive(Debug, Clone)]
pub struct PbxSpec {
    /// The folder `asterisk-conf/`.
    pub conf: PathBuf,
    /// Numbers of the phones, the shipped three included.
    pub extensions: Vec<String>,
    /// Port of the FastAGI server on 127.0.0.1.
    pub agi_port: u16,
    /// Lines for `site/globals.conf`, such as `USHER_NO_KEY_SECONDS=1`.
    pub globals: Vec<String>,
}

impl PbxSpec {
    /// The shipped configuration with its three phones.
    pub fn shipped(agi_port: u16) -> Self {
        let extensions = SHIPPED_PHONES.map(str::to_owned).into();
        Self { conf: shipped_conf(), extensions, agi_port, globals: Vec::new() }
    }
}

/// `USHER_ASTERISK_CONF`, else `asterisk-conf/` of the sources.
pub fn shipped_conf() -> PathBuf {
    std::env::var_os("USHER_ASTERISK_CONF")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../asterisk-conf"), PathBuf::from)
}

/// The running switchboard. An [`Asterisk`], and so to be stopped, killed and frozen.
#[derive(Debug)]
pub struct Pbx {
    asterisk: Asterisk,
    sip_port: u16,
    http_port: u16,
    ari_password: String,
    phone_passwords: BTreeMap<String, String>,
    sounds: PathBuf,
}

impl Deref for Pbx {
    type Target = Asterisk;

    fn deref(&self) -> &Asterisk {
        &self.asterisk
    }
}

impl Pbx {
    /// Starts it.
    ///
    /// # Errors
    /// When the configuration is missing or Asterisk does not answer.
    pub async fn start(instance: &Instance, spec: &PbxSpec) -> Result<Self> {
        let (sip_port, http_port, rtp) = (instance.port()?, instance.port()?, instance.port_block()?);
        let (ari_password, own_password) = (password(), password());
        let phone_passwords: BTreeMap<_, _> =
            spec.extensions.iter().map(|number| (number.clone(), password())).collect();
        let ari = Ari::new(http_port, "rig", &own_password)?;
        let asterisk = Asterisk::start(instance, "pbx", ari, |folder| {
            let etc = folder.join("etc");
            for entry in fs::read_dir(&spec.conf).with_context(|| format!("no folder {}", spec.conf.display()))? {
                let path = entry?.path();
                if path.extension().is_some_and(|extension| extension == "conf") {
                    fs::copy(&path, etc.join(path.file_name().context("a file without a name")?))?;
                }
            }
            let sounds = folder.join("data/sounds");
            run(std::process::Command::new("cp").arg("-rT").arg(spec.conf.join("sounds")).arg(sounds))?;
            let site = etc.join("site");
            fs::create_dir(&site)?;
            let globals = format!("USHER_AGI=agi://127.0.0.1:{}\n{}\n", spec.agi_port, spec.globals.join("\n"));
            fs::write(site.join("globals.conf"), globals)?;
            fs::write(site.join("http.conf"), format!("bindport={http_port}\nsessionlimit=500\n"))?;
            fs::write(
                site.join("ari.conf"),
                format!(
                    "[usher](+)\npassword={ari_password}\n[rig]\ntype=user\nread_only=no\npassword={own_password}\n"
                ),
            )?;
            fs::write(site.join("rtp.conf"), format!("rtpstart={rtp}\nrtpend={}\n", rtp + BLOCK - 1))?;
            fs::write(site.join("pjsip.conf"), pjsip(sip_port, &phone_passwords))?;
            Ok(())
        })
        .await?;
        let sounds = spec.conf.join("sounds");
        Ok(Self { asterisk, sip_port, http_port, ari_password, phone_passwords, sounds })
    }

    /// Port of SIP on 127.0.0.1.
    pub fn sip_port(&self) -> u16 {
        self.sip_port
    }

    /// Port of HTTP and ARI on 127.0.0.1.
    pub fn http_port(&self) -> u16 {
        self.http_port
    }

    /// Password of the service's ARI user `usher`.
    pub fn ari_password(&self) -> &str {
        &self.ari_password
    }

    /// The phones and their passwords.
    pub fn phone_passwords(&self) -> &BTreeMap<String, String> {
        &self.phone_passwords
    }

    /// The shipped prompts of a language.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn prompts(&self, language: &str) -> Result<crate::sound::Prompts> {
        crate::sound::Prompts::load(&self.sounds.join(language).join("usher"))
    }

    /// Whether a phone is registered and reachable.
    ///
    /// # Errors
    /// When Asterisk does not answer.
    pub async fn registered(&self, extension: &str) -> Result<bool> {
        let endpoint = self.ari().get(&format!("endpoints/PJSIP/{extension}")).await?;
        Ok(endpoint.get("state").and_then(Value::as_str) == Some("online"))
    }

    /// Waits until a phone is registered and reachable, or until it is not.
    ///
    /// # Errors
    /// After `within`.
    pub async fn wait_for_phone(&self, extension: &str, state: PhoneState, within: Duration) -> Result<()> {
        wait::until(&format!("phone {extension} {state:?}"), within, || async {
            if self.registered(extension).await? == (state == PhoneState::Online) {
                return Ok(());
            }
            bail!("the opposite")
        })
        .await
    }

    /// The channels there are now, as ARI lists them.
    ///
    /// # Errors
    /// When Asterisk does not answer.
    pub async fn channels(&self) -> Result<Vec<Value>> {
        Ok(self.ari().get("channels").await?.as_array().cloned().unwrap_or_default())
    }

    /// The bridges there are now.
    ///
    /// # Errors
    /// When Asterisk does not answer.
    pub async fn bridges(&self) -> Result<Vec<Value>> {
        Ok(self.ari().get("bridges").await?.as_array().cloned().unwrap_or_default())
    }

    /// Waits until there is neither channel nor bridge.
    ///
    /// # Errors
    /// After `within`, with what is left.
    pub async fn wait_until_empty(&self, within: Duration) -> Result<()> {
        wait::until("no channel and no bridge is left", within, || async {
            let (channels, bridges) = (self.channels().await?, self.bridges().await?);
            let name = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or("?").to_owned();
            let left: Vec<_> =
                channels.iter().map(|c| name(c, "name")).chain(bridges.iter().map(|b| name(b, "id"))).collect();
            if !left.is_empty() {
                bail!("left: {}", left.join(", "));
            }
            Ok(())
        })
        .await
    }
}

/// What [`Pbx::wait_for_phone`] waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhoneState {
    /// Registered, and answers.
    Online,
    /// Not registered, or does not answer.
    Offline,
}

fn pjsip(port: u16, phones: &BTreeMap<String, String>) -> String {
    let mut text = format!(
        "[transport-udp](+)\nbind=127.0.0.1:{port}\n\
         [outside]\ntype=endpoint\ncontext=usher-incoming\ntransport=transport-udp\ndisallow=all\nallow=ulaw,alaw\n\
         direct_media=no\ndtmf_mode=rfc4733\n\
         [outside]\ntype=identify\nendpoint=outside\nmatch={OUTSIDE}\n"
    );
    for (number, password) in phones {
        if SHIPPED_PHONES.contains(&number.as_str()) {
            text += &format!("[auth{number}](+)\npassword={password}\n");
        } else {
            text += &format!(
                "[{number}](phone)\nauth=auth{number}\naors={number}\ncallerid={number} <{number}>\n\
                 [auth{number}](phone-auth)\nusername={number}\npassword={password}\n[{number}](phone-aor)\n"
            );
        }
    }
    text
}
