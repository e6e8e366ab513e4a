CREATE TABLE epoch_key(
    root TEXT NOT NULL, epoch BIGINT NOT NULL, wrapped BYTEA NOT NULL, PRIMARY KEY (root, epoch));
