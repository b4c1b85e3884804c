//! Events that programs define, and the callbacks of a socket.
//!
//! Definitions belong to the process and are never freed, as their numbers are constants of a program. Their argument is
//! memory that only the program's filters and callbacks access.

use std::collections::BTreeMap;
use std::ffi::c_int;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::event_types::{callback_t, event_t, filter_t, mos_event_type};
use crate::failure::Failure;
use crate::step::{NULL, RCV, SND};

/// Bits below the numbers of definitions, so that no number has the bit of an event of the library.
const BITS: u32 = 12;
/// Most definitions.
const MOST: usize = 1 << 20;

static DEFINITIONS: Mutex<Definitions> = Mutex::new(Definitions { list: None });

/// Event that a program defined.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Definition {
    pub(crate) parent: event_t,
    /// `None`: raised by mtcp_raise_event().
    pub(crate) filter: filter_t,
    /// Address of its argument, a struct filter_arg; 0: it has none.
    pub(crate) arg: usize,
    /// Memory of the argument as the program gave it, for comparisons.
    given: (usize, usize),
}

/// Definitions by number. A copy of the list is cheap.
#[derive(Clone, Debug, Default)]
pub(crate) struct Definitions {
    list: Option<Arc<Vec<Definition>>>,
}

/// Callbacks of a socket, by event and hook.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registrations {
    callbacks: BTreeMap<(event_t, c_int), callback_t>,
}

impl Definitions {
    /// Returns the definitions so far.
    pub(crate) fn current() -> Self {
        lock().clone()
    }

    /// Defines an event, or returns the number of an equal definition. `arg` is called for a new one, and returns the
    /// address of its argument. EINVAL: no such parent. ENOMEM: too many definitions.
    pub(crate) fn define(
        parent: event_t,
        filter: filter_t,
        given: (usize, usize),
        arg: impl FnOnce() -> usize,
    ) -> Result<event_t, Failure> {
        let mut definitions = lock();
        definitions.root(parent).ok_or(Failure(libc::EINVAL))?;
        let list = Arc::make_mut(definitions.list.get_or_insert_default());
        let address = |filter: filter_t| filter.map(|filter| filter as usize);
        let known = list.iter().position(|known| {
            filter.is_some()
                && known.parent == parent
                && address(known.filter) == address(filter)
                && known.given == given
        });
        if let Some(index) = known {
            return Ok(number(index));
        }
        if list.len() >= MOST {
            return Err(Failure(libc::ENOMEM));
        }
        let arg = arg();
        list.push(Definition {
            parent,
            filter,
            arg,
            given,
        });
        Ok(number(list.len() - 1))
    }

    /// Returns a definition.
    pub(crate) fn get(&self, event: event_t) -> Option<&Definition> {
        let index = (event >> BITS).checked_sub(1)?;
        let definition = self.list.as_ref()?.get(usize::try_from(index).ok()?);
        definition.filter(|_| event & ((1 << BITS) - 1) == 0)
    }

    /// Returns the event of the library that a definition descends from; one of the library itself.
    pub(crate) fn root(&self, event: event_t) -> Option<event_t> {
        let mut event = event;
        while let Some(definition) = self.get(event) {
            event = definition.parent;
        }
        let is_one = event.is_power_of_two() && event < 1 << BITS;
        is_one.then_some(event)
    }

    /// Returns the children of an event in the order of their definition.
    pub(crate) fn children(&self, event: event_t) -> impl Iterator<Item = (event_t, &Definition)> {
        let list = self.list.iter().flat_map(|list| list.iter().enumerate());
        list.filter(move |(_, definition)| definition.parent == event)
            .map(|(index, definition)| (number(index), definition))
    }

    /// Returns whether an event is another one, or descends from it.
    fn descends(&self, event: event_t, from: event_t) -> bool {
        let mut event = event;
        loop {
            if event == from {
                return true;
            }
            match self.get(event) {
                Some(definition) => event = definition.parent,
                None => return false,
            }
        }
    }
}

impl Registrations {
    /// Registers a callback, or removes it if it's `None`. EINVAL: there is none to remove.
    pub(crate) fn set(
        &mut self,
        event: event_t,
        hook: c_int,
        callback: callback_t,
    ) -> Result<(), Failure> {
        let before = match callback {
            Some(_) => {
                self.callbacks.insert((event, hook), callback);
                return Ok(());
            }
            None => self.callbacks.remove(&(event, hook)),
        };
        before.map(|_| ()).ok_or(Failure(libc::EINVAL))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.callbacks.is_empty()
    }

    pub(crate) fn get(&self, event: event_t, hook: c_int) -> callback_t {
        self.callbacks.get(&(event, hook)).copied().flatten()
    }

    /// Returns whether an event, or one that descends from it, has a callback at a hook.
    pub(crate) fn wants(&self, definitions: &Definitions, event: event_t, hook: c_int) -> bool {
        let mut own = self.callbacks.keys().filter(|(_, own)| *own == hook);
        own.any(|(own, _)| definitions.descends(*own, event))
    }

