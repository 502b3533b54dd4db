CREATE TABLE ai_commands (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL REFERENCES users(id),

    -- Command details
    command_type command_type NOT NULL,
    status command_status DEFAULT 'pending',
    input_text TEXT NOT NULL,
    processed_input JSONB,

    -- AI processing results
    detected_intent VARCHAR(100),
    extracted_entities JSONB,
    confidence_score DECIMAL(3,2),

    -- Processing metadata
    processing_time_ms INTEGER,
    model_version VARCHAR(50),
    context_data JSONB,
    parameters JSONB,

    -- Error handling
    error_message TEXT,
    error_code VARCHAR(50),

    -- Timestamps
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    started_at TIMESTAMP WITH TIME ZONE,
    completed_at TIMESTAMP WITH TIME ZONE
);

CREATE INDEX idx_ai_commands_user_id ON ai_commands(user_id);
CREATE INDEX idx_ai_commands_status ON ai_commands(status);
CREATE INDEX idx_ai_commands_type ON ai_commands(command_type);
CREATE INDEX idx_ai_commands_created_at ON ai_commands(created_at);
