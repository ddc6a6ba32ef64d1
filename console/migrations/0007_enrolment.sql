-- Registrations (what install bundles hold) and the own certificates of Defenders (docs/authority.md).

CREATE TABLE registrations (
    id TEXT PRIMARY KEY,
    -- Who issued it; empty: the Console itself.
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    -- How many Defenders may enrol with it; NULL: any number.
    max_uses BIGINT,
    revoked_at BIGINT,
    -- SHA-256 of the certificate, hexadecimal.
    sha256 TEXT NOT NULL
);

CREATE TABLE registration_uses (
    registration TEXT NOT NULL,
    defender TEXT NOT NULL,
    used_at BIGINT NOT NULL,
    address TEXT NOT NULL,
    PRIMARY KEY (registration, defender)
);

CREATE TABLE enrolments (
    defender TEXT PRIMARY KEY,
    enrolled_at BIGINT NOT NULL,
    -- NULL: an install bundle without a mark.
    registration TEXT,
    -- Beginning of validity of the newest own certificate that was seen in use; NULL: none yet.
    own_since BIGINT,
    -- End of its validity.
    own_until BIGINT
);
