//! What we ask of Asterisk and read from it, against what a running one says of itself in its API documents.

use serde_json::Value;
use usher::{
    ari::{Originate, Request},
    domain::id::{BridgeId, ChannelId},
};
use usher_rig::{
    instance::Instance,
    pbx::{Pbx, PbxSpec},
    phones::Ears,
    proxy::Direction,
};

use crate::aid::{enter_with, house};

/// Every request that the service can make.
fn requests() -> Vec<Request> {
    let channel = ChannelId::new("channel");
    let bridge = BridgeId::new("bridge");
    let call = Originate {
        channel: &channel,
        endpoint: "PJSIP/1000",
        app: "usher",
        originator: Some(&channel),
        caller_name: "Company 1",
        caller_number: "5551001",
        timeout: 20,
        variables: serde_json::json!({}),
    };
    vec![
        Request::info(),
        Request::modules(),
        Request::channels(),
        Request::bridges(),
        Request::endpoints(),
        Request::pjsip_endpoint("1000"),
        Request::subscribe("usher", "endpoint:PJSIP"),
        Request::filter_events("usher", &["StasisStart"]),
        Request::variable(&channel, "A"),
        Request::set_variable(&channel, "A", "b"),
        Request::global("A"),
        Request::set_global("A", "b"),
        Request::answer(&channel),
        Request::hang_up(&channel),
        Request::go_on(&channel),
        Request::play(&channel, "playback", &["usher/welcome"]),
        Request::play_and_ring(&channel, "playback", &["usher/recorded", "usher/calling_back"]),
        Request::stop_playback("playback"),
        Request::start_music(&channel, "default"),
        Request::stop_music(&channel),
        Request::originate(&call),
        Request::make_bridge(&bridge),
        Request::join(&bridge, &[&channel]),
        Request::leave(&bridge, &channel),
        Request::drop_bridge(&bridge),
    ]
}

/// Whether `path` is an instance of the template `/channels/{channelId}/answer`.
fn is_instance(template: &str, path: &str) -> bool {
    let template: Vec<&str> = template.trim_matches('/').split('/').collect();
    let path: Vec<&str> = path.split('/').collect();
    template.len() == path.len() && template.iter().zip(path).all(|(t, p)| t.starts_with('{') || *t == p)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_and_every_field_that_is_read_is_known_to_a_running_asterisk() {
    let instance = Instance::new().unwrap();
    let agi = instance.port().unwrap();
    let pbx = Pbx::start(&instance, &PbxSpec::shipped(agi)).await.unwrap();
    let document = async |name: &str| pbx.ari().get(&format!("api-docs/{name}.json")).await.unwrap();
    for request in requests() {
        let name = request.path().split('/').next().unwrap();
        let known = document(name).await;
        let operation = known["apis"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|api| is_instance(api["path"].as_str().unwrap(), request.path()))
            .flat_map(|api| api["operations"].as_array().unwrap())
            .find(|operation| operation["httpMethod"] == request.method().as_str());
        let operation = operation.unwrap_or_else(|| panic!("no such operation: {request:?}"));
        for parameter in request.parameters() {
            let parameters = operation["parameters"].as_array().unwrap();
            assert!(parameters.iter().any(|p| p["name"] == parameter), "{request:?} has no parameter {parameter}");
        }
    }

    let events = document("events").await;
    let has = |document: &Value, model: &str, field: &str| {
        assert!(document["models"][model]["properties"][field].is_object(), "{model} has no {field}");
    };
    has(&events, "StasisStart", "channel");
    has(&events, "StasisEnd", "channel");
    has(&events, "ChannelDestroyed", "channel");
    has(&events, "ChannelDestroyed", "cause");
    has(&events, "PlaybackFinished", "playback");
    has(&events, "EndpointStateChange", "endpoint");
    assert!(events["models"]["ApplicationReplaced"].is_object());
    let channels = document("channels").await;
    for field in ["id", "name", "state", "caller", "dialplan", "channelvars"] {
        has(&channels, "Channel", field);
    }
    for field in ["app_name", "app_data"] {
        has(&channels, "DialplanCEP", field);
    }
    let bridges = document("bridges").await;
    for field in ["id", "channels"] {
        has(&bridges, "Bridge", field);
    }
    let endpoints = document("endpoints").await;
    for field in ["technology", "resource", "state", "channel_ids"] {
        has(&endpoints, "Endpoint", field);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_event_of_a_new_caller_carries_their_data_so_that_nothing_is_asked_for() {
    let rig = house("carried").logged_on(&["1000"]).proxies().start().await.unwrap();
    let ari = &rig.proxies.as_ref().unwrap().ari;
    ari.tap();
    let caller = enter_with(&rig, "5551001", Ears::Closed).await;
    let told: Vec<u8> = ari
        .tapped()
        .into_iter()
        .filter(|tapped| tapped.direction == Direction::ToClient)
        .flat_map(|tapped| tapped.bytes)
        .collect();
    let told = String::from_utf8_lossy(&told);
    let (_, event) = told.split_once(r#""StasisStart""#).unwrap();
    assert!(event.contains(r#""CUSTOMER_NAME":"Company 1""#), "{event}");
    assert!(event.contains(r#""USHER_QUEUE":"support""#), "{event}");
    // A variable that was asked for is answered with its value, and without its name.
    assert!(!told.contains(r#"\"value\":\"Company 1"#), "a variable was asked for: {told}");
    caller.hang_up().await.unwrap();
}
