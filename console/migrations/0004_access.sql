-- Sessions of the web UI and named access keys of programs. Secrets are kept as SHA-256 digests, never themselves.

CREATE TABLE sessions (
    -- For people and the API; not the token.
    id TEXT PRIMARY KEY,
    sha256 TEXT NOT NULL UNIQUE,
    username TEXT NOT NULL REFERENCES users (username) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    address TEXT NOT NULL,
    user_agent TEXT NOT NULL
);

CREATE INDEX sessions_username ON sessions (username);

CREATE TABLE access_keys (
    name TEXT PRIMARY KEY,
    sha256 TEXT NOT NULL UNIQUE,
    username TEXT NOT NULL REFERENCES users (username) ON DELETE CASCADE,
    role TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    -- Absent until the first use.
    last_used_at BIGINT,
    last_address TEXT NOT NULL
);

CREATE INDEX access_keys_username ON access_keys (username);

-- Lists of one action or one user, newest first.
CREATE INDEX audits_action ON audits (action, seq);
CREATE INDEX audits_username ON audits (username, seq);
CREATE INDEX audits_made_at ON audits (made_at);
