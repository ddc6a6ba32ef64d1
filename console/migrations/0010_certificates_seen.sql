-- Custom certificates that Defenders were seen with, so that those of decommissioned ones are refused (docs/protocol.md).

CREATE TABLE certificates_seen (
    defender TEXT NOT NULL,
    -- SHA-256 of the leaf, hexadecimal.
    sha256 TEXT NOT NULL,
    -- End of its validity: then it is refused anyway.
    not_after BIGINT NOT NULL,
    PRIMARY KEY (defender, sha256)
);
