CREATE TABLE meta(
    one BIGINT PRIMARY KEY CHECK (one = 1), format BIGINT NOT NULL, log_id BYTEA NOT NULL,
    root_fingerprint TEXT NOT NULL, insert_count BIGINT NOT NULL, epoch BIGINT NOT NULL,
    global_key BYTEA NOT NULL, token_key BYTEA NOT NULL);
CREATE TABLE epoch_key(
    epoch BIGINT PRIMARY KEY, wrapped BYTEA NOT NULL, opened_at BIGINT NOT NULL, closed_at BIGINT,
    destroyed_at BIGINT);
CREATE TABLE merchant_key(
    n BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, merchant BYTEA NOT NULL, epoch BIGINT NOT NULL,
    wrapped BYTEA NOT NULL, own_key BYTEA NOT NULL, UNIQUE (merchant, epoch));
CREATE TABLE subject_key(
    n BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, merchant BYTEA NOT NULL, subject BYTEA NOT NULL,
    epoch BIGINT NOT NULL, wrapped BYTEA NOT NULL, UNIQUE (merchant, subject));
CREATE TABLE day_key(
    n BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, merchant BYTEA NOT NULL, day BIGINT NOT NULL,
    epoch BIGINT NOT NULL, wrapped BYTEA NOT NULL, UNIQUE (merchant, day));
CREATE TABLE fence(
    n BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, merchant BYTEA NOT NULL, subject BYTEA NOT NULL,
    fenced_at BIGINT NOT NULL, certificate TEXT, UNIQUE (merchant, subject));
CREATE TABLE directory(
    n BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, merchant BYTEA NOT NULL, kind BIGINT NOT NULL,
    ref_hash BYTEA NOT NULL, id BYTEA NOT NULL, subject BYTEA NOT NULL, sealed_ref BYTEA, added_at BIGINT NOT NULL);
CREATE INDEX directory_by_reference ON directory(merchant, kind, ref_hash);
CREATE INDEX directory_by_id ON directory(merchant, kind, id);
CREATE INDEX directory_by_subject ON directory(merchant, subject);
CREATE TABLE tombstone(
    n BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, merchant BYTEA NOT NULL, kind BIGINT NOT NULL,
    ref_hash BYTEA NOT NULL, UNIQUE (merchant, kind, ref_hash));
