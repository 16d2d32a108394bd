use proptest::prelude::*;

use super::*;
use crate::domain::{
    id::Interface,
    queue::roster::{Pause, Queue, Roster},
};

const MINUTE: Duration = Duration::from_secs(60);

/// A house with one agent, 1000, who is logged on to `support` (away 5 min, offline 10 min) and to `sales` (no policy).
struct House {
    start: Now,
    now: Now,
    roster: Roster,
    watch: Watch<&'static str>,
    warned: Vec<Vec<String>>,
}

fn name(queue: &str) -> QueueName {
    QueueName::new(queue)
}

fn ana() -> Extension {
    Extension::new("1000")
}

impl House {
    #[expect(
        clippy::disallowed_methods,
        reason = "a moment to count from can be had nowhere else; all others follow it"
    )]
    fn new() -> Self {
        let start = Now { steady: Instant::now() + 24 * 60 * MINUTE, utc: "2026-11-23T09:00:00Z".parse().unwrap() };
        let queue = |queue: &str, presence| Queue { label: queue.into(), presence, ..Queue::new(name(queue)) };
        let on = PresencePolicy { away: 5 * MINUTE, offline: 10 * MINUTE };
        let agent = Agent {
            extension: ana(),
            name: "Ana".into(),
            jid: "ana".into(),
            interface: Interface::new("PJSIP/1000"),
            pauses: vec![],
        };
        let memberships = ["sales", "support"].map(|queue| Membership::new(name(queue), ana())).into();
        let queues = vec![queue("sales", PresencePolicy::default()), queue("support", on)];
        let roster = Roster { agents: vec![agent], queues, memberships };
        let mut watch = Watch::new(GRACE);
        watch.sees(true);
        watch.agrees(&"ana");
        Self { start, now: start, roster, watch, warned: vec![] }
    }

    fn after(&mut self, span: Duration) -> &mut Self {
        self.now = self.now.plus(span);
        self
    }

    fn shows(&mut self, client: &str, show: Show, text: &str) -> &mut Self {
        self.watch.shows(&"ana", client, show, text, self.now.steady);
        self
    }

    fn leaves(&mut self, client: &str) -> &mut Self {
        self.watch.leaves(&"ana", client, self.now.steady);
        self
    }

    fn membership(&mut self) -> &mut Membership {
        &mut self.roster.memberships[1]
    }

    /// What is to be done now.
    fn steps(&mut self) -> Vec<Step> {
        self.watch.steps(&Register::from(&self.roster), |_| Some("ana"), self.now)
    }

    /// The same, done and said in words, until there is no more.
    fn done(&mut self) -> String {
        let mut said = Vec::new();
        loop {
            let steps = self.steps();
            if steps.is_empty() {
                return said.join(", ");
            }
            assert!(said.len() < 20, "there is no end: {said:?}");
            for step in steps {
                said.push(self.carry_out(step));
            }
        }
    }

    fn carry_out(&mut self, step: Step) -> String {
        match step {
            Step::Warn(who, queues) => {
                assert_eq!(who, ana());
                let names: Vec<_> = queues.iter().map(ToString::to_string).collect();
                self.watch.warned(&"ana", &queues, self.now.steady);
                self.warned.push(names.clone());
                format!("warned of {}", names.join(" "))
            }
            Step::Change(who, Deed::Pause { queue, reason }) => {
                assert_eq!(who, ana());
                let said = format!("paused in {queue} ({reason})");
                self.pause(Some(queue), PauseKind::Presence, &reason);
                said
            }
            Step::Change(_, Deed::Resume { queue }) => {
                self.roster.agents[0].pauses.retain(|p| p.kind != PauseKind::Presence || p.queue != queue);
                format!("resumed in {}", queue.map_or("all".into(), |queue| queue.to_string()))
            }
            Step::Change(_, Deed::LogOff { queue }) => {
                let member = self.roster.memberships.iter_mut().find(|member| member.queue == queue).unwrap();
                member.logged_on = false;
                format!("logged off from {queue}")
            }
        }
    }

    fn pause(&mut self, queue: Option<QueueName>, kind: PauseKind, reason: &str) {
        let pause = Pause { queue, kind, reason: reason.into(), since: self.now.utc };
        self.roster.agents[0].pauses.push(pause);
    }

    fn paused(&self, kind: PauseKind) -> usize {
        self.roster.agents[0].pauses.iter().filter(|pause| pause.kind == kind).count()
    }
}

