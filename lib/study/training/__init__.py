"""Trains policies and rewards, and samples them: what decides how a run comes out. `launch.train` does it."""
