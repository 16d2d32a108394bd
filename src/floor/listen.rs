//! Listens to one Asterisk for the floor: passes events on in their order, and asks for everything after each gap.

use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::{
    ari::{Ari, Error, Incoming, Request, wire},
    domain::{
        id::{CallId, ChannelId, CustomerCode, QueueName},
        queue::{
            caller::{Arrival, Caller, Penalties},
            roster::{CallerId, Customer},
        },
    },
    floor::{Input, resync},
};

/// Channel variable with the queue that the dialplan chose.
pub(super) const QUEUE: &str = "USHER_QUEUE";
/// Channel variables with the customer, set over AGI.
const CUSTOMER_ID: &str = "CUSTOMER_ID";
const CUSTOMER_CODE: &str = "CUSTOMER_CODE";
const CUSTOMER_NAME: &str = "CUSTOMER_NAME";
/// Channel variable with the caller's priority, a whole number; 0 without it.
pub(super) const PRIORITY: &str = "USHER_PRIORITY";
/// Channel variables with the penalties of the members whom the caller may be given, as app_queue has them.
const MIN_PENALTY: &str = "QUEUE_MIN_PENALTY";
const MAX_PENALTY: &str = "QUEUE_MAX_PENALTY";
/// Channel variables that we leave on the channel, so that a later run of the service knows the call.
const CALL: &str = "USHER_CALL";
pub(super) const ENTERED: &str = "USHER_ENTERED";
/// Variable of a caller's leg that has the place of an earlier call: `CALL TIME`, since when they wait. It names the call, because a
/// channel may come in again.
pub(super) const SINCE: &str = "USHER_SINCE";
/// Variable of a member's leg.
pub(super) const EXTENSION: &str = "USHER_EXTENSION";

/// Runs until the link's keeper or the floor ends.
pub(super) async fn run(ari: Ari, mut incoming: mpsc::Receiver<Incoming>, inputs: mpsc::Sender<Input>) {
    let server = ari.server().clone();
    while let Some(incoming) = incoming.recv().await {
        let input = match incoming {
            Incoming::Event(event) => Input::Ari { server: server.clone(), event },
            Incoming::Down { .. } => Input::Down { server: server.clone() },
            // Events that come meanwhile wait in `incoming`, and are told after the snapshot.
            Incoming::Up => match resync::take(&ari).await {
                Ok(snapshot) => Input::Snapshot { server: server.clone(), snapshot },
                Err(error) => {
                    tracing::warn!(server.name = %server, %error, "cannot list what is on this Asterisk; trying again");
                    match retry(&ari).await {
                        Some(snapshot) => Input::Snapshot { server: server.clone(), snapshot },
                        None => continue,
                    }
                }
            },
        };
        if inputs.send(input).await.is_err() {
            return;
        }
    }
}

/// Asks again as long as the link stands; when it falls, the next `Up` asks anew.
async fn retry(ari: &Ari) -> Option<resync::Snapshot> {
    let link = ari.link();
    while link.borrow().is_up() {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        if let Ok(snapshot) = resync::take(ari).await {
            return Some(snapshot);
        }
    }
    None
}

/// A new caller, if the event itself says all that the dialplan says of them.
pub(super) fn arrival(ari: &Ari, channel: &wire::Channel, call: CallId) -> Option<Arrival> {
    let found = found(ari, channel, call, &carried(channel)?);
    // Whoever comes in again is a new call, whatever mark an earlier one has left.
    Some(Arrival { call, ..found.arrival })
}

/// Marks the channel as ours, and answers it if the dialplan has not.
pub(super) fn mark(ari: &Ari, channel: &wire::Channel, call: CallId) {
    let id = ChannelId::new(&channel.id);
    drop(ari.send(Request::set_variable(&id, CALL, &call.to_string())));
    drop(ari.send(Request::set_variable(&id, ENTERED, &Timestamp::now().to_string())));
    if channel.state != "Up" {
        drop(ari.send(Request::answer(&id)));
    }
}

/// Reads what the dialplan says of a new caller, marks the channel as ours, and tells the floor.
pub(super) async fn welcome(ari: Ari, channel: wire::Channel, call: CallId, inputs: mpsc::Sender<Input>) {
    let id = ChannelId::new(&channel.id);
    let reading = Reading::start(&ari, &id);
    mark(&ari, &channel, call);
    match reading.finish(&ari, &channel, call).await {
        Ok(found) => drop(inputs.send(Input::Arrived { arrival: Arrival { call, ..found.arrival } }).await),
        // They hung up, or the link fell and the next snapshot has them.
        Err(error) => tracing::debug!(channel.id = %id, %error, "a caller was gone before their data were read"),
    }
}

