//! `weir connect PRODUCT`: the exact settings that point a product or an SDK at this server.

use crate::cli::exit::Exit;
use crate::cli::out;

/// What it takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The product; without one, the list of them.
    #[arg(value_name = "PRODUCT")]
    product: Option<String>,
    /// The server's name or address as the program to watch sees it.
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
    host: String,
    /// The port of OTLP over HTTP.
    #[arg(long, value_name = "PORT", default_value_t = 4318)]
    otlp_http: u16,
    /// The port of OTLP over gRPC.
    #[arg(long, value_name = "PORT", default_value_t = 4317)]
    otlp_grpc: u16,
    /// The port of the HTTP API.
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    http: u16,
    /// A key to put in; without one `KEY` stands in its place where keys are used.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
}

/// A product and how it is pointed here.
struct Product {
    name: &'static str,
    also: &'static [&'static str],
    title: &'static str,
    /// `{http}`, `{grpc}`, `{api}` and `{key}` are filled in.
    settings: &'static str,
    note: &'static str,
}

/// Products in the order of the list.
static PRODUCTS: &[Product] = &[
    Product {
        name: "otel",
        also: &[
            "opentelemetry",
            "sdk",
            "python",
            "js",
            "node",
            "java",
            "go",
            "dotnet",
            "rust",
        ],
        title: "any OpenTelemetry SDK (Python, JS, Java, Go, .NET, Rust), over HTTP",
        settings: "export OTEL_EXPORTER_OTLP_ENDPOINT={http}\n\
                   export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf\n\
                   export OTEL_EXPORTER_OTLP_HEADERS=\"authorization=Bearer%20{key}\"",
        note: "The SDK adds /v1/traces itself. If you set OTEL_EXPORTER_OTLP_TRACES_ENDPOINT \
               instead, it is used as it is: end it in /v1/traces.",
    },
    Product {
        name: "otel-grpc",
        also: &["grpc"],
        title: "any OpenTelemetry SDK, over gRPC",
        settings: "export OTEL_EXPORTER_OTLP_ENDPOINT={grpc}\n\
                   export OTEL_EXPORTER_OTLP_PROTOCOL=grpc\n\
                   export OTEL_EXPORTER_OTLP_INSECURE=true\n\
                   export OTEL_EXPORTER_OTLP_HEADERS=\"authorization=Bearer%20{key}\"",
        note: "gzip and zstd are understood: OTEL_EXPORTER_OTLP_COMPRESSION=gzip.",
    },
    Product {
        name: "collector",
        also: &["otelcol", "alloy"],
        title: "the OpenTelemetry Collector (exporter in its YAML file)",
        settings: "exporters:\n  otlphttp/weir:\n    endpoint: {http}\n    compression: zstd\n    \
                   headers: { authorization: \"Bearer {key}\" }\nservice:\n  pipelines:\n    \
                   traces: { exporters: [otlphttp/weir] }",
        note: "Add the exporter to your own receivers and processors.",
    },
    Product {
        name: "claude-code",
        also: &["claude"],
        title: "Claude Code",
        settings: "export CLAUDE_CODE_ENABLE_TELEMETRY=1\n\
                   export CLAUDE_CODE_ENHANCED_TELEMETRY_BETA=1\n\
                   export OTEL_TRACES_EXPORTER=otlp\n\
                   export OTEL_LOGS_EXPORTER=otlp\n\
                   export OTEL_EXPORTER_OTLP_ENDPOINT={http}\n\
                   export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf\n\
                   export OTEL_LOG_TOOL_DETAILS=1\n\
                   export OTEL_EXPORTER_OTLP_HEADERS=\"authorization=Bearer%20{key}\"",
        note: "Traces are a beta of Claude Code; without them its api_request events, which carry \
               the cost, are what is booked. Its metrics and other events are answered and not \
               stored. OTEL_LOG_TOOL_DETAILS names skills.",
    },
    Product {
        name: "openllmetry",
        also: &["traceloop"],
        title: "OpenLLMetry (traceloop-sdk for Python and Node)",
        settings: "export TRACELOOP_BASE_URL={http}\n\
                   export TRACELOOP_HEADERS=\"Authorization=Bearer%20{key}\"",
        note: "For gRPC: TRACELOOP_BASE_URL=grpc://HOST:4317.",
    },
    Product {
        name: "openinference",
        also: &["phoenix", "arize"],
        title: "OpenInference and Phoenix (arize-phoenix-otel)",
        settings: "from phoenix.otel import register\n\
                   register(endpoint=\"{http}/v1/traces\", protocol=\"http/protobuf\")\n\
                   # with a key: headers={\"authorization\": \"Bearer {key}\"}",
        note: "The endpoint is used as it is, so it names /v1/traces.",
    },
    Product {
        name: "logfire",
        also: &["pydantic", "pydantic-ai"],
        title: "Logfire and pydantic-ai",
        settings: "export OTEL_EXPORTER_OTLP_ENDPOINT={http}\n\
                   export OTEL_EXPORTER_OTLP_HEADERS=\"authorization=Bearer%20{key}\"\n\
                   # in the program: logfire.configure(send_to_logfire=False)",
        note: "Logfire also sends metrics; they are answered and not stored.",
    },
    Product {
        name: "langfuse",
        also: &[],
        title: "Langfuse's SDKs (Python, JS)",
        settings: "export LANGFUSE_BASE_URL={http}\n\
                   export LANGFUSE_PUBLIC_KEY=weir\n\
                   export LANGFUSE_SECRET_KEY={key}",
        note: "The SDK posts to /api/public/otel/v1/traces, which weir serves, with the secret key \
               as its password; without keys on the server any text will do.",
    },
    Product {
        name: "vercel",
        also: &["ai-sdk", "vercel-ai"],
        title: "the Vercel AI SDK (@vercel/otel)",
        settings: "export OTEL_EXPORTER_OTLP_ENDPOINT={http}\n\
                   export OTEL_EXPORTER_OTLP_PROTOCOL=http/json\n\
                   export OTEL_EXPORTER_OTLP_HEADERS=\"authorization=Bearer%20{key}\"\n\
                   # in the program: experimental_telemetry: { isEnabled: true }",
        note: "Set functionId in experimental_telemetry: it becomes the agent's name.",
    },
    Product {
        name: "langgraph",
        also: &["langchain", "langsmith"],
        title: "LangChain and LangGraph (LangSmith's OpenTelemetry export)",
        settings: "export LANGSMITH_OTEL_ENABLED=true\n\
                   export LANGSMITH_OTEL_ONLY=true\n\
                   export LANGSMITH_TRACING=true\n\
                   export OTEL_EXPORTER_OTLP_ENDPOINT={http}\n\
                   export OTEL_EXPORTER_OTLP_HEADERS=\"authorization=Bearer%20{key}\"",
        note: "",
    },
    Product {
        name: "litellm",
        also: &[],
        title: "LiteLLM (proxy or library, callback otel)",
        settings: "export OTEL_EXPORTER=otlp_http\n\
                   export OTEL_ENDPOINT={http}/v1/traces\n\
                   export OTEL_HEADERS=\"authorization=Bearer {key}\"\n\
                   # in the proxy's YAML: litellm_settings: { callbacks: [\"otel\"] }",
        note: "LiteLLM sends its own cost, which is kept beside the computed one.",
    },
    Product {
        name: "strands",
        also: &["bedrock-agents"],
        title: "Strands Agents",
        settings: "export OTEL_EXPORTER_OTLP_ENDPOINT={http}\n\
                   export OTEL_EXPORTER_OTLP_HEADERS=\"authorization=Bearer%20{key}\"\n\
                   # in the program: StrandsTelemetry().setup_otlp_exporter()",
        note: "",
    },
    Product {
        name: "agent-bom",
        also: &["proxy", "gateway"],
        title: "agent-bom: traces, proxy audit and OCSF",
        settings: "POST {api}/v1/traces\nPOST {api}/v1/proxy/audit\nPOST {api}/v1/ocsf/ingest\n\
                   Authorization: Bearer {key}",
        note: "The routes, bodies and answers are agent-bom's own; point its control-plane URL at \
               weir's HTTP API.",
    },
    Product {
        name: "curl",
        also: &["test"],
        title: "one span by hand, to see that it works",
        settings: "curl -sS {http}/v1/traces -H 'content-type: application/json' -d \
                   '{\"spans\":[{\"traceId\":\"5b8efff798038103d269b633813fc60c\",\"spanId\":\
                   \"eee19b7ec3c1b174\",\"name\":\"chat gpt-4o\",\"startTimeUnixNano\":\
                   \"1760000000000000000\",\"endTimeUnixNano\":\"1760000001000000000\"}]}'",
        note: "With a key: add -H \"authorization: Bearer KEY\". Then: weir query \"SELECT name FROM \
               spans\".",
    },
];

