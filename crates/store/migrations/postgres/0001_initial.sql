-- Usage. What rows are summed up by stands once in usage_series; rows and sums name it by its number.

CREATE TABLE usage_series (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- Of all that follow, so that each combination is there once, absent values included.
  digest BYTEA NOT NULL UNIQUE,
  provider TEXT NOT NULL,
  model TEXT NOT NULL,
  route_rule TEXT NOT NULL,
  key_id TEXT,
  team TEXT,
  user_id TEXT,
  feature TEXT,
  user_tier TEXT
);

-- One for each call (part 0) and for each attempt beside it that was billed (part from 1). Ids begin with the time, so
-- new rows go to the end of the one tree, and the oldest are at its beginning.
CREATE TABLE usage_rows (
  -- 16 bytes; an id that is no UUID: its text.
  request_id BYTEA NOT NULL,
  part BIGINT NOT NULL,
  at_ms BIGINT NOT NULL,
  series BIGINT NOT NULL,
  success BOOLEAN NOT NULL,
  error_code TEXT,
  input_tokens BIGINT NOT NULL,
  output_tokens BIGINT NOT NULL,
  cache_read_tokens BIGINT,
  cache_write_tokens BIGINT,
  reasoning_tokens BIGINT,
  estimated BOOLEAN NOT NULL,
  -- Picodollars.
  cost BIGINT NOT NULL,
  saved BIGINT NOT NULL,
  -- US dollars per 1,000 tokens that the cost was reckoned with.
  input_rate DOUBLE PRECISION,
  output_rate DOUBLE PRECISION,
  latency_ms BIGINT NOT NULL,
  -- Which of the latencies it counts as; NULL: none.
  latency_bucket BIGINT,
  first_token_ms BIGINT,
  streamed BOOLEAN NOT NULL,
  cached BOOLEAN NOT NULL,
  degraded BOOLEAN NOT NULL,
  fallback_triggered BOOLEAN NOT NULL,
  fallback_from TEXT,
  -- JSON.
  metadata TEXT,
  attempts TEXT,
  PRIMARY KEY (request_id, part)
);

-- Sums of rows, kept for ever. Money is in microdollars and, beside them, the picodollars that are left: neither sum can
-- become too large, and together they are exact. Hours and days are counted since the epoch, in UTC.
-- How many calls took how long is a text: a character for a bucket (64 and the bucket's number; bucket b from 1: up to 1.1 to
-- the power of b-1 milliseconds; 0: none), and after it, in digits, how many calls if more than one. Sums of texts are the
-- texts one after the other.
CREATE TABLE usage_hourly (
  hour BIGINT NOT NULL,
  series BIGINT NOT NULL,
  calls BIGINT NOT NULL,
  errors BIGINT NOT NULL,
  input_tokens BIGINT NOT NULL,
  output_tokens BIGINT NOT NULL,
  cost_micro BIGINT NOT NULL,
  cost_pico BIGINT NOT NULL,
  saved_micro BIGINT NOT NULL,
  saved_pico BIGINT NOT NULL,
  latencies TEXT NOT NULL,
  PRIMARY KEY (hour, series)
);

CREATE TABLE usage_daily (
  day BIGINT NOT NULL,
  series BIGINT NOT NULL,
  calls BIGINT NOT NULL,
  errors BIGINT NOT NULL,
  input_tokens BIGINT NOT NULL,
  output_tokens BIGINT NOT NULL,
  cost_micro BIGINT NOT NULL,
  cost_pico BIGINT NOT NULL,
  saved_micro BIGINT NOT NULL,
  saved_pico BIGINT NOT NULL,
  latencies TEXT NOT NULL,
  PRIMARY KEY (day, series)
);

-- A long text of latencies with each bucket once.
CREATE FUNCTION latencies_together(latencies text) RETURNS text LANGUAGE sql IMMUTABLE AS $body$
  SELECT CASE WHEN length(latencies) < 1000 THEN latencies ELSE (
    SELECT string_agg(bucket || CASE WHEN calls = 1 THEN '' ELSE calls::text END, '' ORDER BY bucket COLLATE "C")
    FROM (
      SELECT each[1] AS bucket, sum(CASE WHEN each[2] = '' THEN 1 ELSE each[2]::bigint END) AS calls
      FROM regexp_matches(latencies, '([^0-9])([0-9]*)', 'g') AS each GROUP BY 1
    ) AS counts
  ) END
$body$;

