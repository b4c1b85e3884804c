//! Numbers of interfaces, for the life of the process.
//!
//! A packet carries the number of its interface, and a connection keeps the one of its first packet, also after the
//! interface is gone. So numbers are never reused.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

/// Interfaces by number and by index of the kernel.
#[derive(Debug, Default)]
struct Interfaces {
    /// Names; the number of the first is 1.
    names: Vec<String>,
    numbers: HashMap<String, u16>,
    indexes: HashMap<u32, u16>,
}

static INTERFACES: RwLock<Option<Interfaces>> = RwLock::new(None);

/// Returns the number of an interface, from 1. Beyond 65535 of them: 0, which means unknown.
pub fn number(name: &str) -> u16 {
    let mut lock = INTERFACES.write().unwrap_or_else(PoisonError::into_inner);
    lock.get_or_insert_default().number(name)
}

/// Notes the kernel's index of an interface.
pub fn set_index(name: &str, index: u32) {
    let mut lock = INTERFACES.write().unwrap_or_else(PoisonError::into_inner);
    let interfaces = lock.get_or_insert_default();
    let number = interfaces.number(name);
    interfaces.indexes.insert(index, number);
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
            return *known;
        }
        let Ok(number) = u16::try_from(self.names.len() + 1) else {
            return 0;
        };
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        number
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
}
