"""Whole stacks on a virtual clock, over a path that is made as bad as one likes: a seed repeats it all."""
