-- cli::callback::run(): every callback that is not over, in the order in which they are served.
SELECT b.call::text AS call, b.queue,
       CASE WHEN b.cancelled_at IS NOT NULL AND b.state <> 'talking' THEN 'cancelled' ELSE b.state END AS state,
       b.caller_number AS number, b.customer_code, b.customer_name, b.asked_at, b.tries, q.callback_tries AS of, b.again_at,
       b.keep_until
FROM callbacks b
LEFT JOIN queues q ON q.name = b.queue
WHERE b.state <> 'ended'
ORDER BY b.queue, b.priority DESC, b.since
