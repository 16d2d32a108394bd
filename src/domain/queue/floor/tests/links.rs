//! Links that fall, restarts, the stop, and what is told twice.

use super::*;

#[test]
fn f2_an_offer_whose_pop_is_on_the_way_when_the_link_falls_is_taken_back_and_made_again() {
    let mut bench = Bench::with(&["1000"]);
    bench.enters(1);
    assert_eq!(bench.link_down(), ["withdrawn 1000 for 1", "[offer ended 1: withdrawn]"]);
    assert_eq!(bench.confirmed(1, 1), [] as [&str; 0]);
    assert_eq!(bench.link_up(&["PJSIP/1000"]), ["music 1", "publish 1000 for 1", "[offered 1 #2]"]);
}

#[test]
fn f2_a_join_whose_end_was_missed_is_asked_for_again_when_the_link_is_back() {
    let mut bench = Bench::with(&["1000"]);
    bench.rings(1);
    bench.answers(1, 1);
    bench.link_down();
    assert_eq!(bench.floor.deadline(), None, "nothing can be done meanwhile");
    assert_eq!(bench.link_up(&[]), ["join 1"]);
}

#[test]
fn f2_a_wait_that_ended_without_a_link_is_ended_when_it_is_back_and_not_before() {
    let mut bench = Bench::with(&["1000"]);
    bench.device("PJSIP/1000", Device::Busy);
    bench.enters(1);
    bench.link_down();
    assert_eq!(bench.wait(Duration::from_secs(100)), [] as [&str; 0]);
    let effects = bench.link_up(&["PJSIP/1000"]);
    assert!(has(&effects, "give back 1: timed_out") && !has(&effects, "publish"), "{effects:?}");
}

#[test]
fn f2_a_phone_that_rang_when_the_link_fell_is_not_taken_for_free_while_it_may_still_ring() {
    let mut bench = Bench::with(&["1000"]);
    bench.rings(1);
    bench.link_down();
    bench.step(Event::Roster(shared(Roster { memberships: Vec::new(), ..support(&["1000"]) })));
    bench.step(Event::Roster(shared(support(&["1000"]))));
    bench.wait(Duration::from_secs(14));
    assert_ne!(bench.floor.agents()["1000"].work, Work::Free);
    bench.due(Deadline::Clearing);
    assert_eq!(bench.floor.agents()["1000"].work, Work::Free);
}

#[test]
fn a_member_whose_ring_time_ends_while_the_link_is_down_is_not_blamed_for_it() {
    let mut bench = Bench::with(&["1000"]);
    bench.rings(1);
    bench.link_down();
    let effects = bench.due(Deadline::RingTime);
    assert!(has(&effects, "[offer ended 1: withdrawn]") && has(&effects, "withdrawn 1000 for 1"), "{effects:?}");
    assert_eq!(bench.floor.agents()["1000"].last_refusal, None);
    // Nor are they skipped: they are offered the same caller again.
    bench.due(Deadline::Clearing);
    assert!(has(&bench.link_up(&["PJSIP/1000"]), "publish 1000 for 1"));
}

#[test]
fn a_ring_that_was_never_asked_for_is_not_held_against_the_member() {
    let mut bench = Bench::with(&["1000"]);
    bench.rings(1);
    let effects = bench.leg_gone(1, 1, LegEnd::NotPlaced);
    assert!(has(&effects, "withdrawn 1000 for 1") && has(&effects, "publish 1000 for 1"), "{effects:?}");
}

#[test]
fn f10_callers_from_before_a_restart_are_served_in_their_old_order() {
    let mut bench = Bench::with(&["1000"]);
    bench.link_down();
    for (number, age) in [(7, 5), (8, 30), (9, 12)] {
        let found = Event::CallerFound(bench.arrival(number), Duration::from_secs(age));
        assert_eq!(bench.step(found), [format!("[entered {number}]"), format!("music {number}")]);
    }
    assert!(has(&bench.link_up(&["PJSIP/1000"]), "publish 1000 for 8"));
    assert_eq!(bench.line(), [call(9), call(7)]);
    assert!(bench.floor.callers()[&call(8)].has_out(OfferNo(30_001)), "above any number of the run before");
}

#[test]
fn f10_a_caller_who_has_waited_too_long_when_found_goes_back_at_once() {
    let mut bench = Bench::with(&["1000"]);
    let effects = bench.step(Event::CallerFound(bench.arrival(1), Duration::from_secs(61)));
    assert_eq!(effects, ["[entered 1]", "give back 1: timed_out", "forget 1", "[ended 1: timed_out]"]);
}

fn talk_found(bench: &Bench, number: u64, extension: &str) -> Event {
    let age = Duration::from_secs(20);
    Event::TalkFound { arrival: bench.arrival(number), age, offer: OfferNo(3), extension: Extension::new(extension) }
}

#[test]
fn f10_a_talk_from_before_a_restart_keeps_its_member_busy_and_ends_like_any_other() {
    let mut bench = Bench::with(&["1000"]);
    let found = talk_found(&bench, 1, "1000");
    // Whoever had it could not write any more when it began; of one that is on record nothing is said again.
    assert_eq!(bench.step(found.clone()), ["[entered 1]", "[answered 1]", "answered 1000 for 1"]);
    assert_eq!(bench.step(found), [] as [&str; 0]);
    assert!(!has(&bench.enters(2), "publish"));
    let effects = bench.leg_gone(1, 3, LegEnd::HungUp);
    assert!(has(&effects, "ended 1000 for 1") && has(&effects, "drop bridge 1") && has(&effects, "publish 1000 for 2"));
}

