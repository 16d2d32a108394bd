//! Around the talk: the greeting to the member before they are joined with the caller, and the recording.

use super::*;

fn greeting(extensions: &[&str]) -> Roster {
    let mut roster = support(extensions);
    roster.queues[0].talk.member_greeting = "usher/member".into();
    roster
}

impl Bench {
    fn greeted(&mut self, number: u64, offer: u32) -> Vec<String> {
        self.step(Event::MemberGreeted { call: call(number), offer: OfferNo(offer) })
    }
}

#[test]
fn a_member_who_has_answered_hears_the_greeting_and_then_the_caller_who_hears_music_meanwhile() {
    let mut bench = Bench::of(greeting(&["1000"]));
    bench.rings(1);
    assert_eq!(bench.answers(1, 1), ["greet member 1 of 1: usher/member"]);
    assert_eq!(bench.stage(1), Some(Stage::Joining));
    // The caller's own greeting ends meanwhile.
    assert_eq!(bench.step(Event::Said { call: call(1), number: 1 }), ["music 1"]);
    assert_eq!(bench.answers(1, 1), Vec::<String>::new(), "told twice");
    assert_eq!(bench.greeted(1, 9), Vec::<String>::new(), "of another offer");
    assert_eq!(bench.greeted(1, 1), ["join 1"]);
    assert_eq!(bench.greeted(1, 1), Vec::<String>::new(), "told twice");
    assert!(has(&bench.joined(1, 1), "forget 1"));
    assert_eq!(bench.stage(1), Some(Stage::Talking));
}

#[test]
fn a_greeting_whose_end_is_never_told_is_waited_for_ten_seconds_and_not_at_all_after_a_gap_or_at_a_stop() {
    let mut bench = Bench::of(greeting(&["1000"]));
    bench.rings(1);
    bench.answers(1, 1);
    let before = bench.now.steady;
    assert_eq!(bench.due(Deadline::Join), ["join 1"]);
    assert_eq!(bench.now.steady - before, Duration::from_secs(10));

    let mut bench = Bench::of(greeting(&["1000"]));
    bench.rings(1);
    bench.answers(1, 1);
    bench.link_down();
    assert_eq!(bench.link_up(&["PJSIP/1000"]), ["join 1"]);

    let mut bench = Bench::of(greeting(&["1000"]));
    bench.rings(1);
    bench.answers(1, 1);
    assert_eq!(bench.step(Event::Stop), ["join 1"]);
}

#[test]
fn a_caller_who_hangs_up_during_the_greeting_ends_it_and_after_a_member_who_does_the_next_one_is_offered() {
    let mut bench = Bench::of(greeting(&["1000"]));
    bench.rings(1);
    bench.answers(1, 1);
    let gone = bench.hangs_up(1);
    assert!(has(&gone, "drop leg 1 of 1") && has(&gone, "[ended 1: abandoned]"), "{gone:?}");
    bench.leg_gone(1, 1, LegEnd::HungUp);
    assert_eq!(bench.greeted(1, 1), Vec::<String>::new());
    bench.nothing_is_left();

    let mut bench = Bench::of(greeting(&["1000", "3000"]));
    bench.rings(1);
    bench.answers(1, 1);
    let gone = bench.leg_gone(1, 1, LegEnd::HungUp);
    assert!(has(&gone, "[offer ended 1: member_gone]") && has(&gone, "publish 3000 for 1"), "{gone:?}");
    assert_eq!(bench.greeted(1, 1), Vec::<String>::new());
}

fn recording(on: bool) -> Roster {
    let mut roster = support(&["1000"]);
    roster.queues[0].talk.recording = on;
    roster.queues[0].talk.recording_prompt = "usher/recorded".into();
    roster
}

