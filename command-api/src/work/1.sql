-- Times are microseconds since 1970, 0 and 1 stand for no and yes. What the columns hold says work.rs.
CREATE TABLE inbox(
  seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id BYTEA NOT NULL UNIQUE,
  merchant BYTEA NOT NULL,
  topic TEXT NOT NULL,
  webhook_id TEXT NOT NULL,
  body_hash BYTEA NOT NULL,
  received_at BIGINT NOT NULL,
  correlation BYTEA NOT NULL,
  trace BYTEA NOT NULL,
  day TEXT NOT NULL,
  people BYTEA NOT NULL,
  status TEXT NOT NULL,
  attempts BIGINT NOT NULL DEFAULT 0,
  next_attempt BIGINT NOT NULL DEFAULT 0,
  reason TEXT,
  position TEXT,
  subject BYTEA,
  shared BIGINT NOT NULL DEFAULT 0,
  edited BIGINT NOT NULL DEFAULT 0,
  drive BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX inbox_accepted ON inbox(seq) WHERE status = 'accepted';
CREATE INDEX inbox_dead ON inbox(merchant, id) WHERE status = 'dead_lettered';
CREATE INDEX inbox_subject ON inbox(subject) WHERE subject IS NOT NULL;
CREATE INDEX inbox_body_hash ON inbox(body_hash);
CREATE INDEX inbox_webhook_id ON inbox(merchant, webhook_id);

CREATE TABLE inbox_body(seq BIGINT PRIMARY KEY, body BYTEA NOT NULL);

-- Who works deliveries off, and until when they are believed to live if nothing is heard of them.
CREATE TABLE inbox_worker(worker BYTEA PRIMARY KEY, alive_until BIGINT NOT NULL);

-- Shops are spread over slots, and each slot is worked off by one worker at a time, or waits for one.
CREATE TABLE inbox_slot(slot BIGINT PRIMARY KEY, worker BYTEA);
INSERT INTO inbox_slot SELECT slot, NULL FROM generate_series(0, 63) AS slot;

CREATE TABLE delivery(
  merchant BYTEA NOT NULL, webhook_id TEXT NOT NULL, inbox BYTEA NOT NULL, duplicate BIGINT NOT NULL,
  PRIMARY KEY(merchant, webhook_id)
);

CREATE TABLE idempotency(
  merchant BYTEA NOT NULL, key_hash BYTEA NOT NULL, fingerprint BYTEA NOT NULL, minted BYTEA NOT NULL, answer TEXT,
  PRIMARY KEY(merchant, key_hash)
);

CREATE TABLE policy_progress(
  policy TEXT NOT NULL, partition BIGINT NOT NULL, checkpoint BYTEA NOT NULL,
  PRIMARY KEY(policy, partition)
);

CREATE TABLE parked_task(
  policy TEXT COLLATE "C" NOT NULL, record BYTEA NOT NULL, event_index BIGINT NOT NULL,
  step TEXT COLLATE "C" NOT NULL, merchant BYTEA NOT NULL, stream BYTEA NOT NULL, route BYTEA NOT NULL,
  body BYTEA NOT NULL, reason TEXT NOT NULL, parked_at BIGINT NOT NULL,
  PRIMARY KEY(policy, record, event_index, step)
);

CREATE TABLE daily_run(merchant BYTEA PRIMARY KEY, as_of BIGINT NOT NULL);

CREATE TABLE clock(one BIGINT PRIMARY KEY CHECK(one = 1), offset_us BIGINT NOT NULL);
