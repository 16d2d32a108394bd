//! Callers who ask to be called back.

use super::*;
use crate::domain::queue::{
    callback::{CallbackPolicy, Kept, KeptState, Missed, Reach, back_channel},
    policy::{Emptiness, Policy},
    roster::CallerId,
    tries::{Try, TryEnd},
};

/// Who presses star is tried twice, 60 s apart.
fn calls_back(extensions: &[&str]) -> Bench {
    Bench::of(roster(extensions))
}

fn roster(extensions: &[&str]) -> Roster {
    let retry = Duration::from_secs(60);
    let callback = CallbackPolicy { key: Some('*'), tries: 2, retry, ..CallbackPolicy::default() };
    let queue = crate::domain::queue::roster::Queue { callback, ..queue("support") };
    Roster { queues: vec![queue], ..support(extensions) }
}

impl Bench {
    fn presses(&mut self, number: u64, key: char) -> Vec<String> {
        self.step(Event::CallerPressed { call: call(number), key })
    }

    /// A customer of their own who asked to be called back and has hung up. A member who is free was offered once in vain.
    fn asks(&mut self, number: u64) {
        let mut arrival = self.arrival(number);
        arrival.customer.id = i64::try_from(number).unwrap();
        self.step(Event::CallerEntered(arrival));
        self.presses(number, '*');
        self.step(Event::Promised { call: call(number) });
    }

    fn back_answers(&mut self, number: u64, attempt: u32) -> Vec<String> {
        let server = self.server.clone();
        self.step(Event::BackAnswered { server, call: call(number), attempt })
    }

    fn back_gone(&mut self, number: u64, attempt: u32, end: Missed) -> Vec<String> {
        self.step(Event::BackGone { call: call(number), attempt, end })
    }

    fn reach(&self, number: u64) -> Option<Reach> {
        self.floor.callers().get(&call(number))?.callback.as_ref().map(|callback| callback.reach.clone())
    }
}

#[test]
fn who_presses_the_key_hangs_up_and_is_called_only_when_a_member_has_answered() {
    let mut bench = calls_back(&["1000"]);
    bench.rings(1);
    // The phone that rings for somebody who leaves stops, and nobody is blamed.
    assert_eq!(
        bench.presses(1, '*'),
        ["drop leg 1 of 1", "withdrawn 1000 for 1", "[offer ended 1: withdrawn]", "[callback asked 1]", "promise 1"]
    );
    assert_eq!(bench.leg_gone(1, 1, LegEnd::HungUp), [] as [&str; 0], "offered while they are being told");
    let effects = bench.step(Event::Promised { call: call(1) });
    assert_eq!(effects[..2], ["hang up 1", "publish 1000 for 1"]);
    assert_eq!(bench.hangs_up(1), [] as [&str; 0]);
    assert_eq!(bench.confirmed(1, 2)[..1], ["ring 1000 for 1"]);
    assert_eq!(bench.answers(1, 2), ["[called back 1 #1]", "call back 1 #1"]);
    assert_eq!(bench.stage(1), Some(Stage::Calling));
    assert_eq!(bench.back_answers(1, 1), ["join 1"]);
    assert_eq!(bench.back_answers(1, 1), [] as [&str; 0], "told twice");
    bench.joined(1, 2);
    // Both of Asterisk's words for the end of a leg.
    let effects = bench.back_gone(1, 1, Missed::HungUp);
    assert!(has(&effects, "[ended 1: completed]"), "{effects:?}");
    bench.back_gone(1, 1, Missed::NoAnswer);
    bench.leg_gone(1, 2, LegEnd::HungUp);
    bench.nothing_is_left();
}

#[test]
fn another_key_a_second_press_and_a_key_in_a_talk_mean_nothing() {
    let mut bench = calls_back(&["1000"]);
    bench.enters(1);
    assert_eq!(bench.presses(1, '1'), [] as [&str; 0]);
    bench.presses(1, '*');
    assert_eq!(bench.presses(1, '*'), [] as [&str; 0]);
    let mut bench = calls_back(&["1000"]);
    bench.talks(1);
    assert_eq!(bench.presses(1, '*'), [] as [&str; 0]);
    let mut bench = Bench::with(&["1000"]);
    bench.enters(1);
    assert_eq!(bench.presses(1, '*'), [] as [&str; 0], "this queue calls nobody back");
}

