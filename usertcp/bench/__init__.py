"""How fast it is, beside the kernel's own TCP: the same programs over both, on the same cable, in turns.

A *figure* is what people read; a *work* is what is done for it, against a peer process with plain sockets at the other
end of the cable; a *sample* is what one run of it gave.
"""
