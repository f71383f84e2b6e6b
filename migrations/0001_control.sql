-- The control tables. Names are unqualified: they are created in the schema that the
-- transaction's search_path names. Within a major version migrations only add.

-- Desired state: one row per generation, with the definition text that it runs.
CREATE TABLE generations (
    projection text COLLATE "C" NOT NULL,
    generation integer NOT NULL,
    build uuid NOT NULL UNIQUE,
    definition text NOT NULL,
    hash text NOT NULL,
    intent bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (projection, generation)
);

-- A generation's state in each of its stores, in the definition's order.
CREATE TABLE generation_states (
    build uuid NOT NULL,
    store text NOT NULL,
    place smallint NOT NULL,
    state text NOT NULL,
    -- Whether readers have seen it at least once.
    published boolean NOT NULL DEFAULT false,
    since timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (build, store)
);

-- The topics that a build reads, with the broker's identity of each and the build's start positions.
CREATE TABLE topics (
    build uuid NOT NULL,
    topic text COLLATE "C" NOT NULL,
    topic_id text NOT NULL,
    -- Where the build began to read each partition that there was then, from partition 0 on.
    starts bigint[] NOT NULL,
    PRIMARY KEY (build, topic)
);

-- How the records of a topic are wrapped, as it was detected first.
CREATE TABLE envelopes (
    topic text COLLATE "C" NOT NULL,
    topic_id text NOT NULL,
    envelope text NOT NULL,
    PRIMARY KEY (topic, topic_id)
);

-- What this database holds as a store of views: the identity of each generation that has a table here.
CREATE TABLE builds (
    projection text COLLATE "C" NOT NULL,
    generation integer NOT NULL,
    build uuid NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (projection, generation)
);

-- Which generation readers of this store see, and the intent that made it so.
CREATE TABLE pointers (
    projection text COLLATE "C" PRIMARY KEY,
    generation integer NOT NULL,
    build uuid NOT NULL,
    intent bigint NOT NULL,
    since timestamptz NOT NULL DEFAULT now()
);

-- Stored positions: the only truth about what the tables of a build reflect.
CREATE TABLE cursors (
    build uuid NOT NULL,
    topic text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    position bigint NOT NULL,
    claim uuid,
    epoch bigint NOT NULL DEFAULT 0,
    newest_micros bigint,
    projection text COLLATE "C" NOT NULL,
    generation integer NOT NULL,
    moved_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (build, topic, partition)
) WITH (fillfactor = 50);

-- Events that could not be processed, with all that is known of them.
CREATE TABLE dead_letters (
    id uuid PRIMARY KEY,
    projection text COLLATE "C" NOT NULL,
    generation integer NOT NULL,
    build uuid NOT NULL,
    store text NOT NULL,
    topic text COLLATE "C" NOT NULL,
    topic_id text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    key bytea,
    value bytea,
    headers jsonb,
    row_key text COLLATE "C",
    reason text NOT NULL,
    attempts integer NOT NULL DEFAULT 1,
    state text NOT NULL DEFAULT 'open',
    at timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz
);
CREATE UNIQUE INDEX ON dead_letters (build, store, topic, partition, "offset", row_key) NULLS NOT DISTINCT;
CREATE INDEX ON dead_letters (projection, at);

-- Row keys whose events are held back, in order, until they are replayed or discarded.
CREATE TABLE parked_keys (
    build uuid NOT NULL,
    store text NOT NULL,
    topic text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    row_key text COLLATE "C" NOT NULL,
    projection text COLLATE "C" NOT NULL,
    generation integer NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    events bigint NOT NULL DEFAULT 1,
    since timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (build, store, topic, partition, row_key)
);

-- Operators' decisions to step over a record. They hold for later generations and all stores.
CREATE TABLE decisions (
    projection text COLLATE "C" NOT NULL,
    topic text COLLATE "C" NOT NULL,
    topic_id text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    action text NOT NULL,
    reason text NOT NULL,
    actor text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (projection, topic_id, partition, "offset")
);

-- What operators asked for, until a reconciler has done it.
CREATE TABLE intents (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    projection text COLLATE "C" NOT NULL,
    generation integer,
    kind text NOT NULL,
    arguments jsonb NOT NULL DEFAULT '{}',
    idempotency_key text UNIQUE,
    actor text NOT NULL,
    state text NOT NULL DEFAULT 'open',
    outcome text,
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);
CREATE INDEX ON intents (projection, id) WHERE state = 'open';

-- Work that one instance may do at a time; the epoch is compared in the work's own transaction.
CREATE TABLE leases (
    name text COLLATE "C" PRIMARY KEY,
    holder text NOT NULL,
    epoch bigint NOT NULL,
    expires_at timestamptz NOT NULL
);

-- What each instance says about itself; `at` is its heartbeat.
CREATE TABLE instances (
    instance text COLLATE "C" PRIMARY KEY,
    report jsonb NOT NULL,
    at timestamptz NOT NULL
);

-- What was done by whom.
CREATE TABLE audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    action text NOT NULL,
    projection text COLLATE "C",
    reason text,
    detail jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX ON audit (projection, at);

-- The change feed: one row per batch, kept for a while.
CREATE TABLE changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    build uuid NOT NULL,
    projection text COLLATE "C" NOT NULL,
    positions jsonb NOT NULL,
    rows jsonb NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON changes (build, id);
CREATE INDEX ON changes (at);
