-- A callback that outlives a restart: whether the caller has heard that the talk is recorded.
ALTER TABLE callbacks ADD COLUMN told_of_recording boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN callbacks.told_of_recording IS 'The queue told the caller that their talk is recorded, before they asked to be called back; without that it is not.';
