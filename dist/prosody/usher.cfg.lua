-- What Usher needs of Prosody 0.12. Goes to /etc/prosody/conf.d/; replace example.org by your XMPP domain.
-- What stands before the first VirtualHost of a file is global, wherever that file is included; and what is set last counts.

-- Debian's 10 kB/s is for people. It holds for all clients of the server: the service alone needs more.
limits = {
    c2s = { rate = "1mb/s"; burst = "2s" };
    s2sin = { rate = "30kb/s" };
}

-- Confirmations of pops at once: otherwise every hundredth waits 40 ms for the other side's TCP, and a phone with it.
-- Leave opportunistic_writes off, as it is by default: with it (and LuaSec 1.2) one client that dies at the wrong moment, with
-- something unread and no goodbye, sends the whole server into a loop that does not end.
network_settings = { nagle = false }

-- Lua's collector in many small steps (Lua 5.4, as Debian has it), and a new round only when twice as much is in use as the last
-- one left: as set by default, and as the generational one too, it stops for 5 to 15 ms in the middle of a publish.
gc = { mode = "incremental", threshold = 200, speed = 2, step_size = 11 }

VirtualHost "example.org"
    -- The store for people who are away heeds no hint of a message: it would hand out announcements of callers long gone.
    modules_disabled = { "offline" }

Component "pubsub.example.org" "pubsub"
    name = "Screen pops"
    -- Only the service may make nodes; who reads them, it sets itself, node by node.
    admins = { "usher@example.org" }
    -- A screen pop lives as long as its call. On disk each publish costs 20 ms; in memory, next to nothing, and after a
    -- restart the service makes its nodes and shows its live pops again.
    storage = "memory"
    pubsub_max_items = 100

-- Only with xmpp.component in usher.toml: the domain in which each queue is a contact. Port 5347, on loopback unless component_interfaces
-- says otherwise, and never encrypted. Of two connections the new one counts: the
-- one of a host that died is not missed for minutes, and Usher's other process would be refused as long.
--Component "usher.example.org"
--    component_secret = "the same as in xmpp.component_secret_file"
--    component_conflict_resolve = "kick_old"