    /// Returns whether an event of the library, or one that descends from it, has a callback.
    pub(crate) fn has(&self, definitions: &Definitions, root: mos_event_type) -> bool {
        let mut events = self.callbacks.keys().map(|(event, _)| *event);
        events.any(|event| definitions.root(event) == Some(root as event_t))
    }
}

/// Returns the hook of a number. EINVAL: it is none, or no event of this kind is raised there.
pub(crate) fn hook(root: event_t, hook_point: c_int, is_raw: bool) -> Result<c_int, Failure> {
    use mos_event_type::{
        MOS_ON_CONN_END, MOS_ON_CONN_NEW_DATA, MOS_ON_CONN_START, MOS_ON_ERROR, MOS_ON_ORPHAN,
        MOS_ON_PKT_IN, MOS_ON_REXMIT, MOS_ON_TCP_STATE_CHANGE,
    };
    let is = |events: &[mos_event_type]| events.iter().any(|event| *event as event_t == root);
    let without_end = [MOS_ON_CONN_NEW_DATA, MOS_ON_ORPHAN, MOS_ON_ERROR];
    let with_end = [
        MOS_ON_CONN_START,
        MOS_ON_REXMIT,
        MOS_ON_TCP_STATE_CHANGE,
        MOS_ON_CONN_END,
    ];
    let fits = match hook_point {
        NULL if is_raw => is(&[MOS_ON_PKT_IN, MOS_ON_ORPHAN]),
        NULL => !is(&with_end),
        SND | RCV => !is_raw && !is(&without_end),
        _ => false,
    };
    fits.then_some(hook_point).ok_or(Failure(libc::EINVAL))
}

fn number(index: usize) -> event_t {
    (index as event_t + 1) << BITS
}

fn lock() -> MutexGuard<'static, Definitions> {
    // A panic leaves a valid list behind.
    DEFINITIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::mctx_t;

    const DATA: event_t = mos_event_type::MOS_ON_CONN_NEW_DATA as event_t;

    unsafe extern "C" fn filter(
        _: mctx_t,
        _: c_int,
        _: c_int,
        _: event_t,
        _: *mut crate::event_types::filter_arg_t,
    ) -> bool {
        true
    }

    unsafe extern "C" fn callback(
        _: mctx_t,
        _: c_int,
        _: c_int,
        _: event_t,
        _: *mut crate::event_types::filter_arg_t,
    ) {
    }

    #[test]
    fn definitions_form_trees() {
        let child = Definitions::define(DATA, Some(filter), (1, 0), || 0).unwrap();
        let same = Definitions::define(DATA, Some(filter), (1, 0), || panic!("known")).unwrap();
        let raised = Definitions::define(child, None, (0, 0), || 0).unwrap();
        let another = Definitions::define(child, None, (0, 0), || 0).unwrap();
        assert_eq!(child, same);
        assert_ne!(raised, another, "each allocation is an event of its own");
        let definitions = Definitions::current();
        assert_eq!(definitions.root(another), Some(DATA));
        let children: Vec<_> = definitions.children(child).map(|(id, _)| id).collect();
        assert_eq!(children, [raised, another]);
        let mut registrations = Registrations::default();
        registrations.set(raised, NULL, Some(callback)).unwrap();
        assert!(registrations.wants(&definitions, child, NULL));
        assert!(registrations.wants(&definitions, DATA, NULL));
        assert!(!registrations.wants(&definitions, another, NULL));
        assert!(!registrations.wants(&definitions, child, RCV));
        assert!(registrations.has(&definitions, mos_event_type::MOS_ON_CONN_NEW_DATA));
        registrations.set(raised, NULL, None).unwrap();
        assert_eq!(
            registrations.set(raised, NULL, None),
            Err(Failure(libc::EINVAL))
        );
    }

    #[test]
    fn numbers_that_are_no_events_have_no_root() {
        let definitions = Definitions::default();
        for event in [0, 3, 1 << BITS, 5 << BITS, u64::MAX] {
            assert_eq!(definitions.root(event), None, "{event}");
            let refused = Definitions::define(event | 1 << 63, Some(filter), (0, 0), || 0);
            assert_eq!(refused, Err(Failure(libc::EINVAL)));
        }
    }

    #[test]
    fn hooks_fit_their_events() {
        let fits = |event: mos_event_type, point, raw| hook(event as event_t, point, raw).is_ok();
        for (event, ends, null, raw) in [
            (mos_event_type::MOS_ON_CONN_START, true, false, false),
            (mos_event_type::MOS_ON_CONN_NEW_DATA, false, true, false),
            (mos_event_type::MOS_ON_PKT_IN, true, true, true),
            (mos_event_type::MOS_ON_ORPHAN, false, true, true),
        ] {
            for point in [SND, RCV] {
                assert_eq!(fits(event, point, false), ends, "{event:?}");
                assert!(!fits(event, point, true), "{event:?}");
            }
            assert_eq!(fits(event, NULL, false), null, "{event:?}");
            assert_eq!(fits(event, NULL, true), raw, "{event:?}");
            assert!(!fits(event, 7, false));
        }
    }
}
