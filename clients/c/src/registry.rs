//! Contexts of the process, by the address that C has.
//!
//! A context may be destroyed in a signal handler, at any place of the program. Destroying therefore takes no lock and frees
//! nothing: it marks the context, and wakes the thread in mtcp_app_join() and a thread that frees contexts. The list grows
//! only: no later context gets the address of a destroyed one.

use std::ffi::c_int;
use std::ops::{Deref, DerefMut};
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, ThreadId};

use crate::context::Context;
use crate::failure::Failure;
use crate::feeds::Feeds;
use crate::sys;
use crate::types::{mctx_t, mtcp_context};

/// States of a context.
const EXISTS: u8 = 0;
const ENDING: u8 = 1;
const ENDED: u8 = 2;
const FREED: u8 = 3;

/// Newest context; each one knows the one before it.
static NEWEST: AtomicPtr<Node> = AtomicPtr::new(std::ptr::null_mut());
/// Eventfd of the thread that frees contexts.
static CLEANER: OnceLock<RawFd> = OnceLock::new();

/// Context of the process.
pub(crate) struct Node {
    /// Address that C has.
    address: usize,
    state: AtomicU8,
    /// Eventfd that wakes the thread in mtcp_app_join(). It's closed by the owner of `feeds`.
    wake: AtomicI32,
    /// Thread that created it. While no thread has joined it, its callbacks run when that thread joins another context.
    pub(crate) creator: ThreadId,
    pub(crate) is_joined: AtomicBool,
    context: Mutex<Option<Context>>,
    /// Locked by the thread that runs the callbacks.
    feeds: Mutex<Feeds>,
    older: Option<&'static Node>,
}

/// Subscriptions of a context, locked. The thread that frees contexts is asked again if it was destroyed meanwhile.
pub(crate) struct Locked<'a> {
    feeds: MutexGuard<'a, Feeds>,
    /// Dropped after the lock.
    _again: Again<'a>,
}

struct Again<'a>(&'a Node);

/// Creates a context.
pub(crate) fn create(cpu: c_int) -> Result<mctx_t, Failure> {
    let context = Context::connect(cpu)?;
    start_cleaner()?;
    let wake = sys::eventfd(false)?;
    let name: mctx_t = Box::leak(Box::new(mtcp_context { cpu }));
    let mut newest = NEWEST.load(Ordering::Acquire);
    let node = Box::into_raw(Box::new(Node {
        address: name.addr(),
        state: AtomicU8::new(EXISTS),
        wake: AtomicI32::new(wake),
        creator: thread::current().id(),
        is_joined: AtomicBool::new(false),
        context: Mutex::new(Some(context)),
        feeds: Mutex::default(),
        older: None,
    }));
    loop {
        // SAFETY: the node is not in the list yet, so it's only this thread's. Nodes of the list are never freed.
        unsafe { (*node).older = newest.as_ref() };
        match NEWEST.compare_exchange(newest, node, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return Ok(name),
            Err(other) => newest = other,
        }
    }
}

/// Returns all contexts, the newest first.
pub(crate) fn nodes() -> impl Iterator<Item = &'static Node> {
    let newest = NEWEST.load(Ordering::Acquire);
    // SAFETY: null or a node of the list: complete, no longer changed but by its atomics and locks, and never freed.
    let newest = unsafe { newest.as_ref() };
    std::iter::successors(newest, |node| node.older)
}

/// Returns a context, which may have been destroyed. EACCES: it never was one.
pub(crate) fn find(mctx: mctx_t) -> Result<&'static Node, Failure> {
    let mut nodes = nodes();
    nodes
        .find(|node| node.address == mctx.addr())
        .ok_or(Failure(libc::EACCES))
}

/// Destroys a context. It may be called in a signal handler.
pub(crate) fn destroy(mctx: mctx_t) -> Result<c_int, Failure> {
    let node = find(mctx)?;
    node.state
        .compare_exchange(EXISTS, ENDING, Ordering::AcqRel, Ordering::Acquire)
        .map_err(|_| Failure(libc::EACCES))?;
    // Nothing closes it before the next state.
    sys::notify(node.wake.load(Ordering::Acquire));
    node.state.store(ENDED, Ordering::Release);
    clean();
    Ok(0)
}