/// What is read of a caller's channel, in this order.
const READ: [&str; COUNT] =
    [QUEUE, CUSTOMER_ID, CUSTOMER_CODE, CUSTOMER_NAME, CALL, ENTERED, PRIORITY, MIN_PENALTY, MAX_PENALTY];
const COUNT: usize = 9;

/// The caller's variables when the event itself carries them, which spares a request for each; `None` when this Asterisk's
/// `channelvars` does not name them all.
fn carried(channel: &wire::Channel) -> Option<[String; COUNT]> {
    let mut values: [String; COUNT] = Default::default();
    for (value, name) in values.iter_mut().zip(READ) {
        value.clone_from(channel.channelvars.get(name)?);
    }
    Some(values)
}

/// A caller's variables, asked for and on their way.
pub(super) struct Reading {
    answers: Vec<crate::ari::Answer>,
}

/// A channel in the application, with its variables.
#[derive(Debug)]
pub(super) struct Found {
    /// As a caller; for a channel that was not marked yet, under the id given.
    pub(super) arrival: Arrival,
    /// When the mark says that they entered; `None`: not marked.
    pub(super) entered: Option<Timestamp>,
}

impl Reading {
    pub(super) fn start(ari: &Ari, id: &ChannelId) -> Self {
        let answers = READ.iter().map(|name| ari.send(Request::variable(id, name))).collect();
        Self { answers }
    }

    pub(super) async fn finish(self, ari: &Ari, channel: &wire::Channel, call: CallId) -> Result<Found, Error> {
        let mut values: [String; COUNT] = Default::default();
        for (value, answer) in values.iter_mut().zip(self.answers) {
            *value = value_of(answer.wait().await)?;
        }
        Ok(found(ari, channel, call, &values))
    }
}

/// The caller on this channel with these values of [`READ`].
fn found(ari: &Ari, channel: &wire::Channel, call: CallId, values: &[String; COUNT]) -> Found {
    let [queue, id, code, name, marked, entered, priority, least, most] = values;
    let customer = Customer { id: id.parse().unwrap_or(0), code: CustomerCode::new(code), name: name.clone() };
    let marked: Option<CallId> = marked.parse().ok().map(CallId);
    let arrival = Arrival {
        call: marked.unwrap_or(call),
        server: ari.server().clone(),
        channel: ChannelId::new(&channel.id),
        queue: QueueName::new(queue),
        customer,
        caller: CallerId { number: channel.caller.number.clone(), name: channel.caller.name.clone() },
        priority: priority.parse().unwrap_or(0),
        penalties: Penalties {
            least: least.parse().unwrap_or(Penalties::ALL.least),
            most: most.parse().unwrap_or(Penalties::ALL.most),
        },
        returns_to: None,
        since: None,
    };
    Found { arrival, entered: marked.and_then(|_| entered.parse().ok()) }
}

/// The same values for the leg by which a caller is called back, so that a later run of the service knows it like any other.
pub(super) fn marks(caller: &Caller) -> serde_json::Value {
    let Arrival { call, queue, customer, priority, penalties, .. } = &caller.arrival;
    let all = penalties.most == Penalties::ALL.most;
    serde_json::json!({
        QUEUE: queue.as_str(),
        CUSTOMER_ID: customer.id.to_string(),
        CUSTOMER_CODE: customer.code.as_str(),
        CUSTOMER_NAME: customer.name,
        PRIORITY: priority.to_string(),
        MIN_PENALTY: penalties.least.to_string(),
        MAX_PENALTY: if all { String::new() } else { penalties.most.to_string() },
        CALL: call.to_string(),
        ENTERED: caller.entered.utc.to_string(),
    })
}

/// The value of a variable; one that is not set (Asterisk says 404 to that as to a missing channel) is empty.
pub(super) fn value_of(answer: Result<crate::ari::Response, Error>) -> Result<String, Error> {
    match answer {
        Ok(response) => Ok(response.json::<wire::Variable>()?.value),
        Err(Error::Gone(message)) if message.to_ascii_lowercase().contains("variable") => Ok(String::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_of_a_caller_are_asked_for_unless_their_event_carries_every_one() {
        let mut channel = wire::Channel::default();
        assert_eq!(carried(&channel), None);
        for name in READ {
            channel.channelvars.insert(name.into(), name.to_lowercase());
        }
        let values = carried(&channel).unwrap();
        assert_eq!((values[0].as_str(), values[3].as_str()), ("usher_queue", "customer_name"));
        channel.channelvars.remove(CUSTOMER_CODE);
        assert_eq!(carried(&channel), None);
    }
}
