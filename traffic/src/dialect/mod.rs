//! Spans in the words of each convention.

mod claude_code;
mod langfuse;
mod openinference;
mod otel;
mod traceloop;
mod usage;
mod vercel;

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};

use crate::draft::{Dialect, Draft, What, Writer};
use crate::tenant::Service;

/// A span's name, kind and attributes.
#[derive(Debug, Default)]
pub(crate) struct Words {
    pub(crate) name: String,
    /// By the numbers of OTLP.
    pub(crate) kind: i32,
    pub(crate) attributes: Vec<KeyValue>,
}

const INTERNAL: i32 = 1;
const CLIENT: i32 = 3;

impl Words {
    fn named(name: impl Into<String>, kind: i32) -> Self {
        Self {
            name: name.into(),
            kind,
            attributes: Vec::new(),
        }
    }

    fn text(&mut self, key: &str, value: &str) {
        self.put(key, any_value::Value::StringValue(value.to_owned()));
    }

    fn maybe(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    fn number(&mut self, key: &str, value: i64) {
        self.put(key, any_value::Value::IntValue(value));
    }

    /// 10^-9 dollars as a double: fifteen digits are exact in it.
    fn dollars(&mut self, key: &str, nano: Option<i64>) {
        if let Some(nano) = nano {
            let dollars = crate::random::double(nano) / 1e9;
            self.put(key, any_value::Value::DoubleValue(dollars));
        }
    }

    /// Attributes with names that no other span has.
    pub(crate) fn junk(&mut self, seed: u64) {
        for n in 0..=seed % 30 {
            self.text(&format!("x.{seed:016x}.{n}"), "1");
        }
    }

    fn put(&mut self, key: &str, value: any_value::Value) {
        self.attributes.push(KeyValue {
            key: key.to_owned(),
            value: Some(AnyValue { value: Some(value) }),
            ..KeyValue::default()
        });
    }

    /// A recorded text, where recording is on.
    fn content(&mut self, key: &str, bytes: usize, seed: u64) {
        if bytes > 0 {
            self.text(key, &crate::text::conversation(bytes, seed));
        }
    }
}

/// A span in the words of who writes it.
pub(crate) fn words(draft: &Draft, service: &Service) -> Words {
    let writer = match draft.writer {
        Writer::Sdk => Dialect::OtelNew,
        Writer::Service => service.dialect,
    };
    let mut words = if let What::App(name) = draft.what {
        app(name, draft)
    } else {
        match writer {
            Dialect::OtelNew => otel::new(draft),
            Dialect::OtelOld => otel::old(draft),
            Dialect::OpenInference => openinference::words(draft),
            Dialect::OpenLlmetry => traceloop::words(draft),
            Dialect::Vercel => vercel::words(draft),
            Dialect::Langfuse => langfuse::words(draft),
            Dialect::ClaudeCode => claude_code::words(draft),
            Dialect::LiteLlm | Dialect::NonAi => traceloop::litellm(draft),
        }
    };
    words.maybe("error.type", draft.error);
    words
}

/// The instrumentation scope.
pub(crate) fn scope(draft: &Draft, service: &Service) -> (&'static str, &'static str) {
    if let What::App(_) = draft.what {
        return ("opentelemetry.instrumentation.http", "0.59b0");
    }
    if draft.writer == Writer::Sdk {
        return ("com.anthropic.sdk.python", "2.11.0");
    }
    match service.dialect {
        Dialect::OtelNew => ("opentelemetry.instrumentation.genai", "1.0.0"),
        Dialect::OtelOld => ("opentelemetry.instrumentation.openai_v2", "2.0b0"),
        Dialect::OpenInference => ("openinference.instrumentation.langchain", "0.1.80"),
        Dialect::OpenLlmetry => ("opentelemetry.instrumentation.openai.v1", "0.62.4"),
        Dialect::Vercel => ("ai", "4.3.19"),
        Dialect::Langfuse => ("langfuse-sdk", "5.0.4"),
        Dialect::ClaudeCode => ("com.anthropic.claude_code.tracing", "2.0.0"),
        Dialect::LiteLlm => ("litellm", "1.105.3"),
        Dialect::NonAi => ("opentelemetry.instrumentation.http", "0.59b0"),
    }
}

fn app(name: &str, draft: &Draft) -> Words {
    let mut words = Words::named(name, INTERNAL);
    words.text("http.request.method", "POST");
    words.text("url.path", "/v1/answer");
    words.number("http.response.status_code", 200);
    words.maybe("user.id", draft.about.user.as_deref());
    words.maybe("session.id", draft.about.session.as_deref());
    words
}