/// Calls a function with a context, for which other threads wait. EACCES: it never was one, or was destroyed.
pub(crate) fn within<T>(
    mctx: mctx_t,
    act: impl FnOnce(&mut Context) -> Result<T, Failure>,
) -> Result<T, Failure> {
    find(mctx)?.within(act)
}

/// Makes the thread that frees contexts look for destroyed ones.
fn clean() {
    if let Some(&cleaner) = CLEANER.get() {
        sys::notify(cleaner);
    }
}

impl Node {
    /// Returns whether it exists: it was not destroyed.
    pub(crate) fn exists(&self) -> bool {
        self.state.load(Ordering::Acquire) == EXISTS
    }

    /// Returns its address, for callbacks.
    pub(crate) fn mctx(&self) -> mctx_t {
        std::ptr::with_exposed_provenance_mut(self.address)
    }

    /// Calls a function with its state. EACCES: it was destroyed.
    pub(crate) fn within<T>(
        &self,
        act: impl FnOnce(&mut Context) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let destroyed = Failure(libc::EACCES);
        if !self.exists() {
            return Err(destroyed);
        }
        act(lock(&self.context).as_mut().ok_or(destroyed)?)
    }

    /// Waits until no other thread runs its callbacks.
    pub(crate) fn feeds(&self) -> Locked<'_> {
        self.locked(lock(&self.feeds))
    }

    /// Returns its subscriptions, unless another thread runs its callbacks.
    pub(crate) fn try_feeds(&self) -> Option<Locked<'_>> {
        let feeds = self.feeds.try_lock().ok()?;
        Some(self.locked(feeds))
    }

    fn locked<'a>(&'a self, feeds: MutexGuard<'a, Feeds>) -> Locked<'a> {
        Locked {
            feeds,
            _again: Again(self),
        }
    }

    /// Wakes the thread that runs its callbacks.
    pub(crate) fn notify(&self) {
        // Destroyed contexts keep their state while it's locked, and the eventfd as long.
        let context = lock(&self.context);
        if context.is_some() {
            sys::notify(self.wake.load(Ordering::Acquire));
        }
    }

    /// Returns the descriptor that is readable after [`Node::notify`]. The caller has the subscriptions.
    pub(crate) fn wake(&self) -> RawFd {
        self.wake.load(Ordering::Acquire)
    }

    /// Frees a destroyed context, unless a thread has its subscriptions; that thread asks again.
    fn free(&self) {
        if self.state.load(Ordering::Acquire) != ENDED {
            return;
        }
        let Ok(mut feeds) = self.feeds.try_lock() else {
            return;
        };
        feeds.clear();
        let mut context = lock(&self.context);
        *context = None;
        sys::close(self.wake.swap(-1, Ordering::AcqRel));
        self.state.store(FREED, Ordering::Release);
    }
}

impl Deref for Locked<'_> {
    type Target = Feeds;

    fn deref(&self) -> &Feeds {
        &self.feeds
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Feeds {
        &mut self.feeds
    }
}

impl Drop for Again<'_> {
    fn drop(&mut self) {
        if !self.0.exists() {
            clean();
        }
    }
}

/// Starts the thread that frees contexts, once. It blocks all signals, so that handlers run in the program's threads.
fn start_cleaner() -> Result<(), Failure> {
    static STARTED: Mutex<bool> = Mutex::new(false);
    let mut started = lock(&STARTED);
    if *started {
        return Ok(());
    }
    let fd = sys::eventfd(true)?;
    let blocked = sys::block_signals();
    let thread = thread::Builder::new()
        .name("mos-contexts".to_owned())
        .spawn(move || {
            loop {
                sys::clear(fd);
                nodes().for_each(Node::free);
            }
        });
    sys::restore_signals(&blocked);
    thread.map_err(|error| Failure(error.raw_os_error().unwrap_or(libc::EAGAIN)))?;
    // Set once, since the lock is held.
    let _ = CLEANER.set(fd);
    *started = true;
    Ok(())
}

/// Locks a mutex. A panic leaves no inconsistent state here, so poisoning is ignored.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
