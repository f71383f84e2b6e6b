-- With which cursors each page of a copied generation was read. Pages count from 1.
CREATE TABLE base_pages (
    build uuid NOT NULL,
    page integer NOT NULL,
    topic text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (build, page, topic, partition)
);

-- Rows name the page with which they came. The tables of generations that are here already get the column too.
DO $$
DECLARE
    held record;
BEGIN
    FOR held IN SELECT projection, generation FROM builds LOOP
        EXECUTE format(
            'ALTER TABLE IF EXISTS %I ADD COLUMN IF NOT EXISTS _page integer',
            held.projection || '_g' || held.generation
        );
    END LOOP;
END
$$;
