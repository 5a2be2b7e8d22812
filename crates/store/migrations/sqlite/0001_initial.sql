-- Usage. What rows are summed up by stands once in usage_series; rows and sums name it by its number.

CREATE TABLE usage_series (
  id INTEGER PRIMARY KEY,
  -- Of all that follow, so that each combination is there once, absent values included.
  digest BLOB NOT NULL UNIQUE,
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
  request_id BLOB NOT NULL,
  part INTEGER NOT NULL,
  at_ms INTEGER NOT NULL,
  series INTEGER NOT NULL,
  success INTEGER NOT NULL,
  error_code TEXT,
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  cache_read_tokens INTEGER,
  cache_write_tokens INTEGER,
  reasoning_tokens INTEGER,
  estimated INTEGER NOT NULL,
  -- Picodollars.
  cost INTEGER NOT NULL,
  saved INTEGER NOT NULL,
  -- US dollars per 1,000 tokens that the cost was reckoned with.
  input_rate REAL,
  output_rate REAL,
  latency_ms INTEGER NOT NULL,
  -- Where the latency counts in latency_hourly and latency_daily; NULL: it does not.
  latency_bucket INTEGER,
  first_token_ms INTEGER,
  streamed INTEGER NOT NULL,
  cached INTEGER NOT NULL,
  degraded INTEGER NOT NULL,
  fallback_triggered INTEGER NOT NULL,
  fallback_from TEXT,
  -- JSON.
  metadata TEXT,
  attempts TEXT,
  PRIMARY KEY (request_id, part)
) WITHOUT ROWID;

-- Sums of rows, kept for ever. Money is in microdollars and, beside them, the picodollars that are left: neither sum can
-- become too large, and together they are exact. Hours and days are counted since the epoch, in UTC.
CREATE TABLE usage_hourly (
  hour INTEGER NOT NULL,
  series INTEGER NOT NULL,
  calls INTEGER NOT NULL,
  errors INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  cost_micro INTEGER NOT NULL,
  cost_pico INTEGER NOT NULL,
  saved_micro INTEGER NOT NULL,
  saved_pico INTEGER NOT NULL,
  PRIMARY KEY (hour, series)
) WITHOUT ROWID;

CREATE TABLE usage_daily (
  day INTEGER NOT NULL,
  series INTEGER NOT NULL,
  calls INTEGER NOT NULL,
  errors INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  cost_micro INTEGER NOT NULL,
  cost_pico INTEGER NOT NULL,
  saved_micro INTEGER NOT NULL,
  saved_pico INTEGER NOT NULL,
  PRIMARY KEY (day, series)
) WITHOUT ROWID;

-- How many calls took so long. Bucket b from 1: up to 1.1 to the power of b-1 milliseconds; 0: none.
CREATE TABLE latency_hourly (
  hour INTEGER NOT NULL,
  series INTEGER NOT NULL,
  bucket INTEGER NOT NULL,
  calls INTEGER NOT NULL,
  PRIMARY KEY (hour, series, bucket)
) WITHOUT ROWID;

CREATE TABLE latency_daily (
  day INTEGER NOT NULL,
  series INTEGER NOT NULL,
  bucket INTEGER NOT NULL,
  calls INTEGER NOT NULL,
  PRIMARY KEY (day, series, bucket)
) WITHOUT ROWID;

-- A row that is there already adds nothing, whoever writes it: sums are made where rows are.
CREATE TRIGGER usage_rows_are_summed_up AFTER INSERT ON usage_rows BEGIN
  INSERT INTO usage_hourly
    (hour, series, calls, errors, input_tokens, output_tokens, cost_micro, cost_pico, saved_micro, saved_pico)
  VALUES (NEW.at_ms / 3600000, NEW.series, NEW.part = 0, NEW.part = 0 AND NOT NEW.success,
    NEW.input_tokens, NEW.output_tokens,
    NEW.cost / 1000000, NEW.cost % 1000000, NEW.saved / 1000000, NEW.saved % 1000000)
  ON CONFLICT (hour, series) DO UPDATE SET
    calls = calls + excluded.calls, errors = errors + excluded.errors,
    input_tokens = input_tokens + excluded.input_tokens, output_tokens = output_tokens + excluded.output_tokens,
    cost_micro = cost_micro + excluded.cost_micro, cost_pico = cost_pico + excluded.cost_pico,
    saved_micro = saved_micro + excluded.saved_micro, saved_pico = saved_pico + excluded.saved_pico;
  INSERT INTO usage_daily
    (day, series, calls, errors, input_tokens, output_tokens, cost_micro, cost_pico, saved_micro, saved_pico)
  VALUES (NEW.at_ms / 86400000, NEW.series, NEW.part = 0, NEW.part = 0 AND NOT NEW.success,
    NEW.input_tokens, NEW.output_tokens,
    NEW.cost / 1000000, NEW.cost % 1000000, NEW.saved / 1000000, NEW.saved % 1000000)
  ON CONFLICT (day, series) DO UPDATE SET
    calls = calls + excluded.calls, errors = errors + excluded.errors,
    input_tokens = input_tokens + excluded.input_tokens, output_tokens = output_tokens + excluded.output_tokens,
    cost_micro = cost_micro + excluded.cost_micro, cost_pico = cost_pico + excluded.cost_pico,
    saved_micro = saved_micro + excluded.saved_micro, saved_pico = saved_pico + excluded.saved_pico;
  INSERT INTO latency_hourly (hour, series, bucket, calls)
  SELECT NEW.at_ms / 3600000, NEW.series, NEW.latency_bucket, 1 WHERE NEW.latency_bucket IS NOT NULL
  ON CONFLICT (hour, series, bucket) DO UPDATE SET calls = calls + 1;
  INSERT INTO latency_daily (day, series, bucket, calls)
  SELECT NEW.at_ms / 86400000, NEW.series, NEW.latency_bucket, 1 WHERE NEW.latency_bucket IS NOT NULL
  ON CONFLICT (day, series, bucket) DO UPDATE SET calls = calls + 1;