#[test]
fn who_shows_no_number_waits_on_in_the_offer_that_they_have() {
    let mut bench = calls_back(&["1000"]);
    let arrival = Arrival { caller: CallerId::default(), ..bench.arrival(1) };
    bench.step(Event::CallerEntered(arrival));
    assert_eq!(bench.presses(1, '*'), ["regret 1"]);
    assert_eq!(bench.offered_to(1), Some("1000"));
}

#[test]
fn a_callback_keeps_its_place_before_those_who_came_later() {
    let mut bench = calls_back(&["1000"]);
    bench.talks(1);
    bench.asks(2);
    bench.enters(3);
    assert_eq!(bench.line(), [call(2), call(3)]);
    bench.hangs_up(1);
    bench.leg_gone(1, 1, LegEnd::HungUp);
    assert_eq!((bench.offered_to(2), bench.offered_to(3)), (Some("1000"), None));
}

#[test]
fn neither_the_queue_timeout_nor_an_empty_queue_throws_a_callback_away_and_its_own_time_does() {
    let mut bench = calls_back(&["1000"]);
    bench.talks(1);
    bench.asks(2);
    let mut empty = roster(&["1000"]);
    empty.memberships[0].logged_on = false;
    bench.step(Event::Roster(shared(empty)));
    bench.wait(Duration::from_secs(3600));
    assert_eq!(bench.line(), [call(2)]);
    let strict = Policy { leave_empty: Emptiness::Unless([].into()), ..Policy::default() };
    let mut empty = roster(&[]);
    empty.queues[0].policy = strict;
    bench.step(Event::Roster(shared(empty)));
    assert_eq!(bench.line(), [call(2)]);
    assert_eq!(bench.due(Deadline::QueueTimeout), ["forget 2", "[ended 2: not_reached]"]);
}

#[test]
fn a_customer_who_is_not_reached_is_tried_again_after_the_pause_and_not_more_often_than_the_queue_says() {
    let mut bench = calls_back(&["1000"]);
    bench.asks(1);
    bench.confirmed(1, 2);
    bench.answers(1, 2);
    assert_eq!(
        bench.back_gone(1, 1, Missed::Rejected),
        [
            "[missed 1 #1 (1): rejected]",
            "drop leg 2 of 1: not reached",
            "withdrawn 1000 for 1",
            "[offer ended 1: not_reached]"
        ]
    );
    bench.leg_gone(1, 2, LegEnd::HungUp);
    assert_eq!(bench.stage(1), Some(Stage::Waiting), "offered in the pause");
    let effects = bench.due(Deadline::Callback);
    assert_eq!(effects[0], "publish 1000 for 1");
    bench.confirmed(1, 3);
    assert_eq!(bench.answers(1, 3)[1], "call back 1 #2");
    // It rings on and on.
    let effects = bench.due(Deadline::Callback);
    assert_eq!(effects[..2], ["drop back 1 #2", "[missed 1 #2 (2): no_answer]"]);
    assert!(has(&effects, "[ended 1: not_reached]"), "{effects:?}");
    // In the very moment in which it was given up, they answered.
    assert_eq!(bench.back_answers(1, 2), ["drop back 1 #2"]);
    bench.leg_gone(1, 3, LegEnd::HungUp);
    bench.nothing_is_left();
}

#[test]
fn a_member_who_goes_before_the_customer_answers_ends_the_ringing_and_the_next_one_waits_for_that() {
    let mut bench = calls_back(&["1000", "3000"]);
    bench.asks(1);
    bench.confirmed(1, 2);
    bench.answers(1, 2);
    let effects = bench.leg_gone(1, 2, LegEnd::HungUp);
    assert!(has(&effects, "drop back 1 #1") && has(&effects, "[missed 1 #1 (1): member_gone]"), "{effects:?}");
    assert_eq!(bench.stage(1), Some(Stage::Waiting), "called while the last leg rings");
    let effects = bench.back_gone(1, 1, Missed::NoAnswer);
    assert_eq!(effects[0], "publish 3000 for 1");
}

