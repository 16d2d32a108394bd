//! Who is free, and whose turn it is.

use super::*;

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
    let mut bench = Bench { floor: Floor::new(BOUND, 1), now: midnight(), server: ServerId::new("pbx") };
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
