-- Says which rows were changed, so that the running service reads those alone: whatever it costs, it costs by the change.

-- Below, usher_changed() stays for what concerns a whole table.
COMMENT ON FUNCTION usher_changed() IS 'Announces on the channel usher_changed that a whole table was changed: its name alone.';

CREATE FUNCTION usher_tell(what text, key text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    told integer := coalesce(nullif(current_setting('usher.told', true), '')::integer, 0);
BEGIN
    IF told < 200 AND octet_length(key) <= 200 THEN
        PERFORM set_config('usher.told', (told + 1)::text, true);
        PERFORM pg_notify('usher_changed', what || ' ' || key);
    ELSE
        -- Once for each table and transaction, however often it is said.
        PERFORM pg_notify('usher_changed', what);
    END IF;
END
$$;
COMMENT ON FUNCTION usher_tell(text, text) IS 'Announces on the channel usher_changed that a row was changed: table and key, joined by a space. After 200 of them in one transaction the name of the table alone, which stands for all of its rows.';

CREATE FUNCTION usher_row_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    columns text[] := TG_ARGV;
    was text := (SELECT string_agg(to_jsonb(OLD) ->> name, ' ' ORDER BY n) FROM unnest(columns) WITH ORDINALITY AS c (name, n));
    is_now text := (SELECT string_agg(to_jsonb(NEW) ->> name, ' ' ORDER BY n) FROM unnest(columns) WITH ORDINALITY AS c (name, n));
BEGIN
    IF was IS NOT NULL THEN
        PERFORM usher_tell(TG_TABLE_NAME, was);
    END IF;
    IF is_now IS DISTINCT FROM was AND is_now IS NOT NULL THEN
        PERFORM usher_tell(TG_TABLE_NAME, is_now);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION usher_row_changed() IS 'Announces a changed row by its key, whose columns are the arguments; both keys of one that has got another.';

DROP TRIGGER extensions_changed ON extensions;
CREATE TRIGGER extensions_changed AFTER INSERT OR DELETE ON extensions
    FOR EACH ROW EXECUTE FUNCTION usher_row_changed('number');
CREATE TRIGGER extensions_updated AFTER UPDATE ON extensions
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION usher_row_changed('number');
CREATE TRIGGER extensions_emptied AFTER TRUNCATE ON extensions
    FOR EACH STATEMENT EXECUTE FUNCTION usher_changed();

DROP TRIGGER queues_changed ON queues;
CREATE TRIGGER queues_changed AFTER INSERT OR DELETE ON queues
    FOR EACH ROW EXECUTE FUNCTION usher_row_changed('name');
CREATE TRIGGER queues_updated AFTER UPDATE ON queues
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION usher_row_changed('name');
CREATE TRIGGER queues_emptied AFTER TRUNCATE ON queues
    FOR EACH STATEMENT EXECUTE FUNCTION usher_changed();

DROP TRIGGER memberships_changed ON memberships;
CREATE TRIGGER memberships_changed AFTER INSERT OR DELETE ON memberships
    FOR EACH ROW EXECUTE FUNCTION usher_row_changed('queue', 'extension');
-- Not what the service itself writes with each call and knows already: last_call_at, calls_taken, wrap_up_until.
CREATE TRIGGER memberships_updated AFTER UPDATE ON memberships
    FOR EACH ROW WHEN (
        (OLD.queue, OLD.extension, OLD.logged_on, OLD.penalty, OLD.place, OLD.joined_at, OLD.kind) IS DISTINCT FROM
        (NEW.queue, NEW.extension, NEW.logged_on, NEW.penalty, NEW.place, NEW.joined_at, NEW.kind))
    EXECUTE FUNCTION usher_row_changed('queue', 'extension');
CREATE TRIGGER memberships_emptied AFTER TRUNCATE ON memberships
    FOR EACH STATEMENT EXECUTE FUNCTION usher_changed();

DROP TRIGGER pauses_changed ON pauses;
CREATE TRIGGER pauses_changed AFTER INSERT OR DELETE ON pauses
    FOR EACH ROW EXECUTE FUNCTION usher_row_changed('extension');
CREATE TRIGGER pauses_updated AFTER UPDATE ON pauses
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION usher_row_changed('extension');
CREATE TRIGGER pauses_emptied AFTER TRUNCATE ON pauses
    FOR EACH STATEMENT EXECUTE FUNCTION usher_changed();

-- By statement: an import renames a million. What is remembered of customers are rows that were there, so new ones change nothing.
CREATE FUNCTION usher_customers_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT count(*) FROM (SELECT FROM before LIMIT 201) AS changed) > 200 THEN
        PERFORM pg_notify('usher_changed', 'customers');
    ELSE
        PERFORM usher_tell('customers', code) FROM before;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION usher_customers_changed() IS 'Announces customers that were changed or removed, by the codes that they had.';
DROP TRIGGER customers_changed ON customers;
CREATE TRIGGER customers_updated AFTER UPDATE ON customers REFERENCING OLD TABLE AS before
    FOR EACH STATEMENT EXECUTE FUNCTION usher_customers_changed();
CREATE TRIGGER customers_removed AFTER DELETE ON customers REFERENCING OLD TABLE AS before
    FOR EACH STATEMENT EXECUTE FUNCTION usher_customers_changed();
CREATE TRIGGER customers_emptied AFTER TRUNCATE ON customers
    FOR EACH STATEMENT EXECUTE FUNCTION usher_changed();
