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

-- Sums of rows, kept for ever, and written in the rows' own transaction. Hours and days are counted since the epoch, in UTC.
-- Money is in microdollars and, beside them, the picodollars that are left: neither sum can become too large, and together
-- they are exact. Latencies are a text that is added to at its end: a character for a bucket (U+0040 for none at all, and from
-- there on: up to 1.1 to the power of 0, 1, 2, … milliseconds), and after it, in digits, of how many calls, if more than one.

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
  latencies TEXT NOT NULL,
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
  latencies TEXT NOT NULL,
  PRIMARY KEY (day, series)
) WITHOUT ROWID;

-- State. Times are milliseconds since the epoch.

CREATE TABLE counters (
  key TEXT NOT NULL PRIMARY KEY,
  -- NULL: it has no beginning, and what comes after its end counts, too.
  begins_at INTEGER,
  -- NULL: no window has begun.
  ends_at INTEGER,
  -- When the window before ended: this one begins no earlier. NULL: there was none.
  previous_ended_at INTEGER,
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

-- What is missing in a bucket, in parts of which 60,000 are a token: each millisecond brings as many as tokens come in a minute. A bucket
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

-- How many changes there were of each kind of what is administered, so that processes notice them.
CREATE TABLE change_counts (
  subject TEXT NOT NULL PRIMARY KEY,
  changes INTEGER NOT NULL
) WITHOUT ROWID;

-- How the keys that secrets are encrypted with are made of the master key, and how a wrong one is noticed.
CREATE TABLE encryption_keys (
  id INTEGER PRIMARY KEY,
  salt BLOB NOT NULL,
  memory_kib INTEGER NOT NULL,
  passes INTEGER NOT NULL,
  lanes INTEGER NOT NULL,
  check_value BLOB NOT NULL
);

-- Secrets of other records than channels, encrypted.
CREATE TABLE secrets (
  record TEXT NOT NULL,
  field TEXT NOT NULL,
  ciphertext BLOB NOT NULL,
  PRIMARY KEY (record, field)
) WITHOUT ROWID;
