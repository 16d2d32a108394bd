//! What a pop says beyond the call itself: where the customer's page is, in which form, and what it leaves out.

use usher_rig::xmpp::Client;
use xmpp_parsers::minidom::Element;

use crate::steps::{SOON, call_support, house, sql, wait_for_value};

/// The payload of the only item on the desk of 1000.
async fn payload(client: &Client) -> Element {
    let items = client.items("extension1000").await.unwrap();
    assert_eq!(items.len(), 1, "{items:?}");
    items[0].children().next().unwrap().clone()
}

fn link(pop: &Element) -> Option<&str> {
    pop.children().find(|child| child.name() == "customer").unwrap().attr("link")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pop_has_the_link_of_its_queue_as_it_is_at_that_moment() {
    let template = "UPDATE queues SET join_empty = 'never', leave_empty = 'never', link = 'https://old.example/{code}'";
    let rig = house("link").sql(template).start().await.unwrap();
    let agent = Client::connect(&rig.prosody, "user1").await.unwrap();
    let caller = call_support(&rig, "5551001", "1111").await;
    wait_for_value(&rig, "SELECT count(*) FROM calls", "1").await;
    // One change: who is rung has the new link.
    sql(
        &rig,
        "BEGIN; UPDATE queues SET link = 'https://crm.example/customers/{code}?by={number}&is={name}'; \
         INSERT INTO memberships (queue, extension, logged_on) VALUES ('support', '1000', true) \
         ON CONFLICT (queue, extension) DO UPDATE SET logged_on = true; COMMIT",
    )
    .await;
    rig.phones.phone("1000").unwrap().rung(1, SOON).await.unwrap();
    let pop = payload(&agent).await;
    assert_eq!(link(&pop), Some("https://crm.example/customers/1111?by=5551001&is=Company%201"));
    caller.hang_up().await.unwrap();
}
