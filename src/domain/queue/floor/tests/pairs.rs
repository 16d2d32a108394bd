//! Every event in every stage: nothing panics, and what must hold holds.

use std::{sync::Arc, time::Duration};

use super::Bench;
use crate::domain::{
    fact::Hold,
    id::{ChannelId, Extension, Interface, OfferNo, QueueName, ServerId},
    pop::PopOutcome,
    queue::{
        caller::Stage,
        effect::Effect,
        event::{Event, LegEnd},
        floor::{
            Floor,
            fixture::{call, difference, shared, support},
        },
        member::{Device, Work},
        roster::{PastTalk, Roster},
        transfer::{HandedTo, TransferMeans},
    },
};

/// The current offer of the caller, one that is over, and one that never was.
const OFFERS: [OfferNo; 3] = [OfferNo(2), OfferNo(1), OfferNo(9)];

/// A caller who has lost one offer already, brought to each of the stages by the shortest way; and none.
fn stages() -> Vec<(&'static str, Bench)> {
    let lengths = [("waiting", 0), ("popping", 1), ("ringing", 2), ("joining", 3), ("talking", 4)];
    let mut benches: Vec<_> = lengths.into_iter().map(|(name, steps)| (name, brought(steps))).collect();
    benches.push(("no caller", Bench::with(&["1000", "3000"])));
    benches
}

fn brought(steps: usize) -> Bench {
    let mut bench = Bench::with(&["1000", "3000"]);
    bench.enters(1);
    bench.confirmed(1, 1);
    if steps == 0 {
        bench.device("PJSIP/3000", Device::Busy);
    }
    bench.leg_gone(1, 1, LegEnd::Rejected);
    let (server, offer) = (bench.server.clone(), OfferNo(2));
    let path = [
        Event::PopSettled { call: call(1), offer, outcome: PopOutcome::Confirmed },
        Event::LegAnswered { server, call: call(1), offer },
        Event::Joined { call: call(1), offer },
    ];
    for event in path.into_iter().take(steps.saturating_sub(1)) {
        bench.step(event);
    }
    bench
}

/// From those logged on to these.
fn change(before: &[&str], after: &[&str]) -> Event {
    Event::RosterChanged(Arc::new(difference(&support(before), &support(after))))
}

/// Of 1000 and 3000, the latter gets another number.
fn renamed() -> Event {
    let before = support(&["1000", "3000"]);
    let mut after = support(&["1000", "3009"]);
    after.agents[1].jid.clone_from(&before.agents[1].jid);
    Event::RosterChanged(Arc::new(difference(&before, &after)))
}

fn events(bench: &Bench) -> Vec<Event> {
    let (server, call, ended) = (bench.server.clone(), call(1), bench.now.utc);
    let mut events = vec![
        Event::Roster(shared(support(&["1000", "3000"]))),
        Event::Roster(shared(support(&["1000"]))),
        Event::Roster(shared(Roster::default())),
        change(&["1000", "3000"], &["1000"]),
        change(&["1000", "3000"], &[]),
        change(&["1000"], &["1000", "4000"]),
        renamed(),
        Event::PastTalks(Arc::new(vec![PastTalk { customer: 1, extension: Extension::new("3000"), ended }])),
        Event::CallerEntered(bench.arrival(1)),
        Event::CallerEntered(bench.arrival(2)),
        Event::CallerFound(bench.arrival(1), Duration::from_secs(20)),
        Event::CallerFound(bench.arrival(2), Duration::MAX),
        Event::CallerGone { call },
        Event::ServerUp { server: server.clone() },
        Event::ServerDown { server: server.clone() },
        Event::ServerUp { server: ServerId::new("other") },
        Event::ServerDown { server: ServerId::new("other") },
        Event::Said { call, number: 1 },
        Event::Said { call, number: 9 },
        Event::RecordingBegun { call, file: "a.wav".into() },
        Event::Tick,
        Event::Stop,
    ];
    for offer in OFFERS {
        for outcome in [PopOutcome::Confirmed, PopOutcome::Refused, PopOutcome::LinkDown, PopOutcome::TimedOut] {
            events.push(Event::PopSettled { call, offer, outcome });
        }
        for end in [LegEnd::HungUp, LegEnd::Rejected, LegEnd::NoAnswer, LegEnd::Unavailable] {
            events.push(Event::LegGone { call, offer, end });
        }
        events.push(Event::LegAnswered { server: server.clone(), call, offer });
        for key in "##77#".chars() {
            events.push(Event::KeyPressed { call, offer, key });
        }
        for hold in [Hold::Held, Hold::Resumed] {
            events.push(Event::HoldChanged { call, offer, hold });
        }
        events.push(Event::CallerParted { call });
        events.push(Event::CallerReplaced { call, channel: ChannelId::new("another") });
        for to in ["1000", "3000", "00123", ""] {
            events.push(Event::HandedOver { call, offer, to: HandedTo::Number(to.into()) });
            events.push(Event::HandOverFound { call, offer, from: Extension::new(to) });
        }
        for to in ["1000", "3000", "77", "00123", "", "a b"] {
            events.push(Event::TransferAsked { call, offer, to: to.into(), how: TransferMeans::Phone });
        }
        events.push(Event::HandedOver { call, offer, to: HandedTo::Line(QueueName::new("sales")) });
        events.push(Event::Joined { call, offer });
        events.push(Event::MemberGreeted { call, offer });
        for (number, extension) in [(1, "1000"), (2, "3000"), (2, "9999")] {
            let (arrival, extension) = (bench.arrival(number), Extension::new(extension));
            let age = Duration::from_secs(20);
            events.push(Event::TalkOver { arrival: arrival.clone(), age, extension: extension.clone() });
            events.push(Event::TalkFound { arrival, age, offer, extension });
        }
    }
    for device in [Device::Idle, Device::Busy, Device::Unavailable] {
        let interface = Interface::new("PJSIP/3000");
        events.push(Event::DeviceChanged { server: server.clone(), interface, device });
    }
    events
}

