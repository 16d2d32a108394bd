//! What the service needs goes away at random moments and comes back: the database, XMPP, the link to Asterisk, an Asterisk,
//! and the processor itself.
//!
//! `USHER_OUTAGES` says how often, `USHER_OUTAGE_SECONDS` how long at most, `USHER_SEED` which moments.

use std::time::Duration;

use usher_rig::{
    pbx::{Pbx, PbxSpec, PhoneState},
    phones::{Behaviour, Ears, Phones},
    rig::Rig,
    usher::{Server, Usher},
};

use crate::{
    aid::{RECONNECTED, house, ready_says},
    storm::{Counts, MEMBERS, SETTLED, Storm, TIMES, in_the_queue_at, key_in_at, number, rung_twice},
};

/// After so many outages everybody is let go, and what is left is counted.
const ROUND: u64 = 7;

/// `USHER_SILENCE_SECONDS` less a third: the bound of who waits is put off that often.
const SHORTEST_BOUND: Duration = Duration::from_secs(40);

#[derive(Debug, Clone, Copy)]
enum Outage {
    DatabaseFrozen,
    DatabaseKilled,
    XmppSilent,
    XmppCut,
    LinkSilent,
    LinkCut,
    ServiceFrozen,
}

/// As a database for use has it: what it says is written survives its death. Tests have it off, because that is faster.
const DURABLE: &str =
    "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = on', current_database()); END $$";

const ALL: [Outage; 7] = [
    Outage::DatabaseFrozen,
    Outage::DatabaseKilled,
    Outage::XmppSilent,
    Outage::XmppCut,
    Outage::LinkSilent,
    Outage::LinkCut,
    Outage::ServiceFrozen,
];

impl Outage {
    /// Whether the service cannot tell Asterisk that it lives.
    fn parts_from_asterisk(self) -> bool {
        match self {
            Self::LinkSilent | Self::LinkCut | Self::ServiceFrozen => true,
            Self::DatabaseFrozen | Self::DatabaseKilled | Self::XmppSilent | Self::XmppCut => false,
        }
    }

    async fn begins(self, rig: &Rig) {
        let proxies = rig.proxies.as_ref().unwrap();
        match self {
            Self::DatabaseFrozen => rig.pg.freeze().unwrap(),
            Self::DatabaseKilled => rig.pg.kill().await.unwrap(),
            Self::XmppSilent => proxies.xmpp.blackhole(),
            Self::XmppCut => {
                proxies.xmpp.refuse();
                proxies.xmpp.cut();
            }
            Self::LinkSilent => proxies.ari.blackhole(),
            Self::LinkCut => {
                proxies.ari.refuse();
                proxies.ari.cut();
            }
            Self::ServiceFrozen => rig.usher().unwrap().freeze().unwrap(),
        }
    }

