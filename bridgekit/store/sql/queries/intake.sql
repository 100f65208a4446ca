-- Transactions between their answer and their being unpacked.

-- intake_add --
INSERT INTO intake (txn_id, received_at, events, body) VALUES ($1, $2, $3, $4) RETURNING number;

-- intake_sizes --
SELECT number, length(body) FROM intake WHERE number > $1 ORDER BY number LIMIT $2;

-- intake_get --
SELECT number, txn_id, received_at, events, body FROM intake WHERE number = $1;

-- intake_take --
DELETE FROM intake WHERE number = $1 RETURNING number;

-- intake_stats --
-- Not more than so many rows, each with a page of its own: this is asked often, also in a flood.
SELECT CAST(coalesce(sum(events), 0) AS BIGINT), min(received_at)
FROM (SELECT events, received_at FROM intake ORDER BY number LIMIT 1000) AS oldest;
