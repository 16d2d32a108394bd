//! The FastAGI server: accepts, limits, answers, and is done with every connection in time.
//!
//! A peer that is not on the list, one too many, garbage, silence or a hung-up channel ends that connection and is
//! counted; no other connection notices. Of a crowd of them the log names the first of each kind, and counts the others.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::{JoinError, JoinSet},
    time::{Instant, sleep, sleep_until, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};
use uuid::Uuid;

use super::{
    Handler, RESULT, Reply, Request, UNAVAILABLE,
    complaints::{Complaints, Kind},
    protocol::{Answer, Answers, Lines, Malformed, Prelude, SMUGGLED, prove, set_variable},
};
use crate::config;

/// The longest part of the deadline that is kept to tell the dialplan that the handler was too slow.
const RESERVE_MOST: Duration = Duration::from_millis(500);
/// How long accepting pauses when the system has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How much is read at once: headers and arguments of a usual request are shorter.
const CHUNK: usize = 2048;

/// What one peer, and all together, may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The longest time from connection to the last answer.
    pub deadline: Duration,
    /// Connections at once; further ones are closed at once.
    pub most: usize,
}

impl From<&config::Agi> for Limits {
    fn from(config: &config::Agi) -> Self {
        Self { deadline: config.deadline, most: config.most }
    }
}

/// What became of the connections, each counted once.
#[derive(Debug, Default)]
pub struct Counters {
    /// Answered in full.
    pub served: AtomicU64,
    /// The handler was too slow; the dialplan was told so.
    pub too_slow: AtomicU64,
    /// The channel hung up before its answer.
    pub hung_up: AtomicU64,
    /// Not on the allow list.
    pub not_allowed: AtomicU64,
    /// One too many.
    pub too_many: AtomicU64,
    /// Said what is not AGI, or refused a command.
    pub malformed: AtomicU64,
    /// Said too little in time, or the connection broke.
    pub broken: AtomicU64,
    /// The handler panicked: a defect.
    pub panicked: AtomicU64,
}

/// Serves until `stop`, then lets the open connections end, each within its deadline.
pub async fn serve<H: Handler>(
    listener: TcpListener,
    limits: Limits,
    allow: Vec<IpAddr>,
    handler: Arc<H>,
    counters: Arc<Counters>,
    stop: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(limits.most));
    let mut connections = JoinSet::new();
    let mut complaints = Complaints::default();
    loop {
        let quiet_until = complaints.deadline().map(Instant::from_std);
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = connections.join_next() => {
                settle(ended, limits, &counters, &mut complaints);
                continue;
            }
            () = sleep_until(quiet_until.unwrap_or_else(Instant::now)), if quiet_until.is_some() => {
                complaints.counted(Instant::now().into_std()).into_iter().for_each(sum_up);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if complaints.take(Kind::NotAccepted, Instant::now().into_std()) {
                    warn!(%error, "cannot accept a FastAGI connection; raise the limit of open files if this goes on");
                }
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if !allow.iter().any(|allowed| allowed.to_canonical() == peer.ip().to_canonical()) {
            add(&counters.not_allowed);
            if complaints.take(Kind::NotAllowed, Instant::now().into_std()) {
                warn!(%peer, "refused a FastAGI connection: add the address to agi.allow if it is an Asterisk server");
            }
            continue;
        }
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            add(&counters.too_many);
            if complaints.take(Kind::TooMany, Instant::now().into_std()) {
                warn!(%peer, limit = limits.most, "refused a FastAGI connection: agi.most are open");
            }
            continue;
        };
        let handler = Arc::clone(&handler);
        connections.spawn(async move {
            let end = converse(stream, limits.deadline, &*handler).await;
            drop(slot);
            (peer, end)
        });
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        settle(ended, limits, &counters, &mut complaints);
    }
    complaints.rest().into_iter().for_each(sum_up);
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// How a connection ended that was not answered as it should be.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("the headers end too early: {SMUGGLED}")]
    Smuggled,
    #[error("asterisk refused a command: {0}")]
    Refused(String),
    #[error("the peer closed the connection")]
    Closed,
    #[error("the peer said too little in time")]
    Silent,
    #[error("the channel hung up")]
    HungUp,
    #[error("the connection broke")]
    Io(#[from] io::Error),
}

