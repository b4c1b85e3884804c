//! Benchmarks, by group.

mod attach;
mod callback;
mod engine;
mod fleet;
mod isolation;
mod mirror;
mod network;
mod rpc;
mod scale;
mod tap;
mod truth;

use anyhow::{Result, bail};

pub use truth::check;

use crate::context::Benchmark;

const BENCHMARKS: &[&[Benchmark]] = &[
    engine::BENCHMARKS,
    scale::BENCHMARKS,
    rpc::BENCHMARKS,
    attach::BENCHMARKS,
    callback::BENCHMARKS,
    mirror::BENCHMARKS,
    tap::BENCHMARKS,
    isolation::BENCHMARKS,
    fleet::BENCHMARKS,
];

/// Returns the benchmarks that these words name, in their own order; all if there are none.
pub fn chosen(words: &[String]) -> Result<Vec<Benchmark>> {
    let all: Vec<Benchmark> = BENCHMARKS.concat();
    let names = |word: &str, benchmark: &Benchmark| {
        benchmark
            .name
            .strip_prefix(word)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    if let Some(unknown) = words
        .iter()
        .find(|word| !all.iter().any(|benchmark| names(word, benchmark)))
    {
        let known: Vec<&str> = all.iter().map(|benchmark| benchmark.name).collect();
        bail!(
            "there is no benchmark `{unknown}`; there are: {}",
            known.join(", ")
        );
    }
    Ok(all
        .into_iter()
        .filter(|benchmark| words.is_empty() || words.iter().any(|word| names(word, benchmark)))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(words: &[&str]) -> Vec<&'static str> {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        chosen(&words)
            .unwrap()
            .iter()
            .map(|benchmark| benchmark.name)
            .collect()
    }

    #[test]
    fn a_group_is_all_of_its_benchmarks() {
        assert_eq!(
            names(&["engine.many", "engine.bulk"]),
            ["engine.bulk", "engine.many"]
        );
        assert!(names(&["engine"]).len() >= 4);
        assert!(names(&[]).len() >= names(&["engine"]).len());
        assert!(chosen(&["engine.b".to_owned()]).is_err());
    }
}
