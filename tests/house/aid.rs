//! What several tests say: a caller who knows the way, looks at Asterisk and at the database from outside.

use std::time::{Duration, Instant};

use usher_rig::{
    phones::{Behaviour, CallSpec, Ears, Leg, Phone, Side},
    rig::{Builder, Rig},
    usher::{Usher, UsherSpec},
    wait,
};

/// For what takes moments when all is well.
pub const SOON: Duration = Duration::from_secs(10);
/// For what waits for a reconnect: the longest pause between two tries is 5 s.
pub const RECONNECTED: Duration = Duration::from_secs(15);

/// For an answer that comes after a gap: the first leg may have to be hung up, and another phone be rung.
const SERVED: Duration = Duration::from_secs(20);

/// One that is closed or reset is seen at once: well before silence would show it, which takes 5 s, also on a machine with other work.
pub const SEEN: Duration = Duration::from_millis(2500);

/// A rig with the service.
pub fn house(name: &str) -> Builder {
    Rig::builder().name(name).usher(env!("CARGO_BIN_EXE_usher"))
}

/// Sets the times of the queue `support`, in seconds.
pub fn times(ring: u32, queue: u32) -> String {
    format!("UPDATE queues SET ring_time_seconds = {ring}, queue_timeout_seconds = {queue}, greeting = ''")
}

/// What a phone does whose owner sits beside it.
pub const ANSWERS: Behaviour = Behaviour::AnswerAfter(Duration::from_millis(200));

pub fn answers(phone: &Phone) {
    phone.behave(ANSWERS);
}

/// A caller who keys 1 and a code without listening.
pub async fn key_in(rig: &Rig, from: &str, code: &str, ears: Ears) -> Leg {
    let caller = rig.phones.call(&CallSpec { from: Some(from.into()), to: "0000".into(), ears }).await.unwrap();
    caller.answered(SOON).await.unwrap();
    caller.press(&format!("1{code}")).await.unwrap();
    caller
}

/// The same, until the call has been handed to the service.
pub async fn enter(rig: &Rig, from: &str) -> Leg {
    enter_with(rig, from, Ears::Closed).await
}

pub async fn enter_with(rig: &Rig, from: &str, ears: Ears) -> Leg {
    let caller = key_in(rig, from, "1111", ears).await;
    in_the_queue(rig, from).await;
    caller
}

/// Waits until a caller's channel is in the application and the service has marked it as its own.
pub async fn in_the_queue(rig: &Rig, from: &str) {
    wait::until(&format!("caller {from} is in the queue"), SOON, || async {
        let channels = rig.pbx.channels().await?;
        let channel = channels
            .iter()
            .filter(|channel| channel["dialplan"]["app_name"] == "Stasis" && channel["caller"]["number"] == from)
            // A member's leg shows the caller's number as well.
            .find(|channel| !channel["id"].as_str().unwrap_or_default().starts_with("usher-"));
        let id = channel.and_then(|channel| channel["id"].as_str()).ok_or_else(|| anyhow::anyhow!("{channels:?}"))?;
        rig.pbx.ari().get(&format!("channels/{id}/variable?variable=USHER_ENTERED")).await
    })
    .await
    .unwrap();
}

/// Waits until a caller is in a bridge with somebody.
pub async fn is_served(rig: &Rig, from: &str) {
    wait::until(&format!("{from} is served"), SERVED, || async {
        let joined = joined(rig).await?;
        anyhow::ensure!(joined.contains(&from.to_owned()), "joined: {joined:?}");
        Ok(())
    })
    .await
    .unwrap();
}

/// Numbers of the callers who are in a bridge with somebody.
pub async fn joined(rig: &Rig) -> anyhow::Result<Vec<String>> {
    let (channels, bridges) = (rig.pbx.channels().await?, rig.pbx.bridges().await?);
    let mut numbers = Vec::new();
    for bridge in bridges.iter().filter_map(|bridge| bridge["channels"].as_array()).filter(|inside| inside.len() > 1) {
        for channel in channels.iter().filter(|channel| bridge.contains(&channel["id"])) {
            let number = channel["caller"]["number"].as_str().unwrap_or_default();
            if number.starts_with("555") {
                numbers.push(number.to_owned());
            }
        }
    }
    Ok(numbers)
}

