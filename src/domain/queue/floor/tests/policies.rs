//! What a queue's policy changes: strategies, order between callers, pauses, wrap-up, and where those go who are not kept.

use std::collections::BTreeSet;

use super::*;
use crate::domain::{
    fact::Fact,
    queue::{
        caller::Penalties,
        policy::{Absence, Emptiness, Overflow, Policy, Strategy},
        roster::{Pause, PauseKind},
        transfer::TransferMeans,
    },
};

fn with(extensions: &[&str], policy: Policy) -> Bench {
    Bench::of(roster(extensions, policy))
}

fn roster(extensions: &[&str], policy: Policy) -> Roster {
    Roster { queues: vec![Queue { policy, ..queue("support") }], ..support(extensions) }
}

/// `support` and `sales`, and who is logged on to both.
fn two_queues(extensions: &[&str], support_policy: Policy, sales_policy: Policy) -> Roster {
    let mut roster = roster(extensions, support_policy);
    roster.queues.push(Queue { policy: sales_policy, ..queue("sales") });
    roster.memberships.extend(extensions.iter().map(|e| member("sales", e)));
    roster
}

fn ringall() -> Policy {
    Policy { strategy: Strategy::RingAll, ..Policy::default() }
}

fn offers(bench: &Bench, number: u64) -> Vec<String> {
    let caller = &bench.floor.callers()[&call(number)];
    caller.offers.values().map(|offer| offer.extension.to_string()).collect()
}

#[test]
fn ringall_rings_all_and_the_first_answer_stops_the_others_at_once() {
    let mut bench = with(&["1000", "2000", "3000"], ringall());
    bench.enters(1);
    assert_eq!(offers(&bench, 1), ["1000", "2000", "3000"]);
    for offer in 1..=3 {
        assert!(has(&bench.confirmed(1, offer), "ring"), "each when its own pop is settled");
    }
    assert_eq!(
        bench.answers(1, 2),
        [
            "join 1",
            "drop leg 1 of 1: taken",
            "withdrawn 1000 for 1",
            "[offer ended 1: taken]",
            "drop leg 3 of 1: taken",
            "withdrawn 3000 for 1",
            "[offer ended 1: taken]"
        ]
    );
    assert_eq!(bench.answers(1, 3), ["drop leg 3 of 1: taken"], "a second answer hears it");
    bench.joined(1, 2);
    assert_eq!(bench.stage(1), Some(Stage::Talking));
    bench.leg_gone(1, 1, LegEnd::HungUp);
    bench.leg_gone(1, 3, LegEnd::HungUp);
    bench.leg_gone(1, 2, LegEnd::HungUp);
    bench.nothing_is_left();
}

#[test]
fn ringall_rings_the_next_penalty_when_nobody_of_the_lowest_takes_it_and_a_caller_who_goes_stops_all() {
    let mut roster = roster(&["1000", "2000", "3000"], ringall());
    roster.memberships[2].penalty = 1;
    let mut bench = Bench::of(roster);
    bench.rings(1);
    bench.confirmed(1, 2);
    bench.leg_gone(1, 1, LegEnd::Rejected);
    assert_eq!(offers(&bench, 1), ["2000"], "the others ring on");
    bench.leg_gone(1, 2, LegEnd::Rejected);
    assert_eq!(offers(&bench, 1), ["3000"]);
    assert!(has(&bench.hangs_up(1), "withdrawn 3000"));
    bench.nothing_is_left();
}

#[test]
fn a_member_rung_for_all_is_not_rung_for_another_caller_as_well() {
    let mut bench = with(&["1000", "2000"], ringall());
    bench.enters(1);
    bench.enters(2);
    assert_eq!((offers(&bench, 1).len(), bench.stage(2)), (2, Some(Stage::Waiting)));
    bench.hangs_up(1);
    assert_eq!(offers(&bench, 2).len(), 2);
}

#[test]
fn rrmemory_goes_on_with_the_next_caller_and_linear_starts_anew() {
    for (strategy, second) in [(Strategy::RrMemory, "2000"), (Strategy::Linear, "1000")] {
        let mut bench = with(&["1000", "2000"], Policy { strategy, ..Policy::default() });
        bench.enters(1);
        assert_eq!(bench.offered_to(1), Some("1000"), "{strategy}");
        bench.hangs_up(1);
        bench.enters(2);
        assert_eq!(bench.offered_to(2), Some(second), "{strategy}");
    }
}