#[test]
fn who_answers_for_a_callback_hears_the_greeting_of_its_queue_as_it_is_then() {
    let mut bench = calls_back(&["1000"]);
    bench.asks(1);
    let mut roster = roster(&["1000"]);
    roster.queues[0].talk.member_greeting = "usher/member".into();
    bench.step(Event::Roster(shared(roster)));
    bench.confirmed(1, 2);
    assert_eq!(bench.answers(1, 2)[1], "call back 1 #1: usher/member");
}

#[test]
fn a_call_that_was_never_placed_is_no_try() {
    let mut bench = calls_back(&["1000", "3000"]);
    bench.asks(1);
    for (offer, attempt) in (2..=6).zip(1..) {
        bench.confirmed(1, offer);
        assert_eq!(bench.answers(1, offer)[1], format!("call back 1 #{attempt}"));
        bench.back_gone(1, attempt, Missed::NotPlaced);
        bench.leg_gone(1, offer, LegEnd::HungUp);
    }
    assert_eq!(bench.floor.callers()[&call(1)].callback.as_ref().unwrap().tries, 0);
}

#[test]
fn a_customer_who_answers_when_the_member_has_just_gone_hears_music_and_gets_the_next_one() {
    let mut bench = calls_back(&["1000", "3000"]);
    bench.asks(1);
    bench.confirmed(1, 2);
    bench.answers(1, 2);
    bench.back_answers(1, 1);
    let effects = bench.leg_gone(1, 2, LegEnd::HungUp);
    assert!(has(&effects, "music 1") && has(&effects, "publish 3000 for 1"), "{effects:?}");
    bench.confirmed(1, 3);
    assert_eq!(bench.answers(1, 3), ["join 1"]);
}

#[test]
fn who_calls_again_has_the_place_a_full_queue_or_not() {
    let mut full = roster(&["1000"]);
    full.queues[0].policy.max_waiting = Some(2);
    let mut bench = Bench::of(full);
    bench.talks(1);
    bench.asks(2);
    bench.enters(3);
    let mut again = bench.arrival(4);
    again.customer.id = 2;
    let effects = bench.step(Event::CallerEntered(again));
    assert!(has(&effects, "[ended 2: called_again]"), "{effects:?}");
    assert_eq!(bench.line(), [call(4), call(3)]);
    assert_eq!(bench.floor.callers().len(), 3);
    // The time that the queue allows counts from when they came.
    let caller = &bench.floor.callers()[&call(4)];
    assert_eq!(caller.timed_from, caller.entered.steady);
}

#[test]
fn a_service_that_stops_leaves_no_leg_of_a_callback_and_ends_none() {
    let mut bench = calls_back(&["1000", "3000"]);
    bench.asks(1);
    bench.confirmed(1, 2);
    bench.answers(1, 2);
    let effects = bench.step(Event::Stop);
    assert!(has(&effects, "drop back 1 #1") && has(&effects, "drop leg 2 of 1"), "{effects:?}");
    assert!(has(&effects, "[missed 1 #1 (1): stopped]") && !has(&effects, "[ended"), "{effects:?}");
    assert!(bench.floor.callers().is_empty());
}

#[test]
fn a_promise_that_may_have_been_lost_with_the_link_is_made_again() {
    let mut bench = calls_back(&["1000"]);
    bench.enters(1);
    let press = Event::CallerPressed { call: call(1), key: '*' };
    assert!(has(&bench.step(press), "promise 1"));
    bench.step(Event::ServerDown { server: bench.server.clone() });
    let server = bench.server.clone();
    assert!(has(&bench.step(Event::ServerUp { server: server.clone() }), "promise 1"));
    bench.step(Event::Promised { call: call(1) });
    bench.step(Event::ServerDown { server: server.clone() });
    assert!(!has(&bench.step(Event::ServerUp { server }), "promise 1"), "they know");
}

