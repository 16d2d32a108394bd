//! A call as it should be: order of effects, who gets it, the pop.

use super::*;

#[test]
fn p17_message_then_greeting_then_publish_then_ring_then_join() {
    let mut bench = Bench::with(&["1000", "3000"]);
    assert_eq!(
        bench.enters(1),
        [
            "[entered 1]",
            "announce 1 at 1 to [extension 1000, extension 3000]",
            "greet 1",
            "publish 1000 for 1",
            "[offered 1 #1]"
        ]
    );
    assert_eq!(bench.confirmed(1, 1), ["ring 1000 for 1", "ringing 1000 for 1", "[ringing 1: pop confirmed]"]);
    assert_eq!(bench.answers(1, 1), ["join 1"]);
    assert_eq!(bench.joined(1, 1), ["forget 1", "answered 1000 for 1", "[answered 1]"]);
    assert_eq!(
        bench.leg_gone(1, 1, LegEnd::HungUp),
        ["hang up 1", "ended 1000 for 1", "forget 1", "drop bridge 1", "[ended 1: completed]"]
    );
    bench.nothing_is_left();
}

#[test]
fn when_the_caller_ends_the_talk_the_member_is_hung_up_and_free_as_soon_as_the_leg_is_gone() {
    let mut bench = Bench::with(&["1000"]);
    bench.talks(1);
    assert_eq!(
        bench.hangs_up(1),
        ["drop leg 1 of 1", "ended 1000 for 1", "forget 1", "drop bridge 1", "[ended 1: completed]"]
    );
    assert!(!has(&bench.enters(2), "publish"), "the leg may still be there");
    assert!(has(&bench.leg_gone(1, 1, LegEnd::HungUp), "publish 1000 for 2"));
}

#[test]
fn p16_nobody_logged_on_and_the_caller_goes_back_unannounced_and_unpublished() {
    let mut roster = support(&["1000"]);
    roster.memberships[0].logged_on = false;
    let mut bench = Bench::of(roster);
    assert_eq!(bench.enters(1), ["[entered 1]", "give back 1: no_members", "forget 1", "[ended 1: no_members]"]);
    bench.nothing_is_left();
}

#[test]
fn a_queue_that_is_not_there_gives_the_caller_back() {
    let mut bench = Bench::of(Roster { agents: vec![agent("1000")], ..Roster::default() });
    assert!(has(&bench.enters(1), "give back 1: unknown_queue"));
}

#[test]
fn p14_the_member_who_never_had_a_call_rings_first_and_then_the_one_with_the_oldest() {
    let mut roster = support(&["1000", "2000", "3000"]);
    roster.memberships[0].last_call_at = "2025-11-20T10:00:00Z".parse().ok();
    roster.memberships[1].last_call_at = "2025-11-20T09:00:00Z".parse().ok();
    let mut bench = Bench::of(roster);
    for number in 1..=3 {
        bench.enters(number);
    }
    let order = [1, 2, 3].map(|number| bench.offered_to(number));
    assert_eq!(order, [Some("3000"), Some("2000"), Some("1000")]);
}

#[test]
fn the_end_of_a_talk_sends_the_member_behind_the_others() {
    let mut bench = Bench::with(&["1000", "3000"]);
    bench.talks(1);
    bench.leg_gone(1, 1, LegEnd::HungUp);
    bench.enters(2);
    assert_eq!(bench.offered_to(2), Some("3000"));
}

#[test]
fn an_old_time_from_the_database_does_not_undo_a_talk_that_has_just_ended() {
    let mut bench = Bench::with(&["1000", "3000"]);
    bench.talks(1);
    bench.leg_gone(1, 1, LegEnd::HungUp);
    bench.step(Event::Roster(shared(support(&["1000", "3000"]))));
    bench.enters(2);
    assert_eq!(bench.offered_to(2), Some("3000"));
}

#[test]
fn a_phone_rings_when_its_pop_is_refused_or_not_confirmed_in_time() {
    for outcome in [PopOutcome::Refused, PopOutcome::LinkDown] {
        let mut bench = Bench::with(&["1000"]);
        bench.enters(1);
        assert!(has(&bench.settled(1, 1, outcome), "ring 1000"), "{outcome:?}");
    }
    let mut bench = Bench::with(&["1000"]);
    bench.enters(1);
    assert_eq!(bench.wait(BOUND - Duration::from_millis(1)), [] as [&str; 0]);
    assert_eq!(bench.due(Deadline::Pop)[2], "[ringing 1: pop timed_out]");
    assert_eq!(bench.confirmed(1, 1), [] as [&str; 0], "a late word rings nobody twice");
}

#[test]
fn the_last_word_of_a_pop_is_always_a_higher_revision() {
    let mut bench = Bench::with(&["1000", "3000"]);
    let mut revisions = Vec::new();
    let (server, one) = (bench.server.clone(), call(1));
    let settled = |n| Event::PopSettled { call: one, offer: OfferNo(n), outcome: PopOutcome::Confirmed };
    for event in [
        Event::CallerEntered(bench.arrival(1)),
        settled(1),
        Event::LegGone { call: one, offer: OfferNo(1), end: LegEnd::Rejected },
        settled(2),
        Event::LegAnswered { server, call: one, offer: OfferNo(2) },
        Event::Joined { call: one, offer: OfferNo(2) },
        Event::CallerGone { call: one },
    ] {
        for effect in bench.floor.step(event, bench.now) {
            if let Effect::Publish { pop, .. } | Effect::Update { pop } | Effect::Retire { pop } = effect {
                revisions.push((pop.revision, pop.state.as_str(), pop.extension.to_string()));
            }
        }
    }
    let expected = [
        (1, "offered", "1000"),
        (2, "ringing", "1000"),
        (3, "withdrawn", "1000"),
        (4, "offered", "3000"),
        (5, "ringing", "3000"),
        (6, "answered", "3000"),
        (7, "ended", "3000"),
    ];
    assert_eq!(revisions, expected.map(|(n, state, e)| (n, state, e.to_owned())));
}