#[test]
fn who_is_away_for_long_enough_is_paused_where_that_is_wanted_and_resumes_by_being_available() {
    let mut house = House::new();
    assert_eq!(house.shows("desk", Show::Available, "").done(), "");
    assert_eq!(house.after(MINUTE).shows("desk", Show::Away, "at the\n dentist").done(), "");
    assert_eq!(house.after(5 * MINUTE - Duration::from_millis(1)).done(), "");
    assert_eq!(house.after(Duration::from_millis(1)).done(), "paused in support (away: at the dentist)");
    assert_eq!(house.after(60 * MINUTE).done(), "", "once");
    assert_eq!(house.shows("desk", Show::Available, "").done(), "resumed in support");
    assert_eq!(house.after(60 * MINUTE).done(), "");
}

#[test]
fn not_to_be_disturbed_counts_like_away_and_going_from_one_to_the_other_does_not_count_anew() {
    let mut house = House::new();
    house.shows("desk", Show::Away, "").after(3 * MINUTE).shows("desk", Show::Dnd, "");
    assert_eq!(house.after(2 * MINUTE).done(), "paused in support (dnd)");
    assert_eq!(house.shows("desk", Show::Away, "").done(), "");
}

#[test]
fn the_best_of_several_clients_counts() {
    let mut house = House::new();
    house.shows("desk", Show::Away, "").shows("phone", Show::Available, "");
    assert_eq!(house.after(60 * MINUTE).done(), "");
    house.leaves("phone");
    assert_eq!(house.after(5 * MINUTE - Duration::from_secs(1)).done(), "", "away since the other one left");
    // Whoever comes to a client, be it away at once, was there.
    house.shows("laptop", Show::Away, "");
    assert_eq!(house.after(MINUTE).done(), "");
    assert_eq!(house.after(4 * MINUTE).done(), "paused in support (away)");
}

#[test]
fn who_is_at_no_client_is_warned_and_a_minute_later_logged_off_where_that_is_wanted() {
    let mut house = House::new();
    house.shows("desk", Show::Available, "").leaves("desk");
    assert_eq!(house.after(10 * MINUTE).done(), "warned of support");
    assert_eq!(house.after(GRACE - Duration::from_secs(1)).done(), "");
    assert_eq!(house.after(Duration::from_secs(1)).done(), "logged off from support");
    assert!(house.roster.memberships[0].logged_on);
    assert_eq!(house.after(60 * MINUTE).done(), "");
}

#[test]
fn who_comes_back_after_the_warning_is_not_logged_off_and_is_warned_again_the_next_time() {
    let mut house = House::new();
    house.watch.is_offline(&"ana", house.now.steady);
    assert_eq!(house.after(10 * MINUTE).done(), "warned of support");
    assert_eq!(house.shows("desk", Show::Away, "").after(2 * MINUTE).done(), "");
    house.leaves("desk");
    assert_eq!(house.after(9 * MINUTE).done(), "");
    assert_eq!(house.after(MINUTE).done(), "warned of support");
}

#[test]
fn who_logs_on_or_resumes_is_there_from_then_on_whatever_their_client_shows() {
    let mut house = House::new();
    house.shows("desk", Show::Dnd, "").after(60 * MINUTE);
    let back = house.now.utc;
    house.membership().back_at = Some(back);
    assert_eq!(house.after(5 * MINUTE - Duration::from_secs(1)).done(), "");
    assert_eq!(house.after(Duration::from_secs(1)).done(), "paused in support (dnd)");

    let mut house = House::new();
    house.watch.is_offline(&"ana", house.now.steady);
    assert_eq!(house.after(10 * MINUTE).done(), "warned of support");
    let joined = house.now.utc;
    house.membership().joined_at = joined;
    assert_eq!(house.after(9 * MINUTE).done(), "", "the warning is forgotten");
    assert_eq!(house.after(MINUTE).done(), "warned of support");
}

