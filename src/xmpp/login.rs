//! Logging in: SCRAM, bound to the TLS channel where the server can; PLAIN only where nothing better is offered.
//!
//! Decides which failures are final. TLS is always there before (see [`crate::xmpp::connector`]).

use std::{borrow::Cow, collections::BTreeSet, io, time::Duration};

use futures_util::SinkExt;
use sasl::common::{ChannelBinding, Credentials};
use secrecy::ExposeSecret;
use tokio_xmpp::{
    client_login,
    error::{AuthError, Error},
    stanzastream::Connection,
    xmlstream::{RecvFeaturesError, StreamHeader, Timeouts, XmppStreamElement},
};
use xmpp_parsers::{jid::Jid, sasl::DefinedCondition, sasl_cb, stream_features::StreamFeatures};

use crate::{
    config::Xmpp,
    xmpp::{
        Account, Fatal,
        connector::Connector,
        session::{PATIENCE, SILENCE},
    },
};

/// The longest time from the first TCP packet to the end of the log-in.
pub const DEADLINE: Duration = Duration::from_secs(15);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It may work the next time.
    #[error("{0}")]
    Passing(String),
    /// It will not.
    #[error(transparent)]
    Final(#[from] Fatal),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Passing(error.to_string())
    }
}

impl From<RecvFeaturesError> for Failure {
    fn from(error: RecvFeaturesError) -> Self {
        let is_elsewhere = matches!(&error, RecvFeaturesError::StreamError(e) if e.0.condition == xmpp_parsers::stream_error::DefinedCondition::HostUnknown);
        let advice = if is_elsewhere { "; is the domain in xmpp.jid right?" } else { "" };
        Self::Passing(format!("{}{advice}", Error::from(error)))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Passing(error.to_string())
    }
}

/// Connects and logs in, all within [`DEADLINE`].
///
/// # Errors
/// See [`Failure`].
pub async fn log_in(connector: &Connector, account: &Account) -> Result<Connection, Failure> {
    match tokio::time::timeout(DEADLINE, attempt(connector, account)).await {
        Ok(result) => result,
        Err(_) => Err(Failure::Passing(format!("no log-in within {} s", DEADLINE.as_secs()))),
    }
}

/// How long the goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// Logs in and leaves again: no session is begun, so that nobody sees it and no other session is disturbed.
///
/// # Errors
/// See [`Failure`].
pub async fn rehearse(config: &Xmpp) -> Result<(), Failure> {
    let account = Account::new(config)?;
    let timeouts = Timeouts { read_timeout: SILENCE, response_timeout: PATIENCE };
    let connector = Connector::new(&account, timeouts)?;
    let mut connection = log_in(&connector, &account).await?;
    let goodbye = SinkExt::<&XmppStreamElement>::close(&mut connection.stream);
    // It has been let in: that is what was asked.
    let _ = tokio::time::timeout(GOODBYE, goodbye).await;
    Ok(())
}

async fn attempt(connector: &Connector, account: &Account) -> Result<Connection, Failure> {
    let (pending, binding) = connector.connect().await?;
    let (features, stream) = pending.recv_features().await?;
    let features: StreamFeatures = features;
    let choice = choose(&features, binding)?;
    let credentials = Credentials::default()
        .with_username(account.jid.node().map(|node| node.as_str()).unwrap_or_default())
        .with_password(account.password.expose_secret())
        .with_channel_binding(choice.binding);
    let stream = client_login(stream, choice.mechanisms, credentials).await.map_err(|e| refusal(e, account))?;
    let to = Some(Cow::Borrowed(account.jid.domain().as_str()));
    let pending = stream.send_header(StreamHeader { to, from: None, id: None }).await?;
    let (features, stream) = pending.recv_features().await?;
    Ok(Connection { stream: stream.box_stream(), features, identity: Jid::from(account.jid.clone()) })
}

struct Choice {
    mechanisms: BTreeSet<String>,
    binding: ChannelBinding,
}

