//! `usher demo-pop`: a test pop through its whole life, for who writes a CRM and has nobody at hand who calls.
//!
//! Beside a running service: it steps back for a real pop, and takes its own away however it ends, short of a kill.

use std::{collections::BTreeSet, path::Path, time::Duration};

use anyhow::{Result, anyhow, bail};
use clap::Args;
use jiff::Timestamp;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep, sleep_until},
};
use uuid::Uuid;
use xmpp_parsers::{jid::BareJid, minidom::Element};

use crate::{
    cli::{explain, online::Online, pubsub::audit, ready, say},
    config::{Config, parse_duration},
    db::statements,
    desk::payload::{self, Kind, Style},
    domain::{
        id::{CallId, CustomerCode, Extension, QueueName},
        pop::{Pop, PopState, link::Template},
        queue::roster::{Agent, CallerId, Customer, Queue, Roster},
    },
    xmpp::pubsub::{Error, Pubsub},
};

/// How often it is looked whether somebody really calls.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// On whose desk.
    #[arg(value_parser = Extension::parse)]
    extension: Extension,
    /// Which customer calls.
    #[arg(value_parser = CustomerCode::parse)]
    code: CustomerCode,
    /// In which queue they wait [default: the first one that the extension is a member of, else the first one].
    #[arg(long, value_name = "NAME", value_parser = QueueName::parse)]
    queue: Option<QueueName>,
    /// From which number; '' for one that is withheld.
    #[arg(long, value_name = "TEXT", default_value = "5550100")]
    number: String,
    /// How long it is offered before it rings.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_duration)]
    offered: Duration,
    /// How long it rings before it is answered.
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = parse_duration)]
    ringing: Duration,
    /// How long they talk.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    answered: Duration,
}

pub(super) fn run(arguments: &Arguments, path: &Path) -> Result<()> {
    let config = Config::load(path)?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(demo(arguments, &config))
}

async fn demo(arguments: &Arguments, config: &Config) -> Result<()> {
    let roster = audit::read(config).await?;
    let agent = roster.agents.iter().find(|agent| agent.extension == arguments.extension);
    let agent =
        agent.ok_or_else(|| anyhow!("there is no extension {}: see `usher extension list`", arguments.extension))?;
    let queue = choose(&roster, &arguments.extension, arguments.queue.as_ref())?;
    let customer = customer(config, &arguments.code).await?;
    let online =
        Online::start(&config.xmpp, audit::PATIENCE).await.map_err(|why| anyhow!("xmpp {}: {why}", config.xmpp.jid))?;
    let node = format!("{}{}", config.xmpp.node_prefix, arguments.extension);
    let shown = show(arguments, config, &online.pubsub, &node, agent, queue, customer).await;
    online.close().await;
    shown
}

/// Which queue the caller is to have waited in.
fn choose<'a>(roster: &'a Roster, extension: &Extension, wanted: Option<&QueueName>) -> Result<&'a Queue> {
    let named = |name: &QueueName| roster.queues.iter().find(|queue| queue.name == *name);
    if let Some(name) = wanted {
        return named(name).ok_or_else(|| anyhow!("there is no queue {name}: see `usher queue list`"));
    }
    let own = roster.memberships.iter().filter(|member| member.extension == *extension);
    own.map(|member| &member.queue)
        .find_map(named)
        .or_else(|| roster.queues.first())
        .ok_or_else(|| anyhow!("there is no queue that a caller could wait in: see `usher queue add`"))
}

async fn customer(config: &Config, code: &CustomerCode) -> Result<Customer> {
    let single = ready(&config.database).await?;
    let row = single.client.query_opt(statements::CUSTOMER_BY_CODE, &[&code.as_str()]).await.map_err(explain)?;
    let row = row.ok_or_else(|| anyhow!("there is no customer with the code {code}: see `usher customer list`"))?;
    Ok(Customer { id: row.try_get("id")?, code: code.clone(), name: row.try_get("name")? })
}

