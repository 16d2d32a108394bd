//! Two services with one configuration: the death and the silence of the active one, and its waking up.

use std::time::{Duration, Instant};

use usher_rig::{
    phones::{Behaviour, Ears, Leg, Phone, Side},
    rig::Rig,
    usher::Usher,
    wait,
};

use crate::{
    aid::{self, SOON, answers, beside, enter, house, is_served, joined, says, story, talk, times},
    storm::rung_twice,
};

/// From death or silence until the other one is active.
const TAKEN_OVER: Duration = Duration::from_secs(5);
/// In a rig that shares its cores with others the last steps (readiness, snapshots) may lag behind.
const LATER: Duration = Duration::from_secs(15);

/// Long enough for the database to have been away for longer than a lease.
const LATE: Behaviour = Behaviour::AnswerAfter(Duration::from_secs(12));

/// One talks with 1000, one rings at 2000, one waits.
struct Floor<'a> {
    rig: &'a Rig,
    talking: Leg,
    leg: Leg,
    ringing: Leg,
    waiting: Leg,
}

impl<'a> Floor<'a> {
    async fn open(rig: &'a Rig, ringing: Behaviour) -> Self {
        let (one, two) = (rig.phones.phone("1000").unwrap(), rig.phones.phone("2000").unwrap());
        let (talking, leg) = aid::talking(rig, "5550001", "1000").await;
        one.set_ears(Ears::Closed);
        two.behave(ringing);
        let ringing = enter(rig, "5550002").await;
        two.rung(1, SOON).await.unwrap();
        // Its next call, should this one be taken from it.
        answers(two);
        let waiting = enter(rig, "5550003").await;
        Self { rig, talking, leg, ringing, waiting }
    }

    /// The talk went on, and the others are served in their order.
    async fn goes_on(&self) {
        talk(&self.talking, &self.leg).await;
        assert!(self.ringing.state().ended.is_none() && self.waiting.state().ended.is_none());
        is_served(self.rig, "5550002").await;
        assert!(!joined(self.rig).await.unwrap().contains(&"5550003".to_owned()));
        talk(&self.talking, &self.leg).await;
        self.ringing.hang_up().await.unwrap();
        is_served(self.rig, "5550003").await;
    }

    /// All hang up; nothing is left, and each call has one story.
    async fn closes(self) {
        self.waiting.hang_up().await.unwrap();
        if self.leg.state().ended.is_none() {
            self.leg.hang_up().await.unwrap();
        }
        assert_eq!(self.talking.hung_up(SOON).await.unwrap().by, Side::Them);
        self.rig.pbx.wait_until_empty(SOON).await.unwrap();
        for from in ["5550001", "5550002", "5550003"] {
            assert_eq!(story(self.rig, from).await.outcome, "completed", "{from}");
        }
        for number in ["1000", "2000"] {
            never_rung_twice(self.rig.phones.phone(number).unwrap());
        }
    }
}

/// No call came to the phone while it had one. To be asked when all is over: each call has ended then.
fn never_rung_twice(phone: &Phone) {
    assert_eq!(rung_twice(&[phone]), 0, "{} was rung twice: {:?}", phone.number(), phone.events());
}

async fn two(name: &str) -> (Rig, Usher) {
    let rig = house(name).logged_on(&["1000", "2000"]).sql(&times(30, 120)).start().await.unwrap();
    let standby = Usher::stand_by(&rig.instance, &beside(&rig)).await.unwrap();
    assert_eq!(standby.ready().await.unwrap(), 503);
    rig.usher().unwrap().is("active").await.unwrap();
    (rig, standby)
}