#[test]
fn one_customer_on_two_lines_has_one_callback_in_the_end() {
    let mut bench = calls_back(&["1000"]);
    bench.asks(1);
    bench.confirmed(1, 2);
    bench.answers(1, 2);
    bench.back_answers(1, 1);
    // The member goes while the customer waits for them on the line; and another call of the same customer asks as well.
    bench.leg_gone(1, 2, LegEnd::HungUp);
    let mut again = bench.arrival(2);
    again.customer.id = 1;
    again.caller = bench.floor.callers()[&call(1)].arrival.caller.clone();
    bench.step(Event::CallerEntered(again));
    bench.presses(2, '*');
    bench.step(Event::Promised { call: call(2) });
    assert_eq!(bench.floor.callers().len(), 2, "a talk that may yet be, and a callback");
    let effects = bench.back_gone(1, 1, Missed::HungUp);
    assert!(has(&effects, "[missed 1 #1 (1): hung_up]") && has(&effects, "[ended 1: called_again]"), "{effects:?}");
    assert_eq!(bench.floor.callers().keys().copied().collect::<Vec<_>>(), [call(2)]);
}

fn kept(bench: &Bench, number: u64, state: KeptState) -> Kept {
    let Arrival { server, queue, mut customer, caller, penalties, .. } = bench.arrival(number);
    customer.id = i64::try_from(number).unwrap();
    let since = bench.now.utc - Duration::from_secs(100 - number);
    let keep_until = bench.now.plus(Duration::from_secs(3600)).utc;
    Kept {
        call: call(number),
        server,
        queue,
        customer,
        caller,
        priority: 0,
        since,
        penalties,
        entered: since,
        keep_until,
        told_of_recording: false,
        attempt: 1,
        tries: 0,
        again_at: None,
        state,
    }
}

/// A floor that has just begun, with callbacks from before.
fn restarted(states: &[KeptState]) -> Bench {
    let mut bench = Bench { floor: Floor::new(BOUND, 1), now: midnight(), server: ServerId::new("pbx") };
    bench.step(Event::Roster(shared(roster(&["1000", "3000"]))));
    let kept = (1..).zip(states).map(|(number, state)| kept(&bench, number, state.clone())).collect();
    assert_eq!(bench.step(Event::Kept(kept)), [] as [&str; 0], "nothing is done before Asterisk is heard");
    bench
}

#[test]
fn after_a_restart_callbacks_stand_in_their_places_and_a_try_that_is_not_found_counts() {
    let mut bench = restarted(&[KeptState::Called, KeptState::Waiting]);
    assert_eq!(bench.line(), [call(1), call(2)]);
    let effects = bench.link_up(&["PJSIP/1000"]);
    assert_eq!(effects[0], "[missed 1 #1 (1): lost]");
    assert_eq!(effects[1], "publish 1000 for 2", "the first one is in the pause");
}

#[test]
fn after_a_restart_a_customer_who_rings_rings_on_for_the_member_who_waits() {
    let mut bench = restarted(&[KeptState::Called]);
    let member = Some((OfferNo(9), Extension::new("1000")));
    let (server, call) = (bench.server.clone(), call(1));
    bench.step(Event::BackFound { server, call, attempt: 1, member });
    assert_eq!(bench.link_up(&["PJSIP/1000"]), [] as [&str; 0]);
    assert_eq!(bench.stage(1), Some(Stage::Calling));
    assert_eq!(bench.back_answers(1, 1), ["join 1"]);
}

#[test]
fn after_a_restart_a_customer_who_rings_for_nobody_stops_ringing_before_they_are_tried_again() {
    let mut bench = restarted(&[KeptState::Called]);
    let (server, call) = (bench.server.clone(), call(1));
    let effects = bench.step(Event::BackFound { server, call, attempt: 1, member: None });
    assert_eq!(effects, ["drop back 1 #1", "[missed 1 #1 (1): lost]"]);
    assert_eq!(bench.reach(1), Some(Reach::Clearing));
}