/// The mechanisms to try, and the binding that fits them: the library takes only `-PLUS` ones when it is given a
/// binding, and would go down to PLAIN where the server has none of them.
fn choose(features: &StreamFeatures, binding: ChannelBinding) -> Result<Choice, Fatal> {
    let offered = &features.sasl_mechanisms;
    let of = |names: &[&str]| -> BTreeSet<String> {
        names.iter().filter(|name| offered.contains(**name)).map(|name| (*name).to_owned()).collect()
    };
    // XEP-0440: only what the server says it can bind to. Where it does not say (ejabberd 23.01), it offers -PLUS for the
    // binding of TLS 1.2 and takes any other for a wrong password.
    let server_can_export =
        features.sasl_cb.as_ref().is_some_and(|announced| announced.types.contains(&sasl_cb::Type::TlsExporter));
    let bound = of(&["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS"]);
    if matches!(binding, ChannelBinding::TlsExporter(_)) && server_can_export && !bound.is_empty() {
        return Ok(Choice { mechanisms: bound, binding });
    }
    for names in [&["SCRAM-SHA-256", "SCRAM-SHA-1"][..], &["PLAIN"][..]] {
        let mechanisms = of(names);
        if !mechanisms.is_empty() {
            return Ok(Choice { mechanisms, binding: ChannelBinding::None });
        }
    }
    let names: Vec<&str> = offered.iter().map(String::as_str).collect();
    Err(Fatal::NoMechanism { offered: if names.is_empty() { "none".into() } else { names.join(", ") } })
}

fn refusal(error: Error, account: &Account) -> Failure {
    let Error::Auth(error) = error else { return error.into() };
    let jid = account.jid.to_string();
    match error {
        AuthError::Fail(condition) => match condition {
            DefinedCondition::TemporaryAuthFailure | DefinedCondition::Aborted => {
                Failure::Passing("the server cannot check passwords at the moment".into())
            }
            DefinedCondition::NotAuthorized => Fatal::Login { jid, problem: "not authorized".into() }.into(),
            DefinedCondition::AccountDisabled => Fatal::Login { jid, problem: "account disabled".into() }.into(),
            DefinedCondition::CredentialsExpired
            | DefinedCondition::EncryptionRequired
            | DefinedCondition::IncorrectEncoding
            | DefinedCondition::InvalidAuthzid
            | DefinedCondition::InvalidMechanism
            | DefinedCondition::MalformedRequest
            | DefinedCondition::MechanismTooWeak => Fatal::Login { jid, problem: format!("{condition:?}") }.into(),
        },
        AuthError::Sasl(problem) => Fatal::Login { jid, problem: problem.to_string() }.into(),
        AuthError::NoMechanism | AuthError::ComponentFail => Fatal::NoMechanism { offered: "none known".into() }.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offering(mechanisms: &[&str]) -> StreamFeatures {
        StreamFeatures {
            sasl_mechanisms: mechanisms.iter().map(|name| (*name).to_owned()).collect(),
            ..StreamFeatures::default()
        }
    }

    fn exporting(mechanisms: &[&str]) -> StreamFeatures {
        let types = vec![sasl_cb::Type::TlsExporter];
        StreamFeatures { sasl_cb: Some(sasl_cb::SaslChannelBinding { types }), ..offering(mechanisms) }
    }

    fn chosen(features: &StreamFeatures, binding: ChannelBinding) -> Vec<String> {
        choose(features, binding).unwrap().mechanisms.into_iter().collect()
    }

    #[test]
    fn plain_is_not_tried_where_scram_is_offered_without_channel_binding() {
        let exporter = ChannelBinding::TlsExporter(vec![1]);
        assert_eq!(chosen(&exporting(&["PLAIN", "SCRAM-SHA-1"]), exporter), ["SCRAM-SHA-1"]);
    }

    #[test]
    fn a_bound_mechanism_is_taken_where_both_sides_can() {
        let all = ["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS"];
        assert_eq!(chosen(&exporting(&all), ChannelBinding::TlsExporter(vec![1])), ["SCRAM-SHA-1-PLUS"]);
        assert_eq!(chosen(&exporting(&all), ChannelBinding::None), ["SCRAM-SHA-1"]);
    }

    #[test]
    fn a_server_that_does_not_say_what_it_binds_to_is_not_asked_to_bind() {
        let features = offering(&["PLAIN", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1"]);
        assert_eq!(chosen(&features, ChannelBinding::TlsExporter(vec![1])), ["SCRAM-SHA-1"]);
    }

    #[test]
    fn a_server_that_binds_only_to_something_else_is_not_asked_to_bind() {
        let mut features = offering(&["SCRAM-SHA-1", "SCRAM-SHA-1-PLUS"]);
        features.sasl_cb = Some(sasl_cb::SaslChannelBinding { types: vec![sasl_cb::Type::TlsServerEndPoint] });
        let choice = choose(&features, ChannelBinding::TlsExporter(vec![1])).unwrap();
        assert_eq!(choice.mechanisms.into_iter().collect::<Vec<_>>(), ["SCRAM-SHA-1"]);
    }

    #[test]
    fn a_server_without_a_known_mechanism_is_named_with_what_it_offers() {
        let error = choose(&offering(&["EXTERNAL", "ANONYMOUS"]), ChannelBinding::None).err().unwrap();
        assert_eq!(error, Fatal::NoMechanism { offered: "ANONYMOUS, EXTERNAL".into() });
    }
}