#[test]
fn f10_an_offer_to_a_member_who_is_found_talking_is_taken_back() {
    let mut bench = Bench::with(&["1000"]);
    bench.rings(2);
    let found = talk_found(&bench, 1, "1000");
    let effects = bench.step(found);
    assert_eq!(effects[2..4], ["drop leg 1 of 2", "withdrawn 1000 for 2"]);
    assert_eq!(bench.stage(2), Some(Stage::Waiting));
    bench.leg_gone(2, 1, LegEnd::HungUp);
    assert_eq!(bench.stage(2), Some(Stage::Waiting), "the end of the one leg does not free them from the other");
}

#[test]
fn f10_one_who_is_found_in_two_talks_is_free_after_both() {
    let mut bench = Bench::with(&["1000"]);
    for number in [1, 2] {
        let found = talk_found(&bench, number, "1000");
        bench.step(found);
    }
    bench.enters(3);
    bench.leg_gone(1, 3, LegEnd::HungUp);
    assert_eq!(bench.stage(3), Some(Stage::Waiting));
    assert!(has(&bench.leg_gone(2, 3, LegEnd::HungUp), "publish 1000 for 3"));
}

#[test]
fn a_member_who_is_listed_while_a_found_talk_goes_on_is_not_free() {
    let mut bench = Bench::with(&["3000"]);
    let found = talk_found(&bench, 1, "1000");
    bench.step(found);
    bench.step(Event::Roster(shared(support(&["1000", "3000"]))));
    assert!(matches!(bench.floor.agents()["1000"].work, Work::Busy { .. }));
}

#[test]
fn a_stop_gives_all_who_wait_back_and_lets_talkers_talk() {
    let mut bench = Bench::with(&["1000", "2000", "3000"]);
    bench.talks(1);
    bench.rings(2);
    bench.answers(2, 1);
    bench.rings(3);
    bench.enters(4);
    let effects = bench.step(Event::Stop);
    assert!(has(&effects, "give back 3: stopped") && has(&effects, "give back 4: stopped"));
    assert!(has(&effects, "drop leg 1 of 3") && has(&effects, "withdrawn 3000 for 3"));
    assert_eq!(bench.floor.callers().len(), 2);
    assert!(has(&bench.enters(5), "give back 5: stopped"));
    let effects = bench.leg_gone(2, 1, LegEnd::HungUp);
    assert!(has(&effects, "give back 2: stopped") && !has(&effects, "publish"), "nobody is offered at closed doors");
}

#[test]
fn whoever_is_out_of_reach_at_a_stop_has_no_end_on_record() {
    let mut bench = Bench::with(&["1000"]);
    bench.rings(1);
    bench.enters(2);
    bench.step(Event::ServerDown { server: bench.server.clone() });
    let effects = bench.step(Event::Stop);
    assert!(
        has(&effects, "withdrawn 1000 for 1") && has(&effects, "forget 1") && has(&effects, "forget 2"),
        "{effects:?}"
    );
    assert!(!has(&effects, "give back") && !has(&effects, "[ended"), "{effects:?}");
    assert!(bench.floor.callers().is_empty());
}

#[test]
fn everything_told_twice_changes_nothing() {
    let mut bench = Bench::with(&["1000", "3000"]);
    let (server, one, offer) = (bench.server.clone(), call(1), OfferNo(1));
    for event in [
        Event::CallerEntered(bench.arrival(1)),
        Event::PopSettled { call: one, offer, outcome: PopOutcome::Confirmed },
        Event::LegAnswered { server: server.clone(), call: one, offer },
        Event::Joined { call: one, offer },
        Event::ServerUp { server },
        Event::LegGone { call: one, offer, end: LegEnd::HungUp },
        Event::CallerGone { call: one },
    ] {
        bench.step(event.clone());
        assert_eq!(bench.step(event.clone()), [] as [&str; 0], "{event:?}");
    }
}

#[test]
fn the_leg_of_each_offer_has_an_id_of_its_own() {
    assert_ne!(leg_channel(call(1), OfferNo(1)), leg_channel(call(1), OfferNo(2)));
    assert_ne!(leg_channel(call(1), OfferNo(1)), ChannelId::new("1763694000.12"));
}

#[test]
fn a_caller_whose_talk_ended_in_a_restart_is_hung_up_and_nobody_is_rung_for_them() {
    let mut bench = Bench::with(&["1000"]);
    let (arrival, age) = (bench.arrival(1), Duration::from_secs(90));
    let over = Event::TalkOver { arrival, age, extension: Extension::new("1000") };
    assert_eq!(bench.step(over), ["hang up 1", "ended 1000 for 1", "drop bridge 1", "[ended 1: completed]"]);
    assert_eq!(bench.stage(1), None);
    assert_eq!(bench.floor.agents()["1000"].last_call, Some(bench.now.utc));
}

#[test]
fn a_waiting_caller_whom_another_program_has_joined_meanwhile_talks_and_waits_no_more() {
    let mut bench = Bench::with(&["1000"]);
    bench.device("PJSIP/1000", Device::Busy);
    bench.enters(1);
    let (arrival, age) = (bench.arrival(1), Duration::from_secs(30));
    let found = Event::TalkFound { arrival, age, offer: OfferNo(7), extension: Extension::new("1000") };
    assert_eq!(bench.step(found), ["answered 1000 for 1"]);
    assert_eq!(bench.stage(1), Some(Stage::Talking));
    let effects = bench.leg_gone(1, 7, LegEnd::HungUp);
    assert!(has(&effects, "hang up 1") && has(&effects, "[ended 1: completed]"), "{effects:?}");
}
