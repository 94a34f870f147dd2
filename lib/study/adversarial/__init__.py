"""AIRL in the study: `training.train_airl`; from what (`choice`), and how it is watched (`watch`)."""