#[test]
fn fewestcalls_counts_the_calls_of_this_queue() {
    let policy = Policy { strategy: Strategy::FewestCalls, ..Policy::default() };
    let mut bench = with(&["1000", "2000"], policy);
    bench.talks(1);
    bench.leg_gone(1, 1, LegEnd::HungUp);
    bench.enters(2);
    assert_eq!(bench.offered_to(2), Some("2000"));
}

/// The row is written at the answer, and may be read at any time.
#[test]
fn fewestcalls_counts_a_call_once_whenever_the_row_is_read() {
    let policy = Policy { strategy: Strategy::FewestCalls, ..Policy::default() };
    let mut bench = with(&["1000", "2000"], policy.clone());
    let mut written = roster(&["1000", "2000"], policy);
    written.memberships[0].calls_taken = 1;
    bench.talks(1);
    bench.step(Event::Roster(shared(written)));
    bench.leg_gone(1, 1, LegEnd::HungUp);
    bench.hangs_up(1);
    assert_eq!(bench.floor.agents()["1000"].seats["support"].calls_taken, 1);
}

#[test]
fn a_caller_of_higher_priority_is_served_before_those_who_came_earlier() {
    let mut bench = with(&["1000"], Policy::default());
    bench.talks(1);
    bench.enters(2);
    let urgent = Arrival { priority: 5, ..bench.arrival(3) };
    assert!(has(&bench.step(Event::CallerEntered(urgent)), "announce 3 at 1"));
    assert!(has(&bench.leg_gone(1, 1, LegEnd::HungUp), "publish 1000 for 3"));
}

#[test]
fn a_member_of_two_queues_gets_the_caller_of_the_heavier_one_and_of_equals_the_one_who_waits_longer() {
    for (weight, first) in [(0, 2), (1, 3)] {
        let heavy = Policy { weight, ..Policy::default() };
        let mut bench = Bench::of(two_queues(&["1000"], Policy::default(), heavy));
        bench.talks(1);
        bench.enters(2);
        let sales = arrival(3, &bench.server, &QueueName::new("sales"));
        bench.step(Event::CallerEntered(sales));
        let effects = bench.leg_gone(1, 1, LegEnd::HungUp);
        assert!(has(&effects, &format!("publish 1000 for {first}")), "{effects:?}");
    }
}

#[test]
fn a_caller_with_penalties_of_their_own_is_given_nobody_outside_of_them() {
    let mut bench = with(&["1000"], Policy::default());
    let choosy = Arrival { penalties: Penalties { least: 1, most: 5 }, ..bench.arrival(1) };
    assert!(!has(&bench.step(Event::CallerEntered(choosy)), "publish"));
    assert!(has(&bench.enters(2), "publish 1000 for 2"));
}

#[test]
fn nobody_is_offered_in_a_pause_and_any_one_of_several_keeps_them_from_it() {
    let pause = |queue: Option<&str>, kind| Pause {
        queue: queue.map(QueueName::new),
        kind,
        reason: "lunch".into(),
        since: midnight().utc,
    };
    let mut roster = support(&["1000"]);
    roster.agents[0].pauses = vec![pause(None, PauseKind::Manual), pause(Some("support"), PauseKind::Presence)];
    let mut bench = Bench::of(roster.clone());
    assert!(!has(&bench.enters(1), "publish"));
    roster.agents[0].pauses.remove(0);
    assert!(!has(&bench.step(Event::Roster(shared(roster.clone()))), "publish"), "the other one is left");
    roster.agents[0].pauses = vec![pause(Some("sales"), PauseKind::Manual)];
    assert!(has(&bench.step(Event::Roster(shared(roster))), "publish 1000 for 1"), "a pause elsewhere is none here");
}

#[test]
fn a_wrap_up_is_not_cut_short_by_a_call_of_any_queue_and_survives_a_restart() {
    let wrap_up = Policy { wrap_up: Duration::from_secs(10), ..Policy::default() };
    let mut bench = Bench::of(two_queues(&["1000"], wrap_up, Policy::default()));
    bench.talks(1);
    let effects = bench.leg_gone(1, 1, LegEnd::HungUp);
    assert!(has(&effects, "[wrap-up 1000]"), "{effects:?}");
    let sales = arrival(2, &bench.server, &QueueName::new("sales"));
    assert!(!has(&bench.step(Event::CallerEntered(sales)), "publish"));
    bench.wait(Duration::from_secs(9));
    assert!(has(&bench.due(Deadline::WrapUp), "publish 1000 for 2"));

    let mut roster = support(&["1000"]);
    roster.memberships[0].wrap_up_until = midnight().utc.checked_add(Duration::from_secs(5)).ok();
    let mut bench = Bench::of(roster);
    assert!(!has(&bench.enters(1), "publish"));
    assert!(has(&bench.due(Deadline::WrapUp), "publish 1000 for 1"));
}

