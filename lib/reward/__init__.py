"""A trained reward in use: `reward.Reward` scores, ranks, finds errors; `score_file`, from the shell."""
