//! A busy floor for tests that break something at random moments: callers who wait, ring and talk at once, members who answer,
//! reject and let it ring, and the plain counts of what must never happen.

#![expect(clippy::print_stdout, reason = "what a long run counts, and what it did not like, is for people to read")]

use std::{
    fmt,
    time::{Duration, Instant},
};

use usher_rig::{
    pbx::Pbx,
    phones::{Behaviour, CallSpec, Ears, Leg, Phone, PhoneEvent, Side},
    rig::Rig,
    wait,
    xmpp::Client,
};

use crate::aid::{enter, key_in};

/// For what takes a moment on a machine that is busy with other rigs as well.
pub const SETTLED: Duration = Duration::from_secs(60);
/// How much later than the switchboard a phone may see that it rings no more.
const LAG: Duration = Duration::from_millis(100);
/// The longest wait for something to happen on the phones that a moment is chosen by.
const EVENTFUL: Duration = Duration::from_secs(3);
/// Who serves; 3000 is the fallback and stays out of it.
pub const MEMBERS: [&str; 3] = ["1000", "2000", "1001"];
/// Half of them ring or talk, half of them wait.
const CALLERS: usize = 6;

/// The queue's times: short rings, and another try soon for those who missed or rejected a call.
pub const TIMES: &str =
    "UPDATE queues SET ring_time_seconds = 3, queue_timeout_seconds = 600, retry_seconds = 1, greeting = ''";

/// Number, outcome and events of each call.
const RECORDS: &str = "SELECT caller_number, outcome, (SELECT string_agg(concat_ws(' ', at::time, kind, extension, offer), '; ' ORDER BY at, id) \
                       FROM call_events WHERE call_id = calls.id) FROM calls";

/// A small generator: the same seed is the same run.
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    /// From `USHER_SEED`, else 1; said, so that a run can be had again.
    pub fn from_environment() -> Self {
        let seed = number("USHER_SEED", 1);
        println!("USHER_SEED={seed}");
        Self(seed)
    }

    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        least + (self.0 >> 33) % (most - least + 1)
    }

    pub fn millis(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.between(least, most))
    }
}

/// A number from the environment.
pub fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// What must never happen, and how often it did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Counts {
    pub calls: usize,
    pub lost: usize,
    pub double_rings: usize,
    pub orphans: usize,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { calls, lost, double_rings, orphans } = self;
        write!(f, "{calls} calls: {lost} lost, {double_rings} double rings, {orphans} orphans")
    }
}

/// What is to become of a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    /// Waits until served, and is on record as such.
    Patient,
    /// May come while the service is away, and is served by whoever is there.
    Early,
    /// Hangs up at some moment, whatever it is.
    Fickle,
}

pub struct Storm<'a> {
    rig: &'a Rig,
    pub dice: Dice,
    members: Vec<&'a Phone>,
    callers: Vec<(String, Caller, Leg)>,
    came: usize,
    /// Rings of the fallback phone that were counted.
    fell_through: usize,
    pub counts: Counts,
}

impl<'a> Storm<'a> {
    pub fn new(rig: &'a Rig) -> Self {
        let members: Vec<&Phone> = MEMBERS.iter().map(|number| rig.phones.phone(number).unwrap()).collect();
        members.iter().for_each(|phone| phone.set_ears(Ears::Closed));
        let dice = Dice::from_environment();
        Self { rig, dice, members, callers: Vec::new(), came: 0, fell_through: 0, counts: Counts::default() }
    }

    fn next_number(&mut self) -> String {
        self.came += 1;
        format!("555{:05}", self.came)
    }

    /// Fills the floor up with callers, and lets each member do something else from now on.
    pub async fn goes_on(&mut self) {
        for phone in self.members.clone() {
            phone.behave(self.behaviour());
        }
        let there = self.callers.iter().filter(|(.., leg)| leg.state().ended.is_none()).count();
        for _ in there..CALLERS {
            let number = self.next_number();
            let leg = enter(self.rig, &number).await;
            let mut kind = Caller::Patient;
            if self.dice.between(1, 6) == 1 {
                kind = Caller::Fickle;
                let (leg, patience) = (leg.clone(), self.dice.millis(0, 8000));
                tokio::spawn(async move {
                    tokio::time::sleep(patience).await;
                    // It fails when the call is over.
                    let _ = leg.hang_up().await;
                });
            }
            self.callers.push((number, kind, leg));
        }
    }

    /// The service has been out of Asterisk's reach for so long that the dialplan may have taken back who waits: they are served by
    /// whoever is there, and not on record as talks of the service.
    pub fn may_be_taken_back(&mut self) {
        for (_, kind, _) in self.callers.iter_mut().filter(|(_, kind, _)| *kind == Caller::Patient) {
            *kind = Caller::Early;
        }
    }

    /// One more, who may find the service gone.
    pub async fn comes_early(&mut self) {
        let number = self.next_number();
        let leg = key_in(self.rig, &number, "1111", Ears::Closed).await;
        self.callers.push((number, Caller::Early, leg));
    }

    fn behaviour(&mut self) -> Behaviour {
        match self.dice.between(1, 10) {
            1 => Behaviour::Reject,
            2 => Behaviour::Ignore,
            _ => {
                Behaviour::AnswerThenHangUp { ringing: self.dice.millis(0, 1500), talking: self.dice.millis(300, 4000) }
            }
        }
    }