/// What a second service beside that of the rig is told: past the proxies, and with a FastAGI port of its own, since both are
/// on one machine.
pub fn beside(rig: &Rig) -> UsherSpec {
    let mut spec = rig.spec.clone().unwrap();
    spec.database.port = rig.pg.port();
    spec.xmpp = rig.prosody.address();
    spec.servers[0].address = format!("127.0.0.1:{}", rig.pbx.http_port());
    spec.agi_port = rig.instance.port().unwrap();
    spec.extra.push(("agi".into(), format!("announce = \"agi://127.0.0.1:{}\"", spec.agi_port)));
    spec
}

/// Both hear each other.
pub async fn talk(caller: &Leg, member: &Leg) {
    caller.audio().say_tone(1100);
    member.audio().say_tone(700);
    member.wait_for_tone(1100, SOON).await.unwrap();
    caller.wait_for_tone(700, SOON).await.unwrap();
}

/// Hands the caller of one of this phone's calls over to whom its second call has reached, and hangs both up, as phones do when they
/// are told what has become of it: the status of that.
pub async fn hands_over(phone: &Phone, leg: &Leg, second: &Leg) -> u16 {
    let status = phone.hand_over(leg, "2000", second, SOON).await.unwrap();
    // What Asterisk has replaced, it hangs up itself.
    drop(leg.hang_up().await);
    drop(second.hang_up().await);
    status
}

/// A caller who talks with this member: the legs of both.
pub async fn talking(rig: &Rig, from: &str, member: &str) -> (Leg, Leg) {
    let phone = rig.phones.phone(member).unwrap();
    answers(phone);
    let rings = phone.rings_so_far();
    let caller = enter_with(rig, from, Ears::Open).await;
    let leg = phone.rung(rings + 1, SOON).await.unwrap();
    leg.answered(SOON).await.unwrap();
    talk(&caller, &leg).await;
    (caller, leg)
}

/// The second one hangs up, the first one is hung up, and nothing is left on Asterisk.
pub async fn ends(rig: &Rig, other: &Leg, hangs_up: &Leg) {
    hangs_up.hang_up().await.unwrap();
    other.hung_up(SOON).await.unwrap();
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}

/// No channel is left on Asterisk; the bridge of a call whose service is dead is there until the next one comes.
pub async fn no_channel_is_left(rig: &Rig) {
    wait::until("no channel is left", SOON, || async {
        let channels = rig.pbx.channels().await?;
        anyhow::ensure!(channels.is_empty(), "{channels:?}");
        Ok(())
    })
    .await
    .unwrap();
}

/// Waits for a status of `/ready`; yields how long it took.
pub async fn ready_says(rig: &Rig, status: u16, within: Duration) -> Duration {
    says(rig.usher().unwrap(), status, within).await
}

/// The same of any service.
pub async fn says(usher: &Usher, status: u16, within: Duration) -> Duration {
    let begin = Instant::now();
    wait::until(&format!("/ready says {status}"), within, || async {
        match usher.ready().await? {
            said if said == status => Ok(()),
            said => anyhow::bail!("/ready says {said}"),
        }
    })
    .await
    .unwrap();
    begin.elapsed()
}

/// The body of `/ready`.
pub async fn ready_body(rig: &Rig) -> serde_json::Value {
    rig.usher().unwrap().ready_body().await.unwrap()
}

/// Waits until the service has said something in its log.
pub async fn log_says(rig: &Rig, words: &str, within: Duration) {
    wait::until(&format!("the log says {words:?}"), within, || async {
        let log = rig.usher()?.log()?;
        anyhow::ensure!(log.contains(words), "it does not");
        Ok(())
    })
    .await
    .unwrap();
}

/// Waits until the log has said something so often.
pub async fn log_says_times(rig: &Rig, words: &str, count: usize) {
    wait::until(&format!("the log says {words:?} {count} times"), Duration::from_secs(60), || async {
        let said = rig.usher()?.log()?.matches(words).count();
        anyhow::ensure!(said >= count, "{said} times");
        Ok(())
    })
    .await
    .unwrap();
}

