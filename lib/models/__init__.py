"""Language models: `scratch` trains small ones, `pretrained` loads any, `generation` samples from them."""
