//! Text of metrics: OpenMetrics, or Prometheus's older format for readers that don't ask for it.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, MetricEncoder, NoLabelSet, prometheus_text, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::families::{Families, Family, Kind, Value};

/// Format of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus text format 0.0.4.
    Prometheus,
}

impl Format {
    /// Returns the format for a request's `Accept`.
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    /// Returns the value of `Content-Type`.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Writes metrics as text.
///
/// # Errors
/// None for metrics that [`Families::of`] returns.
pub fn encode(families: Families, format: Format) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(families));
    let mut out = String::new();
    match format {
        Format::OpenMetrics => text::encode(&mut out, &registry)?,
        Format::Prometheus => prometheus_text::encode(&mut out, &registry)?,
    }
    Ok(out)
}

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in &self.0 {
            family.encode(&mut encoder)?;
        }
        Ok(())
    }
}

impl Family {
    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        // The encoder appends the unit to the name.
        let (name, unit) = match self.name.rsplit_once('_') {
            Some((name, "bytes")) => (name, Some(Unit::Bytes)),
            Some((name, "seconds")) => (name, Some(Unit::Seconds)),
            _ => (self.name.as_str(), None),
        };
        let kind = match self.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
        };
        let mut metric = encoder.encode_descriptor(name, &self.help, unit.as_ref(), kind)?;
        for (labels, value) in &self.samples {
            if labels.is_empty() {
                self.sample(&mut metric, value)?;
            } else {
                self.sample(&mut metric.encode_family(labels)?, value)?;
            }
        }
        Ok(())
    }

    fn sample(&self, metric: &mut MetricEncoder<'_>, value: &Value) -> fmt::Result {
        match (self.kind, value) {
            (Kind::Counter, Value::Count(value)) => {
                metric.encode_counter::<NoLabelSet, _, f64>(value, None)
            }
            (Kind::Counter, Value::Seconds(value)) => {
                metric.encode_counter::<NoLabelSet, _, f64>(value, None)
            }
            (Kind::Gauge, Value::Count(value)) => metric.encode_gauge(value),
            (Kind::Gauge, Value::Seconds(value)) => metric.encode_gauge(value),
            (Kind::Histogram, Value::Times(sum, count, buckets)) => {
                let listed: u64 = buckets.iter().map(|(_, count)| count).sum();
                let mut buckets = buckets.clone();
                // The last bucket has no bound.
                buckets.push((f64::MAX, count.saturating_sub(listed)));
                metric.encode_histogram::<NoLabelSet>(*sum, *count, &buckets, None)
            }
            _ => Err(fmt::Error),
        }
    }
}
