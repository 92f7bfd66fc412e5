"""Trace records made into things that people look at.

`recorder` keeps them, `ladder` draws them, `explain` puts them into sentences, `pcapng` and `jsonl` write them for
other programs, `states` draws the table of transitions. Nothing here prints: whoever has the terminal does.
"""
