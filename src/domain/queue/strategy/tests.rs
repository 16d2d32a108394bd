//! Each rule, by what it means to the people who are rung.

use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

use super::*;

#[derive(Debug, Clone)]
struct Member(Extension, u32, Option<Timestamp>, u64, i32, Timestamp);

fn second(s: i64) -> Timestamp {
    Timestamp::from_second(s).unwrap()
}

fn member(extension: &str) -> Member {
    Member(Extension::new(extension), 0, None, 0, 0, second(0))
}

fn candidates(members: &[Member]) -> Vec<Candidate<'_>> {
    members
        .iter()
        .map(|Member(extension, penalty, last_turn, calls_taken, place, joined_at)| Candidate {
            extension,
            penalty: *penalty,
            last_turn: *last_turn,
            calls_taken: *calls_taken,
            place: *place,
            joined_at: *joined_at,
        })
        .collect()
}

fn names(strategy: Strategy, members: &[Member], last: Option<&LastRung>) -> Vec<String> {
    let candidates = candidates(members);
    let chosen = choose(strategy, &candidates, last, &mut Dice::new(1));
    chosen.into_iter().map(|place| candidates[place].extension.to_string()).collect()
}

#[test]
fn p14_a_member_who_never_took_a_call_is_offered_first_and_then_the_oldest_end_of_call() {
    let mut members = ["1000", "2000", "3000"].map(member);
    members[0].2 = Some(second(30));
    members[2].2 = Some(second(10));
    assert_eq!(names(Strategy::LeastRecent, &members, None), ["2000"]);
    members[1].2 = Some(second(20));
    assert_eq!(names(Strategy::LeastRecent, &members, None), ["3000"]);
}

#[test]
fn equals_are_offered_in_the_order_of_their_extensions_and_nobody_out_of_none() {
    let members = ["3000", "1000", "2000"].map(member);
    for strategy in Strategy::ALL {
        assert!(names(strategy, &[], None).is_empty(), "{strategy}");
        match strategy {
            Strategy::RingAll => assert_eq!(names(strategy, &members, None).len(), 3),
            Strategy::Random | Strategy::WRandom => assert_eq!(names(strategy, &members, None).len(), 1),
            Strategy::LeastRecent
            | Strategy::FewestCalls
            | Strategy::RrMemory
            | Strategy::RrOrdered
            | Strategy::Linear => assert_eq!(names(strategy, &members, None), ["1000"], "{strategy}"),
        }
    }
}

#[test]
fn a_higher_penalty_is_rung_only_when_no_lower_one_is_free() {
    let mut members = ["1000", "2000", "3000"].map(member);
    members[0].1 = 2;
    members[1].1 = 1;
    members[2].1 = 1;
    assert_eq!(names(Strategy::RingAll, &members, None), ["2000", "3000"]);
    assert_eq!(names(Strategy::FewestCalls, &members, None), ["2000"]);
}

#[test]
fn fewestcalls_counts_and_linear_goes_by_the_place() {
    let mut members = ["1000", "2000"].map(member);
    (members[0].3, members[0].4) = (5, 2);
    (members[1].3, members[1].4) = (4, 1);
    assert_eq!(names(Strategy::FewestCalls, &members, None), ["2000"]);
    assert_eq!(names(Strategy::Linear, &members, None), ["2000"]);
}

#[test]
fn the_round_goes_on_after_the_last_who_was_rung_even_if_they_are_gone() {
    let mut members = ["1000", "2000", "3000"].map(member);
    // Who joined first has the highest number.
    for (place, member) in members.iter_mut().enumerate() {
        member.5 = second(-i64::try_from(place).unwrap());
        member.4 = i32::try_from(place).unwrap();
    }
    for (strategy, order) in
        [(Strategy::RrMemory, ["3000", "2000", "1000"]), (Strategy::RrOrdered, ["1000", "2000", "3000"])]
    {
        let mut last = None;
        for expected in order.into_iter().cycle().take(7) {
            let candidates = candidates(&members);
            let chosen = choose(strategy, &candidates, last.as_ref(), &mut Dice::new(1))[0];
            assert_eq!(candidates[chosen].extension.as_str(), expected, "{strategy}");
            last = Some(LastRung::from(&candidates[chosen]));
        }
        // The last one rung was the first of the order.
        let rest: Vec<_> = members.iter().filter(|m| m.0.as_str() != order[0]).cloned().collect();
        assert_eq!(names(strategy, &rest, last.as_ref()), [order[1]], "{strategy}");
    }
}