async fn is_active(usher: &Usher, within: Duration) -> Duration {
    let begin = Instant::now();
    wait::until("it is active", within, || usher.is("active")).await.unwrap();
    begin.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_takes_over_after_a_kill_and_nobody_on_the_phone_notices() {
    let (rig, standby) = two("sbkill").await;
    let floor = Floor::open(&rig, Behaviour::Ignore).await;
    rig.usher().unwrap().kill().await.unwrap();
    let took = is_active(&standby, TAKEN_OVER).await;
    assert!(took < TAKEN_OVER, "{took:?}");
    says(&standby, 200, LATER).await;
    floor.goes_on().await;
    // A new caller finds it, at its own address.
    let (one, rung) = (rig.phones.phone("1000").unwrap(), rig.phones.phone("1000").unwrap().rings_so_far());
    answers(one);
    let late = enter(&rig, "5550004").await;
    floor.leg.hang_up().await.unwrap();
    one.rung(rung + 1, SOON).await.unwrap();
    is_served(&rig, "5550004").await;
    late.hang_up().await.unwrap();
    assert_eq!(story(&rig, "5550004").await.outcome, "completed");
    floor.closes().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_silent_wakes_up_as_the_standby_does_nothing_and_takes_over_when_the_other_dies() {
    let (rig, second) = two("sbstop").await;
    let first = rig.usher().unwrap();
    let floor = Floor::open(&rig, Behaviour::Ignore).await;
    first.freeze().unwrap();
    let took = is_active(&second, TAKEN_OVER).await;
    assert!(took < TAKEN_OVER, "{took:?}");
    says(&second, 200, LATER).await;
    floor.goes_on().await;
    let before = tokens(&rig).await;
    let rings = |number: &str| rig.phones.phone(number).unwrap().rings_so_far();
    let rung = (rings("1000"), rings("2000"));

    first.thaw();
    wait::until("the old one stands by", LATER, || first.is("standby")).await.unwrap();
    second.is("active").await.unwrap();
    assert_eq!(second.ready().await.unwrap(), 200, "the new one was disturbed");
    assert_eq!(tokens(&rig).await, before, "the lease changed hands");
    talk(&floor.talking, &floor.leg).await;
    assert_eq!((rings("1000"), rings("2000")), rung, "the old one rang somebody");
    assert!(!second.log().unwrap().contains("another program has taken over"), "the old one fought for Asterisk");

    second.kill().await.unwrap();
    is_active(first, TAKEN_OVER).await;
    says(first, 200, LATER).await;
    talk(&floor.talking, &floor.leg).await;
    floor.closes().await;
}

/// Grows with each change of hands.
async fn tokens(rig: &Rig) -> i64 {
    let client = rig.database.as_ref().unwrap().connect().await.unwrap();
    client.query_one("SELECT token FROM leases", &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_stop_hands_over_at_once() {
    let (rig, standby) = two("sbterm").await;
    assert!(rig.usher().unwrap().stop().await.unwrap().success());
    let took = is_active(&standby, TAKEN_OVER).await;
    // Waiting for the lease to run out would take three.
    assert!(took < Duration::from_secs(2), "{took:?}");
    says(&standby, 200, LATER).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_cannot_reach_the_database_goes_on_until_another_one_takes_its_place_in_asterisk() {
    let rig = house("sbcut").logged_on(&["1000", "2000"]).sql(&times(30, 120)).proxies().start().await.unwrap();
    let first = rig.usher().unwrap();
    let floor = Floor::open(&rig, LATE).await;
    rig.proxies.as_ref().unwrap().postgres.blackhole();
    // Alone it goes on, for longer than a lease: 2000 answers, and the second in line is served.
    // The database counts as away.
    says(first, 503, LATER).await;
    let begin = Instant::now();
    floor.goes_on().await;
    assert!(!first.log().unwrap().contains("another process may be active"), "it doubted for {:?}", begin.elapsed());

    // One that does reach it takes over.
    let second = Usher::rival(&rig.instance, &beside(&rig)).unwrap();
    is_active(&second, LATER).await;
    says(&second, 200, LATER).await;
    wait::until("the one that was replaced stands by", LATER, || first.is("standby")).await.unwrap();
    assert_eq!(second.ready().await.unwrap(), 200);
    talk(&floor.talking, &floor.leg).await;
    floor.waiting.hang_up().await.unwrap();
    floor.leg.hang_up().await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
    never_rung_twice(rig.phones.phone("1000").unwrap());
    never_rung_twice(rig.phones.phone("2000").unwrap());
}
