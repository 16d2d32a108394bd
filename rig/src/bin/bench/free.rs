//! How soon a member who is free again is rung for the next caller: the service and app_queue, on one switchboard at one time.
//!
//! Each queue has one member, and callers who wait. From the BYE with which the member's phone ends a talk to the INVITE for
//! the next caller, both seen by the cable of that phone. app_queue looks for a member every `retry` seconds, of which the least
//! that it takes is 1 (5 without the setting); its `wrapuptime` is 0, as is the service's.

use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, future::try_join_all, stream::FuturesUnordered};
use usher_rig::{
    phones::{Behaviour, CallSpec, Ears, Phone},
    rig::Rig,
    usher::find_binary,
};

use crate::{
    report::{head, percentile, row, sorted},
    say,
};

/// Queues of each side, every one with a member of its own.
const QUEUES: usize = 3;
/// Callers in each queue: one talks, the others wait.
const CALLERS: usize = 3;
const RINGING: Duration = Duration::from_millis(230);
/// The shortest talk. Talks differ by up to a second, so that their ends do not keep step with app_queue's seconds.
const TALKING: Duration = Duration::from_millis(900);
/// How long after the end of a talk the next caller dials: not in the moment that is measured.
const APART: Duration = Duration::from_millis(450);
/// Talks of each queue before the measurement.
const WARM_UP: usize = 3;
/// For a call to be served: many times what those before it take.
const PATIENCE: Duration = Duration::from_secs(120);
/// For the last call to end.
const END: Duration = Duration::from_secs(20);

/// Who serves a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Usher,
    AppQueue,
}

/// One queue and its member's phone.
struct Line {
    side: Side,
    /// What is dialled to enter it, and the beginning of its callers' numbers.
    entry: String,
    phone: Phone,
}

/// Measures so many ends of talks on each side, and says what came of it.
pub async fn run(talks: usize) -> Result<()> {
    let (rig, lines) = open().await?;
    let each = talks.div_ceil(QUEUES) + WARM_UP + 1;
    say(&format!("{QUEUES} members of the service and {QUEUES} of app_queue; {each} calls to each …"));
    try_join_all(lines.iter().map(|line| feed(&rig, line, each))).await?;
    rig.pbx.wait_until_empty(END).await?;
    let spans = |side| sorted(lines.iter().filter(|line| line.side == side).flat_map(Line::spans));
    let (ours, theirs) = (spans(Side::Usher), spans(Side::AppQueue));
    let mut text = head();
    text.push_str(&row("member free → INVITE, Usher", &ours));
    text.push_str(&row("member free → INVITE, app_queue (retry=1)", &theirs));
    for part in [50, 99] {
        let verdict = if percentile(&ours, part) < percentile(&theirs, part) { "kept" } else { "MISSED" };
        text.push_str(&format!("The aim, p{part} below app_queue's: {verdict}.\n"));
    }
    say(&text);
    let expected = QUEUES * (each - WARM_UP - 1);
    ensure!(
        ours.len() == expected && theirs.len() == expected,
        "of {expected} ends of talks on each side {} and {} were seen from the BYE to the INVITE: the figures are of these",
        ours.len(),
        theirs.len()
    );
    Ok(())
}

