CREATE TABLE trading_signals (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    -- Deviation: the document references ai_commands here and again, by name, in its list of
    -- foreign keys; the named one at the end of this table is the one kept.
    ai_command_id UUID,
    trading_pair_id UUID NOT NULL REFERENCES trading_pairs(id),

    -- Signal details
    signal_type signal_type NOT NULL,
    source signal_source NOT NULL,
    -- Deviation: the document's "0.0 to 1.0" is checked.
    strength DECIMAL(3,2) NOT NULL
        CONSTRAINT ck_trading_signals_strength CHECK (strength BETWEEN 0 AND 1),
    confidence DECIMAL(3,2) NOT NULL
        CONSTRAINT ck_trading_signals_confidence CHECK (confidence BETWEEN 0 AND 1),

    -- Price targets
    -- Deviation: DECIMAL(20,8) in the document; real prices reach 1e-13. A price of 0 is no target.
    target_price NUMERIC(38,18)
        CONSTRAINT ck_trading_signals_target_price CHECK (target_price > 0),
    stop_loss_price NUMERIC(38,18)
        CONSTRAINT ck_trading_signals_stop_loss_price CHECK (stop_loss_price > 0),
    take_profit_price NUMERIC(38,18)
        CONSTRAINT ck_trading_signals_take_profit_price CHECK (take_profit_price > 0),

    -- Analysis data
    reasoning TEXT,
    technical_indicators JSONB,
    sentiment_data JSONB,
    market_conditions JSONB,

    -- Validity
    valid_until TIMESTAMP WITH TIME ZONE,
    is_active BOOLEAN DEFAULT true,

    -- Performance tracking
    -- Deviation in use, not in type: a percentage beyond the column's range is stored clamped, and
    -- exact in market_conditions.
    actual_outcome DECIMAL(6,4),  -- Actual price change percentage
    accuracy_score DECIMAL(3,2),  -- How accurate the signal was

    -- Timestamps
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    executed_at TIMESTAMP WITH TIME ZONE,
    expired_at TIMESTAMP WITH TIME ZONE,

    CONSTRAINT fk_trading_signals_command_id FOREIGN KEY (ai_command_id) REFERENCES ai_commands(id)
);

CREATE INDEX idx_trading_signals_trading_pair_id ON trading_signals(trading_pair_id);
CREATE INDEX idx_trading_signals_signal_type ON trading_signals(signal_type);
CREATE INDEX idx_trading_signals_active ON trading_signals(is_active);
CREATE INDEX idx_trading_signals_created_at ON trading_signals(created_at);