fn holds(floor: &Floor, what: &str) {
    for (call, caller) in floor.callers() {
        let in_line = floor.lines.values().flat_map(|line| line.waiting.values()).filter(|w| *w == call).count();
        assert_eq!(in_line, usize::from(caller.stage == Stage::Waiting), "{what}");
        let alone = matches!(caller.stage, Stage::Waiting | Stage::Transferred);
        assert!(if caller.offers.is_empty() { alone } else { caller.stage != Stage::Waiting }, "{what}");
        assert_eq!(floor.transferred.contains(call), caller.transfer.is_some(), "{what}");
    }
    for agent in floor.agents().values() {
        if let Work::Busy { call, offer } = agent.work {
            assert!(floor.callers().get(&call).is_some_and(|caller| caller.has_out(offer)), "{what}");
        }
    }
    assert!(
        floor.lines.values().flat_map(|line| line.waiting.values()).all(|c| floor.callers().contains_key(c)),
        "{what}"
    );
}

#[test]
fn every_event_in_every_stage_leaves_the_floor_in_order() {
    let names: Vec<_> = stages().into_iter().map(|(name, _)| name).collect();
    for (place, name) in names.iter().enumerate() {
        let count = events(&stages()[place].1).len();
        for number in 0..count {
            for later in [Duration::ZERO, Duration::from_millis(600), Duration::from_secs(16), Duration::from_secs(61)]
            {
                let (_, mut bench) = stages().swap_remove(place);
                let event = events(&bench).swap_remove(number);
                let what = format!("{name}, {later:?} later: {event:?}");
                bench.now = bench.now.plus(later);
                bench.step(event);
                holds(&bench.floor, &what);
                bench.step(Event::Tick);
                holds(&bench.floor, &what);
                assert!(bench.floor.deadline().is_none_or(|(at, _)| at > bench.now.steady), "{what}");
            }
        }
    }
}

#[test]
fn the_stages_are_what_they_are_called() {
    let stages: Vec<_> = stages().iter().map(|(_, bench)| bench.stage(1)).collect();
    assert!(matches!(
        stages[..],
        [
            Some(Stage::Waiting),
            Some(Stage::Offered),
            Some(Stage::Offered),
            Some(Stage::Joining),
            Some(Stage::Talking),
            None
        ]
    ));
}

#[test]
fn an_event_about_a_call_that_is_not_there_does_no_more_than_drop_its_leg() {
    let mut bench = Bench::with(&["1000"]);
    for offer in OFFERS {
        let server = bench.server.clone();
        let effects = bench.floor.step(Event::LegAnswered { server, call: call(1), offer }, bench.now);
        assert!(matches!(effects[..], [Effect::DropLeg { .. }]));
        for event in [
            Event::CallerGone { call: call(1) },
            Event::PopSettled { call: call(1), offer, outcome: PopOutcome::Confirmed },
            Event::LegGone { call: call(1), offer, end: LegEnd::HungUp },
            Event::Joined { call: call(1), offer },
        ] {
            assert!(bench.floor.step(event, bench.now).is_empty());
        }
    }
}
