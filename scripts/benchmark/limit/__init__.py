"""The limit: the star and the views by hand-written SQL, as fast as it goes."""
