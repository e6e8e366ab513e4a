CREATE TABLE erasure_removed(
  request BYTEA NOT NULL, store TEXT NOT NULL, removed BIGINT NOT NULL, PRIMARY KEY(request, store)
);

CREATE TABLE idempotency_subject(
  merchant BYTEA NOT NULL, subject BYTEA NOT NULL, key_hash BYTEA NOT NULL, PRIMARY KEY(merchant, subject, key_hash)
);
