//! Callers who come back to the agent who sent them on.

use super::*;
use crate::domain::queue::transfer::TransferMeans;

/// Lets time pass, deadline by deadline, as long as the caller is for the agent alone; says how long that was.
fn waits_for_the_agent(bench: &mut Bench, number: u64) -> Duration {
    let begin = bench.now.steady;
    while bench.stage(number) == Some(Stage::Transferred) {
        let (at, _) = bench.floor.deadline().expect("the agent is waited for without end");
        bench.wait(at - bench.now.steady);
    }
    bench.now.steady - begin
}

#[test]
fn an_agent_whose_phone_stays_busy_is_waited_for_a_moment_and_then_the_caller_is_the_first_of_the_line() {
    let mut bench = Bench::with(&["1000", "3000"]);
    bench.talks(1);
    let (from, to) = if bench.offered_to(1) == Some("1000") { ("1000", "3000") } else { ("3000", "1000") };
    for phone in [from, to] {
        bench.device(&format!("PJSIP/{phone}"), Device::Busy);
    }
    bench.enters(2);
    let (call, offer) = (call(1), OfferNo(1));
    let effects = bench.step(Event::TransferAsked { call, offer, to: to.into(), how: TransferMeans::Phone });
    assert!(has(&effects, "music 1") && has(&effects, &format!("tell {from} of a transfer: ")), "{effects:?}");
    bench.leg_gone(1, 1, LegEnd::HungUp);
    assert_eq!(waits_for_the_agent(&mut bench, 1), Duration::from_secs(5));
    assert_eq!(bench.line(), [call, super::call(2)]);
}

#[test]
fn after_a_restart_the_agent_of_a_lost_transfer_is_waited_for_no_longer() {
    let mut bench = Bench::with(&["1000"]);
    bench.device("PJSIP/1000", Device::Busy);
    let arrival = Arrival { returns_to: Some(Extension::new("1000")), ..bench.arrival(1) };
    bench.step(Event::CallerFound(arrival, Duration::from_secs(60)));
    assert_eq!(waits_for_the_agent(&mut bench, 1), Duration::from_secs(5));
    assert_eq!(bench.line(), [call(1)]);
}

/// Asterisk shows the phone as free at once; the phone is in its old call until it hangs up by itself.
#[test]
fn a_phone_that_transferred_by_itself_is_rung_when_it_has_had_time_to_hang_up_and_again_if_it_had_not() {
    let mut bench = Bench::with(&["1000"]);
    bench.talks(1);
    let (to, how) = ("1000".into(), TransferMeans::Phone);
    let effects = bench.step(Event::TransferAsked { call: call(1), offer: OfferNo(1), to, how });
    assert!(has(&effects, "tell 1000 of a transfer: busy"), "{effects:?}");
    assert!(!has(&bench.leg_gone(1, 1, LegEnd::HungUp), "publish"));
    for number in 2..4 {
        assert!(!has(&bench.wait(Duration::from_millis(999)), "publish"));
        assert!(has(&bench.wait(Duration::from_millis(1)), "publish 1000 for 1"));
        bench.confirmed(1, number);
        if number == 2 {
            bench.leg_gone(1, number, LegEnd::Rejected);
            assert_eq!(bench.stage(1), Some(Stage::Transferred), "its phone refuses, and not the agent");
        }
    }
    bench.wait(Duration::from_secs(1));
    bench.leg_gone(1, 3, LegEnd::Rejected);
    assert_eq!(bench.line(), [call(1)]);
}
