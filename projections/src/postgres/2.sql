SET LOCAL ROLE loyalnest_migrator;
CREATE TABLE erased (
    projection TEXT COLLATE "C",
    generation BIGINT,
    merchant BYTEA,
    PRIMARY KEY (projection, generation, merchant)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON erased TO loyalnest_projector;
RESET ROLE;
