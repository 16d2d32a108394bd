//! The floor, case by case. What is said of a case number: `P…` are cases of the original, `F…` known failures of others.

use std::time::Duration;

use super::*;
use crate::domain::{
    id::ChannelId,
    queue::{
        caller::leg_channel,
        effect::LegEnd,
        floor::fixture::{agent, arrival, call, member, midnight, queue, shared, support, words},
        roster::Roster,
    },
};

mod pairs;

const BOUND: Duration = Duration::from_millis(500);

/// A floor with one Asterisk, whose phones are idle.
pub(super) struct Bench {
    pub(super) floor: Floor,
    pub(super) now: Now,
    pub(super) server: ServerId,
}

impl Bench {
    pub(super) fn with(extensions: &[&str]) -> Self {
        Self::of(support(extensions))
    }

    fn of(roster: Roster) -> Self {
        let mut bench = Self { floor: Floor::new(BOUND), now: midnight(), server: ServerId::new("pbx") };
        let interfaces: Vec<Interface> = roster.agents.iter().map(|agent| agent.interface.clone()).collect();
        bench.step(Event::Roster(shared(roster)));
        for interface in interfaces {
            bench.device(interface.as_str(), Device::Idle);
        }
        bench.step(Event::ServerUp { server: bench.server.clone() });
        bench
    }

    pub(super) fn step(&mut self, event: Event) -> Vec<String> {
        self.floor.step(event, self.now).iter().map(words).collect()
    }

    fn wait(&mut self, time: Duration) -> Vec<String> {
        self.now = self.now.plus(time);
        self.step(Event::Tick)
    }

    /// Lets time pass until the next deadline, which must be this one.
    fn due(&mut self, expected: Deadline) -> Vec<String> {
        let (at, deadline) = self.floor.deadline().unwrap();
        assert_eq!(deadline, expected);
        self.wait(at - self.now.steady)
    }

    pub(super) fn arrival(&self, number: u64) -> Arrival {
        arrival(number, &self.server, &QueueName::new("support"))
    }

    fn enters(&mut self, number: u64) -> Vec<String> {
        let arrival = self.arrival(number);
        self.step(Event::CallerEntered(arrival))
    }

    fn hangs_up(&mut self, number: u64) -> Vec<String> {
        self.step(Event::CallerGone { call: call(number) })
    }

    fn confirmed(&mut self, number: u64, offer: u32) -> Vec<String> {
        self.settled(number, offer, PopOutcome::Confirmed)
    }

    fn settled(&mut self, number: u64, offer: u32, outcome: PopOutcome) -> Vec<String> {
        self.step(Event::PopSettled { call: call(number), offer: OfferNo(offer), outcome })
    }

    fn answers(&mut self, number: u64, offer: u32) -> Vec<String> {
        let server = self.server.clone();
        self.step(Event::LegAnswered { server, call: call(number), offer: OfferNo(offer) })
    }

    fn joined(&mut self, number: u64, offer: u32) -> Vec<String> {
        self.step(Event::Joined { call: call(number), offer: OfferNo(offer) })
    }

    fn leg_gone(&mut self, number: u64, offer: u32, end: LegEnd) -> Vec<String> {
        self.step(Event::LegGone { call: call(number), offer: OfferNo(offer), end })
    }

    fn device(&mut self, interface: &str, device: Device) -> Vec<String> {
        let (server, interface) = (self.server.clone(), Interface::new(interface));
        self.step(Event::DeviceChanged { server, interface, device })
    }

    fn link_down(&mut self) -> Vec<String> {
        self.step(Event::ServerDown { server: self.server.clone() })
    }

    fn link_up(&mut self, interfaces: &[&str]) -> Vec<String> {
        for interface in interfaces {
            self.device(interface, Device::Idle);
        }
        self.step(Event::ServerUp { server: self.server.clone() })
    }

    /// A caller whose member's phone rings.
    fn rings(&mut self, number: u64) {
        self.enters(number);
        self.confirmed(number, 1);
    }

    /// A caller and a member who talk.
    fn talks(&mut self, number: u64) {
        self.rings(number);
        self.answers(number, 1);
        self.joined(number, 1);
    }

    pub(super) fn stage(&self, number: u64) -> Option<Stage> {
        self.floor.callers().get(&call(number)).map(|caller| caller.stage)
    }

    /// Whose phone a caller's offer is for.
    fn offered_to(&self, number: u64) -> Option<&str> {
        self.floor.callers().get(&call(number))?.offer.as_ref().map(|offer| offer.extension.as_str())
    }

    fn nothing_is_left(&self) {
        assert!(self.floor.callers().is_empty() && self.floor.line.is_empty());
        assert!(self.floor.agents().values().all(|agent| agent.work == Work::Free));
        assert_eq!(self.floor.deadline(), None);
    }
}

fn has(effects: &[String], word: &str) -> bool {
    effects.iter().any(|effect| effect.starts_with(word))
}

// ---- a call as it should be ------------------------------------------------------------------------------------

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

// ---- who is free -----------------------------------------------------------------------------------------------

#[test]
fn f5_two_callers_and_one_member_one_rings_the_other_waits() {
    let mut bench = Bench::with(&["1000"]);
    bench.rings(1);
    let effects = bench.enters(2);
    assert!(has(&effects, "greet 2") && !has(&effects, "publish"));
    assert_eq!(bench.stage(2), Some(Stage::Waiting));
    bench.answers(1, 1);
    bench.joined(1, 1);
    assert!(has(&bench.leg_gone(1, 1, LegEnd::HungUp), "publish 1000 for 2"));
}

