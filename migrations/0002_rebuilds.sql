-- What rebuilding needs to know of a generation.
--
-- The defaults describe what the release before wrote, and may go on writing while instances are
-- replaced: only first generations, live at once, which readers should see.
ALTER TABLE generations
    -- Whether readers should see it: at most one of a projection.
    ADD COLUMN wanted boolean NOT NULL DEFAULT true,
    ADD COLUMN paused boolean NOT NULL DEFAULT false,
    ADD COLUMN ready boolean NOT NULL DEFAULT false,
    ADD COLUMN options jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN verification jsonb,
    -- Why it failed, or why its cutover was given up.
    ADD COLUMN trouble text,
    ADD COLUMN actor text NOT NULL DEFAULT '',
    -- The client's name for the request to build it.
    ADD COLUMN idempotency_key text;
CREATE UNIQUE INDEX ON generations (projection, idempotency_key);

-- Whether its rows, cursors and identity are gone from the store.
ALTER TABLE generation_states ADD COLUMN cleaned boolean NOT NULL DEFAULT false;

UPDATE generations AS g SET wanted = false
WHERE NOT EXISTS (SELECT FROM generation_states AS s WHERE s.build = g.build AND s.state = 'live');

-- Definitions that operators dropped: their files do not bring them back.
CREATE TABLE dropped (
    projection text COLLATE "C" NOT NULL,
    hash text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (projection, hash)
);

-- What came of a request, beside the text in `outcome`.
ALTER TABLE intents ADD COLUMN result jsonb;