async fn show(
    arguments: &Arguments,
    config: &Config,
    pubsub: &Pubsub,
    node: &str,
    agent: &Agent,
    queue: &Queue,
    customer: Customer,
) -> Result<()> {
    let trouble = |error: Error| anyhow!("pubsub {}: {error}", config.xmpp.pubsub_jid());
    let readers = config.xmpp.crm.iter().chain([&agent.jid]).filter_map(|jid| jid.parse().ok());
    pubsub.ensure(node, &readers.collect::<BTreeSet<BareJid>>()).await.map_err(trouble)?;
    let there = pubsub.items(node).await.map_err(trouble)?;
    match standing(&there, None) {
        Standing::Alone { .. } => {}
        Standing::Live(call) => bail!(
            "on the desk of {} is a live pop, of the call {call}: try again when that call is over, or take another extension",
            arguments.extension
        ),
    }
    for (item, payload) in there.into_iter().filter(|(_, payload)| is_test(payload.as_ref())) {
        say("an earlier test pop is withdrawn")?;
        if let Some(last) = payload.and_then(|payload| payload::withdrawn(payload, Timestamp::now())) {
            pubsub.publish(node, &item, last).await.map_err(trouble)?;
        }
        gone(pubsub.retract(node, &item).await).map_err(trouble)?;
    }
    let now = Timestamp::now();
    let mut test = Test {
        pubsub,
        node,
        style: Style::new(&config.pops),
        template: queue.link.as_ref(),
        pop: Pop {
            call: CallId(Uuid::now_v7()),
            revision: 0,
            state: PopState::Offered,
            extension: arguments.extension.clone(),
            queue: queue.name.clone(),
            customer,
            caller: CallerId { number: arguments.number.clone(), name: String::new() },
            entered_at: now,
            changed_at: now,
        },
    };
    let lived = test.live(arguments).await;
    let last = match (&lived, test.pop.state) {
        (_, PopState::Answered) => PopState::Ended,
        (_, PopState::Offered | PopState::Ringing | PopState::Ended | PopState::Withdrawn) => PopState::Withdrawn,
    };
    let left = match lived {
        // Whoever took it away has told the readers.
        Ok(End::Gone) => Ok(()),
        Ok(End::Whole | End::Stopped | End::RealCall) | Err(_) => test.end(last).await,
    };
    let left = left.map_err(|error| {
        anyhow!("{}: the test pop may be left on {node}; the next `usher demo-pop` takes it away", trouble(error))
    });
    let end = match lived {
        Ok(end) => end,
        Err(error) => {
            left?;
            return Err(trouble(error));
        }
    };
    match end {
        End::Whole => left,
        End::Stopped => left.and_then(|()| bail!("stopped: the test pop was {}", last.as_str())),
        End::RealCall => {
            left.and_then(|()| bail!("somebody really calls {}: the test pop was {}", agent.extension, last.as_str()))
        }
        End::Gone => bail!(
            "the test pop was taken away by somebody else: by the service, which began a session with the XMPP server, or by \
             another `usher demo-pop`"
        ),
    }
}

/// How the life of a test pop came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// As asked for.
    Whole,
    /// By Ctrl-C or SIGTERM.
    Stopped,
    /// Somebody really calls.
    RealCall,
    /// It is not there any more.
    Gone,
}

struct Test<'a> {
    pubsub: &'a Pubsub,
    node: &'a str,
    style: Style,
    template: Option<&'a Template>,
    pop: Pop,
}

