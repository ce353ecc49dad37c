"""The rows of `train.jsonl`, for environments that SkyRL-gym has of its own."""
