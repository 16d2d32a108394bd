-- Data of the demo. May be run any number of times; it adds what is missing and changes nothing that is there.
--
-- The domain of the JIDs is usher.test, or the setting usher.domain:
--     PGOPTIONS='-c usher.domain=example.org' psql -d usher -f sql/seed/demo.sql

INSERT INTO extensions (number, name, jid)
SELECT number, name, local || '@' || coalesce(nullif(current_setting('usher.domain', true), ''), 'usher.test')
FROM (VALUES ('1000', 'Agent One', 'user1'), ('2000', 'Agent Two', 'user2'), ('3000', 'Agent Three', 'user3'))
    AS demo (number, name, local)
ON CONFLICT DO NOTHING;

-- Not ON CONFLICT here: it would use up ids, and on a fresh database Company 1 is to be customer 1.
INSERT INTO customers (code, name)
SELECT code, name
FROM (VALUES
    (1, '1111', 'Company 1'),
    (2, '2222', 'Company 2'),
    (3, '3333', 'A & B <C>'),
    (4, '4444', 'X,Y'),
    (5, '5555', 'X|Y'),
    (6, '6666', 'Šárka "Ünïcode" 株式会社')) AS demo (place, code, name)
WHERE NOT EXISTS (SELECT FROM customers WHERE customers.code = demo.code)
ORDER BY place;

INSERT INTO queues (name, label) VALUES ('support', 'Support') ON CONFLICT DO NOTHING;
