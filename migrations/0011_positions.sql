CREATE TABLE positions (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    -- As in the document, without ON DELETE: a user or a portfolio with positions is not deleted.
    user_id UUID NOT NULL REFERENCES users(id),
    portfolio_id UUID NOT NULL REFERENCES portfolios(id),
    -- Deviation: the reference is the named one at the end, as in the document's list.
    trading_pair_id UUID NOT NULL,

    -- Position details
    status position_status DEFAULT 'open',
    side order_side NOT NULL,  -- 'buy' for long, 'sell' for short

    -- Quantities
    -- Deviation: DECIMAL(20,8) in the document; real amounts and prices reach 1e-13. Checked where
    -- a zero makes no sense.
    size NUMERIC(38,18) NOT NULL CONSTRAINT ck_positions_size CHECK (size > 0),
    remaining_size NUMERIC(38,18) NOT NULL
        CONSTRAINT ck_positions_remaining_size CHECK (remaining_size >= 0),

    -- Prices
    entry_price NUMERIC(38,18) NOT NULL CONSTRAINT ck_positions_entry_price CHECK (entry_price > 0),
    current_price NUMERIC(38,18) CONSTRAINT ck_positions_current_price CHECK (current_price > 0),
    exit_price NUMERIC(38,18) CONSTRAINT ck_positions_exit_price CHECK (exit_price > 0),

    -- P&L calculation
    unrealized_pnl NUMERIC(38,18) DEFAULT 0,
    realized_pnl NUMERIC(38,18) DEFAULT 0,
    total_fees NUMERIC(38,18) DEFAULT 0,

    -- Risk management
    stop_loss_price NUMERIC(38,18)
        CONSTRAINT ck_positions_stop_loss_price CHECK (stop_loss_price > 0),
    take_profit_price NUMERIC(38,18)
        CONSTRAINT ck_positions_take_profit_price CHECK (take_profit_price > 0),

    -- Timestamps
    opened_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    closed_at TIMESTAMP WITH TIME ZONE,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),

    CONSTRAINT fk_positions_trading_pair_id
        FOREIGN KEY (trading_pair_id) REFERENCES trading_pairs(id)
);

CREATE INDEX idx_positions_user_id ON positions(user_id);
CREATE INDEX idx_positions_portfolio_id ON positions(portfolio_id);
CREATE INDEX idx_positions_status ON positions(status);
CREATE INDEX idx_positions_trading_pair_id ON positions(trading_pair_id);

-- Deviation: see 0002.
CREATE TRIGGER trg_positions_updated_at BEFORE UPDATE ON positions
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();
