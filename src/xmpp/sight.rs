//! What the account sees of others: what their clients show, and whose presence it may see at all (RFC 6121).

use std::time::{Duration, Instant};

use jiff::Timestamp;
use xmpp_parsers::{
    delay::Delay,
    iq::IqPayload,
    jid::{BareJid, Jid},
    message::Lang,
    minidom::Element,
    ns,
    presence::{Presence, Show as Shown, Type},
    roster::{Ask, Item, Roster, Subscription},
};

use crate::{
    domain::presence::Show,
    xmpp::session::{RequestError, Session},
};

/// What waits for whoever looks: a thousand people with a few clients each, all of whom come within a moment after each log-in.
pub const WAITING: usize = 8192;

/// Something that was seen.
#[derive(Debug, Clone)]
pub enum Sight {
    /// A fresh session, by which others can be asked: nothing that was seen before counts.
    Online(Session),
    /// The connection broke.
    Suspended,
    /// It stands again, and nothing was missed.
    Resumed,
    /// Something was not handed over: what was seen before may not be true any more.
    Missed,
    /// A client of somebody shows this.
    Shows {
        /// Who.
        who: BareJid,
        /// Which client.
        resource: String,
        /// What.
        show: Show,
        /// In their own words; may be empty.
        text: String,
        /// For how long already, as their server says.
        ago: Duration,
    },
    /// A client of somebody has gone.
    Gone {
        /// Who.
        who: BareJid,
        /// Which client.
        resource: String,
        /// How long ago.
        ago: Duration,
    },
    /// Whether somebody lets the account see them.
    Contact(Contact),
}

/// Somebody in the account's own roster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// Who.
    pub who: BareJid,
    /// They let the account see them.
    pub may_be_seen: bool,
    /// They were asked and have not answered.
    pub is_asked: bool,
}

impl From<Item> for Contact {
    fn from(item: Item) -> Self {
        let may_be_seen = matches!(item.subscription, Subscription::To | Subscription::Both);
        Self { who: item.jid, may_be_seen, is_asked: matches!(item.ask, Ask::Subscribe) }
    }
}

/// What a presence tells; `None`: nothing of a person's clients.
///
/// A client with a negative priority is a program at work beside the person (RFC 6121 section 4.7.2.3), such as one that shows pops.
pub(super) fn of_presence(presence: &Presence, now: Timestamp) -> Option<Sight> {
    let from = presence.from.as_ref()?;
    let (who, resource) = (from.to_bare(), from.resource().map(ToString::to_string).unwrap_or_default());
    let ago = presence.payloads.iter().find_map(|payload| since(payload, now)).unwrap_or_default();
    match presence.type_ {
        Type::None if presence.priority.0 < 0 => Some(Sight::Gone { who, resource, ago: Duration::ZERO }),
        Type::None => {
            let show = match presence.show {
                None | Some(Shown::Chat) => Show::Available,
                Some(Shown::Dnd) => Show::Dnd,
                Some(Shown::Away | Shown::Xa) => Show::Away,
            };
            let text = presence.statuses.get(&Lang::default()).or_else(|| presence.statuses.values().next());
            Some(Sight::Shows { who, resource, show, text: text.cloned().unwrap_or_default(), ago })
        }
        Type::Unavailable => Some(Sight::Gone { who, resource, ago }),
        Type::Error | Type::Probe | Type::Subscribe | Type::Subscribed | Type::Unsubscribe | Type::Unsubscribed => None,
    }
}

/// How long ago a stanza was sent that was delivered late (XEP-0203); a stamp of the future is now.
fn since(payload: &Element, now: Timestamp) -> Option<Duration> {
    if !payload.is("delay", ns::DELAY) {
        return None;
    }
    let stamp = Delay::try_from(payload.clone()).ok()?.stamp.0.timestamp();
    let seconds = now.as_second().saturating_sub(stamp);
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or_default()))
}

/// What a push of the account's own roster tells (RFC 6121 section 2.1.6), which only the server may send: for the account itself, or in its
/// own name.
pub(super) fn of_push(element: &Element, from: Option<&Jid>, own: &BareJid) -> Option<Vec<Contact>> {
    let is_the_servers = from.is_none_or(|from| from.resource().is_none() && from.to_bare() == *own);
    if !is_the_servers || !element.is("query", ns::ROSTER) {
        return None;
    }
    let roster = Roster::try_from(element.clone()).ok()?;
    Some(roster.items.into_iter().map(Contact::from).collect())
}

