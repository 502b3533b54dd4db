-- Deviation: the document lists this table and does not define it. One row for each currency of a
-- portfolio.
CREATE TABLE balances (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL,
    portfolio_id UUID NOT NULL,
    currency VARCHAR(32) NOT NULL,

    total NUMERIC(38,18) NOT NULL DEFAULT 0,
    available NUMERIC(38,18) NOT NULL DEFAULT 0
        CONSTRAINT ck_balances_available CHECK (available >= 0),
    locked NUMERIC(38,18) NOT NULL DEFAULT 0  -- by open orders
        CONSTRAINT ck_balances_locked CHECK (locked >= 0),

    -- Metadata
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),

    CONSTRAINT ck_balances_total CHECK (total = available + locked),
    CONSTRAINT uq_balances_portfolio_id_currency UNIQUE (portfolio_id, currency),
    CONSTRAINT fk_balances_user_id FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE,
    CONSTRAINT fk_balances_portfolio_id
        FOREIGN KEY (portfolio_id) REFERENCES portfolios(id) ON DELETE CASCADE
);

CREATE INDEX idx_balances_user_id ON balances(user_id);

CREATE TRIGGER trg_balances_updated_at BEFORE UPDATE ON balances
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();