    /// Waits for some moment in the life of the calls: any, or right after something has happened on a phone.
    pub async fn some_moment(&mut self) {
        let kind = self.dice.between(0, 4);
        let count = |phones: &[&Phone]| {
            let events = phones.iter().flat_map(|phone| phone.events());
            events
                .filter(|event| match event {
                    PhoneEvent::Ringing { .. } => kind == 2,
                    PhoneEvent::Answered { .. } => kind == 3,
                    PhoneEvent::Ended(_) => kind == 4,
                })
                .count()
        };
        // Not to wait for anything: the moment itself is what is tried.
        if kind < 2 {
            return tokio::time::sleep(self.dice.millis(0, 6000)).await;
        }
        let (before, begin) = (count(&self.members), Instant::now());
        while count(&self.members) == before && begin.elapsed() < EVENTFUL {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        tokio::time::sleep(self.dice.millis(0, 60)).await;
    }

    /// Lets everybody be served and go, and counts what is left.
    pub async fn comes_to_rest(&mut self) {
        for phone in &self.members {
            let (ringing, talking) = (Duration::from_millis(200), Duration::from_millis(300));
            phone.behave(Behaviour::AnswerThenHangUp { ringing, talking });
        }
        let callers = std::mem::take(&mut self.callers);
        self.counts.calls += callers.len();
        for (number, kind, leg) in &callers {
            let lost = match (leg.hung_up(SETTLED).await, kind) {
                (Ok(_), Caller::Fickle) => false,
                (Ok(ended), Caller::Patient | Caller::Early) => ended.by != Side::Them,
                (Err(_), _) => true,
            };
            if lost {
                println!("{number}, {kind:?}, was lost: {:?}", leg.state());
                self.counts.lost += 1;
            }
        }
        let fell_through = self.rig.phones.phone("3000").unwrap().rings_so_far();
        self.counts.lost += fell_through - std::mem::replace(&mut self.fell_through, fell_through);
        self.nobody_is_missing_in_the_records(&callers).await;
        self.nothing_is_left().await;
        self.counts.double_rings = self.members.iter().map(|phone| rung_twice(&[phone])).sum();
        println!("{}", self.counts);
    }

    async fn nobody_is_missing_in_the_records(&mut self, callers: &[(String, Caller, Leg)]) {
        let client = self.rig.database.as_ref().unwrap().connect().await.unwrap();
        let expected: Vec<&String> =
            callers.iter().filter(|(_, kind, _)| *kind == Caller::Patient).map(|(number, ..)| number).collect();
        let (client, expected) = (&client, &expected);
        let missing = || async move {
            let rows = client.query(RECORDS, &[]).await?;
            let mut missing = Vec::new();
            for number in expected {
                let of: Vec<_> = rows.iter().filter(|row| row.get::<_, &str>(0) == *number).collect();
                if of.len() != 1 || of[0].get::<_, Option<&str>>(1) != Some("completed") {
                    let stories = of.iter().map(|row| (row.get::<_, Option<&str>>(1), row.get::<_, Option<&str>>(2)));
                    missing.push(format!("{number}: {:?}", stories.collect::<Vec<_>>()));
                }
            }
            anyhow::ensure!(missing.is_empty(), "{missing:#?}");
            Ok(())
        };
        if let Err(error) = wait::until("each caller has one call, and it was completed", SETTLED, missing).await {
            println!("{error:#}");
            self.counts.lost += 1;
        }
    }

    async fn nothing_is_left(&mut self) {
        if let Err(error) = self.rig.pbx.wait_until_empty(SETTLED).await {
            println!("{error:#}");
            self.counts.orphans += 1;
        }
        let crm = Client::connect(&self.rig.prosody, "crm").await.unwrap();
        let crm = &crm;
        for number in MEMBERS {
            let no_pop = || async move {
                let items = crm.items(&format!("extension{number}")).await?;
                anyhow::ensure!(items.is_empty(), "{items:?}");
                Ok(())
            };
            if let Err(error) = wait::until("no pop is left", SETTLED, no_pop).await {
                println!("{error:#}");
                self.counts.orphans += 1;
            }
        }
    }
}

/// How often a call came to a person's phones while they had one. To be asked when all is over: each call has ended then.
pub fn rung_twice(phones: &[&Phone]) -> usize {
    let (mut rings, mut ends) = (Vec::new(), Vec::new());
    for event in phones.iter().flat_map(|phone| phone.events()) {
        match event {
            PhoneEvent::Ringing { at, .. } => rings.push(at),
            PhoneEvent::Answered { .. } => {}
            PhoneEvent::Ended(ended) => ends.push(ended.at),
        }
    }
    rings.sort_unstable();
    ends.sort_unstable();
    let twice = ends.iter().zip(rings.iter().skip(1)).filter(|(end, next)| **end > **next + LAG).count();
    let twice = twice + rings.len().saturating_sub(ends.len() + 1);
    if twice > 0 {
        for phone in phones {
            println!("{} was rung twice: {:?}", phone.number(), phone.events());
        }
    }
    twice
}

/// A caller of another switchboard, in the queue there or on their way to it.
pub async fn key_in_at(phones: &usher_rig::phones::Phones, number: &str) -> Leg {
    let spec = CallSpec { from: Some(number.into()), to: "0000".into(), ears: Ears::Closed };
    let caller = phones.call(&spec).await.unwrap();
    caller.answered(SETTLED).await.unwrap();
    caller.press("11111").await.unwrap();
    caller
}

/// Waits until somebody is in the service's application there.
pub async fn in_the_queue_at(pbx: &Pbx) {
    wait::until("a caller is in the queue", SETTLED, || async {
        let channels = pbx.channels().await?;
        anyhow::ensure!(channels.iter().any(|channel| channel["dialplan"]["app_name"] == "Stasis"), "{channels:?}");
        Ok(())
    })
    .await
    .unwrap();
}