-- A row that is there already adds nothing, whoever writes it: sums are made where rows are. In the order of their keys, so
-- that processes which add to the same sums wait for each other and never in a circle.
CREATE FUNCTION usage_rows_are_summed_up() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
  INSERT INTO usage_hourly AS sums
    (hour, series, calls, errors, input_tokens, output_tokens, cost_micro, cost_pico, saved_micro, saved_pico, latencies)
  SELECT at_ms / 3600000, series,
    count(*) FILTER (WHERE part = 0), count(*) FILTER (WHERE part = 0 AND NOT success),
    sum(input_tokens), sum(output_tokens),
    sum(cost / 1000000), sum(cost % 1000000), sum(saved / 1000000), sum(saved % 1000000),
    coalesce(string_agg(chr((latency_bucket + 64)::integer), ''), '')
  FROM added GROUP BY 1, 2 ORDER BY 1, 2
  ON CONFLICT (hour, series) DO UPDATE SET
    calls = sums.calls + excluded.calls, errors = sums.errors + excluded.errors,
    input_tokens = sums.input_tokens + excluded.input_tokens,
    output_tokens = sums.output_tokens + excluded.output_tokens,
    cost_micro = sums.cost_micro + excluded.cost_micro, cost_pico = sums.cost_pico + excluded.cost_pico,
    saved_micro = sums.saved_micro + excluded.saved_micro, saved_pico = sums.saved_pico + excluded.saved_pico,
    latencies = latencies_together(sums.latencies || excluded.latencies);
  INSERT INTO usage_daily AS sums
    (day, series, calls, errors, input_tokens, output_tokens, cost_micro, cost_pico, saved_micro, saved_pico, latencies)
  SELECT at_ms / 86400000, series,
    count(*) FILTER (WHERE part = 0), count(*) FILTER (WHERE part = 0 AND NOT success),
    sum(input_tokens), sum(output_tokens),
    sum(cost / 1000000), sum(cost % 1000000), sum(saved / 1000000), sum(saved % 1000000),
    coalesce(string_agg(chr((latency_bucket + 64)::integer), ''), '')
  FROM added GROUP BY 1, 2 ORDER BY 1, 2
  ON CONFLICT (day, series) DO UPDATE SET
    calls = sums.calls + excluded.calls, errors = sums.errors + excluded.errors,
    input_tokens = sums.input_tokens + excluded.input_tokens,
    output_tokens = sums.output_tokens + excluded.output_tokens,
    cost_micro = sums.cost_micro + excluded.cost_micro, cost_pico = sums.cost_pico + excluded.cost_pico,
    saved_micro = sums.saved_micro + excluded.saved_micro, saved_pico = sums.saved_pico + excluded.saved_pico,
    latencies = latencies_together(sums.latencies || excluded.latencies);
  RETURN NULL;
END
$body$;

CREATE TRIGGER usage_rows_are_summed_up AFTER INSERT ON usage_rows
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION usage_rows_are_summed_up();

-- The number of the last batch of each journal whose rows are here.
CREATE TABLE journal_marks (
  journal TEXT NOT NULL PRIMARY KEY,
  sequence BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);

-- Administration. Lists and objects are JSON; versions grow with each change. Ids that lists are in the order of are ordered by
-- their bytes, whatever the database's own order is.

CREATE TABLE client_keys (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  owner TEXT,
  team TEXT,
  tags TEXT,
  models TEXT,
  expires_at BIGINT,
  budget TEXT,
  requests_per_minute BIGINT,
  tokens_per_minute BIGINT,
  max_concurrency BIGINT,
  trust TEXT,
  created_at BIGINT NOT NULL,
  last_used_at BIGINT,
  revoked_at BIGINT,
  version BIGINT NOT NULL
);

-- A key's secrets, as hashes: the one that holds, and those before it for as long as they still work.
CREATE TABLE client_key_hashes (
  hash BYTEA NOT NULL PRIMARY KEY,
  key_id TEXT COLLATE "C" NOT NULL REFERENCES client_keys (id) ON DELETE CASCADE,
  created_at BIGINT NOT NULL,
  -- NULL: the one that holds.
  works_until BIGINT
);
CREATE INDEX client_key_hashes_by_key ON client_key_hashes (key_id);

CREATE TABLE channels (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  -- The fields of a provider entry.
  entry TEXT NOT NULL,
  disabled BOOLEAN NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  version BIGINT NOT NULL
);

-- Provider keys, encrypted.
CREATE TABLE channel_secrets (
  id TEXT NOT NULL PRIMARY KEY,
  channel_id TEXT COLLATE "C" NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
  place BIGINT NOT NULL,
  ciphertext BYTEA NOT NULL,
  -- What of the key may be shown.
  hint TEXT NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE INDEX channel_secrets_by_channel ON channel_secrets (channel_id, place);

CREATE TABLE audit (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at_ms BIGINT NOT NULL,
  actor TEXT NOT NULL,
  action TEXT NOT NULL,
  -- What was changed: its kind and its id.
  subject TEXT NOT NULL,
  subject_id TEXT NOT NULL,
  -- What of it, without secrets.
  detail TEXT
);

-- How many changes there were of each kind of what is administered, so that processes notice them.
CREATE TABLE change_counts (
  subject TEXT NOT NULL PRIMARY KEY,
  changes BIGINT NOT NULL
);

-- How the keys that secrets are encrypted with are made of the master key, and how a wrong one is noticed.
CREATE TABLE encryption_keys (
  id BIGINT NOT NULL PRIMARY KEY,
  salt BYTEA NOT NULL,
  memory_kib BIGINT NOT NULL,
  passes BIGINT NOT NULL,
  lanes BIGINT NOT NULL,
  check_value BYTEA NOT NULL
);

-- Secrets of other records than channels, encrypted.
CREATE TABLE secrets (
  record TEXT NOT NULL,
  field TEXT NOT NULL,
  ciphertext BYTEA NOT NULL,
  PRIMARY KEY (record, field)
);
