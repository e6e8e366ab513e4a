CREATE TABLE privacy_request(
  request BYTEA PRIMARY KEY, merchant BYTEA NOT NULL, kind TEXT NOT NULL, route BYTEA NOT NULL, subjects BYTEA NOT NULL,
  people BYTEA NOT NULL, asked_at BIGINT NOT NULL
);

CREATE TABLE export(
  request BYTEA PRIMARY KEY, merchant BYTEA NOT NULL, status TEXT NOT NULL, round BIGINT NOT NULL DEFAULT 0,
  files BIGINT NOT NULL DEFAULT 0, bytes BIGINT NOT NULL DEFAULT 0, manifest BYTEA, prepared_at BIGINT NOT NULL DEFAULT 0,
  day TEXT, expires_at BIGINT NOT NULL DEFAULT 0, fetched BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX export_waiting ON export(request) WHERE status IN ('waiting', 'made');
CREATE INDEX export_of ON export(merchant);

CREATE TABLE export_part(
  n BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, request BYTEA NOT NULL, name TEXT NOT NULL, part BIGINT NOT NULL,
  body BYTEA NOT NULL
);
CREATE INDEX export_part_of ON export_part(request, name, part);

CREATE TABLE mark(name TEXT PRIMARY KEY, value BIGINT NOT NULL);