#[test]
fn a_talk_is_recorded_once_from_the_join_if_its_caller_was_told_so_on_entering() {
    let mut bench = Bench::of(recording(true));
    assert_eq!(
        bench.floor.queue(&QueueName::new("support")).unwrap().greetings(),
        ["usher/recorded", "usher/support_team"]
    );
    bench.rings(1);
    assert!(!has(&bench.answers(1, 1), "record"));
    assert!(has(&bench.joined(1, 1), "record 1"));
    assert!(!has(&bench.joined(1, 1), "record 1"), "told twice");
    let begun = Event::RecordingBegun { call: call(1), file: "a.wav".into() };
    assert_eq!(bench.step(begun), ["[recording 1 in a.wav]"]);
    // One who talks is found: Asterisk records on by itself.
    let mut bench = Bench::of(recording(true));
    let (arrival, age) = (bench.arrival(1), Duration::from_secs(9));
    let (offer, extension) = (OfferNo(1), Extension::new("1000"));
    assert!(!has(&bench.step(Event::TalkFound { arrival, age, offer, extension }), "record"));
}

#[test]
fn who_entered_before_the_recording_was_switched_on_is_not_recorded_neither_is_who_talks_after_it_was_switched_off() {
    for (before, after) in [(false, true), (true, false), (false, false)] {
        let mut bench = Bench::of(recording(before));
        bench.rings(1);
        bench.step(Event::Roster(shared(recording(after))));
        bench.answers(1, 1);
        assert!(!has(&bench.joined(1, 1), "record"), "{before} {after}");
    }
}

#[test]
fn a_caller_who_was_found_is_told_of_the_recording_again_and_recorded() {
    let mut bench = Bench::of(recording(true));
    let found = bench.arrival(1);
    let found = bench.step(Event::CallerFound(found, Duration::from_secs(9)));
    assert!(has(&found, "music 1") && has(&found, "say 1: usher/recorded"), "{found:?}");
    let offer = bench.floor.callers()[&call(1)].offers.keys().next().copied().unwrap();
    bench.confirmed(1, offer.0);
    bench.answers(1, offer.0);
    assert!(has(&bench.joined(1, offer.0), "record 1"));
}

#[test]
fn a_recording_that_nothing_was_heard_of_before_the_link_fell_is_asked_for_again_and_one_that_began_is_not() {
    let mut bench = Bench::of(recording(true));
    bench.rings(1);
    bench.answers(1, 1);
    assert!(has(&bench.joined(1, 1), "record 1"));
    let server = bench.server.clone();
    bench.step(Event::ServerDown { server: server.clone() });
    assert!(has(&bench.step(Event::ServerUp { server: server.clone() }), "record 1"));
    bench.step(Event::RecordingBegun { call: call(1), file: "a.wav".into() });
    bench.step(Event::ServerDown { server: server.clone() });
    assert!(!has(&bench.step(Event::ServerUp { server }), "record 1"), "it goes on by itself");
}

#[test]
fn who_stands_in_a_callers_place_has_their_place_their_offer_and_their_talk() {
    let mut bench = Bench::with(&["1000"]);
    let replaced = |channel: &str| Event::CallerReplaced { call: call(1), channel: ChannelId::new(channel) };
    bench.rings(1);
    bench.enters(2);
    assert_eq!(bench.step(replaced("second")), ["music 1"]);
    assert_eq!(bench.stage(1), Some(Stage::Offered), "and the phone rings on");
    bench.answers(1, 1);
    assert_eq!(bench.step(replaced("third")), ["join 1 of 1 again"]);
    bench.joined(1, 1);
    assert_eq!(bench.step(replaced("fourth")), [] as [&str; 0], "is in the bridge already");
    assert_eq!(bench.floor.callers()[&call(1)].arrival.channel, ChannelId::new("fourth"));
    assert_eq!(bench.stage(2), Some(Stage::Waiting));
    bench.hangs_up(1);
    assert_eq!(bench.step(replaced("fifth")), [] as [&str; 0]);
}

#[test]
fn a_caller_whose_own_phone_transfers_is_joined_again_and_only_in_a_talk() {
    let mut bench = Bench::with(&["1000"]);
    let parted = Event::CallerParted { call: call(1) };
    bench.rings(1);
    assert_eq!(bench.step(parted.clone()), [] as [&str; 0]);
    bench.answers(1, 1);
    bench.joined(1, 1);
    assert_eq!(bench.step(parted.clone()), ["join 1 of 1 again"]);
    assert_eq!(bench.joined(1, 1), [] as [&str; 0]);
    bench.hangs_up(1);
    assert_eq!(bench.step(parted), [] as [&str; 0]);
}
