//! What contacts have sent, and what they have to send: only what is new, and only to those who may see it.
//!
//! A contact forgets nothing of what it has sent as long as a connection stands, and after that starts from nothing: who was subscribed is
//! not written down anywhere. So at the beginning of a connection everybody who may see a contact is taken to be subscribed; servers keep
//! to themselves, or to clients that do not show it, what nobody has asked for. From then on people come and go by their own word.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use crate::domain::{contact::Shown, id::QueueName};

/// How often a text is sent anew of which no more than a clock has moved.
pub const MOVES: Duration = Duration::from_secs(15);

/// One presence to be sent by a queue's contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word<J> {
    /// By which queue's.
    pub queue: QueueName,
    /// To whom.
    pub to: J,
    /// What.
    pub what: What,
}

/// What a presence says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A resource is there.
    Here {
        /// Which.
        resource: String,
        /// How.
        shown: Shown,
    },
    /// A resource is not there; `None`: none is.
    Away(Option<String>),
    /// They may see the contact.
    Let,
    /// They may not, or not any more.
    Refuse,
}

/// Why somebody is to be told how a contact stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// They want to see it from now on.
    Subscribe,
    /// Their server asks for them, as it does when they come online.
    Probe,
}

/// All contacts. `J`: the address of a person.
#[derive(Debug)]
pub struct Board<J> {
    contacts: BTreeMap<QueueName, Contact<J>>,
    /// Contacts that have something to send, in the order in which that came up.
    due: VecDeque<QueueName>,
}

#[derive(Debug)]
struct Contact<J> {
    /// How it stands; empty: there is no such queue.
    wanted: BTreeMap<String, Shown>,
    /// Resources that may have been seen before this connection.
    gone: Vec<String>,
    /// What its watchers were told on this connection, and when; `None`: nothing.
    told: Option<BTreeMap<String, (Shown, Instant)>>,
    watchers: BTreeSet<J>,
}

impl<J> Default for Contact<J> {
    fn default() -> Self {
        Self { wanted: BTreeMap::new(), gone: vec![], told: None, watchers: BTreeSet::new() }
    }
}

impl<J> Default for Board<J> {
    fn default() -> Self {
        Self { contacts: BTreeMap::new(), due: VecDeque::new() }
    }
}

/// A contact as it is now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Now {
    /// What it shows, by resource.
    pub resources: BTreeMap<String, Shown>,
    /// Resources that it does not have, and perhaps had before.
    pub gone: Vec<String>,
}

impl<J: Ord + Clone> Board<J> {
    /// A connection begins: `likely` are those who may see each contact.
    pub fn connected(&mut self, likely: impl IntoIterator<Item = (QueueName, J)>) {
        for (queue, person) in likely {
            self.contacts.entry(queue).or_default().watchers.insert(person);
        }
        self.due.clear();
        for (queue, contact) in &mut self.contacts {
            contact.told = None;
            self.due.push_back(queue.clone());
        }
    }

    /// All contacts as they are now; what is not among them is gone.
    pub fn look(&mut self, mut contacts: BTreeMap<QueueName, Now>, now: Instant) {
        for queue in contacts.keys() {
            if !self.contacts.contains_key(queue) {
                self.contacts.insert(queue.clone(), Contact::default());
            }
        }
        for (queue, contact) in &mut self.contacts {
            let Now { resources, gone } = contacts.remove(queue).unwrap_or_default();
            (contact.wanted, contact.gone) = (resources, gone);
            if contact.has_news(now) && !self.due.contains(queue) {
                self.due.push_back(queue.clone());
            }
        }
    }

    /// What the next contact that has something to send sends; empty: there is none.
    pub fn next(&mut self, now: Instant) -> Vec<Word<J>> {
        while let Some(queue) = self.due.pop_front() {
            let Some(contact) = self.contacts.get_mut(&queue) else { continue };
            let news = contact.news(now);
            let words: Vec<Word<J>> = contact.watchers.iter().flat_map(|to| addressed(&queue, to, &news)).collect();
            if contact.wanted.is_empty() && contact.watchers.is_empty() {
                self.contacts.remove(&queue);
            }
            if !words.is_empty() {
                return words;
            }
        }
        vec![]
    }

