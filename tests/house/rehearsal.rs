//! A process that stands by finds out what would not work before it has to take over.

use std::{fs, time::Duration};

use usher_rig::{
    proxy::Proxy,
    rig::Rig,
    usher::{Usher, UsherSpec},
    wait,
};

use crate::aid::{SOON, house};

/// A minute between two rounds, and the time that one takes.
const NEXT_ROUND: Duration = Duration::from_secs(75);

async fn active(name: &str) -> (Rig, UsherSpec) {
    let rig = house(name).start().await.unwrap();
    let mut spec = rig.spec.clone().unwrap();
    spec.agi_port = rig.instance.port().unwrap();
    (rig, spec)
}

/// Starts one that cannot stand by: it ends, saying why, and the active one does not notice.
async fn ends_saying(rig: &Rig, spec: &UsherSpec, words: &[&str]) {
    let standby = Usher::rival(&rig.instance, spec).unwrap();
    wait::until("it has ended", SOON, || async {
        let status = standby.ended().ok_or_else(|| anyhow::anyhow!("it runs"))?;
        anyhow::ensure!(!status.success(), "{status}");
        Ok(())
    })
    .await
    .unwrap();
    let log = standby.log().unwrap();
    assert!(log.contains("standing by") && words.iter().all(|word| log.contains(word)), "{log}");
    assert_eq!(rig.usher().unwrap().ready().await.unwrap(), 200);
    rig.usher().unwrap().is("active").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_could_not_log_in_to_xmpp_ends_at_its_start_with_a_clear_line() {
    let (rig, spec) = active("sbxmpp").await;
    ends_saying(&rig, &UsherSpec { xmpp_password: "wrong".into(), ..spec.clone() }, &["password", "usher@usher.test"])
        .await;
    let empty = rig.instance.folder().join("empty.pem");
    fs::write(&empty, "").unwrap();
    ends_saying(&rig, &UsherSpec { authority: empty, ..spec }, &["empty.pem", "no certificate"]).await;
}

/// Waits until a standby shows a link as up, or what is wrong with it.
async fn shows(standby: &Usher, link: &str, wrong: Option<&str>, within: Duration) {
    wait::until(&format!("{link} is shown with {wrong:?}"), within, || async {
        let body = standby.ready_body().await?;
        let shown = &body["links"][link];
        let why = shown["why"].as_str().unwrap_or_default();
        let as_expected = shown["up"] == wrong.is_none() && wrong.is_none_or(|words| why.contains(words));
        anyhow::ensure!(body["duty"] == "standby" && as_expected, "{body}");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_says_that_the_address_for_fastagi_is_not_its_machines() {
    let (rig, spec) = active("sbagi").await;
    let standby = Usher::stand_by(&rig.instance, &spec).await.unwrap();
    shows(&standby, "agi", None, SOON).await;
    standby.stop().await.unwrap();
    let config = fs::read_to_string(standby.config()).unwrap();
    let (right, wrong) = (format!("127.0.0.1:{}", spec.agi_port), format!("192.0.2.1:{}", spec.agi_port));
    assert!(config.contains(&right), "{config}");
    fs::write(standby.config(), config.replace(&right, &wrong)).unwrap();
    standby.spawn().unwrap();
    shows(&standby, "agi", Some(&format!("cannot listen on {wrong} (agi.listen)")), SOON).await;
    assert!(standby.log().unwrap().contains("could not take over as it should: agi: cannot listen"));
    // On one machine, with one configuration, the active one listens there: that is as it should be.
    let active = fs::read_to_string(rig.usher().unwrap().config()).unwrap();
    let its = active.lines().find(|line| line.starts_with("listen = ")).unwrap();
    let same: Vec<_> = config.lines().map(|line| if line.starts_with("listen = ") { its } else { line }).collect();
    standby.stop().await.unwrap();
    fs::write(standby.config(), same.join("\n")).unwrap();
    standby.spawn().unwrap();
    shows(&standby, "agi", None, SOON).await;
    assert_eq!(rig.usher().unwrap().ready().await.unwrap(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_says_which_server_would_not_let_it_in_and_disturbs_nobody_by_asking() {
    let (rig, mut spec) = active("sblinks").await;
    let proxy = Proxy::start(&rig.instance, &rig.prosody.address()).await.unwrap();
    spec.xmpp = proxy.address();
    let right = std::mem::replace(&mut spec.servers[0].password, "wrong".into());
    let standby = Usher::stand_by(&rig.instance, &spec).await.unwrap();
    shows(&standby, "asterisk pbx", Some("password is wrong"), SOON).await;
    shows(&standby, "xmpp", None, SOON).await;
    assert!(standby.log().unwrap().contains("could not take over as it should: asterisk pbx"));
    standby.stop().await.unwrap();

    fs::write(standby.config().with_file_name("pbx.password"), right).unwrap();
    standby.spawn().unwrap();
    wait::until("it stands by", SOON, || standby.is("standby")).await.unwrap();
    shows(&standby, "asterisk pbx", None, SOON).await;
    // Later the XMPP server is not to be reached from there, and then it is again.
    proxy.refuse();
    shows(&standby, "xmpp", Some(""), NEXT_ROUND).await;
    proxy.heal();
    shows(&standby, "xmpp", None, NEXT_ROUND).await;
    let log = rig.usher().unwrap().log().unwrap();
    assert!(!log.contains("taken over the application") && log.matches("the XMPP link is up").count() == 1, "{log}");
    assert_eq!(rig.usher().unwrap().ready().await.unwrap(), 200);
}
