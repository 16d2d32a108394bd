//! Service: what the dialplan asks while a caller or a member is in it. One request, one answer; no state of its own.
//!
//! The paths and the variables are the contract with `asterisk-conf/extensions.conf`.

use std::time::Duration;

use tokio::{sync::watch, time::timeout};

use crate::{
    agi::{Handler, RESULT, Reply, Request, UNAVAILABLE},
    desk,
    domain::{
        id::{CustomerCode, Extension, Interface, InvalidId, QueueName},
        queue::roster::Register,
        words::{Language, Words},
    },
    ledger,
};

/// How long a member who logs on waits for their node to be there. Then they are logged on all the same.
const NODE: Duration = Duration::from_millis(500);

/// Answers the dialplan.
#[derive(Debug)]
pub struct Ivr {
    /// Customers, log-ons.
    pub ledger: ledger::Handle,
    /// Nodes, notices.
    pub desk: desk::Handle,
    /// Whose JID belongs to an extension.
    pub roster: watch::Receiver<Register>,
    /// Of notices.
    pub language: Language,
}

impl Handler for Ivr {
    async fn handle(&self, request: Request) -> Reply {
        match request.path.trim_start_matches('/') {
            "customer" => self.customer(request.arg(0)).await,
            "log-on" => self.member(Verb::On, request.arg(0), request.arg(1)).await,
            "log-off" => self.member(Verb::Off, request.arg(0), request.arg(1)).await,
            other => {
                tracing::warn!(
                    path = other,
                    "the dialplan asks for something that is not there; it knows customer, log-on and log-off"
                );
                Reply::result(UNAVAILABLE)
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    On,
    Off,
}

impl Ivr {
    async fn customer(&self, code: &str) -> Reply {
        let found = match CustomerCode::parse(code) {
            Ok(code) => self.ledger.customer(&code).await,
            Err(_) => Ok(None),
        };
        let (id, code, name, result) = match found {
            Ok(Some(customer)) => (customer.id.to_string(), customer.code.to_string(), customer.name, "FOUND"),
            Ok(None) => (String::new(), String::new(), String::new(), "UNKNOWN"),
            Err(error) => {
                tracing::warn!(%error, "a customer could not be looked up");
                (String::new(), String::new(), String::new(), UNAVAILABLE)
            }
        };
        Reply::new().set("CUSTOMER_ID", id).set("CUSTOMER_CODE", code).set("CUSTOMER_NAME", name).set(RESULT, result)
    }

    /// Whose phone it is that the dialplan names by its endpoint: it need not be called as the extension.
    fn who(&self, endpoint: &str) -> Result<Extension, InvalidId> {
        let phone = Interface::new(format!("PJSIP/{endpoint}"));
        match self.roster.borrow().agent_at(&phone) {
            Some(agent) => Ok(agent.extension.clone()),
            None => Extension::parse(endpoint),
        }
    }

    async fn member(&self, verb: Verb, endpoint: &str, queue: &str) -> Reply {
        let (Ok(extension), Ok(queue)) = (self.who(endpoint), QueueName::parse(queue)) else {
            return Reply::result("REFUSED");
        };
        let done = match verb {
            Verb::On => self.ledger.log_on(&queue, &extension).await,
            Verb::Off => self.ledger.log_off(&queue, &extension).await,
        };
        match done {
            Ok(ledger::Change::Done) => {}
            Ok(ledger::Change::Refused) => {
                tracing::info!(extension = %extension, queue.name = %queue, ?verb, "refused");
                return Reply::result("REFUSED");
            }
            Err(error) => {
                tracing::warn!(extension = %extension, queue.name = %queue, ?verb, %error, "could not be done");
                return Reply::result(UNAVAILABLE);
            }
        }
        tracing::info!(extension = %extension, queue.name = %queue, ?verb, "done");
        if verb == Verb::On && timeout(NODE, self.desk.ensure_node(extension.clone())).await.is_err() {
            tracing::warn!(extension = %extension, "the node was not there in time; it follows when the XMPP server answers");
        }
        self.confirm(verb, &extension, &queue);
        Reply::result("OK")
    }

    /// Tells the member by message.
    fn confirm(&self, verb: Verb, extension: &Extension, queue: &QueueName) {
        let roster = self.roster.borrow();
        let label = roster.queue(queue).map_or(queue.as_str(), |q| q.label.as_str());
        let Some(agent) = roster.agent(extension) else { return };
        let (queue, extension) = (label, extension.as_str());
        let words = match verb {
            Verb::On => Words::LoggedOn { queue, extension },
            Verb::Off => Words::LoggedOff { queue, extension },
        };
        self.desk.tell(agent.jid.clone(), self.language.say(words));
    }
}