enum Pace {
    InTime,
    TooSlow,
}

type End = Result<Pace, Trouble>;

/// Counts how a connection ended, and says what is worth saying.
fn settle(
    ended: Result<(SocketAddr, End), JoinError>,
    limits: Limits,
    counters: &Counters,
    complaints: &mut Complaints,
) {
    let (peer, end) = match ended {
        Ok(ended) => ended,
        Err(error) => {
            add(&counters.panicked);
            return error!(%error, "a FastAGI request panicked; the dialplan goes on as if the service were away");
        }
    };
    let now = Instant::now().into_std();
    match end {
        Ok(Pace::InTime) => add(&counters.served),
        Ok(Pace::TooSlow) => {
            add(&counters.too_slow);
            if complaints.take(Kind::TooSlow, now) {
                warn!(%peer, deadline = ?limits.deadline, "a FastAGI request was not done in time; answered {UNAVAILABLE}");
            }
        }
        Err(Trouble::HungUp) => {
            add(&counters.hung_up);
            debug!(%peer, "the caller hung up during a FastAGI request");
        }
        Err(trouble) => {
            add(match trouble {
                Trouble::Malformed(_) | Trouble::Smuggled | Trouble::Refused(_) => &counters.malformed,
                Trouble::Closed | Trouble::Silent | Trouble::Io(_) | Trouble::HungUp => &counters.broken,
            });
            let smuggled = matches!(trouble, Trouble::Malformed(Malformed::Twice) | Trouble::Smuggled);
            if complaints.take(if smuggled { Kind::Smuggled } else { Kind::GivenUp }, now) {
                warn!(%peer, %trouble, "gave up a FastAGI connection");
            } else {
                debug!(%peer, %trouble, "gave up a FastAGI connection");
            }
        }
    }
}

/// Says how often a complaint would have been made again.
fn sum_up((kind, times): (Kind, u64)) {
    match kind {
        Kind::NotAllowed => {
            warn!(times, "refused further FastAGI connections from addresses that agi.allow does not name")
        }
        Kind::TooMany => warn!(times, "refused further FastAGI connections: agi.most were open"),
        Kind::TooSlow => warn!(times, "further FastAGI requests were not done in time; answered {UNAVAILABLE}"),
        Kind::Smuggled => warn!(times, "refused further requests of callers whose number or name holds line ends"),
        Kind::NotAccepted => {
            warn!(times, "still cannot accept FastAGI connections: the limit of open files is too low")
        }
        Kind::GivenUp => warn!(times, "gave up further FastAGI connections; at the level debug each says why"),
    }
}

async fn converse<H: Handler>(stream: TcpStream, deadline: Duration, handler: &H) -> Result<Pace, Trouble> {
    let end = Instant::now() + deadline;
    let last_word = end - RESERVE_MOST.min(deadline / 4);
    // An answer is one short line, and the next command waits for it.
    stream.set_nodelay(true)?;
    let mut peer = Peer { stream, lines: Lines::default() };
    let request = timeout_at(last_word, peer.request()).await.map_err(|_| Trouble::Silent)??;
    let (reply, pace) = match timeout_at(last_word, handler.handle(request)).await {
        Ok(reply) => (reply, Pace::InTime),
        Err(_) => (Reply::new().set(RESULT, UNAVAILABLE), Pace::TooSlow),
    };
    timeout_at(end, peer.answer(&reply)).await.map_err(|_| Trouble::Silent)??;
    Ok(pace)
}

/// One connection.
struct Peer {
    stream: TcpStream,
    lines: Lines,
}

impl Peer {
    async fn request(&mut self) -> Result<Request, Trouble> {
        let mut prelude = Prelude::default();
        loop {
            let line = self.line().await?;
            if let Some(request) = prelude.line(&line)? {
                self.prove().await?;
                return Ok(request);
            }
        }
    }

