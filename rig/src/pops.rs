//! Screen pops on a node, made by hand: for tests of those who read them, without a call.

use anyhow::Result;
use xmpp_parsers::minidom::Element;

use crate::{prosody::Prosody, xmpp::Client};

/// The account of the service, publishing on one extension's node.
#[derive(Debug)]
pub struct Pops {
    service: Client,
    extension: String,
}

impl Pops {
    /// Logs in as the service and makes the node.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn on(prosody: &Prosody, extension: &str) -> Result<Self> {
        let service = Client::connect(prosody, "usher").await?;
        let pops = Self { service, extension: extension.to_owned() };
        pops.service.create(&pops.node()).await?;
        Ok(pops)
    }

    fn node(&self) -> String {
        format!("extension{}", self.extension)
    }

    /// Publishes a revision of a call, with a customer whose name has what names can have.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn publish(&self, call: &str, revision: u32, state: &str) -> Result<()> {
        let payload: Element = format!(
            "<pop xmlns='urn:usher:pop:1' call='{call}' revision='{revision}' state='{state}' \
             extension='{extension}' queue='support' entered='2026-11-21T03:00:00.123Z' \
             changed='2026-11-21T03:00:0{revision}Z' later='unknown'>\
             <customer id='7' code='0071' name='Zoë &lt;b&gt;&amp; Søn&apos;s'/><caller number='5551001' name=''/>\
             <more xmlns='urn:usher:test'/></pop>",
            extension = self.extension,
        )
        .parse()?;
        self.service.publish(&self.node(), call, payload).await
    }

    /// Takes a call's item away.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn retract(&self, call: &str) -> Result<()> {
        self.service.retract(&self.node(), call).await
    }
}
