//! Waiting for a condition with a deadline, never for a fixed time.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// Between two looks at a condition.
pub const STEP: Duration = Duration::from_millis(20);

/// Asks `look` again and again until it yields a value.
///
/// # Errors
/// After `within`, with `what` and the last refusal that `look` gave.
pub async fn until<T, F, Fut>(what: &str, within: Duration, mut look: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let begin = Instant::now();
    loop {
        let refusal = match once(within, look()).await {
            Ok(value) => return Ok(value),
            Err(refusal) => refusal,
        };
        if begin.elapsed() >= within {
            bail!("{what}: not within {within:?}; last: {refusal}");
        }
        tokio::time::sleep(STEP).await;
    }
}

/// One look; if it is not content, why.
pub(crate) async fn once<T>(within: Duration, look: impl Future<Output = Result<T>>) -> Result<T, String> {
    match tokio::time::timeout(within, look).await {
        Ok(seen) => seen.map_err(|refusal| format!("{refusal:#}")),
        Err(_) => Err("no answer".to_owned()),
    }
}