/// Runs it; exit code 2 for a product that is not known.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let Some(wanted) = &args.product else {
        out::line(&list())?;
        return Ok(Exit::OK);
    };
    let wanted = wanted.to_ascii_lowercase();
    let product = PRODUCTS
        .iter()
        .find(|p| p.name == wanted || p.also.contains(&wanted.as_str()));
    let Some(product) = product else {
        let text = "weir: that product is not known; any OpenTelemetry SDK is pointed here by \
                    `weir connect otel`. Known are:";
        out::complain(text);
        out::complain(&list());
        return Ok(Exit::USAGE);
    };
    out::line(&format!("# {}", product.title))?;
    out::line(&settings(product, args))?;
    if !product.note.is_empty() {
        out::line(&format!("# {}", product.note))?;
    }
    Ok(Exit::OK)
}

fn list() -> String {
    let mut lines: Vec<String> = PRODUCTS
        .iter()
        .map(|p| format!("  {:<14} {}", p.name, p.title))
        .collect();
    lines.push("`weir connect NAME` prints the settings.".into());
    lines.join("\n")
}

fn settings(product: &Product, args: &Args) -> String {
    let url = |port: u16| match args.host.contains(':') {
        true => format!("http://[{}]:{port}", args.host.trim_matches(['[', ']'])),
        false => format!("http://{}:{port}", args.host),
    };
    product
        .settings
        .replace("{http}", &url(args.otlp_http))
        .replace("{grpc}", &url(args.otlp_grpc))
        .replace("{api}", &url(args.http))
        .replace("{key}", args.key.as_deref().unwrap_or("KEY"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_product_has_one_name_and_leaves_nothing_unfilled() {
        let args = Args {
            product: None,
            host: "weir.internal".into(),
            otlp_http: 4318,
            otlp_grpc: 4317,
            http: 8080,
            key: Some("wk_1".into()),
        };
        let mut names: Vec<&str> = PRODUCTS.iter().map(|p| p.name).collect();
        names.extend(PRODUCTS.iter().flat_map(|p| p.also));
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all, "a name stands for two products");
        for product in PRODUCTS {
            let text = settings(product, &args);
            assert!(text.contains("weir.internal:"), "{}", product.name);
            for left in ["{http}", "{grpc}", "{api}", "{key}"] {
                assert!(!text.contains(left), "{}: {left}", product.name);
            }
        }
    }
}