#[test]
fn after_a_restart_a_talk_that_is_not_found_is_over_and_one_that_is_goes_on() {
    let mut bench =
        restarted(&[KeptState::Talking(Extension::new("1000")), KeptState::Talking(Extension::new("3000"))]);
    let arrival = Arrival { channel: back_channel(call(2), 1), ..bench.arrival(2) };
    let age = Duration::from_secs(98);
    bench.step(Event::TalkFound { arrival, age, offer: OfferNo(9), extension: Extension::new("3000") });
    let effects = bench.link_up(&["PJSIP/1000"]);
    assert!(has(&effects, "[ended 1: completed]") && !has(&effects, "[ended 2"), "{effects:?}");
    assert!(has(&bench.back_gone(2, 1, Missed::HungUp), "[ended 2: completed]"));
}

#[test]
fn what_asterisk_remembers_of_a_try_counts_where_the_database_was_not_told_of_it() {
    let remembers = |bench: &mut Bench, attempt, talk: Option<&str>| {
        let end = talk.map_or(TryEnd::Open, |extension| TryEnd::Talked(OfferNo(7), Extension::new(extension)));
        let (server, tried) = (bench.server.clone(), Try { call: call(1), attempt, end });
        bench.step(Event::BackRemembered { server, tried })
    };
    // The database knows of the first one, and more of it than Asterisk does.
    let mut bench = restarted(&[KeptState::Waiting]);
    assert_eq!(remembers(&mut bench, 1, Some("1000")), [] as [&str; 0]);
    assert!(has(&bench.link_up(&["PJSIP/1000"]), "publish 1000 for 1"));
    // One more was begun since, or two.
    let mut bench = restarted(&[KeptState::Waiting]);
    assert_eq!(remembers(&mut bench, 2, None), [] as [&str; 0]);
    assert_eq!(bench.link_up(&["PJSIP/1000"]), ["[missed 1 #2 (1): lost]"]);
    let mut bench = restarted(&[KeptState::Waiting]);
    assert_eq!(remembers(&mut bench, 3, None), [] as [&str; 0]);
    assert!(has(&bench.link_up(&["PJSIP/1000"]), "[ended 1: not_reached]"));
    // They have talked, and are not called again.
    for state in [KeptState::Waiting, KeptState::Called] {
        let attempt = if state == KeptState::Waiting { 2 } else { 1 };
        let mut bench = restarted(&[state]);
        assert_eq!(remembers(&mut bench, attempt, Some("1000")), ["[answered 1]"]);
        let effects = bench.link_up(&["PJSIP/1000"]);
        assert!(has(&effects, "[ended 1: completed]") && !has(&effects, "publish"), "{effects:?}");
    }
    // Who is on the line tells more.
    let mut bench = restarted(&[KeptState::Called]);
    let arrival = Arrival { channel: back_channel(call(1), 1), ..bench.arrival(1) };
    bench.step(Event::CallerFound(arrival, Duration::from_secs(99)));
    assert_eq!(remembers(&mut bench, 1, None), [] as [&str; 0]);
    assert!(has(&bench.link_up(&["PJSIP/1000"]), "publish 1000 for 1"));
}

#[test]
fn a_callback_of_which_asterisk_remembers_that_it_is_over_is_over() {
    let mut bench = restarted(&[KeptState::Waiting, KeptState::Waiting]);
    let tried = Try { call: call(1), attempt: 1, end: TryEnd::Over(CallOutcome::CalledAgain) };
    let effects = bench.step(Event::BackRemembered { server: bench.server.clone(), tried });
    assert_eq!(effects, ["forget 1", "drop bridge 1", "[ended 1: called_again]"]);
    assert!(has(&bench.link_up(&["PJSIP/1000"]), "publish 1000 for 2"));
}

