//! The one message about each caller to the members of the queue: what it says, and what it says later.

use crate::{
    desk::QuickResponse,
    domain::{
        command::{Verb, labels::Label},
        fact::Fact,
        id::{CallId, Extension, QueueName},
        queue::{
            announce::{Filling, Template},
            caller::Arrival,
            event::Event,
            standing::{Standing, Turn},
        },
        room::lines::News,
        words::Words,
    },
    floor::Service,
};

/// The calls of an earlier run of which an event tells; `None`: it tells of now.
fn found(event: &Event) -> Option<Vec<News>> {
    let of = |arrival: &Arrival| {
        let Arrival { call, queue, customer, .. } = arrival.clone();
        News::Found { call, queue, customer }
    };
    if let Event::CallerFound(arrival, _)
    | Event::TalkFound { arrival, .. }
    | Event::TalkOver { arrival, .. }
    | Event::PartedFound { arrival, .. } = event
    {
        return Some(vec![of(arrival)]);
    }
    if let Event::Kept(kept) = event {
        let kept = kept.iter().map(|kept| (kept.call, kept.queue.clone(), kept.customer.clone()));
        return Some(kept.map(|(call, queue, customer)| News::Found { call, queue, customer }).collect());
    }
    matches!(event, Event::BackFound { .. } | Event::BackRemembered { .. } | Event::HandOverFound { .. }).then(Vec::new)
}

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

    /// What has happened is said in the queue's room.
    pub(super) fn tell_rooms(&self, fact: &Fact) {
        if self.rooms.is_none() {
            return;
        }
        let caller = self.floor.callers().get(&fact.call());
        let whose = caller.map(|caller| (caller.arrival.queue.clone(), caller.arrival.customer.clone()));
        // Of what is found, that they came and with whom they talk was said by the run that saw it.
        let is_old = self.takes_up && matches!(fact, Fact::CallEntered { .. } | Fact::CallAnswered { .. });
        self.send_to_rooms(News::Happened { fact: fact.clone(), whose, is_old });
    }

    /// What comes is of an earlier run, or of now.
    pub(super) fn take_up(&mut self, event: &Event) {
        if self.rooms.is_none() {
            return;
        }
        let found = found(event);
        self.takes_up = found.is_some();
        found.into_iter().flatten().for_each(|news| self.send_to_rooms(news));
    }

    fn send_to_rooms(&self, news: News) {
        if self.rooms.as_ref().is_some_and(|rooms| rooms.try_send(news).is_err()) {
            tracing::debug!("rooms do not keep up: a line is left out");
        }
    }

    fn with(&self, standing: &Standing) -> String {
        let person = |extension: &Extension| match self.floor.agents().get(extension) {
            Some(agent) => agent.row.shown(),
            None => extension.number_outside().unwrap_or(extension.as_str()).to_owned(),
        };
        let queue = |name: &QueueName| self.floor.queue(name).map_or_else(|| name.to_string(), |row| row.label.clone());
        standing.with(person, queue)
    }
}
