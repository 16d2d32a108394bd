//! Thousands of random shifts against a model of the world, each from a seed, in virtual time.
//!
//! A shift that goes wrong is run again with its story written down, and named by its seed: `USHER_SHIFT=seed` runs that
//! one alone, `USHER_SHIFTS=n` runs more of them.

mod asterisk;
mod chance;
mod rules;
mod shift;
mod witness;
mod world;

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Mutex,
    thread,
};

use shift::Shift;
use witness::Tally;

/// Enough to meet each kind of trouble hundreds of times, in seconds.
const SHIFTS: u64 = 20_000;

fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// Shifts that went wrong; the others run on until there are so many.
const ENOUGH: usize = 10;

/// Runs one shift and counts what happened in it, or yields nothing when it went wrong.
fn run(seed: u64) -> Option<Tally> {
    let mut shift = Shift::new(seed, None);
    catch_unwind(AssertUnwindSafe(|| shift.run())).ok().map(|()| shift.witness.tally)
}

/// Runs one that went wrong again, and tells its story.
fn tell(seed: u64) -> ! {
    let mut again = Shift::new(seed, Some(Vec::new()));
    let wrong = catch_unwind(AssertUnwindSafe(|| again.run())).expect_err("the same seed is the same shift");
    let what = wrong.downcast_ref::<String>().cloned().or(wrong.downcast_ref::<&str>().map(ToString::to_string));
    let story = again.log.unwrap_or_default().join("\n");
    panic!("shift {seed} went wrong\n{story}\n{}\n(USHER_SHIFT={seed} runs it again)", what.unwrap_or_default());
}

fn run_all(seeds: std::ops::Range<u64>) -> Tally {
    let threads = thread::available_parallelism().map_or(1, |n| u64::try_from(n.get()).unwrap());
    let wrong = Mutex::new(BTreeSet::new());
    let all = Mutex::new(Tally::default());
    thread::scope(|scope| {
        for worker in 0..threads {
            let (wrong, all) = (&wrong, &all);
            let mine = seeds.clone().filter(move |seed| seed % threads == worker);
            scope.spawn(move || {
                let mut tally = Tally::default();
                for seed in mine {
                    if let Some(more) = run(seed) {
                        tally.add(&more);
                        continue;
                    }
                    let mut wrong = wrong.lock().unwrap();
                    wrong.insert(seed);
                    if wrong.len() >= ENOUGH {
                        break;
                    }
                }
                all.lock().unwrap().add(&tally);
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    if let Some(first) = wrong.first() {
        println!("shifts that went wrong: {wrong:?}");
        tell(*first);
    }
    all.into_inner().unwrap()
}

#[test]
fn whatever_a_shift_brings_the_floor_keeps_its_promises_and_comes_to_rest() {
    if let Some(seed) = number_from("USHER_SHIFT") {
        if run(seed).is_none() {
            tell(seed);
        }
        return;
    }
    let shifts = number_from("USHER_SHIFTS").unwrap_or(SHIFTS);
    let tally = run_all(0..shifts);
    println!("{shifts} shifts: {:#?}", tally.0);
    for what in [
        "answers in time",
        "answers too late",
        "announcements",
        "announcements of the wait",
        "answers told twice",
        "callbacks asked for",
        "callers called back",
        "callers found",
        "calls abandoned",
        "calls completed",
        "calls given back at a stop",
        "calls timed out",
        "calls to no queue",
        "calls without members",
        "changes of the roster",
        "greetings to members",
        "joins not carried out",
        "joins not told of",
        "links lost",
        "offers not answered",
        "offers rejected",
        "offers to members logged off",
        "offers to phones not there",
        "offers whose caller went",
        "offers whose member went",
        "offers withdrawn",
        "offers withdrawn without a link",
        "orphaned legs",
        "pops not settled in time",
        "recordings",
        "restarts",
        "talks found",
        "transfers answered",
        "transfers asked for",
        "transfers outside",
        "transfers rung",
        "transfers that failed",
        "transfers to a queue",
        "transfers to an extension",
        "consultations",
        "consultations that failed",
    ] {
        let times = tally.0.get(what).copied().unwrap_or(0);
        assert!(times >= shifts / 200, "too dull: {what} {times} times");
    }
    for what in [
        "callbacks taken up after a restart",
        "callers who cannot be called back",
        "calls back answered and hung up",
        "calls back found ringing",
        "calls back not answered",
        "calls back rejected",
        "calls back whose member went",
        "calls cancelled",
        "calls lost",
        "calls not reached",
        "calls sent to a phone",
        "calls that came again",
        "calls that overflowed",
        "calls to a full queue",
        "calls to an empty queue",
        "members paused by the floor",
        "offers to the last partner",
        "offers taken by another member",
        "wrap-ups",
        "callers handed over",
        "callers put on hold",
        "callers returned to their agent",
        "transfers found",
        "parted callers found",
        "consultations completed",
        "consultations ended by the agent",
        "consultations left while it rings",
        "callers taken",
        "calls declined",
        "claims in vain",
        "claims that came second",
    ] {
        let times = tally.0.get(what).copied().unwrap_or(0);
        assert!(times >= shifts / 1_000, "too dull: {what} {times} times");
    }
    for what in ["places taken over that were kept", "recordings asked for again"] {
        let times = tally.0.get(what).copied().unwrap_or(0);
        assert!(times >= shifts / 5_000, "too dull: {what} {times} times");
    }
    // Two answers within the few milliseconds that a request takes.
    let what = "answers that were told they are too late";
    assert!(tally.0.get(what).copied().unwrap_or(0) >= shifts / 5_000, "too dull: {what}");
}

#[test]
fn the_same_seed_is_the_same_shift() {
    for seed in 0..20 {
        let stories = [(), ()].map(|()| {
            let mut shift = Shift::new(seed, Some(Vec::new()));
            shift.run();
            shift.log
        });
        assert_eq!(stories[0], stories[1]);
    }
}