    /// Somebody wants to see a contact, and `may` or may not. They are told what everybody was told, so that what comes later is as new to
    /// them as to the others.
    pub fn wishes(&mut self, wish: Wish, queue: &QueueName, person: J, may: bool) -> Vec<Word<J>> {
        if !may {
            return addressed(queue, &person, &[What::Refuse]).collect();
        }
        let contact = self.contacts.entry(queue.clone()).or_default();
        let allowed = (wish == Wish::Subscribe).then_some(What::Let);
        let here = contact.told.iter().flatten();
        let here = here.map(|(resource, (shown, _))| What::Here { resource: resource.clone(), shown: shown.clone() });
        let what: Vec<What> = allowed.into_iter().chain(here).collect();
        contact.watchers.insert(person.clone());
        addressed(queue, &person, &what).collect()
    }

    /// Somebody does not want to see a contact any more.
    pub fn leaves(&mut self, queue: &QueueName, person: &J) -> Vec<Word<J>> {
        let Some(contact) = self.contacts.get_mut(queue) else { return vec![] };
        if !contact.watchers.remove(person) {
            return vec![];
        }
        addressed(queue, person, &contact.farewell()).collect()
    }

    /// Nothing reaches somebody: until they are heard of again nothing is sent to them.
    pub fn unreachable(&mut self, queue: &QueueName, person: &J) {
        if let Some(contact) = self.contacts.get_mut(queue) {
            contact.watchers.remove(person);
        }
    }

    /// Takes out who may not see a contact any more.
    pub fn review(&mut self, may: impl Fn(&J, &QueueName) -> bool) -> Vec<Word<J>> {
        let mut words = Vec::new();
        for (queue, contact) in &mut self.contacts {
            let farewell: Vec<What> = contact.farewell().into_iter().chain([What::Refuse]).collect();
            contact.watchers.retain(|person| {
                let stays = may(person, queue);
                if !stays {
                    words.extend(addressed(queue, person, &farewell));
                }
                stays
            });
        }
        words
    }

    /// The last words of the next contact that has shown something; empty: there is none.
    pub fn goodbye(&mut self) -> Vec<Word<J>> {
        self.due.clear();
        while let Some((queue, contact)) = self.contacts.pop_first() {
            let farewell = contact.farewell();
            let words: Vec<Word<J>> = contact.watchers.iter().flat_map(|to| addressed(&queue, to, &farewell)).collect();
            if !words.is_empty() {
                return words;
            }
        }
        vec![]
    }
}

impl<J> Contact<J> {
    fn has_news(&self, now: Instant) -> bool {
        match &self.told {
            None => !self.wanted.is_empty(),
            Some(told) => {
                self.wanted.iter().any(|(resource, shown)| is_news(told.get(resource), shown, now))
                    || told.keys().any(|resource| !self.wanted.contains_key(resource))
            }
        }
    }

    /// What watchers are to be told now; it counts as told.
    fn news(&mut self, now: Instant) -> Vec<What> {
        if self.wanted.is_empty() && self.told.is_none() {
            return vec![];
        }
        let begins = self.told.is_none();
        let told = self.told.get_or_insert_default();
        // RFC 6121, 4.3.2: from the bare address it means that no resource is there.
        let mut news: Vec<What> = if begins { vec![What::Away(None)] } else { vec![] };
        if begins {
            news.extend(self.gone.iter().cloned().map(|resource| What::Away(Some(resource))));
        }
        told.retain(|resource, _| {
            let stays = self.wanted.contains_key(resource);
            if !stays {
                news.push(What::Away(Some(resource.clone())));
            }
            stays
        });
        for (resource, shown) in &self.wanted {
            if is_news(told.get(resource), shown, now) {
                told.insert(resource.clone(), (shown.clone(), now));
                news.push(What::Here { resource: resource.clone(), shown: shown.clone() });
            }
        }
        news
    }

    /// That nothing of what was shown is there any more.
    fn farewell(&self) -> Vec<What> {
        self.told.iter().flatten().map(|(resource, _)| What::Away(Some(resource.clone()))).collect()
    }
}

/// Whether a resource has to be shown anew.
fn is_news(told: Option<&(Shown, Instant)>, shown: &Shown, now: Instant) -> bool {
    match told {
        None => true,
        Some((told, _)) if (told.show, &told.fixed) != (shown.show, &shown.fixed) => true,
        Some((told, at)) => told.text != shown.text && now.saturating_duration_since(*at) >= MOVES,
    }
}

fn addressed<'a, J: Clone>(queue: &'a QueueName, to: &'a J, what: &'a [What]) -> impl Iterator<Item = Word<J>> + 'a {
    what.iter().map(|what| Word { queue: queue.clone(), to: to.clone(), what: what.clone() })
}
