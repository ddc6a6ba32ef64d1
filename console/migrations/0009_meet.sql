-- Names that Defenders were told to reach the Console by (docs/custom-certificates.md).

CREATE TABLE exported_names (
    -- Host of `consoleaddr`: lower case, an IPv6 address without brackets.
    name TEXT PRIMARY KEY,
    -- How many bundles and files of deployment have it.
    exports BIGINT NOT NULL,
    -- When the last of them can no longer be used to enrol.
    until_at BIGINT NOT NULL
);