#[test]
fn chance_is_fair_and_wrandom_prefers_the_low_penalty_without_excluding_the_high() {
    let mut members = ["1000", "2000"].map(member);
    let mut share = |strategy, penalty| {
        members[1].1 = penalty;
        let candidates = candidates(&members);
        let mut dice = Dice::new(7);
        (0..10_000).filter(|_| choose(strategy, &candidates, None, &mut dice) == [1]).count()
    };
    assert!((4_800..5_200).contains(&share(Strategy::Random, 0)));
    assert!((4_700..5_200).contains(&share(Strategy::WRandom, 0)));
    // The die with 3,000 faces beats the one with 1,000 in a sixth of all throws.
    assert!((1_500..1_850).contains(&share(Strategy::WRandom, 2)));
    assert_eq!(share(Strategy::Random, 1), 0);
}

fn any_member() -> impl proptest::strategy::Strategy<Value = (u32, Option<i64>, u64, i32, i64)> {
    (0u32..3, prop::option::of(0i64..5), 0u64..3, 0i32..3, 0i64..3)
}

proptest! {
    #[test]
    fn whoever_is_chosen_is_a_candidate_of_the_lowest_penalty_and_nobody_had_a_better_claim(
        rows in prop::collection::vec(any_member(), 1..12),
        seed: u64,
        last in 0usize..12,
    ) {
        let members: Vec<Member> = rows
            .iter()
            .enumerate()
            .map(|(i, (p, l, c, o, j))| {
                Member(Extension::new(format!("{i:03}")), *p, l.map(second), *c, *o, second(*j))
            })
            .collect();
        let all = candidates(&members);
        let last = all.get(last).map(LastRung::from);
        let tier: Vec<&Candidate<'_>> = {
            let least = all.iter().map(|c| c.penalty).min().unwrap();
            all.iter().filter(|c| c.penalty == least).collect()
        };
        for strategy in Strategy::ALL {
            let chosen = choose(strategy, &all, last.as_ref(), &mut Dice::new(seed));
            prop_assert!(!chosen.is_empty());
            let one = all[chosen[0]];
            match strategy {
                Strategy::RingAll => prop_assert_eq!(chosen.len(), tier.len()),
                Strategy::LeastRecent => prop_assert!(tier.iter().all(|c| c.last_turn >= one.last_turn)),
                Strategy::FewestCalls => prop_assert!(tier.iter().all(|c| c.calls_taken >= one.calls_taken)),
                Strategy::Linear => prop_assert!(tier.iter().all(|c| c.place >= one.place)),
                Strategy::RrMemory | Strategy::RrOrdered | Strategy::Random => {}
                Strategy::WRandom => continue,
            }
            prop_assert!(chosen.iter().all(|place| tier.iter().any(|c| c.extension == all[*place].extension)));
        }
    }

    #[test]
    fn a_round_rings_everybody_once(count in 1usize..8, places in prop::collection::vec(0i32..3, 8)) {
        let members: Vec<Member> = (0..count)
            .map(|i| Member(Extension::new(format!("{i:03}")), 0, None, 0, places[i], second(i64::from(places[i]))))
            .collect();
        for strategy in [Strategy::RrMemory, Strategy::RrOrdered] {
            let all = candidates(&members);
            let mut last = None;
            let mut rung = std::collections::BTreeSet::new();
            for _ in 0..count {
                let chosen = choose(strategy, &all, last.as_ref(), &mut Dice::new(1))[0];
                rung.insert(chosen);
                last = Some(LastRung::from(&all[chosen]));
            }
            prop_assert_eq!(rung.len(), count);
        }
    }
}
