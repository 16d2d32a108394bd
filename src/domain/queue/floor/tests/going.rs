//! Callers who go, members who go, and the roster in mid-offer.

use std::sync::Arc;

use super::*;
use crate::domain::queue::policy::Policy;

#[test]
fn f7_a_caller_who_hangs_up_at_any_moment_leaves_nothing_behind() {
    let mut bench = Bench::with(&["1000"]);
    bench.enters(1);
    let effects = bench.hangs_up(1);
    assert_eq!(effects[..2], ["withdrawn 1000 for 1", "[offer ended 1: caller_gone]"]);
    assert!(!has(&effects, "drop leg"), "no phone has rung");
    bench.nothing_is_left();

    bench.rings(2);
    assert_eq!(
        bench.hangs_up(2),
        [
            "drop leg 1 of 2",
            "withdrawn 1000 for 2",
            "[offer ended 2: caller_gone]",
            "forget 2",
            "drop bridge 2",
            "[ended 2: abandoned]"
        ]
    );
    bench.leg_gone(2, 1, LegEnd::HungUp);
    bench.nothing_is_left();

    bench.rings(3);
    bench.answers(3, 1);
    assert!(has(&bench.hangs_up(3), "drop leg 1 of 3"));
    assert_eq!(bench.joined(3, 1), [] as [&str; 0]);
    bench.leg_gone(3, 1, LegEnd::HungUp);
    bench.nothing_is_left();

    bench.talks(4);
    bench.enters(5);
    assert_eq!(bench.hangs_up(5), ["forget 5", "[ended 5: abandoned]"]);
}

#[test]
fn f7_a_member_who_answers_after_the_cancel_is_hung_up_and_not_left_in_silence() {
    let mut bench = Bench::with(&["1000"]);
    bench.rings(1);
    bench.hangs_up(1);
    assert_eq!(bench.answers(1, 1), ["drop leg 1 of 1"]);
}

#[test]
fn f7_a_late_answer_to_an_old_offer_does_not_answer_the_new_one() {
    let mut bench = Bench::with(&["1000", "3000"]);
    bench.rings(1);
    bench.due(Deadline::RingTime);
    bench.confirmed(1, 2);
    assert_eq!(bench.answers(1, 1), ["drop leg 1 of 1"]);
    assert!(bench.is_ringing(1));
    assert_eq!(bench.answers(1, 2), ["join 1"]);
}

#[test]
fn a_member_whose_leg_never_goes_is_free_again_after_a_while() {
    let mut bench = Bench::with(&["1000"]);
    bench.rings(1);
    bench.hangs_up(1);
    bench.enters(2);
    assert_eq!(bench.stage(2), Some(Stage::Waiting));
    assert!(has(&bench.due(Deadline::Clearing), "publish 1000 for 2"));
}

#[test]
fn f8_a_member_who_answers_and_hangs_up_before_the_join_costs_the_caller_no_place() {
    let mut bench = Bench::with(&["1000", "3000"]);
    bench.rings(1);
    bench.rings(2);
    bench.enters(3);
    bench.answers(1, 1);
    let effects = bench.leg_gone(1, 1, LegEnd::HungUp);
    assert_eq!(effects[..3], ["withdrawn 1000 for 1", "[offer ended 1: member_gone]", "music 1"]);
    // 1000 is free, and skipped for the first call; the third gets them, but not 3000 before the first.
    assert_eq!(bench.offered_to(3), Some("1000"));
    bench.leg_gone(2, 1, LegEnd::Rejected);
    assert_eq!(bench.offered_to(1), Some("3000"));
    assert_eq!(bench.leg_gone(1, 1, LegEnd::HungUp), [] as [&str; 0], "told twice, and no storm");
}

#[test]
fn a_join_of_which_nothing_is_heard_is_asked_for_again() {
    let mut bench = Bench::with(&["1000"]);
    bench.rings(1);
    bench.answers(1, 1);
    assert_eq!(bench.due(Deadline::Join), ["join 1"]);
    assert_eq!(bench.answers(1, 1), [] as [&str; 0], "told twice");
    bench.joined(1, 1);
    assert_eq!(bench.floor.deadline(), None);
}

#[test]
fn the_queue_timeout_ends_an_offer_that_is_out_but_never_a_join_or_a_talk() {
    let mut bench = Bench::of(Roster {
        queues: vec![Queue { ring_time: Duration::from_secs(90), ..queue("support") }],
        ..support(&["1000"])
    });
    bench.rings(1);
    let effects = bench.due(Deadline::QueueTimeout);
    assert_eq!(effects[..3], ["drop leg 1 of 1", "withdrawn 1000 for 1", "[offer ended 1: withdrawn]"]);
    assert!(has(&effects, "give back 1: timed_out"));
    bench.leg_gone(1, 1, LegEnd::HungUp);
    bench.rings(2);
    bench.answers(2, 1);
    assert_eq!(bench.floor.deadline().map(|(_, what)| what), Some(Deadline::Join));
    bench.joined(2, 1);
    assert_eq!(bench.wait(Duration::from_secs(3600)), [] as [&str; 0]);
}

#[test]
fn a_caller_whose_time_is_over_when_the_member_goes_is_not_offered_again() {
    let mut bench = Bench::with(&["1000", "3000"]);
    bench.rings(1);
    bench.now = bench.now.plus(Duration::from_secs(14));
    bench.answers(1, 1);
    bench.now = bench.now.plus(Duration::from_secs(60));
    let effects = bench.leg_gone(1, 1, LegEnd::HungUp);
    assert!(has(&effects, "give back 1: timed_out") && !has(&effects, "publish"), "{effects:?}");
}

