//! The whole house at once: PostgreSQL, Prosody, the switchboard, the phones and the service.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::{
    instance::Instance,
    pbx::{Pbx, PbxSpec, PhoneState, SHIPPED_PHONES},
    phones::Phones,
    postgres::{Database, Postgres},
    prosody::Prosody,
    usher::{Places, Usher},
};

/// How long a phone may take to register.
const REGISTER: Duration = Duration::from_secs(15);

/// What a [`Rig`] is started with.
#[derive(Debug, Clone)]
pub struct Builder {
    name: String,
    program: PathBuf,
    extensions: Vec<String>,
    globals: Vec<String>,
    extra: Vec<(String, String)>,
    sql: Vec<String>,
    reroute: Reroute,
}

/// Where the service is sent instead of straight to a server.
#[derive(Debug, Clone, Default)]
struct Reroute {
    ari: Option<u16>,
    xmpp: Option<u16>,
}

/// Everything that runs. What is dropped is gone.
#[derive(Debug)]
pub struct Rig {
    /// The service: first, so that it ends before what it speaks to.
    pub usher: Usher,
    /// Desk phones and callers.
    pub phones: Phones,
    /// The switchboard.
    pub pbx: Pbx,
    /// The XMPP server.
    pub prosody: Prosody,
    /// The rig's database of this test.
    pub database: Database,
    /// Folder, ports, reaper.
    pub instance: Instance,
}

impl Builder {
    /// A rig with the demo's rows, the three shipped phones and nobody logged on. `program` is the `usher` to run.
    pub fn new(name: &str, program: impl AsRef<Path>) -> Self {
        Self {
            name: name.to_owned(),
            program: program.as_ref().to_owned(),
            extensions: SHIPPED_PHONES.map(str::to_owned).into(),
            globals: Vec::new(),
            extra: Vec::new(),
            sql: Vec::new(),
            reroute: Reroute::default(),
        }
    }

    /// Further phones, each with an extension in the database: `4000` has the JID `user4000@usher.test`.
    #[must_use]
    pub fn more_phones(mut self, numbers: impl IntoIterator<Item = u32>) -> Self {
        for number in numbers {
            self.extensions.push(number.to_string());
            self.sql.push(format!(
                "INSERT INTO extensions (number, name, jid) VALUES ('{number}', 'Agent {number}', 'user{number}@usher.test')"
            ));
        }
        self
    }

    /// These members are logged on to `support` from the start.
    #[must_use]
    pub fn logged_on(mut self, numbers: &[&str]) -> Self {
        for number in numbers {
            self.sql.push(format!(
                "INSERT INTO memberships (queue, extension, logged_on) VALUES ('support', '{number}', true)"
            ));
        }
        self
    }

    /// A line for the dialplan's globals.
    #[must_use]
    pub fn global(mut self, line: &str) -> Self {
        self.globals.push(line.to_owned());
        self
    }

    /// A line for a table of usher.toml.
    #[must_use]
    pub fn setting(mut self, table: &str, line: &str) -> Self {
        self.extra.push((table.to_owned(), line.to_owned()));
        self
    }

    /// A statement to run on the database before the service starts.
    #[must_use]
    pub fn sql(mut self, statement: &str) -> Self {
        self.sql.push(statement.to_owned());
        self
    }

    /// Starts everything, the service included.
    ///
    /// # Errors
    /// When something does not start, with the end of its log.
    pub async fn start(self) -> Result<Rig> {
        let rig = self.prepare().await?;
        rig.usher.start().await?;
        Ok(rig)
    }

    /// Starts everything but the service.
    ///
    /// # Errors
    /// When something does not start, with the end of its log.
    pub async fn prepare(self) -> Result<Rig> {
        let instance = Instance::new()?;
        let begun = Instant::now();
        let (agi_port, health_port) = (instance.port()?, instance.port()?);
        let spec = PbxSpec {
            extensions: self.extensions.clone(),
            globals: self.globals.clone(),
            ..PbxSpec::shipped(agi_port)
        };
        let seed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sql/seed/demo.sql");
        let database = async {
            let database = Postgres::shared().await?.database(&self.name, &self.program, Some(&seed)).await?;
            let client = database.connect().await?;
            for statement in &self.sql {
                client.batch_execute(statement).await.with_context(|| statement.clone())?;
            }
            Ok::<_, anyhow::Error>(database)
        };
        let switchboard = async {
            let pbx = Pbx::start(&instance, &spec).await?;
            let phones = Phones::start(&instance, &pbx).await?;
            for number in &self.extensions {
                pbx.wait_for_phone(number, PhoneState::Online, REGISTER).await?;
            }
            Ok::<_, anyhow::Error>((pbx, phones))
        };
        let (database, prosody, (pbx, phones)) = tokio::try_join!(database, Prosody::start(&instance), switchboard)?;
        let xmpp_address = self.reroute.xmpp.map_or_else(|| prosody.address(), |port| format!("127.0.0.1:{port}"));
        let places = Places {
            database_port: database.port,
            database_name: database.name.clone(),
            database_password: database.password.clone(),
            xmpp_address,
            xmpp_password: prosody.password("usher")?,
            ca_file: prosody.certificate().authority.clone(),
            asterisks: vec![(
                "pbx".to_owned(),
                self.reroute.ari.unwrap_or_else(|| pbx.http_port()),
                pbx.ari_password().to_owned(),
            )],
            agi_port,
            health_port,
            extra: self.extra,
        };
        let usher = Usher::prepare(&instance, &self.program, &places)?;
        tracing::debug!(took = ?begun.elapsed(), "the rig is up");
        Ok(Rig { usher, phones, pbx, prosody, database, instance })
    }
}
