//! Workers for engines that clients change.

use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use monitor_daemon::control::{Command, Engine, Mailboxes, attend};
use monitor_daemon::status::Status;

type Deed = Box<dyn FnOnce(&mut Engine) + Send>;

/// A thread for each engine, which sees to its mail as the daemon's workers do, until this is dropped.
pub struct Workers {
    mailboxes: Mailboxes,
    threads: Vec<(mpsc::Sender<Deed>, JoinHandle<()>)>,
}

impl Workers {
    pub fn start(engines: Vec<Engine>, status: &Status) -> Self {
        let mailboxes = status.mailboxes.clone();
        let workers = (0..).zip(engines).map(|(worker, mut engine)| {
            let mailbox = std::sync::Arc::clone(mailboxes.get(worker).unwrap());
            let (give, deeds) = mpsc::channel::<Deed>();
            let thread = thread::spawn(move || {
                while attend(&mut engine, &mailbox) {
                    while let Ok(deed) = deeds.try_recv() {
                        deed(&mut engine);
                    }
                    mailbox.wait(None);
                }
            });
            (give, thread)
        });
        let threads = workers.collect();
        Self { mailboxes, threads }
    }

    /// Has a worker do something with its engine: feed it packets, say. Returns when it has.
    pub fn with<T: Send + 'static>(
        &self,
        worker: u16,
        deed: impl FnOnce(&mut Engine) -> T + Send + 'static,
    ) -> T {
        let (done, wait) = mpsc::channel();
        let deed = Box::new(move |engine: &mut Engine| done.send(deed(engine)).unwrap());
        self.threads[usize::from(worker)].0.send(deed).unwrap();
        self.mailboxes.get(worker).unwrap().ring();
        wait.recv_timeout(super::PATIENCE).unwrap()
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.mailboxes.iter().for_each(|mailbox| mailbox.send(Command::Stop));
        for (_, thread) in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
