-- Schema 1. Append a new file for a change; never edit one that has been released.
-- Times are milliseconds since the Unix epoch, lists and records are JSON.

CREATE TABLE plans (
    name TEXT NOT NULL PRIMARY KEY,
    spec TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE tenants (
    id         TEXT NOT NULL PRIMARY KEY,
    plan       TEXT NOT NULL REFERENCES plans (name),
    suspended  INTEGER NOT NULL CHECK (suspended IN (0, 1)),
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX tenants_plan ON tenants (plan);

CREATE TABLE keys (
    id         TEXT NOT NULL PRIMARY KEY,
    tenant     TEXT REFERENCES tenants (id),
    label      TEXT NOT NULL,
    hash       BLOB NOT NULL CHECK (length(hash) = 32),
    scopes     TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX keys_tenant ON keys (tenant);

CREATE TABLE jobs (
    seq              INTEGER PRIMARY KEY,
    id               TEXT NOT NULL UNIQUE,
    tenant           TEXT NOT NULL REFERENCES tenants (id),
    key              TEXT,
    service          TEXT NOT NULL,
    pipeline         TEXT NOT NULL,
    params           TEXT NOT NULL,
    inputs           TEXT NOT NULL,
    priority         INTEGER NOT NULL,
    request_id       TEXT NOT NULL,
    traceparent      TEXT,
    state            TEXT NOT NULL,
    attempt          INTEGER NOT NULL,
    crashes          INTEGER NOT NULL,
    cancel_requested INTEGER NOT NULL,
    device           TEXT,
    metadata         TEXT,
    outputs          TEXT NOT NULL,
    error            TEXT,
    created_at       INTEGER NOT NULL,
    started_at       INTEGER,
    finished_at      INTEGER,
    expires_at       INTEGER,
    retention_secs   INTEGER NOT NULL,
    -- `finished_at` says whether a job is final; statements test it instead of a list of states.
    CHECK ((finished_at IS NULL) = (state IN ('queued', 'loading', 'running')))
) STRICT;
CREATE INDEX jobs_of_tenant ON jobs (tenant, id);
CREATE INDEX jobs_unfinished ON jobs (id) WHERE finished_at IS NULL;
CREATE INDEX jobs_expiring ON jobs (expires_at) WHERE expires_at IS NOT NULL;

-- The digests in a job's `inputs` and `outputs`, turned round: which jobs need this blob?
CREATE TABLE blob_refs (
    tenant TEXT NOT NULL,
    digest TEXT NOT NULL,
    job    TEXT NOT NULL,
    PRIMARY KEY (tenant, digest, job)
) STRICT, WITHOUT ROWID;

CREATE TABLE quotas (
    name       TEXT NOT NULL PRIMARY KEY,
    start_secs INTEGER NOT NULL,
    used       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
