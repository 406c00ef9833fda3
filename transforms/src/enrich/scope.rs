//! What the instrumentation scope says of the convention; looked at once for a run of spans.

/// A scope.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope<'a> {
    /// Its name; empty where there is none.
    pub(crate) name: &'a str,
    /// Claude Code's, wherever in the name.
    pub(crate) claude_code: bool,
    /// Claude Code's by its full name.
    pub(crate) of_claude_code: bool,
    /// Langfuse's SDK.
    pub(crate) langfuse: bool,
    /// OpenInference's.
    pub(crate) openinference: bool,
    /// OpenLLMetry's, by its conventions' package.
    pub(crate) openllmetry: bool,
    /// OpenLLMetry's for MCP, which names the method in the span's name.
    pub(crate) mcp: bool,
}

impl<'a> Scope<'a> {
    /// Looks at `name`.
    pub(crate) fn of(name: &'a str) -> Self {
        Self {
            name,
            claude_code: name.contains("claude_code"),
            of_claude_code: name.starts_with("com.anthropic.claude_code"),
            langfuse: name.starts_with("langfuse"),
            openinference: name.starts_with("openinference"),
            openllmetry: name.contains("semconv_ai"),
            mcp: name.starts_with("opentelemetry.instrumentation.mcp"),
        }
    }
}
