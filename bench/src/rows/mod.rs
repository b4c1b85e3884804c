//! Benchmarks, by group.

mod engine;
mod isolation;
mod mirror;
mod network;
mod rpc;
mod scale;
mod tap;
mod truth;

use anyhow::{Result, bail};

pub use truth::check;

use crate::Context;
use crate::report::Report;

/// Something that is measured by itself.
#[derive(Clone, Copy)]
pub struct Row {
    /// `room.row`.
    pub name: &'static str,
    /// Measures it; its name is passed on for the report.
    pub measure: fn(&Context, &str, &mut Report) -> Result<()>,
}

const ROWS: &[&[Row]] = &[
    engine::ROWS,
    scale::ROWS,
    rpc::ROWS,
    mirror::ROWS,
    tap::ROWS,
    isolation::ROWS,
];

/// The rows that these words name, in their own order; all if there are none.
pub fn chosen(words: &[String]) -> Result<Vec<Row>> {
    let all: Vec<Row> = ROWS.concat();
    let names = |word: &str, row: &Row| {
        row.name
            .strip_prefix(word)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    if let Some(unknown) = words
        .iter()
        .find(|word| !all.iter().any(|row| names(word, row)))
    {
        let known: Vec<&str> = all.iter().map(|row| row.name).collect();
        bail!(
            "there is no row `{unknown}`; there are: {}",
            known.join(", ")
        );
    }
    Ok(all
        .into_iter()
        .filter(|row| words.is_empty() || words.iter().any(|word| names(word, row)))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(words: &[&str]) -> Vec<&'static str> {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        chosen(&words).unwrap().iter().map(|row| row.name).collect()
    }

    #[test]
    fn a_room_is_all_of_its_rows() {
        assert_eq!(
            names(&["engine.many", "engine.bulk"]),
            ["engine.bulk", "engine.many"]
        );
        assert!(names(&["engine"]).len() >= 4);
        assert!(names(&[]).len() >= names(&["engine"]).len());
        assert!(chosen(&["engine.b".to_owned()]).is_err());
    }
}