#[test]
fn a_pause_by_hand_wins_nothing_is_added_to_it_and_it_is_not_ended() {
    for queue in [None, Some(name("support"))] {
        let mut house = House::new();
        house.pause(queue, PauseKind::Manual, "lunch");
        assert_eq!(house.shows("desk", Show::Away, "").after(60 * MINUTE).done(), "");
        assert_eq!(house.shows("desk", Show::Available, "").done(), "");
        assert_eq!(house.paused(PauseKind::Manual), 1);
    }
    // One that was set by hand elsewhere, or by the floor, says nothing of this queue's.
    for (queue, kind) in [(Some(name("sales")), PauseKind::Manual), (Some(name("support")), PauseKind::Auto)] {
        let mut house = House::new();
        house.pause(queue, kind, "");
        assert_eq!(house.shows("desk", Show::Away, "").after(5 * MINUTE).done(), "paused in support (away)");
        assert_eq!(house.shows("desk", Show::Available, "").done(), "resumed in support");
        assert_eq!(house.paused(kind), 1);
    }
}

#[test]
fn after_a_restart_only_what_presence_paused_is_resumed_and_who_cannot_be_seen_stays_as_they_are() {
    let mut house = House::new();
    house.pause(Some(name("support")), PauseKind::Presence, "away");
    house.pause(Some(name("sales")), PauseKind::Manual, "lunch");
    assert_eq!(house.after(60 * MINUTE).done(), "", "nothing is known of them");
    house.watch.is_offline(&"ana", house.now.steady);
    assert_eq!(house.done(), "");
    assert_eq!(house.shows("desk", Show::Available, "").done(), "resumed in support");
    assert_eq!(house.paused(PauseKind::Manual), 1);
    // Their server says for how long they have been away.
    let mut house = House::new();
    house.watch.shows(&"ana", "desk", Show::Away, "", house.now.steady - 5 * MINUTE);
    assert_eq!(house.done(), "paused in support (away)");
    // With two clients it is the last change that made them so, in whichever order they are told.
    for order in [[9, 4], [4, 9]] {
        let mut house = House::new();
        for (client, minutes) in ["desk", "phone"].iter().zip(order) {
            house.watch.shows(&"ana", client, Show::Away, "", house.now.steady - minutes * MINUTE);
        }
        assert_eq!(house.done(), "", "{order:?}");
        assert_eq!(house.after(MINUTE).done(), "paused in support (away)");
    }
}

#[test]
fn where_nothing_is_wanted_any_more_the_pause_ends_and_so_it_does_for_who_has_logged_off() {
    type Change = fn(&mut House);
    let changes: [(&str, Change); 3] = [
        ("no policy", |house| house.roster.queues[1].presence.away = Duration::ZERO),
        ("logged off", |house| house.membership().logged_on = false),
        ("no member", |house| drop(house.roster.memberships.pop())),
    ];
    for (what, change) in changes {
        let mut house = House::new();
        house.shows("desk", Show::Away, "").after(5 * MINUTE).done();
        assert_eq!(house.paused(PauseKind::Presence), 1);
        change(&mut house);
        assert_eq!(house.done(), "resumed in support", "{what}");
    }
}

#[test]
fn who_cannot_be_seen_any_more_is_neither_paused_nor_logged_off() {
    let mut house = House::new();
    house.shows("desk", Show::Away, "");
    house.watch.unseen(&"ana");
    assert_eq!(house.after(60 * MINUTE).done(), "");
    house.watch.agrees(&"ana");
    house.watch.is_offline(&"ana", house.now.steady);
    house.watch.forget_all();
    assert_eq!((house.after(60 * MINUTE).done(), house.watch.seen()), (String::new(), 0));
}

#[test]
fn who_has_not_agreed_to_be_seen_is_not_absent_whatever_their_server_says() {
    let mut house = House::new();
    house.watch.unseen(&"ana");
    assert_eq!(house.leaves("").after(60 * MINUTE).done(), "");
    house.shows("desk", Show::Away, "");
    assert_eq!((house.after(60 * MINUTE).done(), house.watch.seen()), (String::new(), 0));
    // What was said too early does not count once they agree; what a client shows does.
    house.leaves("desk").watch.agrees(&"ana");
    assert_eq!(house.after(60 * MINUTE).done(), "");
    house.watch.unseen(&"ana");
    house.shows("desk", Show::Away, "").watch.agrees(&"ana");
    assert_eq!(house.after(5 * MINUTE).done(), "paused in support (away)");
}

