//! The servers come up, answer, and go.
use std::time::{Duration, Instant};

use usher_rig::{
    certificate::Certificate,
    instance::Instance,
    postgres::Postgres,
    profanity::{Login, Profanity},
    prosody::{DOMAIN, Prosody},
    wait,
    xmpp::Client,
};
use xmpp_parsers::presence::{Presence, Type};

#[tokio::test]
async fn a_private_postgresql_answers_freezes_and_comes_back() {
    let begin = Instant::now();
    let instance = Instance::new().unwrap();
    let pg = Postgres::start(&instance).await.unwrap();
    println!("postgresql up after {:?}", begin.elapsed());
    let database = pg.empty_database("first").await.unwrap();
    let client = database.connect().await.unwrap();
    client.batch_execute("CREATE TABLE t (n int); INSERT INTO t VALUES (1)").await.unwrap();
    pg.freeze().unwrap();
    let asked = tokio::time::timeout(std::time::Duration::from_millis(200), client.simple_query("SELECT 1")).await;
    assert!(asked.is_err(), "a frozen server does not answer");
    pg.thaw();
    pg.kill().await.unwrap();
    pg.start_again().await.unwrap();
    database.connect().await.unwrap().simple_query("SELECT 1").await.unwrap();
    let folder = instance.folder().to_owned();
    drop((pg, instance));
    assert!(!folder.exists(), "the folder is removed");
}

#[tokio::test]
async fn a_private_prosody_answers_and_comes_back() {
    let begin = Instant::now();
    let instance = Instance::new().unwrap();
    let prosody = Prosody::start(&instance).await.unwrap();
    println!("prosody up after {:?}", begin.elapsed());
    prosody.stop().await.unwrap();
    prosody.start_again().await.unwrap();
}

#[tokio::test]
async fn a_client_whose_server_is_killed_is_over_and_panics_not() {
    let instance = Instance::new().unwrap();
    let prosody = Prosody::start(&instance).await.unwrap();
    let client = Client::connect(&prosody, "user1").await.unwrap();
    assert!(client.is_connected());
    prosody.kill().await.unwrap();
    // It fails if its task panics: the library's own tasks are not to be heard of either.
    wait::until("the client has noticed", Duration::from_secs(10), || async {
        anyhow::ensure!(!client.is_connected(), "it has not");
        Ok(())
    })
    .await
    .unwrap();
    assert!(client.set_presence(Presence::new(Type::None)).await.is_err(), "it is over");
    prosody.start_again().await.unwrap();
    assert!(Client::connect(&prosody, "user1").await.unwrap().is_connected());
}

#[tokio::test]
async fn profanity_trusts_the_authority_of_its_rig_alone_and_is_gone_when_a_test_panics() {
    let instance = Instance::new().unwrap();
    let prosody = Prosody::start(&instance).await.unwrap();
    let other = Certificate::make(&instance.subfolder("other").unwrap(), &[DOMAIN]).unwrap();
    let login = Login::new(&prosody, "user1").unwrap();
    let wrong = Login { jid: format!("user2@{DOMAIN}"), authority: other.authority, ..login.clone() };
    let client = Profanity::open(&instance, &wrong).unwrap();
    client.shows("TLS certificate verification failed").await.unwrap();

    let client = Profanity::start(&instance, &login).await.unwrap();
    let program = std::path::PathBuf::from(format!("/proc/{}/exe", client.process().pid()));
    assert!(std::fs::read_link(&program).unwrap().ends_with("profanity"));
    let test = tokio::spawn(async move {
        client.face("user3@usher.test").await.unwrap();
        panic!("as a test that fails");
    });
    assert!(test.await.unwrap_err().is_panic());
    assert!(!program.exists(), "it lives on");
}