#[test]
fn f5_a_member_of_two_queues_is_one_person() {
    let mut roster = support(&["1000"]);
    roster.queues.push(queue("sales"));
    roster.memberships.push(member("sales", "1000"));
    let mut bench = Bench::of(roster);
    bench.rings(1);
    let sales = arrival(2, &bench.server, &QueueName::new("sales"));
    assert!(!has(&bench.step(Event::CallerEntered(sales)), "publish"));
}

#[test]
fn callers_are_served_in_the_order_in_which_they_came() {
    let mut bench = Bench::with(&["1000"]);
    bench.talks(1);
    for number in [5, 3, 4] {
        bench.enters(number);
    }
    for number in [5, 3, 4] {
        let before = if number == 5 {
            1
        } else if number == 3 {
            5
        } else {
            3
        };
        bench.leg_gone(before, 1, LegEnd::HungUp);
        assert_eq!(bench.offered_to(number), Some("1000"));
        bench.confirmed(number, 1);
        bench.answers(number, 1);
        bench.joined(number, 1);
    }
}

#[test]
fn a_phone_that_is_busy_away_or_unknown_is_not_rung_until_it_is_idle() {
    for device in [Device::Busy, Device::Unavailable] {
        let mut bench = Bench::with(&["1000"]);
        bench.device("PJSIP/1000", device);
        assert!(!has(&bench.enters(1), "publish"), "{device:?}");
        assert!(has(&bench.device("PJSIP/1000", Device::Idle), "publish 1000 for 1"));
    }
    let mut bench = Bench::with(&["1000"]);
    bench.link_down();
    bench.link_up(&[]);
    assert!(!has(&bench.enters(1), "publish"), "nothing is known of the phone");
}

#[test]
fn an_interface_that_asterisk_does_not_watch_is_free_when_we_gave_it_nothing_to_do() {
    let mut roster = support(&["1000"]);
    roster.agents[0].interface = Interface::new("Local/1000@home");
    let mut bench = Bench { floor: Floor::new(BOUND), now: midnight(), server: ServerId::new("pbx") };
    bench.step(Event::Roster(shared(roster)));
    bench.link_up(&[]);
    assert!(has(&bench.enters(1), "publish 1000 for 1"));
    assert!(!has(&bench.enters(2), "publish"));
}

#[test]
fn a_member_who_talks_on_another_asterisk_is_not_free() {
    let mut bench = Bench::with(&["1000"]);
    let (other, interface) = (ServerId::new("pbx2"), Interface::new("PJSIP/1000"));
    bench.step(Event::ServerUp { server: other.clone() });
    let busy = Event::DeviceChanged { server: other.clone(), interface, device: Device::Busy };
    bench.step(busy);
    assert!(!has(&bench.enters(1), "publish"));
    assert!(has(&bench.step(Event::ServerDown { server: other }), "publish 1000 for 1"));
}

#[test]
fn a_phone_taken_while_its_pop_is_on_the_way_is_not_rung_and_may_be_tried_again() {
    let mut bench = Bench::with(&["1000"]);
    bench.enters(1);
    bench.device("PJSIP/1000", Device::Busy);
    assert_eq!(bench.confirmed(1, 1), ["withdrawn 1000 for 1", "[offer ended 1: withdrawn]"]);
    assert!(has(&bench.device("PJSIP/1000", Device::Idle), "publish 1000 for 1"));
}

#[test]
fn f6_a_member_who_does_not_answer_is_skipped_for_this_call_and_the_next_one_rings() {
    let mut bench = Bench::with(&["1000", "3000"]);
    bench.rings(1);
    assert_eq!(
        bench.due(Deadline::RingTime),
        [
            "drop leg 1 of 1",
            "withdrawn 1000 for 1",
            "[offer ended 1: ring_no_answer]",
            "publish 3000 for 1",
            "[offered 1 #2]"
        ]
    );
    bench.leg_gone(1, 1, LegEnd::HungUp);
    bench.confirmed(1, 2);
    bench.leg_gone(1, 2, LegEnd::Rejected);
    assert_eq!(bench.stage(1), Some(Stage::Waiting), "all have been tried");
    assert!(has(&bench.due(Deadline::QueueTimeout), "give back 1: timed_out"));
    bench.nothing_is_left();
}

#[test]
fn f6_one_who_does_not_answer_is_not_the_first_to_be_rung_by_every_caller() {
    let mut bench = Bench::with(&["1000", "3000"]);
    bench.rings(1);
    bench.due(Deadline::RingTime);
    bench.hangs_up(1);
    bench.leg_gone(1, 1, LegEnd::HungUp);
    bench.enters(2);
    assert_eq!(bench.offered_to(2), Some("3000"));
}

// ---- callers who go, members who go ----------------------------------------------------------------------------

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
    assert!(matches!(bench.stage(1), Some(Stage::Ringing { .. })));
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

// ---- the roster in mid-offer -----------------------------------------------------------------------------------

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

// ---- links, restarts, the end ----------------------------------------------------------------------------------

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
fn f10_callers_from_before_a_restart_are_served_in_their_old_order() {
    let mut bench = Bench::with(&["1000"]);
    bench.link_down();
    for (number, age) in [(7, 5), (8, 30), (9, 12)] {
        let found = Event::CallerFound(bench.arrival(number), Duration::from_secs(age));
        assert_eq!(bench.step(found), [format!("[entered {number}]"), format!("music {number}")]);
    }
    assert!(has(&bench.link_up(&["PJSIP/1000"]), "publish 1000 for 8"));
    let line: Vec<CallId> = bench.floor.line.values().copied().collect();
    assert_eq!(line, [call(9), call(7)]);
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
    assert_eq!(bench.step(found), ["answered 1000 for 1"]);
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
    assert_eq!(effects[..2], ["drop leg 1 of 2", "withdrawn 1000 for 2"]);
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