#[test]
fn after_two_unanswered_offers_in_a_row_the_member_is_paused_and_told_how_to_resume() {
    let policy = Policy { auto_pause_after: Some(2), ..Policy::default() };
    let mut bench = with(&["1000"], policy.clone());
    bench.rings(1);
    bench.due(Deadline::RingTime);
    bench.leg_gone(1, 1, LegEnd::HungUp);
    bench.hangs_up(1);
    bench.rings(2);
    let effects = bench.due(Deadline::RingTime);
    assert!(has(&effects, "[paused 1000 after 2]") && has(&effects, "tell 1000 paused in support after 2"));
    bench.leg_gone(2, 1, LegEnd::HungUp);
    assert!(!has(&bench.enters(3), "publish"), "paused at once, before the database knows");
    bench.step(Event::Roster(shared(roster(&["1000"], policy.clone()))));
    assert_eq!(bench.stage(3), Some(Stage::Waiting), "and while it does not");
    let later = bench.now.utc.checked_add(Duration::from_secs(1)).unwrap();
    let mut back = roster(&["1000"], policy);
    back.memberships[0].back_at = Some(later);
    let effects = bench.floor.clone().step(Event::Roster(shared(back.clone())), bench.now);
    let after_resuming: Vec<String> = effects.iter().map(fixture::words).collect();
    assert!(has(&after_resuming, "publish 1000 for 3"), "to resume ends it, also if the database never had it");
    (back.memberships[0].joined_at, back.memberships[0].back_at) = (later, None);
    assert!(has(&bench.step(Event::Roster(shared(back))), "publish 1000 for 3"), "and so does a log-on");
}

#[test]
fn an_answered_call_ends_the_row_of_unanswered_ones() {
    let mut bench = with(&["1000"], Policy { auto_pause_after: Some(2), ..Policy::default() });
    bench.rings(1);
    bench.due(Deadline::RingTime);
    bench.leg_gone(1, 1, LegEnd::HungUp);
    bench.hangs_up(1);
    bench.talks(2);
    bench.leg_gone(2, 1, LegEnd::HungUp);
    bench.rings(3);
    assert!(!has(&bench.due(Deadline::RingTime), "[paused"));
}

#[test]
fn a_full_queue_takes_nobody_and_who_is_being_offered_counts() {
    let mut bench = with(&["1000"], Policy { max_waiting: Some(2), ..Policy::default() });
    bench.enters(1);
    bench.enters(2);
    assert!(has(&bench.enters(3), "give back 3: full"));
    bench.confirmed(1, 1);
    bench.answers(1, 1);
    assert!(has(&bench.enters(4), "greet 4"));
}

#[test]
fn a_queue_whose_members_are_all_paused_can_count_as_empty_for_joining_and_for_staying() {
    let sense = Emptiness::Unless(BTreeSet::from([Absence::Paused]));
    let policy = Policy { join_empty: sense.clone(), leave_empty: sense, ..Policy::default() };
    let mut bench = with(&["1000"], policy.clone());
    bench.talks(1);
    bench.enters(2);
    let mut roster = roster(&["1000"], policy);
    let since = midnight().utc;
    roster.agents[0].pauses = vec![Pause { queue: None, kind: PauseKind::Manual, reason: String::new(), since }];
    assert!(has(&bench.step(Event::Roster(shared(roster))), "give back 2: empty"));
    assert!(has(&bench.enters(3), "give back 3: empty"));
    let mut bench = Bench::of(Roster {
        queues: vec![Queue {
            policy: Policy { join_empty: Emptiness::Never, leave_empty: Emptiness::Never, ..Policy::default() },
            ..queue("support")
        }],
        ..Roster::default()
    });
    bench.link_up(&[]);
    assert!(has(&bench.enters(1), "greet 1"), "a queue that never is empty takes callers without members");
}

#[test]
fn with_a_pause_between_tries_a_member_who_missed_the_call_is_rung_again() {
    let mut bench = with(&["1000"], Policy { retry: Duration::from_secs(4), ..Policy::default() });
    bench.rings(1);
    bench.leg_gone(1, 1, LegEnd::Rejected);
    assert_eq!(bench.stage(1), Some(Stage::Waiting));
    assert!(has(&bench.due(Deadline::Retry), "publish 1000 for 1"));
}

