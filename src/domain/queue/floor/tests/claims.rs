//! Calls that members take, or leave to others, by their own word.

use super::*;
use crate::domain::{
    id::CustomerCode,
    queue::{
        claim::{NoClaim, NoDecline, Which},
        policy::Policy,
    },
};

const CLAIM: Duration = Duration::from_secs(15);

/// Callers are kept for claims for 15 s.
fn kept_for(claim: Duration, extensions: &[&str]) -> Bench {
    let mut roster = support(extensions);
    roster.queues[0].policy = Policy { claim, retry: Duration::from_secs(5), ..Policy::default() };
    Bench::of(roster)
}

impl Bench {
    fn takes(&mut self, extension: &str) -> Result<Vec<String>, NoClaim> {
        self.takes_which(extension, &Which::First)
    }

    /// As the service does it: looks, and then takes.
    fn takes_which(&mut self, extension: &str, which: &Which) -> Result<Vec<String>, NoClaim> {
        let extension = Extension::new(extension);
        let call = self.floor.claimable(&extension, which)?.call;
        Ok(self.step(Event::Claimed { call, extension }))
    }

    fn declines(&mut self, extension: &str) -> Result<Vec<String>, NoDecline> {
        let extension = Extension::new(extension);
        let call = self.floor.declinable(&extension, &Which::First)?.call;
        Ok(self.step(Event::Declined { call, extension, reason: "lunch".into() }))
    }
}

#[test]
fn who_is_kept_for_claims_goes_to_the_first_who_asks_and_the_second_is_told_who_that_was() {
    let mut bench = kept_for(CLAIM, &["1000", "2000", "3000"]);
    assert!(!has(&bench.enters(1), "publish"), "offered before anybody has asked");
    assert_eq!(bench.takes("2000"), Ok(vec!["publish 2000 for 1".into(), "[offered 1 #1]".into()]));
    let taken = NoClaim::Taken { by: Extension::new("2000") };
    assert_eq!(bench.takes("1000"), Err(taken.clone()));
    assert_eq!(bench.takes("2000"), Err(NoClaim::Yours));
    bench.confirmed(1, 1);
    bench.answers(1, 1);
    bench.joined(1, 1);
    let which = Which::Customer(CustomerCode::new("1111"));
    assert_eq!(bench.takes_which("1000", &which), Err(taken));
    assert_eq!(bench.takes_which("1000", &Which::Customer(CustomerCode::new("9"))), Err(NoClaim::NobodyWaits));
    assert_eq!(bench.takes("1000"), Err(NoClaim::NobodyWaits));
}

#[test]
fn whom_nobody_asks_for_is_the_strategys_when_the_time_is_over_or_the_queue_keeps_nobody_any_more() {
    let mut bench = kept_for(CLAIM, &["1000", "2000"]);
    bench.enters(1);
    assert!(!has(&bench.wait(CLAIM - Duration::from_millis(1)), "publish"));
    assert!(has(&bench.due(Deadline::Claim), "publish 1000 for 1"));
    bench.enters(2);
    let mut roster = support(&["1000", "2000"]);
    roster.queues[0].policy = Policy::default();
    assert!(has(&bench.step(Event::Roster(shared(roster))), "publish 2000 for 2"));
}

#[test]
fn who_has_not_answered_what_they_took_is_not_asked_again_and_the_time_goes_on() {
    let mut bench = kept_for(CLAIM, &["1000", "2000"]);
    bench.enters(1);
    bench.takes("2000").unwrap();
    bench.confirmed(1, 1);
    let effects = bench.leg_gone(1, 1, LegEnd::Rejected);
    assert!(has(&effects, "[offer ended 1: rejected]") && !has(&effects, "publish"), "{effects:?}");
    // They may take them all the same, and change their mind.
    assert!(bench.takes("2000").is_ok());
    assert_eq!(bench.declines("2000").unwrap()[0], "[declined 1 by 2000]");
    assert_eq!(bench.declines("2000"), Err(NoDecline::NothingOffered));
    assert_eq!(bench.declines("1000").unwrap(), ["[declined 1 by 1000]"]);
    // Both have declined: the next round is theirs, when the time for claims is over.
    bench.wait(Duration::from_secs(5));
    assert!(has(&bench.wait(CLAIM), "publish 1000 for 1"));
}

#[test]
fn a_call_that_rings_is_declined_and_passes_on_at_once() {
    let mut bench = kept_for(Duration::ZERO, &["1000", "2000"]);
    bench.rings(1);
    assert_eq!(bench.offered_to(1), Some("1000"));
    assert_eq!(bench.declines("2000"), Err(NoDecline::NothingOffered));
    let effects = bench.declines("1000").unwrap();
    assert_eq!(effects[0], "[declined 1 by 1000]");
    assert!(has(&effects, "drop leg 1 of 1") && has(&effects, "publish 2000 for 1"), "{effects:?}");
    bench.confirmed(1, 2);
    bench.answers(1, 2);
    assert_eq!(bench.declines("2000"), Err(NoDecline::Answered));
}

#[test]
fn nobody_takes_a_call_who_could_not_be_offered_one() {
    let mut bench = kept_for(CLAIM, &["1000", "2000"]);
    assert_eq!(bench.takes("1000"), Err(NoClaim::NobodyWaits));
    assert_eq!(bench.takes("9000"), Err(NoClaim::NotLoggedOn));
    bench.enters(1);
    bench.takes("1000").unwrap();
    bench.enters(2);
    assert_eq!(bench.takes("1000"), Err(NoClaim::Busy));
    bench.device("PJSIP/2000", Device::Busy);
    assert_eq!(bench.takes("2000"), Err(NoClaim::PhoneInUse));
    bench.device("PJSIP/2000", Device::Unavailable);
    assert_eq!(bench.takes("2000"), Err(NoClaim::PhoneUnavailable));
    bench.device("PJSIP/2000", Device::Idle);
    let mut roster = support(&["1000", "2000"]);
    roster.queues[0].policy = Policy { claim: CLAIM, ..Policy::default() };
    roster.agents[1].pauses = vec![crate::domain::queue::roster::Pause {
        queue: None,
        kind: crate::domain::queue::roster::PauseKind::Manual,
        reason: String::new(),
        since: bench.now.utc,
    }];
    bench.step(Event::Roster(shared(roster)));
    assert_eq!(bench.takes("2000"), Err(NoClaim::Paused));
}

#[test]
fn callers_of_before_a_restart_are_kept_for_what_is_left_of_the_time() {
    let mut bench = kept_for(CLAIM, &["1000"]);
    let arrival = bench.arrival(1);
    let effects = bench.step(Event::CallerFound(arrival, CLAIM - Duration::from_secs(1)));
    assert!(!has(&effects, "publish"), "{effects:?}");
    assert!(has(&bench.wait(Duration::from_secs(1)), "publish 1000 for 1"));
    let mut bench = kept_for(CLAIM, &["1000"]);
    let arrival = bench.arrival(1);
    assert!(has(&bench.step(Event::CallerFound(arrival, CLAIM)), "publish 1000 for 1"));
}
