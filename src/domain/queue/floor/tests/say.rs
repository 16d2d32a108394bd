//! What callers hear while they wait.

use super::*;
use crate::domain::queue::waiting::Announcements;

const SECOND: Duration = Duration::from_secs(1);

/// Place and wait every 30 s, something periodic every 45 s; phones ring for long, and nobody is sent away.
fn telling(extensions: &[&str]) -> Roster {
    let mut roster = support(extensions);
    let queue = &mut roster.queues[0];
    (queue.ring_time, queue.queue_timeout) = (Duration::from_secs(600), Duration::from_secs(3_600));
    queue.announcements = Announcements {
        every: 30 * SECOND,
        position: true,
        hold_time: true,
        periodic: "usher/one&usher/two".into(),
        periodic_every: 45 * SECOND,
    };
    roster
}

impl Bench {
    /// What is said to the caller was said to the end.
    fn said(&mut self, number: u64) -> Vec<String> {
        let now = self.floor.callers()[&call(number)].told.now.expect("nothing is being said");
        self.step(Event::Said { call: call(number), number: now })
    }
}

#[test]
fn a_caller_hears_the_greeting_music_and_after_each_pause_their_place_and_music_again() {
    let mut bench = Bench::of(telling(&["1000"]));
    bench.talks(1);
    assert!(has(&bench.enters(2), "greet 2"));
    bench.enters(3);
    bench.said(3);
    assert_eq!(bench.said(2), ["music 2"]);
    assert_eq!(bench.wait(29 * SECOND), Vec::<String>::new(), "not over the greeting, but after the first pause");
    let mut both = bench.wait(SECOND);
    both.sort();
    // The first call was answered at once.
    assert_eq!(both, ["say 2: usher/position_1 usher/wait_short", "say 3: usher/position_2 usher/wait_short"]);
    assert_eq!(bench.wait(14 * SECOND), Vec::<String>::new());
    // Due while something is said: right after it.
    bench.said(2);
    assert_eq!(bench.wait(SECOND), ["say 2: usher/one usher/two"]);
    assert_eq!(bench.said(3), ["music 3", "say 3: usher/one usher/two"]);
    assert_eq!(bench.said(3), ["music 3"]);
}

#[test]
fn the_place_in_line_is_the_one_in_which_callers_are_served_those_who_are_offered_included() {
    let mut bench = Bench::of(telling(&["1000"]));
    // Is being offered, and so still before all others.
    bench.rings(1);
    bench.said(1);
    bench.enters(2);
    bench.said(2);
    let mut favoured = bench.arrival(3);
    favoured.priority = 1;
    bench.step(Event::CallerEntered(favoured));
    bench.said(3);
    let mut said = bench.wait(30 * SECOND);
    said.sort();
    assert_eq!(said, ["say 1: usher/position_2", "say 2: usher/position_3", "say 3: usher/position_1"]);
    for number in 1..=3 {
        bench.said(number);
    }
    bench.wait(15 * SECOND);
    for number in 1..=3 {
        bench.said(number);
    }
    bench.hangs_up(3);
    let mut said = bench.wait(15 * SECOND);
    said.sort();
    assert_eq!(said, ["say 1: usher/position_1", "say 2: usher/position_2"]);
}

#[test]
fn nobody_is_told_anything_while_they_are_joined_and_an_answer_that_comes_to_nothing_leaves_music() {
    let mut bench = Bench::of(telling(&["1000"]));
    bench.rings(1);
    bench.said(1);
    bench.wait(29 * SECOND);
    assert_eq!(bench.answers(1, 1), ["join 1"]);
    assert!(!has(&bench.wait(SECOND), "say"), "told while they are joined");
    // What was cut short is over, and is not followed by music.
    assert_eq!(bench.step(Event::Said { call: call(1), number: 1 }), Vec::<String>::new());
    let gone = bench.leg_gone(1, 1, LegEnd::HungUp);
    assert!(gone.ends_with(&["music 1".into(), "say 1: usher/position_1".into()]), "{gone:?}");
    bench.said(1);
    bench.device("PJSIP/1000", Device::Busy);
    assert_eq!(bench.wait(15 * SECOND), ["say 1: usher/one usher/two"]);
}

#[test]
fn after_a_gap_music_goes_on_and_what_has_become_due_is_said_and_a_caller_who_was_found_waits_a_pause() {
    let mut bench = Bench::of(telling(&[]));
    bench.floor = Floor::new(BOUND, 1);
    let mut roster = telling(&[]);
    roster.queues[0].policy.leave_empty = crate::domain::queue::policy::Emptiness::Never;
    bench.step(Event::Roster(shared(roster)));
    bench.link_up(&[]);
    let found = bench.arrival(1);
    bench.step(Event::CallerFound(found, 40 * SECOND));
    assert_eq!(bench.wait(29 * SECOND), Vec::<String>::new());
    bench.link_down();
    assert_eq!(bench.wait(10 * SECOND), Vec::<String>::new());
    assert_eq!(bench.link_up(&[]), ["music 1", "say 1: usher/position_1"]);
    // The end of what was said is lost with the link.
    bench.link_down();
    assert_eq!(bench.link_up(&[]), ["music 1"]);
    assert_eq!(bench.wait(6 * SECOND), ["say 1: usher/one usher/two"]);
}

#[test]
fn a_change_of_the_announcements_applies_to_those_who_wait_already() {
    let mut bench = Bench::of(support(&["1000"]));
    bench.talks(1);
    bench.enters(2);
    bench.said(2);
    bench.wait(40 * SECOND);
    assert_eq!(bench.step(Event::Roster(shared(telling(&["1000"])))), ["say 2: usher/position_1 usher/wait_short"]);
    bench.said(2);
    bench.step(Event::Roster(shared(support(&["1000"]))));
    bench.due(Deadline::QueueTimeout);
}
