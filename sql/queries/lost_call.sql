-- history::lost(): the last call of the last day for one of these queues that nobody has answered and after which nobody has talked with that
-- customer; of this code or number, if one is given.
SELECT c.server, c.queue, c.customer_id, c.customer_code, c.customer_name, c.caller_number, c.caller_name
FROM calls c
WHERE c.queue = ANY ($1::text[])
  AND c.entered_at > now() - interval '1 day'
  AND c.answered_at IS NULL
  AND c.ended_at IS NOT NULL
  AND ($2::text IS NULL OR c.customer_code = $2 OR c.caller_number = $2)
  AND NOT EXISTS (
      SELECT FROM calls l
      WHERE l.customer_id = c.customer_id AND l.caller_number = c.caller_number AND l.entered_at >= c.entered_at AND l.answered_at IS NOT NULL)
ORDER BY c.entered_at DESC, c.id
LIMIT 1
