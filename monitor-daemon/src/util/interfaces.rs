//! Numbers of interfaces.
//!
//! A packet carries the number of its interface, and a connection keeps the one of its first packet, also after the
//! interface is gone. So a number is reused only when all 65,535 are in use, and then the one that was released first:
//! by then its connections have ended.

use std::collections::{HashMap, VecDeque};
use std::sync::{PoisonError, RwLock};

/// Interfaces by number and by index of the kernel.
#[derive(Debug, Default)]
struct Interfaces {
    /// Names; the number of the first is 1.
    names: Vec<String>,
    numbers: HashMap<String, u16>,
    indexes: HashMap<u32, u16>,
    /// Numbers of interfaces that are gone, the first one released first.
    released: VecDeque<u16>,
}

static INTERFACES: RwLock<Option<Interfaces>> = RwLock::new(None);

/// Returns the number of an interface, from 1. With 65535 others in use: 0, which means unknown.
pub fn number(name: &str) -> u16 {
    let mut lock = INTERFACES.write().unwrap_or_else(PoisonError::into_inner);
    lock.get_or_insert_default().number(name)
}

/// Notes the kernel's index of an interface.
pub fn set_index(name: &str, index: u32) {
    let mut lock = INTERFACES.write().unwrap_or_else(PoisonError::into_inner);
    let interfaces = lock.get_or_insert_default();
    let number = interfaces.number(name);
    interfaces.indexes.retain(|_, other| *other != number);
    interfaces.indexes.insert(index, number);
}

/// Releases the number of an interface that is gone. It keeps its name until the number is reused.
pub fn release(name: &str) {
    let mut lock = INTERFACES.write().unwrap_or_else(PoisonError::into_inner);
    if let Some(interfaces) = lock.as_mut() {
        interfaces.release(name);
    }
}

/// Returns the number of the interface with an index; 0: unknown.
pub fn number_of_index(index: u32) -> u16 {
    let lock = INTERFACES.read().unwrap_or_else(PoisonError::into_inner);
    let interfaces = lock.as_ref();
    interfaces
        .and_then(|interfaces| interfaces.indexes.get(&index).copied())
        .unwrap_or(0)
}

/// Returns the name of an interface by its number.
pub fn name(number: u16) -> Option<String> {
    let lock = INTERFACES.read().unwrap_or_else(PoisonError::into_inner);
    let at = usize::from(number).checked_sub(1)?;
    lock.as_ref()?.names.get(at).cloned()
}

impl Interfaces {
    fn number(&mut self, name: &str) -> u16 {
        if let Some(known) = self.numbers.get(name) {
            self.released.retain(|number| number != known);
            return *known;
        }
        let number = match u16::try_from(self.names.len() + 1) {
            Ok(number) => {
                self.names.push(name.to_owned());
                number
            }
            Err(_) => match self.reuse(name) {
                Some(number) => number,
                None => return 0,
            },
        };
        self.numbers.insert(name.to_owned(), number);
        number
    }

    /// Gives the number that was released first to another interface.
    fn reuse(&mut self, name: &str) -> Option<u16> {
        let number = self.released.pop_front()?;
        let old = self.names.get_mut(usize::from(number) - 1)?;
        self.numbers.remove(old);
        name.clone_into(old);
        self.indexes.retain(|_, other| *other != number);
        Some(number)
    }

    fn release(&mut self, name: &str) {
        if let Some(number) = self.numbers.get(name)
            && !self.released.contains(number)
        {
            self.released.push_back(*number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_number() {
        let first = number("test-a");
        let second = number("test-b");
        assert_ne!(first, second);
        assert_eq!(number("test-a"), first);
        assert_eq!(name(second).as_deref(), Some("test-b"));
        assert_eq!(name(0), None);
        set_index("test-b", 4_000_000);
        assert_eq!(number_of_index(4_000_000), second);
        assert_eq!(number_of_index(4_000_001), 0);
    }

    #[test]
    fn a_number_is_reused_only_when_all_are_in_use_and_the_one_released_first() {
        let mut interfaces = Interfaces::default();
        let name = |number: u32| format!("veth{number}");
        assert_eq!(interfaces.number(&name(1)), 1);
        interfaces.release(&name(1));
        for number in 2..=65_535 {
            assert_eq!(u32::from(interfaces.number(&name(number))), number);
        }
        interfaces.release(&name(7));
        interfaces.release(&name(3));
        interfaces.release(&name(7));
        assert_eq!(interfaces.number(&name(1)), 1, "it is back");
        assert_eq!(interfaces.number("another"), 7);
        assert_eq!(interfaces.names[6], "another");
        assert_eq!(interfaces.number(&name(7)), 3);
        assert_eq!(interfaces.number(&name(8)), 8);
        assert_eq!(interfaces.number("no room"), 0);
    }
}