/// Asks whom the account may see.
///
/// # Errors
/// See [`RequestError`].
pub async fn contacts(session: &Session, own: BareJid, within: Duration) -> Result<Vec<Contact>, RequestError> {
    let query = Roster { ver: None, items: Vec::new() };
    let answer = session.request(own.into(), IqPayload::Get(query.into()), within).await?;
    let roster = answer.and_then(|element| Roster::try_from(element).ok());
    Ok(roster.map(|roster| roster.items).unwrap_or_default().into_iter().map(Contact::from).collect())
}

/// Asks somebody to let the account see them, and says why.
pub async fn ask(session: &Session, who: BareJid, why: &str) {
    let mut presence = Presence::subscribe().with_to(who);
    presence.set_status(Lang::default(), why.to_owned());
    session.send(presence.into()).await;
}

/// When something was that was so long ago.
pub fn before(now: Instant, ago: Duration) -> Instant {
    // The steady clock begins with the machine.
    now.checked_sub(ago).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(xml: &str) -> Option<Sight> {
        let xml = xml.replacen(' ', " xmlns='jabber:client' ", 1);
        let presence = Presence::try_from(xml.parse::<Element>().unwrap()).unwrap();
        of_presence(&presence, "2026-11-23T10:00:00Z".parse().unwrap())
    }

    #[test]
    fn what_a_client_shows_is_one_of_three_and_since_when_is_what_the_server_says() {
        for (inside, expected, words) in [
            ("", Show::Available, ""),
            ("<show>chat</show>", Show::Available, ""),
            ("<show>away</show><status>tea</status>", Show::Away, "tea"),
            ("<show>xa</show><status xml:lang='de'>Urlaub</status>", Show::Away, "Urlaub"),
            ("<show>dnd</show><priority>5</priority>", Show::Dnd, ""),
        ] {
            let sight = seen(&format!("<presence from='ana@example.org/desk'>{inside}</presence>"));
            let Some(Sight::Shows { who, resource, show, text, ago }) = sight else { panic!("{inside}") };
            assert_eq!((who.as_str(), resource.as_str()), ("ana@example.org", "desk"));
            assert_eq!((show, text.as_str(), ago), (expected, words, Duration::ZERO), "{inside}");
        }
        let delayed = |stamp: &str| {
            let xml = format!(
                "<presence from='ana@example.org/desk'><delay xmlns='urn:xmpp:delay' stamp='{stamp}'/></presence>"
            );
            match seen(&xml) {
                Some(Sight::Shows { ago, .. }) => ago.as_secs(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(delayed("2026-11-23T09:50:00Z"), 600);
        assert_eq!(delayed("2026-11-23T11:00:00+02:00"), 3600);
        assert_eq!(delayed("2026-11-23T10:05:00Z"), 0, "a stamp of the future");
    }

    #[test]
    fn a_program_beside_the_person_is_not_the_person_and_errors_tell_nothing() {
        let gone = |xml: &str| matches!(seen(xml), Some(Sight::Gone { .. }));
        assert!(gone("<presence from='ana@example.org/crm'><priority>-1</priority></presence>"));
        assert!(gone("<presence from='ana@example.org/desk' type='unavailable'/>"));
        assert!(seen("<presence from='ana@example.org' type='subscribed'/>").is_none());
        assert!(seen("<presence from='ana@example.org' type='error'/>").is_none());
        assert!(seen("<presence type='unavailable'/>").is_none());
    }

    #[test]
    fn only_the_server_tells_whom_the_account_may_see() {
        let own: BareJid = "usher@example.org".parse().unwrap();
        let push: Element = "<query xmlns='jabber:iq:roster'><item jid='ana@example.org' subscription='to'/>\
             <item jid='bea@example.org' subscription='none' ask='subscribe'/></query>"
            .parse()
            .unwrap();
        let contacts = of_push(&push, None, &own).unwrap();
        let told: Vec<_> = contacts.iter().map(|contact| (contact.may_be_seen, contact.is_asked)).collect();
        assert_eq!(told, [(true, false), (false, true)]);
        assert_eq!(of_push(&push, Some(&own.clone().into()), &own), Some(contacts));
        for stranger in ["mallory@example.org/x", "example.org", "usher@example.org/other"] {
            assert_eq!(of_push(&push, Some(&stranger.parse().unwrap()), &own), None, "{stranger}");
        }
    }
}
