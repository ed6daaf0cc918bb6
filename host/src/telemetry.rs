//! Telemetry: logs to standard error, traces to OTLP when the standard variables name a collector.
//!
//! Owns the subscriber. The message is constant text, values are fields; keys are the same
//! everywhere (`request_id tenant job service component error`).

use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider,
};
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::ids::RequestId;
use crate::trace::TraceContext;

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// A JSON object a line.
    Json,
}

/// Keeps the exporter; dropping it sends what is left.
#[derive(Debug)]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(provider) = self.provider.take() {
            // At the end of the process there is nobody left to tell.
            let _ = provider.shutdown();
        }
    }
}

/// Starts logging at `level` (`info`, or a filter such as `postern=debug`), and exporting when
/// `OTEL_EXPORTER_OTLP_ENDPOINT` or its variant for traces is set.
///
/// # Errors
/// The exporter's settings or the filter cannot be used.
pub fn start(level: &str, format: LogFormat) -> Result<Telemetry, TelemetryError> {
    let filter = EnvFilter::try_new(level).map_err(|error| TelemetryError(error.to_string()))?;
    let provider = provider()?;
    let traces = provider
        .as_ref()
        .map(|provider| tracing_opentelemetry::layer().with_tracer(provider.tracer("postern")));
    // What is logged and what is traced are two questions: `--log warn` keeps the traces.
    let traces = traces.map(|layer| layer.with_filter(LevelFilter::INFO));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(traces);
    match format {
        LogFormat::Text => registry.with(lines.with_target(false).with_filter(filter)).init(),
        LogFormat::Json => {
            registry.with(lines.json().flatten_event(true).with_filter(filter)).init();
        }
    }
    Ok(Telemetry { provider })
}

/// Why telemetry could not start.
#[derive(Debug, thiserror::Error)]
#[error("telemetry cannot start: {0}")]
pub struct TelemetryError(String);

#[expect(clippy::disallowed_methods, reason = "OTLP is configured by its standard variables")]
fn provider() -> Result<Option<SdkTracerProvider>, TelemetryError> {
    let names = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
    if names.iter().all(|name| std::env::var_os(name).is_none()) {
        return Ok(None);
    }
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .build()
        .map_err(|error| TelemetryError(error.to_string()))?;
    let resource = opentelemetry_sdk::Resource::builder().with_service_name("postern").build();
    let provider =
        SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
    Ok(Some(provider))
}

/// The span of a request, in the client's trace if it sent one.
pub(crate) fn request_span(
    method: &str,
    request_id: &RequestId,
    trace: &TraceContext,
    remote: bool,
) -> tracing::Span {
    let trace_id = format_args!("{:032x}", trace.trace_id);
    let span = tracing::info_span!("request", method, %request_id, trace_id = %trace_id);
    if remote && !span.is_disabled() {
        let context = SpanContext::new(
            TraceId::from_bytes(trace.trace_id.to_be_bytes()),
            SpanId::from_bytes(trace.span_id.to_be_bytes()),
            if trace.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() },
            true,
            TraceState::default(),
        );
        let parent = opentelemetry::Context::new().with_remote_span_context(context);
        // Refused only when the span has begun, which it has not.
        let _ = span.set_parent(parent);
    }
    span
}
