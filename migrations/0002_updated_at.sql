-- Deviation: the document gives updated_at a default and nothing that ever changes it. This one
-- function does, for every table with that column.

CREATE FUNCTION set_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := NOW();
    RETURN NEW;
END
$$;
