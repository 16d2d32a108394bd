-- rights::missing(): what the service does and this role may not, as "INSERT on calls".
SELECT privilege || ' on ' || name
FROM (VALUES
    ('extensions', '{SELECT}'::text[]),
    ('queues', '{SELECT}'),
    ('customers', '{SELECT}'),
    ('memberships', '{SELECT,INSERT,UPDATE}'),
    ('pauses', '{SELECT,INSERT,UPDATE,DELETE}'),
    ('calls', '{SELECT,INSERT,UPDATE}'),
    ('call_events', '{SELECT,INSERT}'),
    ('callbacks', '{SELECT,INSERT,UPDATE}'),
    ('leases', '{SELECT,UPDATE}')
) AS needed (name, privileges), unnest(privileges) AS privilege
WHERE NOT has_table_privilege(name, privilege)
ORDER BY name, privilege
