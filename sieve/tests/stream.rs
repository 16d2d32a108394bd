//! What passes and what does not, in pieces of any size.
#![allow(clippy::unwrap_used, reason = "a test")]

use tokio::io::AsyncReadExt;
use xmpp_sieve::{LeftOut, Limits, Sieve, Sieved, Why};

const HEADER: &str =
    "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' id='1'>";

/// The same stream in pieces of several sizes must come to the same.
fn through(stream: &str) -> (String, Vec<LeftOut>) {
    let pass = |size: usize| {
        let mut sieve = Sieve::new(Limits { depth: 5, token: 40, attributes: 4, stanza: 400 });
        let mut out = Vec::new();
        let pieces = stream.as_bytes().chunks(size);
        let left_out: Vec<LeftOut> = pieces.flat_map(|piece| sieve.feed(piece, &mut out)).collect();
        (String::from_utf8(out).unwrap(), left_out)
    };
    let whole = pass(stream.len());
    for size in [1, 2, 3, 7, 50] {
        assert_eq!(pass(size), whole, "in pieces of {size} bytes");
    }
    whole
}

fn nested(depth: usize) -> String {
    format!("<message from='a@b'>{}{}</message>", "<a>".repeat(depth - 1), "</a>".repeat(depth - 1))
}

#[test]
fn what_servers_send_passes_byte_by_byte() {
    let stanzas = [
        "<stream:features><mechanisms xmlns='urn:x'><mechanism>PLAIN</mechanism></mechanisms></stream:features>",
        "<success xmlns='urn:x'/>",
        HEADER,
        "\n ",
        "<iq type='result' id=\"u'1\"><query a='>' b = '/'><x/><y /></query></iq>",
        "<message from='é@b'><body>1 &lt; 2 &amp; <![CDATA[</body> <a><b>]] ]]]></body></message>",
        "<presence/>",
        "<r xmlns='urn:xmpp:sm:3'/>",
        "</stream:stream>",
    ];
    let stream = format!("{HEADER}{}", stanzas.concat());
    assert_eq!(through(&stream), (stream, Vec::new()));
    let deepest = format!("{HEADER}{}", nested(5));
    assert_eq!(through(&deepest), (deepest, Vec::new()));
}

#[test]
fn a_stanza_that_goes_over_a_bound_is_left_out_and_its_place_is_kept() {
    let attributes: String = (0..5).map(|n| format!(" a{n}='1'")).collect();
    let wrong = [
        (nested(6), Why::Depth),
        (nested(2_000), Why::Depth),
        (format!("<message from='a@b'><a x='{}'/></message>", "y".repeat(41)), Why::Token),
        (format!("<message from='a@b'><{}/></message>", "n".repeat(41)), Why::Token),
        (format!("<message from='a@b'><a {}='1'/></message>", "n".repeat(41)), Why::Token),
        (format!("<message from='a@b'><a{attributes}/></message>"), Why::Attributes),
        (format!("<message from='a@b'><body>{}</body></message>", "t".repeat(400)), Why::Size),
    ];
    for (stanza, why) in wrong {
        let (passed, left_out) = through(&format!("{HEADER}<presence/>{stanza}<iq id='1'/>{stanza}</stream:stream>"));
        assert_eq!(passed, format!("{HEADER}<presence/><message/><iq id='1'/><message/></stream:stream>"), "{why:?}");
        let one = LeftOut { name: "message".into(), from: "a@b".into(), why };
        assert_eq!(left_out, [one.clone(), one]);
    }
}

#[test]
fn what_is_no_stanza_leaves_no_message_behind() {
    let (passed, left_out) = through(&format!("{HEADER}<failed h='{}'/><presence/>", "1".repeat(99)));
    assert_eq!(passed, format!("{HEADER}<presence/>"));
    assert_eq!(left_out.len(), 1);
}

#[tokio::test]
async fn a_reader_gets_what_passes_and_then_the_end() {
    let stream = format!("{HEADER}{}<presence/></stream:stream>", nested(1_000));
    let mut text = String::new();
    Sieved::new(stream.as_bytes()).read_to_string(&mut text).await.unwrap();
    assert_eq!(text, format!("{HEADER}<message/><presence/></stream:stream>"));
}