#[test]
fn asterisk_is_told_of_each_try_before_it_is_made_of_each_talk_and_of_each_end() {
    let remembered = |bench: &mut Bench, event: Event| -> Vec<String> {
        let effects = bench.floor.step(event, bench.now);
        let place = |wanted: &dyn Fn(&Effect) -> bool| effects.iter().position(wanted);
        let told = place(&|effect| matches!(effect, Effect::Remember { .. }));
        let made = place(&|effect| matches!(effect, Effect::CallBack(_) | Effect::Join { .. }));
        assert!(made.is_none_or(|made| told < Some(made)), "{effects:?}");
        effects.iter().filter(|effect| matches!(effect, Effect::Remember { .. })).map(words).collect()
    };
    let mut bench = calls_back(&["1000"]);
    bench.asks(1);
    bench.confirmed(1, 2);
    let (server, number) = (bench.server.clone(), call(1));
    let answered = Event::LegAnswered { server: server.clone(), call: number, offer: OfferNo(2) };
    assert_eq!(remembered(&mut bench, answered), ["remember 1 #1: Open"]);
    let answered = Event::BackAnswered { server, call: number, attempt: 1 };
    assert_eq!(remembered(&mut bench, answered), ["remember 1 #1: Talked(OfferNo(2), extension 1000)"]);
    bench.asks(2);
    assert_eq!(remembered(&mut bench, Event::Cancelled { call: call(2) }), ["remember 2 #0: Over(Cancelled)"]);
}

#[test]
fn after_a_restart_who_is_on_the_leg_on_which_they_asked_is_hung_up_as_they_were_told() {
    let mut bench = restarted(&[KeptState::Waiting]);
    let arrival = bench.arrival(1);
    assert_eq!(bench.step(Event::CallerFound(arrival, Duration::from_secs(99))), ["hang up 1"]);
    // And who has answered waits on that leg.
    let mut bench = restarted(&[KeptState::Called]);
    let arrival = Arrival { channel: back_channel(call(1), 1), ..bench.arrival(1) };
    assert_eq!(bench.step(Event::CallerFound(arrival, Duration::from_secs(99))), ["music 1"]);
    assert!(has(&bench.link_up(&["PJSIP/1000"]), "publish 1000 for 1"));
}

#[test]
fn who_answers_when_it_is_too_late_is_hung_up() {
    let mut bench = calls_back(&["1000"]);
    bench.asks(1);
    bench.confirmed(1, 2);
    bench.answers(1, 2);
    let effects = bench.wait(Duration::from_secs(3600));
    assert!(has(&effects, "drop back 1 #1"), "{effects:?}");
    // Their answer and the order to stop cross on the way.
    assert_eq!(bench.back_answers(1, 1), ["drop back 1 #1"]);
}

#[test]
fn a_callback_waits_for_its_own_asterisk_and_holds_nobody_up_who_is_on_another() {
    let mut bench = calls_back(&["1000"]);
    bench.talks(1);
    bench.asks(2);
    bench.step(Event::ServerDown { server: bench.server.clone() });
    let (own, other) = (bench.server.clone(), ServerId::new("other"));
    bench.server = other;
    bench.link_up(&["PJSIP/1000"]);
    bench.enters(3);
    bench.server = own;
    bench.hangs_up(1);
    bench.leg_gone(1, 1, LegEnd::HungUp);
    assert_eq!((bench.offered_to(2), bench.offered_to(3)), (None, Some("1000")));
    bench.hangs_up(3);
    bench.leg_gone(3, 1, LegEnd::HungUp);
    assert_eq!(bench.offered_to(2), None);
    bench.link_up(&["PJSIP/1000"]);
    assert_eq!(bench.offered_to(2), Some("1000"));
}

#[test]
fn after_a_restart_a_callback_of_an_asterisk_that_there_is_no_more_goes_by_another() {
    let mut bench = restarted(&[KeptState::Waiting, KeptState::Called]);
    bench.server = ServerId::new("new");
    let effects = bench.step(Event::LeftOpen { calls: Vec::new(), servers: [bench.server.clone()].into() });
    assert_eq!(effects, [] as [&str; 0]);
    let effects = bench.link_up(&["PJSIP/1000"]);
    assert!(has(&effects, "[missed 2 #1 (1): lost]") && has(&effects, "publish 1000 for 1"), "{effects:?}");
}

