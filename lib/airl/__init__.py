"""The method: `discriminator` (a logit a token), `objective` (its loss), `credit` (advantages), `trainer`."""
