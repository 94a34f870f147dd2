"""Practice on a reward (`training`) and elections (`elections`); from what (`choice`), watched (`watch`)."""
