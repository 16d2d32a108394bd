//! Prints the screen pops of an extension: subscriber JID EXTENSION [HOST:PORT], with the password in PASSWORD.
//!
//! `software_sim::client` does what docs/screen-pop.md asks of a reader. CA_FILE: the authority to trust where the system
//! does not know the server's.

use std::{
    env::{args, var},
    io::Write,
};

use anyhow::Context;
use software_sim::{
    client::{Event, Settings, watch},
    login::{Account, Tls, account_jid},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = args().skip(1);
    let jid = account_jid(&arguments.next().context("no account")?).map_err(anyhow::Error::msg)?;
    let node = format!("extension{}", arguments.next().context("no extension")?);
    let pubsub = format!("pubsub.{}", jid.domain()).parse()?;
    let (password, ca_file) = (var("PASSWORD")?, var("CA_FILE").ok().map(Into::into));
    let account = Account { jid, password, address: arguments.next(), tls: Tls::Starttls, ca_file };
    let mut events = watch(Settings { account, pubsub, node });
    let mut out = std::io::stdout();
    while let Some(event) = events.recv().await {
        match event.map_err(anyhow::Error::msg)? {
            Event::Pop(pop) => {
                let (customer, caller) = (&pop.customer, &pop.caller);
                let number = if caller.number.is_empty() { "a withheld number" } else { &caller.number };
                write!(out, "{}: {}, code {}, calls from {number}", pop.state, customer.name, customer.code)?;
                writeln!(out, ", in {} since {}", pop.queue, pop.entered)?;
            }
            Event::Closed { call } => writeln!(out, "closed: {call}")?,
            Event::Subscribed => writeln!(out, "subscribed")?,
            Event::LinkUp | Event::LinkDown { .. } | Event::Waiting { .. } | Event::Malformed { .. } => {}
        }
    }
    Ok(())
}