impl Test<'_> {
    async fn live(&mut self, arguments: &Arguments) -> Result<End, Error> {
        // From before the first publish on, so that none is left behind.
        let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            return Ok(End::Stopped);
        };
        let steps = [
            (PopState::Offered, arguments.offered),
            (PopState::Ringing, arguments.ringing),
            (PopState::Answered, arguments.answered),
        ];
        for (state, time) in steps {
            self.publish(state).await?;
            let until = Instant::now() + time;
            loop {
                tokio::select! {
                    biased;
                    _ = interrupt.recv() => return Ok(End::Stopped),
                    _ = terminate.recv() => return Ok(End::Stopped),
                    () = sleep_until(until) => {}
                    () = sleep(LOOK) => {}
                }
                match standing(&self.pubsub.items(self.node).await?, Some(self.pop.call)) {
                    Standing::Alone { ours: true } => {}
                    Standing::Alone { ours: false } => return Ok(End::Gone),
                    Standing::Live(_) => return Ok(End::RealCall),
                }
                if Instant::now() >= until {
                    break;
                }
            }
        }
        Ok(End::Whole)
    }

    async fn publish(&mut self, state: PopState) -> Result<(), Error> {
        let now = Timestamp::now();
        self.pop.state = state;
        self.pop.revision += 1;
        self.pop.changed_at = now;
        let element = self.style.element(&self.pop, Kind::Test, self.template, now);
        self.pubsub.publish(self.node, &self.pop.call.to_string(), element).await?;
        // Whoever reads the output may have gone; the pop has to live and to end all the same.
        let _ = say(&format!("{now:.3} {}: revision {} on {}", state.as_str(), self.pop.revision, self.node));
        Ok(())
    }

    async fn end(&mut self, state: PopState) -> Result<(), Error> {
        self.publish(state).await?;
        gone(self.pubsub.retract(self.node, &self.pop.call.to_string()).await)
    }
}

/// What is to be taken away and is not there is taken away.
fn gone(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Ok(()) | Err(Error::NotFound) => Ok(()),
        Err(error @ (Error::Refused(_) | Error::NotAsAsked | Error::NotSent | Error::NoAnswer)) => Err(error),
    }
}

/// What is on the desk.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    /// No pop of a real call, and ours or not.
    Alone { ours: bool },
    /// A real call has a pop there, and is not over.
    Live(String),
}

fn standing(items: &[(String, Option<Element>)], ours: Option<CallId>) -> Standing {
    let ours = ours.map(|call| call.to_string());
    let live = |payload: &Element| {
        payload::glance(payload)
            .is_some_and(|seen| seen.kind == Kind::Real && !seen.state.is_some_and(PopState::is_final))
    };
    match items.iter().find(|(_, payload)| payload.as_ref().is_some_and(live)) {
        Some((call, _)) => Standing::Live(call.clone()),
        None => Standing::Alone { ours: items.iter().any(|(item, _)| Some(item) == ours.as_ref()) },
    }
}

fn is_test(payload: Option<&Element>) -> bool {
    payload.and_then(payload::glance).is_some_and(|seen| seen.kind == Kind::Test)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(id: &str, state: &str, test: &str) -> (String, Option<Element>) {
        let payload = format!("<pop xmlns='urn:usher:pop:1' revision='1' state='{state}'{test}/>");
        (id.to_owned(), Some(payload.parse().unwrap()))
    }

    #[test]
    fn only_a_real_call_that_goes_on_holds_a_desk() {
        let ours = CallId(Uuid::from_u128(7));
        let id = ours.to_string();
        let test = " test='true'";
        for (items, expected) in [
            (vec![], Standing::Alone { ours: false }),
            (vec![item(&id, "offered", test)], Standing::Alone { ours: true }),
            (vec![item("x", "ringing", test)], Standing::Alone { ours: false }),
            (vec![item("x", "ended", ""), item("y", "withdrawn", "")], Standing::Alone { ours: false }),
            (vec![item(&id, "offered", test), item("x", "answered", "")], Standing::Live("x".into())),
            (vec![item("x", "on-hold", "")], Standing::Live("x".into())),
            (
                vec![("x".into(), None), ("y".into(), Some("<a xmlns='b'/>".parse().unwrap()))],
                Standing::Alone { ours: false },
            ),
        ] {
            assert_eq!(standing(&items, Some(ours)), expected, "{items:?}");
        }
    }
}
