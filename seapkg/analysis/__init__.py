"""Analysis: angles, information, similarity, probes and the statistics of comparisons."""
