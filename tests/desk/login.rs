//! Log-ins that the server refuses.

use tokio::time::timeout;
use usher::{link::Link, xmpp::Fatal};

use crate::{
    fixture::{Desk, config, start, watcher},
    patience::PATIENCE,
    prosody::Prosody,
};

#[tokio::test]
async fn a_wrong_password_ends_the_service_with_a_clear_word() {
    let prosody = Prosody::start().await;
    let mut config = config(&prosody, prosody.address());
    config.password = Some("wrong".to_owned().into());
    let error = timeout(PATIENCE, start(&config).task).await.unwrap().unwrap().unwrap_err();
    assert!(matches!(error, Fatal::Login { .. }), "{error}");
    let mut crm = watcher(&prosody, prosody.address(), "1000", "nobody");
    let error = timeout(PATIENCE, crm.recv()).await.unwrap().unwrap().unwrap_err();
    assert!(error.contains("wrong password"), "{error}");
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_ends_the_service_with_a_clear_word() {
    let prosody = Prosody::start().await;
    let other = Prosody::start().await;
    let mut config = config(&prosody, prosody.address());
    config.ca_file = Some(other.ca_file());
    let error = timeout(PATIENCE, start(&config).task).await.unwrap().unwrap().unwrap_err();
    assert!(matches!(error, Fatal::Certificate { .. }), "{error}");
}

#[tokio::test]
async fn a_password_that_is_changed_while_running_is_a_link_that_is_down_until_it_is_right_again() {
    let mut prosody = Prosody::start().await;
    let desk = Desk::up(&prosody, prosody.address()).await;
    prosody.kill();
    prosody.set_password("usher", "changed");
    prosody.run().await;
    desk.link_is(|link| matches!(link, Link::Down { why, .. } if why.contains("not authorized"))).await;
    assert!(!desk.task.is_finished());
    prosody.kill();
    prosody.set_password("usher", "usher");
    prosody.run().await;
    desk.link_is(Link::is_up).await;
}
