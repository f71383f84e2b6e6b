-- What the change feed needs to find, without a gap, what was committed since it looked last.
ALTER TABLE changes
    -- The transaction that noted the change: transactions commit in another order than they are numbered.
    ADD COLUMN xact xid8 NOT NULL DEFAULT pg_current_xact_id(),
    -- The texts of the keys that changed, one per line. Rows are read when they are told.
    ADD COLUMN keys text NOT NULL DEFAULT '',
    ALTER COLUMN keys SET STORAGE EXTERNAL,
    ALTER COLUMN rows SET DEFAULT '[]';
CREATE INDEX ON changes (build, xact);

-- Up to where changes of a build are not kept, by `topic/partition`: they were removed, or happened before
-- readers saw the build.
CREATE TABLE change_horizons (
    build uuid NOT NULL,
    partition text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (build, partition)
);