#[test]
fn a_member_who_logs_off_while_ringing_stops_ringing_and_the_next_one_rings() {
    let mut bench = Bench::with(&["1000", "3000"]);
    bench.rings(1);
    let mut roster = support(&["1000", "3000"]);
    roster.memberships[0].logged_on = false;
    let effects = bench.step(Event::Roster(shared(roster)));
    assert_eq!(effects[..3], ["drop leg 1 of 1", "withdrawn 1000 for 1", "[offer ended 1: logged_off]"]);
    assert!(has(&effects, "publish 3000 for 1"));
}

#[test]
fn a_member_who_logs_off_while_talking_talks_on() {
    let mut bench = Bench::with(&["1000"]);
    bench.talks(1);
    assert_eq!(bench.step(Event::Roster(shared(Roster::default()))), [] as [&str; 0]);
    assert!(bench.floor.agents().contains_key("1000"), "kept until the call is over");
    bench.leg_gone(1, 1, LegEnd::HungUp);
    assert!(bench.floor.agents().is_empty());
}

#[test]
fn a_removed_member_whose_pop_is_on_the_way_is_forgotten_at_once() {
    let mut bench = Bench::with(&["1000", "3000"]);
    bench.enters(1);
    bench.step(Event::Roster(shared(support(&["3000"]))));
    assert_eq!(bench.offered_to(1), Some("3000"));
    assert!(!bench.floor.agents().contains_key("1000"));
}

#[test]
fn the_last_member_logs_off_and_all_who_wait_go_back() {
    let mut bench = Bench::with(&["1000"]);
    bench.rings(1);
    bench.enters(2);
    let mut roster = support(&["1000"]);
    roster.memberships[0].logged_on = false;
    let effects = bench.step(Event::Roster(shared(roster)));
    assert!(has(&effects, "give back 1: no_members") && has(&effects, "give back 2: no_members"));
}

#[test]
fn a_caller_whose_member_goes_before_the_join_after_the_queue_was_removed_is_given_back() {
    let mut bench = Bench::with(&["1000"]);
    bench.rings(1);
    bench.answers(1, 1);
    bench.step(Event::Roster(shared(Roster::default())));
    assert!(has(&bench.leg_gone(1, 1, LegEnd::HungUp), "give back 1: unknown_queue"));
    bench.nothing_is_left();
}

/// The roster in which somebody has another number: same person, same account, same phone.
fn renamed(extensions: &[&str], old: &str, new: &str) -> Roster {
    let mut roster = support(extensions);
    for agent in roster.agents.iter_mut().filter(|agent| agent.extension.as_str() == old) {
        agent.extension = Extension::new(new);
    }
    for member in roster.memberships.iter_mut().filter(|member| member.extension.as_str() == old) {
        member.extension = Extension::new(new);
    }
    roster
}

#[test]
fn whoever_gets_another_number_in_a_talk_talks_on_by_it_and_is_the_one_who_had_the_call() {
    let before = ["1000", "3000"];
    let after = renamed(&before, "1000", "1009");
    let change = Event::RosterChanged(Arc::new(difference(&support(&before), &after)));
    for event in [change, Event::Roster(shared(after))] {
        let mut bench = Bench::with(&before);
        bench.talks(1);
        let effects = bench.step(event);
        assert_eq!(
            effects,
            ["withdrawn 1000 for 1", "answered 1009 for 1", "[1000 of 1 is 1009]", "1 of 1 is 1009 now"]
        );
        assert!(!bench.floor.agents().contains_key(&Extension::new("1000")));
        bench.enters(2);
        assert_eq!(bench.offered_to(2), Some("3000"), "1009 talks");
        bench.hangs_up(2);
        bench.leg_gone(2, 1, LegEnd::HungUp);
        bench.now = bench.now.plus(Duration::from_secs(60));
        let effects = bench.leg_gone(1, 1, LegEnd::HungUp);
        assert!(has(&effects, "ended 1009 for 1"), "{effects:?}");
        let ended = bench.floor.agents()[&Extension::new("1009")].last_call;
        assert_eq!(ended, Some(bench.now.utc));
        // 3000 has never had a call, and 1009 has.
        bench.enters(3);
        assert_eq!(bench.offered_to(3), Some("3000"));
    }
}

#[test]
fn whoever_gets_another_number_keeps_their_wrap_up_and_is_rung_again_if_they_were_rung() {
    let wraps_up =
        Queue { policy: Policy { wrap_up: Duration::from_secs(30), ..Policy::default() }, ..queue("support") };
    let of = |roster: Roster| Roster { queues: vec![wraps_up.clone()], ..roster };
    let mut bench = Bench::of(of(support(&["1000"])));
    bench.talks(1);
    bench.hangs_up(1);
    bench.leg_gone(1, 1, LegEnd::HungUp);
    bench.step(Event::Roster(shared(of(renamed(&["1000"], "1000", "1009")))));
    bench.enters(2);
    assert_eq!(bench.offered_to(2), None, "1009 wraps up");
    bench.due(Deadline::WrapUp);
    assert_eq!(bench.offered_to(2), Some("1009"));

    let mut bench = Bench::with(&["1000"]);
    bench.rings(1);
    let effects = bench.step(Event::Roster(shared(renamed(&["1000"], "1000", "1009"))));
    assert_eq!(effects[..3], ["drop leg 1 of 1", "withdrawn 1000 for 1", "[offer ended 1: logged_off]"]);
    assert_eq!(bench.offered_to(1), Some("1009"));
}
