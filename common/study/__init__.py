"""How a study is set up, run, recorded and judged."""
