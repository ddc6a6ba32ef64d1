-- What is known of Defenders while the Console's CA is rotated, and who may come back (docs/authority.md).

-- Subject of the CA that issued the certificate in use; NULL: not seen yet.
ALTER TABLE enrolments ADD COLUMN issuer TEXT;

-- SHA-256 of each CA of ours that the Defender trusts, hexadecimal, with commas; NULL: it has not said.
ALTER TABLE enrolments ADD COLUMN authorities TEXT;

-- Until when an administrator lets it come back without a certificate that is in use; NULL: not.
ALTER TABLE enrolments ADD COLUMN approved_until BIGINT;
