//! The one message about each caller to the members of the queue: what it says, and what it says later.

use crate::{
    desk::QuickResponse,
    domain::{
        command::{Verb, labels::Label},
        fact::Fact,
        id::{CallId, Extension},
        queue::{
            announce::{Filling, Template},
            standing::{Standing, Turn},
        },
        words::Words,
    },
    floor::Service,
};

impl Service {
    pub(super) fn announce(&mut self, call: CallId, position: usize, to: &[Extension]) {
        let Some(caller) = self.floor.callers().get(&call) else { return };
        let Some(queue) = self.floor.queue(&caller.arrival.queue) else { return };
        if queue.announcement.is_empty() {
            return;
        }
        let template: Template = queue.announcement.parse().unwrap_or_else(|error| {
            tracing::warn!(queue.name = %queue.name, %error, "the queue's announcement is not valid: using the default");
            self.language.announcement().parse().unwrap_or_default()
        });
        let arrival = &caller.arrival;
        let (customer, caller) = (&arrival.customer, &arrival.caller);
        let text = template.fill(Filling { queue: &queue.label, customer, caller, position });
        let language = self.language;
        let (mut body, mut responses) = (text.clone(), Vec::new());
        if !queue.policy.claim.is_zero() {
            let code = customer.code.as_str();
            body = format!("{body}\n{}", language.say(Words::Claim { code }));
            responses.extend([(Verb::Take, Label::Take), (Verb::Decline, Label::Decline)].map(|(verb, label)| {
                let value = format!("{} {code}", verb.word(language));
                QuickResponse { value, label: label.say(language).to_owned() }
            }));
        }
        let jids = to.iter().filter_map(|e| self.floor.agents().get(e)).map(|agent| agent.row.jid.clone()).collect();
        self.desk.announce(call, jids, body, responses);
        self.standings.announced(call);
        self.announced.insert(call, text);
    }

    /// What has happened changes the message, if members were told of that caller.
    pub(super) fn correct(&mut self, fact: &Fact) {
        let Some(Turn { call, standing, is_last }) = self.standings.hear(fact) else { return };
        let Some(announced) = self.announced.get(&call) else { return };
        let with = self.with(&standing);
        let line = format!("\n→ {}", self.language.say(Words::Standing { standing: &standing, with: &with }));
        // Once a phone has rung, or they want to be called back, nothing is kept for those who answer.
        let body = format!("{announced}{line}");
        self.desk.correct(call, body, is_last);
        if is_last {
            self.announced.remove(&call);
        }
    }

    fn with(&self, standing: &Standing) -> String {
        let person = |extension: &Extension| match self.floor.agents().get(extension) {
            Some(agent) => agent.row.shown(),
            None => extension.number_outside().unwrap_or(extension.as_str()).to_owned(),
        };
        match standing {
            Standing::Rings(extensions) => extensions.iter().map(person).collect::<Vec<_>>().join(", "),
            Standing::Taken(extension) | Standing::SentTo(extension) => person(extension),
            Standing::WentOn(queue) => {
                self.floor.queue(queue).map_or_else(|| queue.to_string(), |queue| queue.label.clone())
            }
            Standing::Waits
            | Standing::CallsBack
            | Standing::HungUp
            | Standing::Cancelled
            | Standing::NotReached
            | Standing::CalledAgain
            | Standing::Left => String::new(),
        }
    }
}
