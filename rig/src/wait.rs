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
        let refusal = match tokio::time::timeout(within, look()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(refusal)) => format!("{refusal:#}"),
            Err(_) => "no answer".to_owned(),
        };
        if begin.elapsed() >= within {
            bail!("{what}: not within {within:?}; last: {refusal}");
        }
        tokio::time::sleep(STEP).await;
    }
}
