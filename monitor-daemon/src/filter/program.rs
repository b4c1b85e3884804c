//! Compiled form of a filter: tests with two targets each, like BPF's conditional jumps.
//!
//! It is written from its end, so that both targets of a test are known when the test is written. They were written
//! before: every run ends after at most as many tests as the filter has.

use std::net::SocketAddr;

use super::ast::{Direction, Expression, Joint, Test};

/// Facts about a connection that a filter tests.
pub(super) struct Ends<'a> {
    pub(super) client: SocketAddr,
    pub(super) server: SocketAddr,
    pub(super) vlan: &'a [u16],
}

/// Tests of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    /// Each step leads to steps before it. Step `n` is at `n - FIRST`.
    steps: Vec<Step>,
    start: u32,
}

/// A test and its targets.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    test: Test,
    yes: u32,
    no: u32,
}

/// The two ends of every run, and the number of the first step.
const REFUSED: u32 = 0;
const ACCEPTED: u32 = 1;
const FIRST: u32 = 2;

impl Program {
    pub(super) fn everything() -> Self {
        Self {
            steps: Vec::new(),
            start: ACCEPTED,
        }
    }

    pub(super) fn new(expression: &Expression) -> Self {
        let mut program = Self {
            steps: Vec::new(),
            start: REFUSED,
        };
        program.start = program.write(expression, ACCEPTED, REFUSED);
        program
    }

    pub(super) fn tests(&self) -> usize {
        self.steps.len()
    }

    pub(super) fn memory(&self) -> usize {
        self.steps.capacity() * size_of::<Step>()
    }

    pub(super) fn accepts(&self, ends: &Ends<'_>) -> bool {
        let mut at = self.start;
        while let Some(step) = at
            .checked_sub(FIRST)
            .and_then(|at| self.steps.get(at as usize))
        {
            at = if step.test.holds(ends) {
                step.yes
            } else {
                step.no
            };
        }
        at == ACCEPTED
    }

    /// Writes an expression that continues at `yes` or `no`; returns its start.
    fn write(&mut self, expression: &Expression, mut yes: u32, mut no: u32) -> u32 {
        match expression {
            Expression::Test(test) => self.step(Step {
                test: test.clone(),
                yes,
                no,
            }),
            Expression::Not(inner) => self.write(inner, no, yes),
            Expression::Chain(first, rest) => {
                // From the right: the result of the terms up to here decides whether the next one is evaluated or skipped.
                for (joint, term) in rest.iter().rev() {
                    let start = self.write(term, yes, no);
                    match joint {
                        Joint::And => yes = start,
                        Joint::Or => no = start,
                    }
                }
                self.write(first, yes, no)
            }
        }
    }

    fn step(&mut self, step: Step) -> u32 {
        self.steps.push(step);
        // Fewer than the filter has bytes.
        self.steps.len() as u32 - 1 + FIRST
    }
}

impl Test {
    fn holds(&self, ends: &Ends<'_>) -> bool {
        match self {
            Self::Always => true,
            Self::Version { v6 } => ends.client.is_ipv6() == *v6,
            Self::Network(direction, network) => {
                direction.holds(ends, |end| network.contains(end.ip()))
            }
            Self::Ports(direction, low, high) => {
                direction.holds(ends, |end| (*low..=*high).contains(&end.port()))
            }
            Self::Vlan { place, id } => ends
                .vlan
                .get(*place)
                .is_some_and(|tag| id.is_none_or(|id| id == *tag)),
        }
    }
}

impl Direction {
    fn holds(self, ends: &Ends<'_>, test: impl Fn(&SocketAddr) -> bool) -> bool {
        match self {
            Self::Source => test(&ends.client),
            Self::Destination => test(&ends.server),
            Self::Either => test(&ends.client) || test(&ends.server),
            Self::Both => test(&ends.client) && test(&ends.server),
        }
    }
}
