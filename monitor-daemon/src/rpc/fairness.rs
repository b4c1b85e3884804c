//! Fairness between users: clients of users that take much processor time run on threads of their own.
//!
//! A client's task starts on the threads of the server. When its user has exceeded its share, the task moves to the busy
//! threads, and back once the use is paid for. A small request of any other user therefore waits for no more than a turn
//! of tasks within their share, whatever the rest computes.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinSet;

use super::access::processor_time::ProcessorTime;
use crate::util::capabilities;

/// Number of threads for clients of busy users.
const THREADS: usize = 2;

/// Priority of those threads, as nice(1) has it.
const NICE: i32 = 10;

/// A client's task.
type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Threads for clients of busy users. They end when it is dropped.
pub(crate) struct BusyThreads(Option<Runtime>);

impl BusyThreads {
    /// Starts the threads.
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("server-busy")
            .on_thread_start(|| {
                capabilities::drop_all();
                // The threads of all others come first. Without it they only share the processors.
                let _ = rustix::process::setpriority_process(None, NICE);
            })
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// Returns the future that runs a client's task until it ends, here or there.
    pub(crate) fn run<F: Future<Output = ()> + Send + 'static>(
        &self,
        client: F,
        user: Arc<ProcessorTime>,
    ) -> impl Future<Output = ()> + Send + use<F> {
        let busy = self.0.as_ref().map(|runtime| runtime.handle().clone());
        run(Box::pin(client), user, busy)
    }
}

impl Drop for BusyThreads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // Doesn't wait: the server's own runtime must not be blocked.
            runtime.shutdown_background();
        }
    }
}

async fn run(mut client: Task, user: Arc<ProcessorTime>, busy: Option<Handle>) {
    let Some(busy) = busy else { return };
    loop {
        let turns = Turns {
            client: Some(client),
            user: &user,
            leaves: ProcessorTime::is_exceeded,
        };
        let Some(leaving) = turns.await else { return };
        // Ends with this future when the server stops.
        let mut moved = JoinSet::new();
        let owner = Arc::clone(&user);
        let there = async move {
            let turns = Turns {
                client: Some(leaving),
                user: &owner,
                leaves: ProcessorTime::has_recovered,
            };
            turns.await
        };
        moved.spawn_on(there, &busy);
        client = match moved.join_next().await {
            Some(Ok(Some(back))) => back,
            Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            _ => return,
        };
    }
}

/// Polls a client's task, and charges its user. Returns the task when it must leave these threads, `None` at its end.
struct Turns<'a> {
    client: Option<Task>,
    user: &'a ProcessorTime,
    leaves: fn(&ProcessorTime, Instant) -> bool,
}

impl Future for Turns<'_> {
    type Output = Option<Task>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Task>> {
        let start = Instant::now();
        if (self.leaves)(self.user, start) {
            return Poll::Ready(self.client.take());
        }
        let Some(client) = &mut self.client else {
            return Poll::Ready(None);
        };
        let polled = client.as_mut().poll(context);
        self.user.charge(start, Instant::now());
        ready!(polled);
        Poll::Ready(None)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// Returns the name of the thread that runs this.
    fn thread() -> String {
        thread::current().name().unwrap_or_default().to_owned()
    }

    #[test]
    fn a_task_moves_to_the_busy_threads_and_back() {
        let server = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("server")
            .enable_all()
            .build()
            .unwrap();
        let seen = server.block_on(async {
            let busy = BusyThreads::start().unwrap();
            let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
            let client = async move {
                sender.send(thread()).unwrap();
                // A turn far beyond the burst.
                thread::sleep(Duration::from_millis(20));
                tokio::task::yield_now().await;
                sender.send(thread()).unwrap();
                while thread() != "server" {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                sender.send(thread()).unwrap();
            };
            tokio::spawn(busy.run(client, Arc::new(ProcessorTime::new())))
                .await
                .unwrap();
            let mut seen = Vec::new();
            while let Some(thread) = receiver.recv().await {
                seen.push(thread);
            }
            seen
        });
        assert_eq!(seen, ["server", "server-busy", "server"]);
    }
}
