ALTER SCHEMA loyalnest_read OWNER TO loyalnest_migrator;
ALTER TABLE schema_version OWNER TO loyalnest_migrator;
SET LOCAL ROLE loyalnest_migrator;
GRANT USAGE, CREATE ON SCHEMA loyalnest_read TO loyalnest_projector;
GRANT USAGE ON SCHEMA loyalnest_read TO loyalnest_reader;
GRANT SELECT ON schema_version TO loyalnest_projector, loyalnest_reader;

CREATE TABLE projection_live (
    name TEXT COLLATE "C" PRIMARY KEY,
    generation BIGINT NOT NULL,
    version BIGINT NOT NULL
);
CREATE TABLE checkpoint (
    projection TEXT COLLATE "C",
    generation BIGINT,
    part BIGINT,
    checkpoint BYTEA NOT NULL,
    PRIMARY KEY (projection, generation, part)
);
CREATE TABLE parked (
    projection TEXT COLLATE "C",
    merchant BYTEA,
    stream_type BIGINT,
    stream BYTEA,
    version BIGINT,
    part BIGINT NOT NULL,
    position BIGINT NOT NULL,
    route BYTEA NOT NULL,
    event_index BIGINT NOT NULL,
    body BYTEA NOT NULL,
    reason TEXT,
    PRIMARY KEY (projection, merchant, stream_type, stream, version)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON projection_live, checkpoint, parked TO loyalnest_projector;
GRANT SELECT ON projection_live TO loyalnest_reader;
RESET ROLE;
