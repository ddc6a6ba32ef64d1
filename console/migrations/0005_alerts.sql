-- Alerts (what a person should see to) and the messages about them that no receiver has taken yet.

CREATE TABLE alerts (
    id TEXT PRIMARY KEY,
    -- What the alert is about: the same condition has the same key.
    condition TEXT NOT NULL,
    kind TEXT NOT NULL,
    severity TEXT NOT NULL,
    summary TEXT NOT NULL,
    remedy TEXT NOT NULL,
    raised_at BIGINT NOT NULL,
    -- NULL while it is open.
    resolved_at BIGINT,
    acknowledged_at BIGINT,
    acknowledged_by TEXT
);

CREATE INDEX alerts_condition ON alerts (condition);
CREATE INDEX alerts_raised_at ON alerts (raised_at);
CREATE INDEX alerts_resolved_at ON alerts (resolved_at);

CREATE TABLE alert_messages (
    id TEXT PRIMARY KEY,
    channel TEXT NOT NULL,
    -- JSON, the same at each attempt.
    body TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    next_at BIGINT NOT NULL
);

CREATE INDEX alert_messages_next_at ON alert_messages (channel, next_at);
