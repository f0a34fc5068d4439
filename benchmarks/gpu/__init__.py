"""What a GPU does for this project, by one command; see benchmarks/README.md."""
