//! Those who are announced: each is online, and says which announcements came.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::{sync::mpsc, task::JoinSet};
use usher_rig::prosody::Prosody;

use super::wire::Wire;

/// Log-ins at once.
const AT_ONCE: usize = 32;
/// For the last member to have what the server has acknowledged.
const ARRIVAL: Duration = Duration::from_secs(30);

/// All of them, as one.
#[derive(Debug)]
pub struct Members {
    came: mpsc::UnboundedReceiver<(usize, String)>,
    count: usize,
    _tasks: JoinSet<Result<()>>,
}

impl Members {
    /// Logs all of them in.
    pub async fn log_in(prosody: &Prosody, accounts: &[String]) -> Result<Self> {
        let one = async |account: &String| {
            let mut wire = Wire::log_in(prosody, account).await?;
            // One's own presence comes back (RFC 6121, 4.2.2): from then on messages come here.
            wire.ask("<presence/>", "presence").await?;
            anyhow::Ok(wire)
        };
        let wires: Vec<Wire> = stream::iter(accounts).map(one).buffered(AT_ONCE).try_collect().await?;
        let (told, came) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        for (number, mut wire) in wires.into_iter().enumerate() {
            let told = told.clone();
            tasks.spawn(async move {
                loop {
                    let piece = wire.next_ever().await?;
                    if let Some(mark) = mark_of(piece.text()) {
                        told.send((number, mark.to_owned()))?;
                    }
                }
            });
        }
        Ok(Self { came, count: accounts.len(), _tasks: tasks })
    }

    /// Waits until each of them has had the announcement with this mark, and makes sure that none had it twice.
    pub async fn all_had(&mut self, mark: &str) -> Result<()> {
        let mut had = vec![0_u32; self.count];
        let mut missing = self.count;
        while missing > 0 {
            let next = tokio::time::timeout(ARRIVAL, self.came.recv()).await;
            let next = next.with_context(|| format!("{missing} members never had {mark}"))?;
            let (number, came) = next.context("no member is online any more")?;
            ensure!(came == mark, "member {number} had {came} instead of {mark}");
            let times = had.get_mut(number).context("a member too many")?;
            *times += 1;
            ensure!(*times == 1, "member {number} had {mark} twice");
            missing -= 1;
        }
        Ok(())
    }
}

/// The text of an announcement that can be told from others.
pub fn announcement(mark: &str) -> String {
    format!("Support: Company 1 (1111), from 5551001, waits. #{mark}#")
}

fn mark_of(text: &str) -> Option<&str> {
    text.strip_suffix('#')?.rsplit_once('#').map(|(_, mark)| mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_is_known_by_its_mark() {
        assert_eq!(mark_of(&announcement("ours-3")), Some("ours-3"));
        assert_eq!(mark_of("Support: a caller waits."), None);
    }
}
