//! All the servers together.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::{
    instance::Instance,
    pbx::{Pbx, PbxSpec, PhoneState, SHIPPED_PHONES, shipped_conf},
    phones::Phones,
    postgres::{Database, Postgres},
    prosody::{DOMAIN, Prosody},
    proxy::Proxy,
    usher::{Server, Usher, UsherSpec},
};

/// Time for the phones to register.
const REGISTER: std::time::Duration = std::time::Duration::from_secs(10);

/// Running servers. Fields are dropped in this order; the instance last, which ends what is left.
#[derive(Debug)]
pub struct Rig {
    /// The service; `None` without a binary.
    pub usher: Option<Usher>,
    /// Proxies before the servers, if wished.
    pub proxies: Option<Proxies>,
    /// What listens in on ARI, if wished.
    pub tap: Option<Proxy>,
    /// The desk phones and callers.
    pub phones: Phones,
    /// The switchboard.
    pub pbx: Pbx,
    /// The XMPP server.
    pub prosody: Prosody,
    /// The cluster; the process's own, or this rig's if wished.
    pub pg: Pg,
    /// The service's database; `None` without a binary.
    pub database: Option<Database>,
    /// What the service was told.
    pub spec: Option<UsherSpec>,
    /// Folder, ports, reaper.
    pub instance: Instance,
}

/// Whose cluster it is.
#[derive(Debug)]
pub enum Pg {
    /// The process's own.
    Shared(&'static Postgres),
    /// This rig's own: may be stopped and frozen without harm to others.
    Own(Box<Postgres>),
}

impl std::ops::Deref for Pg {
    type Target = Postgres;

    fn deref(&self) -> &Postgres {
        match self {
            Self::Shared(postgres) => postgres,
            Self::Own(postgres) => postgres,
        }
    }
}

/// Proxies between the service and its servers.
#[derive(Debug)]
pub struct Proxies {
    /// Before ARI.
    pub ari: Proxy,
    /// Before the XMPP server.
    pub xmpp: Proxy,
    /// Before PostgreSQL.
    pub postgres: Proxy,
}

/// What to start.
#[derive(Debug, Clone)]
pub struct Builder {
    name: String,
    members: usize,
    binary: Option<PathBuf>,
    seed: Option<PathBuf>,
    conf: PathBuf,
    globals: Vec<String>,
    extra: Vec<(String, String)>,
    statements: Vec<String>,
    own_postgres: Choice,
    proxies: Choice,
    tap: Choice,
    component: Choice,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    No,
    Yes,
}

impl Rig {
    /// Begins with the three shipped phones and no service.
    pub fn builder() -> Builder {
        Builder {
            name: "rig".into(),
            members: SHIPPED_PHONES.len(),
            binary: None,
            seed: None,
            conf: shipped_conf(),
            globals: Vec::new(),
            extra: Vec::new(),
            statements: Vec::new(),
            own_postgres: Choice::No,
            proxies: Choice::No,
            tap: Choice::No,
            component: Choice::No,
        }
    }

    /// The service.
    ///
    /// # Errors
    /// When the rig was built without.
    pub fn usher(&self) -> Result<&Usher> {
        self.usher.as_ref().context("this rig was built without the service")
    }
}

impl Builder {
    /// A name for the database.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// So many desk phones: 1000, 2000, 3000, then 1001, 1002 and so on.
    #[must_use]
    pub fn members(mut self, members: usize) -> Self {
        self.members = members;
        self
    }

    /// Starts the service, too.
    #[must_use]
    pub fn usher(mut self, binary: impl Into<PathBuf>) -> Self {
        self.binary = Some(binary.into());
        self
    }

    /// Rows for the database; at first `sql/seed/demo.sql` of the sources, if it is there.
    #[must_use]
    pub fn seed(mut self, file: impl Into<PathBuf>) -> Self {
        self.seed = Some(file.into());
        self
    }

    /// Another `asterisk-conf/`.
    #[must_use]
    pub fn conf(mut self, folder: impl Into<PathBuf>) -> Self {
        self.conf = folder.into();
        self
    }

    /// A line for `site/globals.conf`, such as `USHER_NO_KEY_SECONDS=1`.
    #[must_use]
    pub fn global(mut self, line: &str) -> Self {
        self.globals.push(line.to_owned());
        self
    }

    /// A line for a table of `usher.toml`: `("xmpp", "publish_bound = \"100ms\"")`.
    #[must_use]
    pub fn config(mut self, table: &str, line: &str) -> Self {
        self.extra.push((table.to_owned(), line.to_owned()));
        self
    }

    /// A statement for the database, run before the service starts.
    #[must_use]
    pub fn sql(mut self, statement: &str) -> Self {
        self.statements.push(statement.to_owned());
        self
    }