#[test]
fn whom_a_member_sends_to_another_queue_may_come_back_by_its_overflow() {
    let back = Policy { overflow: Overflow::Queue(QueueName::new("support")), ..Policy::default() };
    let mut bench = Bench::of(two_queues(&["1000"], Policy::default(), back));
    bench.talks(1);
    let (to, how) = ("75".into(), TransferMeans::Code);
    let effects = bench.step(Event::TransferAsked { call: call(1), offer: OfferNo(1), to, how });
    assert!(has(&effects, "[1000 sends 1 to queue/sales]"), "{effects:?}");
    bench.device("PJSIP/1000", Device::Busy);
    bench.leg_gone(1, 1, LegEnd::HungUp);
    let effects = bench.due(Deadline::QueueTimeout);
    assert_eq!(effects[..3], ["[overflow 1 to queue/support: timed_out]", "forget 1", "move 1 to support"]);
    assert!(has(&bench.due(Deadline::QueueTimeout), "give back 1: timed_out"));
}

#[test]
fn who_waited_too_long_goes_on_to_the_other_queue_and_never_in_a_circle() {
    let to = |name: &str| Policy { overflow: Overflow::Queue(QueueName::new(name)), ..Policy::default() };
    let mut bench = Bench::of(two_queues(&["1000"], to("sales"), to("support")));
    bench.device("PJSIP/1000", Device::Busy);
    bench.enters(1);
    assert_eq!(
        bench.due(Deadline::QueueTimeout),
        [
            "[overflow 1 to queue/sales: timed_out]",
            "forget 1",
            "move 1 to sales",
            "announce 1 at 1 to [extension 1000]",
            "greet 1"
        ]
    );
    assert!(has(&bench.device("PJSIP/1000", Device::Idle), "publish 1000 for 1"), "served there");
    bench.device("PJSIP/1000", Device::Busy);
    bench.confirmed(1, 1);
    assert!(has(&bench.due(Deadline::QueueTimeout), "give back 1: timed_out"));
    bench.nothing_is_left();
}

#[test]
fn who_is_not_kept_can_be_sent_to_a_phone() {
    let overflow = Overflow::Extension(Extension::new("9000"));
    let mut bench = with(&["1000"], Policy { overflow, max_waiting: Some(0), ..Policy::default() });
    let expected = [
        "[entered 1]",
        "[overflow 1 to extension/9000: full]",
        "give back 1 to 9000: full",
        "forget 1",
        "[ended 1: overflowed]",
    ];
    assert_eq!(bench.enters(1), expected);
}

#[test]
fn a_customer_gets_the_member_whom_they_spoke_with_last_if_the_queue_says_so_and_for_so_long() {
    for (later, expected) in [(30, "1000"), (90, "2000")] {
        let mut bench = with(&["1000", "2000"], Policy { sticky: Duration::from_secs(60), ..Policy::default() });
        bench.talks(1);
        bench.leg_gone(1, 1, LegEnd::HungUp);
        bench.wait(Duration::from_secs(later));
        bench.enters(2);
        assert_eq!(bench.offered_to(2), Some(expected), "{later} s later");
    }
}

#[test]
fn each_offer_says_what_spoke_against_the_others() {
    let mut roster = support(&["1000", "2000", "3000", "4000"]);
    roster.memberships[3].logged_on = false;
    roster.memberships[2].last_call_at = "2025-11-20T10:00:00Z".parse().ok();
    let mut bench = Bench::of(roster);
    bench.device("PJSIP/2000", Device::Busy);
    let effects = bench.floor.step(Event::CallerEntered(bench.arrival(1)), bench.now);
    let choice = effects.iter().find_map(|effect| {
        if let Effect::Record(Fact::CallOffered { choice, .. }) = effect { Some(choice) } else { None }
    });
    let choice = choice.unwrap();
    assert_eq!((&*choice.rule, choice.chosen.as_str(), choice.more), ("leastrecent", "1000", 0));
    let verdicts: Vec<_> = choice.candidates.iter().map(|c| (c.extension.as_str(), &*c.verdict)).collect();
    let expected =
        [("1000", "chosen"), ("2000", "phone in use"), ("3000", "not their turn"), ("4000", "not logged on")];
    assert_eq!(verdicts, expected);
}
