-- Deviation: the document lists this table, names its key to ai_commands and counts its ids; the
-- rest is defined here. user_id repeats that of the command, for the policy on rows.
CREATE TABLE ai_responses (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    command_id UUID NOT NULL,
    user_id UUID NOT NULL,

    response_text TEXT NOT NULL,
    response_data JSONB,
    confidence_score DECIMAL(3,2)
        CONSTRAINT ck_ai_responses_confidence_score CHECK (confidence_score BETWEEN 0 AND 1),

    -- Processing metadata
    model_version VARCHAR(50),
    processing_time_ms INTEGER
        CONSTRAINT ck_ai_responses_processing_time_ms CHECK (processing_time_ms >= 0),

    -- Timestamps
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),

    CONSTRAINT fk_ai_responses_command_id
        FOREIGN KEY (command_id) REFERENCES ai_commands(id) ON DELETE CASCADE,
    CONSTRAINT fk_ai_responses_user_id FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE
);

CREATE INDEX idx_ai_responses_command_id ON ai_responses(command_id);
CREATE INDEX idx_ai_responses_user_id ON ai_responses(user_id);
CREATE INDEX idx_ai_responses_created_at ON ai_responses(created_at);
