//! What people are shown of the floor.

use super::*;
use crate::domain::queue::{
    roster::{Pause, PauseKind},
    summary::Summary,
    view::{MemberView, SHOWN, SHOWN_MEMBERS, WorkView},
};

fn shown(bench: &Bench) -> Vec<CallId> {
    let view = bench.floor.view_queue(&QueueName::new("support"), bench.now).unwrap();
    view.waiting.iter().map(|waiter| waiter.call).collect()
}

fn work(bench: &Bench) -> WorkView {
    bench.floor.view_work(&Extension::new("1000"), bench.now).unwrap()
}

#[test]
fn who_waits_is_shown_in_the_order_of_the_line_and_who_talks_is_not() {
    let mut bench = Bench::with(&["1000", "2000"]);
    bench.talks(1);
    bench.rings(2);
    for number in [5, 3, 4] {
        bench.wait(Duration::from_secs(1));
        bench.enters(number);
    }
    bench.wait(Duration::from_secs(10));
    assert_eq!(shown(&bench), [call(2), call(5), call(3), call(4)], "one who is being offered waits as well");
    let view = bench.floor.view_queue(&QueueName::new("support"), bench.now).unwrap();
    assert_eq!((view.members, view.ready, view.more), (2, 0, 0));
    assert_eq!(view.waiting.last().map(|waiter| waiter.waited), Some(Duration::from_secs(10)));
    assert_eq!(bench.floor.view_queue(&QueueName::new("other"), bench.now), None);
}

#[test]
fn of_a_long_line_the_first_are_shown_and_the_others_counted() {
    let mut bench = Bench::with(&[]);
    for number in 0..25 {
        bench.enters(number);
    }
    let view = bench.floor.view_queue(&QueueName::new("support"), bench.now);
    // Without a member nobody is kept.
    assert_eq!(view.map(|view| view.waiting.len()), Some(0));
    let mut bench = Bench::with(&["1000"]);
    bench.talks(100);
    for number in 0..25 {
        bench.enters(number);
    }
    let view = bench.floor.view_queue(&QueueName::new("support"), bench.now).unwrap();
    assert_eq!((view.waiting.len(), view.more), (SHOWN, 25 - SHOWN));
}

#[test]
fn what_an_agent_does_is_shown_at_each_step_of_a_call() {
    let mut roster = support(&["1000"]);
    roster.queues[0].policy.wrap_up = Duration::from_secs(30);
    let mut bench = Bench::of(roster);
    assert_eq!(work(&bench), WorkView::Free);
    bench.enters(1);
    assert!(matches!(work(&bench), WorkView::Offered(view) if view.call == call(1)));
    bench.confirmed(1, 1);
    assert!(matches!(work(&bench), WorkView::Offered(_)));
    bench.answers(1, 1);
    bench.joined(1, 1);
    assert!(matches!(work(&bench), WorkView::Talking(view) if view.call == call(1)));
    bench.leg_gone(1, 1, LegEnd::HungUp);
    bench.wait(Duration::from_secs(10));
    assert_eq!(work(&bench), WorkView::WrapUp(Duration::from_secs(20)));
    bench.wait(Duration::from_secs(21));
    for (device, expected) in [
        (Device::Busy, WorkView::PhoneInUse),
        (Device::Unavailable, WorkView::PhoneUnavailable),
        (Device::Idle, WorkView::Free),
    ] {
        bench.device("PJSIP/1000", device);
        assert_eq!(work(&bench), expected);
    }
    assert_eq!(bench.floor.view_work(&Extension::new("9"), bench.now), None);
}

/// What colleagues in `support` see of 1000.
fn seen(bench: &Bench) -> MemberView {
    let lines = bench.floor.view_lines(bench.now);
    let line = lines.iter().find(|line| line.queue.as_str() == "support").unwrap();
    line.members.iter().find(|(extension, _)| extension.as_str() == "1000").unwrap().1.clone()
}

#[test]
fn colleagues_see_each_step_of_an_agents_call_and_never_with_whom() {
    let mut roster = support(&["1000"]);
    roster.queues[0].policy.wrap_up = Duration::from_secs(30);
    let mut bench = Bench::of(roster.clone());
    assert_eq!(seen(&bench), MemberView::Ready);
    bench.enters(1);
    assert_eq!(seen(&bench), MemberView::Rung);
    bench.confirmed(1, 1);
    bench.answers(1, 1);
    bench.joined(1, 1);
    assert_eq!(seen(&bench), MemberView::Talking);
    bench.leg_gone(1, 1, LegEnd::HungUp);
    bench.wait(Duration::from_secs(10));
    assert_eq!(seen(&bench), MemberView::WrapUp(Duration::from_secs(20)));
    bench.wait(Duration::from_secs(21));
    for (device, expected) in [
        (Device::Busy, MemberView::PhoneInUse),
        (Device::Unavailable, MemberView::PhoneUnavailable),
        (Device::Idle, MemberView::Ready),
    ] {
        bench.device("PJSIP/1000", device);
        assert_eq!(seen(&bench), expected);
    }
    let lunch = Pause { queue: None, kind: PauseKind::Manual, reason: "lunch".into(), since: bench.now.utc };
    roster.agents[0].pauses.push(lunch);
    bench.step(Event::Roster(shared(roster)));
    assert_eq!(seen(&bench), MemberView::Paused { reason: "lunch".into() });
}

#[test]
fn each_queue_has_its_numbers_and_a_large_one_names_nobody() {
    let mut bench = Bench::with(&["1000", "2000"]);
    bench.talks(1);
    bench.rings(2);
    bench.enters(3);
    bench.wait(Duration::from_secs(7));
    let summary = |bench: &Bench| bench.floor.view_lines(bench.now)[0].summary;
    let expected = Summary { waiting: 2, longest: Duration::from_secs(7), ready: 0, members: 2 };
    assert_eq!(summary(&bench), expected);
    let many: Vec<String> = (0..=SHOWN_MEMBERS).map(|number| format!("{}", 1000 + number)).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (members, named) in [(SHOWN_MEMBERS, SHOWN_MEMBERS), (SHOWN_MEMBERS + 1, 0)] {
        let bench = Bench::with(&many[..members]);
        assert_eq!((summary(&bench).members, bench.floor.view_lines(bench.now)[0].members.len()), (members, named));
    }
}
