-- What was: connections of Defenders, how many were connected, what became of certificates.

CREATE TABLE connections (
    defender TEXT NOT NULL,
    connected_at BIGINT NOT NULL,
    address TEXT NOT NULL,
    -- NULL while it lasts.
    disconnected_at BIGINT,
    cause TEXT,
    PRIMARY KEY (defender, connected_at)
);

CREATE INDEX connections_disconnected_at ON connections (disconnected_at);

CREATE TABLE fleet_samples (
    taken_at BIGINT PRIMARY KEY,
    connected BIGINT NOT NULL,
    disconnected BIGINT NOT NULL
);

CREATE TABLE certificate_changes (
    changed_at BIGINT NOT NULL,
    channel TEXT NOT NULL,
    -- rotated or refused
    outcome TEXT NOT NULL,
    source TEXT,
    not_after BIGINT,
    sha256 TEXT,
    error TEXT,
    remedy TEXT,
    PRIMARY KEY (changed_at, channel, outcome)
);