#[test]
fn a_callback_that_is_cancelled_is_gone_and_a_talk_goes_on() {
    let mut bench = calls_back(&["1000"]);
    bench.asks(1);
    bench.confirmed(1, 2);
    bench.answers(1, 2);
    let effects = bench.step(Event::Cancelled { call: call(1) });
    assert!(has(&effects, "drop back 1 #1") && has(&effects, "[ended 1: cancelled]"), "{effects:?}");
    let mut bench = calls_back(&["1000"]);
    bench.asks(1);
    bench.confirmed(1, 2);
    bench.answers(1, 2);
    bench.back_answers(1, 1);
    bench.joined(1, 2);
    assert_eq!(bench.step(Event::Cancelled { call: call(1) }), [] as [&str; 0]);
}

#[test]
fn the_place_that_a_new_call_took_over_is_on_its_leg_and_kept_after_a_restart() {
    let mut bench = calls_back(&["1000"]);
    bench.rings(9);
    bench.answers(9, 1);
    bench.joined(9, 1);
    bench.asks(1);
    bench.now = bench.now.plus(Duration::from_secs(30));
    let mut later = bench.arrival(2);
    later.customer.id = 2;
    bench.step(Event::CallerEntered(later.clone()));
    bench.now = bench.now.plus(Duration::from_secs(30));
    let mut again = bench.arrival(3);
    again.customer.id = 1;
    again.caller = bench.floor.callers()[&call(1)].arrival.caller.clone();
    let effects = bench.step(Event::CallerEntered(again.clone()));
    assert!(has(&effects, "[ended 1: called_again]"), "{effects:?}");
    assert!(has(&effects, "mark the place of 3"), "{effects:?}");
    assert_eq!(bench.line(), [call(3), call(2)]);
    let since = bench.floor.callers()[&call(3)].arrival.since;
    assert_eq!(since, Some(midnight().utc));

    let mut next = Bench { floor: Floor::new(BOUND, 1), now: bench.now, server: bench.server.clone() };
    next.step(Event::Roster(shared(roster(&["1000"]))));
    next.step(Event::CallerFound(later, Duration::from_secs(30)));
    next.step(Event::CallerFound(Arrival { since, ..again }, Duration::ZERO));
    assert_eq!(next.line(), [call(3), call(2)]);
}

#[test]
fn after_a_restart_who_was_called_back_and_sent_on_has_the_time_of_their_queue_anew_and_is_the_agents_first() {
    for agent in [None, Some("1000")] {
        let mut bench = restarted(&[KeptState::Talking(Extension::new("1000"))]);
        let returns_to = agent.map(Extension::new);
        let arrival = Arrival { channel: back_channel(call(1), 1), returns_to, ..bench.arrival(1) };
        // The queue allows a minute.
        let effects = bench.step(Event::CallerFound(arrival, Duration::from_secs(99)));
        assert!(has(&effects, "music 1") && !has(&effects, "[ended"), "{effects:?}");
        let effects = bench.link_up(&["PJSIP/1000", "PJSIP/3000"]);
        assert!(!has(&effects, "[ended") && !has(&effects, "give back"), "{effects:?}");
        assert_eq!(bench.offered_to(1), Some("1000"), "{agent:?}");
        let expected = if agent.is_some() { Stage::Transferred } else { Stage::Offered };
        assert_eq!(bench.stage(1), Some(expected));
    }
}

#[test]
fn a_member_who_has_let_a_callback_go_by_is_tried_for_it_again_though_the_queue_says_only_for_another_call() {
    let mut bench = calls_back(&["1000"]);
    bench.asks(1);
    bench.confirmed(1, 2);
    bench.leg_gone(1, 2, LegEnd::Rejected);
    assert_eq!(bench.offered_to(1), None);
    assert!(!has(&bench.wait(Duration::from_secs(29)), "publish 1000 for 1"));
    assert!(has(&bench.wait(Duration::from_secs(1)), "publish 1000 for 1"));
}