    async fn ends(self, rig: &Rig) {
        let proxies = rig.proxies.as_ref().unwrap();
        match self {
            Self::DatabaseFrozen => rig.pg.thaw(),
            Self::DatabaseKilled => rig.pg.start_again().await.unwrap(),
            // What was swallowed is lost: a connection that goes on all the same is one that TCP does not know.
            Self::XmppSilent | Self::XmppCut => {
                proxies.xmpp.cut();
                proxies.xmpp.heal();
            }
            Self::LinkSilent | Self::LinkCut => {
                proxies.ari.cut();
                proxies.ari.heal();
            }
            Self::ServiceFrozen => rig.usher().unwrap().thaw(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn through_outages_at_random_moments_no_call_is_lost_nobody_rung_twice_and_nothing_left_behind() {
    let (outages, longest) = (number("USHER_OUTAGES", 7), number("USHER_OUTAGE_SECONDS", 7));
    let rig = house("outages").members(4).own_postgres().proxies().logged_on(&MEMBERS).sql(TIMES);
    let rig = rig.sql(DURABLE).start().await.unwrap();
    let mut storm = Storm::new(&rig);
    for round in 1..=outages {
        storm.goes_on().await;
        let place = storm.dice.between(0, 6);
        let outage = ALL[usize::try_from((place + round) % 7).unwrap()];
        storm.some_moment().await;
        let length = storm.dice.millis(200, longest * 1000);
        println!("{round}: {outage:?} for {length:?}");
        outage.begins(&rig).await;
        tokio::time::sleep(length).await;
        outage.ends(&rig).await;
        if outage.parts_from_asterisk() && length >= SHORTEST_BOUND {
            storm.may_be_taken_back();
        }
        // A link that died in silence is not missed at once; then it is up again.
        ready_says(&rig, 200, RECONNECTED * 2).await;
        if round % ROUND == 0 || round == outages {
            storm.comes_to_rest().await;
            ready_says(&rig, 200, RECONNECTED * 2).await;
            println!("after {round} outages: {}", storm.counts);
        }
    }
    let calls = storm.counts.calls;
    assert_eq!(storm.counts, Counts { calls, ..Counts::default() });
}

#[tokio::test(flavor = "multi_thread")]
async fn one_asterisk_of_two_dies_again_and_again_and_the_callers_of_the_other_do_not_notice() {
    let deaths = number("USHER_DEATHS", 2);
    let mut rig = house("deaths").members(4).logged_on(&MEMBERS).sql(TIMES).start().await.unwrap();
    rig.usher().unwrap().stop().await.unwrap();
    let mut spec = rig.spec.clone().unwrap();
    let mut shipped = PbxSpec::shipped(spec.agi_port);
    shipped.extensions.push("1001".into());
    let second = Pbx::start(&rig.instance, &shipped).await.unwrap();
    let phones = Phones::start(&rig.instance, &second).await.unwrap();
    let (name, address) = ("second".to_owned(), format!("127.0.0.1:{}", second.http_port()));
    spec.servers.push(Server { name, address, password: second.ari_password().to_owned() });
    let there = MEMBERS.map(|number| phones.phone(number).unwrap());
    for phone in there {
        second.wait_for_phone(phone.number(), PhoneState::Online, SETTLED).await.unwrap();
        phone.set_ears(Ears::Closed);
    }
    rig.usher = Some(Usher::start(&rig.instance, &spec).await.unwrap());

    let mut storm = Storm::new(&rig);
    let mut came = 0;
    for _ in 0..deaths {
        for phone in there {
            let (ringing, talking) = (storm.dice.millis(0, 1500), storm.dice.millis(300, 4000));
            phone.behave(Behaviour::AnswerThenHangUp { ringing, talking });
        }
        for _ in 0..3 {
            came += 1;
            drop(key_in_at(&phones, &format!("556{came:05}")).await);
        }
        in_the_queue_at(&second).await;
        storm.goes_on().await;
        storm.some_moment().await;
        second.kill().await.unwrap();
        // Nobody tells these phones that their calls are over.
        for leg in there.iter().filter_map(|phone| phone.leg()).filter(|leg| leg.state().ended.is_none()) {
            leg.hang_up().await.unwrap();
        }
        tokio::time::sleep(storm.dice.millis(0, 4000)).await;
        second.start_again().await.unwrap();
        ready_says(&rig, 200, RECONNECTED * 2).await;
        for phone in there {
            second.wait_for_phone(phone.number(), PhoneState::Online, SETTLED).await.unwrap();
        }
    }
    for phone in there {
        let (ringing, talking) = (Duration::from_millis(200), Duration::from_millis(300));
        phone.behave(Behaviour::AnswerThenHangUp { ringing, talking });
    }
    storm.comes_to_rest().await;
    second.wait_until_empty(SETTLED).await.unwrap();
    // A member is one person, whatever number of phones they have.
    for phone in there {
        let here = rig.phones.phone(phone.number()).unwrap();
        storm.counts.double_rings += rung_twice(&[here, phone]);
    }
    let calls = storm.counts.calls;
    assert_eq!(storm.counts, Counts { calls, ..Counts::default() });
}
