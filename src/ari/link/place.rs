//! Taking the application, which Asterisk gives to whoever connects last: only by one that may.
//!
//! The active one may, as long as the database says that it is. While the database is away another one may have taken over: one
//! that goes on alone would not hear of it without a connection, and one that was stopped has not heard of it. Three things
//! together tell it:
//!
//! 1. Whoever is active leaves its mark on Asterisk *before* it connects, and whoever is not active never sets one.
//! 2. So our own mark says that nobody has connected since we did. It is looked at before we connect, so that nobody is thrown out,
//!    and again afterwards, since somebody may have come between the look and the connection. Any other mark is as good as
//!    Asterisk's word that we were replaced.
//! 3. From then on Asterisk itself tells of a successor, before it answers anything that is asked later. The answer to a ping that
//!    was sent after the second look proves that as of then nobody has taken our place.
//!
//! A successor that has the lease and has not come to Asterisk yet has rung nobody; when it comes we are told. A mark that is
//! gone (Asterisk was started anew, its dialplan reloaded) proves nothing: then only the database tells, and one that was awake all
//! the time goes on.

use std::time::Duration;

use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::ari::{
    Request,
    globals::{MARK, Whose},
    link::{Keeper, PROBE, Sink},
    socket::{self, Ended, Proof, Ws},
};

/// Between two looks at a mark that tells nothing.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

impl Keeper {
    /// Waits until that is allowed, and connects.
    pub(super) async fn take_place(&self) -> Result<Ws, Ended> {
        self.admitted().await?;
        let connected = socket::connect(&self.config).await?;
        if self.fence.is_exclusive() {
            return Ok(connected);
        }
        match self.whose().await {
            Whose::Ours => Ok(connected),
            Whose::Anothers => Err(Ended::Replaced),
            Whose::Nobodys if self.fence.holds() => Ok(connected),
            Whose::Nobodys | Whose::Unreachable => Err(Ended::Doubtful),
        }
    }

    async fn admitted(&self) -> Result<(), Ended> {
        let mut fence = self.fence.clone();
        loop {
            if fence.is_exclusive() {
                self.leave_mark().await;
                return Ok(());
            }
            let asked = std::time::Instant::now();
            match timeout(PROBE, self.whose()).await.unwrap_or(Whose::Unreachable) {
                Whose::Ours => return Ok(()),
                Whose::Anothers => return Err(Ended::Replaced),
                Whose::Nobodys if fence.holds() => {
                    self.leave_mark().await;
                    return Ok(());
                }
                Whose::Unreachable if fence.holds() => return Err(Ended::ConnectTimeout),
                Whose::Nobodys => {}
                Whose::Unreachable => self.fence.report_unreachable(&self.config.name, asked),
            }
            tokio::select! {
                () = fence.opened() => {}
                () = sleep(LOOK_AGAIN) => {}
            }
        }
    }

    async fn leave_mark(&self) {
        if let Some(mark) = self.globals.set_mark() {
            // If it does not get there, the connection will not either; and it is set again over the connection.
            let _ = timeout(PROBE, self.http.send(&mark)).await;
        }
    }

    async fn whose(&self) -> Whose {
        self.globals.whose(self.http.send(&Request::global(MARK)).await)
    }

    /// Over a connection that was made in doubt: pings prove that it is ours, and nothing else is sent before we may act.
    pub(super) async fn until_open(
        &self,
        sink: &mut Sink,
        proof: &Proof,
        reader: &mut JoinHandle<Ended>,
    ) -> Result<(), Ended> {
        let mut fence = self.fence.clone();
        let mut ping = Instant::now();
        while !fence.holds() {
            tokio::select! {
                ended = &mut *reader => return Err(ended.unwrap_or(Ended::Closed)),
                () = self.stop.cancelled() => return Err(Ended::Stopped),
                () = sleep_until(ping) => {
                    ping = socket::next_ping();
                    socket::put(sink, proof.ask()).await?;
                }
                () = fence.opened() => {}
            }
        }
        Ok(())
    }
}