    /// Makes sure that what was read until now is all that was sent, and so Asterisk's and nobody else's.
    async fn prove(&mut self) -> Result<(), Trouble> {
        let (question, proof) = prove(&Uuid::new_v4().simple().to_string());
        self.stream.write_all(format!("{question}\n").as_bytes()).await?;
        let line = self.line().await?;
        match Answers::default().line(&line) {
            _ if line == proof => Ok(()),
            Some(Answer::HungUp) => Err(Trouble::HungUp),
            Some(Answer::Done { .. } | Answer::Refused(_)) | None => Err(Trouble::Smuggled),
        }
    }

    /// Sets the variables one by one: Asterisk overlooks a second command that comes in the packet of the first.
    async fn answer(&mut self, reply: &Reply) -> Result<(), Trouble> {
        let mut answers = Answers::default();
        for (name, value) in reply.variables() {
            self.stream.write_all(set_variable(name, value).as_bytes()).await?;
            let answer = loop {
                let line = self.line().await?;
                if let Some(answer) = answers.line(&line) {
                    break answer;
                }
            };
            match answer {
                Answer::Done { .. } => {}
                Answer::HungUp => return Err(Trouble::HungUp),
                Answer::Refused(line) => return Err(Trouble::Refused(line)),
            }
        }
        self.stream.shutdown().await?;
        Ok(())
    }

