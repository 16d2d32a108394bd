//! Calls that an earlier run has left without an end.

use std::collections::BTreeSet;

use super::*;
use crate::domain::queue::left::LeftOpen;

fn left(number: u64, server: &str, talked_with: Option<&str>) -> LeftOpen {
    let talked_with = talked_with.map(Extension::new);
    LeftOpen {
        call: call(number),
        server: ServerId::new(server),
        queue: QueueName::new("support"),
        customer: 7,
        talked_with,
    }
}

/// A floor that has just begun, is going to ask these servers, and was left these calls.
fn restarted(servers: &[&str], calls: Vec<LeftOpen>) -> Bench {
    restarted_with(support(&["1000"]), servers, calls)
}

fn restarted_with(roster: Roster, servers: &[&str], calls: Vec<LeftOpen>) -> Bench {
    let mut bench = Bench { floor: Floor::new(BOUND, 1), now: midnight(), server: ServerId::new("pbx") };
    bench.step(Event::Roster(shared(roster)));
    let servers: BTreeSet<ServerId> = servers.iter().map(|server| ServerId::new(*server)).collect();
    let effects = bench.step(Event::LeftOpen { calls, servers });
    assert_eq!(effects, [] as [&str; 0], "nothing is known before Asterisk is heard");
    bench
}

fn up(bench: &mut Bench, server: &str) -> Vec<String> {
    bench.step(Event::ServerUp { server: ServerId::new(server) })
}

#[test]
fn a_call_that_no_asterisk_has_any_more_is_lost_as_soon_as_its_own_has_said_so_and_once() {
    let calls = vec![left(1, "pbx", None), left(2, "other", None)];
    let mut bench = restarted(&["pbx", "other"], calls);
    assert_eq!(up(&mut bench, "pbx"), ["[ended 1: lost]"]);
    assert_eq!(up(&mut bench, "pbx"), [] as [&str; 0]);
    assert_eq!(up(&mut bench, "other"), ["[ended 2: lost]"]);
}

#[test]
fn a_call_on_a_server_that_is_asked_no_more_is_lost_when_all_others_have_answered() {
    let mut bench = restarted(&["pbx", "other"], vec![left(1, "gone", None)]);
    assert_eq!(up(&mut bench, "pbx"), [] as [&str; 0], "it may be found on the other one, by another name");
    assert_eq!(up(&mut bench, "other"), ["[ended 1: lost]"]);
}

#[test]
fn a_call_that_is_found_waiting_talking_or_over_is_not_lost() {
    let calls = [1, 2, 3].map(|number| left(number, "pbx", None)).to_vec();
    let mut bench = restarted(&["pbx"], calls);
    let age = Duration::from_secs(20);
    let [waits, talks, over] = [1, 2, 3].map(|number| bench.arrival(number));
    bench.step(Event::CallerFound(waits, age));
    let extension = Extension::new("3000");
    bench.step(Event::TalkFound { arrival: talks, age, offer: OfferNo(9), extension: extension.clone() });
    bench.step(Event::TalkOver { arrival: over, age, extension });
    let effects = bench.link_up(&["PJSIP/1000"]);
    assert!(!effects.iter().any(|effect| effect.contains("lost")), "{effects:?}");
}

#[test]
fn whoever_talked_in_a_lost_call_goes_to_the_end_of_the_least_recent_order() {
    let mut bench = restarted(&["pbx"], vec![left(1, "pbx", Some("1000"))]);
    assert_eq!(bench.floor.agents()[&Extension::new("1000")].last_call, None);
    assert_eq!(up(&mut bench, "pbx"), ["[ended 1: lost]"]);
    assert_eq!(bench.floor.agents()[&Extension::new("1000")].last_call, Some(bench.now.utc));
}

#[test]
fn whoever_talked_in_a_call_that_nobody_saw_end_wraps_up_all_the_same() {
    let mut roster = support(&["1000"]);
    roster.queues[0].policy.wrap_up = Duration::from_secs(30);
    let mut bench = restarted_with(roster.clone(), &["pbx"], vec![left(1, "pbx", Some("1000"))]);
    let lost = up(&mut bench, "pbx");
    assert!(has(&lost, "[wrap-up 1000]") && has(&lost, "[ended 1: lost]"), "{lost:?}");
    // Of one whose caller is still there.
    let mut bench = restarted_with(roster, &["pbx"], vec![left(1, "pbx", Some("1000"))]);
    let (arrival, age) = (bench.arrival(1), Duration::from_secs(20));
    let over = bench.step(Event::TalkOver { arrival, age, extension: Extension::new("1000") });
    assert!(has(&over, "[wrap-up 1000]"), "{over:?}");
}
