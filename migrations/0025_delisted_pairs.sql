-- Deviation: added. is_active is written by two: the daemon, as exchanges list and delist, and an
-- operator, who wants a pair off. Set where the daemon has put it off, so that it puts on again only
-- what it put off itself, and never fights an operator.
ALTER TABLE trading_pairs ADD COLUMN delisted_at TIMESTAMP WITH TIME ZONE;

-- Until now is_active was the daemon's alone.
UPDATE trading_pairs SET delisted_at = NOW() WHERE NOT is_active;
