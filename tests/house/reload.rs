//! Somebody reloads the dialplan: globals are then what the files say.

use usher_rig::{usher::Usher, wait};

use crate::aid::{SOON, a_call_works, house, times};

#[tokio::test(flavor = "multi_thread")]
async fn after_a_reload_of_the_dialplan_asterisk_is_told_again_where_the_service_is() {
    let mut rig = house("reload").logged_on(&["1000"]).sql(&times(15, 60)).start().await.unwrap();
    rig.usher().unwrap().stop().await.unwrap();
    // It listens somewhere else than the files say, as the one that has taken over does.
    let mut spec = rig.spec.clone().unwrap();
    spec.agi_port = rig.instance.port().unwrap();
    let address = format!("agi://127.0.0.1:{}", spec.agi_port);
    spec.extra.push(("agi".into(), format!("announce = {address:?}")));
    rig.usher = Some(Usher::start(&rig.instance, &spec).await.unwrap());
    a_call_works(&rig, "5550001").await;

    let announced = async || {
        let found = rig.pbx.ari().get("asterisk/variable?variable=USHER_AGI").await?;
        anyhow::Ok(found["value"] == address.as_str())
    };
    assert!(announced().await.unwrap());
    rig.pbx.cli("dialplan reload").await.unwrap();
    wait::until("Asterisk knows again where the service is", SOON, || async {
        anyhow::ensure!(announced().await?, "it does not");
        Ok(())
    })
    .await
    .unwrap();
    a_call_works(&rig, "5550002").await;
}
