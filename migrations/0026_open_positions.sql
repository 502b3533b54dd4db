-- Deviation: added. Of years of positions the open ones are few: the daemon finds those of a pair here
-- each time that it marks them.
CREATE INDEX idx_positions_open ON positions(trading_pair_id)
    WHERE status IN ('open', 'partially_closed');
