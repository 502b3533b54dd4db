-- Deviation: added. Of years of signals the valid ones are few: the document's query of active
-- signals and the search for those that have just ended are a range of this index.
CREATE INDEX idx_trading_signals_valid_until ON trading_signals(valid_until) WHERE is_active;

-- Deviation: added, for the check when a command is deleted.
CREATE INDEX idx_trading_signals_ai_command_id ON trading_signals(ai_command_id)
    WHERE ai_command_id IS NOT NULL;
