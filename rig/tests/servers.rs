//! The servers come up, answer, and go.
use std::time::Instant;

use usher_rig::{instance::Instance, postgres::Postgres, prosody::Prosody};

#[tokio::test]
async fn a_private_postgresql_answers_freezes_and_comes_back() {
    let begin = Instant::now();
    let instance = Instance::new().unwrap();
    let pg = Postgres::start(&instance).await.unwrap();
    println!("postgresql up after {:?}", begin.elapsed());
    let database = pg.empty_database("first").await.unwrap();
    let client = database.connect().await.unwrap();
    client.batch_execute("CREATE TABLE t (n int); INSERT INTO t VALUES (1)").await.unwrap();
    pg.freeze();
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
