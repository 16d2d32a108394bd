//! How a pop is written: from the configuration, its queue and the moment.

use std::time::Duration;

use jiff::Timestamp;
use xmpp_parsers::minidom::Element;

use super::{CallerPart, CustomerPart, Payload, sendable, time};
use crate::{
    config,
    domain::pop::{
        Pop,
        link::{Filling, Tells, Template},
        token::{Claims, Key},
    },
};

/// Whether somebody calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Somebody does.
    Real,
    /// `usher demo-pop`: nobody does.
    Test,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Forms {
    Xml,
    XmlAndJson,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum People {
    Shown,
    Withheld,
}

/// How pops are written.
#[derive(Debug, Clone)]
pub struct Style {
    forms: Forms,
    people: People,
    key: Option<Key>,
    lifetime: Duration,
}

impl Style {
    /// As `[pops]` says.
    pub fn new(config: &config::Pops) -> Self {
        Self {
            forms: if config.json { Forms::XmlAndJson } else { Forms::Xml },
            people: if config.private { People::Withheld } else { People::Shown },
            key: config.link_secret.clone().map(Key::new),
            lifetime: config.link_lifetime,
        }
    }

    /// The payload of one revision, sent now; `template`: the queue's.
    pub fn element(&self, pop: &Pop, kind: Kind, template: Option<&Template>, now: Timestamp) -> Element {
        let link = template.and_then(|template| self.link(pop, template, now));
        let (customer, caller, private) = match self.people {
            People::Shown => {
                let (id, code) = (pop.customer.id, pop.customer.code.to_string());
                let customer = CustomerPart { id, code, name: sendable(&pop.customer.name), link };
                let caller = CallerPart { number: sendable(&pop.caller.number), name: sendable(&pop.caller.name) };
                (customer, caller, None)
            }
            People::Withheld => {
                let customer = CustomerPart { id: 0, code: String::new(), name: String::new(), link };
                (customer, CallerPart { number: String::new(), name: String::new() }, Some(true))
            }
        };
        let mut payload = Payload {
            call: pop.call.to_string(),
            revision: pop.revision,
            state: pop.state.as_str().into(),
            extension: pop.extension.to_string(),
            queue: pop.queue.to_string(),
            entered: time(pop.entered_at),
            changed: time(pop.changed_at),
            private,
            test: match kind {
                Kind::Real => None,
                Kind::Test => Some(true),
            },
            customer,
            caller,
            json: None,
        };
        if self.forms == Forms::XmlAndJson {
            payload.json = Some(payload.as_json());
        }
        payload.into()
    }

    /// The address of the customer's page. None where it would tell what is left out, or there is no secret for a token.
    fn link(&self, pop: &Pop, template: &Template, now: Timestamp) -> Option<String> {
        let token = match (template.tells(), self.people, &self.key) {
            (Tells::Person, People::Withheld, _) | (Tells::Token, _, None) => return None,
            (Tells::Token, _, Some(key)) => key.sign(&Claims {
                call: pop.call,
                customer: pop.customer.id,
                extension: pop.extension.clone(),
                exp: now.as_second().saturating_add_unsigned(self.lifetime.as_secs()),
            }),
            (Tells::Person, People::Shown, _) | (Tells::Nothing, _, _) => String::new(),
        };
        Some(template.fill(&Filling { customer: &pop.customer, caller: &pop.caller, token: &token }))
    }
}
