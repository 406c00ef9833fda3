//! The columns that the mapping fills, and the few attributes that only rules read.

/// What a column holds, as the mapping file says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Text,
    Texts,
    Bool,
    Double,
    Int,
    Money,
}

macro_rules! fields {
    ($($variant:ident = $name:literal : $kind:ident,)*) => {
        /// A slot that attributes fill; see [`Field::name`] for the column.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub(crate) enum Field { $($variant,)* }

        impl Field {
            /// All, in the order of their numbers.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The column's name in the schema; of helpers, the attribute's key after a `+`.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it holds.
            pub(crate) const fn kind(self) -> Kind {
                match self { $(Self::$variant => Kind::$kind,)* }
            }
        }
    };
}

fields! {
    OpName = "op_name": Text,
    ProviderRaw = "provider_raw": Text,
    ModelRequest = "model_request": Text,
    ModelResponse = "model_response": Text,
    ResponseId = "response_id": Text,
    FinishReasons = "finish_reasons": Texts,
    ApiType = "api_type": Text,
    ServiceTier = "service_tier": Text,
    IsBatch = "is_batch": Bool,
    IsStream = "is_stream": Bool,
    TtftS = "ttft_s": Double,
    InputTokens = "usage_input_tokens": Int,
    OutputTokens = "usage_output_tokens": Int,
    CacheReadTokens = "usage_cache_read_tokens": Int,
    CacheWriteTokens = "usage_cache_write_tokens": Int,
    CacheWrite1hTokens = "usage_cache_write_1h_tokens": Int,
    ReasoningTokens = "usage_reasoning_tokens": Int,
    AudioInputTokens = "usage_audio_input_tokens": Int,
    AudioOutputTokens = "usage_audio_output_tokens": Int,
    ImageInputTokens = "usage_image_input_tokens": Int,
    ImageOutputTokens = "usage_image_output_tokens": Int,
    TotalTokens = "usage_total_tokens_reported": Int,
    CostReported = "cost_reported_usd": Money,
    AgentName = "agent_name": Text,
    AgentId = "agent_id": Text,
    AgentVersion = "agent_version": Text,
    WorkflowName = "workflow_name": Text,
    SessionId = "session_id": Text,
    ConversationId = "conversation_id": Text,
    UserId = "user_id": Text,
    TeamId = "team_id": Text,
    Project = "project": Text,
    CostCenter = "cost_center": Text,
    Environment = "environment": Text,
    PromptName = "prompt_name": Text,
    PromptVersion = "prompt_version": Text,
    ToolName = "tool_name": Text,
    ToolCallId = "tool_call_id": Text,
    ToolType = "tool_type": Text,
    McpMethod = "mcp_method": Text,
    McpSessionId = "mcp_session_id": Text,
    McpResourceUri = "mcp_resource_uri": Text,
    McpProtocolVersion = "mcp_protocol_version": Text,
    McpServer = "mcp_server": Text,
    JsonrpcRequestId = "jsonrpc_request_id": Text,
    RpcStatusCode = "rpc_status_code": Text,
    SkillName = "skill_name": Text,
    SkillVersion = "skill_version": Text,
    SkillSourceUri = "skill_source_uri": Text,
    SkillResource = "skill_resource": Text,
    ErrorType = "error_type": Text,
    HttpStatus = "http_status": Int,
    ServerAddress = "server_address": Text,
    TenantClaimed = "tenant_claimed": Text,
    // Read by rules only.
    OpeninferenceKind = "+openinference.span.kind": Text,
    TraceloopKind = "+traceloop.span.kind": Text,
    TraceloopEntity = "+traceloop.entity.name": Text,
    McpMethodKey = "+mcp.method.name": Text,
    SpanType = "+span.type": Text,
    CompletionStart = "+langfuse.observation.completion_start_time": Text,
    CostDetails = "+langfuse.observation.cost_details": Text,
    InputCost = "+gen_ai.usage.input_cost": Text,
    OutputCost = "+gen_ai.usage.output_cost": Text,
    UrlFull = "+url.full": Text,
    ApiBase = "+gen_ai.openai.api_base": Text,
    GenAiToolArguments = "+gen_ai.tool.call.arguments": Text,
    AiToolArguments = "+ai.toolCall.args": Text,
    InputValue = "+input.value": Text,
    TraceloopInput = "+traceloop.entity.input": Text,
}

/// How many slots there are.
pub(crate) const COUNT: usize = Field::ALL.len();

impl Field {
    /// How many fill a column; those that only rules read come after them.
    pub(crate) const COLUMNS: usize = Self::OpeninferenceKind as usize;

    /// The attribute's key, of a slot that only rules read.
    pub(crate) fn helper_key(self) -> Option<&'static str> {
        self.name().strip_prefix('+')
    }

    /// The column of that name.
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|f| f.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_come_before_what_only_rules_read() {
        for (number, field) in Field::ALL.iter().enumerate() {
            assert_eq!(*field as usize, number);
            assert_eq!(
                field.helper_key().is_none(),
                number < Field::COLUMNS,
                "{field:?}"
            );
        }
    }
}
