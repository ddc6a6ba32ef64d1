-- The cluster that a Defender was deployed to, as its `hello` says; NULL: it says none.
ALTER TABLE defenders ADD COLUMN cluster TEXT;