    async fn line(&mut self) -> Result<String, Trouble> {
        let mut chunk = [0; CHUNK];
        loop {
            if let Some(line) = self.lines.next_line()? {
                return Ok(line);
            }
            let count = self.stream.read(&mut chunk).await?;
            if count == 0 {
                return Err(Trouble::Closed);
            }
            self.lines.push(chunk.get(..count).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, net::Ipv4Addr};

    use tokio::{
        io::{AsyncBufReadExt, BufReader},
        task::JoinHandle,
        time::timeout,
    };

    use super::*;

    /// Where it is to be reached, and others are to be served within it on a busy machine.
    const DEADLINE: Duration = Duration::from_secs(2);
    /// Where it is not.
    const FAR: Duration = Duration::from_secs(3600);
    /// What no step of a test may last.
    const PATIENCE: Duration = Duration::from_secs(10);
    const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// Echoes its first argument; `/hang` never answers, `/panic` panics.
    struct Echo;

    impl Handler for Echo {
        async fn handle(&self, request: Request) -> Reply {
            match request.path.as_str() {
                "/hang" => pending().await,
                "/panic" => panic!("asked to"),
                _ => Reply::new().set("ECHO", request.arg(0)).set(RESULT, "OK"),
            }
        }
    }

    struct Server {
        address: SocketAddr,
        counters: Arc<Counters>,
        stop: CancellationToken,
        task: JoinHandle<()>,
    }

    impl Server {
        async fn start(most: usize, allow: &[IpAddr]) -> Self {
            Self::with_deadline(FAR, most, allow).await
        }

        async fn with_deadline(deadline: Duration, most: usize, allow: &[IpAddr]) -> Self {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let (address, counters, stop) = (listener.local_addr().unwrap(), Arc::default(), CancellationToken::new());
            let limits = Limits { deadline, most };
            let task = tokio::spawn(serve(
                listener,
                limits,
                allow.into(),
                Arc::new(Echo),
                Arc::clone(&counters),
                stop.clone(),
            ));
            Self { address, counters, stop, task }
        }

        async fn connect(&self) -> Client {
            Client(BufReader::new(TcpStream::connect(self.address).await.unwrap()))
        }

        async fn call(&self, script: &str, argument: &str) -> Client {
            let mut client = self.connect().await;
            client.say(&format!("agi_network_script: {script}\nagi_arg_1: {argument}\n\n")).await;
            client.prove().await;
            client
        }

        async fn counted(&self, counter: fn(&Counters) -> &AtomicU64, expected: u64) {
            let reached = async {
                while counter(&self.counters).load(Ordering::Relaxed) != expected {
                    tokio::task::yield_now().await;
                }
            };
            timeout(PATIENCE, reached).await.expect("the counter does not get there");
        }
    }

    struct Client(BufReader<TcpStream>);

    impl Client {
        async fn say(&mut self, text: &str) {
            // The server may have closed already; what it said, or that it closed, is heard next.
            let _ = self.0.get_mut().write_all(text.as_bytes()).await;
        }

        /// The next line with its end; empty when the server has closed.
        async fn hear(&mut self) -> String {
            let mut line = String::new();
            // A server that closes on unread bytes resets the connection: that is closed, too.
            let _ = timeout(PATIENCE, self.0.read_line(&mut line)).await.expect("the server says nothing");
            line
        }

        /// Answers what only Asterisk can answer, if it is asked.
        async fn prove(&mut self) {
            let question = self.hear().await;
            if let Some(proof) = question.trim_end().strip_prefix("GET FULL VARIABLE ") {
                self.say(&format!("200 result=1 ({proof})\n")).await;
            }
        }

        /// Plays Asterisk until the server closes; gives what was set.
        async fn commands(&mut self) -> Vec<String> {
            let mut commands = Vec::new();
            loop {
                let line = self.hear().await;
                if line.is_empty() {
                    return commands;
                }
                commands.push(line.trim_end().into());
                self.say("200 result=1\n").await;
            }
        }
    }

    #[tokio::test]
    async fn a_request_sets_its_variables_in_order_and_closes() {
        let server = Server::start(4, &[LOCALHOST]).await;
        let commands = server.call("echo", "0071").await.commands().await;
        assert_eq!(commands, ["SET VARIABLE ECHO \"0071\"", "SET VARIABLE USHER_RESULT \"OK\""]);
        server.counted(|c| &c.served, 1).await;
    }

    #[tokio::test]
    async fn a_command_waits_for_the_answer_to_the_one_before() {
        let server = Server::start(4, &[LOCALHOST]).await;
        let mut client = server.call("echo", "a").await;
        assert!(client.hear().await.contains("ECHO"));
        let second = timeout(Duration::from_millis(100), client.hear()).await;
        assert!(second.is_err(), "Asterisk would overlook it: {second:?}");
    }

    #[tokio::test]
    async fn what_a_caller_says_after_an_empty_line_of_their_own_is_neither_an_argument_nor_an_answer() {
        let server = Server::start(4, &[LOCALHOST]).await;
        let headers = "agi_network_script: echo\nagi_callerid: 2000\nagi_arg_1: 1111\n\n200 result=1\n200 result=1\n";
        for (headers, refused) in [
            (headers.to_owned(), 1),
            (headers.replace("200 result=1\n", "200 result=1 (a)\n"), 2),
            ("agi_network_script: echo\nagi_callerid: 2000\n\nagi_dnid: 0000\nagi_arg_1: 0071\n\n".into(), 3),
            ("agi_network_script: echo\nagi_callerid: 2000\nagi_arg_1: 1111\nagi_arg_1: 0071\n\n".into(), 4),
        ] {
            let mut client = server.connect().await;
            client.say(&headers).await;
            client.prove().await;
            assert_eq!(client.commands().await, Vec::<String>::new(), "{headers:?}");
            server.counted(|c| &c.malformed, refused).await;
        }
        assert_eq!(server.call("echo", "").await.commands().await.len(), 2);
    }

    #[tokio::test]
    async fn two_proofs_are_never_the_same() {
        let server = Server::start(4, &[LOCALHOST]).await;
        let mut asked = Vec::new();
        for _ in 0..2 {
            let mut client = server.connect().await;
            client.say("agi_network_script: echo\n\n").await;
            asked.push(client.hear().await);
        }
        assert!(asked[0].len() > 32 && asked[0] != asked[1], "{asked:?}");
    }

    #[tokio::test]
    async fn a_handler_that_hangs_still_gives_the_dialplan_a_word_to_branch_on() {
        let server = Server::with_deadline(DEADLINE, 4, &[LOCALHOST]).await;
        let began = Instant::now();
        let commands = server.call("hang", "").await.commands().await;
        assert_eq!(commands, ["SET VARIABLE USHER_RESULT \"UNAVAILABLE\""]);
        assert!(began.elapsed() < DEADLINE * 5, "{:?}", began.elapsed());
        server.counted(|c| &c.too_slow, 1).await;
    }

    #[tokio::test]
    async fn a_handler_that_panics_ends_its_own_request_only() {
        let server = Server::start(4, &[LOCALHOST]).await;
        assert!(server.call("panic", "").await.commands().await.is_empty());
        server.counted(|c| &c.panicked, 1).await;
        assert_eq!(server.call("echo", "").await.commands().await.len(), 2);
    }

    #[tokio::test]
    async fn peers_that_hang_say_half_or_say_garbage_are_closed_while_others_are_served() {
        let server = Server::with_deadline(DEADLINE, 16, &[LOCALHOST]).await;
        let mut silent = server.connect().await;
        let mut half = server.connect().await;
        half.say("agi_network_script: echo\nagi_arg").await;
        let mut garbage = server.connect().await;
        garbage.say("GET / HTTP/1.1\r\n").await;
        let mut endless = server.connect().await;
        endless.say(&"agi_".repeat(1000)).await;
        let mut deaf = server.call("echo", "never acknowledged").await;
        assert_eq!(server.call("echo", "").await.commands().await.len(), 2);

        assert_eq!(garbage.hear().await, "");
        assert_eq!(endless.hear().await, "");
        server.counted(|c| &c.malformed, 2).await;
        assert_eq!(silent.hear().await, "");
        assert_eq!(half.hear().await, "");
        assert!(deaf.hear().await.contains("ECHO"));
        assert_eq!(deaf.hear().await, "");
        server.counted(|c| &c.broken, 3).await;
    }

    #[tokio::test]
    async fn a_caller_who_hangs_up_before_the_answer_is_no_error() {
        let server = Server::start(4, &[LOCALHOST]).await;
        for word in ["HANGUP\n", "511 Command Not Permitted on a dead channel or intercept routine\n"] {
            let mut client = server.call("echo", "").await;
            client.hear().await;
            client.say(word).await;
            assert_eq!(client.hear().await, "");
        }
        server.counted(|c| &c.hung_up, 2).await;
    }

    #[tokio::test]
    async fn a_peer_that_is_not_on_the_list_gets_no_answer() {
        let server = Server::start(4, &["192.0.2.1".parse().unwrap()]).await;
        let mut client = server.connect().await;
        assert_eq!(client.hear().await, "");
        server.counted(|c| &c.not_allowed, 1).await;
    }

    #[tokio::test]
    async fn one_too_many_is_closed_and_a_slot_comes_back() {
        let server = Server::with_deadline(DEADLINE, 1, &[LOCALHOST]).await;
        let mut first = server.call("hang", "").await;
        let mut second = server.connect().await;
        assert_eq!(second.hear().await, "");
        server.counted(|c| &c.too_many, 1).await;
        first.commands().await;
        server.counted(|c| &c.too_slow, 1).await;
        let served = async { while server.call("echo", "").await.commands().await.is_empty() {} };
        timeout(PATIENCE, served).await.expect("the slot does not come back");
    }

    #[tokio::test]
    async fn a_stop_lets_open_requests_end_and_takes_no_new_ones() {
        let server = Server::start(4, &[LOCALHOST]).await;
        let mut open = server.call("echo", "").await;
        assert!(open.hear().await.contains("ECHO"));
        server.stop.cancel();
        let refused = async { while TcpStream::connect(server.address).await.is_ok() {} };
        timeout(PATIENCE, refused).await.expect("the port stays open");
        open.say("200 result=1\n").await;
        assert_eq!(open.commands().await, ["SET VARIABLE USHER_RESULT \"OK\""]);
        timeout(PATIENCE, server.task).await.expect("serve does not end").unwrap();
    }
}
