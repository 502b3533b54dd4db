-- The document's archive: the same columns in the same order, so a migration that adds a column to
-- orders adds it here. Its indexes and checks are copies of those of orders.
CREATE TABLE orders_archive (LIKE orders INCLUDING ALL);

-- Deviation: LIKE copies no foreign keys. An archived order belongs to its user and portfolio as it
-- did before, and goes with them.
ALTER TABLE orders_archive
    ADD CONSTRAINT fk_orders_archive_user_id
        FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_orders_archive_portfolio_id
        FOREIGN KEY (portfolio_id) REFERENCES portfolios(id) ON DELETE CASCADE;

-- Deviation: see 0002.
CREATE TRIGGER trg_orders_archive_updated_at BEFORE UPDATE ON orders_archive
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();
