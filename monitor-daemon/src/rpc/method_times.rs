//! Histogram of the times of each method's requests.
//!
//! A request's time is that from its parsed parameters to its written reply. It includes the time that `wait` waits.

use std::time::Duration;

use monitor_rpc::Method;
use monitor_rpc::types::MethodStats;

use super::metrics::Metric;

/// Upper bounds of the buckets, in nanoseconds: from a cached read to a long `wait`.
const BOUNDS_NS: [u64; 9] = [
    10_000,
    50_000,
    250_000,
    1_000_000,
    5_000_000,
    25_000_000,
    100_000_000,
    1_000_000_000,
    10_000_000_000,
];

/// Times of all methods. Every client's task adds to them.
#[derive(Debug, Default)]
pub(crate) struct MethodTimes([Histogram; Method::ALL.len()]);

#[derive(Debug, Default)]
struct Histogram {
    requests: Metric,
    time_ns: Metric,
    buckets: [Metric; BOUNDS_NS.len()],
}

impl MethodTimes {
    /// Adds a request.
    pub(crate) fn add(&self, method: Method, time: Duration) {
        let histogram = &self.0[method as usize];
        let time_ns = time.as_nanos() as u64;
        histogram.requests.add(1);
        histogram.time_ns.add(time_ns);
        let bucket = BOUNDS_NS.iter().zip(&histogram.buckets);
        if let Some((_, count)) = bucket.into_iter().find(|(bound, _)| time_ns <= **bound) {
            count.add(1);
        }
    }

    /// Returns the times of each method, in the order of the table.
    pub(crate) fn each(&self) -> impl Iterator<Item = MethodStats> + '_ {
        Method::ALL.iter().zip(&self.0).map(|(method, histogram)| {
            let counts = histogram.buckets.iter().map(Metric::get);
            // Buckets first: requests that end in between are then missing in a bucket, never in the sum.
            let buckets: Vec<_> = BOUNDS_NS.into_iter().zip(counts).collect();
            MethodStats {
                method: method.name().into(),
                requests: histogram.requests.get(),
                time_ns: histogram.time_ns.get(),
                buckets,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_counts_in_the_bucket_of_its_time() {
        let times = MethodTimes::default();
        times.add(Method::Ppeek, Duration::from_micros(10));
        times.add(Method::Ppeek, Duration::from_micros(11));
        times.add(Method::Ppeek, Duration::from_secs(11));
        let ppeek = times.each().find(|times| times.method == "ppeek").unwrap();
        assert_eq!(ppeek.requests, 3);
        assert_eq!(ppeek.time_ns, 11_000_021_000);
        assert_eq!(ppeek.buckets[..3], [(10_000, 1), (50_000, 1), (250_000, 0)]);
        let counted: u64 = ppeek.buckets.iter().map(|(_, count)| count).sum();
        assert_eq!(counted, 2, "the slowest is above every bound");
        assert!(
            times
                .each()
                .all(|times| times.method == "ppeek" || times.requests == 0)
        );
    }
}