END;

-- State. Times are milliseconds since the epoch.

CREATE TABLE counters (
  key TEXT NOT NULL PRIMARY KEY,
  -- NULL: it has no beginning, and what comes after its end counts, too.
  begins_at INTEGER,
  -- NULL: no window has begun.
  ends_at INTEGER,
  spent_0 INTEGER NOT NULL,
  spent_1 INTEGER NOT NULL,
  spent_2 INTEGER NOT NULL,
  spent_3 INTEGER NOT NULL,
  version INTEGER NOT NULL
) WITHOUT ROWID;

-- What a node holds of a counter until the lease lapses, and the last spending of it that was counted.
CREATE TABLE leases (
  counter TEXT NOT NULL,
  node TEXT NOT NULL,
  held_0 INTEGER NOT NULL,
  held_1 INTEGER NOT NULL,
  held_2 INTEGER NOT NULL,
  held_3 INTEGER NOT NULL,
  lapses_at INTEGER NOT NULL,
  -- Less 2^63, as it is unsigned.
  last_sequence INTEGER,
  PRIMARY KEY (counter, node)
) WITHOUT ROWID;

-- What is missing in a bucket, in 60,000ths of a token: each millisecond brings as many as tokens come in a minute. A bucket
-- that is not here is full.
CREATE TABLE token_buckets (
  key TEXT NOT NULL,
  place INTEGER NOT NULL,
  missing INTEGER NOT NULL,
  at_ms INTEGER NOT NULL,
  full_at INTEGER NOT NULL,
  PRIMARY KEY (key, place)
) WITHOUT ROWID;

CREATE TABLE state_values (
  key TEXT NOT NULL PRIMARY KEY,
  value BLOB NOT NULL,
  lapses_at INTEGER NOT NULL
);
CREATE INDEX state_values_by_lapse ON state_values (lapses_at);

CREATE TABLE state_notices (
  board TEXT NOT NULL,
  name TEXT NOT NULL,
  text TEXT NOT NULL,
  lapses_at INTEGER NOT NULL,
  PRIMARY KEY (board, name)
) WITHOUT ROWID;

-- Administration. Lists and objects are JSON; versions grow with each change.

CREATE TABLE client_keys (
  id TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  owner TEXT,
  team TEXT,
  tags TEXT,
  models TEXT,
  expires_at INTEGER,
  budget TEXT,
  requests_per_minute INTEGER,
  tokens_per_minute INTEGER,
  max_concurrency INTEGER,
  trust TEXT,
  created_at INTEGER NOT NULL,
  last_used_at INTEGER,
  revoked_at INTEGER,
  version INTEGER NOT NULL
) WITHOUT ROWID;

-- A key's secrets, as hashes: the one that holds, and those before it for as long as they still work.
CREATE TABLE client_key_hashes (
  hash BLOB NOT NULL PRIMARY KEY,
  key_id TEXT NOT NULL REFERENCES client_keys (id) ON DELETE CASCADE,
  created_at INTEGER NOT NULL,
  -- NULL: the one that holds.
  works_until INTEGER
) WITHOUT ROWID;
CREATE INDEX client_key_hashes_by_key ON client_key_hashes (key_id);

CREATE TABLE channels (
  id TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  -- The fields of a provider entry.
  entry TEXT NOT NULL,
  disabled INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  version INTEGER NOT NULL
) WITHOUT ROWID;

-- Provider keys, encrypted.
CREATE TABLE channel_secrets (
  id TEXT NOT NULL PRIMARY KEY,
  channel_id TEXT NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
  place INTEGER NOT NULL,
  ciphertext BLOB NOT NULL,
  -- What of the key may be shown.
  hint TEXT NOT NULL,
  created_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX channel_secrets_by_channel ON channel_secrets (channel_id, place);

CREATE TABLE audit (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at_ms INTEGER NOT NULL,
  actor TEXT NOT NULL,
  action TEXT NOT NULL,
  -- What was changed: its kind and its id.
  subject TEXT NOT NULL,
  subject_id TEXT NOT NULL,
  -- What of it, without secrets.
  detail TEXT
);