/// What the database says of a caller's call: outcome, who answered, and the kinds of its events in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Story {
    pub outcome: String,
    pub answered_by: String,
    pub events: Vec<String>,
}

/// Waits until the end of a caller's call is in the database; there must be exactly one call.
pub async fn story(rig: &Rig, from: &str) -> Story {
    let client = rig.database.as_ref().unwrap().connect().await.unwrap();
    let client = &client;
    wait::until(&format!("the end of the call of {from} is in the database"), RECONNECTED, || async move {
        let rows =
            client.query("SELECT id::text, outcome, answered_by FROM calls WHERE caller_number = $1", &[&from]).await?;
        let [row] = rows.as_slice() else { anyhow::bail!("{} rows", rows.len()) };
        let outcome = row.get::<_, Option<String>>(1).ok_or_else(|| anyhow::anyhow!("not ended"))?;
        let id: String = row.get(0);
        let events =
            client.query("SELECT kind FROM call_events WHERE call_id::text = $1 ORDER BY at, id", &[&id]).await?;
        let events = events.iter().map(|row| row.get(0)).collect();
        Ok(Story { outcome, answered_by: row.get::<_, Option<String>>(2).unwrap_or_default(), events })
    })
    .await
    .unwrap()
}

/// The first of two phones that rings once more than so often, and the other.
pub async fn first_to_ring<'a>(one: (&'a Phone, usize), two: (&'a Phone, usize)) -> (&'a Phone, &'a Phone) {
    tokio::select! {
        rung = one.0.rung(one.1 + 1, SOON) => { rung.unwrap(); (one.0, two.0) }
        rung = two.0.rung(two.1 + 1, SOON) => { rung.unwrap(); (two.0, one.0) }
    }
}

/// 1000 or 2000 gets it, and both hear each other.
pub async fn a_call_works(rig: &Rig, from: &str) {
    let members = ["1000", "2000"].map(|number| {
        let phone = rig.phones.phone(number).unwrap();
        answers(phone);
        phone.set_ears(Ears::Open);
        (phone, phone.rings_so_far())
    });
    let caller = enter_with(rig, from, Ears::Open).await;
    let (member, _) = first_to_ring(members[0], members[1]).await;
    let leg = member.leg().unwrap();
    leg.answered(SOON).await.unwrap();
    talk(&caller, &leg).await;
    caller.hang_up().await.unwrap();
    assert_eq!(leg.hung_up(SOON).await.unwrap().by, Side::Them);
    rig.pbx.wait_until_empty(SOON).await.unwrap();
}

/// The members of a queue of app_queue, in the order of their numbers: `1000`, `1000 penalty 2`, `1000 paused`.
async fn members(rig: &Rig, queue: &str) -> anyhow::Result<Vec<String>> {
    let shown = rig.pbx.cli(&format!("queue show {queue}")).await?;
    let mut members: Vec<String> = shown
        .lines()
        .filter_map(|line| {
            // Named by its extension, `1000 (PJSIP/1000) with …`, or by a hand without a name, `PJSIP/1000 with …`.
            let (_, rest) = line.split_once("PJSIP/")?;
            let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
            let penalty = rest.split_once("with penalty ").and_then(|(_, rest)| rest.split(' ').next());
            let penalty = penalty.map(|penalty| format!(" penalty {penalty}")).unwrap_or_default();
            Some(format!("{number}{penalty}{}", if rest.contains("(paused") { " paused" } else { "" }))
        })
        .collect();
    members.sort();
    Ok(members)
}

/// Waits until the queue `support` of app_queue has these members.
pub async fn app_queue_has(rig: &Rig, expected: &[&str]) {
    wait::until(&format!("app_queue has {expected:?}"), SOON, || async {
        let found = members(rig, "support").await?;
        anyhow::ensure!(found == expected, "it has {found:?}");
        Ok(())
    })
    .await
    .unwrap();
}
