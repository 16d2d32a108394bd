//! Many callers at once.

use std::time::Duration;

use usher_rig::phones::{Behaviour, Ears, Phone, PhoneEvent, Side};

use crate::aid::{house, key_in, times};

const CALLERS: u32 = 20;
/// 3000 is the fallback and stays out of it.
const MEMBERS: [&str; 5] = ["1000", "2000", "1001", "1002", "1003"];
const ALL_SERVED: Duration = Duration::from_secs(60);
/// How much later than the switchboard a phone may see that it rings no more.
const LAG: Duration = Duration::from_millis(100);

/// A small generator: the same seed is the same day.
struct Dice(u64);

impl Dice {
    fn between(&mut self, least: u64, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        least + (self.0 >> 33) % (most - least + 1)
    }

    fn behaviour(&mut self, misses: u64) -> Behaviour {
        if self.between(1, 100) <= misses {
            return Behaviour::Ignore;
        }
        Behaviour::AnswerThenHangUp {
            ringing: Duration::from_millis(self.between(200, 1000)),
            talking: Duration::from_millis(self.between(500, 2000)),
        }
    }
}

/// Another way at each ring.
async fn keep_changing(phone: Phone, mut dice: Dice, misses: u64) {
    for count in 1.. {
        phone.behave(dice.behaviour(misses));
        if phone.rung(count, ALL_SERVED).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_callers_and_five_members_are_served_in_order_and_nobody_is_rung_twice() {
    let rig = house("load").members(6).logged_on(&MEMBERS).sql(&times(2, 120)).start().await.unwrap();
    let mut days = tokio::task::JoinSet::new();
    for (seed, number) in (1..).zip(MEMBERS) {
        let phone = rig.phones.phone(number).unwrap();
        phone.set_ears(Ears::Closed);
        // Two of them miss calls now and then.
        days.spawn(keep_changing(phone.clone(), Dice(seed), if seed <= 2 { 30 } else { 0 }));
    }
    let numbers: Vec<String> = (1..=CALLERS).map(|caller| format!("55500{caller:02}")).collect();
    let calls = numbers.iter().map(|number| key_in(&rig, number, "1111", Ears::Closed));
    let callers = futures_util::future::join_all(calls).await;
    for caller in &callers {
        assert_eq!(caller.hung_up(ALL_SERVED).await.unwrap().by, Side::Them);
    }
    rig.pbx.wait_until_empty(Duration::from_secs(10)).await.unwrap();
    days.abort_all();

    let mut missed = 0;
    for number in MEMBERS {
        let phone = rig.phones.phone(number).unwrap();
        let mut last_end = None;
        let events = phone.events();
        let ends: Vec<_> = events
            .iter()
            .filter_map(|event| match event {
                PhoneEvent::Ended(ended) => Some(ended.at),
                PhoneEvent::Ringing { .. } | PhoneEvent::Answered { .. } => None,
            })
            .collect();
        let rings = events.iter().filter_map(|event| match event {
            PhoneEvent::Ringing { at, .. } => Some(*at),
            PhoneEvent::Ended(_) | PhoneEvent::Answered { .. } => None,
        });
        for (count, ring) in rings.enumerate() {
            assert!(last_end.is_none_or(|end| end <= ring + LAG), "{number} rang in the middle of a call: {events:?}");
            last_end = Some(ends[count]);
        }
        let answered = events.iter().filter(|event| matches!(event, PhoneEvent::Answered { .. })).count();
        assert!(answered > 0, "{number} got no call");
        missed += ends.len() - answered;
    }
    assert!(missed > 0, "nobody missed a call");

    let client = rig.database.as_ref().unwrap().connect().await.unwrap();
    let open = "SELECT count(*) FROM calls WHERE ended_at IS NULL";
    usher_rig::wait::until("the last end is in the database", Duration::from_secs(5), || async {
        let row = client.query_one(open, &[]).await?;
        anyhow::ensure!(row.get::<_, i64>(0) == 0, "calls are open");
        Ok(())
    })
    .await
    .unwrap();
    let texts = async |sql: &str| -> Vec<String> {
        client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    };
    let entered = texts("SELECT caller_number FROM calls ORDER BY entered_at").await;
    let offered = texts(
        "SELECT c.caller_number FROM call_events e JOIN calls c ON c.id = e.call_id \
         WHERE e.kind = 'offered' GROUP BY c.caller_number ORDER BY min(e.at)",
    )
    .await;
    assert_eq!(entered, offered, "not served in the order of arrival");
    let mut all = entered;
    all.sort();
    assert_eq!(all, numbers);
    let outcomes = texts("SELECT DISTINCT outcome FROM calls").await;
    assert_eq!(outcomes, ["completed"]);
    let incomplete = texts(
        "SELECT c.caller_number || ' ' || string_agg(e.kind, ' ' ORDER BY e.at, e.id) \
         FROM calls c LEFT JOIN call_events e ON e.call_id = c.id GROUP BY c.id HAVING NOT ( \
           count(*) FILTER (WHERE e.kind = 'entered') = 1 AND count(*) FILTER (WHERE e.kind = 'answered') = 1 \
           AND count(*) FILTER (WHERE e.kind = 'ended') = 1 \
           AND count(*) FILTER (WHERE e.kind = 'offered') = count(*) FILTER (WHERE e.kind = 'offer_ended') + 1)",
    )
    .await;
    assert!(incomplete.is_empty(), "{incomplete:?}");
}
