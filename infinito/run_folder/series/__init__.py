"""What a run writes step by step: metrics.csv, samples.jsonl, TensorBoard's files."""