#[test]
fn while_nothing_can_be_seen_nothing_is_done() {
    let mut house = House::new();
    house.shows("desk", Show::Available, "").leaves("desk").after(10 * MINUTE).watch.sees(false);
    assert_eq!(house.after(60 * MINUTE).done(), "");
    house.watch.sees(true);
    assert_eq!(house.done(), "warned of support");
    house.watch.sees(false);
    assert_eq!(house.after(60 * MINUTE).done(), "");
}

#[test]
fn a_reason_fits_into_its_column_and_one_client_too_many_is_not_remembered() {
    let mut house = House::new();
    let long = "ß".repeat(500);
    for client in 0..100 {
        house.shows(&client.to_string(), Show::Away, &long);
    }
    house.after(5 * MINUTE);
    let Some(Step::Change(_, Deed::Pause { reason, .. })) = house.steps().pop() else { panic!() };
    assert_eq!(reason.chars().count(), LONGEST);
    for client in 0..100 {
        house.leaves(&client.to_string());
    }
    assert_eq!(house.after(10 * MINUTE).done(), "warned of support");
}

#[derive(Debug, Clone)]
enum Turn {
    Shows(usize, Show),
    Leaves(usize),
    Passes(u64),
    PausesByHand,
    Resumes,
    LogsOn,
    LinkBreaks,
}

fn turn() -> impl Strategy<Value = Turn> {
    let show = prop::sample::select(vec![Show::Available, Show::Dnd, Show::Away]);
    prop_oneof![
        (0..3_usize, show).prop_map(|(client, show)| Turn::Shows(client, show)),
        (0..3_usize).prop_map(Turn::Leaves),
        (0..900_u64).prop_map(Turn::Passes),
        Just(Turn::PausesByHand),
        Just(Turn::Resumes),
        Just(Turn::LogsOn),
        Just(Turn::LinkBreaks),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_available_people_are_never_held_back_by_presence_and_hands_always_win(
        turns in prop::collection::vec(turn(), 0..60)
    ) {
        let mut house = House::new();
        let clients = ["desk", "phone", "laptop"];
        let mut shown: BTreeMap<usize, Show> = BTreeMap::new();
        let mut said = house.start.utc;
        for turn in turns {
            let before = house.paused(PauseKind::Manual);
            let was_on = house.membership().logged_on;
            let mut by_hand = false;
            match turn {
                Turn::Shows(client, show) => { shown.insert(client, show); house.shows(clients[client], show, ""); }
                Turn::Leaves(client) => { shown.remove(&client); house.leaves(clients[client]); }
                Turn::Passes(seconds) => { house.after(Duration::from_secs(seconds)); }
                Turn::PausesByHand => { by_hand = true; house.pause(Some(name("support")), PauseKind::Manual, ""); }
                Turn::Resumes => { by_hand = true; house.roster.agents[0].pauses.clear(); }
                Turn::LogsOn => { house.membership().logged_on = true; }
                Turn::LinkBreaks => { shown.clear(); house.watch.forget_all(); house.watch.agrees(&"ana"); }
            }
            if matches!(turn, Turn::Resumes | Turn::LogsOn) {
                said = house.now.utc;
                house.membership().back_at = Some(said);
            }
            house.done();
            let is_available = shown.values().any(|show| *show == Show::Available);
            prop_assert!(!is_available || house.paused(PauseKind::Presence) == 0);
            prop_assert!(by_hand || house.paused(PauseKind::Manual) == before);
            prop_assert!(house.paused(PauseKind::Presence) <= 1);
            let spoke = Duration::try_from(house.now.utc.duration_since(said)).unwrap();
            if was_on && !house.membership().logged_on {
                prop_assert!(shown.is_empty() && spoke >= 10 * MINUTE && !house.warned.is_empty());
            }
        }
    }
}
