//! How long is waited, on machines of any speed.

use std::time::Duration;

/// So late comes nothing that comes at all, also where two servers share one slow processor with others.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Where a publish has to come to its bound, and others are to be confirmed within it: time enough for a server on a busy machine.
pub const BOUND: Duration = Duration::from_secs(3);

/// What comes before a timer of the same thread that is started with it. However late the machine lets this thread go on: timers fire
/// in their order, and what the earlier ones woke is done before it is said that nothing came.
pub async fn before<T>(time: Duration, coming: impl Future<Output = T>) -> Option<T> {
    let late = async {
        tokio::time::sleep(time).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        came = coming => Some(came),
        () = late => None,
    }
}