    /// These extensions are logged on to the queue `support` from the start. Those beyond the shipped three get a row:
    /// `1001` is "Agent 1001" with the JID `user1001@usher.test`.
    #[must_use]
    pub fn logged_on(mut self, extensions: &[&str]) -> Self {
        for extension in extensions {
            self.statements.push(format!(
                "INSERT INTO extensions (number, name, jid) VALUES ('{extension}', 'Agent {extension}', \
                 'user{extension}@{DOMAIN}') ON CONFLICT DO NOTHING"
            ));
            self.statements.push(format!(
                "INSERT INTO memberships (queue, extension, logged_on) VALUES ('support', '{extension}', true)"
            ));
        }
        self
    }

    /// A PostgreSQL of this rig's own.
    #[must_use]
    pub fn own_postgres(mut self) -> Self {
        self.own_postgres = Choice::Yes;
        self
    }

    /// Proxies between the service and ARI, XMPP and PostgreSQL.
    #[must_use]
    pub fn proxies(mut self) -> Self {
        self.proxies = Choice::Yes;
        self
    }

    /// Only one that listens in on ARI, on a thread of its own, and nothing between the service and the others: for
    /// measurements. See [`Rig::tap`].
    #[must_use]
    pub fn tap(mut self) -> Self {
        self.tap = Choice::Yes;
        self
    }

    /// The service is a component of the XMPP server as well, beside its account.
    #[must_use]
    pub fn component(mut self) -> Self {
        self.component = Choice::Yes;
        self
    }

    /// Starts everything and waits until it answers and the phones are registered.
    ///
    /// # Errors
    /// With the log of what did not start.
    pub async fn start(self) -> Result<Rig> {
        let instance = Instance::new()?;
        let agi_port = instance.port()?;
        let extensions = extensions(self.members);
        let pbx_spec = PbxSpec { conf: self.conf.clone(), extensions, agi_port, globals: self.globals.clone() };
        let postgres = async {
            let pg = match self.own_postgres {
                Choice::Yes => Pg::Own(Box::new(Postgres::start(&instance).await?)),
                Choice::No => Pg::Shared(Postgres::shared().await?),
            };
            let database = self.database(&pg).await?;
            anyhow::Ok((pg, database))
        };
        let sip = async {
            let pbx = Pbx::start(&instance, &pbx_spec).await?;
            let phones = Phones::start(&instance, &pbx).await?;
            for number in &pbx_spec.extensions {
                pbx.wait_for_phone(number, PhoneState::Online, REGISTER).await?;
            }
            anyhow::Ok((pbx, phones))
        };
        let ((pg, database), prosody, (pbx, phones)) = tokio::try_join!(postgres, Prosody::start(&instance), sip)?;
        let mut rig =
            Rig { usher: None, proxies: None, tap: None, phones, pbx, prosody, pg, database, spec: None, instance };
        let ari = format!("127.0.0.1:{}", rig.pbx.http_port());
        if self.proxies == Choice::Yes {
            rig.proxies = Some(Proxies {
                ari: Proxy::start(&rig.instance, &ari).await?,
                xmpp: Proxy::start(&rig.instance, &rig.prosody.address()).await?,
                postgres: Proxy::start(&rig.instance, &format!("127.0.0.1:{}", rig.pg.port())).await?,
            });
        }
        if self.tap == Choice::Yes {
            rig.tap = Some(Proxy::start_apart(&rig.instance, &ari)?);
        }
        if let (Some(binary), Some(mut database)) = (&self.binary, rig.database.clone()) {
            let before = rig.tap.as_ref().or(rig.proxies.as_ref().map(|proxies| &proxies.ari));
            let address = before.map_or(ari, Proxy::address);
            if let Some(proxies) = &rig.proxies {
                let address = proxies.postgres.address();
                database.port = address.rsplit_once(':').context("a port")?.1.parse()?;
            }
            let server = Server { name: "pbx".into(), address, password: rig.pbx.ari_password().to_owned() };
            let mut spec = UsherSpec::new(binary, database, &rig.prosody, vec![server], agi_port)?;
            if let Some(proxies) = &rig.proxies {
                spec.xmpp = proxies.xmpp.address();
            }
            if self.component == Choice::Yes {
                let (address, secret) = rig.prosody.component();
                spec.component = Some((address, secret.to_owned()));
            }
            spec.extra = self.extra.clone();
            rig.usher = Some(Usher::start(&rig.instance, &spec).await?);
            rig.spec = Some(spec);
        }
        Ok(rig)
    }

    /// The database of the service, if there is to be one.
    async fn database(&self, pg: &Postgres) -> Result<Option<Database>> {
        let Some(binary) = &self.binary else { return Ok(None) };
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sql/seed/demo.sql");
        let seed = self.seed.clone().or_else(|| shipped.is_file().then_some(shipped));
        let database = pg.database(&self.name, binary, seed.as_deref()).await?;
        let client = database.connect().await?;
        for statement in &self.statements {
            client.batch_execute(statement).await.with_context(|| statement.clone())?;
        }
        Ok(Some(database))
    }
}

fn extensions(count: usize) -> Vec<String> {
    let shipped = SHIPPED_PHONES.iter().map(|number| (*number).to_owned());
    shipped.chain((1001..2000).map(|number: u32| number.to_string())).take(count.max(SHIPPED_PHONES.len())).collect()
}
