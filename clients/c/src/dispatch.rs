//! Calls of filters and callbacks. No lock is held meanwhile, so they may call any function of the library.

use std::ffi::c_int;
use std::ptr;
use std::sync::Arc;

use crate::context::{Context, Current};
use crate::definitions::{Definition, Definitions, Registrations};
use crate::event_types::{callback_t, event_t, filter_arg_t, mos_event_type};
use crate::failure::Failure;
use crate::frame::Frame;
use crate::registry::Node;
use crate::step::Step;
use crate::types::mos_side;

/// Event at a hook of a socket, with the callbacks that were registered when it began.
struct Delivery<'a> {
    node: &'a Node,
    step: Step,
    registrations: Arc<Registrations>,
    definitions: Definitions,
}

/// Calls the callbacks of an event, and those of the events that are defined from it.
pub(crate) fn deliver(node: &Node, step: Step, time_us: u64, frame: Option<&Arc<Frame>>) {
    let begun = node.within(|context| {
        // A callback of the same event may have stopped it.
        if context.monitor.is_stopped(step.sock, step.side) {
            return Err(Failure(libc::EBADF));
        }
        let registrations = context.monitor.registrations(step.sock);
        let registrations = registrations.cloned().ok_or(Failure(libc::EBADF))?;
        context.current = Some(Current {
            time_us,
            frame: frame.cloned(),
        });
        Ok(registrations)
    });
    // Closed or stopped by an earlier callback, or the context was destroyed.
    let Ok(registrations) = begun else {
        return;
    };
    let delivery = Delivery {
        node,
        step,
        registrations,
        definitions: Definitions::current(),
    };
    delivery.raise(step.event, None);
    delivery.end();
}

/// Calls the callback of a timer.
pub(crate) fn expire(node: &Node, id: c_int, callback: callback_t) {
    if let Some(callback) = callback.filter(|_| node.exists()) {
        let event = mos_event_type::MOS_ON_TIMEOUT as event_t;
        let side = mos_side::MOS_SIDE_BOTH as c_int;
        // SAFETY: the program gave a function of this type, and promises that it may be called with its context.
        unsafe { callback(node.mctx(), id, side, event, ptr::null_mut()) };
    }
}

impl Delivery<'_> {
    /// Calls the callback of an event, then evaluates the filter of each event that is defined from it, once.
    fn raise(&self, event: event_t, definition: Option<&Definition>) {
        if let Some(callback) = self.registrations.get(event, self.step.hook)
            && self.node.exists()
        {
            // SAFETY: the program gave a function of this type. The argument was made at the definition, and exists for
            // ever.
            unsafe {
                let Step { sock, side, .. } = self.step;
                callback(self.node.mctx(), sock, side, event, argument(definition));
            }
            self.raise_requested();
        }
        for (child, definition) in self.definitions.children(event) {
            if self.is_true(event, child, definition) {
                self.raise(child, Some(definition));
            }
        }
    }

    /// Returns the value of a filter. False without a callback that depends on it.
    fn is_true(&self, event: event_t, child: event_t, definition: &Definition) -> bool {
        let hook = self.step.hook;
        let Some(filter) = definition.filter else {
            return false;
        };
        if !self.node.exists() || !self.registrations.wants(&self.definitions, child, hook) {
            return false;
        }
        // SAFETY: as in `raise`.
        let is_true = unsafe {
            let Step { sock, side, .. } = self.step;
            filter(
                self.node.mctx(),
                sock,
                side,
                event,
                argument(Some(definition)),
            )
        };
        self.raise_requested();
        is_true
    }

    /// Raises the events that a filter or callback has raised.
    fn raise_requested(&self) {
        let raised = self
            .node
            .within(|context| Ok(std::mem::take(&mut context.raised)))
            .unwrap_or_default();
        for event in raised {
            let definition = self.definitions.get(event).copied();
            self.raise(event, definition.as_ref());
        }
    }

    fn end(&self) {
        let end = |context: &mut Context| {
            context.current = None;
            Ok(())
        };
        // Fails if a callback destroyed the context.
        let _ = self.node.within(end);
    }
}

/// Returns the argument of a filter or callback.
fn argument(definition: Option<&Definition>) -> *mut filter_arg_t {
    definition.map_or(ptr::null_mut(), |definition| {
        ptr::with_exposed_provenance_mut(definition.arg)
    })
}
