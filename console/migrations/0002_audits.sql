-- Who changed what, each entry chained to the one before it by its hash (store/audits/mod.rs). Never updated.

CREATE TABLE audits (
    seq BIGINT PRIMARY KEY,
    made_at BIGINT NOT NULL,
    -- Empty: the Console itself, or nobody who has proved to be somebody.
    username TEXT NOT NULL,
    address TEXT NOT NULL,
    action TEXT NOT NULL,
    object TEXT NOT NULL,
    -- JSON.
    old_value TEXT NOT NULL,
    new_value TEXT NOT NULL,
    hash TEXT NOT NULL
);