/// The rig, with queues of both sides.
async fn open() -> Result<(Rig, Vec<Line>)> {
    let numbers: Vec<String> = (0..2 * QUEUES).map(|n| (1001 + n).to_string()).collect();
    let shipped = 3;
    let mut builder = Rig::builder().name("free").usher(find_binary()?).own_postgres().members(shipped + numbers.len());
    let (ours, theirs) = numbers.split_at(QUEUES);
    for (n, number) in ours.iter().enumerate() {
        builder = builder
            .sql(&format!("INSERT INTO queues (name, label, greeting) VALUES ('ours{n}', 'Ours {n}', '')"))
            .sql(&format!("UPDATE queues SET queue_timeout_seconds = 600 WHERE name = 'ours{n}'"))
            .sql(&format!(
                "INSERT INTO extensions (number, name, jid) VALUES ('{number}', 'Agent {n}', 'user{number}@usher.test') \
                 ON CONFLICT DO NOTHING"
            ))
            .sql(&format!(
                "INSERT INTO memberships (queue, extension, logged_on) VALUES ('ours{n}', '{number}', true)"
            ));
    }
    let rig = builder.start().await?;
    let (mut queues, mut dialplan) = (String::new(), String::from("[usher-incoming](+)\n"));
    let mut lines = Vec::new();
    for (n, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        queues += &format!("[theirs{n}]\nstrategy=leastrecent\nretry=1\nwrapuptime=0\ntimeout=15\nringinuse=no\n");
        dialplan += &format!(
            "exten => 810{n},1,Answer()\n same => n,Wait(0.05)\n same => n,Set(USHER_QUEUE=ours{n})\n \
             same => n,Set(CUSTOMER_ID=1)\n same => n,Set(CUSTOMER_CODE=1111)\n same => n,Set(CUSTOMER_NAME=Company 1)\n \
             same => n,Stasis(usher)\n same => n,Hangup()\n\
             exten => 820{n},1,Answer()\n same => n,Wait(0.05)\n same => n,Queue(theirs{n},,,,600)\n same => n,Hangup()\n"
        );
        for (side, number, entry) in [(Side::Usher, ours, 8100 + n), (Side::AppQueue, theirs, 8200 + n)] {
            let phone = rig.phones.phone(number)?.clone();
            phone.set_ears(Ears::Closed);
            lines.push(Line { side, entry: entry.to_string(), phone });
        }
    }
    let site = rig.pbx.folder().join("etc/site");
    fs::write(site.join("queues.conf"), queues)?;
    fs::write(site.join("extensions.conf"), dialplan)?;
    for command in ["queue reload all", "dialplan reload"] {
        rig.pbx.cli(command).await?;
    }
    for (n, number) in theirs.iter().enumerate() {
        rig.pbx.cli(&format!("queue add member PJSIP/{number} to theirs{n} penalty 0 as {number}")).await?;
    }
    Ok((rig, lines))
}

/// Sends so many callers into a queue, a few at a time, so that there is always one who waits.
async fn feed(rig: &Rig, line: &Line, count: usize) -> Result<()> {
    let caller = async |n: usize| {
        let from = format!("{}{n:04}", line.entry);
        let talking = TALKING + Duration::from_millis(u64::try_from(n)? * 370 % 1_000);
        line.phone.behave(Behaviour::AnswerThenHangUp { ringing: RINGING, talking });
        let spec = CallSpec { from: Some(from.clone()), to: line.entry.clone(), ears: Ears::Closed };
        let leg = rig.phones.call(&spec).await?;
        leg.hung_up(PATIENCE).await.with_context(|| format!("the caller {from}"))?;
        tokio::time::sleep(APART).await;
        anyhow::Ok(())
    };
    let mut left = 0..count;
    let mut inside: FuturesUnordered<_> = left.by_ref().take(CALLERS).map(&caller).collect();
    while let Some(done) = inside.next().await {
        done?;
        inside.extend(left.next().map(&caller));
    }
    Ok(())
}

impl Line {
    /// From each BYE of the member's phone to the first INVITE for the next caller, after those to warm up.
    fn spans(&self) -> Vec<Duration> {
        let mut known = BTreeSet::new();
        let mut first: Vec<Instant> =
            self.phone.invites().into_iter().filter(|invite| known.insert(invite.from.clone())).map(|i| i.at).collect();
        first.sort_unstable();
        let byes = self.phone.byes();
        let next = |bye: &Instant| first.iter().find(|at| *at > bye).map(|at| (*bye, *at));
        let mut pairs: Vec<(Instant, Instant)> = byes.iter().filter_map(next).collect();
        // A BYE that was repeated belongs to the same INVITE.
        pairs.dedup_by_key(|(_, invite)| *invite);
        pairs.into_iter().skip(WARM_UP).map(|(bye, invite)| invite - bye).collect()
    }
}
