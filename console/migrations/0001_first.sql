-- One SQL for SQLite and PostgreSQL: TEXT and BIGINT only; times are milliseconds since 1970 (UTC).

CREATE TABLE defenders (
    id TEXT PRIMARY KEY,
    hostname TEXT NOT NULL,
    version TEXT NOT NULL,
    os TEXT NOT NULL,
    kernel TEXT NOT NULL,
    arch TEXT NOT NULL,
    address TEXT NOT NULL,
    certificate_source TEXT NOT NULL,
    certificate_not_after BIGINT NOT NULL,
    certificate_sha256 TEXT NOT NULL,
    first_seen BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    last_seq BIGINT NOT NULL,
    decommissioned_at BIGINT
);

CREATE TABLE reports (
    defender TEXT NOT NULL,
    seq BIGINT NOT NULL,
    kind TEXT NOT NULL,
    received_at BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (defender, seq)
);

CREATE INDEX reports_received_at ON reports (received_at);

CREATE TABLE users (
    username TEXT PRIMARY KEY,
    -- PHC string: algorithm, parameters, salt and hash.
    password TEXT NOT NULL,
    role TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE tokens (
    -- SHA-256 of the token, never the token.
    sha256 TEXT PRIMARY KEY,
    username TEXT NOT NULL REFERENCES users (username) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX tokens_expires_at ON tokens (expires_at);

CREATE TABLE settings (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
